/* elementwise.c - activations, sums, products with a constant, and the mixing of two branches.
 *
 * With T = N H W C floats: activation and multiply read T and write T; activation_grad, add and mix read 2 T and write T;
 * mix_grad reads T and writes T.  Results may lie over an input.
 */
#include "cpu/kernels/activate.h"
#include "cpu/kernels/pixels.h"

static const char *refuse(const sn_kernel_call *call)
{
    return call->precision == SN_FLOAT ? NULL : "not single precision";
}

/* Elements [first, first + count) of image n for mix, of everything for the others. */
typedef struct flat_run {
    const sn_kernel_call *call;
    int64_t images, elements; /* of an image */
    int64_t pieces;           /* of an image, TASK_FLOATS each */
    void (*range)(const sn_kernel_call *call, int64_t image, int64_t begin, int64_t end);
} flat_run;

static void flat_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const flat_run *run = context;
    int64_t image = index / run->pieces, begin = index % run->pieces * TASK_FLOATS;
    int64_t end = sn_min64(run->elements, begin + TASK_FLOATS);
    run->range(run->call, image, image * run->elements + begin, image * run->elements + end);
}

static void run_flat(const sn_kernel_call *call, int64_t images,
                     void (*range)(const sn_kernel_call *call, int64_t image, int64_t begin, int64_t end))
{
    int64_t total = sn_shape_elements(call->node->shape);
    flat_run run = {.call = call, .images = images, .elements = total / images, .range = range};
    run.pieces = sn_ceil_div(run.elements, TASK_FLOATS);
    sn_parallel_for(total * 4 < SN_SMALL_BYTES ? 1 : call->threads, images * run.pieces, flat_task, &run);
}

static const float *input_at(const sn_kernel_call *call, int index, int64_t element)
{
    return (const float *)call->inputs[index] + element;
}

static float *output_at(const sn_kernel_call *call, int64_t element) { return (float *)call->output + element; }

/* ---- activations ---- */

SN_INLINE vf body_relu(const vf *x, const vf *k)
{
    (void)k;
    return vf_relu(x[0]);
}

static void activation_range(const sn_kernel_call *call, int64_t image, int64_t begin, int64_t end)
{
    (void)image;
    sn_activation kind = call->node->attrs.u.activation.kind;
    pixel_rows rows = {.in = {input_at(call, 0, begin)}};
    float *y = output_at(call, begin);
    if (kind == SN_RELU) {
        flat_map(&rows, end - begin, y, 1, body_relu);
    } else {
        memmove(y, rows.in[0], (size_t)(end - begin) * sizeof(float));
        sn_activate_row(y, end - begin, kind);
    }
}

static void run_activation(const sn_kernel_call *call) { run_flat(call, 1, activation_range); }

/* x: dy, y.  The slope is 0 at the corners, as in the plain kernel. */
SN_INLINE vf body_relu_grad(const vf *x, const vf *k)
{
    (void)k;
    return vf_where(x[1] > (vf){0}, x[0]);
}
SN_INLINE vf body_relu6_grad(const vf *x, const vf *k)
{
    (void)k;
    return vf_where((x[1] > (vf){0}) & (x[1] < vf_all(6)), x[0]);
}
SN_INLINE vf body_sigmoid_grad(const vf *x, const vf *k)
{
    (void)k;
    return x[0] * (x[1] * (1 - x[1]));
}
SN_INLINE vf body_tanh_grad(const vf *x, const vf *k)
{
    (void)k;
    return x[0] * (1 - x[1] * x[1]);
}

static void activation_grad_range(const sn_kernel_call *call, int64_t image, int64_t begin, int64_t end)
{
    (void)image;
    pixel_rows rows = {.in = {input_at(call, 0, begin), input_at(call, 1, begin)}};
    float *dx = output_at(call, begin);
    switch (call->node->attrs.u.activation.kind) {
    case SN_IDENTITY: memmove(dx, rows.in[0], (size_t)(end - begin) * sizeof(float)); break;
    case SN_RELU: flat_map(&rows, end - begin, dx, 2, body_relu_grad); break;
    case SN_RELU6: flat_map(&rows, end - begin, dx, 2, body_relu6_grad); break;
    case SN_SIGMOID: flat_map(&rows, end - begin, dx, 2, body_sigmoid_grad); break;
    case SN_TANH: flat_map(&rows, end - begin, dx, 2, body_tanh_grad); break;
    }
}

