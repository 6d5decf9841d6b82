/* test_trainee.h - any network of the zoo, small, with a batch of random pictures: what tests of every network share.
 */
#ifndef SN_TEST_TRAINEE_H
#define SN_TEST_TRAINEE_H

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

enum { BATCH = 2, CLASSES = 5, THREADS = 2 };

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

static inline void expect_ok(const char *model, senet_status status)
{
    if (status != SENET_OK) fail_msg("%s: %s", model, senet_last_error());
}

/* The smallest sides that leave the last layers more than one cell; others keep their own. */
static inline int64_t side_of(const sn_spec *spec)
{
    static const int small[][2] = {{32, 16}, {224, 64}, {299, 111}};
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        if (spec->native_size == small[i][0]) return small[i][1];
    return spec->native_size;
}

/* Random bytes, the whole picture valid, another label for each. */
static inline sn_batch make_batch(uint8_t *images, int64_t side)
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

/* The parameters, and a network with `how`: its precision, recomputation and takers of gradients. */
static inline void start(const char *model, const sn_network_options *how, trainee *t)
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
    sn_network_options options = *how;
    options.spec = &t->spec;
    options.build = build;
    options.threads = THREADS;
    options.params = t->params;
    options.gradients = t->gradients;
    expect_ok(model, sn_network_create(&options, &t->network));
    sn_train_defaults(&t->config);
    t->config.momentum = t->config.weight_decay = 0;
    expect_ok(model, sn_update_plan_create(sn_network_graph(t->network), t->params, &t->config, &t->plan));
}

static inline void stop(trainee *t)
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
static inline double run(const char *model, trainee *t)
{
    const float *logits;
    double loss;
    expect_ok(model, sn_network_run(t->network, &t->batch, &logits, &loss));
    if (!isfinite(loss)) fail_msg("%s: the loss is %g", model, loss);
    for (int i = 0; i < BATCH * CLASSES; i++)
        if (!isfinite(logits[i])) fail_msg("%s: logit %d is %g", model, i, (double)logits[i]);
    return loss;
}

#endif
