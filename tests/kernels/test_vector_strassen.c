/* test_vector_strassen.c - Strassen's form of the 1x1 convolution and its gradient, at every ISA level of this processor, against
 * the plain kernels in double precision: also where the model would multiply directly.  And what docs/kernels.md promises: the
 * rounding errors, and that an image has the same bits in every batch. */
#include "kernels/vector_check.h"

typedef struct strassen_shape {
    sn_shape x;
    int out;
} strassen_shape;

static const strassen_shape shapes[] = {
    /* whole tiles and halves */
    {{1, 14, 14, 64}, 128},
    {{2, 7, 8, 32}, 256},
    /* odd numbers of pixels: the last pair has one; the whole block is one pixel */
    {{2, 7, 7, 48}, 64},
    {{3, 1, 1, 16}, 48},
    {{1, 3, 5, 16}, 144},
    /* several blocks, the last one shorter, and one of which the last tile is a pixel without a second */
    {{1, 29, 29, 20}, 40},
    {{3, 20, 20, 32}, 64},
    {{2, 13, 15, 200}, 72},
    {{1, 1, 197, 64}, 64},
    {{1, 1, 15, 64}, 64},
    /* halves of the input channels that are no whole vectors, and halves of the outputs that are not equal */
    {{1, 9, 9, 2}, 64},
    {{1, 6, 7, 26}, 33},
    {{1, 10, 7, 38}, 47},
    {{2, 5, 6, 50}, 100},
    {{1, 8, 8, 64}, 17},
    {{1, 8, 8, 130}, 161},
    /* sums in several passes */
    {{1, 7, 7, 1300}, 64},
    {{1, 5, 9, 2600}, 40},
    /* outputs that are split among threads */
    {{1, 7, 7, 96}, 600},
};

static vector_case strassen_case(const strassen_shape *s, sn_op_kind op)
{
    vector_case c = {.error_per_term = 1e-6}; /* see vector_check.h */
    kernel_case_conv(&c.call, op, s->x, 1, 1, s->out, (sn_conv_attrs){.stride = 1, .groups = 1});
    snprintf(c.title, sizeof c.title, "x %dx%dx%dx%d out %d", (int)s->x.n, (int)s->x.h, (int)s->x.w, (int)s->x.c, s->out);
    return c;
}

/* The kernel without its preferences; refusals that begin with "slower" are no limits. */
static bool willing(const sn_kernel *kernel, vector_case *c, sn_kernel *forced)
{
    kernel_case_bind(&c->call, 1, SN_FLOAT);
    const char *refusal = kernel->refuse(&c->call.call);
    *forced = *kernel;
    forced->refuse = NULL;
    return !refusal || strncmp(refusal, "slower", 6) == 0;
}

/* Calls check(case, kernel, context) for the kernel of each level that takes the case. */
static void each_level(vector_case *c, void (*check)(const vector_case *c, const sn_kernel *kernel, void *context), void *context)
{
    for (sn_isa isa = SN_ISA_BASELINE; isa <= sn_cpu_isa(); isa++) {
        const sn_kernel *kernels[16] = {NULL}, *const *candidates = sn_cpu_candidates(c->call.node.op, SN_FLOAT, isa);
        for (int k = 0; candidates[k]; k++) kernels[k] = candidates[k];
        for (int k = 0; kernels[k]; k++) {
            sn_kernel forced;
            if (strstr(kernels[k]->name, "strassen") && willing(kernels[k], c, &forced)) check(c, &forced, context);
        }
    }
}

typedef struct truth {
    double *want, *terms;
    int kernels; /* that took the case */
} truth;

static void agrees(const vector_case *c, const sn_kernel *kernel, void *context)
{
    truth *t = context;
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
    t->kernels++;
}

/* The number of kernels that took the case. */
static int check_levels(vector_case *c)
{
    const char *refusal;
    const sn_kernel *plain = sn_cpu_candidates(c->call.node.op, SN_DOUBLE, SN_ISA_BASELINE)[0];
    truth t = {.want = vector_run(c, plain, SN_DOUBLE, 2, false, -1, &refusal),
               .terms = vector_run(c, plain, SN_DOUBLE, 2, true, -1, &refusal)};
    each_level(c, agrees, &t);
    free(t.want);
    free(t.terms);
    return t.kernels;
}

static int levels(sn_op_kind op)
{
    int count = 0;
    for (sn_isa isa = SN_ISA_BASELINE; isa <= sn_cpu_isa(); isa++)
        for (const sn_kernel *const *k = sn_cpu_candidates(op, SN_FLOAT, isa); *k; k++)
            if (strstr((*k)->name, "strassen")) count++;
    return count;
}

static void gives_the_convolution_and_its_gradient(void **state)
{
    (void)state;
    static const sn_op_kind ops[] = {SN_OP_conv2d, SN_OP_conv2d_grad_input};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int op = 0; op < 2; op++) {
            vector_case c = strassen_case(&shapes[i], ops[op]);
            if (op && i % 2) { /* with the sum of another gradient */
                kernel_case_input(&c.call, (sn_shape){0}, SN_REAL);
                kernel_case_input(&c.call, c.call.node.shape, SN_REAL);
            }
            int took = check_levels(&c);
            int64_t sums = op ? shapes[i].out : shapes[i].x.c, outs = op ? shapes[i].x.c : shapes[i].out;
            if (sums % 2 == 0 && outs > 16) assert_int_equal(took, levels(ops[op]));
        }
}

