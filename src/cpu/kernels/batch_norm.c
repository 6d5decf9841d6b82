/* batch_norm.c - batch normalisation: statistics, application, gradients (equations: cpu/ref/batch_norm.c); and the sum over
 * pixels that is a bias's gradient.
 *
 *     kernel          bytes moved, T = N H W C values
 *     bn_stats        reads T          (mean and squares of a block of 16 KB while it is in the L1 cache)
 *     bn_apply        reads T, writes T
 *     bn_grad_sums    reads 2 T
 *     bn_grad_input   reads 2 T, writes T; both may make dy from the gradient of a scale as they read it
 *     channel_sum     reads T
 *
 * Sums are in single precision over blocks of some hundred pixels and in double above that; blocks and tasks follow from the
 * shape and are joined in order.  The ReLU's mask is recomputed from x by the very expression of bn_apply.
 */
#include <math.h>

#include "cpu/kernels/pixels.h"

enum { MOST_SUM_TASKS = 64, PARTIAL_ROWS = 3 };

/* Rows of coefficients: y = act(x SCALE + SHIFT) */
enum { SCALE, SHIFT, MEAN };

/* Maps are stored; statistics, gamma, beta and sums are float. */
static const char *refuse(const sn_kernel_call *call)
{
    sn_op_kind op = call->node->op;
    if (op == SN_OP_bn_stats || op == SN_OP_channel_sum) return storage_refusal(call, 1u << 0, SN_REAL);
    sn_activation activation = call->node->attrs.u.norm.activation;
    if (activation != SN_IDENTITY && activation != SN_RELU) return "activation other than ReLU";
    int gate = op == SN_OP_bn_grad_input ? 6 : 5;
    bool gated = call->node->inputs_count > gate && call->input_nodes[gate];
    if (gated && activation != SN_IDENTITY) return "a gate behind an activation";
    if (op == SN_OP_bn_apply) return stored_refusal(call, 1u << 0);
    return storage_refusal(call, 1u << 0 | 1u << 1, op == SN_OP_bn_grad_sums ? SN_REAL : SN_STORED); /* dy, x */
}

typedef struct norm_run {
    const stored *x, *dy;
    stored *out;               /* a map */
    float *sums;               /* or sums a channel, in two rows */
    int64_t pixels, channels, padded;
    int64_t pixels_each;       /* of a task */
    int64_t tasks, block;      /* block: pixels summed in single precision */
    bool relu, constant;       /* constant: the statistics do not depend on x */
    const float *coefficients; /* rows of `padded` floats */
    const float *gate, *share; /* rows of an image: dy counts as dy gate + share / (H W); NULL: as it is, without share */
    int64_t image_pixels;      /* that share such rows */
    float *scaled;             /* of bn_grad_input with a gate: two rows a worker */
    double *totals;            /* per task: two rows of `padded` doubles */
    float *partial;            /* per worker: PARTIAL_ROWS rows of `padded` floats */
} norm_run;

static norm_run run_of(const sn_kernel_call *call, int x_input)
{
    sn_shape x = call->input_nodes[x_input]->shape;
    norm_run run = {.x = call->inputs[x_input], .out = call->output, .sums = call->output,
                    .pixels = x.n * x.h * x.w, .channels = x.c, .padded = padded_channels(x.c)};
    run.relu = call->node->op != SN_OP_channel_sum && call->node->attrs.u.norm.activation == SN_RELU;
    run.image_pixels = x.h * x.w;
    run.block = pixels_in(BLOCK_FLOATS, x.c);
    run.pixels_each = pixels_in(TASK_FLOATS, x.c);
    return run;
}

/* Tasks with totals of their own: a bounded number of them, each some blocks long. */
static void cut_sums(norm_run *run)
{
    int64_t least = sn_ceil_div(run->pixels, MOST_SUM_TASKS);
    run->pixels_each = sn_ceil_div(sn_max64(least, run->pixels_each), run->block) * run->block;
    run->tasks = sn_ceil_div(run->pixels, run->pixels_each);
}

static void for_tasks(const sn_kernel_call *call, norm_run *run, void (*task)(void *, int64_t, int))
{
    bool small = run->pixels * run->channels * 4 < SN_SMALL_BYTES;
    sn_parallel_for(small ? 1 : call->threads, sn_ceil_div(run->pixels, run->pixels_each), task, run);
}

