/* conv_plan.h - one way to see a convolution and its backward-data pass, shared by the kernels that sum directly.
 *
 *     out(n, i * out_step + row0, j * out_step + col0, o)
 *         = sum over taps t and channels c of  in(n, i * step + t.row, j * step + t.col, c) w_t(c, o)
 *
 * A forward convolution of stride s has one phase: step = s, out_step = 1, taps (ky - pad_top, kx - pad_left).
 * Backward-data of stride s has s x s phases, one for each parity of the output pixel: step = 1, out_step = s, and only the taps
 * that reach that parity.
 *
 * In NHWC the taps of one kernel row read floats that lie together: a segment.  A 3x3 convolution is a sum over three segments of
 * 3 C floats, a 1x1 over one of C.  A step multiplies STEP_VALUES of them (conv_values.h; where maps are narrow, a float
 * here is one of their values).  The sum is cut into passes of at most PASS_STEPS steps, so that the weights of a panel (the
 * output channels of one register tile) stay in the cache while a block of pixels passes over them.
 * The map is cut into blocks of about BLOCK_PIXELS pixels.  Where columns are padded, a task copies the input of its block
 * between columns of zeros, or as values of the type that is multiplied; else it reads the tensor.  Kernel rows that fall
 * outside the image are left out of the sum.
 * Every output is one sum in a fixed order (pass, segment, float), so neither blocks nor threads change the bits.
 */
#ifndef SN_CPU_KERNELS_CONV_PLAN_H
#define SN_CPU_KERNELS_CONV_PLAN_H

#include <assert.h>

#include "cpu/kernels/conv_values.h"

enum {
    PLAN_TAPS = 121,     /* kernels up to 11x11 */
    PLAN_PHASES = 16,    /* backward-data strides up to 4 */
    PLAN_TASKS = 16,     /* cut small batches into about this many tasks */
    PASS_STEPS = 640,    /* with 64 channels a panel of 160 KB */
    BLOCK_PIXELS = 196,  /* with 512 channels 400 KB: with a panel they fit into an L2 of 1 MB */
    FEWEST_PIXELS = 28,  /* of a block; smaller maps are taken together as one row of pixels */
    COPIED_ROWS = 4,     /* at least, as neighbouring blocks copy the rows between them twice */
    BAND_FLOATS = 98304 * STEP_VALUES /* most of a copied block: 384 KB */
};

typedef struct conv_tap {
    int row, col; /* input offset */
    int ky, kx;   /* which weight */
} conv_tap;

typedef struct conv_phase {
    int row0, col0;     /* first output pixel */
    int64_t rows, cols; /* output pixels of this phase */
    int first_tap, taps, first_segment, segments;
    int64_t length;     /* of a segment */
    int64_t segment_steps, first_step; /* rows of packed weights: of a segment, and where the phase's begin */
    int64_t passes;
    int64_t pass_segments;        /* whole segments of a pass, or, where chunks > 1, one chunk of one segment */
    int64_t chunks, chunk_length;
} conv_phase;

typedef struct conv_plan {
    int64_t images, in_h, in_w, in_c, out_h, out_w, out_c;
    int64_t groups, group_in, group_out; /* channels of a group */
    int64_t kernel_w, weight_out;        /* of the weight (kh, kw, ., weight_out) */
    int step, out_step;
    int phases_count, taps_count;
    conv_phase phases[PLAN_PHASES];
    conv_tap taps[PLAN_TAPS]; /* of a phase in the order of rows and columns */
    int segment_row[PLAN_TAPS];
    ptrdiff_t segment_offset[PLAN_TAPS]; /* from an output pixel's place in the input to the segment */
    int top, left, bottom, right;        /* tap offsets reach from here to there */
    int64_t group_panels, panels;        /* panels in a group, and in all */
    int64_t steps;                       /* input floats that a group's weights see, over all phases */
    int64_t packed_steps;                /* rows of a panel's packed weights */
    int64_t group_floats;                /* packed words of a group */
    /* a block: some images, or some rows of one, or some columns of one row */
    int64_t block_images, block_rows, block_cols, blocks_n, blocks_y, blocks_x;
    int64_t panel_splits, panels_each;   /* a task: a block and some of the panels */
    bool alike; /* an image is cut in the same way in every batch */
    /* where a tile reads: the tensor, or a copied block */
    bool converted; /* the input is not of the type that is multiplied */
    bool copied;
    int64_t image_floats, row_floats, buffer_floats;
} conv_plan;

