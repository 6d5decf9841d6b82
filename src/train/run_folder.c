/* run_folder.c - see run_folder.h.
 *
 *   checkpoint.safetensors  the full state: at the start, at every epoch's end, every few minutes, at the end
 *   last.safetensors        weights: at every epoch's end and at the end
 *   best.safetensors        weights of the epoch with the lowest top-1 error
 *   ema.safetensors         the weights' moving average, where one is kept: whenever last is
 *   log.jsonl, summary.csv, events.out.tfevents.*   see log.h
 * Each safetensors file is replaced by a rename, so a killed run leaves whole files. */
#include "train/run_folder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

static senet_status make_paths(const char *path, sn_run_folder *folder)
{
    folder->path = strdup(path);
    folder->checkpoint = sn_path_join(path, "checkpoint.safetensors");
    folder->last = sn_path_join(path, "last.safetensors");
    folder->best = sn_path_join(path, "best.safetensors");
    folder->ema = sn_path_join(path, "ema.safetensors");
    if (folder->path && folder->checkpoint && folder->last && folder->best && folder->ema) return SENET_OK;
    return sn_fail_memory(5 * strlen(path), "paths");
}

/* An empty log is no run: one that was killed before its first checkpoint leaves it. */
static senet_status refuse_other_run(const sn_run_folder *folder)
{
    static const char *const names[] = {"checkpoint.safetensors", "last.safetensors", "best.safetensors", "log.jsonl"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct stat about;
        char *file = sn_path_join(folder->path, names[i]);
        if (!file) return sn_fail_memory(strlen(folder->path), "a path");
        bool there = stat(file, &about) == 0 && about.st_size > 0;
        free(file);
        if (there)
            return sn_fail(SENET_USAGE, "%s: holds a run already (%s): resume that one, or choose another output folder",
                           folder->path, names[i]);
    }
    return SENET_OK;
}

static bool same_folder(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static senet_status copy_file(const char *from_folder, const char *to_folder, const char *name)
{
    char *from = sn_path_join(from_folder, name), *to = sn_path_join(to_folder, name), *bytes = NULL;
    size_t size;
    senet_status status = SENET_OK;
    if (!from || !to) status = sn_fail_memory(strlen(from_folder) + strlen(to_folder), "paths");
    else if (sn_is_file(from)) {
        status = sn_file_read(from, SIZE_MAX / 2, &bytes, &size);
        if (status == SENET_OK) status = sn_file_write(to, bytes, size);
    }
    free(from);
    free(to);
    free(bytes);
    return status;
}

senet_status sn_run_folder_open(const char *path, const char *resume, sn_run_folder *folder)
{
    static const char *const brought_along[] = {"best.safetensors", "log.jsonl", "summary.csv"};
    *folder = (sn_run_folder){0};
    senet_status status;
    SN_TRY(make_paths(path, folder), failed);
    SN_TRY(sn_make_directories(path), failed);
    if (resume && same_folder(path, resume)) return SENET_OK;
    SN_TRY(refuse_other_run(folder), failed);
    for (size_t i = 0; resume && i < sizeof brought_along / sizeof brought_along[0]; i++)
        SN_TRY(copy_file(resume, path, brought_along[i]), failed);
    return SENET_OK;
failed:
    sn_run_folder_free(folder);
    return status;
}

void sn_run_folder_free(sn_run_folder *folder)
{
    free(folder->path);
    free(folder->checkpoint);
    free(folder->last);
    free(folder->best);
    free(folder->ema);
    *folder = (sn_run_folder){0};
}

/* The info borrows its strings; sn_weights_save only reads them. */
senet_status sn_run_weights_save(const char *path, const sn_run_weights *weights)
{
    const sn_dataset_info *data = sn_dataset_describe(weights->dataset);
    sn_text epoch = {0}, error = {0};
    sn_weights_info info = {.model = (char *)(uintptr_t)weights->config->model,
                            .classes = weights->classes,
                            .labels = (char **)(uintptr_t)data->labels,
                            .labels_count = data->labels ? (size_t)data->classes : 0,
                            .has_preprocess = true,
                            .preprocess = weights->preprocess};
    sn_text_printf(&epoch, "%lld", (long long)weights->epoch);
    if (!isnan(weights->top1_error)) sn_text_add_double(&error, weights->top1_error);
    sn_metadata_entry extra[4];
    size_t count = 0;
    extra[count++] = (sn_metadata_entry){"dataset", data->name};
    extra[count++] = (sn_metadata_entry){"epoch", sn_text_string(&epoch)};
    if (weights->config->recipe) extra[count++] = (sn_metadata_entry){"recipe", weights->config->recipe};
    if (error.length > 0) extra[count++] = (sn_metadata_entry){"top1_error", sn_text_string(&error)};
    senet_status status = sn_weights_save(path, weights->layout, weights->params, &info, extra, count);
    sn_text_free(&epoch);
    sn_text_free(&error);
    return status;
}
