/* conv_depthwise.c - depthwise 3x3 convolution (as many groups as channels), stride 1 and 2, forward and backward-data.
 *
 * The register tile is ROWS x TILE neighbouring outputs x one vector of channels; its nine weights are in registers, and an input
 * value is loaded once and serves all outputs that it reaches: up to six of stride 1.  Channels are the innermost loop, so that
 * memory is read in streams as long as a pixel, a row of pixels after the other, which the processor foresees; weights are packed
 * as they are read.  Rows and columns outside the image are skipped, pixels are not copied.
 * A gate multiplies the weights, of which there are fewer than pixels.
 * Backward-data of stride 1 is the same convolution with the kernel turned by 180 degrees; that of stride 2 gathers, for each
 * parity of the pixel, the one, two or four outputs that read it.
 * Memory: reads the input once (and two rows a band again), writes the output once; the rows that come next, of both, are fetched.
 */
#include "cpu/kernels/clamp.h"
#include "cpu/kernels/norm_sums.h"

#if SN_VECTOR_REGISTERS == 32
enum { ROWS = 2, TILE = 7 }; /* 14 sums, 9 weights and an input; maps of ImageNet networks are multiples of 7 */
#else
enum { ROWS = 1, TILE = 4 };
#endif
enum { TAPS = 9, BAND_FLOATS = 16384, TASKS = 16, MOST_IN_ROWS = 2 * (ROWS - 1) + 3 };
enum { STATS_PIXELS = 196 }; /* of a band, where statistics are gathered: a band has sums of its own, which are joined in the end */

/* A value to keep in a register: the compiler would load it again for every product. */
#if SN_VECTOR_FLOATS == 16
#define KEEP(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#define KEEP(v) __asm__("" : "+w"(v))
#else
#define KEEP(v) (void)(v)
#endif

typedef struct depthwise_plan {
    sn_shape in, out; /* of this pass */
    int64_t stride, top, left;
    int64_t band_rows, bands;            /* rows of `out` in a task */
    int64_t blocks, blocks_each, splits; /* channel blocks of VF */
} depthwise_plan;

static depthwise_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    bool turned = call->node->op == SN_OP_conv2d_grad_input && a->stride == 1;
    depthwise_plan p = {.in = call->input_nodes[0]->shape, .out = call->node->shape, .stride = a->stride,
                        .top = turned ? 2 - a->pad_top : a->pad_top, .left = turned ? 2 - a->pad_left : a->pad_left};
    p.band_rows = sn_max64(2, BAND_FLOATS / (p.out.w * p.out.c) / 2 * 2);
    if (call->stats_node) p.band_rows = sn_max64(p.band_rows, sn_ceil_div(STATS_PIXELS, p.out.w) / 2 * 2);
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
    const char *otherwise = stored_refusal(call, 1u << 0);
    if (otherwise) return otherwise;
    if (w.w != 1 || w.c != a->groups) return "not depthwise";
    if (w.n != 3 || w.h != 3 || a->stride > 2) return "not 3x3 with stride 1 or 2";
    if (call->node->inputs_count > 3 && call->input_nodes[3]) return "a residual";
    if (!clamp_is(a->activation)) return "an activation that is no clamp";
    depthwise_plan p = plan_of(call);
    if (call->node->op == SN_OP_conv2d_grad_input && a->stride == 2) return NULL;
    if (!edges_fit(p.in.h, p.out.h, p.stride, p.top) || !edges_fit(p.in.w, p.out.w, p.stride, p.left)) return "padding above 1";
    return NULL;
}

/* ---- weights: [channel block][tap][VF], zeros behind the last channel ---- */

static size_t packed_bytes(const sn_kernel_call *call)
{
    return (size_t)(sn_ceil_div(call->node->shape.c, VF) * TAPS * VF) * sizeof(float);
}

