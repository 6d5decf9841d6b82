/* moves.c - joins passes over memory with the convolutions beside them; for inference, after batch norm is folded.
 *
 * The gate of an SE block in front of a depthwise convolution: conv(x s) sums products with (s w), channel by channel,
 * so the scaled map need not be written.  A channel shuffle behind a dense convolution: the outputs' weights are
 * shuffled instead. */
#include "graph/rewrite.h"

/* Whether depthwise kernels take the node with a gate. */
static bool is_depthwise_3x3(const sn_graph *graph, const sn_node *node)
{
    const sn_conv_attrs *a = &node->attrs.u.conv;
    sn_shape w = graph->nodes[node->inputs[1]].shape;
    bool clamps = a->activation == SN_IDENTITY || a->activation == SN_RELU || a->activation == SN_RELU6;
    return a->groups == w.c && w.w == 1 && w.n == 3 && w.h == 3 && a->stride <= 2 && clamps &&
           node->inputs[3] == SN_NONE;
}

/* conv(x s): the gate joins the convolution. */
static senet_status join_gate(sn_rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    const sn_node *scale = sn_rewrite_absorbable(rw, node, 0, SN_OP_scale_add);
    if (!scale || !is_depthwise_3x3(rw->from, node) || node->inputs[4] != SN_NONE) return SENET_OK;
    sn_shape gate = rw->to->nodes[scale->inputs[1]].shape;
    if (scale->inputs[2] != SN_NONE || scale->attrs.u.activation.kind != SN_IDENTITY || gate.h != 1 || gate.w != 1)
        return SENET_OK;
    sn_id inputs[5] = {scale->inputs[0], sn_rewrite_mapped(rw, node->inputs[1]), sn_rewrite_mapped(rw, node->inputs[2]),
                       SN_NONE, scale->inputs[1]};
    *done = true;
    return sn_rewrite_append(rw, node, SN_OP_conv2d, inputs, 5, &node->attrs, made);
}

/* shuffle(conv(x, w) + bias): the columns of w and bias are shuffled, once. */
static senet_status join_shuffle(sn_rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    const sn_node *found = sn_rewrite_absorbable(rw, node, 0, SN_OP_conv2d);
    if (!found || found->attrs.u.conv.groups != 1 || found->inputs[3] != SN_NONE) return SENET_OK;
    const sn_node conv = *found;
    sn_id weight = conv.inputs[1], bias = conv.inputs[2];
    SN_RETURN_IF_FAILED(sn_rewrite_append(rw, node, SN_OP_channel_shuffle, &weight, 1, &node->attrs, &weight));
    if (bias != SN_NONE)
        SN_RETURN_IF_FAILED(sn_rewrite_append(rw, node, SN_OP_channel_shuffle, &bias, 1, &node->attrs, &bias));
    sn_id inputs[5] = {conv.inputs[0], weight, bias, SN_NONE, conv.inputs[4]};
    *done = true;
    return sn_rewrite_append(rw, node, SN_OP_conv2d, inputs, 5, &conv.attrs, made);
}

static senet_status visit_move(sn_rewrite *rw, sn_id id, bool *done, sn_id *made)
{
    const sn_node *node = &rw->from->nodes[id];
    if (node->op == SN_OP_conv2d) return join_gate(rw, node, done, made);
    if (node->op == SN_OP_channel_shuffle) return join_shuffle(rw, node, done, made);
    return SENET_OK;
}

senet_status sn_graph_join_moves(const sn_graph *graph, sn_graph **joined)
{
    return sn_rewrite_graph(graph, visit_move, joined);
}
