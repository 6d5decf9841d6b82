/* test_reference_elementwise.c - the plain C elementwise ops and the loss against their definitions. */
#include "test_reference.h"

#define SHAPE                                                                                                          \
    {                                                                                                                  \
        3, 5, 7, 11                                                                                                    \
    }

/* ---- activations and sums ---- */

static void activated(const reference_case *c, const void *const *inputs, double *y)
{
    const double *x = inputs[0];
    for (int64_t i = 0; i < sn_shape_elements(c->output); i++) y[i] = activate(c->attrs.u.activation.kind, x[i]);
}

/* dy act'(x), given y = act(x). */
static void activation_gradient(const reference_case *c, const void *const *inputs, double *dx)
{
    const double *dy = inputs[0], *y = inputs[1];
    for (int64_t i = 0; i < sn_shape_elements(c->output); i++) switch (c->attrs.u.activation.kind) {
        case SN_IDENTITY:
            dx[i] = dy[i];
            break;
        case SN_RELU:
            dx[i] = y[i] <= 0 ? 0 : dy[i];
            break;
        case SN_RELU6:
            dx[i] = y[i] <= 0 || y[i] >= 6 ? 0 : dy[i];
            break;
        case SN_SIGMOID:
            dx[i] = dy[i] * (y[i] - y[i] * y[i]);
            break;
        case SN_TANH:
            dx[i] = dy[i] * (1 - y[i]) * (1 + y[i]);
            break;
        }
}

static void added(const reference_case *c, const void *const *inputs, double *y)
{
    const double *a = inputs[0], *b = inputs[1];
    for (int64_t i = 0; i < sn_shape_elements(c->output); i++) y[i] = activate(c->attrs.u.activation.kind, a[i] + b[i]);
}

static void activations_and_their_gradients(void **state)
{
    static const char *const names[] = {"identity", "ReLU", "ReLU6", "sigmoid", "tanh"};
    (void)state;
    for (int kind = SN_IDENTITY; kind <= SN_TANH; kind++) {
        reference_case c = {.name = names[kind],
                            .op = SN_OP_activation,
                            .attrs.u.activation.kind = (sn_activation)kind,
                            .inputs_count = 1,
                            .inputs = {{.shape = SHAPE, .low = -9, .high = 9}},
                            .output = SHAPE,
                            .formula = activated};
        check_reference(&c);
        c.op = SN_OP_add;
        c.inputs_count = 2;
        c.inputs[1] = c.inputs[0];
        c.formula = added;
        check_reference(&c);
        c.op = SN_OP_activation_grad;
        c.inputs[1].low = kind == SN_TANH ? -1 : kind == SN_SIGMOID ? 0 : -3; /* below 0: what ReLU never gives */
        c.inputs[1].high = kind == SN_RELU6 ? 8 : 1;
        c.formula = activation_gradient;
        check_reference(&c);
    }
}

/* A diverged network must not look healthy: NaN passes every activation. */
static void activations_keep_nan(void **state)
{
    (void)state;
    for (int kind = SN_IDENTITY; kind <= SN_TANH; kind++) {
        float x = NAN, y = 0;
        sn_node input = {.shape = {1, 1, 1, 1}};
        sn_node node = {.op = SN_OP_activation,
                        .inputs_count = 1,
                        .shape = {1, 1, 1, 1},
                        .attrs.u.activation.kind = (sn_activation)kind};
        sn_kernel_call call = {.node = &node, .input_nodes = {&input}, .inputs = {&x}, .output = &y, .threads = 1};
        sn_ref_activation_f32.run(&call);
        assert_true(isnan(y));
    }
}

static void multiplied(const reference_case *c, const void *const *inputs, double *y)
{
    const double *x = inputs[0];
    for (int64_t i = 0; i < sn_shape_elements(c->output); i++) y[i] = (double)c->attrs.u.factor.factor * x[i];
}

static void multiplication_by_a_constant(void **state)
{
    (void)state;
    check_reference(&(reference_case){.name = "multiply",
                                      .op = SN_OP_multiply,
                                      .attrs.u.factor.factor = 0.17f,
                                      .inputs_count = 1,
                                      .inputs = {{.shape = SHAPE}},
                                      .output = SHAPE,
                                      .formula = multiplied});
}

/* ---- dropout ---- */

enum { IMAGES = 3, ELEMENTS = 31 * 37 };

