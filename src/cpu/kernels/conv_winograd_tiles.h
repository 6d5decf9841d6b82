/* conv_winograd_tiles.h - the register tiles of Winograd's product at one point:  m(tile, o) = sum over c of v(tile, c) u(c, o).
 *
 * Up to WIDE_ROWS tiles x two vectors of outputs, or TALL_ROWS x one, where a weight vector is read once for all tiles.  A step
 * (one input channel) loads the vectors of u and broadcasts one float per tile.  The weights are prefetched into the L2 cache far
 * ahead: for few tiles they stream from memory.  On bf16 maps, where the processor multiplies pairs of bf16, F(2x2, 3x3) has products
 * of pairs: a float of v and u below is then two neighbouring channels in bf16.  The sizes are literals of macro-made functions, because GCC puts only such
 * accumulator arrays into registers.
 */
#ifndef SN_CPU_KERNELS_CONV_WINOGRAD_TILES_H
#define SN_CPU_KERNELS_CONV_WINOGRAD_TILES_H

#include "cpu/kernels/conv_values.h"

#if SN_VECTOR_REGISTERS == 32
enum { WIDE_ROWS = 14, TALL_ROWS = 16 };
#else
enum { WIDE_ROWS = 6, TALL_ROWS = 12 };
#endif
enum { AHEAD = 256 }; /* steps from a load of weights to its prefetch */

typedef struct winograd_product {
    const float *v;    /* [steps / VF, rounded up][rows][VF]; a step is an input channel, or a pair of them */
    const float *u;    /* [steps][VF], of the first vector of outputs */
    ptrdiff_t u_panel; /* floats from there to the second vector's */
    int64_t steps;
    float *m;          /* [rows][vectors][VF] */
} winograd_product;

SN_INLINE void add_float(vf *sum, const float *v, vf u) { *sum += *v * u; }
#if SN_PAIRS
SN_INLINE void add_pair(vf *sum, const float *v, vf u) { add_step(sum, (const conv_value *)(const void *)v, u); }
#endif

#define DEFINE_PRODUCT(NAME, ADD, ROWS, VECTORS)                                                                     \
    static SN_NOINLINE void NAME##_##ROWS##x##VECTORS(const winograd_product *p)                                     \
    {                                                                                                                \
        vf sum[ROWS][VECTORS];                                                                                       \
        SN_UNROLL for (int i = 0; i < ROWS; i++)                                                                     \
            SN_UNROLL for (int k = 0; k < VECTORS; k++) sum[i][k] = (vf){0};                                         \
        const float *v = p->v, *u = p->u;                                                                            \
        const ptrdiff_t panel = p->u_panel;                                                                          \
        for (int64_t left = p->steps; left > 0; left -= VF, v += ROWS * VF) {                                     \
            const float *end = v + (left < VF ? left : VF);                                                          \
            for (const float *x = v; x < end; x++, u += VF) {                                                        \
                vf weight[VECTORS];                                                                                  \
                SN_UNROLL for (int k = 0; k < VECTORS; k++) {                                                        \
                    weight[k] = vf_load(u + k * panel);                                                              \
                    __builtin_prefetch((const char *)(u + k * panel) + AHEAD * VF * sizeof(float), 0, 1);            \
                }                                                                                                    \
                SN_UNROLL for (int i = 0; i < ROWS; i++)                                                             \
                    SN_UNROLL for (int k = 0; k < VECTORS; k++) ADD(&sum[i][k], x + i * VF, weight[k]);              \
            }                                                                                                        \
        }                                                                                                            \
        SN_UNROLL for (int i = 0; i < ROWS; i++)                                                                     \
            SN_UNROLL for (int k = 0; k < VECTORS; k++) vf_store(p->m + (i * VECTORS + k) * VF, sum[i][k]);          \
    }

