/* test_vector_conv.c - the vector kernels of conv2d and its gradients, at every ISA level of this processor, against the plain
 * kernels in double precision: odd sizes, strides, groups, activations. */
#include "kernels/vector_check.h"

typedef struct conv_shape {
    sn_shape x;
    int kernel_h, kernel_w, out, stride, groups;
    int pad_top, pad_left, pad_bottom, pad_right;
} conv_shape;

static const conv_shape shapes[] = {
    /* the layers of the CIFAR networks */
    {{2, 32, 32, 3}, 3, 3, 16, 1, 1, 1, 1, 1, 1},
    {{3, 32, 32, 16}, 3, 3, 16, 1, 1, 1, 1, 1, 1},
    {{2, 32, 32, 16}, 3, 3, 32, 2, 1, 1, 1, 1, 1},
    {{5, 16, 16, 32}, 3, 3, 32, 1, 1, 1, 1, 1, 1},
    {{5, 8, 8, 64}, 3, 3, 64, 1, 1, 1, 1, 1, 1},
    {{3, 16, 16, 64}, 1, 1, 16, 1, 1, 0, 0, 0, 0},
    {{3, 16, 16, 16}, 1, 1, 64, 1, 1, 0, 0, 0, 0},
    {{2, 16, 16, 64}, 1, 1, 128, 2, 1, 0, 0, 0, 0},
    /* excitation and classifier */
    {{130, 1, 1, 64}, 1, 1, 4, 1, 1, 0, 0, 0, 0},
    {{1, 1, 1, 16}, 1, 1, 1, 1, 1, 0, 0, 0, 0},
    {{7, 1, 1, 1}, 1, 1, 16, 1, 1, 0, 0, 0, 0},
    {{9, 1, 1, 216}, 1, 1, 13, 1, 1, 0, 0, 0, 0},
    {{17, 1, 1, 64}, 1, 1, 10, 1, 1, 0, 0, 0, 0},
    {{3, 1, 1, 2100}, 1, 1, 70, 1, 1, 0, 0, 0, 0},
    /* odd sizes: maps, channels, borders */
    {{1, 1, 1, 1}, 1, 1, 1, 1, 1, 0, 0, 0, 0},
    {{1, 1, 1, 5}, 3, 3, 7, 1, 1, 1, 1, 1, 1},
    {{2, 7, 5, 17}, 3, 3, 19, 1, 1, 1, 1, 1, 1},
    {{1, 7, 7, 40}, 3, 3, 33, 1, 1, 0, 0, 0, 0},
    {{2, 9, 13, 6}, 5, 3, 20, 1, 1, 2, 1, 2, 1},
    {{1, 11, 11, 8}, 1, 7, 24, 1, 1, 0, 3, 0, 3},
    {{1, 11, 11, 8}, 7, 1, 24, 1, 1, 3, 0, 3, 0},
    {{1, 21, 300, 4}, 3, 3, 5, 1, 1, 1, 1, 1, 1},
    {{1, 57, 57, 80}, 3, 3, 16, 1, 1, 1, 1, 1, 1},
    {{1, 4, 4, 600}, 3, 3, 48, 1, 1, 1, 1, 1, 1},
    /* whole vectors of channels, so that Winograd takes them: odd maps, every padding */
    {{2, 9, 7, 32}, 3, 3, 48, 1, 1, 0, 0, 0, 0},
    {{3, 6, 11, 16}, 3, 3, 16, 1, 1, 2, 1, 0, 2},
    {{70, 5, 5, 16}, 3, 3, 32, 1, 1, 1, 1, 1, 1},
    {{2, 10, 10, 272}, 3, 3, 16, 1, 1, 2, 2, 2, 2},
    /* strides: pads that leave rows unused, kernels smaller than the stride */
    {{2, 29, 31, 3}, 7, 7, 64, 2, 1, 3, 3, 3, 3},
    {{1, 15, 14, 16}, 3, 3, 16, 2, 1, 0, 0, 1, 1},
    {{1, 15, 14, 16}, 3, 3, 16, 2, 1, 1, 1, 0, 0},
    {{2, 10, 9, 12}, 1, 1, 18, 2, 1, 0, 0, 0, 0},
    {{2, 10, 11, 12}, 2, 2, 18, 3, 1, 0, 0, 0, 0},
    {{1, 23, 23, 3}, 11, 11, 16, 4, 1, 2, 2, 2, 2},
    /* groups */
    {{2, 16, 16, 64}, 3, 3, 64, 1, 4, 1, 1, 1, 1},
    {{2, 9, 9, 24}, 3, 3, 48, 2, 3, 1, 1, 1, 1},
    {{1, 7, 7, 32}, 3, 3, 32, 1, 8, 1, 1, 1, 1},
    {{1, 7, 7, 10}, 3, 3, 10, 1, 10, 1, 1, 1, 1},
    {{2, 5, 5, 24}, 1, 1, 60, 1, 3, 0, 0, 0, 0},
};