static void dropped(const reference_case *c, const void *const *inputs, double *y)
{
    const double *x = inputs[0];
    const uint64_t *keys = inputs[1];
    double p = (double)c->attrs.u.dropout.probability;
    for (int n = 0; n < IMAGES; n++)
        for (int i = 0; i < ELEMENTS; i++) {
            uint64_t key = sn_rng_mix(keys[n] ^ (uint64_t)c->attrs.u.dropout.salt * 0x9E3779B97F4A7C15u);
            y[n * ELEMENTS + i] = sn_rng_uniform(key, (uint64_t)i) < p ? 0 : x[n * ELEMENTS + i] / (1 - p);
        }
}

static void dropout_keeps_its_share_and_the_mean(void **state)
{
    (void)state;
    static const uint64_t keys[IMAGES] = {1, 2, 0xFFFFFFFFFFFFFFFFu};
    static const float probabilities[] = {0, 0.2f, 0.5f};
    double *previous = NULL;
    for (int salt = 0; salt < 2; salt++)
        for (int p = 0; p < 3; p++) {
            reference_case c = {.name = "dropout",
                                .op = SN_OP_dropout,
                                .inputs_count = 2,
                                .attrs.u.dropout = {.probability = probabilities[p], .salt = salt},
                                .inputs = {{.shape = {IMAGES, 1, 1, ELEMENTS}, .low = 1, .high = 2},
                                           {.shape = {IMAGES, 1, 1, 1}, .given = keys}},
                                .output = {IMAGES, 1, 1, ELEMENTS},
                                .formula = dropped};
            check_reference(&c);
            double *y = reference_run(&c, SN_DOUBLE, 1);
            double zeros = 0;
            for (int i = 0; i < IMAGES * ELEMENTS; i++) zeros += y[i] == 0;
            /* 3441 draws: a standard deviation of the share is at most 0.0085 */
            assert_true(fabs(zeros / (IMAGES * ELEMENTS) - (double)probabilities[p]) < 0.035);
            if (salt == 1 && p == 2) /* the last case of salt 0 was the same but for the salt */
                assert_memory_not_equal(y, previous, IMAGES * ELEMENTS * sizeof *y);
            if (p == 2 && salt == 0)
                previous = y;
            else
                free(y);
        }
    free(previous);
}

/* ---- mixing ---- */

static double coefficient(const reference_case *c, const double *coefficients, int64_t columns, int64_t n, int beta)
{
    return coefficients ? coefficients[n * columns + 2 * c->attrs.u.mix.index + beta] : 0.5;
}

static void mixed(const reference_case *c, const void *const *inputs, double *y)
{
    const double *a = inputs[0], *b = inputs[1];
    int64_t elements = sn_shape_elements(c->output), per_image = elements / c->output.n;
    for (int64_t i = 0; i < elements; i++) {
        double alpha = coefficient(c, inputs[2], c->inputs[2].shape.c, i / per_image, 0);
        y[i] = b[i] + alpha * (a[i] - b[i]);
    }
}

static void mix_gradient(const reference_case *c, const void *const *inputs, double *dx)
{
    const double *dy = inputs[0];
    int64_t elements = sn_shape_elements(c->output), per_image = elements / c->output.n;
    for (int64_t i = 0; i < elements; i++) {
        double beta = c->attrs.u.mix.even ? 0.5 : coefficient(c, inputs[1], c->inputs[1].shape.c, i / per_image, 1);
        dx[i] = dy[i] * (c->attrs.u.mix.branch ? 1 - beta : beta);
    }
}

static void mixing_uses_alpha_forward_and_beta_backward(void **state)
{
    (void)state;
    for (int coefficients = 0; coefficients < 2; coefficients++) {
        reference_input columns = {.shape = {3, 1, 1, coefficients ? 8 : 0}, .low = 0, .high = 1};
        check_reference(&(reference_case){.name = "mix",
                                          .op = SN_OP_mix,
                                          .attrs.u.mix.index = 2,
                                          .inputs_count = 3,
                                          .inputs = {{.shape = SHAPE}, {.shape = SHAPE}, columns},
                                          .output = SHAPE,
                                          .formula = mixed});
        for (int branch = 0; branch < 2; branch++)
            for (int even = 0; even < 2; even++)
                check_reference(&(reference_case){.name = "mix_grad",
                                                  .op = SN_OP_mix_grad,
                                                  .inputs_count = 2,
                                                  .attrs.u.mix = {.index = 3, .branch = branch, .even = even},
                                                  .inputs = {{.shape = SHAPE}, columns},
                                                  .output = SHAPE,
                                                  .formula = mix_gradient});
    }
}

