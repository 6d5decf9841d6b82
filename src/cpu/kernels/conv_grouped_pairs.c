/* conv_grouped_pairs.c - grouped 3x3 convolution of bf16 maps where the processor multiplies pairs of bf16: 2 to 32 channels a group,
 * stride 1 and 2, and its backward-data pass of stride 1.
 *
 * As conv_grouped.c, with two channels of a group a step: a block is one vector of outputs, and step i of its sum takes channels
 * 2 i and 2 i + 1 of every group, which lie side by side in a word of 32 bits.  The word is broadcast where the block lies within one
 * group, else permuted into the lanes of its group's outputs; made once, it serves all outputs of the tile that it reaches, up to
 * nine.  Weights are rounded to bf16 in such pairs when they are packed; sums are float and rounded once, when they are stored.
 *
 * A task is a strip of blocks whose inputs fill a register, 32 channels or 64 bytes of a pixel, over a band of rows.  It copies the
 * input row by row into a ring of as many rows as a tile sees, between columns of zeros: no border code, everything in the L1
 * cache, and a whole cache line a pixel.  Tiles that hang over the row compute what is not stored.  A tile fetches, a row a
 * step, its share of the rows copied next, and the strip's first tile the line of its outputs.
 * Backward-data is the convolution with inputs and outputs exchanged and the kernel turned by 180 degrees.
 * Every output is one sum in a fixed order (pair, row, column), so neither bands nor threads change the bits.
 */
#include "cpu/kernels/clamp.h"
#include "cpu/kernels/conv_values.h"
#include "cpu/kernels/grouped_lanes.h"
#include "cpu/kernels/norm_sums.h"

#if !SN_PAIRS
#error "only for processors that multiply pairs of bf16"
#endif

enum {
    SIDE = 3, TAPS = SIDE * SIDE,
    TILE_ROWS = 2, TILE_PIXELS = 7, /* 14 sums, 9 weights, the lanes and a word of inputs */
    PIXEL = 2 * VF,                 /* values of a copied pixel: a register of pairs */
    MOST_PAIRS = VF,
    RING = (TILE_ROWS - 1) * 2 + SIDE, /* rows that a tile of stride 2 sees */
    TASKS = 16, BAND_ROWS = 7          /* cut small batches into about so many tasks, of so many rows at least */
};

typedef struct pairs_plan {
    sn_shape in, out; /* of this pass */
    int64_t stride, top, left;
    int64_t group_in, group_out, pairs; /* channels of a group, pairs of its inputs */
    grouped_kind kind;
    int64_t unit_in, unit_blocks;    /* channels and blocks that belong together: of a group, or of one block of several groups */
    int64_t strip_units, strips;
    int64_t band_rows, bands;
    int64_t cols;                    /* of a copied row */
} pairs_plan;

static pairs_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    bool backward = call->node->op == SN_OP_conv2d_grad_input;
    pairs_plan p = {.in = call->input_nodes[0]->shape, .out = call->node->shape, .stride = a->stride,
                    .top = backward ? SIDE - 1 - a->pad_top : a->pad_top, .left = backward ? SIDE - 1 - a->pad_left : a->pad_left};
    p.group_in = p.in.c / a->groups;
    p.group_out = p.out.c / a->groups;
    p.pairs = p.group_in / 2;
    p.kind = grouped_kind_of(p.group_in, p.group_out, p.out.c);
    if (p.kind == GROUPED_NONE || p.group_in > PIXEL) return p;
    p.unit_blocks = sn_max64(1, p.group_out / VF);
    p.unit_in = p.group_in * p.unit_blocks * VF / p.group_out;
    p.strip_units = PIXEL / p.unit_in;
    p.strips = sn_ceil_div(p.out.c / VF, p.strip_units * p.unit_blocks);
    p.bands = sn_min64(sn_ceil_div(TASKS, p.out.n * p.strips), sn_ceil_div(p.out.h, BAND_ROWS));
    p.band_rows = sn_ceil_div(sn_ceil_div(p.out.h, p.bands), TILE_ROWS) * TILE_ROWS;
    p.bands = sn_ceil_div(p.out.h, p.band_rows);
    p.cols = (sn_ceil_div(p.out.w, TILE_PIXELS) * TILE_PIXELS - 1) * p.stride + SIDE;
    return p;
}

