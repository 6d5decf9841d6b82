/* conv_direct.c - direct convolution, forward and backward-data, for any kernel size, stride up to 4, padding and groups.
 *
 * See conv_plan.h for the way the work is cut and conv_tiles.h for the inner loops.  Every output is one sum in a fixed order
 * (channel block, tap, channel), so neither bands nor threads change the bits.
 * Memory: reads the input once per panel split (normally once), writes the output once; weights are re-read from the cache.
 */
#include "cpu/kernels/activate.h"
#include "cpu/kernels/conv_tiles.h"

static conv_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *attrs = &call->node->attrs.u.conv;
    sn_shape in = call->input_nodes[0]->shape, weight = call->input_nodes[1]->shape, out = call->node->shape;
    return call->node->op == SN_OP_conv2d ? conv_plan_forward(attrs, in, weight, out, PANEL)
                                          : conv_plan_backward(attrs, in, weight, out, PANEL);
}

static const char *refuse(const sn_kernel_call *call)
{
    sn_shape weight = call->input_nodes[1]->shape;
    if (call->precision != SN_FLOAT) return "not single precision";
    if (weight.n * weight.h > PLAN_TAPS) return "kernel larger than 11x11";
    if (call->node->attrs.u.conv.stride > 4) return "stride above 4";
    return NULL;
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    conv_plan plan = plan_of(call);
    return (size_t)plan.buffer_floats * (size_t)call->threads * sizeof(float);
}

/* ---- weights: [panel][phase][channel block][tap][channel][PANEL], output channels past the group's end zero ---- */

static size_t panel_floats(const conv_plan *plan) { return (size_t)(plan->group_in * plan->taps_count * PANEL); }

static size_t packed_bytes(const sn_kernel_call *call)
{
    conv_plan plan = plan_of(call);
    return (size_t)plan.panels * panel_floats(&plan) * sizeof(float);
}

static void pack_forward(const conv_plan *p, const float *weight, float *packed)
{
    for (int64_t panel = 0; panel < p->panels; panel++) {
        int64_t out = panel % p->group_panels * PANEL, outs = sn_min64(PANEL, p->group_out - out);
        const float *from = weight + panel / p->group_panels * p->group_out + out;
        for (int64_t block = 0; block < p->group_in; block += CHANNEL_BLOCK)
            for (int t = 0; t < p->taps_count; t++)
                for (int64_t c = block; c < sn_min64(p->group_in, block + CHANNEL_BLOCK); c++, packed += PANEL) {
                    int64_t tap = p->taps[t].ky * p->kernel_w + p->taps[t].kx;
                    memcpy(packed, from + (tap * p->group_in + c) * p->weight_out, (size_t)outs * sizeof(float));
                    memset(packed + outs, 0, (size_t)(PANEL - outs) * sizeof(float));
                }
    }
}

/* Here "in" are the convolution's output channels (weight columns) and "out" its input channels (weight rows). */
static void pack_backward(const conv_plan *p, const float *weight, float *packed)
{
    for (int64_t panel = 0; panel < p->panels; panel++) {
        int64_t out = panel % p->group_panels * PANEL, outs = sn_min64(PANEL, p->group_out - out);
        for (int phase = 0; phase < p->phases_count; phase++)
            for (int64_t block = 0; block < p->group_in; block += CHANNEL_BLOCK)
                for (int t = p->phases[phase].first_tap; t < p->phases[phase].first_tap + p->phases[phase].taps; t++) {
                    int64_t tap = p->taps[t].ky * p->kernel_w + p->taps[t].kx;
                    int64_t ins = sn_min64(CHANNEL_BLOCK, p->group_in - block);
                    const float *from = weight + (tap * p->group_out + out) * p->weight_out +
                                        panel / p->group_panels * p->group_in + block;
                    for (int64_t c = 0; c < ins; c++, packed += PANEL) {
                        for (int64_t o = 0; o < outs; o++) packed[o] = from[o * p->weight_out + c];
                        memset(packed + outs, 0, (size_t)(PANEL - outs) * sizeof(float));
                    }
                }
    }
}

static void pack(const sn_kernel_call *call, void *packed)
{
    conv_plan plan = plan_of(call);
    if (call->node->op == SN_OP_conv2d)
        pack_forward(&plan, call->inputs[1], packed);
    else
        pack_backward(&plan, call->inputs[1], packed);
}

/* ---- run ---- */

typedef struct conv_run {
    conv_plan plan;
    const float *in, *packed, *bias, *residual;
    float *out, *scratch;
    sn_activation activation;
} conv_run;

/* The output side of one panel and phase of a task. */
typedef struct conv_target {
    const conv_run *run;
    conv_tile tile;  /* everything but the pixels */
    int64_t channels; /* valid channels of the panel */
    int64_t x_row, x_col; /* floats in the copied band */
    int64_t y_row, y_col; /* floats in the output */
    ptrdiff_t first;      /* of the output pixel (0, 0) of the band */
    bool direct;          /* tiles may write to the output themselves */
} conv_target;

