/* conv_strassen.c - dense 1x1 convolution with stride 1, forward and backward-data, by one level of Strassen's multiplication:
 * 7 products of half the size in each direction instead of 8, an eighth fewer multiply-adds.
 *
 * In Winograd's form, with the quarters of A (pixels x input channels), B (input x output channels) and C (the output):
 *
 *     S1 = A21 + A22    T1 = B12 - B11    P1 = A11 B11    P5 = S1 T1    U2  = P1 + P6    C11 = P1 + P2
 *     S2 = S1 - A11     T2 = B22 - T1     P2 = A12 B21    P6 = S2 T2    U3  = U2 + P7    C12 = U4 + P3
 *     S3 = A11 - A21    T3 = B22 - B12    P3 = S4 B22     P7 = S3 T3    U4  = U2 + P5    C21 = U3 + P4
 *     S4 = A12 - S2     T4 = B21 - T2     P4 = A22 T4                                    C22 = U3 + U4 - U2
 *
 * The quarters of the output hold what is summed: a tile of a product adds one of them to its sums in registers and is stored to
 * another, and the last one of a quarter adds the residual, activates and sums the squeeze there as well (the table below).  What
 * is left to do beside the products is S and C22.
 *
 * conv_strassen_plan.h has the halves and the cut of the work, conv_tiles.h the products' inner loops.  T and the bare quarters
 * of B are packed; a task takes a block of pixels and some panels of output channels:
 *
 *     S of the block                       4 of 7 left factors; the others are read where they are
 *     for each panel, product and pass     the panel's weights in the L2 cache, fetched while those before are multiplied,
 *         for each tile of pairs           what it adds in the L2 cache, fetched while it multiplies
 *
 * Memory: the input is read once per split (normally once), weights take 7/4 of their bytes, the output is written once.
 * After Strassen, Gaussian elimination is not optimal, 1969, and Winograd, On multiplication of 2x2 matrices, 1971.
 */
#include "cpu/kernels/activate.h"
#include "cpu/kernels/conv_strassen_plan.h"
#include "cpu/kernels/conv_tiles.h"
#include "cpu/kernels/norm_sums.h"
#include "cpu/kernels/squeeze_sums.h"
#include "cpu/kernels/transpose.h"

/* ---- scratch memory: the workers' S, staged outputs and what block each has, then the sums of the squeeze and of batch norm ---- */

static size_t workers_bytes(const strassen_plan *p, int threads)
{
    size_t worker = (size_t)p->worker_floats * sizeof(float) + sizeof(int64_t);
    return sn_align(worker * (size_t)threads, SN_ALIGNMENT);
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    strassen_plan plan = strassen_plan_of(call);
    return workers_bytes(&plan, call->threads) + squeeze_bytes(call, plan.blocks) + norm_bytes(call, plan.images * plan.blocks);
}

static bool squeezes(const sn_kernel_call *call) { return clamp_is(call->node->attrs.u.conv.activation); }
static const char *stats_refusal(const sn_kernel_call *call)
{
    return call->node->dtype == SN_STORED ? NULL : "the output is stored otherwise";
}

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

/* The right factors of one vector of outputs in the order of the products (below), `stride` apart. */
SN_INLINE void store_factors(float *to, int64_t stride, vf b11, vf b12, vf b21, vf b22)
{
    vf t1 = b12 - b11, t2 = b22 - t1;
    vf factors[STRASSEN_PRODUCTS] = {b11, t2, b21, b22 - b12, t1, b22, b21 - t2};
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
    const float *in, *packed, *bias, *residual, *scale; /* scale: a row an image, or NULL */
    float *out, *scratch;
    int64_t *held; /* by worker: the block whose S it has, or -1 */
    sn_activation activation;
    squeeze_sums squeeze;
    norm_sums norms;
} strassen_run;

