/* conv_plan.h - one way to see a convolution and its backward-data pass, shared by the direct kernels.
 *
 *     out(n, i * out_step + row0, j * out_step + col0, o)
 *         = sum over taps t and channels c of  in(n, i * step + t.row, j * step + t.col, c) w_t(c, o)
 *
 * A forward convolution of stride s has one phase: step = s, out_step = 1, taps (ky - pad_top, kx - pad_left).
 * Backward-data of stride s has s x s phases, one for each parity of the output pixel: step = 1, out_step = s, and only the taps
 * that reach that parity.  A 1x1 convolution with stride 1 and no padding is one image of one long row.
 *
 * A task computes a band of output pixels of one image for a range of panels (a panel: the output channels of one register
 * tile).  It first copies the input pixels it needs to per-worker memory laid out [channel block][row][column][16] with zeros
 * where the taps leave the image, so that the inner loops have no border code and a constant pixel stride.  With a step s the
 * columns are sorted by parity: [column % s][column / s].
 */
#ifndef SN_CPU_KERNELS_CONV_PLAN_H
#define SN_CPU_KERNELS_CONV_PLAN_H

#include <assert.h>

#include "cpu/kernels/vector.h"

enum {
    CHANNEL_BLOCK = 16,      /* channels that lie together in the copied band */
    PLAN_TAPS = 121,         /* kernels up to 11x11 */
    PLAN_PHASES = 16,        /* backward-data strides up to 4 */
    PLAN_COLUMNS = 256,      /* widest band; one long row is cut into pieces of half of it */
    PLAN_BAND_FLOATS = 65536, /* a copied band of 256 KB leaves the rest of a 1 MB L2 to the weights */
    PLAN_TASKS = 16          /* cut small batches into about this many tasks */
};

typedef struct conv_tap {
    int row, col; /* input offset */
    int ky, kx;   /* which weight */
} conv_tap;

typedef struct conv_phase {
    int row0, col0;   /* first output pixel */
    int64_t rows, cols; /* output pixels of this phase */
    int first_tap, taps;
} conv_phase;

typedef struct conv_plan {
    int64_t images, in_h, in_w, in_c, out_h, out_w, out_c;
    int64_t groups, group_in, group_out; /* channels of a group */
    int64_t kernel_w, weight_out;        /* of the weight (kh, kw, ., weight_out) */
    int step, out_step;
    int phases_count, taps_count;
    conv_phase phases[PLAN_PHASES];
    conv_tap taps[PLAN_TAPS];
    ptrdiff_t tap_offset[PLAN_TAPS]; /* in the copied band, floats */
    int top, left;                   /* smallest tap offsets */
    int64_t panel_channels;          /* output channels of a register tile */
    int64_t group_panels, panels;    /* panels in a group, and in all */
    /* cutting into tasks */
    int64_t band_rows, band_cols, bands_y, bands_x, panel_splits, panels_each;
    /* the copied band */
    int64_t buffer_rows, buffer_cols, group_blocks;
    int64_t row_floats, parity_floats, block_floats, buffer_floats;
} conv_plan;

static inline bool conv_is_pointwise(const sn_conv_attrs *a, sn_shape weight)
{
    return weight.n == 1 && weight.h == 1 && a->stride == 1 && !a->pad_top && !a->pad_left && !a->pad_bottom && !a->pad_right;
}

