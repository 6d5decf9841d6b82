/* names_caffe.h - what Caffe's published networks call our tensors. */
#ifndef SN_IO_NAMES_CAFFE_H
#define SN_IO_NAMES_CAFFE_H

#include "io/names.h"

/* Rewrites "conv2_1_1x1_reduce/bn.running_mean" (a layer and the role of its blob, as caffe.h makes them) to the
 * canonical name of the model `base`, "layer1.0.bn1.running_mean".  false, with `canonical` unchanged, for a name that
 * is none of theirs. */
bool sn_canonical_caffe_name(const char *base, const char *name, char canonical[SN_MAX_TENSOR_NAME]);

#endif
