/* test_reference_norm.c - the plain C batch norm and image normalisation against their definitions. */
#include "test_reference.h"

static const sn_shape X = {3, 17, 23, 5}; /* 1173 elements a channel: three blocks of the fixed order */
static const sn_shape STATS = {1, 1, 2, 5}, VECTOR = {1, 1, 1, 5};
static const double EPSILON = 1e-3;

#define INPUT_X                                                                                                        \
    {                                                                                                                  \
        .shape = { 3, 17, 23, 5 }                                                                                      \
    }
#define INPUT_STATS                                                                                                    \
    {                                                                                                                  \
        .shape = {1, 1, 2, 5}, .low = 0.25, .high = 1.5                                                                \
    } /* also the mean: any positive number will do */
#define INPUT_VECTOR                                                                                                   \
    {                                                                                                                  \
        .shape = { 1, 1, 1, 5 }                                                                                        \
    }

/* ---- statistics ---- */

static void statistics(const reference_case *c, const void *const *inputs, double *y)
{
    const double *x = inputs[0];
    int64_t channels = c->output.c, count = sn_shape_elements(c->inputs[0].shape) / channels;
    for (int64_t i = 0; i < count * channels; i++) y[i % channels] += x[i] / (double)count;
    for (int64_t i = 0; i < count * channels; i++)
        y[channels + i % channels] += pow(x[i] - y[i % channels], 2) / (double)count;
}

static void statistics_are_mean_and_biased_variance(void **state)
{
    (void)state;
    check_reference(&(reference_case){.name = "bn_stats",
                                      .op = SN_OP_bn_stats,
                                      .inputs_count = 1,
                                      .inputs = {INPUT_X},
                                      .output = STATS,
                                      .formula = statistics});
    check_reference(&(reference_case){.name = "bn_stats of one image and pixel",
                                      .op = SN_OP_bn_stats,
                                      .inputs_count = 1,
                                      .inputs = {{.shape = {1, 1, 1, 3}}},
                                      .output = {1, 1, 2, 3},
                                      .formula = statistics});
}

/* The mean far from zero: a variance from the sum of squares would lose every digit of the 1. */
static void variance_does_not_cancel(void **state)
{
    (void)state;
    enum { COUNT = 4096 };
    float x[COUNT], stats[2];
    for (int i = 0; i < COUNT; i++) x[i] = 16777208 + (i % 2 ? 1.0f : -1.0f);
    sn_node input = {.shape = {1, 64, 64, 1}}, node = {.op = SN_OP_bn_stats, .inputs_count = 1, .shape = {1, 1, 2, 1}};
    double scratch[64];
    sn_kernel_call call = {.node = &node,
                           .input_nodes = {&input},
                           .inputs = {x},
                           .output = stats,
                           .scratch = scratch,
                           .threads = 1,
                           .precision = SN_FLOAT};
    assert_true(sn_ref_bn_stats_f32.scratch_bytes(&call) <= sizeof scratch);
    sn_ref_bn_stats_f32.run(&call);
    assert_true(stats[0] == 16777208.0f);
    assert_true(stats[1] == 1.0f);
}

static void packed(const reference_case *c, const void *const *inputs, double *y)
{
    memcpy(y, inputs[0], (size_t)c->output.c * sizeof *y);
    memcpy(y + c->output.c, inputs[1], (size_t)c->output.c * sizeof *y);
}

static void packing_puts_mean_before_variance(void **state)
{
    (void)state;
    check_reference(&(reference_case){.name = "bn_pack",
                                      .op = SN_OP_bn_pack,
                                      .inputs_count = 2,
                                      .inputs = {INPUT_VECTOR, INPUT_VECTOR},
                                      .output = STATS,
                                      .formula = packed});
}

