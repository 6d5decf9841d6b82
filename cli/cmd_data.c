/* cmd_data.c - `senet data ACTION`: getting, checking, making and describing data sets. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "data/data.h"
#include "io/image.h"
#include "progress.h"
#include "report.h"
#include "verbs.h"

/* ---- reading every picture ---- */

typedef struct split_report {
    const char *name; /* "train", "val" */
    int64_t images, unreadable, classes;
    int height, width;
    bool real; /* float32 samples: there are no bytes to average */
    int64_t *by_class;
    char **labels; /* class names, or NULL */
    double mean[3], std[3];
} split_report;

static void free_report(split_report *report)
{
    for (int64_t k = 0; report->labels && k < report->classes; k++) free(report->labels[k]);
    free(report->labels);
    free(report->by_class);
}

static senet_status copy_labels(const sn_dataset_info *info, split_report *report)
{
    report->by_class = calloc((size_t)info->classes, sizeof *report->by_class);
    if (info->labels) report->labels = calloc((size_t)info->classes, sizeof *report->labels);
    if (!report->by_class || (info->labels && !report->labels))
        return sn_fail_memory((size_t)info->classes * sizeof *report->by_class, "the class counts");
    for (int64_t k = 0; info->labels && k < info->classes; k++)
        if (!(report->labels[k] = strdup(info->labels[k])))
            return sn_fail_memory(strlen(info->labels[k]), "a class name");
    return SENET_OK;
}

/* Adds up every picture: counts by class, sums and squares of the bytes by channel. */
static senet_status read_pictures(const sn_dataset *dataset, split_report *report)
{
    size_t area = (size_t)report->height * (size_t)report->width;
    uint8_t *pixels = malloc(area * 3);
    if (!pixels) return sn_fail_memory(area * 3, "a picture");
    double sums[3] = {0}, squares[3] = {0};
    for (int64_t i = 0; i < report->images; i++) {
        int32_t label;
        if (sn_dataset_get(dataset, i, pixels, &label) != SENET_OK) {
            cli_report_line("%s", senet_last_error());
            report->unreadable++;
            continue;
        }
        report->by_class[label]++;
        uint64_t sum[3] = {0}, square[3] = {0};
        for (size_t p = 0; p < area * 3; p++) {
            sum[p % 3] += pixels[p];
            square[p % 3] += (uint64_t)pixels[p] * pixels[p];
        }
        for (int c = 0; c < 3; c++) {
            sums[c] += (double)sum[c];
            squares[c] += (double)square[c];
        }
        cli_progress_draw((double)i / (double)report->images, "%s: %lld of %lld", report->name, (long long)i,
                          (long long)report->images);
    }
    double values = (double)(report->images - report->unreadable) * (double)area;
    for (int c = 0; c < 3 && values > 0; c++) {
        report->mean[c] = sums[c] / values / 255;
        report->std[c] = sqrt(squares[c] / values - sums[c] / values * (sums[c] / values)) / 255;
    }
    free(pixels);
    return SENET_OK;
}

static senet_status read_split(const char *spec, sn_split split, split_report *report)
{
    sn_dataset *dataset = NULL;
    senet_status status;
    SN_TRY(sn_dataset_open(spec, split, &dataset), cleanup);
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    *report = (split_report){.name = split == SN_SPLIT_TRAIN ? "train" : "val",
                             .images = info->count,
                             .classes = info->classes,
                             .height = info->height,
                             .width = info->width,
                             .real = info->real};
    SN_TRY(copy_labels(info, report), cleanup);
    if (!report->real) status = read_pictures(dataset, report);
    cli_progress_clear();
cleanup:
    sn_dataset_close(dataset);
    return status;
}

/* ---- verify and stat ---- */

static void add_triple(sn_json_writer *json, const char *key, const double values[3])
{
    sn_json_open_array(json, key);
    for (int c = 0; c < 3; c++) sn_json_add_double(json, NULL, values[c]);
    sn_json_close_array(json);
}

static void add_split_json(sn_json_writer *json, const split_report *report, bool full)
{
    sn_json_open_object(json, NULL);
    sn_json_add_string(json, "split", report->name);
    sn_json_add_int(json, "images", report->images);
    sn_json_add_int(json, "unreadable", report->unreadable);
    sn_json_add_int(json, "classes", report->classes);
    sn_json_add_int(json, "height", report->height);
    sn_json_add_int(json, "width", report->width);
    if (full && !report->real) {
        add_triple(json, "mean", report->mean);
        add_triple(json, "std", report->std);
        sn_json_open_array(json, "images_by_class");
        for (int64_t k = 0; k < report->classes; k++) {
            sn_json_open_object(json, NULL);
            sn_json_add_int(json, "class", k);
            sn_json_add_string(json, "label", report->labels ? report->labels[k] : NULL);
            sn_json_add_int(json, "images", report->by_class[k]);
            sn_json_close_object(json);
        }
        sn_json_close_array(json);
    }
    sn_json_close_object(json);
}