/* Sizes of the tasks and of the copied band, once the geometry is known. */
static inline void conv_plan_cut(conv_plan *p, int64_t panel_channels)
{
    int top = 0, left = 0, bottom = 0, right = 0;
    for (int t = 0; t < p->taps_count; t++) {
        const conv_tap *tap = &p->taps[t];
        top = t == 0 || tap->row < top ? tap->row : top;
        left = t == 0 || tap->col < left ? tap->col : left;
        bottom = t == 0 || tap->row > bottom ? tap->row : bottom;
        right = t == 0 || tap->col > right ? tap->col : right;
    }
    p->top = top;
    p->left = left;
    p->panel_channels = panel_channels;
    p->group_panels = sn_ceil_div(p->group_out, panel_channels);
    p->panels = p->groups * p->group_panels;
    p->group_blocks = sn_ceil_div(p->group_in, CHANNEL_BLOCK);

    int64_t rows = p->phases[0].rows, cols = p->phases[0].cols; /* the first phase is the largest */
    assert(p->images > 0 && rows > 0 && cols > 0); /* the shape rules leave no empty tensor */
    p->band_cols = rows > 1 && cols <= PLAN_COLUMNS ? cols : sn_min64(cols, PLAN_COLUMNS / 2);
    p->buffer_cols = (p->band_cols - 1) * p->step + right - left + 1;
    p->parity_floats = sn_ceil_div(p->buffer_cols, p->step) * CHANNEL_BLOCK;
    p->row_floats = p->parity_floats * p->step;
    if (p->row_floats % 1024 == 0) p->row_floats += CHANNEL_BLOCK; /* keep rows out of each other's cache sets */
    int64_t all_blocks = p->groups * p->group_blocks;
    int64_t fit = (PLAN_BAND_FLOATS / (all_blocks * p->row_floats) - (bottom - top + 1)) / p->step + 1;
    int64_t spread = sn_ceil_div(rows, sn_ceil_div(PLAN_TASKS, p->images));
    p->band_rows = sn_min64(rows, sn_max64(4, sn_min64(fit, spread)));
    p->bands_y = sn_ceil_div(rows, p->band_rows);
    p->band_rows = sn_ceil_div(rows, p->bands_y);
    p->band_rows = sn_min64(rows, p->band_rows + (p->band_rows & 1)); /* rows are taken in pairs */
    p->bands_y = sn_ceil_div(rows, p->band_rows);
    p->bands_x = sn_ceil_div(cols, p->band_cols);
    p->buffer_rows = (p->band_rows - 1) * p->step + bottom - top + 1;
    p->block_floats = p->buffer_rows * p->row_floats;
    p->buffer_floats = all_blocks * p->block_floats;

    int64_t tasks = p->images * p->bands_y * p->bands_x;
    p->panels_each = sn_ceil_div(p->panels, sn_min64(p->panels, sn_ceil_div(PLAN_TASKS, tasks)));
    p->panel_splits = sn_ceil_div(p->panels, p->panels_each);
    for (int t = 0; t < p->taps_count; t++) {
        int64_t row = p->taps[t].row - top, col = p->taps[t].col - left;
        p->tap_offset[t] = row * p->row_floats + col % p->step * p->parity_floats + col / p->step * CHANNEL_BLOCK;
    }
}

/* x (images, in_h, in_w, in_c), w (kh, kw, in_c / groups, out_c) -> y. */
static inline conv_plan conv_plan_forward(const sn_conv_attrs *a, sn_shape x, sn_shape w, sn_shape y, int64_t panel_channels)
{
    conv_plan p = {.images = x.n, .in_h = x.h, .in_w = x.w, .in_c = x.c, .out_h = y.h, .out_w = y.w, .out_c = y.c,
                   .groups = a->groups, .group_in = x.c / a->groups, .group_out = y.c / a->groups,
                   .kernel_w = w.h, .weight_out = w.c, .step = a->stride, .out_step = 1, .phases_count = 1};
    if (conv_is_pointwise(a, w)) {
        p.in_w = p.out_w = x.n * x.h * x.w;
        p.images = p.in_h = p.out_h = 1;
    }
    for (int ky = 0; ky < w.n; ky++)
        for (int kx = 0; kx < w.h; kx++)
            p.taps[p.taps_count++] = (conv_tap){.row = ky - a->pad_top, .col = kx - a->pad_left, .ky = ky, .kx = kx};
    p.phases[0] = (conv_phase){.rows = p.out_h, .cols = p.out_w, .taps = p.taps_count};
    conv_plan_cut(&p, panel_channels);
    return p;
}