/* Pairs of one image in a worker's memory. */
typedef struct strassen_block {
    int64_t pairs, seconds;        /* pairs, and how many of them have a second pixel, which is so many pixels behind the first */
    int64_t pixel;                 /* the first, in the batch */
    int64_t image, index;          /* index within the image */
    float *sums, *staged;
} strassen_block;

static strassen_block block_at(const strassen_run *run, int64_t index, int worker)
{
    const strassen_plan *p = &run->plan;
    strassen_block b = {.image = index / p->blocks, .index = index % p->blocks};
    int64_t first = b.index * 2 * p->block_pairs, pixels = sn_min64(2 * p->block_pairs, p->pixels - first);
    b.pairs = sn_ceil_div(pixels, 2);
    b.seconds = pixels - b.pairs;
    b.pixel = b.image * p->pixels + first;
    b.sums = run->scratch + worker * p->worker_floats;
    b.staged = b.sums + STRASSEN_SUMS * p->sum_floats;
    return b;
}

/* S1 to S4 of a pair; the second pixel may be NULL. */
SN_INLINE void sum_pair(const strassen_plan *p, const float *one, const float *two, float *to)
{
    for (int64_t k = 0; k < p->half_in; k += VF) {
        int64_t lanes = p->half_in - k;
        vf a11 = vf_load_n(one + k, lanes), a12 = vf_load_n(one + k + p->half_in, lanes), a21 = {0}, a22 = {0};
        if (two) a21 = vf_load_n(two + k, lanes);
        if (two) a22 = vf_load_n(two + k + p->half_in, lanes);
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
    const float *one = run->in + b->pixel * p->in_c, *two = one + b->pairs * p->in_c;
    for (int64_t i = 0; i < b->seconds; i++) sum_pair(p, one + i * p->in_c, two + i * p->in_c, b->sums + i * p->sum_stride);
    if (b->seconds < b->pairs) sum_pair(p, one + b->seconds * p->in_c, NULL, b->sums + b->seconds * p->sum_stride);
}

/* ---- outputs ---- */

/* A panel of a block. */
typedef struct strassen_target {
    const strassen_run *run;
    const strassen_block *block;
    strassen_panel panel;
    int64_t lanes;   /* output channels from the panel's first on; those of the second half begin at half_out */
    float *squeeze;  /* NULL, or the block's sums from the panel's first channel on */
    float bias[PANEL], other_bias[PANEL]; /* of the first half; what the second half's has more */
    const float *next[2]; /* the pixels of the next block that are still to be fetched, first and second ones */
    int64_t next_floats[2];
} strassen_target;

/* Some pairs of it: where the quarters of their outputs are while they are summed.  Staged: not in the output, as second pixels or
 * channels are missing. */
typedef struct strassen_place {
    int64_t row, rows;
    bool staged;
    float *quarter[4];
    ptrdiff_t pixel; /* floats from a pair to the next */
} strassen_place;

enum { C11, C12, C21, C22 };

static int64_t first_output(const strassen_target *t, int64_t row)
{
    return (t->block->pixel + row) * t->run->plan.out_c + t->panel.out;
}

/* The scale of the panel's channels in the half of the outputs that begins at `half`, or NULL. */
static const float *scale_at(const strassen_target *t, int64_t half)
{
    const strassen_run *run = t->run;
    return run->scale ? run->scale + t->block->image * run->plan.out_c + half + t->panel.out : NULL;
}

static int64_t quarter_offset(const strassen_target *t, int quarter)
{
    const strassen_plan *p = &t->run->plan;
    return quarter / 2 * t->block->pairs * p->out_c + quarter % 2 * p->half_out;
}

static strassen_place place_of(const strassen_target *t, int64_t row, int64_t rows)
{
    const strassen_plan *p = &t->run->plan;
    strassen_place place = {.row = row, .rows = rows};
    place.staged = t->lanes < p->half_out + t->panel.width || row + rows > t->block->seconds;
    place.pixel = place.staged ? t->panel.width : p->out_c;
    for (int q = 0; q < 4; q++)
        place.quarter[q] = place.staged ? t->block->staged + (q * p->block_pairs + row) * t->panel.width
                                        : t->run->out + first_output(t, row) + quarter_offset(t, q);
    return place;
}

/* What tiles can apply; the rest follows in activate(). */
static sn_activation clamp_of_run(const strassen_run *run) { return clamp_is(run->activation) ? run->activation : SN_IDENTITY; }

SN_INLINE vf finish(vf value, const float *scale, const float *residual, int64_t lanes, sn_activation activation)
{
    if (scale) value *= vf_load_n(scale, lanes);
    if (residual) value += vf_load_n(residual, lanes);
    if (activation != SN_IDENTITY) value = vf_at_least(value, (vf){0});
    if (activation == SN_RELU6) value = vf_at_most(value, vf_all(6));
    return value;
}

static inline void add_to_squeeze(float *squeeze, vf sum)
{
    vf_store(squeeze, vf_load(squeeze) + sum);
}

/* C22 = U3 + U4 - U2, which lie in C21, C12 and C22. */
static SN_NOINLINE void finish_last_quarter(const strassen_target *t, const strassen_place *place)
{
    const strassen_run *run = t->run;
    int64_t offset = quarter_offset(t, C22), pixel = place->pixel;
    const float *residual = run->residual && !place->staged ? run->residual + first_output(t, place->row) + offset : NULL;
    const float *scale = place->staged ? NULL : scale_at(t, run->plan.half_out);
    sn_activation activation = place->staged ? SN_IDENTITY : clamp_of_run(run);
    for (int64_t c = 0; c < t->panel.width; c += VF) {
        const float *u3 = place->quarter[C21] + c, *u4 = place->quarter[C12] + c;
        float *y = place->quarter[C22] + c;
        vf sum = {0};
        for (int64_t i = 0; i < place->rows; i++) {
            vf value = vf_load(u3 + i * pixel) + (vf_load(u4 + i * pixel) - vf_load(y + i * pixel));
            value = finish(value, scale ? scale + c : NULL, residual ? residual + i * pixel + c : NULL, VF, activation);
            vf_store(y + i * pixel, value);
            sum += value;
        }
        if (t->squeeze && !place->staged) add_to_squeeze(t->squeeze + run->plan.half_out + c, sum);
    }
}

/* Staged outputs to their places, as far as those exist. */
static void unstage(const strassen_target *t, const strassen_place *place)
{
    const strassen_run *run = t->run;
    const strassen_plan *p = &run->plan;
    sn_activation activation = clamp_of_run(run);
    for (int q = 0; q < 4; q++) {
        int64_t rows = sn_min64(place->rows, q < C21 ? place->rows : t->block->seconds - place->row);
        int64_t first = first_output(t, place->row) + quarter_offset(t, q), channel = q % 2 * p->half_out;
        const float *scale = scale_at(t, channel);
        for (int64_t c = 0; c < sn_min64(t->panel.width, t->lanes - channel); c += VF) {
            int64_t lanes = sn_min64(VF, t->lanes - channel - c);
            vf sum = {0};
            for (int64_t i = 0; i < rows; i++) {
                int64_t at = first + i * p->out_c + c;
                vf value = vf_load(place->quarter[q] + i * place->pixel + c);
                value = finish(value, scale ? scale + c : NULL, run->residual ? run->residual + at : NULL, lanes, activation);
                vf_store_n(run->out + at, value, lanes);
                sum += value;
            }
            if (t->squeeze) add_to_squeeze(t->squeeze + channel + c, sum);
        }
    }
}

/* The activations that are no single instruction, on what is written. */
static void activate(const strassen_target *t)
{
    const strassen_plan *p = &t->run->plan;
    for (int q = 0; q < 4; q++) {
        int64_t rows = q < C21 ? t->block->pairs : t->block->seconds;
        int64_t lanes = sn_min64(t->panel.width, t->lanes - q % 2 * p->half_out);
        float *first = t->run->out + first_output(t, 0) + quarter_offset(t, q);
        for (int64_t i = 0; i < rows && lanes > 0; i++) sn_activate_row(first + i * p->out_c, lanes, t->run->activation);
    }
}

/* Batch norm's sums of what is written: the panel's quarters, while they are in the L2 cache. */
static void add_to_norms(const strassen_target *t)
{
    const strassen_run *run = t->run;
    const strassen_plan *p = &run->plan;
    int64_t block = t->block->image * p->blocks + t->block->index;
    for (int half = 0; half < 2; half++) {
        int64_t lanes = sn_min64(t->panel.width, t->lanes - half * p->half_out), channel = t->panel.out + half * p->half_out;
        const float *first = run->out + first_output(t, 0);
        norm_start(&run->norms, block, channel, lanes);
        norm_add(&run->norms, block, channel, lanes, first + quarter_offset(t, half), p->out_c, t->block->pairs);
        norm_add(&run->norms, block, channel, lanes, first + quarter_offset(t, C21 + half), p->out_c, t->block->seconds);
    }
}

/* What finish_last_quarter reads and the product before it does not. */
static void fetch_quarter(const float *from, ptrdiff_t pixel, int64_t rows, int64_t width)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < width; c += LINE_FLOATS) __builtin_prefetch(from + i * pixel + c);
}

