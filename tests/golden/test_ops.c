/* test_ops.c - SE blocks, bottlenecks with every place of the block, loss, SGD, Shake-Shake and pooling, forward and
 * backward, against the double-precision vectors of ops.txt.
 *
 * Each case runs in double and in float, with the plain and with the fast kernels, before and after the fusing pass.
 * The vectors have nine digits, which leaves 1e-8 for double; float is held to 1e-5 of a tensor's largest value.  A
 * record that nothing checks fails the test. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "golden/ops_records.h"
#include "gradient/probe.h"
#include "train/optimizer.h"
#include "zoo/blocks.h"

static ops_file file;

typedef struct run_mode {
    const char *name;
    sn_precision precision;
    bool reference_only, fuse;
    double tolerance;
} run_mode;

static const run_mode modes[] = {
    {"double", SN_DOUBLE, true, false, 1e-8},      {"double, fused", SN_DOUBLE, true, true, 1e-8},
    {"float, plain", SN_FLOAT, true, false, 1e-5}, {"float, plain, fused", SN_FLOAT, true, true, 1e-5},
    {"float, fast", SN_FLOAT, false, false, 1e-5}, {"float, fast, fused", SN_FLOAT, false, true, 1e-5},
};

static void must(senet_status status)
{
    if (status != SENET_OK) fail_msg("%s", senet_last_error());
}

/* ---- tensors: named random values in file order (NCHW), NHWC in memory ---- */

/* 2u - 1; exact in float32. */
static double random_value(const char *name, int64_t i)
{
    return 2 * golden_uniform(name, file.seed, (uint64_t)i) - 1;
}

static int64_t memory_index(sn_shape s, int64_t i)
{
    int64_t w = i % s.w, h = i / s.w % s.h, c = i / (s.w * s.h) % s.c, n = i / (s.w * s.h * s.c);
    return ((n * s.h + h) * s.w + w) * s.c + c;
}

/* An activation as a parameter, so that it gets a gradient. */
static sn_id add_activation(sn_graph *graph, const char *name, sn_shape shape)
{
    sn_id id;
    sn_param param = {.name = name,
                      .kind = SN_PARAM_BIAS,
                      .learnable = true,
                      .rank = 1,
                      .dims = {sn_shape_elements(shape)},
                      .shape = shape};
    must(sn_graph_add_param(graph, &param, &id));
    return id;
}

static sn_graph *new_graph(int64_t batch)
{
    sn_graph *graph;
    must(sn_graph_create(batch, &graph));
    return graph;
}

/* The graph with a probe on y, planned as the mode says; upstream gradient T("dout"). */
static probe open_probe(const run_mode *mode, sn_graph *graph, sn_id y)
{
    probe p;
    must(probe_attach(graph, y));
    if (mode->fuse) {
        sn_graph *fused;
        must(sn_graph_fuse(graph, &fused));
        sn_graph_destroy(graph);
        graph = fused;
    }
    must(probe_create(&p, graph, mode->precision, mode->reference_only));
    for (int64_t i = 0; i < sn_shape_elements(p.shape); i++)
        probe_put(p.precision, p.direction, memory_index(p.shape, i), random_value("dout", i));
    return p;
}

static int param_of(const probe *p, const char *name)
{
    int index = sn_graph_find_param(p->graph, name);
    if (index < 0) fail_msg("no parameter %s", name);
    return index;
}

static void set_activation(probe *p, const char *name, const char *random_name)
{
    int index = param_of(p, name);
    sn_shape s = p->graph->params[index].shape;
    for (int64_t i = 0; i < sn_shape_elements(s); i++)
        probe_put(p->precision, sn_params_data(p->params, index), memory_index(s, i), random_value(random_name, i));
}

static double *new_tensor(int64_t count)
{
    double *tensor = malloc((size_t)count * sizeof *tensor);
    assert_non_null(tensor);
    return tensor;
}

static void check_output(ops_case *c, const run_mode *mode, const probe *p)
{
    int64_t count = sn_shape_elements(p->shape);
    double *tensor = new_tensor(count);
    for (int64_t i = 0; i < count; i++) tensor[i] = probe_output(p, memory_index(p->shape, i));
    ops_check(c, mode->name, "out", tensor, (size_t)count, mode->tolerance);
    free(tensor);
}