static inline bool conv_is_pointwise(const sn_conv_attrs *a, sn_shape weight)
{
    return weight.n == 1 && weight.h == 1 && !a->pad_top && !a->pad_left && !a->pad_bottom && !a->pad_right;
}

/* ---- the sum: segments and passes ---- */

/* Joins the taps of each row of a phase where groups allow it. */
static inline void conv_plan_segments(conv_plan *p, conv_phase *phase, int *segments_count)
{
    int joined = 1;
    if (p->groups == 1)
        while (joined < phase->taps && p->taps[phase->first_tap + joined].row == p->taps[phase->first_tap].row) joined++;
    phase->first_segment = *segments_count;
    phase->segments = phase->taps / joined; /* every row has the same columns */
    for (int s = 0; s < phase->segments; s++) p->segment_row[(*segments_count)++] = p->taps[phase->first_tap + s * joined].row;
    phase->length = joined * p->group_in;
    phase->segment_steps = sn_ceil_div(phase->length, STEP_VALUES);
    phase->chunks = sn_ceil_div(phase->length, PASS_STEPS * STEP_VALUES);
    phase->chunk_length = sn_ceil_div(sn_ceil_div(phase->length, phase->chunks), LINE_FLOATS) * LINE_FLOATS;
    phase->pass_segments = phase->chunks > 1 ? 1 : PASS_STEPS * STEP_VALUES / phase->length;
    phase->passes = phase->chunks * sn_ceil_div(phase->segments, phase->pass_segments);
    if (phase->passes == 0) phase->passes = 1; /* nothing reaches these pixels: an empty sum */
}

static inline void conv_plan_sum(conv_plan *p)
{
    int segments = 0;
    for (int t = 0; t < p->taps_count; t++) {
        const conv_tap *tap = &p->taps[t];
        p->top = t == 0 || tap->row < p->top ? tap->row : p->top;
        p->left = t == 0 || tap->col < p->left ? tap->col : p->left;
        p->bottom = t == 0 || tap->row > p->bottom ? tap->row : p->bottom;
        p->right = t == 0 || tap->col > p->right ? tap->col : p->right;
    }
    p->packed_steps = 0;
    for (int k = 0; k < p->phases_count; k++) {
        conv_phase *phase = &p->phases[k];
        conv_plan_segments(p, phase, &segments);
        phase->first_step = p->packed_steps;
        p->packed_steps += phase->segments * phase->segment_steps;
    }
    p->group_panels = sn_ceil_div(p->group_out, PANEL);
    p->panels = p->groups * p->group_panels;
    p->steps = p->taps_count * p->group_in;
    p->group_floats = p->packed_steps * sn_ceil_div(p->group_out, VF) * VF;
}

/* ---- blocks and tasks ---- */

static inline int64_t conv_plan_buffer_rows(const conv_plan *p) { return (p->block_rows - 1) * p->step + p->bottom - p->top + 1; }

static inline void conv_plan_layout(conv_plan *p)
{
    int64_t cols = (p->block_cols - 1) * p->step + p->right - p->left + 1;
    p->row_floats = p->copied ? cols * p->in_c : p->in_w * p->in_c;
    if (p->copied && p->row_floats % (1024 * STEP_VALUES) == 0) /* keep rows out of each other's cache sets */
        p->row_floats += LINE_FLOATS * STEP_VALUES;
    p->image_floats = (p->copied ? conv_plan_buffer_rows(p) : p->in_h) * p->row_floats;
    p->buffer_floats = p->copied ? p->block_images * p->image_floats : 0;
}

