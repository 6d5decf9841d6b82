/* cmd_quantize.c - `senet quantize`: a weights file for int8 from one in floating point and some pictures. */
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "progress.h"
#include "report.h"
#include "train/calibrate.h"
#include "verbs.h"

typedef struct job {
    senet_model *model;
    sn_dataset *dataset;
    float *pictures;
    int64_t count;
    sn_calibration_report report;
} job;

static void show(void *context, const char *what, int64_t done, int64_t total)
{
    (void)context;
    if (cli_progress_on_terminal()) cli_progress_draw((double)done / (double)total, "%s", what);
}

/* Ranges and kept layers into model->info. */
static senet_status calibrate(const cli_arguments *arguments, job *j)
{
    const sn_dataset_info *info = sn_dataset_describe(j->dataset);
    const sn_preprocess *how = &j->model->preprocess;
    const cli_value *keep = cli_get(arguments, "keep");
    sn_calibration_input input = {.pictures = j->pictures, .count = j->count,
                                  .height = info->photographs ? how->height : info->height,
                                  .width = info->photographs ? how->width : info->width};
    sn_calibration_options options = {.threads = (int)cli_integer(arguments, "threads"),
                                      .noise = cli_real(arguments, "noise") / 100,
                                      .keep = keep->texts,
                                      .keep_count = (size_t)keep->count,
                                      .progress = show};
    sn_quantization *made = NULL;
    senet_status status = sn_calibrate(&j->model->spec, j->model->params, &input, &options, &made, &j->report);
    cli_progress_clear();
    if (status != SENET_OK) return status;
    sn_quantization_destroy(j->model->info.quantization);
    j->model->info.quantization = made;
    return SENET_OK;
}

static senet_status save(const cli_arguments *arguments, job *j)
{
    sn_weights_info *info = &j->model->info;
    info->preprocess = j->model->preprocess;
    info->has_preprocess = true;
    info->classes = j->model->spec.classes;
    free(info->model);
    info->model = strdup(j->model->name);
    if (!info->model) return sn_fail_memory(strlen(j->model->name), "the model's name");
    if ((int64_t)info->labels_count != info->classes) sn_weights_info_drop_labels(info);
    return sn_weights_save_int8(cli_text(arguments, "output"), j->model->layout, j->model->params, info);
}

static void add_json(sn_text *text, const cli_arguments *arguments, const job *j)
{
    const sn_quantization *q = j->model->info.quantization;
    sn_json_writer json = {.text = text};
    sn_json_open_object(&json, NULL);
    sn_json_add_string(&json, "model", j->model->name);
    sn_json_add_string(&json, "output", cli_text(arguments, "output"));
    sn_json_add_int(&json, "images", j->count);
    sn_json_add_double(&json, "noise", 100 * j->report.noise);
    sn_json_add_double(&json, "agreement", 100 * j->report.agreement);
    sn_json_open_array(&json, "layers");
    for (size_t i = 0; i < j->report.layers_count; i++) {
        const sn_calibration_layer *layer = &j->report.layers[i];
        sn_json_open_object(&json, NULL);
        sn_json_add_string(&json, "name", layer->name);
        sn_json_add_double(&json, "noise", 100 * layer->noise);
        sn_json_add_bool(&json, "kept", layer->kept);
        sn_json_close_object(&json);
    }
    sn_json_close_array(&json);
    sn_json_open_array(&json, "kept");
    for (size_t i = 0; i < q->kept_count; i++) sn_json_add_string(&json, NULL, q->kept[i]);
    sn_json_close_array(&json);
    sn_json_close_object(&json);
}

static void add_text(sn_text *text, const cli_arguments *arguments, const job *j)
{
    const sn_quantization *q = j->model->info.quantization;
    sn_text_printf(text, "%s: %zu layers of %s, calibrated on %lld pictures\n", cli_text(arguments, "output"), j->report.layers_count,
                   j->model->name, (long long)j->count);
    sn_text_printf(text, "noise in the logits %.2f %%, the same first class for %.1f %% of the pictures measured\n",
                   100 * j->report.noise, 100 * j->report.agreement);
    sn_text_printf(text, "kept in floating point: %zu", q->kept_count);
    for (size_t i = 0; i < q->kept_count; i++) sn_text_printf(text, "%s %s", i ? "," : ":", q->kept[i]);
}

