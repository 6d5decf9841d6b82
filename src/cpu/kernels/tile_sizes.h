/* tile_sizes.h - the sizes of the register tiles of matrix products, and how a kernel file makes one function of each.
 *
 * A tile is a block of sums in registers, rows x vectors.  A step loads one vector for each column and broadcasts one float for
 * each row.  With AVX-512 7 rows x 4 vectors keep 28 sums.  Processors load twice a cycle and some multiply twice, so that a broadcast
 * as a memory operand of every FMA (32 loads for 28) halves their speed wherever anything else loads: it goes into a register, once
 * for three vectors; the registers left are too few for the fourth's weights, whose FMAs read the row from memory (18 loads).
 * AVX2 and baseline have half the registers: 6 rows x 2 vectors.  NEON has 32 too, but a broadcast needs one (FMLA by element): 6
 * rows x 4 vectors.
 * The sizes are literals of macro-made functions, because GCC puts only such arrays of sums into registers.
 *
 *     #define DEFINE_TILE(ROWS, VECTORS)  static SN_NOINLINE void tile_##ROWS##x##VECTORS(const my_tile *t) {...}
 *     DEFINE_TILES
 *     static void (*const my_tiles[TILE_VECTORS][MOST_TILE_ROWS])(const my_tile *) = TILE_TABLE;   my_tiles[vectors - 1][rows - 1]
 *
 * After Goto, van de Geijn, Anatomy of high-performance matrix multiplication, ACM TOMS 2008.
 */
#ifndef SN_CPU_KERNELS_TILE_SIZES_H
#define SN_CPU_KERNELS_TILE_SIZES_H

#include "cpu/kernels/vector.h"

#define DEFINE_SIX(VECTORS)                                                                                          \
    DEFINE_TILE(1, VECTORS)                                                                                          \
    DEFINE_TILE(2, VECTORS)                                                                                          \
    DEFINE_TILE(3, VECTORS)                                                                                          \
    DEFINE_TILE(4, VECTORS)                                                                                          \
    DEFINE_TILE(5, VECTORS)                                                                                          \
    DEFINE_TILE(6, VECTORS)
#define DEFINE_SEVEN(VECTORS) DEFINE_SIX(VECTORS) DEFINE_TILE(7, VECTORS)
#define DEFINE_EIGHT(VECTORS) DEFINE_SEVEN(VECTORS) DEFINE_TILE(8, VECTORS)
#define DEFINE_TWELVE(VECTORS)                                                                                       \
    DEFINE_EIGHT(VECTORS)                                                                                            \
    DEFINE_TILE(9, VECTORS)                                                                                          \
    DEFINE_TILE(10, VECTORS)                                                                                         \
    DEFINE_TILE(11, VECTORS)                                                                                         \
    DEFINE_TILE(12, VECTORS)
#define DEFINE_FOURTEEN(VECTORS)                                                                                     \
    DEFINE_TWELVE(VECTORS)                                                                                           \
    DEFINE_TILE(13, VECTORS)                                                                                         \
    DEFINE_TILE(14, VECTORS)
#define TILE_SIX(VECTORS) tile_1x##VECTORS, tile_2x##VECTORS, tile_3x##VECTORS, tile_4x##VECTORS, tile_5x##VECTORS, tile_6x##VECTORS
#define TILE_SEVEN(VECTORS) TILE_SIX(VECTORS), tile_7x##VECTORS
#define TILE_EIGHT(VECTORS) TILE_SEVEN(VECTORS), tile_8x##VECTORS
#define TILE_TWELVE(VECTORS)                                                                                         \
    TILE_EIGHT(VECTORS), tile_9x##VECTORS, tile_10x##VECTORS, tile_11x##VECTORS, tile_12x##VECTORS
#define TILE_FOURTEEN(VECTORS) TILE_TWELVE(VECTORS), tile_13x##VECTORS, tile_14x##VECTORS

/* tile_rows[vectors - 1]: the most rows of a tile of so many vectors. */
#if SN_VECTOR_FLOATS == 16
enum { TILE_VECTORS = 4 };
#define DEFINE_TILES DEFINE_FOURTEEN(1) DEFINE_FOURTEEN(2) DEFINE_SEVEN(3) DEFINE_SEVEN(4)
#define TILE_TABLE {{TILE_FOURTEEN(1)}, {TILE_FOURTEEN(2)}, {TILE_SEVEN(3)}, {TILE_SEVEN(4)}}
static const int tile_rows[TILE_VECTORS] = {14, 14, 7, 7};
#elif SN_VECTOR_REGISTERS == 32
enum { TILE_VECTORS = 4 };
#define DEFINE_TILES DEFINE_FOURTEEN(1) DEFINE_TWELVE(2) DEFINE_EIGHT(3) DEFINE_SIX(4)
#define TILE_TABLE {{TILE_FOURTEEN(1)}, {TILE_TWELVE(2)}, {TILE_EIGHT(3)}, {TILE_SIX(4)}}
static const int tile_rows[TILE_VECTORS] = {14, 12, 8, 6};
#else
enum { TILE_VECTORS = 2 };
#define DEFINE_TILES DEFINE_FOURTEEN(1) DEFINE_SIX(2)
#define TILE_TABLE {{TILE_FOURTEEN(1)}, {TILE_SIX(2)}}
static const int tile_rows[TILE_VECTORS] = {12, 6};
#endif
enum { PANEL = TILE_VECTORS * VF, MOST_TILE_ROWS = 14, LINE_FLOATS = 16 };

#define EACH_SUM(ROWS, VECTORS)                                                                                      \
    SN_UNROLL for (int i = 0; i < ROWS; i++)                                                                         \
        SN_UNROLL for (int v = 0; v < VECTORS; v++)

/* A float in all lanes of a register: the compilers would make it a memory operand of every product. */
SN_INLINE vf spread(const float *x)
{
    vf v = vf_all(*x);
#if SN_VECTOR_FLOATS == 16
    __asm__("" : "+v"(v));
#endif
    return v;
}

SN_INLINE void add_product(vf *sum, const float *x, vf weight)
{
#if SN_VECTOR_FLOATS == 16
    /* The compilers take a register for the broadcast, which is one more than there are. */
    __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(*sum) : "v"(weight), "m"(*x));
#else
    *sum += *x * weight;
#endif
}

/* Vectors whose weights stay in registers beside a spread value, while all rows are multiplied. */
#define SPREAD_VECTORS(ROWS, VECTORS)                                                                                \
    ((VECTORS) == 1 ? 0 : SN_VECTOR_FLOATS < 16 || ((ROWS) + 1) * (VECTORS) < SN_VECTOR_REGISTERS ? (VECTORS) : (VECTORS) - 1)

#endif