static void updated(const reference_case *c, const void *const *inputs, double *y)
{
    const double *stats = inputs[0], *mean = inputs[1], *variance = inputs[2];
    double m = c->attrs.u.norm.momentum, n = (double)c->attrs.u.norm.count;
    for (int64_t i = 0; i < c->output.c; i++) {
        y[i] = (1 - m) * mean[i] + m * stats[i];
        y[c->output.c + i] = (1 - m) * variance[i] + m * stats[c->output.c + i] * (n > 1 ? n / (n - 1) : 1);
    }
}

static void running_statistics_move_by_the_momentum(void **state)
{
    (void)state;
    reference_case c = {.name = "bn_update",
                        .op = SN_OP_bn_update,
                        .attrs.u.norm = {.momentum = 0.1, .count = 7},
                        .inputs_count = 3,
                        .inputs = {INPUT_STATS, INPUT_VECTOR, INPUT_VECTOR},
                        .output = STATS,
                        .writes = 1,
                        .formula = updated};
    check_reference(&c);
    c.name = "bn_update of one element: no unbiased variance";
    c.attrs.u.norm.count = 1;
    check_reference(&c);
}

/* ---- application and gradients; formulas of Ioffe & Szegedy, written with 1/sqrt in double ---- */

static double deviation(const double *stats, int64_t channels, int64_t c)
{
    return sqrt(stats[channels + c] + EPSILON);
}

static void applied(const reference_case *c, const void *const *inputs, double *y)
{
    const double *x = inputs[0], *stats = inputs[1], *gamma = inputs[2], *beta = inputs[3];
    for (int64_t i = 0; i < sn_shape_elements(c->output); i++) {
        int64_t k = i % c->output.c;
        y[i] = activate(c->attrs.u.norm.activation,
                        gamma[k] * (x[i] - stats[k]) / deviation(stats, c->output.c, k) + beta[k]);
    }
}

/* scale and shift, the rows that application comes to */
static void affine_rows(const reference_case *c, const void *const *inputs, double *y)
{
    const double *stats = inputs[0], *gamma = inputs[1], *beta = inputs[2];
    for (int64_t k = 0; k < c->output.c; k++) {
        y[k] = gamma[k] / deviation(stats, c->output.c, k);
        y[c->output.c + k] = beta[k] - stats[k] * y[k];
    }
}

static void the_affine_rows_scale_and_shift(void **state)
{
    (void)state;
    check_reference(&(reference_case){.name = "bn_affine",
                                      .op = SN_OP_bn_affine,
                                      .attrs.u.norm.epsilon = 1e-3,
                                      .inputs_count = 3,
                                      .inputs = {INPUT_STATS, INPUT_VECTOR, INPUT_VECTOR},
                                      .output = STATS,
                                      .formula = affine_rows});
}

static void application_scales_shifts_and_cuts(void **state)
{
    (void)state;
    for (int kind = SN_IDENTITY; kind <= SN_RELU; kind++)
        check_reference(&(reference_case){.name = kind ? "bn_apply, ReLU" : "bn_apply",
                                          .op = SN_OP_bn_apply,
                                          .attrs.u.norm = {.epsilon = 1e-3, .activation = (sn_activation)kind},
                                          .inputs_count = 4,
                                          .inputs = {INPUT_X, INPUT_STATS, INPUT_VECTOR, INPUT_VECTOR},
                                          .output = X,
                                          .formula = applied});
}

/* xhat of element i, and what of dy passes the ReLU there. */
static double normalised(const reference_case *c, const void *const *inputs, int64_t i, double *passed)
{
    const double *dy = inputs[0], *x = inputs[1], *stats = inputs[2], *gamma = inputs[3], *beta = inputs[4];
    int64_t channels = c->inputs[1].shape.c, k = i % channels;
    double xhat = (x[i] - stats[k]) / deviation(stats, channels, k), arrived = dy[i];
    int gate = c->op == SN_OP_bn_grad_sums ? 5 : 6; /* and the share dz behind it */
    if (inputs[gate]) {
        sn_shape map = c->inputs[1].shape;
        int64_t row = i / (map.h * map.w * channels) * channels + k;
        arrived *= ((const double *)inputs[gate])[row];
        if (inputs[gate + 1]) arrived += ((const double *)inputs[gate + 1])[row] / (double)(map.h * map.w);
    }
    *passed = c->attrs.u.norm.activation == SN_RELU && gamma[k] * xhat + beta[k] <= 0 ? 0 : arrived;
    return xhat;
}

