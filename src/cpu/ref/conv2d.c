/* conv2d.c - convolution and its gradients, direct form.
 *
 * x (N,H,W,I), w (kh,kw,I/groups,O), y (N,OH,OW,O):
 *     y(n,oy,ox,o) = act((bias(o) + sum of x(n, oy s + ky - top, ox s + kx - left, i) w(ky,kx,i,o)) scale(n,o) + r(n,oy,ox,o))
 *
 * over ky, kx and the inputs i of o's group; with a gate x is x(n,..,i) gate(n,i).  Channels are the inner loop everywhere; gradients of the input use
 * weights transposed to (kh,kw,O/groups,I), which makes them the same product with x and y exchanged. */
#ifndef REF

#include <stdbool.h>

#include "cpu/ref/loops.h"

typedef struct conv_geometry {
    sn_shape x, y;
    int64_t kernel_h, kernel_w, groups, in, out; /* in, out: channels per group */
    int64_t stride, top, left;
} conv_geometry;

static conv_geometry conv_geometry_of(const sn_kernel_call *call, sn_shape x, sn_shape w, sn_shape y)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    return (conv_geometry){x, y, w.n, w.h, a->groups, w.w, w.c / a->groups, a->stride, a->pad_top, a->pad_left};
}

typedef struct span {
    int64_t begin, end;
} span;

/* The outputs o in [0, outputs) that see an input: 0 <= o * stride + shift < inputs. */
static span span_of(int64_t outputs, int64_t inputs, int64_t stride, int64_t shift)
{
    int64_t begin = shift < 0 ? (-shift + stride - 1) / stride : 0;
    int64_t end = inputs > shift ? (inputs - 1 - shift) / stride + 1 : 0;
    if (end > outputs) end = outputs;
    return (span){begin, end > begin ? end : begin};
}

enum { IN_TILE = 4, OUT_TILE = 64 }; /* of a weight gradient */

#define REF_BODY "cpu/ref/conv2d.c"
#include "cpu/ref/typed.h"

#else

/* y[p][g][o] += sum over i of x[p][g][i] gate[g][i] w[i][g][o] for a run of pixels p that lie y_step and x_step elements apart;
 * gate may be NULL.
 * Four rows of w at a time: y is loaded and stored a quarter as often. */
static void REF(add_products)(real *y, int64_t y_step, const real *x, int64_t x_step, const real *gate, const real *w,
                              int64_t pixels, int64_t groups, int64_t in, int64_t out)
{
    int64_t row = groups * out;
    for (int64_t g = 0; g < groups; g++, y += out, x += in, w += out) {
        const real *s = gate ? gate + g * in : NULL;
        int64_t i = 0;
        for (; i + 4 <= in; i += 4) {
            const real *w0 = w + i * row, *w1 = w0 + row, *w2 = w1 + row, *w3 = w2 + row;
            for (int64_t p = 0; p < pixels; p++) {
                real *restrict target = y + p * y_step;
                const real *v = x + p * x_step + i;
                real x0 = v[0], x1 = v[1], x2 = v[2], x3 = v[3];
                if (s) x0 *= s[i], x1 *= s[i + 1], x2 *= s[i + 2], x3 *= s[i + 3];
                for (int64_t o = 0; o < out; o++) target[o] += x0 * w0[o] + x1 * w1[o] + x2 * w2[o] + x3 * w3[o];
            }
        }
        for (; i < in; i++) {
            const real *w0 = w + i * row;
            for (int64_t p = 0; p < pixels; p++) {
                real *restrict target = y + p * y_step;
                real x0 = s ? x[p * x_step + i] * s[i] : x[p * x_step + i];
                for (int64_t o = 0; o < out; o++) target[o] += x0 * w0[o];
            }
        }
    }
}

/* ---- forward; an item is an output row (n, oy) ---- */

