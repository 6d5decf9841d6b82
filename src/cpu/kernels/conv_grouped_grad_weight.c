/* conv_grouped_grad_weight.c - gradient of a grouped 3x3 weight whose groups are smaller than a vector, stride 1 and 2:
 *     dw(ky, kx, i, o) = sum over pixels of  x(pixel + tap, input i of o's group) dy(pixel, o).
 *
 * For one block of outputs (grouped_lanes.h), one kernel row and INPUTS inputs of every group the 3 x INPUTS sums stay in registers
 * while a unit (rows of one image, about UNIT_PIXELS pixels, which also bounds the rounding) passes by.  A column of x is loaded and
 * permuted once and meets the outputs of all kernel columns that read it; outputs outside the map are zeros.
 *
 * Units are cut into chunks by the shape alone, each with a dw of its own; the chunks are added in order at the end, so threads do
 * not change the bits.  Memory: reads x and dy once, from the cache for every kernel row and part of the inputs.
 */
#include "cpu/kernels/grouped_lanes.h"
#include "cpu/kernels/stored.h"

#if SN_VECTOR_REGISTERS == 32
enum { INPUTS = 4 };
#else
enum { INPUTS = 2 };
#endif
enum { UNIT_PIXELS = 128, MOST_CHUNKS = 16 };

typedef struct grouped_plan {
    sn_shape x, y;
    int64_t stride, top, left, group_in, group_out;
    int64_t block_in, blocks; /* input channels of a block */
    int64_t unit_rows, image_units, units, chunks, units_each;
    int64_t blocks_each, splits, dw_floats;
} grouped_plan;

static grouped_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    grouped_plan p = {.x = call->input_nodes[0]->shape, .y = call->input_nodes[1]->shape, .stride = a->stride, .top = a->pad_top,
                      .left = a->pad_left};
    p.group_in = p.x.c / a->groups;
    p.group_out = p.y.c / a->groups;
    p.blocks = p.y.c / VF;
    p.block_in = VF / p.group_out * p.group_in;
    p.unit_rows = sn_min64(p.y.h, sn_max64(1, UNIT_PIXELS / p.y.w));
    p.image_units = sn_ceil_div(p.y.h, p.unit_rows);
    p.units = p.y.n * p.image_units;
    p.units_each = sn_ceil_div(p.units, sn_min64(p.units, MOST_CHUNKS));
    p.chunks = sn_ceil_div(p.units, p.units_each);
    p.blocks_each = sn_ceil_div(p.blocks, sn_min64(p.blocks, sn_ceil_div(MOST_CHUNKS, p.chunks)));
    p.splits = sn_ceil_div(p.blocks, p.blocks_each);
    p.dw_floats = sn_shape_elements(call->node->shape);
    return p;
}

static const char *refuse(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape w = call->node->shape;
    const char *otherwise = storage_refusal(call, 1u << 0 | 1u << 1, SN_REAL);
    if (otherwise) return otherwise;
    if (w.n != 3 || w.h != 3 || a->stride > 2) return "not 3x3 with stride 1 or 2";
    return grouped_kind_of(w.w, w.c / a->groups, w.c) == GROUPED_ONE_VECTOR ? NULL : "groups that do not fill a vector together";
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    grouped_plan p = plan_of(call);
    return (size_t)(p.chunks * p.dw_floats) * sizeof(float);
}

typedef struct grouped_run {
    grouped_plan plan;
    const stored *x, *dy;
    float *chunks, *dw;
    int32_t lanes[VF * VF];
} grouped_run;

/* One row of x and the row of dy that a kernel row joins it with, for one block. */
typedef struct grouped_row {
    const stored *x, *dy;
    int64_t x_cols, y_cols, left;
    ptrdiff_t x_pixel, y_pixel;
    int64_t x_count; /* channels to load */
} grouped_row;

/* Adds the products of a column of x, permuted for each input, with an output of one kernel column. */
SN_INLINE void add_products(vf sum[INPUTS], const vf x[INPUTS], vf dy)
{
    SN_UNROLL for (int i = 0; i < INPUTS; i++) sum[i] += x[i] * dy;
}

/* Of bf16 the permutation also puts each value into the upper half of its lane. */
SN_INLINE void load_inputs(vf x[INPUTS], const grouped_row *r, int64_t col, const vi lanes[INPUTS])
{
    const stored *from = r->x + col * r->x_pixel;
#if SN_STORED_BF16 && SN_VECTOR_FLOATS == 16
    __m512i halves = _mm512_castsi256_si512((__m256i)(r->x_count >= VF ? *(const vh *)from : vh_load_first(from, r->x_count)));
    SN_UNROLL for (int i = 0; i < INPUTS; i++)
        x[i] = (vf)_mm512_maskz_permutexvar_epi16(0xaaaaaaaau, (__m512i)(lanes[i] << 16), halves);
#else
    vf v = vs_load_n(from, r->x_count);
    SN_UNROLL for (int i = 0; i < INPUTS; i++) x[i] = vf_permute(v, lanes[i]);
#endif
}

SN_INLINE vf load_change(const grouped_row *r, int64_t col) { return col < r->y_cols ? vs_load(r->dy + col * r->y_pixel) : (vf){0}; }

/* Kernel column kx of output t - kx reads x at t - left. */
SN_INLINE void add_row_1(vf sum[3][INPUTS], const grouped_row *r, const vi lanes[INPUTS])
{
    vf d0, d1 = {0}, d2 = {0}, x[INPUTS];
    for (int64_t t = 0; t < r->y_cols + 2; t++, d2 = d1, d1 = d0) {
        d0 = load_change(r, t);
        if (t < r->left || t - r->left >= r->x_cols) continue;
        load_inputs(x, r, t - r->left, lanes);
        add_products(sum[0], x, d0);
        add_products(sum[1], x, d1);
        add_products(sum[2], x, d2);
    }
}

