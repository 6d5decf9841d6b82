/* conv_grouped.c - grouped 3x3 convolution whose groups are smaller than a vector (ResNeXt: 4 or 8 channels a group), stride 1 and 2,
 * and its backward-data pass of stride 1.
 *
 * A vector of outputs is a block of several groups (grouped_lanes.h).  Step i of the sum takes input i of every group: the
 * block's inputs with their lanes permuted, so that each output finds its own group's channel.  The
 * register tile is TILE_ROWS x TILE_PIXELS outputs; for one i its nine weights stay in registers, and a permuted input, made once,
 * serves all outputs that it reaches: up to nine.  (A permutation and an FMA cost the same, so this reuse sets the speed.)
 *
 * A task copies the input of a band of rows, one block at a time, between rows and columns of zeros, laid out
 * [row][column][VF]: no border code, and no two rows in one cache set.  Tiles that hang over the band compute what is not stored.
 * Backward-data is the convolution with inputs and outputs exchanged and the kernel turned by 180 degrees.
 * Every output is one sum in a fixed order (input of the group, row, column), so neither bands nor threads change the bits.
 */
#include "cpu/kernels/clamp.h"
#include "cpu/kernels/grouped_lanes.h"

#if SN_VECTOR_FLOATS == 16
enum { TILE_ROWS = 2, TILE_PIXELS = 7 }; /* 14 sums, 9 weights, the lanes and an input */
#else
enum { TILE_ROWS = 2, TILE_PIXELS = 4 };
#endif
enum { TAPS = 9, BAND_FLOATS = 12288, TASKS = 16 };

typedef struct grouped_plan {
    sn_shape in, out; /* of this pass */
    int64_t stride, top, left;
    int64_t group_in, group_out; /* channels of a group */
    int64_t block_in, blocks;    /* input channels of a block */
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
    p.blocks = sn_ceil_div(p.out.c, VF);
    p.block_in = p.in.c / p.blocks;
    /* whole tiles, and one column more, since a tile of stride 2 reads past its last tap */
    p.buffer_cols = sn_ceil_div(p.out.w, TILE_PIXELS) * TILE_PIXELS * p.stride + 2;
    p.band_rows = sn_max64(TILE_ROWS, (BAND_FLOATS / (p.buffer_cols * VF) - 2) / p.stride / TILE_ROWS * TILE_ROWS);
    p.bands = sn_ceil_div(p.out.h, p.band_rows);
    p.band_rows = sn_ceil_div(sn_ceil_div(p.out.h, p.bands), TILE_ROWS) * TILE_ROWS;
    p.bands = sn_ceil_div(p.out.h, p.band_rows);
    p.buffer_rows = p.band_rows * p.stride + 2;
    p.buffer_floats = p.buffer_rows * p.buffer_cols * VF;
    p.blocks_each = sn_ceil_div(p.blocks, sn_min64(p.blocks, sn_ceil_div(TASKS, p.out.n * p.bands)));
    p.splits = sn_ceil_div(p.blocks, p.blocks_each);
    return p;
}

static const char *refuse(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape w = call->input_nodes[1]->shape;
    if (call->precision != SN_FLOAT) return "not single precision";
    if (w.n != 3 || w.h != 3 || a->stride > 2) return "not 3x3 with stride 1 or 2";
    if (call->node->op == SN_OP_conv2d_grad_input && a->stride != 1) return "backward of stride 2";
    if (call->node->inputs_count > 3 && call->input_nodes[3]) return "a residual";
    if (!clamp_is(a->activation)) return "an activation that is no clamp";
    int64_t outputs = call->node->shape.c;
    return grouped_refuse(call->input_nodes[0]->shape.c / a->groups, outputs / a->groups, outputs);
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    return (size_t)(plan_of(call).buffer_floats * call->threads) * sizeof(float);
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
    const float *x;     /* the copied band at the tile's first row and column */
    ptrdiff_t x_row;
    const float *w;     /* of the block */
    const int32_t *lanes; /* [input of a group][VF] */
    int64_t inputs;     /* of a group */
    vf bias;
    clamp clamp;
    float *y;
    ptrdiff_t y_row, y_pixel;
    int64_t rows, cols; /* to store */
} grouped_tile;

