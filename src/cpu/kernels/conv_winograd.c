/* conv_winograd.c - 3x3 convolution with stride 1 in Winograd's forms F(4x4, 3x3) and F(2x2, 3x3), forward and backward-data:
 * 36 products for 16 outputs, or 16 for 4, instead of 144 and 36.
 *
 * conv_winograd_forms.h has the transforms, conv_winograd_plan.h the cut of the work and the choice between the forms,
 * conv_winograd_tiles.h the product's inner loops; docs/kernels.md the rounding errors, which
 * tests/kernels/test_vector_winograd.c holds.
 *
 * Each worker has its own V, the transformed input of one block of tiles, so that nothing freshly written passes between cores:
 * [group of rows][point][input channels / VF][row][VF], a product's broadcasts at constant strides.
 * U, packed: [output channels / VF][point][input channel][VF], read as one or two streams.
 * M of one or two vectors of outputs: [point][tile][vectors][VF], consumed at once by the output transform, which adds bias and
 * residual and activates in registers.
 * Memory: the input is read (6/4)^2 = 2.25 or 4 times, mostly from cache, the output is written once.
 * On bf16 maps U, V and M of F(4x4, 3x3) are float, as its transforms would multiply a narrow type's rounding.  F(2x2, 3x3), whose
 * transforms do not, rounds U and V to bf16 where the processor multiplies pairs of them: a pair of input channels then stands where
 * a float does (docs/kernels.md).
 * Backward-data is the same convolution of dy with the weights turned by 180 degrees and transposed, pads 2 - pad.
 */
#include "cpu/kernels/activate.h"
#include "cpu/kernels/conv_winograd_plan.h"
#include "cpu/kernels/norm_sums.h"
#include "cpu/kernels/squeeze_sums.h"
#include "cpu/kernels/transpose.h"

/* Before the sums of batch norm. */
static size_t workers_bytes(const winograd_plan *p, int threads)
{
    return sn_align((size_t)p->worker_floats * (size_t)threads * sizeof(float) + (size_t)threads * sizeof(int64_t), SN_ALIGNMENT);
}

static size_t scratch_bytes(const sn_kernel_call *call, int tile)
{
    winograd_plan p = winograd_plan_of(call, tile);
    return workers_bytes(&p, call->threads) + squeeze_bytes(call, p.tiles_y * p.tiles_x) + norm_bytes(call, p.tile_blocks);
}

static size_t packed_bytes(const sn_kernel_call *call, int tile)
{
    winograd_plan p = winograd_shape(call, tile);
    return winograd_packed_floats(&p) * sizeof(float);
}

/* ---- weights: U = G g G^T ---- */

enum { PACK_CHANNELS = 4 * VF }; /* input channels of a task */

typedef struct pack_job {
    winograd_plan plan;
    const float *weight; /* HWIO of the convolution */
    float *packed;
    int64_t pieces; /* of PACK_CHANNELS */
} pack_job;

static void transform_weights(int tile, const vf g[9], float *u, int64_t stride)
{
    if (tile == 4)
        winograd_weights(4, g, u, stride);
    else
        winograd_weights(2, g, u, stride);
}

/* The weights of VF outputs for input channel c into a panel u; the channels of a pair one after the other. */
static void pack_channel(const winograd_plan *p, const vf g[9], float *u, int64_t c)
{
    if (!p->pairs) {
        transform_weights(p->tile, g, u + c * VF, p->steps * VF);
        return;
    }
    float row[MOST_POINTS * VF];
    transform_weights(p->tile, g, row, VF);
    for (int k = 0; k < p->points; k++) {
        float *to = u + (k * p->steps + c / 2) * VF;
        vu bits = __builtin_convertvector(vf_to_bf16(vf_load(row + k * VF)), vu), pair = bits;
        if (c % 2) pair = bits << 16 | (vu)vf_load(to);
        vf_store(to, (vf)pair);
    }
}

static void pack_forward(void *context, int64_t index, int worker)
{
    (void)worker;
    const pack_job *job = context;
    const winograd_plan *p = &job->plan;
    int64_t panel = index / job->pieces, first = index % job->pieces * PACK_CHANNELS;
    int64_t last = sn_min64(p->in_c, first + PACK_CHANNELS), outs = sn_min64(VF, p->out_c - panel * VF);
    float *u = job->packed + panel * p->points * p->steps * VF;
    for (int64_t c = first; c < last; c++) {
        vf g[9];
        for (int tap = 0; tap < 9; tap++) g[tap] = vf_load_n(job->weight + (tap * p->in_c + c) * p->out_c + panel * VF, outs);
        pack_channel(p, g, u, c);
    }
}

