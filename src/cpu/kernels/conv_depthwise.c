/* conv_depthwise.c - depthwise 3x3 convolution (as many groups as channels), stride 1 and 2, forward and backward-data.
 *
 * The register tile is TILE neighbouring outputs x one vector of channels; the nine weights of those channels stay in registers
 * while a task walks over its band of rows, so a channel block is the outer loop.  An input value is loaded once a row and
 * serves the three columns of the kernel.  Rows and columns outside the image are skipped, nothing is copied; weights are used
 * as they lie: (3, 3, 1, C).
 * Backward-data of stride 1 is the same convolution with the kernel turned by 180 degrees; that of stride 2 gathers, for each
 * parity of the pixel, the one, two or four outputs that read it.
 * Memory: reads the input once (and two rows a band again), writes the output once.  The channels of one vector are 64 bytes of
 * every pixel, which the processor does not foresee, so the next row is fetched while a row is computed.
 */
#include "cpu/kernels/clamp.h"

#if SN_VECTOR_FLOATS == 16
enum { TILE = 7 }; /* 7 sums, 9 weights, bias and clamp; maps of ImageNet networks are multiples of 7 */
#else
enum { TILE = 4 };
#endif
enum { TAPS = 9, BAND_FLOATS = 32768, TASKS = 16 };

/* A value to keep in a register: the compiler would load it again for every product, which counts where many channels put all pixels
 * into one cache set. */
#if SN_VECTOR_FLOATS == 16
#define KEEP(v) __asm__("" : "+v"(v))
#else
#define KEEP(v) (void)(v)
#endif

typedef struct depthwise_plan {
    sn_shape in, out; /* of this pass */
    int64_t stride, top, left;
    int64_t band_rows, bands;             /* rows of `out` in a task */
    int64_t blocks, blocks_each, splits;  /* channel blocks of VF */
} depthwise_plan;

static depthwise_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    bool turned = call->node->op == SN_OP_conv2d_grad_input && a->stride == 1;
    depthwise_plan p = {.in = call->input_nodes[0]->shape, .out = call->node->shape, .stride = a->stride,
                        .top = turned ? 2 - a->pad_top : a->pad_top, .left = turned ? 2 - a->pad_left : a->pad_left};
    p.band_rows = sn_min64(p.out.h, sn_max64(4, BAND_FLOATS / (p.out.w * p.out.c)));
    p.bands = sn_ceil_div(p.out.h, p.band_rows);
    p.band_rows = sn_ceil_div(p.out.h, p.bands);
    p.bands = sn_ceil_div(p.out.h, p.band_rows);
    p.blocks = sn_ceil_div(p.out.c, VF);
    p.blocks_each = sn_ceil_div(p.blocks, sn_min64(p.blocks, sn_ceil_div(TASKS, p.out.n * p.bands)));
    p.splits = sn_ceil_div(p.blocks, p.blocks_each);
    return p;
}

/* Whether at most one row or column lies outside the image on each side, as the tile expects. */
static bool edges_fit(int64_t in, int64_t out, int64_t stride, int64_t before)
{
    return before >= 0 && before <= 1 && (out - 1) * stride - before + 2 <= in;
}

static const char *refuse(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape w = call->input_nodes[1]->shape;
    if (call->precision != SN_FLOAT) return "not single precision";
    if (w.w != 1 || w.c != a->groups) return "not depthwise";
    if (w.n != 3 || w.h != 3 || a->stride > 2) return "not 3x3 with stride 1 or 2";
    if (call->node->inputs_count > 3 && call->input_nodes[3]) return "a residual";
    if (!clamp_is(a->activation)) return "an activation that is no clamp";
    depthwise_plan p = plan_of(call);
    if (call->node->op == SN_OP_conv2d_grad_input && a->stride == 2) return NULL;
    if (!edges_fit(p.in.h, p.out.h, p.stride, p.top) || !edges_fit(p.in.w, p.out.w, p.stride, p.left)) return "padding above 1";
    return NULL;
}

typedef struct depthwise_run {
    depthwise_plan plan;
    const float *in, *weight, *bias;
    float *out;
    bool backward;
    clamp clamp;
} depthwise_run;

/* One vector of channels: what stays in registers. */
typedef struct depthwise_block {
    vf w[TAPS], bias;
    clamp clamp;
    int64_t lanes; /* valid channels */
    ptrdiff_t pixel; /* floats from a pixel to the next */
} depthwise_block;

