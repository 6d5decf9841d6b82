/* evaluate.c - loss, top-1 and top-5 errors of weights on a data set: batch norm folded, no augmentation, fixed order. */
#include "train/evaluate.h"

#include <stdlib.h>

#include "train/clock.h"
#include "train/ensemble.h"
#include "train/scores.h"

/* `first` is the sample that the batch begins with; where another stands in for a bad picture, it does not count. */
static void count_batch(const sn_batch *batch, int64_t first, const float *logits, double *scores, int64_t classes,
                        sn_eval_result *result, double *loss_sum)
{
    for (int64_t n = 0; n < batch->count; n++) {
        if (batch->indices[n] != first + n) continue;
        const float *row = logits + n * classes;
        int64_t rank = sn_logits_rank(row, classes, batch->labels[n]);
        result->top1_errors += rank >= 1;
        result->top5_errors += rank >= 5;
        sn_scores_of(row, classes, scores);
        *loss_sum -= scores[batch->labels[n]];
        result->images++;
    }
}

senet_status sn_evaluate_network(sn_network *network, const sn_spec *spec, const sn_dataset *dataset,
                                 const sn_eval_options *options, const volatile int *stop, sn_eval_result *result)
{
    *result = (sn_eval_result){0};
    senet_status status;
    double start = sn_seconds_now(), loss_sum = 0;
    int64_t total = sn_dataset_describe(dataset)->count;
    sn_loader *loader = NULL;
    sn_loader_options loading = {.batch = options->batch,
                                 .workers = options->workers,
                                 .prepare = options->prepare,
                                 .views = options->view,
                                 .views_count = options->view != NULL,
                                 .exif = options->exif,
                                 .on_bad = options->on_bad,
                                 .report_bad = options->report_bad,
                                 .context = options->bad_context};
    double *scores = malloc((size_t)spec->classes * sizeof *scores);
    if (!scores) {
        status = sn_fail_memory((size_t)spec->classes * sizeof *scores, "the scores of a picture");
        goto cleanup;
    }
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
        count_batch(batch, batch->number * options->batch, logits, scores, spec->classes, result, &loss_sum);
        if (options->progress) options->progress(options->context, result->images, total);
    }
    result->loss = loss_sum / (double)result->images;
    result->seconds = sn_seconds_now() - start;
cleanup:
    sn_loader_destroy(loader);
    free(scores);
    return status;
}

sn_build_options sn_build_options_for(const sn_dataset *dataset, const sn_preprocess *preprocess, sn_mode mode, int64_t batch)
{
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    sn_build_options build = {.mode = mode,
                              .batch = batch,
                              .height = info->photographs ? preprocess->height : info->height,
                              .width = info->photographs ? preprocess->width : info->width,
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
    SN_RETURN_IF_FAILED(sn_check_classes(spec, dataset));
    sn_view view = sn_view_of(preprocess);
    sn_eval_stream stream = {.spec = spec, .params = params, .preprocess = *preprocess, .views_count = 1};
    if (sn_dataset_describe(dataset)->photographs) stream.views = &view;
    sn_ensemble_options how = {.batch = options->batch,
                               .threads = options->threads,
                               .workers = options->workers,
                               .reference_only = options->reference_only,
                               .progress = options->progress,
                               .context = options->context};
    return sn_evaluate_ensemble(&stream, 1, dataset, &how, result);
}