SN_INLINE void compute_tile(const grouped_tile *t, int stride)
{
    vf sum[TILE_ROWS][TILE_PIXELS];
    SN_UNROLL for (int r = 0; r < TILE_ROWS; r++)
        SN_UNROLL for (int p = 0; p < TILE_PIXELS; p++) sum[r][p] = t->bias;
    const float *weight = t->w, *x_at = t->x;
    const ptrdiff_t x_row = t->x_row;
    const int32_t *lanes = t->lanes;
    for (int64_t i = 0; i < t->inputs; i++, weight += TAPS * VF, lanes += VF) {
        vi lane = vi_load(lanes);
        vf w[TAPS];
        SN_UNROLL for (int k = 0; k < TAPS; k++) w[k] = vf_load(weight + k * VF);
        SN_UNROLL for (int row = 0; row < (TILE_ROWS - 1) * stride + 3; row++)
            SN_UNROLL for (int col = 0; col < (TILE_PIXELS - 1) * stride + 3; col++) {
                vf x = vf_permute(vf_load(x_at + row * x_row + col * VF), lane);
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
            if (r < t->rows && p < t->cols) vf_store(t->y + r * t->y_row + p * t->y_pixel, clamp_apply(&t->clamp, sum[r][p]));
}

static SN_NOINLINE void compute_tile_1(const grouped_tile *t) { compute_tile(t, 1); }
static SN_NOINLINE void compute_tile_2(const grouped_tile *t) { compute_tile(t, 2); }

/* ---- run ---- */

typedef struct grouped_run {
    grouped_plan plan;
    const float *in, *packed, *bias;
    float *out, *scratch;
    clamp clamp;
    int32_t lanes[VF * VF];
} grouped_run;

/* Copies `count` channels of the input pixels behind output rows from row0 on, with zeros outside the image. */
static void copy_band(const grouped_plan *p, const float *image, float *buffer, int64_t row0, int64_t count)
{
    int64_t before = sn_max64(0, p->left), inside = sn_max64(0, sn_min64(p->buffer_cols - before, p->in.w));
    for (int64_t row = 0; row < p->buffer_rows; row++) {
        int64_t in_row = row0 * p->stride - p->top + row;
        float *to = buffer + row * p->buffer_cols * VF;
        if (in_row < 0 || in_row >= p->in.h) {
            memset(to, 0, (size_t)(p->buffer_cols * VF) * sizeof(float));
            continue;
        }
        const float *from = image + in_row * p->in.w * p->in.c;
        memset(to, 0, (size_t)(before * VF) * sizeof(float));
        to += before * VF;
        if (count == VF)
            for (int64_t i = 0; i < inside; i++) vf_store(to + i * VF, vf_load(from + i * p->in.c));
        else
            for (int64_t i = 0; i < inside; i++) vf_store(to + i * VF, vf_load_first(from + i * p->in.c, count));
        memset(to + inside * VF, 0, (size_t)((p->buffer_cols - before - inside) * VF) * sizeof(float));
    }
}

static void grouped_task(void *context, int64_t index, int worker)
{
    const grouped_run *run = context;
    const grouped_plan *p = &run->plan;
    float *band = run->scratch + worker * p->buffer_floats;
    int64_t split = index % p->splits, image = index / p->splits / p->bands;
    int64_t row0 = index / p->splits % p->bands * p->band_rows, row1 = sn_min64(p->out.h, row0 + p->band_rows);
    for (int64_t block = split * p->blocks_each; block < sn_min64(p->blocks, (split + 1) * p->blocks_each); block++) {
        copy_band(p, run->in + image * p->in.h * p->in.w * p->in.c + block * p->block_in, band, row0, p->block_in);
        grouped_tile t = {.x_row = p->buffer_cols * VF, .w = run->packed + block * p->group_in * TAPS * VF, .lanes = run->lanes,
                          .inputs = p->group_in, .clamp = run->clamp, .y_row = p->out.w * p->out.c, .y_pixel = p->out.c};
        if (run->bias) t.bias = vf_load(run->bias + block * VF);
        for (int64_t row = row0; row < row1; row += TILE_ROWS)
            for (int64_t col = 0; col < p->out.w; col += TILE_PIXELS) {
                t.x = band + (row - row0) * p->stride * t.x_row + col * p->stride * VF;
                t.y = run->out + ((image * p->out.h + row) * p->out.w + col) * p->out.c + block * VF;
                t.rows = row1 - row;
                t.cols = p->out.w - col;
                if (p->stride == 1)
                    compute_tile_1(&t);
                else
                    compute_tile_2(&t);
            }
    }
}

static void run(const sn_kernel_call *call)
{
    grouped_run run = {.plan = plan_of(call), .in = call->inputs[0], .packed = call->packed, .out = call->output,
                       .scratch = call->scratch, .clamp = clamp_of(call->node->attrs.u.conv.activation)};
    const grouped_plan *p = &run.plan;
    if (call->node->op == SN_OP_conv2d) run.bias = call_input(call, 2);
    grouped_lanes(run.lanes, p->group_in, p->group_out);
    int threads = sn_shape_elements(p->out) * TAPS * p->group_in < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->out.n * p->bands * p->splits, grouped_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grouped) = {
    .name = SN_KERNEL_NAME(conv2d_grouped),
    .op = SN_OP_conv2d,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .run = run,
};

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grad_input_grouped) = {
    .name = SN_KERNEL_NAME(conv2d_grad_input_grouped),
    .op = SN_OP_conv2d_grad_input,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .run = run,
};
