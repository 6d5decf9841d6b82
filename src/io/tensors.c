/* tensors.c - the handle of safetensors.h, whichever format it was read from (tensors.h). */
#define _GNU_SOURCE /* madvise */
#include "io/tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
    [SN_TENSOR_F64] = {"F64", 8},   [SN_TENSOR_F32] = {"F32", 4}, [SN_TENSOR_F16] = {"F16", 2},
    [SN_TENSOR_BF16] = {"BF16", 2}, [SN_TENSOR_I64] = {"I64", 8}, [SN_TENSOR_I32] = {"I32", 4},
    [SN_TENSOR_I16] = {"I16", 2},   [SN_TENSOR_I8] = {"I8", 1},   [SN_TENSOR_U64] = {"U64", 8},
    [SN_TENSOR_U32] = {"U32", 4},   [SN_TENSOR_U16] = {"U16", 2}, [SN_TENSOR_U8] = {"U8", 1},
    [SN_TENSOR_BOOL] = {"BOOL", 1},
};

size_t sn_tensor_type_bytes(sn_tensor_type type)
{
    return types[type].bytes;
}
const char *sn_tensor_type_name(sn_tensor_type type)
{
    return types[type].name;
}

const char *sn_dims_text(char text[SN_DIMS_TEXT_BYTES], const int64_t *dims, int rank)
{
    size_t at = 0;
    text[at++] = '[';
    for (int d = 0; d < rank && at < 100; d++)
        at += (size_t)snprintf(text + at, SN_DIMS_TEXT_BYTES - at, d ? ",%lld" : "%lld", (long long)dims[d]);
    snprintf(text + at, SN_DIMS_TEXT_BYTES - at, "]");
    return text;
}

senet_status sn_tensors_new(const char *path, sn_tensors **tensors)
{
    sn_tensors *made = calloc(1, sizeof *made);
    *tensors = made;
    if (!made || !(made->path = strdup(path))) {
        sn_tensors_close(made);
        *tensors = NULL;
        return sn_fail_memory(strlen(path) + sizeof *made, path);
    }
    return SENET_OK;
}

void sn_tensors_close(sn_tensors *tensors)
{
    if (!tensors) return;
    if (tensors->release) tensors->release(tensors->content);
    free(tensors->tensors);
    free(tensors->by_name);
    free(tensors->metadata);
    free(tensors->path);
    free(tensors);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const sn_tensor *const *)a)->name, (*(const sn_tensor *const *)b)->name);
}

senet_status sn_tensors_index(sn_tensors *tensors)
{
    tensors->by_name = calloc(tensors->count + 1, sizeof *tensors->by_name);
    if (!tensors->by_name) return sn_fail_memory(tensors->count * sizeof *tensors->by_name, tensors->path);
    for (size_t i = 0; i < tensors->count; i++) tensors->by_name[i] = &tensors->tensors[i];
    qsort(tensors->by_name, tensors->count, sizeof *tensors->by_name, compare_names);
    return SENET_OK;
}

const char *sn_tensors_path(const sn_tensors *tensors)
{
    return tensors->path;
}
size_t sn_tensors_count(const sn_tensors *tensors)
{
    return tensors->count;
}
const sn_tensor *sn_tensors_at(const sn_tensors *tensors, size_t index)
{
    return &tensors->tensors[index];
}

const sn_tensor *sn_tensors_find(const sn_tensors *tensors, const char *name)
{
    const sn_tensor key = {.name = name}, *wanted = &key;
    const sn_tensor *const *found =
        bsearch(&wanted, tensors->by_name, tensors->count, sizeof *tensors->by_name, compare_names);
    return found ? *found : NULL;
}

const char *sn_tensors_metadata(const sn_tensors *tensors, const char *key)
{
    for (size_t i = 0; i < tensors->metadata_count; i++)
        if (strcmp(tensors->metadata[i].key, key) == 0) return tensors->metadata[i].value;
    return NULL;
}

size_t sn_tensors_metadata_count(const sn_tensors *tensors)
{
    return tensors->metadata_count;
}
sn_metadata_entry sn_tensors_metadata_at(const sn_tensors *tensors, size_t index)
{
    return tensors->metadata[index];
}

void sn_tensor_drop(const sn_tensors *tensors, const sn_tensor *tensor)
{
    if (!tensors->mapped) return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t first = sn_align((size_t)(uintptr_t)tensor->data, page), last = ((size_t)(uintptr_t)tensor->data + tensor->bytes) / page * page;
    if (first < last) madvise((void *)(uintptr_t)first, last - first, MADV_DONTNEED); /* a wish */
}
