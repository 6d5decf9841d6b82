/* conv_direct.c - convolution summed directly, forward and backward-data, for any kernel size, stride up to 4, padding and groups.
 *
 * See conv_plan.h for the way the work is cut and conv_tiles.h for the inner loops.  Activations are read where they are, in rows
 * of pixels; only the weights are packed.  A task takes a block of pixels and some panels of output channels:
 *
 *     for each pass of the sum          the block's share of the input stays in the L2 cache,
 *         for each panel                its weights too, fetched while the panel before is multiplied,
 *             for each tile of pixels   the tile's input and the sums in the L1 cache and registers
 *
 * Bias, residual and activation are applied in registers before a tile is stored for the last time, and the squeeze is summed.
 * Memory: reads the input once per panel split (normally once), writes the output once; weights are re-read from the cache.
 */
#include "cpu/kernels/activate.h"
#include "cpu/kernels/conv_plan.h"
#include "cpu/kernels/conv_tiles.h"
#include "cpu/kernels/copy.h"
#include "cpu/kernels/squeeze_sums.h"
#include "cpu/kernels/transpose.h"

static conv_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *attrs = &call->node->attrs.u.conv;
    sn_shape in = call->input_nodes[0]->shape, weight = call->input_nodes[1]->shape, out = call->node->shape;
    return call->node->op == SN_OP_conv2d ? conv_plan_forward(attrs, in, weight, out, call->squeeze_node != NULL)
                                          : conv_plan_backward(attrs, in, weight, out);
}

static const char *refuse(const sn_kernel_call *call)
{
    sn_shape weight = call->input_nodes[1]->shape;
    if (call->precision != SN_FLOAT) return "not single precision";
    if (weight.n * weight.h > PLAN_TAPS) return "kernel larger than 11x11";
    if (call->node->attrs.u.conv.stride > 4) return "stride above 4";
    return NULL;
}

static const char *refuse_pointwise(const sn_kernel_call *call)
{
    const sn_conv_attrs *attrs = &call->node->attrs.u.conv;
    if (attrs->groups != 1 || !conv_is_pointwise(attrs, call->input_nodes[1]->shape)) return "not a dense 1x1 convolution";
    return refuse(call);
}

/* Where every image has blocks of its own, the last value of a pixel is known when its tile is stored, and a group's last vector
 * does not reach into the next group. */
static bool squeezes(const sn_kernel_call *call)
{
    conv_plan plan = plan_of(call);
    return plan.images == call->node->shape.n && clamp_is(call->node->attrs.u.conv.activation) &&
           (plan.groups == 1 || plan.group_out % VF == 0);
}

/* ---- scratch memory: the copied blocks of the workers, then the sums of the squeeze ---- */

static size_t copies_bytes(const conv_plan *p, int threads)
{
    return sn_align((size_t)p->buffer_floats * (size_t)threads * sizeof(float), SN_ALIGNMENT);
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    conv_plan plan = plan_of(call);
    return copies_bytes(&plan, call->threads) + squeeze_bytes(call, plan.blocks_y * plan.blocks_x);
}

/* ---- weights: [group][panel][phase][tap][input channel][width]; a panel is PANEL wide, a group's last one as many vectors as
 * it needs, with zeros behind its channels ---- */

typedef struct conv_panel {
    int64_t group, in, out; /* first channels of the group's input and of the panel's output, in the tensors */
    int64_t channels;
    int width;              /* floats of a packed row */
    int64_t packed;         /* where its weights begin */
} conv_panel;

static conv_panel panel_at(const conv_plan *p, int64_t index)
{
    int64_t group = index / p->group_panels, first = index % p->group_panels * PANEL;
    conv_panel panel = {.group = group, .in = group * p->group_in, .out = group * p->group_out + first,
                        .channels = sn_min64(PANEL, p->group_out - first),
                        .packed = group * p->group_floats + first * p->steps};
    panel.width = (int)sn_ceil_div(panel.channels, VF) * VF;
    return panel;
}

static size_t packed_bytes(const sn_kernel_call *call)
{
    conv_plan plan = plan_of(call);
    return (size_t)(plan.groups * plan.group_floats) * sizeof(float);
}

