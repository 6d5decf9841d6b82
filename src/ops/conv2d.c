/* conv2d.c - convolution, the linear layer (1x1 on 1x1 maps), a depthwise convolution with the 1x1 behind it, and the gradients.
 *
 * x (N,H,W,C), w HWIO (kh,kw,C/groups,K) -> y (N,P,Q,K), P = floor((H + top + bottom - kh) / stride) + 1. */
#include "ops/rules.h"

static senet_status infer_conv2d(const sn_graph *graph, sn_node *node)
{
    const sn_conv_attrs *a = &node->attrs.u.conv;
    sn_shape x = sn_input_of(graph, node, 0)->shape, w = sn_input_of(graph, node, 1)->shape;
    if (a->stride < 1 || a->groups < 1 || a->pad_top < 0 || a->pad_left < 0 || a->pad_bottom < 0 || a->pad_right < 0)
        return sn_fail(SENET_INTERNAL, "%s: stride %d, groups %d, pads %d %d %d %d", sn_node_title(node), a->stride,
                       a->groups, a->pad_top, a->pad_left, a->pad_bottom, a->pad_right);
    if (w.w * a->groups != x.c)
        return sn_fail(SENET_USAGE, "%s: input has %lld channels, weight expects %lld", sn_node_title(node),
                       (long long)x.c, (long long)(w.w * a->groups));
    if (w.c % a->groups)
        return sn_fail(SENET_USAGE, "%s: %lld output channels do not divide into %d groups", sn_node_title(node),
                       (long long)w.c, a->groups);
    int64_t h = x.h + a->pad_top + a->pad_bottom, wide = x.w + a->pad_left + a->pad_right;
    if (h < w.n || wide < w.h)
        return sn_fail(SENET_USAGE, "%s: a map of %lldx%lld is too small for a %lldx%lld kernel", sn_node_title(node),
                       (long long)x.h, (long long)x.w, (long long)w.n, (long long)w.h);
    node->shape = (sn_shape){x.n, (h - w.n) / a->stride + 1, (wide - w.h) / a->stride + 1, w.c};
    if (sn_input_of(graph, node, 2)) SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 2, sn_vector_shape(w.c)));
    if (sn_input_of(graph, node, 3)) SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 3, node->shape));
    if (sn_input_of(graph, node, 4)) SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 4, (sn_shape){x.n, 1, 1, x.c}));
    if (sn_input_of(graph, node, 5)) SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 5, (sn_shape){x.n, 1, 1, w.c}));
    if (a->shuffle > 1 && (w.c % a->shuffle || sn_input_of(graph, node, 3)))
        return sn_fail(SENET_INTERNAL, "%s: %lld outputs in %d groups to shuffle", sn_node_title(node), (long long)w.c, a->shuffle);
    return SENET_OK;
}

static void gradient_conv2d(sn_autodiff *ad, sn_id id, sn_id dy)
{
    const sn_node node = *sn_autodiff_node(ad, id); /* a copy: adding nodes may move the array */
    sn_id x = node.inputs[0], w = node.inputs[1], bias = node.inputs[2], residual = node.inputs[3];
    sn_attrs attrs = node.attrs;
    if (attrs.u.conv.activation != SN_IDENTITY) {
        sn_attrs act = {.u.activation.kind = attrs.u.conv.activation};
        dy = sn_autodiff_add(ad, SN_OP_activation_grad, (sn_id[]){dy, id}, 2, &act);
        attrs.u.conv.activation = SN_IDENTITY;
    }
    if (sn_autodiff_wants(ad, residual)) sn_autodiff_accumulate(ad, residual, dy);
    if (sn_autodiff_wants(ad, bias))
        sn_autodiff_accumulate(ad, bias, sn_autodiff_add(ad, SN_OP_channel_sum, (sn_id[]){dy}, 1, NULL));
    if (sn_autodiff_wants(ad, w)) {
        attrs.u.conv.target = sn_autodiff_node(ad, w)->shape;
        sn_autodiff_accumulate(ad, w, sn_autodiff_add(ad, SN_OP_conv2d_grad_weight, (sn_id[]){x, dy}, 2, &attrs));
    }
    if (sn_autodiff_wants(ad, x)) {
        attrs.u.conv.target = sn_autodiff_node(ad, x)->shape;
        sn_autodiff_accumulate(ad, x, sn_autodiff_add(ad, SN_OP_conv2d_grad_input, (sn_id[]){dy, w}, 2, &attrs));
    }
}

