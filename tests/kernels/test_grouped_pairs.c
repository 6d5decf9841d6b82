/* test_grouped_pairs.c - grouped 3x3 convolutions of bf16 maps by products of pairs, forward and backward data: that the kernel takes
 * the layers it is for and refuses others with a reason, gives the plain kernel's results at all widths of groups, odd sizes,
 * strides and borders, and rounds weights and results once each. */
#include "kernels/narrow_check.h"

typedef struct pairs_shape {
    sn_shape x;
    int out, stride, groups, pad_top, pad_left, pad_bottom, pad_right;
} pairs_shape;

static vector_case case_of(const pairs_shape *s, sn_op_kind op)
{
    vector_case c = {.error_per_term = 1e-6}; /* see vector_check.h */
    kernel_case_conv(&c.call, op, s->x, 3, 3, s->out,
                     (sn_conv_attrs){.stride = s->stride, .groups = s->groups, .pad_top = s->pad_top, .pad_left = s->pad_left,
                                     .pad_bottom = s->pad_bottom, .pad_right = s->pad_right});
    snprintf(c.title, sizeof c.title, "x %dx%dx%dx%d stride %d groups %d out %d", (int)s->x.n, (int)s->x.h, (int)s->x.w, (int)s->x.c,
             s->stride, s->groups, s->out);
    narrow_stored(&c.call, true, 1u << 0);
    return c;
}

static const sn_kernel *pairs_kernel(sn_op_kind op) { return narrow_kernel(op, SN_ISA_AVX512_BF16, "grouped_pairs"); }

static const char *refusal_of(vector_case *c) { return narrow_refusal(c, pairs_kernel(c->call.node.op)); }

static void check(vector_case *c) { narrow_check_alone(c, pairs_kernel(c->call.node.op)); }

static void every_width_of_a_group(void **state)
{
    (void)state;
    static const struct { int in, out; } widths[] = {{2, 2},   {4, 4},   {8, 8},   {16, 16}, {32, 32}, {2, 1},   {4, 2},  {8, 4},
                                                     {16, 8},  {2, 4}, {4, 8}, {8, 16},  {16, 32}, {32, 16}, {6, 8},  {10, 8},
                                                     {6, 16},  {12, 16}, {14, 32}, {24, 16}, {32, 48}, {2, 64}};
    static const struct { int h, w; } maps[] = {{1, 1}, {2, 3}, {7, 7}, {9, 16}, {13, 8}};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        for (int blocks = 1; blocks <= 5; blocks += 2) { /* the last strip of a pixel may be short */
            int groups = widths[i].out % 16 == 0 ? blocks + 1 : blocks * 16 / widths[i].out;
            for (int stride = 1; stride <= 2; stride++) {
                const int map = (int)(i + (size_t)(blocks + stride)) % 5;
                pairs_shape s = {{1 + blocks / 3, maps[map].h, maps[map].w, groups * widths[i].in}, groups * widths[i].out, stride, groups,
                                 1, 1, 1, 1};
                if (groups == 1) continue;
                vector_case c = case_of(&s, SN_OP_conv2d);
                check(&c);
                if (stride == 2 || 2 * widths[i].in < widths[i].out || widths[i].out % 2 != 0) continue;
                if (widths[i].out > 32 || 16 % widths[i].in != 0 || groups * widths[i].in % 16 != 0) continue;
                c = case_of(&s, SN_OP_conv2d_grad_input);
                check(&c);
            }
        }
}

/* Maps of all small sizes with all pads: rows and columns of zeros on each side, tiles and bands that are cut short. */
static void every_border(void **state)
{
    (void)state;
    for (int size = 0; size < 48; size++)
        for (int stride = 1; stride <= 2; stride++) {
            pairs_shape s = {{1, 3 + size % 17, 3 + size * 5 % 23, 48}, 48, stride, 12, size % 3, size / 3 % 3, size / 9 % 3, size / 2 % 3};
            vector_case c = case_of(&s, SN_OP_conv2d);
            check(&c);
            if (stride == 2) continue;
            c = case_of(&s, SN_OP_conv2d_grad_input);
            check(&c);
        }
}

static void bias_and_activation_are_joined(void **state)
{
    (void)state;
    static const pairs_shape some[] = {{{1, 9, 8, 32}, 32, 1, 8, 1, 1, 1, 1}, {{2, 9, 8, 64}, 64, 2, 2, 1, 1, 1, 1}};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
        for (int bias = 0; bias < 2; bias++)
            for (int activation = SN_IDENTITY; activation <= SN_RELU6; activation++) {
                vector_case c = case_of(&some[i], SN_OP_conv2d);
                c.call.node.attrs.u.conv.activation = activation;
                c.low[0] = -5, c.high[0] = 5; /* so that ReLU6 has something to cut */
                kernel_case_input(&c.call, (sn_shape){bias, 1, 1, c.call.node.shape.c}, SN_REAL);
                check(&c);
            }
}

