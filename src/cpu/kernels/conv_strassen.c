/* conv_strassen.c - dense 1x1 convolution with stride 1, forward and backward-data, by one level of Strassen's multiplication: 7 products
 * of half the size in each direction instead of 8, an eighth fewer multiply-adds.
 *
 * In Winograd's form, with the quarters of A (pixels x input channels), B (input x output channels) and C (the output):
 *
 *     S1 = A21 + A22    T1 = B12 - B11    P1 = A11 B11    P5 = S1 T1    C11 = P1 + P2 + bias..
 *     S2 = S1 - A11     T2 = B22 - T1     P2 = A12 B21    P6 = S2 T2    C12 = P1 + P6 + P5 + P3
 *     S3 = A11 - A21    T3 = B22 - B12    P3 = S4 B22     P7 = S3 T3    C21 = P1 + P6 + P7 - P4
 *     S4 = A12 - S2     T4 = T2 - B21     P4 = A22 T4                   C22 = P1 + P6 + P7 + P5
 *
 * conv_strassen_plan.h has the halves and the cut of the work, conv_tiles.h the products' inner loops.  T and the bare quarters
 * of B are packed; a task takes a block of pixels and some panels of output channels:
 *
 *     S of the block                       4 of 7 factors; the others are read where they are
 *     for each panel, product and pass     the panel's weights in the L2 cache, fetched while those before are multiplied,
 *         for each tile of pairs           the sums in registers, the product in the L2 cache
 *     and then the panel's outputs         seven products become four tiles of outputs, with bias, residual, activation and squeeze
 *
 * Memory: the input is read once per split (normally once), weights take 7/4 of their bytes, the output is written once.
 * After Strassen, Gaussian elimination is not optimal, 1969, and Winograd, On multiplication of 2x2 matrices, 1971.
 */
#include "cpu/kernels/activate.h"
#include "cpu/kernels/conv_strassen_plan.h"
#include "cpu/kernels/conv_tiles.h"
#include "cpu/kernels/squeeze_sums.h"
#include "cpu/kernels/transpose.h"

/* ---- scratch memory: the workers' S and products, the block whose S each of them has, then the sums of the squeeze ---- */

static size_t workers_bytes(const strassen_plan *p, int threads)
{
    size_t worker = (size_t)p->worker_floats * sizeof(float) + sizeof(int64_t);
    return sn_align(worker * (size_t)threads, SN_ALIGNMENT);
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    strassen_plan plan = strassen_plan_of(call);
    return workers_bytes(&plan, call->threads) + squeeze_bytes(call, plan.blocks);
}

static bool squeezes(const sn_kernel_call *call) { return clamp_is(call->node->attrs.u.conv.activation); }

/* ---- weights: [panel][product][half of the input channels][width] ---- */

typedef struct strassen_panel {
    int64_t out;    /* first channel, of the first half of the outputs */
    int width;      /* floats of a packed row */
    int64_t packed; /* where its weights begin */
} strassen_panel;

static strassen_panel panel_at(const strassen_plan *p, int64_t index)
{
    int64_t out = index * PANEL;
    return (strassen_panel){out, (int)sn_min64(PANEL, p->half_out - out), out * STRASSEN_PRODUCTS * p->half_in};
}

static size_t packed_bytes(const sn_kernel_call *call)
{
    strassen_plan plan = strassen_plan_of(call);
    return (size_t)(STRASSEN_PRODUCTS * plan.half_in * plan.half_out) * sizeof(float);
}

typedef struct pack_job {
    strassen_plan plan;
    const float *weight; /* (input, output) channels of the convolution */
    float *packed;
} pack_job;

/* The seven right factors of one vector of outputs, `stride` apart. */
SN_INLINE void store_factors(float *to, int64_t stride, vf b11, vf b12, vf b21, vf b22)
{
    vf t1 = b12 - b11, t2 = b22 - t1;
    vf factors[STRASSEN_PRODUCTS] = {b11, b21, b22, t2 - b21, t1, t2, b22 - b12};
    SN_UNROLL for (int i = 0; i < STRASSEN_PRODUCTS; i++) vf_store(to + i * stride, factors[i]);
}

/* The first `lanes` floats, none where lanes <= 0, and zeros. */
static vf load_lanes(const float *from, int64_t lanes) { return lanes > 0 ? vf_load_n(from, lanes) : (vf){0}; }

