/* conv_tiles.h - the register tiles of the dense convolutions: some pixels of one row times up to TILE_VECTORS vectors of output
 * channels (a panel), summed over runs of input values that lie together in memory: floats, or bf16 in pairs (conv_values.h).
 *
 * Seven pixels suit the maps of the ImageNet networks, 56, 28, 14 and 7 wide, and the cache: pixels 4 KB apart share a set, and
 * seven of them leave a way for the weights.  Only the weights are packed; pixels are read where they are.
 */
#ifndef SN_CPU_KERNELS_CONV_TILES_H
#define SN_CPU_KERNELS_CONV_TILES_H

#include "cpu/kernels/clamp.h"
#include "cpu/kernels/conv_values.h"

typedef struct conv_tile {
    const conv_value *x; /* a tensor or its copy; the first pixel of segment s is at x + at + x_offset[s] */
    ptrdiff_t at, x_pixel;
    const ptrdiff_t *x_offset;
    int64_t segments, length; /* `length` values of a segment lie together */
    const float *w;           /* [segment][step][vectors * VF]: floats or pairs of bf16 */
    const float *ahead;       /* weights that later tiles read: fetched a cache line a step */
    const float *bias;        /* NULL: adds to what is in y */
    float *y;                 /* the first pixel; the sums are added to bias or y, times scale, then the residual, then the activation */
    const float *scale;       /* of the panel's channels, for these pixels; or NULL */
    const stored *residual;   /* like y, or like `narrow` where maps are narrow; or NULL */
    ptrdiff_t y_pixel;
    float *squeeze;           /* NULL, or sums over pixels: what is stored to y is added to them */
    sn_activation activation; /* SN_IDENTITY, SN_RELU or SN_RELU6 */
    stored *narrow;           /* where maps are narrow and this is not NULL, results are stored here, y has the sums so far */
    ptrdiff_t narrow_pixel;   /* of `narrow` and the residual */
} conv_tile;

/* Of the output tensor, and so of the residual. */
SN_INLINE ptrdiff_t output_pixel(const conv_tile *t) { return NARROWS ? t->narrow_pixel : t->y_pixel; }

/* y and the residual are needed when the sums are done: their cache lines come meanwhile. */
SN_INLINE void fetch_outputs(const conv_tile *t, int pixels, int vectors)
{
    enum { LINE = 64 / sizeof(stored) };
    ptrdiff_t pixel = output_pixel(t);
    if (!NARROWS || !t->narrow || !t->bias)
        SN_UNROLL for (int i = 0; i < pixels; i++)
            SN_UNROLL for (int c = 0; c < vectors * VF; c += LINE_FLOATS) __builtin_prefetch(t->y + i * t->y_pixel + c, 1);
    if (NARROWS && t->narrow)
        SN_UNROLL for (int i = 0; i < pixels; i++)
            SN_UNROLL for (int c = 0; c < vectors * VF; c += LINE) __builtin_prefetch(t->narrow + i * pixel + c, 1);
    if (!t->residual) return;
    SN_UNROLL for (int i = 0; i < pixels; i++)
        SN_UNROLL for (int c = 0; c < vectors * VF; c += LINE) __builtin_prefetch(t->residual + i * pixel + c, 0);
}

/* The last value of an odd segment has no partner: it is multiplied as a pair with 0, which its weight, too, has for one.  (Pairs
 * are stored whole, as the broadcasts that follow read them whole.) */
#if SN_PAIRS
#define ADD_LAST_VALUE(PIXELS, VECTORS)                                                                              \
    if (t->length % STEP_VALUES) {                                                                                   \
        enum { step = 0 };                                                                                           \
        conv_pair last[PIXELS];                                                                                      \
        SN_UNROLL for (int i = 0; i < PIXELS; i++) last[i] = *PIXEL_VALUES(i);                                    \
        EACH_SUM(PIXELS, VECTORS) add_value_pair(&sum[i][v], &last[i], vf_load(w + v * VF));                         \
        w += VECTORS * VF;                                                                                           \
    }
#else
#define ADD_LAST_VALUE(PIXELS, VECTORS)
#endif

/* With AVX-512 up to seven pixels have a pointer each, moved once in UNROLLED_STEPS: a sum of registers as the address makes two
 * operations of a multiply-add in Intel's processors, which they feel when a core runs two threads that share what it issues.
 * Else every five pixels share a pointer, as offsets of one to four strides are cheap and registers few. */
