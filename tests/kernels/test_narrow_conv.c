/* test_narrow_conv.c - the vector kernels of conv2d and its gradients on bf16 maps, at every ISA level of this processor,
 * against the plain kernel in double precision: odd sizes and channels, strides, padding, groups, activations, several passes. */
#include "kernels/narrow_check.h"

typedef struct conv_shape {
    sn_shape x;
    int kernel_h, kernel_w, out, stride, groups;
    int pad_top, pad_left, pad_bottom, pad_right;
} conv_shape;

static const conv_shape shapes[] = {
    {{2, 32, 32, 16}, 3, 3, 32, 2, 1, 1, 1, 1, 1},
    {{2, 8, 8, 64}, 3, 3, 64, 1, 1, 1, 1, 1, 1},
    {{3, 16, 16, 64}, 1, 1, 16, 1, 1, 0, 0, 0, 0},
    {{2, 16, 16, 64}, 1, 1, 128, 2, 1, 0, 0, 0, 0},
    /* kernels that cover the map: the layers behind the last maps of a VGG */
    {{3, 7, 7, 24}, 7, 7, 70, 1, 1, 0, 0, 0, 0},
    {{17, 1, 1, 65}, 1, 1, 141, 1, 1, 0, 0, 0, 0},
    {{1, 1, 1, 2100}, 1, 1, 33, 1, 1, 0, 0, 0, 0},
    /* odd sizes: maps, channels, so that pairs of values have no partner, borders */
    {{1, 1, 1, 1}, 1, 1, 1, 1, 1, 0, 0, 0, 0},
    {{1, 1, 1, 5}, 3, 3, 7, 1, 1, 1, 1, 1, 1},
    {{2, 7, 5, 17}, 3, 3, 19, 1, 1, 1, 1, 1, 1},
    {{2, 7, 5, 17}, 3, 3, 19, 1, 1, 0, 0, 0, 0},
    {{1, 7, 7, 40}, 3, 3, 33, 1, 1, 0, 0, 0, 0},
    {{2, 9, 13, 6}, 5, 3, 20, 1, 1, 2, 1, 2, 1},
    {{1, 11, 11, 7}, 1, 7, 24, 1, 1, 0, 3, 0, 3},
    {{1, 11, 11, 8}, 7, 1, 24, 1, 1, 3, 0, 3, 0},
    {{1, 21, 300, 4}, 3, 3, 5, 1, 1, 1, 1, 1, 1},
    {{9, 3, 3, 33}, 1, 1, 70, 1, 1, 0, 0, 0, 0},
    {{2, 10, 9, 13}, 1, 1, 18, 2, 1, 0, 0, 0, 0},
    /* strides: pads that leave rows unused, kernels smaller than the stride */
    {{1, 30, 31, 3}, 7, 7, 64, 2, 1, 3, 3, 3, 3},
    {{1, 15, 14, 16}, 3, 3, 16, 2, 1, 0, 0, 1, 1},
    {{1, 15, 14, 16}, 3, 3, 16, 2, 1, 1, 1, 0, 0},
    {{2, 10, 11, 12}, 2, 2, 18, 3, 1, 0, 0, 0, 0},
    {{1, 23, 23, 3}, 11, 11, 16, 4, 1, 2, 2, 2, 2},
    /* groups */
    {{2, 9, 9, 24}, 3, 3, 48, 2, 3, 1, 1, 1, 1},
    {{1, 7, 7, 10}, 3, 3, 10, 1, 10, 1, 1, 1, 1},
    {{2, 5, 5, 27}, 1, 1, 60, 1, 3, 0, 0, 0, 0},
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

static void add_bias_and_residual(vector_case *c, bool bias, bool residual)
{
    sn_shape none = {0};
    kernel_case_input(&c->call, (sn_shape){bias, 1, 1, c->call.node.shape.c}, SN_REAL);
    kernel_case_input(&c->call, residual ? c->call.node.shape : none, SN_REAL);
}

enum { X = 1 << 0, RESIDUAL = 1 << 3, DY = 1 << 1 }; /* inputs that are maps; DY: of the weight's gradient, which is float */

static void matches_the_plain_kernel(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        vector_case c = conv_case(&shapes[i], SN_OP_conv2d);
        narrow_stored(&c.call, true, X);
        narrow_check(&c);
        c = conv_case(&shapes[i], SN_OP_conv2d_grad_input);
        add_bias_and_residual(&c, false, i % 2);
        narrow_stored(&c.call, true, X | RESIDUAL);
        narrow_check(&c);
        c = conv_case(&shapes[i], SN_OP_conv2d_grad_weight);
        narrow_stored(&c.call, false, X | DY);
        narrow_check(&c);
    }
}

