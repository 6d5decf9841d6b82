/* fuzz_safetensors.c - the safetensors reader, with the JSON reader below it and the weights' metadata above it. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "io/weights.h"

/* Offsets of an accepted file tile its data, and every byte of it can be read. */
static size_t check_tensor(const sn_tensors *file, const sn_tensor *tensor, const uint8_t **next)
{
    if (tensor->data != *next || sn_tensors_find(file, tensor->name) != tensor) abort();
    *next += tensor->bytes;
    size_t count = tensor->bytes / sn_tensor_type_bytes(tensor->type);
    float *values = malloc((count + 1) * sizeof *values);
    if (values && tensor->type <= SN_TENSOR_BF16 && sn_tensor_to_f32(file, tensor, values) != SENET_OK) abort();
    free(values);
    return tensor->bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sn_tensors *file = NULL;
    sn_weights_info info;
    if (sn_tensors_parse(data, size, "fuzz", &file) != SENET_OK) return 0;
    uint64_t header;
    memcpy(&header, data, sizeof header);
    const uint8_t *next = data + 8 + header;
    for (size_t i = 0; i < sn_tensors_count(file); i++) check_tensor(file, sn_tensors_at(file, i), &next);
    if (next != data + size) abort();
    if (sn_weights_info_read(file, &info) == SENET_OK) {
        for (size_t i = 0; i < info.labels_count; i++)
            if (!info.labels[i]) abort();
        sn_weights_info_free(&info);
    }
    sn_tensors_close(file);
    return 0;
}

size_t senet_fuzz_seed(size_t index, uint8_t *bytes, size_t capacity)
{
    static const struct {
        const char *header;
        size_t data_bytes;
    } seeds[] = {
        {"{}", 0},
        {"{\"__metadata__\":{\"format\":\"pt\",\"model\":\"cifar_resnet20\",\"input\":\"3x32x32\",\"num_classes\":"
         "\"2\","
         "\"labels\":\"cat,dog\",\"mean\":\"0.485,0.456,0.406\",\"std\":\"0.229,0.224,0.225\",\"crop_pct\":\"0.875\","
         "\"channels\":\"BGR\",\"interpolation\":\"pil_bicubic\"}}",
         0},
        {"{\"b\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[8,20]},"
         "\"a\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]},"
         "\"\\u00e9\\ud83d\\ude00\":{\"dtype\":\"BF16\",\"shape\":[4,0],\"data_offsets\":[8,8]}}   ",
         20},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[0,16]},\"y\":{\"dtype\":\"BOOL\",\"shape\":["
         "3],"
         "\"data_offsets\":[16,19],\"more\":[{\"a\":null},true,-1.5e3]}}",
         19},
    };
    if (index >= sizeof seeds / sizeof *seeds) return 0;
    uint64_t header = strlen(seeds[index].header);
    size_t size = 8 + header + seeds[index].data_bytes;
    if (size > capacity) return 0;
    memset(bytes, 0x3c, size);
    memcpy(bytes, &header, sizeof header);
    memcpy(bytes + 8, seeds[index].header, header);
    return size;
}
