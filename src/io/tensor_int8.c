/* tensor_int8.c - weights in 8 bits: an I8 tensor "NAME" [outputs, ...] and the F32 tensor "NAME_scale" [outputs] beside it.
 *
 * A value is scale[output] times the integer, -127 .. 127; the largest of an output is 127, so that a kernel that quantises what it
 * reads finds the same integers again. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/tensors.h"

static const char suffix[] = "_scale";

bool sn_tensor_is_scale(const sn_tensors *file, const sn_tensor *tensor)
{
    char name[SN_SCALED_NAME];
    size_t length = strlen(tensor->name), tail = sizeof suffix - 1;
    if (length <= tail || length - tail >= sizeof name || strcmp(tensor->name + length - tail, suffix) != 0) return false;
    snprintf(name, sizeof name, "%.*s", (int)(length - tail), tensor->name);
    const sn_tensor *scaled = sn_tensors_find(file, name);
    return scaled && scaled->type == SN_TENSOR_I8;
}

/* The tensor of scales, checked. */
static senet_status find_scale(const sn_tensors *file, const sn_tensor *tensor, const sn_tensor **scale)
{
    char name[SN_SCALED_NAME];
    const char *path = sn_tensors_path(file);
    int written = snprintf(name, sizeof name, "%s%s", tensor->name, suffix);
    *scale = written < (int)sizeof name ? sn_tensors_find(file, name) : NULL;
    if (!*scale)
        return sn_fail(SENET_BAD_DATA, "%s: tensor '%s' is I8, but there is no '%.200s%s' with its scales", path, tensor->name,
                       tensor->name, suffix);
    if (tensor->rank < 1 || (*scale)->type != SN_TENSOR_F32 || (*scale)->rank != 1 || (*scale)->dims[0] != tensor->dims[0]) {
        char have[SN_DIMS_TEXT_BYTES], need[SN_DIMS_TEXT_BYTES];
        return sn_fail(SENET_BAD_DATA, "%s: tensor '%s' is %s %s, but the scales of '%s' %s are F32, one for each output", path,
                       (*scale)->name, sn_tensor_type_name((*scale)->type), sn_dims_text(have, (*scale)->dims, (*scale)->rank),
                       tensor->name, sn_dims_text(need, tensor->dims, tensor->rank));
    }
    return SENET_OK;
}

senet_status sn_tensor_dequantize(const sn_tensors *file, const sn_tensor *tensor, float *out)
{
    const sn_tensor *scales;
    SN_RETURN_IF_FAILED(find_scale(file, tensor, &scales));
    const int8_t *values = tensor->data;
    int64_t outputs = tensor->dims[0];
    size_t each = outputs ? tensor->bytes / (size_t)outputs : 0;
    for (int64_t o = 0; o < outputs; o++) {
        float scale;
        memcpy(&scale, (const char *)scales->data + (size_t)o * sizeof scale, sizeof scale);
        if (!(scale >= 0) || !isfinite(scale))
            return sn_fail(SENET_BAD_DATA, "%s: %s[%lld] is %g, not a scale", sn_tensors_path(file), scales->name, (long long)o,
                           (double)scale);
        for (size_t i = 0; i < each; i++, values++) *out++ = scale * (float)*values;
    }
    return SENET_OK;
}

void sn_quantize_outputs(const float *values, int64_t outputs, int64_t each, int8_t *quantized, float *scales)
{
    for (int64_t o = 0; o < outputs; o++, values += each, quantized += each) {
        float largest = 0;
        for (int64_t i = 0; i < each; i++) largest = fabsf(values[i]) > largest ? fabsf(values[i]) : largest;
        scales[o] = largest / 127;
        for (int64_t i = 0; i < each; i++) quantized[i] = (int8_t)(largest > 0 ? rintf(values[i] * (127 / largest)) : 0);
    }
}
