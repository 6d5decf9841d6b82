/* caffe_layer.c - the blobs of a Caffe layer as tensors: which is the weight and which the bias depends on the layer's
 * type [NAMES section 4.1]. */
#ifdef SENET_WITH_PROTOBUF

#include "io/caffe_layer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

typedef enum layer_kind { CONVOLUTION, INNER_PRODUCT, BATCH_NORM, SCALE, OTHER } layer_kind;
enum { MEAN, VARIANCE, FACTOR, BATCH_NORM_BLOBS };

static const struct {
    const char *name;
    int number; /* of before 2015; 0: did not exist then */
    layer_kind kind;
    size_t fewest, most; /* blobs */
} types[] = {
    {"Convolution", 4, CONVOLUTION, 1, 2},
    {"InnerProduct", 14, INNER_PRODUCT, 1, 2},
    {"BatchNorm", 0, BATCH_NORM, BATCH_NORM_BLOBS, BATCH_NORM_BLOBS},
    {"Scale", 0, SCALE, 1, 2},
};

static senet_status find_kind(const sn_tensors *file, const sn_caffe_layer *layer, layer_kind *kind)
{
    *kind = OTHER;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        bool same = layer->type ? strcmp(layer->type, types[i].name) == 0
                                : layer->old_type != 0 && layer->old_type == types[i].number;
        if (!same) continue;
        *kind = types[i].kind;
        if (layer->blobs_count >= types[i].fewest && layer->blobs_count <= types[i].most) return SENET_OK;
        return sn_fail(SENET_BAD_DATA, "%s: layer '%s': a %s has %zu to %zu blobs, this one has %zu", file->path,
                       layer->name, types[i].name, types[i].fewest, types[i].most, layer->blobs_count);
    }
    return SENET_OK;
}

/* ---- one blob ---- */

static senet_status read_dims(const sn_tensors *file, const sn_caffe_layer *layer, size_t index, sn_tensor *tensor)
{
    const SnCaffe__Blob *blob = layer->blobs[index];
    const int64_t legacy[4] = {blob->num, blob->channels, blob->height, blob->width};
    const int64_t *dims = blob->shape ? blob->shape->dim : legacy;
    size_t rank = blob->shape ? blob->shape->n_dim : 4;
    if (rank > SN_TENSOR_MAX_RANK)
        return sn_fail(SENET_BAD_DATA, "%s: layer '%s': blob %zu has %zu dimensions, at most %d are supported",
                       file->path, layer->name, index, rank, SN_TENSOR_MAX_RANK);
    tensor->rank = (int32_t)rank;
    if (rank) memcpy(tensor->dims, dims, rank * sizeof *dims);
    return SENET_OK;
}

/* Where the numbers are, and of which type. */
static senet_status read_data(const sn_tensors *file, const sn_caffe_layer *layer, size_t index, sn_tensor *tensor)
{
    static const sn_tensor_type raw_types[] = {SN_TENSOR_F64, SN_TENSOR_F32, SN_TENSOR_F16};
    const SnCaffe__Blob *blob = layer->blobs[index];
    tensor->type = SN_TENSOR_F32;
    tensor->data = blob->data;
    tensor->bytes = blob->n_data * sizeof *blob->data;
    if (blob->n_data == 0 && blob->n_double_data > 0) {
        tensor->type = SN_TENSOR_F64;
        tensor->data = blob->double_data;
        tensor->bytes = blob->n_double_data * sizeof *blob->double_data;
    } else if (blob->n_data == 0 && blob->raw_data.len > 0) {
        if (blob->raw_data_type < 0 || blob->raw_data_type > 2)
            return sn_fail(SENET_BAD_DATA, "%s: layer '%s': blob %zu: raw data of type %d, which is not 0, 1 or 2",
                           file->path, layer->name, index, blob->raw_data_type);
        tensor->type = raw_types[blob->raw_data_type];
        tensor->data = blob->raw_data.data;
        tensor->bytes = blob->raw_data.len;
    }
    return SENET_OK;
}

static senet_status read_blob(const sn_tensors *file, const sn_caffe_layer *layer, size_t index, sn_tensor *tensor)
{
    char shape[SN_DIMS_TEXT_BYTES];
    SN_RETURN_IF_FAILED(read_dims(file, layer, index, tensor));
    SN_RETURN_IF_FAILED(read_data(file, layer, index, tensor));
    sn_dims_text(shape, tensor->dims, tensor->rank);
    int64_t element = (int64_t)sn_tensor_type_bytes(tensor->type), bytes = element;
    for (int d = 0; d < tensor->rank; d++) {
        if (tensor->dims[d] < 0)
            return sn_fail(SENET_BAD_DATA, "%s: layer '%s': blob %zu: shape %s: %lld is negative", file->path,
                           layer->name, index, shape, (long long)tensor->dims[d]);
        if (!sn_multiply(bytes, tensor->dims[d], &bytes))
            return sn_fail(SENET_BAD_DATA, "%s: layer '%s': blob %zu: shape %s: the product overflows", file->path,
                           layer->name, index, shape);
    }
    if ((uint64_t)bytes != tensor->bytes)
        return sn_fail(SENET_BAD_DATA, "%s: layer '%s': blob %zu: shape %s needs %lld numbers, %zu are there",
                       file->path, layer->name, index, shape, (long long)(bytes / element),
                       tensor->bytes / (size_t)element);
    return SENET_OK;
}

