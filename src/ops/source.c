/* source.c - ops without inputs (input, parameter) and the first op on pictures (normalize). */
#include "ops/rules.h"

static senet_status infer_input(const sn_graph *graph, sn_node *node)
{
    (void)graph;
    const sn_shape s = node->shape = node->attrs.u.source.shape;
    node->dtype = node->attrs.u.source.dtype;
    if (s.n < 1 || s.h < 1 || s.w < 1 || s.c < 1) /* the product may not be representable; sn_graph_add looks at that */
        return sn_fail(SENET_USAGE, "input '%s' of shape %s is empty", node->name, sn_shape_text(node->shape));
    return SENET_OK;
}

const sn_op sn_op_input = {.name = "input", .infer = infer_input};

static senet_status infer_param(const sn_graph *graph, sn_node *node)
{
    node->shape = graph->params[node->attrs.u.param.index].shape;
    return SENET_OK;
}

/* The gradient of a parameter ends there. */
const sn_op sn_op_param = {.name = "param", .infer = infer_param};

static senet_status infer_normalize(const sn_graph *graph, sn_node *node)
{
    const sn_node *images = sn_input_of(graph, node, 0);
    SN_RETURN_IF_FAILED(sn_rule_expect_dtype(graph, node, 0, SN_U8));
    SN_RETURN_IF_FAILED(sn_rule_expect_dtype(graph, node, 1, SN_I32));
    SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 1, (sn_shape){images->shape.n, 1, 1, 8}));
    if (images->shape.c != 3)
        return sn_fail(SENET_USAGE, "%s: pictures have 3 channels, not %lld", sn_node_title(node),
                       (long long)images->shape.c);
    node->shape = images->shape;
    return SENET_OK;
}

const sn_op sn_op_normalize = {.name = "normalize", .fewest_inputs = 2, .most_inputs = 2, .infer = infer_normalize};
