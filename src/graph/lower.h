/* lower.h - passes that give activations a narrow storage: last of all passes, as what follows would have to know about it.
 *
 * A lowered graph has the same nodes; those whose values are maps (or come from maps) are stored as bf16 or int8, while vectors of the
 * squeeze and the excitation, statistics, parameters, losses and the outputs stay real.  Kernels sum in float. */
#ifndef SN_GRAPH_LOWER_H
#define SN_GRAPH_LOWER_H

#include "graph/graph.h"

/* "fp32", "bf16", "int8" */
const char *sn_precision_name(senet_precision precision);

/* Activations and their gradients as bf16.  A convolution whose input is bf16, or the first one of a picture, writes bf16, and so does
 * what is computed from bf16 element by element; outputs are converted back to real.  Layers on vectors (excitations, classifiers) stay
 * real but for their weights. */
senet_status sn_graph_lower_bf16(const sn_graph *graph, sn_graph **lowered);

#endif
