/* q8.h - int8 activations in registers: one byte q for the value scale (q - zero), VF of them a vector.
 *
 * Kernels compute in units of the output's scale, "steps": v / scale, before the zero is added.  A step is rounded to nearest, ties
 * to even, as cpu/ref/narrow.h does; what differs is the rounding of v / scale itself, so an output can be one step from the
 * plain kernel's where that falls between two steps.
 */
#ifndef SN_CPU_KERNELS_Q8_H
#define SN_CPU_KERNELS_Q8_H

#include "cpu/kernels/clamp.h"
#include "cpu/kernels/stored.h"

/* VF bytes, unsigned; loads and stores through it need no alignment. */
typedef uint8_t vb __attribute__((vector_size(SN_VECTOR_FLOATS), aligned(1), may_alias));

/* Bytes to integers and the low bytes of integers; compilers take the generic conversion apart, element by element. */
SN_INLINE vi vi_from_bytes(vb q)
{
#if SN_VECTOR_FLOATS == 16
    return (vi)_mm512_cvtepu8_epi32((__m128i)q);
#elif SN_VECTOR_FLOATS == 8
    int64_t bits;
    memcpy(&bits, &q, sizeof bits);
    return (vi)_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bits));
#else
    return __builtin_convertvector(q, vi);
#endif
}
SN_INLINE vb vb_from_integers(vi v)
{
#if SN_VECTOR_FLOATS == 16
    return (vb)_mm512_cvtepi32_epi8((__m512i)v);
#elif SN_VECTOR_FLOATS == 8
    v &= 255;
    __m128i words = _mm_packus_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
    int64_t bits = _mm_cvtsi128_si64(_mm_packus_epi16(words, words));
    vb q;
    memcpy(&q, &bits, sizeof q);
    return q;
#else
    return __builtin_convertvector(v, vb);
#endif
}

/* The first n <= VF bytes at p, zeros behind them; and their store. */
static inline vb vb_load_first(const uint8_t *p, int64_t n)
{
#if SN_VECTOR_FLOATS == 16
    return (vb)_mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), p);
#else
    vb q = {0};
    memcpy(&q, p, (size_t)n);
    return q;
#endif
}
static inline void vb_store_first(uint8_t *p, vb q, int64_t n)
{
#if SN_VECTOR_FLOATS == 16
    _mm_mask_storeu_epi8(p, (__mmask16)((1u << n) - 1), (__m128i)q);
#else
    memcpy(p, &q, (size_t)n);
#endif
}
static inline vb vb_load_n(const uint8_t *p, int64_t n) { return n >= VF ? *(const vb *)p : vb_load_first(p, n); }

/* q as integers and as floats, the zero not subtracted. */
static inline vi q8_integers_n(const uint8_t *p, int64_t n) { return vi_from_bytes(vb_load_n(p, n)); }
static inline vf q8_load(const uint8_t *p) { return __builtin_convertvector(vi_from_bytes(*(const vb *)p), vf); }
static inline vf q8_load_n(const uint8_t *p, int64_t n) { return __builtin_convertvector(q8_integers_n(p, n), vf); }

/* How steps become bytes: held between low and high, which take in the activation, then rounded. */
typedef struct q8_range {
    vf low, high; /* -zero and 255 - zero, or closer */
    vi zero;
} q8_range;

static inline q8_range q8_range_of(sn_quant quant, sn_activation activation)
{
    float low = (float)-quant.zero, high = (float)(255 - quant.zero);
    if (activation != SN_IDENTITY && low < 0) low = 0;
    if (activation == SN_RELU6 && 6 / quant.scale < high) high = 6 / quant.scale;
    return (q8_range){vf_all(low), vf_all(high), (vi){0} + quant.zero};
}