/* Here the panel's outputs are the weights' rows: squares of VF outputs x VF inputs are transposed first. */
static void pack_backward(void *context, int64_t index, int worker)
{
    (void)worker;
    const pack_job *job = context;
    const winograd_plan *p = &job->plan;
    int64_t panel = index / job->pieces, first = index % job->pieces * PACK_CHANNELS;
    int64_t last = sn_min64(p->in_c, first + PACK_CHANNELS), outs = sn_min64(VF, p->out_c - panel * VF);
    float *u = job->packed + panel * p->points * p->steps * VF;
    for (int64_t block = first; block < last; block += VF) {
        vf turned[9][VF]; /* by tap and input channel */
        int64_t ins = sn_min64(VF, last - block);
        for (int tap = 0; tap < 9; tap++) {
            const float *from = job->weight + ((8 - tap) * p->out_c + panel * VF) * p->in_c + block;
            for (int64_t o = 0; o < VF; o++) turned[tap][o] = o < outs ? vf_load_n(from + o * p->in_c, ins) : (vf){0};
            vf_transpose(turned[tap]);
        }
        for (int64_t c = 0; c < ins; c++) {
            vf g[9];
            for (int tap = 0; tap < 9; tap++) g[tap] = turned[tap][c];
            pack_channel(p, g, u, block + c);
        }
    }
}

static void pack(const sn_kernel_call *call, void *packed, int tile)
{
    pack_job job = {.plan = winograd_shape(call, tile), .weight = call->inputs[1], .packed = packed};
    job.pieces = sn_ceil_div(job.plan.in_c, PACK_CHANNELS);
    int threads = winograd_packed_floats(&job.plan) < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, job.plan.panels * job.pieces, call->node->op == SN_OP_conv2d ? pack_forward : pack_backward, &job);
}

/* ---- run ---- */

typedef struct winograd_run {
    winograd_plan plan;
    const stored *in, *residual;
    const float *packed, *bias;
    stored *out;
    float *scratch;
    int64_t *held; /* by worker: the block whose transformed input it has, or -1 */
    sn_activation activation;
    squeeze_sums squeeze; /* a row a tile: how tiles are cut into blocks depends on the batch and the threads */
    norm_sums norms;
} winograd_run;

/* Tile's corner in the output and its image. */
typedef struct tile_place {
    int64_t image, y, x;
} tile_place;

/* A group of rows of a block: the tiles that a product takes at once. */
typedef struct row_group {
    int64_t start, rows;
    float *v;        /* of point 0 */
    int64_t v_point; /* floats from a point of it to the next */
} row_group;

/* A block of tiles in a worker's memory. */
typedef struct winograd_block {
    int64_t index, tiles, groups_count;
    row_group groups[MOST_GROUPS];
    tile_place places[MOST_GROUPS * TALL_ROWS];
    float *v, *m;
    stored *zeros;
} winograd_block;

/* Rows are spread evenly over the groups. */
static void set_block(const winograd_run *run, int64_t index, int worker, winograd_block *b)
{
    const winograd_plan *p = &run->plan;
    int64_t first = index * p->block_tiles, start = 0;
    b->index = index;
    b->v = run->scratch + worker * p->worker_floats;
    b->m = b->v + p->v_floats;
    b->zeros = (stored *)(b->m + p->points * p->m_stride);
    b->tiles = sn_min64(p->block_tiles, p->tiles - first);
    b->groups_count = sn_ceil_div(b->tiles, winograd_group_rows(p, b->tiles));
    float *v = b->v;
    for (int64_t i = 0; i < b->groups_count; i++) {
        int64_t rows = b->tiles / b->groups_count + (i < b->tiles % b->groups_count);
        b->groups[i] = (row_group){start, rows, v, p->blocks * rows * VF + PAGE_FLOATS};
        v += p->points * b->groups[i].v_point;
        start += rows;
    }
    for (int64_t t = 0; t < b->tiles; t++) {
        int64_t tile = first + t;
        b->places[t] = (tile_place){tile / (p->tiles_y * p->tiles_x), tile / p->tiles_x % p->tiles_y * p->tile,
                                    tile % p->tiles_x * p->tile};
    }
}