static void other_layers_are_refused(void **state)
{
    (void)state;
    static const struct {
        pairs_shape shape;
        sn_op_kind op;
        const char *why;
    } others[] = {
        {{{1, 8, 8, 30}, 30, 1, 10, 1, 1, 1, 1}, SN_OP_conv2d, "groups of an odd number of channels"},
        {{{1, 8, 8, 24}, 24, 1, 6, 1, 1, 1, 1}, SN_OP_conv2d, "groups that do not fill vectors"},
        {{{1, 8, 8, 24}, 24, 1, 2, 1, 1, 1, 1}, SN_OP_conv2d, "groups that do not fill vectors"},
        {{{1, 8, 8, 96}, 32, 1, 16, 1, 1, 1, 1}, SN_OP_conv2d, "groups that do not fill vectors"},
        {{{1, 8, 8, 128}, 128, 1, 2, 1, 1, 1, 1}, SN_OP_conv2d, "more than 32 channels a group"},
        {{{1, 8, 8, 66}, 32, 1, 2, 1, 1, 1, 1}, SN_OP_conv2d, "more than 32 channels a group"},
        {{{1, 8, 8, 32}, 32, 1, 1, 1, 1, 1, 1}, SN_OP_conv2d, "more than 32 channels a group"},
        {{{1, 12, 12, 32}, 32, 3, 8, 1, 1, 1, 1}, SN_OP_conv2d, "not 3x3 with stride 1 or 2"},
        {{{1, 8, 8, 32}, 32, 2, 8, 1, 1, 1, 1}, SN_OP_conv2d_grad_input, "backward of stride 2 or of padding above 2"},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        vector_case c = case_of(&others[i].shape, others[i].op);
        const char *why = refusal_of(&c);
        assert_non_null(why);
        assert_string_equal(why, others[i].why);
    }
    vector_case c = case_of(&(pairs_shape){{1, 8, 8, 32}, 32, 1, 8, 1, 1, 1, 1}, SN_OP_conv2d);
    c.call.node.attrs.u.conv.activation = SN_TANH;
    assert_string_equal(refusal_of(&c), "an activation that is no clamp");
    c.call.node.attrs.u.conv.activation = SN_IDENTITY;
    assert_null(refusal_of(&c));
    c.call.inputs[0].dtype = SN_REAL;
    assert_non_null(refusal_of(&c));
}

/* Weights that bf16 does not have.  Rounding to nearest is off by 2^-8 / sqrt(3) of a value's power of two, in the root mean
 * square, 0.7 of that relative to the value itself: 1.6e-3 for the weights and as much for the result, together 2.3e-3.  Cutting off
 * instead of rounding either would come to 3.6e-3. */
static void weights_and_results_are_rounded_once(void **state)
{
    (void)state;
    static const pairs_shape layers[] = {{{1, 28, 28, 128}, 128, 1, 32, 1, 1, 1, 1}, {{1, 14, 14, 512}, 512, 2, 16, 1, 1, 1, 1}};
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        vector_case c = case_of(&layers[i], SN_OP_conv2d), exact = c;
        float *weights = vector_draw(&c, 1, SN_FLOAT, false);
        int64_t count = sn_shape_elements(c.call.inputs[1].shape), outputs = sn_shape_elements(c.call.node.shape);
        double *same = vector_block((size_t)count * sizeof(double)), errors = 0, sizes = 0;
        for (int64_t k = 0; k < count; k++) same[k] = (double)weights[k];
        c.given[1] = weights;
        exact.given[1] = same;
        const char *refusal;
        uint16_t *got = narrow_run(&c, pairs_kernel(SN_OP_conv2d), SN_FLOAT, 1, false, -1, NULL, &refusal);
        double *want = narrow_run(&exact, sn_cpu_candidates(SN_OP_conv2d, SN_DOUBLE, SN_ISA_BASELINE)[0], SN_DOUBLE, 2, false, -1, NULL,
                                  &refusal);
        for (int64_t k = 0; k < outputs; k++) {
            double error = (double)sn_bf16_to_float(got[k]) - want[k];
            errors += error * error;
            sizes += want[k] * want[k];
        }
        printf("%s: rms %.2g\n", c.title, sqrt(errors / sizes));
        assert_true(sqrt(errors / sizes) < 2.8e-3);
        free(got);
        free(want);
        free(weights);
        free(same);
    }
}

int main(void)
{
    if (!sn_cpu_has(SN_ISA_AVX512_BF16)) {
        puts("SKIP: the processor does not multiply pairs of bf16");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width_of_a_group),
        cmocka_unit_test(every_border),
        cmocka_unit_test(bias_and_activation_are_joined),
        cmocka_unit_test(other_layers_are_refused),
        cmocka_unit_test(weights_and_results_are_rounded_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
