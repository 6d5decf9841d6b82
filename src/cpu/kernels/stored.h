/* stored.h - activations as they lie in memory: `stored` is float, or bf16 in files compiled with SN_STORED_BF16.  (Kernels on int8
 * have their own files.)
 *
 * A kernel on either reads and writes maps with these and computes in vf; weights, biases, gates, statistics and sums are float.
 */
#ifndef SN_CPU_KERNELS_STORED_H
#define SN_CPU_KERNELS_STORED_H

#include "cpu/kernels/vector.h"

/* bf16 of VF floats, to nearest even, NaN kept; and back. */
typedef uint16_t vh __attribute__((vector_size(2 * SN_VECTOR_FLOATS), aligned(2), may_alias));
typedef uint32_t vu __attribute__((vector_size(4 * SN_VECTOR_FLOATS), aligned(4), may_alias));

static inline vf vf_from_bf16(vh h) { return (vf)(__builtin_convertvector(h, vu) << 16); }

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
