/* groups.h - how a batch is cut for inference: early layers run image by image, so that their large maps stay in the cache, late
 * ones on groups of images, so that their large weights are read once for several. */
#ifndef SN_EXEC_GROUPS_H
#define SN_EXEC_GROUPS_H

#include "graph/graph.h"

/* By node: how many images its step computes at a time, a power of two or the whole batch; it never falls along the graph. */
void sn_groups_choose(const sn_graph *graph, int64_t *group);

/* The graph as it is for `images` images, which shares everything but the nodes with `graph`. */
senet_status sn_view_create(const sn_graph *graph, int64_t images, sn_graph **view);
void sn_view_destroy(sn_graph *view);

#endif