static void pack(const sn_kernel_call *call, void *packed)
{
    bool turned = call->node->op == SN_OP_conv2d_grad_input && call->node->attrs.u.conv.stride == 1;
    int64_t channels = call->node->shape.c;
    const float *weight = call->inputs[1];
    float *to = packed;
    for (int64_t channel = 0; channel < channels; channel += VF)
        for (int t = 0; t < TAPS; t++, to += VF)
            vf_store(to, vf_load_n(weight + (turned ? TAPS - 1 - t : t) * channels + channel, channels - channel));
}

/* ---- the register tile ---- */

typedef struct depthwise_tile {
    const stored *rows[MOST_IN_ROWS]; /* input rows at the image's first column, NULL outside */
    ptrdiff_t at;                    /* the tile's first input column in them */
    stored *y;                       /* the first output */
    ptrdiff_t y_row, pixel;          /* values from an output row to the next, and from a pixel to the next */
    ptrdiff_t fetch;                 /* from an input row to the one that is fetched meanwhile; 0: to none */
    bool skip_first, skip_last;      /* that input column lies outside */
    const float *w, *bias, *gate;    /* packed weights; bias and gate may be NULL */
    clamp clamp;
} depthwise_tile;

/* rows x pixels outputs of the channels from `channel` on, of which `lanes` exist. */
SN_INLINE void compute_tile(const depthwise_tile *t, int64_t channel, int64_t lanes, int rows, int pixels, int stride)
{
    const int in_rows = (rows - 1) * stride + 3, columns = (pixels - 1) * stride + 3;
    vf w[TAPS], sum[ROWS * TILE], bias = t->bias ? vf_load_n(t->bias + channel, lanes) : (vf){0};
    SN_UNROLL for (int k = 0; k < TAPS; k++) w[k] = vf_load(t->w + channel * TAPS + k * VF);
    if (t->gate) {
        vf gate = vf_load_n(t->gate + channel, lanes);
        SN_UNROLL for (int k = 0; k < TAPS; k++) w[k] *= gate;
    }
    SN_UNROLL for (int i = 0; i < rows * pixels; i++) sum[i] = bias;
    SN_UNROLL for (int r = 0; r < in_rows; r++) {
        if (!t->rows[r]) continue;
        const stored *x = t->rows[r] + channel;
        ptrdiff_t column = t->at;
        SN_UNROLL for (int j = 0; j < columns; j++, column += t->pixel) {
            if ((j == 0 && t->skip_first) || (j == columns - 1 && t->skip_last)) continue;
            vf value = vs_load_n(x + column, lanes);
            KEEP(value);
            if (r >= in_rows - rows * stride && j < pixels * stride) __builtin_prefetch(x + column + t->fetch, 0, 2);
            SN_UNROLL for (int o = 0; o < rows; o++)
                SN_UNROLL for (int kx = 0; kx < 3; kx++) {
                    int ky = r - o * stride;
                    if (ky >= 0 && ky < 3 && j >= kx && (j - kx) % stride == 0 && (j - kx) / stride < pixels)
                        sum[o * pixels + (j - kx) / stride] += value * w[ky * 3 + kx];
                }
        }
    }
    SN_UNROLL for (int o = 0; o < rows; o++) {
        stored *y = t->y + o * t->y_row + channel;
        SN_UNROLL for (int i = 0; i < pixels; i++) __builtin_prefetch(y + i * t->pixel + rows * t->y_row, 1, 2);
        SN_UNROLL for (int i = 0; i < pixels; i++, y += t->pixel)
            vs_store_n(y, clamp_apply(&t->clamp, sum[o * pixels + i]), lanes);
    }
}

/* Channels [channel, end). With the number of lanes a constant where vectors are whole, loads and stores have no mask. */
#define DEFINE_TILE(name, rows, pixels, stride)                                                                      \
    static SN_NOINLINE void name(const depthwise_tile *t, int64_t channel, int64_t end)                              \
    {                                                                                                                \
        for (; channel + VF <= end; channel += VF) compute_tile(t, channel, VF, rows, pixels, stride);               \
        if (channel < end) compute_tile(t, channel, end - channel, rows, pixels, stride);                            \
    }