static void check_activation_gradient(ops_case *c, const run_mode *mode, const probe *p, const char *name,
                                      const char *key)
{
    int index = param_of(p, name);
    sn_shape s = p->graph->params[index].shape;
    double *tensor = new_tensor(sn_shape_elements(s));
    for (int64_t i = 0; i < sn_shape_elements(s); i++) tensor[i] = probe_gradient(p, index, memory_index(s, i));
    ops_check(c, mode->name, key, tensor, (size_t)sn_shape_elements(s), mode->tolerance);
    free(tensor);
}

/* A parameter's values, or their gradients, in file order. */
static void check_param(ops_case *c, const run_mode *mode, const probe *p, int index, bool gradient, const char *key)
{
    int64_t count = sn_shape_elements(p->graph->params[index].shape);
    double *tensor = new_tensor(count);
    for (int64_t i = 0; i < count; i++)
        tensor[i] = gradient ? sn_params_read(p->gradients, p->graph, index, i) / PROBE_SCALE
                             : sn_params_read(p->params, p->graph, index, i);
    ops_check(c, mode->name, key, tensor, (size_t)count, mode->tolerance);
    free(tensor);
}

/* ---- SE block ---- */

static int find_name(const char *name, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0) return i;
    fail_msg("'%s' is not known", name);
    return -1;
}

static const char *const squeezes[] = {"avg", "max", "none"};
static const char *const gates[] = {"sigmoid", "tanh", "relu"};

static void set_se_params(probe *p)
{
    static const char *const weights[2][2] = {{"se.fc1.weight", "W1"}, {"se.fc2.weight", "W2"}};
    static const char *const biases[2][2] = {{"se.fc1.bias", "b1"}, {"se.fc2.bias", "b2"}};
    for (int k = 0; k < 2; k++) {
        int weight = param_of(p, weights[k][0]), bias = sn_graph_find_param(p->graph, biases[k][0]);
        sn_shape s = p->graph->params[weight].shape; /* 1, 1, in, out; files have out x in */
        for (int64_t i = 0; i < s.w * s.c; i++)
            probe_put(p->precision, sn_params_data(p->params, weight), i % s.w * s.c + i / s.w,
                      random_value(weights[k][1], i));
        for (int64_t i = 0; bias >= 0 && i < s.c; i++)
            probe_put(p->precision, sn_params_data(p->params, bias), i, 0.1 * random_value(biases[k][1], i));
    }
}

static void check_se(ops_case *c, const run_mode *mode)
{
    int n, channels, h, w, r, bias;
    char squeeze[16], gate[16];
    assert_int_equal(sscanf(c->text, "se %d %d %d %d %d %15s %15s %d", &n, &channels, &h, &w, &r, squeeze, gate, &bias),
                     8);
    sn_builder b;
    sn_graph *graph = new_graph(n);
    sn_id u = add_activation(graph, "u", (sn_shape){n, h, w, channels});
    sn_builder_start(&b, graph, SN_MODE_TRAIN);
    sn_id y = sn_se_build(&b, u, "se",
                          (sn_se_config){.r = r,
                                         .squeeze = (sn_squeeze)find_name(squeeze, squeezes, 3),
                                         .gate = (sn_gate)find_name(gate, gates, 3),
                                         .bias = bias});
    must(b.status);
    probe p = open_probe(mode, graph, y);
    set_activation(&p, "u", "u");
    set_se_params(&p);
    must(probe_run(&p));
    check_output(c, mode, &p);
    check_activation_gradient(c, mode, &p, "u", "du");
    check_param(c, mode, &p, param_of(&p, "se.fc1.weight"), true, "dW1");
    check_param(c, mode, &p, param_of(&p, "se.fc2.weight"), true, "dW2");
    if (bias) {
        check_param(c, mode, &p, param_of(&p, "se.fc1.bias"), true, "db1");
        check_param(c, mode, &p, param_of(&p, "se.fc2.bias"), true, "db2");
    }
    probe_destroy(&p);
}

