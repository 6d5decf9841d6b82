/* test_optimizer.c - SGD in its three forms against the published numbers; which parameters weight decay touches; the same
 * bits for any number of threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "train/optimizer.h"
#include "zoo/zoo.h"

/* ---- the numbers of golden/ops.txt, section sgd: gradients 0.5, -0.25, 0.125, 1 from w = 1, v = 0; w and v after each ---- */

typedef struct golden_case {
    const char *name;
    sn_optimizer form;
    double weight_decay, lr[4], steps[4][2];
} golden_case;

static const golden_case golden[] = {
    {"caffe", SN_SGD_CAFFE, 1e-4, {0.6, 0.6, 0.6, 0.6},
     {{6.999400000000e-01, 3.000600000000e-01}, {5.798440036000e-01, 1.200959964000e-01},
      {3.967228161998e-01, 1.831211874002e-01}, {-3.681100558294e-01, 7.648328720292e-01}}},
    {"torch", SN_SGD_TORCH, 1e-4, {0.1, 0.1, 0.1, 0.1},
     {{9.499900000000e-01, 5.001000000000e-01}, {9.299715001000e-01, 2.001849990000e-01},
      {8.994455504750e-01, 3.052594962500e-01}, {7.719632013570e-01, 1.274823491180e+00}}},
    {"nesterov", SN_NESTEROV, 5e-4, {0.1, 0.1, 0.1, 0.1},
     {{9.049050000000e-01, 5.005000000000e-01}, {9.117785340250e-01, 2.009024525000e-01},
      {8.716688164118e-01, 3.062680965170e-01}, {6.567782920563e-01, 1.276077121274e+00}}},
    {"caffe, rate dropped", SN_SGD_CAFFE, 1e-4, {0.6, 0.6, 0.06, 0.06},
     {{6.999400000000e-01, 3.000600000000e-01}, {5.798440036000e-01, 1.200959964000e-01},
      {4.642541277760e-01, 1.155898758240e-01}, {3.002204540096e-01, 1.640336737664e-01}}},
    {"torch, rate dropped", SN_SGD_TORCH, 1e-4, {0.6, 0.6, 0.06, 0.06},
     {{6.999400000000e-01, 5.001000000000e-01}, {5.798440036000e-01, 2.001599940000e-01},
      {5.615318848600e-01, 3.052019790004e-01}, {4.850476088026e-01, 1.274737934289e+00}}},
};

/* Parameters of a network whose every learnable tensor has a gradient. */
typedef struct fixture {
    sn_graph *graph;
    sn_params *w, *v, *g;
    sn_train_config config;
    sn_update_plan plan;
} fixture;

static void fill(sn_params *params, double value)
{
    size_t total;
    void *block = sn_params_block(params, NULL, &total);
    for (size_t i = 0; i < total; i++) {
        if (sn_params_precision(params) == SN_DOUBLE) ((double *)block)[i] = value;
        else ((float *)block)[i] = (float)value;
    }
}

static fixture make(sn_precision precision, sn_mode mode)
{
    fixture f;
    sn_spec spec;
    sn_build_options build = {.mode = mode, .batch = 1, .height = 16, .width = 16, .loss = true};
    assert_int_equal(sn_spec_parse("se_cifar_resnet8", &spec), SENET_OK);
    assert_int_equal(sn_model_build(&spec, &build, &f.graph), SENET_OK);
    assert_int_equal(sn_graph_add_gradients(f.graph, sn_graph_find_output(f.graph, "loss")), SENET_OK);
    assert_int_equal(sn_params_create(f.graph, precision, &f.w), SENET_OK);
    assert_int_equal(sn_params_create(f.graph, precision, &f.v), SENET_OK);
    assert_int_equal(sn_params_create(f.graph, precision, &f.g), SENET_OK);
    fill(f.w, 1);
    sn_train_defaults(&f.config);
    f.plan = (sn_update_plan){0};
    return f;
}

static void plan(fixture *f) { assert_int_equal(sn_update_plan_create(f->graph, f->w, &f->config, &f->plan), SENET_OK); }

static void step(fixture *f, double lr, int threads) { sn_sgd_step(&f->plan, &f->config, lr, threads, f->w, f->v, f->g); }

static void drop(fixture *f)
{
    sn_update_plan_free(&f->plan);
    sn_params_destroy(f->w);
    sn_params_destroy(f->v);
    sn_params_destroy(f->g);
    sn_graph_destroy(f->graph);
}

