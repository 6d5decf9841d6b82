/* tensors.c - "tensors:F.safetensors": samples that are already the network's input.
 *
 * `input` is (N, 3, H, W) float32, normalised; `labels` is (N) int64.  Both splits are the whole file.  The set has as
 * many classes as its largest label says. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/dataset.h"
#include "io/safetensors.h"

typedef struct tensor_set {
    sn_dataset base;
    sn_tensors *file;
    const uint8_t *input;  /* (N, 3, H, W) float32, unaligned */
    const uint8_t *labels; /* (N) int64, unaligned; every one checked */
} tensor_set;

static void tensors_close(sn_dataset *dataset)
{
    tensor_set *set = (tensor_set *)dataset;
    sn_tensors_close(set->file);
    free(set);
}

static int64_t label_at(const tensor_set *set, int64_t index)
{
    int64_t label;
    memcpy(&label, set->labels + (size_t)index * sizeof label, sizeof label);
    return label;
}

static senet_status tensors_read(const sn_dataset *dataset, int64_t index, void *pixels, int32_t *label)
{
    const tensor_set *set = (const tensor_set *)dataset;
    size_t plane = (size_t)set->base.info.height * (size_t)set->base.info.width;
    const uint8_t *planes = set->input + (size_t)index * 3 * plane * sizeof(float);
    float *out = pixels; /* (H, W, 3) */
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < plane; i++)
            memcpy(&out[3 * i + c], planes + (c * plane + i) * sizeof(float), sizeof(float));
    *label = (int32_t)label_at(set, index);
    return SENET_OK;
}

static int32_t tensors_label(const sn_dataset *dataset, int64_t index)
{
    return (int32_t)label_at((const tensor_set *)dataset, index);
}

static senet_status fail_tensor(const char *path, const sn_tensor *tensor, const char *name, const char *wanted)
{
    if (!tensor) return sn_fail(SENET_BAD_DATA, "%s: no tensor '%s' (%s)", path, name, wanted);
    char shape[192] = "";
    size_t used = 0;
    for (int32_t d = 0; d < tensor->rank && used < sizeof shape; d++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRId64, d ? "," : "", tensor->dims[d]);
    return sn_fail(SENET_BAD_DATA, "%s: tensor '%s' is %s (%s), not %s", path, name, sn_tensor_type_name(tensor->type),
                   shape, wanted);
}

static senet_status check(tensor_set *set, const char *path)
{
    const sn_tensor *input = sn_tensors_find(set->file, "input"), *labels = sn_tensors_find(set->file, "labels");
    if (!input || input->type != SN_TENSOR_F32 || input->rank != 4 || input->dims[0] < 1 || input->dims[1] != 3 ||
        input->dims[2] < 1 || input->dims[3] < 1 || input->dims[2] > INT_MAX || input->dims[3] > INT_MAX)
        return fail_tensor(path, input, "input", "F32 (N,3,H,W) with at least one sample");
    if (!labels || labels->type != SN_TENSOR_I64 || labels->rank != 1)
        return fail_tensor(path, labels, "labels", "I64 (N)");
    if (labels->dims[0] != input->dims[0])
        return sn_fail(SENET_BAD_DATA, "%s: 'input' has %" PRId64 " samples, 'labels' has %" PRId64, path,
                       input->dims[0], labels->dims[0]);
    set->input = input->data;
    set->labels = labels->data;
    set->base.info.count = input->dims[0];
    set->base.info.height = (int)input->dims[2];
    set->base.info.width = (int)input->dims[3];
    for (int64_t i = 0; i < set->base.info.count; i++) {
        int64_t label = label_at(set, i);
        if (label < 0 || label >= INT32_MAX)
            return sn_fail(SENET_BAD_DATA, "%s: labels[%" PRId64 "] is %" PRId64 ", outside 0..%d", path, i, label,
                           INT32_MAX - 1);
        if (label >= set->base.info.classes) set->base.info.classes = label + 1;
    }
    return SENET_OK;
}

static senet_status tensors_open(const char *path, sn_split split, sn_dataset **dataset)
{
    (void)split;
    if (!path || !*path) return sn_fail(SENET_USAGE, "data set 'tensors': no file; write tensors:FILE.safetensors");
    senet_status status;
    tensor_set *set = calloc(1, sizeof *set);
    if (!set) return sn_fail_memory(sizeof *set, path);
    set->base = (sn_dataset){.read = tensors_read,
                             .label = tensors_label,
                             .close = tensors_close,
                             .info = {.name = "tensors", .real = true, .std = {1, 1, 1}}};
    SN_TRY(sn_tensors_open(path, &set->file), cleanup);
    SN_TRY(check(set, path), cleanup);
    *dataset = &set->base;
    return SENET_OK;
cleanup:
    tensors_close(&set->base);
    return status;
}

const sn_dataset_kind sn_dataset_tensors = {"tensors", "tensors:FILE.safetensors", tensors_open};
