/* test_vector_grouped.c - grouped 3x3 convolutions of the widths of ResNeXt, SENet-154 and others, forward and both gradients, and
 * ShuffleNet's grouped 1x1, at every ISA level of this processor, against the plain kernels in double precision; on float maps and on maps stored as bf16. */
#include "kernels/narrow_check.h"

typedef struct grouped_shape {
    sn_shape x;
    int kernel, out, stride, groups, pad_top, pad_left, pad_bottom, pad_right;
} grouped_shape;

static const grouped_shape shapes[] = {
    /* ResNeXt 32x4d: 4, 8, 16, 32 channels a group */
    {{1, 28, 28, 128}, 3, 128, 1, 32, 1, 1, 1, 1},
    {{2, 14, 14, 256}, 3, 256, 1, 32, 1, 1, 1, 1},
    {{1, 28, 28, 256}, 3, 256, 2, 32, 1, 1, 1, 1},
    {{1, 7, 7, 512}, 3, 512, 1, 32, 1, 1, 1, 1},
    {{1, 14, 14, 512}, 3, 512, 2, 32, 1, 1, 1, 1},
    {{1, 7, 7, 256}, 3, 256, 1, 8, 1, 1, 1, 1},
    /* SENet-154 64x4d widens within the group: 2 to 4, 4 to 8, 8 to 16 */
    {{1, 14, 14, 128}, 3, 256, 1, 64, 1, 1, 1, 1},
    {{1, 14, 14, 256}, 3, 512, 1, 64, 1, 1, 1, 1},
    {{1, 14, 14, 256}, 3, 512, 2, 64, 1, 1, 1, 1},
    {{1, 7, 7, 512}, 3, 1024, 1, 64, 1, 1, 1, 1},
    /* odd maps and pads with small groups */
    {{3, 1, 1, 16}, 3, 16, 1, 4, 1, 1, 1, 1},
    {{1, 2, 23, 16}, 3, 16, 1, 4, 1, 1, 1, 1},
    {{2, 11, 5, 32}, 3, 32, 2, 8, 1, 1, 1, 1},
    {{1, 12, 10, 32}, 3, 32, 2, 4, 0, 0, 1, 1},
    {{1, 9, 8, 48}, 3, 48, 1, 12, 0, 0, 0, 0},
    {{1, 6, 9, 32}, 3, 32, 1, 4, 2, 2, 2, 2},
    {{1, 9, 7, 32}, 3, 32, 2, 8, 0, 2, 1, 0},
    {{1, 64, 9, 32}, 3, 32, 1, 8, 1, 1, 1, 1},
    {{1, 8, 8, 16}, 3, 32, 1, 16, 1, 1, 1, 1}, /* 1 to 2 */
    {{1, 8, 8, 64}, 3, 32, 1, 8, 1, 1, 1, 1},  /* 8 to 4 */
    {{1, 8, 8, 24}, 3, 24, 1, 6, 1, 1, 1, 1},  /* no whole vectors of 16 */
    {{1, 8, 8, 30}, 3, 30, 1, 5, 1, 1, 1, 1},  /* 6 channels a group */
    {{1, 8, 8, 32}, 5, 32, 1, 8, 2, 2, 2, 2},
    {{1, 12, 12, 32}, 3, 32, 3, 8, 1, 1, 1, 1},
    /* ShuffleNet's grouped 1x1: 3 groups of widths that are no multiples of a vector */
    {{1, 28, 28, 60}, 1, 216, 1, 3, 0, 0, 0, 0},
    {{2, 14, 14, 240}, 1, 60, 1, 3, 0, 0, 0, 0},
    {{1, 14, 14, 120}, 1, 480, 1, 3, 0, 0, 0, 0},
    {{1, 7, 7, 960}, 1, 240, 1, 3, 0, 0, 0, 0},
};

static vector_case grouped_case(const grouped_shape *s, sn_op_kind op)
{
    vector_case c = {.error_per_term = 1e-6}; /* see vector_check.h */
    kernel_case_conv(&c.call, op, s->x, s->kernel, s->kernel, s->out,
                     (sn_conv_attrs){.stride = s->stride, .groups = s->groups, .pad_top = s->pad_top, .pad_left = s->pad_left,
                                     .pad_bottom = s->pad_bottom, .pad_right = s->pad_right});
    snprintf(c.title, sizeof c.title, "x %dx%dx%dx%d kernel %d stride %d groups %d out %d", (int)s->x.n, (int)s->x.h, (int)s->x.w,
             (int)s->x.c, s->kernel, s->stride, s->groups, s->out);
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
            vector_case c = grouped_case(&shapes[i], ops[op]);
            check_both(&c);
        }
}

static void bias_residual_and_activation_are_joined(void **state)
{
    (void)state;
    static const grouped_shape some[] = {{{1, 9, 8, 32}, 3, 32, 1, 8, 1, 1, 1, 1}, {{1, 9, 8, 32}, 3, 32, 2, 4, 1, 1, 1, 1}};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
        for (int with = 0; with < 4; with++) /* bit 0: a bias, bit 1: a residual */
            for (int activation = SN_IDENTITY; activation <= SN_TANH; activation++) {
                vector_case c = grouped_case(&some[i], SN_OP_conv2d);
                c.call.node.attrs.u.conv.activation = activation;
                c.low[0] = -5, c.high[0] = 5; /* so that ReLU6 has something to cut */
                kernel_case_input(&c.call, (sn_shape){with & 1, 1, 1, c.call.node.shape.c}, SN_REAL);
                sn_shape none = {0};
                kernel_case_input(&c.call, with & 2 ? c.call.node.shape : none, SN_REAL);
                check_both(&c);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_plain_kernel),
        cmocka_unit_test(bias_residual_and_activation_are_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