static const char *refuse(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape w = call->input_nodes[1]->shape;
    const char *otherwise = stored_refusal(call, 1u << 0 | 1u << 3); /* x or dy, residual */
    if (otherwise) return otherwise;
    if (w.n != SIDE || w.h != SIDE || a->stride > 2) return "not 3x3 with stride 1 or 2";
    if (call->node->op == SN_OP_conv2d_grad_input && (a->stride != 1 || a->pad_top > 2 || a->pad_left > 2))
        return "backward of stride 2 or of padding above 2";
    if (call->node->inputs_count > 3 && call->input_nodes[3]) return "a residual";
    if (!clamp_is(a->activation)) return "an activation that is no clamp";
    pairs_plan p = plan_of(call);
    if (a->groups == 1 || p.group_in > PIXEL) return "more than 32 channels a group";
    if (p.group_in % 2 != 0) return "groups of an odd number of channels";
    return p.kind == GROUPED_NONE ? "groups that do not fill vectors" : NULL;
}

static int64_t ring_values(const pairs_plan *p) { return RING * p->cols * PIXEL; }

/* Before the sums of batch norm. */
static size_t workers_bytes(const pairs_plan *p, int threads)
{
    return sn_align((size_t)(ring_values(p) * threads) * sizeof(stored), SN_ALIGNMENT);
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    pairs_plan p = plan_of(call);
    return workers_bytes(&p, call->threads) + norm_bytes(call, p.out.n * p.bands);
}

/* Outputs fill whole vectors. */
static const char *stats_refusal(const sn_kernel_call *call)
{
    return call->node->dtype == SN_STORED ? NULL : "the output is stored otherwise";
}

/* ---- weights: [block][pair][tap][VF] words, the lower half of each the first of the pair ---- */

static size_t packed_bytes(const sn_kernel_call *call)
{
    pairs_plan p = plan_of(call);
    return (size_t)(p.out.c * p.pairs * TAPS) * sizeof(uint32_t);
}

/* The weights of a block's outputs for input `i` of their groups, as bf16. */
static vu block_weights(const sn_kernel_call *call, const pairs_plan *p, int64_t tap, int64_t i, int64_t block)
{
    const float *weight = call->inputs[1]; /* (tap, input of the group, output) of the forward pass */
    vf v;
    if (call->node->op == SN_OP_conv2d)
        v = vf_load(weight + (tap * p->group_in + i) * p->out.c + block * VF);
    else
        for (int64_t lane = 0; lane < VF; lane++) {
            int64_t out = block * VF + lane, row = (TAPS - 1 - tap) * p->group_out + out % p->group_out;
            v[lane] = weight[row * p->in.c + out / p->group_out * p->group_in + i];
        }
    return __builtin_convertvector(vf_to_bf16(v), vu);
}

static void pack(const sn_kernel_call *call, void *packed)
{
    pairs_plan p = plan_of(call);
    uint32_t *to = packed;
    for (int64_t block = 0; block < p.out.c / VF; block++)
        for (int64_t pair = 0; pair < p.pairs; pair++)
            for (int64_t tap = 0; tap < TAPS; tap++, to += VF)
                *(vu *)to = block_weights(call, &p, tap, 2 * pair, block) | block_weights(call, &p, tap, 2 * pair + 1, block) << 16;
}

/* ---- the register tile ---- */

typedef struct pairs_tile {
    const stored *x[RING]; /* the copied rows at the tile's first column, and at the group's first channel if that is broadcast */
    const uint32_t *w;     /* of the block */
    const int32_t *lanes;  /* [pair][VF]: which word of a pixel */
    int64_t pairs;
    const stored *fetch;   /* what to fetch meanwhile: fetch_rows rows of a tile's pixels, one a step */
    ptrdiff_t fetch_row, fetch_pixel;
    int64_t fetch_rows;
    bool fetch_outputs;
    const float *bias;     /* or NULL */
    sn_activation activation;
    stored *y;
    ptrdiff_t y_row, y_pixel;
    int64_t cols;          /* to store */
} pairs_tile;

