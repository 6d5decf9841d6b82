/* synthetic.c - "synthetic[:classes=10,train=10000,val=2000,seed=0,size=32]": the embedded data set, and writing it to
 * disk.
 *
 * Pictures are drawn when the set is opened, on all CPUs, and kept; a split above CACHE_BYTES is drawn as it is read.
 */
#define _POSIX_C_SOURCE 200809L
#include "data/synthetic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/text.h"
#include "data/cifar_format.h"
#include "data/dataset.h"

static const int64_t CACHE_BYTES = INT64_C(1) << 28, MAX_PICTURES = INT64_C(1) << 40;
enum { PICTURES_A_TASK = 64, TRAIN_FILES = 5 };

/* ---- options ---- */

/* `word` is "key=value". */
static senet_status parse_option(char *word, sn_synthetic_options *options)
{
    int64_t size = options->size, seed = (int64_t)options->seed;
    const struct {
        const char *key;
        int64_t least, most, *value;
    } known[] = {
        {"classes", 2, SN_SYNTHETIC_CLASSES, &options->classes},
        {"train", 1, MAX_PICTURES, &options->train},
        {"val", 1, MAX_PICTURES, &options->val},
        {"seed", 0, INT64_MAX, &seed},
        {"size", SN_SYNTHETIC_MIN_SIZE, SN_SYNTHETIC_MAX_SIZE, &size},
    };
    char *value = strchr(word, '=');
    if (!value) return sn_fail(SENET_USAGE, "data set 'synthetic': option '%.64s' has no '=value'", word);
    *value++ = '\0';
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].key, word) != 0) continue;
        char what[64];
        snprintf(what, sizeof what, "data set 'synthetic': %s", word);
        SN_RETURN_IF_FAILED(sn_parse_int64_in(what, value, known[i].least, known[i].most, known[i].value));
        options->size = (int)size;
        options->seed = (uint64_t)seed;
        return SENET_OK;
    }
    return sn_fail(SENET_USAGE, "data set 'synthetic': unknown option '%.64s'; known: classes, train, val, seed, size",
                   word);
}

senet_status sn_synthetic_parse(const char *text, sn_synthetic_options *options)
{
    senet_status status = SENET_OK;
    *options =
        (sn_synthetic_options){.classes = SN_SYNTHETIC_CLASSES, .train = 10000, .val = 2000, .size = SN_CIFAR_SIDE};
    if (!text || !*text) return SENET_OK;
    char *copy = strdup(text), *rest = NULL;
    if (!copy) return sn_fail_memory(strlen(text) + 1, "the data set's options");
    for (char *word = strtok_r(copy, ",", &rest); word && status == SENET_OK; word = strtok_r(NULL, ",", &rest))
        status = parse_option(word, options);
    free(copy);
    return status;
}

/* ---- the data set ---- */

typedef struct synthetic_set {
    sn_dataset base;
    sn_synthetic_options options;
    sn_split split;
    size_t picture_bytes;
    uint8_t *pictures; /* all of them; NULL: drawn as they are read */
} synthetic_set;

static void synthetic_close(sn_dataset *dataset)
{
    synthetic_set *set = (synthetic_set *)dataset;
    sn_free_aligned(set->pictures);
    free(set);
}

static senet_status synthetic_read(const sn_dataset *dataset, int64_t index, void *pixels, int32_t *label)
{
    const synthetic_set *set = (const synthetic_set *)dataset;
    if (set->pictures)
        memcpy(pixels, set->pictures + (size_t)index * set->picture_bytes, set->picture_bytes);
    else
        sn_synthetic_draw(&set->options, set->split, index, pixels);
    *label = sn_synthetic_label(&set->options, index);
    return SENET_OK;
}

static int32_t synthetic_label(const sn_dataset *dataset, int64_t index)
{
    return sn_synthetic_label(&((const synthetic_set *)dataset)->options, index);
}

static void draw_some(void *context, int64_t task, int worker)
{
    synthetic_set *set = context;
    (void)worker;
    int64_t end = (task + 1) * PICTURES_A_TASK;
    if (end > set->base.info.count) end = set->base.info.count;
    for (int64_t i = task * PICTURES_A_TASK; i < end; i++)
        sn_synthetic_draw(&set->options, set->split, i, set->pictures + (size_t)i * set->picture_bytes);
}

static senet_status synthetic_open(const char *text, sn_split split, sn_dataset **dataset)
{
    sn_synthetic_options options;
    SN_RETURN_IF_FAILED(sn_synthetic_parse(text, &options));
    const size_t picture_bytes = (size_t)options.size * (size_t)options.size * 3;
    synthetic_set *set = calloc(1, sizeof *set);
    if (!set) return sn_fail_memory(sizeof *set, "the synthetic data set");
    set->options = options;
    set->split = split;
    set->picture_bytes = picture_bytes;
    set->base = (sn_dataset){.read = synthetic_read,
                             .label = synthetic_label,
                             .close = synthetic_close,
                             .info = {.name = "synthetic",
                                      .count = split == SN_SPLIT_TRAIN ? options.train : options.val,
                                      .height = options.size,
                                      .width = options.size,
                                      .classes = options.classes,
                                      .labels = sn_figure_names}};
    memcpy(set->base.info.mean, sn_synthetic_mean, sizeof sn_synthetic_mean);
    memcpy(set->base.info.std, sn_synthetic_std, sizeof sn_synthetic_std);
    const int64_t count = set->base.info.count;
    if (count <= CACHE_BYTES / (int64_t)picture_bytes) {
        set->pictures = sn_alloc_aligned((size_t)count * picture_bytes);
        if (!set->pictures) {
            synthetic_close(&set->base);
            return sn_fail_memory((size_t)count * picture_bytes, "the synthetic data set");
        }
        sn_parallel_for(sn_default_threads(), (count + PICTURES_A_TASK - 1) / PICTURES_A_TASK, draw_some, set);
    }
    *dataset = &set->base;
    return SENET_OK;
}