/* dy, w -> dx: dx(i) gathers dy((i + pad - k) / stride) for the k that divide evenly. */
static inline conv_plan conv_plan_backward(const sn_conv_attrs *a, sn_shape dy, sn_shape w, sn_shape dx, int64_t panel_channels)
{
    conv_plan p = {.images = dy.n, .in_h = dy.h, .in_w = dy.w, .in_c = dy.c, .out_h = dx.h, .out_w = dx.w, .out_c = dx.c,
                   .groups = a->groups, .group_in = dy.c / a->groups, .group_out = dx.c / a->groups,
                   .kernel_w = w.h, .weight_out = w.c, .step = 1, .out_step = a->stride};
    if (conv_is_pointwise(a, w)) {
        p.in_w = p.out_w = dy.n * dy.h * dy.w;
        p.images = p.in_h = p.out_h = 1;
    }
    int s = a->stride;
    for (int row0 = 0; row0 < s && row0 < p.out_h; row0++)
        for (int col0 = 0; col0 < s && col0 < p.out_w; col0++) {
            conv_phase phase = {.row0 = row0, .col0 = col0, .rows = sn_ceil_div(p.out_h - row0, s),
                                .cols = sn_ceil_div(p.out_w - col0, s), .first_tap = p.taps_count};
            for (int ky = 0; ky < w.n; ky++)
                for (int kx = 0; kx < w.h; kx++) {
                    int row = row0 + a->pad_top - ky, col = col0 + a->pad_left - kx;
                    if (row % s != 0 || col % s != 0) continue;
                    p.taps[p.taps_count++] = (conv_tap){.row = row / s, .col = col / s, .ky = ky, .kx = kx};
                }
            phase.taps = p.taps_count - phase.first_tap;
            p.phases[p.phases_count++] = phase;
        }
    conv_plan_cut(&p, panel_channels);
    return p;
}

/* `pixels` pixels of `channels` (<= 16) floats from rows of stride `from` into the copied band. */
static inline void conv_copy_pixels(float *to, const float *from, int64_t pixels, int64_t stride, int64_t channels)
{
    if (channels == CHANNEL_BLOCK) {
        for (int64_t i = 0; i < pixels; i++)
            for (int v = 0; v < CHANNEL_BLOCK; v += VF) vf_store(to + i * CHANNEL_BLOCK + v, vf_load(from + i * stride + v));
    } else {
        for (int64_t i = 0; i < pixels; i++)
            for (int64_t c = 0; c < channels; c++) to[i * CHANNEL_BLOCK + c] = from[i * stride + c];
    }
}

/* Fills buffer rows [first, last) of the band whose output pixels start at (y0, x0), for channel blocks of groups [g0, g1). */
static inline void conv_copy_band(const conv_plan *p, const float *image, float *buffer, int64_t y0, int64_t x0, int64_t g0,
                                  int64_t g1, int64_t first, int64_t last)
{
    for (int64_t row = first; row < last; row++) {
        int64_t in_row = y0 * p->step + p->top + row;
        for (int64_t block = g0 * p->group_blocks; block < g1 * p->group_blocks; block++) {
            float *to = buffer + block * p->block_floats + row * p->row_floats;
            if (in_row < 0 || in_row >= p->in_h) {
                memset(to, 0, (size_t)p->row_floats * sizeof(float));
                continue;
            }
            int64_t channel = block % p->group_blocks * CHANNEL_BLOCK;
            int64_t channels = sn_min64(CHANNEL_BLOCK, p->group_in - channel);
            const float *from = image + in_row * p->in_w * p->in_c + block / p->group_blocks * p->group_in + channel;
            for (int64_t parity = 0; parity < p->step; parity++, to += p->parity_floats) {
                /* buffer column k of this parity is input column start + k step */
                int64_t start = x0 * p->step + p->left + parity, slots = p->parity_floats / CHANNEL_BLOCK;
                int64_t before = start < 0 ? sn_min64(slots, sn_ceil_div(-start, p->step)) : 0;
                int64_t end = start >= p->in_w ? 0 : sn_min64(slots, sn_ceil_div(p->in_w - start, p->step));
                end = sn_max64(end, before);
                memset(to, 0, (size_t)(before * CHANNEL_BLOCK) * sizeof(float));
                conv_copy_pixels(to + before * CHANNEL_BLOCK, from + (start + before * p->step) * p->in_c, end - before,
                                 p->step * p->in_c, channels);
                memset(to + end * CHANNEL_BLOCK, 0, (size_t)((slots - end) * CHANNEL_BLOCK) * sizeof(float));
            }
        }
    }
}

#endif
