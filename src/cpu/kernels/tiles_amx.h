/* tiles_amx.h - the tile registers of level amx: eight registers of up to 16 rows of 64 bytes, and the product of two
 * of them.
 *
 *     TILE_ADD_PRODUCTS(sum, left, right):  sum[i][o] += sum over 16 pairs k of  left[i][2k] right[k][o][0] +
 * left[i][2k+1] right[k][o][1]
 *
 * left: rows of 32 bf16 (pixels of 32 channels, as they lie in memory); right: 16 rows, one for each pair of channels,
 * of 16 outputs with two weights each, the first lower; sum: rows of 16 floats.  In files compiled for int8 (SN_STORED_Q8) the
 * same with 64 unsigned bytes a left row, 16 rows of 16 outputs with four signed weights each, and whole sums, which are exact
 * as long as they fit into 32 bits.  It takes a cycle for each row of
 * `left`, a load 8 cycles, so two left times two right tiles (four sums) are multiplied as fast as they are loaded; all
 * eight registers are then in use:
 *
 *     registers 0 to 3: sums, 4 and 5: left, 6 and 7: right
 *
 * Values smaller than the least normal float count as 0; sums are rounded to nearest, in a fixed order.
 *
 * A task begins with tiles_begin, which sets the shapes (and clears the registers), and ends with tiles_end: from there
 * on the system has no tiles to save when it switches threads.  Both together cost some tens of ns. Compilers do not
 * see what these instructions read and write in memory: each is a barrier for them.
 */
#ifndef SN_CPU_KERNELS_TILES_AMX_H
#define SN_CPU_KERNELS_TILES_AMX_H

#include "cpu/kernels/stored.h"

#if SN_STORED_Q8
typedef uint8_t tile_value; /* of the left factor; those of the right one are int8 */
typedef int32_t tile_sum;
#define TILE_PRODUCTS "tdpbusd"
#else
typedef stored tile_value;
typedef float tile_sum;
#define TILE_PRODUCTS "tdpbf16ps"
#endif

enum {
    TILE_ROWS = 16,                                /* at most */
    TILE_BYTES = 64,                               /* of a row */
    TILE_VALUES = TILE_BYTES / sizeof(tile_value), /* of a left row: products of a step */
    TILE_WORD = 4 / sizeof(tile_value),            /* of them that a sum takes together */
    TILE_OUTPUTS = 16,                             /* sums of a row */
    RIGHT_VALUES = 16 * TILE_VALUES                /* of a packed right tile */
};

typedef struct tile_config {
    uint8_t palette, start_row, unused[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

/* rows: of the left factors and of the sums, 1 to 16. */
static inline void tiles_begin(int rows)
{
    tile_config config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.row_bytes[t] = TILE_BYTES;
        config.rows[t] = (uint8_t)(t < 6 ? rows : 16);
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
}

static inline void tiles_end(void)
{
    __asm__ volatile("tilerelease" : : : "memory");
}

/* t: a literal number; stride: bytes between rows. */
#define TILE_LOAD(t, from, stride)                                                                                     \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t : : "r"(from), "r"((ptrdiff_t)(stride)) : "memory")
/* Of what is not read again soon: it leaves the L1 cache to others. */
#define TILE_LOAD_ONCE(t, from, stride) \
    __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm" #t : : "r"(from), "r"((ptrdiff_t)(stride)) : "memory")
#define TILE_STORE(t, to, stride)                                                                                      \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" : : "r"(to), "r"((ptrdiff_t)(stride)) : "memory")
#define TILE_CLEAR(t) __asm__ volatile("tilezero %%tmm" #t : : : "memory")
#define TILE_ADD_PRODUCTS(sum, left, right)                                                                            \
    __asm__ volatile(TILE_PRODUCTS " %%tmm" #right ", %%tmm" #left ", %%tmm" #sum : : : "memory")

#endif