/* ---- products ---- */

typedef enum strassen_left { S1, S2, S3, S4, A11, A12, A22 } strassen_left;

/* quarter = addend + product, with the bias where that is one; or, where the addend is the quarter itself, its last value. */
static const struct strassen_product {
    strassen_left left;
    int quarter, addend; /* addend: -1 for none */
} products[STRASSEN_PRODUCTS] = {
    {A11, C11, -1},  /* P1 */
    {S2, C22, C11},  /* U2 = P1 + P6 */
    {A12, C11, C11}, /* P1 + P2 */
    {S3, C21, C22},  /* U3 = U2 + P7 */
    {S1, C12, C22},  /* U4 = U2 + P5, and then C22 */
    {S4, C12, C12},  /* U4 + P3 */
    {A22, C21, C21}, /* U3 + P4 */
};
enum { PRODUCT_U4 = 4 };

/* The first row of a left factor and the floats from a row to the next. */
static const float *left_factor(const strassen_target *t, strassen_left left, ptrdiff_t *stride)
{
    const strassen_plan *p = &t->run->plan;
    *stride = left <= S4 ? p->sum_stride : p->in_c;
    if (left <= S4) return t->block->sums + left * p->sum_floats;
    return t->run->in + t->block->pixel * p->in_c + (left == A22 ? t->block->pairs * p->in_c : 0) + (left == A11 ? 0 : p->half_in);
}

