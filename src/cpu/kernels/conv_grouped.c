/* conv_grouped.c - grouped 3x3 convolution of few channels a group (ResNeXt: 4 to 32), stride 1 and 2, and its backward-data pass of
 * stride 1.
 *
 * A block is one vector of outputs (grouped_lanes.h).  Step i of the sum takes input i of every group: broadcast where the block
 * lies within one group, else the vector of inputs with its lanes permuted, so that each output finds its own group's channel.
 * The register tile is TILE_ROWS x TILE_PIXELS outputs; for one i its nine weights stay in registers, and a broadcast or
 * permuted input, made once, serves all outputs that it reaches: up to nine.  (A permutation costs as much as an FMA, so this
 * reuse sets the speed.)
 *
 * A task copies the input of a band of rows, one block at a time, or one vector where blocks have fewer inputs and share it, as floats
 * between rows and columns of zeros: no border code, and no two rows in one cache set.  Tiles that hang over the band compute what is not stored.  A block's channels are a few bytes of every
 * pixel, which the processor does not foresee: a tile fetches, a row a step, its outputs and its share of the input copied next.
 * Backward-data is the convolution with inputs and outputs exchanged and the kernel turned by 180 degrees.
 * Every output is one sum in a fixed order (input of the group, row, column), so neither bands nor threads change the bits.
 */
#include "cpu/kernels/clamp.h"
#include "cpu/kernels/copy.h"
#include "cpu/kernels/grouped_lanes.h"
#include "cpu/kernels/norm_sums.h"

#if SN_VECTOR_REGISTERS == 32
enum { TILE_ROWS = 2, TILE_PIXELS = 7 }; /* 14 sums, 9 weights, the lanes and an input */
#else
enum { TILE_ROWS = 2, TILE_PIXELS = 4 };
#endif
enum { TAPS = 9, BAND_FLOATS = 12288, TASKS = 16, MOST_INPUTS = 64 };

typedef struct grouped_plan {
    sn_shape in, out; /* of this pass */
    int64_t stride, top, left;
    int64_t group_in, group_out; /* channels of a group */
    grouped_kind kind;
    int64_t block_in, blocks;    /* input channels of a block */
    int64_t copy_in, pixel;      /* input channels, and floats, of a copied pixel */
    int64_t band_rows, bands, blocks_each, splits;
    int64_t buffer_rows, buffer_cols, buffer_floats;
} grouped_plan;

static grouped_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    bool backward = call->node->op == SN_OP_conv2d_grad_input;
    grouped_plan p = {.in = call->input_nodes[0]->shape, .out = call->node->shape, .stride = a->stride,
                      .top = backward ? 2 - a->pad_top : a->pad_top, .left = backward ? 2 - a->pad_left : a->pad_left};
    p.group_in = p.in.c / a->groups;
    p.group_out = p.out.c / a->groups;
    p.kind = grouped_kind_of(p.group_in, p.group_out, p.out.c);
    p.blocks = sn_ceil_div(p.out.c, VF);
    p.block_in = p.kind == GROUPED_BROADCAST ? p.group_in : p.in.c / p.blocks;
    p.copy_in = VF % p.block_in == 0 && p.in.c % VF == 0 ? VF : p.block_in;
    p.pixel = p.kind == GROUPED_BROADCAST ? p.copy_in : p.kind == GROUPED_ONE_VECTOR ? VF : 2 * VF;
    /* whole tiles, and one column more, since a tile of stride 2 reads past its last tap */
    p.buffer_cols = sn_ceil_div(p.out.w, TILE_PIXELS) * TILE_PIXELS * p.stride + 2;
    p.band_rows = sn_max64(TILE_ROWS, (BAND_FLOATS / (p.buffer_cols * p.pixel) - 2) / p.stride / TILE_ROWS * TILE_ROWS);
    p.bands = sn_ceil_div(p.out.h, p.band_rows);
    p.band_rows = sn_ceil_div(sn_ceil_div(p.out.h, p.bands), TILE_ROWS) * TILE_ROWS;
    p.bands = sn_ceil_div(p.out.h, p.band_rows);
    p.buffer_rows = p.band_rows * p.stride + 2;
    p.buffer_floats = p.buffer_rows * p.buffer_cols * p.pixel;
    p.blocks_each = sn_ceil_div(p.blocks, sn_min64(p.blocks, sn_ceil_div(TASKS, p.out.n * p.bands)));
    p.splits = sn_ceil_div(p.blocks, p.blocks_each);
    return p;
}

