/* cmd_data.c - `senet data ACTION`: getting, checking, making and describing data sets. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "data/data.h"
#include "data_report.h"
#include "io/image.h"
#include "progress.h"
#include "report.h"
#include "verbs.h"

/* ---- get and synth ---- */

static void show(void *context, double done, double total, const char *what)
{
    (void)context;
    cli_progress_draw(total > 0 ? done / total : 0, "%s", what);
}

static int make(const cli_arguments *arguments, const char *action, const char *what)
{
    const char *directory = cli_text(arguments, "output");
    bool get = strcmp(action, "get") == 0;
    if (!directory) return cli_finish(sn_fail(SENET_USAGE, "--output DIR is missing: where the data set goes"));
    if (get && !what) return cli_finish(sn_fail(SENET_USAGE, "name what to get: cifar10 or cifar100"));
    senet_status status = get ? sn_data_get(what, directory, show, NULL)
                              : sn_data_synth(what ? what : "synthetic", directory, show, NULL);
    cli_progress_clear();
    if (status != SENET_OK) return cli_finish(status);
    sn_text text = {0};
    const char *data = get ? what : "cifar10";
    if (cli_flag(arguments, "json")) {
        sn_json_writer json = {.text = &text};
        sn_text spec = {0};
        sn_text_printf(&spec, "%s:%s", data, directory);
        sn_json_open_object(&json, NULL);
        sn_json_add_string(&json, "data", sn_text_string(&spec));
        sn_json_add_string(&json, "output", directory);
        sn_json_close_object(&json);
        sn_text_free(&spec);
    } else
        sn_text_printf(&text, "wrote %s; use it as --data %s:%s", directory, data, directory);
    return cli_finish(cli_print_text(&text));
}

/* ---- extract ---- */

/* Writes picture `index` as DIRECTORY/00012-cat.png. */
static senet_status extract_one(const sn_dataset *dataset, int64_t index, const char *directory)
{
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    sn_text path = {0};
    sn_image image = {0};
    int32_t label;
    senet_status status;
    SN_TRY(sn_dataset_picture(dataset, index, true, &image, &label), cleanup);
    sn_text_printf(&path, "%s/%05lld-", directory, (long long)index);
    if (info->labels) /* a name from a file: nothing but letters and digits becomes part of a path */
        for (const char *c = info->labels[label]; *c; c++)
            sn_text_add_char(&path, isalnum((unsigned char)*c) ? *c : '_');
    else
        sn_text_printf(&path, "%d", label);
    sn_text_add_string(&path, ".png");
    SN_TRY(sn_text_check(&path, "a path"), cleanup);
    status = sn_image_write_png(sn_text_string(&path), image.width, image.height, image.pixels);
cleanup:
    sn_image_free(&image);
    sn_text_free(&path);
    return status;
}

/* The first `count` validation pictures as PNG files, named by number and class. */
static int extract(const char *spec, const char *directory, int64_t count, bool as_json)
{
    sn_dataset *dataset = NULL;
    sn_text text = {0};
    senet_status status;
    SN_TRY(sn_dataset_open(spec, SN_SPLIT_VAL, &dataset), cleanup);
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    if (info->real) {
        status = sn_fail(SENET_USAGE, "%s: holds normalised tensors, no pictures", spec);
        goto cleanup;
    }
    SN_TRY(sn_make_directories(directory), cleanup);
    if (count > info->count) count = info->count;
    for (int64_t i = 0; i < count; i++) SN_TRY(extract_one(dataset, i, directory), cleanup);
    if (as_json) {
        sn_json_writer json = {.text = &text};
        sn_json_open_object(&json, NULL);
        sn_json_add_string(&json, "data", spec);
        sn_json_add_string(&json, "output", directory);
        sn_json_add_int(&json, "images", count);
        sn_json_close_object(&json);
    } else
        sn_text_printf(&text, "wrote %lld pictures to %s", (long long)count, directory);
    status = cli_print_text(&text);
cleanup:
    sn_dataset_close(dataset);
    return cli_finish(status);
}

