/* copy.h - short runs of values moved and cleared with whole vectors: cheaper than memcpy's call for the channels of a pixel. */
#ifndef SN_CPU_KERNELS_COPY_H
#define SN_CPU_KERNELS_COPY_H

#include "cpu/kernels/stored.h"

static inline void copy_floats(float *to, const float *from, int64_t count)
{
    int64_t i = 0;
    for (; i + VF <= count; i += VF) vf_store(to + i, vf_load(from + i));
    if (i < count) vf_store_first(to + i, vf_load_first(from + i, count - i), count - i);
}

static inline void clear_floats(float *to, int64_t count)
{
    int64_t i = 0;
    for (; i + VF <= count; i += VF) vf_store(to + i, (vf){0});
    if (i < count) vf_store_first(to + i, (vf){0}, count - i);
}

/* Stored values to floats and back. */
static inline void widen_values(float *to, const stored *from, int64_t count)
{
    int64_t i = 0;
    for (; i + VF <= count; i += VF) vf_store(to + i, vs_load(from + i));
    if (i < count) vf_store_first(to + i, vs_load_first(from + i, count - i), count - i);
}

static inline void narrow_values(stored *to, const float *from, int64_t count)
{
    int64_t i = 0;
    for (; i + VF <= count; i += VF) vs_store(to + i, vf_load(from + i));
    if (i < count) vs_store_first(to + i, vf_load_first(from + i, count - i), count - i);
}

/* Stored values as they are. */
#if SN_STORED_BF16
typedef uint16_t vh2 __attribute__((vector_size(4 * SN_VECTOR_FLOATS), aligned(2), may_alias)); /* a whole register of them */

static inline void copy_values(stored *to, const stored *from, int64_t count)
{
    int64_t i = 0;
    for (; i + 2 * VF <= count; i += 2 * VF) *(vh2 *)(to + i) = *(const vh2 *)(from + i);
    if (i + VF <= count) *(vh *)(to + i) = *(const vh *)(from + i), i += VF;
    if (i < count) vh_store_first(to + i, vh_load_first(from + i, count - i), count - i);
}

static inline void clear_values(stored *to, int64_t count)
{
    int64_t i = 0;
    for (; i + 2 * VF <= count; i += 2 * VF) *(vh2 *)(to + i) = (vh2){0};
    if (i + VF <= count) *(vh *)(to + i) = (vh){0}, i += VF;
    if (i < count) vh_store_first(to + i, (vh){0}, count - i);
}
#else
static inline void copy_values(stored *to, const stored *from, int64_t count) { copy_floats(to, from, count); }
static inline void clear_values(stored *to, int64_t count) { clear_floats(to, count); }
#endif

#endif
