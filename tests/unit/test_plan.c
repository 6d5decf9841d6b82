/* The planner's promise: two tensors that live at the same time never share memory, unless one took the other's place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "exec/plan.h"
#include "ops/op.h"

enum { NODES = 120 };

/* A random graph of sums, activations and squeezes over a few sizes; some nodes are outputs. */
static sn_graph *random_graph(uint64_t key)
{
    sn_graph *g = NULL;
    sn_id id;
    uint64_t at = 0;
    assert_int_equal(sn_graph_create(1, &g), SENET_OK);
    for (int i = 0; i < 3; i++) {
        sn_attrs source = {.u.source.shape = {1, 4 << i, 4, 16}};
        assert_int_equal(sn_graph_add(g, SN_OP_input, NULL, 0, &source, "in", &id), SENET_OK);
    }
    while (g->nodes_count < NODES) {
        sn_id a = (sn_id)sn_rng_below(key, at++, g->nodes_count), b = (sn_id)sn_rng_below(key, at++, g->nodes_count);
        sn_attrs relu = {.u.activation.kind = SN_RELU};
        uint64_t kind = sn_rng_below(key, at++, 10);
        if (kind == 0)
            assert_int_equal(sn_graph_add(g, SN_OP_squeeze_avg, &a, 1, NULL, "squeeze", &id), SENET_OK);
        else if (kind < 4 || !sn_shape_equal(g->nodes[a].shape, g->nodes[b].shape))
            assert_int_equal(sn_graph_add(g, SN_OP_activation, &a, 1, &relu, "act", &id), SENET_OK);
        else
            assert_int_equal(sn_graph_add(g, SN_OP_add, (sn_id[]){a, b}, 2, NULL, "add", &id), SENET_OK);
    }
    assert_int_equal(sn_graph_add_output(g, "a", NODES - 1), SENET_OK);
    assert_int_equal(sn_graph_add_output(g, "b", NODES / 2), SENET_OK);
    return g;
}

/* Plays the plan: writing a node's output must not touch a tensor that is still to be read. */
static void check(const sn_graph *g, const sn_plan *plan, const size_t *scratch)
{
    for (sn_id i = 0; i < (sn_id)g->nodes_count; i++) {
        if (plan->locations[i].kind != SN_AT_ARENA) continue;
        size_t from = plan->locations[i].offset, to = from + sn_node_bytes(&g->nodes[i], SN_FLOAT);
        assert_true(to <= plan->arena_bytes);
        for (sn_id live = 0; live < i; live++) {
            if (plan->locations[live].kind != SN_AT_ARENA) continue;
            bool needed_later = false, read_here = false;
            for (sn_id user = i; user < (sn_id)g->nodes_count; user++)
                for (int k = 0; k < g->nodes[user].inputs_count; k++)
                    if (g->nodes[user].inputs[k] == live) *(user == i ? &read_here : &needed_later) = true;
            for (size_t o = 0; o < g->outputs_count; o++) needed_later |= g->outputs[o].node == live;
            size_t a = plan->locations[live].offset, b = a + sn_node_bytes(&g->nodes[live], SN_FLOAT);
            bool overlap = a < to && from < b;
            if (needed_later) assert_false(overlap);
            if (read_here && !needed_later && overlap) assert_int_equal(a, from); /* in place, element for element */
            size_t s = plan->scratch_offsets[i];
            if (scratch[i] && (needed_later || read_here)) assert_false(a < s + scratch[i] && s < b);
        }
        size_t s = plan->scratch_offsets[i];
        if (scratch[i]) assert_false(from < s + scratch[i] && s < to);
    }
}

static void live_tensors_never_overlap(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint64_t key = sn_rng_key(seed, SN_RNG_TEST, 0, 0);
        sn_graph *g = random_graph(key);
        size_t scratch[NODES];
        for (int i = 0; i < NODES; i++) scratch[i] = i % 7 == 3 ? sn_rng_below(key, 1000000 + (uint64_t)i, 5000) : 0;
        sn_plan plan;
        assert_int_equal(sn_plan_create(g, SN_FLOAT, scratch, &plan), SENET_OK);
        check(g, &plan, scratch);
        sn_plan_free(&plan);
        sn_graph_destroy(g);
    }
}

/* A chain needs two tensors at a time, or one where the op works in place. */
static void a_chain_reuses_its_memory(void **state)
{
    (void)state;
    sn_graph *g = NULL;
    sn_attrs source = {.u.source.shape = {1, 8, 8, 16}}, relu = {.u.activation.kind = SN_RELU};
    size_t scratch[64] = {0}, bytes = 8 * 8 * 16 * 4;
    sn_id id;
    assert_int_equal(sn_graph_create(1, &g), SENET_OK);
    assert_int_equal(sn_graph_add(g, SN_OP_input, NULL, 0, &source, "in", &id), SENET_OK);
    for (int i = 0; i < 50; i++)
        assert_int_equal(sn_graph_add(g, SN_OP_activation, (sn_id[]){id}, 1, &relu, "act", &id), SENET_OK);
    assert_int_equal(sn_graph_add_output(g, "out", id), SENET_OK);
    sn_plan plan;
    assert_int_equal(sn_plan_create(g, SN_FLOAT, scratch, &plan), SENET_OK);
    assert_int_equal(plan.arena_bytes, bytes);
    sn_plan_free(&plan);
    sn_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_tensors_never_overlap),
        cmocka_unit_test(a_chain_reuses_its_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
