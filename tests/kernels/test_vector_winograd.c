/* test_vector_winograd.c - Winograd's forms of the 3x3 convolution and its gradients, at every ISA level of this processor, against
 * the plain kernels in double precision: also where the model that chooses between the forms would take another kernel; on float maps
 * and on maps stored as bf16. */
#include "kernels/narrow_check.h"

typedef struct winograd_shape {
    sn_shape x;
    int out;
    int pad_top, pad_left, pad_bottom, pad_right;
} winograd_shape;

static const winograd_shape shapes[] = {
    /* maps that tiles divide, and each way in which they do not */
    {{1, 8, 8, 16}, 16, 1, 1, 1, 1},
    {{2, 7, 7, 32}, 32, 1, 1, 1, 1},
    {{3, 5, 6, 16}, 48, 1, 1, 1, 1},
    {{1, 14, 14, 16}, 32, 1, 1, 1, 1},
    {{1, 3, 2, 16}, 16, 1, 1, 1, 1},
    {{2, 1, 1, 16}, 16, 1, 1, 1, 1},
    {{1, 9, 40, 16}, 16, 1, 1, 1, 1},
    /* paddings */
    {{2, 9, 7, 16}, 16, 0, 0, 0, 0},
    {{1, 6, 11, 16}, 32, 2, 1, 0, 2},
    {{1, 8, 8, 16}, 16, 2, 2, 2, 2},
    {{1, 8, 9, 16}, 16, 0, 2, 1, 0},
    /* channels that are no multiple of the vector, on both sides */
    {{2, 9, 9, 1}, 1, 1, 1, 1, 1},
    {{1, 8, 8, 3}, 64, 1, 1, 1, 1},
    {{2, 10, 7, 17}, 19, 1, 1, 1, 1},
    {{1, 14, 14, 24}, 41, 1, 1, 1, 1},
    {{1, 12, 12, 100}, 52, 1, 1, 1, 1},
    /* many tiles: several blocks and groups; few tiles: the outputs are split */
    {{9, 24, 24, 16}, 16, 1, 1, 1, 1},
    {{1, 31, 33, 40}, 72, 1, 1, 1, 1},
    {{1, 14, 14, 136}, 200, 1, 1, 1, 1},
    {{2, 13, 13, 256}, 272, 1, 1, 1, 1},
    /* several pieces and chunks of the weight's gradient */
    {{60, 12, 9, 16}, 20, 1, 1, 1, 1},
};

static vector_case winograd_case(const winograd_shape *s, sn_op_kind op)
{
    vector_case c = {.error_per_term = 1e-6}; /* see vector_check.h */
    kernel_case_conv(&c.call, op, s->x, 3, 3, s->out,
                     (sn_conv_attrs){.stride = 1, .groups = 1, .pad_top = s->pad_top, .pad_left = s->pad_left,
                                     .pad_bottom = s->pad_bottom, .pad_right = s->pad_right});
    snprintf(c.title, sizeof c.title, "x %dx%dx%dx%d pads %d %d %d %d out %d", (int)s->x.n, (int)s->x.h, (int)s->x.w,
             (int)s->x.c, s->pad_top, s->pad_left, s->pad_bottom, s->pad_right, s->out);
    return c;
}

/* Calls check(case, kernel, context) for each Winograd kernel of each level on tensors of this storage. */
static void each_form(vector_case *c, sn_dtype storage, void (*check)(const vector_case *c, const sn_kernel *kernel, void *context), void *context)
{
    FOR_LEVELS(isa)
    {
        if (storage == SN_REAL && !has_own_float_kernels(isa)) continue;
        const sn_kernel *kernels[16] = {NULL}, *const *candidates = sn_cpu_candidates_on(c->call.node.op, storage, SN_FLOAT, isa);
        for (int k = 0; candidates[k]; k++) kernels[k] = candidates[k];
        for (int k = 0; kernels[k]; k++) {
            sn_kernel forced;
            if (!strstr(kernels[k]->name, "winograd")) continue;
            if (!vector_force(c, kernels[k], &forced)) fail_msg("%s refuses %s", kernels[k]->name, c->title);
            check(c, &forced, context);
        }
    }
}

typedef struct truth {
    double *want, *terms;
} truth;

static void agrees(const vector_case *c, const sn_kernel *kernel, void *context)
{
    const truth *t = context;
    const char *refusal;
    float *got = vector_run(c, kernel, SN_FLOAT, 1, false, -1, &refusal);
    vector_compare(c, kernel->name, got, t->want, t->terms);
    vector_check_squeeze(c, kernel, got);
    check_stats(c, kernel, got, vector_run_with);
    for (int threads = 2; threads <= 5; threads++) {
        float *again = vector_run(c, kernel, SN_FLOAT, threads, false, -1, &refusal);
        if (memcmp(got, again, (size_t)vector_outputs(c) * sizeof(float)) != 0)
            fail_msg("%s, %s: %d threads give other bits", kernel->name, c->title, threads);
        free(again);
    }
    free(got);
}

static void agrees_narrow(const vector_case *c, const sn_kernel *kernel, void *context)
{
    const truth *t = context;
    const char *refusal;
    void *got = narrow_run(c, kernel, SN_FLOAT, 1, false, -1, NULL, &refusal);
    narrow_check_kernel(c, kernel, got, t->want, t->terms);
    free(got);
}