typedef struct pack_job {
    conv_plan plan;
    const float *weight; /* HWIO of the convolution */
    float *packed;
} pack_job;

static void pack_forward(void *context, int64_t index, int worker)
{
    (void)worker;
    const pack_job *job = context;
    const conv_plan *p = &job->plan;
    conv_panel panel = panel_at(p, index);
    float *to = job->packed + panel.packed;
    for (int t = 0; t < p->taps_count; t++) {
        int64_t tap = p->taps[t].ky * p->kernel_w + p->taps[t].kx;
        const float *from = job->weight + tap * p->group_in * p->weight_out + panel.out;
        for (int64_t c = 0; c < p->group_in; c++, to += panel.width, from += p->weight_out) {
            copy_floats(to, from, panel.channels);
            clear_floats(to + panel.channels, panel.width - panel.channels);
        }
    }
}

/* rows x cols floats, at most VF each, from rows that lie `stride` apart to columns that do: zeros up to VF columns. */
static void transpose_floats(const float *from, int64_t stride, int64_t rows, int64_t cols, float *to, int64_t to_stride)
{
    vf square[VF];
    for (int64_t i = 0; i < VF; i++) square[i] = i < rows ? vf_load_n(from + i * stride, cols) : (vf){0};
    vf_transpose(square);
    for (int64_t i = 0; i < cols; i++) vf_store(to + i * to_stride, square[i]);
}

/* Here "in" are the convolution's output channels (weight columns) and "out" its input channels (weight rows). */
static void pack_backward(void *context, int64_t index, int worker)
{
    (void)worker;
    const pack_job *job = context;
    const conv_plan *p = &job->plan;
    conv_panel panel = panel_at(p, index);
    float *to = job->packed + panel.packed;
    for (int t = 0; t < p->taps_count; t++, to += p->group_in * panel.width) {
        int64_t tap = p->taps[t].ky * p->kernel_w + p->taps[t].kx;
        const float *from = job->weight + (tap * p->group_out + panel.out - panel.group * p->group_out) * p->weight_out + panel.in;
        for (int64_t c = 0; c < p->group_in; c += VF)
            for (int64_t o = 0; o < panel.width; o += VF)
                transpose_floats(from + o * p->weight_out + c, p->weight_out, sn_min64(VF, panel.channels - o),
                                 sn_min64(VF, p->group_in - c), to + c * panel.width + o, panel.width);
    }
}

static void pack(const sn_kernel_call *call, void *packed)
{
    pack_job job = {.plan = plan_of(call), .weight = call->inputs[1], .packed = packed};
    int threads = job.plan.groups * job.plan.group_floats * 4 < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, job.plan.panels, call->node->op == SN_OP_conv2d ? pack_forward : pack_backward, &job);
}

/* ---- a block ---- */

typedef struct conv_run {
    conv_plan plan;
    const float *in, *packed, *bias, *residual;
    float *out, *scratch;
    sn_activation activation;
    squeeze_sums squeeze;
} conv_run;

/* Output pixels of a phase: images [n0, n1), rows [y0, y1), columns [x0, x1). */
typedef struct conv_block {
    int64_t n0, n1, y0, y1, x0, x1;
    int64_t index; /* within the image */
} conv_block;

/* Copies the input of a block: rows outside the image are left out, columns outside are zero. */
static void copy_block(const conv_run *run, const conv_block *b, float *buffer)
{
    const conv_plan *p = &run->plan;
    int64_t cols = (b->x1 - b->x0 - 1) * p->step + p->right - p->left + 1, x = b->x0 * p->step + p->left;
    int64_t before = sn_min64(sn_max64(-x, 0), cols), end = sn_max64(sn_min64(p->in_w - x, cols), before);
    int64_t first = b->y0 * p->step + p->top, last = (b->y1 - 1) * p->step + p->bottom;
    for (int64_t n = b->n0; n < b->n1; n++)
        for (int64_t row = sn_max64(first, 0); row <= last && row < p->in_h; row++) {
            float *to = buffer + (n - b->n0) * p->image_floats + (row - first) * p->row_floats;
            const float *from = run->in + ((n * p->in_h + row) * p->in_w + x + before) * p->in_c;
            clear_floats(to, before * p->in_c);
            memcpy(to + before * p->in_c, from, (size_t)((end - before) * p->in_c) * sizeof(float));
            clear_floats(to + end * p->in_c, (cols - end) * p->in_c);
        }
}

