/* lower.h - passes that give activations a narrow storage: last of all passes, as what follows would have to know about it.
 *
 * A lowered graph has the same nodes; those whose values are maps (or come from maps) are stored as bf16 or int8, while vectors of the
 * squeeze and the excitation, statistics, parameters, losses and the outputs stay real.  Kernels sum in float. */
#ifndef SN_GRAPH_LOWER_H
#define SN_GRAPH_LOWER_H

#include "graph/quantization.h"

/* "fp32", "bf16", "int8" */
const char *sn_precision_name(senet_precision precision);

/* Activations and their gradients as bf16.  A convolution whose input is bf16, or the first one of a picture, writes bf16, and so does
 * what is computed from bf16 element by element; outputs are converted back to real.  Layers on vectors (excitations, classifiers) stay
 * real but for their weights. */
senet_status sn_graph_lower_bf16(const sn_graph *graph, sn_graph **lowered);

/* For inference: maps as int8 with the ranges of `quantization`, where layers read them that it does not keep; weights are packed as
 * int8 by the kernels.  SENET_BAD_DATA, naming it, for a tensor without a range. */
senet_status sn_graph_lower_int8(const sn_graph *graph, const sn_quantization *quantization, sn_graph **lowered);

/* By node of a folded graph: whether its output needs a range, and whether it is a layer that can be int8.  Arrays of the caller. */
senet_status sn_graph_int8_tensors(const sn_graph *graph, bool *ranged, bool *layers);
/* A tensor's name in a quantization. */
const char *sn_quantized_name(const sn_node *node);
enum { SN_LAYER_NAME_BYTES = 256 };
/* The layer of a convolution, its weight's name without ".weight"; false where the node is none. */
bool sn_layer_name(const sn_graph *graph, const sn_node *node, char name[SN_LAYER_NAME_BYTES]);

#endif