static sn_cost cost_conv2d(const sn_graph *graph, const sn_node *node)
{
    sn_shape w = sn_input_of(graph, node, 1)->shape;
    return (sn_cost){.macs = sn_shape_elements(node->shape) * w.n * w.h * w.w};
}

const sn_op sn_op_conv2d = {.name = "conv2d", .fewest_inputs = 2, .most_inputs = 6, .infer = infer_conv2d,
                            .gradient = gradient_conv2d, .cost = cost_conv2d};

/* ---- a depthwise convolution and the 1x1 behind it ---- */

static senet_status infer_depthwise_pointwise(const sn_graph *graph, sn_node *node)
{
    const sn_conv_attrs *a = &node->attrs.u.conv;
    sn_shape x = sn_input_of(graph, node, 0)->shape, w = sn_input_of(graph, node, 1)->shape;
    sn_node depthwise = {.op = SN_OP_conv2d, .attrs = node->attrs, .name = node->name, .inputs_count = 5,
                         .inputs = {node->inputs[0], node->inputs[3], node->inputs[4], SN_NONE, node->inputs[5], SN_NONE}};
    SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 1, (sn_shape){1, 1, x.c, w.c}));
    SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 3, (sn_shape){3, 3, 1, x.c}));
    if (a->groups != x.c)
        return sn_fail(SENET_INTERNAL, "%s: %d groups of %lld channels", sn_node_title(node), a->groups, (long long)x.c);
    SN_RETURN_IF_FAILED(infer_conv2d(graph, &depthwise));
    node->shape = (sn_shape){x.n, depthwise.shape.h, depthwise.shape.w, w.c};
    return sn_input_of(graph, node, 2) ? sn_rule_expect(graph, node, 2, sn_vector_shape(w.c)) : SENET_OK;
}

static sn_cost cost_depthwise_pointwise(const sn_graph *graph, const sn_node *node)
{
    sn_shape w = sn_input_of(graph, node, 1)->shape;
    return (sn_cost){.macs = node->shape.n * node->shape.h * node->shape.w * w.w * (w.c + 9)};
}

const sn_op sn_op_depthwise_pointwise = {.name = "depthwise_pointwise", .fewest_inputs = 4, .most_inputs = 6,
                                         .infer = infer_depthwise_pointwise, .cost = cost_depthwise_pointwise};

/* ---- gradients ---- */

static senet_status infer_target(const sn_graph *graph, sn_node *node)
{
    (void)graph;
    node->shape = node->attrs.u.conv.target;
    return SENET_OK;
}

static senet_status infer_grad_input(const sn_graph *graph, sn_node *node)
{
    SN_RETURN_IF_FAILED(infer_target(graph, node));
    return sn_input_of(graph, node, 3) ? sn_rule_expect(graph, node, 3, node->shape) : SENET_OK;
}

const sn_op sn_op_conv2d_grad_input = {.name = "conv2d_grad_input", .fewest_inputs = 2, .most_inputs = 4,
                                       .infer = infer_grad_input};
const sn_op sn_op_conv2d_grad_weight = {.name = "conv2d_grad_weight", .fewest_inputs = 2, .most_inputs = 2,
                                        .infer = infer_target};

static senet_status infer_compose_weight(const sn_graph *graph, sn_node *node)
{
    sn_shape v = sn_input_of(graph, node, 0)->shape, w = sn_input_of(graph, node, 1)->shape;
    node->shape = (sn_shape){1, 1, v.w, w.c};
    SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 0, (sn_shape){1, 1, v.w, w.w}));
    SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 1, (sn_shape){1, 1, w.w, w.c}));
    return sn_input_of(graph, node, 2) ? sn_rule_expect(graph, node, 2, sn_vector_shape(w.c)) : SENET_OK;
}

const sn_op sn_op_compose_weight = {.name = "compose_weight", .fewest_inputs = 2, .most_inputs = 3, .infer = infer_compose_weight};

static senet_status infer_channel_sum(const sn_graph *graph, sn_node *node)
{
    node->shape = sn_vector_shape(sn_input_of(graph, node, 0)->shape.c);
    return SENET_OK;
}

const sn_op sn_op_channel_sum = {.name = "channel_sum", .fewest_inputs = 1, .most_inputs = 1,
                                 .infer = infer_channel_sum};
