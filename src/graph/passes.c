/* passes.c - the joins of graph.h: activations, sums, scales, and, for inference, batch norm and factors. */
#include "graph/rewrite.h"

/* Gives an op that can apply the activation, and applies none yet, attributes with it. */
static bool activate(const sn_node *node, sn_activation kind, sn_attrs *attrs)
{
    *attrs = node->attrs;
    sn_activation *slot = NULL;
    if (node->op == SN_OP_conv2d) slot = &attrs->u.conv.activation;
    if (node->op == SN_OP_bn_apply && kind == SN_RELU) slot = &attrs->u.norm.activation;
    if ((node->op == SN_OP_add || node->op == SN_OP_scale_add) && kind == SN_RELU) slot = &attrs->u.activation.kind;
    if (!slot || *slot != SN_IDENTITY) return false;
    *slot = kind;
    return true;
}

/* An activation joins the op before it. */
static senet_status join_activation(sn_rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    sn_id old = node->inputs[0];
    if (rw->uses[old] != 1) return SENET_OK;
    const sn_node before = rw->to->nodes[rw->map[old]];
    sn_attrs attrs;
    if (!activate(&before, node->attrs.u.activation.kind, &attrs)) return SENET_OK;
    *done = true;
    return sn_rewrite_append(rw, node, before.op, before.inputs, before.inputs_count, &attrs, made);
}

/* a + x s: the sum joins the scale. */
static senet_status join_scale_add(sn_rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    for (int k = 0; k < 2 && !*done; k++) {
        const sn_node *scale = sn_rewrite_absorbable(rw, node, k, SN_OP_scale_add);
        if (!scale || scale->inputs[2] != SN_NONE || scale->attrs.u.activation.kind != SN_IDENTITY) continue;
        sn_id inputs[3] = {scale->inputs[0], scale->inputs[1], sn_rewrite_mapped(rw, node->inputs[1 - k])};
        *done = true;
        SN_RETURN_IF_FAILED(sn_rewrite_append(rw, node, SN_OP_scale_add, inputs, 3, &node->attrs, made));
    }
    return SENET_OK;
}

/* g s + dz / (H W): the squeeze's share of a gradient joins the scale's. */
static senet_status join_squeeze_gradient(sn_rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    for (int k = 0; k < 2 && !*done; k++) {
        const sn_node *scale = sn_rewrite_absorbable(rw, node, k, SN_OP_scale_grad_input);
        const sn_node *squeeze = sn_rewrite_absorbable(rw, node, 1 - k, SN_OP_squeeze_avg_grad);
        if (!scale || !squeeze || scale->inputs[2] != SN_NONE) continue;
        sn_id inputs[3] = {scale->inputs[0], scale->inputs[1], squeeze->inputs[0]};
        *done = true;
        SN_RETURN_IF_FAILED(sn_rewrite_append(rw, node, SN_OP_scale_grad_input, inputs, 3, NULL, made));
    }
    return SENET_OK;
}

/* dx + r: the sum of a map's gradients joins the convolution that writes one of them. */
static senet_status join_gradient_sum(sn_rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    for (int k = 0; k < 2 && !*done; k++) {
        const sn_node *conv = sn_rewrite_absorbable(rw, node, k, SN_OP_conv2d_grad_input);
        if (!conv || conv->inputs_count > 3 || conv->attrs.u.conv.groups > 1) continue;
        sn_id inputs[4] = {conv->inputs[0], conv->inputs[1], SN_NONE, sn_rewrite_mapped(rw, node->inputs[1 - k])};
        const sn_attrs attrs = conv->attrs;
        *done = true;
        SN_RETURN_IF_FAILED(sn_rewrite_append(rw, node, SN_OP_conv2d_grad_input, inputs, 4, &attrs, made));
    }
    return SENET_OK;
}

