/* dataset.c - the registry of the kinds of data sets, and what all kinds share.  A new kind: see dataset.h. */
#include "data/dataset.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const sn_dataset_kind *const kinds[] = {
    &sn_dataset_cifar10,
    &sn_dataset_cifar100,
    &sn_dataset_synthetic,
    &sn_dataset_tensors,
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
    if (dataset) dataset->close(dataset);
}

const sn_dataset_info *sn_dataset_describe(const sn_dataset *dataset)
{
    return &dataset->info;
}

senet_status sn_dataset_get(const sn_dataset *dataset, int64_t index, uint8_t *pixels, int32_t *label)
{
    const sn_dataset_info *info = &dataset->info;
    if (index < 0 || index >= info->count)
        return sn_fail(SENET_USAGE, "%s: sample %" PRId64 " is outside 0..%" PRId64, info->name, index,
                       info->count - 1);
    if (info->real) return sn_fail(SENET_USAGE, "%s: its samples are real numbers, not bytes", info->name);
    return dataset->read(dataset, index, pixels, label);
}
