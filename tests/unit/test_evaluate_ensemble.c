/* test_evaluate_ensemble.c - an evaluation by several views and networks against the same done picture by picture. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test_failures.h"
#include "train/ensemble.h"
#include "train/evaluate.h"
#include "train/protocol.h"
#include "train/scores.h"

enum { PICTURES = 11, CLASSES = 4, SIDE = 20 };

/* A network with random weights, built for `size`, that sees the views of a protocol at the scales. */
typedef struct member {
    sn_spec spec;
    sn_graph *graph;
    sn_params *params;
    sn_view *views;
    sn_eval_stream stream;
} member;

static void make_member(member *m, const char *model, uint64_t seed, int size, const char *protocol_name,
                        const char *scales)
{
    sn_build_options build = {.mode = SN_MODE_EVAL, .batch = 1, .no_fuse = true};
    sn_protocol protocol;
    assert_works(sn_spec_parse(model, &m->spec));
    assert_works(sn_model_build(&m->spec, &build, &m->graph));
    assert_works(sn_params_create(m->graph, SN_FLOAT, &m->params));
    sn_params_init(m->graph, m->params, SN_INIT_HE, seed);
    m->stream = (sn_eval_stream){.spec = &m->spec, .params = m->params, .preprocess = sn_preprocess_default(224)};
    m->stream.preprocess.height = m->stream.preprocess.width = size;
    m->stream.preprocess.bgr = seed == 2; /* one of them takes BGR */
    assert_works(sn_protocol_find(protocol_name, &protocol));
    assert_works(sn_protocol_parse_scales(scales, &protocol));
    assert_works(sn_protocol_views(&protocol, &m->stream.preprocess, &m->views, &m->stream.views_count));
    m->stream.views = m->views;
}

static void free_member(member *m)
{
    free(m->views);
    sn_params_destroy(m->params);
    sn_graph_destroy(m->graph);
}

static sn_dataset *open_set(void)
{
    sn_dataset *set;
    assert_works(sn_dataset_open("synthetic:classes=4,train=8,val=11,size=20", SN_SPLIT_VAL, &set));
    return set;
}

/* ---- the same, picture by picture ---- */

/* sums += softmax of the network's answer to each of the stream's views of the picture, one at a time. */
static void add_by_hand(const sn_eval_stream *stream, const sn_dataset *set, int64_t index, double *sums)
{
    const sn_preprocess *how = &stream->preprocess;
    uint8_t *pixels = malloc((size_t)how->height * (size_t)how->width * 3);
    sn_build_options build = sn_build_options_for(set, how, SN_MODE_EVAL, 1);
    build.height = how->height;
    build.width = how->width;
    sn_network_options options = {
        .spec = stream->spec, .build = build, .bgr = how->bgr, .threads = 1, .params = stream->params};
    sn_network *network;
    sn_image image;
    const int32_t rects[8] = {0, 0, how->height, how->width, 0, 0, 0, 0}; /* nothing padded, nothing cut out */
    assert_works(sn_dataset_picture(set, index, false, &image, NULL));
    assert_works(sn_network_create(&options, &network));
    for (size_t v = 0; v < stream->views_count; v++) {
        const float *logits;
        sn_batch batch = {.count = 1, .views = 1, .images = pixels, .rects = rects};
        assert_works(sn_view_apply(&stream->views[v], how, &image, pixels));
        assert_works(sn_network_run(network, &batch, &logits, NULL));
        sn_scores_add(logits, CLASSES, sums);
    }
    sn_network_destroy(network);
    sn_image_free(&image);
    free(pixels);
}

/* ---- what the evaluation hands over ---- */

typedef struct collected {
    int64_t count;
    int64_t labels[PICTURES], ranks[PICTURES];
    double scores[PICTURES][CLASSES];
} collected;

static senet_status collect(void *context, const sn_eval_picture *picture)
{
    collected *c = context;
    assert_int_equal(picture->index, c->count); /* in order */
    assert_int_equal(picture->classes, CLASSES);
    c->labels[c->count] = picture->label;
    c->ranks[c->count] = picture->rank;
    memcpy(c->scores[c->count], picture->scores, sizeof c->scores[0]);
    c->count++;
    return SENET_OK;
}

static sn_eval_result evaluate(const sn_eval_stream *streams, size_t count, const sn_dataset *set, int64_t batch,
                               int threads, int workers, collected *c)
{
    sn_ensemble_options options = {
        .batch = batch, .threads = threads, .workers = workers, .picture = collect, .context = c};
    sn_eval_result result;
    memset(c, 0, sizeof *c);
    assert_works(sn_evaluate_ensemble(streams, count, set, &options, &result));
    assert_int_equal(c->count, PICTURES);
    assert_int_equal(result.images, PICTURES);
    return result;
}

