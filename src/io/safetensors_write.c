/* safetensors_write.c - the atomic writer of safetensors.h. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "io/safetensors.h"

enum { DATA_ALIGNMENT = 8 };

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What a reader would refuse is not written: a name twice, a name that is not UTF-8, a size that belies the shape. */
static senet_status check_tensors(const char *path, const sn_tensor *tensors, size_t count)
{
    senet_status status = SENET_OK;
    const char **names = calloc(count + 1, sizeof *names);
    if (!names) return sn_fail_memory(count * sizeof *names, path);
    for (size_t i = 0; i < count; i++) {
        const sn_tensor *tensor = &tensors[i];
        int64_t bytes = (int64_t)sn_tensor_type_bytes(tensor->type);
        for (int d = 0; d < tensor->rank; d++)
            if (!sn_multiply(bytes, tensor->dims[d], &bytes)) bytes = -1;
        if (bytes < 0 || (size_t)bytes != tensor->bytes) {
            status = sn_fail(SENET_INTERNAL, "%s: tensor '%s' has %zu bytes, its shape needs %lld", path, tensor->name,
                             tensor->bytes, (long long)bytes);
            goto cleanup;
        }
        if (sn_utf8_prefix(tensor->name, strlen(tensor->name)) != strlen(tensor->name) ||
            strcmp(tensor->name, "__metadata__") == 0) {
            status = sn_fail(SENET_USAGE, "%s: '%s' cannot be a tensor's name", path, tensor->name);
            goto cleanup;
        }
        names[i] = tensor->name;
    }
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0) {
            status = sn_fail(SENET_USAGE, "%s: two tensors are named '%s'", path, names[i]);
            goto cleanup;
        }

cleanup:
    free(names);
    return status;
}

static void add_tensor(sn_json_writer *json, const sn_tensor *tensor, size_t begin)
{
    sn_json_open_object(json, tensor->name);
    sn_json_add_string(json, "dtype", sn_tensor_type_name(tensor->type));
    sn_json_open_array(json, "shape");
    for (int d = 0; d < tensor->rank; d++) sn_json_add_int(json, NULL, tensor->dims[d]);
    sn_json_close_array(json);
    sn_json_open_array(json, "data_offsets");
    sn_json_add_int(json, NULL, (int64_t)begin);
    sn_json_add_int(json, NULL, (int64_t)(begin + tensor->bytes));
    sn_json_close_array(json);
    sn_json_close_object(json);
}

/* The header, padded with spaces so that the data begins at a multiple of DATA_ALIGNMENT. */
static senet_status make_header(const char *path, const sn_tensor *tensors, size_t count,
                                const sn_metadata_entry *metadata, size_t metadata_count, sn_text *header)
{
    sn_json_writer json = {.text = header};
    size_t begin = 0;
    sn_json_open_object(&json, NULL);
    if (metadata_count) {
        sn_json_open_object(&json, "__metadata__");
        for (size_t i = 0; i < metadata_count; i++) sn_json_add_string(&json, metadata[i].key, metadata[i].value);
        sn_json_close_object(&json);
    }
    for (size_t i = 0; i < count; i++) {
        add_tensor(&json, &tensors[i], begin);
        begin += tensors[i].bytes;
    }
    sn_json_close_object(&json);
    while (header->length % DATA_ALIGNMENT && !header->failed) sn_text_add_char(header, ' ');
    SN_RETURN_IF_FAILED(sn_text_check(header, path));
    if (header->length > SN_TENSORS_MAX_HEADER)
        return sn_fail(SENET_USAGE, "%s: a header of %zu bytes is above the limit of %d", path, header->length,
                       SN_TENSORS_MAX_HEADER);
    return SENET_OK;
}

senet_status sn_tensors_write(const char *path, const sn_tensor *tensors, size_t count,
                              const sn_metadata_entry *metadata, size_t metadata_count)
{
    senet_status status;
    sn_text header = {0};
    sn_file_writer *writer = NULL;
    uint64_t header_bytes;

    SN_TRY(check_tensors(path, tensors, count), cleanup);
    SN_TRY(make_header(path, tensors, count, metadata, metadata_count, &header), cleanup);
    SN_TRY(sn_file_writer_open(path, &writer), cleanup);
    header_bytes = header.length;
    SN_TRY(sn_file_writer_write(writer, &header_bytes, sizeof header_bytes), cleanup);
    SN_TRY(sn_file_writer_write(writer, header.bytes, header.length), cleanup);
    for (size_t i = 0; i < count; i++) SN_TRY(sn_file_writer_write(writer, tensors[i].data, tensors[i].bytes), cleanup);
    status = sn_file_writer_commit(writer);
    writer = NULL;

cleanup:
    sn_file_writer_discard(writer);
    sn_text_free(&header);
    return status;
}
