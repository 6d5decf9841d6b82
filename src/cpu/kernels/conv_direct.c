/* conv_direct.c - convolution summed directly, forward and backward-data, for any kernel size, stride up to 4, padding and groups.
 *
 * See conv_plan.h for the way the work is cut and conv_tiles.h for the inner loops.  Maps are floats or bf16 (conv_values.h), read
 * where they are, in rows of pixels; only the weights are packed.  A task takes a block of pixels and some panels of output channels:
 *
 *     for each pass of the sum          the block's share of the input stays in the L2 cache,
 *         for each panel                its weights too, fetched while the panel before is multiplied,
 *             for each tile of pixels   the tile's input and the sums in the L1 cache and registers
 *
 * Bias, residual and activation are applied in registers before a tile is stored for the last time, and the squeeze is summed.
 * Memory: reads the input once per panel split (normally once), writes the output once; weights are re-read from the cache.
 */
#include "cpu/kernels/activate.h"
#include "cpu/kernels/conv_pack.h"
#include "cpu/kernels/conv_tiles.h"
#include "cpu/kernels/norm_sums.h"
#include "cpu/kernels/squeeze_sums.h"

static conv_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *attrs = &call->node->attrs.u.conv;
    sn_shape in = call->input_nodes[0]->shape, weight = call->input_nodes[1]->shape, out = call->node->shape;
    conv_plan plan = call->node->op == SN_OP_conv2d ? conv_plan_forward(attrs, in, weight, out, call->squeeze_node != NULL, conv_scaled(call))
                                                    : conv_plan_backward(attrs, in, weight, out);
    if (call->input_nodes[0]->dtype != CONV_VALUES) conv_plan_convert(&plan);
    return plan;
}

static bool is_map(sn_dtype dtype) { return dtype == SN_REAL || dtype == SN_STORED; }