static size_t sums_scratch_bytes(const sn_kernel_call *call)
{
    norm_run run = run_of(call, call->node->op == SN_OP_bn_grad_sums ? 1 : 0);
    cut_sums(&run);
    size_t row = (size_t)run.padded, totals = 2 * (size_t)run.tasks, partial = PARTIAL_ROWS * (size_t)call->threads;
    return totals * row * sizeof(double) + (partial + MEAN + 1) * row * sizeof(float); /* and the coefficients */
}

/* ---- coefficients ---- */

static void fill_scale_and_shift(const sn_kernel_call *call, int stats_input, int64_t padded, float *rows)
{
    int64_t channels = call->input_nodes[stats_input]->shape.c;
    const float *stats = call->inputs[stats_input], *gamma = call->inputs[stats_input + 1],
                *beta = call->inputs[stats_input + 2];
    double epsilon = call->node->attrs.u.norm.epsilon;
    for (int64_t c = 0; c < channels; c++) {
        double scale = (double)gamma[c] / sqrt((double)stats[channels + c] + epsilon);
        rows[SCALE * padded + c] = (float)scale;
        rows[SHIFT * padded + c] = (float)((double)beta[c] - (double)stats[c] * scale);
    }
}

/* ---- statistics ---- */

SN_INLINE void body_sum(const vf *x, const vf *k, vf *sum)
{
    (void)k;
    sum[0] += x[0];
}

SN_INLINE void body_centred(const vf *x, const vf *k, vf *sum)
{
    vf d = x[0] - k[0];
    sum[0] += d;
    sum[1] += d * d;
}

/* Joins a block to the task's mean and squares of deviations (Chan, Golub and LeVeque, 1979).  The block is given by a centre
 * near its mean and the sums of its deviations from there and of their squares. */
static void join_block(int64_t channels, double count, double *mean, double *squares, double block_count,
                       const float *centre, const float *deviations, const float *deviation_squares)
{
    double share = block_count / (count + block_count), weight = count * share;
    for (int64_t c = 0; c < channels; c++) {
        double shift = (double)deviations[c] / block_count;
        double delta = (double)centre[c] + shift - mean[c];
        mean[c] += delta * share;
        squares[c] += (double)deviation_squares[c] - shift * (double)deviations[c] + delta * delta * weight;
    }
}

static void stats_task(void *context, int64_t index, int worker)
{
    const norm_run *run = context;
    float *centre = run->partial + worker * PARTIAL_ROWS * run->padded, *deviations = centre + run->padded;
    double *mean = run->totals + index * 2 * run->padded, *squares = mean + run->padded;
    memset(mean, 0, 2 * (size_t)run->padded * sizeof(double));
    int64_t first = index * run->pixels_each, last = sn_min64(run->pixels, first + run->pixels_each);
    for (int64_t pixel = first; pixel < last; pixel += run->block) {
        pixel_rows rows = {.in = {run->x + pixel * run->channels}, .coefficient = {centre},
                           .pixels = sn_min64(run->block, last - pixel), .channels = run->channels, .stride = run->channels};
        memset(centre, 0, PARTIAL_ROWS * (size_t)run->padded * sizeof(float));
        pixel_sum(&rows, centre, 0, 1, 0, 1, body_sum);
        for (int64_t c = 0; c < run->padded; c++) centre[c] *= 1.0f / (float)rows.pixels;
        pixel_sum(&rows, deviations, run->padded, 1, 1, 2, body_centred);
        join_block(run->padded, (double)(pixel - first), mean, squares, (double)rows.pixels, centre, deviations,
                   deviations + run->padded);
    }
}

static void run_bn_stats(const sn_kernel_call *call)
{
    norm_run run = run_of(call, 0);
    cut_sums(&run);
    run.totals = call->scratch;
    run.partial = (float *)(run.totals + run.tasks * 2 * run.padded);
    for_tasks(call, &run, stats_task);
    double *mean = run.totals, *squares = mean + run.padded;
    for (int64_t t = 1; t < run.tasks; t++) {
        double count = (double)(t * run.pixels_each);
        double more = (double)(sn_min64(run.pixels, (t + 1) * run.pixels_each) - t * run.pixels_each);
        const double *task_mean = run.totals + t * 2 * run.padded, *task_squares = task_mean + run.padded;
        for (int64_t c = 0; c < run.channels; c++) {
            double delta = task_mean[c] - mean[c];
            mean[c] += delta * more / (count + more);
            squares[c] += task_squares[c] + delta * delta * count * more / (count + more);
        }
    }
    for (int64_t c = 0; c < run.channels; c++) {
        run.sums[c] = (float)mean[c];
        run.sums[run.channels + c] = (float)(squares[c] / (double)run.pixels);
    }
}

