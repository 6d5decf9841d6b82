/* conv_winograd_plan.h - how a 3x3 convolution with stride 1 is cut for Winograd's form of a given tile, and whether that form is
 * the fastest one: the model that chooses between F(4x4, 3x3), F(2x2, 3x3) and direct summation (docs/kernels.md).
 *
 * A block is so many neighbouring tiles that each vector of weights, once read, serves enough products: few where all
 * weights stay in the core's L2 cache, more where they come from the L3, most where they come from memory.  A task is a block and a
 * split of the outputs; only networks of few tiles are split, since every split transforms the block's input anew (a worker
 * keeps the last block it transformed).  Neither changes a bit: every output is one sum over the input channels in order.
 */
#ifndef SN_CPU_KERNELS_CONV_WINOGRAD_PLAN_H
#define SN_CPU_KERNELS_CONV_WINOGRAD_PLAN_H

#include "cpu/kernels/conv_winograd_forms.h"
#include "cpu/kernels/conv_winograd_tiles.h"

enum {
    BLOCK_ROWS = WIDE_ROWS == 14 ? 14 : 2 * WIDE_ROWS, /* the smallest block */
    L2_WEIGHTS = 768 << 10,     /* weights up to so many bytes stay in the L2 cache beside a small block */
    L3_WEIGHTS = 4 << 20,       /* up to so many, reading them for each block costs little */
    MOST_BLOCK_BYTES = 4 << 20, /* of transformed input */
    MOST_GROUPS = 8,            /* of rows in a block */
    STATS_BLOCKS = 4,           /* at least, where statistics are gathered, if there are as many smallest ones */
    PAGE_FLOATS = 16            /* keeps rows of equal points out of each other's cache sets */
};

typedef struct winograd_plan {
    int tile, points;
    int64_t in_h, in_w, in_c, out_h, out_w, out_c;
    int64_t pad_top, pad_left;
    int64_t tiles_y, tiles_x, tiles;  /* of an image; of the batch */
    bool pairs;                       /* products are of pairs of bf16 */
    int64_t steps;                    /* of a product: input channels, or pairs of them */
    int64_t blocks, panels;           /* steps and output channels in vectors */
    int64_t block_tiles, tile_blocks; /* of a block; blocks */
    int64_t splits, split_panels;
    int64_t v_floats, m_stride, worker_floats;
} winograd_plan;

static inline winograd_plan winograd_shape(const sn_kernel_call *call, int tile)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape in = call->input_nodes[0]->shape, out = call->node->shape;
    bool forward = call->node->op == SN_OP_conv2d;
    winograd_plan p = {.tile = tile, .points = (tile + 2) * (tile + 2), .in_h = in.h, .in_w = in.w, .in_c = in.c,
                       .out_h = out.h, .out_w = out.w, .out_c = out.c,
                       .pad_top = forward ? a->pad_top : 2 - a->pad_top,
                       .pad_left = forward ? a->pad_left : 2 - a->pad_left,
                       .tiles_y = sn_ceil_div(out.h, tile), .tiles_x = sn_ceil_div(out.w, tile),
                       .panels = sn_ceil_div(out.c, VF), .pairs = SN_PAIRS && tile == 2};
    p.steps = p.pairs ? sn_ceil_div(in.c, 2) : in.c;
    p.blocks = sn_ceil_div(p.steps, VF);
    p.tiles = out.n * p.tiles_y * p.tiles_x;
    return p;
}

static inline size_t winograd_packed_floats(const winograd_plan *p) { return (size_t)(p->points * p->steps * p->panels * VF); }

/* Rows of tiles that the product takes at once in a block of so many tiles. */
static inline int64_t winograd_group_rows(const winograd_plan *p, int64_t tiles)
{
    return p->panels == 1 || tiles <= TALL_ROWS ? TALL_ROWS : WIDE_ROWS;
}

