/* vector.h - the vector type of the ISA level being compiled, and how a kernel file defines its kernels.
 *
 * Every file of this folder is compiled once per level (isa.cmake): SN_ISA is the level's name, SN_VECTOR_FLOATS its width.
 * Those named in isa.cmake's lists are compiled once more with SN_STORED_BF16 or SN_STORED_Q8: activations are then bf16 or int8 in
 * memory (stored.h).
 * Everything in a kernel file is static except the sn_kernel objects, whose names end in storage and level.
 */
#ifndef SN_CPU_KERNELS_VECTOR_H
#define SN_CPU_KERNELS_VECTOR_H

#include <string.h>
#if SN_VECTOR_FLOATS > 4
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "cpu/kernels/kernels.h"

enum { VF = SN_VECTOR_FLOATS };

/* Vector registers of the level: what the sizes of register tiles follow. */
#if SN_VECTOR_FLOATS == 16 || defined(__aarch64__)
#define SN_VECTOR_REGISTERS 32
#else
#define SN_VECTOR_REGISTERS 16
#endif

/* A vector of floats; loads and stores through it need no alignment. */
typedef float vf __attribute__((vector_size(4 * SN_VECTOR_FLOATS), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * SN_VECTOR_FLOATS), aligned(4), may_alias));

#if SN_STORED_BF16
#define SN_STORED_NAME bf16
#define SN_KERNEL_LIST "cpu/kernels/list_bf16.inc"
#elif SN_STORED_Q8
#define SN_STORED_NAME q8
#define SN_KERNEL_LIST "cpu/kernels/list_q8.inc"
#else
#define SN_STORED_NAME f32
#define SN_KERNEL_LIST "cpu/kernels/list.inc"
#endif
#define SN_JOIN_(a, b, c, d) a##b##_##c##__##d
#define SN_JOIN(a, b, c, d) SN_JOIN_(a, b, c, d)
#define SN_TEXT_(a) #a
#define SN_TEXT(a) SN_TEXT_(a)

/* const sn_kernel SN_KERNEL_SYMBOL(conv2d_direct) = {.name = SN_KERNEL_NAME(conv2d_direct), .storage = SN_STORED, ...}; */
#define SN_KERNEL_SYMBOL(base) SN_JOIN(sn_, base, SN_STORED_NAME, SN_ISA)
#define SN_KERNEL_NAME(base) #base "_" SN_TEXT(SN_STORED_NAME) "__" SN_TEXT(SN_ISA)

#if SN_ISA_amx
#define SN_KERNEL(base) /* that of avx512_bf16: level.c */
#else
#define SN_KERNEL(base) extern const sn_kernel SN_KERNEL_SYMBOL(base);
#endif
#define SN_AMX_KERNEL(base) extern const sn_kernel SN_KERNEL_SYMBOL(base);
#include SN_KERNEL_LIST
#undef SN_KERNEL
#undef SN_AMX_KERNEL

/* level.c: all of them, NULL-ended. */
extern const sn_kernel *const SN_KERNEL_SYMBOL(kernels)[];

/* Small loops over registers.  Unrolled under a sanitizer, with a check at every access, they take minutes to compile. */
#if defined(__clang__)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SN_UNROLL _Pragma("nounroll")
#else
#define SN_UNROLL _Pragma("unroll")
#endif
#define SN_NOINLINE __attribute__((noinline))
#else
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SN_UNROLL _Pragma("GCC unroll 1")
#else
#define SN_UNROLL _Pragma("GCC unroll 64")
#endif
#define SN_NOINLINE __attribute__((noinline, noclone))
#endif

#define SN_INLINE static inline __attribute__((always_inline))

static inline vf vf_load(const float *p) { return *(const vf *)p; }
static inline void vf_store(float *p, vf v) { *(vf *)p = v; }
static inline vf vf_all(float x) { return x - (vf){0}; }
/* v where mask (a comparison's result), else 0. */
static inline vf vf_where(vi mask, vf v) { return (vf)(mask & (vi)v); }
/* ReLU keeps NaN, so that a diverged run shows. */
static inline vf vf_relu(vf v) { return vf_where(~(v < (vf){0}), v); }

/* The first n <= VF floats at p, zeros behind them; and their store. */
#if SN_VECTOR_FLOATS == 16
static inline vf vf_load_first(const float *p, int64_t n) { return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
static inline void vf_store_first(float *p, vf v, int64_t n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v); }
#elif SN_VECTOR_FLOATS == 8
static inline __m256i vf_first(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vf vf_load_first(const float *p, int64_t n) { return (vf)_mm256_maskload_ps(p, vf_first(n)); }
static inline void vf_store_first(float *p, vf v, int64_t n) { _mm256_maskstore_ps(p, vf_first(n), (__m256)v); }
#else
static inline vf vf_load_first(const float *p, int64_t n)
{
    vf v = {0};
    SN_UNROLL for (int l = 0; l < VF; l++)
        if (l < n) v[l] = p[l];
    return v;
}
static inline void vf_store_first(float *p, vf v, int64_t n)
{
    SN_UNROLL for (int l = 0; l < VF; l++)
        if (l < n) p[l] = v[l];
}
#endif
/* The same where n is usually VF. */
static inline vf vf_load_n(const float *p, int64_t n) { return n >= VF ? vf_load(p) : vf_load_first(p, n); }
static inline void vf_store_n(float *p, vf v, int64_t n)
{
    if (n >= VF)
        vf_store(p, v);
    else
        vf_store_first(p, v, n);
}

/* An input, or NULL where an optional one is absent. */
static inline const float *call_input(const sn_kernel_call *call, int index)
{
    return index < call->node->inputs_count && call->input_nodes[index] ? call->inputs[index] : NULL;
}

/* Whether a convolution's sums are multiplied by a row of each image. */
static inline bool conv_scaled(const sn_kernel_call *call) { return call->node->inputs_count > 5 && call->input_nodes[5]; }

static inline int64_t sn_min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t sn_max64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t sn_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

#endif
