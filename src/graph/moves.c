/* moves.c - joins passes over memory with the convolutions beside them; for inference, after batch norm is folded.  See
 * join_depthwise.c for a depthwise convolution and the 1x1 behind it.
 *
 * The scale of an SE block behind a 1x1 convolution without an activation, u = W x + b, the last one of a bottleneck: the mean of u
 * over the pixels is W mean(x) + b, so the gate is known before u is, and the convolution's end multiplies by it: u is neither
 * written nor read again.  The first layer of the excitation and W become one matrix of a quarter of the size (compose_weight):
 *
 *     z = squeeze(u)   h = relu(W1 z + b1)   s = gate(W2 h + b2)   y = act(u s + r)
 *     m = squeeze(x)   h = relu((W1 W) m + (W1 b + b1))            y = act((W x + b) s + r)
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

/* ---- the scale of an SE block joins the convolution before it ---- */

/* The nodes of an SE block, in the old graph, by its scale's inputs. */
typedef struct se_nodes {
    sn_id u, z, hidden, gate;
} se_nodes;

/* Whether the scale is that of such a block, of which nobody else sees more than the gate. */
static bool find_se(const sn_rewrite *rw, const sn_node *scale, se_nodes *se)
{
    const sn_graph *from = rw->from;
    if (scale->inputs_count > 3 || scale->inputs[1] == SN_NONE) return false;
    se->u = scale->inputs[0];
    se->gate = scale->inputs[1];
    const sn_node *u = &from->nodes[se->u], *gate = &from->nodes[se->gate];
    if (!sn_rewrite_is_pointwise(from, u) || u->attrs.u.conv.activation != SN_IDENTITY || !sn_rewrite_is_pointwise(from, gate)) return false;
    se->hidden = gate->inputs[0];
    const sn_node *hidden = &from->nodes[se->hidden];
    if (!sn_rewrite_is_pointwise(from, hidden) || hidden->shape.h * hidden->shape.w != 1) return false;
    se->z = hidden->inputs[0];
    const sn_node *z = &from->nodes[se->z];
    return z->op == SN_OP_squeeze_avg && z->inputs[0] == se->u && rw->uses[se->u] == 2 && rw->uses[se->z] == 1 &&
           rw->uses[se->hidden] == 1;
}

/* W1 b + b1, or what there is of it. */
static senet_status compose_bias(sn_rewrite *rw, const sn_node *hidden, sn_id b, sn_id *bias)
{
    sn_id inputs[3] = {b, sn_rewrite_mapped(rw, hidden->inputs[1]),
                       hidden->inputs_count > 2 ? sn_rewrite_mapped(rw, hidden->inputs[2]) : SN_NONE};
    *bias = inputs[2];
    return b == SN_NONE ? SENET_OK : sn_rewrite_append(rw, hidden, SN_OP_compose_weight, inputs, 3, NULL, bias);
}

static senet_status join_scale(sn_rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    se_nodes se;
    if (precision_of(rw) == SENET_INT8 || !sn_rewrite_clamps(node->attrs.u.activation.kind) || !find_se(rw, node, &se)) return SENET_OK;
    const sn_node *z = &rw->from->nodes[se.z], *hidden = &rw->from->nodes[se.hidden], *gate = &rw->from->nodes[se.gate];
    const sn_node u = rw->to->nodes[rw->map[se.u]];
    sn_id x = u.inputs[0], bias = u.inputs_count > 2 ? u.inputs[2] : SN_NONE, m, weight, h, h_bias, s;
    sn_id w1 = sn_rewrite_mapped(rw, hidden->inputs[1]);
    SN_RETURN_IF_FAILED(sn_rewrite_append(rw, hidden, SN_OP_compose_weight, (sn_id[]){u.inputs[1], w1}, 2, NULL, &weight));
    SN_RETURN_IF_FAILED(compose_bias(rw, hidden, bias, &h_bias));
    SN_RETURN_IF_FAILED(sn_rewrite_append(rw, z, SN_OP_squeeze_avg, &x, 1, &z->attrs, &m));
    SN_RETURN_IF_FAILED(sn_rewrite_append(rw, hidden, SN_OP_conv2d, (sn_id[]){m, weight, h_bias}, 3, &hidden->attrs, &h));
    sn_id excite[3] = {h, sn_rewrite_mapped(rw, gate->inputs[1]),
                       gate->inputs_count > 2 ? sn_rewrite_mapped(rw, gate->inputs[2]) : SN_NONE};
    SN_RETURN_IF_FAILED(sn_rewrite_append(rw, gate, SN_OP_conv2d, excite, 3, &gate->attrs, &s));
    rw->map[se.gate] = s; /* for outputs that name it */
    sn_attrs attrs = u.attrs;
    attrs.u.conv.activation = node->attrs.u.activation.kind;
    sn_id residual = node->inputs_count > 2 ? sn_rewrite_mapped(rw, node->inputs[2]) : SN_NONE;
    *done = true;
    return sn_rewrite_append(rw, node, SN_OP_conv2d, (sn_id[]){x, u.inputs[1], bias, residual, SN_NONE, s}, 6, &attrs, made);
}

/* Whether a kernel shuffles the outputs of the node: those of as many groups as are shuffled. */
static bool may_shuffle(const sn_graph *graph, const sn_node *conv, int32_t groups)
{
    enum { MOST = 4 };
    const sn_conv_attrs *a = &conv->attrs.u.conv;
    sn_shape w = graph->nodes[conv->inputs[1]].shape;
    bool plain = a->stride == 1 && !a->pad_top && !a->pad_left && !a->pad_bottom && !a->pad_right;
    return w.n == 1 && w.h == 1 && plain && a->groups == groups && groups <= MOST && sn_rewrite_clamps(a->activation);
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
    if (node->op == SN_OP_scale_add) return join_scale(rw, node, done, made);
    if (node->op == SN_OP_channel_shuffle) return join_shuffle(rw, node, done, made);
    return SENET_OK;
}

senet_status sn_graph_join_moves(const sn_graph *graph, senet_precision precision, sn_graph **joined)
{
    return sn_rewrite_graph(graph, visit_move, &precision, joined);
}
