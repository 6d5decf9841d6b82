/* bn_fold_weight.c - for inference, the scale of a batch norm in a convolution's weights: w gamma / sqrt(variance + epsilon) for each
 * output channel.  Weights are float whatever activations are, and their rows of output channels are seen as pixels.
 * Reads and writes the weights once.
 */
#include <math.h>

#include "cpu/kernels/pixels.h"

static const char *refuse(const sn_kernel_call *call) { return stored_refusal(call, 0); }

static size_t scratch_bytes(const sn_kernel_call *call)
{
    return (size_t)padded_channels(call->node->shape.c) * sizeof(float);
}

typedef struct fold_run {
    const float *weight, *scale;
    float *out;
    int64_t rows, channels, rows_each;
} fold_run;

SN_INLINE vf body_fold(const vf *w, const vf *scale) { return w[0] * scale[0]; }

static void fold_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const fold_run *run = context;
    int64_t first = index * run->rows_each;
    pixel_rows rows = {.in = {run->weight + first * run->channels}, .coefficient = {run->scale},
                       .pixels = sn_min64(run->rows_each, run->rows - first), .channels = run->channels, .stride = run->channels};
    pixel_map(&rows, run->out + first * run->channels, 1, 1, body_fold);
}

static void run(const sn_kernel_call *call)
{
    sn_shape w = call->node->shape;
    const float *variance = (const float *)call->inputs[1] + w.c, *gamma = call->inputs[2];
    float *scale = call->scratch;
    for (int64_t c = 0; c < w.c; c++)
        scale[c] = (float)((double)gamma[c] / sqrt((double)variance[c] + call->node->attrs.u.norm.epsilon));
    fold_run run = {.weight = call->inputs[0], .scale = scale, .out = call->output, .rows = w.n * w.h * w.w, .channels = w.c,
                    .rows_each = pixels_in(TASK_FLOATS, w.c)};
    int threads = sn_shape_elements(w) * 4 < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, sn_ceil_div(run.rows, run.rows_each), fold_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(bn_fold_weight) = {.name = SN_KERNEL_NAME(bn_fold_weight), .op = SN_OP_bn_fold_weight,
                                                    .refuse = refuse, .scratch_bytes = scratch_bytes, .run = run};
