/* test_every_network.c - every network that `senet models` lists trains: a few steps of gradient descent on one batch
 * of random pictures make its loss finite and lower.  A new family is tested here without further ado.
 *
 * Sizes are small, so that all of them take seconds; whether the gradients are right to the last digit is for
 * tests/golden and tests/gradient. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "train/network.h"
#include "train/optimizer.h"

enum { BATCH = 2, CLASSES = 5, STEPS = 3, THREADS = 2, MODELS_MAX = 256 };

/* A fraction of the loss that one step along the gradient removes if the loss is as steep all the way.  Small enough
 * for the gradient to hold that far, large enough for STEPS of them to rise above the rounding of a float. */
static const double FRACTION = 0.05;

typedef struct trainee {
    sn_spec spec;
    sn_train_config config;
    sn_graph *layout;
    sn_params *params, *gradients, *velocity;
    sn_network *network;
    sn_update_plan plan;
    uint8_t *images;
    sn_batch batch;
} trainee;

static void expect_ok(const char *model, senet_status status)
{
    if (status != SENET_OK) fail_msg("%s: %s", model, senet_last_error());
}

/* The smallest sides that leave the last layers more than one cell; others keep their own. */
static int64_t side_of(const sn_spec *spec)
{
    static const int small[][2] = {{32, 16}, {224, 64}, {299, 111}};
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        if (spec->native_size == small[i][0]) return small[i][1];
    return spec->native_size;
}

/* Random bytes, the whole picture valid, another label for each. */
static sn_batch make_batch(uint8_t *images, int64_t side)
{
    static int32_t rects[BATCH][8], labels[BATCH];
    static int64_t indices[BATCH];
    static uint64_t keys[BATCH];
    for (int64_t i = 0; i < BATCH * side * side * 3; i++) images[i] = (uint8_t)sn_rng_u64(1, (uint64_t)i);
    for (int n = 0; n < BATCH; n++) {
        rects[n][2] = rects[n][3] = (int32_t)side;
        labels[n] = n % CLASSES;
        indices[n] = n;
        keys[n] = sn_rng_u64(2, (uint64_t)n);
    }
    return (sn_batch){
        .count = BATCH, .images = images, .rects = rects[0], .labels = labels, .indices = indices, .keys = keys};
}

static void start(const char *model, trainee *t)
{
    *t = (trainee){0};
    expect_ok(model, sn_spec_parse(model, &t->spec));
    t->spec.classes = CLASSES;
    int64_t side = side_of(&t->spec);
    t->images = sn_alloc_aligned((size_t)(BATCH * side * side * 3));
    assert_non_null(t->images);
    t->batch = make_batch(t->images, side);
    sn_build_options build = {
        .mode = SN_MODE_TRAIN, .batch = BATCH, .height = side, .width = side, .input = SN_INPUT_U8, .loss = true};
    for (int c = 0; c < 3; c++) {
        build.mean[c] = 0.5f;
        build.std[c] = 0.25f;
    }
    expect_ok(model, sn_model_build(&t->spec, &build, &t->layout));
    expect_ok(model, sn_params_create(t->layout, SN_FLOAT, &t->params));
    expect_ok(model, sn_params_create(t->layout, SN_FLOAT, &t->gradients));
    expect_ok(model, sn_params_create(t->layout, SN_FLOAT, &t->velocity));
    sn_params_init(t->layout, t->params, SN_INIT_HE, 1);
    sn_network_options options = {
        .spec = &t->spec, .build = build, .threads = THREADS, .params = t->params, .gradients = t->gradients};
    expect_ok(model, sn_network_create(&options, &t->network));
    sn_train_defaults(&t->config);
    t->config.momentum = t->config.weight_decay = 0;
    expect_ok(model, sn_update_plan_create(sn_network_graph(t->network), t->params, &t->config, &t->plan));
}

static void stop(trainee *t)
{
    sn_update_plan_free(&t->plan);
    sn_network_destroy(t->network);
    sn_params_destroy(t->velocity);
    sn_params_destroy(t->gradients);
    sn_params_destroy(t->params);
    sn_graph_destroy(t->layout);
    sn_free_aligned(t->images);
}

/* The loss, and the gradients behind it. */
static double run(const char *model, trainee *t)
{
    const float *logits;
    double loss;
    expect_ok(model, sn_network_run(t->network, &t->batch, &logits, &loss));
    if (!isfinite(loss)) fail_msg("%s: the loss is %g", model, loss);
    for (int i = 0; i < BATCH * CLASSES; i++)
        if (!isfinite(logits[i])) fail_msg("%s: logit %d is %g", model, i, (double)logits[i]);
    return loss;
}

static double squared_norm(const sn_params *gradients)
{
    size_t learnable;
    const float *g = sn_params_block(gradients, &learnable, NULL);
    double sum = 0;
    for (size_t i = 0; i < learnable; i++) sum += (double)g[i] * (double)g[i];
    return sum;
}

/* An SE block of 16 channels has one hidden unit, and where its ReLU is off only the last bias has a gradient. */
static bool may_be_dead(const sn_param *param)
{
    return param->in_se && !strstr(param->name, "fc2.bias");
}

/* Every learnable tensor has a gradient that is finite and not all zero. */
static void check_gradients(const char *model, const trainee *t)
{
    const sn_graph *graph = sn_network_graph(t->network);
    for (size_t i = 0; i < graph->params_count; i++) {
        const sn_param *param = &graph->params[i];
        if (!param->learnable) continue;
        if (param->gradient == SN_NONE) fail_msg("%s: %s has no gradient", model, param->name);
        const float *g = sn_params_data(t->gradients, (int)i);
        double sum = 0;
        for (int64_t k = 0; k < sn_shape_elements(param->shape); k++) sum += fabs((double)g[k]);
        if (!isfinite(sum)) fail_msg("%s: the gradient of %s is not finite", model, param->name);
        if (sum == 0 && !may_be_dead(param)) fail_msg("%s: the gradient of %s is zero", model, param->name);
    }
}

static void test_trains(void **state)
{
    const char *model = *state;
    trainee t;
    start(model, &t);
    double before = run(model, &t);
    check_gradients(model, &t);
    for (int step = 0; step < STEPS; step++) {
        double loss = step ? run(model, &t) : before, lr = FRACTION * loss / squared_norm(t.gradients);
        if (!isfinite(lr)) fail_msg("%s: step %d: no gradient", model, step);
        sn_sgd_step(&t.plan, &t.config, lr, THREADS, t.params, t.velocity, t.gradients);
        sn_params_changed(t.params);
    }
    double after = run(model, &t);
    if (!(after < before)) fail_msg("%s: the loss went from %g to %g", model, before, after);
    stop(&t);
}

/* An argument chooses networks by a pattern: "*vgg*". */
int main(int arguments_count, char **arguments)
{
    static struct CMUnitTest tests[MODELS_MAX];
    const char *name, *summary;
    size_t count = 0;
    for (; count < MODELS_MAX && sn_zoo_list(count, &name, &summary); count++)
        tests[count] =
            (struct CMUnitTest){.name = name, .test_func = test_trains, .initial_state = (void *)(uintptr_t)name};
    if (arguments_count > 1) cmocka_set_test_filter(arguments[1]);
    return _cmocka_run_group_tests("every network", tests, count, NULL, NULL);
}