/* Steps held in the range; what is no number becomes the least. */
SN_INLINE vf q8_hold(const q8_range *r, vf steps)
{
#if SN_VECTOR_FLOATS == 16
    return (vf)_mm512_min_ps(_mm512_max_ps((__m512)steps, (__m512)r->low), (__m512)r->high);
#elif SN_VECTOR_FLOATS == 8
    return (vf)_mm256_min_ps(_mm256_max_ps((__m256)steps, (__m256)r->low), (__m256)r->high);
#else
    vi above = steps > r->low;
    vf held = (vf)((above & (vi)steps) | (~above & (vi)r->low));
    vi below = held < r->high;
    return (vf)((below & (vi)held) | (~below & (vi)r->high));
#endif
}

/* Bytes of steps that are held.  Adding 1.5 2^23 rounds to whole numbers and leaves them in the low bits. */
SN_INLINE vb q8_bytes(const q8_range *r, vf steps)
{
    vi bits = (vi)(steps + 12582912.0f);
    return vb_from_integers(bits + r->zero);
}

#if SN_VECTOR_FLOATS == 16
/* Stores the bytes of whole numbers from -32768 on, held in 0..255 by the narrowing itself. */
SN_INLINE void q8_store_bytes(uint8_t *y, const vi *q, int vectors)
{
    if (vectors == 4) {
        const vi order = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
        __m512i low = _mm512_packs_epi32((__m512i)q[0], (__m512i)q[1]), high = _mm512_packs_epi32((__m512i)q[2], (__m512i)q[3]);
        _mm512_storeu_si512(y, _mm512_permutexvar_epi32((__m512i)order, _mm512_packus_epi16(low, high)));
        return;
    }
    if (vectors == 2) {
        const vi order = {0, 4, 8, 12, 1, 5, 9, 13};
        __m512i words = _mm512_packs_epi32((__m512i)q[0], (__m512i)q[1]);
        __m512i bytes = _mm512_permutexvar_epi32((__m512i)order, _mm512_packus_epi16(words, words));
        _mm256_storeu_si256((__m256i *)(void *)y, _mm512_castsi512_si256(bytes));
        return;
    }
    SN_UNROLL for (int v = 0; v < vectors; v++)
        _mm_storeu_si128((__m128i *)(y + v * VF), _mm512_cvtusepi32_epi8(_mm512_max_epi32((__m512i)q[v], _mm512_setzero_si512())));
}
#endif

/* ---- maps of any storage ---- */

/* Values from element `at` on: q where they are int8. */
SN_INLINE vf map_load_n(const void *map, sn_dtype type, int64_t at, int64_t n)
{
    if (type == SN_Q8) return q8_load_n((const uint8_t *)map + at, n);
    if (type == SN_BF16) {
        const uint16_t *p = (const uint16_t *)map + at;
        return n >= VF ? vf_load_bf16(p) : vf_load_bf16_first(p, n);
    }
    return vf_load_n((const float *)map + at, n);
}

/* value = factor * loaded + constant */
typedef struct map_scale {
    float factor, constant;
} map_scale;
static inline map_scale map_scale_of(const sn_node *node)
{
    if (node->dtype != SN_Q8) return (map_scale){1, 0};
    return (map_scale){node->quant.scale, -node->quant.scale * (float)node->quant.zero};
}

/* How values become elements of a map: times 1 / step they are steps of it, which the activation's range holds. */
typedef struct map_end {
    sn_dtype type;
    float step; /* 1 where the map is not int8 */
    q8_range range;
    clamp clamp;
} map_end;

static inline map_end map_end_of(const sn_node *node, sn_activation activation)
{
    map_end end = {.type = node->dtype, .step = node->dtype == SN_Q8 ? node->quant.scale : 1, .clamp = clamp_of(activation)};
    if (node->dtype == SN_Q8) end.range = q8_range_of(node->quant, activation);
    return end;
}

/* Whether all that holds steps is the range of a byte and a low end. */
static inline bool map_end_is_byte(const map_end *end)
{
    return end->type == SN_Q8 && end->range.high[0] == (float)(255 - end->range.zero[0]);
}