static void bias_residual_and_activation_are_joined(void **state)
{
    (void)state;
    static const strassen_shape layers[] = {{{2, 5, 5, 32}, 64}, {{1, 6, 11, 24}, 83}};
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++)
        for (int with = 0; with < 4; with++) /* bit 0: a bias, bit 1: a residual */
            for (int activation = SN_IDENTITY; activation <= SN_TANH; activation++) {
                vector_case c = strassen_case(&layers[i], SN_OP_conv2d);
                sn_shape none = {0}, bias = {1, 1, 1, layers[i].out};
                c.call.node.attrs.u.conv.activation = activation;
                kernel_case_input(&c.call, with & 1 ? bias : none, SN_REAL);
                kernel_case_input(&c.call, with & 2 ? c.call.node.shape : none, SN_REAL);
                assert_int_equal(check_levels(&c), levels(SN_OP_conv2d));
                vector_scale(&c);
                assert_int_equal(check_levels(&c), levels(SN_OP_conv2d));
            }
}

static void refuses_what_does_not_halve(void **state)
{
    (void)state;
    static const strassen_shape layers[] = {{{1, 14, 14, 65}, 64}, {{1, 14, 14, 64}, 3}};
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        vector_case c = strassen_case(&layers[i], SN_OP_conv2d);
        assert_int_equal(check_levels(&c), 0);
    }
}

/* ---- an image in a batch ---- */

/* The first values of a draw do not depend on how many there are, so the first image is the same in every batch. */
static void batch_has_the_bits_of_the_image(const vector_case *c, const sn_kernel *kernel, void *context)
{
    const vector_case *batch = context;
    const char *refusal;
    float *one = vector_run(c, kernel, SN_FLOAT, 1, false, -1, &refusal);
    float *many = vector_run(batch, kernel, SN_FLOAT, 2, false, -1, &refusal);
    if (memcmp(one, many, (size_t)vector_outputs(c) * sizeof(float)) != 0)
        fail_msg("%s, %s: other bits in a batch", kernel->name, c->title);
    free(one);
    free(many);
}

static void an_image_has_the_same_bits_in_every_batch(void **state)
{
    (void)state;
    static const strassen_shape layers[] = {{{1, 7, 7, 64}, 96}, {{1, 15, 15, 32}, 128}, {{1, 3, 3, 1400}, 64}};
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++)
        for (int images = 2; images <= 5; images += 3) {
            strassen_shape several = layers[i];
            several.x.n = images;
            vector_case one = strassen_case(&layers[i], SN_OP_conv2d), batch = strassen_case(&several, SN_OP_conv2d);
            each_level(&one, batch_has_the_bits_of_the_image, &batch);
        }
}

/* ---- what docs/kernels.md promises: root mean square of the error over that of the result ---- */

static double relative_error(const float *got, const double *want, int64_t count)
{
    double error = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        size += want[i] * want[i];
    }
    return sqrt(error / size);
}

static void is_precise(const vector_case *c, const sn_kernel *kernel, void *context)
{
    const char *refusal;
    float *got = vector_run(c, kernel, SN_FLOAT, 2, false, -1, &refusal);
    double error = relative_error(got, context, vector_outputs(c));
    printf("%s, %s: relative error %.2g\n", kernel->name, c->title, error);
    if (!(error < 3e-6)) fail_msg("%s, %s: relative error %.3g, promised 3e-6", kernel->name, c->title, error);
    free(got);
}

static void rounding_stays_below_what_is_promised(void **state)
{
    (void)state;
    static const strassen_shape layers[] = {{{1, 28, 28, 128}, 128}, {{1, 14, 14, 1024}, 256}, {{1, 7, 7, 2048}, 256}};
    static const sn_op_kind ops[] = {SN_OP_conv2d, SN_OP_conv2d_grad_input};
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++)
        for (size_t op = 0; op < sizeof ops / sizeof ops[0]; op++) {
            vector_case c = strassen_case(&layers[i], ops[op]);
            c.low[0] = op ? -1 : 0, c.high[0] = 1; /* forward as after a ReLU */
            const char *refusal;
            const sn_kernel *plain = sn_cpu_candidates(ops[op], SN_DOUBLE, SN_ISA_BASELINE)[0];
            double *want = vector_run(&c, plain, SN_DOUBLE, 2, false, -1, &refusal);
            each_level(&c, is_precise, want);
            free(want);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_convolution_and_its_gradient),
        cmocka_unit_test(bias_residual_and_activation_are_joined),
        cmocka_unit_test(refuses_what_does_not_halve),
        cmocka_unit_test(an_image_has_the_same_bits_in_every_batch),
        cmocka_unit_test(rounding_stays_below_what_is_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
