/* safetensors.h - the safetensors format, read by strict rules and written atomically.
 *
 * File: 8 bytes little-endian header size, a JSON object, the data.  Refused, each with its own message that names the file,
 * the place and the value: a header above 100 MB or beyond the file, JSON that is not an object of tensors, bytes that are
 * not UTF-8, duplicate names, unknown dtypes, negative or overflowing shapes, offsets that overlap, leave holes, end before
 * they begin or do not match shape x dtype, data shorter or longer than the header says.  The header may list tensors in any
 * order, as the reference reader allows. */
#ifndef SN_IO_SAFETENSORS_H
#define SN_IO_SAFETENSORS_H

#include <stdbool.h>

#include "base/status.h"

typedef enum sn_tensor_type {
    SN_TENSOR_F64, SN_TENSOR_F32, SN_TENSOR_F16, SN_TENSOR_BF16,
    SN_TENSOR_I64, SN_TENSOR_I32, SN_TENSOR_I16, SN_TENSOR_I8, SN_TENSOR_U64, SN_TENSOR_U32, SN_TENSOR_U16, SN_TENSOR_U8, SN_TENSOR_BOOL
} sn_tensor_type;
enum { SN_TENSOR_MAX_RANK = 8, SN_TENSORS_MAX_HEADER = 100000000 };

size_t sn_tensor_type_bytes(sn_tensor_type type);
const char *sn_tensor_type_name(sn_tensor_type type); /* "F32" */

typedef struct sn_tensor {
    const char *name;
    sn_tensor_type type;
    int32_t rank;
    int64_t dims[SN_TENSOR_MAX_RANK];
    const void *data; /* into the mapped file: may be unaligned */
    size_t bytes;
} sn_tensor;

typedef struct sn_metadata_entry {
    const char *key, *value;
} sn_metadata_entry;

/* An open file: its tensors in file order, its metadata, the mapping behind them. */
typedef struct sn_tensors sn_tensors;
senet_status sn_tensors_open(const char *path, sn_tensors **tensors);
/* The same from memory, which must outlive the handle; `name` stands for the path in messages. */
senet_status sn_tensors_parse(const void *bytes, size_t size, const char *name, sn_tensors **tensors);
void sn_tensors_close(sn_tensors *tensors);
const char *sn_tensors_path(const sn_tensors *tensors);
size_t sn_tensors_count(const sn_tensors *tensors);
const sn_tensor *sn_tensors_at(const sn_tensors *tensors, size_t index);
const sn_tensor *sn_tensors_find(const sn_tensors *tensors, const char *name); /* NULL if absent */
const char *sn_tensors_metadata(const sn_tensors *tensors, const char *key);   /* NULL if absent */
size_t sn_tensors_metadata_count(const sn_tensors *tensors);
sn_metadata_entry sn_tensors_metadata_at(const sn_tensors *tensors, size_t index);

/* Elements as float32: F32, F64, F16, BF16 are converted; other types are an error. `out` holds the tensor's elements. */
senet_status sn_tensor_to_f32(const sn_tensors *tensors, const sn_tensor *tensor, float *out);

/* Tells the system that the tensor's data is not needed for now: its pages leave this process, and come back when they are read. */
void sn_tensor_drop(const sn_tensors *tensors, const sn_tensor *tensor);

/* Writes a file: temporary file beside it, fsync, rename, fsync of the folder; what was there stays until then. Tensors are
 * written in the order given, data aligned to 8 bytes. */
senet_status sn_tensors_write(const char *path, const sn_tensor *tensors, size_t count, const sn_metadata_entry *metadata,
                              size_t metadata_count);

#endif
