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
 * (64 where values are bytes.)  Of int8, whose products with zero weights are zero whatever they are, there are two more, copies as
 * well:
 *
 *     loose      channels are no multiple of 64: a kernel row's values lie together, and a step reads on into what follows them
 *     blocked    narrow groups: [block of 16 or 32 channels][row][pixel][channel], where a kernel row of a block is one step or two.
 *                Where the 32 outputs of a panel see two blocks, it is split: each half multiplies left tiles of its own
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
    TILED_SLAB = 16,            /* channels of a block of narrow groups, or twice as many */
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
    int64_t panels;
    int64_t seen, pitch;          /* values of a tap that a panel's sum sees, and from pixel to pixel where tiles read */
    int64_t steps;                /* of a panel, over all phases */
    bool alike; /* an image is cut in the same way in every batch */
    bool copied, gathered, flat;
    bool loose, blocked, split;   /* of int8: see above */
    int64_t row_pixels;           /* of what tiles or the gathering read */
    int64_t block_images, block_rows, blocks_n, blocks_y;
    int64_t panels_each, splits;
    int64_t image_values, copy_values, gather_values, tiles; /* of a block */
    int64_t slab_values;          /* where channels are blocked: of one of these blocks of an image */
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
    p->steps = 0;
    for (int k = 0; k < p->phases_count; k++) {
        tiled_phase *phase = &p->phases[k];
        int joined = 1;
        const tiled_tap *first = &p->taps[phase->first_tap];
        while (p->seen == p->pitch && joined < phase->taps && (p->gathered || first[joined].row == first->row)) joined++;
        phase->segments = phase->taps / joined;
        phase->segment_steps = sn_ceil_div(joined * p->seen, TILE_VALUES);
        phase->first_step = p->steps;
        phase->steps = phase->segments * phase->segment_steps;
        p->steps += phase->steps;
    }
}

/* The first input channel that the outputs from `out` on see: the first of its chunk or block. */
static inline int64_t tiled_first_channel(const tiled_plan *p, int64_t out)
{
    int64_t unit = p->blocked ? p->seen : TILE_VALUES;
    return p->groups == 1 ? 0 : out / p->group_out * p->group_in / unit * unit;
}

/* Inputs of the groups of so many outputs. */
static inline int64_t tiled_seen(const tiled_plan *p, int64_t outputs) { return sn_max64(1, outputs / p->group_out) * p->group_in; }

#if SN_STORED_Q8
/* Bytes beyond a segment cost nothing but steps; to gather a segment of a pixel costs 6 cycles, a step of 16 outputs one. */
static inline bool tiled_is_loose(const tiled_plan *p)
{
    bool pointwise = p->taps_count == 1;
    if (p->groups > 1 || p->in_c % TILE_VALUES == 0 || (pointwise && p->step > 1)) return false;
    int rows = 1;
    while (rows < p->taps_count && p->taps[rows].row == p->taps[0].row) rows++;
    int64_t columns = rows, segments = p->taps_count / columns;
    int64_t steps = segments * sn_ceil_div(columns * p->in_c, TILE_VALUES);
    int64_t gathered = sn_ceil_div(p->taps_count * p->in_c, TILE_VALUES);
    return (steps - gathered) * sn_ceil_div(p->out_c, TILE_OUTPUTS) < 6 * segments;
}

/* Blocks of channels for narrow groups: their width, or 0. */
static inline int64_t tiled_block_channels(const tiled_plan *p)
{
    bool fits = TILED_PANEL % p->group_out == 0 || p->group_out % TILED_PANEL == 0;
    if (p->groups == 1 || !fits || p->out_c % TILED_PANEL != 0) return 0;
    if (p->taps_count == 1 && p->in_c % TILE_VALUES == 0) return 0;
    int64_t panel = tiled_seen(p, TILED_PANEL), half = tiled_seen(p, TILE_OUTPUTS);
    int64_t width = panel <= TILED_SLAB || half <= TILED_SLAB ? TILED_SLAB : panel;
    bool whole = width % half == 0 && (panel <= width ? width % panel == 0 : panel == 2 * width);
    return width <= 2 * TILED_SLAB && whole && p->in_c % width == 0 ? width : 0;
}
#else /* what is no number would reach sums by way of zero weights */
static inline bool tiled_is_loose(const tiled_plan *p) { return (void)p, false; }
static inline int64_t tiled_block_channels(const tiled_plan *p) { return (void)p, 0; }
#endif

static inline void tiled_plan_channels(tiled_plan *p)
{
    bool pointwise = p->taps_count == 1;
    int64_t width = tiled_block_channels(p);
    p->seen = p->pitch = p->in_c;
    p->loose = tiled_is_loose(p);
    p->blocked = width > 0;
    p->gathered = !p->loose && !p->blocked && (p->in_c % TILE_VALUES != 0 || (pointwise && p->step > 1));
    if (p->blocked) {
        p->seen = p->pitch = width;
        p->split = tiled_seen(p, TILED_PANEL) > width;
    } else if (p->groups > 1 && !p->gathered) /* chunks of the groups of 32 outputs, or of fewer where there are no more */
        p->seen = sn_min64(p->seen, sn_ceil_div(tiled_seen(p, TILED_PANEL), TILE_VALUES) * TILE_VALUES);
}

