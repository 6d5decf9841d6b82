/* data_report.c - see data_report.h. */
#include "data_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/parallel.h"
#include "data/survey.h"
#include "progress.h"
#include "report.h"

enum { SPLITS = 2, MOST_LINES = 100 /* about problems, on standard error */ };

typedef struct splits {
    int count;
    const char *names[SPLITS]; /* "train", "val", or "all" for a set whose splits are the same files */
    const sn_dataset *sets[SPLITS];
    sn_dataset *opened[SPLITS];
    sn_survey surveys[SPLITS];
} splits;

/* ---- reading ---- */

static bool is_same(const sn_dataset *a, const sn_dataset *b)
{
    const int64_t count = sn_dataset_describe(a)->count;
    if (!sn_dataset_describe(a)->photographs || sn_dataset_describe(b)->count != count) return false;
    for (int64_t i = 0; i < count; i++)
        if (strcmp(sn_dataset_path(a, i), sn_dataset_path(b, i)) != 0) return false;
    return true;
}

/* Both splits; of photographs one may be missing. */
static senet_status open_splits(const char *data, splits *all)
{
    sn_dataset **train = &all->opened[0], **val = &all->opened[1];
    senet_status status = sn_dataset_open(data, SN_SPLIT_TRAIN, train);
    if (status != SENET_OK && status != SENET_NO_INPUT) return status;
    senet_status other = sn_dataset_open(data, SN_SPLIT_VAL, val);
    const sn_dataset *there = *train ? *train : *val;
    if (!there || !sn_dataset_describe(there)->photographs) {
        if (status != SENET_OK) return sn_dataset_open(data, SN_SPLIT_TRAIN, train); /* for its message */
        if (other != SENET_OK) return other;
    }
    if (other != SENET_OK && other != SENET_NO_INPUT) return other;
    if (*train) all->names[all->count] = "train", all->sets[all->count++] = *train;
    if (*train && *val && is_same(*train, *val)) {
        all->names[0] = "all";
        return SENET_OK;
    }
    if (*val) all->names[all->count] = "val", all->sets[all->count++] = *val;
    return SENET_OK;
}

static void show(void *context, double done, double total, const char *what)
{
    cli_progress_draw(done / total, "%s: %s %.0f of %.0f", (const char *)context, what, done, total);
}

static senet_status survey(const cli_data_report *how, splits *all)
{
    const int threads = how->threads > 0 ? how->threads : sn_default_threads();
    for (int s = 0; s < all->count; s++) {
        const sn_dataset_info *info = sn_dataset_describe(all->sets[s]);
        if (info->real) {
            all->surveys[s] = (sn_survey){.images = info->count, .classes = info->classes};
            continue;
        }
        senet_status status =
            sn_survey_run(all->sets[s], threads, show, (void *)(uintptr_t)all->names[s], &all->surveys[s]);
        cli_progress_clear();
        if (status != SENET_OK) return status;
        if (info->photographs && s == 0)
            SN_RETURN_IF_FAILED(sn_survey_find_empty_classes(all->sets[s], &all->surveys[s]));
    }
    return how->full ? SENET_OK : sn_survey_find_duplicates(all->sets, all->surveys, all->count);
}

/* ---- JSON ---- */

static void add_triple(sn_json_writer *json, const char *key, const double values[3])
{
    sn_json_open_array(json, key);
    for (int c = 0; c < 3; c++) sn_json_add_double(json, NULL, values[c]);
    sn_json_close_array(json);
}

static void add_sides(sn_json_writer *json, const char *key, const sn_survey *survey, int side)
{
    sn_json_open_object(json, key);
    sn_json_add_int(json, "smallest", survey->smallest[side]);
    sn_json_add_int(json, "median", survey->median[side]);
    sn_json_add_int(json, "largest", survey->largest[side]);
    sn_json_close_object(json);
}

