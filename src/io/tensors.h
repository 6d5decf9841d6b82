/* tensors.h - what is behind the handle of safetensors.h, for those who make one: the readers of weights files.
 *
 * A reader fills in tensors and metadata from whatever its format is (safetensors.c, caffe.c); everybody else sees
 * named tensors. */
#ifndef SN_IO_TENSORS_H
#define SN_IO_TENSORS_H

#include "base/memory.h"
#include "io/safetensors.h"

struct sn_tensors {
    char *path;
    sn_tensor *tensors; /* in the order of the file */
    size_t count, capacity;
    const sn_tensor **by_name; /* made by sn_tensors_index */
    sn_metadata_entry *metadata;
    size_t metadata_count;
    void *content;                  /* what the reader keeps behind names and data */
    void (*release)(void *content); /* frees it; NULL: nothing to free */
    bool mapped;                    /* data lies in a file's pages, which can be dropped and come back */
};

/* An empty handle; sn_tensors_close frees it at any stage. */
senet_status sn_tensors_new(const char *path, sn_tensors **tensors);
/* Makes the tensors findable by name; their array does not move any more. */
senet_status sn_tensors_index(sn_tensors *tensors);

/* ---- weights in 8 bits (tensor_int8.c): I8 "NAME" and F32 "NAME_scale" ---- */

enum { SN_SCALED_NAME = 512 };
/* Whether the tensor is the scales of an I8 tensor of the file. */
bool sn_tensor_is_scale(const sn_tensors *file, const sn_tensor *tensor);
/* Elements of an I8 tensor as float32; its scales are checked. */
senet_status sn_tensor_dequantize(const sn_tensors *file, const sn_tensor *tensor, float *out);
/* outputs x each values to integers and a scale an output, largest value / 127. */
void sn_quantize_outputs(const float *values, int64_t outputs, int64_t each, int8_t *quantized, float *scales);

/* "[64,3,7,7]" for messages; cut short rather than overflowing.  Returns `text`. */
enum { SN_DIMS_TEXT_BYTES = 128 };
const char *sn_dims_text(char text[SN_DIMS_TEXT_BYTES], const int64_t *dims, int rank);

#endif