#if SN_VECTOR_FLOATS == 16 && !SN_PAIRS
enum { UNROLLED_STEPS = 4, OWN_POINTERS = 7, SHARED_PIXELS = 5 };
#else
enum { UNROLLED_STEPS = 1, OWN_POINTERS = 1, SHARED_PIXELS = 5 };
#endif
#define POINTER_PIXELS(PIXELS) ((PIXELS) <= OWN_POINTERS ? 1 : SHARED_PIXELS)
#define POINTERS(PIXELS) (((PIXELS) + POINTER_PIXELS(PIXELS) - 1) / POINTER_PIXELS(PIXELS))
#define PIXEL_VALUES(i) (x[(i) / each] + (i) % each * pixel + step * STEP_VALUES)

#define ADD_STEPS(PIXELS, VECTORS, STEPS)                                                                            \
    do {                                                                                                             \
        SN_UNROLL for (int step = 0; step < STEPS; step++)                                                           \
        {                                                                                                            \
            __builtin_prefetch(ahead + step * LINE_FLOATS, 0, 1);                                                    \
            ADD_STEP(PIXELS, VECTORS, PIXEL_VALUES, w + step * VECTORS * VF);                                        \
        }                                                                                                            \
        SN_UNROLL for (int i = 0; i < POINTERS(PIXELS); i++)                                                         \
        {                                                                                                            \
            x[i] += STEPS * STEP_VALUES;                                                                             \
            __asm__("" : "+r"(x[i]));                                                                                \
        }                                                                                                            \
        w += STEPS * VECTORS * VF, ahead += STEPS * LINE_FLOATS;                                                     \
    } while (0)

/* The empty asm keep the compiler from making other pointers of these, and from making the addresses of the end early. */
#define DEFINE_TILE(PIXELS, VECTORS)                                                                                 \
    static SN_NOINLINE void tile_##PIXELS##x##VECTORS(const conv_tile *t)                                            \
    {                                                                                                                \
        enum { each = POINTER_PIXELS(PIXELS) };                                                                      \
        vf sum[PIXELS][VECTORS];                                                                                     \
        EACH_SUM(PIXELS, VECTORS) sum[i][v] = (vf){0};                                                               \
        fetch_outputs(t, PIXELS, VECTORS);                                                                           \
        __asm__("" : "+r"(t));                                                                                       \
        const float *w = t->w, *ahead = t->ahead;                                                                    \
        for (int64_t s = 0; s < t->segments; s++) {                                                                  \
            ptrdiff_t pixel = t->x_pixel;                                                                            \
            const conv_value *x[POINTERS(PIXELS)];                                                                   \
            SN_UNROLL for (int i = 0; i < POINTERS(PIXELS); i++)                                                     \
            {                                                                                                        \
                x[i] = i > 0 ? x[i - 1] + each * pixel : t->x + (t->at + t->x_offset[s]);                            \
                __asm__("" : "+r"(x[i]));                                                                            \
            }                                                                                                        \
            __asm__("" : "+r"(pixel));                                                                               \
            int64_t k = t->length / STEP_VALUES;                                                                     \
            for (; k >= UNROLLED_STEPS; k -= UNROLLED_STEPS) ADD_STEPS(PIXELS, VECTORS, UNROLLED_STEPS);             \
            for (; k > 0; k--) ADD_STEPS(PIXELS, VECTORS, 1);                                                        \
            ADD_LAST_VALUE(PIXELS, VECTORS)                                                                          \
        }                                                                                                            \
        __asm__("" : "+r"(t));                                                                                       \
        if (t->bias)                                                                                                 \
            EACH_SUM(PIXELS, VECTORS) sum[i][v] += vf_load(t->bias + v * VF);                                        \
        else                                                                                                         \
            EACH_SUM(PIXELS, VECTORS) sum[i][v] += vf_load(t->y + i * t->y_pixel + v * VF);                          \
        if (t->scale) EACH_SUM(PIXELS, VECTORS) sum[i][v] *= vf_load(t->scale + v * VF);                             \
        if (t->residual)                                                                                             \
            EACH_SUM(PIXELS, VECTORS) sum[i][v] += vs_load(t->residual + i * output_pixel(t) + v * VF);              \
        if (t->activation != SN_IDENTITY)                                                                            \
            EACH_SUM(PIXELS, VECTORS) sum[i][v] = vf_at_least(sum[i][v], (vf){0});                                               \
        if (t->activation == SN_RELU6)                                                                               \
            EACH_SUM(PIXELS, VECTORS) sum[i][v] = vf_at_most(sum[i][v], vf_all(6));                                         \
        if (NARROWS && t->narrow)                                                                                    \
            EACH_SUM(PIXELS, VECTORS) vs_store(t->narrow + i * t->narrow_pixel + v * VF, sum[i][v]);                 \
        else                                                                                                         \
            EACH_SUM(PIXELS, VECTORS) vf_store(t->y + i * t->y_pixel + v * VF, sum[i][v]);                           \
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