static void pack_forward(void *context, int64_t index, int worker)
{
    (void)worker;
    const pack_job *job = context;
    const strassen_plan *p = &job->plan;
    strassen_panel panel = panel_at(p, index);
    for (int64_t k = 0; k < p->half_in; k++) {
        const float *upper = job->weight + k * p->out_c, *lower = upper + p->half_in * p->out_c;
        for (int64_t v = 0; v < panel.width; v += VF) {
            int64_t one = panel.out + v, two = one + p->half_out;
            int64_t lanes_one = p->out_c - one, lanes_two = p->out_c - two;
            store_factors(job->packed + panel.packed + k * panel.width + v, p->half_in * panel.width,
                          load_lanes(upper + one, lanes_one), load_lanes(upper + two, lanes_two),
                          load_lanes(lower + one, lanes_one), load_lanes(lower + two, lanes_two));
        }
    }
}

/* A square of the weights from row `out` and column `in` on, transposed: by input channel. */
static void load_square(const pack_job *job, int64_t out, int64_t in, int64_t ins, vf square[VF])
{
    const strassen_plan *p = &job->plan;
    for (int64_t i = 0; i < VF; i++)
        square[i] = out + i < p->out_c ? vf_load_n(job->weight + (out + i) * p->in_c + in, ins) : (vf){0};
    vf_transpose(square);
}

/* Here "in" are the convolution's output channels (weight columns) and "out" its input channels (weight rows). */
static void pack_backward(void *context, int64_t index, int worker)
{
    (void)worker;
    const pack_job *job = context;
    const strassen_plan *p = &job->plan;
    strassen_panel panel = panel_at(p, index);
    for (int64_t k = 0; k < p->half_in; k += VF)
        for (int64_t v = 0; v < panel.width; v += VF) {
            vf b11[VF], b12[VF], b21[VF], b22[VF];
            int64_t ins = sn_min64(VF, p->half_in - k), one = panel.out + v, two = one + p->half_out;
            load_square(job, one, k, ins, b11);
            load_square(job, two, k, ins, b12);
            load_square(job, one, k + p->half_in, ins, b21);
            load_square(job, two, k + p->half_in, ins, b22);
            for (int64_t i = 0; i < ins; i++)
                store_factors(job->packed + panel.packed + (k + i) * panel.width + v, p->half_in * panel.width, b11[i], b12[i],
                              b21[i], b22[i]);
        }
}

static void pack(const sn_kernel_call *call, void *packed)
{
    pack_job job = {.plan = strassen_plan_of(call), .weight = call->inputs[1], .packed = packed};
    int threads = job.plan.in_c * job.plan.out_c * 4 < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, job.plan.panels, call->node->op == SN_OP_conv2d ? pack_forward : pack_backward, &job);
}

/* ---- a block ---- */

typedef struct strassen_run {
    strassen_plan plan;
    const float *in, *packed, *bias, *residual;
    float *out, *scratch;
    int64_t *held; /* by worker: the block whose S it has, or -1 */
    sn_activation activation;
    squeeze_sums squeeze;
} strassen_run;

/* Pairs of one image in a worker's memory. */
typedef struct strassen_block {
    int64_t pairs, seconds;        /* pairs, and how many of them have a second pixel */
    int64_t pixel;                 /* the first, in the batch */
    int64_t image, index;          /* index within the image */
    float *sums, *products;
} strassen_block;

static strassen_block block_at(const strassen_run *run, int64_t index, int worker)
{
    const strassen_plan *p = &run->plan;
    strassen_block b = {.image = index / p->blocks, .index = index % p->blocks};
    int64_t first = b.index * p->block_pairs;
    b.pairs = sn_min64(p->block_pairs, p->pairs - first);
    b.seconds = sn_min64(b.pairs, p->pixels / 2 - first);
    b.pixel = b.image * p->pixels + 2 * first;
    b.sums = run->scratch + worker * p->worker_floats;
    b.products = b.sums + STRASSEN_SUMS * p->sum_floats;
    return b;
}

