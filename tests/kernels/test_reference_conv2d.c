/* test_reference_conv2d.c - the plain C convolution kernels against the definition, summed in another order. */
#include "test_reference.h"

/* Visits every product of a convolution: elements of x, w and y that meet. */
typedef void (*visit)(void *context, int64_t x, int64_t w, int64_t y);

static void each_product(const sn_conv_attrs *a, sn_shape x, sn_shape w, sn_shape y, visit product, void *context)
{
    int64_t in = x.c / a->groups, out = y.c / a->groups;
    for (int64_t o = 0; o < y.c; o++)
        for (int64_t i = 0; i < in; i++)
            for (int64_t ky = 0; ky < w.n; ky++)
                for (int64_t kx = 0; kx < w.h; kx++)
                    for (int64_t n = 0; n < y.n; n++)
                        for (int64_t oy = 0; oy < y.h; oy++)
                            for (int64_t ox = 0; ox < y.w; ox++) {
                                int64_t iy = oy * a->stride + ky - a->pad_top, ix = ox * a->stride + kx - a->pad_left;
                                if (iy < 0 || ix < 0 || iy >= x.h || ix >= x.w) continue;
                                product(context, at(x, n, iy, ix, o / out * in + i), at(w, ky, kx, i, o),
                                        at(y, n, oy, ox, o));
                            }
}

typedef struct tensors {
    const double *x, *w, *y; /* NULL for the one that is computed */
    double *result;
} tensors;

static void multiply_xw(void *context, int64_t x, int64_t w, int64_t y)
{
    tensors *t = context;
    t->result[y] += t->x[x] * t->w[w];
}

static void multiply_yw(void *context, int64_t x, int64_t w, int64_t y)
{
    tensors *t = context;
    t->result[x] += t->y[y] * t->w[w];
}

static void multiply_xy(void *context, int64_t x, int64_t w, int64_t y)
{
    tensors *t = context;
    t->result[w] += t->x[x] * t->y[y];
}

/* Channel i n + j of every pixel, n = channels / groups, goes to j groups + i. */
static void shuffle(double *y, int64_t elements, int64_t channels, int64_t groups)
{
    double ordered[256];
    assert_true(channels <= 256);
    for (int64_t pixel = 0; pixel < elements; pixel += channels) {
        for (int64_t k = 0; k < channels; k++) ordered[k] = y[pixel + k];
        for (int64_t k = 0; k < channels; k++) y[pixel + k] = ordered[k % groups * (channels / groups) + k / groups];
    }
}

static void forward(const reference_case *c, const void *const *inputs, double *y)
{
    const double *bias = inputs[2], *residual = inputs[3], *gate = inputs[4], *scale = inputs[5];
    sn_shape x = c->inputs[0].shape;
    double gated[4096];
    assert_true(sn_shape_elements(x) <= 4096);
    for (int64_t i = 0; i < sn_shape_elements(x); i++)
        gated[i] = ((const double *)inputs[0])[i] * (gate ? gate[i / (x.h * x.w * x.c) * x.c + i % x.c] : 1);
    tensors t = {.x = gated, .w = inputs[1], .result = y};
    each_product(&c->attrs.u.conv, c->inputs[0].shape, c->inputs[1].shape, c->output, multiply_xw, &t);
    int64_t image = sn_shape_elements(c->output) / c->output.n;
    for (int64_t i = 0; i < sn_shape_elements(c->output); i++) {
        double sum = y[i] + (bias ? bias[i % c->output.c] : 0);
        if (scale) sum *= scale[i / image * c->output.c + i % c->output.c];
        y[i] = activate(c->attrs.u.conv.activation, sum + (residual ? residual[i] : 0));
    }
    if (c->attrs.u.conv.shuffle > 1) shuffle(y, sn_shape_elements(c->output), c->output.c, c->attrs.u.conv.shuffle);
}

