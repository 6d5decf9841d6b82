/* safetensors.c - the reader of safetensors.h.
 *
 * The format: github.com/huggingface/safetensors, README "Format".  As there, the header's names may come in any order;
 * what counts is that the data offsets, sorted, cover the data without gap or overlap. */
#include "io/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors data is little-endian and used in place");

enum { PREFIX_BYTES = 8 };

struct sn_tensors {
    char *path;
    sn_mapping mapping;         /* empty when the bytes are the caller's */
    sn_json_document *document; /* owns the names */
    sn_tensor *tensors;         /* by offset */
    const sn_tensor **by_name;
    size_t count;
    sn_metadata_entry *metadata;
    size_t metadata_count;
};

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
    [SN_TENSOR_F64] = {"F64", 8},   [SN_TENSOR_F32] = {"F32", 4}, [SN_TENSOR_F16] = {"F16", 2},
    [SN_TENSOR_BF16] = {"BF16", 2}, [SN_TENSOR_I64] = {"I64", 8}, [SN_TENSOR_I32] = {"I32", 4},
    [SN_TENSOR_I16] = {"I16", 2},   [SN_TENSOR_I8] = {"I8", 1},   [SN_TENSOR_U64] = {"U64", 8},
    [SN_TENSOR_U32] = {"U32", 4},   [SN_TENSOR_U16] = {"U16", 2}, [SN_TENSOR_U8] = {"U8", 1},
    [SN_TENSOR_BOOL] = {"BOOL", 1},
};
enum { TYPES = sizeof types / sizeof *types };

size_t sn_tensor_type_bytes(sn_tensor_type type)
{
    return types[type].bytes;
}
const char *sn_tensor_type_name(sn_tensor_type type)
{
    return types[type].name;
}

/* One entry of the header while it is read. */
typedef struct entry_reader {
    const sn_json_document *document;
    const sn_json *entry;
    char what[300]; /* "shape of tensor 'fc.weight'" */
} entry_reader;

/* The entry's member; `what` then names it. */
static const sn_json *member(entry_reader *r, const char *key)
{
    snprintf(r->what, sizeof r->what, "%s of tensor '%s'", key, r->entry->key);
    return sn_json_find(r->entry, key);
}

static senet_status read_type(entry_reader *r, sn_tensor *tensor)
{
    const sn_json *value = member(r, "dtype");
    const char *name = NULL;
    SN_RETURN_IF_FAILED(sn_json_get_string(r->document, value, r->what, &name));
    for (int type = 0; type < TYPES; type++)
        if (strcmp(types[type].name, name) == 0) {
            tensor->type = (sn_tensor_type)type;
            return SENET_OK;
        }
    return sn_fail(SENET_BAD_DATA, "%s: byte %zu: %s: '%s' is unknown", r->document->name, value->offset, r->what,
                   name);
}

/* The shape, and from it the bytes the tensor must have. */
static senet_status read_shape(entry_reader *r, sn_tensor *tensor)
{
    const char *path = r->document->name;
    const sn_json *shape = member(r, "shape");
    SN_RETURN_IF_FAILED(sn_json_expect(r->document, shape, r->what, SN_JSON_ARRAY));
    if (shape->count > SN_TENSOR_MAX_RANK)
        return sn_fail(SENET_BAD_DATA, "%s: byte %zu: %s has %zu dimensions, at most %d are supported", path,
                       shape->offset, r->what, shape->count, SN_TENSOR_MAX_RANK);
    int64_t bytes = (int64_t)types[tensor->type].bytes;
    bool empty = false, overflow = false;
    for (const sn_json *size = shape->first; size; size = size->next) {
        int64_t dim = 0;
        SN_RETURN_IF_FAILED(sn_json_get_int64(r->document, size, r->what, &dim));
        if (dim < 0)
            return sn_fail(SENET_BAD_DATA, "%s: byte %zu: %s: %lld is negative", path, size->offset, r->what,
                           (long long)dim);
        tensor->dims[tensor->rank++] = dim;
        if (dim == 0)
            empty = true;
        else
            overflow = overflow || !sn_multiply(bytes, dim, &bytes);
    }
    if (overflow)
        return sn_fail(SENET_BAD_DATA, "%s: byte %zu: %s: the product overflows", path, shape->offset, r->what);
    tensor->bytes = empty ? 0 : (size_t)bytes;
    return SENET_OK;
}

