/* tensor_convert.c - tensors of any floating type as float32 (safetensors.h).
 *
 * F16 is IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits; BF16 is the upper half of a binary32. */
#include <string.h>

#include "io/safetensors.h"

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float from_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = (half >> 10) & 31u, fraction = half & 0x3ffu;
    if (exponent == 31) return from_bits(sign | 0x7f800000u | fraction << 13); /* infinity, NaN */
    if (exponent) return from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13);
    float subnormal = (float)fraction * 0x1p-24f; /* exact */
    return sign ? -subnormal : subnormal;
}

static float from_bf16(uint16_t half)
{
    return from_bits((uint32_t)half << 16);
}

senet_status sn_tensor_to_f32(const sn_tensors *tensors, const sn_tensor *tensor, float *out)
{
    const unsigned char *data = tensor->data;
    size_t count = tensor->bytes / sn_tensor_type_bytes(tensor->type);
    switch (tensor->type) {
    case SN_TENSOR_F32:
        if (count) memcpy(out, data, tensor->bytes);
        return SENET_OK;
    case SN_TENSOR_F64:
        for (size_t i = 0; i < count; i++) {
            double value;
            memcpy(&value, data + 8 * i, 8);
            out[i] = (float)value;
        }
        return SENET_OK;
    case SN_TENSOR_F16:
    case SN_TENSOR_BF16:
        for (size_t i = 0; i < count; i++) {
            uint16_t half;
            memcpy(&half, data + 2 * i, 2);
            out[i] = tensor->type == SN_TENSOR_F16 ? from_f16(half) : from_bf16(half);
        }
        return SENET_OK;
    default:
        return sn_fail(SENET_BAD_DATA, "%s: tensor '%s' is %s, not of floating point", sn_tensors_path(tensors),
                       tensor->name, sn_tensor_type_name(tensor->type));
    }
}
