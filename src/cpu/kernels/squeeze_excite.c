/* squeeze_excite.c - the memory passes of an SE block: squeeze, scale, and their gradients.
 *
 * With T = N H W C floats: squeeze_avg reads T; squeeze_avg_grad writes T; scale_add reads T (2 T with a residual) and writes T;
 * scale_grad_input reads T and writes T; scale_grad_gate reads 2 T.  A gate per element ("no squeeze") adds T to read.
 *
 * Tasks are pieces of images; a sum over an image is one task, or one for a range of channels where there are few images.
 */
#include <assert.h>

#include "cpu/kernels/activate.h"
#include "cpu/kernels/pixels.h"

enum {
    FEW_TASKS = 16,
    LEAST_CHANNELS = 64,
    SUM_BLOCK = 64 /* pixels whose sum is taken in single precision; the same for every batch, as an image's bits are */
};

static const char *refuse(const sn_kernel_call *call)
{
    return call->precision == SN_FLOAT ? NULL : "not single precision";
}

typedef struct se_run {
    const sn_kernel_call *call;
    const float *x, *gate, *other; /* other: residual, squeeze gradient or the second factor */
    float *out;
    int64_t pixels, channels;  /* of an image */
    int64_t pixels_each, pieces; /* maps: of a task, tasks of an image */
    int64_t channels_each, ranges; /* sums: of a task, tasks of an image */
    bool gate_per_element;
    double *totals;            /* sums, per worker: a row of totals, then a row of floats */
    size_t worker_bytes;
} se_run;

static se_run run_of(const sn_kernel_call *call, sn_shape map)
{
    se_run run = {.call = call, .x = call->inputs[0], .out = call->output, .pixels = map.h * map.w, .channels = map.c};
    run.pixels_each = pixels_in(TASK_FLOATS, map.c);
    run.pieces = sn_ceil_div(run.pixels, run.pixels_each);
    int64_t most_ranges = sn_max64(1, map.c / LEAST_CHANNELS);
    run.channels_each = padded_channels(sn_ceil_div(map.c, sn_min64(most_ranges, sn_ceil_div(FEW_TASKS, map.n))));
    run.ranges = sn_ceil_div(map.c, run.channels_each);
    run.totals = call->scratch;
    run.worker_bytes = (size_t)padded_channels(map.c) * (sizeof(double) + sizeof(float));
    run.worker_bytes = sn_align(run.worker_bytes, SN_ALIGNMENT);
    return run;
}

static int threads_for(const sn_kernel_call *call, sn_shape map)
{
    return sn_shape_elements(map) * 4 < SN_SMALL_BYTES ? 1 : call->threads;
}

/* ---- sums over an image ---- */

static size_t sum_scratch_bytes(const sn_kernel_call *call)
{
    return run_of(call, call->input_nodes[0]->shape).worker_bytes * (size_t)call->threads;
}

typedef void (*image_sum)(const pixel_rows *rows, float *sums);

/* A task's sum over the pixels of its image and channels: blocks in float, their sum in double; then times `factor`. */
SN_INLINE void sum_task(const se_run *run, int64_t index, int worker, float factor, image_sum add)
{
    double *totals = (double *)((char *)run->totals + (size_t)worker * run->worker_bytes);
    float *partial = (float *)(totals + padded_channels(run->channels));
    int64_t image = index / run->ranges, channel = index % run->ranges * run->channels_each;
    int64_t channels = sn_min64(run->channels_each, run->channels - channel), padded = padded_channels(channels);
    memset(totals, 0, (size_t)padded * sizeof(double));
    for (int64_t pixel = 0; pixel < run->pixels; pixel += SUM_BLOCK) {
        int64_t at = (image * run->pixels + pixel) * run->channels + channel;
        pixel_rows rows = {.in = {run->x + at, run->other ? run->other + at : NULL}, .channels = channels,
                           .pixels = sn_min64(SUM_BLOCK, run->pixels - pixel), .stride = run->channels};
        memset(partial, 0, (size_t)padded * sizeof(float));
        add(&rows, partial);
        for (int64_t c = 0; c < padded; c++) totals[c] += (double)partial[c];
    }
    float *out = run->out + image * run->channels + channel;
    for (int64_t c = 0; c < channels; c++) out[c] = (float)(totals[c] * (double)factor);
}

SN_INLINE void body_sum(const vf *x, const vf *k, vf *sum)
{
    (void)k;
    sum[0] += x[0];
}
static inline void add_values(const pixel_rows *rows, float *sums) { pixel_sum(rows, sums, 0, 1, 0, 1, body_sum); }