static senet_status read_offsets(entry_reader *r, const unsigned char *data, size_t data_bytes, sn_tensor *tensor)
{
    const char *path = r->document->name;
    const sn_json *pair = member(r, "data_offsets");
    int64_t begin = 0, end = 0;
    SN_RETURN_IF_FAILED(sn_json_expect(r->document, pair, r->what, SN_JSON_ARRAY));
    if (pair->count != 2)
        return sn_fail(SENET_BAD_DATA, "%s: byte %zu: %s are %zu numbers, not 2", path, pair->offset, r->what,
                       pair->count);
    SN_RETURN_IF_FAILED(sn_json_get_int64(r->document, pair->first, r->what, &begin));
    SN_RETURN_IF_FAILED(sn_json_get_int64(r->document, pair->first->next, r->what, &end));
    if (begin < 0 || end < begin)
        return sn_fail(SENET_BAD_DATA, "%s: byte %zu: %s: [%lld, %lld] is out of order", path, pair->offset, r->what,
                       (long long)begin, (long long)end);
    if ((uint64_t)end > data_bytes)
        return sn_fail(SENET_BAD_DATA, "%s: byte %zu: %s: [%lld, %lld] goes beyond the data, which has %zu bytes", path,
                       pair->offset, r->what, (long long)begin, (long long)end, data_bytes);
    if ((uint64_t)(end - begin) != tensor->bytes)
        return sn_fail(SENET_BAD_DATA,
                       "%s: byte %zu: %s: [%lld, %lld] holds %lld bytes, but dtype %s and shape need %zu", path,
                       pair->offset, r->what, (long long)begin, (long long)end, (long long)(end - begin),
                       types[tensor->type].name, tensor->bytes);
    tensor->data = data + begin;
    return SENET_OK;
}

static senet_status read_tensor(const sn_json_document *document, const sn_json *entry, const unsigned char *data,
                                size_t data_bytes, sn_tensor *tensor)
{
    entry_reader r = {.document = document, .entry = entry};
    snprintf(r.what, sizeof r.what, "tensor '%s'", entry->key);
    SN_RETURN_IF_FAILED(sn_json_expect(document, entry, r.what, SN_JSON_OBJECT));
    tensor->name = entry->key;
    SN_RETURN_IF_FAILED(read_type(&r, tensor));
    SN_RETURN_IF_FAILED(read_shape(&r, tensor));
    return read_offsets(&r, data, data_bytes, tensor);
}

static senet_status read_metadata(sn_tensors *file, const sn_json *entry)
{
    const sn_json_document *document = file->document;
    SN_RETURN_IF_FAILED(sn_json_expect(document, entry, "__metadata__", SN_JSON_OBJECT));
    if (entry->count == 0) return SENET_OK;
    file->metadata = calloc(entry->count, sizeof *file->metadata);
    if (!file->metadata) return sn_fail_memory(entry->count * sizeof *file->metadata, file->path);
    for (const sn_json *item = entry->first; item; item = item->next) {
        sn_metadata_entry *made = &file->metadata[file->metadata_count++];
        made->key = item->key;
        char what[300];
        snprintf(what, sizeof what, "metadata '%s'", item->key);
        SN_RETURN_IF_FAILED(sn_json_get_string(document, item, what, &made->value));
    }
    return SENET_OK;
}

static int compare_places(const void *a, const void *b)
{
    const sn_tensor *x = a, *y = b;
    const unsigned char *xp = x->data, *yp = y->data;
    if (xp != yp) return xp < yp ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const sn_tensor *const *)a)->name, (*(const sn_tensor *const *)b)->name);
}

/* The tensors, sorted by place, must tile the data from its first byte to its last. */
static senet_status check_tiling(const sn_tensors *file, const unsigned char *data, size_t data_bytes)
{
    size_t end = 0;
    for (size_t i = 0; i < file->count; i++) {
        const sn_tensor *tensor = &file->tensors[i];
        size_t begin = (size_t)((const unsigned char *)tensor->data - data);
        if (begin < end)
            return sn_fail(SENET_BAD_DATA, "%s: tensor '%s': data begins at %zu, inside tensor '%s', which ends at %zu",
                           file->path, tensor->name, begin, file->tensors[i - 1].name, end);
        if (begin > end)
            return sn_fail(SENET_BAD_DATA, "%s: tensor '%s': data begins at %zu, after a hole of %zu bytes", file->path,
                           tensor->name, begin, begin - end);
        end = begin + tensor->bytes;
    }
    if (end < data_bytes)
        return sn_fail(SENET_BAD_DATA, "%s: %zu bytes of data behind the last tensor, which ends at %zu", file->path,
                       data_bytes - end, end);
    return SENET_OK;
}

