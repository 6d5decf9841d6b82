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

/* Whether the tensor of `live` is read at `step`, and whether it is read after it. */
static void find_readers(const sn_graph *g, const sn_node_needs *needs, sn_id live, sn_id step, bool *here, bool *later)
{
    *here = *later = false;
    for (sn_id user = 0; user < (sn_id)g->nodes_count; user++)
        for (int k = 0; k < g->nodes[user].inputs_count; k++)
            if (g->nodes[user].inputs[k] == live) {
                *here |= needs[user].written_by == step;
                *later |= needs[user].written_by > step;
            }
    for (size_t o = 0; o < g->outputs_count; o++) *later |= g->outputs[o].node == live;
}

/* Plays the plan: writing a node's output must not touch a tensor that is still to be read, or written in the same step. */
static void check(const sn_graph *g, const sn_plan *plan, const sn_node_needs *needs)
{
    for (sn_id i = 0; i < (sn_id)g->nodes_count; i++) {
        if (plan->locations[i].kind != SN_AT_ARENA) continue;
        size_t from = plan->locations[i].offset, to = from + sn_node_bytes(&g->nodes[i], SN_FLOAT);
        sn_id step = needs[i].written_by;
        bool byproduct = step != i;
        size_t scratch = plan->scratch_offsets[step], scratch_end = scratch + needs[step].scratch_bytes;
        assert_true(to <= plan->arena_bytes);
        if (scratch_end > scratch) assert_false(from < scratch_end && scratch < to);
        for (sn_id live = 0; live < (sn_id)g->nodes_count; live++) {
            if (plan->locations[live].kind != SN_AT_ARENA || live == i || needs[live].written_by > step) continue;
            bool here, later;
            find_readers(g, needs, live, step, &here, &later);
            size_t a = plan->locations[live].offset, b = a + sn_node_bytes(&g->nodes[live], SN_FLOAT);
            bool overlap = a < to && from < b;
            if (later || (needs[live].written_by == step && byproduct) || (here && byproduct)) assert_false(overlap);
            if (here && !later && !byproduct && overlap) assert_int_equal(a, from); /* in place, element for element */
            if (scratch_end > scratch && (later || here)) assert_false(a < scratch_end && scratch < b);
        }
    }
}

static void live_tensors_never_overlap(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint64_t key = sn_rng_key(seed, SN_RNG_TEST, 0, 0);
        sn_graph *g = random_graph(key);
        sn_node_needs needs[NODES];
        for (int i = 0; i < NODES; i++) {
            uint64_t scratch = i % 7 == 3 ? sn_rng_below(key, 1000000 + (uint64_t)i, 5000) : 0;
            sn_id source = g->nodes[i].inputs_count > 0 ? g->nodes[i].inputs[0] : SN_NONE;
            bool byproduct = g->nodes[i].op == SN_OP_squeeze_avg && g->nodes[source].op == SN_OP_add;
            needs[i] = (sn_node_needs){.scratch_bytes = byproduct ? 0 : scratch, .written_by = byproduct ? source : i};
        }
        sn_plan plan;
        assert_int_equal(sn_plan_create(g, SN_FLOAT, needs, &plan), SENET_OK);
        check(g, &plan, needs);
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
    sn_node_needs needs[64] = {0};
    size_t bytes = 8 * 8 * 16 * 4;
    sn_id id;
    assert_int_equal(sn_graph_create(1, &g), SENET_OK);
    assert_int_equal(sn_graph_add(g, SN_OP_input, NULL, 0, &source, "in", &id), SENET_OK);
    for (int i = 0; i < 50; i++)
        assert_int_equal(sn_graph_add(g, SN_OP_activation, (sn_id[]){id}, 1, &relu, "act", &id), SENET_OK);
    for (sn_id i = 0; i < (sn_id)g->nodes_count; i++) needs[i].written_by = i;
    assert_int_equal(sn_graph_add_output(g, "out", id), SENET_OK);
    sn_plan plan;
    assert_int_equal(sn_plan_create(g, SN_FLOAT, needs, &plan), SENET_OK);
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
