/* passes.c - graph-to-graph rewriting.  A pass walks the nodes in order and appends each to a new graph, as it is or joined
 * with nodes it has just appended; what was joined away is dead and dropped at the end.
 *
 * A node may be absorbed by its consumer only when nothing else uses it and no output names it. */
#include <stdlib.h>

#include "ops/op.h"

typedef struct rewrite {
    const sn_graph *from;
    sn_graph *to;
    sn_id *map;    /* old node -> new node */
    int32_t *uses; /* of an old node: consumers, plus one for being an output or a gradient */
} rewrite;

/* ---- the walk ---- */

static sn_id mapped(const rewrite *rw, sn_id old) { return old == SN_NONE ? SN_NONE : rw->map[old]; }

static senet_status append(rewrite *rw, const sn_node *node, sn_op_kind op, const sn_id *inputs, int count,
                           const sn_attrs *attrs, sn_id *id)
{
    return sn_graph_add(rw->to, op, inputs, count, attrs, node->name, id);
}

static senet_status copy_node(rewrite *rw, const sn_node *node, sn_id *id)
{
    if (node->op == SN_OP_param)
        return sn_graph_add_param(rw->to, &rw->from->params[node->attrs.u.param.index], id);
    sn_id inputs[SN_MAX_INPUTS];
    for (int i = 0; i < node->inputs_count; i++) inputs[i] = mapped(rw, node->inputs[i]);
    return append(rw, node, node->op, inputs, node->inputs_count, &node->attrs, id);
}

static void count_uses(rewrite *rw)
{
    const sn_graph *g = rw->from;
    for (size_t i = 0; i < g->nodes_count; i++)
        for (int k = 0; k < g->nodes[i].inputs_count; k++)
            if (g->nodes[i].inputs[k] != SN_NONE) rw->uses[g->nodes[i].inputs[k]]++;
    for (size_t i = 0; i < g->outputs_count; i++) rw->uses[g->outputs[i].node]++;
    for (size_t i = 0; i < g->params_count; i++)
        if (g->params[i].gradient != SN_NONE) rw->uses[g->params[i].gradient]++;
}

static senet_status carry_over(rewrite *rw)
{
    for (size_t i = 0; i < rw->from->outputs_count; i++)
        SN_RETURN_IF_FAILED(
            sn_graph_add_output(rw->to, rw->from->outputs[i].name, rw->map[rw->from->outputs[i].node]));
    for (size_t i = 0; i < rw->from->params_count; i++)
        rw->to->params[i].gradient = mapped(rw, rw->from->params[i].gradient);
    return SENET_OK;
}

/* visit() appends what stands for old node `id`, or leaves *done false to have it copied; keep (may be NULL) filters. */
typedef senet_status (*visitor)(rewrite *rw, sn_id id, bool *done, sn_id *made);

static senet_status walk(const sn_graph *from, visitor visit, const bool *keep, sn_graph **result)
{
    rewrite rw = {.from = from};
    senet_status status = sn_graph_create(from->batch, &rw.to);
    if (status != SENET_OK) return status;
    rw.map = malloc(from->nodes_count * sizeof *rw.map);
    rw.uses = calloc(from->nodes_count + 1, sizeof *rw.uses);
    if (!rw.map || !rw.uses) {
        status = sn_fail_memory(from->nodes_count * sizeof *rw.map, "a graph pass");
        goto cleanup;
    }
    count_uses(&rw);
    for (size_t i = 0; i < from->nodes_count; i++) {
        bool done = false;
        rw.map[i] = SN_NONE;
        if (keep && !keep[i]) continue;
        if (visit) SN_TRY(visit(&rw, (sn_id)i, &done, &rw.map[i]), cleanup);
        if (!done) SN_TRY(copy_node(&rw, &from->nodes[i], &rw.map[i]), cleanup);
    }
    SN_TRY(carry_over(&rw), cleanup);
    *result = rw.to;
    rw.to = NULL;
cleanup:
    sn_graph_destroy(rw.to);
    free(rw.map);
    free(rw.uses);
    return status;
}

/* ---- dead nodes ---- */

static void mark_live(sn_id id, bool *live)
{
    if (id != SN_NONE) live[id] = true;
}

