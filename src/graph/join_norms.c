/* join_norms.c - training: a batch norm u = x scale + shift that only a scale or a sum reads, as at the end of every residual
 * block, is not written to memory: its readers take x and the two rows.  Backwards nothing needs u, as batch norm's gradient is
 * made from x.
 *
 *     squeeze_avg(u)            ->  bn_apply(squeeze_avg(x)), a mean of x times scale plus shift is that of u
 *     scale_add(u, s, r)        ->  scale_add(x, s, r, affine)
 *     add(u, r)                 ->  scale_add(x, no gate, r, affine)
 *     scale_grad_gate(g, u, s)  ->  scale_grad_gate(g, x, s, affine)
 *
 * Nor is the gradient of u written, du = scale_grad_input(g, s, dz) = g s + dz / (H W), if only the gradients of the batch norm read
 * it: they take g, s and dz.
 */
#include <stdlib.h>

#include "graph/rewrite.h"

#include "ops/op.h"

static bool is_norm(const sn_graph *graph, sn_id id)
{
    const sn_node *node = id == SN_NONE ? NULL : &graph->nodes[id];
    return node && node->op == SN_OP_bn_apply && node->attrs.u.norm.activation == SN_IDENTITY &&
           node->shape.h * node->shape.w > 1;
}

static bool is_row(const sn_graph *graph, const sn_node *node, int k)
{
    const sn_node *gate = sn_input_of(graph, node, k);
    return gate && gate->shape.h * gate->shape.w == 1;
}

static bool is_scale_gradient(const sn_graph *graph, sn_id id)
{
    const sn_node *node = id == SN_NONE ? NULL : &graph->nodes[id];
    return node && node->op == SN_OP_scale_grad_input && is_row(graph, node, 1) && node->shape.h * node->shape.w > 1;
}

/* Which input of the node may be a batch norm, or the gradient of a scale, that is not written; -1: none.  Of a sum of two, as behind
 * a shortcut with a batch norm of its own, it is the first. */
static int joined_input(const sn_graph *graph, const sn_node *node)
{
    switch (node->op) {
    case SN_OP_squeeze_avg: return 0;
    case SN_OP_squeeze_avg_grad: return 1;
    case SN_OP_scale_add: return is_row(graph, node, 1) && !sn_input_of(graph, node, 3) ? 0 : -1;
    case SN_OP_scale_grad_gate: return is_row(graph, node, 2) && !sn_input_of(graph, node, 3) ? 1 : -1;
    case SN_OP_add: return is_norm(graph, node->inputs[0]) ? 0 : 1;
    case SN_OP_bn_grad_sums:
    case SN_OP_bn_grad_input: return node->attrs.u.norm.activation == SN_IDENTITY ? 0 : -1;
    default: return -1;
    }
}

/* Whether the node, which may be left out for some readers, may be for this one. */
static bool joins(const sn_graph *graph, const sn_node *reader, sn_id id)
{
    bool gradient = reader->op == SN_OP_bn_grad_sums || reader->op == SN_OP_bn_grad_input;
    return gradient ? is_scale_gradient(graph, id) : is_norm(graph, id);
}

/* vanishes[id]: a batch norm or the gradient of a scale all of whose readers can do without. */
static void find_norms(const sn_graph *graph, bool *vanishes)
{
    for (size_t i = 0; i < graph->nodes_count; i++) vanishes[i] = is_norm(graph, (sn_id)i) || is_scale_gradient(graph, (sn_id)i);
    for (size_t i = 0; i < graph->nodes_count; i++) {
        const sn_node *node = &graph->nodes[i];
        int joined = joined_input(graph, node);
        for (int k = 0; k < node->inputs_count; k++)
            if (node->inputs[k] != SN_NONE && (k != joined || !joins(graph, node, node->inputs[k]))) vanishes[node->inputs[k]] = false;
    }
    for (size_t i = 0; i < graph->outputs_count; i++) vanishes[graph->outputs[i].node] = false;
}