static void add_statistics(sn_json_writer *json, const sn_dataset_info *info, const sn_survey *survey)
{
    add_triple(json, "mean", survey->mean);
    add_triple(json, "std", survey->std);
    sn_json_open_object(json, "sizes");
    add_sides(json, "width", survey, 0);
    add_sides(json, "height", survey, 1);
    sn_json_close_object(json);
    sn_json_open_array(json, "images_by_class");
    for (int64_t k = 0; k < survey->classes; k++) {
        sn_json_open_object(json, NULL);
        sn_json_add_int(json, "class", k);
        sn_json_add_string(json, "label", info->labels ? info->labels[k] : NULL);
        sn_json_add_int(json, "images", survey->by_class[k]);
        sn_json_close_object(json);
    }
    sn_json_close_array(json);
}

static void add_problems(sn_json_writer *json, const sn_dataset *set, const sn_survey *survey)
{
    sn_json_open_array(json, "problems");
    for (size_t i = 0; i < survey->problems_count; i++) {
        const sn_problem *problem = &survey->problems[i];
        const bool of_picture = problem->kind != SN_PROBLEM_EMPTY_CLASS;
        sn_json_open_object(json, NULL);
        sn_json_add_string(json, "kind", sn_problem_name(problem->kind));
        sn_json_add_string(json, "file", of_picture ? sn_dataset_path(set, problem->index) : NULL);
        sn_json_add_string(json, "message", problem->message);
        sn_json_close_object(json);
    }
    sn_json_close_array(json);
}

static senet_status print_json(const cli_data_report *how, const splits *all)
{
    sn_text text = {0};
    sn_json_writer json = {.text = &text};
    sn_json_open_object(&json, NULL);
    sn_json_add_string(&json, "data", how->data);
    sn_json_open_array(&json, "splits");
    for (int s = 0; s < all->count; s++) {
        const sn_dataset_info *info = sn_dataset_describe(all->sets[s]);
        const sn_survey *survey = &all->surveys[s];
        sn_json_open_object(&json, NULL);
        sn_json_add_string(&json, "split", all->names[s]);
        sn_json_add_int(&json, "images", survey->images);
        sn_json_add_int(&json, "unreadable", survey->unreadable);
        sn_json_add_int(&json, "classes", survey->classes);
        sn_json_add_int(&json, "height", info->height);
        sn_json_add_int(&json, "width", info->width);
        if (how->full && !info->real) add_statistics(&json, info, survey);
        if (!how->full) add_problems(&json, all->sets[s], survey);
        sn_json_close_object(&json);
    }
    sn_json_close_array(&json);
    sn_json_close_object(&json);
    return cli_print_text(&text);
}

/* ---- text ---- */

static void add_balance(sn_text *text, const sn_survey *survey)
{
    int64_t least = survey->by_class[0], most = least;
    for (int64_t k = 1; k < survey->classes; k++) {
        if (survey->by_class[k] < least) least = survey->by_class[k];
        if (survey->by_class[k] > most) most = survey->by_class[k];
    }
    sn_text_printf(text, "       %s to %s pictures a class\n", cli_grouped(least), cli_grouped(most));
}

static void add_split_text(sn_text *text, const cli_data_report *how, const char *name, const sn_dataset *set,
                           const sn_survey *survey)
{
    const sn_dataset_info *info = sn_dataset_describe(set);
    char size[64] = "of any size";
    if (!info->photographs) snprintf(size, sizeof size, "of %dx%d", info->height, info->width);
    sn_text_printf(text, "%-6s %10s images %s, %lld classes, %lld unreadable\n", name, cli_grouped(survey->images),
                   size, (long long)survey->classes, (long long)survey->unreadable);
    if (!how->full || info->real) return;
    if (info->photographs)
        sn_text_printf(text,
                       "       width %d to %d, half of them at most %d; height %d to %d, half of them at most %d\n",
                       survey->smallest[0], survey->largest[0], survey->median[0], survey->smallest[1],
                       survey->largest[1], survey->median[1]);
    sn_text_printf(text, "       mean %.4f %.4f %.4f   std %.4f %.4f %.4f (red, green, blue; 0..1)\n", survey->mean[0],
                   survey->mean[1], survey->mean[2], survey->std[0], survey->std[1], survey->std[2]);
    add_balance(text, survey);
    for (int64_t k = 0; k < survey->classes; k++)
        sn_text_printf(text, "       %5lld  %-24s %10s\n", (long long)k, info->labels ? info->labels[k] : "",
                       cli_grouped(survey->by_class[k]));
}