/* `pixels` neighbouring outputs at y; rows[ky]: the input row, NULL outside the image; at: the first input column's offset in it;
 * skip_first, skip_last: that column of the tile lies outside. */
SN_INLINE void tile(const depthwise_block *b, const float *const rows[3], ptrdiff_t at, float *y, int pixels, int stride,
                    bool skip_first, bool skip_last)
{
    const int columns = (pixels - 1) * stride + 3;
    vf sum[TILE];
    SN_UNROLL for (int i = 0; i < pixels; i++) sum[i] = b->bias;
    SN_UNROLL for (int ky = 0; ky < 3; ky++) {
        if (!rows[ky]) continue;
        ptrdiff_t column = at;
        SN_UNROLL for (int j = 0; j < columns; j++, column += b->pixel) {
            if ((j == 0 && skip_first) || (j == columns - 1 && skip_last)) continue;
            vf x = vf_load_n(rows[ky] + column, b->lanes);
            KEEP(x);
            SN_UNROLL for (int kx = 0; kx < 3; kx++)
                if (j >= kx && (j - kx) % stride == 0 && (j - kx) / stride < pixels)
                    sum[(j - kx) / stride] += x * b->w[ky * 3 + kx];
        }
    }
    SN_UNROLL for (int i = 0; i < pixels; i++, y += b->pixel) vf_store_n(y, clamp_apply(&b->clamp, sum[i]), b->lanes);
}

/* Fetches `count` pixels from p on into the L2 cache. */
SN_INLINE void fetch_pixels(const float *p, ptrdiff_t pixel, int count)
{
    SN_UNROLL for (int i = 0; i < count; i++) __builtin_prefetch(p + i * pixel, 0, 2);
}

/* Rows [row0, row1) of an image for one vector of channels; in and out at the image's pixel (0, 0). */
SN_INLINE void forward_rows(const depthwise_plan *p, const depthwise_block *b, const float *in, float *out, int64_t row0,
                            int64_t row1, int stride)
{
    for (int64_t row = row0; row < row1; row++) {
        const float *rows[3];
        SN_UNROLL for (int ky = 0; ky < 3; ky++) {
            int64_t in_row = row * stride - p->top + ky;
            rows[ky] = in_row >= 0 && in_row < p->in.h ? in + in_row * p->in.w * p->in.c : NULL;
        }
        float *y = out + row * p->out.w * p->out.c;
        int64_t col = 0, first = -p->left; /* input column of output column col */
        for (; col + TILE <= p->out.w; col += TILE, first += TILE * stride) {
            for (int k = 1; k <= stride && rows[2]; k++)
                fetch_pixels(rows[2] + (k * p->in.w + first + 2) * b->pixel, b->pixel, TILE * stride);
            fetch_pixels(y + (p->out.w + col) * b->pixel, b->pixel, TILE);
            tile(b, rows, first * b->pixel, y + col * b->pixel, TILE, stride, first < 0,
                 first + (TILE - 1) * stride + 2 >= p->in.w);
        }
        for (; col < p->out.w; col++, first += stride)
            tile(b, rows, first * b->pixel, y + col * b->pixel, 1, stride, first < 0, first + 2 >= p->in.w);
    }
}

/* One row of dx behind stride 2: rows[k] is the row of dy that kernel row first_ky + 2 k leads to, NULL outside. */
SN_INLINE void gather_row(const depthwise_plan *p, const depthwise_block *b, const float *const rows[2], float *dx, int rows_count,
                          int first_ky)
{
    for (int64_t col = 0; col < p->out.w; col++, dx += b->pixel) {
        int64_t shifted = col + p->left, u = shifted / 2;
        vf sum = {0};
        SN_UNROLL for (int k = 0; k < rows_count; k++) {
            const vf *w = b->w + (first_ky + 2 * k) * 3;
            if (!rows[k]) continue;
            const float *dy = rows[k] + u * b->pixel;
            if (shifted % 2 != 0) {
                if (u < p->in.w) sum += vf_load_n(dy, b->lanes) * w[1];
            } else {
                if (u < p->in.w) sum += vf_load_n(dy, b->lanes) * w[0];
                if (u > 0 && u <= p->in.w) sum += vf_load_n(dy - b->pixel, b->lanes) * w[2];
            }
        }
        fetch_pixels(dx + p->out.w * b->pixel, b->pixel, 1);
        vf_store_n(dx, sum, b->lanes);
    }
}

