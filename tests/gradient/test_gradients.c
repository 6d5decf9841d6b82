/* test_gradients.c - every differentiable op against central differences in double precision.
 *
 * A case builds a small graph of one op (or a few) over tensors that are all parameters.  The gradient of sum(y d) for
 * a random d, from autodiff and the plain C kernels, must agree with (F(v + h) - F(v - h)) / 2h in every element of
 * every parameter, before and after the fusing pass.  With h = 1e-5 the difference is good to about 1e-10 (curvature)
 * and 1e-11 |F| (rounding); 1e-7 of the largest gradient leaves room for the curvier ops and is far below any wrong
 * term.  Values are drawn with a fixed key; none lies within h of a corner of ReLU or a tie of two maxima, or the test
 * would say so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "base/rng.h"
#include "gradient/probe.h"

enum { BATCH = 2, TENSORS_MAX = 16, GIVEN_MAX = 4 };
static const double STEP = 1e-5, TOLERANCE = 1e-7;

/* ---- a case under construction ---- */

typedef struct bench {
    sn_graph *graph;
    double low[TENSORS_MAX], high[TENSORS_MAX]; /* range of each parameter */
    struct {
        const char *name;
        const void *data;
    } given[GIVEN_MAX];
    int given_count;
} bench;

static void must(senet_status status)
{
    if (status != SENET_OK) fail_msg("%s", senet_last_error());
}

static bench start(void)
{
    bench b = {0};
    must(sn_graph_create(BATCH, &b.graph));
    return b;
}

static sn_id add_tensor(bench *b, sn_shape shape, double low, double high, bool learnable)
{
    char name[32];
    sn_id id;
    int index = (int)b->graph->params_count;
    assert_true(index < TENSORS_MAX);
    snprintf(name, sizeof name, "tensor%d", index);
    b->low[index] = low;
    b->high[index] = high;
    sn_param param = {.name = name,
                      .kind = SN_PARAM_BIAS,
                      .learnable = learnable,
                      .rank = 1,
                      .dims = {sn_shape_elements(shape)},
                      .shape = shape};
    must(sn_graph_add_param(b->graph, &param, &id));
    return id;
}

static sn_id tensor(bench *b, int64_t n, int64_t h, int64_t w, int64_t c)
{
    return add_tensor(b, (sn_shape){n, h, w, c}, -1, 1, true);
}

/* An input that is not differentiated, bound to `data`. */
static sn_id given(bench *b, const char *name, sn_dtype dtype, sn_shape shape, const void *data)
{
    sn_id id;
    sn_attrs attrs = {.u.source = {.shape = shape, .dtype = dtype}};
    must(sn_graph_add(b->graph, SN_OP_input, NULL, 0, &attrs, name, &id));
    b->given[b->given_count].name = name;
    b->given[b->given_count++].data = data;
    return id;
}

static sn_id apply(bench *b, sn_op_kind op, sn_attrs attrs, int count, const sn_id *inputs)
{
    sn_id id;
    must(sn_graph_add(b->graph, op, inputs, count, &attrs, "node", &id));
    return id;
}