/* The same with the maps in bf16. */
static void check_narrow_forms(const vector_case *given)
{
    const char *refusal;
    vector_case c = *given;
    bool weight = c.call.node.op == SN_OP_conv2d_grad_weight;
    narrow_stored(&c.call, !weight, weight ? 1u << 0 | 1u << 1 : 1u << 0 | 1u << 3);
    const sn_kernel *plain = sn_cpu_candidates(c.call.node.op, SN_DOUBLE, SN_ISA_BASELINE)[0];
    truth t = {narrow_run(&c, plain, SN_DOUBLE, 2, false, -1, NULL, &refusal), narrow_run(&c, plain, SN_DOUBLE, 2, true, -1, NULL, &refusal)};
    each_form(&c, SN_BF16, agrees_narrow, &t);
    free(t.want);
    free(t.terms);
}

static void check_forms(vector_case *c)
{
    const char *refusal;
    const sn_kernel *plain = sn_cpu_candidates(c->call.node.op, SN_DOUBLE, SN_ISA_BASELINE)[0];
    truth t = {vector_run(c, plain, SN_DOUBLE, 2, false, -1, &refusal), vector_run(c, plain, SN_DOUBLE, 2, true, -1, &refusal)};
    each_form(c, SN_REAL, agrees, &t);
    free(t.want);
    free(t.terms);
    check_narrow_forms(c);
}

static void every_form_gives_the_convolution(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        vector_case c = winograd_case(&shapes[i], SN_OP_conv2d);
        check_forms(&c);
    }
}

static void every_form_gives_the_gradient_of_the_input(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        vector_case c = winograd_case(&shapes[i], SN_OP_conv2d_grad_input);
        check_forms(&c);
        kernel_case_input(&c.call, (sn_shape){0}, SN_REAL);
        kernel_case_input(&c.call, c.call.node.shape, SN_REAL); /* with the sum of another gradient */
        check_forms(&c);
    }
}

static void the_adjoint_gives_the_gradient_of_the_weight(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        vector_case c = winograd_case(&shapes[i], SN_OP_conv2d_grad_weight);
        check_forms(&c);
    }
}

static void bias_residual_and_activation_are_joined(void **state)
{
    (void)state;
    static const winograd_shape layers[] = {{{1, 9, 7, 16}, 16, 1, 1, 1, 1}, {{2, 6, 6, 20}, 43, 1, 1, 1, 1}};
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++)
        for (int with = 0; with < 4; with++) /* bit 0: a bias, bit 1: a residual */
            for (int activation = SN_IDENTITY; activation <= SN_TANH; activation++) {
                vector_case c = winograd_case(&layers[i], SN_OP_conv2d);
                sn_shape none = {0}, bias = {1, 1, 1, layers[i].out};
                c.call.node.attrs.u.conv.activation = activation;
                kernel_case_input(&c.call, with & 1 ? bias : none, SN_REAL);
                kernel_case_input(&c.call, with & 2 ? c.call.node.shape : none, SN_REAL);
                check_forms(&c);
            }
}

/* F(2x2, 3x3) on bf16 maps, where pairs are multiplied: root mean square of the error over that of the result, the output's own
 * rounding to bf16 (1.7e-3) in it; docs/kernels.md. */
static void pairs_of_bf16_round_as_promised(void **state)
{
    (void)state;
    if (!sn_cpu_has(SN_ISA_AVX512_BF16)) skip();
    static const winograd_shape layers[] = {{{1, 28, 28, 64}, 64, 1, 1, 1, 1}, {{1, 14, 14, 512}, 32, 1, 1, 1, 1}};
    for (int i = 0; i < 2; i++) {
        vector_case c = winograd_case(&layers[i], SN_OP_conv2d);
        const char *refusal;
        narrow_stored(&c.call, true, 1);
        c.low[0] = 0, c.high[0] = 1;
        double *want = narrow_run(&c, sn_cpu_candidates(SN_OP_conv2d, SN_DOUBLE, SN_ISA_BASELINE)[0], SN_DOUBLE, 2, false, -1, NULL, &refusal);
        const sn_kernel *const *k = sn_cpu_candidates_on(SN_OP_conv2d, SN_BF16, SN_FLOAT, SN_ISA_AVX512_BF16);
        while (*k && !strstr((*k)->name, "winograd_f23")) k++;
        assert_non_null(*k);
        uint16_t *got = narrow_run(&c, *k, SN_FLOAT, 2, false, -1, NULL, &refusal);
        if (!got) fail_msg("%s", refusal);
        double errors = 0, sizes = 0;
        for (int64_t e = 0; e < sn_shape_elements(c.call.node.shape); e++) {
            double error = (double)sn_bf16_to_float(got[e]) - want[e];
            errors += error * error;
            sizes += want[e] * want[e];
        }
        print_message("%s, %s: %.2g\n", (*k)->name, c.title, sqrt(errors / sizes));
        assert_true(sqrt(errors / sizes) < 5e-3);
        free(got);
        free(want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_gives_the_convolution),
        cmocka_unit_test(every_form_gives_the_gradient_of_the_input),
        cmocka_unit_test(the_adjoint_gives_the_gradient_of_the_weight),
        cmocka_unit_test(bias_residual_and_activation_are_joined),
        cmocka_unit_test(pairs_of_bf16_round_as_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