/* ---- bottleneck ---- */

static int number(const ops_case *c, const char *key)
{
    return (int)strtol(ops_field(c, key), NULL, 10);
}

static sn_id build_block(sn_builder *b, const ops_case *c, sn_id x)
{
    static const char *const places[] = {"standard", "pre", "post", "identity", "3x3"};
    sn_bottleneck_config unit = {.w1 = number(c, "w1"),
                                 .w2 = number(c, "w2"),
                                 .out = number(c, "co"),
                                 .stride = number(c, "stride"),
                                 .groups = number(c, "groups"),
                                 .down_3x3 = strcmp(ops_field(c, "down"), "3x3") == 0,
                                 .projection_kernel = number(c, "projk")};
    sn_unit_se se = {.on = strcmp(ops_field(c, "place"), "off") != 0, .config = sn_se_default()};
    if (se.on) se.place = (sn_place)find_name(ops_field(c, "place"), places, 5);
    se.config.r = number(c, "r");
    se.config.squeeze = (sn_squeeze)find_name(ops_field(c, "squeeze"), squeezes, 3);
    return sn_zoo_bottleneck(b, NULL, x, &unit, &se);
}

/* Fills the parameters by the common rule; the pictures come after it, for they are a parameter here. */
static void check_block(ops_case *c, const run_mode *mode)
{
    sn_builder b;
    int n = number(c, "N");
    sn_graph *graph = new_graph(n);
    sn_id x = add_activation(graph, "x", (sn_shape){n, number(c, "H"), number(c, "W"), number(c, "ci")});
    sn_builder_start(&b, graph, SN_MODE_TRAIN);
    sn_id y = build_block(&b, c, x);
    must(b.status);
    probe p = open_probe(mode, graph, y);
    golden_fill(p.graph, p.params, file.seed);
    set_activation(&p, "x", "x");
    must(probe_run(&p));
    check_output(c, mode, &p);
    check_activation_gradient(c, mode, &p, "x", "dx");
    for (int i = 0; i < (int)p.graph->params_count; i++) {
        const sn_param *param = &p.graph->params[i];
        char key[64];
        if (strcmp(param->name, "x") == 0) continue;
        snprintf(key, sizeof key, "%s%s", param->learnable ? "d" : "run ", param->name);
        check_param(c, mode, &p, i, param->learnable, key);
    }
    probe_destroy(&p);
}

/* ---- cross entropy ---- */

static void check_cross_entropy(ops_case *c, const run_mode *mode)
{
    enum { ROWS = 4 };
    int classes;
    float smoothing;
    assert_int_equal(sscanf(c->text, "ce %d %f", &classes, &smoothing), 2);
    sn_graph *graph = new_graph(ROWS);
    sn_attrs source = {.u.source = {.shape = {ROWS, 1, 1, 1}, .dtype = SN_I32}},
             attrs = {.u.loss.smoothing = smoothing};
    sn_id logits = add_activation(graph, "logits", (sn_shape){ROWS, 1, 1, classes}), labels, loss;
    must(sn_graph_add(graph, SN_OP_input, NULL, 0, &source, "labels", &labels));
    must(sn_graph_add(graph, SN_OP_cross_entropy, (sn_id[]){logits, labels}, 2, &attrs, "loss", &loss));
    must(sn_graph_add_output(graph, "loss", loss));
    probe p;
    must(probe_plan(&p, graph, mode->precision, mode->reference_only));
    int32_t targets[ROWS];
    for (int i = 0; i < ROWS; i++) targets[i] = i % classes;
    must(sn_program_set_input(p.program, "labels", targets));
    for (int64_t i = 0; i < ROWS * classes; i++)
        probe_put(p.precision, sn_params_data(p.params, 0), i, 2 * random_value("logits", i));
    must(probe_run(&p));
    double value = probe_get(p.precision, sn_program_output(p.program, "loss", NULL), 0);
    ops_check(c, mode->name, "loss", &value, 1, mode->tolerance);
    double *gradient = new_tensor(ROWS * classes);
    for (int64_t i = 0; i < ROWS * classes; i++)
        gradient[i] = probe_get(p.precision, sn_params_data(p.gradients, 0), i);
    ops_check(c, mode->name, "dlogits", gradient, (size_t)(ROWS * classes), mode->tolerance);
    free(gradient);
    probe_destroy(&p);
}

