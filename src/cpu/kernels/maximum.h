/* maximum.h - the larger of two vectors, lane by lane. */
#ifndef SN_CPU_KERNELS_MAXIMUM_H
#define SN_CPU_KERNELS_MAXIMUM_H

#include "cpu/kernels/vector.h"

/* A NaN in either wins, so that a diverged run shows (the processor's max gives its second operand then). */
SN_INLINE vf vf_larger(vf a, vf b)
{
#if SN_VECTOR_FLOATS == 16
    return (vf)_mm512_mask_max_ps((__m512)a, _mm512_cmp_ps_mask((__m512)a, (__m512)a, _CMP_ORD_Q), (__m512)a, (__m512)b);
#elif SN_VECTOR_FLOATS == 8
    return (vf)_mm256_blendv_ps(_mm256_max_ps((__m256)a, (__m256)b), (__m256)a, _mm256_cmp_ps((__m256)a, (__m256)a, _CMP_UNORD_Q));
#elif defined(__aarch64__) /* whose maximum is NaN where either is */
    return (vf)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
#else
    vi take = (b > a) | (b != b);
    return (vf)((take & (vi)b) | (~take & (vi)a));
#endif
}

#endif
