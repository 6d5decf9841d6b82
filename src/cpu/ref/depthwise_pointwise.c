/* depthwise_pointwise.c - a depthwise 3x3 convolution and the 1x1 behind it, direct form.
 *
 * x (N,H,W,C), v (3,3,1,C), w (1,1,C,K), y (N,OH,OW,K):
 *     m(n,oy,ox,c) = between(b(c) + gate(n,c) sum of x(n, oy s + ky - top, ox s + kx - left, c) v(ky,kx,c))
 *     y(n,oy,ox,k) = act(bias(k) + sum of m(n,oy,ox,c) w(c,k)) */
#ifndef REF

#include "cpu/ref/loops.h"

#define REF_BODY "cpu/ref/depthwise_pointwise.c"
#include "cpu/ref/typed.h"

#else

/* m at one place, for all channels. */
static void REF(depthwise_pixel)(const sn_kernel_call *call, int64_t n, int64_t oy, int64_t ox, real *m)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape x_shape = call->input_nodes[0]->shape;
    const real *x = (const real *)call->inputs[0] + n * x_shape.h * x_shape.w * x_shape.c, *v = call->inputs[3],
               *bias = sn_ref_input(call, 4), *gate = sn_ref_input(call, 5);
    for (int64_t c = 0; c < x_shape.c; c++) {
        real sum = 0;
        for (int64_t tap = 0; tap < 9; tap++) {
            int64_t iy = oy * a->stride + tap / 3 - a->pad_top, ix = ox * a->stride + tap % 3 - a->pad_left;
            if (iy < 0 || ix < 0 || iy >= x_shape.h || ix >= x_shape.w) continue;
            real value = x[(iy * x_shape.w + ix) * x_shape.c + c];
            sum += (gate ? value * gate[n * x_shape.c + c] : value) * v[tap * x_shape.c + c];
        }
        m[c] = sum + (bias ? bias[c] : 0);
    }
    REF(activate)(a->between, m, x_shape.c);
}

/* An item is a pixel of the output; m of all pixels is in the scratch memory. */
static void REF(depthwise_pointwise_pixels)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_shape y_shape = call->node->shape;
    int64_t in = call->input_nodes[0]->shape.c, out = y_shape.c;
    const real *w = call->inputs[1], *bias = sn_ref_input(call, 2);
    for (int64_t p = begin; p < end; p++) {
        real *m = (real *)call->scratch + p * in, *y = (real *)call->output + p * out;
        REF(depthwise_pixel)(call, p / y_shape.w / y_shape.h, p / y_shape.w % y_shape.h, p % y_shape.w, m);
        for (int64_t k = 0; k < out; k++) y[k] = bias ? bias[k] : 0;
        for (int64_t c = 0; c < in; c++)
            for (int64_t k = 0; k < out; k++) y[k] += m[c] * w[c * out + k];
        REF(activate)(call->node->attrs.u.conv.activation, y, out);
    }
}

static void REF(depthwise_pointwise)(const sn_kernel_call *call)
{
    sn_shape y = call->node->shape;
    sn_ref_for(call, y.n * y.h * y.w, call->input_nodes[0]->shape.c * y.c, REF(depthwise_pointwise_pixels));
}

static size_t REF(depthwise_pointwise_scratch)(const sn_kernel_call *call)
{
    sn_shape y = call->node->shape;
    return (size_t)(y.n * y.h * y.w * call->input_nodes[0]->shape.c) * sizeof(real);
}

REF_KERNEL(depthwise_pointwise, .run = REF(depthwise_pointwise), .scratch_bytes = REF(depthwise_pointwise_scratch));

#endif