static void run_activation_grad(const sn_kernel_call *call) { run_flat(call, 1, activation_grad_range); }

/* ---- sum, product with a constant ---- */

SN_INLINE vf body_add(const vf *x, const vf *k)
{
    (void)k;
    return x[0] + x[1];
}
SN_INLINE vf body_add_relu(const vf *x, const vf *k)
{
    (void)k;
    return vf_relu(x[0] + x[1]);
}

static void add_range(const sn_kernel_call *call, int64_t image, int64_t begin, int64_t end)
{
    (void)image;
    sn_activation kind = call->node->attrs.u.activation.kind;
    pixel_rows rows = {.in = {input_at(call, 0, begin), input_at(call, 1, begin)}};
    float *y = output_at(call, begin);
    if (kind == SN_RELU) {
        flat_map(&rows, end - begin, y, 2, body_add_relu);
    } else {
        flat_map(&rows, end - begin, y, 2, body_add);
        sn_activate_row(y, end - begin, kind);
    }
}

static void run_add(const sn_kernel_call *call) { run_flat(call, 1, add_range); }

SN_INLINE vf body_multiply(const vf *x, const vf *k) { return x[0] * k[PIXEL_COEFFICIENTS]; }

static void multiply_range(const sn_kernel_call *call, int64_t image, int64_t begin, int64_t end)
{
    (void)image;
    pixel_rows rows = {.in = {input_at(call, 0, begin)}, .constant = {(float)call->node->attrs.u.factor.factor}};
    flat_map(&rows, end - begin, output_at(call, begin), 1, body_multiply);
}

static void run_multiply(const sn_kernel_call *call) { run_flat(call, 1, multiply_range); }

/* ---- mixing of two branches, one coefficient an image ---- */

static float coefficient(const sn_kernel_call *call, int index, int64_t image, int column)
{
    const float *coefficients = call_input(call, index);
    return coefficients ? coefficients[image * call->input_nodes[index]->shape.c + column] : 0.5f;
}

SN_INLINE vf body_mix(const vf *x, const vf *k) { return k[PIXEL_COEFFICIENTS] * x[0] + k[PIXEL_COEFFICIENTS + 1] * x[1]; }

static void mix_range(const sn_kernel_call *call, int64_t image, int64_t begin, int64_t end)
{
    float alpha = coefficient(call, 2, image, 2 * call->node->attrs.u.mix.index);
    pixel_rows rows = {.in = {input_at(call, 0, begin), input_at(call, 1, begin)}, .constant = {alpha, 1 - alpha}};
    flat_map(&rows, end - begin, output_at(call, begin), 2, body_mix);
}

static void run_mix(const sn_kernel_call *call) { run_flat(call, call->node->shape.n, mix_range); }

static void mix_grad_range(const sn_kernel_call *call, int64_t image, int64_t begin, int64_t end)
{
    float beta = 0.5f;
    if (!call->node->attrs.u.mix.even) beta = coefficient(call, 1, image, 2 * call->node->attrs.u.mix.index + 1);
    pixel_rows rows = {.in = {input_at(call, 0, begin)}, .constant = {call->node->attrs.u.mix.branch == 0 ? beta : 1 - beta}};
    flat_map(&rows, end - begin, output_at(call, begin), 1, body_multiply);
}

static void run_mix_grad(const sn_kernel_call *call) { run_flat(call, call->node->shape.n, mix_grad_range); }

#define DEFINE_KERNEL(base)                                                                                          \
    const sn_kernel SN_KERNEL_SYMBOL(base) = {                                                                       \
        .name = SN_KERNEL_NAME(base), .op = SN_OP_##base, .refuse = refuse, .run = run_##base}

DEFINE_KERNEL(activation);
DEFINE_KERNEL(activation_grad);
DEFINE_KERNEL(add);
DEFINE_KERNEL(multiply);
DEFINE_KERNEL(mix);
DEFINE_KERNEL(mix_grad);
