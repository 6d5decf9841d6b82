/* evaluate.c - loss, top-1 and top-5 errors of weights on a data set: batch norm folded, no augmentation, fixed order. */
#include "train/evaluate.h"

#include <math.h>

#include "train/clock.h"

/* -log softmax(logits)[label], in double. */
static double cross_entropy(const float *logits, int64_t classes, int32_t label)
{
    double largest = logits[0], sum = 0;
    for (int64_t k = 1; k < classes; k++)
        if (logits[k] > largest) largest = logits[k];
    for (int64_t k = 0; k < classes; k++) sum += exp(logits[k] - largest);
    return log(sum) + largest - logits[label];
}

static void count_batch(const sn_batch *batch, const float *logits, int64_t classes, sn_eval_result *result, double *loss_sum)
{
    for (int64_t n = 0; n < batch->count; n++) {
        const float *row = logits + n * classes;
        int64_t rank = sn_logits_rank(row, classes, batch->labels[n]);
        result->top1_errors += rank >= 1;
        result->top5_errors += rank >= 5;
        *loss_sum += cross_entropy(row, classes, batch->labels[n]);
    }
    result->images += batch->count;
}

senet_status sn_evaluate_network(sn_network *network, const sn_spec *spec, const sn_dataset *dataset,
                                 const sn_eval_options *options, const volatile int *stop, sn_eval_result *result)
{
    *result = (sn_eval_result){0};
    senet_status status;
    double start = sn_seconds_now(), loss_sum = 0;
    int64_t total = sn_dataset_describe(dataset)->count;
    sn_loader *loader = NULL;
    sn_loader_options loading = {.batch = options->batch, .workers = options->workers};
    SN_TRY(sn_loader_create(dataset, &loading, &loader), cleanup);
    for (;;) {
        const sn_batch *batch;
        const float *logits;
        if (stop && *stop) {
            status = sn_fail(SENET_STOPPED, "stopped on request");
            goto cleanup;
        }
        SN_TRY(sn_loader_next(loader, &batch), cleanup);
        if (!batch) break;
        SN_TRY(sn_network_run(network, batch, &logits, NULL), cleanup);
        count_batch(batch, logits, spec->classes, result, &loss_sum);
        if (options->progress) options->progress(options->context, result->images, total);
    }
    result->loss = loss_sum / (double)result->images;
    result->seconds = sn_seconds_now() - start;
cleanup:
    sn_loader_destroy(loader);
    return status;
}

sn_build_options sn_build_options_for(const sn_dataset *dataset, const sn_preprocess *preprocess, sn_mode mode, int64_t batch)
{
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    sn_build_options build = {.mode = mode,
                              .batch = batch,
                              .height = info->height,
                              .width = info->width,
                              .input = info->real ? SN_INPUT_REAL : SN_INPUT_U8};
    for (int c = 0; c < 3; c++) {
        build.mean[c] = preprocess->mean[c];
        build.std[c] = preprocess->std[c];
    }
    return build;
}

senet_status sn_check_classes(const sn_spec *spec, const sn_dataset *dataset)
{
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    bool fits = info->real ? spec->classes >= info->classes : spec->classes == info->classes;
    if (fits) return SENET_OK;
    char name[256];
    sn_spec_canonical(spec, name, sizeof name);
    return sn_fail(SENET_USAGE, "model '%s' has %lld classes, data set '%s' has %lld: use the option classes=%lld", name,
                   (long long)spec->classes, info->name, (long long)info->classes, (long long)info->classes);
}

senet_status sn_evaluate(const sn_spec *spec, sn_params *params, const sn_preprocess *preprocess, const sn_dataset *dataset,
                         const sn_eval_options *options, sn_eval_result *result)
{
    *result = (sn_eval_result){0};
    if (options->batch < 1) return sn_fail(SENET_USAGE, "batch size is %lld, must be at least 1", (long long)options->batch);
    SN_RETURN_IF_FAILED(sn_check_classes(spec, dataset));
    sn_eval_options clipped = *options;
    int64_t count = sn_dataset_describe(dataset)->count;
    if (clipped.batch > count) clipped.batch = count;
    sn_network_options options_network = {
        .spec = spec,
        .build = sn_build_options_for(dataset, preprocess, SN_MODE_EVAL, clipped.batch),
        .bgr = preprocess->bgr,
        .threads = options->threads,
        .reference_only = options->reference_only,
        .params = params,
    };
    sn_network *network;
    SN_RETURN_IF_FAILED(sn_network_create(&options_network, &network));
    senet_status status = sn_evaluate_network(network, spec, dataset, &clipped, NULL, result);
    sn_network_destroy(network);
    return status;
}
