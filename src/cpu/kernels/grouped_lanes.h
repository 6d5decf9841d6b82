/* grouped_lanes.h - several small groups of a grouped convolution side by side in one vector.
 *
 * A block is one vector of outputs: VF / group_out whole groups, and the at most VF inputs that they see.  Output o of a block
 * belongs to group o / group_out; its group's input i lies in lane (o / group_out) group_in + i of the block's inputs.
 */
#ifndef SN_CPU_KERNELS_GROUPED_LANES_H
#define SN_CPU_KERNELS_GROUPED_LANES_H

#include "cpu/kernels/vector.h"

/* NULL where groups of group_in inputs and group_out of all `outputs` outputs make such blocks; else why not. */
static inline const char *grouped_refuse(int64_t group_in, int64_t group_out, int64_t outputs)
{
    if (VF < 8) return "no permutation of lanes";
    if (group_out >= VF || VF % group_out != 0 || group_in > group_out || outputs % VF != 0) return "groups that do not fill a vector";
    return NULL;
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

#endif
