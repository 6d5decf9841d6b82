/* squeeze_excite.c - the memory passes of an SE block: squeeze, scale, and their gradients.
 *
 * With T = N H W C values: squeeze_avg reads T; squeeze_avg_grad writes T; scale_add reads T (2 T with a residual) and writes T;
 * scale_grad_input reads T and writes T; scale_grad_gate reads 2 T.  A gate per element ("no squeeze") adds T to read.
 * scale_add and scale_grad_gate that normalise what they scale (bn_affine) read as much.
 *
 * Tasks are pieces of images; a sum over an image is one task, or one for a range of channels where there are few images.
 */
#include <assert.h>

#include "cpu/kernels/activate.h"
#include "cpu/kernels/norm_sums.h"
#include "cpu/kernels/pixels.h"

enum {
    FEW_TASKS = 16,
    LEAST_CHANNELS = 64,
    SUM_BLOCK = 64 /* pixels whose sum is taken in single precision; the same for every batch, as an image's bits are */
};

static bool is_vector(sn_shape s) { return s.h == 1 && s.w == 1; }

/* Maps are stored, a vector an image is float. */
static const char *refuse(const sn_kernel_call *call)
{
    bool gate_is_vector = call->node->inputs_count > 1 && (!call->input_nodes[1] || is_vector(call->input_nodes[1]->shape));
    switch (call->node->op) {
    case SN_OP_squeeze_avg: return storage_refusal(call, 1u << 0, SN_REAL);
    case SN_OP_squeeze_avg_grad: return stored_refusal(call, 1u << 1);
    case SN_OP_scale_add: return stored_refusal(call, gate_is_vector ? 1u << 0 | 1u << 2 : 7u);
    case SN_OP_scale_grad_input: return stored_refusal(call, gate_is_vector ? 1u << 0 : 1u << 0 | 1u << 1);
    default: /* scale_grad_gate: g, x, s */
        return is_vector(call->node->shape) ? storage_refusal(call, 1u << 0 | 1u << 1, SN_REAL) : stored_refusal(call, 7u);
    }
}

typedef struct se_run {
    const sn_kernel_call *call;
    const stored *x, *other; /* other: the residual or the second factor */
    const float *vector;     /* a row an image: the gate, or squeeze_avg_grad's dz */
    const stored *gate;      /* per element; NULL: `vector` is the gate */
    const float *share;      /* dz of scale_grad_input, or NULL */
    const float *affine;     /* rows scale and shift of a batch norm: x counts as x scale + shift; or NULL */
    stored *out;
    float *sums;             /* the output where it is a row an image */
    int64_t pixels, channels;  /* of an image */
    int64_t pixels_each, pieces; /* maps: of a task, tasks of an image */
    int64_t channels_each, ranges; /* sums: of a task, tasks of an image */
    double *totals;            /* sums, per worker: a row of totals, then a row of floats */
    size_t worker_bytes;
    norm_sums norms;           /* of scale_add's output: a block is a piece */
} se_run;

static se_run run_of(const sn_kernel_call *call, sn_shape map)
{
    se_run run = {.call = call, .x = call->inputs[0], .out = call->output, .sums = call->output, .pixels = map.h * map.w, .channels = map.c};
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
        if (run->affine) {
            rows.coefficient[0] = run->affine + channel;
            rows.coefficient[1] = run->affine + run->channels + channel;
        }
        memset(partial, 0, (size_t)padded * sizeof(float));
        add(&rows, partial);
        for (int64_t c = 0; c < padded; c++) totals[c] += (double)partial[c];
    }
    float *out = run->sums + image * run->channels + channel;
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

SN_INLINE void body_normalized_sum(const vf *x, const vf *k, vf *sum) { sum[0] += x[0] * (x[1] * k[0] + k[1]); }
static inline void add_normalized(const pixel_rows *rows, float *sums) { pixel_sum(rows, sums, 0, 2, 2, 1, body_normalized_sum); }

SN_INLINE vf body_product(const vf *x, const vf *k)
{
    (void)k;
    return x[0] * x[1];
}

static void scale_grad_gate_task(void *context, int64_t index, int worker)
{
    const se_run *run = context;
    assert(run->other);
    if (run->affine)
        sum_task(run, index, worker, 1, add_normalized);
    else
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
    sn_shape map = call->input_nodes[0]->shape;
    se_run run = run_of(call, map);
    run.other = call->inputs[1];
    run.affine = call_input(call, 3);
    if (is_vector(call->node->shape))
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
    rows.coefficient[0] = run->vector + image * run->channels;
    rows.constant[0] = 1.0f / (float)run->pixels;
    pixel_map(&rows, run->out + at, 0, 1, body_scaled_coefficient);
}

static void run_squeeze_avg_grad(const sn_kernel_call *call)
{
    sn_shape map = call->node->shape;
    se_run run = run_of(call, map);
    run.vector = call->inputs[0];
    sn_parallel_for(threads_for(call, map), map.n * run.pieces, squeeze_avg_grad_task, &run);
}

