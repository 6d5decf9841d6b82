/* depthwise_pointwise_amx.c - a depthwise 3x3 convolution and the dense 1x1 behind it on bf16 maps, multiplied by tiles.
 *
 * As depthwise_pointwise.c; the depthwise outputs of a block are rounded to bf16, and its pixels are cut into equal tiles of at most 16,
 * over the ends of rows, the last of which may overlap the one before.  conv_amx_tiles.h has the inner loops.
 */
#include "cpu/kernels/conv_amx_end.h"
#include "cpu/kernels/conv_amx_pack.h"
#include "cpu/kernels/conv_amx_tiles.h"

#define DEPTHWISE_INTO stored
#define DEPTHWISE_STORE vs_store_n
#include "cpu/kernels/depthwise_pointwise_plan.h"

/* The 1x1 convolution: its panels and packed weights. */
static tiled_plan dense_plan(const sn_kernel_call *call)
{
    const sn_conv_attrs attrs = {.stride = 1, .groups = 1};
    sn_shape out = call->node->shape, between = {out.n, out.h, out.w, call->input_nodes[0]->shape.c};
    return tiled_plan_forward(&attrs, between, call->input_nodes[1]->shape, out, true, true, false);
}

static joined_plan plan_of(const sn_kernel_call *call, const tiled_plan *dense)
{
    return joined_plan_of(call, dense->panels, sizeof(stored));
}

static const char *refuse(const sn_kernel_call *call)
{
    if (call->input_nodes[0]->shape.c % TILE_VALUES != 0) return "channels that fill no tiles";
    return joined_refusal(call);
}

static bool squeezes(const sn_kernel_call *call)
{
    (void)call;
    return true;
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    tiled_plan dense = dense_plan(call);
    joined_plan plan = plan_of(call, &dense);
    return joined_scratch_bytes(call, &plan);
}

/* Packed weights: of the depthwise convolution, then of the 1x1. */
static size_t depthwise_bytes(int64_t channels)
{
    return sn_align((size_t)depthwise_packed_floats(channels) * sizeof(float), SN_ALIGNMENT);
}

static size_t packed_bytes(const sn_kernel_call *call)
{
    tiled_plan dense = dense_plan(call);
    return depthwise_bytes(dense.in_c) + (size_t)tiled_packed_values(&dense) * sizeof(stored);
}

static void pack(const sn_kernel_call *call, void *packed)
{
    tiled_plan dense = dense_plan(call);
    depthwise_pack(call->inputs[3], dense.in_c, false, packed);
    tiled_pack_weights(&dense, call->inputs[1], false, call->threads, (stored *)(void *)((char *)packed + depthwise_bytes(dense.in_c)));
}

typedef struct tiled_run {
    joined_run joined;
    tiled_plan dense;
    tiled_end end;
} tiled_run;

enum { SMALL_BLOCK = 32 << 10 }; /* bytes of a block that the L1 cache may keep from panel to panel */

/* What a pair of tiles fetches: its share of the weights that follow, or, with the last panel, of the next block's input. */
static void look_ahead(joined_block *b, tiled_product *product, const stored *next, int64_t pair, int64_t pairs)
{
    enum { LINES = 2 * RIGHT_VALUES * sizeof(stored) / 64 };
    int64_t steps = product->segment_steps;
    product->ahead_lines = 0;
    if (next) {
        int64_t lines = sn_ceil_div(LINES, pairs);
        if (pair * lines >= LINES) return;
        product->ahead_lines = lines;
        product->ahead = (const char *)next + pair * lines * steps * 64;
    } else if (b->next_lines > 0) {
        product->ahead_lines = sn_min64(16, sn_ceil_div(b->next_lines, steps));
        product->ahead = (const char *)b->next;
        b->next += product->ahead_lines * steps * TILE_VALUES;
        b->next_lines -= product->ahead_lines * steps;
    }
}