static int64_t count_problems(const splits *all, int64_t counts[4])
{
    int64_t total = 0;
    memset(counts, 0, 4 * sizeof *counts);
    for (int s = 0; s < all->count; s++)
        for (size_t i = 0; i < all->surveys[s].problems_count; i++, total++) counts[all->surveys[s].problems[i].kind]++;
    return total;
}

static senet_status print_text(const cli_data_report *how, const splits *all)
{
    sn_text text = {0};
    int64_t counts[4];
    for (int s = 0; s < all->count; s++) add_split_text(&text, how, all->names[s], all->sets[s], &all->surveys[s]);
    if (count_problems(all, counts) == 0)
        sn_text_printf(&text, "%s: every picture can be read", how->data);
    else
        sn_text_printf(
            &text,
            "%s: %lld unreadable, %lld of another type than their names say, %lld duplicates, %lld empty classes",
            how->data, (long long)counts[0], (long long)counts[1], (long long)counts[2], (long long)counts[3]);
    return cli_print_text(&text);
}

/* ---- what is wrong ---- */

static void tell_problems(const splits *all)
{
    int64_t counts[4], told = 0;
    const int64_t total = count_problems(all, counts);
    for (int s = 0; s < all->count; s++)
        for (size_t i = 0; i < all->surveys[s].problems_count && told < MOST_LINES; i++, told++)
            cli_report_line("%s", all->surveys[s].problems[i].message);
    if (told < total) cli_report_line("and %lld more", (long long)(total - told));
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Every unreadable picture and every one after the first of equal ones, once, sorted. */
static senet_status write_list(const char *file, const splits *all)
{
    int64_t counts[4];
    const size_t most = (size_t)count_problems(all, counts);
    const char **paths = malloc((most + 1) * sizeof *paths);
    size_t count = 0;
    sn_text text = {0};
    if (!paths) return sn_fail_memory(most * sizeof *paths, file);
    for (int s = 0; s < all->count; s++)
        for (size_t i = 0; i < all->surveys[s].problems_count; i++) {
            const sn_problem *problem = &all->surveys[s].problems[i];
            const bool bad = problem->kind == SN_PROBLEM_UNREADABLE || problem->kind == SN_PROBLEM_DUPLICATE;
            const char *path = bad ? sn_dataset_path(all->sets[s], problem->index) : NULL;
            if (path) paths[count++] = path;
        }
    if (count > 0) qsort(paths, count, sizeof *paths, compare_paths);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(paths[i], paths[i - 1]) != 0) sn_text_printf(&text, "%s\n", paths[i]);
    senet_status status = sn_text_check(&text, file);
    if (status == SENET_OK) status = sn_file_write(file, sn_text_string(&text), text.length);
    free(paths);
    sn_text_free(&text);
    return status;
}

int cli_report_data(const cli_data_report *how)
{
    splits all = {0};
    int64_t counts[4], problems = 0;
    senet_status status;
    SN_TRY(open_splits(how->data, &all), cleanup);
    SN_TRY(survey(how, &all), cleanup);
    problems = count_problems(&all, counts);
    tell_problems(&all);
    if (how->list) SN_TRY(write_list(how->list, &all), cleanup);
    status = how->as_json ? print_json(how, &all) : print_text(how, &all);
cleanup:
    for (int s = 0; s < SPLITS; s++) {
        sn_survey_free(&all.surveys[s]);
        sn_dataset_close(all.opened[s]);
    }
    if (status != SENET_OK) return cli_finish(status);
    if (how->full) problems = counts[SN_PROBLEM_UNREADABLE]; /* the others do not change what was counted */
    return problems > 0 ? SENET_BAD_DATA : 0;                /* each was reported where it was found */
}