/* ---- SGD: one weight from 1, velocity from 0, four gradients ---- */

static void check_sgd(ops_case *c, const run_mode *mode)
{
    static const double changes[4] = {0.5, -0.25, 0.125, 1.0};
    static const char *const forms[] = {"torch", "caffe", "nesterov"};
    static const sn_optimizer optimizers[] = {SN_SGD_TORCH, SN_SGD_CAFFE, SN_NESTEROV};
    char form[32];
    assert_int_equal(sscanf(c->text, "sgd %31[a-z]", form), 1); /* "caffe_lr_drop" is Caffe's form */
    sn_train_config config;
    sn_train_defaults(&config);
    config.optimizer = optimizers[find_name(form, forms, 3)];
    config.momentum = strtod(ops_field(c, "momentum"), NULL);
    sn_decay_span span = {.begin = 0, .end = 1, .decay = strtod(ops_field(c, "weight_decay"), NULL)};
    sn_update_plan plan = {.spans = &span, .count = 1};

    sn_graph *graph = new_graph(1);
    sn_params *w, *v, *g;
    add_activation(graph, "w", (sn_shape){1, 1, 1, 1});
    must(sn_params_create(graph, mode->precision, &w));
    must(sn_params_create(graph, mode->precision, &v));
    must(sn_params_create(graph, mode->precision, &g));
    probe_put(mode->precision, sn_params_data(w, 0), 0, 1);
    char rates[64];
    snprintf(rates, sizeof rates, "%s", ops_field(c, "lr"));
    const char *rate = rates;
    for (int i = 0; i < 4; i++) {
        double lr = strtod(rate, NULL);
        if (strchr(rate, ',')) rate = strchr(rate, ',') + 1;
        probe_put(mode->precision, sn_params_data(g, 0), 0, changes[i]);
        sn_sgd_step(&plan, &config, lr, 1, w, v, g);
        double state[2] = {sn_params_read(w, graph, 0, 0), sn_params_read(v, graph, 0, 0)};
        ops_check(c, mode->name, "step", state, 2, mode->tolerance);
    }
    sn_params_destroy(w);
    sn_params_destroy(v);
    sn_params_destroy(g);
    sn_graph_destroy(graph);
}

/* ---- Shake-Shake ---- */

static void check_shake(ops_case *c, const run_mode *mode)
{
    enum { IMAGES = 2 };
    static const sn_shape shape = {IMAGES, 2, 2, 3};
    double alpha[IMAGES], beta[IMAGES], coefficients[2 * IMAGES];
    sn_graph *graph = new_graph(IMAGES);
    sn_attrs source = {.u.source = {.shape = {IMAGES, 1, 1, 2}, .dtype = SN_REAL}}, attrs = {.u.mix.index = 0};
    sn_id first = add_activation(graph, "b1", shape), second = add_activation(graph, "b2", shape), shake, y;
    must(sn_graph_add(graph, SN_OP_input, NULL, 0, &source, "shake", &shake));
    must(sn_graph_add(graph, SN_OP_mix, (sn_id[]){first, second, shake}, 3, &attrs, "mix", &y));
    probe p = open_probe(mode, graph, y);
    for (int i = 0; i < IMAGES; i++) {
        alpha[i] = golden_uniform("alpha", file.seed, (uint64_t)i);
        beta[i] = golden_uniform("beta", file.seed, (uint64_t)i);
        probe_put(p.precision, coefficients, 2 * i, alpha[i]);
        probe_put(p.precision, coefficients, 2 * i + 1, beta[i]);
    }
    must(sn_program_set_input(p.program, "shake", coefficients));
    set_activation(&p, "b1", "b1");
    set_activation(&p, "b2", "b2");
    must(probe_run(&p));
    ops_check(c, mode->name, "alpha", alpha, IMAGES, mode->tolerance);
    ops_check(c, mode->name, "beta", beta, IMAGES, mode->tolerance);
    check_output(c, mode, &p);
    check_activation_gradient(c, mode, &p, "b1", "db1");
    check_activation_gradient(c, mode, &p, "b2", "db2");
    probe_destroy(&p);
}

