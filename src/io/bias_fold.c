/* bias_fold.c - see bias_fold.h.  The batch norm is found in the graph, in any of the shapes it has there:
 *
 *   inference    w -> conv2d -> bn_apply(.., bn_pack(mean, var), ..)
 *   training     w -> conv2d -> bn_apply(.., bn_stats, ..),  bn_update(bn_stats, mean, var)
 *   folded       w -> bn_fold_weight(w, bn_pack(mean, var), gamma) -> conv2d
 */
#include "io/bias_fold.h"

#include <string.h>

#include "ops/op.h"

enum { CONV_WEIGHT_INPUT = 1, CONV_RESIDUAL_INPUT = 3, BN_STATS_INPUT = 1 };

/* What backward passes read does not change what forward passes compute. */
static bool is_gradient(sn_op_kind op)
{
    return strstr(sn_op_of(op)->name, "_grad") != NULL;
}

/* The forward node that reads `id`, SN_NONE when there is none or more than one.  bn_stats only looks. */
static sn_id only_reader(const sn_graph *graph, sn_id id)
{
    sn_id reader = SN_NONE;
    for (size_t n = 0; n < graph->nodes_count; n++) {
        const sn_node *node = &graph->nodes[n];
        if (node->op == SN_OP_bn_stats || is_gradient(node->op)) continue;
        for (int i = 0; i < node->inputs_count; i++) {
            if (node->inputs[i] != id) continue;
            if (reader != SN_NONE) return SN_NONE;
            reader = (sn_id)n;
        }
    }
    return reader;
}

/* The running mean behind a `stats` value: packed from it, or the one it updates. */
static int mean_of_stats(const sn_graph *graph, sn_id stats)
{
    sn_id mean = SN_NONE;
    if (graph->nodes[stats].op == SN_OP_bn_pack) mean = graph->nodes[stats].inputs[0];
    for (size_t n = 0; n < graph->nodes_count && mean == SN_NONE; n++)
        if (graph->nodes[n].op == SN_OP_bn_update && graph->nodes[n].inputs[0] == stats)
            mean = graph->nodes[n].inputs[1];
    return mean == SN_NONE || graph->nodes[mean].op != SN_OP_param ? -1 : graph->nodes[mean].attrs.u.param.index;
}

int sn_running_mean_behind(const sn_graph *graph, int weight)
{
    sn_id id = only_reader(graph, graph->params[weight].node);
    if (id == SN_NONE) return -1;
    const sn_node *node = &graph->nodes[id];
    if (node->op == SN_OP_bn_fold_weight) return mean_of_stats(graph, node->inputs[BN_STATS_INPUT]);
    bool plain = node->op == SN_OP_conv2d && node->inputs[CONV_WEIGHT_INPUT] == graph->params[weight].node &&
                 node->attrs.u.conv.activation == SN_IDENTITY &&
                 (node->inputs_count <= CONV_RESIDUAL_INPUT || node->inputs[CONV_RESIDUAL_INPUT] == SN_NONE);
    sn_id norm = plain ? only_reader(graph, id) : SN_NONE;
    if (norm == SN_NONE || graph->nodes[norm].op != SN_OP_bn_apply || graph->nodes[norm].inputs[0] != id) return -1;
    return mean_of_stats(graph, graph->nodes[norm].inputs[BN_STATS_INPUT]);
}

double sn_weights_bn_epsilon(const sn_graph *graph)
{
    for (size_t n = 0; n < graph->nodes_count; n++) {
        sn_op_kind op = graph->nodes[n].op;
        if (op == SN_OP_bn_apply || op == SN_OP_bn_fold_weight) return graph->nodes[n].attrs.u.norm.epsilon;
    }
    return 0;
}
