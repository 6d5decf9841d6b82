/* conv_amx_plan.h - how a convolution, or its backward-data pass, is cut for tiles of 16 pixels x 32 values (tiles_amx.h).
 *
 *     out(n, i * out_step + row0, j * out_step + col0, o)
 *         = sum over taps t and channels c of  in(n, i * step + t.row, j * step + t.col, c) w_t(c, o)
 *
 * with one phase forward and stride x stride phases backward, as in conv_plan.h.  A panel is 32 outputs; its sum has steps of 32
 * products, each of 32 input channels of one tap.  A left tile reads 32 values of up to 16 pixels that lie at equal distances:
 *
 *     in place   1x1 layers of stride 1, and others without padding, whose channels are a multiple of 32
 *     copied     a block's rows of the input between zeros, as bf16
 *     gathered   where channels are no multiple of 32, or a 1x1 layer has a stride: all values that a pixel's sum sees, one after
 *                the other, filled up with zeros to a multiple of 32
 *
 * The pixels of a tile follow one another in an output row, or, where stride is 1, over the ends of rows (flat): then what lies between
 * rows is computed too, and not stored.  The cheaper of both is taken: 14, 28 and 56 pixels a row make tiles of 14 without waste,
 * rows of 7 are taken flat.
 * Groups: the inputs that a panel sees lie in a few chunks of 32 channels, and weights that join different groups are zero.
 * The work is cut into blocks, of rows of an image or of images, and splits of the panels: pixels where weights are few, so that they
 * stay in the L2 cache, else panels, so that each of them is read by one core only.  Every output is one sum in a fixed order, so
 * neither changes a bit.
 */
#ifndef SN_CPU_KERNELS_CONV_AMX_PLAN_H
#define SN_CPU_KERNELS_CONV_AMX_PLAN_H

#include "cpu/kernels/tiles_amx.h"

enum {
    TILED_TAPS = 121,           /* kernels up to 11x11 */
    TILED_PHASES = 16,          /* backward-data strides up to 4 */
    TILED_PANEL = 2 * TILE_OUTPUTS,
    TILED_TASKS = 16,           /* cut small batches into about so many */
    TILED_PIXELS = 64,          /* of a block, at least */
    TILED_MOST_PIXELS = 800,    /* of a block of several images */
    TILED_BLOCK = 512 << 10,    /* bytes of a block's input at most, where a block is more than one row */
    TILED_WEIGHTS = 400 << 10,  /* weights up to so many bytes stay in the L2 cache beside a block */
    TILED_MOST_WEIGHTS = 1 << 20, /* or up to so many, if they are smaller than the input */
    TILED_FEWEST = 28           /* pixels of an image; smaller maps of 1x1 layers are taken together */
};

typedef struct tiled_tap {
    int row, col; /* input offset */
    int ky, kx;   /* which weight */
} tiled_tap;

typedef struct tiled_phase {
    int row0, col0;
    int64_t rows, cols;
    int first_tap, taps;
    int64_t segments, segment_steps; /* the steps of a segment follow one another in memory */
    int64_t steps, first_step;       /* of a panel's packed weights: of this phase, and before it */
} tiled_phase;

typedef struct tiled_plan {
    int64_t images, in_h, in_w, in_c, out_h, out_w, out_c;
    int64_t groups, group_in, group_out;
    int64_t kernel_w, weight_out;
    int step, out_step;
    int phases_count, taps_count;
    tiled_phase phases[TILED_PHASES];
    tiled_tap taps[TILED_TAPS];
    int top, left, bottom, right; /* tap offsets reach from here to there */
    int64_t panels, chunks;       /* chunks: of 32 channels that a panel sees */
    int64_t steps;                /* of a panel, over all phases */
    bool alike; /* an image is cut in the same way in every batch */
    bool copied, gathered, flat;
    int64_t row_pixels;           /* of what tiles or the gathering read */
    int64_t block_images, block_rows, blocks_n, blocks_y;
    int64_t panels_each, splits;
    int64_t image_values, copy_values, gather_values, tiles; /* of a block */
} tiled_plan;

