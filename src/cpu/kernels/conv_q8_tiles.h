/* conv_q8_tiles.h - the register tiles of the dense convolutions on int8: some pixels of one row times up to TILE_VECTORS vectors of
 * output channels, whole sums of products of bytes.
 *
 * The tiles of conv_tiles.h with four input channels a step.  The instruction for it takes the unsigned bytes, the pixels, from a
 * register and only the signed ones, the weights, from memory: so the broadcast needs a register, and of four vectors of weights
 * two are read from memory in each product, which leaves 28 sums, two weights and two broadcasts.
 */
#ifndef SN_CPU_KERNELS_CONV_Q8_TILES_H
#define SN_CPU_KERNELS_CONV_Q8_TILES_H

#include "cpu/kernels/q8.h"
#include "cpu/kernels/tile_sizes.h"

enum { WEIGHTS_HELD = 2 };

typedef struct q8_tile {
    const uint8_t *x; /* a tensor or its copy; the first pixel of segment s is at x + at + x_offset[s] */
    ptrdiff_t at, x_pixel;
    const ptrdiff_t *x_offset;
    int64_t segments, words; /* of four bytes: a segment */
    const int8_t *w;         /* [segment][word][vectors * VF][4] */
    const int8_t *ahead;     /* weights that later tiles read: fetched a cache line a step */
    const int32_t *start;    /* what the sums begin with: minus the input's zero times all weights */
    const float *scale, *shift; /* steps = sum * scale + shift + residual */
    void *y;                 /* the first pixel */
    const void *residual;    /* like y, or NULL */
    sn_dtype residual_type;
    float residual_scale;    /* steps of y a unit of the residual as it is stored */
    ptrdiff_t y_pixel;       /* elements */
    int y_bytes, residual_bytes; /* of an element */
    float *squeeze;          /* NULL, or sums over pixels of the steps before they are rounded */
    const map_end *end;
} q8_tile;

/* y and the residual are needed when the sums are done: their first cache lines come meanwhile. */
SN_INLINE void fetch_outputs(const q8_tile *t, int pixels)
{
    SN_UNROLL for (int i = 0; i < pixels; i++) __builtin_prefetch((const char *)t->y + i * t->y_pixel * t->y_bytes, 1);
    if (!t->residual) return;
    SN_UNROLL for (int i = 0; i < pixels; i++)
        __builtin_prefetch((const char *)t->residual + i * t->y_pixel * t->residual_bytes, 0);
}

/* ---- what becomes of the sums, for y and the residual stored in any way ---- */

static SN_NOINLINE void store_any(const q8_tile *t, const vi *sums, int pixels, int vectors)
{
    for (int v = 0; v < vectors; v++) {
        vf squeeze = {0};
        for (int i = 0; i < pixels; i++) {
            ptrdiff_t at = i * t->y_pixel + v * VF;
            vf steps = __builtin_convertvector(sums[i * vectors + v], vf) * vf_load(t->scale + v * VF) + vf_load(t->shift + v * VF);
            if (t->residual) steps += map_load_n(t->residual, t->residual_type, at, VF) * t->residual_scale;
            squeeze += map_store(t->end, t->end->type, t->y, at, steps);
        }
        if (t->squeeze) vf_store(t->squeeze + v * VF, vf_load(t->squeeze + v * VF) + squeeze);
    }
}

/* ---- the frequent ways, from the registers ---- */

#if SN_VECTOR_FLOATS == 16
/* Whether y is int8 and all that holds its steps is the range of a byte and a low end. */
static inline bool stores_bytes(const q8_tile *t)
{
    return map_end_is_byte(t->end) && (!t->residual || t->residual_type == SN_Q8);
}