static void grad_input(const reference_case *c, const void *const *inputs, double *dx)
{
    tensors t = {.y = inputs[0], .w = inputs[1], .result = dx};
    each_product(&c->attrs.u.conv, c->output, c->inputs[1].shape, c->inputs[0].shape, multiply_yw, &t);
    const double *residual = inputs[3];
    for (int64_t i = 0; residual && i < sn_shape_elements(c->output); i++) dx[i] += residual[i];
}

static void grad_weight(const reference_case *c, const void *const *inputs, double *dw)
{
    tensors t = {.x = inputs[0], .y = inputs[1], .result = dw};
    each_product(&c->attrs.u.conv, c->inputs[0].shape, c->output, c->inputs[1].shape, multiply_xy, &t);
}

typedef struct layer {
    const char *name;
    sn_shape x;
    int kernel_h, kernel_w, out;
    sn_conv_attrs attrs;
    bool bias, residual, gate, scale;
} layer;

static const layer layers[] = {
    {"3x3", {2, 7, 5, 6}, 3, 3, 9, {1, 1, 1, 1, 1, 1, SN_IDENTITY}, false, false, false},
    {"3x3 stride 2, odd size", {3, 9, 7, 5}, 3, 3, 7, {2, 1, 1, 1, 1, 1, SN_RELU}, true, true, false},
    {"3x3 stride 2 on even size: a border unseen",
     {1, 8, 6, 4},
     3,
     3,
     4,
     {2, 1, 1, 1, 0, 0, SN_IDENTITY},
     true,
     false,
     false},
    {"7x7 stride 2, stem", {2, 15, 13, 3}, 7, 7, 16, {2, 1, 3, 3, 3, 3, SN_RELU}, true, false, false},
    {"1x1", {2, 4, 3, 17}, 1, 1, 66, {1, 1, 0, 0, 0, 0, SN_RELU6}, true, true, false},
    {"1x1 stride 2", {2, 5, 7, 8}, 1, 1, 3, {2, 1, 0, 0, 0, 0, SN_IDENTITY}, false, false, false},
    {"linear", {5, 1, 1, 37}, 1, 1, 10, {1, 1, 0, 0, 0, 0, SN_SIGMOID}, true, false, false},
    {"grouped", {2, 5, 6, 15}, 3, 3, 6, {1, 3, 1, 1, 1, 1, SN_TANH}, false, true, false},
    {"grouped, wide, stride 2", {1, 6, 7, 24}, 3, 3, 140, {2, 2, 1, 1, 1, 1, SN_IDENTITY}, false, false, false},
    {"depthwise, stride 2", {2, 6, 5, 13}, 3, 3, 13, {2, 13, 1, 1, 1, 1, SN_RELU}, false, false, false},
    {"depthwise behind a gate", {2, 6, 5, 13}, 3, 3, 13, {1, 13, 1, 1, 1, 1, SN_RELU}, true, false, true},
    {"dense behind a gate, with a residual", {3, 4, 5, 7}, 3, 3, 6, {1, 1, 1, 1, 1, 1, SN_IDENTITY}, false, true, true},
    {"1x1 scaled behind its bias", {3, 3, 2, 9}, 1, 1, 14, {1, 1, 0, 0, 0, 0, SN_RELU}, true, true, false, true},
    {"3x3 scaled, stride 2", {2, 5, 7, 4}, 3, 3, 5, {2, 1, 1, 1, 1, 1, SN_IDENTITY}, false, false, false, true},
    {"grouped 1x1, shuffled",
     {2, 3, 4, 15},
     1,
     1,
     12,
     {.stride = 1, .groups = 3, .activation = SN_RELU, .shuffle = 3},
     true,
     false,
     false},
    {"asymmetric pads", {1, 5, 4, 3}, 3, 2, 4, {1, 1, 2, 0, 1, 3, SN_IDENTITY}, false, false, false},
    {"1x7", {1, 3, 9, 4}, 1, 7, 5, {1, 1, 0, 3, 0, 3, SN_IDENTITY}, true, false, false},
    {"stride beyond the kernel", {2, 11, 10, 3}, 2, 2, 4, {4, 1, 0, 0, 0, 0, SN_IDENTITY}, false, false, false},
    {"kernel wider than the map", {1, 2, 3, 4}, 5, 5, 3, {1, 1, 2, 2, 2, 2, SN_IDENTITY}, false, false, false},
};

