/* clamp.h - identity, ReLU and ReLU6 as one clamp in registers, for the ends of convolution kernels; and a maximum. */
#ifndef SN_CPU_KERNELS_CLAMP_H
#define SN_CPU_KERNELS_CLAMP_H

#include <math.h>

#include "cpu/kernels/vector.h"

/* low if v < low, else v: a NaN in v stays (the processor's max gives its second operand then). */
#if SN_VECTOR_FLOATS == 16
SN_INLINE vf vf_at_least(vf v, vf low) { return (vf)_mm512_max_ps((__m512)low, (__m512)v); }
SN_INLINE vf vf_at_most(vf v, vf high) { return (vf)_mm512_min_ps((__m512)high, (__m512)v); }
#elif SN_VECTOR_FLOATS == 8
SN_INLINE vf vf_at_least(vf v, vf low) { return (vf)_mm256_max_ps((__m256)low, (__m256)v); }
SN_INLINE vf vf_at_most(vf v, vf high) { return (vf)_mm256_min_ps((__m256)high, (__m256)v); }
#elif defined(__aarch64__) /* whose maximum is NaN where either is */
SN_INLINE vf vf_at_least(vf v, vf low) { return (vf)vmaxq_f32((float32x4_t)v, (float32x4_t)low); }
SN_INLINE vf vf_at_most(vf v, vf high) { return (vf)vminq_f32((float32x4_t)v, (float32x4_t)high); }
#else
SN_INLINE vf vf_select(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }
SN_INLINE vf vf_at_least(vf v, vf low) { return vf_select(v < low, low, v); }
SN_INLINE vf vf_at_most(vf v, vf high) { return vf_select(v > high, high, v); }
#endif

typedef struct clamp {
    vf low, high;
} clamp;

static inline bool clamp_is(sn_activation a) { return a == SN_IDENTITY || a == SN_RELU || a == SN_RELU6; }

static inline clamp clamp_of(sn_activation a)
{
    return (clamp){vf_all(a == SN_IDENTITY ? -INFINITY : 0), vf_all(a == SN_RELU6 ? 6 : INFINITY)};
}

SN_INLINE vf clamp_apply(const clamp *c, vf v) { return vf_at_most(vf_at_least(v, c->low), c->high); }

#endif
