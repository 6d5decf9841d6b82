/* elementwise.c - activations, sums, products with a constant, the mixing of two branches, and the conversion of bf16.
 *
 * With T = N H W C values: activation and multiply read T and write T; activation_grad, add and mix read 2 T and write T;
 * mix_grad and convert read T and write T.  Results may lie over an input.
 */
#include "cpu/kernels/activate.h"
#include "cpu/kernels/copy.h"
#include "cpu/kernels/norm_sums.h"
#include "cpu/kernels/pixels.h"

/* Maps are stored, coefficients float. */
static const char *refuse(const sn_kernel_call *call)
{
    switch (call->node->op) {
    case SN_OP_activation_grad:
    case SN_OP_add:
    case SN_OP_mix: return stored_refusal(call, 1u << 0 | 1u << 1);
    default: return stored_refusal(call, 1u << 0);
    }
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

static const stored *input_at(const sn_kernel_call *call, int index, int64_t element)
{
    return (const stored *)call->inputs[index] + element;
}

static stored *output_at(const sn_kernel_call *call, int64_t element) { return (stored *)call->output + element; }

/* ---- activations ---- */

/* name(kind, ...): out = activation of `value`, which is made of x, the inputs at a place. */
#define ACTIVATED_BODY(name, kind, value)                                                                            \
    SN_INLINE vf body_##name##_##kind(const vf *x, const vf *k)                                                      \
    {                                                                                                                \
        (void)k;                                                                                                     \
        return vf_activate(value, kind);                                                                             \
    }
#define DEFINE_ACTIVATED(name, inputs, value)                                                                        \
    ACTIVATED_BODY(name, SN_IDENTITY, value)                                                                         \
    ACTIVATED_BODY(name, SN_RELU, value)                                                                             \
    ACTIVATED_BODY(name, SN_RELU6, value)                                                                            \
    ACTIVATED_BODY(name, SN_SIGMOID, value)                                                                          \
    ACTIVATED_BODY(name, SN_TANH, value)                                                                             \
    static void name(sn_activation kind, const pixel_rows *rows, int64_t count, stored *out)                         \
    {                                                                                                                \
        switch (kind) {                                                                                              \
        case SN_IDENTITY: flat_map(rows, count, out, inputs, body_##name##_SN_IDENTITY); break;                      \
        case SN_RELU: flat_map(rows, count, out, inputs, body_##name##_SN_RELU); break;                              \
        case SN_RELU6: flat_map(rows, count, out, inputs, body_##name##_SN_RELU6); break;                            \
        case SN_SIGMOID: flat_map(rows, count, out, inputs, body_##name##_SN_SIGMOID); break;                        \
        case SN_TANH: flat_map(rows, count, out, inputs, body_##name##_SN_TANH); break;                              \
        }                                                                                                            \
    }

DEFINE_ACTIVATED(activate_values, 1, x[0])

static void activation_range(const sn_kernel_call *call, int64_t image, int64_t begin, int64_t end)
{
    (void)image;
    pixel_rows rows = {.in = {input_at(call, 0, begin)}};
    activate_values(call->node->attrs.u.activation.kind, &rows, end - begin, output_at(call, begin));
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
    stored *dx = output_at(call, begin);
    switch (call->node->attrs.u.activation.kind) {
    case SN_IDENTITY: memmove(dx, rows.in[0], (size_t)(end - begin) * sizeof(stored)); break;
    case SN_RELU: flat_map(&rows, end - begin, dx, 2, body_relu_grad); break;
    case SN_RELU6: flat_map(&rows, end - begin, dx, 2, body_relu6_grad); break;
    case SN_SIGMOID: flat_map(&rows, end - begin, dx, 2, body_sigmoid_grad); break;
    case SN_TANH: flat_map(&rows, end - begin, dx, 2, body_tanh_grad); break;
    }
}

static void run_activation_grad(const sn_kernel_call *call) { run_flat(call, 1, activation_grad_range); }

/* ---- sum, product with a constant ---- */

DEFINE_ACTIVATED(add_values, 2, x[0] + x[1])

static void add_range(const sn_kernel_call *call, int64_t image, int64_t begin, int64_t end)
{
    (void)image;
    pixel_rows rows = {.in = {input_at(call, 0, begin), input_at(call, 1, begin)}};
    add_values(call->node->attrs.u.activation.kind, &rows, end - begin, output_at(call, begin));
}

/* A sum whose statistics are asked for, in pieces of whole pixels, each a block of norm_sums.h. */
typedef struct add_run {
    const sn_kernel_call *call;
    int64_t pixels, channels, pixels_each, pieces;
    norm_sums norms;
} add_run;

static add_run add_run_of(const sn_kernel_call *call)
{
    sn_shape y = call->node->shape;
    add_run run = {.call = call, .pixels = y.n * y.h * y.w, .channels = y.c, .pixels_each = pixels_in(TASK_FLOATS, y.c)};
    run.pieces = sn_ceil_div(run.pixels, run.pixels_each);
    return run;
}

static void add_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const add_run *run = context;
    int64_t first = index * run->pixels_each, last = sn_min64(run->pixels, first + run->pixels_each);
    int64_t step = pixels_in(BLOCK_FLOATS, run->channels);
    norm_start(&run->norms, index, 0, run->channels);
    for (int64_t pixel = first; pixel < last; pixel += step) { /* what was written is still in the L1 cache */
        int64_t pixels = sn_min64(step, last - pixel), begin = pixel * run->channels;
        add_range(run->call, 0, begin, begin + pixels * run->channels);
        norm_add(&run->norms, index, 0, run->channels, output_at(run->call, begin), run->channels, pixels);
    }
}

static void run_add(const sn_kernel_call *call)
{
    if (!call->stats_node) {
        run_flat(call, 1, add_range);
        return;
    }
    add_run run = add_run_of(call);
    run.norms = norm_begin(call, call->scratch, run.pieces);
    sn_parallel_for(run.pixels * run.channels * 4 < SN_SMALL_BYTES ? 1 : call->threads, run.pieces, add_task, &run);
    norm_finish(call, &run.norms);
}

static size_t add_scratch_bytes(const sn_kernel_call *call) { return norm_bytes(call, add_run_of(call).pieces); }

static const char *stats_refusal(const sn_kernel_call *call)
{
    return call->node->dtype == SN_STORED ? NULL : "the output is stored otherwise";
}

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
        .name = SN_KERNEL_NAME(base), .op = SN_OP_##base, .storage = SN_STORED, .refuse = refuse, .run = run_##base}

DEFINE_KERNEL(activation);
DEFINE_KERNEL(activation_grad);
const sn_kernel SN_KERNEL_SYMBOL(add) = {
    .name = SN_KERNEL_NAME(add), .op = SN_OP_add, .storage = SN_STORED, .refuse = refuse, .scratch_bytes = add_scratch_bytes,
    .run = run_add, .stats_refusal = stats_refusal};
DEFINE_KERNEL(multiply);
DEFINE_KERNEL(mix);
DEFINE_KERNEL(mix_grad);

/* ---- bf16 to float and back ---- */

#if SN_STORED_BF16
static const char *refuse_convert(const sn_kernel_call *call)
{
    sn_dtype from = call->input_nodes[0]->dtype, to = call->node->dtype;
    if (call->precision != SN_FLOAT) return "not single precision";
    return (from == SN_BF16 && to == SN_REAL) || (from == SN_REAL && to == SN_BF16) ? NULL : "not between bf16 and float";
}

static void convert_range(const sn_kernel_call *call, int64_t image, int64_t begin, int64_t end)
{
    (void)image;
    if (call->node->dtype == SN_REAL)
        widen_values((float *)call->output + begin, input_at(call, 0, begin), end - begin);
    else
        narrow_values(output_at(call, begin), (const float *)call->inputs[0] + begin, end - begin);
}

static void run_convert(const sn_kernel_call *call) { run_flat(call, 1, convert_range); }

const sn_kernel SN_KERNEL_SYMBOL(convert) = {
    .name = SN_KERNEL_NAME(convert), .op = SN_OP_convert, .storage = SN_STORED, .refuse = refuse_convert, .run = run_convert};
#endif