/* Pair i of every output's group, from the pixel at x. */
SN_INLINE vi pair_of(const stored *x, int64_t i, vi lane, bool broadcast)
{
    if (broadcast) return (vi)_mm512_set1_epi32(*(const int32_t *)(const void *)(x + 2 * i));
    return (vi)_mm512_permutexvar_epi32((__m512i)lane, _mm512_load_si512(x));
}

SN_INLINE vf add_pairs(vf sum, vi x, vi w) { return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)w); }

SN_INLINE void compute_tile(const pairs_tile *t, int stride, int rows, bool broadcast)
{
    vf sum[TILE_ROWS][TILE_PIXELS];
    vf bias = t->bias ? vf_load(t->bias) : (vf){0};
    SN_UNROLL for (int r = 0; r < rows; r++)
        SN_UNROLL for (int p = 0; p < TILE_PIXELS; p++) sum[r][p] = bias;
    const stored *x_row[RING];
    SN_UNROLL for (int row = 0; row < (rows - 1) * stride + SIDE; row++) x_row[row] = t->x[row];
    const uint32_t *weight = t->w;
    const int32_t *lanes = t->lanes;
    for (int64_t i = 0; i < t->pairs; i++, weight += TAPS * VF, lanes += VF) {
        if (i < t->fetch_rows)
            SN_UNROLL for (int p = 0; p < TILE_PIXELS * stride; p++)
                __builtin_prefetch(t->fetch + i * t->fetch_row + p * t->fetch_pixel, 0, 2);
        if (t->fetch_outputs && i < rows)
            SN_UNROLL for (int p = 0; p < TILE_PIXELS; p++) __builtin_prefetch(t->y + i * t->y_row + p * t->y_pixel, 0, 2);
        vi lane = broadcast ? (vi){0} : vi_load(lanes);
        vi w[TAPS];
        SN_UNROLL for (int k = 0; k < TAPS; k++) w[k] = *(const vi *)(weight + k * VF);
        SN_UNROLL for (int row = 0; row < (rows - 1) * stride + SIDE; row++)
            SN_UNROLL for (int col = 0; col < (TILE_PIXELS - 1) * stride + SIDE; col++) {
                vi x = pair_of(x_row[row] + col * PIXEL, i, lane, broadcast);
                __asm__ volatile("" ::: "memory"); /* else the compiler loads all inputs first, and spills them */
                SN_UNROLL for (int ky = 0; ky < SIDE; ky++)
                    SN_UNROLL for (int kx = 0; kx < SIDE; kx++)
                        if (row >= ky && (row - ky) % stride == 0 && (row - ky) / stride < rows && col >= kx &&
                            (col - kx) % stride == 0 && (col - kx) / stride < TILE_PIXELS) {
                            vf *to = &sum[(row - ky) / stride][(col - kx) / stride];
                            *to = add_pairs(*to, x, w[ky * SIDE + kx]);
                        }
            }
    }
    if (t->activation != SN_IDENTITY)
        SN_UNROLL for (int r = 0; r < rows; r++)
            SN_UNROLL for (int p = 0; p < TILE_PIXELS; p++) sum[r][p] = vf_at_least(sum[r][p], (vf){0});
    if (t->activation == SN_RELU6)
        SN_UNROLL for (int r = 0; r < rows; r++)
            SN_UNROLL for (int p = 0; p < TILE_PIXELS; p++) sum[r][p] = vf_at_most(sum[r][p], vf_all(6));
    SN_UNROLL for (int r = 0; r < rows; r++)
        SN_UNROLL for (int p = 0; p < TILE_PIXELS; p++)
            if (p < t->cols) vs_store(t->y + r * t->y_row + p * t->y_pixel, sum[r][p]);
}

#define DEFINE_TILE(STRIDE, ROWS, BROADCAST)                                                                         \
    static SN_NOINLINE void tile_##STRIDE##_##ROWS##_##BROADCAST(const pairs_tile *t) { compute_tile(t, STRIDE, ROWS, BROADCAST); }
