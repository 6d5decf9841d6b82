/* survey.c - see survey.h. */
#include "data/survey.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/rng.h"

enum { PICTURES_AT_ONCE = 256 }; /* between two reports of progress */

/* ---- one picture ---- */

typedef struct picture_report {
    char *message; /* of what is wrong, or NULL */
    sn_problem_kind kind;
    int32_t label;
    int width, height;         /* 0: not read */
    double mean[3], square[3]; /* of its values in 0..255, and of their squares */
    uint64_t content;
    bool no_memory;
} picture_report;

static void measure(const sn_image *image, picture_report *report)
{
    const size_t pixels = (size_t)image->width * (size_t)image->height;
    uint64_t sums[3] = {0}, squares[3] = {0};
    for (size_t i = 0; i < pixels * 3; i++) {
        const uint64_t value = image->pixels[i];
        sums[i % 3] += value;
        squares[i % 3] += value * value;
    }
    for (int c = 0; c < 3; c++) {
        report->mean[c] = (double)sums[c] / (double)pixels;
        report->square[c] = (double)squares[c] / (double)pixels;
    }
    report->width = image->width;
    report->height = image->height;
}

/* The kind that the name claims does not fit the bytes. */
static bool is_misnamed(const char *path, const char *bytes, size_t size)
{
    const char *dot = strrchr(path, '.');
    if (!dot || size < 2) return false;
    const bool is_png = (unsigned char)bytes[0] == 0x89;
    const bool says_png = strcasecmp(dot, ".png") == 0;
    return says_png ? !is_png : is_png && strncasecmp(dot, ".jp", 3) == 0;
}

static void set_message(picture_report *report, sn_problem_kind kind, const char *message)
{
    report->kind = kind;
    report->message = strdup(message);
    report->no_memory = !report->message;
}

static senet_status read_photograph(const sn_dataset *dataset, int64_t index, sn_image *image, picture_report *report)
{
    char *bytes = NULL;
    size_t size;
    const char *path = sn_dataset_path(dataset, index);
    SN_RETURN_IF_FAILED(sn_dataset_bytes(dataset, index, &bytes, &size));
    report->content = sn_fnv1a64(bytes, size) | 1; /* never 0 */
    senet_status status = sn_image_decode(bytes, size, path, false, image);
    if (status == SENET_OK && is_misnamed(path, bytes, size)) {
        sn_fail(SENET_BAD_DATA, "%s: is %s, whatever its name says", path,
                (unsigned char)bytes[0] == 0x89 ? "a PNG" : "a JPEG");
        set_message(report, SN_PROBLEM_WRONG_TYPE, senet_last_error());
    }
    free(bytes);
    return status;
}

typedef struct chunk {
    const sn_dataset *dataset;
    int64_t first;
    picture_report reports[PICTURES_AT_ONCE];
} chunk;

static void read_one(void *context, int64_t task, int worker)
{
    chunk *c = context;
    const int64_t index = c->first + task;
    picture_report *report = &c->reports[task];
    sn_image image = {0};
    (void)worker;
    *report = (picture_report){.label = sn_dataset_label(c->dataset, index)};
    const bool photographs = sn_dataset_describe(c->dataset)->photographs;
    senet_status status = photographs ? read_photograph(c->dataset, index, &image, report)
                                      : sn_dataset_picture(c->dataset, index, false, &image, NULL);
    if (status == SENET_OK)
        measure(&image, report);
    else if (status == SENET_NO_MEMORY)
        report->no_memory = true;
    else
        set_message(report, SN_PROBLEM_UNREADABLE, senet_last_error());
    sn_image_free(&image);
}

/* ---- all of them ---- */

typedef struct sums {
    double mean[3], square[3];
    int *sides[2]; /* images: width, height of those that can be read */
    int64_t readable;
} sums;

/* Takes the message over. */
static senet_status add_problem(sn_survey *survey, sn_problem_kind kind, int64_t index, char *message)
{
    if (!message ||
        !sn_grow(&survey->problems, sizeof *survey->problems, &survey->problems_capacity, survey->problems_count + 1)) {
        free(message);
        return sn_fail_memory((survey->problems_count + 1) * sizeof *survey->problems, "the list of problems");
    }
    survey->problems[survey->problems_count++] = (sn_problem){kind, index, message};
    return SENET_OK;
}

static senet_status add_report(sn_survey *survey, sums *all, int64_t index, picture_report *report)
{
    if (report->no_memory) return sn_fail_memory(0, "reading a picture");
    if (survey->contents) survey->contents[index] = report->content;
    if (report->width == 0) survey->unreadable++;
    if (report->message) {
        char *message = report->message;
        report->message = NULL;
        SN_RETURN_IF_FAILED(add_problem(survey, report->kind, index, message));
    }
    if (report->width == 0) return SENET_OK;
    survey->by_class[report->label]++;
    all->sides[0][all->readable] = report->width;
    all->sides[1][all->readable++] = report->height;
    for (int c = 0; c < 3; c++) {
        all->mean[c] += report->mean[c];
        all->square[c] += report->square[c];
    }
    return SENET_OK;
}

