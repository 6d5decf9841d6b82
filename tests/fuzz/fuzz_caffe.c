/* fuzz_caffe.c - the reader of Caffe's weights files, from the walk over the layers to the network they tell. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "caffe_file.h"
#include "fuzz/fuzz.h"
#include "io/caffe.h"
#include "io/weights.h"
#include "zoo/zoo.h"

/* Every tensor has the bytes that its shape needs, can be read and is found by its name. */
static void check_tensor(const sn_tensors *file, const sn_tensor *tensor)
{
    size_t count = 1;
    for (int d = 0; d < tensor->rank; d++) count *= (size_t)tensor->dims[d];
    if (tensor->bytes != count * sn_tensor_type_bytes(tensor->type)) abort();
    if (sn_tensors_find(file, tensor->name) != tensor) abort();
    float *values = malloc((count + 1) * sizeof *values);
    if (values && sn_tensor_to_f32(file, tensor, values) != SENET_OK) abort();
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sn_tensors *file = NULL;
    sn_weights_info info;
    sn_spec spec;
    if (sn_caffe_parse(data, size, "fuzz", &file) != SENET_OK) {
        if (file) abort();
        return 0;
    }
    for (size_t i = 0; i < sn_tensors_count(file); i++) check_tensor(file, sn_tensors_at(file, i));
    if (sn_weights_info_read(file, &info) != SENET_OK || !info.has_preprocess || !info.preprocess.bgr) abort();
    if (info.model) (void)sn_spec_parse(info.model, &spec); /* may have options that no network takes */
    sn_weights_info_free(&info);
    sn_tensors_close(file);
    return 0;
}

/* ---- good inputs ---- */

static const float numbers[16] = {1, 2, 3, 4, 5, 6, 7, 8};

/* Layers whose names tell a network, each as small as can be. */
static void add_network(caffe_bytes *net)
{
    const caffe_blob conv[2] = {{4, {2, 1, 1, 1}, numbers}, {1, {2}, numbers}};
    const caffe_blob norm[3] = {{1, {2}, numbers}, {1, {2}, numbers}, {1, {1}, numbers}};
    const caffe_blob matrix[2] = {{2, {3, 2}, numbers}, {1, {3}, numbers}};
    caffe_add_text(net, CAFFE_NET_NAME, "SE-ResNet-50");
    caffe_add_layer(net, "conv1/7x7_s2", "Convolution", conv, 1);
    caffe_add_layer(net, "conv1/7x7_s2/bn", "BatchNorm", norm, 3);
    caffe_add_layer(net, "conv1/7x7_s2/bn/scale", "Scale", norm, 2);
    caffe_add_layer(net, "conv1/relu_7x7_s2", "ReLU", NULL, 0);
    caffe_add_layer(net, "conv2_1_3x3", "Convolution", conv, 1);
    caffe_add_layer(net, "conv2_1_1x1_down", "Convolution", conv, 2);
    for (int unit = 1; unit <= 6; unit++) {
        char name[32];
        snprintf(name, sizeof name, "conv4_%d_3x3", unit);
        caffe_add_layer(net, name, "Convolution", conv, 1);
    }
    caffe_add_layer(net, "classifier", "InnerProduct", matrix, 2);
}

/* A layer of before 2015, with four sizes, doubles and raw halves. */
static void add_old_network(caffe_bytes *net)
{
    static const double doubles[2] = {1, 2};
    caffe_bytes layer = {0}, blob = {0};
    caffe_add_text(&layer, CAFFE_OLD_NAME, "conv1");
    caffe_add_number_field(&layer, CAFFE_OLD_TYPE, 4);
    for (unsigned d = 0; d < 4; d++) caffe_add_number_field(&blob, CAFFE_BLOB_NUM + d, d == 0 ? 2 : 1);
    caffe_add_field(&blob, CAFFE_BLOB_DOUBLES, doubles, sizeof doubles);
    caffe_add_message(&layer, CAFFE_OLD_BLOB, &blob);
    for (unsigned d = 0; d < 4; d++) caffe_add_number_field(&blob, CAFFE_BLOB_NUM + d, d == 3 ? 2 : 1);
    caffe_add_number_field(&blob, CAFFE_BLOB_RAW_TYPE, 2);
    caffe_add_field(&blob, CAFFE_BLOB_RAW, numbers, 4);
    caffe_add_message(&layer, CAFFE_OLD_BLOB, &blob);
    caffe_add_message(net, CAFFE_NET_OLD_LAYER, &layer);
}

/* Names that tell SE-BN-Inception. */
static void add_inception(caffe_bytes *net)
{
    const caffe_blob conv[2] = {{4, {1, 1, 1, 1}, numbers}, {1, {1}, numbers}};
    caffe_add_layer(net, "inception_3a/1x1", "Convolution", conv, 1);
    caffe_add_layer(net, "inception_3a_1x1_down", "Convolution", conv, 2);
    caffe_add_layer(net, "inception_3a_scale", "Scale", NULL, 0);
    caffe_add_layer(net, "other", "PReLU", conv + 1, 1);
}

size_t senet_fuzz_seed(size_t index, uint8_t *bytes, size_t capacity)
{
    caffe_bytes net = {0};
    size_t written = 0;
    if (index == 0) add_network(&net);
    if (index == 1) add_old_network(&net);
    if (index == 2) add_inception(&net);
    if (net.size && net.size <= capacity) memcpy(bytes, net.bytes, written = net.size);
    free(net.bytes);
    return written;
}