/* S1 to S4 of a pair; `second` tells whether there is a second pixel. */
SN_INLINE void sum_pair(const strassen_plan *p, const float *one, bool second, float *to)
{
    const float *two = one + p->in_c;
    for (int64_t k = 0; k < p->half_in; k += VF) {
        int64_t lanes = p->half_in - k;
        vf a11 = vf_load_n(one + k, lanes), a12 = vf_load_n(one + k + p->half_in, lanes), a21 = {0}, a22 = {0};
        if (second) a21 = vf_load_n(two + k, lanes);
        if (second) a22 = vf_load_n(two + k + p->half_in, lanes);
        vf s1 = a21 + a22, s2 = s1 - a11;
        vf_store(to + k, s1);
        vf_store(to + k + p->sum_floats, s2);
        vf_store(to + k + 2 * p->sum_floats, a11 - a21);
        vf_store(to + k + 3 * p->sum_floats, a12 - s2);
    }
}

static SN_NOINLINE void sum_block(const strassen_run *run, const strassen_block *b)
{
    const strassen_plan *p = &run->plan;
    const float *in = run->in + b->pixel * p->in_c;
    for (int64_t i = 0; i < b->seconds; i++) sum_pair(p, in + 2 * i * p->in_c, true, b->sums + i * p->sum_stride);
    if (b->seconds < b->pairs) sum_pair(p, in + 2 * b->seconds * p->in_c, false, b->sums + b->seconds * p->sum_stride);
}

/* ---- outputs ---- */

/* Rows of the products of one panel that become outputs. */
typedef struct strassen_outputs {
    const float *products;  /* P1 of the first pair */
    int64_t product_floats; /* to the next product */
    int64_t width, half_out, out_c;
    int64_t rows, seconds;  /* pairs, and how many of them have a second pixel */
    const float *bias;      /* of the panel, NULL: none */
    const float *residual;  /* like out, or NULL */
    float *out;             /* the first pixel, the panel's first channel */
    float *squeeze;         /* NULL, or sums over pixels: what is stored is added to them */
    int64_t lanes;          /* channels from the panel's first on */
    sn_activation activation;
} strassen_outputs;

SN_INLINE vf finish(const strassen_outputs *o, vf value, int64_t at, int64_t lanes)
{
    if (o->residual) value += vf_load_n(o->residual + at, lanes);
    if (o->activation != SN_IDENTITY) value = vf_at_least(value, (vf){0});
    if (o->activation == SN_RELU6) value = vf_at_most(value, vf_all(6));
    vf_store_n(o->out + at, value, lanes);
    return value;
}

/* One vector of channels of each half: `one` and `two` of their lanes exist. */
SN_INLINE void combine_vector(const strassen_outputs *o, int64_t channel, int64_t one, int64_t two)
{
    vf bias_one = {0}, bias_two = {0}, sum_one = {0}, sum_two = {0};
    if (o->bias) bias_one = vf_load_n(o->bias + channel, one);
    if (o->bias && two > 0) bias_two = vf_load_n(o->bias + channel + o->half_out, two);
    for (int64_t i = 0; i < o->rows; i++) {
        vf product[STRASSEN_PRODUCTS];
        const float *from = o->products + i * o->width + channel;
        SN_UNROLL for (int k = 0; k < STRASSEN_PRODUCTS; k++) product[k] = vf_load(from + k * o->product_floats);
        vf u2 = product[0] + product[5], u3 = u2 + product[6], u4 = u2 + product[4];
        int64_t at = 2 * i * o->out_c + channel;
        sum_one += finish(o, product[0] + product[1] + bias_one, at, one);
        if (two > 0) sum_two += finish(o, u4 + product[2] + bias_two, at + o->half_out, two);
        if (i >= o->seconds) continue;
        at += o->out_c;
        sum_one += finish(o, u3 - product[3] + bias_one, at, one);
        if (two > 0) sum_two += finish(o, u3 + product[4] + bias_two, at + o->half_out, two);
    }
    if (!o->squeeze) return;
    vf_store(o->squeeze + channel, vf_load(o->squeeze + channel) + sum_one);
    float *squeeze_two = o->squeeze + channel + o->half_out;
    if (two > 0) vf_store(squeeze_two, vf_load(squeeze_two) + sum_two);
}

static SN_NOINLINE void combine(const strassen_outputs *o)
{
    for (int64_t c = 0; c < o->width; c += VF) {
        int64_t one = sn_min64(VF, o->lanes - c), two = sn_min64(VF, o->lanes - o->half_out - c);
        if (two == VF)
            combine_vector(o, c, VF, VF);
        else
            combine_vector(o, c, one, two);
    }
}