static void gradient_sums(const reference_case *c, const void *const *inputs, double *sums)
{
    for (int64_t i = 0; i < sn_shape_elements(c->inputs[1].shape); i++) {
        double g, xhat = normalised(c, inputs, i, &g);
        sums[i % c->output.c] += g;
        sums[c->output.c + i % c->output.c] += g * xhat;
    }
}

static void gradient_input(const reference_case *c, const void *const *inputs, double *dx)
{
    const double *stats = inputs[2], *gamma = inputs[3], *sums = inputs[5];
    int64_t channels = c->output.c;
    double count = (double)sn_shape_elements(c->output) / (double)channels;
    for (int64_t i = 0; i < sn_shape_elements(c->output); i++) {
        int64_t k = i % channels;
        double g, xhat = normalised(c, inputs, i, &g);
        if (sums) g -= sums[k] / count + xhat * sums[channels + k] / count;
        dx[i] = gamma[k] / deviation(stats, channels, k) * g;
    }
}

static void gradients_follow_the_formulas(void **state)
{
    (void)state;
    for (int kind = SN_IDENTITY; kind <= SN_RELU; kind++) {
        reference_case c = {.name = "bn_grad_sums",
                            .op = SN_OP_bn_grad_sums,
                            .attrs.u.norm = {.epsilon = 1e-3, .activation = (sn_activation)kind},
                            .inputs_count = 5,
                            .inputs = {INPUT_X, INPUT_X, INPUT_STATS, INPUT_VECTOR, INPUT_VECTOR},
                            .output = STATS,
                            .formula = gradient_sums};
        check_reference(&c);
        c.name = "bn_grad_input, constant statistics";
        c.op = SN_OP_bn_grad_input;
        c.output = X;
        c.formula = gradient_input;
        check_reference(&c);
        c.inputs_count = 6; /* the optional input named, but absent */
        check_reference(&c);
        c.name = "bn_grad_input, batch statistics";
        c.inputs[5] = (reference_input){.shape = STATS, .low = -500, .high = 500};
        check_reference(&c);
        sn_shape map = X;
        reference_input row = {.shape = {map.n, 1, 1, map.c}};
        c.inputs[0].low = 0.25, c.inputs[0].high = 1.5; /* sums that are large beside their roundings */
        c.name = "bn_grad_input behind a scale";
        c.inputs_count = 8;
        c.inputs[6] = row;
        check_reference(&c);
        c.inputs[7] = row;
        check_reference(&c);
        c.name = "bn_grad_sums behind a scale";
        c.op = SN_OP_bn_grad_sums;
        c.output = STATS;
        c.formula = gradient_sums;
        c.inputs_count = 7;
        c.inputs[5] = c.inputs[6] = row;
        check_reference(&c);
        c.inputs_count = 6;
        check_reference(&c);
    }
}

/* ---- folding ---- */

static void folded_weight(const reference_case *c, const void *const *inputs, double *y)
{
    const double *w = inputs[0], *stats = inputs[1], *gamma = inputs[2];
    for (int64_t i = 0; i < sn_shape_elements(c->output); i++) {
        int64_t k = i % c->output.c;
        y[i] = w[i] * gamma[k] / deviation(stats, c->output.c, k);
    }
}

static void folded_bias(const reference_case *c, const void *const *inputs, double *y)
{
    const double *stats = inputs[0], *gamma = inputs[1], *beta = inputs[2], *bias = inputs[3];
    for (int64_t k = 0; k < c->output.c; k++)
        y[k] = beta[k] + ((bias ? bias[k] : 0) - stats[k]) * gamma[k] / deviation(stats, c->output.c, k);
}