/* Two networks of different inputs, ten crops at two scales and twelve of a squared picture: 20 + 12 views. */
static void an_ensemble_is_the_mean_over_all_views(void **state)
{
    (void)state;
    member members[2];
    collected c;
    make_member(&members[0], "se_cifar_resnet8:classes=4", 1, 16, "ten-crop", "18,22");
    make_member(&members[1], "cifar_resnet8:classes=4", 2, 12, "twelve-crop", "15");
    sn_eval_stream streams[2] = {members[0].stream, members[1].stream};
    sn_dataset *set = open_set();
    sn_eval_result result = evaluate(streams, 2, set, 50, 2, 2, &c);
    double loss = 0;
    int64_t wrong = 0;
    for (int64_t i = 0; i < PICTURES; i++) {
        double sums[CLASSES] = {0};
        for (int s = 0; s < 2; s++) add_by_hand(&streams[s], set, i, sums);
        sn_scores_finish(sums, CLASSES, 32);
        /* float32 convolutions in another order: 1e-5 of logits of a few units */
        for (int k = 0; k < CLASSES; k++) assert_true(fabs(sums[k] - c.scores[i][k]) < 1e-4);
        assert_int_equal(c.labels[i], sn_dataset_label(set, i));
        loss -= c.scores[i][c.labels[i]];
        wrong += c.ranks[i] > 0;
    }
    assert_true(fabs(loss / PICTURES - result.loss) < 1e-12);
    assert_int_equal(wrong, result.top1_errors);
    assert_int_equal(result.top5_errors, 0); /* four classes */
    sn_dataset_close(set);
    for (int i = 0; i < 2; i++) free_member(&members[i]);
}

/* Fewer inputs at once than a picture has views, one picture, all of them; any number of threads. */
static void batches_and_threads_change_nothing(void **state)
{
    (void)state;
    static const struct {
        int64_t batch;
        int threads, workers;
    } ways[] = {{1, 1, 0}, {3, 2, 1}, {10, 1, 2}, {25, 2, 3}, {1000, 2, 0}};
    member m;
    collected first, c;
    make_member(&m, "se_cifar_resnet8:classes=4", 1, 16, "ten-crop", "18");
    sn_dataset *set = open_set();
    evaluate(&m.stream, 1, set, 10, 1, 0, &first);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        evaluate(&m.stream, 1, set, ways[i].batch, ways[i].threads, ways[i].workers, &c);
        /* A kernel may be another one for another batch: float32 rounding.  For the same batch: the same bits. */
        double tolerance = ways[i].batch == 10 ? 0 : 1e-4;
        for (int64_t p = 0; p < PICTURES; p++)
            for (int k = 0; k < CLASSES; k++) assert_true(fabs(c.scores[p][k] - first.scores[p][k]) <= tolerance);
    }
    sn_dataset_close(set);
    free_member(&m);
}

/* Networks that see the same inputs share a loader: the answer must be each one's own all the same. */
static void networks_with_the_same_inputs_share_them(void **state)
{
    (void)state;
    member members[2];
    collected alone[2], both;
    make_member(&members[0], "se_cifar_resnet8:classes=4", 1, 16, "single", "18");
    make_member(&members[1], "cifar_resnet8:classes=4", 2, 16, "single", "18");
    sn_eval_stream streams[2] = {members[0].stream, members[1].stream};
    sn_dataset *set = open_set();
    for (int i = 0; i < 2; i++) evaluate(&streams[i], 1, set, 4, 1, 1, &alone[i]);
    evaluate(streams, 2, set, 4, 1, 1, &both);
    for (int64_t p = 0; p < PICTURES; p++)
        for (int k = 0; k < CLASSES; k++) {
            double mean = (exp(alone[0].scores[p][k]) + exp(alone[1].scores[p][k])) / 2;
            assert_true(fabs(exp(both.scores[p][k]) - mean) < 1e-12);
        }
    sn_dataset_close(set);
    for (int i = 0; i < 2; i++) free_member(&members[i]);
}

static senet_status refuse_third(void *context, const sn_eval_picture *picture)
{
    (void)context;
    return picture->index == 2 ? sn_fail(SENET_CANNOT_WRITE, "the disk is full") : SENET_OK;
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    member members[3];
    sn_eval_result result;
    sn_ensemble_options options = {.batch = 4, .threads = 1};
    make_member(&members[0], "cifar_resnet8:classes=4", 1, 16, "single", "18");
    make_member(&members[1], "cifar_resnet8:classes=5", 2, 16, "single", "18");
    make_member(&members[2], "cifar_resnet8:classes=3", 2, 16, "single", "18");
    sn_eval_stream streams[2] = {members[0].stream, members[1].stream};
    sn_dataset *set = open_set();
    assert_fails(sn_evaluate_ensemble(streams, 2, set, &options, &result), SENET_USAGE, "has 4 classes", "has 5");
    assert_fails(sn_evaluate_ensemble(&members[2].stream, 1, set, &options, &result), SENET_USAGE, "has 4 classes",
                 "only 3");
    options.picture = refuse_third;
    assert_fails(sn_evaluate_ensemble(streams, 1, set, &options, &result), SENET_CANNOT_WRITE, "the disk is full");
    options.batch = 0;
    assert_fails(sn_evaluate_ensemble(streams, 1, set, &options, &result), SENET_USAGE, "batch size is 0");
    sn_dataset_close(set);
    for (int i = 0; i < 3; i++) free_member(&members[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ensemble_is_the_mean_over_all_views),
        cmocka_unit_test(batches_and_threads_change_nothing),
        cmocka_unit_test(networks_with_the_same_inputs_share_them),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