static inline int64_t tiled_align(int64_t values) { return sn_ceil_div(values, TILE_VALUES) * TILE_VALUES; }

/* Equal tiles of at most 16 rows for so many pixels: how many rows each has. */
static inline int64_t tiled_rows(int64_t pixels) { return sn_ceil_div(pixels, sn_ceil_div(pixels, TILE_ROWS)); }

/* Cycles of the products of so many pixels, for a step: a row each, but a register waits 13 for its sum before. */
static inline int64_t tiled_cost(int64_t pixels)
{
    return sn_ceil_div(pixels, TILE_ROWS) * sn_max64(13, tiled_rows(pixels));
}

/* ---- the sum ---- */

static inline void tiled_plan_sum(tiled_plan *p)
{
    for (int t = 0; t < p->taps_count; t++) {
        const tiled_tap *tap = &p->taps[t];
        p->top = t == 0 || tap->row < p->top ? tap->row : p->top;
        p->left = t == 0 || tap->col < p->left ? tap->col : p->left;
        p->bottom = t == 0 || tap->row > p->bottom ? tap->row : p->bottom;
        p->right = t == 0 || tap->col > p->right ? tap->col : p->right;
    }
    p->panels = sn_ceil_div(p->out_c, TILED_PANEL);
    p->chunks = sn_ceil_div(p->in_c, TILE_VALUES);
    if (p->groups > 1) /* those of the groups of 32 outputs, or of fewer where there are no more */
        p->chunks = sn_min64(p->chunks, sn_ceil_div(sn_max64(1, TILED_PANEL / p->group_out) * p->group_in, TILE_VALUES));
    p->steps = 0;
    for (int k = 0; k < p->phases_count; k++) {
        tiled_phase *phase = &p->phases[k];
        int joined = 1;
        const tiled_tap *first = &p->taps[phase->first_tap];
        while (p->groups == 1 && joined < phase->taps && first[joined].row == first->row) joined++;
        phase->segments = phase->taps / joined;
        phase->segment_steps = joined * p->chunks;
        if (p->gathered) {
            phase->segments = phase->taps > 0;
            phase->segment_steps = tiled_align(phase->taps * p->in_c) / TILE_VALUES;
        }
        phase->first_step = p->steps;
        phase->steps = phase->segments * phase->segment_steps;
        p->steps += phase->steps;
    }
}

/* The first chunk of a panel. */
static inline int64_t tiled_first_chunk(const tiled_plan *p, int64_t panel)
{
    return p->groups == 1 ? 0 : panel * TILED_PANEL / p->group_out * p->group_in / TILE_VALUES;
}

/* ---- blocks ---- */

static inline int64_t tiled_copy_rows(const tiled_plan *p, int64_t rows) { return (rows - 1) * p->step + p->bottom - p->top + 1; }

/* Bytes that the tiles of so many rows of an image read. */
static inline int64_t tiled_block_bytes(const tiled_plan *p, int64_t rows)
{
    const tiled_phase *phase = &p->phases[0];
    int64_t values = tiled_copy_rows(p, rows) * p->row_pixels * p->in_c;
    if (p->gathered) values += rows * phase->cols * phase->segment_steps * TILE_VALUES;
    return values * (int64_t)sizeof(stored);
}

