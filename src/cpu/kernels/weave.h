/* weave.h - 2 to 4 vectors woven into as many (a b c ..., A B C ... to a A b B c C ...), and the way back. */
#ifndef SN_CPU_KERNELS_WEAVE_H
#define SN_CPU_KERNELS_WEAVE_H

#include "cpu/kernels/stored.h"

enum { WEAVE_ROWS = 4 }; /* the most vectors */

/* v[lane] where the mask holds, else `other`. */
#if SN_VECTOR_FLOATS == 16
typedef __mmask16 lane_mask;
static inline lane_mask mask_of(vi where) { return _mm512_movepi32_mask((__m512i)where); }
SN_INLINE vf pick(vf other, lane_mask mask, vi lane, vf v)
{
    return (vf)_mm512_mask_permutexvar_ps((__m512)other, mask, (__m512i)lane, (__m512)v);
}
#elif SN_VECTOR_FLOATS == 8
typedef vi lane_mask;
static inline lane_mask mask_of(vi where) { return where; }
SN_INLINE vf pick(vf other, lane_mask mask, vi lane, vf v)
{
    return (vf)_mm256_blendv_ps((__m256)other, _mm256_permutevar8x32_ps((__m256)v, (__m256i)lane), (__m256)mask);
}
#elif defined(__aarch64__)
typedef vi lane_mask;
static inline lane_mask mask_of(vi where) { return where; }
SN_INLINE vf pick(vf other, lane_mask mask, vi lane, vf v)
{
    vi bytes = (lane * 0x04040404 + 0x03020100) | ~mask; /* of v; beyond them `other` stays */
    return (vf)vqtbx1q_u8((uint8x16_t)other, (uint8x16_t)v, (uint8x16_t)bytes);
}
#else
typedef vi lane_mask;
static inline lane_mask mask_of(vi where) { return where; }
SN_INLINE vf pick(vf other, lane_mask mask, vi lane, vf v)
{
    for (int l = 0; l < VF; l++)
        if (mask[l]) other[l] = v[lane[l]];
    return other;
}
#endif

/* Result a of a weave takes lane table[a].lane[l] of the input vector whose mask table[a].from[..] holds l. */
typedef struct weave {
    vi lane;
    lane_mask from[WEAVE_ROWS];
} weave;

/* For `rows` vectors; weaves: or the way back. */
static inline void weave_table(weave *table, int rows, bool weaves)
{
    for (int a = 0; a < rows; a++) {
        int32_t lane[VF], source[VF], where[VF];
        for (int l = 0; l < VF; l++) {
            int woven = a * VF + l; /* woven element `column * rows + row` */
            lane[l] = weaves ? woven / rows : (l * rows + a) % VF;
            source[l] = weaves ? woven % rows : (l * rows + a) / VF;
        }
        memcpy(&table[a].lane, lane, sizeof lane);
        for (int b = 0; b < rows; b++) {
            vi mask;
            for (int l = 0; l < VF; l++) where[l] = source[l] == b ? -1 : 0;
            memcpy(&mask, where, sizeof where);
            table[a].from[b] = mask_of(mask);
        }
    }
}

/* Result a of the weave of these vectors. */
SN_INLINE vf weave_vectors(const weave *table, const vf *in, int rows, int a)
{
    vf out = {0};
    SN_UNROLL for (int b = 0; b < rows; b++) out = pick(out, table[a].from[b], table[a].lane, in[b]);
    return out;
}

#endif
