/* depthwise_pointwise_plan.h - how the joined depthwise and 1x1 convolutions are cut, and where the depthwise outputs of a block lie.
 *
 * Rows of an image are cut into blocks, by shape alone; a task is a block and, where blocks are few, some of the panels of the 1x1
 * convolution's weights.  A worker keeps the depthwise outputs of a block for the next task's panels.
 */
#ifndef SN_CPU_KERNELS_DEPTHWISE_POINTWISE_PLAN_H
#define SN_CPU_KERNELS_DEPTHWISE_POINTWISE_PLAN_H

#include "cpu/kernels/conv_depthwise_tiles.h"
#include "cpu/kernels/squeeze_sums.h"

enum {
    JOINED_BYTES = 224 << 10, /* of a block's depthwise outputs at most, where a block is more than one row */
    JOINED_TASKS = 16,        /* cut an image into about so many */
    JOINED_PIXELS = 98        /* for fewer, a panel of weights is not worth fetching, where the map has as many */
};

typedef struct joined_plan {
    sn_shape in, out;
    int64_t rows, blocks;                /* rows of a block; blocks of an image */
    int64_t panels, splits, panels_each; /* a task: a block and some panels */
    int64_t pixel;                       /* values from a depthwise output to the next pixel's */
    size_t worker_bytes;                 /* what a worker holds: the number of a block, and its depthwise outputs */
} joined_plan;

/* `panels` of the 1x1 convolution, whose input has `value` bytes. */
static inline joined_plan joined_plan_of(const sn_kernel_call *call, int64_t panels, int64_t value)
{
    joined_plan p = {.in = call->input_nodes[0]->shape, .out = call->node->shape, .panels = panels};
    int64_t line = 64 / value;
    int64_t fit = sn_max64(1, JOINED_BYTES / (p.out.w * p.in.c * value));
    int64_t wanted = sn_max64(sn_ceil_div(p.out.h, JOINED_TASKS), sn_ceil_div(JOINED_PIXELS, p.out.w));
    p.blocks = sn_ceil_div(p.out.h, sn_min64(p.out.h, sn_min64(fit, wanted)));
    p.rows = sn_ceil_div(p.out.h, p.blocks);
    p.blocks = sn_ceil_div(p.out.h, p.rows);
    p.panels_each = sn_ceil_div(panels, sn_min64(panels, sn_ceil_div(JOINED_TASKS, p.out.n * p.blocks)));
    p.splits = sn_ceil_div(panels, p.panels_each);
    p.pixel = sn_ceil_div(p.in.c, line) * line + line; /* pixels in different cache sets */
    p.worker_bytes = SN_ALIGNMENT + sn_align((size_t)(p.rows * p.out.w * p.pixel * value), SN_ALIGNMENT);
    return p;
}

/* Scratch memory: that of the workers, then the sums of the squeeze. */
static inline size_t joined_scratch_bytes(const sn_kernel_call *call, const joined_plan *p)
{
    return p->worker_bytes * (size_t)call->threads + squeeze_bytes(call, p->blocks);
}

static inline const char *joined_refusal(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape in = call->input_nodes[0]->shape, out = call->node->shape;
    const char *otherwise = stored_refusal(call, 1u << 0);
    if (otherwise) return otherwise;
    if (a->stride > 2) return "stride above 2";
    if (!clamp_is(a->between) || !clamp_is(a->activation)) return "an activation that is no clamp";
    bool fit = depthwise_edges_fit(in.h, out.h, a->stride, a->pad_top) && depthwise_edges_fit(in.w, out.w, a->stride, a->pad_left);
    return fit ? NULL : "padding above 1";
}

/* ---- a run ---- */

typedef struct joined_run {
    joined_plan plan;
    depthwise_map depthwise;
    const stored *in;
    const void *packed;      /* of the 1x1 convolution */
    const float *bias, *gate;
    stored *out;
    char *memory;
    sn_activation activation;
    squeeze_sums squeeze;
} joined_run;