/* The rows of a scale: y = act(x s + r), or, of what is normalised first, act(x s + shift + r). */
typedef struct scale_job {
    const stored *x, *gate, *residual; /* gate: per element */
    const float *gate_row, *shift_row; /* for all pixels; shift_row only with gate_row, or NULL */
    stored *y;
    int64_t pixels, channels;
} scale_job;

typedef enum scale_form { SCALE_ROW, SCALE_SHIFTED, SCALE_ELEMENTS } scale_form; /* what x is multiplied by */

SN_INLINE void scale_span(const scale_job *j, int64_t at, const vf row[SPAN_VECTORS], const vf shift[SPAN_VECTORS],
                          scale_form form, bool adds, sn_activation activation)
{
    bool per_element = form == SCALE_ELEMENTS;
    vf v[SPAN_VECTORS], gate[SPAN_VECTORS], residual[SPAN_VECTORS];
    vs_load_span(j->x + at, v);
    if (per_element) vs_load_span(j->gate + at, gate);
    if (adds) vs_load_span(j->residual + at, residual);
    SN_UNROLL for (int i = 0; i < SPAN_VECTORS; i++) {
        v[i] *= per_element ? gate[i] : row[i];
        if (form == SCALE_SHIFTED) v[i] += shift[i];
        if (adds) v[i] += residual[i];
        v[i] = vf_activate(v[i], activation);
    }
    vs_store_span(j->y + at, v);
}

/* Strictly in the order of memory: several pixels at a time would save loads of the gate, which come from the L1 cache anyway, and
 * put rows of 1024 channels into the same cache sets. */
SN_INLINE void scale_rows(const scale_job *j, scale_form form, bool adds, sn_activation activation)
{
    vf gate[SPAN_VECTORS] = {{0}}, shift[SPAN_VECTORS] = {{0}};
    bool per_element = form == SCALE_ELEMENTS;
    int64_t pixel = 0;
    if (SPAN_VECTORS == 2 && j->channels == VF) { /* a span is two pixels */
        if (!per_element) vf_load_twins(j->gate_row, gate);
        if (form == SCALE_SHIFTED) vf_load_twins(j->shift_row, shift);
        for (; pixel + 2 <= j->pixels; pixel += 2) scale_span(j, pixel * VF, gate, shift, form, adds, activation);
    }
    for (; pixel < j->pixels; pixel++) {
        int64_t c = 0;
        for (; c + SPAN <= j->channels; c += SPAN) {
            if (!per_element) vf_load_span(j->gate_row + c, gate);
            if (form == SCALE_SHIFTED) vf_load_span(j->shift_row + c, shift);
            scale_span(j, pixel * j->channels + c, gate, shift, form, adds, activation);
        }
        for (; c < j->channels; c += VF) {
            int64_t at = pixel * j->channels + c, lanes = j->channels - c;
            vf v = vs_load_n(j->x + at, lanes) * (per_element ? vs_load_n(j->gate + at, lanes) : vf_load_n(j->gate_row + c, lanes));
            if (form == SCALE_SHIFTED) v += vf_load_n(j->shift_row + c, lanes);
            if (adds) v += vs_load_n(j->residual + at, lanes);
            vs_store_n(j->y + at, vf_activate(v, activation), lanes);
        }
    }
}

SN_INLINE void scale_and_activate(const scale_job *given, scale_form form, bool adds, sn_activation activation)
{
    const scale_job j = *given; /* that stores to y do not change */
    switch (activation) {
    case SN_IDENTITY: scale_rows(&j, form, adds, SN_IDENTITY); break;
    case SN_RELU: scale_rows(&j, form, adds, SN_RELU); break;
    case SN_RELU6: scale_rows(&j, form, adds, SN_RELU6); break;
    case SN_SIGMOID: scale_rows(&j, form, adds, SN_SIGMOID); break;
    case SN_TANH: scale_rows(&j, form, adds, SN_TANH); break;
    }
}

static void scale_job_rows(const scale_job *job, sn_activation activation)
{
    if (job->gate && job->residual)
        scale_and_activate(job, SCALE_ELEMENTS, true, activation);
    else if (job->gate)
        scale_and_activate(job, SCALE_ELEMENTS, false, activation);
    else if (job->shift_row && job->residual)
        scale_and_activate(job, SCALE_SHIFTED, true, activation);
    else if (job->shift_row)
        scale_and_activate(job, SCALE_SHIFTED, false, activation);
    else if (job->residual)
        scale_and_activate(job, SCALE_ROW, true, activation);
    else
        scale_and_activate(job, SCALE_ROW, false, activation);
}

/* x s for x = (x scale + shift) is x (scale s) + shift s: a worker's two rows for an image. */
static void normalize_rows(const se_run *run, int worker, scale_job *job)
{
    const float *scale = run->affine, *shift = scale + run->channels, *gate = job->gate_row;
    job->gate_row = scale;
    job->shift_row = shift;
    if (!gate) return;
    float *scales = (float *)run->call->scratch + 2 * worker * padded_channels(run->channels), *shifts = scales + padded_channels(run->channels);
    for (int64_t c = 0; c < run->channels; c++) {
        scales[c] = scale[c] * gate[c];
        shifts[c] = shift[c] * gate[c];
    }
    job->gate_row = scales;
    job->shift_row = shifts;
}

