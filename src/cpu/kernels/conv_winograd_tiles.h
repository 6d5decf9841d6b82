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

/* One step of a product: a number of `step` from x and u on.  Rows from the ninth on have a pointer of their own, for short offsets. */
enum { FIRST_ROWS = 8 };
#define ROW_VALUE(i) (((i) < FIRST_ROWS ? x : x8) + (i) % FIRST_ROWS * VF + step)
#define STEP_OF(ADD, ROWS, VECTORS)                                                                                  \
    do {                                                                                                             \
        vf weight[VECTORS];                                                                                          \
        SN_UNROLL for (int k = 0; k < VECTORS; k++) weight[k] = vf_load((k == 0 ? u : u1) + step * VF);              \
        SN_UNROLL for (int i = 0; i < ROWS; i++)                                                                     \
            SN_UNROLL for (int k = 0; k < VECTORS; k++) ADD(&sum[i][k], ROW_VALUE(i), weight[k]);                    \
    } while (0)

#if SN_VECTOR_FLOATS == 16
enum { UNROLLED_PRODUCTS = 4 };
#define FLOAT_STEP(ROWS, VECTORS)                                                                                    \
    ADD_STEP_NAMED(ROWS, VECTORS, VECTORS, ((VECTORS) > 1 ? (ROWS) / 2 : 0), ROW_VALUE, u + step * VF, u1 + step * VF)
#else
enum { UNROLLED_PRODUCTS = 1 };
SN_INLINE void add_float(vf *sum, const float *v, vf u) { *sum += *v * u; }
#define FLOAT_STEP(ROWS, VECTORS) STEP_OF(add_float, ROWS, VECTORS)
#endif
#if SN_PAIRS
SN_INLINE void add_pair(vf *sum, const float *v, vf u) { add_step(sum, (const conv_value *)(const void *)v, u); }
#define PAIR_STEP(ROWS, VECTORS) STEP_OF(add_pair, ROWS, VECTORS)
#endif

/* A pointer of its own: the compilers would make one of all. */
#define ADVANCE(POINTER, FLOATS)                                                                                     \
    do {                                                                                                             \
        POINTER += FLOATS;                                                                                           \
        __asm__("" : "+r"(POINTER));                                                                                 \
    } while (0)
#define ADD_PRODUCTS(STEP, ROWS, VECTORS, STEPS)                                                                     \
    do {                                                                                                             \
        SN_UNROLL for (int step = 0; step < STEPS; step++)                                                           \
        {                                                                                                            \
            SN_UNROLL for (int k = 0; k < VECTORS; k++)                                                              \
                __builtin_prefetch((const char *)(k == 0 ? u : u1) + (AHEAD + step) * VF * sizeof(float), 0, 1);     \
            STEP(ROWS, VECTORS);                                                                                     \
        }                                                                                                            \
        ADVANCE(x, STEPS);                                                                                           \
        if (ROWS > FIRST_ROWS) ADVANCE(x8, STEPS);                                                                   \
        ADVANCE(u, STEPS * VF);                                                                                      \
        if (VECTORS > 1) ADVANCE(u1, STEPS * VF);                                                                    \
    } while (0)

#define DEFINE_PRODUCT(NAME, STEP, ROWS, VECTORS)                                                                    \
    static SN_NOINLINE void NAME##_##ROWS##x##VECTORS(const winograd_product *p)                                     \
    {                                                                                                                \
        vf sum[ROWS][VECTORS];                                                                                       \
        SN_UNROLL for (int i = 0; i < ROWS; i++)                                                                     \
            SN_UNROLL for (int k = 0; k < VECTORS; k++) sum[i][k] = (vf){0};                                         \
        const float *rows = p->v, *u = p->u, *u1 = u + p->u_panel;                                                   \
        for (int64_t left = p->steps; left > 0; left -= VF, rows += ROWS * VF) {                                     \
            const float *x = rows, *x8 = rows + FIRST_ROWS * VF;                                                     \
            if (left >= VF)                                                                                          \
                for (int n = VF; n > 0; n -= UNROLLED_PRODUCTS) ADD_PRODUCTS(STEP, ROWS, VECTORS, UNROLLED_PRODUCTS); \
            else                                                                                                     \
                for (int64_t n = left; n > 0; n--) ADD_PRODUCTS(STEP, ROWS, VECTORS, 1);                             \
        }                                                                                                            \
        float *m = p->m;                                                                                             \
        SN_UNROLL for (int i = 0; i < ROWS; i++)                                                                     \
            SN_UNROLL for (int k = 0; k < VECTORS; k++) vf_store(m + (i * VECTORS + k) * VF, sum[i][k]);             \
    }