static void REF(conv2d_rows)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    const conv_geometry g =
        conv_geometry_of(call, call->input_nodes[0]->shape, call->input_nodes[1]->shape, call->node->shape);
    const real *x = call->inputs[0], *w = call->inputs[1], *bias = sn_ref_input(call, 2),
               *residual = sn_ref_input(call, 3), *gate = sn_ref_input(call, 4), *scale = sn_ref_input(call, 5);
    int64_t row_elements = g.y.w * g.y.c;
    for (int64_t row = begin; row < end; row++) {
        int64_t n = row / g.y.h, oy = row % g.y.h;
        real *y = (real *)call->output + row * row_elements;
        for (int64_t ox = 0; ox < g.y.w; ox++)
            for (int64_t c = 0; c < g.y.c; c++) y[ox * g.y.c + c] = bias ? bias[c] : 0;
        for (int64_t ky = 0; ky < g.kernel_h; ky++) {
            int64_t iy = oy * g.stride + ky - g.top;
            if (iy < 0 || iy >= g.x.h) continue;
            const real *x_row = x + (n * g.x.h + iy) * g.x.w * g.x.c;
            for (int64_t kx = 0; kx < g.kernel_w; kx++) {
                span o = span_of(g.y.w, g.x.w, g.stride, kx - g.left);
                if (o.begin == o.end) continue;
                real *to = y + o.begin * g.y.c;
                const real *from = x_row + (o.begin * g.stride + kx - g.left) * g.x.c;
                const real *tap = w + (ky * g.kernel_w + kx) * g.in * g.y.c;
                REF(add_products)(to, g.y.c, from, g.stride * g.x.c, gate ? gate + n * g.x.c : NULL, tap, o.end - o.begin, g.groups, g.in, g.out);
            }
        }
        for (int64_t i = 0; scale && i < row_elements; i++) y[i] *= scale[n * g.y.c + i % g.y.c];
        if (residual)
            for (int64_t i = 0; i < row_elements; i++) y[i] += residual[row * row_elements + i];
        REF(activate)(call->node->attrs.u.conv.activation, y, row_elements);
    }
}

/* Pixels of the scratch memory to the output, channel i n + j to j G + i. */
static void REF(shuffle_pixels)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    int64_t channels = call->node->shape.c, groups = call->node->attrs.u.conv.shuffle, each = channels / groups;
    for (int64_t p = begin; p < end; p++) {
        const real *from = (const real *)call->scratch + p * channels;
        real *to = (real *)call->output + p * channels;
        for (int64_t i = 0; i < groups; i++)
            for (int64_t j = 0; j < each; j++) to[j * groups + i] = from[i * each + j];
    }
}

static void REF(conv2d)(const sn_kernel_call *call)
{
    sn_shape y = call->node->shape, w = call->input_nodes[1]->shape;
    bool shuffles = call->node->attrs.u.conv.shuffle > 1;
    sn_kernel_call in_order = *call;
    if (shuffles) in_order.output = call->scratch;
    sn_ref_for(&in_order, y.n * y.h, y.w * y.c * w.n * w.h * w.w, REF(conv2d_rows));
    if (shuffles) sn_ref_for(call, sn_ref_pixels(y), y.c, REF(shuffle_pixels));
}

static size_t REF(conv2d_scratch)(const sn_kernel_call *call)
{
    return call->node->attrs.u.conv.shuffle > 1 ? (size_t)sn_shape_elements(call->node->shape) * sizeof(real) : 0;
}

REF_KERNEL(conv2d, .run = REF(conv2d), .scratch_bytes = REF(conv2d_scratch));

/* ---- two 1x1 convolutions as one; an item is a row of weights ---- */

static void REF(compose_weight_rows)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    int64_t inner = call->input_nodes[1]->shape.w, out = call->node->shape.c;
    const real *v = call->inputs[0], *w = call->inputs[1], *bias = sn_ref_input(call, 2);
    for (int64_t row = begin; row < end; row++) {
        real *y = (real *)call->output + row * out;
        for (int64_t o = 0; o < out; o++) y[o] = bias ? bias[o] : 0;
        REF(add_products)(y, out, v + row * inner, inner, NULL, w, 1, 1, inner, out);
    }
}

static void REF(compose_weight)(const sn_kernel_call *call)
{
    sn_ref_for(call, call->node->shape.w, call->input_nodes[1]->shape.w * call->node->shape.c, REF(compose_weight_rows));
}