/* ---- pooling ---- */

static void check_pool(ops_case *c, const run_mode *mode)
{
    static const char *const names[] = {"max_ceil",      "max_pad1",      "max_s1p1", "avg_ceil",
                                        "avg_s1p1_incl", "avg_s1p1_excl", "max_2x2"};
    static const sn_pool_attrs kinds[] = {
        {SN_POOL_MAX, 3, 2, 0, true, false},  {SN_POOL_MAX, 3, 2, 1, false, false},
        {SN_POOL_MAX, 3, 1, 1, false, false}, {SN_POOL_AVG, 3, 2, 0, true, true},
        {SN_POOL_AVG, 3, 1, 1, false, true},  {SN_POOL_AVG, 3, 1, 1, false, false},
        {SN_POOL_MAX, 2, 2, 0, false, false},
    };
    char kind[32];
    int h, w, out_h, out_w;
    sn_id y;
    assert_int_equal(sscanf(c->text, "pool %31s in=%dx%d out=%dx%d", kind, &h, &w, &out_h, &out_w), 5);
    sn_attrs attrs = {.u.pool = kinds[find_name(kind, names, 7)]};
    sn_graph *graph = new_graph(1);
    sn_id x = add_activation(graph, "p", (sn_shape){1, h, w, 1});
    must(sn_graph_add(graph, SN_OP_pool2d, (sn_id[]){x}, 1, &attrs, "pool", &y));
    probe p = open_probe(mode, graph, y);
    assert_int_equal(p.shape.h, out_h);
    assert_int_equal(p.shape.w, out_w);
    set_activation(&p, "p", "p");
    must(probe_run(&p));
    check_output(c, mode, &p);
    check_activation_gradient(c, mode, &p, "p", "dx");
    probe_destroy(&p);
}

/* ---- all cases of a kind ---- */

typedef struct kind {
    const char *word;
    size_t cases; /* in the file */
    void (*check)(ops_case *c, const run_mode *mode);
} kind;

static const kind kinds[] = {
    {"se", 30, check_se},  {"block", 20, check_block}, {"ce", 6, check_cross_entropy},
    {"sgd", 5, check_sgd}, {"shake", 1, check_shake},  {"pool", 14, check_pool},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static const kind *kind_of(const ops_case *c)
{
    for (int i = 0; i < KINDS; i++) {
        size_t length = strlen(kinds[i].word);
        if (strncmp(c->text, kinds[i].word, length) == 0 && (c->text[length] == ' ' || !c->text[length]))
            return &kinds[i];
    }
    fail_msg("case %s is of no known kind", c->text);
    return NULL;
}

static void check_kind(void **state)
{
    const kind *wanted = *state;
    size_t found = 0;
    for (size_t i = 0; i < file.count; i++) {
        ops_case *c = &file.cases[i];
        if (kind_of(c) != wanted) continue;
        found++;
        for (size_t m = 0; m < sizeof modes / sizeof modes[0]; m++) {
            wanted->check(c, &modes[m]);
            ops_finish(c, modes[m].name);
        }
    }
    assert_int_equal(found, wanted->cases);
}

static int read_file(void **state)
{
    char path[1200];
    (void)state;
    snprintf(path, sizeof path, "%s/ops.txt", golden_folder());
    ops_read(path, &file);
    return 0;
}

static int free_file(void **state)
{
    (void)state;
    ops_free(&file);
    return 0;
}

int main(void)
{
    struct CMUnitTest tests[KINDS];
    if (!golden_folder()) {
        printf("skipped: the shared golden vectors are not here\n");
        return 77;
    }
    for (int i = 0; i < KINDS; i++)
        tests[i] =
            (struct CMUnitTest){.name = kinds[i].word, .test_func = check_kind, .initial_state = (void *)&kinds[i]};
    return cmocka_run_group_tests(tests, read_file, free_file);
}