static const char *refuse(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape w = call->input_nodes[1]->shape;
    const char *otherwise = stored_refusal(call, 1u << 0 | 1u << 3); /* x or dy, residual */
    if (otherwise) return otherwise;
    if (w.n != 3 || w.h != 3 || a->stride > 2) return "not 3x3 with stride 1 or 2";
    if (call->node->op == SN_OP_conv2d_grad_input && (a->stride != 1 || a->pad_top > 2 || a->pad_left > 2))
        return "backward of stride 2 or of padding above 2";
    if (call->node->inputs_count > 3 && call->input_nodes[3]) return "a residual";
    if (!clamp_is(a->activation)) return "an activation that is no clamp";
    if (a->groups == 1 || call->input_nodes[0]->shape.c / a->groups > MOST_INPUTS) return "more than 64 channels a group";
    return plan_of(call).kind == GROUPED_NONE ? "groups that do not fill vectors" : NULL;
}

/* Outputs fill whole vectors. */
static const char *stats_refusal(const sn_kernel_call *call)
{
    return call->node->dtype == SN_STORED ? NULL : "the output is stored otherwise";
}

/* Before the sums of batch norm. */
static size_t workers_bytes(const grouped_plan *p, int threads)
{
    return sn_align((size_t)(p->buffer_floats * threads) * sizeof(float), SN_ALIGNMENT);
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    grouped_plan p = plan_of(call);
    return workers_bytes(&p, call->threads) + norm_bytes(call, p.out.n * p.bands);
}

/* ---- weights: [block][input of a group][tap][VF] ---- */

static size_t packed_bytes(const sn_kernel_call *call)
{
    grouped_plan p = plan_of(call);
    return (size_t)(p.blocks * p.group_in * TAPS * VF) * sizeof(float);
}

static void pack(const sn_kernel_call *call, void *packed)
{
    grouped_plan p = plan_of(call);
    const float *weight = call->inputs[1]; /* (tap, input of the group, output) of the forward pass */
    float *to = packed;
    for (int64_t block = 0; block < p.blocks; block++)
        for (int64_t i = 0; i < p.group_in; i++)
            for (int64_t tap = 0; tap < TAPS; tap++)
                for (int64_t out = block * VF; out < (block + 1) * VF; out++) {
                    if (call->node->op == SN_OP_conv2d)
                        *to++ = weight[(tap * p.group_in + i) * p.out.c + out];
                    else
                        *to++ = weight[((TAPS - 1 - tap) * p.group_out + out % p.group_out) * p.in.c +
                                       out / p.group_out * p.group_in + i];
                }
}

/* ---- the register tile ---- */

typedef struct grouped_tile {
    const float *x; /* the copied band at the tile's first row and column */
    ptrdiff_t x_row, x_pixel;
    const float *w;       /* of the block */
    const int32_t *lanes; /* [input of a group][VF] */
    int64_t inputs;       /* of a group */
    const stored *fetch;  /* what to fetch meanwhile: fetch_rows rows of a tile's pixels */
    ptrdiff_t fetch_row, fetch_pixel;
    int64_t fetch_rows;
    vf bias;
    clamp clamp;
    stored *y;
    ptrdiff_t y_row, y_pixel;
    int64_t rows, cols; /* to store */
} grouped_tile;

/* Input i of every output's group, from the pixel at x. */
SN_INLINE vf group_input(const float *x, int64_t i, vi lane, grouped_kind kind)
{
    if (kind == GROUPED_BROADCAST) return vf_all(x[i]);
    if (kind == GROUPED_ONE_VECTOR) return vf_permute(vf_load(x), lane);
    return vf_permute_two(vf_load(x), vf_load(x + VF), lane);
}

