/* stored.h - activations as they lie in memory: `stored` is float, or bf16 in files compiled with SN_STORED_BF16.  (Kernels on int8
 * have their own files.)
 *
 * A kernel on either reads and writes maps with these and computes in vf; weights, biases, gates, statistics and sums are float.
 */
#ifndef SN_CPU_KERNELS_STORED_H
#define SN_CPU_KERNELS_STORED_H

#include "cpu/kernels/transpose.h"

/* bf16 of VF floats, to nearest even, NaN kept; and back. */
typedef uint16_t vh __attribute__((vector_size(2 * SN_VECTOR_FLOATS), aligned(2), may_alias));
typedef uint32_t vu __attribute__((vector_size(4 * SN_VECTOR_FLOATS), aligned(4), may_alias));

static inline vf vf_from_bf16(vh h)
{
#if SN_VECTOR_FLOATS == 16 /* one permutation puts each into the upper half of its lane, instead of a widening and a shift */
    const __m512i upper = _mm512_set_epi16(15, 0, 14, 0, 13, 0, 12, 0, 11, 0, 10, 0, 9, 0, 8, 0, 7, 0, 6, 0, 5, 0, 4, 0, 3, 0, 2, 0,
                                           1, 0, 0, 0);
    return (vf)_mm512_maskz_permutexvar_epi16(0xaaaaaaaau, upper, _mm512_castsi256_si512((__m256i)h));
#else
    return (vf)(__builtin_convertvector(h, vu) << 16);
#endif
}

static inline vh vf_to_bf16(vf v)
{
#if defined(__AVX512BF16__) && SN_VECTOR_FLOATS == 16
    return (vh)_mm512_cvtneps_pbh((__m512)v);
#else
    vu bits = (vu)v, nan = (vu)(v != v);
    vu rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return __builtin_convertvector((rounded & ~nan) | ((bits >> 16 | 0x40) & nan), vh);
#endif
}

static inline vf vf_load_bf16(const uint16_t *p) { return vf_from_bf16(*(const vh *)p); }
static inline void vf_store_bf16(uint16_t *p, vf v) { *(vh *)p = vf_to_bf16(v); }

/* The first n <= VF values at p, zeros behind them; and their store. */
static inline vh vh_load_first(const uint16_t *p, int64_t n)
{
#if SN_VECTOR_FLOATS == 16
    return (vh)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p);
#else
    vh h = {0};
    SN_UNROLL for (int l = 0; l < VF; l++)
        if (l < n) h[l] = p[l];
    return h;
#endif
}
static inline void vh_store_first(uint16_t *p, vh h, int64_t n)
{
#if SN_VECTOR_FLOATS == 16
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), (__m256i)h);
#else
    SN_UNROLL for (int l = 0; l < VF; l++)
        if (l < n) p[l] = h[l];
#endif
}
static inline vf vf_load_bf16_first(const uint16_t *p, int64_t n) { return vf_from_bf16(vh_load_first(p, n)); }
static inline void vf_store_bf16_first(uint16_t *p, vf v, int64_t n) { vh_store_first(p, vf_to_bf16(v), n); }

#if SN_STORED_BF16
typedef uint16_t stored;
#define SN_STORED SN_BF16
static inline vf vs_load(const stored *p) { return vf_load_bf16(p); }
static inline void vs_store(stored *p, vf v) { vf_store_bf16(p, v); }
static inline vf vs_load_first(const stored *p, int64_t n) { return vf_load_bf16_first(p, n); }
static inline void vs_store_first(stored *p, vf v, int64_t n) { vf_store_bf16_first(p, v, n); }
#else
typedef float stored;
#define SN_STORED SN_REAL
static inline vf vs_load(const stored *p) { return vf_load(p); }
static inline void vs_store(stored *p, vf v) { vf_store(p, v); }
static inline vf vs_load_first(const stored *p, int64_t n) { return vf_load_first(p, n); }
static inline void vs_store_first(stored *p, vf v, int64_t n) { vf_store_first(p, v, n); }
#endif

/* The same where n is usually VF. */
static inline vf vs_load_n(const stored *p, int64_t n) { return n >= VF ? vs_load(p) : vs_load_first(p, n); }
static inline void vs_store_n(stored *p, vf v, int64_t n)
{
    if (n >= VF)
        vs_store(p, v);
    else
        vs_store_first(p, v, n);
}

/* ---- spans: as many values as one register holds in memory, in SPAN_VECTORS vectors ----
 *
 * Of bf16 the first vector has the values at even places and the second those at odd places: a shift and a mask of what was loaded,
 * where neighbours would take a shuffle each.  Work that is alike for all lanes does not see the order; coefficients are loaded,
 * and sums are added, in the same one. */