/* x at 2 t - left meets kernel column 0 of output t and column 2 of output t - 1, the next one column 1 of output t. */
SN_INLINE void add_row_2(vf sum[3][INPUTS], const grouped_row *r, const vi lanes[INPUTS])
{
    vf d0, d1 = {0}, x[INPUTS];
    for (int64_t t = 0; t < r->y_cols + 1; t++, d1 = d0) {
        int64_t col = 2 * t - r->left;
        d0 = load_change(r, t);
        if (col >= 0 && col < r->x_cols) {
            load_inputs(x, r, col, lanes);
            add_products(sum[0], x, d0);
            add_products(sum[2], x, d1);
        }
        if (col + 1 >= 0 && col + 1 < r->x_cols) {
            load_inputs(x, r, col + 1, lanes);
            add_products(sum[1], x, d0);
        }
    }
}

/* Adds rows [row0, row1) of an image to the three kernel columns of one kernel row; x and dy at the image's pixel (0, 0) and the
 * block's first channel, dw at the block's first output of the kernel row and of the first of INPUTS inputs. */
static SN_NOINLINE void add_rows(const grouped_plan *p, const stored *x, const stored *dy, const int32_t *lane_table, float *dw,
                                 int64_t inputs, int64_t ky, int64_t row0, int64_t row1)
{
    grouped_row r = {.x_cols = p->x.w, .y_cols = p->y.w, .left = p->left, .x_pixel = p->x.c, .y_pixel = p->y.c,
                     .x_count = p->block_in};
    vf sum[3][INPUTS];
    vi lanes[INPUTS];
    SN_UNROLL for (int i = 0; i < INPUTS; i++) lanes[i] = vi_load(lane_table + (i < inputs ? i : 0) * VF);
    SN_UNROLL for (int kx = 0; kx < 3; kx++)
        SN_UNROLL for (int i = 0; i < INPUTS; i++) sum[kx][i] = (vf){0};
    for (int64_t row = row0; row < row1; row++) {
        int64_t in_row = row * p->stride - p->top + ky;
        if (in_row < 0 || in_row >= p->x.h) continue;
        r.x = x + in_row * p->x.w * p->x.c;
        r.dy = dy + row * p->y.w * p->y.c;
        if (p->stride == 1)
            add_row_1(sum, &r, lanes);
        else
            add_row_2(sum, &r, lanes);
    }
    SN_UNROLL for (int kx = 0; kx < 3; kx++)
        SN_UNROLL for (int i = 0; i < INPUTS; i++) {
            if (i >= inputs) continue; /* fewer inputs than sums: the others repeat the first */
            float *to = dw + (kx * p->group_in + i) * p->y.c;
            vf_store(to, vf_load(to) + sum[kx][i]);
        }
}

static void chunk_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const grouped_run *run = context;
    const grouped_plan *p = &run->plan;
    int64_t chunk = index / p->splits, first = index % p->splits * p->blocks_each;
    int64_t last = sn_min64(p->blocks, first + p->blocks_each);
    float *dw = run->chunks + chunk * p->dw_floats;
    for (int64_t row = 0; row < 9 * p->group_in; row++)
        memset(dw + row * p->y.c + first * VF, 0, (size_t)((last - first) * VF) * sizeof(float));
    for (int64_t unit = chunk * p->units_each; unit < sn_min64(p->units, (chunk + 1) * p->units_each); unit++) {
        int64_t image = unit / p->image_units, row0 = unit % p->image_units * p->unit_rows;
        const stored *x = run->x + image * p->x.h * p->x.w * p->x.c, *dy = run->dy + image * p->y.h * p->y.w * p->y.c;
        for (int64_t block = first; block < last; block++)
            for (int64_t ky = 0; ky < 3; ky++)
                for (int64_t i = 0; i < p->group_in; i += INPUTS)
                    add_rows(p, x + block * p->block_in, dy + block * VF, run->lanes + i * VF,
                             dw + (ky * 3 * p->group_in + i) * p->y.c + block * VF, p->group_in - i, ky, row0,
                             sn_min64(p->y.h, row0 + p->unit_rows));
    }
}

/* dw = the sum of the chunks in order, for one row (tap, input) of it. */
static void reduce_task(void *context, int64_t row, int worker)
{
    (void)worker;
    const grouped_run *run = context;
    const grouped_plan *p = &run->plan;
    for (int64_t o = row * p->y.c; o < (row + 1) * p->y.c; o += VF) {
        vf sum = {0};
        for (int64_t chunk = 0; chunk < p->chunks; chunk++) sum += vf_load(run->chunks + chunk * p->dw_floats + o);
        vf_store(run->dw + o, sum);
    }
}

static void run(const sn_kernel_call *call)
{
    grouped_run run = {.plan = plan_of(call), .x = call->inputs[0], .dy = call->inputs[1], .chunks = call->scratch,
                       .dw = call->output};
    const grouped_plan *p = &run.plan;
    grouped_lanes(run.lanes, p->group_in, p->group_out);
    int threads = sn_shape_elements(p->y) * 9 * p->group_in < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->chunks * p->splits, chunk_task, &run);
    threads = p->chunks * p->dw_floats * 4 < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, 9 * p->group_in, reduce_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grad_weight_grouped) = {
    .name = SN_KERNEL_NAME(conv2d_grad_weight_grouped),
    .op = SN_OP_conv2d_grad_weight,
    .storage = SN_STORED,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