static double value(const fixture *f, const sn_params *params, const char *name)
{
    int index = sn_graph_find_param(f->graph, name);
    assert_true(index >= 0);
    return sn_params_read(params, f->graph, index, 0);
}

static void check_golden(const golden_case *c, sn_precision precision, double tolerance)
{
    static const double gradients[4] = {0.5, -0.25, 0.125, 1};
    fixture f = make(precision, SN_MODE_TRAIN);
    f.config.optimizer = c->form;
    f.config.weight_decay = c->weight_decay;
    plan(&f);
    for (int t = 0; t < 4; t++) {
        fill(f.g, gradients[t]);
        step(&f, c->lr[t], 1);
        double w = value(&f, f.w, "fc.weight"), v = value(&f, f.v, "fc.weight");
        if (fabs(w - c->steps[t][0]) > tolerance || fabs(v - c->steps[t][1]) > tolerance)
            fail_msg("%s, step %d: w %.15g v %.15g, expected %.15g %.15g", c->name, t + 1, w, v, c->steps[t][0], c->steps[t][1]);
    }
    drop(&f);
}

static void the_forms_give_the_published_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        check_golden(&golden[i], SN_DOUBLE, 1e-12); /* twelve digits are printed */
        check_golden(&golden[i], SN_FLOAT, 1e-6);   /* a few roundings of values near 1 */
    }
}

/* With no gradient and no momentum, one step leaves w = 1 - lr decay. */
static void weight_decay_reaches_the_chosen_kinds(void **state)
{
    (void)state;
    static const struct {
        bool all, gamma;
        double weight, bn_weight, bn_bias, bias;
    } cases[] = {{true, false, 0.9, 0.9, 0.9, 0.9}, {false, false, 0.9, 1, 1, 1}, {false, true, 0.9, 0.9, 1, 1}};
    for (int i = 0; i < 3; i++) {
        fixture f = make(SN_DOUBLE, SN_MODE_TRAIN);
        f.config.weight_decay = 1;
        f.config.momentum = 0;
        f.config.decay_all = cases[i].all;
        f.config.decay_gamma = cases[i].gamma;
        plan(&f);
        step(&f, 0.1, 1);
        assert_true(value(&f, f.w, "conv1.weight") == cases[i].weight);
        assert_true(value(&f, f.w, "fc.weight") == cases[i].weight);
        assert_true(value(&f, f.w, "layer1.0.se.fc1.weight") == cases[i].weight);
        assert_true(value(&f, f.w, "bn1.weight") == cases[i].bn_weight);
        assert_true(value(&f, f.w, "bn1.bias") == cases[i].bn_bias);
        assert_true(value(&f, f.w, "fc.bias") == cases[i].bias);
        assert_true(value(&f, f.w, "bn1.running_mean") == 1); /* never the optimiser's business */
        drop(&f);
    }
}

static void what_has_no_gradient_is_left_alone(void **state)
{
    (void)state;
    fixture f = make(SN_DOUBLE, SN_MODE_TRAIN_FROZEN);
    fill(f.g, 1);
    plan(&f);
    step(&f, 0.1, 1);
    assert_true(value(&f, f.w, "bn1.weight") == 1);
    assert_true(value(&f, f.w, "bn1.bias") == 1);
    assert_true(value(&f, f.w, "conv1.weight") < 1);
    drop(&f);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    fixture f[2];
    for (int k = 0; k < 2; k++) {
        f[k] = make(SN_FLOAT, SN_MODE_TRAIN);
        f[k].config.optimizer = SN_NESTEROV;
        plan(&f[k]);
        size_t total;
        float *g = sn_params_block(f[k].g, NULL, &total);
        for (size_t i = 0; i < total; i++) g[i] = (float)sn_rng_normal(sn_rng_key(1, SN_RNG_TEST, 0, 0), i);
        for (int t = 0; t < 3; t++) step(&f[k], 0.1, k ? 4 : 1);
    }
    size_t total;
    const float *one = sn_params_block(f[0].w, NULL, &total), *four = sn_params_block(f[1].w, NULL, &total);
    assert_memory_equal(one, four, total * sizeof *one);
    drop(&f[0]);
    drop(&f[1]);
}

/* ---- initialisation ---- */