/* Halves the block's longest side, so that there are more tasks. */
static inline bool conv_plan_halve(conv_plan *p)
{
    if (p->block_images * p->block_rows * p->block_cols < 2 * FEWEST_PIXELS) return false;
    int64_t *side = p->block_images > 1 ? &p->block_images : p->block_rows > 1 ? &p->block_rows : &p->block_cols;
    *side = sn_ceil_div(*side, 2);
    return true;
}

static inline void conv_plan_blocks(conv_plan *p)
{
    int64_t rows = p->phases[0].rows, cols = p->phases[0].cols; /* the first phase is the largest */
    assert(p->images > 0 && rows > 0 && cols > 0);              /* the shape rules leave no empty tensor */
    int64_t images = p->alike ? 1 : p->images;
    p->copied = p->converted || p->left < 0 || (cols - 1) * p->step + p->right >= p->in_w;
    p->block_cols = sn_ceil_div(cols, cols > BLOCK_PIXELS + FEWEST_PIXELS ? sn_ceil_div(cols, BLOCK_PIXELS) : 1);
    p->block_rows = sn_min64(rows, sn_max64(p->copied ? COPIED_ROWS : 1, BLOCK_PIXELS / p->block_cols));
    p->block_images = sn_max64(1, sn_min64(images, BLOCK_PIXELS / (rows * cols)));
    conv_plan_layout(p);
    while (p->copied && p->buffer_floats > BAND_FLOATS && conv_plan_halve(p)) conv_plan_layout(p);
    do {
        p->block_rows = sn_ceil_div(rows, sn_ceil_div(rows, p->block_rows)); /* blocks of nearly equal size */
        p->block_images = sn_ceil_div(images, sn_ceil_div(images, p->block_images));
        p->blocks_n = sn_ceil_div(images, p->block_images);
        p->blocks_y = sn_ceil_div(rows, p->block_rows);
        p->blocks_x = sn_ceil_div(cols, p->block_cols);
    } while (p->blocks_n * p->blocks_y * p->blocks_x * p->panels < PLAN_TASKS && conv_plan_halve(p));
    conv_plan_layout(p);
    if (p->alike && p->blocks_y * p->blocks_x == 1) { /* whole images may come together */
        int64_t fit = p->copied ? sn_min64(BLOCK_PIXELS / (rows * cols), BAND_FLOATS / p->image_floats) : BLOCK_PIXELS / (rows * cols);
        p->block_images = sn_max64(1, sn_min64(p->images, fit));
        conv_plan_layout(p);
    }
    p->blocks_n = sn_ceil_div(p->images, p->block_images);
    int64_t blocks = p->blocks_n * p->blocks_y * p->blocks_x;
    p->panels_each = sn_ceil_div(p->panels, sn_min64(p->panels, sn_ceil_div(PLAN_TASKS, blocks)));
    p->panel_splits = sn_ceil_div(p->panels, p->panels_each);
}

static inline void conv_plan_finish(conv_plan *p)
{
    conv_plan_sum(p);
    conv_plan_blocks(p);
    int top = p->copied ? p->top : 0, left = p->copied ? p->left : 0;
    for (int k = 0; k < p->phases_count; k++)
        for (int s = 0; s < p->phases[k].segments; s++) {
            const conv_phase *phase = &p->phases[k];
            const conv_tap *tap = &p->taps[phase->first_tap + s * (phase->taps / phase->segments)];
            p->segment_offset[phase->first_segment + s] = (tap->row - top) * p->row_floats + (tap->col - left) * p->in_c;
        }
}

/* The same for an input that is not of the type that is multiplied. */
static inline void conv_plan_convert(conv_plan *p)
{
    p->converted = true;
    conv_plan_finish(p);
}

/* ---- the two geometries ---- */

/* A 1x1 convolution with stride 1 sees rows of pixels: one an image, or one in all where images are small. */
static inline void conv_plan_flatten(conv_plan *p, bool apart)
{
    int64_t pixels = p->in_h * p->in_w;
    bool together = !apart && pixels < FEWEST_PIXELS;
    p->in_h = p->out_h = 1;
    p->in_w = p->out_w = together ? p->images * pixels : pixels;
    if (together) p->images = 1;
}