/* ---- input: V = B^T d B ---- */

/* Two vectors of channels of a 4x4 patch as one of pairs; channels behind the last are zeros. */
SN_INLINE void transform_pairs(const stored *const *pixels, int64_t channel, int64_t lanes, float *v, int64_t point)
{
    enum { POINTS = 16 };
    float rows[2][POINTS * VF];
    if (lanes >= 2 * VF) {
        winograd_input(2, pixels, channel, VF, rows[0], VF);
        winograd_input(2, pixels, channel + VF, VF, rows[1], VF);
    } else {
        winograd_input(2, pixels, channel, sn_min64(VF, lanes), rows[0], VF);
        if (lanes > VF)
            winograd_input(2, pixels, channel + VF, lanes - VF, rows[1], VF);
        else
            memset(rows[1], 0, sizeof rows[1]);
    }
    SN_UNROLL for (int k = 0; k < POINTS; k++) {
        uint16_t *to = (uint16_t *)(void *)(v + k * point);
        vf_store_bf16(to, vf_load(rows[0] + k * VF));
        vf_store_bf16(to + VF, vf_load(rows[1] + k * VF));
    }
}

SN_INLINE void transform_tile(const winograd_run *run, int tile, tile_place at, const stored *zeros, float *v, int64_t rows,
                              int64_t point)
{
    const winograd_plan *p = &run->plan;
    const int patch = tile + 2;
    const stored *pixels[MOST_POINTS];
    int64_t y = at.y - p->pad_top, x = at.x - p->pad_left;
    const stored *line = run->in + (at.image * p->in_h + y) * p->in_w * p->in_c;
    for (int i = 0; i < patch; i++) {
        bool inside = y + i >= 0 && y + i < p->in_h;
        for (int j = 0; j < patch; j++)
            pixels[i * patch + j] = inside && x + j >= 0 && x + j < p->in_w ? line + (i * p->in_w + x + j) * p->in_c : zeros;
    }
    int64_t c = 0;
    if (p->pairs) {
        for (; c < p->in_c; c += 2 * VF) transform_pairs(pixels, c, p->in_c - c, v + c / 2 * rows, point);
        return;
    }
    for (; c + VF <= p->in_c; c += VF) winograd_input(tile, pixels, c, VF, v + c * rows, point);
    if (c < p->in_c) winograd_input(tile, pixels, c, p->in_c - c, v + c * rows, point);
}

static SN_NOINLINE void transform_tile_4(const winograd_run *run, tile_place at, const stored *zeros, float *v, int64_t rows,
                                         int64_t point)
{
    transform_tile(run, 4, at, zeros, v, rows, point);
}

static SN_NOINLINE void transform_tile_2(const winograd_run *run, tile_place at, const stored *zeros, float *v, int64_t rows,
                                         int64_t point)
{
    transform_tile(run, 2, at, zeros, v, rows, point);
}

static void transform_block(const winograd_run *run, const winograd_block *b)
{
    for (const row_group *g = b->groups; g < b->groups + b->groups_count; g++)
        for (int64_t t = 0; t < g->rows; t++)
            (run->plan.tile == 4 ? transform_tile_4 : transform_tile_2)(run, b->places[g->start + t], b->zeros, g->v + t * VF,
                                                                        g->rows, g->v_point);
}

/* ---- output: Y = A^T M A, bias, residual, activation ---- */

/* The activations that are no single instruction. */
static SN_NOINLINE void activate_vector(vf *v, sn_activation activation) { *v = vf_activate(*v, activation); }

/* One vector of channels of a tile; only the part that lies in the map is written.  other: an activation that is neither identity
 * nor ReLU. */
