/* conv_depthwise_grad_weight.c - gradient of a depthwise 3x3 weight:  dw(ky, kx, c) = sum over pixels of  x(pixel + tap, c) dy(pixel, c).
 *
 * For one vector of channels the nine sums stay in registers while a unit (rows of one image, about UNIT_PIXELS pixels, which also
 * bounds the rounding) passes by; dy is loaded once a pixel, x less than five times, from the L1 cache.  Where a row or a column of the
 * kernel leaves the image, x is read from a vector of zeros.
 *
 * Units are cut into chunks by the shape alone, each with a dw of its own; the chunks are added in order at the end, so threads do
 * not change the bits.  Memory: reads x and dy once; the next row is fetched while a row is summed, since 64 bytes of every pixel
 * are a pattern that the processor does not foresee.
 */
#include "cpu/kernels/stored.h"

enum { TAPS = 9, UNIT_PIXELS = 128, MOST_CHUNKS = 16, MOST_PIXELS = 4 };

typedef struct depthwise_plan {
    sn_shape x, y;
    int64_t stride, top, left;
    int64_t unit_rows, image_units, units, chunks, units_each;
    int64_t blocks, blocks_each, splits; /* channel blocks of VF */
    int64_t dw_floats;                   /* of a private gradient: [block][tap][VF] */
} depthwise_plan;

static depthwise_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    depthwise_plan p = {.x = call->input_nodes[0]->shape, .y = call->input_nodes[1]->shape, .stride = a->stride, .top = a->pad_top,
                        .left = a->pad_left};
    p.unit_rows = sn_min64(p.y.h, sn_max64(1, UNIT_PIXELS / p.y.w));
    p.image_units = sn_ceil_div(p.y.h, p.unit_rows);
    p.units = p.y.n * p.image_units;
    p.units_each = sn_ceil_div(p.units, sn_min64(p.units, MOST_CHUNKS));
    p.chunks = sn_ceil_div(p.units, p.units_each);
    p.blocks = sn_ceil_div(p.y.c, VF);
    p.blocks_each = sn_ceil_div(p.blocks, sn_min64(p.blocks, sn_ceil_div(MOST_CHUNKS, p.chunks)));
    p.splits = sn_ceil_div(p.blocks, p.blocks_each);
    p.dw_floats = p.blocks * TAPS * VF;
    return p;
}

static const char *refuse(const sn_kernel_call *call)
{
    sn_shape w = call->node->shape;
    const char *otherwise = storage_refusal(call, 1u << 0 | 1u << 1, SN_REAL);
    if (otherwise) return otherwise;
    if (w.w != 1 || w.c != call->node->attrs.u.conv.groups) return "not depthwise";
    if (w.n != 3 || w.h != 3) return "not 3x3";
    return NULL;
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    depthwise_plan p = plan_of(call);
    return (size_t)(p.chunks * p.dw_floats) * sizeof(float);
}

typedef struct depthwise_run {
    depthwise_plan plan;
    const stored *x, *dy;
    float *chunks, *dw;
} depthwise_run;

static const stored zeros[VF];

/* Adds the products of `pixels` neighbouring output pixels, in their order; x[ky]: the first one's pixel of kernel column 0, the next
 * ones step[ky] values further.  A value of x is loaded once for all of them. */
SN_INLINE void add_pixels(vf *sum, const stored *const x[3], const ptrdiff_t step[3], const stored *dy, ptrdiff_t dy_step, int64_t lanes,
                          int pixels, int stride)
{
    vf d[MOST_PIXELS];
    SN_UNROLL for (int i = 0; i < pixels; i++) d[i] = vs_load_n(dy + i * dy_step, lanes);
    SN_UNROLL for (int ky = 0; ky < 3; ky++)
        SN_UNROLL for (int j = 0; j < (pixels - 1) * stride + 3; j++) {
            vf value = vs_load_n(x[ky] + j * step[ky], lanes);
            SN_UNROLL for (int i = 0; i < pixels; i++)
                if (j >= i * stride && j < i * stride + 3) sum[ky * 3 + j - i * stride] += value * d[i];
        }
}

/* The same where kernel columns may lie outside: col is the input column of kernel column 0. */
SN_INLINE void add_border_pixel(vf *sum, const stored *const rows[3], const ptrdiff_t step[3], int64_t col, int64_t columns,
                                const stored *dy, int64_t lanes)
{
    vf d = vs_load_n(dy, lanes);
    SN_UNROLL for (int kx = 0; kx < 3; kx++) {
        if (col + kx < 0 || col + kx >= columns) continue;
        SN_UNROLL for (int ky = 0; ky < 3; ky++)
            sum[ky * 3 + kx] += vs_load_n(rows[ky] + (col + kx) * step[ky], lanes) * d;
    }
}

/* Adds rows [row0, row1) of an image for one vector of channels to dw; x and dy at the image's pixel (0, 0).  stride: 1, 2 or, where it
 * is another one, 0. */