REF_KERNEL(compose_weight, .run = REF(compose_weight));

/* ---- gradient of the input; an item is an input row (n, iy) ---- */

static conv_geometry REF(grad_input_geometry)(const sn_kernel_call *call)
{
    return conv_geometry_of(call, call->node->shape, call->input_nodes[1]->shape, call->input_nodes[0]->shape);
}

static size_t REF(conv2d_grad_input_scratch)(const sn_kernel_call *call)
{
    return (size_t)sn_shape_elements(call->input_nodes[1]->shape) * sizeof(real);
}

/* w (tap, in, groups x out) -> scratch (tap, out, groups x in); an item is a row (tap, out). */
static void REF(transpose_weight)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    const conv_geometry g = REF(grad_input_geometry)(call);
    const real *w = call->inputs[1];
    real *transposed = call->scratch;
    for (int64_t row = begin; row < end; row++) {
        int64_t tap = row / g.out, o = row % g.out;
        for (int64_t c = 0; c < g.x.c; c++) {
            int64_t group = c / g.in, i = c % g.in;
            transposed[row * g.x.c + c] = w[(tap * g.in + i) * g.y.c + group * g.out + o];
        }
    }
}

static void REF(conv2d_grad_input_rows)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    const conv_geometry g = REF(grad_input_geometry)(call);
    const real *dy = call->inputs[0], *w = call->scratch, *residual = sn_ref_input(call, 3);
    int64_t row_elements = g.x.w * g.x.c;
    for (int64_t row = begin; row < end; row++) {
        int64_t n = row / g.x.h, iy = row % g.x.h;
        real *dx = (real *)call->output + row * row_elements;
        memset(dx, 0, (size_t)row_elements * sizeof *dx);
        for (int64_t ky = 0; ky < g.kernel_h; ky++) {
            int64_t above = iy + g.top - ky; /* oy * stride */
            if (above < 0 || above % g.stride != 0 || above / g.stride >= g.y.h) continue;
            const real *dy_row = dy + (n * g.y.h + above / g.stride) * g.y.w * g.y.c;
            for (int64_t kx = 0; kx < g.kernel_w; kx++) {
                span o = span_of(g.y.w, g.x.w, g.stride, kx - g.left);
                if (o.begin == o.end) continue;
                real *to = dx + (o.begin * g.stride + kx - g.left) * g.x.c;
                const real *from = dy_row + o.begin * g.y.c;
                const real *tap = w + (ky * g.kernel_w + kx) * g.out * g.x.c;
                REF(add_products)(to, g.stride * g.x.c, from, g.y.c, NULL, tap, o.end - o.begin, g.groups, g.out, g.in);
            }
        }
        if (residual)
            for (int64_t i = 0; i < row_elements; i++) dx[i] += residual[row * row_elements + i];
    }
}

static void REF(conv2d_grad_input)(const sn_kernel_call *call)
{
    const conv_geometry g = REF(grad_input_geometry)(call);
    sn_ref_for(call, g.kernel_h * g.kernel_w * g.out, g.x.c, REF(transpose_weight));
    sn_ref_for(call, g.x.n * g.x.h, g.x.w * g.x.c * g.kernel_h * g.kernel_w * g.out, REF(conv2d_grad_input_rows));
}

REF_KERNEL(conv2d_grad_input, .run = REF(conv2d_grad_input), .scratch_bytes = REF(conv2d_grad_input_scratch));

/* ---- gradient of the weight; an item is a tile of (in, out) of one tap and group ---- */