#if SN_VECTOR_REGISTERS == 32
#define DEFINE_PRODUCTS(NAME, STEP, VECTORS)                                                                          \
    DEFINE_PRODUCT(NAME, STEP, 1, VECTORS) DEFINE_PRODUCT(NAME, STEP, 2, VECTORS) DEFINE_PRODUCT(NAME, STEP, 3, VECTORS) \
    DEFINE_PRODUCT(NAME, STEP, 4, VECTORS) DEFINE_PRODUCT(NAME, STEP, 5, VECTORS) DEFINE_PRODUCT(NAME, STEP, 6, VECTORS) \
    DEFINE_PRODUCT(NAME, STEP, 7, VECTORS) DEFINE_PRODUCT(NAME, STEP, 8, VECTORS) DEFINE_PRODUCT(NAME, STEP, 9, VECTORS) \
    DEFINE_PRODUCT(NAME, STEP, 10, VECTORS) DEFINE_PRODUCT(NAME, STEP, 11, VECTORS)                                    \
    DEFINE_PRODUCT(NAME, STEP, 12, VECTORS) DEFINE_PRODUCT(NAME, STEP, 13, VECTORS) DEFINE_PRODUCT(NAME, STEP, 14, VECTORS)
#define DEFINE_TALL_PRODUCTS(NAME, STEP) DEFINE_PRODUCT(NAME, STEP, 15, 1) DEFINE_PRODUCT(NAME, STEP, 16, 1)
#define WIDE_LIST(NAME, VECTORS)                                                                                     \
    NAME##_1x##VECTORS, NAME##_2x##VECTORS, NAME##_3x##VECTORS, NAME##_4x##VECTORS, NAME##_5x##VECTORS,              \
        NAME##_6x##VECTORS, NAME##_7x##VECTORS, NAME##_8x##VECTORS, NAME##_9x##VECTORS, NAME##_10x##VECTORS,         \
        NAME##_11x##VECTORS, NAME##_12x##VECTORS, NAME##_13x##VECTORS, NAME##_14x##VECTORS
#define TALL_LIST(NAME) NAME##_15x1, NAME##_16x1
#else
#define DEFINE_PRODUCTS(NAME, STEP, VECTORS)                                                                          \
    DEFINE_PRODUCT(NAME, STEP, 1, VECTORS) DEFINE_PRODUCT(NAME, STEP, 2, VECTORS) DEFINE_PRODUCT(NAME, STEP, 3, VECTORS) \
    DEFINE_PRODUCT(NAME, STEP, 4, VECTORS) DEFINE_PRODUCT(NAME, STEP, 5, VECTORS) DEFINE_PRODUCT(NAME, STEP, 6, VECTORS)
#define DEFINE_TALL_PRODUCTS(NAME, STEP)                                                                              \
    DEFINE_PRODUCT(NAME, STEP, 7, 1) DEFINE_PRODUCT(NAME, STEP, 8, 1) DEFINE_PRODUCT(NAME, STEP, 9, 1)                  \
    DEFINE_PRODUCT(NAME, STEP, 10, 1) DEFINE_PRODUCT(NAME, STEP, 11, 1) DEFINE_PRODUCT(NAME, STEP, 12, 1)
#define WIDE_LIST(NAME, VECTORS)                                                                                     \
    NAME##_1x##VECTORS, NAME##_2x##VECTORS, NAME##_3x##VECTORS, NAME##_4x##VECTORS, NAME##_5x##VECTORS, NAME##_6x##VECTORS
#define TALL_LIST(NAME) NAME##_7x1, NAME##_8x1, NAME##_9x1, NAME##_10x1, NAME##_11x1, NAME##_12x1
#endif

/* A table is [vectors - 1][rows - 1]. */
typedef void (*winograd_table[2][TALL_ROWS])(const winograd_product *);

DEFINE_PRODUCTS(product, FLOAT_STEP, 1)
DEFINE_PRODUCTS(product, FLOAT_STEP, 2)
DEFINE_TALL_PRODUCTS(product, FLOAT_STEP)
static const winograd_table winograd_products = {{WIDE_LIST(product, 1), TALL_LIST(product)}, {WIDE_LIST(product, 2)}};

#if SN_PAIRS
DEFINE_PRODUCTS(pair_product, PAIR_STEP, 1)
DEFINE_PRODUCTS(pair_product, PAIR_STEP, 2)
DEFINE_TALL_PRODUCTS(pair_product, PAIR_STEP)
static const winograd_table winograd_pair_products = {{WIDE_LIST(pair_product, 1), TALL_LIST(pair_product)},
                                                      {WIDE_LIST(pair_product, 2)}};
#endif

#endif
