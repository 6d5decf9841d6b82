/* sn_graph_fold_batch_norm and sn_graph_join_moves: the joined networks compute the same, without the passes over memory that were to vanish. */
#include "plain_run.h"
#include "zoo/zoo.h"

enum { SIDE = 64, BATCH = 2, MAPS = 3 * SIDE * SIDE * BATCH };

static sn_graph *network(const char *name)
{
    sn_spec spec;
    sn_graph *g = NULL;
    sn_build_options options = {.mode = SN_MODE_EVAL, .batch = BATCH, .height = SIDE, .width = SIDE, .no_fuse = true};
    assert_int_equal(sn_spec_parse(name, &spec), SENET_OK);
    assert_int_equal(sn_model_build(&spec, &options, &g), SENET_OK);
    return g;
}

static sn_graph *folded(const sn_graph *plain)
{
    sn_graph *fused = NULL, *g = NULL, *joined = NULL;
    assert_int_equal(sn_graph_fuse(plain, &fused), SENET_OK);
    assert_int_equal(sn_graph_fold_batch_norm(fused, &g), SENET_OK);
    assert_int_equal(sn_graph_join_moves(g, SENET_FP32, &joined), SENET_OK);
    sn_graph_destroy(fused);
    sn_graph_destroy(g);
    return joined;
}

static void run(const sn_graph *g, const double *images, double *logits, int64_t count) { plain_run(g, images, "logits", logits, count); }

/* Nodes of an op that run on maps, not once on parameters. */
static int count_maps(const sn_graph *g, sn_op_kind op)
{
    int count = 0;
    for (size_t i = 0; i < g->nodes_count; i++)
        if (g->nodes[i].op == op && g->nodes[i].shape.n == BATCH && g->nodes[i].shape.h > 1) count++;
    return count;
}

/* The same up to the rounding of sums in another order: 1e-10 of the largest logit. */
static void check_network(const char *name, sn_op_kind op, int left)
{
    enum { LOGITS = 1000 * BATCH };
    static double images[MAPS], want[LOGITS], got[LOGITS];
    for (int i = 0; i < MAPS; i++) images[i] = 2 * sn_rng_uniform(5, (uint64_t)i) - 1;
    sn_graph *plain = network(name), *joined = folded(plain);
    assert_true(count_maps(plain, op) > left);
    assert_int_equal(count_maps(joined, op), left);
    run(plain, images, want, LOGITS);
    run(joined, images, got, LOGITS);
    double largest = 0;
    for (int i = 0; i < LOGITS; i++) largest = fmax(largest, fabs(want[i]));
    assert_true(largest > 0.1);
    for (int i = 0; i < LOGITS; i++)
        if (!(fabs(got[i] - want[i]) <= 1e-10 * largest))
            fail_msg("%s: logit %d is %.12g, not %.12g", name, i, got[i], want[i]);
    sn_graph_destroy(plain);
    sn_graph_destroy(joined);
}

static void gates_join_depthwise_convolutions(void **state)
{
    (void)state;
    check_network("se_mobilenet", SN_OP_scale_add, 1); /* the last is followed by the pool */
}

static void shuffles_join_convolutions(void **state)
{
    (void)state;
    check_network("shufflenet_g3", SN_OP_channel_shuffle, 0);
}

/* Behind a concatenation of pools of what is never negative and of what can apply a ReLU itself. */
static void relus_join_the_parts_of_concatenations(void **state)
{
    (void)state;
    check_network("shufflenet_g3", SN_OP_activation, 0);
    check_network("se_shufflenet_g3", SN_OP_activation, 0);
}

/* A part that somebody else needs without its ReLU. */
static void parts_that_are_asked_for_stay(void **state)
{
    (void)state;
    sn_graph *plain = network("se_shufflenet_g3");
    sn_id part = sn_graph_find_node(plain, "stage3.0.se");
    assert_int_equal(plain->nodes[part].op, SN_OP_scale_add);
    assert_int_equal(sn_graph_add_output(plain, "tap", part), SENET_OK);
    sn_graph *joined = folded(plain);
    assert_int_equal(count_maps(joined, SN_OP_activation), 1);
    assert_int_equal(joined->nodes[sn_graph_find_output(joined, "tap")].attrs.u.activation.kind, SN_IDENTITY);
    sn_graph_destroy(plain);
    sn_graph_destroy(joined);
}

static void scales_join_the_convolution_of_a_bottleneck(void **state)
{
    (void)state;
    check_network("se_resnet50", SN_OP_scale_add, 0);
    check_network("se_resnet50:bias=0", SN_OP_scale_add, 0);
}

/* A gate that is asked for is the joined network's own; a map that is asked for in front of its scale keeps the block as it is. */
static void gates_may_be_asked_for_and_scaled_maps_stay(void **state)
{
    (void)state;
    static double images[MAPS], want[64 * BATCH];
    for (int i = 0; i < MAPS; i++) images[i] = 2 * sn_rng_uniform(5, (uint64_t)i) - 1;
    for (int tap = 0; tap < 2; tap++) {
        sn_graph *plain = network("se_resnet50");
        const char *name = tap ? "layer1.0.bn3" : "layer1.0.se.gate";
        sn_id node = sn_graph_find_node(plain, name);
        assert_true(node != SN_NONE);
        assert_int_equal(sn_graph_add_output(plain, "tap", node), SENET_OK);
        sn_graph *joined = folded(plain);
        assert_int_equal(count_maps(joined, SN_OP_scale_add), tap);
        for (int k = 0; k < 2; k++) {
            double got[64 * BATCH];
            plain_run(k ? joined : plain, images, "tap", k ? got : want, 64 * BATCH);
            for (int i = 0; k && i < 64 * BATCH; i++) assert_true(fabs(got[i] - want[i]) <= 1e-10 * (1 + fabs(want[i])));
        }
        sn_graph_destroy(plain);
        sn_graph_destroy(joined);
    }
}

/* A scaled map that somebody else needs too is written. */
static void what_is_asked_for_stays(void **state)
{
    (void)state;
    sn_graph *plain = network("se_mobilenet");
    sn_id scaled = sn_graph_find_node(plain, "blocks.1.0");
    assert_int_equal(plain->nodes[scaled].op, SN_OP_scale_add);
    assert_int_equal(sn_graph_add_output(plain, "tap", scaled), SENET_OK);
    sn_graph *joined = folded(plain);
    assert_int_equal(count_maps(joined, SN_OP_scale_add), 2);
    sn_graph_destroy(plain);
    sn_graph_destroy(joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gates_join_depthwise_convolutions),
        cmocka_unit_test(shuffles_join_convolutions),
        cmocka_unit_test(what_is_asked_for_stays),
        cmocka_unit_test(scales_join_the_convolution_of_a_bottleneck),
        cmocka_unit_test(gates_may_be_asked_for_and_scaled_maps_stay),
        cmocka_unit_test(relus_join_the_parts_of_concatenations),
        cmocka_unit_test(parts_that_are_asked_for_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