/* Old files write every blob with four sizes, ones in front: [1,1,1000,2048] of a matrix, [1,1,1,64] of a vector. */
static void drop_leading_ones(sn_tensor *tensor, int rank)
{
    while (tensor->rank > rank && tensor->dims[0] == 1) {
        tensor->rank--;
        memmove(tensor->dims, tensor->dims + 1, (size_t)tensor->rank * sizeof *tensor->dims);
    }
}

/* ---- what a layer's blobs are ---- */

static senet_status add_tensor(sn_tensors *file, sn_caffe_store *store, const sn_caffe_layer *layer, const char *role,
                               sn_tensor *tensor)
{
    tensor->name = sn_arena_printf(&store->arena, "%s.%s", layer->name, role);
    if (!tensor->name || !sn_grow(&file->tensors, sizeof *file->tensors, &file->capacity, file->count + 1))
        return sn_fail_memory(strlen(layer->name), file->path);
    file->tensors[file->count++] = *tensor;
    return SENET_OK;
}

/* Weight, and bias if there is one. */
static senet_status add_weights(sn_tensors *file, sn_caffe_store *store, const sn_caffe_layer *layer, int weight_rank)
{
    for (size_t i = 0; i < layer->blobs_count; i++) {
        sn_tensor tensor = {0};
        SN_RETURN_IF_FAILED(read_blob(file, layer, i, &tensor));
        drop_leading_ones(&tensor, i == 0 ? weight_rank : 1);
        SN_RETURN_IF_FAILED(add_tensor(file, store, layer, i == 0 ? "weight" : "bias", &tensor));
    }
    return SENET_OK;
}

/* Reads a vector as float32 into memory of the store. */
static senet_status read_vector(const sn_tensors *file, sn_caffe_store *store, const sn_caffe_layer *layer,
                                size_t index, sn_tensor *tensor, float **values)
{
    SN_RETURN_IF_FAILED(read_blob(file, layer, index, tensor));
    drop_leading_ones(tensor, 1);
    size_t count = tensor->bytes / sn_tensor_type_bytes(tensor->type);
    *values = sn_arena_alloc(&store->arena, (count + 1) * sizeof **values);
    if (!*values) return sn_fail_memory(count * sizeof **values, file->path);
    SN_RETURN_IF_FAILED(sn_tensor_to_f32(file, tensor, *values));
    tensor->type = SN_TENSOR_F32;
    tensor->data = *values;
    tensor->bytes = count * sizeof **values;
    return SENET_OK;
}

/* Sums over batches, and what to divide them by; 0 in a network that never saw a batch. */
static senet_status add_batch_norm(sn_tensors *file, sn_caffe_store *store, const sn_caffe_layer *layer)
{
    sn_tensor tensors[BATCH_NORM_BLOBS] = {{0}};
    float *values[BATCH_NORM_BLOBS];
    for (size_t i = 0; i < BATCH_NORM_BLOBS; i++)
        SN_RETURN_IF_FAILED(read_vector(file, store, layer, i, &tensors[i], &values[i]));
    if (tensors[FACTOR].bytes != sizeof(float))
        return sn_fail(SENET_BAD_DATA, "%s: layer '%s': the scale factor is %zu numbers, not one", file->path,
                       layer->name, tensors[FACTOR].bytes / sizeof(float));
    float factor = *values[FACTOR];
    if (!(factor >= 0) || !isfinite(factor))
        return sn_fail(SENET_BAD_DATA, "%s: layer '%s': the scale factor is %g, not a number of at least 0", file->path,
                       layer->name, (double)factor);
    for (int i = MEAN; i <= VARIANCE; i++)
        for (size_t k = 0; k < tensors[i].bytes / sizeof(float); k++)
            values[i][k] = factor > 0 ? values[i][k] / factor : 0;
    if (store->epsilon != 0 && store->epsilon != layer->epsilon)
        return sn_fail(SENET_BAD_DATA, "%s: layer '%s': epsilon is %g, but %g in the layers before", file->path,
                       layer->name, (double)layer->epsilon, (double)store->epsilon);
    store->epsilon = layer->epsilon;
    SN_RETURN_IF_FAILED(add_tensor(file, store, layer, "running_mean", &tensors[MEAN]));
    return add_tensor(file, store, layer, "running_var", &tensors[VARIANCE]);
}

/* A type that none of our networks has: its blobs by number. */
static senet_status add_others(sn_tensors *file, sn_caffe_store *store, const sn_caffe_layer *layer)
{
    for (size_t i = 0; i < layer->blobs_count; i++) {
        sn_tensor tensor = {0};
        char role[32];
        snprintf(role, sizeof role, "blob%zu", i);
        SN_RETURN_IF_FAILED(read_blob(file, layer, i, &tensor));
        SN_RETURN_IF_FAILED(add_tensor(file, store, layer, role, &tensor));
    }
    return SENET_OK;
}

senet_status sn_caffe_add_layer(sn_tensors *file, sn_caffe_store *store, const sn_caffe_layer *layer)
{
    layer_kind kind;
    if (layer->blobs_count == 0) return SENET_OK;
    if (sn_utf8_prefix(layer->name, strlen(layer->name)) != strlen(layer->name))
        return sn_fail(SENET_BAD_DATA, "%s: the name of a layer with %zu blobs is not UTF-8", file->path,
                       layer->blobs_count);
    SN_RETURN_IF_FAILED(find_kind(file, layer, &kind));
    switch (kind) {
    case CONVOLUTION:
        return add_weights(file, store, layer, 4);
    case INNER_PRODUCT:
        return add_weights(file, store, layer, 2);
    case SCALE:
        return add_weights(file, store, layer, 1);
    case BATCH_NORM:
        return add_batch_norm(file, store, layer);
    default:
        return add_others(file, store, layer);
    }
}

#endif