/* dw(i,o) += sum over n,oy,ox of x(..,i) dy(..,o): a row of pixels in the working type, rows in double. */
static void REF(grad_weight_tile)(const conv_geometry *g, const real *x, const real *dy, int64_t ky, int64_t kx,
                                  int64_t in, int64_t out, double total[][OUT_TILE])
{
    span o = span_of(g->y.w, g->x.w, g->stride, kx - g->left);
    for (int64_t row = 0; row < g->y.n * g->y.h; row++) {
        int64_t n = row / g->y.h, iy = row % g->y.h * g->stride + ky - g->top;
        if (iy < 0 || iy >= g->x.h) continue;
        real partial[IN_TILE][OUT_TILE] = {{0}};
        for (int64_t ox = o.begin; ox < o.end; ox++) {
            const real *v = x + ((n * g->x.h + iy) * g->x.w + ox * g->stride + kx - g->left) * g->x.c;
            const real *d = dy + (row * g->y.w + ox) * g->y.c;
            for (int64_t i = 0; i < in; i++)
                for (int64_t j = 0; j < out; j++) partial[i][j] += v[i] * d[j];
        }
        for (int64_t i = 0; i < in; i++)
            for (int64_t j = 0; j < out; j++) total[i][j] += (double)partial[i][j];
    }
}

static void REF(conv2d_grad_weight_tiles)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    const conv_geometry g =
        conv_geometry_of(call, call->input_nodes[0]->shape, call->node->shape, call->input_nodes[1]->shape);
    const real *x = call->inputs[0], *dy = call->inputs[1];
    real *dw = call->output;
    int64_t in_tiles = (g.in + IN_TILE - 1) / IN_TILE, out_tiles = (g.out + OUT_TILE - 1) / OUT_TILE;
    for (int64_t item = begin; item < end; item++) {
        int64_t rest = item, o0 = rest % out_tiles * OUT_TILE;
        rest /= out_tiles;
        int64_t i0 = rest % in_tiles * IN_TILE;
        rest /= in_tiles;
        int64_t group = rest % g.groups, tap = rest / g.groups, ky = tap / g.kernel_w, kx = tap % g.kernel_w;
        int64_t in = g.in - i0 < IN_TILE ? g.in - i0 : IN_TILE;
        int64_t out = g.out - o0 < OUT_TILE ? g.out - o0 : OUT_TILE;
        double total[IN_TILE][OUT_TILE] = {{0}};
        const real *from = x + group * g.in + i0, *change = dy + group * g.out + o0;
        REF(grad_weight_tile)(&g, from, change, ky, kx, in, out, total);
        for (int64_t i = 0; i < in; i++)
            for (int64_t j = 0; j < out; j++)
                dw[(tap * g.in + i0 + i) * g.y.c + group * g.out + o0 + j] = (real)total[i][j];
    }
}

static void REF(conv2d_grad_weight)(const sn_kernel_call *call)
{
    const conv_geometry g =
        conv_geometry_of(call, call->input_nodes[0]->shape, call->node->shape, call->input_nodes[1]->shape);
    int64_t tiles = ((g.in + IN_TILE - 1) / IN_TILE) * ((g.out + OUT_TILE - 1) / OUT_TILE);
    sn_ref_for(call, g.kernel_h * g.kernel_w * g.groups * tiles, sn_ref_pixels(g.y) * IN_TILE,
               REF(conv2d_grad_weight_tiles));
}

REF_KERNEL(conv2d_grad_weight, .run = REF(conv2d_grad_weight));

/* ---- gradient of the bias ---- */

static void REF(add_channels)(const sn_kernel_call *call, const double *given, int64_t begin, int64_t end, double *sums)
{
    (void)given;
    const real *dy = call->inputs[0];
    int64_t channels = call->node->shape.c;
    for (int64_t p = begin; p < end; p++)
        for (int64_t c = 0; c < channels; c++) sums[c] += (double)dy[p * channels + c];
}

static size_t REF(channel_sum_scratch)(const sn_kernel_call *call)
{
    int64_t channels = call->node->shape.c;
    return sn_ref_sum_bytes(sn_ref_pixels(call->input_nodes[0]->shape), channels) + (size_t)channels * sizeof(double);
}

static void REF(channel_sum)(const sn_kernel_call *call)
{
    int64_t channels = call->node->shape.c;
    double *totals = call->scratch;
    real *sums = call->output;
    sn_ref_sum(call, sn_ref_pixels(call->input_nodes[0]->shape), channels, REF(add_channels), NULL, totals + channels,
               totals);
    for (int64_t c = 0; c < channels; c++) sums[c] = (real)totals[c];
}

REF_KERNEL(channel_sum, .run = REF(channel_sum), .scratch_bytes = REF(channel_sum_scratch));

#endif