/* ---- application ---- */

SN_INLINE vf body_apply(const vf *x, const vf *k) { return x[0] * k[SCALE] + k[SHIFT]; }
SN_INLINE vf body_apply_relu(const vf *x, const vf *k) { return vf_relu(x[0] * k[SCALE] + k[SHIFT]); }

/* The rows of a task, with `rows` rows of coefficients. */
static pixel_rows task_rows(const norm_run *run, int64_t index, int coefficients)
{
    int64_t first = index * run->pixels_each;
    pixel_rows rows = {.in = {run->x + first * run->channels, run->dy ? run->dy + first * run->channels : NULL},
                       .pixels = sn_min64(run->pixels_each, run->pixels - first), .channels = run->channels,
                       .stride = run->channels};
    for (int k = 0; k < coefficients; k++) rows.coefficient[k] = run->coefficients + k * run->padded;
    return rows;
}

static void apply_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const norm_run *run = context;
    pixel_rows rows = task_rows(run, index, 2);
    stored *y = run->out + index * run->pixels_each * run->channels;
    if (run->relu)
        pixel_map(&rows, y, 1, 2, body_apply_relu);
    else
        pixel_map(&rows, y, 1, 2, body_apply);
}

static size_t coefficients_scratch_bytes(const sn_kernel_call *call)
{
    return PIXEL_COEFFICIENTS * (size_t)padded_channels(call->node->shape.c) * sizeof(float);
}

static void run_bn_apply(const sn_kernel_call *call)
{
    norm_run run = run_of(call, 0);
    fill_scale_and_shift(call, 1, run.padded, call->scratch);
    run.coefficients = call->scratch;
    for_tasks(call, &run, apply_task);
}

/* ---- gradient: sum(g), sum(g xhat), with g = dy where the ReLU was open ---- */

SN_INLINE vf open_gradient(const vf *x, const vf *k) { return vf_where(x[0] * k[SCALE] + k[SHIFT] > (vf){0}, x[1]); }

SN_INLINE void body_grad_sums(const vf *x, const vf *k, vf *sum)
{
    sum[0] += x[1];
    sum[1] += x[1] * (x[0] - k[MEAN]);
}

SN_INLINE void body_grad_sums_relu(const vf *x, const vf *k, vf *sum)
{
    vf g = open_gradient(x, k);
    sum[0] += g;
    sum[1] += g * (x[0] - k[MEAN]);
}

/* dy gate + share / (H W); k: gate, share, mean */
SN_INLINE void body_grad_sums_scaled(const vf *x, const vf *k, vf *sum)
{
    vf g = x[1] * k[0] + k[1] * k[PIXEL_COEFFICIENTS];
    sum[0] += g;
    sum[1] += g * (x[0] - k[MEAN]);
}
SN_INLINE void body_grad_sums_gated(const vf *x, const vf *k, vf *sum)
{
    vf g = x[1] * k[0];
    sum[0] += g;
    sum[1] += g * (x[0] - k[MEAN]);
}

/* Pixels from `pixel` of the tensor on that have the same rows, at most `most`. */
static int64_t alike_pixels(const norm_run *run, int64_t pixel, int64_t most)
{
    return run->gate ? sn_min64(most, run->image_pixels - pixel % run->image_pixels) : most;
}

static void grad_sums_task(void *context, int64_t index, int worker)
{
    const norm_run *run = context;
    float *partial = run->partial + worker * PARTIAL_ROWS * run->padded;
    double *totals = run->totals + index * 2 * run->padded;
    memset(totals, 0, 2 * (size_t)run->padded * sizeof(double));
    pixel_rows task = task_rows(run, index, 3), rows = task;
    rows.constant[0] = 1.0f / (float)run->image_pixels;
    for (int64_t pixel = 0; pixel < task.pixels; pixel += rows.pixels) {
        int64_t first = index * run->pixels_each + pixel, image = first / run->image_pixels;
        rows.pixels = alike_pixels(run, first, sn_min64(run->block, task.pixels - pixel));
        rows.in[0] = task.in[0] + pixel * run->channels;
        rows.in[1] = task.in[1] + pixel * run->channels;
        memset(partial, 0, 2 * (size_t)run->padded * sizeof(float));
        if (run->gate) rows.coefficient[0] = rows.coefficient[1] = run->gate + image * run->channels;
        if (run->share) rows.coefficient[1] = run->share + image * run->channels;
        if (run->share)
            pixel_sum(&rows, partial, run->padded, 2, 3, 2, body_grad_sums_scaled);
        else if (run->gate)
            pixel_sum(&rows, partial, run->padded, 2, 3, 2, body_grad_sums_gated);
        else if (run->relu)
            pixel_sum(&rows, partial, run->padded, 2, 3, 2, body_grad_sums_relu);
        else
            pixel_sum(&rows, partial, run->padded, 2, 3, 2, body_grad_sums);
        for (int64_t c = 0; c < 2 * run->padded; c++) totals[c] += (double)partial[c];
    }
}