static inline void tiled_plan_blocks(tiled_plan *p)
{
    int64_t rows = p->phases[0].rows, cols = p->phases[0].cols; /* the first phase is the largest */
    int64_t weights = p->steps * TILE_VALUES * p->out_c * 2;
    int64_t images = p->alike ? 1 : p->images, input = images * p->in_h * p->in_w * p->in_c * 2;
    bool by_panels = weights > TILED_WEIGHTS && (weights > TILED_MOST_WEIGHTS || weights > input);
    int64_t fewest = sn_min64(rows, sn_ceil_div(TILED_PIXELS, cols));
    p->block_rows = by_panels ? rows : sn_max64(fewest, sn_ceil_div(rows, sn_ceil_div(TILED_TASKS, images)));
    while (p->block_rows > fewest && tiled_block_bytes(p, p->block_rows) > TILED_BLOCK) p->block_rows = sn_ceil_div(p->block_rows, 2);
    p->blocks_y = sn_ceil_div(rows, p->block_rows);
    p->block_rows = sn_ceil_div(rows, p->blocks_y);
    p->blocks_y = sn_ceil_div(rows, p->block_rows);
    p->block_images = 1;
    if (by_panels && p->blocks_y == 1) {
        int64_t fit = sn_min64(2 * TILED_BLOCK / tiled_block_bytes(p, rows), TILED_MOST_PIXELS / (rows * cols));
        p->block_images = sn_max64(1, sn_min64(p->images, fit));
    }
    p->blocks_n = sn_ceil_div(p->images, p->block_images);
    int64_t blocks = p->blocks_n * p->blocks_y, wanted = by_panels ? TILED_TASKS : TILED_TASKS / 2;
    p->splits = sn_min64(p->panels, sn_ceil_div(wanted, blocks));
    p->panels_each = sn_ceil_div(p->panels, p->splits);
    p->splits = sn_ceil_div(p->panels, p->panels_each);
}

/* Which pixels a tile joins. */
static inline void tiled_plan_tiles(tiled_plan *p)
{
    const tiled_phase *phase = &p->phases[0];
    int64_t joined = (p->block_rows - 1) * p->row_pixels + phase->cols;
    p->flat = p->gathered || (p->step == 1 && tiled_cost(joined) <= p->block_rows * tiled_cost(phase->cols));
    int64_t tiles = p->block_rows * sn_ceil_div(phase->cols, TILE_ROWS);
    p->tiles = p->block_images * sn_max64(tiles, sn_ceil_div(joined, TILE_ROWS));
    p->image_values = tiled_copy_rows(p, p->block_rows) * p->row_pixels * p->in_c;
    p->copy_values = p->copied ? tiled_align(p->block_images * p->image_values) : 0;
    p->gather_values = 0;
    for (int k = 0; k < p->phases_count && p->gathered; k++)
        p->gather_values = sn_max64(p->gather_values, p->phases[k].segment_steps * TILE_VALUES);
    p->gather_values *= p->block_images * p->block_rows * phase->cols;
    if (p->gathered) p->gather_values += 2 * TILE_VALUES; /* the last store reaches beyond */
}

static inline void tiled_plan_finish(tiled_plan *p, bool narrow_input)
{
    bool pointwise = p->taps_count == 1;
    p->gathered = p->in_c % TILE_VALUES != 0 || (pointwise && p->step > 1);
    tiled_plan_sum(p);
    const tiled_phase *phase = &p->phases[0];
    bool inside = p->top >= 0 && p->left >= 0 && (phase->rows - 1) * p->step + p->bottom < p->in_h &&
                  (phase->cols - 1) * p->step + p->right < p->in_w;
    p->copied = !inside || !narrow_input;
    p->row_pixels = p->copied ? (phase->cols - 1) * p->step + p->right - p->left + 1 : p->in_w;
    tiled_plan_blocks(p);
    tiled_plan_tiles(p);
}

/* ---- the two geometries ---- */

/* A kernel that covers the map is a 1x1 convolution of one pixel with all of its channels. */
static inline void tiled_plan_cover(const sn_conv_attrs *a, sn_shape *x, sn_shape *w)
{
    bool padded = a->pad_top || a->pad_left || a->pad_bottom || a->pad_right;
    if (w->n != x->h || w->h != x->w || padded || a->stride != 1 || a->groups != 1) return;
    *x = (sn_shape){x->n, 1, 1, x->h * x->w * x->c};
    *w = (sn_shape){1, 1, x->c, w->c};
}