static senet_status read_header(sn_tensors *file, const unsigned char *data, size_t data_bytes)
{
    const sn_json *root = file->document->root;
    SN_RETURN_IF_FAILED(sn_json_expect(file->document, root, "the header", SN_JSON_OBJECT));
    file->tensors = calloc(root->count + 1, sizeof *file->tensors);
    file->by_name = calloc(root->count + 1, sizeof *file->by_name);
    if (!file->tensors || !file->by_name) return sn_fail_memory(root->count * sizeof *file->tensors, file->path);
    for (const sn_json *entry = root->first; entry; entry = entry->next) {
        if (strcmp(entry->key, "__metadata__") == 0) {
            SN_RETURN_IF_FAILED(read_metadata(file, entry));
            continue;
        }
        SN_RETURN_IF_FAILED(read_tensor(file->document, entry, data, data_bytes, &file->tensors[file->count]));
        file->count++;
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, compare_places);
    SN_RETURN_IF_FAILED(check_tiling(file, data, data_bytes));
    for (size_t i = 0; i < file->count; i++) file->by_name[i] = &file->tensors[i];
    qsort(file->by_name, file->count, sizeof *file->by_name, compare_names);
    return SENET_OK;
}

/* Finds the header and the data in the file and reads the header. */
static senet_status read_file(sn_tensors *file, const unsigned char *bytes, size_t size)
{
    uint64_t header_bytes = 0;
    if (size < PREFIX_BYTES)
        return sn_fail(SENET_BAD_DATA, "%s: %zu bytes are too few for a safetensors file", file->path, size);
    memcpy(&header_bytes, bytes, PREFIX_BYTES);
    if (header_bytes > SN_TENSORS_MAX_HEADER)
        return sn_fail(SENET_BAD_DATA, "%s: byte 0: the header size %llu is above the limit of %d", file->path,
                       (unsigned long long)header_bytes, SN_TENSORS_MAX_HEADER);
    if (header_bytes > size - PREFIX_BYTES)
        return sn_fail(SENET_BAD_DATA, "%s: byte 0: the header size %llu goes beyond the file, which has %zu bytes",
                       file->path, (unsigned long long)header_bytes, size);
    if (header_bytes == 0 || bytes[PREFIX_BYTES] != '{')
        return sn_fail(SENET_BAD_DATA, "%s: byte 8: the header does not begin with '{'", file->path);
    SN_RETURN_IF_FAILED(sn_json_parse(bytes + PREFIX_BYTES, header_bytes, file->path, PREFIX_BYTES, &file->document));
    return read_header(file, bytes + PREFIX_BYTES + header_bytes, size - PREFIX_BYTES - header_bytes);
}

/* Takes the mapping over when there is one. */
static senet_status open_bytes(const void *bytes, size_t size, const char *name, sn_mapping mapping,
                               sn_tensors **tensors)
{
    senet_status status;
    sn_tensors *file = calloc(1, sizeof *file);
    if (!file) {
        sn_file_unmap(&mapping);
        return sn_fail_memory(sizeof *file, name);
    }
    file->mapping = mapping;
    file->path = strdup(name);
    if (!file->path) {
        status = sn_fail_memory(strlen(name), name);
        goto cleanup;
    }
    SN_TRY(read_file(file, bytes, size), cleanup);
    *tensors = file;
    return SENET_OK;

cleanup:
    sn_tensors_close(file);
    return status;
}

senet_status sn_tensors_open(const char *path, sn_tensors **tensors)
{
    sn_mapping mapping = {0};
    SN_RETURN_IF_FAILED(sn_file_map(path, &mapping));
    return open_bytes(mapping.bytes, mapping.size, path, mapping, tensors);
}

senet_status sn_tensors_parse(const void *bytes, size_t size, const char *name, sn_tensors **tensors)
{
    return open_bytes(bytes, size, name, (sn_mapping){0}, tensors);
}

void sn_tensors_close(sn_tensors *tensors)
{
    if (!tensors) return;
    sn_file_unmap(&tensors->mapping);
    sn_json_destroy(tensors->document);
    free(tensors->tensors);
    free(tensors->by_name);
    free(tensors->metadata);
    free(tensors->path);
    free(tensors);
}

const char *sn_tensors_path(const sn_tensors *tensors)
{
    return tensors->path;
}
size_t sn_tensors_count(const sn_tensors *tensors)
{
    return tensors->count;
}
const sn_tensor *sn_tensors_at(const sn_tensors *tensors, size_t index)
{
    return &tensors->tensors[index];
}

const sn_tensor *sn_tensors_find(const sn_tensors *tensors, const char *name)
{
    const sn_tensor key = {.name = name}, *wanted = &key;
    const sn_tensor *const *found =
        bsearch(&wanted, tensors->by_name, tensors->count, sizeof *tensors->by_name, compare_names);
    return found ? *found : NULL;
}

const char *sn_tensors_metadata(const sn_tensors *tensors, const char *key)
{
    for (size_t i = 0; i < tensors->metadata_count; i++)
        if (strcmp(tensors->metadata[i].key, key) == 0) return tensors->metadata[i].value;
    return NULL;
}

size_t sn_tensors_metadata_count(const sn_tensors *tensors)
{
    return tensors->metadata_count;
}
sn_metadata_entry sn_tensors_metadata_at(const sn_tensors *tensors, size_t index)
{
    return tensors->metadata[index];
}
