/* test_vector_grouped_pointwise.c - grouped 1x1 convolutions that shuffle their outputs, at every ISA level of this
 * processor, against the plain kernels in double precision. */
#include "kernels/vector_check.h"

typedef struct shuffled_shape {
    sn_shape x;
    int groups, out;
} shuffled_shape;

static const shuffled_shape shapes[] = {
    /* layers of ShuffleNet */
    {{1, 28, 28, 240}, 3, 60},
    {{1, 14, 14, 480}, 3, 120},
    {{2, 7, 7, 960}, 3, 240},
    /* few pixels, many images, channels that fill no vector, every size of a panel's last vector */
    {{1, 1, 1, 6}, 2, 4},
    {{5, 3, 3, 12}, 4, 64},
    {{1, 5, 5, 33}, 3, 51},
    {{3, 9, 7, 30}, 3, 171},
    {{1, 13, 11, 16}, 4, 36},
    {{2, 6, 9, 14}, 2, 82},
    {{1, 23, 25, 9}, 3, 75},
    {{1, 4, 4, 8}, 2, 100},
};

static vector_case shuffled_case(const shuffled_shape *s)
{
    vector_case c = {.error_per_term = 1e-6}; /* see vector_check.h */
    kernel_case_conv(&c.call, SN_OP_conv2d, s->x, 1, 1, s->out,
                     (sn_conv_attrs){.stride = 1, .groups = s->groups, .shuffle = s->groups});
    snprintf(c.title, sizeof c.title, "x %dx%dx%dx%d, %d groups to %d", (int)s->x.n, (int)s->x.h, (int)s->x.w,
             (int)s->x.c, s->groups, s->out);
    return c;
}

static void matches_the_plain_kernel(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        vector_case c = shuffled_case(&shapes[i]);
        vector_check(&c);
    }
}

static void bias_and_activation_are_joined(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int activation = SN_IDENTITY; activation <= SN_RELU6; activation++) {
            vector_case c = shuffled_case(&shapes[i]);
            c.call.node.attrs.u.conv.activation = activation;
            c.low[0] = -9, c.high[0] = 9; /* so that ReLU6 has something to cut */
            kernel_case_input(&c.call, (sn_shape){1, 1, 1, shapes[i].out}, SN_REAL);
            vector_check(&c);
        }
}

/* Nobody else may take such a call: the order of its outputs would be lost. */
static void other_kernels_refuse_a_shuffle(void **state)
{
    (void)state;
    vector_case c = shuffled_case(&shapes[0]);
    kernel_case_bind(&c.call, 1, SN_FLOAT);
    const sn_kernel *const *candidates = sn_cpu_candidates(SN_OP_conv2d, SN_FLOAT, sn_cpu_isa());
    for (int k = 0; candidates[k] && candidates[k + 1]; k++)
        if (!strstr(candidates[k]->name, "grouped_pointwise"))
            assert_non_null(sn_cpu_refusal(candidates[k], &c.call.call));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_plain_kernel),
        cmocka_unit_test(bias_and_activation_are_joined),
        cmocka_unit_test(other_kernels_refuse_a_shuffle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