static void check_layers(sn_op_kind op)
{
    for (size_t l = 0; l < sizeof layers / sizeof layers[0]; l++) {
        const layer *s = &layers[l];
        const sn_conv_attrs *a = &s->attrs;
        sn_shape w = {s->kernel_h, s->kernel_w, s->x.c / a->groups, s->out};
        sn_shape y = {s->x.n, (s->x.h + a->pad_top + a->pad_bottom - s->kernel_h) / a->stride + 1,
                      (s->x.w + a->pad_left + a->pad_right - s->kernel_w) / a->stride + 1, s->out};
        reference_case c = {.name = s->name, .op = op, .attrs.u.conv = *a, .inputs_count = 2};
        if (op == SN_OP_conv2d) {
            c.inputs_count = 6;
            c.inputs[0].shape = s->x;
            c.inputs[1].shape = w;
            if (s->bias) c.inputs[2].shape = (sn_shape){1, 1, 1, s->out};
            if (s->residual) c.inputs[3].shape = y;
            if (s->gate) c.inputs[4].shape = (sn_shape){s->x.n, 1, 1, s->x.c};
            if (s->scale) c.inputs[5].shape = (sn_shape){s->x.n, 1, 1, s->out};
            c.output = y;
            c.formula = forward;
        } else {
            bool input = op == SN_OP_conv2d_grad_input;
            c.attrs.u.conv.target = c.output = input ? s->x : w;
            c.inputs[0].shape = input ? y : s->x;
            c.inputs[1].shape = input ? w : y;
            if (input && s->residual) {
                c.inputs_count = 4;
                c.inputs[3].shape = s->x;
            }
            c.formula = input ? grad_input : grad_weight;
        }
        check_reference(&c);
    }
}

static void composed(const reference_case *c, const void *const *inputs, double *y)
{
    const double *v = inputs[0], *w = inputs[1], *bias = inputs[2];
    int64_t inner = c->inputs[1].shape.w;
    for (int64_t i = 0; i < sn_shape_elements(c->output); i++) {
        int64_t row = i / c->output.c, column = i % c->output.c;
        y[i] = bias ? bias[column] : 0;
        for (int64_t k = 0; k < inner; k++) y[i] += v[row * inner + k] * w[k * c->output.c + column];
    }
}

static void composed_weights_are_a_product(void **state)
{
    (void)state;
    for (int rows = 1; rows <= 9; rows += 4)
        for (int bias = 0; bias < 2; bias++) {
            reference_case c = {.name = "compose_weight", .op = SN_OP_compose_weight, .inputs_count = 2 + bias, .formula = composed};
            c.inputs[0].shape = (sn_shape){1, 1, rows, 6};
            c.inputs[1].shape = (sn_shape){1, 1, 6, 5};
            if (bias) c.inputs[2].shape = (sn_shape){1, 1, 1, 5};
            c.output = (sn_shape){1, 1, rows, 5};
            check_reference(&c);
        }
}

static void convolution_is_its_definition(void **state)
{
    (void)state;
    check_layers(SN_OP_conv2d);
}

static void gradient_of_the_input_is_the_transposed_product(void **state)
{
    (void)state;
    check_layers(SN_OP_conv2d_grad_input);
}

static void gradient_of_the_weight_is_the_outer_product(void **state)
{
    (void)state;
    check_layers(SN_OP_conv2d_grad_weight);
}