const sn_dataset_kind sn_dataset_synthetic = {"synthetic", "synthetic[:options]", synthetic_open};

/* ---- `senet data synth` ---- */

typedef struct progress_state {
    sn_progress report; /* or NULL */
    void *context;
    int64_t done, total; /* pictures */
} progress_state;

/* Pictures `first` to `end` of a split as one file of CIFAR-10's format. */
static senet_status write_records(const char *path, const sn_synthetic_options *options, sn_split split, int64_t first,
                                  int64_t end, progress_state *progress)
{
    uint8_t rgb[SN_CIFAR_PIXEL_BYTES], record[1 + SN_CIFAR_PIXEL_BYTES];
    sn_file_writer *writer = NULL;
    senet_status status;
    SN_TRY(sn_file_writer_open(path, &writer), cleanup);
    for (int64_t i = first; i < end; i++) {
        sn_synthetic_draw(options, split, i, rgb);
        sn_cifar_encode(rgb, sn_synthetic_label(options, i), record);
        SN_TRY(sn_file_writer_write(writer, record, sizeof record), cleanup);
        progress->done++;
        if (progress->report && progress->done % 1000 == 0)
            progress->report(progress->context, (double)progress->done, (double)progress->total, "drawing");
    }
    return sn_file_writer_commit(writer);
cleanup:
    sn_file_writer_discard(writer);
    return status;
}

/* All pictures: the training split over five files, the rest in the last of them. */
static senet_status write_all(sn_arena *arena, const char *directory, const sn_synthetic_options *options,
                              progress_state *progress)
{
    const int64_t each = options->train / TRAIN_FILES;
    for (int i = 0; i < TRAIN_FILES; i++) {
        const char *path = sn_arena_printf(arena, "%s/data_batch_%d.bin", directory, i + 1);
        if (!path) return sn_fail_memory(strlen(directory) + 32, directory);
        int64_t end = i + 1 < TRAIN_FILES ? each * (i + 1) : options->train;
        SN_RETURN_IF_FAILED(write_records(path, options, SN_SPLIT_TRAIN, each * i, end, progress));
    }
    const char *path = sn_arena_printf(arena, "%s/test_batch.bin", directory);
    if (!path) return sn_fail_memory(strlen(directory) + 32, directory);
    return write_records(path, options, SN_SPLIT_VAL, 0, options->val, progress);
}

static senet_status write_text(sn_arena *arena, const char *directory, const char *name, const sn_text *text)
{
    const char *path = sn_arena_printf(arena, "%s/%s", directory, name);
    if (!path) return sn_fail_memory(strlen(directory) + strlen(name) + 2, directory);
    SN_RETURN_IF_FAILED(sn_text_check(text, name));
    return sn_file_write(path, text->bytes, text->length);
}

/* The class names, the number of classes and the statistics. */
static senet_status write_about(sn_arena *arena, const char *directory, const sn_synthetic_options *options)
{
    sn_text names = {0}, statistics = {0};
    for (int64_t i = 0; i < options->classes; i++) sn_text_printf(&names, "%s\n", sn_figure_names[i]);
    sn_text_printf(&statistics, "classes %" PRId64 "\nmean", options->classes);
    for (int c = 0; c < 3; c++) {
        sn_text_add_char(&statistics, ' ');
        sn_text_add_float(&statistics, sn_synthetic_mean[c]);
    }
    sn_text_add_string(&statistics, "\nstd");
    for (int c = 0; c < 3; c++) {
        sn_text_add_char(&statistics, ' ');
        sn_text_add_float(&statistics, sn_synthetic_std[c]);
    }
    sn_text_add_char(&statistics, '\n');
    senet_status status;
    SN_TRY(write_text(arena, directory, "batches.meta.txt", &names), cleanup);
    SN_TRY(write_text(arena, directory, SN_CIFAR_STATISTICS_FILE, &statistics), cleanup);
cleanup:
    sn_text_free(&names);
    sn_text_free(&statistics);
    return status;
}

senet_status sn_data_synth(const char *spec, const char *directory, sn_progress progress, void *context)
{
    static const char prefix[] = "synthetic";
    sn_synthetic_options options;
    const char *text = spec;
    if (text && strncmp(text, prefix, sizeof prefix - 1) == 0)
        text += sizeof prefix - 1 + (text[sizeof prefix - 1] == ':');
    SN_RETURN_IF_FAILED(sn_synthetic_parse(text, &options));
    if (options.size != SN_CIFAR_SIDE)
        return sn_fail(SENET_USAGE, "data set 'synthetic': size=%d; CIFAR's format holds pictures of %d pixels",
                       options.size, SN_CIFAR_SIDE);
    if (options.train < TRAIN_FILES)
        return sn_fail(SENET_USAGE,
                       "data set 'synthetic': train=%" PRId64 " does not fill the %d training files of CIFAR's format",
                       options.train, TRAIN_FILES);
    SN_RETURN_IF_FAILED(sn_make_directories(directory));
    sn_arena arena = {0};
    progress_state state = {progress, context, 0, options.train + options.val};
    senet_status status;
    SN_TRY(write_all(&arena, directory, &options, &state), cleanup);
    SN_TRY(write_about(&arena, directory, &options), cleanup);
    if (progress) progress(context, (double)state.total, (double)state.total, "drawing");
cleanup:
    sn_arena_free(&arena);
    return status;
}
