/* copy.h - short runs of floats moved and cleared with whole vectors: cheaper than memcpy's call for the channels of a pixel. */
#ifndef SN_CPU_KERNELS_COPY_H
#define SN_CPU_KERNELS_COPY_H

#include "cpu/kernels/vector.h"

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

#endif