#if SN_STORED_BF16
enum { SPAN_VECTORS = 2 };
typedef uint32_t vu_stored __attribute__((vector_size(4 * SN_VECTOR_FLOATS), aligned(2), may_alias));

SN_INLINE void vs_load_span(const stored *p, vf v[SPAN_VECTORS])
{
    vu words = *(const vu_stored *)p;
    v[0] = (vf)(words << 16);
    v[1] = (vf)(words & 0xffff0000u);
}

#if !(defined(__AVX512BF16__) && SN_VECTOR_FLOATS == 16)
/* The bits of v rounded to bf16 in the upper half, as vf_to_bf16 rounds; the lower half is of no meaning. */
SN_INLINE vu vf_round_bf16(vf v)
{
    vu bits = (vu)v, nan = (vu)(v != v);
    return ((bits + 0x7fff + (bits >> 16 & 1)) & ~nan) | ((bits | 0x400000) & nan);
}
#endif

SN_INLINE void vs_store_span(stored *p, const vf v[SPAN_VECTORS])
{
#if defined(__AVX512BF16__) && SN_VECTOR_FLOATS == 16
    const __m512i in_turn = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
                                             19, 3, 18, 2, 17, 1, 16, 0);
    __m512bh halves = _mm512_cvtne2ps_pbh((__m512)v[1], (__m512)v[0]);
    *(vu_stored *)p = (vu)_mm512_permutexvar_epi16(in_turn, (__m512i)halves);
#else
    *(vu_stored *)p = vf_round_bf16(v[0]) >> 16 | (vf_round_bf16(v[1]) & 0xffff0000u);
#endif
}

SN_INLINE void vf_load_span(const float *p, vf v[SPAN_VECTORS])
{
    vf a = vf_load(p), b = vf_load(p + VF);
    v[0] = VF_EVEN(a, b);
    v[1] = VF_ODD(a, b);
}

SN_INLINE void vf_add_span(float *p, const vf v[SPAN_VECTORS])
{
    vf_store(p, vf_load(p) + VF_LOWER(v[0], v[1]));
    vf_store(p + VF, vf_load(p + VF) + VF_UPPER(v[0], v[1]));
}

/* The same for a span of two pixels of VF channels, which share coefficients and sums. */
SN_INLINE void vf_load_twins(const float *p, vf v[SPAN_VECTORS])
{
    vf a = vf_load(p);
    v[0] = VF_EVEN(a, a);
    v[1] = VF_ODD(a, a);
}

SN_INLINE void vf_add_twins(float *p, const vf v[SPAN_VECTORS])
{
    vf_store(p, vf_load(p) + (VF_LOWER(v[0], v[1]) + VF_UPPER(v[0], v[1])));
}
#else
enum { SPAN_VECTORS = 1 };
SN_INLINE void vs_load_span(const stored *p, vf v[SPAN_VECTORS]) { v[0] = vf_load(p); }
SN_INLINE void vs_store_span(stored *p, const vf v[SPAN_VECTORS]) { vf_store(p, v[0]); }
SN_INLINE void vf_load_span(const float *p, vf v[SPAN_VECTORS]) { v[0] = vf_load(p); }
SN_INLINE void vf_add_span(float *p, const vf v[SPAN_VECTORS]) { vf_store(p, vf_load(p) + v[0]); }
SN_INLINE void vf_load_twins(const float *p, vf v[SPAN_VECTORS]) { v[0] = vf_load(p); }
SN_INLINE void vf_add_twins(float *p, const vf v[SPAN_VECTORS]) { vf_store(p, vf_load(p) + v[0]); }
#endif
enum { SPAN = SPAN_VECTORS * VF };

/* An input that is stored, or NULL where an optional one is absent. */
static inline const stored *call_stored(const sn_kernel_call *call, int index)
{
    return index < call->node->inputs_count && call->input_nodes[index] ? call->inputs[index] : NULL;
}

/* NULL where the inputs of this mask are stored as this file's kernels have it, the other inputs are float, and the output is of
 * type `output`. */
static inline const char *storage_refusal(const sn_kernel_call *call, uint32_t stored_inputs, sn_dtype output)
{
    if (call->precision != SN_FLOAT) return "not single precision";
    if (call->node->dtype != output) return "output is stored otherwise";
    for (int k = 0; k < call->node->inputs_count; k++)
        if (call->input_nodes[k] && call->input_nodes[k]->dtype != (stored_inputs >> k & 1 ? SN_STORED : SN_REAL))
            return "an input is stored otherwise";
    return NULL;
}

/* The same where the output is stored too. */
static inline const char *stored_refusal(const sn_kernel_call *call, uint32_t stored_inputs)
{
    return storage_refusal(call, stored_inputs, SN_STORED);
}

#endif
