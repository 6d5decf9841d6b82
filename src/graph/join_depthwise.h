/* join_depthwise.h - a pass for inference, behind sn_graph_join_moves: a depthwise 3x3 convolution and the 1x1 behind it become one
 * node. */
#ifndef SN_GRAPH_JOIN_DEPTHWISE_H
#define SN_GRAPH_JOIN_DEPTHWISE_H

#include "graph/graph.h"

/* Which pairs are joined: all, or those of large maps alone, for which nothing speaks against it (join_depthwise.c). */
typedef enum sn_join_depthwise { SN_JOIN_LARGE, SN_JOIN_ALL } sn_join_depthwise;

/* Not for int8, whose kernels take the two one after the other. */
senet_status sn_graph_join_depthwise(const sn_graph *graph, sn_join_depthwise which, sn_graph **joined);

#endif