/* The squeeze is of steps that no byte has cut yet. */
#define STORE_SUMS(PIXELS, VECTORS, STORED, RESIDUAL)                                                                \
    {                                                                                                                \
        vf scale[VECTORS], shift[VECTORS], squeeze[VECTORS], low = STORED ? t->end->range.low : t->end->clamp.low;   \
        vf high = t->end->clamp.high, factor = vf_all(t->residual_scale);                                            \
        vi zero = t->end->range.zero;                                                                                \
        uint8_t *y = t->y;                                                                                           \
        const uint8_t *residual = t->residual;                                                                       \
        bool squeezes = t->squeeze != NULL;                                                                          \
        SN_UNROLL for (int v = 0; v < VECTORS; v++)                                                                  \
        {                                                                                                            \
            scale[v] = vf_load(t->scale + v * VF);                                                                   \
            shift[v] = vf_load(t->shift + v * VF);                                                                   \
            squeeze[v] = (vf){0};                                                                                    \
        }                                                                                                            \
        SN_UNROLL for (int i = 0; i < PIXELS; i++)                                                                   \
        {                                                                                                            \
            vi q[VECTORS];                                                                                           \
            SN_UNROLL for (int v = 0; v < VECTORS; v++)                                                              \
            {                                                                                                        \
                ptrdiff_t at = i * t->y_pixel + v * VF;                                                              \
                vf steps = __builtin_convertvector(sum[i][v], vf) * scale[v] + shift[v];                             \
                if (RESIDUAL) steps += q8_load(residual + at) * factor;                                              \
                steps = vf_at_least(steps, low);                                                                     \
                if (!STORED) steps = vf_at_most(steps, high);                                                        \
                if (squeezes) squeeze[v] += steps;                                                                   \
                if (STORED)                                                                                          \
                    q[v] = (vi)_mm512_cvtps_epi32((__m512)steps) + zero;                                             \
                else                                                                                                 \
                    vf_store_bf16((uint16_t *)(void *)y + at, steps);                                                \
            }                                                                                                        \
            if (STORED) q8_store_bytes(y + i * t->y_pixel, q, VECTORS);                                                 \
        }                                                                                                            \
        if (squeezes)                                                                                                \
            SN_UNROLL for (int v = 0; v < VECTORS; v++)                                                              \
                vf_store(t->squeeze + v * VF, vf_load(t->squeeze + v * VF) + squeeze[v]);                            \
        return;                                                                                                      \
    }
#define STORE_FREQUENT(PIXELS, VECTORS)                                                                              \
    if (stores_bytes(t) && t->residual) STORE_SUMS(PIXELS, VECTORS, true, true)                                      \
    if (stores_bytes(t)) STORE_SUMS(PIXELS, VECTORS, true, false)                                                    \
    if (t->end->type == SN_BF16 && !t->residual) STORE_SUMS(PIXELS, VECTORS, false, false)
#else
#define STORE_FREQUENT(PIXELS, VECTORS)
#endif

#define DEFINE_TILE(PIXELS, VECTORS)                                                                                 \
    static SN_NOINLINE void tile_##PIXELS##x##VECTORS(const q8_tile *t)                                           \
    {                                                                                                                \
        vi sum[PIXELS][VECTORS];                                                                                     \
        fetch_outputs(t, PIXELS);                                                                                    \
        EACH_SUM(PIXELS, VECTORS) sum[i][v] = *(const vi *)(t->start + v * VF);                                      \
        const int8_t *w = t->w, *ahead = t->ahead;                                                                   \
        for (int64_t s = 0; s < t->segments; s++) {                                                                  \
            ptrdiff_t pixel = t->x_pixel;                                                                            \
            const uint8_t *x0 = t->x + (t->at + t->x_offset[s]), *x5 = x0, *x10 = x0;                                \
            if (PIXELS > 5) x5 += 5 * pixel;                                                                         \
            if (PIXELS > 10) x10 += 10 * pixel;                                                                      \
            __asm__("" : "+r"(x0), "+r"(x5), "+r"(x10), "+r"(pixel), "+r"(t));                                       \
            for (int64_t k = t->words; k > 0; k--, x0 += 4, x5 += 4, x10 += 4, w += 4 * VECTORS * VF, ahead += 64) { \
                vi weight[WEIGHTS_HELD];                                                                             \
                __builtin_prefetch(ahead, 0, 1);                                                                     \
                SN_UNROLL for (int v = 0; v < VECTORS && v < WEIGHTS_HELD; v++) weight[v] = *(const vi *)(w + 4 * v * VF); \
                SN_UNROLL for (int i = 0; i < PIXELS; i++)                                                           \
                {                                                                                                    \
                    vi four = q8_four((i < 5 ? x0 : i < 10 ? x5 : x10) + i % 5 * pixel);                             \
                    SN_UNROLL for (int v = 0; v < VECTORS; v++)                                                      \
                    {                                                                                                \
                        if (v < WEIGHTS_HELD)                                                                        \
                            q8_add_products(&sum[i][v], four, weight[v]);                                            \
                        else                                                                                         \
                            q8_add_products_at(&sum[i][v], four, w + 4 * v * VF);                                    \
                    }                                                                                                \
                }                                                                                                    \
            }                                                                                                        \
        }                                                                                                            \
        __asm__("" : "+r"(t));                                                                                       \
        STORE_FREQUENT(PIXELS, VECTORS)                                                                              \
        vi copy[PIXELS][VECTORS]; /* an array whose address is taken does not stay in registers */                   \
        EACH_SUM(PIXELS, VECTORS) copy[i][v] = sum[i][v];                                                            \
        store_any(t, &copy[0][0], PIXELS, VECTORS);                                                                  \
    }

DEFINE_TILES
static void (*const q8_tiles[TILE_VECTORS][MOST_TILE_ROWS])(const q8_tile *) = TILE_TABLE;

#endif