#define APPLY(b, op, attrs, ...)                                                                                       \
    apply(b, SN_OP_##op, attrs, (int)(sizeof((sn_id[]){__VA_ARGS__}) / sizeof(sn_id)), (sn_id[]){__VA_ARGS__})

static const sn_attrs PLAIN; /* of ops without attributes */

/* ---- the check ---- */

static double value_of(const bench *b, int param, int64_t i)
{
    double u = sn_rng_uniform(sn_rng_key(3, SN_RNG_TEST, (uint64_t)param, 0), (uint64_t)i);
    return b->low[param] + (b->high[param] - b->low[param]) * u;
}

/* F with element i of a parameter moved by `move`; statistics that the run updates are set back. */
static double moved(const bench *b, probe *p, int param, int64_t i, double move)
{
    for (int k = 0; k < (int)p->graph->params_count; k++) {
        double *data = sn_params_data(p->params, k);
        for (int64_t e = 0; e < sn_shape_elements(p->graph->params[k].shape); e++) data[e] = value_of(b, k, e);
        if (k == param) data[i] += move;
    }
    must(probe_run(p));
    return probe_sum(p);
}

static double largest_gradient(const bench *b, probe *p)
{
    double largest = 0;
    moved(b, p, -1, 0, 0);
    for (int k = 0; k < (int)p->graph->params_count; k++)
        for (int64_t i = 0; i < sn_shape_elements(p->graph->params[k].shape); i++)
            largest = fmax(largest, fabs(probe_gradient(p, k, i)));
    return largest;
}

static void check_program(const bench *b, probe *p, const char *name)
{
    for (int i = 0; i < b->given_count; i++) must(sn_program_set_input(p->program, b->given[i].name, b->given[i].data));
    for (int64_t i = 0; i < sn_shape_elements(p->shape); i++)
        ((double *)p->direction)[i] = 2 * sn_rng_uniform(sn_rng_key(4, SN_RNG_TEST, 0, 0), (uint64_t)i) - 1;
    double largest = largest_gradient(b, p);
    if (!(largest > 0)) fail_msg("%s: all gradients are zero", name);
    for (int k = 0; k < (int)p->graph->params_count; k++) {
        if (!p->graph->params[k].learnable) continue;
        assert_int_not_equal(p->graph->params[k].gradient, SN_NONE);
        for (int64_t i = 0; i < sn_shape_elements(p->graph->params[k].shape); i++) {
            double difference = (moved(b, p, k, i, STEP) - moved(b, p, k, i, -STEP)) / (2 * STEP);
            moved(b, p, k, i, 0);
            double gradient = probe_gradient(p, k, i);
            if (!(fabs(gradient - difference) <= TOLERANCE * largest))
                fail_msg("%s: tensor %d, element %lld: gradient %.12g, difference %.12g", name, k, (long long)i,
                         gradient, difference);
        }
    }
}

/* Checks the gradient through node y and ends the case. */
static void check(bench *b, const char *name, sn_id y)
{
    sn_graph *fused;
    probe p;
    must(probe_attach(b->graph, y));
    must(sn_graph_fuse(b->graph, &fused));
    must(probe_create(&p, b->graph, SN_DOUBLE, true));
    check_program(b, &p, name);
    probe_destroy(&p);
    must(probe_create(&p, fused, SN_DOUBLE, true));
    check_program(b, &p, name);
    probe_destroy(&p);
}

/* ---- convolution ---- */

static void convolution(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        sn_shape x, w; /* w: kh, kw, in / groups, out */
        sn_conv_attrs attrs;
        bool bias, residual;
    } cases[] = {
        {"3x3", {2, 4, 3, 3}, {3, 3, 3, 5}, {1, 1, 1, 1, 1, 1, SN_IDENTITY}, false, false},
        {"3x3 stride 2, bias", {2, 5, 4, 2}, {3, 3, 2, 3}, {2, 1, 1, 1, 1, 1, SN_IDENTITY}, true, false},
        {"1x1 stride 2 on even size", {2, 4, 4, 3}, {1, 1, 3, 5}, {2, 1, 0, 0, 0, 0, SN_IDENTITY}, false, false},
        {"grouped, stride 2", {2, 5, 4, 6}, {3, 3, 2, 9}, {2, 3, 1, 1, 1, 1, SN_IDENTITY}, false, false},
        {"depthwise", {2, 4, 5, 5}, {3, 3, 1, 5}, {1, 5, 1, 1, 1, 1, SN_IDENTITY}, true, false},
        {"asymmetric pads", {2, 4, 3, 2}, {2, 3, 2, 2}, {1, 1, 0, 2, 1, 0, SN_IDENTITY}, false, false},
        {"TensorFlow's pads, stride 2", {1, 6, 6, 2}, {3, 3, 2, 2}, {2, 1, 0, 0, 1, 1, SN_IDENTITY}, false, false},
        {"1x7", {1, 3, 8, 2}, {1, 7, 2, 2}, {1, 1, 0, 3, 0, 3, SN_IDENTITY}, false, false},
        {"linear", {3, 1, 1, 7}, {1, 1, 7, 4}, {1, 1, 0, 0, 0, 0, SN_IDENTITY}, true, false},
        {"ReLU", {2, 3, 3, 2}, {3, 3, 2, 3}, {1, 1, 1, 1, 1, 1, SN_RELU}, true, false},
        {"residual, ReLU", {2, 3, 3, 2}, {3, 3, 2, 3}, {1, 1, 1, 1, 1, 1, SN_RELU}, true, true},
        {"residual, ReLU6", {2, 3, 3, 2}, {3, 3, 2, 3}, {1, 1, 1, 1, 1, 1, SN_RELU6}, false, true},
        {"sigmoid", {2, 1, 1, 3}, {1, 1, 3, 5}, {1, 1, 0, 0, 0, 0, SN_SIGMOID}, true, false},
        {"tanh", {2, 2, 2, 3}, {1, 1, 3, 5}, {1, 1, 0, 0, 0, 0, SN_TANH}, true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench b = start();
        sn_shape xs = cases[i].x, ws = cases[i].w;
        sn_attrs attrs = {.u.conv = cases[i].attrs};
        sn_id x = tensor(&b, xs.n, xs.h, xs.w, xs.c), w = tensor(&b, ws.n, ws.h, ws.w, ws.c), residual = SN_NONE;
        sn_id bias = cases[i].bias ? tensor(&b, 1, 1, 1, ws.c) : SN_NONE;
        if (cases[i].residual) {
            sn_shape y = b.graph->nodes[APPLY(&b, conv2d, attrs, x, w)].shape;
            residual = tensor(&b, y.n, y.h, y.w, y.c);
        }
        check(&b, cases[i].name, APPLY(&b, conv2d, attrs, x, w, bias, residual));
    }
}

/* ---- batch norm ---- */

static void batch_norm(void **state)
{
    (void)state;
    for (int activation = SN_IDENTITY; activation <= SN_RELU; activation++)
        for (int training = 0; training < 2; training++) {
            bench b = start();
            sn_attrs attrs = {
                .u.norm = {.epsilon = 1e-2f, .momentum = 0.1, .count = 18, .activation = (sn_activation)activation}};
            sn_id x = tensor(&b, 2, 3, 3, 3), gamma = tensor(&b, 1, 1, 1, 3), beta = tensor(&b, 1, 1, 1, 3);
            sn_id mean = add_tensor(&b, (sn_shape){1, 1, 1, 3}, -1, 1, false);
            sn_id variance = add_tensor(&b, (sn_shape){1, 1, 1, 3}, 0.5, 2, false);
            sn_id stats = training ? APPLY(&b, bn_stats, attrs, x) : APPLY(&b, bn_pack, attrs, mean, variance);
            if (training) APPLY(&b, bn_update, attrs, stats, mean, variance);
            check(&b, training ? "batch norm, batch statistics" : "batch norm, stored statistics",
                  APPLY(&b, bn_apply, attrs, x, stats, gamma, beta));
        }
}

/* Batch norm, then ReLU as a node of its own: what the fusing pass joins. */
static void batch_norm_before_relu(void **state)
{
    (void)state;
    bench b = start();
    sn_attrs norm = {.u.norm = {.epsilon = 1e-5f, .momentum = 0.1, .count = 18}}, relu = {.u.activation.kind = SN_RELU};
    sn_attrs conv = {.u.conv = {.stride = 1, .groups = 1}};
    sn_id x = tensor(&b, 2, 3, 3, 3), w = tensor(&b, 1, 1, 3, 4), gamma = tensor(&b, 1, 1, 1, 4),
          beta = tensor(&b, 1, 1, 1, 4);
    sn_id y = APPLY(&b, conv2d, conv, x, w);
    y = APPLY(&b, bn_apply, norm, y, APPLY(&b, bn_stats, norm, y), gamma, beta);
    y = APPLY(&b, activation, relu, y);
    check(&b, "conv, batch norm, ReLU", APPLY(&b, conv2d, conv, y, tensor(&b, 1, 1, 4, 2)));
}

/* ---- elementwise ---- */

static void activations_and_sums(void **state)
{
    static const char *const names[] = {"identity", "ReLU", "ReLU6", "sigmoid", "tanh"};
    (void)state;
    for (int kind = SN_IDENTITY; kind <= SN_TANH; kind++) {
        bench b = start();
        sn_attrs attrs = {.u.activation.kind = (sn_activation)kind};
        sn_id x = add_tensor(&b, (sn_shape){2, 3, 2, 5}, -4, 8, true);
        check(&b, names[kind], APPLY(&b, activation, attrs, x));
        b = start();
        x = add_tensor(&b, (sn_shape){2, 3, 2, 5}, -4, 8, true);
        check(&b, names[kind], APPLY(&b, add, attrs, x, tensor(&b, 2, 3, 2, 5)));
    }
}

/* A node that several others read: its gradients add up. */
static void shared_nodes(void **state)
{
    (void)state;
    bench b = start();
    sn_attrs tanh_attrs = {.u.activation.kind = SN_TANH}, factor = {.u.factor.factor = 0.17f};
    sn_id x = tensor(&b, 2, 2, 3, 4), t = APPLY(&b, activation, tanh_attrs, x), m = APPLY(&b, multiply, factor, t);
    sn_id y = APPLY(&b, add, PLAIN, APPLY(&b, add, PLAIN, t, m), APPLY(&b, add, PLAIN, t, x));
    check(&b, "one node, four readers", y);
}

static void dropout(void **state)
{
    (void)state;
    static const uint64_t keys[2] = {123, 456};
    bench b = start();
    sn_attrs attrs = {.u.dropout = {.probability = 0.4f, .salt = 3}};
    sn_id x = tensor(&b, 2, 3, 3, 4), k = given(&b, "keys", SN_U64, (sn_shape){2, 1, 1, 1}, keys);
    check(&b, "dropout", APPLY(&b, dropout, attrs, x, k));
}

/* A true gradient only where beta = alpha: equal columns, both 0.5 for "even", or none at all. */
static void mixing(void **state)
{
    (void)state;
    static const double shake[2 * 4] = {0.1, 0.2, 0.7, 0.7, 0.3, 0.4, 0.25, 0.25},
                                  half[2 * 4] = {0, 0, 0.5, 1, 0, 0, 0.5, 1};
    for (int variant = 0; variant < 3; variant++) {
        bench b = start();
        sn_attrs attrs = {.u.mix = {.index = 1, .even = variant == 1}};
        sn_id x = tensor(&b, 2, 2, 3, 2), y = tensor(&b, 2, 2, 3, 2), c = SN_NONE;
        if (variant < 2) c = given(&b, "shake", SN_REAL, (sn_shape){2, 1, 1, 4}, variant ? half : shake);
        check(&b, "mix", APPLY(&b, mix, attrs, x, y, c));
    }
}

/* ---- squeeze and excitation ---- */

static void squeezes(void **state)
{
    (void)state;
    bench b = start();
    sn_id x = tensor(&b, 2, 3, 4, 5);
    check(&b, "squeeze_avg", APPLY(&b, squeeze_avg, PLAIN, x));
    b = start();
    x = tensor(&b, 2, 3, 4, 5);
    check(&b, "squeeze_max", APPLY(&b, squeeze_max, PLAIN, x));
}

static void scales(void **state)
{
    (void)state;
    for (int full = 0; full < 2; full++)
        for (int residual = 0; residual < 2; residual++)
            for (int kind = SN_IDENTITY; kind <= SN_RELU; kind++) {
                bench b = start();
                sn_attrs attrs = {.u.activation.kind = (sn_activation)kind};
                sn_id x = tensor(&b, 2, 3, 2, 4), s = full ? tensor(&b, 2, 3, 2, 4) : tensor(&b, 2, 1, 1, 4);
                check(&b, full ? "scale_add, gate as large as the map" : "scale_add",
                      APPLY(&b, scale_add, attrs, x, s, residual ? tensor(&b, 2, 3, 2, 4) : SN_NONE));
            }
}

/* The whole block, x used twice, then shortcut and ReLU as nodes of their own: every squeeze and gate. */
static void squeeze_and_excitation(void **state)
{
    (void)state;
    static const sn_activation gates[] = {SN_SIGMOID, SN_TANH, SN_RELU};
    for (int squeeze = 0; squeeze < 3; squeeze++)
        for (int gate = 0; gate < 3; gate++)
            for (int shortcut = 0; shortcut < 2; shortcut++) {
                bench b = start();
                sn_attrs fc1 = {.u.conv = {.stride = 1, .groups = 1, .activation = SN_RELU}}, fc2 = fc1;
                sn_attrs relu = {.u.activation.kind = SN_RELU};
                fc2.u.conv.activation = gates[gate];
                sn_id x = tensor(&b, 2, 3, 2, 4), z = x;
                if (squeeze == 1) z = APPLY(&b, squeeze_avg, PLAIN, x);
                if (squeeze == 2) z = APPLY(&b, squeeze_max, PLAIN, x);
                z = APPLY(&b, conv2d, fc1, z, tensor(&b, 1, 1, 4, 3), tensor(&b, 1, 1, 1, 3));
                z = APPLY(&b, conv2d, fc2, z, tensor(&b, 1, 1, 3, 4), tensor(&b, 1, 1, 1, 4));
                sn_id y = APPLY(&b, scale_add, PLAIN, x, z);
                if (shortcut) y = APPLY(&b, activation, relu, APPLY(&b, add, PLAIN, y, tensor(&b, 2, 3, 2, 4)));
                check(&b, "SE block", y);
            }
}

/* ---- shape ---- */

static void pooling(void **state)
{
    (void)state;
    static const sn_pool_attrs cases[] = {
        {SN_POOL_MAX, 3, 2, 0, true, false},  {SN_POOL_MAX, 3, 2, 1, false, false},
        {SN_POOL_MAX, 3, 1, 1, false, false}, {SN_POOL_MAX, 2, 2, 0, false, false},
        {SN_POOL_AVG, 3, 2, 0, true, true},   {SN_POOL_AVG, 3, 2, 1, true, true},
        {SN_POOL_AVG, 3, 1, 1, false, true},  {SN_POOL_AVG, 3, 1, 1, false, false},
        {SN_POOL_AVG, 2, 2, 0, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench b = start();
        sn_attrs attrs = {.u.pool = cases[i]};
        check(&b, cases[i].kind == SN_POOL_MAX ? "max pool" : "average pool",
              APPLY(&b, pool2d, attrs, tensor(&b, 2, 6, 5, 2)));
    }
}

static void subsampling(void **state)
{
    (void)state;
    static const sn_subsample_attrs cases[] = {
        {.stride = 2},
        {.stride = 2, .channels_before = 1, .channels_after = 2},
        {.stride = 2, .offset = -1},
        {.stride = 1, .offset = -1, .channels_after = 3},
        {.stride = 2, .offset = 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench b = start();
        sn_attrs attrs = {.u.subsample = cases[i]};
        check(&b, "subsample", APPLY(&b, subsample, attrs, tensor(&b, 2, 5, 4, 3)));
    }
}

static void concatenation(void **state)
{
    (void)state;
    bench b = start();
    sn_id x = tensor(&b, 2, 2, 3, 2), y = tensor(&b, 2, 2, 3, 1), z = tensor(&b, 2, 2, 3, 4);
    check(&b, "concat, one input twice", APPLY(&b, concat, PLAIN, x, y, x, z));
}

/* More cells than rows, fewer, and as many as divide them. */
static void adaptive_average(void **state)
{
    (void)state;
    static const int32_t cells[][2] = {{3, 4}, {7, 2}, {2, 5}, {1, 1}};
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++) {
        bench b = start();
        sn_attrs attrs = {.u.adaptive = {.h = cells[i][0], .w = cells[i][1]}};
        check(&b, "adaptive_avg", APPLY(&b, adaptive_avg, attrs, tensor(&b, 2, 5, 4, 3)));
    }
}

static void channel_shuffle(void **state)
{
    (void)state;
    bench b = start();
    sn_attrs attrs = {.u.shuffle.groups = 3};
    check(&b, "channel_shuffle", APPLY(&b, channel_shuffle, attrs, tensor(&b, 2, 2, 3, 12)));
}

/* ---- the loss itself ---- */

static void cross_entropy(void **state)
{
    (void)state;
    static const int32_t labels[BATCH + 1] = {2, 0, 4}, labels2[BATCH + 1] = {2, 3, 1};
    static const double mix[BATCH + 1] = {0.25, 0.625, 1};
    for (int variant = 0; variant < 4; variant++) {
        const bool mixed = variant & 2;
        bench b = start();
        sn_attrs attrs = {.u.loss.smoothing = variant & 1 ? 0.1f : 0};
        sn_id logits = add_tensor(&b, (sn_shape){3, 1, 1, 5}, -3, 3, true);
        sn_id targets = given(&b, "labels", SN_I32, (sn_shape){3, 1, 1, 1}, labels);
        sn_id loss = SN_NONE;
        if (mixed) {
            sn_id targets2 = given(&b, "labels2", SN_I32, (sn_shape){3, 1, 1, 1}, labels2);
            sn_id shares = given(&b, "mix", SN_REAL, (sn_shape){3, 1, 1, 1}, mix);
            loss = APPLY(&b, cross_entropy, attrs, logits, targets, targets2, shares);
        } else {
            loss = APPLY(&b, cross_entropy, attrs, logits, targets);
        }
        must(sn_graph_add_output(b.graph, "loss", loss));
        probe p;
        must(probe_plan(&p, b.graph, SN_DOUBLE, true));
        must(sn_program_set_input(p.program, "labels", labels));
        if (mixed) {
            must(sn_program_set_input(p.program, "labels2", labels2));
            must(sn_program_set_input(p.program, "mix", mix));
        }
        double *data = sn_params_data(p.params, 0), *gradient = sn_params_data(p.gradients, 0);
        for (int i = 0; i < 15; i++) data[i] = value_of(&b, 0, i);
        for (int i = 0; i < 15; i++) {
            double losses[2], kept = data[i];
            for (int side = 0; side < 2; side++) {
                data[i] = kept + (side ? STEP : -STEP);
                must(probe_run(&p));
                losses[side] = *(const double *)sn_program_output(p.program, "loss", NULL);
            }
            data[i] = kept;
            must(probe_run(&p));
            assert_true(fabs((losses[1] - losses[0]) / (2 * STEP) - gradient[i]) <= TOLERANCE);
        }
        probe_destroy(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolution),
        cmocka_unit_test(batch_norm),
        cmocka_unit_test(batch_norm_before_relu),
        cmocka_unit_test(activations_and_sums),
        cmocka_unit_test(shared_nodes),
        cmocka_unit_test(dropout),
        cmocka_unit_test(mixing),
        cmocka_unit_test(squeezes),
        cmocka_unit_test(scales),
        cmocka_unit_test(squeeze_and_excitation),
        cmocka_unit_test(pooling),
        cmocka_unit_test(subsampling),
        cmocka_unit_test(concatenation),
        cmocka_unit_test(adaptive_average),
        cmocka_unit_test(channel_shuffle),
        cmocka_unit_test(cross_entropy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