SN_INLINE void write_tile(const winograd_run *run, int tile, tile_place at, int64_t channel, int64_t lanes, const float *m, bool other)
{
    const winograd_plan *p = &run->plan;
    vf half[MOST_TILE][MOST_PATCH];
    winograd_output_columns(tile, m, p->m_stride, half);
    vf bias = run->bias ? vf_load_n(run->bias + channel, lanes) : (vf){0};
    int64_t rows = p->out_h - at.y, cols = p->out_w - at.x, row_values = p->out_w * p->out_c;
    int64_t first = ((at.image * p->out_h + at.y) * p->out_w + at.x) * p->out_c + channel;
    bool relu = run->activation == SN_RELU;
    vf sum = {0};
    SN_UNROLL for (int y = 0; y < tile; y++) {
        if (y >= rows) break;
        vf row[MOST_TILE];
        winograd_output_1d(tile, half[y], row);
        stored *to = run->out + first + y * row_values;
        const stored *residual = run->residual ? run->residual + first + y * row_values : NULL;
        SN_UNROLL for (int x = 0; x < tile; x++) {
            if (x >= cols) break;
            vf value = row[x] + bias;
            if (residual) value += vs_load_n(residual + x * p->out_c, lanes);
            if (other)
                activate_vector(&value, run->activation);
            else if (relu)
                value = vf_relu(value);
            vs_store_n(to + x * p->out_c, value, lanes);
            sum += value;
        }
    }
    float *squeeze = squeeze_row(&run->squeeze, at.image, at.y / tile * p->tiles_x + at.x / tile);
    if (squeeze) vf_store(squeeze + channel, sum);
}

#define DEFINE_WRITE(name, tile, other)                                                                              \
    static SN_NOINLINE void name(const winograd_run *run, tile_place at, int64_t channel, const float *m)            \
    {                                                                                                                \
        int64_t lanes = run->plan.out_c - channel;                                                                   \
        if (lanes >= VF)                                                                                             \
            write_tile(run, tile, at, channel, VF, m, other);                                                        \
        else                                                                                                         \
            write_tile(run, tile, at, channel, lanes, m, other);                                                     \
    }

DEFINE_WRITE(write_tile_2, 2, false)
DEFINE_WRITE(write_tile_4, 4, false)
DEFINE_WRITE(write_tile_2_other, 2, true)
DEFINE_WRITE(write_tile_4_other, 4, true)

/* Batch norm's sums of what was written: tiles that lie side by side are rows of pixels, still in the L1 cache. */
static void add_to_norms(const winograd_run *run, const winograd_block *b, int64_t panel, int64_t vectors)
{
    const winograd_plan *p = &run->plan;
    int64_t channel = panel * VF, channels = sn_min64(vectors * VF, p->out_c - channel);
    norm_start(&run->norms, b->index, channel, channels);
    for (int64_t t = 0, end; t < b->tiles; t = end) {
        const tile_place *at = &b->places[t];
        for (end = t + 1; end < b->tiles && b->places[end].x > at->x; end++) {}
        int64_t rows = sn_min64(p->tile, p->out_h - at->y), cols = sn_min64((end - t) * p->tile, p->out_w - at->x);
        const stored *y = run->out + ((at->image * p->out_h + at->y) * p->out_w + at->x) * p->out_c + channel;
        for (int64_t row = 0; row < rows; row++)
            norm_add(&run->norms, b->index, channel, channels, y + row * p->out_w * p->out_c, p->out_c, cols);
    }
}

/* The products of one or two neighbouring vectors of outputs for the block, and their outputs. */
static void multiply_panels(const winograd_run *run, const winograd_block *b, int64_t panel, int64_t vectors)
{
    const winograd_plan *p = &run->plan;
    bool other = run->activation != SN_IDENTITY && run->activation != SN_RELU;
    void (*write)(const winograd_run *, tile_place, int64_t, const float *) =
        p->tile == 4 ? (other ? write_tile_4_other : write_tile_4) : (other ? write_tile_2_other : write_tile_2);
    const winograd_table *products = &winograd_products;
#if SN_PAIRS
    if (p->pairs) products = &winograd_pair_products;
#endif
    winograd_product product = {.steps = p->steps, .u_panel = p->points * p->steps * VF};
    product.u = run->packed + panel * product.u_panel;
    for (int k = 0; k < p->points; k++, product.u += p->steps * VF)
        for (const row_group *g = b->groups; g < b->groups + b->groups_count; g++) {
            product.v = g->v + k * g->v_point;
            product.m = b->m + k * p->m_stride + g->start * vectors * VF;
            (*products)[vectors - 1][g->rows - 1](&product);
        }
    for (int64_t t = 0; t < b->tiles; t++)
        for (int64_t i = 0; i < vectors; i++)
            write(run, b->places[t], (panel + i) * VF, b->m + (t * vectors + i) * VF);
    if (run->norms.rows) add_to_norms(run, b, panel, vectors);
}

