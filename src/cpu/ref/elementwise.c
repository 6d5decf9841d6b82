/* elementwise.c - activations, sums, dropout, and the random mixing of two branches (Shake-Shake, Gastaldi 2017). */
#ifndef REF

#include "base/rng.h"

#define REF_BODY "cpu/ref/elementwise.c"
#include "cpu/ref/typed.h"

#else

/* ---- activations ---- */

static void REF(activation_range)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    real *y = call->output;
    memmove(y + begin, (const real *)call->inputs[0] + begin, (size_t)(end - begin) * sizeof *y);
    REF(activate)(call->node->attrs.u.activation.kind, y + begin, end - begin);
}

static void REF(activation)(const sn_kernel_call *call)
{
    sn_ref_for(call, sn_shape_elements(call->node->shape), 1, REF(activation_range));
}

REF_KERNEL(activation, .run = REF(activation));

static void REF(activation_grad_range)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    const real *dy = call->inputs[0], *y = call->inputs[1];
    real *dx = call->output;
    sn_activation kind = call->node->attrs.u.activation.kind;
    for (int64_t i = begin; i < end; i++) dx[i] = dy[i] * REF(activation_slope)(kind, y[i]);
}

static void REF(activation_grad)(const sn_kernel_call *call)
{
    sn_ref_for(call, sn_shape_elements(call->node->shape), 1, REF(activation_grad_range));
}

REF_KERNEL(activation_grad, .run = REF(activation_grad));

/* ---- sum, and product with a constant ---- */

static void REF(add_range)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    const real *a = call->inputs[0], *b = call->inputs[1];
    real *y = call->output;
    for (int64_t i = begin; i < end; i++) y[i] = a[i] + b[i];
    REF(activate)(call->node->attrs.u.activation.kind, y + begin, end - begin);
}

static void REF(add)(const sn_kernel_call *call)
{
    sn_ref_for(call, sn_shape_elements(call->node->shape), 1, REF(add_range));
}

REF_KERNEL(add, .run = REF(add));

static void REF(multiply_range)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    const real *x = call->inputs[0];
    real *y = call->output, factor = (real)call->node->attrs.u.factor.factor;
    for (int64_t i = begin; i < end; i++) y[i] = factor * x[i];
}

static void REF(multiply)(const sn_kernel_call *call)
{
    sn_ref_for(call, sn_shape_elements(call->node->shape), 1, REF(multiply_range));
}

REF_KERNEL(multiply, .run = REF(multiply));

static void REF(convert_range)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    const real *x = call->inputs[0];
    memcpy((real *)call->output + begin, x + begin, (size_t)(end - begin) * sizeof(real));
}

/* Between equal types; cpu/ref/narrow.c widens and narrows around it. */
static void REF(convert)(const sn_kernel_call *call)
{
    sn_ref_for(call, sn_shape_elements(call->node->shape), 1, REF(convert_range));
}

REF_KERNEL(convert, .run = REF(convert));

/* ---- dropout: element i of image n stays iff uniform(mix(keys[n] ^ salt * constant), i) >= p; an item is an image
 * ---- */

static void REF(dropout_images)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_shape s = call->node->shape;
    int64_t elements = s.h * s.w * s.c;
    const real *x = call->inputs[0];
    const uint64_t *keys = call->inputs[1];
    real *y = call->output;
    double p = (double)call->node->attrs.u.dropout.probability;
    real kept = (real)(1 / (1 - p));
    uint64_t salt = (uint64_t)call->node->attrs.u.dropout.salt * 0x9E3779B97F4A7C15u;
    for (int64_t n = begin; n < end; n++) {
        uint64_t key = sn_rng_mix(keys[n] ^ salt);
        for (int64_t i = 0; i < elements; i++)
            y[n * elements + i] = sn_rng_uniform(key, (uint64_t)i) >= p ? x[n * elements + i] * kept : 0;
    }
}

static void REF(dropout)(const sn_kernel_call *call)
{
    sn_shape s = call->node->shape;
    sn_ref_for(call, s.n, s.h * s.w * s.c, REF(dropout_images));
}

REF_KERNEL(dropout, .run = REF(dropout));

/* ---- mixing two branches; an item is an image ---- */

/* Image n's coefficient in `column` of the optional input `index`, 0.5 without one. */
static real REF(coefficient)(const sn_kernel_call *call, int index, int64_t n, int column)
{
    const real *coefficients = sn_ref_input(call, index);
    return coefficients ? coefficients[n * call->input_nodes[index]->shape.c + column] : (real)0.5;
}

static void REF(mix_images)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_shape s = call->node->shape;
    int64_t elements = s.h * s.w * s.c;
    const real *a = call->inputs[0], *b = call->inputs[1];
    real *y = call->output;
    for (int64_t n = begin; n < end; n++) {
        real alpha = REF(coefficient)(call, 2, n, 2 * call->node->attrs.u.mix.index);
        for (int64_t i = n * elements; i < (n + 1) * elements; i++) y[i] = alpha * a[i] + (1 - alpha) * b[i];
    }
}

static void REF(mix)(const sn_kernel_call *call)
{
    sn_shape s = call->node->shape;
    sn_ref_for(call, s.n, s.h * s.w * s.c, REF(mix_images));
}

REF_KERNEL(mix, .run = REF(mix));

/* The backward pass draws its own coefficient, beta; "even" networks use 0.5. */
static void REF(mix_grad_images)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_shape s = call->node->shape;
    int64_t elements = s.h * s.w * s.c;
    const real *dy = call->inputs[0];
    real *dx = call->output;
    for (int64_t n = begin; n < end; n++) {
        real beta = (real)0.5;
        if (!call->node->attrs.u.mix.even) beta = REF(coefficient)(call, 1, n, 2 * call->node->attrs.u.mix.index + 1);
        real share = call->node->attrs.u.mix.branch == 0 ? beta : 1 - beta;
        for (int64_t i = n * elements; i < (n + 1) * elements; i++) dx[i] = share * dy[i];
    }
}

static void REF(mix_grad)(const sn_kernel_call *call)
{
    sn_shape s = call->node->shape;
    sn_ref_for(call, s.n, s.h * s.w * s.c, REF(mix_grad_images));
}

REF_KERNEL(mix_grad, .run = REF(mix_grad));

#endif
