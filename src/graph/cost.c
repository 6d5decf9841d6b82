/* cost.c - what a graph costs, by the paper's convention: multiply-accumulates of convolutions and linear layers, plus,
 * counted apart, one operation per element that a gate multiplies (ARCHITECTURES: "MACs + scale"). */
#include "ops/op.h"

sn_cost sn_node_cost(const sn_graph *graph, const sn_node *node)
{
    const sn_op *op = sn_op_of(node->op);
    return op->cost ? op->cost(graph, node) : (sn_cost){0, 0};
}

/* a + b, or the largest number there is: a sum that nobody can pay need not be exact. */
static int64_t add_saturated(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

sn_cost sn_graph_cost(const sn_graph *graph)
{
    sn_cost sum = {0, 0};
    for (size_t i = 0; i < graph->nodes_count; i++) {
        sn_cost cost = sn_node_cost(graph, &graph->nodes[i]);
        sum.macs = add_saturated(sum.macs, cost.macs);
        sum.scale_ops = add_saturated(sum.scale_ops, cost.scale_ops);
    }
    return sum;
}

void sn_graph_count_params(const sn_graph *graph, int64_t *learnable, int64_t *statistics)
{
    *learnable = *statistics = 0;
    for (size_t i = 0; i < graph->params_count; i++)
        *(graph->params[i].learnable ? learnable : statistics) += sn_shape_elements(graph->params[i].shape);
}