senet_status sn_graph_drop_dead(const sn_graph *graph, sn_graph **pruned)
{
    *pruned = NULL;
    bool *live = calloc(graph->nodes_count + 1, sizeof *live);
    if (!live) return sn_fail_memory(graph->nodes_count, "a graph pass");
    for (size_t i = 0; i < graph->outputs_count; i++) mark_live(graph->outputs[i].node, live);
    for (size_t i = 0; i < graph->params_count; i++) mark_live(graph->params[i].gradient, live);
    for (size_t i = graph->nodes_count; i-- > 0;) {
        const sn_node *node = &graph->nodes[i];
        /* sources stay: they are the program's interface */
        if (sn_op_of(node->op)->effect || node->op == SN_OP_param || node->op == SN_OP_input) live[i] = true;
        for (int k = 0; live[i] && k < node->inputs_count; k++) mark_live(node->inputs[k], live);
    }
    senet_status status = walk(graph, NULL, live, pruned);
    free(live);
    return status;
}

static senet_status walk_and_prune(const sn_graph *graph, visitor visit, sn_graph **result)
{
    sn_graph *whole = NULL;
    *result = NULL;
    SN_RETURN_IF_FAILED(walk(graph, visit, NULL, &whole));
    senet_status status = sn_graph_drop_dead(whole, result);
    sn_graph_destroy(whole);
    return status;
}

/* ---- joins ---- */

/* The new node standing for old input `k` of `node` when it may be absorbed and is of this op, else NULL. */
static const sn_node *absorbable(const rewrite *rw, const sn_node *node, int k, sn_op_kind op)
{
    sn_id old = node->inputs[k];
    if (old == SN_NONE || rw->uses[old] != 1) return NULL;
    const sn_node *made = &rw->to->nodes[rw->map[old]];
    return made->op == op ? made : NULL;
}

/* An activation joins the op before it, if that op can apply it and applies none yet. */
static senet_status join_activation(rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    sn_activation kind = node->attrs.u.activation.kind;
    sn_id old = node->inputs[0];
    if (rw->uses[old] != 1) return SENET_OK;
    const sn_node before = rw->to->nodes[rw->map[old]];
    sn_attrs attrs = before.attrs;
    sn_activation *slot = NULL;
    if (before.op == SN_OP_conv2d) slot = &attrs.u.conv.activation;
    if (before.op == SN_OP_bn_apply && kind == SN_RELU) slot = &attrs.u.norm.activation;
    if ((before.op == SN_OP_add || before.op == SN_OP_scale_add) && kind == SN_RELU) slot = &attrs.u.activation.kind;
    if (!slot || *slot != SN_IDENTITY) return SENET_OK;
    *slot = kind;
    *done = true;
    return append(rw, node, before.op, before.inputs, before.inputs_count, &attrs, made);
}

/* a + x s: the sum joins the scale. */
static senet_status join_scale_add(rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    for (int k = 0; k < 2 && !*done; k++) {
        const sn_node *scale = absorbable(rw, node, k, SN_OP_scale_add);
        if (!scale || scale->inputs[2] != SN_NONE || scale->attrs.u.activation.kind != SN_IDENTITY) continue;
        sn_id inputs[3] = {scale->inputs[0], scale->inputs[1], mapped(rw, node->inputs[1 - k])};
        *done = true;
        SN_RETURN_IF_FAILED(append(rw, node, SN_OP_scale_add, inputs, 3, &node->attrs, made));
    }
    return SENET_OK;
}

/* g s + dz / (H W): the squeeze's share of a gradient joins the scale's. */
static senet_status join_squeeze_gradient(rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    for (int k = 0; k < 2 && !*done; k++) {
        const sn_node *scale = absorbable(rw, node, k, SN_OP_scale_grad_input);
        const sn_node *squeeze = absorbable(rw, node, 1 - k, SN_OP_squeeze_avg_grad);
        if (!scale || !squeeze || scale->inputs[2] != SN_NONE) continue;
        sn_id inputs[3] = {scale->inputs[0], scale->inputs[1], squeeze->inputs[0]};
        *done = true;
        SN_RETURN_IF_FAILED(append(rw, node, SN_OP_scale_grad_input, inputs, 3, NULL, made));
    }
    return SENET_OK;
}

static senet_status visit_fuse(rewrite *rw, sn_id id, bool *done, sn_id *made)
{
    const sn_node *node = &rw->from->nodes[id];
    if (node->op == SN_OP_activation) return join_activation(rw, node, done, made);
    if (node->op != SN_OP_add) return SENET_OK;
    SN_RETURN_IF_FAILED(join_scale_add(rw, node, done, made));
    if (!*done && node->attrs.u.activation.kind == SN_IDENTITY) return join_squeeze_gradient(rw, node, done, made);
    return SENET_OK;
}

senet_status sn_graph_fuse(const sn_graph *graph, sn_graph **fused) { return walk_and_prune(graph, visit_fuse, fused); }

/* ---- inference: batch norm and factors into convolutions and gates ---- */