/* Small maps of a 1x1 layer as one image of one row. */
static inline void tiled_plan_join(const sn_conv_attrs *a, sn_shape w, tiled_plan *p)
{
    bool pointwise = w.n == 1 && w.h == 1 && !a->pad_top && !a->pad_left && !a->pad_bottom && !a->pad_right && a->stride == 1;
    if (!pointwise || p->in_h * p->in_w >= TILED_FEWEST) return;
    p->in_w = p->out_w = p->images * p->in_h * p->in_w;
    p->images = p->in_h = p->out_h = 1;
}

/* alike: what is summed over the blocks of an image has the same bits in every batch; apart: a tile has pixels of one image. */
static inline tiled_plan tiled_plan_forward(const sn_conv_attrs *a, sn_shape x, sn_shape w, sn_shape y, bool narrow_input, bool alike,
                                            bool apart)
{
    tiled_plan_cover(a, &x, &w);
    tiled_plan p = {.images = x.n, .in_h = x.h, .in_w = x.w, .in_c = x.c, .out_h = y.h, .out_w = y.w, .out_c = y.c,
                    .groups = a->groups, .group_in = x.c / a->groups, .group_out = y.c / a->groups,
                    .kernel_w = w.h, .weight_out = w.c, .step = a->stride, .out_step = 1, .phases_count = 1,
                    .alike = alike};
    if (!apart) tiled_plan_join(a, w, &p);
    for (int ky = 0; ky < w.n; ky++)
        for (int kx = 0; kx < w.h; kx++)
            p.taps[p.taps_count++] = (tiled_tap){.row = ky - a->pad_top, .col = kx - a->pad_left, .ky = ky, .kx = kx};
    p.phases[0] = (tiled_phase){.rows = p.out_h, .cols = p.out_w, .taps = p.taps_count};
    tiled_plan_finish(&p, narrow_input);
    return p;
}

/* dx(i) gathers dy((i + pad - k) / stride) for the k that divide evenly. */
static inline tiled_plan tiled_plan_backward(const sn_conv_attrs *a, sn_shape dy, sn_shape w, sn_shape dx, bool narrow_input)
{
    tiled_plan_cover(a, &dx, &w);
    tiled_plan p = {.images = dy.n, .in_h = dy.h, .in_w = dy.w, .in_c = dy.c, .out_h = dx.h, .out_w = dx.w, .out_c = dx.c,
                    .groups = a->groups, .group_in = dy.c / a->groups, .group_out = dx.c / a->groups,
                    .kernel_w = w.h, .weight_out = w.c, .step = 1, .out_step = a->stride};
    tiled_plan_join(a, w, &p);
    int s = a->stride;
    for (int row0 = 0; row0 < s && row0 < p.out_h; row0++)
        for (int col0 = 0; col0 < s && col0 < p.out_w; col0++) {
            tiled_phase phase = {.row0 = row0, .col0 = col0, .rows = sn_ceil_div(p.out_h - row0, s),
                                 .cols = sn_ceil_div(p.out_w - col0, s), .first_tap = p.taps_count};
            for (int ky = (int)w.n - 1; ky >= 0; ky--)
                for (int kx = (int)w.h - 1; kx >= 0; kx--) {
                    int row = row0 + a->pad_top - ky, col = col0 + a->pad_left - kx;
                    if (row % s != 0 || col % s != 0) continue;
                    p.taps[p.taps_count++] = (tiled_tap){.row = row / s, .col = col / s, .ky = ky, .kx = kx};
                }
            phase.taps = p.taps_count - phase.first_tap;
            p.phases[p.phases_count++] = phase;
        }
    tiled_plan_finish(&p, narrow_input);
    return p;
}

#endif
