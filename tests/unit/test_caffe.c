/* test_caffe.c - the reader of Caffe's weights files: what it makes of layers and blobs, and of files that lie. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "caffe_network.h"
#include "io/caffe.h"
#include "io/weights.h"
#include "test_data_files.h"
#include "test_failures.h"
#include "zoo/zoo.h"

static const float numbers[64] = {1, 2, 3, 4, 5, 6, 7, 8};

static senet_status parse(caffe_bytes *net, sn_tensors **file)
{
    senet_status status = sn_caffe_parse(net->bytes, net->size, "net.caffemodel", file);
    free(net->bytes);
    *net = (caffe_bytes){0};
    return status;
}

static senet_status parse_and_close(caffe_bytes *net)
{
    sn_tensors *file = NULL;
    senet_status status = parse(net, &file);
    sn_tensors_close(file);
    return status;
}

static void check_tensor(const sn_tensors *file, const char *name, int rank, const int64_t *dims, const float *values)
{
    const sn_tensor *tensor = sn_tensors_find(file, name);
    if (!tensor) fail_msg("no tensor '%s'", name);
    assert_int_equal(tensor->rank, rank);
    size_t count = 1;
    for (int d = 0; d < rank; d++) {
        assert_int_equal(tensor->dims[d], dims[d]);
        count *= (size_t)dims[d];
    }
    float *read = malloc(count * sizeof *read);
    assert_non_null(read);
    assert_works(sn_tensor_to_f32(file, tensor, read));
    assert_memory_equal(read, values, count * sizeof *read);
    free(read);
}
#define DIMS(...)                                                                                                      \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[])                                       \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

/* ---- good files ---- */

static void layers_become_tensors(void **state)
{
    (void)state;
    caffe_bytes net = {0};
    sn_tensors *file = NULL;
    const float mean[2] = {3, -6}, variance[2] = {1.5f, 9}, factor = 3;
    const caffe_blob conv[2] = {{4, {2, 1, 1, 3}, numbers}, {1, {2}, numbers + 6}};
    const caffe_blob norm[3] = {{1, {2}, mean}, {1, {2}, variance}, {1, {1}, &factor}};
    const caffe_blob scale[2] = {{1, {2}, numbers}, {1, {2}, numbers + 2}};
    const caffe_blob matrix[2] = {{2, {2, 3}, numbers}, {1, {2}, numbers + 6}};
    caffe_add_text(&net, CAFFE_NET_NAME, "a network");
    caffe_add_layer(&net, "data", "Data", NULL, 0);
    caffe_add_layer(&net, "a", "Convolution", conv, 2);
    caffe_add_layer(&net, "a/bn", "BatchNorm", norm, 3);
    caffe_add_layer(&net, "a/bn/scale", "Scale", scale, 2);
    caffe_add_layer(&net, "data", "Data", NULL, 0); /* names of layers without weights may repeat */
    caffe_add_layer(&net, "b", "Convolution", conv, 1);
    caffe_add_layer(&net, "c", "InnerProduct", matrix, 2);
    caffe_add_layer(&net, "d", "PReLU", scale, 1);
    assert_works(parse(&net, &file));
    assert_int_equal(sn_tensors_count(file), 10);
    check_tensor(file, "a.weight", DIMS(2, 1, 1, 3), numbers);
    check_tensor(file, "a.bias", DIMS(2), numbers + 6);
    check_tensor(file, "a/bn.running_mean", DIMS(2), (const float[]){1, -2});
    check_tensor(file, "a/bn.running_var", DIMS(2), (const float[]){0.5f, 3});
    check_tensor(file, "a/bn/scale.weight", DIMS(2), numbers);
    check_tensor(file, "a/bn/scale.bias", DIMS(2), numbers + 2);
    check_tensor(file, "b.weight", DIMS(2, 1, 1, 3), numbers);
    check_tensor(file, "c.weight", DIMS(2, 3), numbers);
    check_tensor(file, "d.blob0", DIMS(2), numbers);
    assert_string_equal(sn_tensors_metadata(file, "channels"), "BGR");
    assert_string_equal(sn_tensors_metadata(file, "bn_eps"), "1e-05");
    assert_null(sn_tensors_metadata(file, "model")); /* no network that we know */
    sn_tensors_close(file);
}