static void add_split_text(sn_text *text, const split_report *report, bool full)
{
    sn_text_printf(text, "%-6s %10s images of %dx%d, %lld classes, %lld unreadable\n", report->name,
                   cli_grouped(report->images), report->height, report->width, (long long)report->classes,
                   (long long)report->unreadable);
    if (!full || report->real) return;
    sn_text_printf(text, "       mean %.4f %.4f %.4f   std %.4f %.4f %.4f (red, green, blue; 0..1)\n", report->mean[0],
                   report->mean[1], report->mean[2], report->std[0], report->std[1], report->std[2]);
    for (int64_t k = 0; k < report->classes; k++)
        sn_text_printf(text, "       %5lld  %-24s %10s\n", (long long)k, report->labels ? report->labels[k] : "",
                       cli_grouped(report->by_class[k]));
}

static int describe(const char *spec, bool full, bool as_json)
{
    split_report splits[2] = {{0}};
    sn_text text = {0};
    sn_json_writer json = {.text = &text};
    int64_t unreadable = 0;
    senet_status status;
    SN_TRY(read_split(spec, SN_SPLIT_TRAIN, &splits[0]), cleanup);
    SN_TRY(read_split(spec, SN_SPLIT_VAL, &splits[1]), cleanup);
    if (as_json) {
        sn_json_open_object(&json, NULL);
        sn_json_add_string(&json, "data", spec);
        sn_json_open_array(&json, "splits");
    }
    for (int i = 0; i < 2; i++) {
        unreadable += splits[i].unreadable;
        if (as_json)
            add_split_json(&json, &splits[i], full);
        else
            add_split_text(&text, &splits[i], full);
    }
    if (as_json) {
        sn_json_close_array(&json);
        sn_json_close_object(&json);
    } else
        sn_text_printf(&text, "%s: %s", spec, unreadable ? "has unreadable pictures" : "every picture can be read");
    status = cli_print_text(&text);
cleanup:
    for (int i = 0; i < 2; i++) free_report(&splits[i]);
    if (status != SENET_OK) return cli_finish(status);
    return unreadable ? SENET_BAD_DATA : 0; /* each was reported where it was found */
}

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

/* Writes picture `index` as DIRECTORY/00012-cat.png; `pixels` is room for one. */
static senet_status extract_one(const sn_dataset *dataset, int64_t index, const char *directory, uint8_t *pixels)
{
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    sn_text path = {0};
    int32_t label;
    senet_status status;
    SN_TRY(sn_dataset_get(dataset, index, pixels, &label), cleanup);
    sn_text_printf(&path, "%s/%05lld-", directory, (long long)index);
    if (info->labels) /* a name from a file: nothing but letters and digits becomes part of a path */
        for (const char *c = info->labels[label]; *c; c++)
            sn_text_add_char(&path, isalnum((unsigned char)*c) ? *c : '_');
    else
        sn_text_printf(&path, "%d", label);
    sn_text_add_string(&path, ".png");
    SN_TRY(sn_text_check(&path, "a path"), cleanup);
    status = sn_image_write_png(sn_text_string(&path), info->width, info->height, pixels);
cleanup:
    sn_text_free(&path);
    return status;
}

/* The first `count` validation pictures as PNG files, named by number and class. */
static int extract(const char *spec, const char *directory, int64_t count, bool as_json)
{
    sn_dataset *dataset = NULL;
    uint8_t *pixels = NULL;
    sn_text text = {0};
    senet_status status;
    SN_TRY(sn_dataset_open(spec, SN_SPLIT_VAL, &dataset), cleanup);
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    if (info->real) {
        status = sn_fail(SENET_USAGE, "%s: holds normalised tensors, no pictures", spec);
        goto cleanup;
    }
    size_t bytes = (size_t)info->height * (size_t)info->width * 3;
    if (!(pixels = malloc(bytes))) {
        status = sn_fail_memory(bytes, "a picture");
        goto cleanup;
    }
    SN_TRY(sn_make_directories(directory), cleanup);
    if (count > info->count) count = info->count;
    for (int64_t i = 0; i < count; i++) SN_TRY(extract_one(dataset, i, directory, pixels), cleanup);
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
    free(pixels);
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
        if (what) return describe(what, full, cli_flag(arguments, "json"));
        return cli_finish(sn_fail(SENET_USAGE, "data %s: name a data set, as in cifar10:DIR", action));
    }
    int length;
    const char *nearest = cli_nearest(action, "get|verify|synth|stat|extract", &length);
    if (!length) nearest = "get, verify, synth, stat and extract", length = (int)strlen(nearest);
    return cli_finish(sn_fail(SENET_USAGE, "unknown action '%s'; there is %.*s", action, length, nearest));
}

static const cli_option options[] = {
    {.name = "output", .type = CLI_TEXT, .metavar = "DIR", .help = "get, synth, extract: the folder to write to"},
    {.name = "count",
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 1,
     .most = 1000000,
     .standard = "10",
     .help = "extract: how many pictures"},
    CLI_OPTION_JSON,
    CLI_OPTIONS_END,
};

static const cli_example examples[] = {
    {"senet data get cifar10 --output data",
     "Download CIFAR-10 from its authors' site; a broken download goes on where it stopped"},
    {"senet data verify cifar10:data", "Read every picture, report what cannot be read"},
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
        "and stat DATA read every picture of a data set. synth [OPTIONS] writes synthetic pictures as a data set in "
        "CIFAR-10's format; options as for --data synthetic:classes=..,train=..,val=..,seed=..,size=... extract "
        "DATA writes the first --count validation pictures as PNG files named by number and class.",
    .options = options,
    .examples = examples,
    .run = run,
};