static void run_bn_grad_sums(const sn_kernel_call *call)
{
    norm_run run = run_of(call, 1);
    cut_sums(&run);
    run.dy = call->inputs[0];
    run.gate = call_input(call, 5);
    run.share = call_input(call, 6);
    run.totals = call->scratch;
    run.partial = (float *)(run.totals + run.tasks * 2 * run.padded);
    float *coefficients = run.partial + call->threads * PARTIAL_ROWS * run.padded;
    const float *stats = call->inputs[2];
    fill_scale_and_shift(call, 2, run.padded, coefficients);
    memcpy(coefficients + MEAN * run.padded, stats, (size_t)run.channels * sizeof(float));
    run.coefficients = coefficients;
    for_tasks(call, &run, grad_sums_task);
    double epsilon = call->node->attrs.u.norm.epsilon;
    for (int64_t t = 1; t < run.tasks; t++)
        for (int64_t c = 0; c < 2 * run.padded; c++) run.totals[c] += run.totals[t * 2 * run.padded + c];
    for (int64_t c = 0; c < run.channels; c++) {
        run.sums[c] = (float)run.totals[c];
        run.sums[run.channels + c] = (float)(run.totals[run.padded + c] / sqrt((double)stats[run.channels + c] + epsilon));
    }
}

/* ---- channel_sum: the gradient of a bias ---- */

static void channel_sum_task(void *context, int64_t index, int worker)
{
    const norm_run *run = context;
    float *partial = run->partial + worker * PARTIAL_ROWS * run->padded;
    double *totals = run->totals + index * 2 * run->padded;
    memset(totals, 0, (size_t)run->padded * sizeof(double));
    pixel_rows task = task_rows(run, index, 0), rows = task;
    for (int64_t pixel = 0; pixel < task.pixels; pixel += run->block) {
        rows.pixels = sn_min64(run->block, task.pixels - pixel);
        rows.in[0] = task.in[0] + pixel * run->channels;
        memset(partial, 0, (size_t)run->padded * sizeof(float));
        pixel_sum(&rows, partial, run->padded, 1, 0, 1, body_sum);
        for (int64_t c = 0; c < run->padded; c++) totals[c] += (double)partial[c];
    }
}

static void run_channel_sum(const sn_kernel_call *call)
{
    norm_run run = run_of(call, 0);
    cut_sums(&run);
    run.totals = call->scratch;
    run.partial = (float *)(run.totals + run.tasks * 2 * run.padded);
    for_tasks(call, &run, channel_sum_task);
    for (int64_t t = 1; t < run.tasks; t++)
        for (int64_t c = 0; c < run.channels; c++) run.totals[c] += run.totals[t * 2 * run.padded + c];
    for (int64_t c = 0; c < run.channels; c++) run.sums[c] = (float)run.totals[c];
}

/* ---- gradient of the input: scale (g - sum(g)/M - xhat sum(g xhat)/M) = scale g + slope (x - mean) + offset ---- */

enum { SLOPE = MEAN + 1, OFFSET };

SN_INLINE vf body_grad_input(const vf *x, const vf *k) { return x[1] * k[SCALE] + ((x[0] - k[MEAN]) * k[SLOPE] + k[OFFSET]); }
SN_INLINE vf body_grad_input_relu(const vf *x, const vf *k)
{
    return open_gradient(x, k) * k[SCALE] + ((x[0] - k[MEAN]) * k[SLOPE] + k[OFFSET]);
}
SN_INLINE vf body_grad_input_constant(const vf *x, const vf *k) { return x[1] * k[SCALE]; }
SN_INLINE vf body_grad_input_constant_relu(const vf *x, const vf *k) { return open_gradient(x, k) * k[SCALE]; }

