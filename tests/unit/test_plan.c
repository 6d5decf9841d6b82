/* The planner's promise: two tensors that live at the same time never share memory, unless one took the other's place; also
 * where a step writes two of them, and where parts of the graph run on a few images of the batch at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "exec/plan.h"
#include "ops/op.h"

enum { NODES = 120, BATCH = 5 };

/* A random graph of sums, activations and squeezes over a few sizes; some nodes are outputs. */
static sn_graph *random_graph(uint64_t key)
{
    sn_graph *g = NULL;
    sn_id id;
    uint64_t at = 0;
    assert_int_equal(sn_graph_create(BATCH, &g), SENET_OK);
    for (int i = 0; i < 3; i++) {
        sn_attrs source = {.u.source.shape = {BATCH, 4 << i, 4, 16}};
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

/* The value that every element of a node's output for an image has while the plan is played. */
static uint32_t tag_of(sn_id node, int64_t image) { return (uint32_t)(node * BATCH + image) + 1; }

typedef struct play {
    const sn_graph *graph;
    const sn_plan *plan;
    const sn_node_needs *needs;
    uint32_t *memory; /* the arena */
} play;

/* Where images from `first` on of a node's output lie, in elements of the arena; how many an image has. */
static size_t place_of(const play *p, sn_id node, int64_t first, size_t *elements)
{
    const sn_location *at = &p->plan->locations[node];
    *elements = sn_node_bytes(&p->graph->nodes[node], SN_FLOAT) / BATCH / 4;
    return (at->offset + (size_t)first * at->image_bytes) / 4;
}

static void write_output(const play *p, sn_id node, int64_t first, int64_t images)
{
    size_t elements, at = place_of(p, node, first, &elements);
    for (size_t i = 0; i < elements * (size_t)images; i++)
        p->memory[at + i] = tag_of(node, first + (int64_t)(i / elements));
    assert_true((at + elements * (size_t)images) * 4 <= p->plan->arena_bytes);
}

static void expect_output(const play *p, sn_id node, int64_t first, int64_t images)
{
    size_t elements, at = place_of(p, node, first, &elements);
    for (size_t i = 0; i < elements * (size_t)images; i++)
        if (p->memory[at + i] != tag_of(node, first + (int64_t)(i / elements))) fail_msg("node %d was overwritten", node);
}

/* A step: scratch and byproducts are written first, so that inputs below them would show; then the output, in place at most
 * element for element. */
static void play_step(const play *p, sn_id step, int64_t first, int64_t images)
{
    const sn_node *node = &p->graph->nodes[step];
    if (p->plan->locations[step].kind != SN_AT_ARENA || p->needs[step].written_by != step) return;
    memset((char *)p->memory + p->plan->scratch_offsets[step], 0, p->needs[step].scratch_bytes);
    for (sn_id i = step + 1; i < (sn_id)p->graph->nodes_count; i++)
        if (p->needs[i].written_by == step) write_output(p, i, first, images);
    for (int k = 0; k < node->inputs_count; k++) {
        if (p->plan->locations[node->inputs[k]].kind != SN_AT_ARENA) continue;
        size_t size, in_size, out = place_of(p, step, first, &size), in = place_of(p, node->inputs[k], first, &in_size);
        expect_output(p, node->inputs[k], first, images);
        if (in < out + size * (size_t)images && out < in + in_size * (size_t)images) assert_int_equal(in, out);
    }
    write_output(p, step, first, images);
    const uint32_t *scratch = p->memory + p->plan->scratch_offsets[step] / 4;
    for (size_t i = 0; i < p->needs[step].scratch_bytes / 4; i++) assert_int_equal(scratch[i], 0);
    for (sn_id i = step + 1; i < (sn_id)p->graph->nodes_count; i++)
        if (p->needs[i].written_by == step) expect_output(p, i, first, images);
}

/* Runs the graph on tags as a program runs it on numbers, and looks at every input before it is used. */
static void check(const sn_graph *g, const sn_plan *plan, const sn_node_needs *needs)
{
    play p = {.graph = g, .plan = plan, .needs = needs, .memory = calloc(plan->arena_bytes / 4 + 1, 4)};
    for (sn_id begin = 0, end; begin < (sn_id)g->nodes_count; begin = end) {
        for (end = begin; end < (sn_id)g->nodes_count && needs[end].group == needs[begin].group;) end++;
        for (int64_t first = 0, images; first < BATCH; first += images) {
            images = BATCH - first >= needs[begin].group ? needs[begin].group : 1;
            for (sn_id i = begin; i < end; i++) play_step(&p, i, first, images);
        }
    }
    for (size_t o = 0; o < g->outputs_count; o++) expect_output(&p, g->outputs[o].node, 0, BATCH);
    free(p.memory);
}

static void live_tensors_never_overlap(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint64_t key = sn_rng_key(seed, SN_RNG_TEST, 0, 0);
        sn_graph *g = random_graph(key);
        sn_node_needs needs[NODES];
        int64_t group = 1; /* of images: whole batches in every other plan, else rising along the graph */
        for (int i = 0; i < NODES; i++) {
            if (group < 4 && sn_rng_below(key, 2000000 + (uint64_t)i, 40) == 0) group *= 2;
            uint64_t scratch = i % 7 == 3 ? sn_rng_below(key, 1000000 + (uint64_t)i, 5000) : 0;
            sn_id source = g->nodes[i].inputs_count > 0 ? g->nodes[i].inputs[0] : SN_NONE;
            bool byproduct = g->nodes[i].op == SN_OP_squeeze_avg && g->nodes[source].op == SN_OP_add;
            needs[i] = (sn_node_needs){.scratch_bytes = byproduct ? 0 : scratch / 4 * 4, .written_by = byproduct ? source : i,
                                       .group = seed % 2 ? BATCH : i > 100 ? BATCH : group};
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
    for (sn_id i = 0; i < (sn_id)g->nodes_count; i++) needs[i] = (sn_node_needs){.written_by = i, .group = 1};
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
