/* conv_winograd_tiles.h - the register tiles of Winograd's product at one point:  m(tile, o) = sum over c of v(tile, c) u(c, o).
 *
 * Up to WIDE_ROWS tiles x two vectors of outputs, or TALL_ROWS x one, where a weight vector is read once for all tiles.  A step
 * (one input channel) loads the vectors of u and broadcasts one float per tile.  The weights are prefetched into the L2 cache far
 * ahead: for few tiles they stream from memory.  The sizes are literals of macro-made functions, because GCC puts only such
 * accumulator arrays into registers.
 */
#ifndef SN_CPU_KERNELS_CONV_WINOGRAD_TILES_H
#define SN_CPU_KERNELS_CONV_WINOGRAD_TILES_H

#include "cpu/kernels/vector.h"

#if SN_VECTOR_REGISTERS == 32
enum { WIDE_ROWS = 14, TALL_ROWS = 16 };
#else
enum { WIDE_ROWS = 6, TALL_ROWS = 12 };
#endif
enum { AHEAD = 256 }; /* steps from a load of weights to its prefetch */

typedef struct winograd_product {
    const float *v;    /* [channels / VF, rounded up][rows][VF] */
    const float *u;    /* [channels][VF], of the first vector of outputs */
    ptrdiff_t u_panel; /* floats from there to the second vector's */
    int64_t channels;
    float *m;          /* [rows][vectors][VF] */
} winograd_product;

#define DEFINE_PRODUCT(ROWS, VECTORS)                                                                                \
    static SN_NOINLINE void product_##ROWS##x##VECTORS(const winograd_product *p)                                    \
    {                                                                                                                \
        vf sum[ROWS][VECTORS];                                                                                       \
        SN_UNROLL for (int i = 0; i < ROWS; i++)                                                                     \
            SN_UNROLL for (int k = 0; k < VECTORS; k++) sum[i][k] = (vf){0};                                         \
        const float *v = p->v, *u = p->u;                                                                            \
        const ptrdiff_t panel = p->u_panel;                                                                          \
        for (int64_t left = p->channels; left > 0; left -= VF, v += ROWS * VF) {                                     \
            const float *end = v + (left < VF ? left : VF);                                                          \
            for (const float *x = v; x < end; x++, u += VF) {                                                        \
                vf weight[VECTORS];                                                                                  \
                SN_UNROLL for (int k = 0; k < VECTORS; k++) {                                                        \
                    weight[k] = vf_load(u + k * panel);                                                              \
                    __builtin_prefetch((const char *)(u + k * panel) + AHEAD * VF * sizeof(float), 0, 1);            \
                }                                                                                                    \
                SN_UNROLL for (int i = 0; i < ROWS; i++)                                                             \
                    SN_UNROLL for (int k = 0; k < VECTORS; k++) sum[i][k] += x[i * VF] * weight[k];                  \
            }                                                                                                        \
        }                                                                                                            \
        SN_UNROLL for (int i = 0; i < ROWS; i++)                                                                     \
            SN_UNROLL for (int k = 0; k < VECTORS; k++) vf_store(p->m + (i * VECTORS + k) * VF, sum[i][k]);          \
    }

#define DEFINE_PRODUCTS(ROWS) DEFINE_PRODUCT(ROWS, 1) DEFINE_PRODUCT(ROWS, 2)

DEFINE_PRODUCTS(1)
DEFINE_PRODUCTS(2)
DEFINE_PRODUCTS(3)
DEFINE_PRODUCTS(4)
DEFINE_PRODUCTS(5)
DEFINE_PRODUCTS(6)
#if SN_VECTOR_REGISTERS == 32
DEFINE_PRODUCTS(7)
DEFINE_PRODUCTS(8)
DEFINE_PRODUCTS(9)
DEFINE_PRODUCTS(10)
DEFINE_PRODUCTS(11)
DEFINE_PRODUCTS(12)
DEFINE_PRODUCTS(13)
DEFINE_PRODUCTS(14)
DEFINE_PRODUCT(15, 1)
DEFINE_PRODUCT(16, 1)
#else
DEFINE_PRODUCT(7, 1)
DEFINE_PRODUCT(8, 1)
DEFINE_PRODUCT(9, 1)
DEFINE_PRODUCT(10, 1)
DEFINE_PRODUCT(11, 1)
DEFINE_PRODUCT(12, 1)
#endif

/* winograd_products[vectors - 1][rows - 1] */
static void (*const winograd_products[2][TALL_ROWS])(const winograd_product *) = {
    {product_1x1, product_2x1, product_3x1, product_4x1, product_5x1, product_6x1, product_7x1, product_8x1, product_9x1,
     product_10x1, product_11x1, product_12x1,
#if SN_VECTOR_REGISTERS == 32
     product_13x1, product_14x1, product_15x1, product_16x1
#endif
    },
    {product_1x2, product_2x2, product_3x2, product_4x2, product_5x2, product_6x2,
#if SN_VECTOR_REGISTERS == 32
     product_7x2, product_8x2, product_9x2, product_10x2, product_11x2, product_12x2, product_13x2, product_14x2
#endif
    },
};

#endif