/* Of dy gate + share / (H W): gate scale and share scale / (H W) + offset are rows of an image, in the places of SCALE and OFFSET. */
static void scaled_grad_input_task(const norm_run *run, int64_t index, int worker)
{
    pixel_rows task = task_rows(run, index, PIXEL_COEFFICIENTS), rows = task;
    const float *scale = task.coefficient[SCALE], *offset = task.coefficient[OFFSET];
    float *scales = run->scaled + worker * 2 * run->padded, *offsets = scales + run->padded;
    float part = 1.0f / (float)run->image_pixels;
    rows.coefficient[SCALE] = scales;
    rows.coefficient[OFFSET] = offsets;
    for (int64_t pixel = 0; pixel < task.pixels; pixel += rows.pixels) {
        int64_t first = index * run->pixels_each + pixel, at = first / run->image_pixels * run->channels;
        rows.pixels = alike_pixels(run, first, task.pixels - pixel);
        rows.in[0] = task.in[0] + pixel * run->channels;
        rows.in[1] = task.in[1] + pixel * run->channels;
        for (int64_t c = 0; c < run->channels; c++) {
            scales[c] = run->gate[at + c] * scale[c];
            offsets[c] = offset[c] + (run->share ? run->share[at + c] * part * scale[c] : 0);
        }
        pixel_map(&rows, run->out + first * run->channels, 2, PIXEL_COEFFICIENTS, body_grad_input);
    }
}

static void grad_input_task(void *context, int64_t index, int worker)
{
    const norm_run *run = context;
    if (run->gate) {
        scaled_grad_input_task(run, index, worker);
        return;
    }
    pixel_rows rows = task_rows(run, index, PIXEL_COEFFICIENTS);
    stored *dx = run->out + index * run->pixels_each * run->channels;
    if (run->constant && run->relu)
        pixel_map(&rows, dx, 2, 2, body_grad_input_constant_relu);
    else if (run->constant)
        pixel_map(&rows, dx, 2, 2, body_grad_input_constant);
    else if (run->relu)
        pixel_map(&rows, dx, 2, PIXEL_COEFFICIENTS, body_grad_input_relu);
    else
        pixel_map(&rows, dx, 2, PIXEL_COEFFICIENTS, body_grad_input);
}

static size_t grad_input_scratch_bytes(const sn_kernel_call *call)
{
    bool gated = call->node->inputs_count > 6 && call->input_nodes[6];
    size_t workers = gated ? 2 * (size_t)call->threads : 0;
    return coefficients_scratch_bytes(call) + workers * (size_t)padded_channels(call->node->shape.c) * sizeof(float);
}

static void run_bn_grad_input(const sn_kernel_call *call)
{
    norm_run run = run_of(call, 1);
    const float *stats = call->inputs[2], *sums = call_input(call, 5);
    float *rows = call->scratch;
    run.dy = call->inputs[0];
    run.constant = sums == NULL;
    run.gate = call_input(call, 6);
    run.share = call_input(call, 7);
    run.scaled = rows + PIXEL_COEFFICIENTS * run.padded;
    fill_scale_and_shift(call, 2, run.padded, rows);
    if (run.gate && !sums) memset(rows + MEAN * run.padded, 0, 3 * (size_t)run.padded * sizeof(float));
    double epsilon = call->node->attrs.u.norm.epsilon, count = (double)run.pixels;
    for (int64_t c = 0; c < run.channels && sums; c++) {
        double scale = (double)rows[SCALE * run.padded + c];
        rows[MEAN * run.padded + c] = stats[c];
        rows[SLOPE * run.padded + c] =
            (float)(-scale * (double)sums[run.channels + c] / (count * sqrt((double)stats[run.channels + c] + epsilon)));
        rows[OFFSET * run.padded + c] = (float)(-scale * (double)sums[c] / count);
    }
    run.coefficients = rows;
    for_tasks(call, &run, grad_input_task);
}

#define DEFINE_KERNEL(base, scratch)                                                                                 \
    const sn_kernel SN_KERNEL_SYMBOL(base) = {.name = SN_KERNEL_NAME(base), .op = SN_OP_##base, .storage = SN_STORED, \
                                              .refuse = refuse, .scratch_bytes = scratch, .run = run_##base}

DEFINE_KERNEL(bn_stats, sums_scratch_bytes);
DEFINE_KERNEL(bn_apply, coefficients_scratch_bytes);
DEFINE_KERNEL(bn_grad_sums, sums_scratch_bytes);
DEFINE_KERNEL(bn_grad_input, grad_input_scratch_bytes);
DEFINE_KERNEL(channel_sum, sums_scratch_bytes);
