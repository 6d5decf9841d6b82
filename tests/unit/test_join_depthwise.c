/* sn_graph_join_depthwise: the joined networks compute the same, without the maps between. */
#include "graph/join_depthwise.h"
#include "plain_run.h"
#include "zoo/zoo.h"

enum { SIDE = 64, BATCH = 2, MAPS = 3 * SIDE * SIDE * BATCH, LOGITS = 1000 * BATCH };

/* The network as it is before the pass, with the output of node `tap`, if it is not NULL. */
static sn_graph *network(const char *name, int side, const char *tap)
{
    sn_spec spec;
    sn_graph *plain = NULL, *folded = NULL, *moved = NULL;
    sn_build_options options = {.mode = SN_MODE_EVAL, .batch = BATCH, .height = side, .width = side, .no_fuse = true};
    assert_int_equal(sn_spec_parse(name, &spec), SENET_OK);
    assert_int_equal(sn_model_build(&spec, &options, &plain), SENET_OK);
    if (tap) assert_int_equal(sn_graph_add_output(plain, "tap", sn_graph_find_node(plain, tap)), SENET_OK);
    assert_int_equal(sn_graph_fold_batch_norm(plain, &folded), SENET_OK);
    assert_int_equal(sn_graph_join_moves(folded, SENET_FP32, &moved), SENET_OK);
    sn_graph_destroy(plain);
    sn_graph_destroy(folded);
    return moved;
}

static sn_graph *joined(const sn_graph *graph, sn_join_depthwise which)
{
    sn_graph *result = NULL;
    assert_int_equal(sn_graph_join_depthwise(graph, which, &result), SENET_OK);
    return result;
}

static int count(const sn_graph *g, sn_op_kind op)
{
    int found = 0;
    for (size_t i = 0; i < g->nodes_count; i++) found += g->nodes[i].op == op && g->nodes[i].shape.h > 1;
    return found;
}

static void run(const sn_graph *g, const double *images, double *logits) { plain_run(g, images, "logits", logits, LOGITS); }

/* The same up to the rounding of sums in another order: 1e-10 of the largest logit. */
static void joined_networks_compute_the_same(void **state)
{
    (void)state;
    static const char *const names[] = {"mobilenet", "se_mobilenet", "se_mobilenet:act=relu6,pad=tf_same"};
    static double images[MAPS], want[LOGITS], got[LOGITS];
    for (int i = 0; i < MAPS; i++) images[i] = 2 * sn_rng_uniform(5, (uint64_t)i) - 1;
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        sn_graph *plain = network(names[k], SIDE, NULL), *all = joined(plain, SN_JOIN_ALL);
        int pairs = count(all, SN_OP_depthwise_pointwise);
        assert_int_equal(pairs, 13);
        assert_int_equal(count(all, SN_OP_conv2d), count(plain, SN_OP_conv2d) - 2 * pairs);
        run(plain, images, want);
        run(all, images, got);
        double largest = 0;
        for (int i = 0; i < LOGITS; i++) largest = fmax(largest, fabs(want[i]));
        assert_true(largest > 0.1);
        for (int i = 0; i < LOGITS; i++)
            if (!(fabs(got[i] - want[i]) <= 1e-10 * largest))
                fail_msg("%s: logit %d is %.12g, not %.12g", names[k], i, got[i], want[i]);
        sn_graph_destroy(plain);
        sn_graph_destroy(all);
    }
}

/* At 224 pixels the first three depthwise layers have large maps. */
static void large_maps_alone(void **state)
{
    (void)state;
    sn_graph *plain = network("se_mobilenet", 224, NULL), *large = joined(plain, SN_JOIN_LARGE), *all = joined(plain, SN_JOIN_ALL);
    assert_int_equal(count(large, SN_OP_depthwise_pointwise), 3);
    assert_int_equal(count(all, SN_OP_depthwise_pointwise), 13);
    sn_graph_destroy(plain);
    sn_graph_destroy(large);
    sn_graph_destroy(all);
}

/* A map between that somebody else needs is written. */
static void maps_that_are_asked_for_stay(void **state)
{
    (void)state;
    sn_graph *plain = network("mobilenet", 224, "blocks.0.0.act1"), *all = joined(plain, SN_JOIN_ALL);
    assert_int_equal(count(all, SN_OP_depthwise_pointwise), 12);
    sn_graph_destroy(plain);
    sn_graph_destroy(all);
}

/* Grouped 1x1 convolutions stay as they are. */
static void others_stay(void **state)
{
    (void)state;
    sn_graph *plain = network("shufflenet_g3", 224, NULL), *all = joined(plain, SN_JOIN_ALL);
    assert_int_equal(count(all, SN_OP_depthwise_pointwise), 0);
    assert_int_equal(count(all, SN_OP_conv2d), count(plain, SN_OP_conv2d));
    sn_graph_destroy(plain);
    sn_graph_destroy(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joined_networks_compute_the_same),
        cmocka_unit_test(large_maps_alone),
        cmocka_unit_test(maps_that_are_asked_for_stay),
        cmocka_unit_test(others_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
