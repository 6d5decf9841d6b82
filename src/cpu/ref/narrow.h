/* narrow.h - one value of a narrow tensor to float and back. */
#ifndef SN_CPU_REF_NARROW_H
#define SN_CPU_REF_NARROW_H

#include <math.h>
#include <string.h>

#include "graph/graph.h"

static inline float sn_bf16_to_float(uint16_t b)
{
    uint32_t bits = (uint32_t)b << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* To nearest, ties to even; NaN stays NaN. */
static inline uint16_t sn_bf16_from_float(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    if (v != v) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float sn_q8_to_float(uint8_t q, sn_quant quant) { return quant.scale * (float)((int32_t)q - quant.zero); }

/* To nearest, ties to even, held in 0..255; NaN becomes the value 0. */
static inline uint8_t sn_q8_from_float(float v, sn_quant quant)
{
    float q = rintf(v / quant.scale) + (float)quant.zero;
    if (!(q == q)) return (uint8_t)quant.zero;
    return q < 0 ? 0 : q > 255 ? 255 : (uint8_t)q;
}

#endif