/* A picture's first layer reads floats, what leaves a network may be float. */
static void float_on_either_side(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        vector_case weight = conv_case(&shapes[i], SN_OP_conv2d_grad_weight);
        narrow_stored(&weight.call, false, i % 2 ? X : DY);
        narrow_check(&weight);
        for (int narrow_input = 0; narrow_input < 2; narrow_input++) {
            vector_case c = conv_case(&shapes[i], SN_OP_conv2d);
            c.call.node.attrs.u.conv.activation = SN_RELU;
            add_bias_and_residual(&c, true, i % 2);
            narrow_stored(&c.call, !narrow_input, (narrow_input ? X : 0) | RESIDUAL);
            narrow_check(&c);
        }
    }
}

static void bias_residual_and_activation_are_joined(void **state)
{
    (void)state;
    static const conv_shape layers[] = {{{3, 16, 16, 16}, 3, 3, 32, 1, 1, 1, 1, 1, 1}, {{2, 9, 7, 5}, 3, 3, 21, 2, 1, 1, 1, 1, 1},
                                        {{6, 4, 4, 32}, 1, 1, 3, 1, 1, 0, 0, 0, 0}, {{1, 8, 8, 24}, 3, 3, 36, 1, 3, 1, 1, 1, 1}};
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++)
        for (int with = 0; with < 4; with++) /* bit 0: a bias, bit 1: a residual */
            for (int activation = SN_IDENTITY; activation <= SN_TANH; activation++) {
                vector_case c = conv_case(&layers[i], SN_OP_conv2d);
                c.call.node.attrs.u.conv.activation = activation;
                add_bias_and_residual(&c, with & 1, with & 2);
                narrow_stored(&c.call, true, X | RESIDUAL);
                narrow_check(&c);
            }
}

/* 1x1 layers of 1 to 70 output channels on few pixels, so that every height and width of a register tile occurs. */
static void every_tile_of_a_pointwise_layer(void **state)
{
    (void)state;
    for (int channels = 1; channels <= 70; channels++) {
        conv_shape s = {{1 + channels % 2, 1 + channels % 5, 2 + channels % 11, 1 + channels % 19}, 1, 1, channels,
                        1 + (channels % 3 == 0), 1, 0, 0, 0, 0};
        vector_case c = conv_case(&s, SN_OP_conv2d_grad_input);
        narrow_stored(&c.call, true, X);
        narrow_check(&c);
        c = conv_case(&s, SN_OP_conv2d_grad_weight);
        narrow_stored(&c.call, false, X | DY);
        narrow_check(&c);
        c = conv_case(&s, SN_OP_conv2d);
        c.call.node.attrs.u.conv.activation = channels % 3;
        add_bias_and_residual(&c, true, channels % 4);
        narrow_stored(&c.call, true, X | RESIDUAL);
        narrow_check(&c);
        vector_scale(&c);
        narrow_check(&c);
    }
}

/* Layers of the ImageNet networks, reduced in size, whose sums take several passes and whose maps several tasks. */
static void layers_in_several_passes_and_tasks(void **state)
{
    (void)state;
    static const conv_shape layers[] = {
        {{1, 14, 14, 1300}, 1, 1, 72, 1, 1, 0, 0, 0, 0},  {{3, 7, 7, 2590}, 1, 1, 64, 1, 1, 0, 0, 0, 0},
        {{1, 14, 14, 450}, 3, 3, 132, 1, 1, 1, 1, 1, 1},  {{1, 14, 14, 432}, 3, 3, 80, 2, 1, 1, 1, 1, 1},
        {{1, 17, 17, 200}, 1, 7, 72, 1, 1, 0, 3, 0, 3},   {{1, 17, 17, 200}, 7, 1, 72, 1, 1, 3, 0, 3, 0},
        {{2, 28, 28, 64}, 1, 1, 70, 1, 1, 0, 0, 0, 0},    {{9, 7, 7, 161}, 3, 3, 40, 1, 1, 1, 1, 1, 1},
        {{1, 40, 240, 3}, 7, 7, 64, 2, 1, 3, 3, 3, 3},    {{1, 13, 13, 1401}, 1, 1, 71, 2, 1, 0, 0, 0, 0},
        {{3, 56, 56, 16}, 3, 3, 24, 1, 1, 1, 1, 1, 1},    {{4, 56, 56, 8}, 1, 1, 40, 1, 1, 0, 0, 0, 0},
        {{2, 14, 14, 96}, 3, 3, 300, 2, 1, 1, 1, 1, 1},
    };
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        vector_case c = conv_case(&layers[i], SN_OP_conv2d_grad_input);
        narrow_stored(&c.call, true, X);
        narrow_check(&c);
        c = conv_case(&layers[i], SN_OP_conv2d_grad_weight);
        narrow_stored(&c.call, false, X | DY);
        narrow_check(&c);
        c = conv_case(&layers[i], SN_OP_conv2d);
        c.call.node.attrs.u.conv.activation = i % 2 ? SN_RELU : SN_IDENTITY;
        add_bias_and_residual(&c, true, true);
        narrow_stored(&c.call, true, X | RESIDUAL);
        narrow_check(&c);
        narrow_stored(&c.call, true, 0);
        c.call.node.dtype = SN_REAL;
        narrow_check(&c);
        vector_scale(&c);
        narrow_check(&c);
        narrow_stored(&c.call, true, X | RESIDUAL);
        narrow_check(&c);
    }
}