/* A kernel that covers the map, as of a linear layer behind maps, is a 1x1 convolution of one pixel with all of its channels. */
static inline void conv_plan_cover(const sn_conv_attrs *a, sn_shape *x, sn_shape *w)
{
    bool padded = a->pad_top || a->pad_left || a->pad_bottom || a->pad_right;
    if (w->n != x->h || w->h != x->w || padded || a->stride != 1 || a->groups != 1) return;
    *x = (sn_shape){x->n, 1, 1, x->h * x->w * x->c};
    *w = (sn_shape){1, 1, x->c, w->c};
}

/* x (images, in_h, in_w, in_c), w (kh, kw, in_c / groups, out_c) -> y.  alike: what is summed over the blocks of an image has the
 * same bits in every batch; apart: a tile has pixels of one image. */
static inline conv_plan conv_plan_forward(const sn_conv_attrs *a, sn_shape x, sn_shape w, sn_shape y, bool alike, bool apart)
{
    conv_plan_cover(a, &x, &w);
    conv_plan p = {.images = x.n, .in_h = x.h, .in_w = x.w, .in_c = x.c, .out_h = y.h, .out_w = y.w, .out_c = y.c,
                   .groups = a->groups, .group_in = x.c / a->groups, .group_out = y.c / a->groups,
                   .kernel_w = w.h, .weight_out = w.c, .step = a->stride, .out_step = 1, .phases_count = 1,
                   .alike = alike};
    if (conv_is_pointwise(a, w) && a->stride == 1) conv_plan_flatten(&p, apart);
    for (int ky = 0; ky < w.n; ky++)
        for (int kx = 0; kx < w.h; kx++)
            p.taps[p.taps_count++] = (conv_tap){.row = ky - a->pad_top, .col = kx - a->pad_left, .ky = ky, .kx = kx};
    p.phases[0] = (conv_phase){.rows = p.out_h, .cols = p.out_w, .taps = p.taps_count};
    conv_plan_finish(&p);
    return p;
}

/* dy, w -> dx: dx(i) gathers dy((i + pad - k) / stride) for the k that divide evenly. */
static inline conv_plan conv_plan_backward(const sn_conv_attrs *a, sn_shape dy, sn_shape w, sn_shape dx)
{
    conv_plan_cover(a, &dx, &w);
    conv_plan p = {.images = dy.n, .in_h = dy.h, .in_w = dy.w, .in_c = dy.c, .out_h = dx.h, .out_w = dx.w, .out_c = dx.c,
                   .groups = a->groups, .group_in = dy.c / a->groups, .group_out = dx.c / a->groups,
                   .kernel_w = w.h, .weight_out = w.c, .step = 1, .out_step = a->stride};
    if (conv_is_pointwise(a, w) && a->stride == 1) conv_plan_flatten(&p, false);
    int s = a->stride;
    for (int row0 = 0; row0 < s && row0 < p.out_h; row0++)
        for (int col0 = 0; col0 < s && col0 < p.out_w; col0++) {
            conv_phase phase = {.row0 = row0, .col0 = col0, .rows = sn_ceil_div(p.out_h - row0, s),
                                .cols = sn_ceil_div(p.out_w - col0, s), .first_tap = p.taps_count};
            for (int ky = (int)w.n - 1; ky >= 0; ky--)
                for (int kx = (int)w.h - 1; kx >= 0; kx--) {
                    int row = row0 + a->pad_top - ky, col = col0 + a->pad_left - kx;
                    if (row % s != 0 || col % s != 0) continue;
                    p.taps[p.taps_count++] = (conv_tap){.row = row / s, .col = col / s, .ky = ky, .kx = kx};
                }
            phase.taps = p.taps_count - phase.first_tap;
            p.phases[p.phases_count++] = phase;
        }
    conv_plan_finish(&p);
    return p;
}

#endif
