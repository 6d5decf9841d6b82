/* conv_tiles.h - the register tiles of the dense convolutions: some pixels of one row times up to TILE_VECTORS vectors of output
 * channels, summed over runs of input floats that lie together in memory.
 *
 * A step (one input float of every pixel) loads the panel's weights once and broadcasts one float a pixel.  With AVX-512, 7
 * pixels x 64 channels keep 28 sums in registers and need 4 loads and broadcasts as memory operands for 28 FMAs, so that the FMA
 * unit is busy every cycle.  Rows of pixels 4 KB apart share a cache set: seven of them leave a way for the weights.  And 56,
 * 28, 14 and 7 are multiples of 7.  AVX2 and baseline have half the registers or less: 6 pixels x 2 vectors.
 * The sizes are literals of macro-made functions, because GCC puts only such arrays of sums into registers.
 *
 * After Goto, van de Geijn, Anatomy of high-performance matrix multiplication, ACM TOMS 2008; only the weights are packed here.
 */
#ifndef SN_CPU_KERNELS_CONV_TILES_H
#define SN_CPU_KERNELS_CONV_TILES_H

#include "cpu/kernels/clamp.h"

#if SN_VECTOR_FLOATS == 16
enum { TILE_VECTORS = 4 };
#else
enum { TILE_VECTORS = 2 };
#endif
enum { PANEL = TILE_VECTORS * VF, MOST_TILE_PIXELS = 14, LINE_FLOATS = 16 };

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

SN_INLINE void add_product(vf *sum, const float *x, vf weight)
{
#if SN_VECTOR_FLOATS == 16
    /* The compilers take a register for the broadcast, which is one more than there are. */
    __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(*sum) : "v"(weight), "m"(*x));
#else
    *sum += *x * weight;
#endif
}

/* y and the residual are needed when the sums are done: their cache lines come meanwhile. */
SN_INLINE void fetch_outputs(const conv_tile *t, int pixels, int vectors)
{
    SN_UNROLL for (int i = 0; i < pixels; i++)
        SN_UNROLL for (int c = 0; c < vectors * VF; c += LINE_FLOATS) __builtin_prefetch(t->y + i * t->y_pixel + c, 1);
    if (!t->residual) return;
    SN_UNROLL for (int i = 0; i < pixels; i++)
        SN_UNROLL for (int c = 0; c < vectors * VF; c += LINE_FLOATS) __builtin_prefetch(t->residual + i * t->y_pixel + c, 0);
}

#define EACH_SUM(PIXELS, VECTORS)                                                                                    \
    SN_UNROLL for (int i = 0; i < PIXELS; i++)                                                                       \
        SN_UNROLL for (int v = 0; v < VECTORS; v++)

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

#define DEFINE_SIX(VECTORS)                                                                                          \
    DEFINE_TILE(1, VECTORS)                                                                                          \
    DEFINE_TILE(2, VECTORS)                                                                                          \
    DEFINE_TILE(3, VECTORS)                                                                                          \
    DEFINE_TILE(4, VECTORS)                                                                                          \
    DEFINE_TILE(5, VECTORS)                                                                                          \
    DEFINE_TILE(6, VECTORS)
#define DEFINE_FOURTEEN(VECTORS)                                                                                     \
    DEFINE_SIX(VECTORS)                                                                                              \
    DEFINE_TILE(7, VECTORS)                                                                                          \
    DEFINE_TILE(8, VECTORS)                                                                                          \
    DEFINE_TILE(9, VECTORS)                                                                                          \
    DEFINE_TILE(10, VECTORS)                                                                                         \
    DEFINE_TILE(11, VECTORS)                                                                                         \
    DEFINE_TILE(12, VECTORS)                                                                                         \
    DEFINE_TILE(13, VECTORS)                                                                                         \
    DEFINE_TILE(14, VECTORS)
#define SIX(VECTORS) tile_1x##VECTORS, tile_2x##VECTORS, tile_3x##VECTORS, tile_4x##VECTORS, tile_5x##VECTORS, tile_6x##VECTORS
#define FOURTEEN(VECTORS)                                                                                            \
    SIX(VECTORS), tile_7x##VECTORS, tile_8x##VECTORS, tile_9x##VECTORS, tile_10x##VECTORS, tile_11x##VECTORS,        \
        tile_12x##VECTORS, tile_13x##VECTORS, tile_14x##VECTORS

/* conv_tiles[vectors - 1][pixels - 1], and the most pixels of a tile of so many vectors */
#if SN_VECTOR_FLOATS == 16
DEFINE_FOURTEEN(1)
DEFINE_FOURTEEN(2)
DEFINE_SIX(3)
DEFINE_TILE(7, 3)
DEFINE_SIX(4)
DEFINE_TILE(7, 4)
static void (*const conv_tiles[TILE_VECTORS][MOST_TILE_PIXELS])(const conv_tile *) = {
    {FOURTEEN(1)}, {FOURTEEN(2)}, {SIX(3), tile_7x3}, {SIX(4), tile_7x4}};
static const int conv_tile_pixels[TILE_VECTORS] = {14, 14, 7, 7};
#else
DEFINE_FOURTEEN(1)
DEFINE_SIX(2)
static void (*const conv_tiles[TILE_VECTORS][MOST_TILE_PIXELS])(const conv_tile *) = {{FOURTEEN(1)}, {SIX(2)}};
static const int conv_tile_pixels[TILE_VECTORS] = {12, 6};
#endif

#endif