/* What is added to a product's first pass, and what follows its last. */
static void set_ends(const strassen_target *t, const strassen_place *place, int index, bool first, bool last, conv_tile *tile)
{
    static const float zeros[PANEL];
    const struct strassen_product *product = &products[index];
    const strassen_run *run = t->run;
    int q = product->quarter;
    bool ends = product->addend == q;
    tile->y = place->quarter[q];
    tile->y_pixel = place->pixel;
    tile->residual = NULL;
    tile->bias = NULL;
    if (first && !ends) {
        tile->bias = q == C11 ? t->bias : q == C12 ? t->other_bias : zeros;
        if (product->addend >= 0) tile->residual = place->quarter[product->addend];
    }
    bool finishes = ends && last && !place->staged;
    tile->scale = finishes ? scale_at(t, q % 2 * run->plan.half_out) : NULL;
    if (finishes && run->residual) tile->residual = run->residual + first_output(t, place->row) + quarter_offset(t, q);
    tile->activation = finishes ? clamp_of_run(run) : SN_IDENTITY;
    tile->squeeze = finishes && t->squeeze ? t->squeeze + q % 2 * run->plan.half_out : NULL;
}

/* A tile fetches a cache line a step: the weights that follow `w`, then, with the last panel, the next block's pixels. */
static const float *fetched_by_tile(strassen_target *t, int64_t tile, int64_t parts, const float *w, int64_t steps)
{
    if (tile < parts) return w + steps * (t->panel.width + tile * LINE_FLOATS);
    for (int half = 0; half < 2; half++) {
        if (t->next_floats[half] <= 0) continue;
        const float *next = t->next[half];
        t->next[half] += steps * LINE_FLOATS;
        t->next_floats[half] -= steps * LINE_FLOATS;
        return next;
    }
    return w; /* nothing new */
}