static void folding_moves_the_norm_into_the_convolution(void **state)
{
    (void)state;
    sn_attrs attrs = {.u.norm.epsilon = 1e-3};
    check_reference(&(reference_case){.name = "bn_fold_weight",
                                      .op = SN_OP_bn_fold_weight,
                                      .attrs = attrs,
                                      .inputs_count = 3,
                                      .inputs = {{.shape = {3, 2, 4, 5}}, INPUT_STATS, INPUT_VECTOR},
                                      .output = {3, 2, 4, 5},
                                      .formula = folded_weight});
    for (int inputs = 3; inputs <= 4; inputs++)
        check_reference(&(reference_case){.name = "bn_fold_bias",
                                          .op = SN_OP_bn_fold_bias,
                                          .attrs = attrs,
                                          .inputs_count = inputs,
                                          .inputs = {INPUT_STATS, INPUT_VECTOR, INPUT_VECTOR, INPUT_VECTOR},
                                          .output = VECTOR,
                                          .formula = folded_bias});
}

/* ---- images ---- */

static void normalised_images(const reference_case *c, const void *const *inputs, double *y)
{
    const uint8_t *images = inputs[0];
    const int32_t *rects = inputs[1];
    for (int64_t n = 0; n < c->output.n; n++)
        for (int64_t h = 0; h < c->output.h; h++)
            for (int64_t w = 0; w < c->output.w; w++)
                for (int64_t k = 0; k < 3; k++) {
                    const int32_t *r = rects + 8 * n;
                    bool shown = h >= r[0] && h < r[2] && w >= r[1] && w < r[3];
                    bool cut = h >= r[4] && h < r[6] && w >= r[5] && w < r[7];
                    double mean = (double)c->attrs.u.normalize.mean[k], std = (double)c->attrs.u.normalize.std[k];
                    int64_t i = at(c->output, n, h, w, k);
                    y[i] = shown && !cut ? (images[i] / 255.0 - mean) / std : 0;
                }
}

static void images_are_normalised_inside_their_rectangle(void **state)
{
    (void)state;
    enum { IMAGES = 3, HEIGHT = 5, WIDTH = 7 };
    uint8_t images[IMAGES * HEIGHT * WIDTH * 3];
    for (size_t i = 0; i < sizeof images; i++) images[i] = (uint8_t)sn_rng_u64(1, i);
    /* the whole picture; shifted, with a hole; shifted to the other side, the hole half outside */
    static const int32_t rects[IMAGES * 8] = {0, 0, 5, 7, 0, 0, 0, 0, 2, 0, 5, 4, 3, 1, 4, 3, 0, 3, 4, 7, -1, 5, 2, 9};
    check_reference(
        &(reference_case){.name = "normalize",
                          .op = SN_OP_normalize,
                          .inputs_count = 2,
                          .attrs.u.normalize = {.mean = {0.485f, 0.456f, 0.406f}, .std = {0.229f, 0.224f, 0.225f}},
                          .inputs = {{.shape = {IMAGES, HEIGHT, WIDTH, 3}, .given = images},
                                     {.shape = {IMAGES, 1, 1, 8}, .given = rects}},
                          .output = {IMAGES, HEIGHT, WIDTH, 3},
                          .formula = normalised_images});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics_are_mean_and_biased_variance),
        cmocka_unit_test(variance_does_not_cancel),
        cmocka_unit_test(packing_puts_mean_before_variance),
        cmocka_unit_test(running_statistics_move_by_the_momentum),
        cmocka_unit_test(the_affine_rows_scale_and_shift),
        cmocka_unit_test(application_scales_shifts_and_cuts),
        cmocka_unit_test(gradients_follow_the_formulas),
        cmocka_unit_test(folding_moves_the_norm_into_the_convolution),
        cmocka_unit_test(images_are_normalised_inside_their_rectangle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