static vector_case conv_case(const conv_shape *s, sn_op_kind op)
{
    vector_case c = {.error_per_term = 1e-6}; /* see vector_check.h */
    kernel_case_conv(&c.call, op, s->x, s->kernel_h, s->kernel_w, s->out,
                     (sn_conv_attrs){.stride = s->stride, .groups = s->groups, .pad_top = s->pad_top, .pad_left = s->pad_left,
                                     .pad_bottom = s->pad_bottom, .pad_right = s->pad_right});
    snprintf(c.title, sizeof c.title, "x %dx%dx%dx%d kernel %dx%d stride %d groups %d out %d", (int)s->x.n, (int)s->x.h,
             (int)s->x.w, (int)s->x.c, s->kernel_h, s->kernel_w, s->stride, s->groups, s->out);
    return c;
}

static void matches_the_plain_kernel(void **state)
{
    (void)state;
    static const sn_op_kind ops[] = {SN_OP_conv2d, SN_OP_conv2d_grad_input, SN_OP_conv2d_grad_weight};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int op = 0; op < 3; op++) {
            vector_case c = conv_case(&shapes[i], ops[op]);
            vector_check(&c);
        }
}

static void bias_residual_and_activation_are_joined(void **state)
{
    (void)state;
    static const conv_shape layers[] = {{{3, 16, 16, 16}, 3, 3, 32, 1, 1, 1, 1, 1, 1}, {{2, 9, 7, 5}, 3, 3, 21, 2, 1, 1, 1, 1, 1},
                                        {{6, 1, 1, 32}, 1, 1, 3, 1, 1, 0, 0, 0, 0}, {{1, 8, 8, 24}, 3, 3, 36, 1, 3, 1, 1, 1, 1}};
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++)
        for (int with = 0; with < 4; with++) /* bit 0: a bias, bit 1: a residual */
            for (int activation = SN_IDENTITY; activation <= SN_TANH; activation++) {
                vector_case c = conv_case(&layers[i], SN_OP_conv2d);
                c.call.node.attrs.u.conv.activation = activation;
                kernel_case_input(&c.call, (sn_shape){with & 1, 1, 1, c.call.node.shape.c}, SN_REAL);
                sn_shape none = {0};
                kernel_case_input(&c.call, with & 2 ? c.call.node.shape : none, SN_REAL);
                vector_check(&c);
            }
}

/* The sum with another gradient of the same map. */
static void a_gradient_of_the_input_takes_a_residual(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        vector_case c = conv_case(&shapes[i], SN_OP_conv2d_grad_input);
        kernel_case_input(&c.call, (sn_shape){0}, SN_REAL);
        kernel_case_input(&c.call, c.call.node.shape, SN_REAL);
        vector_check(&c);
    }
}

/* 1x1 layers of 1 to 70 output channels on few pixels, so that every height and width of a register tile occurs, with all that is
 * joined to a convolution. */
static void every_tile_of_a_pointwise_layer(void **state)
{
    (void)state;
    for (int channels = 1; channels <= 70; channels++) {
        conv_shape s = {{1 + channels % 2, 1 + channels % 5, 1 + channels % 11, 1 + channels % 19}, 1, 1, channels,
                        1 + (channels % 3 == 0), 1, 0, 0, 0, 0};
        static const sn_op_kind gradients[] = {SN_OP_conv2d_grad_input, SN_OP_conv2d_grad_weight};
        for (int i = 0; i < 2; i++) {
            vector_case c = conv_case(&s, gradients[i]);
            vector_check(&c);
        }
        vector_case c = conv_case(&s, SN_OP_conv2d);
        c.call.node.attrs.u.conv.activation = channels % 3;
        kernel_case_input(&c.call, (sn_shape){1, 1, 1, c.call.node.shape.c}, SN_REAL);
        sn_shape none = {0};
        kernel_case_input(&c.call, channels % 4 ? c.call.node.shape : none, SN_REAL);
        vector_check(&c);
        vector_scale(&c);
        vector_check(&c);
    }
}

