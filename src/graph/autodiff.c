/* autodiff.c - reverse-mode differentiation as a graph-to-graph step: walks the nodes backwards, asks each op for the
 * gradients of its inputs, and appends those as ordinary nodes. */
#include <stdlib.h>
#include <string.h>

#include "ops/op.h"

struct sn_autodiff {
    sn_graph *graph;
    sn_id *gradients; /* of each forward node; SN_NONE until something arrives */
    bool *wanted;     /* a learnable parameter lies behind the node */
    size_t forward_count;
    sn_id current;    /* the forward node whose rule runs */
    senet_status status;
};

bool sn_autodiff_wants(const sn_autodiff *ad, sn_id node) { return node != SN_NONE && ad->wanted[node]; }

const sn_node *sn_autodiff_node(const sn_autodiff *ad, sn_id id) { return &ad->graph->nodes[id]; }

sn_id sn_autodiff_add(sn_autodiff *ad, sn_op_kind op, const sn_id *inputs, int inputs_count, const sn_attrs *attrs)
{
    sn_id id = SN_NONE;
    if (ad->status != SENET_OK) return SN_NONE;
    const char *forward = ad->graph->nodes[ad->current].name;
    const char *name = sn_arena_printf(&ad->graph->arena, "d %s", forward);
    ad->status = name ? sn_graph_add(ad->graph, op, inputs, inputs_count, attrs, name, &id)
                      : sn_fail_memory(strlen(forward), "a node's name");
    return id;
}

void sn_autodiff_accumulate(sn_autodiff *ad, sn_id input, sn_id gradient)
{
    if (ad->status != SENET_OK || !sn_autodiff_wants(ad, input)) return;
    if (ad->gradients[input] == SN_NONE) {
        ad->gradients[input] = gradient;
        return;
    }
    sn_id terms[2] = {ad->gradients[input], gradient};
    ad->gradients[input] = sn_autodiff_add(ad, SN_OP_add, terms, 2, NULL);
}

static void mark_wanted(sn_autodiff *ad)
{
    for (size_t i = 0; i < ad->forward_count; i++) {
        const sn_node *node = &ad->graph->nodes[i];
        if (node->op == SN_OP_param) ad->wanted[i] = ad->graph->params[node->attrs.u.param.index].learnable;
        for (int k = 0; k < node->inputs_count; k++)
            if (node->inputs[k] != SN_NONE && ad->wanted[node->inputs[k]]) ad->wanted[i] = true;
    }
}

/* The node whose output is the gradient of parameter `index`.  A program writes it to that parameter's place, so two
 * parameters that got the same node (a + b passes dy to both) cannot share it: the second gets a copy. */
static sn_id own_gradient(sn_autodiff *ad, size_t index)
{
    const sn_graph *graph = ad->graph;
    sn_id gradient = ad->gradients[graph->params[index].node];
    bool taken = false;
    for (size_t i = 0; i < index; i++) taken |= gradient != SN_NONE && graph->params[i].gradient == gradient;
    if (!taken) return gradient;
    sn_attrs one = {.u.factor.factor = 1};
    ad->current = graph->params[index].node;
    return sn_autodiff_add(ad, SN_OP_multiply, (sn_id[]){gradient}, 1, &one);
}

senet_status sn_graph_add_gradients(sn_graph *graph, sn_id loss)
{
    sn_autodiff ad = {.graph = graph, .forward_count = graph->nodes_count, .current = loss, .status = SENET_OK};
    if (loss < 0 || (size_t)loss >= graph->nodes_count || sn_shape_elements(graph->nodes[loss].shape) != 1)
        return sn_fail(SENET_INTERNAL, "gradients are taken of a loss with one element, not of node %d", (int)loss);
    ad.gradients = malloc(ad.forward_count * sizeof *ad.gradients);
    ad.wanted = calloc(ad.forward_count, sizeof *ad.wanted);
    if (!ad.gradients || !ad.wanted) {
        ad.status = sn_fail_memory(ad.forward_count * sizeof *ad.gradients, "differentiation");
        goto cleanup;
    }
    for (size_t i = 0; i < ad.forward_count; i++) ad.gradients[i] = SN_NONE;
    mark_wanted(&ad);

    for (sn_id id = loss; id >= 0 && ad.status == SENET_OK; id--) {
        const sn_op *op = sn_op_of(graph->nodes[id].op);
        bool reached = id == loss || ad.gradients[id] != SN_NONE;
        if (!reached || !ad.wanted[id] || graph->nodes[id].op == SN_OP_param) continue;
        if (!op->gradient) {
            ad.status = sn_fail(SENET_INTERNAL, "%s has no gradient", sn_node_title(&graph->nodes[id]));
            break;
        }
        ad.current = id;
        op->gradient(&ad, id, ad.gradients[id]);
    }
    if (ad.status != SENET_OK) goto cleanup;
    for (size_t i = 0; i < graph->params_count; i++)
        if (graph->params[i].learnable) graph->params[i].gradient = own_gradient(&ad, i);
cleanup:
    free(ad.gradients);
    free(ad.wanted);
    return ad.status;
}
