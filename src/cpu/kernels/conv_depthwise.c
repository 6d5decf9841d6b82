/* conv_depthwise.c - depthwise 3x3 convolution (as many groups as channels), stride 1 and 2, forward and backward-data.
 *
 * conv_depthwise_tiles.h has the register tile.  Channels are the innermost loop, so that memory is read in streams as long as a
 * pixel, a row of pixels after the other, which the processor foresees; weights are packed as they are read.
 * Backward-data of stride 1 is the same convolution with the kernel turned by 180 degrees; that of stride 2 gathers, for each
 * parity of the pixel, the one, two or four outputs that read it.
 * Memory: reads the input once (and two rows a band again), writes the output once; the rows that come next, of both, are fetched.
 */
#include "cpu/kernels/conv_depthwise_tiles.h"
#include "cpu/kernels/norm_sums.h"

enum { BAND_FLOATS = 16384, TASKS = 16 };
enum { STATS_PIXELS = 196 }; /* of a band, where statistics are gathered: a band has sums of its own, which are joined in the end */

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
    bool fit = depthwise_edges_fit(p.in.h, p.out.h, p.stride, p.top) && depthwise_edges_fit(p.in.w, p.out.w, p.stride, p.left);
    return fit ? NULL : "padding above 1";
}

static size_t packed_bytes(const sn_kernel_call *call)
{
    return (size_t)depthwise_packed_floats(call->node->shape.c) * sizeof(float);
}

static void pack(const sn_kernel_call *call, void *packed)
{
    bool turned = call->node->op == SN_OP_conv2d_grad_input && call->node->attrs.u.conv.stride == 1;
    depthwise_pack(call->inputs[1], call->node->shape.c, turned, packed);
}

typedef struct depthwise_run {
    depthwise_plan plan;
    depthwise_map map;
    const stored *in;
    const float *packed, *gate;
    stored *out;
    bool backward;
    norm_sums norms;
} depthwise_run;

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
                const float *w = run->packed + c * DEPTHWISE_TAPS + (first_ky + 2 * k) * 3 * VF;
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
    const stored *in = run->in + image * p->in.h * p->in.w * p->in.c;
    const float *gate = run->gate ? run->gate + image * p->in.c : NULL;
    int64_t block = image * p->bands + band, row_values = p->out.w * p->out.c, step = run->norms.rows ? DEPTHWISE_ROWS : row1 - row0;
    norm_start(&run->norms, block, channel, end - channel);
    for (int64_t row = row0; row < row1; row += step) { /* statistics are of rows that are still in a cache */
        int64_t last = sn_min64(row + step, row1);
        stored *out = run->out + (image * p->out.h + row) * row_values;
        depthwise_band(&run->map, in, gate, row, last, channel, end, (depthwise_target){out, p->out.c});
        for (int64_t r = row; r < last && run->norms.rows; r++, out += row_values)
            norm_add(&run->norms, block, channel, end - channel, out + channel, p->out.c, p->out.w);
    }
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
                         .backward = call->node->op == SN_OP_conv2d_grad_input};
    const depthwise_plan *p = &run.plan;
    run.map = (depthwise_map){.in = p->in, .out = p->out, .stride = p->stride, .top = p->top, .left = p->left, .packed = run.packed,
                              .clamp = clamp_of(call->node->attrs.u.conv.activation)};
    if (!run.backward) {
        run.map.bias = call_input(call, 2);
        run.gate = call_input(call, 4);
    }
    run.norms = norm_begin(call, call->scratch, p->out.n * p->bands);
    int threads = sn_shape_elements(p->out) * DEPTHWISE_TAPS < SN_SMALL_MACS ? 1 : call->threads;
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