/* A network that never saw a batch: factor 0. */
static void a_scale_factor_of_zero_gives_zeros(void **state)
{
    (void)state;
    caffe_bytes net = {0};
    sn_tensors *file = NULL;
    const float zero = 0;
    const caffe_blob norm[3] = {{1, {2}, numbers}, {1, {2}, numbers}, {1, {1}, &zero}};
    caffe_add_layer(&net, "bn", "BatchNorm", norm, 3);
    assert_works(parse(&net, &file));
    check_tensor(file, "bn.running_mean", DIMS(2), (const float[]){0, 0});
    check_tensor(file, "bn.running_var", DIMS(2), (const float[]){0, 0});
    sn_tensors_close(file);
}

/* V1LayerParameter: types by number, shapes by four sizes, ones in front. */
static void old_layers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int type;
        int64_t sizes[2][4];
    } layers[] = {{"conv", 4, {{2, 1, 1, 3}, {1, 1, 1, 2}}}, {"fc", 14, {{1, 1, 2, 3}, {1, 1, 1, 2}}}};
    caffe_bytes net = {0};
    sn_tensors *file = NULL;
    for (int l = 0; l < 2; l++) {
        caffe_bytes layer = {0};
        caffe_add_text(&layer, CAFFE_OLD_NAME, layers[l].name);
        caffe_add_number_field(&layer, CAFFE_OLD_TYPE, (uint64_t)layers[l].type);
        for (int b = 0; b < 2; b++) {
            caffe_bytes blob = {0};
            for (unsigned d = 0; d < 4; d++)
                caffe_add_number_field(&blob, CAFFE_BLOB_NUM + d, (uint64_t)layers[l].sizes[b][d]);
            caffe_add_field(&blob, CAFFE_BLOB_DATA, numbers, b == 0 ? 6 * 4 : 2 * 4);
            caffe_add_message(&layer, CAFFE_OLD_BLOB, &blob);
        }
        caffe_add_message(&net, CAFFE_NET_OLD_LAYER, &layer);
    }
    assert_works(parse(&net, &file));
    check_tensor(file, "conv.weight", DIMS(2, 1, 1, 3), numbers);
    check_tensor(file, "conv.bias", DIMS(2), numbers);
    check_tensor(file, "fc.weight", DIMS(2, 3), numbers);
    check_tensor(file, "fc.bias", DIMS(2), numbers);
    sn_tensors_close(file);
}

/* A layer "c" with one blob [2] whose numbers stand in this field. */
static void add_numbers_layer(caffe_bytes *net, unsigned field, const void *bytes, size_t size, int raw_type)
{
    caffe_bytes blob = {0}, layer = {0};
    const int64_t two = 2;
    caffe_add_shape(&blob, 1, &two);
    if (raw_type >= 0) caffe_add_number_field(&blob, CAFFE_BLOB_RAW_TYPE, (uint64_t)raw_type);
    caffe_add_field(&blob, field, bytes, size);
    caffe_add_text(&layer, CAFFE_LAYER_NAME, "c");
    caffe_add_text(&layer, CAFFE_LAYER_TYPE, "Scale");
    caffe_add_message(&layer, CAFFE_LAYER_BLOB, &blob);
    caffe_add_message(net, CAFFE_NET_LAYER, &layer);
}

