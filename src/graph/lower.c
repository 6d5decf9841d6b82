/* lower.c - see lower.h. */
#include "graph/lower.h"

#include <stdlib.h>

#include "ops/op.h"

const char *sn_precision_name(senet_precision precision)
{
    static const char *const names[] = {[SENET_FP32] = "fp32", [SENET_BF16] = "bf16", [SENET_INT8] = "int8"};
    return names[precision];
}

typedef struct lowering {
    const sn_graph *from;
    sn_graph *to;
    sn_id *map; /* old node -> new node */
    bool trains; /* weights change at every step: rounding them anew would cost more than it saves */
} lowering;

/* Ops that turn maps into maps of the same kind; the others (sums over pixels, gradients of weights, losses) write real values. */
static bool keeps_storage(const sn_node *node)
{
    switch (node->op) {
    case SN_OP_conv2d:
    case SN_OP_depthwise_pointwise:
    case SN_OP_conv2d_grad_input:
    case SN_OP_bn_apply:
    case SN_OP_bn_grad_input:
    case SN_OP_activation:
    case SN_OP_activation_grad:
    case SN_OP_add:
    case SN_OP_multiply:
    case SN_OP_dropout:
    case SN_OP_mix:
    case SN_OP_mix_grad:
    case SN_OP_squeeze_avg_grad:
    case SN_OP_squeeze_max_grad:
    case SN_OP_scale_add:
    case SN_OP_scale_grad_input:
    case SN_OP_pool2d:
    case SN_OP_pool2d_grad:
    case SN_OP_adaptive_avg_grad:
    case SN_OP_subsample:
    case SN_OP_subsample_grad:
    case SN_OP_concat:
    case SN_OP_channel_shuffle:
    case SN_OP_slice: return true;
    case SN_OP_adaptive_avg: return node->shape.h * node->shape.w > 1; /* the global average is a vector */
    case SN_OP_scale_grad_gate: return node->shape.h * node->shape.w > 1;
    default: return false;
    }
}

static sn_dtype dtype_of(const sn_graph *to, const sn_node *node)
{
    if (node->dtype != SN_REAL || !keeps_storage(node)) return node->dtype;
    for (int k = 0; k < node->inputs_count; k++) {
        const sn_node *input = sn_input_of(to, node, k);
        if (input && input->dtype == SN_BF16) return SN_BF16;
    }
    const sn_node *x = sn_input_of(to, node, 0);
    bool pictures = node->op == SN_OP_conv2d && x->shape.h * x->shape.w > 1;
    return pictures ? SN_BF16 : SN_REAL;
}

static senet_status lower_node(lowering *l, sn_id id)
{
    const sn_node *node = &l->from->nodes[id];
    if (node->op == SN_OP_param) return sn_graph_add_param(l->to, &l->from->params[node->attrs.u.param.index], &l->map[id]);
    sn_id inputs[SN_MAX_INPUTS];
    for (int k = 0; k < node->inputs_count; k++) inputs[k] = node->inputs[k] == SN_NONE ? SN_NONE : l->map[node->inputs[k]];
    SN_RETURN_IF_FAILED(sn_graph_add(l->to, node->op, inputs, node->inputs_count, &node->attrs, node->name, &l->map[id]));
    sn_node *made = &l->to->nodes[l->map[id]];
    made->dtype = node->dtype; /* the shape rules hand on the inputs' type */
    made->dtype = dtype_of(l->to, made);
    if (made->op == SN_OP_conv2d && made->dtype == SN_REAL && !l->trains) made->attrs.u.conv.narrow_weights = true;
    return SENET_OK;
}

/* The node, converted to real where it is narrow: what leaves the graph. */
static senet_status widened(lowering *l, sn_id id, sn_id *real)
{
    const sn_node *node = &l->to->nodes[id];
    *real = id;
    if (!sn_dtype_is_narrow(node->dtype)) return SENET_OK;
    sn_attrs attrs = {.u.convert.dtype = SN_REAL};
    return sn_graph_add(l->to, SN_OP_convert, &id, 1, &attrs, node->name, real);
}

senet_status sn_graph_lower_bf16(const sn_graph *graph, sn_graph **lowered)
{
    lowering l = {.from = graph};
    *lowered = NULL;
    senet_status status = sn_graph_create(graph->batch, &l.to);
    if (status != SENET_OK) return status;
    l.map = malloc((graph->nodes_count + 1) * sizeof *l.map);
    if (!l.map) {
        status = sn_fail_memory(graph->nodes_count * sizeof *l.map, "a graph pass");
        goto cleanup;
    }
    for (size_t i = 0; i < graph->params_count; i++) l.trains = l.trains || graph->params[i].gradient != SN_NONE;
    for (size_t i = 0; i < graph->nodes_count; i++) SN_TRY(lower_node(&l, (sn_id)i), cleanup);
    for (size_t i = 0; i < graph->outputs_count; i++) {
        sn_id real;
        SN_TRY(widened(&l, l.map[graph->outputs[i].node], &real), cleanup);
        SN_TRY(sn_graph_add_output(l.to, graph->outputs[i].name, real), cleanup);
    }
    for (size_t i = 0; i < graph->params_count; i++) {
        sn_id gradient = graph->params[i].gradient;
        l.to->params[i].gradient = gradient == SN_NONE ? SN_NONE : l.map[gradient];
    }
    *lowered = l.to;
    l.to = NULL;
cleanup:
    sn_graph_destroy(l.to);
    free(l.map);
    return status;
}
