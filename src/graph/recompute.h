/* recompute.h - gradients that need values of the forward pass get them computed again, so that the values need not be
 * kept (Chen, Xu, Zhang, Guestrin 2016, "Training deep nets with sublinear memory cost"). */
#ifndef SN_GRAPH_RECOMPUTE_H
#define SN_GRAPH_RECOMPUTE_H

#include "graph/graph.h"

typedef struct sn_recompute_plan {
    /* The forward pass is cut into segments at places where a single map is all that the rest of the network reads.
     * That map is kept; the others are made again, segment by segment, when the first gradient asks, but for those of
     * the last segment.  Segments are as long as they can be for the bytes that are kept and brought back at a time,
     * and those of some gradients, to stay below this limit.  0: no segments, all maps are kept. */
    int64_t limit;
    int gradients; /* of the segment's largest map, that are counted in */
    /* Also what costs one pass over memory (batch norm, activations, gates, pooling) is made again from what it was
     * made from: once for each segment's gradients, whatever segment it is in. */
    bool passes;
} sn_recompute_plan;

/* Of a fused graph with gradients and an output "loss": the same values, in less memory.  Vectors (statistics, gates)
 * are always kept, and nothing that acts, such as the update of running statistics, is done twice.  Comes before the
 * passes of lower.h. */
senet_status sn_graph_recompute(const sn_graph *graph, const sn_recompute_plan *plan, sn_graph **result);

/* Bytes of the maps of the forward pass: what limits are a share of. */
int64_t sn_graph_map_bytes(const sn_graph *graph);

#endif