static int run_extract(const cli_arguments *arguments, const char *spec)
{
    const char *directory = cli_text(arguments, "output");
    if (!spec) return cli_finish(sn_fail(SENET_USAGE, "data extract: name a data set, as in cifar10:DIR"));
    if (!directory) return cli_finish(sn_fail(SENET_USAGE, "--output DIR is missing: where the pictures go"));
    return extract(spec, directory, cli_integer(arguments, "count"), cli_flag(arguments, "json"));
}

static int run(const cli_arguments *arguments)
{
    const char *action = arguments->operands[0];
    const char *what = arguments->operands_count > 1 ? arguments->operands[1] : NULL;
    bool full = strcmp(action, "stat") == 0;
    if (strcmp(action, "get") == 0 || strcmp(action, "synth") == 0) return make(arguments, action, what);
    if (strcmp(action, "extract") == 0) return run_extract(arguments, what);
    if (full || strcmp(action, "verify") == 0) {
        cli_data_report how = {.data = what,
                               .full = full,
                               .as_json = cli_flag(arguments, "json"),
                               .list = full ? NULL : cli_text(arguments, "output"),
                               .threads = cli_given(arguments, "threads") ? (int)cli_integer(arguments, "threads") : 0};
        if (what) return cli_report_data(&how);
        return cli_finish(sn_fail(SENET_USAGE, "data %s: name a data set, as in cifar10:DIR", action));
    }
    int length;
    const char *nearest = cli_nearest(action, "get|verify|synth|stat|extract", &length);
    if (!length) nearest = "get, verify, synth, stat and extract", length = (int)strlen(nearest);
    return cli_finish(sn_fail(SENET_USAGE, "unknown action '%s'; there is %.*s", action, length, nearest));
}

static const cli_option options[] = {
    {.name = "output",
     .type = CLI_TEXT,
     .metavar = "DIR",
     .help = "get, synth, extract: the folder to write to; verify: a file for the paths of bad pictures and "
             "duplicates, which "
             "--exclude takes"},
    {.name = "count",
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 1,
     .most = 1000000,
     .standard = "10",
     .help = "extract: how many pictures"},
    CLI_OPTION_THREADS,
    CLI_OPTION_JSON,
    CLI_OPTIONS_END,
};

static const cli_example examples[] = {
    {"senet data get cifar10 --output data",
     "Download CIFAR-10 from its authors' site; a broken download goes on where it stopped"},
    {"senet data verify cifar10:data", "Read every picture, report what cannot be read"},
    {"senet data verify folder:pictures --output bad.txt",
     "Find damaged and repeated photographs; senet train --exclude bad.txt leaves them out"},
    {"senet data stat cifar10:data", "Pictures by class, mean and standard deviation of the channels"},
    {"senet data synth --output data", "Made-up pictures in CIFAR's format, for trying things without a download"},
    {"senet data extract cifar10:data --count 20 --output pictures", "Twenty validation pictures as PNG files"},
    {NULL, NULL},
};

const cli_verb cli_data = {
    .name = "data",
    .operands = "get|verify|synth|stat|extract [NAME|DATA]",
    .fewest_operands = 1,
    .most_operands = 2,
    .summary = "download, check, make and describe data sets",
    .description =
        "get NAME downloads cifar10 or cifar100 (about 170 MB), checks it and unpacks it into --output. verify DATA "
        "reads every picture of a data set and names those that are damaged, truncated, no pictures, of another type "
        "than their "
        "name says or the same as another one, and classes without pictures; its exit code is 65 if there are any. "
        "stat DATA "
        "gives numbers of pictures by class, sizes, mean and standard deviation. synth [OPTIONS] writes synthetic "
        "pictures as a data set in "
        "CIFAR-10's format; options as for --data synthetic:classes=..,train=..,val=..,seed=..,size=... extract "
        "DATA writes the first --count validation pictures as PNG files named by number and class.",
    .options = options,
    .examples = examples,
    .run = run,
};
