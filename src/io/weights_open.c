/* weights_open.c - which reader a weights file is for (weights.h); a new format is a line here. */
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "io/caffe.h"
#include "io/weights.h"

static bool ends_with(const char *path, const char *extension)
{
    size_t length = strlen(path), tail = strlen(extension);
    return length > tail && strcasecmp(path + length - tail, extension) == 0;
}

/* A header's size within the format's limit, then the header. */
static bool looks_like_safetensors(const unsigned char *bytes, size_t size)
{
    uint64_t header;
    if (size <= sizeof header) return false;
    memcpy(&header, bytes, sizeof header);
    return header <= SN_TENSORS_MAX_HEADER && bytes[sizeof header] == '{';
}

/* A field that begins a network of Caffe's: name = 1, layers = 2, layer = 100, each with a length. */
static bool looks_like_caffe(const unsigned char *bytes, size_t size)
{
    return size >= 2 && (bytes[0] == 0x0a || bytes[0] == 0x12 || (bytes[0] == 0xa2 && bytes[1] == 0x06));
}

senet_status sn_weights_open(const char *path, sn_tensors **file)
{
    sn_mapping mapping = {0};
    SN_RETURN_IF_FAILED(sn_file_map(path, &mapping));
    bool caffe = !looks_like_safetensors(mapping.bytes, mapping.size) &&
                 (ends_with(path, ".caffemodel") ||
                  (!ends_with(path, ".safetensors") && looks_like_caffe(mapping.bytes, mapping.size)));
    sn_file_unmap(&mapping);
    return caffe ? sn_caffe_open(path, file) : sn_tensors_open(path, file);
}
