/* conv_amx_tiles.h - the inner loops of convolutions by tiles: products of two left tiles by a panel's two right ones.
 *
 * Sums begin as a row for all pixels, see all of a panel's steps, and are stored to 4 KB of scratch memory in the L1 cache, 32
 * of them a pixel; conv_amx_end.h and conv_q8_amx_end.h take them from there.
 */
#ifndef SN_CPU_KERNELS_CONV_AMX_TILES_H
#define SN_CPU_KERNELS_CONV_AMX_TILES_H

#include "cpu/kernels/conv_amx_plan.h"

typedef struct tiled_product {
    const tile_value *x[2];    /* the first pixels of two tiles, at the first tap */
    int64_t x_row;             /* bytes between pixels */
    const ptrdiff_t *segments; /* where each begins */
    int64_t segments_count, segment_steps;
    const tile_value *w;
    const tile_sum *start;     /* of the panel's outputs */
    const char *ahead;         /* what to fetch into the L2 cache: ahead_lines cache lines a step */
    int64_t ahead_lines;
} tiled_product;

/* sums: [2][TILE_ROWS][TILED_PANEL].  once: no other tap reads the same pixels. */
SN_INLINE void tiled_multiply(const tiled_product *p, bool two, bool wide, bool once, tile_sum *sums)
{
    const tile_value *w = p->w;
    const char *ahead = p->ahead;
    int64_t x_row = p->x_row;
    TILE_LOAD(0, p->start, 0);
    if (wide) TILE_LOAD(1, p->start + TILE_OUTPUTS, 0);
    if (two) TILE_LOAD(2, p->start, 0);
    if (two && wide) TILE_LOAD(3, p->start + TILE_OUTPUTS, 0);
    for (int64_t s = 0; s < p->segments_count; s++) {
        const tile_value *x0 = p->x[0] + p->segments[s], *x1 = two ? p->x[1] + p->segments[s] : NULL;
        for (int64_t k = 0; k < p->segment_steps; k++) {
            if (once)
                TILE_LOAD_ONCE(4, x0 + k * TILE_VALUES, x_row);
            else
                TILE_LOAD(4, x0 + k * TILE_VALUES, x_row);
            TILE_LOAD(6, w, TILE_BYTES);
            TILE_ADD_PRODUCTS(0, 4, 6);
            if (wide) {
                TILE_LOAD(7, w + RIGHT_VALUES, TILE_BYTES);
                TILE_ADD_PRODUCTS(1, 4, 7);
            }
            if (two) {
                if (once)
                    TILE_LOAD_ONCE(5, x1 + k * TILE_VALUES, x_row);
                else
                    TILE_LOAD(5, x1 + k * TILE_VALUES, x_row);
                TILE_ADD_PRODUCTS(2, 5, 6);
                if (wide) TILE_ADD_PRODUCTS(3, 5, 7);
            }
            w += wide ? 2 * RIGHT_VALUES : RIGHT_VALUES;
            for (int64_t line = 0; line < p->ahead_lines; line++, ahead += 64) __builtin_prefetch(ahead, 0, 2);
        }
    }
    enum { ROW = TILED_PANEL * sizeof(tile_sum) };
    TILE_STORE(0, sums, ROW);
    if (wide) TILE_STORE(1, sums + TILE_OUTPUTS, ROW);
    if (two) TILE_STORE(2, sums + TILE_ROWS * TILED_PANEL, ROW);
    if (two && wide) TILE_STORE(3, sums + TILE_ROWS * TILED_PANEL + TILE_OUTPUTS, ROW);
}

static SN_NOINLINE void tiled_multiply_once(const tiled_product *p, tile_sum *sums) { tiled_multiply(p, true, true, true, sums); }
static SN_NOINLINE void tiled_multiply_two(const tiled_product *p, tile_sum *sums) { tiled_multiply(p, true, true, false, sums); }
static SN_NOINLINE void tiled_multiply_other(const tiled_product *p, bool two, bool wide, tile_sum *sums)
{
    if (two)
        tiled_multiply(p, true, false, false, sums);
    else if (wide)
        tiled_multiply(p, false, true, false, sums);
    else
        tiled_multiply(p, false, false, false, sums);
}

/* The second half of the panel multiplies tiles of its own, `slab` values further on. */
static SN_NOINLINE __attribute__((unused)) void tiled_multiply_split(const tiled_product *p, bool two, int64_t slab, tile_sum *sums)
{
    enum { ROW = TILED_PANEL * sizeof(tile_sum) };
    const tile_value *w = p->w;
    int64_t x_row = p->x_row;
    TILE_LOAD(0, p->start, 0);
    TILE_LOAD(1, p->start + TILE_OUTPUTS, 0);
    TILE_LOAD(2, p->start, 0);
    TILE_LOAD(3, p->start + TILE_OUTPUTS, 0);
    for (int64_t s = 0; s < p->segments_count; s++) {
        const tile_value *x0 = p->x[0] + p->segments[s], *x1 = p->x[1] + p->segments[s];
        for (int64_t k = 0; k < p->segment_steps; k++, x0 += TILE_VALUES, x1 += TILE_VALUES, w += 2 * RIGHT_VALUES) {
            TILE_LOAD(4, x0, x_row);
            TILE_LOAD(6, w, TILE_BYTES);
            TILE_ADD_PRODUCTS(0, 4, 6);
            TILE_LOAD(4, x0 + slab, x_row);
            TILE_LOAD(7, w + RIGHT_VALUES, TILE_BYTES);
            TILE_ADD_PRODUCTS(1, 4, 7);
            if (!two) continue;
            TILE_LOAD(5, x1, x_row);
            TILE_ADD_PRODUCTS(2, 5, 6);
            TILE_LOAD(5, x1 + slab, x_row);
            TILE_ADD_PRODUCTS(3, 5, 7);
        }
    }
    TILE_STORE(0, sums, ROW);
    TILE_STORE(1, sums + TILE_OUTPUTS, ROW);
    if (!two) return;
    TILE_STORE(2, sums + TILE_ROWS * TILED_PANEL, ROW);
    TILE_STORE(3, sums + TILE_ROWS * TILED_PANEL + TILE_OUTPUTS, ROW);
}

#endif
