/* quantization.h - what a network needs besides its weights to run in int8: the range of every stored tensor, and the layers that
 * stay in floating point.  A weights file keeps it as JSON in its metadata, under the key SN_QUANTIZATION_KEY:
 *
 *     {"version":1,"kept":["conv1"],"tensors":{"relu":[0.0213,0],"layer1.0.relu1":[0.0184,0]}}
 *
 * A tensor is named like the node that makes it, after batch norm was folded; the picture is "input".  A layer is named like its
 * weight: "layer1.0.conv1".
 */
#ifndef SN_GRAPH_QUANTIZATION_H
#define SN_GRAPH_QUANTIZATION_H

#include "base/text.h"
#include "graph/graph.h"

#define SN_QUANTIZATION_KEY "int8"

typedef struct sn_tensor_quant {
    const char *name;
    sn_quant quant;
} sn_tensor_quant;

typedef struct sn_quantization {
    sn_arena arena; /* of the names */
    sn_tensor_quant *tensors;
    size_t tensors_count, tensors_capacity;
    const char **kept;
    size_t kept_count, kept_capacity;
} sn_quantization;

senet_status sn_quantization_create(sn_quantization **quantization);
void sn_quantization_destroy(sn_quantization *quantization);

/* Sets a tensor's range; the name is copied. */
senet_status sn_quantization_set(sn_quantization *quantization, const char *tensor, sn_quant quant);
/* NULL where there is none. */
const sn_quant *sn_quantization_find(const sn_quantization *quantization, const char *tensor);
/* Keeps a layer in floating point; once is enough. */
senet_status sn_quantization_keep(sn_quantization *quantization, const char *layer);
bool sn_quantization_keeps(const sn_quantization *quantization, const char *layer);

void sn_quantization_write(const sn_quantization *quantization, sn_text *text);
/* SENET_BAD_DATA with the place in the text, `file` before it. */
senet_status sn_quantization_read(const char *text, const char *file, sn_quantization **quantization);

#endif