/* One pass of one product of a panel; `w` are its weights, and `more` tells whether weights of the task follow. */
static void multiply_pass(strassen_target *t, int index, int64_t offset, const float *w, bool more)
{
    static const ptrdiff_t start = 0;
    const strassen_plan *p = &t->run->plan;
    const strassen_block *b = t->block;
    int64_t width = t->panel.width;
    conv_tile tile = {.x_offset = &start, .segments = 1, .length = sn_min64(p->chunk_length, p->half_in - offset), .w = w};
    bool last = offset + tile.length == p->half_in;
    tile.x = left_factor(t, products[index].left, &tile.x_pixel);
    int64_t parts = more ? sn_ceil_div(width, LINE_FLOATS) : 0;
    int64_t most = tile_rows[width / VF - 1];
    int64_t tiles = sn_ceil_div(b->pairs, most), size = b->pairs / tiles, larger = b->pairs % tiles;
    for (int64_t i = 0, row = 0; i < tiles; i++) {
        strassen_place place = place_of(t, row, size + (i < larger));
        int64_t rows = products[index].left == A22 ? sn_min64(place.rows, b->seconds - row) : place.rows;
        set_ends(t, &place, index, offset == 0, last, &tile);
        tile.at = row * tile.x_pixel + offset;
        tile.ahead = fetched_by_tile(t, i, parts, w, tile.length);
        if (last && index == PRODUCT_U4) fetch_quarter(place.quarter[C21], place.pixel, place.rows, width);
        if (rows > 0) conv_tiles[width / VF - 1][rows - 1](&tile);
        if (last && index == PRODUCT_U4) finish_last_quarter(t, &place);
        if (last && index == STRASSEN_PRODUCTS - 1 && place.staged) unstage(t, &place);
        row += place.rows;
    }
}

static void start_panel(strassen_target *t, int64_t index)
{
    const strassen_run *run = t->run;
    const strassen_plan *p = &run->plan;
    t->panel = panel_at(p, index);
    t->lanes = p->out_c - t->panel.out;
    float *squeeze = squeeze_row(&run->squeeze, t->block->image, t->block->index);
    t->squeeze = squeeze ? squeeze + t->panel.out : NULL;
    for (int64_t c = 0; c < t->panel.width; c += VF) {
        vf one = {0}, two = {0};
        if (run->bias) one = load_lanes(run->bias + t->panel.out + c, t->lanes - c);
        if (run->bias) two = load_lanes(run->bias + t->panel.out + p->half_out + c, t->lanes - p->half_out - c);
        vf_store(t->bias + c, one);
        vf_store(t->other_bias + c, two - one);
        if (t->squeeze && t->lanes > c) vf_store(t->squeeze + c, (vf){0});
        if (t->squeeze && t->lanes > p->half_out + c) vf_store(t->squeeze + p->half_out + c, (vf){0});
    }
}

/* The next task's pixels: its worker is usually this one. */
static void look_ahead(strassen_target *t, int64_t index)
{
    const strassen_run *run = t->run;
    const strassen_plan *p = &run->plan;
    if (index < 0 || index >= p->images * p->blocks) return;
    strassen_block next = block_at(run, index, 0);
    t->next[0] = run->in + next.pixel * p->in_c;
    t->next[1] = t->next[0] + next.pairs * p->in_c;
    t->next_floats[0] = next.pairs * p->in_c;
    t->next_floats[1] = next.seconds * p->in_c;
}

