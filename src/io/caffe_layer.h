/* caffe_layer.h - between the two halves of the Caffe reader: caffe.c, which finds and unpacks layers, and
 * caffe_layer.c, which makes tensors of their blobs. */
#ifndef SN_IO_CAFFE_LAYER_H
#define SN_IO_CAFFE_LAYER_H

#include "io/caffe.pb-c.h"
#include "io/tensors.h"

/* A layer in whichever of the two messages it came. */
typedef struct sn_caffe_layer {
    const char *name, *type; /* type: NULL when it is a number */
    int old_type;
    SnCaffe__Blob *const *blobs; /* must live as long as the tensors */
    size_t blobs_count;
    float epsilon; /* of a BatchNorm */
} sn_caffe_layer;

/* What the reader keeps behind its tensors. */
typedef struct sn_caffe_store {
    sn_arena arena; /* names, running statistics */
    float epsilon;  /* of the batch norms so far; 0: there was none */
} sn_caffe_store;

/* Appends the layer's tensors to the file; a layer without blobs has none. */
senet_status sn_caffe_add_layer(sn_tensors *file, sn_caffe_store *store, const sn_caffe_layer *layer);

/* The network that the tensors' names and shapes tell, "se_resnet50:classes=365"; false when they do not
 * (caffe_network.c). */
bool sn_caffe_deduce_network(const sn_tensors *file, char *name, size_t size);

#endif