SN_INLINE vf map_hold(const map_end *end, vf steps)
{
    return end->type == SN_Q8 ? q8_hold(&end->range, steps) : clamp_apply(&end->clamp, steps);
}

/* Stores steps from element `at` on; returns them as they were held. */
SN_INLINE vf map_store(const map_end *end, sn_dtype type, void *map, int64_t at, vf steps)
{
    if (type == SN_Q8) {
        steps = q8_hold(&end->range, steps);
        *(vb *)((uint8_t *)map + at) = q8_bytes(&end->range, steps);
        return steps;
    }
    steps = clamp_apply(&end->clamp, steps);
    if (type == SN_BF16)
        vf_store_bf16((uint16_t *)map + at, steps);
    else
        vf_store((float *)map + at, steps);
    return steps;
}

/* The first n <= VF of them. */
SN_INLINE void map_store_first(const map_end *end, sn_dtype type, void *map, int64_t at, vf steps, int64_t n)
{
    if (type == SN_Q8) {
        vb_store_first((uint8_t *)map + at, q8_bytes(&end->range, q8_hold(&end->range, steps)), n);
        return;
    }
    steps = clamp_apply(&end->clamp, steps);
    if (type == SN_BF16)
        vf_store_bf16_first((uint16_t *)map + at, steps, n);
    else
        vf_store_first((float *)map + at, steps, n);
}

static inline bool map_is_storage(sn_dtype type) { return type == SN_Q8 || type == SN_BF16 || type == SN_REAL; }

/* ---- weights: whole multiples, -127 to 127, of the largest of an output / 127 ---- */

static inline int q8_integer(float w, float largest) { return largest > 0 ? (int)rintf(w * (127 / largest)) : 0; }

/* ---- sums of products of bytes ---- */

/* sum[lane] += the products of four unsigned bytes at x and of each lane's four signed bytes */
#if defined(__AVX512VNNI__) && SN_VECTOR_FLOATS == 16
SN_INLINE vi q8_four(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, sizeof four);
    return (vi)_mm512_set1_epi32(four);
}
/* In assembly, as compilers take registers for the second weight of a step that there are not. */
SN_INLINE void q8_add_products(vi *sum, vi x, vi weight) { __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(weight)); }
SN_INLINE void q8_add_products_at(vi *sum, vi x, const int8_t *weight)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(x), "m"(*(const vi *)weight));
}
#else
/* Products of 16 bits: bytes 0 and 2 of every lane, then 1 and 3.  (The processor's product of bytes would saturate.) */
typedef int16_t vs __attribute__((vector_size(4 * SN_VECTOR_FLOATS), aligned(2), may_alias));
SN_INLINE vi q8_four(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, sizeof four);
    return (vi){0} + four;
}
SN_INLINE vi q8_pairs(vs a, vs b)
{
#if SN_VECTOR_FLOATS == 16
    return (vi)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif SN_VECTOR_FLOATS == 8
    return (vi)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    typedef short eight __attribute__((vector_size(16)));
    return (vi)__builtin_ia32_pmaddwd128((eight)a, (eight)b);
#else
    vi x = (vi)a, y = (vi)b;
    return (x << 16 >> 16) * (y << 16 >> 16) + (x >> 16) * (y >> 16);
#endif
}
SN_INLINE void q8_add_products(vi *sum, vi x, vi weight)
{
    vs w = (vs)weight, even = (vs)(x & 0x00ff00ff), odd = (vs)((vu)x >> 8 & 0x00ff00ff);
    *sum += q8_pairs(even, w << 8 >> 8) + q8_pairs(odd, w >> 8);
}
SN_INLINE void q8_add_products_at(vi *sum, vi x, const int8_t *weight) { q8_add_products(sum, x, *(const vi *)weight); }
#endif

#endif