/* Pieces go from the last to the first (sn_parallel_for_backwards): what the convolution before wrote last is still in the L2
 * cache, and what is written here last is what the next one reads first. */
static void scale_add_task(void *context, int64_t index, int worker)
{
    const se_run *run = context;
    const sn_node *node = run->call->node;
    sn_activation activation = node->attrs.u.activation.kind;
    int64_t image, at;
    pixel_rows rows = piece_of(run, index, &image, &at);
    scale_job job = {.x = rows.in[0], .y = run->out + at, .pixels = rows.pixels, .channels = run->channels};
    if (run->gate) job.gate = run->gate + at;
    if (run->vector) job.gate_row = run->vector + image * run->channels;
    if (run->affine) normalize_rows(run, worker, &job);
    if (run->other) job.residual = run->other + at;
    if (!run->norms.rows) {
        scale_job_rows(&job, activation);
        return;
    }
    int64_t block = at / run->channels / run->pixels * run->pieces + at / run->channels % run->pixels / run->pixels_each;
    norm_start(&run->norms, block, 0, run->channels);
    for (int64_t left = rows.pixels; left > 0; left -= job.pixels) { /* what was written is still in the L1 cache */
        job.pixels = sn_min64(left, pixels_in(BLOCK_FLOATS, run->channels));
        scale_job_rows(&job, activation);
        norm_add(&run->norms, block, 0, run->channels, job.y, run->channels, job.pixels);
        int64_t step = job.pixels * run->channels;
        job.x += step;
        job.y += step;
        if (job.gate) job.gate += step;
        if (job.residual) job.residual += step;
    }
}

/* Before the sums of batch norm. */
static size_t affine_bytes(const sn_kernel_call *call)
{
    bool normalizes = call->node->inputs_count > 3 && call->input_nodes[3];
    size_t bytes = 2 * (size_t)padded_channels(call->node->shape.c) * sizeof(float) * (size_t)call->threads;
    return normalizes ? sn_align(bytes, SN_ALIGNMENT) : 0;
}

static size_t scale_add_scratch_bytes(const sn_kernel_call *call)
{
    se_run run = run_of(call, call->node->shape);
    return affine_bytes(call) + norm_bytes(call, call->node->shape.n * run.pieces);
}

static const char *stats_refusal(const sn_kernel_call *call)
{
    return call->node->dtype == SN_STORED ? NULL : "the output is stored otherwise";
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
    stored *dx = run->out + at;
    const float *share = run->share ? run->share + image * run->channels : NULL;
    rows.constant[0] = 1.0f / (float)run->pixels;
    if (run->gate) {
        rows.in[1] = run->gate + at;
        rows.coefficient[0] = share;
        if (share)
            pixel_map(&rows, dx, 2, 1, body_product_share);
        else
            pixel_map(&rows, dx, 2, 0, body_product);
    } else {
        rows.coefficient[0] = run->vector + image * run->channels;
        rows.coefficient[1] = share;
        if (share)
            pixel_map(&rows, dx, 1, 2, body_scale_share);
        else
            pixel_map(&rows, dx, 1, 1, body_scale);
    }
}

static se_run scale_run_of(const sn_kernel_call *call)
{
    se_run run = run_of(call, call->node->shape);
    if (!call->input_nodes[1]) return run;
    if (is_vector(call->input_nodes[1]->shape))
        run.vector = call->inputs[1];
    else
        run.gate = call->inputs[1];
    return run;
}

static void run_scale_add(const sn_kernel_call *call)
{
    se_run run = scale_run_of(call);
    run.other = call_stored(call, 2);
    run.affine = call_input(call, 3);
    run.norms = norm_begin(call, (float *)(void *)((char *)call->scratch + affine_bytes(call)), call->node->shape.n * run.pieces);
    sn_parallel_for_backwards(threads_for(call, call->node->shape), call->node->shape.n * run.pieces, scale_add_task, &run);
    norm_finish(call, &run.norms);
}

static void run_scale_grad_input(const sn_kernel_call *call)
{
    se_run run = scale_run_of(call);
    run.share = call_input(call, 2);
    sn_parallel_for(threads_for(call, call->node->shape), call->node->shape.n * run.pieces, scale_grad_input_task, &run);
}

#define DEFINE_KERNEL(base, scratch, gathers)                                                                        \
    const sn_kernel SN_KERNEL_SYMBOL(base) = {.name = SN_KERNEL_NAME(base), .op = SN_OP_##base, .storage = SN_STORED, \
                                              .refuse = refuse, .scratch_bytes = scratch, .run = run_##base,         \
                                              .stats_refusal = gathers}

DEFINE_KERNEL(squeeze_avg, sum_scratch_bytes, NULL);
DEFINE_KERNEL(squeeze_avg_grad, NULL, NULL);
DEFINE_KERNEL(scale_add, scale_add_scratch_bytes, stats_refusal);
DEFINE_KERNEL(scale_grad_input, NULL, NULL);
DEFINE_KERNEL(scale_grad_gate, sum_scratch_bytes, NULL);
