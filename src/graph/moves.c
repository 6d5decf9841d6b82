/* moves.c - joins passes over memory with the convolutions beside them; for inference, after batch norm is folded.  See
 * join_depthwise.c for a depthwise convolution and the 1x1 behind it.
 *
 * The gate of an SE block in front of a depthwise convolution: conv(x s) sums products with (s w), channel by channel,
 * so the scaled map need not be written.  A channel shuffle behind a dense convolution: the outputs' weights are
 * shuffled instead; behind a grouped 1x1 convolution: it writes its outputs in that order. */
#include "graph/rewrite.h"

/* Which kernels there are depends on how maps will be stored. */
static senet_precision precision_of(const sn_rewrite *rw)
{
    return *(const senet_precision *)rw->context;
}

static bool clamps(sn_activation kind)
{
    return kind == SN_IDENTITY || kind == SN_RELU || kind == SN_RELU6;
}

/* conv(x s): the gate joins the convolution. */
static senet_status join_gate(sn_rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    const sn_node *scale = sn_rewrite_absorbable(rw, node, 0, SN_OP_scale_add);
    if (!scale || !sn_rewrite_is_depthwise(rw->from, node) || node->inputs[4] != SN_NONE) return SENET_OK;
    sn_shape gate = rw->to->nodes[scale->inputs[1]].shape;
    if (scale->inputs[2] != SN_NONE || scale->attrs.u.activation.kind != SN_IDENTITY || gate.h != 1 || gate.w != 1)
        return SENET_OK;
    sn_id inputs[5] = {scale->inputs[0], sn_rewrite_mapped(rw, node->inputs[1]), sn_rewrite_mapped(rw, node->inputs[2]),
                       SN_NONE, scale->inputs[1]};
    *done = true;
    return sn_rewrite_append(rw, node, SN_OP_conv2d, inputs, 5, &node->attrs, made);
}

/* Whether a kernel shuffles the outputs of the node: those of as many groups as are shuffled. */
static bool may_shuffle(const sn_graph *graph, const sn_node *conv, int32_t groups)
{
    enum { MOST = 4 };
    const sn_conv_attrs *a = &conv->attrs.u.conv;
    sn_shape w = graph->nodes[conv->inputs[1]].shape;
    bool plain = a->stride == 1 && !a->pad_top && !a->pad_left && !a->pad_bottom && !a->pad_right;
    return w.n == 1 && w.h == 1 && plain && a->groups == groups && groups <= MOST && clamps(a->activation);
}

/* shuffle(conv(x, w) + bias) */
static senet_status join_shuffle(sn_rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    const sn_node *found = sn_rewrite_absorbable(rw, node, 0, SN_OP_conv2d);
    if (!found || found->inputs[3] != SN_NONE || found->inputs[4] != SN_NONE || found->attrs.u.conv.shuffle > 1)
        return SENET_OK;
    sn_node conv = *found;
    int32_t groups = node->attrs.u.shuffle.groups;
    if (conv.attrs.u.conv.groups != 1) {
        if (precision_of(rw) != SENET_FP32 || !may_shuffle(rw->to, &conv, groups)) return SENET_OK;
        conv.attrs.u.conv.shuffle = groups;
        *done = true;
        return sn_rewrite_append(rw, node, SN_OP_conv2d, conv.inputs, conv.inputs_count, &conv.attrs, made);
    }
    sn_id weight = conv.inputs[1], bias = conv.inputs[2];
    SN_RETURN_IF_FAILED(sn_rewrite_append(rw, node, SN_OP_channel_shuffle, &weight, 1, &node->attrs, &weight));
    if (bias != SN_NONE)
        SN_RETURN_IF_FAILED(sn_rewrite_append(rw, node, SN_OP_channel_shuffle, &bias, 1, &node->attrs, &bias));
    sn_id inputs[3] = {conv.inputs[0], weight, bias};
    *done = true;
    return sn_rewrite_append(rw, node, SN_OP_conv2d, inputs, 3, &conv.attrs, made);
}

static senet_status visit_move(sn_rewrite *rw, sn_id id, bool *done, sn_id *made)
{
    const sn_node *node = &rw->from->nodes[id];
    if (node->op == SN_OP_conv2d) return join_gate(rw, node, done, made);
    if (node->op == SN_OP_channel_shuffle) return join_shuffle(rw, node, done, made);
    return SENET_OK;
}

senet_status sn_graph_join_moves(const sn_graph *graph, senet_precision precision, sn_graph **joined)
{
    return sn_rewrite_graph(graph, visit_move, &precision, joined);
}
