/* bench_data.c - see bench_data.h. */
#include "bench_data.h"

#include "augment_options.h"
#include "base/json.h"
#include "network.h"
#include "progress.h"
#include "report.h"
#include "train/clock.h"

enum { BATCH = 64, SIDE = 224 };

typedef struct rate {
    int64_t pictures;
    double seconds;
} rate;

static senet_status next_batch(sn_loader *loader, int64_t *count)
{
    const sn_batch *batch = NULL;
    while (!batch) SN_RETURN_IF_FAILED(sn_loader_next(loader, &batch)); /* NULL between two epochs */
    *count = batch->count;
    return SENET_OK;
}

/* Every worker has prepared a batch, and those in store are gone, before the clock starts. */
static senet_status measure(sn_loader *loader, int workers, double least_seconds, rate *result)
{
    int64_t count;
    for (int i = 0; i < 2 * workers + 2; i++) SN_RETURN_IF_FAILED(next_batch(loader, &count));
    *result = (rate){0};
    for (double begin = sn_seconds_now(); result->pictures == 0 || result->seconds < least_seconds;) {
        SN_RETURN_IF_FAILED(next_batch(loader, &count));
        result->pictures += count;
        result->seconds = sn_seconds_now() - begin;
        cli_progress_draw(least_seconds > 0 ? result->seconds / least_seconds : 1, "%lld pictures",
                          (long long)result->pictures);
    }
    cli_progress_clear();
    return SENET_OK;
}

static senet_status print(const cli_arguments *arguments, const sn_loader_options *options, const rate *measured)
{
    sn_text text = {0};
    const char *data = cli_text(arguments, "data"),
               *input = cli_input_text(options->prepare->height, options->prepare->width);
    const double per_second = (double)measured->pictures / measured->seconds;
    if (cli_flag(arguments, "json")) {
        sn_json_writer json = {.text = &text};
        sn_json_open_object(&json, NULL);
        sn_json_add_string(&json, "data", data);
        sn_json_add_string(&json, "mode", "data");
        sn_json_add_string(&json, "input", input);
        sn_json_add_string(&json, "augment", cli_text(arguments, "augment"));
        sn_json_add_int(&json, "batch", options->batch);
        sn_json_add_int(&json, "workers", options->workers);
        sn_json_add_int(&json, "images", measured->pictures);
        sn_json_add_double(&json, "seconds", measured->seconds);
        sn_json_add_double(&json, "images_per_second", per_second);
        sn_json_close_object(&json);
    } else {
        sn_text_printf(&text, "%s, %s, %s, batch %lld, %d worker%s: %.1f images/s (%lld in %.1f s)", data, input,
                       cli_text(arguments, "augment"), (long long)options->batch, options->workers,
                       options->workers == 1 ? "" : "s", per_second, (long long)measured->pictures, measured->seconds);
    }
    return cli_print_text(&text);
}

senet_status bench_data_run(const cli_arguments *arguments)
{
    sn_dataset *dataset = NULL;
    sn_loader *loader = NULL;
    int64_t height = SIDE, width = SIDE;
    senet_status status;
    rate measured;
    if (cli_given(arguments, "model") || arguments->operands_count > 0)
        return sn_fail(SENET_USAGE, "--data times the loader alone: name no network with it");
    if (cli_given(arguments, "size")) cli_input_size(arguments, &height, &width);
    sn_preprocess how = sn_preprocess_default(SIDE);
    how.height = (int)height;
    how.width = (int)width;
    how.crop_pct = 0.875f;
    how.interpolation = cli_choice(arguments, "interpolation");
    sn_loader_options options = {.batch =
                                     cli_given(arguments, "batch-size") ? cli_integer(arguments, "batch-size") : BATCH,
                                 .workers = (int)cli_integer(arguments, "workers"),
                                 .shuffle = true,
                                 .prepare = &how,
                                 .exif = true,
                                 .fast_decode = cli_flag(arguments, "fast-decode")};
    SN_TRY(cli_augment_parse(cli_text(arguments, "augment"), &options.augment), cleanup);
    SN_TRY(sn_dataset_open(cli_text(arguments, "data"), SN_SPLIT_TRAIN, &dataset), cleanup);
    SN_TRY(sn_loader_create(dataset, &options, &loader), cleanup);
    SN_TRY(measure(loader, options.workers, cli_real(arguments, "seconds"), &measured), cleanup);
    status = print(arguments, &options, &measured);
cleanup:
    sn_loader_destroy(loader);
    sn_dataset_close(dataset);
    return status;
}
