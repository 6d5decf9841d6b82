/* conv_tiles.h - the register tiles of the dense convolutions: some pixels of one row times up to TILE_VECTORS vectors of output
 * channels (a panel), summed over runs of input floats that lie together in memory.
 *
 * Seven pixels suit the maps of the ImageNet networks, 56, 28, 14 and 7 wide, and the cache: pixels 4 KB apart share a set, and
 * seven of them leave a way for the weights.  Only the weights are packed; pixels are read where they are.
 */
#ifndef SN_CPU_KERNELS_CONV_TILES_H
#define SN_CPU_KERNELS_CONV_TILES_H

#include "cpu/kernels/clamp.h"
#include "cpu/kernels/tile_sizes.h"

typedef struct conv_tile {
    const float *x; /* a tensor or its copy; the first pixel of segment s is at x + at + x_offset[s] */
    ptrdiff_t at, x_pixel;
    const ptrdiff_t *x_offset;
    int64_t segments, length; /* `length` floats of a segment lie together */
    const float *w;           /* [segment][length][vectors * VF] */
    const float *ahead;       /* weights that later tiles read: fetched a cache line a step */
    const float *bias;        /* NULL: adds to what is in y */
    float *y;                 /* the first pixel; the sums are added to bias or y, then the residual, then the activation */
    const float *residual;    /* like y, or NULL */
    ptrdiff_t y_pixel;
    float *squeeze;           /* NULL, or sums over pixels: what is stored to y is added to them */
    sn_activation activation; /* SN_IDENTITY, SN_RELU or SN_RELU6 */
} conv_tile;

/* y and the residual are needed when the sums are done: their cache lines come meanwhile. */
SN_INLINE void fetch_outputs(const conv_tile *t, int pixels, int vectors)
{
    SN_UNROLL for (int i = 0; i < pixels; i++)
        SN_UNROLL for (int c = 0; c < vectors * VF; c += LINE_FLOATS) __builtin_prefetch(t->y + i * t->y_pixel + c, 1);
    if (!t->residual) return;
    SN_UNROLL for (int i = 0; i < pixels; i++)
        SN_UNROLL for (int c = 0; c < vectors * VF; c += LINE_FLOATS) __builtin_prefetch(t->residual + i * t->y_pixel + c, 0);
}

/* Five pixels share a base pointer, as offsets of one to four strides are cheap; a pointer each would not fit into the registers.
 * The empty asm keep the compiler from making pointers of them all, and from making the addresses of the end early. */
#define DEFINE_TILE(PIXELS, VECTORS)                                                                                 \
    static SN_NOINLINE void tile_##PIXELS##x##VECTORS(const conv_tile *t)                                            \
    {                                                                                                                \
        vf sum[PIXELS][VECTORS];                                                                                     \
        EACH_SUM(PIXELS, VECTORS) sum[i][v] = (vf){0};                                                               \
        fetch_outputs(t, PIXELS, VECTORS);                                                                           \
        __asm__("" : "+r"(t));                                                                                       \
        const float *w = t->w, *ahead = t->ahead;                                                                    \
        for (int64_t s = 0; s < t->segments; s++) {                                                                  \
            ptrdiff_t pixel = t->x_pixel;                                                                            \
            const float *x0 = t->x + (t->at + t->x_offset[s]), *x5 = x0, *x10 = x0;                                  \
            if (PIXELS > 5) x5 += 5 * pixel;                                                                         \
            if (PIXELS > 10) x10 += 10 * pixel;                                                                      \
            __asm__("" : "+r"(x0), "+r"(x5), "+r"(x10), "+r"(pixel));                                                \
            for (int64_t k = t->length; k > 0; k--, x0++, x5++, x10++, w += VECTORS * VF, ahead += LINE_FLOATS) {    \
                vf weight[VECTORS];                                                                                  \
                __builtin_prefetch(ahead, 0, 1);                                                                     \
                SN_UNROLL for (int v = 0; v < VECTORS; v++) weight[v] = vf_load(w + v * VF);                         \
                EACH_SUM(PIXELS, VECTORS)                                                                            \
                add_product(&sum[i][v], (i < 5 ? x0 : i < 10 ? x5 : x10) + i % 5 * pixel, weight[v]);                \
            }                                                                                                        \
        }                                                                                                            \
        __asm__("" : "+r"(t));                                                                                       \
        if (t->bias)                                                                                                 \
            EACH_SUM(PIXELS, VECTORS) sum[i][v] += vf_load(t->bias + v * VF);                                        \
        else                                                                                                         \
            EACH_SUM(PIXELS, VECTORS) sum[i][v] += vf_load(t->y + i * t->y_pixel + v * VF);                          \
        if (t->residual)                                                                                             \
            EACH_SUM(PIXELS, VECTORS) sum[i][v] += vf_load(t->residual + i * t->y_pixel + v * VF);                   \
        if (t->activation != SN_IDENTITY)                                                                            \
            EACH_SUM(PIXELS, VECTORS) sum[i][v] = vf_at_least(sum[i][v], (vf){0});                                               \
        if (t->activation == SN_RELU6)                                                                               \
            EACH_SUM(PIXELS, VECTORS) sum[i][v] = vf_at_most(sum[i][v], vf_all(6));                                         \
        EACH_SUM(PIXELS, VECTORS) vf_store(t->y + i * t->y_pixel + v * VF, sum[i][v]);                               \
        if (!t->squeeze) return;                                                                                     \
        SN_UNROLL for (int v = 0; v < VECTORS; v++)                                                                  \
        {                                                                                                            \
            vf pixels = sum[0][v];                                                                                   \
            SN_UNROLL for (int i = 1; i < PIXELS; i++) pixels += sum[i][v];                                          \
            vf_store(t->squeeze + v * VF, vf_load(t->squeeze + v * VF) + pixels);                                    \
        }                                                                                                            \
    }

DEFINE_TILES
static void (*const conv_tiles[TILE_VECTORS][MOST_TILE_ROWS])(const conv_tile *) = TILE_TABLE;

#endif