/* The map between, then the products with it. */
static void joined_forward(const reference_case *c, const void *const *inputs, double *y)
{
    const double *x = inputs[0], *w = inputs[1], *bias = inputs[2], *depthwise_bias = inputs[4], *gate = inputs[5];
    sn_shape in = c->inputs[0].shape, between = {in.n, c->output.h, c->output.w, in.c};
    double gated[1024], values[1024] = {0};
    assert_true(sn_shape_elements(in) <= 1024 && sn_shape_elements(between) <= 1024);
    for (int64_t i = 0; i < sn_shape_elements(in); i++) gated[i] = x[i] * (gate ? gate[i / (in.h * in.w * in.c) * in.c + i % in.c] : 1);
    tensors t = {.x = gated, .w = inputs[3], .result = values};
    each_product(&c->attrs.u.conv, in, c->inputs[3].shape, between, multiply_xw, &t);
    for (int64_t i = 0; i < sn_shape_elements(between); i++)
        values[i] = activate(c->attrs.u.conv.between, values[i] + (depthwise_bias ? depthwise_bias[i % in.c] : 0));
    for (int64_t i = 0; i < sn_shape_elements(c->output); i++) {
        const double *pixel = values + i / c->output.c * in.c;
        y[i] = bias ? bias[i % c->output.c] : 0;
        for (int64_t k = 0; k < in.c; k++) y[i] += pixel[k] * w[k * c->output.c + i % c->output.c];
        y[i] = activate(c->attrs.u.conv.activation, y[i]);
    }
}

static void depthwise_and_pointwise_are_one_after_the_other(void **state)
{
    (void)state;
    for (int with = 0; with < 4; with++) { /* bit 0: biases, bit 1: a gate and stride 2 */
        int32_t stride = with & 2 ? 2 : 1;
        reference_case c = {.name = "depthwise_pointwise",
                            .op = SN_OP_depthwise_pointwise,
                            .attrs.u.conv = {.stride = stride, .groups = 7, .pad_top = 1, .pad_left = 1, .pad_bottom = 1,
                                             .pad_right = 1, .activation = SN_RELU, .between = with & 1 ? SN_RELU : SN_IDENTITY},
                            .inputs_count = 6,
                            .inputs = {{.shape = {2, 7, 6, 7}}, {.shape = {1, 1, 7, 10}}, {{0}}, {.shape = {3, 3, 1, 7}}},
                            .output = {2, stride == 2 ? 4 : 7, stride == 2 ? 3 : 6, 10},
                            .formula = joined_forward};
        if (with & 1) c.inputs[2].shape = (sn_shape){1, 1, 1, 10}, c.inputs[4].shape = (sn_shape){1, 1, 1, 7};
        if (with & 2) c.inputs[5].shape = (sn_shape){2, 1, 1, 7};
        check_reference(&c);
    }
}

static void sum_channels(const reference_case *c, const void *const *inputs, double *y)
{
    const double *dy = inputs[0];
    for (int64_t i = 0; i < sn_shape_elements(c->inputs[0].shape); i++) y[i % c->output.c] += dy[i];
}

/* 2 x 23 x 29 pixels: more than one block of the fixed order. */
static void gradient_of_the_bias_is_a_sum(void **state)
{
    (void)state;
    reference_case c = {.name = "channel_sum",
                        .op = SN_OP_channel_sum,
                        .inputs_count = 1,
                        .inputs[0].shape = {2, 23, 29, 67},
                        .output = {1, 1, 1, 67},
                        .formula = sum_channels};
    check_reference(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolution_is_its_definition),
        cmocka_unit_test(composed_weights_are_a_product),
        cmocka_unit_test(gradient_of_the_input_is_the_transposed_product),
        cmocka_unit_test(gradient_of_the_weight_is_the_outer_product),
        cmocka_unit_test(depthwise_and_pointwise_are_one_after_the_other),
        cmocka_unit_test(gradient_of_the_bias_is_a_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