static void compute_task(void *context, int64_t index, int worker)
{
    const strassen_run *run = context;
    const strassen_plan *p = &run->plan;
    int64_t blocks = p->images * p->blocks, split = index / blocks, block = index % blocks;
    if (split % 2) block = blocks - 1 - block; /* to and fro: a worker goes on with the block that it has */
    strassen_block b = block_at(run, block, worker);
    if (run->held[worker] != block) sum_block(run, &b);
    run->held[worker] = block;
    int64_t last = sn_min64(p->panels, (split + 1) * p->split_panels);
    strassen_target target = {.run = run, .block = &b};
    for (int64_t k = split * p->split_panels; k < last; k++) {
        start_panel(&target, k);
        if (k + 1 == last) look_ahead(&target, split % 2 ? block - 1 : block + 1);
        const float *w = run->packed + target.panel.packed;
        for (int product = 0; product < STRASSEN_PRODUCTS; product++)
            for (int64_t offset = 0; offset < p->half_in; offset += p->chunk_length) {
                bool more = k + 1 < last || product + 1 < STRASSEN_PRODUCTS || offset + p->chunk_length < p->half_in;
                multiply_pass(&target, product, offset, w + (product * p->half_in + offset) * target.panel.width, more);
            }
        if (!clamp_is(run->activation)) activate(&target);
        if (run->norms.rows) add_to_norms(&target);
    }
}

static void run(const sn_kernel_call *call)
{
    strassen_run run = {.plan = strassen_plan_of(call), .in = call->inputs[0], .packed = call->packed, .out = call->output,
                        .scratch = call->scratch};
    const strassen_plan *p = &run.plan;
    run.held = (int64_t *)(run.scratch + p->worker_floats * call->threads);
    for (int worker = 0; worker < call->threads; worker++) run.held[worker] = -1;
    run.residual = call_input(call, 3);
    if (call->node->op == SN_OP_conv2d) {
        run.bias = call_input(call, 2);
        run.scale = call_input(call, 5);
        run.activation = call->node->attrs.u.conv.activation;
    }
    char *sums = (char *)call->scratch + workers_bytes(p, call->threads);
    run.squeeze = squeeze_begin(call, (float *)sums, p->blocks);
    run.norms = norm_begin(call, (float *)(sums + squeeze_bytes(call, p->blocks)), p->images * p->blocks);
    int64_t macs = p->images * p->pixels * p->in_c * p->out_c;
    sn_parallel_for(macs < SN_SMALL_MACS ? 1 : call->threads, p->images * p->blocks * p->splits, compute_task, &run);
    squeeze_finish(&run.squeeze);
    norm_finish(call, &run.norms);
}

#define STRASSEN_KERNEL(base, kind, squeezing, gathers)                                                              \
    const sn_kernel SN_KERNEL_SYMBOL(base) = {                                                                       \
        .name = SN_KERNEL_NAME(base),                                                                                \
        .op = kind,                                                                                                  \
        .refuse = strassen_refusal,                                                                                  \
        .scratch_bytes = scratch_bytes,                                                                              \
        .packed_bytes = packed_bytes,                                                                                \
        .pack = pack,                                                                                                \
        .run = run,                                                                                                  \
        .squeezes = squeezing,                                                                                       \
        .takes = SN_TAKES_SCALE,                                                                                     \
        .stats_refusal = gathers,                                                                                    \
    }

STRASSEN_KERNEL(conv2d_strassen, SN_OP_conv2d, squeezes, stats_refusal);
STRASSEN_KERNEL(conv2d_grad_input_strassen, SN_OP_conv2d_grad_input, NULL, NULL);
