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

/* "[64,3,7,7]" for messages; cut short rather than overflowing.  Returns `text`. */
enum { SN_DIMS_TEXT_BYTES = 128 };
const char *sn_dims_text(char text[SN_DIMS_TEXT_BYTES], const int64_t *dims, int rank);

#endif
