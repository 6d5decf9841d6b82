/* depthwise_pointwise.c - a depthwise 3x3 convolution and the dense 1x1 behind it, without a map between them.
 *
 * A worker computes the depthwise outputs of a block of rows into memory of its own, which stays in its L2 cache, and multiplies them
 * by the panels of the 1x1 convolution's weights (depthwise_pointwise_plan.h has the blocks):
 *
 *     for each block of rows            its depthwise outputs, unless the worker has them from the task before
 *         for each panel                the panel's weights in the cache, fetched while the one before is multiplied
 *             for each tile of pixels   bias, activation and the squeeze in registers
 *
 * conv_depthwise_tiles.h and conv_tiles.h have the inner loops.
 * Memory: reads the input once (and two rows a block again), fetched while the block before is multiplied; writes the output once.
 */
#include "cpu/kernels/conv_pack.h"

/* Depthwise outputs, as they are multiplied. */
#define DEPTHWISE_INTO conv_value
#if SN_STORED_BF16 && !SN_PAIRS
#define DEPTHWISE_STORE vf_store_n
#else
#define DEPTHWISE_STORE vs_store_n
#endif
#include "cpu/kernels/conv_tiles.h"
#include "cpu/kernels/depthwise_pointwise_plan.h"

/* The 1x1 convolution: its panels and packed weights. */
static conv_plan dense_plan(const sn_kernel_call *call)
{
    const sn_conv_attrs attrs = {.stride = 1, .groups = 1};
    sn_shape out = call->node->shape, between = {out.n, out.h, out.w, call->input_nodes[0]->shape.c};
    return conv_plan_forward(&attrs, between, call->input_nodes[1]->shape, out, true, false);
}

static joined_plan plan_of(const sn_kernel_call *call, const conv_plan *dense)
{
    return joined_plan_of(call, dense->panels, sizeof(conv_value));
}

static const char *refuse(const sn_kernel_call *call) { return joined_refusal(call); }

static bool squeezes(const sn_kernel_call *call)
{
    (void)call;
    return true;
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    conv_plan dense = dense_plan(call);
    joined_plan plan = plan_of(call, &dense);
    return joined_scratch_bytes(call, &plan);
}

/* Packed weights: of the depthwise convolution, then of the 1x1. */
static size_t packed_bytes(const sn_kernel_call *call)
{
    conv_plan dense = dense_plan(call);
    return (size_t)(depthwise_packed_floats(dense.in_c) + dense.group_floats) * sizeof(float);
}

static void pack(const sn_kernel_call *call, void *packed)
{
    conv_plan dense = dense_plan(call);
    depthwise_pack(call->inputs[3], dense.in_c, false, packed);
    conv_pack_weights(&dense, call->inputs[1], false, call->threads, (float *)packed + depthwise_packed_floats(dense.in_c));
}

typedef struct dense_run {
    joined_run joined;
    conv_plan dense;
} dense_run;

/* A panel whose last vector is not full: the tile works on a copy of its outputs. */
static void compute_copied_tile(const conv_tile *tile, const conv_panel *panel, int64_t pixels)
{
    float y[MOST_TILE_ROWS * PANEL];
    conv_tile copy = *tile;
    copy.y = y;
    copy.y_pixel = panel->width;
    copy.narrow = NULL;
    conv_tiles[panel->width / VF - 1][pixels - 1](&copy);
    for (int64_t i = 0; i < pixels; i++) {
        if (NARROWS)
            narrow_values(tile->narrow + i * tile->narrow_pixel, y + i * panel->width, panel->channels);
        else
            copy_floats(tile->y + i * tile->y_pixel, y + i * panel->width, panel->channels);
    }
}

/* What tile i of a panel fetches: a line a step of the weights that follow, in so many parts, then of the next block's input. */
static const float *fetched_by_tile(joined_block *b, const conv_tile *tile, int64_t i, const float *next, int64_t parts)
{
    int64_t steps = tile->length / STEP_VALUES;
    if (i < parts) return next + i * steps * LINE_FLOATS;
    if (b->next_lines <= 0) return tile->w; /* nothing new */
    const stored *at = b->next;
    b->next += steps * (64 / (int64_t)sizeof(stored));
    b->next_lines -= steps;
    return (const float *)(const void *)at;
}

/* The block's pixels by a panel of weights. */
static void multiply_panel(const dense_run *run, joined_block *b, int64_t index)
{
    static const ptrdiff_t start = 0;
    const joined_run *joined = &run->joined;
    const float *packed = joined->packed;
    float bias[PANEL];
    conv_panel panel = panel_at(&run->dense, index);
    clear_floats(bias, panel.width);
    if (joined->bias) copy_floats(bias, joined->bias + panel.out, panel.channels);
    float *sums = squeeze_row(&joined->squeeze, b->image, b->index);
    if (sums) clear_floats(sums += panel.out, panel.width);
    int64_t channels = run->dense.out_c, most = tile_rows[panel.width / VF - 1], tiles = sn_ceil_div(b->pixels, most);
    int64_t size = b->pixels / tiles, larger = b->pixels % tiles;
    bool more = index + 1 < run->dense.panels;
    const float *next = more ? packed + panel_at(&run->dense, index + 1).packed : NULL;
    conv_tile tile = {.x = b->values, .x_pixel = joined->plan.pixel, .x_offset = &start, .segments = 1, .length = run->dense.in_c,
                      .w = packed + panel.packed, .bias = bias, .y_pixel = channels, .squeeze = sums,
                      .activation = joined->activation, .narrow_pixel = channels};
    stored *out = joined->out + b->first * channels + panel.out;
    for (int64_t i = 0, pixels; i < tiles; i++, tile.at += pixels * tile.x_pixel, out += pixels * channels) {
        pixels = size + (i < larger);
        tile.ahead = fetched_by_tile(b, &tile, i, next, more ? sn_ceil_div(panel.width, LINE_FLOATS) : 0);
#if SN_STORED_BF16
        tile.narrow = out;
#else
        tile.y = out;
#endif
        if (panel.channels == panel.width)
            conv_tiles[panel.width / VF - 1][pixels - 1](&tile);
        else
            compute_copied_tile(&tile, &panel, pixels);
    }
}

static void compute_task(void *context, int64_t index, int worker)
{
    const dense_run *run = context;
    joined_block b = joined_block_at(&run->joined, index, worker);
    for (int64_t panel = b.first_panel; panel < b.end_panel; panel++) multiply_panel(run, &b, panel);
}

static void run(const sn_kernel_call *call)
{
    dense_run run = {.dense = dense_plan(call)};
    joined_plan plan = plan_of(call, &run.dense);
    const float *packed = call->packed;
    run.joined = joined_begin(call, &plan, packed, packed + depthwise_packed_floats(plan.in.c));
    joined_finish(call, &run.joined, compute_task);
}

const sn_kernel SN_KERNEL_SYMBOL(depthwise_pointwise) = {
    .name = SN_KERNEL_NAME(depthwise_pointwise), .op = SN_OP_depthwise_pointwise, .storage = SN_STORED, .refuse = refuse,
    .scratch_bytes = scratch_bytes, .packed_bytes = packed_bytes, .pack = pack, .run = run, .squeezes = squeezes};