/* The block's pixels, in tiles of `rows`, by a panel of weights. */
static void multiply_panel(const tiled_run *run, joined_block *b, int64_t rows, int64_t index)
{
    static const ptrdiff_t start = 0;
    const joined_run *joined = &run->joined;
    const stored *packed = joined->packed;
    _Alignas(64) float sums[2 * TILE_ROWS * TILED_PANEL], bias[TILED_PANEL] = {0};
    tiled_panel panel = tiled_panel_at(&run->dense, index);
    if (joined->bias) copy_floats(bias, joined->bias + panel.out, panel.channels);
    tiled_product product = {.x_row = joined->plan.pixel * (int64_t)sizeof(stored), .segments = &start, .segments_count = 1,
                             .segment_steps = run->dense.steps, .w = packed + panel.packed, .start = bias};
    tiled_end end = run->end;
    end.channels = panel.channels;
    const stored *next = index + 1 < run->dense.panels ? packed + tiled_panel_at(&run->dense, index + 1).packed : NULL;
    int64_t tiles = sn_ceil_div(b->pixels, rows), last = b->pixels - rows;
    bool small = b->pixels * product.x_row <= SMALL_BLOCK;
    vf squeeze[2] = {{0}};
    for (int64_t t = 0; t < tiles; t += 2) {
        bool two = t + 1 < tiles;
        int64_t begin[2] = {sn_min64(t * rows, last), sn_min64((t + two) * rows, last)};
        for (int k = 0; k < 2; k++) product.x[k] = b->values + begin[k] * joined->plan.pixel;
        look_ahead(b, &product, next, t / 2, sn_ceil_div(tiles, 2));
        if (two && panel.wide && small)
            tiled_multiply_two(&product, sums);
        else if (two && panel.wide)
            tiled_multiply_once(&product, sums);
        else
            tiled_multiply_other(&product, two, panel.wide, sums);
        for (int k = 0; k <= two; k++) {
            int64_t skip = (t + k) * rows - begin[k], at = (b->first + begin[k] + skip) * run->dense.out_c + panel.out;
            tiled_store(&end, sums + (k * TILE_ROWS + skip) * TILED_PANEL, rows - skip, at, squeeze);
        }
    }
    float *total = squeeze_row(&joined->squeeze, b->image, b->index);
    for (int h = 0; total && h * VF < panel.channels; h++) vf_store(total + panel.out + h * VF, squeeze[h]);
}

static void compute_task(void *context, int64_t index, int worker)
{
    const tiled_run *run = context;
    joined_block b = joined_block_at(&run->joined, index, worker);
    int64_t rows = tiled_rows(b.pixels);
    tiles_begin((int)rows);
    for (int64_t panel = b.first_panel; panel < b.end_panel; panel++) multiply_panel(run, &b, rows, panel);
    tiles_end();
}

static void run(const sn_kernel_call *call)
{
    tiled_run run = {.dense = dense_plan(call)};
    joined_plan plan = plan_of(call, &run.dense);
    const char *packed = call->packed;
    run.joined = joined_begin(call, &plan, (const float *)(const void *)packed, packed + depthwise_bytes(plan.in.c));
    run.end = (tiled_end){.out = call->output, .narrow = true, .pixel = plan.out.c, .activation = run.joined.activation,
                          .clamp = clamp_of(run.joined.activation), .squeezed = run.joined.squeeze.rows != NULL};
    joined_finish(call, &run.joined, compute_task);
}

const sn_kernel SN_KERNEL_SYMBOL(depthwise_pointwise_tiles) = {
    .name = SN_KERNEL_NAME(depthwise_pointwise_tiles), .op = SN_OP_depthwise_pointwise, .storage = SN_STORED, .refuse = refuse,
    .scratch_bytes = scratch_bytes, .packed_bytes = packed_bytes, .pack = pack, .run = run, .squeezes = squeezes};