/* A gradient of a batch norm, of g s + dz / (H W). */
static senet_status append_gradient(sn_rewrite *rw, const sn_node *node, sn_id *made)
{
    const sn_node *scale = &rw->from->nodes[node->inputs[0]];
    int rows = node->op == SN_OP_bn_grad_sums ? 5 : 6;
    sn_id inputs[8] = {SN_NONE, SN_NONE, SN_NONE, SN_NONE, SN_NONE, SN_NONE, SN_NONE, SN_NONE};
    for (int k = 0; k < node->inputs_count; k++) inputs[k] = sn_rewrite_mapped(rw, node->inputs[k]);
    inputs[rows] = sn_rewrite_mapped(rw, scale->inputs[1]);
    inputs[rows + 1] = scale->inputs_count > 2 ? sn_rewrite_mapped(rw, scale->inputs[2]) : SN_NONE;
    return sn_rewrite_append(rw, node, node->op, inputs, rows + 2, &node->attrs, made);
}

static senet_status visit(sn_rewrite *rw, sn_id id, bool *done, sn_id *made)
{
    const bool *vanishes = rw->context;
    const sn_node *node = &rw->from->nodes[id];
    if (vanishes[id] && node->op == SN_OP_scale_grad_input) { /* g stands for it */
        *done = true;
        *made = sn_rewrite_mapped(rw, node->inputs[0]);
        return SENET_OK;
    }
    if (vanishes[id]) { /* its rows stand for it */
        sn_id inputs[3];
        for (int k = 0; k < 3; k++) inputs[k] = sn_rewrite_mapped(rw, node->inputs[k + 1]);
        *done = true;
        return sn_rewrite_append(rw, node, SN_OP_bn_affine, inputs, 3, &node->attrs, made);
    }
    int joined = joined_input(rw->from, node);
    if (joined < 0 || !vanishes[node->inputs[joined]]) return SENET_OK;
    if (node->op == SN_OP_bn_grad_sums || node->op == SN_OP_bn_grad_input) {
        *done = true;
        return append_gradient(rw, node, made);
    }
    const sn_node *norm = &rw->from->nodes[node->inputs[joined]];
    sn_id inputs[4] = {SN_NONE, SN_NONE, SN_NONE, SN_NONE}, affine = sn_rewrite_mapped(rw, node->inputs[joined]);
    for (int k = 0; k < node->inputs_count; k++) inputs[k] = sn_rewrite_mapped(rw, node->inputs[k]);
    inputs[joined] = sn_rewrite_mapped(rw, norm->inputs[0]);
    *done = true;
    switch (node->op) {
    case SN_OP_squeeze_avg: {
        sn_id norms[4] = {SN_NONE};
        SN_RETURN_IF_FAILED(sn_rewrite_append(rw, node, node->op, inputs, 1, &node->attrs, &norms[0]));
        for (int k = 1; k < 4; k++) norms[k] = sn_rewrite_mapped(rw, norm->inputs[k]);
        return sn_rewrite_append(rw, node, SN_OP_bn_apply, norms, 4, &norm->attrs, made);
    }
    case SN_OP_squeeze_avg_grad: return sn_rewrite_append(rw, node, node->op, inputs, 2, &node->attrs, made);
    case SN_OP_add: {
        sn_id sum[4] = {inputs[joined], SN_NONE, inputs[1 - joined], affine};
        return sn_rewrite_append(rw, node, SN_OP_scale_add, sum, 4, &node->attrs, made);
    }
    default: inputs[3] = affine; return sn_rewrite_append(rw, node, node->op, inputs, 4, &node->attrs, made);
    }
}

senet_status sn_rewrite_join_norms(const sn_graph *graph, sn_graph **joined)
{
    *joined = NULL;
    bool *vanishes = calloc(graph->nodes_count + 1, sizeof *vanishes);
    if (!vanishes) return sn_fail_memory(graph->nodes_count, "a graph pass");
    find_norms(graph, vanishes);
    senet_status status = sn_rewrite_graph(graph, visit, vanishes, joined);
    free(vanishes);
    return status;
}