static senet_status read_all(const sn_dataset *dataset, int threads, sn_progress progress, void *context,
                             sn_survey *survey, sums *all)
{
    chunk *c = malloc(sizeof *c);
    if (!c) return sn_fail_memory(sizeof *c, "reading pictures");
    senet_status status = SENET_OK;
    c->dataset = dataset;
    for (c->first = 0; c->first < survey->images && status == SENET_OK; c->first += PICTURES_AT_ONCE) {
        const int64_t left = survey->images - c->first, count = left < PICTURES_AT_ONCE ? left : PICTURES_AT_ONCE;
        sn_parallel_for(threads, count, read_one, c);
        for (int64_t i = 0; i < count; i++) {
            if (status == SENET_OK) status = add_report(survey, all, c->first + i, &c->reports[i]);
            free(c->reports[i].message);
        }
        if (progress) progress(context, (double)(c->first + count), (double)survey->images, "reading");
    }
    free(c);
    return status;
}

static int by_size(const void *a, const void *b)
{
    const int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static void summarise(sn_survey *survey, sums *all)
{
    const int64_t n = all->readable;
    for (int side = 0; side < 2 && n > 0; side++) {
        qsort(all->sides[side], (size_t)n, sizeof *all->sides[side], by_size);
        survey->smallest[side] = all->sides[side][0];
        survey->median[side] = all->sides[side][n / 2];
        survey->largest[side] = all->sides[side][n - 1];
    }
    for (int c = 0; c < 3 && n > 0; c++) {
        const double mean = all->mean[c] / (double)n, variance = all->square[c] / (double)n - mean * mean;
        survey->mean[c] = mean / 255;
        survey->std[c] = sqrt(variance > 0 ? variance : 0) / 255;
    }
}

senet_status sn_survey_find_empty_classes(const sn_dataset *dataset, sn_survey *survey)
{
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    for (int64_t k = 0; k < survey->classes; k++) {
        if (survey->by_class[k] > 0) continue;
        sn_fail(SENET_BAD_DATA, "class %lld%s%s has no picture", (long long)k, info->labels ? ", " : "",
                info->labels ? info->labels[k] : "");
        SN_RETURN_IF_FAILED(add_problem(survey, SN_PROBLEM_EMPTY_CLASS, k, strdup(senet_last_error())));
    }
    return SENET_OK;
}

senet_status sn_survey_run(const sn_dataset *dataset, int threads, sn_progress progress, void *context,
                           sn_survey *survey)
{
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    const size_t count = (size_t)info->count;
    sums all = {.sides = {malloc(count * sizeof(int)), malloc(count * sizeof(int))}};
    senet_status status;
    *survey = (sn_survey){.images = info->count, .classes = info->classes};
    survey->by_class = calloc((size_t)info->classes, sizeof *survey->by_class);
    if (info->photographs) survey->contents = calloc(count, sizeof *survey->contents);
    if (!all.sides[0] || !all.sides[1] || !survey->by_class || (info->photographs && !survey->contents)) {
        status = sn_fail_memory(count * sizeof *survey->contents, "what is known of each picture");
        goto cleanup;
    }
    SN_TRY(read_all(dataset, threads, progress, context, survey, &all), cleanup);
    summarise(survey, &all);
cleanup:
    free(all.sides[0]);
    free(all.sides[1]);
    if (status != SENET_OK) sn_survey_free(survey);
    return status;
}

/* ---- duplicates ---- */

typedef struct content {
    uint64_t hash;
    int split;
    int64_t index;
} content;

static int by_content(const void *a, const void *b)
{
    const content *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    if (x->split != y->split) return x->split - y->split;
    return (x->index > y->index) - (x->index < y->index);
}

static senet_status report_duplicates(const sn_dataset *const *splits, sn_survey *surveys, const content *all,
                                      size_t total)
{
    for (size_t i = 1, first = 0; i < total; i++) {
        if (all[i].hash != all[first].hash) {
            first = i;
            continue;
        }
        sn_fail(SENET_BAD_DATA, "%s: the same as %s", sn_dataset_path(splits[all[i].split], all[i].index),
                sn_dataset_path(splits[all[first].split], all[first].index));
        SN_RETURN_IF_FAILED(
            add_problem(&surveys[all[i].split], SN_PROBLEM_DUPLICATE, all[i].index, strdup(senet_last_error())));
    }
    return SENET_OK;
}

static int by_kind_and_index(const void *a, const void *b)
{
    const sn_problem *x = a, *y = b;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

senet_status sn_survey_find_duplicates(const sn_dataset *const *splits, sn_survey *surveys, int count)
{
    size_t total = 0;
    for (int s = 0; s < count; s++) total += surveys[s].contents ? (size_t)surveys[s].images : 0;
    content *all = malloc((total + 1) * sizeof *all);
    if (!all) return sn_fail_memory(total * sizeof *all, "the contents of the pictures");
    total = 0;
    for (int s = 0; s < count; s++)
        for (int64_t i = 0; surveys[s].contents && i < surveys[s].images; i++)
            if (surveys[s].contents[i]) all[total++] = (content){surveys[s].contents[i], s, i};
    if (total > 0) qsort(all, total, sizeof *all, by_content);
    senet_status status = report_duplicates(splits, surveys, all, total);
    for (int s = 0; s < count; s++)
        if (surveys[s].problems_count > 1)
            qsort(surveys[s].problems, surveys[s].problems_count, sizeof *surveys[s].problems, by_kind_and_index);
    free(all);
    return status;
}

/* ---- results ---- */

const char *sn_problem_name(sn_problem_kind kind)
{
    static const char *const names[] = {"unreadable", "wrong type", "duplicate", "empty class"};
    return names[kind];
}

void sn_survey_free(sn_survey *survey)
{
    for (size_t i = 0; i < survey->problems_count; i++) free(survey->problems[i].message);
    free(survey->problems);
    free(survey->by_class);
    free(survey->contents);
    *survey = (sn_survey){0};
}
