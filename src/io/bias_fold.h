/* bias_fold.h - which batch norm swallows a convolution's bias. */
#ifndef SN_IO_BIAS_FOLD_H
#define SN_IO_BIAS_FOLD_H

#include "graph/graph.h"

/* A batch norm behind a convolution makes the convolution's bias b redundant: (x + b) - mean = x - (mean - b).  The
 * index of the running mean that takes the bias of the convolution with weight parameter `weight`, or -1 where the
 * convolution's output also goes elsewhere, or where no batch norm follows. */
int sn_running_mean_behind(const sn_graph *graph, int weight);

/* Epsilon of the graph's batch norms; 0 when it has none. */
double sn_weights_bn_epsilon(const sn_graph *graph);

#endif