/* One panel and pass of a phase of a block. */
typedef struct conv_target {
    const conv_run *run;
    const conv_block *block;
    const conv_phase *phase;
    conv_panel panel;
    conv_tile tile;        /* all but the places */
    int64_t first_segment; /* of the pass, in the phase */
    ptrdiff_t origin;      /* of what tile.x points to, in the input */
    bool last;             /* pass */
    const float *ahead;    /* weights to fetch in tiles_count parts */
    int64_t ahead_parts, ahead_floats, tiles_done;
    bool ahead_pixels;     /* then the pixels of the next tile: the first panel reads them from memory */
} conv_target;

/* Panels whose last vector is not full: the tile works on a copy of its outputs. */
static void compute_partial_tile(const conv_target *target, conv_tile *tile, int64_t pixels)
{
    float y[MOST_TILE_ROWS * PANEL], residual[MOST_TILE_ROWS * PANEL];
    int64_t channels = target->panel.channels, width = target->panel.width;
    float *out = tile->y;
    for (int64_t i = 0; i < pixels; i++) {
        vf_store(y + (i + 1) * width - VF, (vf){0});
        vf_store(residual + (i + 1) * width - VF, (vf){0});
        if (!tile->bias) copy_floats(y + i * width, out + i * tile->y_pixel, channels);
        if (tile->residual) copy_floats(residual + i * width, tile->residual + i * tile->y_pixel, channels);
    }
    conv_tile copy = *tile;
    copy.y = y;
    if (copy.residual) copy.residual = residual;
    copy.y_pixel = width;
    conv_tiles[width / VF - 1][pixels - 1](&copy);
    for (int64_t i = 0; i < pixels; i++) copy_floats(out + i * tile->y_pixel, y + i * width, channels);
}

/* `pixels` pixels that lie side by side from (n, row, col) on. */
static void compute_tile(conv_target *target, int64_t n, int64_t row, int64_t col, int64_t pixels)
{
    const conv_run *run = target->run;
    const conv_plan *p = &run->plan;
    conv_tile *tile = &target->tile;
    int64_t y = ((n * p->out_h + target->phase->row0 + row * p->out_step) * p->out_w + target->phase->col0 +
                 col * p->out_step) * p->out_c + target->panel.out;
    tile->at = n * p->image_floats + row * p->step * p->row_floats + col * p->step * p->in_c - target->origin + target->panel.in;
    tile->y = run->out + y;
    tile->residual = target->last && run->residual ? run->residual + y : NULL;
    tile->squeeze = target->last ? squeeze_row(&run->squeeze, n, target->block->index) : NULL;
    if (tile->squeeze) tile->squeeze += target->panel.out;
    tile->ahead = tile->w; /* nothing new */
    if (target->tiles_done < target->ahead_parts)
        tile->ahead = target->ahead + target->tiles_done * target->ahead_floats;
    else if (target->ahead_pixels && tile->segments > 0)
        tile->ahead = tile->x + (tile->at + tile->x_offset[0] + pixels * tile->x_pixel);
    target->tiles_done++;
    if (target->panel.channels == target->panel.width)
        conv_tiles[target->panel.width / VF - 1][pixels - 1](tile);
    else
        compute_partial_tile(target, tile, pixels);
    if (target->last && !clamp_is(run->activation))
        for (int64_t i = 0; i < pixels; i++) sn_activate_row(tile->y + i * tile->y_pixel, target->panel.channels, run->activation);
}