DEFINE_TILE(tile_rows_1, ROWS, TILE, 1)
DEFINE_TILE(tile_rows_2, ROWS, TILE, 2)
DEFINE_TILE(tile_row_1, 1, TILE, 1)
DEFINE_TILE(tile_row_2, 1, TILE, 2)
DEFINE_TILE(tile_pixel_1, 1, 1, 1)
DEFINE_TILE(tile_pixel_2, 1, 1, 2)

/* [stride - 1][ROWS rows of TILE pixels, one row, one pixel] */
static void (*const tiles[2][3])(const depthwise_tile *t, int64_t channel, int64_t end) = {
    {tile_rows_1, tile_row_1, tile_pixel_1}, {tile_rows_2, tile_row_2, tile_pixel_2}};

typedef struct depthwise_run {
    depthwise_plan plan;
    const stored *in;
    const float *packed, *bias, *gate;
    stored *out;
    bool backward;
    clamp clamp;
    norm_sums norms;
} depthwise_run;

/* Rows [row, row + rows) of channels [channel, end) of an image: ROWS of at least TILE pixels, or one. */
static void compute_rows(const depthwise_run *run, int64_t image, int64_t row, int rows, int64_t channel, int64_t end)
{
    const depthwise_plan *p = &run->plan;
    const stored *in = run->in + image * p->in.h * p->in.w * p->in.c;
    depthwise_tile t = {.y_row = p->out.w * p->out.c, .pixel = p->out.c, .w = run->packed, .bias = run->bias, .clamp = run->clamp,
                        .gate = run->gate ? run->gate + image * p->in.c : NULL};
    int in_rows = (rows - 1) * (int)p->stride + 3;
    for (int r = 0; r < in_rows; r++) {
        int64_t in_row = row * p->stride - p->top + r;
        t.rows[r] = in_row >= 0 && in_row < p->in.h ? in + in_row * p->in.w * p->in.c : NULL;
        if (in_row + rows * p->stride < p->in.h) t.fetch = rows * p->stride * p->in.w * p->in.c;
    }
    int pixels = p->out.w >= TILE ? TILE : 1, kind = pixels == 1 ? 2 : rows == 1 ? 1 : 0;
    for (int64_t col = 0; col < p->out.w; col += pixels) {
        int64_t from = sn_min64(col, p->out.w - pixels), first = from * p->stride - p->left; /* the last may overlap */
        t.at = first * p->in.c;
        t.y = run->out + ((image * p->out.h + row) * p->out.w + from) * p->out.c;
        t.skip_first = first < 0;
        t.skip_last = first + (pixels - 1) * p->stride + 2 >= p->in.w;
        tiles[p->stride - 1][kind](&t, channel, end);
        for (int r = 0; r < rows && run->norms.rows; r++) /* while the outputs are in the L1 cache; without those that overlap */
            norm_add(&run->norms, image * p->bands + row / p->band_rows, channel, end - channel,
                     t.y + r * t.y_row + (col - from) * t.pixel + channel, t.pixel, pixels - (col - from));
    }
}

/* ---- backward-data of stride 2 ---- */

/* One row of dx, channels [channel, end): rows[k] is the row of dy that kernel row first_ky + 2 k leads to, NULL outside. */
SN_INLINE void gather_row(const depthwise_run *run, const stored *const rows[2], stored *dx, int rows_count, int first_ky,
                          int64_t channel, int64_t end)
{
    const depthwise_plan *p = &run->plan;
    for (int64_t col = 0; col < p->out.w; col++, dx += p->out.c) {
        int64_t shifted = col + p->left, u = shifted / 2;
        bool odd = shifted % 2 != 0, at_u = u < p->in.w, before_u = !odd && u > 0 && u <= p->in.w;
        for (int64_t c = channel; c < end; c += VF) {
            int64_t lanes = sn_min64(VF, end - c);
            vf sum = {0};
            SN_UNROLL for (int k = 0; k < rows_count; k++) {
                const float *w = run->packed + c * TAPS + (first_ky + 2 * k) * 3 * VF;
                if (!rows[k]) continue;
                const stored *dy = rows[k] + u * p->in.c + c;
                if (at_u) sum += vs_load_n(dy, lanes) * vf_load(odd ? w + VF : w);
                if (before_u) sum += vs_load_n(dy - p->in.c, lanes) * vf_load(w + 2 * VF);
            }
            vs_store_n(dx + c, sum, lanes);
        }
    }
}