/* The activations that are no single instruction, on what combine has written. */
static void activate(const strassen_outputs *o, sn_activation activation)
{
    for (int64_t pixel = 0; pixel < o->rows + o->seconds; pixel++) {
        float *row = o->out + pixel * o->out_c;
        sn_activate_row(row, sn_min64(o->width, o->lanes), activation);
        if (o->lanes > o->half_out) sn_activate_row(row + o->half_out, sn_min64(o->width, o->lanes - o->half_out), activation);
    }
}

enum { COMBINED_PAIRS = 7 }; /* at a time: their products of 64 channels lie in the L1 cache */

static void write_panel(const strassen_run *run, const strassen_block *b, const strassen_panel *panel)
{
    const strassen_plan *p = &run->plan;
    bool clamps = clamp_is(run->activation);
    float *squeeze = squeeze_row(&run->squeeze, b->image, b->index);
    strassen_outputs o = {.product_floats = p->product_floats, .width = panel->width, .half_out = p->half_out, .out_c = p->out_c,
                          .bias = run->bias ? run->bias + panel->out : NULL, .squeeze = squeeze ? squeeze + panel->out : NULL,
                          .lanes = p->out_c - panel->out, .activation = clamps ? run->activation : SN_IDENTITY};
    for (int64_t c = 0; squeeze && c < panel->width; c += VF) {
        vf_store(o.squeeze + c, (vf){0});
        if (o.lanes > p->half_out + c) vf_store(o.squeeze + c + p->half_out, (vf){0});
    }
    for (int64_t row = 0; row < b->pairs; row += COMBINED_PAIRS) {
        int64_t at = (b->pixel + 2 * row) * p->out_c + panel->out;
        o.products = b->products + row * panel->width;
        o.rows = sn_min64(COMBINED_PAIRS, b->pairs - row);
        o.seconds = sn_min64(COMBINED_PAIRS, b->seconds - row);
        o.out = run->out + at;
        o.residual = run->residual ? run->residual + at : NULL;
        combine(&o);
        if (!clamps) activate(&o, run->activation);
    }
}

/* ---- products ---- */

/* The left factor of product `index`: its first row and the floats from a row to the next. */
static const float *left_factor(const strassen_run *run, const strassen_block *b, int index, ptrdiff_t *stride)
{
    const strassen_plan *p = &run->plan;
    static const int sums[STRASSEN_PRODUCTS] = {-1, -1, 3, -1, 0, 1, 2}; /* which S, or a quarter of A: 11, 12, 22 */
    const float *in = run->in + b->pixel * p->in_c;
    *stride = sums[index] < 0 ? 2 * p->in_c : p->sum_stride;
    if (sums[index] >= 0) return b->sums + sums[index] * p->sum_floats;
    return in + (index == 0 ? 0 : index == 1 ? p->half_in : p->in_c + p->half_in);
}

/* What write_panel needs comes into the cache meanwhile: a share of the lines of pairs [first, last) for each product. */
static void fetch_outputs_of(const strassen_run *run, const strassen_block *b, const strassen_panel *panel, int64_t first, int64_t last,
                             int product)
{
    const strassen_plan *p = &run->plan;
    for (int64_t pair = first + product; pair < last; pair += STRASSEN_PRODUCTS)
        for (int64_t pixel = 2 * pair; pixel < 2 * pair + 2; pixel++) {
            int64_t at = (b->pixel + pixel) * p->out_c + panel->out;
            for (int64_t c = 0; c < panel->width; c += LINE_FLOATS) {
                __builtin_prefetch(run->out + at + c, 1);
                __builtin_prefetch(run->out + at + c + p->half_out, 1);
                if (!run->residual) continue;
                __builtin_prefetch(run->residual + at + c, 0, 2);
                __builtin_prefetch(run->residual + at + c + p->half_out, 0, 2);
            }
        }
}