/* A row of the block, without the segments that fall outside the image, in tiles of nearly equal size. */
static void compute_row(conv_target *target, int64_t n, int64_t row, const conv_tile *pass)
{
    const conv_plan *p = &target->run->plan;
    const conv_phase *phase = target->phase;
    const int *rows = p->segment_row + phase->first_segment + target->first_segment;
    int64_t first = 0, last = pass->segments, in_row = row * p->step;
    while (first < last && in_row + rows[first] < 0) first++;
    while (first < last && in_row + rows[last - 1] >= p->in_h) last--;
    target->tile.segments = last - first;
    target->tile.x_offset = pass->x_offset + first;
    target->tile.w = pass->w + first * phase->length * target->panel.width;
    int64_t x0 = target->block->x0, x1 = sn_min64(target->block->x1, phase->cols);
    int64_t most = tile_rows[target->panel.width / VF - 1];
    int64_t tiles = sn_ceil_div(x1 - x0, most), size = (x1 - x0) / tiles, larger = (x1 - x0) % tiles;
    for (int64_t i = 0, col = x0; i < tiles; i++) {
        int64_t pixels = size + (i < larger);
        compute_tile(target, n, row, col, pixels);
        col += pixels;
    }
}

/* ---- passes and panels ---- */

/* The part of a panel's weights that a pass sees. */
typedef struct conv_pass {
    int64_t first_segment, segments;
    int64_t offset, length; /* the floats of each segment */
    int64_t step;           /* of the panel's packed weights */
} conv_pass;

static conv_pass pass_at(const conv_plan *p, const conv_phase *phase, int64_t index)
{
    conv_pass pass = {.first_segment = index / phase->chunks * phase->pass_segments,
                      .offset = index % phase->chunks * phase->chunk_length};
    pass.segments = sn_min64(phase->pass_segments, phase->segments - pass.first_segment);
    pass.length = sn_min64(phase->chunk_length, phase->length - pass.offset);
    pass.step = phase->first_tap * p->group_in + pass.first_segment * phase->length + pass.offset;
    return pass;
}

/* What to fetch while a panel is multiplied: its successor's weights, in the order of the loops (next_pass NULL: there is none),
 * and for the first panel, which brings the pixels from memory, the next pixels, where they follow one another. */
static void look_ahead(conv_target *target, const conv_pass *pass, bool first_panel, int64_t next_panel, const conv_pass *next_pass)
{
    const conv_plan *p = &target->run->plan;
    target->ahead_pixels = first_panel && !p->copied && p->step == 1 && pass->segments == 1 && pass->length == p->in_c;
    target->ahead_parts = 0;
    if (!next_pass) return;
    conv_panel panel = panel_at(p, next_panel);
    target->ahead = target->run->packed + panel.packed + next_pass->step * panel.width;
    target->ahead_floats = pass->segments * pass->length * LINE_FLOATS;
    target->ahead_parts = sn_ceil_div(panel.width, LINE_FLOATS);
}

static void compute_panel(conv_target *target, int64_t index, const conv_pass *pass, bool first)
{
    const conv_run *run = target->run;
    const conv_plan *p = &run->plan;
    static const float zeros[PANEL];
    float bias[PANEL];
    conv_panel panel = panel_at(p, index);
    target->panel = panel;
    ptrdiff_t offsets[PLAN_TAPS];
    for (int64_t s = 0; s < pass->segments; s++)
        offsets[s] = p->segment_offset[target->phase->first_segment + pass->first_segment + s] + pass->offset;
    conv_tile *tile = &target->tile;
    tile->x_offset = offsets;
    tile->segments = pass->segments;
    tile->length = pass->length;
    tile->w = run->packed + panel.packed + pass->step * panel.width;
    tile->bias = NULL;
    if (first) {
        tile->bias = run->bias ? bias : zeros;
        if (run->bias) copy_floats(bias, run->bias + panel.out, panel.channels);
        if (run->bias) clear_floats(bias + panel.channels, panel.width - panel.channels);
    }
    tile->activation = target->last && clamp_is(run->activation) ? run->activation : SN_IDENTITY;
    target->first_segment = pass->first_segment;
    target->tiles_done = 0;
    conv_tile whole = *tile;
    for (int64_t n = target->block->n0; n < target->block->n1; n++) {
        float *sums = squeeze_row(&run->squeeze, n, target->block->index);
        if (sums && target->last) clear_floats(sums + panel.out, panel.width);
        for (int64_t row = target->block->y0; row < sn_min64(target->block->y1, target->phase->rows); row++)
            compute_row(target, n, row, &whole);
    }
}