/* Layers of the ImageNet networks, reduced in size, whose sums take several passes and whose maps several tasks. */
static void layers_in_several_passes_and_tasks(void **state)
{
    (void)state;
    static const conv_shape layers[] = {
        {{1, 14, 14, 1032}, 1, 1, 72, 1, 1, 0, 0, 0, 0},  {{1, 14, 14, 512}, 1, 1, 100, 2, 1, 0, 0, 0, 0},
        {{3, 7, 7, 650}, 1, 1, 64, 1, 1, 0, 0, 0, 0},     {{2, 28, 28, 64}, 1, 1, 70, 1, 1, 0, 0, 0, 0},
        {{1, 14, 14, 130}, 3, 3, 80, 2, 1, 1, 1, 1, 1},   {{1, 17, 17, 120}, 1, 7, 72, 1, 1, 0, 3, 0, 3},
        {{1, 17, 17, 120}, 7, 1, 72, 1, 1, 3, 0, 3, 0},   {{9, 7, 7, 96}, 3, 3, 40, 1, 1, 1, 1, 1, 1},
        {{1, 40, 240, 3}, 7, 7, 64, 2, 1, 3, 3, 3, 3},    {{1, 19, 19, 48}, 5, 5, 64, 1, 1, 2, 2, 2, 2},
        {{2, 17, 17, 80}, 3, 3, 96, 2, 1, 0, 0, 0, 0},    {{30, 1, 1, 700}, 1, 1, 101, 1, 1, 0, 0, 0, 0},
        {{2, 16, 16, 96}, 3, 3, 96, 2, 2, 1, 1, 1, 1},
    };
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        vector_case c = conv_case(&layers[i], SN_OP_conv2d_grad_input);
        vector_check(&c);
        c = conv_case(&layers[i], SN_OP_conv2d_grad_weight);
        vector_check(&c);
        c = conv_case(&layers[i], SN_OP_conv2d);
        c.call.node.attrs.u.conv.activation = i % 2 ? SN_RELU : SN_IDENTITY;
        kernel_case_input(&c.call, (sn_shape){1, 1, 1, c.call.node.shape.c}, SN_REAL);
        kernel_case_input(&c.call, c.call.node.shape, SN_REAL);
        vector_check(&c);
        vector_scale(&c);
        vector_check(&c);
    }
}

/* Rows and columns that fill no vector or block of rows. */
static void weights_are_composed(void **state)
{
    (void)state;
    static const int sizes[][3] = {{1, 1, 1}, {6, 9, 64}, {7, 33, 65}, {64, 256, 16}, {1, 512, 128}, {13, 40, 130}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int bias = 0; bias < 2; bias++) {
            vector_case c = {.error_per_term = 1e-6};
            int rows = sizes[i][0], inner = sizes[i][1], columns = sizes[i][2];
            kernel_case_output(&c.call, SN_OP_compose_weight, (sn_shape){1, 1, rows, columns});
            kernel_case_input(&c.call, (sn_shape){1, 1, rows, inner}, SN_REAL);
            kernel_case_input(&c.call, (sn_shape){1, 1, inner, columns}, SN_REAL);
            kernel_case_input(&c.call, (sn_shape){bias, 1, 1, columns}, SN_REAL);
            snprintf(c.title, sizeof c.title, "%d x %d by %d", rows, inner, columns);
            vector_check(&c);
        }
}

static void double_precision_is_refused(void **state)
{
    (void)state;
    vector_case c = conv_case(&shapes[1], SN_OP_conv2d);
    kernel_case_bind(&c.call, 1, SN_DOUBLE);
    for (const sn_kernel *const *k = sn_cpu_candidates(SN_OP_conv2d, SN_FLOAT, sn_cpu_isa()); k[1]; k++) {
        assert_non_null((*k)->refuse);
        assert_non_null((*k)->refuse(&c.call.call));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_plain_kernel),
        cmocka_unit_test(bias_residual_and_activation_are_joined),
        cmocka_unit_test(a_gradient_of_the_input_takes_a_residual),
        cmocka_unit_test(every_tile_of_a_pointwise_layer),
        cmocka_unit_test(layers_in_several_passes_and_tasks),
        cmocka_unit_test(weights_are_composed),
        cmocka_unit_test(double_precision_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
