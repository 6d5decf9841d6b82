/* rules.c - see rules.h. */
#include "ops/rules.h"

senet_status sn_rule_same_as_first(const sn_graph *graph, sn_node *node)
{
    const sn_node *first = sn_input_of(graph, node, 0);
    node->shape = first->shape;
    node->dtype = first->dtype;
    return SENET_OK;
}

senet_status sn_rule_same_as_second(const sn_graph *graph, sn_node *node)
{
    SN_RETURN_IF_FAILED(sn_rule_same_as_first(graph, node));
    return sn_rule_expect(graph, node, 1, node->shape);
}

senet_status sn_rule_expect(const sn_graph *graph, const sn_node *node, int index, sn_shape shape)
{
    const sn_node *input = sn_input_of(graph, node, index);
    if (sn_shape_equal(input->shape, shape)) return SENET_OK;
    return sn_fail(SENET_USAGE, "%s: input %d has shape %s, %s belongs there", sn_node_title(node), index,
                   sn_shape_text(input->shape), sn_shape_text(shape));
}

senet_status sn_rule_expect_dtype(const sn_graph *graph, const sn_node *node, int index, sn_dtype dtype)
{
    static const char *const names[] = {"real", "uint8", "int32", "uint64", "bf16", "int8"};
    const sn_node *input = sn_input_of(graph, node, index);
    if (input->dtype == dtype) return SENET_OK;
    return sn_fail(SENET_INTERNAL, "%s: input %d is %s, %s belongs there", sn_node_title(node), index,
                   names[input->dtype], names[dtype]);
}
