/* caffe_file.h - writes Caffe's weights files, good and bad ones, byte by byte: independent of what reads them. */
#ifndef SN_TESTS_CAFFE_FILE_H
#define SN_TESTS_CAFFE_FILE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct caffe_bytes {
    uint8_t *bytes;
    size_t size, capacity;
} caffe_bytes;

/* Field numbers of NetParameter, LayerParameter, V1LayerParameter, BlobProto [caffe.proto]. */
enum { CAFFE_NET_NAME = 1, CAFFE_NET_OLD_LAYER = 2, CAFFE_NET_LAYER = 100 };
enum { CAFFE_LAYER_NAME = 1, CAFFE_LAYER_TYPE = 2, CAFFE_LAYER_BLOB = 7, CAFFE_LAYER_BATCH_NORM = 139 };
enum { CAFFE_OLD_NAME = 4, CAFFE_OLD_TYPE = 5, CAFFE_OLD_BLOB = 6 };
enum { CAFFE_BLOB_NUM = 1, CAFFE_BLOB_DATA = 5, CAFFE_BLOB_SHAPE = 7, CAFFE_BLOB_DOUBLES = 8 };
enum { CAFFE_BLOB_RAW_TYPE = 10, CAFFE_BLOB_RAW = 12, CAFFE_SHAPE_DIM = 1 };

static inline void caffe_add(caffe_bytes *to, const void *bytes, size_t size)
{
    if (to->size + size > to->capacity) {
        to->capacity = 2 * (to->size + size) + 64;
        to->bytes = realloc(to->bytes, to->capacity);
        if (!to->bytes) abort();
    }
    if (size) memcpy(to->bytes + to->size, bytes, size);
    to->size += size;
}

static inline void caffe_add_number(caffe_bytes *to, uint64_t value)
{
    do {
        uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        caffe_add(to, &byte, 1);
    } while (value >>= 7);
}

static inline void caffe_add_number_field(caffe_bytes *to, unsigned field, uint64_t value)
{
    caffe_add_number(to, field << 3);
    caffe_add_number(to, value);
}

static inline void caffe_add_field(caffe_bytes *to, unsigned field, const void *bytes, size_t size)
{
    caffe_add_number(to, field << 3 | 2);
    caffe_add_number(to, size);
    caffe_add(to, bytes, size);
}

static inline void caffe_add_text(caffe_bytes *to, unsigned field, const char *text)
{
    caffe_add_field(to, field, text, strlen(text));
}

/* Appends `from` as a message and empties it. */
static inline void caffe_add_message(caffe_bytes *to, unsigned field, caffe_bytes *from)
{
    caffe_add_field(to, field, from->bytes, from->size);
    free(from->bytes);
    *from = (caffe_bytes){0};
}

/* ---- blobs and layers ---- */

typedef struct caffe_blob {
    int rank;
    int64_t dims[4];
    const float *values; /* as many as the shape says; NULL: no blob */
} caffe_blob;

static inline size_t caffe_elements(const caffe_blob *blob)
{
    size_t count = 1;
    for (int d = 0; d < blob->rank; d++) count *= (size_t)blob->dims[d];
    return count;
}

static inline void caffe_add_shape(caffe_bytes *blob, int rank, const int64_t *dims)
{
    caffe_bytes packed = {0}, shape = {0};
    for (int d = 0; d < rank; d++) caffe_add_number(&packed, (uint64_t)dims[d]);
    caffe_add_message(&shape, CAFFE_SHAPE_DIM, &packed);
    caffe_add_message(blob, CAFFE_BLOB_SHAPE, &shape);
}

static inline void caffe_add_blob(caffe_bytes *layer, unsigned field, const caffe_blob *from)
{
    caffe_bytes blob = {0};
    caffe_add_field(&blob, CAFFE_BLOB_DATA, from->values, caffe_elements(from) * sizeof(float));
    caffe_add_shape(&blob, from->rank, from->dims);
    caffe_add_message(layer, field, &blob);
}

/* A layer without blobs has count 0. */
static inline void caffe_add_layer(caffe_bytes *net, const char *name, const char *type, const caffe_blob *blobs,
                                   int count)
{
    caffe_bytes layer = {0};
    caffe_add_text(&layer, CAFFE_LAYER_NAME, name);
    caffe_add_text(&layer, CAFFE_LAYER_TYPE, type);
    for (int i = 0; i < count; i++) caffe_add_blob(&layer, CAFFE_LAYER_BLOB, &blobs[i]);
    caffe_add_message(net, CAFFE_NET_LAYER, &layer);
}

#endif