static inline winograd_plan winograd_plan_of(const sn_kernel_call *call, int tile)
{
    winograd_plan p = winograd_shape(call, tile);
    int64_t weights = (int64_t)winograd_packed_floats(&p) * 4, column = p.points * p.blocks * VF * 4;
    int64_t smallest = p.panels == 1 ? TALL_ROWS : BLOCK_ROWS, wanted = call->threads > 1 ? 2 * call->threads : 1;
    int64_t least = call->stats_node ? STATS_BLOCKS : wanted; /* blocks: where their sums are joined, threads must not count */
    int64_t most = weights <= L2_WEIGHTS ? smallest : weights <= L3_WEIGHTS ? 2 * smallest : 4 * smallest;
    most = sn_max64(smallest, sn_min64(most, MOST_BLOCK_BYTES / column));
    if (p.tiles <= TALL_ROWS) smallest = TALL_ROWS;
    while (weights <= L3_WEIGHTS && most > smallest && sn_ceil_div(p.tiles, most) < least) most = sn_max64(smallest, most / 2);
    most = sn_max64(smallest, most);
    p.tile_blocks = sn_ceil_div(p.tiles, most);
    p.block_tiles = sn_ceil_div(p.tiles, p.tile_blocks);
    p.tile_blocks = sn_ceil_div(p.tiles, p.block_tiles);

    int64_t pairs = sn_ceil_div(p.panels, 2);
    if (p.tile_blocks == 1 && wanted > 1) wanted *= 2; /* more splits cost nothing there, and a core that is slowed down gets fewer */
    p.splits = p.tile_blocks < wanted ? sn_min64(pairs, sn_ceil_div(wanted, p.tile_blocks)) : 1;
    p.split_panels = sn_ceil_div(pairs, p.splits) * 2;
    p.splits = sn_ceil_div(p.panels, p.split_panels);

    p.v_floats = p.points * (p.blocks * p.block_tiles * VF + MOST_GROUPS * PAGE_FLOATS);
    p.m_stride = p.block_tiles * 2 * VF + PAGE_FLOATS;
    p.worker_floats = p.v_floats + p.points * p.m_stride + p.blocks * VF;
    return p;
}

/* ---- which form ---- */

/* The model's unit is the time that the whole machine takes for one multiply-add near its peak.  Weights are counted as read from
 * memory once, while the products run: in a network they are not in the cache any more.  The transforms' numbers are instructions
 * and stores of the straight code above, a vector of channels each, measured against products of the same time. */
static inline double winograd_cost(const sn_kernel_call *call, int tile)
{
    const double macs_per_byte = 3.8, fewest_rows = 8; /* 115e9 multiply-adds/s, 30e9 bytes/s; see below */
    winograd_plan p = winograd_shape(call, tile);
    double in = (double)(sn_ceil_div(p.in_c, VF) * VF), out = (double)(p.panels * VF), tiles = (double)p.tiles;
    double rows = tiles < fewest_rows ? fewest_rows : tiles; /* fewer do not fill the multipliers' pipelines */
    double products = p.points * rows * (double)p.steps * out;
    double weights = p.points * (double)p.steps * out * 4 * macs_per_byte;
    double transforms = tiles * (tile == 4 ? 170 * in + 130 * out : (p.pairs ? 60 : 50) * in + 40 * out);
    return transforms + (products > weights ? products : weights);
}

/* A direct product of pairs multiplies twice as many values a cycle, and reads half the bytes of weights. */
static inline double direct_cost(const sn_kernel_call *call)
{
    const double macs_per_byte = 3.8, steps = 0.9 * STEP_VALUES, weight_bytes = 4.0 / STEP_VALUES;
    winograd_plan p = winograd_shape(call, 2);
    double taps = 9 * (double)p.in_c * (double)(p.panels * VF);
    double products = taps * (double)(call->node->shape.n * p.out_h * p.out_w) / steps, weights = taps * weight_bytes * macs_per_byte;
    return products > weights ? products : weights;
}

/* Refusals that begin with "slower" are a choice, not a limit: the tests run the kernel all the same. */
static inline const char *winograd_refusal(const sn_kernel_call *call, int tile)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape w = call->input_nodes[1]->shape;
    const char *otherwise = stored_refusal(call, 1u << 0 | 1u << 3); /* x or dy, residual */
    if (otherwise) return otherwise;
    if (w.n != 3 || w.h != 3 || a->stride != 1 || a->groups != 1) return "not a dense 3x3 convolution with stride 1";
    if (a->pad_top > 2 || a->pad_left > 2) return "padding above 2";
    if (tile == 4 && winograd_training_is_small(call)) return "slower forms round less: a small training batch";
    double cost = winograd_cost(call, tile);
    if (cost > direct_cost(call)) return "slower than direct summation by the model";
    if (tile == 4 && cost > winograd_cost(call, 2)) return "slower than F(2x2, 3x3) by the model";
    return NULL;
}

#endif