SN_INLINE void gather_rows(const depthwise_plan *p, const depthwise_block *b, const float *dy, float *dx, int64_t row0,
                           int64_t row1)
{
    for (int64_t row = row0; row < row1; row++) {
        int64_t shifted = row + p->top, u = shifted / 2;
        const float *rows[2] = {u < p->in.h ? dy + u * p->in.w * p->in.c : NULL,
                                u > 0 && u <= p->in.h ? dy + (u - 1) * p->in.w * p->in.c : NULL};
        float *to = dx + row * p->out.w * p->out.c;
        if (shifted % 2 != 0)
            gather_row(p, b, rows, to, 1, 1);
        else
            gather_row(p, b, rows, to, 2, 0);
    }
}

typedef void (*rows_function)(const depthwise_plan *, const depthwise_block *, const float *, float *, int64_t, int64_t);

/* With `lanes` a constant where the vector is whole, loads and stores have no mask. */
#define DEFINE_ROWS(name, body)                                                                                      \
    static SN_NOINLINE void name##_whole(const depthwise_plan *p, const depthwise_block *given, const float *in,     \
                                         float *out, int64_t row0, int64_t row1)                                     \
    {                                                                                                                \
        depthwise_block b = *given;                                                                                  \
        b.lanes = VF;                                                                                                \
        body;                                                                                                        \
    }                                                                                                                \
    static SN_NOINLINE void name##_part(const depthwise_plan *p, const depthwise_block *given, const float *in,      \
                                        float *out, int64_t row0, int64_t row1)                                      \
    {                                                                                                                \
        depthwise_block b = *given;                                                                                  \
        body;                                                                                                        \
    }

DEFINE_ROWS(stride_1, forward_rows(p, &b, in, out, row0, row1, 1))
DEFINE_ROWS(stride_2, forward_rows(p, &b, in, out, row0, row1, 2))
DEFINE_ROWS(gather_2, gather_rows(p, &b, in, out, row0, row1))

/* [pass][whole vector] */
static const rows_function rows_functions[3][2] = {
    {stride_1_part, stride_1_whole}, {stride_2_part, stride_2_whole}, {gather_2_part, gather_2_whole}};
enum { PASS_STRIDE_1, PASS_STRIDE_2, PASS_GATHER_2 };

static void depthwise_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const depthwise_run *run = context;
    const depthwise_plan *p = &run->plan;
    int64_t split = index % p->splits, band = index / p->splits % p->bands, image = index / p->splits / p->bands;
    int64_t row0 = band * p->band_rows, row1 = sn_min64(p->out.h, row0 + p->band_rows);
    int pass = run->backward && p->stride == 2 ? PASS_GATHER_2 : p->stride == 2 ? PASS_STRIDE_2 : PASS_STRIDE_1;
    for (int64_t block = split * p->blocks_each; block < sn_min64(p->blocks, (split + 1) * p->blocks_each); block++) {
        int64_t channel = block * VF;
        depthwise_block b = {.clamp = run->clamp, .lanes = sn_min64(VF, p->out.c - channel), .pixel = p->out.c};
        for (int t = 0; t < TAPS; t++) {
            int from = pass == PASS_STRIDE_1 && run->backward ? TAPS - 1 - t : t;
            b.w[t] = vf_load_n(run->weight + from * p->out.c + channel, b.lanes);
        }
        if (run->bias) b.bias = vf_load_n(run->bias + channel, b.lanes);
        rows_functions[pass][b.lanes == VF](p, &b, run->in + image * p->in.h * p->in.w * p->in.c + channel,
                                            run->out + image * p->out.h * p->out.w * p->out.c + channel, row0, row1);
    }
}

static void run(const sn_kernel_call *call)
{
    depthwise_run run = {.plan = plan_of(call), .in = call->inputs[0], .weight = call->inputs[1], .out = call->output,
                         .backward = call->node->op == SN_OP_conv2d_grad_input,
                         .clamp = clamp_of(call->node->attrs.u.conv.activation)};
    if (!run.backward) run.bias = call_input(call, 2);
    const depthwise_plan *p = &run.plan;
    int threads = sn_shape_elements(p->out) * TAPS < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->out.n * p->bands * p->splits, depthwise_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_depthwise) = {
    .name = SN_KERNEL_NAME(conv2d_depthwise), .op = SN_OP_conv2d, .refuse = refuse, .run = run};
const sn_kernel SN_KERNEL_SYMBOL(conv2d_grad_input_depthwise) = {
    .name = SN_KERNEL_NAME(conv2d_grad_input_depthwise), .op = SN_OP_conv2d_grad_input, .refuse = refuse, .run = run};