static senet_status visit_fuse(sn_rewrite *rw, sn_id id, bool *done, sn_id *made)
{
    const sn_node *node = &rw->from->nodes[id];
    if (node->op == SN_OP_activation) return join_activation(rw, node, done, made);
    if (node->op != SN_OP_add) return SENET_OK;
    SN_RETURN_IF_FAILED(join_scale_add(rw, node, done, made));
    if (node->attrs.u.activation.kind != SN_IDENTITY) return SENET_OK;
    if (!*done) SN_RETURN_IF_FAILED(join_squeeze_gradient(rw, node, done, made));
    return *done ? SENET_OK : join_gradient_sum(rw, node, done, made);
}

senet_status sn_graph_fuse(const sn_graph *graph, sn_graph **fused)
{
    bool trains = false;
    sn_graph *joined = NULL;
    for (size_t i = 0; i < graph->params_count; i++) trains = trains || graph->params[i].gradient != SN_NONE;
    if (!trains) return sn_rewrite_graph(graph, visit_fuse, NULL, fused);
    *fused = NULL;
    senet_status status = sn_rewrite_graph(graph, visit_fuse, NULL, &joined);
    if (status == SENET_OK) status = sn_rewrite_join_norms(joined, fused);
    sn_graph_destroy(joined);
    return status;
}

/* ---- inference: batch norm and factors into convolutions and gates ---- */

/* y = act(gamma (conv(x, w) + bias - mean) / sqrt(var + eps) + beta) is a convolution with other weights and bias. */
static senet_status join_batch_norm(sn_rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    const sn_node *found = sn_rewrite_absorbable(rw, node, 0, SN_OP_conv2d);
    sn_id stats = sn_rewrite_mapped(rw, node->inputs[1]), gamma = sn_rewrite_mapped(rw, node->inputs[2]),
          beta = sn_rewrite_mapped(rw, node->inputs[3]);
    if (!found || found->attrs.u.conv.activation != SN_IDENTITY || found->inputs[3] != SN_NONE ||
        rw->to->nodes[stats].op != SN_OP_bn_pack)
        return SENET_OK;
    const sn_node conv = *found;
    sn_id weight, bias;
    SN_RETURN_IF_FAILED(sn_rewrite_append(rw, node, SN_OP_bn_fold_weight, (sn_id[]){conv.inputs[1], stats, gamma}, 3,
                                          &node->attrs, &weight));
    SN_RETURN_IF_FAILED(sn_rewrite_append(rw, node, SN_OP_bn_fold_bias, (sn_id[]){stats, gamma, beta, conv.inputs[2]},
                                          4, &node->attrs, &bias));
    sn_attrs attrs = conv.attrs;
    attrs.u.conv.activation = node->attrs.u.norm.activation;
    *done = true;
    return sn_rewrite_append(rw, node, SN_OP_conv2d, (sn_id[]){conv.inputs[0], weight, bias}, 3, &attrs, made);
}

/* act(conv + r): the sum joins the convolution. */
static senet_status join_residual(sn_rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    for (int k = 0; k < 2 && !*done; k++) {
        const sn_node *conv = sn_rewrite_absorbable(rw, node, k, SN_OP_conv2d);
        if (!conv || conv->attrs.u.conv.activation != SN_IDENTITY || conv->inputs[3] != SN_NONE) continue;
        sn_id inputs[4] = {conv->inputs[0], conv->inputs[1], conv->inputs[2],
                           sn_rewrite_mapped(rw, node->inputs[1 - k])};
        sn_attrs attrs = conv->attrs;
        attrs.u.conv.activation = node->attrs.u.activation.kind;
        *done = true;
        SN_RETURN_IF_FAILED(sn_rewrite_append(rw, node, SN_OP_conv2d, inputs, 4, &attrs, made));
    }
    return SENET_OK;
}