SN_INLINE void add_rows(const depthwise_plan *p, const stored *x, const stored *dy, float *dw, int64_t row0, int64_t row1,
                        int64_t lanes, int stride)
{
    vf sum[TAPS];
    SN_UNROLL for (int t = 0; t < TAPS; t++) sum[t] = (vf){0};
    const int64_t channels = p->y.c;
    int64_t first = sn_min64(p->y.w, sn_ceil_div(p->left, p->stride)); /* output columns whose taps all lie inside: [first, last) */
    int64_t last = p->x.w + p->left >= 3 ? sn_min64(p->y.w, (p->x.w + p->left - 3) / p->stride + 1) : 0;
    last = sn_max64(first, last);
    for (int64_t row = row0; row < row1; row++) {
        const stored *rows[3], *d = dy + row * p->y.w * channels;
        ptrdiff_t step[3];
        SN_UNROLL for (int ky = 0; ky < 3; ky++) {
            int64_t in_row = row * p->stride - p->top + ky;
            bool inside = in_row >= 0 && in_row < p->x.h;
            rows[ky] = inside ? x + in_row * p->x.w * channels : zeros;
            step[ky] = inside ? channels : 0;
        }
        for (int64_t col = 0; col < first; col++)
            add_border_pixel(sum, rows, step, col * p->stride - p->left, p->x.w, d + col * channels, lanes);
        const stored *at[3];
        SN_UNROLL for (int ky = 0; ky < 3; ky++) at[ky] = rows[ky] + (first * p->stride - p->left) * step[ky];
        for (int64_t col = first; col < last;) {
            int64_t pixels = stride > 0 && col + MOST_PIXELS <= last ? MOST_PIXELS : 1;
            for (int64_t k = 1; k <= p->stride; k++)
                for (int64_t i = 0; i < pixels * p->stride; i++) __builtin_prefetch(at[2] + (k * p->x.w + i) * step[2], 0, 2);
            for (int64_t i = 0; i < pixels; i++) __builtin_prefetch(d + (p->y.w + col + i) * channels, 0, 2);
            if (pixels == MOST_PIXELS)
                add_pixels(sum, at, step, d + col * channels, channels, lanes, MOST_PIXELS, stride);
            else
                add_pixels(sum, at, step, d + col * channels, channels, lanes, 1, 1);
            SN_UNROLL for (int ky = 0; ky < 3; ky++) at[ky] += pixels * p->stride * step[ky];
            col += pixels;
        }
        for (int64_t col = last; col < p->y.w; col++)
            add_border_pixel(sum, rows, step, col * p->stride - p->left, p->x.w, d + col * channels, lanes);
    }
    SN_UNROLL for (int t = 0; t < TAPS; t++) vf_store(dw + t * VF, vf_load(dw + t * VF) + sum[t]);
}

#define DEFINE_ADD_ROWS(stride)                                                                                      \
    static SN_NOINLINE void add_rows_##stride(const depthwise_plan *p, const stored *x, const stored *dy, float *dw, \
                                              int64_t row0, int64_t row1, int64_t lanes)                             \
    {                                                                                                                \
        if (lanes >= VF)                                                                                             \
            add_rows(p, x, dy, dw, row0, row1, VF, stride);                                                          \
        else                                                                                                         \
            add_rows(p, x, dy, dw, row0, row1, lanes, stride);                                                       \
    }

DEFINE_ADD_ROWS(0)
DEFINE_ADD_ROWS(1)
DEFINE_ADD_ROWS(2)

static void chunk_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const depthwise_run *run = context;
    const depthwise_plan *p = &run->plan;
    int64_t chunk = index / p->splits, first = index % p->splits * p->blocks_each;
    int64_t last = sn_min64(p->blocks, first + p->blocks_each);
    float *dw = run->chunks + chunk * p->dw_floats;
    memset(dw + first * TAPS * VF, 0, (size_t)((last - first) * TAPS * VF) * sizeof(float));
    for (int64_t unit = chunk * p->units_each; unit < sn_min64(p->units, (chunk + 1) * p->units_each); unit++) {
        int64_t image = unit / p->image_units, row0 = unit % p->image_units * p->unit_rows;
        int64_t row1 = sn_min64(p->y.h, row0 + p->unit_rows);
        const stored *x = run->x + image * p->x.h * p->x.w * p->x.c, *dy = run->dy + image * p->y.h * p->y.w * p->y.c;
        for (int64_t block = first; block < last; block++) {
            int64_t channel = block * VF;
            (p->stride == 1 ? add_rows_1 : p->stride == 2 ? add_rows_2 : add_rows_0)(
                p, x + channel, dy + channel, dw + block * TAPS * VF, row0, row1, p->y.c - channel);
        }
    }
}

/* dw = the sum of the chunks in order. */
static void reduce(const depthwise_run *run)
{
    const depthwise_plan *p = &run->plan;
    for (int64_t block = 0; block < p->blocks; block++)
        for (int t = 0; t < TAPS; t++) {
            vf sum = {0};
            for (int64_t chunk = 0; chunk < p->chunks; chunk++)
                sum += vf_load(run->chunks + chunk * p->dw_floats + (block * TAPS + t) * VF);
            vf_store_n(run->dw + t * p->y.c + block * VF, sum, p->y.c - block * VF);
        }
}

static void run(const sn_kernel_call *call)
{
    depthwise_run run = {.plan = plan_of(call), .x = call->inputs[0], .dy = call->inputs[1], .chunks = call->scratch,
                         .dw = call->output};
    const depthwise_plan *p = &run.plan;
    int threads = sn_shape_elements(p->y) * TAPS < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->chunks * p->splits, chunk_task, &run);
    reduce(&run);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grad_weight_depthwise) = {
    .name = SN_KERNEL_NAME(conv2d_grad_weight_depthwise),
    .op = SN_OP_conv2d_grad_weight,
    .storage = SN_STORED,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