/* Runs of `pixels` neighbouring pixels at (row, col) of the band, and at (row2, col2) if runs == 2. */
static void compute_tile(const conv_target *target, const float *band, int pixels, int runs, const int64_t at[2][2])
{
    const conv_run *run = target->run;
    float buffer[2 * TILE_PIXELS * PANEL];
    conv_tile tile = target->tile;
    ptrdiff_t x[2], y[2];
    for (int r = 0; r < runs; r++) {
        x[r] = at[r][0] * target->x_row + at[r][1] * target->x_col;
        y[r] = target->first + at[r][0] * target->y_row + at[r][1] * target->y_col;
    }
    tile.x = band + x[0];
    if (runs == 2) tile.x_run = x[1] - x[0];
    if (target->direct) {
        tile.y = run->out + y[0];
        tile.y_pixel = target->y_col;
        if (runs == 2) tile.y_run = y[1] - y[0];
        conv_tiles[pixels - 1][runs - 1](&tile);
        return;
    }
    tile.y = buffer;
    tile.y_pixel = PANEL;
    tile.y_run = TILE_PIXELS * PANEL;
    conv_tiles[pixels - 1][runs - 1](&tile);
    for (int r = 0; r < runs; r++)
        for (int i = 0; i < pixels; i++) {
            float *v = buffer + (r * TILE_PIXELS + i) * PANEL;
            ptrdiff_t to = y[r] + i * target->y_col;
            if (run->residual)
                for (int64_t c = 0; c < target->channels; c++) v[c] += run->residual[to + c];
            sn_activate_row(v, target->channels, run->activation);
            memcpy(run->out + to, v, (size_t)target->channels * sizeof(float));
        }
}

/* Covers rows x cols pixels with runs of nearly equal length, two runs at a time. */
static void compute_pixels(const conv_target *target, const float *band, int64_t rows, int64_t cols)
{
    int64_t pieces = sn_ceil_div(cols, TILE_PIXELS), small = cols / pieces, large_pieces = cols % pieces;
    for (int size = 0; size < 2; size++) { /* first the longer runs, then the shorter ones */
        int64_t first = size == 0 ? 0 : large_pieces, last = size == 0 ? large_pieces : pieces;
        int pixels = (int)(size == 0 ? small + 1 : small), waiting = 0;
        int64_t at[2][2];
        for (int64_t row = 0; row < rows; row++)
            for (int64_t piece = first; piece < last; piece++) {
                at[waiting][0] = row;
                at[waiting][1] = piece * small + sn_min64(piece, large_pieces);
                if (++waiting == 2) {
                    compute_tile(target, band, pixels, 2, at);
                    waiting = 0;
                }
            }
        if (waiting) compute_tile(target, band, pixels, 1, at);
    }
}

static void compute_task(void *context, int64_t index, int worker)
{
    const conv_run *run = context;
    const conv_plan *p = &run->plan;
    float *band = run->scratch + worker * p->buffer_floats;
    int64_t split = index % p->panel_splits;
    index /= p->panel_splits;
    int64_t x0 = index % p->bands_x * p->band_cols, y0 = index / p->bands_x % p->bands_y * p->band_rows;
    int64_t image = index / p->bands_x / p->bands_y;
    int64_t first_panel = split * p->panels_each, last_panel = sn_min64(p->panels, first_panel + p->panels_each);
    conv_copy_band(p, run->in + image * p->in_h * p->in_w * p->in_c, band, y0, x0, first_panel / p->group_panels,
                   (last_panel - 1) / p->group_panels + 1, 0, p->buffer_rows);

    static const float zeros[PANEL];
    for (int64_t panel = first_panel; panel < last_panel; panel++) {
        int64_t group = panel / p->group_panels, channel = panel % p->group_panels * PANEL;
        float bias[PANEL] = {0};
        conv_target target = {.run = run, .channels = sn_min64(PANEL, p->group_out - channel)};
        channel += group * p->group_out;
        if (run->bias) memcpy(bias, run->bias + channel, (size_t)target.channels * sizeof(float));
        target.direct = target.channels == PANEL && !run->residual && run->activation == SN_IDENTITY;
        target.tile = (conv_tile){.block_floats = p->block_floats, .channels = p->group_in,
                                  .start = run->bias ? bias : zeros};
        target.x_row = p->step * p->row_floats;
        target.x_col = CHANNEL_BLOCK;
        target.y_row = p->out_step * p->out_w * p->out_c;
        target.y_col = p->out_step * p->out_c;
        for (int k = 0; k < p->phases_count; k++) {
            const conv_phase *phase = &p->phases[k];
            int64_t rows = sn_min64(p->band_rows, phase->rows - y0), cols = sn_min64(p->band_cols, phase->cols - x0);
            if (rows <= 0 || cols <= 0) continue;
            target.tile.taps = phase->taps;
            target.tile.tap_offset = p->tap_offset + phase->first_tap;
            target.tile.w = run->packed + panel * (int64_t)panel_floats(p) + phase->first_tap * p->group_in * PANEL;
            target.first = ((image * p->out_h + phase->row0 + y0 * p->out_step) * p->out_w + phase->col0 +
                            x0 * p->out_step) * p->out_c + channel;
            compute_pixels(&target, band + group * p->group_blocks * p->block_floats, rows, cols);
        }
    }
}

static void run(const sn_kernel_call *call)
{
    conv_run run = {.plan = plan_of(call), .in = call->inputs[0], .packed = call->packed, .out = call->output,
                    .scratch = call->scratch};
    if (call->node->op == SN_OP_conv2d) {
        run.bias = call_input(call, 2);
        run.residual = call_input(call, 3);
        run.activation = call->node->attrs.u.conv.activation;
    }
    const conv_plan *p = &run.plan;
    int64_t macs = p->images * p->out_h * p->out_w * p->out_c * p->group_in * p->taps_count / (p->out_step * p->out_step);
    int threads = macs < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->images * p->bands_y * p->bands_x * p->panel_splits, compute_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_direct) = {
    .name = SN_KERNEL_NAME(conv2d_direct),
    .op = SN_OP_conv2d,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .run = run,
};

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grad_input_direct) = {
    .name = SN_KERNEL_NAME(conv2d_grad_input_direct),
    .op = SN_OP_conv2d_grad_input,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .run = run,
};