SN_INLINE void compute_tile(const grouped_tile *t, int stride, grouped_kind kind)
{
    vf sum[TILE_ROWS][TILE_PIXELS];
    SN_UNROLL for (int r = 0; r < TILE_ROWS; r++)
        SN_UNROLL for (int p = 0; p < TILE_PIXELS; p++) sum[r][p] = t->bias;
    const float *weight = t->w, *x_at = t->x;
    const ptrdiff_t x_row = t->x_row, x_pixel = kind == GROUPED_BROADCAST ? t->x_pixel : kind == GROUPED_ONE_VECTOR ? VF : 2 * VF;
    const int32_t *lanes = t->lanes;
    for (int64_t i = 0; i < t->inputs; i++, weight += TAPS * VF, lanes += VF) {
        if (i < t->fetch_rows)
            SN_UNROLL for (int p = 0; p < TILE_PIXELS * stride; p++)
                __builtin_prefetch(t->fetch + i * t->fetch_row + p * t->fetch_pixel, 0, 2);
        if (i < TILE_ROWS)
            SN_UNROLL for (int p = 0; p < TILE_PIXELS; p++) __builtin_prefetch(t->y + i * t->y_row + p * t->y_pixel, 0, 2);
        vi lane = kind == GROUPED_BROADCAST ? (vi){0} : vi_load(lanes);
        vf w[TAPS];
        SN_UNROLL for (int k = 0; k < TAPS; k++) w[k] = vf_load(weight + k * VF);
        SN_UNROLL for (int row = 0; row < (TILE_ROWS - 1) * stride + 3; row++)
            SN_UNROLL for (int col = 0; col < (TILE_PIXELS - 1) * stride + 3; col++) {
                vf x = group_input(x_at + row * x_row + col * x_pixel, i, lane, kind);
                __asm__ volatile("" ::: "memory"); /* else the compiler loads all inputs first, and spills them */
                SN_UNROLL for (int ky = 0; ky < 3; ky++)
                    SN_UNROLL for (int kx = 0; kx < 3; kx++)
                        if (row >= ky && (row - ky) % stride == 0 && (row - ky) / stride < TILE_ROWS && col >= kx &&
                            (col - kx) % stride == 0 && (col - kx) / stride < TILE_PIXELS)
                            sum[(row - ky) / stride][(col - kx) / stride] += x * w[ky * 3 + kx];
            }
    }
    SN_UNROLL for (int r = 0; r < TILE_ROWS; r++)
        SN_UNROLL for (int p = 0; p < TILE_PIXELS; p++)
            if (r < t->rows && p < t->cols) vs_store(t->y + r * t->y_row + p * t->y_pixel, clamp_apply(&t->clamp, sum[r][p]));
}

#define DEFINE_TILES(kind)                                                                    \
    static SN_NOINLINE void kind##_1(const grouped_tile *t) { compute_tile(t, 1, kind); }     \
    static SN_NOINLINE void kind##_2(const grouped_tile *t) { compute_tile(t, 2, kind); }

DEFINE_TILES(GROUPED_BROADCAST)
DEFINE_TILES(GROUPED_ONE_VECTOR)
DEFINE_TILES(GROUPED_TWO_VECTORS)

/* [kind][stride - 1] */
static void (*const tiles[][2])(const grouped_tile *) = {
    [GROUPED_BROADCAST] = {GROUPED_BROADCAST_1, GROUPED_BROADCAST_2},
    [GROUPED_ONE_VECTOR] = {GROUPED_ONE_VECTOR_1, GROUPED_ONE_VECTOR_2},
    [GROUPED_TWO_VECTORS] = {GROUPED_TWO_VECTORS_1, GROUPED_TWO_VECTORS_2},
};

/* ---- run ---- */

typedef struct grouped_run {
    grouped_plan plan;
    const stored *in;
    const float *packed, *bias;
    stored *out;
    float *scratch;
    clamp clamp;
    norm_sums norms;
    int32_t lanes[VF * VF]; /* [block of a copy][input of a group][VF]; unused where inputs are broadcast */
} grouped_run;

/* Copies the channels of a copy, which begin at `image`, of the input pixels behind the band of output rows from row0 on. */
static void copy_band(const grouped_plan *p, const stored *image, float *buffer, int64_t row0)
{
    int64_t before = sn_max64(0, p->left), inside = sn_max64(0, sn_min64(p->buffer_cols - before, p->in.w));
    for (int64_t row = 0; row < p->buffer_rows; row++) {
        int64_t in_row = row0 * p->stride - p->top + row;
        float *to = buffer + row * p->buffer_cols * p->pixel;
        if (in_row < 0 || in_row >= p->in.h) {
            clear_floats(to, p->buffer_cols * p->pixel);
            continue;
        }
        const stored *from = image + in_row * p->in.w * p->in.c;
        clear_floats(to, before * p->pixel);
        to += before * p->pixel;
        if (p->copy_in == VF)
            for (int64_t i = 0; i < inside; i++) vf_store(to + i * VF, vs_load(from + i * p->in.c));
        else
            for (int64_t i = 0; i < inside; i++) widen_values(to + i * p->pixel, from + i * p->in.c, p->copy_in);
        clear_floats(to + inside * p->pixel, (p->buffer_cols - before - inside) * p->pixel);
    }
}

/* The first channel of a block's inputs. */
static int64_t first_input(const grouped_plan *p, int64_t block) { return block * VF / p->group_out * p->group_in; }

/* The first channel of what is copied for it. */
static int64_t first_copied(const grouped_plan *p, int64_t block) { return first_input(p, block) / p->copy_in * p->copy_in; }