/* factor * x is x from other weights and bias, or with another gate. */
static senet_status join_multiply(sn_rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    const sn_node *conv = sn_rewrite_absorbable(rw, node, 0, SN_OP_conv2d),
                  *scale = sn_rewrite_absorbable(rw, node, 0, SN_OP_scale_add);
    if (conv && conv->attrs.u.conv.activation == SN_IDENTITY && conv->inputs[3] == SN_NONE) {
        sn_id x = conv->inputs[0], weight = conv->inputs[1], bias = conv->inputs[2];
        const sn_attrs attrs = conv->attrs;
        SN_RETURN_IF_FAILED(sn_rewrite_append(rw, node, SN_OP_multiply, &weight, 1, &node->attrs, &weight));
        if (bias != SN_NONE)
            SN_RETURN_IF_FAILED(sn_rewrite_append(rw, node, SN_OP_multiply, &bias, 1, &node->attrs, &bias));
        *done = true;
        return sn_rewrite_append(rw, node, SN_OP_conv2d, (sn_id[]){x, weight, bias}, 3, &attrs, made);
    }
    if (scale && scale->attrs.u.activation.kind == SN_IDENTITY && scale->inputs[2] == SN_NONE) {
        sn_id x = scale->inputs[0], gate = scale->inputs[1];
        const sn_attrs attrs = scale->attrs;
        SN_RETURN_IF_FAILED(sn_rewrite_append(rw, node, SN_OP_multiply, &gate, 1, &node->attrs, &gate));
        *done = true;
        return sn_rewrite_append(rw, node, SN_OP_scale_add, (sn_id[]){x, gate}, 2, &attrs, made);
    }
    return SENET_OK;
}

/* Whether every value of the node is known to be at least 0, or NaN. */
static bool is_never_negative(const sn_graph *graph, sn_id id)
{
    const sn_node *node = &graph->nodes[id];
    while (node->op == SN_OP_pool2d) node = &graph->nodes[node->inputs[0]];
    switch (node->op) {
    case SN_OP_conv2d: return node->attrs.u.conv.activation == SN_RELU;
    case SN_OP_add:
    case SN_OP_scale_add:
    case SN_OP_activation: return node->attrs.u.activation.kind == SN_RELU;
    default: return false;
    }
}

/* relu(concat(x, ...)): the ReLU joins those parts that can apply it, where all others are never negative. */
static senet_status join_parts(sn_rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    const sn_node *found = sn_rewrite_absorbable(rw, node, 0, SN_OP_concat);
    if (!found || node->attrs.u.activation.kind != SN_RELU) return SENET_OK;
    const sn_node *old = &rw->from->nodes[node->inputs[0]], concat = *found;
    sn_attrs attrs[SN_MAX_INPUTS];
    bool joins[SN_MAX_INPUTS];
    for (int k = 0; k < concat.inputs_count; k++) {
        joins[k] = rw->uses[old->inputs[k]] == 1 && activate(&rw->to->nodes[concat.inputs[k]], SN_RELU, &attrs[k]);
        if (!joins[k] && !is_never_negative(rw->to, concat.inputs[k])) return SENET_OK;
    }
    sn_id inputs[SN_MAX_INPUTS];
    for (int k = 0; k < concat.inputs_count; k++) {
        const sn_node part = rw->to->nodes[inputs[k] = concat.inputs[k]];
        if (joins[k])
            SN_RETURN_IF_FAILED(sn_rewrite_append(rw, &rw->from->nodes[old->inputs[k]], part.op, part.inputs, part.inputs_count,
                                                  &attrs[k], &inputs[k]));
    }
    *done = true;
    return sn_rewrite_append(rw, node, SN_OP_concat, inputs, concat.inputs_count, &concat.attrs, made);
}

static senet_status visit_fold(sn_rewrite *rw, sn_id id, bool *done, sn_id *made)
{
    const sn_node *node = &rw->from->nodes[id];
    if (node->op == SN_OP_multiply) return join_multiply(rw, node, done, made);
    if (node->op == SN_OP_bn_apply) return join_batch_norm(rw, node, done, made);
    if (node->op == SN_OP_activation) {
        SN_RETURN_IF_FAILED(join_activation(rw, node, done, made));
        return *done ? SENET_OK : join_parts(rw, node, done, made);
    }
    if (node->op != SN_OP_add) return SENET_OK;
    SN_RETURN_IF_FAILED(join_scale_add(rw, node, done, made));
    return *done ? SENET_OK : join_residual(rw, node, done, made);
}

senet_status sn_graph_fold_batch_norm(const sn_graph *graph, sn_graph **folded)
{
    return sn_rewrite_graph(graph, visit_fold, NULL, folded);
}