/* One pass of one product of a panel; `w` are its weights, and `more` tells whether weights of the task follow. */
static void multiply_pass(const strassen_run *run, const strassen_block *b, const strassen_panel *panel, int product, int64_t offset,
                          const float *w, bool more)
{
    static const float zeros[PANEL];
    static const ptrdiff_t start = 0;
    const strassen_plan *p = &run->plan;
    conv_tile tile = {.x_offset = &start, .segments = 1, .length = sn_min64(p->chunk_length, p->half_in - offset), .w = w,
                      .bias = offset == 0 ? zeros : NULL, .y_pixel = panel->width, .activation = SN_IDENTITY};
    tile.x = left_factor(run, b, product, &tile.x_pixel);
    const float *ahead = w + tile.length * panel->width;
    int64_t parts = more ? sn_ceil_div(panel->width, LINE_FLOATS) : 0;
    int64_t most = tile_rows[panel->width / VF - 1];
    int64_t tiles = sn_ceil_div(b->pairs, most), size = b->pairs / tiles, larger = b->pairs % tiles;
    for (int64_t i = 0, row = 0; i < tiles; i++) {
        int64_t rows = size + (i < larger), end = row + rows;
        int64_t taken = product == 3 ? sn_min64(rows, b->seconds - row) : rows; /* P4 is of second pixels */
        if (offset == 0) fetch_outputs_of(run, b, panel, row, end, product);
        tile.at = row * tile.x_pixel + offset;
        tile.y = b->products + product * p->product_floats + row * panel->width;
        tile.ahead = i < parts ? ahead + i * tile.length * LINE_FLOATS : w;
        if (taken > 0) conv_tiles[panel->width / VF - 1][taken - 1](&tile);
        row = end;
    }
}

static void compute_task(void *context, int64_t index, int worker)
{
    const strassen_run *run = context;
    const strassen_plan *p = &run->plan;
    int64_t blocks = p->images * p->blocks, split = index / blocks; /* each worker keeps to a block, if it can */
    strassen_block b = block_at(run, index % blocks, worker);
    if (run->held[worker] != index % blocks) sum_block(run, &b);
    run->held[worker] = index % blocks;
    int64_t last = sn_min64(p->panels, (split + 1) * p->split_panels);
    for (int64_t k = split * p->split_panels; k < last; k++) {
        strassen_panel panel = panel_at(p, k);
        const float *w = run->packed + panel.packed;
        for (int product = 0; product < STRASSEN_PRODUCTS; product++)
            for (int64_t offset = 0; offset < p->half_in; offset += p->chunk_length) {
                bool more = k + 1 < last || product + 1 < STRASSEN_PRODUCTS || offset + p->chunk_length < p->half_in;
                multiply_pass(run, &b, &panel, product, offset, w + (product * p->half_in + offset) * panel.width, more);
            }
        write_panel(run, &b, &panel);
    }
}

static void run(const sn_kernel_call *call)
{
    strassen_run run = {.plan = strassen_plan_of(call), .in = call->inputs[0], .packed = call->packed, .out = call->output,
                        .scratch = call->scratch};
    const strassen_plan *p = &run.plan;
    run.held = (int64_t *)(run.scratch + p->worker_floats * call->threads);
    for (int worker = 0; worker < call->threads; worker++) run.held[worker] = -1;
    if (call->node->op == SN_OP_conv2d) {
        run.bias = call_input(call, 2);
        run.residual = call_input(call, 3);
        run.activation = call->node->attrs.u.conv.activation;
    }
    run.squeeze = squeeze_begin(call, (float *)((char *)call->scratch + workers_bytes(p, call->threads)), p->blocks);
    int64_t macs = p->images * p->pixels * p->in_c * p->out_c;
    sn_parallel_for(macs < SN_SMALL_MACS ? 1 : call->threads, p->images * p->blocks * p->splits, compute_task, &run);
    squeeze_finish(&run.squeeze);
}

#define STRASSEN_KERNEL(base, kind, squeezing)                                                                       \
    const sn_kernel SN_KERNEL_SYMBOL(base) = {                                                                       \
        .name = SN_KERNEL_NAME(base),                                                                                \
        .op = kind,                                                                                                  \
        .refuse = strassen_refusal,                                                                                  \
        .scratch_bytes = scratch_bytes,                                                                              \
        .packed_bytes = packed_bytes,                                                                                \
        .pack = pack,                                                                                                \
        .run = run,                                                                                                  \
        .squeezes = squeezing,                                                                                       \
    }

STRASSEN_KERNEL(conv2d_strassen, SN_OP_conv2d, squeezes);
STRASSEN_KERNEL(conv2d_grad_input_strassen, SN_OP_conv2d_grad_input, NULL);