/* Whether the inputs of a panel are whole chunks, or its chunk holds those of whole panels. */
static inline bool tiled_groups_fit(const tiled_plan *p)
{
    if (TILED_PANEL % p->group_out != 0 && p->group_out % TILED_PANEL != 0) return false;
    if (p->panels > 1 && p->out_c % TILED_PANEL != 0) return false; /* the last one would see inputs that are not there */
    int64_t seen = tiled_seen(p, TILED_PANEL);
    return seen % TILE_VALUES == 0 || TILE_VALUES % seen == 0;
}

/* Why groups are not multiplied by tiles, or NULL. */
static inline const char *tiled_groups_refusal(const tiled_plan *p)
{
    if (p->groups == 1) return NULL;
    if (p->blocked) return NULL;
    if (p->gathered) return "groups whose channels fill no tiles";
    return tiled_groups_fit(p) ? NULL : "groups that do not fill tiles";
}

/* ---- blocks ---- */

static inline int64_t tiled_copy_rows(const tiled_plan *p, int64_t rows) { return (rows - 1) * p->step + p->bottom - p->top + 1; }

/* Bytes that the tiles of so many rows of an image read. */
static inline int64_t tiled_block_bytes(const tiled_plan *p, int64_t rows)
{
    const tiled_phase *phase = &p->phases[0];
    int64_t values = tiled_copy_rows(p, rows) * p->row_pixels * p->in_c;
    if (p->gathered) values += rows * phase->cols * phase->segment_steps * TILE_VALUES;
    return values * (int64_t)sizeof(tile_value);
}

static inline void tiled_plan_blocks(tiled_plan *p)
{
    int64_t rows = p->phases[0].rows, cols = p->phases[0].cols; /* the first phase is the largest */
    int64_t weights = p->steps * TILE_BYTES * p->out_c;
    int64_t images = p->alike ? 1 : p->images, input = images * p->in_h * p->in_w * p->in_c * (int64_t)sizeof(tile_value);
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
    p->slab_values = p->image_values / p->in_c * p->pitch;
    p->copy_values = p->copied ? tiled_align(p->block_images * p->image_values) + TILE_VALUES : 0; /* loose reads reach beyond */
    p->gather_values = 0;
    for (int k = 0; k < p->phases_count && p->gathered; k++)
        p->gather_values = sn_max64(p->gather_values, p->phases[k].segment_steps * TILE_VALUES);
    p->gather_values *= p->block_images * p->block_rows * phase->cols;
    if (p->gathered) p->gather_values += 2 * TILE_VALUES; /* the last store reaches beyond */
}

static inline void tiled_plan_finish(tiled_plan *p, bool narrow_input)
{
    tiled_plan_channels(p);
    tiled_plan_sum(p);
    const tiled_phase *phase = &p->phases[0];
    bool inside = p->top >= 0 && p->left >= 0 && (phase->rows - 1) * p->step + p->bottom < p->in_h &&
                  (phase->cols - 1) * p->step + p->right < p->in_w;
    p->copied = !inside || !narrow_input || p->loose || p->blocked;
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

/* ---- packed weights: [panel][phase][step][half of the panel] right tiles; a last panel of at most 16 outputs has one half ---- */

typedef struct tiled_panel {
    int64_t out, channels; /* outputs */
    bool wide;             /* more than 16 */
    int64_t packed;        /* where its weights begin */
} tiled_panel;

static inline tiled_panel tiled_panel_at(const tiled_plan *p, int64_t index)
{
    tiled_panel panel = {.out = index * TILED_PANEL, .packed = index * p->steps * 2 * RIGHT_VALUES};
    panel.channels = sn_min64(TILED_PANEL, p->out_c - panel.out);
    panel.wide = panel.channels > TILE_OUTPUTS;
    return panel;
}

static inline int64_t tiled_packed_values(const tiled_plan *p)
{
    tiled_panel last = tiled_panel_at(p, p->panels - 1);
    return last.packed + p->steps * (last.wide ? 2 : 1) * RIGHT_VALUES;
}

/* Input `value` of a step of a phase, for outputs that see channels from `first` on: which tap and channel; false: none. */
static inline bool tiled_input(const tiled_plan *p, const tiled_phase *phase, int64_t first, int64_t step, int64_t value,
                               const tiled_tap **tap, int64_t *channel)
{
    int64_t joined = phase->taps / phase->segments, segment = step / phase->segment_steps;
    int64_t k = step % phase->segment_steps * TILE_VALUES + value;
    if (k >= joined * p->seen) return false;
    *tap = &p->taps[phase->first_tap + segment * joined + k / p->seen];
    *channel = first + k % p->seen;
    return *channel < p->in_c;
}

/* The weights (HWIO) of a forward convolution from input `channel` at a tap to 16 outputs from `out` on, 0 where groups differ. */
static inline vf tiled_forward_row(const tiled_plan *p, const float *weight, const tiled_tap *tap, int64_t channel, int64_t out)
{
    int64_t group = channel / p->group_in, first = group * p->group_out - out, last = first + p->group_out;
    first = sn_max64(first, 0);
    last = sn_min64(last, VF);
    if (first >= last) return (vf){0};
    const float *row = weight + ((tap->ky * p->kernel_w + tap->kx) * p->group_in + channel - group * p->group_in) * p->weight_out;
    __mmask16 lanes = (__mmask16)((1u << last) - (1u << first));
    return (vf)_mm512_maskz_loadu_ps(lanes, row + out);
}

#endif