/* ---- loss ---- */

static double probability(const double *logits, int64_t classes, int64_t k)
{
    double sum = 0;
    for (int64_t j = 0; j < classes; j++) sum += exp(logits[j] - logits[k]);
    return 1 / sum;
}

/* Of class k for image n: a mixed picture has two labels. */
static double target(const reference_case *c, const void *const *inputs, int64_t n, int64_t k)
{
    const int32_t *labels = inputs[1], *labels2 = inputs[2];
    double e = (double)c->attrs.u.loss.smoothing, share = c->inputs_count > 2 ? ((const double *)inputs[3])[n] : 1;
    double hit = k == labels[n] ? share : 0;
    if (share != 1 && k == labels2[n]) hit += 1 - share;
    return (1 - e) * hit + e / (double)c->inputs[0].shape.c;
}

static void loss(const reference_case *c, const void *const *inputs, double *y)
{
    sn_shape s = c->inputs[0].shape;
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t k = 0; k < s.c; k++)
            y[0] -= target(c, inputs, n, k) * log(probability((const double *)inputs[0] + n * s.c, s.c, k)) / (double)s.n;
}

static void loss_gradient(const reference_case *c, const void *const *inputs, double *d)
{
    sn_shape s = c->inputs[0].shape;
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t k = 0; k < s.c; k++)
            d[n * s.c + k] =
                (probability((const double *)inputs[0] + n * s.c, s.c, k) - target(c, inputs, n, k)) / (double)s.n;
}

static void cross_entropy_and_its_gradient(void **state)
{
    (void)state;
    static const int32_t labels[5] = {0, 12, 3, 3, 7}, labels2[5] = {1, 12, 0, 4, 11}; /* once the same */
    for (int variant = 0; variant < 4; variant++) {
        reference_case c = {.name = "cross_entropy",
                            .op = SN_OP_cross_entropy,
                            .attrs.u.loss.smoothing = variant & 1 ? 0.1f : 0,
                            .inputs_count = variant & 2 ? 4 : 2,
                            .inputs = {{.shape = {5, 1, 1, 13}, .low = -4, .high = 4},
                                       {.shape = {5, 1, 1, 1}, .given = labels},
                                       {.shape = {5, 1, 1, 1}, .given = labels2},
                                       {.shape = {5, 1, 1, 1}, .low = 0, .high = 1}},
                            .output = {1, 1, 1, 1},
                            .formula = loss};
        check_reference(&c);
        c.name = "cross_entropy_grad";
        c.op = SN_OP_cross_entropy_grad;
        c.output = c.inputs[0].shape;
        c.formula = loss_gradient;
        check_reference(&c);
    }
}

/* exp(1000) overflows; the loss of a sure and right answer is 0, of a sure and wrong one the distance. */
static void cross_entropy_survives_large_logits(void **state)
{
    (void)state;
    static const int32_t labels[2] = {0, 1};
    float logits[6] = {1000, -1000, 0, 1000, -1000, 0}, result, gradient[6];
    sn_node inputs[2] = {{.shape = {2, 1, 1, 3}}, {.shape = {2, 1, 1, 1}}};
    sn_node node = {.op = SN_OP_cross_entropy, .inputs_count = 2, .shape = {1, 1, 1, 1}};
    sn_kernel_call call = {.node = &node,
                           .input_nodes = {&inputs[0], &inputs[1]},
                           .inputs = {logits, labels},
                           .output = &result,
                           .threads = 1};
    sn_ref_cross_entropy_f32.run(&call);
    assert_true(result == 1000.0f); /* mean of 0 and 2000 */
    node.shape = inputs[0].shape;
    call.output = gradient;
    sn_ref_cross_entropy_grad_f32.run(&call);
    static const float expected[6] = {0, 0, 0, 0.5f, -0.5f, 0};
    for (int i = 0; i < 6; i++) assert_true(gradient[i] == expected[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_and_their_gradients),
        cmocka_unit_test(activations_keep_nan),
        cmocka_unit_test(multiplication_by_a_constant),
        cmocka_unit_test(dropout_keeps_its_share_and_the_mean),
        cmocka_unit_test(mixing_uses_alpha_forward_and_beta_backward),
        cmocka_unit_test(cross_entropy_and_its_gradient),
        cmocka_unit_test(cross_entropy_survives_large_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
