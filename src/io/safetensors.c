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
#include "io/tensors.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors data is little-endian and used in place");

enum { PREFIX_BYTES = 8 };

/* What a handle stands on. */
typedef struct content {
    sn_mapping mapping;         /* empty when the bytes are the caller's */
    sn_json_document *document; /* owns the names */
} content;

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
    for (int type = 0; type <= SN_TENSOR_BOOL; type++)
        if (strcmp(sn_tensor_type_name((sn_tensor_type)type), name) == 0) {
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
    int64_t bytes = (int64_t)sn_tensor_type_bytes(tensor->type);
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
                       sn_tensor_type_name(tensor->type), tensor->bytes);
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

static senet_status read_metadata(sn_tensors *file, const sn_json_document *document, const sn_json *entry)
{
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

static senet_status read_header(sn_tensors *file, const sn_json_document *document, const unsigned char *data,
                                size_t data_bytes)
{
    const sn_json *root = document->root;
    SN_RETURN_IF_FAILED(sn_json_expect(document, root, "the header", SN_JSON_OBJECT));
    file->tensors = calloc(root->count + 1, sizeof *file->tensors);
    if (!file->tensors) return sn_fail_memory(root->count * sizeof *file->tensors, file->path);
    for (const sn_json *entry = root->first; entry; entry = entry->next) {
        if (strcmp(entry->key, "__metadata__") == 0) {
            SN_RETURN_IF_FAILED(read_metadata(file, document, entry));
            continue;
        }
        SN_RETURN_IF_FAILED(read_tensor(document, entry, data, data_bytes, &file->tensors[file->count]));
        file->count++;
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, compare_places);
    SN_RETURN_IF_FAILED(check_tiling(file, data, data_bytes));
    return sn_tensors_index(file);
}

/* Finds the header and the data in the file and reads the header. */
static senet_status read_file(sn_tensors *file, const unsigned char *bytes, size_t size)
{
    content *kept = file->content;
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
    SN_RETURN_IF_FAILED(sn_json_parse(bytes + PREFIX_BYTES, header_bytes, file->path, PREFIX_BYTES, &kept->document));
    return read_header(file, kept->document, bytes + PREFIX_BYTES + header_bytes, size - PREFIX_BYTES - header_bytes);
}

static void release(void *kept)
{
    content *c = kept;
    sn_file_unmap(&c->mapping);
    sn_json_destroy(c->document);
    free(c);
}

/* Takes the mapping over when there is one. */
static senet_status open_bytes(const void *bytes, size_t size, const char *name, sn_mapping mapping,
                               sn_tensors **tensors)
{
    senet_status status;
    sn_tensors *file = NULL;
    content *kept = calloc(1, sizeof *kept);
    if (!kept) {
        sn_file_unmap(&mapping);
        return sn_fail_memory(sizeof *kept, name);
    }
    kept->mapping = mapping;
    status = sn_tensors_new(name, &file);
    if (status != SENET_OK) {
        release(kept);
        return status;
    }
    file->content = kept;
    file->release = release;
    file->mapped = mapping.size > 0;
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
