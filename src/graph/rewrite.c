/* rewrite.c - see rewrite.h. */
#include "graph/rewrite.h"

#include <stdlib.h>

#include "ops/op.h"

/* ---- the walk ---- */

sn_id sn_rewrite_mapped(const sn_rewrite *rw, sn_id old)
{
    return old == SN_NONE ? SN_NONE : rw->map[old];
}

senet_status sn_rewrite_append(sn_rewrite *rw, const sn_node *named, sn_op_kind op, const sn_id *inputs, int count,
                               const sn_attrs *attrs, sn_id *id)
{
    return sn_graph_add(rw->to, op, inputs, count, attrs, named->name, id);
}

static senet_status copy_node(sn_rewrite *rw, const sn_node *node, sn_id *id)
{
    if (node->op == SN_OP_param) return sn_graph_add_param(rw->to, &rw->from->params[node->attrs.u.param.index], id);
    sn_id inputs[SN_MAX_INPUTS];
    for (int i = 0; i < node->inputs_count; i++) inputs[i] = sn_rewrite_mapped(rw, node->inputs[i]);
    return sn_rewrite_append(rw, node, node->op, inputs, node->inputs_count, &node->attrs, id);
}

static void count_uses(sn_rewrite *rw)
{
    const sn_graph *g = rw->from;
    for (size_t i = 0; i < g->nodes_count; i++)
        for (int k = 0; k < g->nodes[i].inputs_count; k++)
            if (g->nodes[i].inputs[k] != SN_NONE) rw->uses[g->nodes[i].inputs[k]]++;
    for (size_t i = 0; i < g->outputs_count; i++) rw->uses[g->outputs[i].node]++;
    for (size_t i = 0; i < g->params_count; i++)
        if (g->params[i].gradient != SN_NONE) rw->uses[g->params[i].gradient]++;
}

static senet_status carry_over(sn_rewrite *rw)
{
    for (size_t i = 0; i < rw->from->outputs_count; i++)
        SN_RETURN_IF_FAILED(sn_graph_add_output(rw->to, rw->from->outputs[i].name, rw->map[rw->from->outputs[i].node]));
    for (size_t i = 0; i < rw->from->params_count; i++)
        rw->to->params[i].gradient = sn_rewrite_mapped(rw, rw->from->params[i].gradient);
    return SENET_OK;
}

/* visit may be NULL: copies; keep may be NULL: filters. */
static senet_status walk(const sn_graph *from, sn_rewrite_visitor visit, const void *context, const bool *keep,
                         sn_graph **result)
{
    sn_rewrite rw = {.from = from, .context = context};
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
    senet_status status = walk(graph, NULL, NULL, live, pruned);
    free(live);
    return status;
}

senet_status sn_rewrite_graph(const sn_graph *graph, sn_rewrite_visitor visit, const void *context, sn_graph **result)
{
    sn_graph *whole = NULL;
    *result = NULL;
    SN_RETURN_IF_FAILED(walk(graph, visit, context, NULL, &whole));
    senet_status status = sn_graph_drop_dead(whole, result);
    sn_graph_destroy(whole);
    return status;
}

const sn_node *sn_rewrite_absorbable(const sn_rewrite *rw, const sn_node *node, int k, sn_op_kind op)
{
    sn_id old = node->inputs[k];
    if (old == SN_NONE || rw->uses[old] != 1) return NULL;
    const sn_node *made = &rw->to->nodes[rw->map[old]];
    return made->op == op ? made : NULL;
}

bool sn_rewrite_clamps(sn_activation kind) { return kind == SN_IDENTITY || kind == SN_RELU || kind == SN_RELU6; }

bool sn_rewrite_is_depthwise(const sn_graph *graph, const sn_node *conv)
{
    const sn_conv_attrs *a = &conv->attrs.u.conv;
    sn_shape w = graph->nodes[conv->inputs[1]].shape;
    return a->groups == w.c && w.w == 1 && w.n == 3 && w.h == 3 && a->stride <= 2 && sn_rewrite_clamps(a->activation) &&
           conv->inputs[3] == SN_NONE;
}

bool sn_rewrite_is_pointwise(const sn_graph *graph, const sn_node *node)
{
    const sn_conv_attrs *a = &node->attrs.u.conv;
    if (node->op != SN_OP_conv2d) return false;
    sn_shape w = graph->nodes[node->inputs[1]].shape;
    for (int k = 3; k < node->inputs_count; k++)
        if (node->inputs[k] != SN_NONE) return false;
    return w.n == 1 && w.h == 1 && a->groups == 1 && a->stride == 1 && !a->pad_top && !a->pad_left && !a->pad_bottom &&
           !a->pad_right && a->shuffle <= 1;
}