static void numbers_of_other_types_are_read(void **state)
{
    (void)state;
    static const double doubles[2] = {0.5, -3};
    static const float floats[2] = {0.5f, -3};
    static const uint16_t halves[2] = {0x3800, 0xc200};
    const struct {
        unsigned field;
        const void *bytes;
        size_t size;
        int raw_type;
    } cases[] = {{CAFFE_BLOB_DATA, floats, 8, -1},
                 {CAFFE_BLOB_DOUBLES, doubles, 16, -1},
                 {CAFFE_BLOB_RAW, doubles, 16, 0},
                 {CAFFE_BLOB_RAW, floats, 8, 1},
                 {CAFFE_BLOB_RAW, halves, 4, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        caffe_bytes net = {0};
        sn_tensors *file = NULL;
        add_numbers_layer(&net, cases[i].field, cases[i].bytes, cases[i].size, cases[i].raw_type);
        assert_works(parse(&net, &file));
        check_tensor(file, "c.weight", DIMS(2), floats);
        sn_tensors_close(file);
    }
    caffe_bytes net = {0};
    add_numbers_layer(&net, CAFFE_BLOB_RAW, halves, 4, 3);
    assert_fails(parse_and_close(&net), SENET_BAD_DATA, "net.caffemodel: layer 'c': blob 0: raw data of type 3");
}

/* ---- whole networks ---- */

typedef struct shapes {
    const sn_graph *graph;
    float *zeros;
} shapes;

static caffe_blob find_shape(void *context, const char *tensor)
{
    const shapes *s = context;
    int index = sn_graph_find_param(s->graph, tensor);
    if (index < 0) return (caffe_blob){0};
    const sn_param *param = &s->graph->params[index];
    caffe_blob blob = {.rank = param->rank, .values = s->zeros};
    memcpy(blob.dims, param->dims, sizeof blob.dims);
    return blob;
}

static caffe_bytes write_network(const char *caffe, const char *model, sn_graph **graph)
{
    enum { LARGEST = 12 << 20 }; /* elements: no tensor of the networks has as many */
    sn_spec spec;
    caffe_bytes net = {0};
    assert_works(sn_spec_parse(model, &spec));
    assert_works(sn_model_build(&spec, &(sn_build_options){.mode = SN_MODE_EVAL, .batch = 1, .no_fuse = true}, graph));
    shapes s = {*graph, calloc(LARGEST, sizeof(float))};
    assert_non_null(s.zeros);
    assert_true(caffe_write_network(&net, caffe, &(caffe_source){find_shape, &s, 1}));
    free(s.zeros);
    return net;
}

/* The layers tell the network, its options too; into another one it does not go, and the first difference is named. */
static void the_file_tells_its_network(void **state)
{
    (void)state;
    static const struct {
        const char *caffe, *model, *other, *message;
    } cases[] = {
        {"se_bn_inception", "se_bn_inception:r=32,bias=0,classes=7", "bn_inception", "last_linear.weight"},
        {"resnet50", "resnet50:classes=10", "resnet101:classes=10", "layer3.6.conv1.weight"},
        {"se_resnext50_32x4d", "se_resnext50_32x4d:classes=365", "se_resnet50:classes=365",
         "'conv2_1_1x1_reduce.weight' is [128,64,1,1], but the model's 'layer1.0.conv1.weight' is [64,64,1,1]"},
        {"resnet101", "resnet101", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sn_graph *graph = NULL;
        sn_tensors *file = NULL;
        sn_params *params = NULL;
        caffe_bytes net = write_network(cases[i].caffe, cases[i].model, &graph);
        assert_works(parse(&net, &file));
        assert_string_equal(sn_tensors_metadata(file, "model"), cases[i].model);
        assert_works(sn_params_create(graph, SN_FLOAT, &params));
        sn_spec spec;
        assert_works(sn_spec_parse(cases[i].model, &spec));
        sn_load_report report;
        assert_works(sn_weights_load(file, spec.base, graph, params, &report));
        assert_int_equal(report.unused, 0);
        sn_params_destroy(params);
        sn_graph_destroy(graph);
        if (cases[i].other) {
            assert_works(sn_spec_parse(cases[i].other, &spec));
            assert_works(sn_model_build(&spec, &(sn_build_options){.batch = 1, .no_fuse = true}, &graph));
            assert_works(sn_params_create(graph, SN_FLOAT, &params));
            assert_fails(sn_weights_load(file, spec.base, graph, params, NULL), SENET_BAD_DATA,
                         "net.caffemodel: tensor", cases[i].message);
            sn_params_destroy(params);
            sn_graph_destroy(graph);
        }
        sn_tensors_close(file);
    }
}

/* ---- bad files ---- */

static void add_shaped_layer(caffe_bytes *net, int rank, const int64_t *dims, size_t count)
{
    caffe_bytes blob = {0}, layer = {0};
    caffe_add_shape(&blob, rank, dims);
    caffe_add_field(&blob, CAFFE_BLOB_DATA, numbers, count * sizeof *numbers);
    caffe_add_text(&layer, CAFFE_LAYER_NAME, "bad");
    caffe_add_text(&layer, CAFFE_LAYER_TYPE, "InnerProduct");
    caffe_add_message(&layer, CAFFE_LAYER_BLOB, &blob);
    caffe_add_message(net, CAFFE_NET_LAYER, &layer);
}

static void shapes_that_lie_are_named(void **state)
{
    (void)state;
    static const struct {
        int rank;
        int64_t dims[9];
        size_t count;
        const char *message;
    } cases[] = {
        {2, {2, 3}, 5, "layer 'bad': blob 0: shape [2,3] needs 6 numbers, 5 are there"},
        {2, {-2, 3}, 6, "shape [-2,3]: -2 is negative"},
        {2, {INT64_MAX, 3}, 6, "shape [9223372036854775807,3]: the product overflows"},
        {1, {536870912}, 8, "shape [536870912] needs 536870912 numbers, 8 are there"}, /* 2 GB */
        {9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, 1, "blob 0 has 9 dimensions, at most 8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        caffe_bytes net = {0};
        add_shaped_layer(&net, cases[i].rank, cases[i].dims, cases[i].count);
        assert_fails(parse_and_close(&net), SENET_BAD_DATA, "net.caffemodel: ", cases[i].message);
    }
}

static void layers_that_are_wrong_are_named(void **state)
{
    (void)state;
    const float minus = -1, nan = NAN;
    const caffe_blob vector = {1, {2}, numbers};
    const struct {
        const char *type, *message;
        caffe_blob blobs[5];
        int count;
    } cases[] = {
        {"Convolution", "layer 'x': a Convolution has 1 to 2 blobs, this one has 3", {vector, vector, vector}, 3},
        {"BatchNorm", "layer 'x': a BatchNorm has 3 to 3 blobs, this one has 2", {vector, vector}, 2},
        {"BatchNorm", "layer 'x': the scale factor is 2 numbers, not one", {vector, vector, vector}, 3},
        {"BatchNorm", "layer 'x': the scale factor is -1", {vector, vector, {1, {1}, &minus}}, 3},
        {"BatchNorm", "layer 'x': the scale factor is nan", {vector, vector, {1, {1}, &nan}}, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        caffe_bytes net = {0};
        caffe_add_layer(&net, "x", cases[i].type, cases[i].blobs, cases[i].count);
        assert_fails(parse_and_close(&net), SENET_BAD_DATA, "net.caffemodel: ", cases[i].message);
    }
    caffe_bytes net = {0};
    caffe_add_layer(&net, "x", "Scale", &vector, 1);
    caffe_add_layer(&net, "x", "Scale", &vector, 1);
    assert_fails(parse_and_close(&net), SENET_BAD_DATA, "two layers have weights called 'x.weight'");
    caffe_add_layer(&net, "\xff", "Scale", &vector, 1);
    assert_fails(parse_and_close(&net), SENET_BAD_DATA, "is not UTF-8");
    caffe_add_layer(&net, "relu", "ReLU", NULL, 0);
    assert_fails(parse_and_close(&net), SENET_BAD_DATA, "1 layers of Caffe's, none of which has weights");
    assert_fails(parse_and_close(&net), SENET_BAD_DATA, "0 bytes with 0 layers");
}

/* NaN among the numbers passes the reader and is named by the loader, as in any weights file. */
static void a_number_that_is_none_is_named(void **state)
{
    (void)state;
    sn_graph *graph = NULL;
    sn_tensors *file = NULL;
    sn_params *params = NULL;
    caffe_bytes net = write_network("se_bn_inception", "se_bn_inception:classes=10", &graph);
    memset(net.bytes + 600, 0xff, 8); /* among the numbers of the first layer: wherever they begin, one is a NaN */
    assert_works(parse(&net, &file));
    assert_works(sn_params_create(graph, SN_FLOAT, &params));
    assert_fails(sn_weights_load(file, "bn_inception", graph, params, NULL), SENET_BAD_DATA,
                 "net.caffemodel: conv1/7x7_s2.weight[", "] is not finite");
    sn_params_destroy(params);
    sn_graph_destroy(graph);
    sn_tensors_close(file);
}

static caffe_bytes small_file(void)
{
    caffe_bytes net = {0};
    const caffe_blob conv[2] = {{4, {2, 1, 1, 3}, numbers}, {1, {2}, numbers + 6}};
    const caffe_blob norm[3] = {{1, {2}, numbers}, {1, {2}, numbers}, {1, {1}, numbers}};
    caffe_add_layer(&net, "first", "Convolution", conv, 2);
    caffe_add_layer(&net, "first/bn", "BatchNorm", norm, 3);
    return net;
}

/* Cut anywhere, the file is refused, but where a whole number of layers is left. */
static void cut_files_are_refused(void **state)
{
    (void)state;
    caffe_bytes whole = small_file();
    size_t accepted = 0;
    for (size_t cut = 0; cut < whole.size; cut++) {
        sn_tensors *file = NULL;
        uint8_t *bytes = malloc(cut ? cut : 1); /* of its own, so that a read past its end is seen */
        assert_non_null(bytes);
        memcpy(bytes, whole.bytes, cut);
        senet_status status = sn_caffe_parse(bytes, cut, "net.caffemodel", &file);
        accepted += status == SENET_OK;
        if (status != SENET_OK) assert_fails(status, SENET_BAD_DATA, "net.caffemodel: ");
        sn_tensors_close(file);
        free(bytes);
    }
    assert_int_equal(accepted, 1);
    sn_tensors *file = NULL;
    assert_fails(sn_caffe_parse(whole.bytes, 60, "net.caffemodel", &file), SENET_BAD_DATA,
                 "byte 0: field 100 of the network claims ");
    free(whole.bytes);
}

/* A length of 2 GB in a kilobyte, at every level. */
static void lengths_beyond_the_file_are_named(void **state)
{
    (void)state;
    const uint8_t filler[1024] = {0};
    caffe_bytes net = {0}, layer = {0}, blob = {0};
    caffe_add_number(&net, CAFFE_NET_LAYER << 3 | 2);
    caffe_add_number(&net, 2147483648u);
    caffe_add(&net, filler, sizeof filler);
    assert_fails(parse_and_close(&net), SENET_BAD_DATA,
                 "byte 0: field 100 of the network claims 2147483648 bytes, of which 1024 are there");

    caffe_add_text(&layer, CAFFE_LAYER_NAME, "conv");
    caffe_add_number(&blob, CAFFE_BLOB_DATA << 3 | 2);
    caffe_add_number(&blob, 2147483648u);
    caffe_add(&blob, filler, sizeof filler);
    caffe_add_message(&layer, CAFFE_LAYER_BLOB, &blob);
    caffe_add_message(&net, CAFFE_NET_LAYER, &layer);
    assert_fails(parse_and_close(&net), SENET_BAD_DATA, "field 5 of layer 1 'conv' claims 2147483648 bytes");

    const uint8_t endless[] = {0xa2, 0x06, 0x0c, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0};
    caffe_add(&net, endless, sizeof endless);
    assert_fails(parse_and_close(&net), SENET_BAD_DATA, "byte 3: a number of more than 10 bytes in layer 1");
    const uint8_t group[] = {0xa3, 0x06, 0}, zero[] = {0x02, 0x00}, number[] = {0xa0, 0x06, 0x07};
    caffe_add(&net, group, sizeof group);
    assert_fails(parse_and_close(&net), SENET_BAD_DATA, "byte 0: field 100 of the network has the type 3");
    caffe_add(&net, zero, sizeof zero);
    assert_fails(parse_and_close(&net), SENET_BAD_DATA, "the network has a field numbered 0: this is no Caffe file");
    caffe_add(&net, number, sizeof number);
    assert_fails(parse_and_close(&net), SENET_BAD_DATA,
                 "field 100 of the network has the type 0, not that of a message");
}

/* Numbers that are no multiple of their size get past the lengths; protobuf-c sees them. */
static void damage_within_a_layer_is_placed(void **state)
{
    (void)state;
    caffe_bytes net = {0}, layer = {0}, blob = {0};
    caffe_add_field(&blob, CAFFE_BLOB_DATA, numbers, 7);
    caffe_add_text(&layer, CAFFE_LAYER_NAME, "odd");
    caffe_add_message(&layer, CAFFE_LAYER_BLOB, &blob);
    caffe_add_message(&net, CAFFE_NET_LAYER, &layer);
    assert_fails(parse_and_close(&net), SENET_BAD_DATA, "byte 3: layer 1 'odd', 16 bytes long, is damaged");
}

/* Two bytes a blob in the file, a hundred in memory: refused before the machine feels it. */
static void tiny_messages_do_not_fill_the_memory(void **state)
{
    (void)state;
    enum { BLOBS = 1 << 20 };
    caffe_bytes net = {0}, layer = {0};
    struct rusage before, after;
    caffe_add_text(&layer, CAFFE_LAYER_NAME, "many");
    for (int i = 0; i < BLOBS; i++) caffe_add_field(&layer, CAFFE_LAYER_BLOB, NULL, 0);
    caffe_add_message(&net, CAFFE_NET_LAYER, &layer);
    getrusage(RUSAGE_SELF, &before);
    assert_fails(parse_and_close(&net), SENET_BAD_DATA,
                 "layer 1 'many', 2097158 bytes long, would take more memory than");
    getrusage(RUSAGE_SELF, &after);
#if !defined(__SANITIZE_ADDRESS__)                              /* its allocator keeps what is freed */
    assert_true(after.ru_maxrss - before.ru_maxrss < 32 << 10); /* KB; without a limit it would be 150 MB */
#endif
}

static void files_are_told_by_what_is_in_them(void **state)
{
    (void)state;
    char *folder = make_scratch(), path[4200];
    static const char *const names[] = {"a.caffemodel", "b.CAFFEMODEL", "weights", "c.bin"};
    caffe_bytes net = small_file();
    sn_tensors *file = NULL;
    for (int i = 0; i < 4; i++) {
        put_file(folder, names[i], net.bytes, net.size);
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        assert_works(sn_weights_open(path, &file));
        assert_non_null(sn_tensors_find(file, "first/bn.running_mean"));
        sn_tensors_close(file);
    }
    put_file(folder, "d.safetensors", net.bytes, net.size); /* who calls it so means it */
    snprintf(path, sizeof path, "%s/d.safetensors", folder);
    assert_fails(sn_weights_open(path, &file), SENET_BAD_DATA, "d.safetensors: byte 0: the header size");
    snprintf(path, sizeof path, "%s/e.caffemodel", folder);
    assert_works(sn_tensors_write(path, NULL, 0, NULL, 0)); /* safetensors under a wrong name */
    assert_works(sn_weights_open(path, &file));
    sn_tensors_close(file);
    put_text(folder, "e.caffemodel", "no network at all");
    assert_fails(sn_weights_open(path, &file), SENET_BAD_DATA, "e.caffemodel: byte 0: ");
    assert_fails(sn_weights_open("/nowhere.caffemodel", &file), SENET_NO_INPUT, "/nowhere.caffemodel: ");
    free(net.bytes);
    remove_scratch(folder);
}

int main(void)
{
    if (!sn_caffe_is_supported()) {
        sn_tensors *file = NULL;
        senet_status status = sn_caffe_open("x.caffemodel", &file);
        fprintf(stderr, "skipped: %s\n", senet_last_error());
        return status == SENET_USAGE ? 77 : 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_become_tensors),
        cmocka_unit_test(a_scale_factor_of_zero_gives_zeros),
        cmocka_unit_test(old_layers_are_read),
        cmocka_unit_test(numbers_of_other_types_are_read),
        cmocka_unit_test(the_file_tells_its_network),
        cmocka_unit_test(shapes_that_lie_are_named),
        cmocka_unit_test(layers_that_are_wrong_are_named),
        cmocka_unit_test(a_number_that_is_none_is_named),
        cmocka_unit_test(cut_files_are_refused),
        cmocka_unit_test(lengths_beyond_the_file_are_named),
        cmocka_unit_test(damage_within_a_layer_is_placed),
        cmocka_unit_test(tiny_messages_do_not_fill_the_memory),
        cmocka_unit_test(files_are_told_by_what_is_in_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