static void run_task(void *context, int64_t index, int worker)
{
    const winograd_run *run = context;
    const winograd_plan *p = &run->plan;
    int64_t block = index % p->tile_blocks, split = index / p->tile_blocks; /* each worker keeps to a block, if it can */
    winograd_block b;
    set_block(run, block, worker, &b);
    if (run->held[worker] != block) {
        if (run->held[worker] < 0) memset(b.zeros, 0, (size_t)p->in_c * sizeof(stored));
        run->held[worker] = block;
        transform_block(run, &b);
    }
    int64_t panel = split * p->split_panels, last = sn_min64(p->panels, panel + p->split_panels);
    int64_t most_vectors = b.tiles > b.groups_count * WIDE_ROWS ? 1 : 2; /* taller groups leave registers for one vector */
    while (panel < last) {
        int64_t vectors = sn_min64(most_vectors, last - panel);
        multiply_panels(run, &b, panel, vectors);
        panel += vectors;
    }
}

static void run(const sn_kernel_call *call, int tile)
{
    winograd_run run = {.plan = winograd_plan_of(call, tile), .in = call->inputs[0], .packed = call->packed, .out = call->output,
                        .held = call->scratch};
    const winograd_plan *p = &run.plan;
    for (int worker = 0; worker < call->threads; worker++) run.held[worker] = -1;
    run.scratch = (float *)(run.held + call->threads);
    run.residual = call_stored(call, 3);
    if (call->node->op == SN_OP_conv2d) {
        run.bias = call_input(call, 2);
        run.activation = call->node->attrs.u.conv.activation;
    }
    char *sums = (char *)call->scratch + workers_bytes(p, call->threads);
    run.squeeze = squeeze_begin(call, (float *)(void *)sums, p->tiles_y * p->tiles_x);
    run.norms = norm_begin(call, (float *)(void *)(sums + squeeze_bytes(call, p->tiles_y * p->tiles_x)), p->tile_blocks);
    int64_t macs = p->tiles * p->points * p->in_c * p->out_c;
    sn_parallel_for(macs < SN_SMALL_MACS ? 1 : call->threads, p->tile_blocks * p->splits, run_task, &run);
    squeeze_finish(&run.squeeze);
    norm_finish(call, &run.norms);
}

static bool squeezes(const sn_kernel_call *call)
{
    (void)call;
    return true;
}

/* ---- the kernels: each form, forward and backward-data ---- */

static const char *stats_refusal(const sn_kernel_call *call)
{
    return call->node->dtype == SN_STORED ? NULL : "the output is stored otherwise";
}

#define DEFINE_FORM(TILE)                                                                                            \
    static const char *refuse_##TILE(const sn_kernel_call *call) { return winograd_refusal(call, TILE); }            \
    static size_t scratch_bytes_##TILE(const sn_kernel_call *call) { return scratch_bytes(call, TILE); }             \
    static size_t packed_bytes_##TILE(const sn_kernel_call *call) { return packed_bytes(call, TILE); }               \
    static void pack_##TILE(const sn_kernel_call *call, void *packed) { pack(call, packed, TILE); }                  \
    static void run_##TILE(const sn_kernel_call *call) { run(call, TILE); }

#define KERNEL(BASE, OP, TILE, SQUEEZES, GATHERS)                                                                              \
    const sn_kernel SN_KERNEL_SYMBOL(BASE) = {                                                                       \
        .name = SN_KERNEL_NAME(BASE),                                                                                \
        .op = OP,                                                                                                    \
        .storage = SN_STORED,                                                                                        \
        .refuse = refuse_##TILE,                                                                                     \
        .scratch_bytes = scratch_bytes_##TILE,                                                                       \
        .packed_bytes = packed_bytes_##TILE,                                                                         \
        .pack = pack_##TILE,                                                                                         \
        .run = run_##TILE,                                                                                           \
        .squeezes = SQUEEZES,                                                                                        \
        .stats_refusal = GATHERS,                                                                                    \
    }

DEFINE_FORM(4)
DEFINE_FORM(2)
KERNEL(conv2d_winograd_f43, SN_OP_conv2d, 4, squeezes, stats_refusal);
KERNEL(conv2d_winograd_f23, SN_OP_conv2d, 2, squeezes, stats_refusal);
KERNEL(conv2d_grad_input_winograd_f43, SN_OP_conv2d_grad_input, 4, NULL, NULL);
KERNEL(conv2d_grad_input_winograd_f23, SN_OP_conv2d_grad_input, 2, NULL, NULL);