static void gather_rows(const depthwise_run *run, int64_t image, int64_t row0, int64_t row1, int64_t channel, int64_t end)
{
    const depthwise_plan *p = &run->plan;
    const stored *dy = run->in + image * p->in.h * p->in.w * p->in.c;
    for (int64_t row = row0; row < row1; row++) {
        int64_t shifted = row + p->top, u = shifted / 2;
        const stored *rows[2] = {u < p->in.h ? dy + u * p->in.w * p->in.c : NULL,
                                 u > 0 && u <= p->in.h ? dy + (u - 1) * p->in.w * p->in.c : NULL};
        stored *to = run->out + (image * p->out.h + row) * p->out.w * p->out.c;
        if (shifted % 2 != 0)
            gather_row(run, rows, to, 1, 1, channel, end);
        else
            gather_row(run, rows, to, 2, 0, channel, end);
    }
}

/* ---- tasks ---- */

static void depthwise_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const depthwise_run *run = context;
    const depthwise_plan *p = &run->plan;
    int64_t split = index % p->splits, band = index / p->splits % p->bands, image = index / p->splits / p->bands;
    int64_t row0 = band * p->band_rows, row1 = sn_min64(p->out.h, row0 + p->band_rows);
    int64_t channel = split * p->blocks_each * VF, end = sn_min64(p->out.c, channel + p->blocks_each * VF);
    if (run->backward && p->stride == 2) {
        gather_rows(run, image, row0, row1, channel, end);
        return;
    }
    norm_start(&run->norms, image * p->bands + band, channel, end - channel);
    int64_t row = row0;
    for (; row + ROWS <= row1 && p->out.w >= TILE; row += ROWS) compute_rows(run, image, row, ROWS, channel, end);
    for (; row < row1; row++) compute_rows(run, image, row, 1, channel, end);
}

/* The sums of batch norm are all. */
static size_t scratch_bytes(const sn_kernel_call *call)
{
    depthwise_plan plan = plan_of(call);
    return norm_bytes(call, plan.out.n * plan.bands);
}

static const char *stats_refusal(const sn_kernel_call *call)
{
    return call->node->dtype == SN_STORED ? NULL : "the output is stored otherwise";
}

static void run(const sn_kernel_call *call)
{
    depthwise_run run = {.plan = plan_of(call), .in = call->inputs[0], .packed = call->packed, .out = call->output,
                         .backward = call->node->op == SN_OP_conv2d_grad_input,
                         .clamp = clamp_of(call->node->attrs.u.conv.activation)};
    if (!run.backward) {
        run.bias = call_input(call, 2);
        run.gate = call_input(call, 4);
    }
    const depthwise_plan *p = &run.plan;
    run.norms = norm_begin(call, call->scratch, p->out.n * p->bands);
    int threads = sn_shape_elements(p->out) * TAPS < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->out.n * p->bands * p->splits, depthwise_task, &run);
    norm_finish(call, &run.norms);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_depthwise) = {
    .name = SN_KERNEL_NAME(conv2d_depthwise), .op = SN_OP_conv2d, .storage = SN_STORED, .refuse = refuse,
    .scratch_bytes = scratch_bytes, .packed_bytes = packed_bytes, .pack = pack, .run = run, .takes = SN_TAKES_GATE,
    .stats_refusal = stats_refusal};
const sn_kernel SN_KERNEL_SYMBOL(conv2d_grad_input_depthwise) = {
    .name = SN_KERNEL_NAME(conv2d_grad_input_depthwise), .op = SN_OP_conv2d_grad_input, .storage = SN_STORED, .refuse = refuse,
    .packed_bytes = packed_bytes, .pack = pack, .run = run};