/* y = act(gamma (conv(x, w) + bias - mean) / sqrt(var + eps) + beta) is a convolution with other weights and bias. */
static senet_status join_batch_norm(rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    const sn_node *found = absorbable(rw, node, 0, SN_OP_conv2d);
    sn_id stats = mapped(rw, node->inputs[1]), gamma = mapped(rw, node->inputs[2]), beta = mapped(rw, node->inputs[3]);
    if (!found || found->attrs.u.conv.activation != SN_IDENTITY || found->inputs[3] != SN_NONE ||
        rw->to->nodes[stats].op != SN_OP_bn_pack)
        return SENET_OK;
    const sn_node conv = *found;
    sn_id weight, bias;
    SN_RETURN_IF_FAILED(append(rw, node, SN_OP_bn_fold_weight, (sn_id[]){conv.inputs[1], stats, gamma}, 3, &node->attrs,
                               &weight));
    SN_RETURN_IF_FAILED(append(rw, node, SN_OP_bn_fold_bias, (sn_id[]){stats, gamma, beta, conv.inputs[2]}, 4,
                               &node->attrs, &bias));
    sn_attrs attrs = conv.attrs;
    attrs.u.conv.activation = node->attrs.u.norm.activation;
    *done = true;
    return append(rw, node, SN_OP_conv2d, (sn_id[]){conv.inputs[0], weight, bias}, 3, &attrs, made);
}

/* act(conv + r): the sum joins the convolution. */
static senet_status join_residual(rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    for (int k = 0; k < 2 && !*done; k++) {
        const sn_node *conv = absorbable(rw, node, k, SN_OP_conv2d);
        if (!conv || conv->attrs.u.conv.activation != SN_IDENTITY || conv->inputs[3] != SN_NONE) continue;
        sn_id inputs[4] = {conv->inputs[0], conv->inputs[1], conv->inputs[2], mapped(rw, node->inputs[1 - k])};
        sn_attrs attrs = conv->attrs;
        attrs.u.conv.activation = node->attrs.u.activation.kind;
        *done = true;
        SN_RETURN_IF_FAILED(append(rw, node, SN_OP_conv2d, inputs, 4, &attrs, made));
    }
    return SENET_OK;
}

/* factor * x is x from other weights and bias, or with another gate. */
static senet_status join_multiply(rewrite *rw, const sn_node *node, bool *done, sn_id *made)
{
    const sn_node *conv = absorbable(rw, node, 0, SN_OP_conv2d), *scale = absorbable(rw, node, 0, SN_OP_scale_add);
    if (conv && conv->attrs.u.conv.activation == SN_IDENTITY && conv->inputs[3] == SN_NONE) {
        sn_id x = conv->inputs[0], weight = conv->inputs[1], bias = conv->inputs[2];
        const sn_attrs attrs = conv->attrs;
        SN_RETURN_IF_FAILED(append(rw, node, SN_OP_multiply, &weight, 1, &node->attrs, &weight));
        if (bias != SN_NONE) SN_RETURN_IF_FAILED(append(rw, node, SN_OP_multiply, &bias, 1, &node->attrs, &bias));
        *done = true;
        return append(rw, node, SN_OP_conv2d, (sn_id[]){x, weight, bias}, 3, &attrs, made);
    }
    if (scale && scale->attrs.u.activation.kind == SN_IDENTITY && scale->inputs[2] == SN_NONE) {
        sn_id x = scale->inputs[0], gate = scale->inputs[1];
        const sn_attrs attrs = scale->attrs;
        SN_RETURN_IF_FAILED(append(rw, node, SN_OP_multiply, &gate, 1, &node->attrs, &gate));
        *done = true;
        return append(rw, node, SN_OP_scale_add, (sn_id[]){x, gate}, 2, &attrs, made);
    }
    return SENET_OK;
}

static senet_status visit_fold(rewrite *rw, sn_id id, bool *done, sn_id *made)
{
    const sn_node *node = &rw->from->nodes[id];
    if (node->op == SN_OP_multiply) return join_multiply(rw, node, done, made);
    if (node->op == SN_OP_bn_apply) return join_batch_norm(rw, node, done, made);
    if (node->op == SN_OP_activation) return join_activation(rw, node, done, made);
    if (node->op != SN_OP_add) return SENET_OK;
    SN_RETURN_IF_FAILED(join_scale_add(rw, node, done, made));
    return *done ? SENET_OK : join_residual(rw, node, done, made);
}

senet_status sn_graph_fold_batch_norm(const sn_graph *graph, sn_graph **folded)
{
    return walk_and_prune(graph, visit_fold, folded);
}
