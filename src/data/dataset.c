/* dataset.c - the registry of the kinds of data sets, and what all kinds share.  A new kind: see dataset.h. */
#include "data/dataset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const sn_dataset_kind *const kinds[] = {
    &sn_dataset_cifar10, &sn_dataset_cifar100, &sn_dataset_synthetic, &sn_dataset_tensors,
    &sn_dataset_folder,  &sn_dataset_list,     &sn_dataset_tar,
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static senet_status fail_unknown_kind(const char *spec, size_t prefix_length)
{
    char known[256];
    size_t used = 0;
    known[0] = '\0';
    for (size_t i = 0; i < KINDS && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", kinds[i]->form);
    return sn_fail(SENET_USAGE, "data set '%s': unknown kind '%.*s'; known: %s", spec, (int)prefix_length, spec, known);
}

senet_status sn_dataset_open(const char *spec, sn_split split, sn_dataset **dataset)
{
    *dataset = NULL;
    const char *colon = strchr(spec, ':');
    size_t length = colon ? (size_t)(colon - spec) : strlen(spec);
    for (size_t i = 0; i < KINDS; i++)
        if (strlen(kinds[i]->prefix) == length && memcmp(kinds[i]->prefix, spec, length) == 0)
            return kinds[i]->open(colon ? colon + 1 : NULL, split, dataset);
    return fail_unknown_kind(spec, length > 64 ? 64 : length);
}

void sn_dataset_close(sn_dataset *dataset)
{
    if (!dataset) return;
    free(dataset->kept);
    free(dataset->class_of);
    sn_arena_free(&dataset->names);
    dataset->close(dataset);
}

const sn_dataset_info *sn_dataset_describe(const sn_dataset *dataset)
{
    return &dataset->info;
}

/* ---- samples ---- */

static int64_t sample_of(const sn_dataset *dataset, int64_t index)
{
    return dataset->kept ? dataset->kept[index] : index;
}

static int32_t class_of(const sn_dataset *dataset, int32_t label)
{
    return dataset->class_of ? dataset->class_of[label] : label;
}

static senet_status check_index(const sn_dataset *dataset, int64_t index)
{
    const sn_dataset_info *info = &dataset->info;
    if (index >= 0 && index < info->count) return SENET_OK;
    return sn_fail(SENET_USAGE, "%s: sample %" PRId64 " is outside 0..%" PRId64, info->name, index, info->count - 1);
}

senet_status sn_dataset_read(const sn_dataset *dataset, int64_t index, void *pixels, int32_t *label)
{
    SN_RETURN_IF_FAILED(dataset->read(dataset, sample_of(dataset, index), pixels, label));
    *label = class_of(dataset, *label);
    return SENET_OK;
}

int32_t sn_dataset_label(const sn_dataset *dataset, int64_t index)
{
    return class_of(dataset, dataset->label(dataset, sample_of(dataset, index)));
}

senet_status sn_dataset_get(const sn_dataset *dataset, int64_t index, uint8_t *pixels, int32_t *label)
{
    const sn_dataset_info *info = &dataset->info;
    SN_RETURN_IF_FAILED(check_index(dataset, index));
    if (info->real) return sn_fail(SENET_USAGE, "%s: its samples are real numbers, not bytes", info->name);
    if (info->photographs) return sn_fail(SENET_USAGE, "%s: its pictures have sizes of their own", info->name);
    return sn_dataset_read(dataset, index, pixels, label);
}

const char *sn_dataset_path(const sn_dataset *dataset, int64_t index)
{
    if (!dataset->path || index < 0 || index >= dataset->info.count) return NULL;
    return dataset->path(dataset, sample_of(dataset, index));
}

senet_status sn_dataset_bytes(const sn_dataset *dataset, int64_t index, char **bytes, size_t *size)
{
    SN_RETURN_IF_FAILED(check_index(dataset, index));
    if (!dataset->bytes) return sn_fail(SENET_USAGE, "%s: its samples are no files", dataset->info.name);
    return dataset->bytes(dataset, sample_of(dataset, index), bytes, size);
}

/* The picture of a set of one size. */
static senet_status copy_picture(const sn_dataset *dataset, int64_t index, sn_image *image, int32_t *label)
{
    const sn_dataset_info *info = &dataset->info;
    const size_t bytes = (size_t)info->height * (size_t)info->width * 3;
    sn_image picture = {.width = info->width, .height = info->height, .pixels = malloc(bytes)};
    if (!picture.pixels) return sn_fail_memory(bytes, "a picture");
    senet_status status = sn_dataset_get(dataset, index, picture.pixels, label);
    if (status == SENET_OK)
        *image = picture;
    else
        sn_image_free(&picture);
    return status;
}

senet_status sn_dataset_picture(const sn_dataset *dataset, int64_t index, bool exif, sn_image *image, int32_t *label)
{
    int32_t unused;
    if (!label) label = &unused;
    SN_RETURN_IF_FAILED(check_index(dataset, index));
    if (!dataset->info.photographs) return copy_picture(dataset, index, image, label);
    char *bytes = NULL;
    size_t size;
    SN_RETURN_IF_FAILED(sn_dataset_bytes(dataset, index, &bytes, &size));
    senet_status status = sn_image_decode(bytes, size, sn_dataset_path(dataset, index), exif, image);
    free(bytes);
    if (status == SENET_OK) *label = sn_dataset_label(dataset, index);
    return status;
}