static void squeeze_avg_task(void *context, int64_t index, int worker)
{
    const se_run *run = context;
    sum_task(run, index, worker, 1.0f / (float)run->pixels, add_values);
}

static void run_squeeze_avg(const sn_kernel_call *call)
{
    sn_shape map = call->input_nodes[0]->shape;
    se_run run = run_of(call, map);
    sn_parallel_for(threads_for(call, map), map.n * run.ranges, squeeze_avg_task, &run);
}

SN_INLINE void body_product_sum(const vf *x, const vf *k, vf *sum)
{
    (void)k;
    sum[0] += x[0] * x[1];
}
static inline void add_products(const pixel_rows *rows, float *sums) { pixel_sum(rows, sums, 0, 2, 0, 1, body_product_sum); }

SN_INLINE vf body_product(const vf *x, const vf *k)
{
    (void)k;
    return x[0] * x[1];
}

static void scale_grad_gate_task(void *context, int64_t index, int worker)
{
    const se_run *run = context;
    assert(run->other);
    sum_task(run, index, worker, 1, add_products);
}

static void scale_grad_gate_elements_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const se_run *run = context;
    int64_t first = index % run->pieces * run->pixels_each, at = (index / run->pieces * run->pixels + first) * run->channels;
    pixel_rows rows = {.in = {run->x + at, run->other + at}};
    flat_map(&rows, sn_min64(run->pixels_each, run->pixels - first) * run->channels, run->out + at, 2, body_product);
}

static void run_scale_grad_gate(const sn_kernel_call *call)
{
    sn_shape map = call->input_nodes[0]->shape, gate = call->node->shape;
    se_run run = run_of(call, map);
    run.other = call->inputs[1];
    if (gate.h == 1 && gate.w == 1)
        sn_parallel_for(threads_for(call, map), map.n * run.ranges, scale_grad_gate_task, &run);
    else
        sn_parallel_for(threads_for(call, map), map.n * run.pieces, scale_grad_gate_elements_task, &run);
}

/* ---- maps with a row of coefficients per image ---- */

/* The part of an image that task `index` maps; in[0] = x. */
static pixel_rows piece_of(const se_run *run, int64_t index, int64_t *image, int64_t *at)
{
    int64_t first = index % run->pieces * run->pixels_each;
    *image = index / run->pieces;
    *at = (*image * run->pixels + first) * run->channels;
    return (pixel_rows){.in = {run->x + *at}, .pixels = sn_min64(run->pixels_each, run->pixels - first),
                        .channels = run->channels, .stride = run->channels};
}

SN_INLINE vf body_scaled_coefficient(const vf *x, const vf *k)
{
    (void)x;
    return k[0] * k[PIXEL_COEFFICIENTS];
}

static void squeeze_avg_grad_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const se_run *run = context;
    int64_t image, at;
    pixel_rows rows = piece_of(run, index, &image, &at);
    rows.coefficient[0] = run->other + image * run->channels;
    rows.constant[0] = 1.0f / (float)run->pixels;
    pixel_map(&rows, run->out + at, 0, 1, body_scaled_coefficient);
}

static void run_squeeze_avg_grad(const sn_kernel_call *call)
{
    sn_shape map = call->node->shape;
    se_run run = run_of(call, map);
    run.other = call->inputs[0];
    sn_parallel_for(threads_for(call, map), map.n * run.pieces, squeeze_avg_grad_task, &run);
}

/* y = act(x s + r), strictly in the order of memory: several pixels at a time would save loads of the gate, which come from the
 * L1 cache anyway, and put rows of 1024 channels into the same cache sets.  gate_pixel: floats from a pixel's gate to the next's,
 * 0 where they share one. */
SN_INLINE void scale_rows(const float *x, const float *gate, int64_t gate_pixel, const float *residual, float *y,
                          int64_t pixels, int64_t channels, bool adds, bool relu)
{
    for (int64_t pixel = 0; pixel < pixels; pixel++, gate += gate_pixel)
        for (int64_t c = 0; c < channels; c += VF) {
            int64_t at = pixel * channels + c, lanes = channels - c;
            vf v = vf_load_n(x + at, lanes) * vf_load_n(gate + c, lanes);
            if (adds) v += vf_load_n(residual + at, lanes);
            vf_store_n(y + at, relu ? vf_relu(v) : v, lanes);
        }
}

