/* groups.c - see groups.h. */
#include "exec/groups.h"

#include <stdlib.h>
#include <string.h>

#include "exec/exec.h"
#include "ops/op.h"

/* What a step reads and writes for its images should stay in the last-level cache beside what its neighbours left there; a few
 * MB of 16 or 32. */
enum { GROUP_BYTES = 8 * 1024 * 1024 };

/* Whether an output of image n depends on image n alone. */
static bool keeps_images_apart(const sn_node *node)
{
    switch (node->op) {
    case SN_OP_bn_stats:
    case SN_OP_channel_sum:
    case SN_OP_bn_grad_sums:
    case SN_OP_conv2d_grad_weight:
    case SN_OP_cross_entropy:
    case SN_OP_cross_entropy_grad: return false;
    default: return !sn_op_of(node->op)->effect;
    }
}

/* Bytes of activations that a node reads and writes per image; weights do not count. */
static int64_t image_bytes(const sn_graph *graph, const sn_node *node)
{
    size_t bytes = (size_t)sn_shape_elements(node->shape) * sn_dtype_bytes(node->dtype, SN_FLOAT);
    for (int k = 0; k < node->inputs_count; k++) {
        const sn_node *input = sn_input_of(graph, node, k);
        if (input && input->op != SN_OP_param)
            bytes += (size_t)sn_shape_elements(input->shape) * sn_dtype_bytes(input->dtype, SN_FLOAT);
    }
    return (int64_t)bytes / graph->batch;
}

void sn_groups_choose(const sn_graph *graph, int64_t *group)
{
    size_t apart = 0; /* nodes before the first that needs the whole batch */
    while (apart < graph->nodes_count && keeps_images_apart(&graph->nodes[apart])) apart++;
    for (size_t i = apart; i < graph->nodes_count; i++) group[i] = graph->batch;
    int64_t least = graph->batch;
    for (size_t i = apart; i-- > 0;) {
        const sn_node *node = &graph->nodes[i];
        bool source = node->op == SN_OP_param || node->op == SN_OP_input;
        if (source && node->op == SN_OP_input && node->shape.n != graph->batch) { /* not a batch of images */
            for (size_t k = 0; k < graph->nodes_count; k++) group[k] = graph->batch;
            return;
        }
        int64_t fit = 1;
        while (!source && fit < least && 2 * fit * image_bytes(graph, node) <= GROUP_BYTES) fit *= 2;
        if (!source && fit < least) least = fit;
        group[i] = least;
    }
}

/* Whether the node's first dimension counts images: it depends on an input. */
static void find_batched(const sn_graph *graph, bool *batched)
{
    for (size_t i = 0; i < graph->nodes_count; i++) {
        const sn_node *node = &graph->nodes[i];
        batched[i] = node->op == SN_OP_input;
        for (int k = 0; k < node->inputs_count; k++)
            if (node->inputs[k] != SN_NONE && batched[node->inputs[k]]) batched[i] = true;
    }
}

senet_status sn_view_create(const sn_graph *graph, int64_t images, sn_graph **view)
{
    size_t n = graph->nodes_count;
    sn_graph *made = calloc(1, sizeof *made);
    sn_node *nodes = malloc((n + 1) * sizeof *nodes);
    bool *batched = malloc(n + 1);
    *view = NULL;
    if (!made || !nodes || !batched) {
        free(made);
        free(nodes);
        free(batched);
        return sn_fail_memory(n * sizeof *nodes, "a view of a graph");
    }
    find_batched(graph, batched);
    memcpy(nodes, graph->nodes, n * sizeof *nodes);
    for (size_t i = 0; i < n; i++)
        if (batched[i] && nodes[i].shape.n == graph->batch) nodes[i].shape.n = images;
    *made = *graph;
    made->nodes = nodes;
    made->batch = images;
    free(batched);
    *view = made;
    return SENET_OK;
}

void sn_view_destroy(sn_graph *view)
{
    if (!view) return;
    free(view->nodes);
    free(view);
}