DEFINE_TILE(1, 1, 0)
DEFINE_TILE(1, 2, 0)
DEFINE_TILE(2, 1, 0)
DEFINE_TILE(2, 2, 0)
DEFINE_TILE(1, 1, 1)
DEFINE_TILE(1, 2, 1)
DEFINE_TILE(2, 1, 1)
DEFINE_TILE(2, 2, 1)

/* [broadcast][stride - 1][rows - 1] */
static void (*const tiles[2][2][TILE_ROWS])(const pairs_tile *) = {
    {{tile_1_1_0, tile_1_2_0}, {tile_2_1_0, tile_2_2_0}},
    {{tile_1_1_1, tile_1_2_1}, {tile_2_1_1, tile_2_2_1}},
};

/* ---- run ---- */

typedef struct pairs_run {
    pairs_plan plan;
    const stored *in;
    const uint32_t *packed;
    const float *bias;
    stored *out;
    stored *scratch;
    sn_activation activation;
    norm_sums norms;
    int32_t lanes[MOST_PAIRS * VF]; /* of a strip's first block; unused where inputs are broadcast */
} pairs_run;

/* A strip over a band of rows of an image. */
typedef struct pairs_strip {
    int64_t image, row0, row1; /* of the output */
    int64_t channel;           /* the first of its inputs */
    int64_t channels, block, blocks;
} pairs_strip;

static pairs_strip strip_at(const pairs_plan *p, int64_t index)
{
    int64_t strip = index % p->strips, band = index / p->strips % p->bands;
    int64_t strip_blocks = p->strip_units * p->unit_blocks;
    pairs_strip s = {.image = index / p->strips / p->bands, .row0 = band * p->band_rows, .channel = strip * p->strip_units * p->unit_in,
                     .block = strip * strip_blocks};
    s.row1 = sn_min64(p->out.h, s.row0 + p->band_rows);
    s.channels = sn_min64(p->strip_units * p->unit_in, p->in.c - s.channel);
    s.blocks = sn_min64(strip_blocks, p->out.c / VF - s.block);
    return s;
}

/* Where the strip's channels of input row `row` begin, or NULL outside the image. */
static const stored *strip_row(const pairs_run *run, const pairs_strip *s, int64_t row)
{
    const sn_shape *in = &run->plan.in;
    return row < 0 || row >= in->h ? NULL : run->in + (s->image * in->h + row) * in->w * in->c + s->channel;
}

/* Copies a row of the strip's channels between columns of zeros. */
static void copy_row(const pairs_plan *p, const pairs_strip *s, const stored *from, stored *to)
{
    int64_t before = sn_max64(0, p->left), inside = from ? sn_max64(0, sn_min64(p->cols - before, p->in.w)) : 0;
    const __mmask32 channels = (__mmask32)(0xffffffffu >> (PIXEL - s->channels));
    const __m512i zero = _mm512_setzero_si512();
    int64_t i = 0;
    for (; i < before && i < p->cols; i++, to += PIXEL) _mm512_store_si512(to, zero);
    for (int64_t end = i + inside; i < end; i++, to += PIXEL, from += p->in.c)
        _mm512_store_si512(to, _mm512_maskz_loadu_epi16(channels, from));
    for (; i < p->cols; i++, to += PIXEL) _mm512_store_si512(to, zero);
}

