/* test_vector_depthwise.c - the depthwise 3x3 kernels, forward and both gradients, at every ISA level of this processor, against the
 * plain kernels in double precision; on float maps and on maps stored as bf16; also behind the gate of an SE block. */
#include "kernels/narrow_check.h"

typedef struct depthwise_shape {
    sn_shape x;
    int stride, pad_top, pad_left, pad_bottom, pad_right;
    bool general; /* left to the kernels that take any convolution */
} depthwise_shape;

static const depthwise_shape shapes[] = {
    /* layers of MobileNet and ShuffleNet */
    {{1, 28, 28, 32}, 1, 1, 1, 1, 1, false},
    {{2, 28, 28, 64}, 2, 1, 1, 1, 1, false},
    {{1, 14, 14, 512}, 1, 1, 1, 1, 1, false},
    {{1, 14, 14, 512}, 2, 1, 1, 1, 1, false},
    {{2, 7, 7, 240}, 1, 1, 1, 1, 1, false},
    {{1, 28, 28, 60}, 1, 1, 1, 1, 1, false},
    {{1, 14, 14, 120}, 2, 1, 1, 1, 1, false},
    /* TensorFlow's "same" of stride 2 on even and odd maps */
    {{1, 28, 28, 40}, 2, 0, 0, 1, 1, false},
    {{2, 15, 13, 24}, 2, 1, 1, 1, 1, false},
    /* odd maps and channels, no padding, padding on some sides */
    {{1, 1, 1, 5}, 1, 1, 1, 1, 1, false},
    {{2, 2, 1, 17}, 1, 1, 1, 1, 1, false},
    {{3, 1, 9, 33}, 1, 1, 1, 1, 1, false},
    {{1, 11, 8, 7}, 2, 1, 1, 1, 1, false},
    {{1, 9, 10, 19}, 1, 1, 0, 1, 1, true}, /* backward-data reaches two columns outside */
    {{1, 10, 23, 16}, 2, 0, 1, 0, 1, false},
    {{1, 3, 3, 4}, 2, 0, 0, 0, 0, false},
    {{1, 21, 90, 3}, 1, 1, 1, 1, 1, false},
    {{40, 5, 5, 20}, 1, 1, 1, 1, 1, false},
    /* what the depthwise kernels leave to others */
    {{1, 9, 9, 12}, 1, 2, 2, 2, 2, true},
    {{1, 12, 12, 12}, 3, 1, 1, 1, 1, true},
};

static vector_case depthwise_case(const depthwise_shape *s, sn_op_kind op)
{
    vector_case c = {.error_per_term = 1e-6}; /* see vector_check.h */
    kernel_case_conv(&c.call, op, s->x, 3, 3, (int)s->x.c,
                     (sn_conv_attrs){.stride = s->stride, .groups = (int32_t)s->x.c, .pad_top = s->pad_top,
                                     .pad_left = s->pad_left, .pad_bottom = s->pad_bottom, .pad_right = s->pad_right});
    snprintf(c.title, sizeof c.title, "x %dx%dx%dx%d stride %d pads %d %d %d %d", (int)s->x.n, (int)s->x.h, (int)s->x.w,
             (int)s->x.c, s->stride, s->pad_top, s->pad_left, s->pad_bottom, s->pad_right);
    return c;
}

/* The check on float tensors, then with the maps in bf16. */
static void check_both(const vector_case *c)
{
    vector_check(c);
    vector_case narrow = *c;
    bool weight = c->call.node.op == SN_OP_conv2d_grad_weight;
    narrow_stored(&narrow.call, !weight, weight ? 1u << 0 | 1u << 1 : 1u << 0 | 1u << 3);
    narrow_check(&narrow);
}

static void matches_the_plain_kernel(void **state)
{
    (void)state;
    static const sn_op_kind ops[] = {SN_OP_conv2d, SN_OP_conv2d_grad_input, SN_OP_conv2d_grad_weight};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int op = 0; op < 3; op++) {
            vector_case c = depthwise_case(&shapes[i], ops[op]);
            kernel_case_bind(&c.call, 1, SN_FLOAT);
            const char *name = sn_cpu_choose(&c.call.call, 1, false)->name;
            if (!shapes[i].general && !strstr(name, "depthwise")) fail_msg("%s: %s was chosen", c.title, name);
            check_both(&c);
        }
}

static void bias_and_activation_are_joined(void **state)
{
    (void)state;
    static const size_t some[] = {1, 5, 9, 12};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
        for (int with = 0; with < 4; with++) /* bit 0: a bias, bit 1: a residual */
            for (int activation = SN_IDENTITY; activation <= SN_TANH; activation++) {
                vector_case c = depthwise_case(&shapes[some[i]], SN_OP_conv2d);
                c.call.node.attrs.u.conv.activation = activation;
                c.low[0] = -9, c.high[0] = 9; /* so that ReLU6 has something to cut */
                kernel_case_input(&c.call, (sn_shape){with & 1, 1, 1, c.call.node.shape.c}, SN_REAL);
                sn_shape none = {0};
                kernel_case_input(&c.call, with & 2 ? c.call.node.shape : none, SN_REAL);
                check_both(&c);
            }
}

/* The gate of an SE block in front, alone and with bias and activation. */
static void gate_is_joined(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int with = 0; with < 2 && !shapes[i].general; with++) {
            vector_case c = depthwise_case(&shapes[i], SN_OP_conv2d);
            sn_shape x = shapes[i].x, none = {0};
            if (with) c.call.node.attrs.u.conv.activation = SN_RELU;
            kernel_case_input(&c.call, (sn_shape){with, 1, 1, x.c}, SN_REAL);
            kernel_case_input(&c.call, none, SN_REAL);
            kernel_case_input(&c.call, (sn_shape){x.n, 1, 1, x.c}, SN_REAL);
            check_both(&c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_plain_kernel),
        cmocka_unit_test(bias_and_activation_are_joined),
        cmocka_unit_test(gate_is_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