/* Pieces go from the last to the first: what the convolution before wrote last is still in the L2 cache, and what is written
 * here last is what the next one reads first. */
static void scale_add_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const se_run *run = context;
    const sn_node *node = run->call->node;
    sn_activation kind = node->attrs.u.activation.kind;
    int64_t image, at;
    pixel_rows rows = piece_of(run, node->shape.n * run->pieces - 1 - index, &image, &at);
    const float *gate = run->gate_per_element ? run->gate + at : run->gate + image * run->channels;
    const float *x = rows.in[0], *residual = run->other ? run->other + at : NULL;
    int64_t gate_pixel = run->gate_per_element ? run->channels : 0;
    float *y = run->out + at;
    if (residual && kind == SN_RELU)
        scale_rows(x, gate, gate_pixel, residual, y, rows.pixels, run->channels, true, true);
    else if (residual)
        scale_rows(x, gate, gate_pixel, residual, y, rows.pixels, run->channels, true, false);
    else if (kind == SN_RELU)
        scale_rows(x, gate, gate_pixel, NULL, y, rows.pixels, run->channels, false, true);
    else
        scale_rows(x, gate, gate_pixel, NULL, y, rows.pixels, run->channels, false, false);
    if (kind != SN_RELU) sn_activate_row(y, rows.pixels * run->channels, kind);
}

SN_INLINE vf body_scale(const vf *x, const vf *k) { return x[0] * k[0]; }

/* g s (+ dz / (H W)) */
SN_INLINE vf body_scale_share(const vf *x, const vf *k) { return x[0] * k[0] + k[1] * k[PIXEL_COEFFICIENTS]; }
SN_INLINE vf body_product_share(const vf *x, const vf *k) { return x[0] * x[1] + k[0] * k[PIXEL_COEFFICIENTS]; }

static void scale_grad_input_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const se_run *run = context;
    int64_t image, at;
    pixel_rows rows = piece_of(run, index, &image, &at);
    float *dx = run->out + at;
    const float *gate = run->gate + image * run->channels, *dz = run->other ? run->other + image * run->channels : NULL;
    rows.constant[0] = 1.0f / (float)run->pixels;
    if (run->gate_per_element) {
        rows.in[1] = run->gate + at;
        rows.coefficient[0] = dz;
        if (dz)
            pixel_map(&rows, dx, 2, 1, body_product_share);
        else
            pixel_map(&rows, dx, 2, 0, body_product);
    } else {
        rows.coefficient[0] = gate;
        rows.coefficient[1] = dz;
        if (dz)
            pixel_map(&rows, dx, 1, 2, body_scale_share);
        else
            pixel_map(&rows, dx, 1, 1, body_scale);
    }
}

static void run_scale(const sn_kernel_call *call)
{
    sn_shape map = call->node->shape, gate = call->input_nodes[1]->shape;
    se_run run = run_of(call, map);
    run.gate = call->inputs[1];
    run.other = call_input(call, 2);
    run.gate_per_element = gate.h != 1 || gate.w != 1;
    sn_parallel_for(threads_for(call, map), map.n * run.pieces,
                    call->node->op == SN_OP_scale_add ? scale_add_task : scale_grad_input_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(squeeze_avg) = {.name = SN_KERNEL_NAME(squeeze_avg), .op = SN_OP_squeeze_avg, .refuse = refuse,
                                                 .scratch_bytes = sum_scratch_bytes, .run = run_squeeze_avg};
const sn_kernel SN_KERNEL_SYMBOL(squeeze_avg_grad) = {.name = SN_KERNEL_NAME(squeeze_avg_grad), .op = SN_OP_squeeze_avg_grad,
                                                      .refuse = refuse, .run = run_squeeze_avg_grad};
const sn_kernel SN_KERNEL_SYMBOL(scale_add) = {.name = SN_KERNEL_NAME(scale_add), .op = SN_OP_scale_add, .refuse = refuse,
                                               .run = run_scale};
const sn_kernel SN_KERNEL_SYMBOL(scale_grad_input) = {.name = SN_KERNEL_NAME(scale_grad_input), .op = SN_OP_scale_grad_input,
                                                      .refuse = refuse, .run = run_scale};
const sn_kernel SN_KERNEL_SYMBOL(scale_grad_gate) = {.name = SN_KERNEL_NAME(scale_grad_gate), .op = SN_OP_scale_grad_gate,
                                                     .refuse = refuse, .scratch_bytes = sum_scratch_bytes,
                                                     .run = run_scale_grad_gate};
