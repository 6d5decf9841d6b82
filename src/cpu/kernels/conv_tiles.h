/* conv_tiles.h - the register tiles of the direct convolutions: one or two runs of up to TILE_PIXELS neighbouring pixels times
 * TILE_VECTORS vectors of output channels.
 *
 * The step (one tap, one input channel) loads the weights of the panel once and broadcasts one float per pixel: with AVX-512
 * that is 16 FMAs with a broadcast memory operand for one weight load, which keeps a 512-bit FMA unit busy every cycle with
 * half of the load ports' capacity.  AVX2 has no broadcast operand and half the registers: 6 pixels x 2 vectors.
 * The sizes are literals of macro-made functions, because GCC puts only such accumulator arrays into registers.
 */
#ifndef SN_CPU_KERNELS_CONV_TILES_H
#define SN_CPU_KERNELS_CONV_TILES_H

#include "cpu/kernels/conv_plan.h"

#if SN_VECTOR_FLOATS == 16
#define TILE_PIXELS 8
#define TILE_VECTORS 1
#else
#define TILE_PIXELS 3
#define TILE_VECTORS 2
#endif
enum { PANEL = TILE_VECTORS * SN_VECTOR_FLOATS };

typedef struct conv_tile {
    const float *x;  /* copied band: first pixel of the first run, before any tap */
    ptrdiff_t x_run; /* floats from the first run to the second */
    ptrdiff_t block_floats;
    int64_t channels;
    int taps;
    const ptrdiff_t *tap_offset;
    const float *w;     /* [channel block][tap][channel][PANEL] */
    const float *start; /* PANEL floats to start from: the bias or zeros */
    float *y;           /* PANEL floats a pixel */
    ptrdiff_t y_run, y_pixel;
} conv_tile;

#define DEFINE_TILE(RUNS, PIXELS)                                                                                    \
    static SN_NOINLINE void tile_##RUNS##x##PIXELS(const conv_tile *t)                                               \
    {                                                                                                                \
        vf sum[RUNS][PIXELS][TILE_VECTORS];                                                                          \
        SN_UNROLL for (int r = 0; r < RUNS; r++)                                                                     \
            SN_UNROLL for (int i = 0; i < PIXELS; i++)                                                               \
                SN_UNROLL for (int v = 0; v < TILE_VECTORS; v++) sum[r][i][v] = vf_load(t->start + v * VF);          \
        const float *w = t->w, *block = t->x;                                                                        \
        ptrdiff_t run = t->x_run;                                                                                    \
        for (int64_t left = t->channels; left > 0; left -= CHANNEL_BLOCK, block += t->block_floats) {                \
            int64_t channels = left < CHANNEL_BLOCK ? left : CHANNEL_BLOCK;                                          \
            for (int tap = 0; tap < t->taps; tap++) {                                                                \
                const float *x0 = block + t->tap_offset[tap], *x1 = x0 + run, *end = x0 + channels;                  \
                for (; x0 < end; x0++, x1++, w += PANEL) {                                                           \
                    vf weight[TILE_VECTORS];                                                                         \
                    SN_UNROLL for (int v = 0; v < TILE_VECTORS; v++) weight[v] = vf_load(w + v * VF);                \
                    SN_UNROLL for (int i = 0; i < PIXELS; i++)                                                       \
                        SN_UNROLL for (int v = 0; v < TILE_VECTORS; v++) {                                           \
                            sum[0][i][v] += x0[i * CHANNEL_BLOCK] * weight[v];                                       \
                            if (RUNS == 2) sum[RUNS - 1][i][v] += x1[i * CHANNEL_BLOCK] * weight[v];                 \
                        }                                                                                            \
                }                                                                                                    \
            }                                                                                                        \
        }                                                                                                            \
        SN_UNROLL for (int r = 0; r < RUNS; r++)                                                                     \
            SN_UNROLL for (int i = 0; i < PIXELS; i++)                                                               \
                SN_UNROLL for (int v = 0; v < TILE_VECTORS; v++)                                                     \
                    vf_store(t->y + r * t->y_run + i * t->y_pixel + v * VF, sum[r][i][v]);                           \
    }

#define DEFINE_TILES(PIXELS) DEFINE_TILE(1, PIXELS) DEFINE_TILE(2, PIXELS)
#define TILES(PIXELS) {tile_1x##PIXELS, tile_2x##PIXELS}

DEFINE_TILES(1)
DEFINE_TILES(2)
DEFINE_TILES(3)
#if TILE_PIXELS == 8
DEFINE_TILES(4)
DEFINE_TILES(5)
DEFINE_TILES(6)
DEFINE_TILES(7)
DEFINE_TILES(8)
#endif

/* conv_tiles[pixels - 1][runs - 1] */
static void (*const conv_tiles[TILE_PIXELS][2])(const conv_tile *) = {
    TILES(1), TILES(2), TILES(3),
#if TILE_PIXELS == 8
    TILES(4), TILES(5), TILES(6), TILES(7), TILES(8),
#endif
};

#endif
