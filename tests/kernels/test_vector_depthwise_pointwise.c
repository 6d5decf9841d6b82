/* test_vector_depthwise_pointwise.c - a depthwise 3x3 convolution joined with the 1x1 behind it, at every ISA level of this processor,
 * against the plain kernel in double precision; on float maps and on maps stored as bf16. */
#include "kernels/narrow_check.h"

typedef struct joined_shape {
    sn_shape x;
    int out, stride, pad_top, pad_left, pad_bottom, pad_right;
} joined_shape;

static const joined_shape shapes[] = {
    /* as in MobileNet, smaller */
    {{1, 56, 56, 32}, 64, 1, 1, 1, 1, 1},
    {{1, 28, 28, 128}, 128, 1, 1, 1, 1, 1},
    {{2, 28, 28, 64}, 128, 2, 1, 1, 1, 1},
    {{1, 14, 14, 256}, 512, 1, 1, 1, 1, 1},
    {{3, 7, 7, 64}, 96, 1, 1, 1, 1, 1},
    /* TensorFlow's "same" of stride 2 on even and odd maps */
    {{1, 28, 28, 40}, 24, 2, 0, 0, 1, 1},
    {{2, 15, 13, 24}, 40, 2, 1, 1, 1, 1},
    /* channels that fill no vector or panel, odd maps, narrow ones, no padding, padding on some sides */
    {{1, 1, 1, 5}, 3, 1, 1, 1, 1, 1},
    {{2, 2, 1, 17}, 19, 1, 1, 1, 1, 1},
    {{3, 1, 9, 33}, 65, 1, 1, 1, 1, 1},
    {{1, 11, 8, 7}, 130, 2, 1, 1, 1, 1},
    {{1, 10, 23, 16}, 15, 2, 0, 1, 0, 1},
    {{1, 9, 10, 19}, 81, 1, 1, 0, 1, 1},
    {{1, 6, 6, 4}, 2, 1, 0, 0, 0, 0},
    {{1, 33, 90, 3}, 70, 1, 1, 1, 1, 1},
    {{20, 5, 5, 20}, 36, 1, 1, 1, 1, 1},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static const joined_shape padded_twice = {{1, 9, 9, 12}, 8, 1, 2, 2, 2, 2}, strided = {{1, 12, 12, 12}, 8, 3, 1, 1, 1, 1};

/* with: bit 0: biases, bit 1: a gate */
static vector_case joined_case(const joined_shape *s, int with)
{
    vector_case c = {.error_per_term = 1e-6}; /* see vector_check.h */
    sn_shape y = {s->x.n, (s->x.h + s->pad_top + s->pad_bottom - 3) / s->stride + 1,
                  (s->x.w + s->pad_left + s->pad_right - 3) / s->stride + 1, s->out};
    kernel_case_output(&c.call, SN_OP_depthwise_pointwise, y);
    c.call.node.attrs.u.conv = (sn_conv_attrs){.stride = s->stride, .groups = (int32_t)s->x.c, .pad_top = s->pad_top,
                                               .pad_left = s->pad_left, .pad_bottom = s->pad_bottom, .pad_right = s->pad_right};
    kernel_case_input(&c.call, s->x, SN_REAL);
    kernel_case_input(&c.call, (sn_shape){1, 1, s->x.c, s->out}, SN_REAL);
    kernel_case_input(&c.call, (sn_shape){with & 1, 1, 1, s->out}, SN_REAL);
    kernel_case_input(&c.call, (sn_shape){3, 3, 1, s->x.c}, SN_REAL);
    kernel_case_input(&c.call, (sn_shape){with & 1, 1, 1, s->x.c}, SN_REAL);
    kernel_case_input(&c.call, (sn_shape){with & 2 ? s->x.n : 0, 1, 1, s->x.c}, SN_REAL);
    snprintf(c.title, sizeof c.title, "x %dx%dx%dx%d to %d, stride %d, pads %d %d %d %d, with %d", (int)s->x.n, (int)s->x.h,
             (int)s->x.w, (int)s->x.c, s->out, s->stride, s->pad_top, s->pad_left, s->pad_bottom, s->pad_right, with);
    return c;
}

/* The check on float tensors, then with the maps in bf16. */
static void check_both(const vector_case *c)
{
    vector_check(c);
    vector_case narrow = *c;
    narrow_stored(&narrow.call, true, 1u << 0);
    narrow_check(&narrow);
}

static void matches_the_plain_kernel(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        for (int with = 0; with < 4; with++) {
            vector_case c = joined_case(&shapes[i], with);
            check_both(&c);
        }
}

static void activations_are_joined(void **state)
{
    (void)state;
    static const int some[] = {3, 6, 9, 13};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
        for (int between = SN_IDENTITY; between <= SN_RELU6; between++)
            for (int activation = SN_IDENTITY; activation <= SN_RELU6; activation++) {
                vector_case c = joined_case(&shapes[some[i]], 3);
                c.call.node.attrs.u.conv.between = between;
                c.call.node.attrs.u.conv.activation = activation;
                c.low[0] = -9, c.high[0] = 9; /* so that ReLU6 has something to cut */
                check_both(&c);
            }
}

/* An image's bits do not depend on those beside it. */
static void images_keep_their_bits_in_a_batch(void **state)
{
    (void)state;
    static const int some[] = {4, 6, 15};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        joined_shape several = shapes[some[i]], one = several;
        one.x.n = 1;
        vector_case batch = joined_case(&several, 1), alone = joined_case(&one, 1);
        const sn_kernel *kernel = sn_cpu_candidates(SN_OP_depthwise_pointwise, SN_FLOAT, sn_cpu_isa())[0];
        const char *refusal;
        float *all = vector_run(&batch, kernel, SN_FLOAT, 2, false, -1, &refusal);
        float *first = vector_run(&alone, kernel, SN_FLOAT, 2, false, -1, &refusal); /* drawn from the same stream */
        assert_non_null(all);
        assert_memory_equal(all, first, (size_t)sn_shape_elements(alone.call.node.shape) * sizeof(float));
        free(all);
        free(first);
    }
}

static void other_geometries_are_refused(void **state)
{
    (void)state;
    const sn_kernel *kernel = sn_cpu_candidates(SN_OP_depthwise_pointwise, SN_FLOAT, sn_cpu_isa())[0];
    vector_case cases[4] = {joined_case(&padded_twice, 0), joined_case(&strided, 0), joined_case(&shapes[4], 0),
                            joined_case(&shapes[4], 0)};
    static const char *const reasons[] = {"padding above 1", "stride above 2", "an activation that is no clamp",
                                          "an activation that is no clamp"};
    cases[2].call.node.attrs.u.conv.between = SN_SIGMOID;
    cases[3].call.node.attrs.u.conv.activation = SN_TANH;
    for (int i = 0; i < 4; i++) {
        kernel_case_bind(&cases[i].call, 1, SN_FLOAT);
        const char *refusal = sn_cpu_refusal(kernel, &cases[i].call.call);
        assert_non_null(refusal);
        assert_string_equal(refusal, reasons[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_plain_kernel),
        cmocka_unit_test(activations_are_joined),
        cmocka_unit_test(images_keep_their_bits_in_a_batch),
        cmocka_unit_test(other_geometries_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