static void moments(const fixture *f, const char *name, double *mean, double *deviation, double *largest)
{
    int index = sn_graph_find_param(f->graph, name);
    assert_true(index >= 0);
    int64_t n = sn_shape_elements(f->graph->params[index].shape);
    double sum = 0, squares = 0;
    *largest = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = sn_params_read(f->w, f->graph, index, i);
        sum += x;
        squares += x * x;
        if (fabs(x) > *largest) *largest = fabs(x);
    }
    *mean = sum / (double)n;
    *deviation = sqrt(squares / (double)n);
}

/* layer3.0.conv1: 3x3, 32 -> 64, 18,432 values: four standard errors of the deviation are 2.1%. */
static void weights_have_the_deviation_of_their_rule(void **state)
{
    (void)state;
    static const struct {
        sn_init init;
        double deviation, linear;
    } cases[] = {{SN_INIT_HE, 0.08333, 0.17678},         /* sqrt(2 / (9 32)), sqrt(2 / 64) */
                 {SN_INIT_HE_FAN_OUT, 0.05893, 0.17678}, /* sqrt(2 / (9 64)); the classifier by fan-in */
                 {SN_INIT_TORCH, 0.03402, 0.07217}};     /* 1 / sqrt(3 fan_in) */
    for (int i = 0; i < 3; i++) {
        fixture f = make(SN_FLOAT, SN_MODE_TRAIN);
        double mean, deviation, largest;
        sn_params_init(f.graph, f.w, cases[i].init, 1);
        moments(&f, "layer3.0.conv1.weight", &mean, &deviation, &largest);
        assert_true(fabs(deviation / cases[i].deviation - 1) < 0.021);
        assert_true(fabs(mean) < 4 * deviation / sqrt(18432));
        if (cases[i].init == SN_INIT_TORCH) assert_true(largest <= 1 / sqrt(9 * 32) * (1 + 1e-6));
        moments(&f, "fc.weight", &mean, &deviation, &largest);
        assert_true(fabs(deviation / cases[i].linear - 1) < 0.12); /* 640 values */
        moments(&f, "fc.bias", &mean, &deviation, &largest);
        assert_true(cases[i].init == SN_INIT_TORCH ? largest > 0 && largest <= 0.125 : largest == 0);
        assert_true(value(&f, f.w, "bn1.weight") == 1 && value(&f, f.w, "bn1.bias") == 0);
        assert_true(value(&f, f.w, "bn1.running_mean") == 0 && value(&f, f.w, "bn1.running_var") == 1);
        drop(&f);
    }
}

/* The same name gets the same numbers in another network; another seed gives others. */
static void a_parameter_is_initialised_by_its_name(void **state)
{
    (void)state;
    fixture f = make(SN_FLOAT, SN_MODE_TRAIN), g = make(SN_FLOAT, SN_MODE_TRAIN);
    sn_params_init(f.graph, f.w, SN_INIT_HE, 1);
    sn_params_init(g.graph, g.w, SN_INIT_HE, 2);
    assert_true(value(&f, f.w, "conv1.weight") != value(&g, g.w, "conv1.weight"));
    sn_spec spec;
    sn_graph *deeper;
    sn_params *params;
    sn_build_options build = {.mode = SN_MODE_EVAL, .batch = 1, .no_fuse = true};
    assert_int_equal(sn_spec_parse("cifar_resnet14", &spec), SENET_OK);
    assert_int_equal(sn_model_build(&spec, &build, &deeper), SENET_OK);
    assert_int_equal(sn_params_create(deeper, SN_FLOAT, &params), SENET_OK);
    sn_params_init(deeper, params, SN_INIT_HE, 1);
    int a = sn_graph_find_param(f.graph, "layer2.0.conv2.weight"), b = sn_graph_find_param(deeper, "layer2.0.conv2.weight");
    for (int64_t i = 0; i < 9 * 32 * 32; i++)
        assert_true(sn_params_read(f.w, f.graph, a, i) == sn_params_read(params, deeper, b, i));
    sn_params_destroy(params);
    sn_graph_destroy(deeper);
    drop(&f);
    drop(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_forms_give_the_published_numbers), cmocka_unit_test(weight_decay_reaches_the_chosen_kinds),
        cmocka_unit_test(what_has_no_gradient_is_left_alone),   cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(weights_have_the_deviation_of_their_rule), cmocka_unit_test(a_parameter_is_initialised_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
