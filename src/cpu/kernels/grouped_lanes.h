/* grouped_lanes.h - the groups of a grouped convolution against vectors.
 *
 * A block is one vector of outputs and the inputs that they see: part of one group, whose inputs are broadcast; or, where groups are
 * smaller than a vector, VF / group_out whole groups.  Output o of such a block belongs to group o / group_out, and its group's
 * input i lies in lane (o / group_out) group_in + i of the block's inputs, which fill one vector or two.
 */
#ifndef SN_CPU_KERNELS_GROUPED_LANES_H
#define SN_CPU_KERNELS_GROUPED_LANES_H

#include "cpu/kernels/vector.h"

typedef enum grouped_kind { GROUPED_NONE, GROUPED_BROADCAST, GROUPED_ONE_VECTOR, GROUPED_TWO_VECTORS } grouped_kind;

/* What blocks `outputs` outputs make in groups of group_in inputs and group_out outputs. */
static inline grouped_kind grouped_kind_of(int64_t group_in, int64_t group_out, int64_t outputs)
{
    if (group_out % VF == 0) return GROUPED_BROADCAST;
    if (VF < 8 || VF % group_out != 0 || outputs % VF != 0) return GROUPED_NONE;
    if (group_in <= group_out) return GROUPED_ONE_VECTOR;
    return group_in <= 2 * group_out ? GROUPED_TWO_VECTORS : GROUPED_NONE;
}

/* lanes: [group_in][VF] */
static inline void grouped_lanes(int32_t *lanes, int64_t group_in, int64_t group_out)
{
    for (int64_t i = 0; i < group_in; i++)
        for (int64_t o = 0; o < VF; o++) lanes[i * VF + o] = (int32_t)(o / group_out * group_in + i);
}

static inline vi vi_load(const int32_t *p) { return *(const vi *)p; }

/* Lane l of the result is lane lanes[l] of x. */
SN_INLINE vf vf_permute(vf x, vi lanes)
{
#if SN_VECTOR_FLOATS == 16
    return (vf)_mm512_permutexvar_ps((__m512i)lanes, (__m512)x);
#elif SN_VECTOR_FLOATS == 8
    return (vf)_mm256_permutevar8x32_ps((__m256)x, (__m256i)lanes);
#else
    vf result;
    for (int l = 0; l < VF; l++) result[l] = x[lanes[l]];
    return result;
#endif
}

/* The same from the 2 VF lanes of x and y. */
SN_INLINE vf vf_permute_two(vf x, vf y, vi lanes)
{
#if SN_VECTOR_FLOATS == 16
    return (vf)_mm512_permutex2var_ps((__m512)x, (__m512i)lanes, (__m512)y);
#else
    vi second = lanes >= VF;
    return (vf)((~second & (vi)vf_permute(x, lanes & (VF - 1))) | (second & (vi)vf_permute(y, lanes & (VF - 1))));
#endif
}

#endif