static void compute_block(const conv_run *run, const conv_block *block, const conv_phase *phase, const float *x, ptrdiff_t origin,
                          int64_t first_panel, int64_t last_panel)
{
    const conv_plan *p = &run->plan;
    conv_target target = {.run = run, .block = block, .phase = phase, .origin = origin};
    target.tile.x = x;
    target.tile.x_pixel = p->step * p->in_c;
    target.tile.y_pixel = p->out_step * p->out_c;
    for (int64_t k = 0; k < phase->passes; k++) {
        target.last = k == phase->passes - 1;
        conv_pass pass = pass_at(p, phase, k), next = pass_at(p, phase, target.last ? k : k + 1);
        for (int64_t panel = first_panel; panel < last_panel; panel++) {
            if (panel + 1 < last_panel)
                look_ahead(&target, &pass, panel == first_panel, panel + 1, &pass);
            else
                look_ahead(&target, &pass, panel == first_panel, first_panel, target.last ? NULL : &next);
            compute_panel(&target, panel, &pass, k == 0);
        }
    }
}

static void compute_task(void *context, int64_t index, int worker)
{
    const conv_run *run = context;
    const conv_plan *p = &run->plan;
    int64_t split = index % p->panel_splits;
    index /= p->panel_splits;
    conv_block b = {.x0 = index % p->blocks_x * p->block_cols, .y0 = index / p->blocks_x % p->blocks_y * p->block_rows,
                    .n0 = index / p->blocks_x / p->blocks_y * p->block_images};
    b.index = index % (p->blocks_x * p->blocks_y);
    b.x1 = sn_min64(b.x0 + p->block_cols, p->phases[0].cols);
    b.y1 = sn_min64(b.y0 + p->block_rows, p->phases[0].rows);
    b.n1 = sn_min64(b.n0 + p->block_images, p->images);
    const float *x = run->in;
    ptrdiff_t origin = 0;
    if (p->copied) {
        float *buffer = run->scratch + worker * p->buffer_floats;
        copy_block(run, &b, buffer);
        x = buffer;
        origin = b.n0 * p->image_floats + b.y0 * p->step * p->row_floats + b.x0 * p->step * p->in_c;
    }
    for (int k = 0; k < p->phases_count; k++)
        if (b.x0 < p->phases[k].cols && b.y0 < p->phases[k].rows)
            compute_block(run, &b, &p->phases[k], x, origin, split * p->panels_each,
                          sn_min64(p->panels, (split + 1) * p->panels_each));
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
    run.squeeze = squeeze_begin(call, (float *)((char *)call->scratch + copies_bytes(p, call->threads)), p->blocks_y * p->blocks_x);
    int64_t macs = p->images * p->out_h * p->out_w * p->out_c * p->steps / (p->out_step * p->out_step);
    int threads = macs < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->blocks_n * p->blocks_y * p->blocks_x * p->panel_splits, compute_task, &run);
    squeeze_finish(&run.squeeze);
}

/* The same kernel under the names by which profiles tell 1x1 convolutions apart. */
#define DENSE_KERNEL(base, kind, refusal, squeezing)                                                                 \
    const sn_kernel SN_KERNEL_SYMBOL(base) = {                                                                       \
        .name = SN_KERNEL_NAME(base),                                                                                \
        .op = kind,                                                                                                  \
        .refuse = refusal,                                                                                           \
        .scratch_bytes = scratch_bytes,                                                                              \
        .packed_bytes = packed_bytes,                                                                                \
        .pack = pack,                                                                                                \
        .run = run,                                                                                                  \
        .squeezes = squeezing,                                                                                       \
    }

DENSE_KERNEL(conv2d_pointwise, SN_OP_conv2d, refuse_pointwise, squeezes);
DENSE_KERNEL(conv2d_direct, SN_OP_conv2d, refuse, squeezes);
DENSE_KERNEL(conv2d_grad_input_pointwise, SN_OP_conv2d_grad_input, refuse_pointwise, NULL);
DENSE_KERNEL(conv2d_grad_input_direct, SN_OP_conv2d_grad_input, refuse, NULL);
