/* conv_strassen_plan.h - how a dense 1x1 convolution is cut for one level of Strassen's multiplication in Winograd's form, and
 * whether that is faster than multiplying directly: a model of shapes alone (docs/kernels.md).
 *
 * A is the matrix of pixels x input channels, B of input x output channels.  An image is cut into blocks of pixels that lie together,
 * by its shape alone; pixel i of the first half of a block and pixel i of the second are a pair, so what a pixel is joined with does
 * not depend on the batch, and a core that computes a stretch of rows reads and writes no others: lines that another core has written come
 * slowly.  Where the number of pixels is odd, the last pair's second pixel is missing and counts as zero.  Channels are halved in the middle; the first half of
 * the outputs is whole vectors.
 */
#ifndef SN_CPU_KERNELS_CONV_STRASSEN_PLAN_H
#define SN_CPU_KERNELS_CONV_STRASSEN_PLAN_H

#include "cpu/kernels/conv_plan.h"

enum {
    STRASSEN_PRODUCTS = 7,
    STRASSEN_SUMS = 4,      /* of pixels: S1 to S4 */
    BLOCK_PAIRS = 49,       /* seven register tiles */
    HALF_FLOATS = 100 * 256 /* of a block, pairs x half the input channels: with the sums 700 KB, in an L2 of 1 MB */
};

typedef struct strassen_plan {
    int64_t images, pixels, in_c, out_c;  /* pixels of an image */
    int64_t half_in, half_out;            /* channels of the first half */
    int64_t pairs, block_pairs, blocks;   /* pairs of an image and of a block; blocks of an image */
    int64_t panels, splits, split_panels; /* panels of half_out; a task is a block and some panels */
    int64_t chunks, chunk_length;         /* passes of a product's sum, as in conv_plan.h */
    int64_t sum_stride, sum_floats;       /* of a row of a block's S, and of the whole */
    int64_t worker_floats;
} strassen_plan;

static inline strassen_plan strassen_plan_of(const sn_kernel_call *call)
{
    sn_shape in = call->input_nodes[0]->shape, out = call->node->shape;
    strassen_plan p = {.images = in.n, .pixels = in.h * in.w, .in_c = in.c, .out_c = out.c, .half_in = in.c / 2,
                       .half_out = sn_ceil_div(sn_ceil_div(out.c, 2), VF) * VF};
    p.pairs = sn_ceil_div(p.pixels, 2);
    p.block_pairs = sn_max64(1, sn_min64(BLOCK_PAIRS, HALF_FLOATS / p.half_in));
    p.blocks = sn_ceil_div(p.pairs, p.block_pairs);
    p.block_pairs = sn_ceil_div(p.pairs, p.blocks);
    p.blocks = sn_ceil_div(p.pairs, p.block_pairs);
    p.panels = sn_ceil_div(p.half_out, PANEL);
    /* Tasks, so many that a core which is slowed down can be left fewer; a split may sum its block's pixels anew. */
    int64_t wanted = call->threads > 1 ? 4 * call->threads : 1;
    p.split_panels = sn_ceil_div(p.panels, sn_min64(p.panels, sn_ceil_div(wanted, p.images * p.blocks)));
    p.splits = sn_ceil_div(p.panels, p.split_panels);
    p.chunks = sn_ceil_div(p.half_in, PASS_STEPS);
    p.chunk_length = sn_ceil_div(p.half_in, p.chunks);
    p.sum_stride = sn_ceil_div(p.half_in, LINE_FLOATS) * LINE_FLOATS + LINE_FLOATS; /* rows in different cache sets */
    p.sum_floats = p.block_pairs * p.sum_stride;
    p.worker_floats = STRASSEN_SUMS * p.sum_floats + 4 * p.block_pairs * PANEL; /* and staged outputs */
    return p;
}

/* ---- whether it is faster ---- */

/* The model's unit is a multiply-add near the machine's peak; a float of the input costs `pixel_sums` to be summed, one of the
 * output `combining` from seven products, or `storing` where it comes straight out of a sum: measured on layers of 64 to 2048 channels.
 * Weights come from memory once, as in conv_winograd_plan.h, and training packs them for every step. */
static inline bool strassen_pays(const sn_kernel_call *call)
{
    const double pixel_sums = 4, combining = 12, storing = 3.5, packing = 60, macs_per_byte = 3.8, least_gain = 0.03;
    strassen_plan p = strassen_plan_of(call);
    double in = (double)p.in_c, out = (double)p.out_c, pixels = (double)(p.images * p.pixels);
    double factors = STRASSEN_PRODUCTS * (double)(p.half_in * p.half_out);
    double products = (double)(p.images * p.pairs) * factors, weights = factors * 4 * macs_per_byte;
    double cost = (products > weights ? products : weights) + pixels * (pixel_sums * in + combining * out);
    if (call->training) cost += packing * in * out;
    return cost < (1 - least_gain) * pixels * (in * out + storing * out);
}

/* Refusals that begin with "slower" are a choice, not a limit: the tests run the kernel all the same. */
static inline const char *strassen_refusal(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape in = call->input_nodes[0]->shape, out = call->node->shape;
    if (call->precision != SN_FLOAT) return "not single precision";
    if (a->groups != 1 || a->stride != 1 || !conv_is_pointwise(a, call->input_nodes[1]->shape))
        return "not a dense 1x1 convolution with stride 1";
    if (in.c % 2 != 0) return "an odd number of input channels";
    if (out.c <= VF) return "outputs do not halve into vectors";
    if (out.c <= 2 * VF) return "slower: tiles of one vector";
    if (!strassen_pays(call)) return "slower than direct multiplication by the model";
    return NULL;
}

#endif