#if SN_VECTOR_REGISTERS == 32
#define DEFINE_PRODUCTS(NAME, ADD, VECTORS)                                                                          \
    DEFINE_PRODUCT(NAME, ADD, 1, VECTORS) DEFINE_PRODUCT(NAME, ADD, 2, VECTORS) DEFINE_PRODUCT(NAME, ADD, 3, VECTORS) \
    DEFINE_PRODUCT(NAME, ADD, 4, VECTORS) DEFINE_PRODUCT(NAME, ADD, 5, VECTORS) DEFINE_PRODUCT(NAME, ADD, 6, VECTORS) \
    DEFINE_PRODUCT(NAME, ADD, 7, VECTORS) DEFINE_PRODUCT(NAME, ADD, 8, VECTORS) DEFINE_PRODUCT(NAME, ADD, 9, VECTORS) \
    DEFINE_PRODUCT(NAME, ADD, 10, VECTORS) DEFINE_PRODUCT(NAME, ADD, 11, VECTORS)                                    \
    DEFINE_PRODUCT(NAME, ADD, 12, VECTORS) DEFINE_PRODUCT(NAME, ADD, 13, VECTORS) DEFINE_PRODUCT(NAME, ADD, 14, VECTORS)
#define DEFINE_TALL_PRODUCTS(NAME, ADD) DEFINE_PRODUCT(NAME, ADD, 15, 1) DEFINE_PRODUCT(NAME, ADD, 16, 1)
#define WIDE_LIST(NAME, VECTORS)                                                                                     \
    NAME##_1x##VECTORS, NAME##_2x##VECTORS, NAME##_3x##VECTORS, NAME##_4x##VECTORS, NAME##_5x##VECTORS,              \
        NAME##_6x##VECTORS, NAME##_7x##VECTORS, NAME##_8x##VECTORS, NAME##_9x##VECTORS, NAME##_10x##VECTORS,         \
        NAME##_11x##VECTORS, NAME##_12x##VECTORS, NAME##_13x##VECTORS, NAME##_14x##VECTORS
#define TALL_LIST(NAME) NAME##_15x1, NAME##_16x1
#else
#define DEFINE_PRODUCTS(NAME, ADD, VECTORS)                                                                          \
    DEFINE_PRODUCT(NAME, ADD, 1, VECTORS) DEFINE_PRODUCT(NAME, ADD, 2, VECTORS) DEFINE_PRODUCT(NAME, ADD, 3, VECTORS) \
    DEFINE_PRODUCT(NAME, ADD, 4, VECTORS) DEFINE_PRODUCT(NAME, ADD, 5, VECTORS) DEFINE_PRODUCT(NAME, ADD, 6, VECTORS)
#define DEFINE_TALL_PRODUCTS(NAME, ADD)                                                                              \
    DEFINE_PRODUCT(NAME, ADD, 7, 1) DEFINE_PRODUCT(NAME, ADD, 8, 1) DEFINE_PRODUCT(NAME, ADD, 9, 1)                  \
    DEFINE_PRODUCT(NAME, ADD, 10, 1) DEFINE_PRODUCT(NAME, ADD, 11, 1) DEFINE_PRODUCT(NAME, ADD, 12, 1)
#define WIDE_LIST(NAME, VECTORS)                                                                                     \
    NAME##_1x##VECTORS, NAME##_2x##VECTORS, NAME##_3x##VECTORS, NAME##_4x##VECTORS, NAME##_5x##VECTORS, NAME##_6x##VECTORS
#define TALL_LIST(NAME) NAME##_7x1, NAME##_8x1, NAME##_9x1, NAME##_10x1, NAME##_11x1, NAME##_12x1
#endif

/* A table is [vectors - 1][rows - 1]. */
typedef void (*winograd_table[2][TALL_ROWS])(const winograd_product *);

DEFINE_PRODUCTS(product, add_float, 1)
DEFINE_PRODUCTS(product, add_float, 2)
DEFINE_TALL_PRODUCTS(product, add_float)
static const winograd_table winograd_products = {{WIDE_LIST(product, 1), TALL_LIST(product)}, {WIDE_LIST(product, 2)}};

#if SN_PAIRS
DEFINE_PRODUCTS(pair_product, add_pair, 1)
DEFINE_PRODUCTS(pair_product, add_pair, 2)
DEFINE_TALL_PRODUCTS(pair_product, add_pair)
static const winograd_table winograd_pair_products = {{WIDE_LIST(pair_product, 1), TALL_LIST(pair_product)},
                                                      {WIDE_LIST(pair_product, 2)}};
#endif

#endif
