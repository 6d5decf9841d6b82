/* cmd_eval.c - `senet eval`: loss and errors of a weights file on a data set, one centre crop an image. */
#include <stdio.h>

#include "base/json.h"
#include "network.h"
#include "progress.h"
#include "report.h"
#include "train/train.h"
#include "verbs.h"

static void show(void *context, int64_t done, int64_t total)
{
    (void)context;
    cli_progress_draw((double)done / (double)total, "%lld of %lld images", (long long)done, (long long)total);
}

static double percent(int64_t errors, int64_t images)
{
    return 100.0 * (double)errors / (double)images;
}

static senet_status print_result(const senet_model *model, const char *data, const sn_eval_result *result, bool as_json)
{
    double top1 = percent(result->top1_errors, result->images), top5 = percent(result->top5_errors, result->images);
    double rate = result->seconds > 0 ? (double)result->images / result->seconds : 0;
    sn_text text = {0};
    if (as_json) {
        sn_json_writer json = {.text = &text};
        sn_json_open_object(&json, NULL);
        sn_json_add_string(&json, "model", model->name);
        sn_json_add_string(&json, "data", data);
        sn_json_add_int(&json, "images", result->images);
        sn_json_add_int(&json, "classes", model->spec.classes);
        sn_json_add_double(&json, "loss", result->loss);
        sn_json_add_int(&json, "top1_errors", result->top1_errors);
        sn_json_add_double(&json, "top1_error", top1);
        sn_json_add_int(&json, "top5_errors", result->top5_errors);
        sn_json_add_double(&json, "top5_error", top5);
        sn_json_add_double(&json, "images_per_second", rate);
        sn_json_close_object(&json);
    } else {
        sn_text_printf(&text, "%s on %s: %s images\n", model->name, data, cli_grouped(result->images));
        sn_text_printf(&text, "top-1 error %6.2f%%  (%s)\ntop-5 error %6.2f%%  (%s)\n", top1,
                       cli_grouped(result->top1_errors), top5, cli_grouped(result->top5_errors));
        sn_text_printf(&text, "loss        %7.4f\nspeed       %.1f images/s", result->loss, rate);
    }
    return cli_print_text(&text);
}

static senet_status check_classes(const senet_model *model, const sn_dataset *dataset, const char *data)
{
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    bool fits = info->real ? info->classes <= model->spec.classes : info->classes == model->spec.classes;
    if (fits) return SENET_OK;
    return sn_fail(SENET_USAGE, "%s has %lld classes, %s tells %lld apart", data, (long long)info->classes, model->name,
                   (long long)model->spec.classes);
}

static int run(const cli_arguments *arguments)
{
    senet_model *model = NULL;
    sn_dataset *dataset = NULL;
    const char *data = cli_text(arguments, "data");
    sn_eval_result result = {0};
    sn_eval_options how = {.batch = cli_integer(arguments, "batch-size"),
                           .threads = (int)cli_integer(arguments, "threads"),
                           .workers = (int)cli_integer(arguments, "workers"),
                           .reference_only = cli_flag(arguments, "reference"),
                           .progress = show};
    senet_status status;
    SN_TRY(cli_open_network(arguments, &model), cleanup);
    SN_TRY(sn_dataset_open(data, cli_choice(arguments, "split") == 0 ? SN_SPLIT_VAL : SN_SPLIT_TRAIN, &dataset),
           cleanup);
    SN_TRY(check_classes(model, dataset, data), cleanup);
    SN_TRY(sn_evaluate(&model->spec, model->params, &model->preprocess, dataset, &how, &result), cleanup);
    cli_progress_clear();
    status = print_result(model, data, &result, cli_flag(arguments, "json"));
cleanup:
    sn_dataset_close(dataset);
    senet_model_destroy(model);
    return cli_finish(status);
}

static const cli_option options[] = {
    {.name = "weights",
     .type = CLI_TEXT,
     .metavar = "FILE",
     .required = true,
     .help = "the weights to judge (safetensors)"},
    CLI_OPTION_MODEL("the network, where the file does not say"),
    {.name = "data",
     .type = CLI_TEXT,
     .metavar = "DATA",
     .required = true,
     .help = "cifar10:DIR, cifar100:DIR, synthetic[:OPTIONS] or tensors:FILE"},
    {.name = "split",
     .type = CLI_CHOICE,
     .metavar = "SPLIT",
     .choices = "val|train",
     .standard = "val",
     .help = "which pictures of the data set"},
    CLI_OPTION_BATCH("100"),
    CLI_OPTION_WORKERS,
    CLI_OPTION_THREADS,
    CLI_OPTION_PRECISION,
    CLI_OPTION_DEVICE,
    CLI_OPTION_REFERENCE,
    CLI_OPTION_JSON,
    CLI_OPTIONS_END,
};

static const cli_example examples[] = {
    {"senet eval --weights run/best.safetensors --data cifar10:data", "Errors on the 10,000 test pictures of CIFAR-10"},
    {"senet eval --weights run/best.safetensors --data cifar10:data --split train --json",
     "On the training pictures, as JSON"},
    {"senet eval --weights resnet20.safetensors --model cifar_resnet20 --data cifar10:data",
     "Weights of another library, which do not name their network"},
    {NULL, NULL},
};

const cli_verb cli_eval = {
    .name = "eval",
    .operands = "",
    .summary = "measure the error of a weights file on a data set",
    .description =
        "Runs every picture once, prepared as the weights file says, and reports cross entropy, top-1 and top-5 "
        "error (percent of pictures whose label is not among the 1 or 5 largest scores).",
    .options = options,
    .examples = examples,
    .run = run,
};