/* Lets a tile fetch the input behind the outputs from (row, col) on, as far as it exists; image: at the first channel of a copy. */
static void set_fetch(const grouped_plan *p, grouped_tile *t, const stored *image, int64_t row, int64_t col)
{
    int64_t in_row = sn_max64(0, row * p->stride - p->top + 2), in_col = sn_max64(0, col * p->stride - p->left);
    t->fetch = image + (in_row * p->in.w + in_col) * p->in.c;
    t->fetch_rows = sn_min64(TILE_ROWS * p->stride, p->in.h - 1 - in_row);
}

static void grouped_task(void *context, int64_t index, int worker)
{
    const grouped_run *run = context;
    const grouped_plan *p = &run->plan;
    float *band = run->scratch + worker * p->buffer_floats;
    int64_t split = index % p->splits, image = index / p->splits / p->bands;
    int64_t row0 = index / p->splits % p->bands * p->band_rows, row1 = sn_min64(p->out.h, row0 + p->band_rows);
    int64_t first = split * p->blocks_each, last = sn_min64(p->blocks, first + p->blocks_each);
    int64_t copied = -1; /* the first channel of what the band holds: several blocks may see the same inputs */
    const stored *in = run->in + image * p->in.h * p->in.w * p->in.c;
    for (int64_t block = first; block < last; block++) {
        int64_t channel = first_copied(p, block), next = first_copied(p, block + 1 < last ? block + 1 : first);
        int64_t within = first_input(p, block) - channel;
        int64_t next_row = block + 1 < last ? 0 : p->band_rows; /* behind the last block comes the next band */
        if (channel != copied) copy_band(p, in + channel, band, row0);
        copied = channel;
        grouped_tile t = {.x_row = p->buffer_cols * p->pixel, .x_pixel = p->pixel, .w = run->packed + block * p->group_in * TAPS * VF,
                          .lanes = run->lanes + within / p->block_in * p->group_in * VF, .inputs = p->group_in, .clamp = run->clamp, .y_row = p->out.w * p->out.c,
                          .y_pixel = p->out.c, .fetch_row = p->in.w * p->in.c, .fetch_pixel = p->in.c};
        if (run->bias) t.bias = vf_load(run->bias + block * VF);
        for (int64_t row = row0; row < row1; row += TILE_ROWS)
            for (int64_t col = 0; col < p->out.w; col += TILE_PIXELS) {
                t.x = band + (row - row0) * p->stride * t.x_row + col * p->stride * p->pixel;
                if (p->kind == GROUPED_BROADCAST) t.x += within;
                t.y = run->out + ((image * p->out.h + row) * p->out.w + col) * p->out.c + block * VF;
                t.rows = row1 - row;
                t.cols = p->out.w - col;
                if (next != channel || next_row > 0) set_fetch(p, &t, in + next, row + next_row, col);
                tiles[p->kind][p->stride - 1](&t);
            }
        norm_start(&run->norms, index / p->splits, block * VF, VF);
        norm_add(&run->norms, index / p->splits, block * VF, VF,
                 run->out + (image * p->out.h + row0) * p->out.w * p->out.c + block * VF, p->out.c, (row1 - row0) * p->out.w);
    }
}

static void set_lanes(const grouped_plan *p, int32_t *lanes)
{
    for (int64_t within = 0; within < p->copy_in; within += p->block_in) {
        grouped_lanes(lanes, p->group_in, p->group_out);
        for (int64_t i = 0; i < p->group_in * VF; i++) *lanes++ += (int32_t)within;
    }
}

static void run(const sn_kernel_call *call)
{
    grouped_run run = {.plan = plan_of(call), .in = call->inputs[0], .packed = call->packed, .out = call->output,
                       .scratch = call->scratch, .clamp = clamp_of(call->node->attrs.u.conv.activation)};
    const grouped_plan *p = &run.plan;
    if (call->node->op == SN_OP_conv2d) run.bias = call_input(call, 2);
    if (p->kind != GROUPED_BROADCAST) set_lanes(p, run.lanes);
    run.norms = norm_begin(call, (float *)(void *)((char *)call->scratch + workers_bytes(p, call->threads)), p->out.n * p->bands);
    int threads = sn_shape_elements(p->out) * TAPS * p->group_in < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->out.n * p->bands * p->splits, grouped_task, &run);
    norm_finish(call, &run.norms);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grouped) = {
    .name = SN_KERNEL_NAME(conv2d_grouped),
    .op = SN_OP_conv2d,
    .storage = SN_STORED,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .run = run,
    .stats_refusal = stats_refusal,
};

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grad_input_grouped) = {
    .name = SN_KERNEL_NAME(conv2d_grad_input_grouped),
    .op = SN_OP_conv2d_grad_input,
    .storage = SN_STORED,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .run = run,
};