static int run(const cli_arguments *arguments)
{
    job j = {0};
    sn_text text = {0};
    senet_status status;
    SN_TRY(sn_model_open(cli_text(arguments, "weights"), cli_text(arguments, "model"), &j.model), cleanup);
    cli_warn_unused(cli_text(arguments, "weights"), j.model);
    SN_TRY(sn_dataset_open(cli_text(arguments, "data"), cli_choice(arguments, "split") == 0 ? SN_SPLIT_TRAIN : SN_SPLIT_VAL, &j.dataset),
           cleanup);
    SN_TRY(sn_calibration_load(j.dataset, &j.model->preprocess, cli_integer(arguments, "images"),
                               (int)cli_integer(arguments, "workers"), cli_flag(arguments, "exif"), &j.pictures, &j.count),
           cleanup);
    SN_TRY(calibrate(arguments, &j), cleanup);
    SN_TRY(save(arguments, &j), cleanup);
    if (cli_flag(arguments, "json"))
        add_json(&text, arguments, &j);
    else
        add_text(&text, arguments, &j);
    status = cli_print_text(&text);
cleanup:
    sn_text_free(&text);
    sn_calibration_report_free(&j.report);
    sn_free_aligned(j.pictures);
    sn_dataset_close(j.dataset);
    senet_model_destroy(j.model);
    return cli_finish(status);
}

static const cli_option options[] = {
    {.name = "weights",
     .type = CLI_TEXT,
     .metavar = "FILE",
     .required = true,
     .help = "the trained weights (safetensors or .caffemodel)"},
    CLI_OPTION_MODEL("the network; not needed where the file tells it"),
    {.name = "data",
     .type = CLI_TEXT,
     .metavar = "DATA",
     .required = true,
     .help = "pictures like those the network will see; labels are not used: folder:DIR, list:FILE, tar:GLOB, cifar10:DIR, "
             "cifar100:DIR, synthetic[:OPTIONS] or tensors:FILE"},
    {.name = "split",
     .type = CLI_CHOICE,
     .metavar = "SPLIT",
     .choices = "train|val",
     .standard = "train",
     .help = "which pictures of the data set"},
    {.name = "images",
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 1,
     .most = 100000,
     .standard = "128",
     .help = "pictures to calibrate on, drawn from all classes"},
    {.name = "noise",
     .type = CLI_REAL,
     .metavar = "PERCENT",
     .least = 0,
     .most = 100,
     .standard = "2",
     .help = "how much of the logits' variance may be rounding: the worst layers stay in floating point until it is less"},
    {.name = "keep",
     .type = CLI_TEXT,
     .metavar = "LAYER",
     .repeat = true,
     .help = "a layer to keep in floating point, as senet summary names it"},
    {.name = "output", .type = CLI_TEXT, .metavar = "FILE", .required = true, .help = "the int8 weights file to write"},
    {.name = "exif", .type = CLI_FLAG, .help = "turn photographs as their EXIF orientation says"},
    CLI_OPTION_WORKERS,
    CLI_OPTION_THREADS,
    CLI_OPTION_JSON,
    CLI_OPTIONS_END,
};

static const cli_example examples[] = {
    {"senet quantize --weights best.safetensors --data folder:imagenet --output best.int8.safetensors",
     "Calibrate on 128 pictures of the training set"},
    {"senet eval --weights best.int8.safetensors --precision int8 --data folder:imagenet", "What that cost"},
    {NULL, NULL},
};

const cli_verb cli_quantize = {
    .name = "quantize",
    .operands = "",
    .fewest_operands = 0,
    .most_operands = 0,
    .summary = "make an int8 weights file",
    .description =
        "Runs the network on pictures, finds the range of every tensor that int8 stores, measures how much each layer in int8 "
        "changes the logits, keeps those in floating point that change them most, and writes a weights file of about a quarter "
        "of the size: integers with a scale for each output, and the ranges in the metadata.\n\n"
        "With --precision int8 the other verbs compute with it; in another precision it is used like any weights file.",
    .options = options,
    .examples = examples,
    .run = run,
};