/* An odd number of channels: the last value's neighbour belongs to the next pixel.  What is not a number there must not show. */
static void a_neighbour_is_not_read(void **state)
{
    (void)state;
    enum { PIXELS = 40, IN = 5, OUT = 20, BAD = 23 };
    uint16_t x[PIXELS * IN], y[PIXELS * OUT];
    float w[IN * OUT];
    for (int i = 0; i < PIXELS * IN; i++) x[i] = i / IN == BAD ? 0x7fc0 : sn_bf16_from_float(1);
    for (int i = 0; i < IN * OUT; i++) w[i] = 1;
    sn_shape map = {1, 4, PIXELS / 4, IN};
    for (sn_isa isa = SN_ISA_BASELINE; isa <= sn_cpu_isa(); isa++)
        for (const sn_kernel *const *k = sn_cpu_candidates_on(SN_OP_conv2d, SN_BF16, SN_FLOAT, isa); *k; k++) {
            const sn_kernel *kernel = *k;
            kernel_case c = {0};
            kernel_case_conv(&c, SN_OP_conv2d, map, 1, 1, OUT, (sn_conv_attrs){.stride = 1, .groups = 1});
            narrow_stored(&c, true, X);
            kernel_case_bind(&c, 1, SN_FLOAT);
            if (kernel->refuse && kernel->refuse(&c.call)) continue;
            void *packed = vector_block(kernel->packed_bytes ? kernel->packed_bytes(&c.call) : 0);
            void *scratch = vector_block(kernel->scratch_bytes ? kernel->scratch_bytes(&c.call) : 0);
            c.call.inputs[0] = x;
            c.call.inputs[1] = w;
            if (kernel->pack) kernel->pack(&c.call, packed);
            c.call.output = y;
            c.call.packed = packed;
            c.call.scratch = scratch;
            kernel->run(&c.call);
            free(packed);
            free(scratch);
            for (int i = 0; i < PIXELS * OUT; i++)
                if (i / OUT == BAD ? !isnan(sn_bf16_to_float(y[i])) : sn_bf16_to_float(y[i]) != IN)
                    fail_msg("%s: pixel %d is %g", kernel->name, i / OUT, (double)sn_bf16_to_float(y[i]));
        }
}

static void double_precision_is_refused(void **state)
{
    (void)state;
    vector_case c = conv_case(&shapes[1], SN_OP_conv2d);
    narrow_stored(&c.call, true, X);
    kernel_case_bind(&c.call, 1, SN_DOUBLE);
    for (const sn_kernel *const *k = sn_cpu_candidates_on(SN_OP_conv2d, SN_BF16, SN_FLOAT, sn_cpu_isa()); k[1]; k++) {
        assert_non_null((*k)->refuse);
        assert_non_null((*k)->refuse(&c.call.call));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_plain_kernel),
        cmocka_unit_test(float_on_either_side),
        cmocka_unit_test(bias_residual_and_activation_are_joined),
        cmocka_unit_test(every_tile_of_a_pointwise_layer),
        cmocka_unit_test(layers_in_several_passes_and_tasks),
        cmocka_unit_test(a_neighbour_is_not_read),
        cmocka_unit_test(double_precision_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
