/* conv_values.h - what the dense convolutions multiply: floats, or pairs of bf16.
 *
 * Where the processor multiplies pairs of bf16, the kernels on bf16 maps have two input values a step, x[k] and x[k + 1], and
 * their two weights rounded to bf16 side by side in one word of a packed row; a float input is rounded as its block is copied.
 * Elsewhere bf16 maps become floats as their blocks are copied, the weights stay float, and only the results are rounded.
 */
#ifndef SN_CPU_KERNELS_CONV_VALUES_H
#define SN_CPU_KERNELS_CONV_VALUES_H

#include "cpu/kernels/copy.h"
#include "cpu/kernels/tile_sizes.h"

#if SN_STORED_BF16 && defined(__AVX512BF16__)
#define SN_PAIRS 1
typedef uint16_t conv_value;
#define CONV_VALUES SN_BF16
enum { STEP_VALUES = 2 };
#else
#define SN_PAIRS 0
typedef float conv_value;
#define CONV_VALUES SN_REAL
enum { STEP_VALUES = 1 };
#endif

#if SN_STORED_BF16
enum { NARROWS = 1 }; /* results may be rounded to `stored` */
#else
enum { NARROWS = 0 };
#endif

#if SN_PAIRS
typedef uint32_t conv_pair __attribute__((aligned(2), may_alias)); /* the first value is the lower half */

SN_INLINE void add_value_pair(vf *sum, const conv_pair *x, vf weight)
{
    __asm__("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(*sum) : "v"(weight), "m"(*x)); /* as in add_product */
}
#endif

/* sum += the values of a step at x times a vector of their weights */
SN_INLINE void add_step(vf *sum, const conv_value *x, vf weight)
{
#if SN_PAIRS
    add_value_pair(sum, (const conv_pair *)x, weight);
#else
    add_product(sum, x, weight);
#endif
}

/* A step of a tile: adds X(i), the values of row i, times the vectors of weights at W to sum[i].  Pairs, of which no processor
 * multiplies two vectors a cycle, stay in memory. */
#if SN_PAIRS
#define ADD_STEP(ROWS, VECTORS, X, W) ADD_STEP_SPREAD(ROWS, VECTORS, 0, X, W)
#elif SN_VECTOR_FLOATS == 16
#define ADD_STEP(ROWS, VECTORS, X, W) ADD_STEP_NAMED(ROWS, VECTORS, SPREAD_VECTORS(ROWS, VECTORS), ROWS, X, W, (W) + VF)
#else
#define ADD_STEP(ROWS, VECTORS, X, W) ADD_STEP_SPREAD(ROWS, VECTORS, SPREAD_VECTORS(ROWS, VECTORS), X, W)
#endif
#define ADD_STEP_SPREAD(ROWS, VECTORS, SPREAD, X, W)                                                                 \
    do {                                                                                                             \
        vf weight[VECTORS];                                                                                          \
        SN_UNROLL for (int v = 0; v < SPREAD; v++) weight[v] = vf_load((W) + v * VF);                                \
        SN_UNROLL for (int i = 0; i < ROWS && SPREAD > 0; i++) {                                                     \
            vf value = spread((const float *)(const void *)X(i));                                                    \
            SN_UNROLL for (int v = 0; v < SPREAD; v++) sum[i][v] += value * weight[v];                               \
        }                                                                                                            \
        SN_UNROLL for (int v = SPREAD; v < VECTORS; v++) {                                                           \
            weight[v] = vf_load((W) + v * VF);                                                                       \
            SN_UNROLL for (int i = 0; i < ROWS; i++) add_step(&sum[i][v], X(i), weight[v]);                          \
        }                                                                                                            \
    } while (0)

/* The same where all registers are needed and steps are unrolled: instructions in the order of the program, weights and value in
 * registers of a name.  Left alone, the compilers take steps apart until sums fall out of the registers.  The first
 * vector of weights is at W, the others from W1 on.  NAMED of them are in registers while all rows are multiplied; of the rows, the
 * first SPREAD_ROWS are spread, the others stay in memory, which takes more loads but fewer instructions. */
#define ADD_STEP_NAMED(ROWS, VECTORS, NAMED, SPREAD_ROWS, X, W, W1)                                                  \
    do {                                                                                                             \
        register vf w0 __asm__("zmm28"), w1 __asm__("zmm29"), w2 __asm__("zmm30"), w3 __asm__("zmm27");              \
        register vf value __asm__("zmm31");                                                                          \
        if (NAMED > 0) LOAD_WEIGHTS(w0, (W));                                                                        \
        if (NAMED > 1) LOAD_WEIGHTS(w1, (W1));                                                                      \
        if (NAMED > 2) LOAD_WEIGHTS(w2, (W1) + VF);                                                                 \
        if (NAMED > 3) LOAD_WEIGHTS(w3, (W1) + 2 * VF);                                                              \
        SN_UNROLL for (int i = 0; i < SPREAD_ROWS && NAMED > 0; i++) {                                               \
            __asm__ volatile("vbroadcastss %1, %0" : "=v"(value) : "m"(*(const float *)(const void *)X(i)));         \
            if (NAMED > 0) ADD_SPREAD(sum[i][0], value, w0);                                                         \
            if (NAMED > 1) ADD_SPREAD(sum[i][1], value, w1);                                                         \
            if (NAMED > 2) ADD_SPREAD(sum[i][2], value, w2);                                                         \
            if (NAMED > 3) ADD_SPREAD(sum[i][3], value, w3);                                                         \
        }                                                                                                            \
        SN_UNROLL for (int i = SPREAD_ROWS; i < ROWS; i++) {                                                         \
            if (NAMED > 0) ADD_FROM_MEMORY(sum[i][0], X(i), w0);                                                     \
            if (NAMED > 1) ADD_FROM_MEMORY(sum[i][1], X(i), w1);                                                     \
            if (NAMED > 2) ADD_FROM_MEMORY(sum[i][2], X(i), w2);                                                     \
            if (NAMED > 3) ADD_FROM_MEMORY(sum[i][3], X(i), w3);                                                     \
        }                                                                                                            \
        SN_UNROLL for (int v = NAMED; v < VECTORS; v++) {                                                            \
            LOAD_WEIGHTS(w0, v == 0 ? (W) : (W1) + (v - 1) * VF);                                                    \
            SN_UNROLL for (int i = 0; i < ROWS; i++) ADD_FROM_MEMORY(sum[i][v], X(i), w0);                           \
        }                                                                                                            \
    } while (0)
#define ADD_FROM_MEMORY(SUM, X, WEIGHT)                                                                              \
    __asm__ volatile("vfmadd231ps %2%{1to16%}, %1, %0"                                                               \
                     : "+v"(SUM) : "v"(WEIGHT), "m"(*(const float *)(const void *)(X)))
#define LOAD_WEIGHTS(WEIGHT, W) __asm__ volatile("vmovups %1, %0" : "=v"(WEIGHT) : "m"(*(const vf *)(const void *)(W)))
#define ADD_SPREAD(SUM, VALUE, WEIGHT) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(SUM) : "v"(VALUE), "v"(WEIGHT))

/* `count` values of a map of the other type, from number `first` on: bf16 where floats are multiplied, floats where bf16 is. */
static inline void convert_values(conv_value *to, const void *from, int64_t first, int64_t count)
{
#if SN_PAIRS
    narrow_values(to, (const float *)from + first, count);
#else
    widen_values(to, (const stored *)from + first, count);
#endif
}

#endif
