/* caffe.h - Caffe's weights files (.caffemodel) as named tensors.
 *
 * A layer X gives the tensors "X.weight" and "X.bias" (Convolution, InnerProduct, Scale: gamma and beta), a BatchNorm
 * layer "X.running_mean" and "X.running_var", its sums divided by its scale factor; other layers with blobs "X.blob0"
 * and so on.  names_caffe.c knows which of our tensors they are.  The metadata is what all published files have in
 * common: pictures as BGR less their mean, and the network, where the layers tell it.
 *
 * Refused, each with a message that names the file, the place or the layer, and the values: what is no NetParameter,
 * lengths beyond the file, blobs whose numbers do not fit their shape, negative or overflowing sizes, the wrong number
 * of blobs, layers that would be the same tensor, and messages that would need far more memory than the file is long.
 */
#ifndef SN_IO_CAFFE_H
#define SN_IO_CAFFE_H

#include "io/safetensors.h"

/* Opens a .caffemodel; SENET_USAGE in a library built without protobuf-c. */
senet_status sn_caffe_open(const char *path, sn_tensors **tensors);
/* The same from memory, which the handle does not need any more; `name` stands for the path in messages. */
senet_status sn_caffe_parse(const void *bytes, size_t size, const char *name, sn_tensors **tensors);
/* Whether the library was built with protobuf-c. */
bool sn_caffe_is_supported(void);

#endif
