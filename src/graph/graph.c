/* graph.c - building a graph: nodes, parameters, outputs. See graph.h. */
#include "graph/graph.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "ops/op.h"

senet_status sn_graph_create(int64_t batch, sn_graph **graph)
{
    *graph = NULL;
    if (batch < 1) return sn_fail(SENET_USAGE, "a batch of %lld images: at least 1 is needed", (long long)batch);
    sn_graph *created = calloc(1, sizeof *created);
    if (!created) return sn_fail_memory(sizeof *created, "a graph");
    created->batch = batch;
    *graph = created;
    return SENET_OK;
}

void sn_graph_destroy(sn_graph *graph)
{
    if (!graph) return;
    sn_arena_free(&graph->arena);
    free(graph->nodes);
    free(graph->params);
    free(graph->slots);
    free(graph->outputs);
    free(graph);
}

/* No machine holds a tensor of 280 TB; below that, bytes and multiply-adds of a node fit into 63 bits. */
#define MOST_ELEMENTS (INT64_C(1) << 46)

senet_status sn_graph_add(sn_graph *graph, sn_op_kind op, const sn_id *inputs, int inputs_count, const sn_attrs *attrs,
                          const char *name, sn_id *id)
{
    const sn_op *rules = sn_op_of(op);
    sn_node node = {.op = op, .inputs_count = inputs_count};
    for (int i = 0; i < SN_MAX_INPUTS; i++) node.inputs[i] = i < inputs_count ? inputs[i] : SN_NONE;
    *id = SN_NONE; /* after the inputs are read: `id` may point at one of them */
    node.name = name ? sn_arena_strdup(&graph->arena, name) : "";
    if (!node.name) return sn_fail_memory(strlen(name), "a node's name");
    if (attrs) node.attrs = *attrs;
    if (inputs_count < rules->fewest_inputs || inputs_count > rules->most_inputs)
        return sn_fail(SENET_INTERNAL, "%s: %d inputs, %d to %d belong there", sn_node_title(&node), inputs_count,
                       rules->fewest_inputs, rules->most_inputs);
    for (int i = 0; i < inputs_count; i++) {
        sn_id input = node.inputs[i];
        if (input == SN_NONE && i >= rules->fewest_inputs) continue;
        if (input < 0 || (size_t)input >= graph->nodes_count)
            return sn_fail(SENET_INTERNAL, "%s: input %d is node %d of %zu", sn_node_title(&node), i, (int)input,
                           graph->nodes_count);
    }
    SN_RETURN_IF_FAILED(rules->infer(graph, &node));
    sn_shape s = node.shape;
    int64_t elements;
    if (s.n < 0 || s.h < 0 || s.w < 0 || s.c < 0 || !sn_multiply(s.n, s.h, &elements) ||
        !sn_multiply(elements, s.w, &elements) || !sn_multiply(elements, s.c, &elements) || elements > MOST_ELEMENTS)
        return sn_fail(SENET_USAGE, "%s: a tensor of %s is too large", sn_node_title(&node), sn_shape_text(s));
    if (!sn_grow(&graph->nodes, sizeof *graph->nodes, &graph->nodes_capacity, graph->nodes_count + 1) ||
        graph->nodes_count >= INT32_MAX)
        return sn_fail_memory((graph->nodes_count + 1) * sizeof *graph->nodes, "the graph's nodes");
    *id = (sn_id)graph->nodes_count;
    graph->nodes[graph->nodes_count++] = node;
    return SENET_OK;
}

/* ---- parameters, found by their names ---- */

/* The slot of the parameter of that name, or the empty one where it belongs; slots_count is a power of two. */
static int32_t *slot_of(const sn_graph *graph, const char *name)
{
    size_t at = (size_t)sn_fnv1a64_text(name);
    for (;; at++) {
        int32_t *slot = &graph->slots[at & (graph->slots_count - 1)];
        if (*slot < 0 || strcmp(graph->params[*slot].name, name) == 0) return slot;
    }
}

/* Makes room for one more parameter; at least half of the slots stay empty. */
static bool grow_slots(sn_graph *graph)
{
    if (2 * (graph->params_count + 1) <= graph->slots_count) return true;
    size_t count = graph->slots_count ? 2 * graph->slots_count : 64;
    int32_t *slots = malloc(count * sizeof *slots);
    if (!slots) return false;
    for (size_t i = 0; i < count; i++) slots[i] = -1;
    free(graph->slots);
    graph->slots = slots;
    graph->slots_count = count;
    for (size_t i = 0; i < graph->params_count; i++) *slot_of(graph, graph->params[i].name) = (int32_t)i;
    return true;
}

int sn_graph_find_param(const sn_graph *graph, const char *name)
{
    return graph->slots_count ? *slot_of(graph, name) : -1;
}

senet_status sn_graph_add_param(sn_graph *graph, const sn_param *param, sn_id *id)
{
    *id = SN_NONE;
    if (sn_graph_find_param(graph, param->name) >= 0)
        return sn_fail(SENET_INTERNAL, "parameter '%s' exists already", param->name);
    if (!sn_grow(&graph->params, sizeof *graph->params, &graph->params_capacity, graph->params_count + 1) || !grow_slots(graph))
        return sn_fail_memory((graph->params_count + 1) * sizeof *graph->params, "the graph's parameters");
    sn_param *added = &graph->params[graph->params_count];
    *added = *param;
    added->name = sn_arena_strdup(&graph->arena, param->name);
    added->gradient = SN_NONE;
    if (!added->name) return sn_fail_memory(strlen(param->name), "a parameter's name");
    graph->params_count++;
    sn_attrs attrs = {.u.param.index = (int32_t)graph->params_count - 1};
    senet_status status = sn_graph_add(graph, SN_OP_param, NULL, 0, &attrs, param->name, id);
    if (status != SENET_OK) {
        graph->params_count--;
        return status;
    }
    added->node = *id;
    *slot_of(graph, added->name) = (int32_t)graph->params_count - 1;
    return SENET_OK;
}

senet_status sn_graph_add_output(sn_graph *graph, const char *name, sn_id node)
{
    if (node < 0 || (size_t)node >= graph->nodes_count)
        return sn_fail(SENET_INTERNAL, "output '%s': no node %d", name, (int)node);
    if (sn_graph_find_output(graph, name) != SN_NONE) return sn_fail(SENET_USAGE, "output '%s' is named twice", name);
    if (!sn_grow(&graph->outputs, sizeof *graph->outputs, &graph->outputs_capacity, graph->outputs_count + 1))
        return sn_fail_memory((graph->outputs_count + 1) * sizeof *graph->outputs, "the graph's outputs");
    const char *copy = sn_arena_strdup(&graph->arena, name);
    if (!copy) return sn_fail_memory(strlen(name), "an output's name");
    graph->outputs[graph->outputs_count++] = (sn_output){copy, node};
    return SENET_OK;
}

sn_id sn_graph_find_output(const sn_graph *graph, const char *name)
{
    for (size_t i = 0; i < graph->outputs_count; i++)
        if (strcmp(graph->outputs[i].name, name) == 0) return graph->outputs[i].node;
    return SN_NONE;
}

sn_id sn_graph_find_node(const sn_graph *graph, const char *name)
{
    for (size_t i = graph->nodes_count; i-- > 0;)
        if (strcmp(graph->nodes[i].name, name) == 0) return (sn_id)i;
    return SN_NONE;
}
