/* rewrite.h - the walk behind every graph-to-graph pass: nodes are visited in order, and each is appended to a new
 * graph, as it is or joined with nodes just appended; what was joined away is dead and dropped at the end.
 *
 * A node may be absorbed by its consumer only when nothing else uses it and no output names it. */
#ifndef SN_GRAPH_REWRITE_H
#define SN_GRAPH_REWRITE_H

#include "graph/graph.h"

typedef struct sn_rewrite {
    const sn_graph *from;
    sn_graph *to;
    sn_id *map;          /* old node -> new node */
    int32_t *uses;       /* of an old node: consumers, plus one for being an output or a gradient */
    const void *context; /* the visitor's own */
} sn_rewrite;

/* Appends what stands for old node `id` and sets *made, or leaves *done false to have the node copied. */
typedef senet_status (*sn_rewrite_visitor)(sn_rewrite *rw, sn_id id, bool *done, sn_id *made);

/* The graph as the visitor makes it, without dead nodes. */
senet_status sn_rewrite_graph(const sn_graph *graph, sn_rewrite_visitor visit, const void *context, sn_graph **result);

/* The new node for an old one; SN_NONE for none. */
sn_id sn_rewrite_mapped(const sn_rewrite *rw, sn_id old);
/* Appends a node with the name of old node `named`. */
senet_status sn_rewrite_append(sn_rewrite *rw, const sn_node *named, sn_op_kind op, const sn_id *inputs, int count,
                               const sn_attrs *attrs, sn_id *id);
/* The new node standing for old input `k` of `node` when it may be absorbed and is of this op, else NULL. */
const sn_node *sn_rewrite_absorbable(const sn_rewrite *rw, const sn_node *node, int k, sn_op_kind op);

/* Whether the activation only holds values at ends, which the end of every kernel can do. */
bool sn_rewrite_clamps(sn_activation kind);

/* Whether depthwise 3x3 kernels take the convolution, with a gate in front too. */
bool sn_rewrite_is_depthwise(const sn_graph *graph, const sn_node *conv);

/* Whether the node is a dense 1x1 convolution with stride 1 to which nothing but bias and activation is joined. */
bool sn_rewrite_is_pointwise(const sn_graph *graph, const sn_node *node);

/* A pass of sn_graph_fuse on graphs with gradients (join_norms.c). */
senet_status sn_rewrite_join_norms(const sn_graph *graph, sn_graph **joined);

#endif