/* Computes `rows` rows of the strip from `row` on; ring: the copied rows, the first one in slot `slot`; next: the row copied next. */
static void compute_rows(const pairs_run *run, const pairs_strip *s, int64_t row, int64_t rows, const stored *ring, int64_t slot,
                         const stored *next, int64_t next_rows)
{
    const pairs_plan *p = &run->plan;
    bool broadcast = p->kind == GROUPED_BROADCAST;
    int32_t lanes[MOST_PAIRS * VF];
    pairs_tile t = {.lanes = lanes, .pairs = p->pairs, .fetch_row = p->in.w * p->in.c, .fetch_pixel = p->in.c,
                    .activation = run->activation, .y_row = p->out.w * p->out.c, .y_pixel = p->out.c};
    for (int64_t b = 0; b < s->blocks; b++) {
        int64_t first = b / p->unit_blocks * p->unit_in; /* of the strip's channels */
        const stored *x[RING];
        for (int64_t r = 0; r < RING; r++) x[r] = ring + (slot + r) % RING * p->cols * PIXEL + (broadcast ? first : 0);
        for (int64_t l = 0; !broadcast && l < p->pairs * VF; l++) lanes[l] = run->lanes[l] + (int32_t)first / 2;
        t.w = run->packed + (s->block + b) * p->pairs * TAPS * VF;
        t.bias = run->bias ? run->bias + (s->block + b) * VF : NULL;
        t.fetch_rows = next ? next_rows - b * p->pairs : 0;
        t.fetch_outputs = b == 0;
        for (int64_t col = 0; col < p->out.w; col += TILE_PIXELS) {
            for (int r = 0; r < RING; r++) t.x[r] = x[r] + col * p->stride * PIXEL;
            if (next) t.fetch = next + b * p->pairs * t.fetch_row + col * p->stride * p->in.c;
            t.y = run->out + ((s->image * p->out.h + row) * p->out.w + col) * p->out.c + (s->block + b) * VF;
            t.cols = p->out.w - col;
            tiles[broadcast][p->stride - 1][rows - 1](&t);
        }
    }
}

static void pairs_task(void *context, int64_t index, int worker)
{
    const pairs_run *run = context;
    const pairs_plan *p = &run->plan;
    stored *ring = run->scratch + worker * ring_values(p);
    pairs_strip s = strip_at(p, index), after = s;
    if (index + 1 < p->out.n * p->bands * p->strips) after = strip_at(p, index + 1);
    int64_t first = s.row0 * p->stride - p->top, copied = 0; /* input rows from the first that the strip sees */
    int64_t channel = s.block * VF, channels = s.blocks * VF;
    norm_start(&run->norms, index / p->strips, channel, channels);
    for (int64_t row = s.row0, rows; row < s.row1; row += rows) {
        rows = s.row1 - row < TILE_ROWS ? 1 : TILE_ROWS;
        int64_t seen = (row - s.row0) * p->stride, needed = seen + (rows - 1) * p->stride + SIDE;
        for (; copied < needed; copied++)
            copy_row(p, &s, strip_row(run, &s, first + copied), ring + copied % RING * p->cols * PIXEL);
        int64_t next = first + needed, end = p->in.h;
        bool last = row + rows >= s.row1;
        if (last) next = sn_max64(0, after.row0 * p->stride - p->top);
        compute_rows(run, &s, row, rows, ring, seen % RING, strip_row(run, last ? &after : &s, next),
                     sn_min64(TILE_ROWS * p->stride, end - next));
        norm_add(&run->norms, index / p->strips, channel, channels,
                 run->out + (s.image * p->out.h + row) * p->out.w * p->out.c + channel, p->out.c, rows * p->out.w);
    }
}

static void run(const sn_kernel_call *call)
{
    pairs_run run = {.plan = plan_of(call), .in = call->inputs[0], .packed = call->packed, .out = call->output,
                     .scratch = call->scratch, .activation = call->node->attrs.u.conv.activation};
    const pairs_plan *p = &run.plan;
    if (call->node->op == SN_OP_conv2d) run.bias = call_input(call, 2);
    for (int64_t i = 0; i < p->pairs; i++)
        for (int64_t o = 0; o < VF; o++) run.lanes[i * VF + o] = (int32_t)(o / p->group_out * p->pairs + i);
    int threads = sn_shape_elements(p->out) * TAPS * p->group_in < SN_SMALL_MACS ? 1 : call->threads;
    run.norms = norm_begin(call, (float *)(void *)((char *)call->scratch + workers_bytes(p, call->threads)), p->out.n * p->bands);
    sn_parallel_for(threads, p->out.n * p->bands * p->strips, pairs_task, &run);
    norm_finish(call, &run.norms);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grouped_pairs) = {
    .name = SN_KERNEL_NAME(conv2d_grouped_pairs),
    .op = SN_OP_conv2d,
    .storage = SN_STORED,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .run = run,
    .stats_refusal = stats_refusal,
};

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grad_input_grouped_pairs) = {
    .name = SN_KERNEL_NAME(conv2d_grad_input_grouped_pairs),
    .op = SN_OP_conv2d_grad_input,
    .storage = SN_STORED,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .run = run,
};