static const char *refuse(const sn_kernel_call *call)
{
    sn_shape weight = call->input_nodes[1]->shape;
    const sn_node *residual = call->node->inputs_count > 3 ? call->input_nodes[3] : NULL;
    if (call->precision != SN_FLOAT) return "not single precision";
    if (!is_map(call->input_nodes[0]->dtype) || !is_map(call->node->dtype)) return "a map is stored otherwise";
    if (residual && residual->dtype != SN_STORED) return "the residual is stored otherwise";
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

/* A group's last vector does not reach into the next group. */
static const char *stats_refusal(const sn_kernel_call *call)
{
    conv_plan plan = plan_of(call);
    if (call->node->dtype != SN_STORED) return "the output is stored otherwise";
    return plan.groups == 1 || plan.group_out % VF == 0 ? NULL : "groups that do not fill vectors";
}

/* ---- scratch memory: the workers' copied blocks and sums so far, then the sums of the squeeze and of batch norm ---- */

typedef struct conv_scratch {
    size_t copy_bytes, sums_bytes; /* of a worker */
    size_t squeeze, norms;         /* where its sums begin, and those of batch norm */
} conv_scratch;

static conv_scratch scratch_of(const sn_kernel_call *call, const conv_plan *p)
{
    conv_scratch s = {.copy_bytes = sn_align((size_t)p->buffer_floats * sizeof(conv_value), SN_ALIGNMENT)};
    bool several = false;
    for (int k = 0; k < p->phases_count; k++) several |= p->phases[k].passes > 1;
    if (sn_dtype_is_narrow(call->node->dtype) && several) /* else y itself has the sums between passes */
        s.sums_bytes = (size_t)(p->block_images * p->block_rows * p->block_cols) * PANEL * sizeof(float);
    s.squeeze = (s.copy_bytes + s.sums_bytes) * (size_t)call->threads;
    s.norms = s.squeeze + squeeze_bytes(call, p->blocks_y * p->blocks_x);
    return s;
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    conv_plan plan = plan_of(call);
    return scratch_of(call, &plan).norms + norm_bytes(call, plan.blocks_n * plan.blocks_y * plan.blocks_x);
}

static size_t packed_bytes(const sn_kernel_call *call)
{
    conv_plan plan = plan_of(call);
    return (size_t)(plan.groups * plan.group_floats) * sizeof(float);
}

static void pack(const sn_kernel_call *call, void *packed)
{
    conv_plan plan = plan_of(call);
    conv_pack_weights(&plan, call->inputs[1], call->node->op != SN_OP_conv2d, call->threads, packed);
}

/* ---- a block ---- */

typedef struct conv_run {
    conv_plan plan;
    const void *in; /* floats or `stored` */
    const float *packed, *bias, *scale; /* scale: a row an image, or NULL */
    const stored *residual;
    void *out;
    bool narrow;    /* out is `stored`, and that is narrow: sums between passes are kept elsewhere */
    conv_scratch scratch;
    char *memory;   /* scratch */
    sn_activation activation;
    squeeze_sums squeeze;
    norm_sums norms;
} conv_run;

/* Output pixels of a phase: images [n0, n1), rows [y0, y1), columns [x0, x1). */
typedef struct conv_block {
    int64_t n0, n1, y0, y1, x0, x1;
    int64_t index, number; /* within the image, and of all */
} conv_block;

/* Copies the input of a block: rows outside the image are left out, columns outside are zero. */
static void copy_block(const conv_run *run, const conv_block *b, conv_value *buffer)
{
    const conv_plan *p = &run->plan;
    int64_t cols = (b->x1 - b->x0 - 1) * p->step + p->right - p->left + 1, x = b->x0 * p->step + p->left;
    int64_t before = sn_min64(sn_max64(-x, 0), cols), end = sn_max64(sn_min64(p->in_w - x, cols), before);
    int64_t first = b->y0 * p->step + p->top, last = (b->y1 - 1) * p->step + p->bottom;
    for (int64_t n = b->n0; n < b->n1; n++)
        for (int64_t row = sn_max64(first, 0); row <= last && row < p->in_h; row++) {
            conv_value *to = buffer + (n - b->n0) * p->image_floats + (row - first) * p->row_floats;
            int64_t from = ((n * p->in_h + row) * p->in_w + x + before) * p->in_c, count = (end - before) * p->in_c;
            memset(to, 0, (size_t)(before * p->in_c) * sizeof *to);
            if (!p->converted)
                memcpy(to + before * p->in_c, (const conv_value *)run->in + from, (size_t)count * sizeof *to);
            else
                convert_values(to + before * p->in_c, run->in, from, count);
            memset(to + end * p->in_c, 0, (size_t)((cols - end) * p->in_c) * sizeof *to);
        }
}

/* One panel and pass of a phase of a block. */
typedef struct conv_target {
    const conv_run *run;
    const conv_block *block;
    const conv_phase *phase;
    conv_panel panel;
    conv_tile tile;        /* all but the places */
    float *sums;           /* not NULL: of the block's pixels, PANEL each, between passes */
    int64_t first_segment; /* of the pass, in the phase */
    ptrdiff_t origin;      /* of what tile.x points to, in the input */
    bool last;             /* pass */
    const float *ahead;    /* weights to fetch in tiles_count parts */
    int64_t ahead_parts, ahead_floats, tiles_done;
    bool ahead_pixels;     /* then the pixels of the next tile: the first panel reads them from memory */
} conv_target;

/* Panels whose last vector is not full, and activations that tiles do not have: the tile works on a copy of its outputs. */
static void compute_copied_tile(const conv_target *target, const conv_tile *tile, int64_t pixels)
{
    float y[MOST_TILE_ROWS * PANEL], scale[PANEL] = {0};
    stored residual[MOST_TILE_ROWS * PANEL];
    int64_t channels = target->panel.channels, width = target->panel.width;
    for (int64_t i = 0; i < pixels; i++) {
        vf_store(y + (i + 1) * width - VF, (vf){0});
        vs_store(residual + (i + 1) * width - VF, (vf){0});
        if (!tile->bias) copy_floats(y + i * width, tile->y + i * tile->y_pixel, channels);
        if (tile->residual) copy_values(residual + i * width, tile->residual + i * output_pixel(tile), channels);
    }
    conv_tile copy = *tile;
    copy.y = y;
    copy.narrow = NULL;
    if (copy.residual) copy.residual = residual;
    if (copy.scale) copy_floats(scale, copy.scale, channels);
    if (copy.scale) copy.scale = scale;
    copy.y_pixel = copy.narrow_pixel = width;
    conv_tiles[width / VF - 1][pixels - 1](&copy);
    for (int64_t i = 0; i < pixels; i++) {
        if (target->last && !clamp_is(target->run->activation)) sn_activate_row(y + i * width, channels, target->run->activation);
        if (NARROWS && tile->narrow)
            narrow_values(tile->narrow + i * tile->narrow_pixel, y + i * width, channels);
        else
            copy_floats(tile->y + i * tile->y_pixel, y + i * width, channels);
    }
}

/* Where a tile's results go: into the output, or where that is narrow and passes are left, into the sums between passes. */
static void place_outputs(const conv_target *target, conv_tile *tile, int64_t n, int64_t row, int64_t col)
{
    const conv_run *run = target->run;
    const conv_plan *p = &run->plan;
    const conv_block *b = target->block;
    int64_t y = ((n * p->out_h + target->phase->row0 + row * p->out_step) * p->out_w + target->phase->col0 +
                 col * p->out_step) * p->out_c + target->panel.out;
    tile->residual = target->last && run->residual ? run->residual + y : NULL;
    tile->narrow = NULL;
    if (!NARROWS || !run->narrow) {
        tile->y = (float *)run->out + y;
        return;
    }
    int64_t pixel = ((n - b->n0) * p->block_rows + row - b->y0) * p->block_cols + col - b->x0;
    if (target->sums) tile->y = target->sums + pixel * PANEL;
    if (target->last) tile->narrow = (stored *)run->out + y;
}

/* `pixels` pixels that lie side by side from (n, row, col) on. */
static void compute_tile(conv_target *target, int64_t n, int64_t row, int64_t col, int64_t pixels)
{
    const conv_run *run = target->run;
    const conv_plan *p = &run->plan;
    conv_tile *tile = &target->tile;
    tile->at = n * p->image_floats + row * p->step * p->row_floats + col * p->step * p->in_c - target->origin + target->panel.in;
    place_outputs(target, tile, n, row, col);
    tile->scale = target->last && run->scale ? run->scale + n * p->out_c + target->panel.out : NULL;
    tile->squeeze = target->last ? squeeze_row(&run->squeeze, n, target->block->index) : NULL;
    if (tile->squeeze) tile->squeeze += target->panel.out;
    tile->ahead = tile->w; /* nothing new */
    if (target->tiles_done < target->ahead_parts)
        tile->ahead = target->ahead + target->tiles_done * target->ahead_floats;
    else if (target->ahead_pixels && tile->segments > 0)
        tile->ahead = (const float *)(const void *)(tile->x + (tile->at + tile->x_offset[0] + pixels * tile->x_pixel));
    target->tiles_done++;
    if (target->panel.channels == target->panel.width && !(target->last && !clamp_is(run->activation)))
        conv_tiles[target->panel.width / VF - 1][pixels - 1](tile);
    else
        compute_copied_tile(target, tile, pixels);
    if (target->last && run->norms.rows) /* the output is narrow, or y itself */
        norm_add(&run->norms, target->block->number, target->panel.out, target->panel.channels,
                 NARROWS ? tile->narrow : (const stored *)(const void *)tile->y, output_pixel(tile), pixels);
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
    target->tile.w = pass->w + first * phase->segment_steps * target->panel.width;
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
    int64_t offset, length; /* the values of each segment */
    int64_t steps, step;    /* of each segment; the first, in the panel's packed weights */
} conv_pass;

static conv_pass pass_at(const conv_phase *phase, int64_t index)
{
    conv_pass pass = {.first_segment = index / phase->chunks * phase->pass_segments,
                      .offset = index % phase->chunks * phase->chunk_length};
    pass.segments = sn_min64(phase->pass_segments, phase->segments - pass.first_segment);
    pass.length = sn_min64(phase->chunk_length, phase->length - pass.offset);
    pass.steps = sn_ceil_div(pass.length, STEP_VALUES);
    pass.step = phase->first_step + pass.first_segment * phase->segment_steps + pass.offset / STEP_VALUES;
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
    target->ahead_floats = pass->segments * pass->steps * LINE_FLOATS;
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
    if (target->last) norm_start(&run->norms, target->block->number, panel.out, panel.channels);
    conv_tile whole = *tile;
    for (int64_t n = target->block->n0; n < target->block->n1; n++) {
        float *sums = squeeze_row(&run->squeeze, n, target->block->index);
        if (sums && target->last) clear_floats(sums + panel.out, panel.width);
        for (int64_t row = target->block->y0; row < sn_min64(target->block->y1, target->phase->rows); row++)
            compute_row(target, n, row, &whole);
    }
}

/* Step i of a block: one pass of one panel.  Passes are the outer loop, so that a pass's share of the input stays in the cache; but
 * where the sums between passes are kept for one panel, all of its passes come first. */
typedef struct block_step {
    int64_t pass, panel;
} block_step;

static block_step step_at(const conv_phase *phase, int64_t panels, int64_t i)
{
    return NARROWS ? (block_step){i % phase->passes, i / phase->passes} : (block_step){i / panels, i % panels};
}

static void compute_block(conv_target *target, int64_t first_panel, int64_t last_panel)
{
    const conv_plan *p = &target->run->plan;
    const conv_phase *phase = target->phase;
    target->tile.x_pixel = p->step * p->in_c;
    target->tile.narrow_pixel = p->out_step * p->out_c;
    target->tile.y_pixel = NARROWS && target->run->narrow ? PANEL : p->out_step * p->out_c;
    int64_t panels = last_panel - first_panel, steps = panels * phase->passes;
    for (int64_t i = 0; i < steps; i++) {
        block_step step = step_at(phase, panels, i), after = step_at(phase, panels, i + 1);
        conv_pass pass = pass_at(phase, step.pass), next = pass_at(phase, after.pass);
        target->last = step.pass == phase->passes - 1;
        look_ahead(target, &pass, step.panel == 0, first_panel + after.panel, i + 1 < steps ? &next : NULL);
        compute_panel(target, first_panel + step.panel, &pass, step.pass == 0);
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
    b.number = index;
    b.x1 = sn_min64(b.x0 + p->block_cols, p->phases[0].cols);
    b.y1 = sn_min64(b.y0 + p->block_rows, p->phases[0].rows);
    b.n1 = sn_min64(b.n0 + p->block_images, p->images);
    char *memory = run->memory + (run->scratch.copy_bytes + run->scratch.sums_bytes) * (size_t)worker;
    conv_target target = {.run = run, .block = &b, .tile.x = run->in};
    if (run->scratch.sums_bytes) target.sums = (float *)(void *)(memory + run->scratch.copy_bytes);
    if (p->copied) {
        conv_value *buffer = (conv_value *)(void *)memory;
        copy_block(run, &b, buffer);
        target.tile.x = buffer;
        target.origin = b.n0 * p->image_floats + b.y0 * p->step * p->row_floats + b.x0 * p->step * p->in_c;
    }
    for (int k = 0; k < p->phases_count; k++) {
        target.phase = &p->phases[k];
        if (b.x0 < target.phase->cols && b.y0 < target.phase->rows)
            compute_block(&target, split * p->panels_each, sn_min64(p->panels, (split + 1) * p->panels_each));
    }
}

static void run(const sn_kernel_call *call)
{
    conv_run run = {.plan = plan_of(call), .in = call->inputs[0], .packed = call->packed, .out = call->output,
                    .narrow = sn_dtype_is_narrow(call->node->dtype), .memory = call->scratch};
    run.scratch = scratch_of(call, &run.plan);
    run.residual = call_stored(call, 3);
    if (call->node->op == SN_OP_conv2d) {
        run.bias = call_input(call, 2);
        run.scale = call_input(call, 5);
        run.activation = call->node->attrs.u.conv.activation;
    }
    const conv_plan *p = &run.plan;
    run.squeeze = squeeze_begin(call, (float *)(void *)(run.memory + run.scratch.squeeze), p->blocks_y * p->blocks_x);
    run.norms = norm_begin(call, (float *)(void *)(run.memory + run.scratch.norms), p->blocks_n * p->blocks_y * p->blocks_x);
    int64_t macs = p->images * p->out_h * p->out_w * p->out_c * p->steps / (p->out_step * p->out_step);
    int threads = macs < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->blocks_n * p->blocks_y * p->blocks_x * p->panel_splits, compute_task, &run);
    squeeze_finish(&run.squeeze);
    norm_finish(call, &run.norms);
}

/* The same kernel under the names by which profiles tell 1x1 convolutions apart. */
#define DENSE_KERNEL(base, kind, refusal, squeezing, gathers)                                                        \
    const sn_kernel SN_KERNEL_SYMBOL(base) = {                                                                       \
        .name = SN_KERNEL_NAME(base),                                                                                \
        .op = kind,                                                                                                  \
        .storage = SN_STORED,                                                                                        \
        .refuse = refusal,                                                                                           \
        .scratch_bytes = scratch_bytes,                                                                              \
        .packed_bytes = packed_bytes,                                                                                \
        .pack = pack,                                                                                                \
        .run = run,                                                                                                  \
        .squeezes = squeezing,                                                                                       \
        .takes = SN_TAKES_SCALE,                                                                                     \
        .stats_refusal = gathers,                                                                                    \
    }

DENSE_KERNEL(conv2d_pointwise, SN_OP_conv2d, refuse_pointwise, squeezes, stats_refusal);
DENSE_KERNEL(conv2d_direct, SN_OP_conv2d, refuse, squeezes, stats_refusal);
DENSE_KERNEL(conv2d_grad_input_pointwise, SN_OP_conv2d_grad_input, refuse_pointwise, NULL, NULL);
DENSE_KERNEL(conv2d_grad_input_direct, SN_OP_conv2d_grad_input, refuse, NULL, NULL);