/* A block of an image, in a worker's memory. */
typedef struct joined_block {
    int64_t image, index, row, end_row;  /* index within the image; output rows */
    int64_t pixels, first;               /* output pixels; the first, in the batch */
    int64_t first_panel, end_panel;      /* of the task */
    DEPTHWISE_INTO *values;              /* depthwise outputs */
    const stored *next;                  /* input to be fetched meanwhile */
    int64_t next_lines;
} joined_block;

static inline joined_run joined_begin(const sn_kernel_call *call, const joined_plan *p, const float *depthwise, const void *packed)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    joined_run run = {.plan = *p, .in = call->inputs[0], .packed = packed, .bias = call_input(call, 2), .gate = call_input(call, 5),
                      .out = call->output, .memory = call->scratch, .activation = a->activation};
    run.depthwise = (depthwise_map){.in = p->in, .out = p->out, .stride = a->stride, .top = a->pad_top, .left = a->pad_left,
                                    .packed = depthwise, .bias = call_input(call, 4), .clamp = clamp_of(a->between)};
    for (int i = 0; i < call->threads; i++) *(int64_t *)(void *)(run.memory + p->worker_bytes * (size_t)i) = -1;
    run.squeeze = squeeze_begin(call, (float *)(void *)(run.memory + p->worker_bytes * (size_t)call->threads), p->blocks);
    return run;
}

/* The input rows that the block behind reads and this one does not, if there are any in the image. */
static inline void joined_look_ahead(const joined_run *run, joined_block *b)
{
    const joined_plan *p = &run->plan;
    int64_t stride = run->depthwise.stride, first = (b->end_row - 1) * stride - run->depthwise.top + 3;
    int64_t last = sn_min64(p->in.h, first + p->rows * stride);
    if (first >= last) return;
    b->next = run->in + (b->image * p->in.h + first) * p->in.w * p->in.c;
    b->next_lines = (last - first) * p->in.w * p->in.c * (int64_t)sizeof(stored) / 64;
}

/* The block of a task, its depthwise outputs computed. */
static inline joined_block joined_block_at(const joined_run *run, int64_t task, int worker)
{
    const joined_plan *p = &run->plan;
    int64_t split = task % p->splits, block = task / p->splits;
    char *memory = run->memory + p->worker_bytes * (size_t)worker;
    int64_t *held = (int64_t *)(void *)memory;
    joined_block b = {.image = block / p->blocks, .index = block % p->blocks, .first_panel = split * p->panels_each,
                      .values = (DEPTHWISE_INTO *)(void *)(memory + SN_ALIGNMENT)};
    b.row = b.index * p->rows;
    b.end_row = sn_min64(p->out.h, b.row + p->rows);
    b.pixels = (b.end_row - b.row) * p->out.w;
    b.first = (b.image * p->out.h + b.row) * p->out.w;
    b.end_panel = sn_min64(p->panels, b.first_panel + p->panels_each);
    if (*held != block) {
        const stored *image = run->in + b.image * p->in.h * p->in.w * p->in.c;
        const float *gate = run->gate ? run->gate + b.image * p->in.c : NULL;
        depthwise_band(&run->depthwise, image, gate, b.row, b.end_row, 0, p->in.c, (depthwise_target){b.values, p->pixel});
        *held = block;
    }
    if (b.end_panel == p->panels) joined_look_ahead(run, &b);
    return b;
}

/* Runs the tasks, whose context is `run`: the first member of what the file's kernel knows. */
static inline void joined_finish(const sn_kernel_call *call, const joined_run *run, void (*task)(void *context, int64_t index, int worker))
{
    const joined_plan *p = &run->plan;
    int threads = sn_shape_elements(p->out) * p->in.c < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->out.n * p->blocks * p->splits, task, (void *)(uintptr_t)run);
    squeeze_finish(&run->squeeze);
}

#endif
