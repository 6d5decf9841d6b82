/* test_quantization.c - int8: ranges as JSON, weights in 8 bits, the pass to int8, calibration. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "graph/lower.h"
#include "io/weights.h"
#include "ops/op.h"
#include "test_data_files.h"
#include "test_failures.h"
#include "train/calibrate.h"
#include "train/ranges.h"
#include "zoo/zoo.h"

enum { CLASSES = 10, SIDE = 32, PICTURES = 12 };

/* ---- ranges as JSON ---- */

static void ranges_survive_being_written(void **state)
{
    (void)state;
    sn_quantization *made, *read;
    sn_text text = {0};
    assert_works(sn_quantization_create(&made));
    assert_works(sn_quantization_set(made, "relu", (sn_quant){0.1f, 0}));
    assert_works(sn_quantization_set(made, "layer1.0 \"x\"", (sn_quant){1e-7f, 255}));
    assert_works(sn_quantization_set(made, "relu", (sn_quant){0.3f, 7})); /* again: the later one counts */
    assert_works(sn_quantization_keep(made, "conv1"));
    assert_works(sn_quantization_keep(made, "conv1"));
    sn_quantization_write(made, &text);
    assert_works(sn_quantization_read(sn_text_string(&text), "file", &read));
    assert_int_equal(read->tensors_count, 2);
    assert_int_equal(read->kept_count, 1);
    assert_true(sn_quantization_keeps(read, "conv1"));
    assert_false(sn_quantization_keeps(read, "conv2"));
    assert_null(sn_quantization_find(read, "conv1"));
    const sn_quant *quant = sn_quantization_find(read, "relu");
    assert_true(quant && quant->scale == 0.3f && quant->zero == 7);
    quant = sn_quantization_find(read, "layer1.0 \"x\"");
    assert_true(quant && quant->scale == 1e-7f && quant->zero == 255);
    sn_text_free(&text);
    sn_quantization_destroy(made);
    sn_quantization_destroy(read);
}

static void bad_ranges_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "int8"},
        {"null", "version"},
        {"{}", "version"},
        {"{\"version\":2,\"kept\":[],\"tensors\":{}}", "version 2"},
        {"{\"version\":1,\"tensors\":{}}", "kept"},
        {"{\"version\":1,\"kept\":{},\"tensors\":{}}", "kept"},
        {"{\"version\":1,\"kept\":[1],\"tensors\":{}}", "a layer kept"},
        {"{\"version\":1,\"kept\":[]}", "tensors"},
        {"{\"version\":1,\"kept\":[],\"tensors\":{\"a\":1}}", "a is a number"},
        {"{\"version\":1,\"kept\":[],\"tensors\":{\"a\":[1]}}", "1 numbers"},
        {"{\"version\":1,\"kept\":[],\"tensors\":{\"a\":[1,2,3]}}", "3 numbers"},
        {"{\"version\":1,\"kept\":[],\"tensors\":{\"a\":[0,0]}}", "scale of 'a' is 0"},
        {"{\"version\":1,\"kept\":[],\"tensors\":{\"a\":[-1,0]}}", "scale of 'a' is -1"},
        {"{\"version\":1,\"kept\":[],\"tensors\":{\"a\":[1e99,0]}}", "scale of 'a'"},
        {"{\"version\":1,\"kept\":[],\"tensors\":{\"a\":[1,256]}}", "zero of 'a' is 256"},
        {"{\"version\":1,\"kept\":[],\"tensors\":{\"a\":[1,-1]}}", "zero of 'a' is -1"},
        {"{\"version\":1,\"kept\":[],\"tensors\":{\"a\":[1,0.5]}}", "a is"},
        {"{\"version\":1,\"kept\":[],\"tensors\":{\"a\":[1,0],\"a\":[1,0]}}", "a"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sn_quantization *read = NULL;
        assert_fails(sn_quantization_read(bad[i].text, "w.safetensors", &read), SENET_BAD_DATA, "w.safetensors", bad[i].says);
        assert_null(read);
    }
}

/* ---- weights in 8 bits ---- */

typedef struct network {
    sn_spec spec;
    sn_graph *graph; /* as it is trained: its parameters */
    sn_params *params;
} network;

static network open_network(const char *name)
{
    network n = {0};
    assert_works(sn_spec_parse(name, &n.spec));
    n.spec.classes = CLASSES;
    assert_works(sn_model_build(&n.spec, &(sn_build_options){.mode = SN_MODE_EVAL, .batch = 1, .height = SIDE, .width = SIDE}, &n.graph));
    assert_works(sn_params_create(n.graph, SN_FLOAT, &n.params));
    for (size_t i = 0; i < n.graph->params_count; i++) {
        const sn_param *param = &n.graph->params[i];
        int64_t count = sn_shape_elements(param->shape), fan = count / param->shape.c;
        float *values = malloc((size_t)count * sizeof *values);
        for (int64_t k = 0; k < count; k++) {
            double u = 2 * sn_rng_uniform(sn_rng_key(5, SN_RNG_TEST, i, 0), (uint64_t)k) - 1;
            values[k] = (float)(param->rank > 1 ? u * sqrt(6 / (double)fan) : 1 + 0.2 * u);
            if (param->kind == SN_PARAM_BIAS || param->kind == SN_PARAM_BN_BIAS || param->kind == SN_PARAM_BN_MEAN) values[k] = (float)(0.2 * u);
        }
        sn_params_set(n.params, n.graph, (int)i, values);
        free(values);
    }
    return n;
}

static void close_network(network *n)
{
    sn_params_destroy(n->params);
    sn_graph_destroy(n->graph);
}

static void load(network *n, const char *path)
{
    sn_tensors *file;
    assert_works(sn_tensors_open(path, &file));
    assert_works(sn_weights_load(file, n->spec.base, n->graph, n->params, NULL));
    sn_tensors_close(file);
}

/* Weights move by half a step of their output, everything else not at all; what was read and is written again stays as it is. */
static void int8_weights_are_read_back(void **state)
{
    (void)state;
    char path[4200], again[4200], *folder = make_scratch();
    network a = open_network("se_cifar_resnet8"), b = open_network("se_cifar_resnet8");
    sn_weights_info info = {.model = (char *)(uintptr_t)"se_cifar_resnet8"};
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    snprintf(again, sizeof again, "%s/b.safetensors", folder);
    assert_works(sn_quantization_create(&info.quantization));
    assert_works(sn_quantization_keep(info.quantization, "conv1"));
    assert_works(sn_weights_save_int8(path, a.graph, a.params, &info));
    load(&b, path);
    for (size_t i = 0; i < a.graph->params_count; i++) {
        const sn_param *param = &a.graph->params[i];
        bool same = param->rank < 2 || strcmp(param->name, "conv1.weight") == 0;
        int64_t count = sn_shape_elements(param->shape), each = count / param->dims[0];
        for (int64_t o = 0; o < param->dims[0]; o++) {
            double largest = 0;
            for (int64_t k = 0; k < each; k++) largest = fmax(largest, fabs(sn_params_read(a.params, a.graph, (int)i, o * each + k)));
            for (int64_t k = 0; k < each; k++) {
                double moved = fabs(sn_params_read(a.params, a.graph, (int)i, o * each + k) - sn_params_read(b.params, b.graph, (int)i, o * each + k));
                if (moved > (same ? 0 : 0.5001 * largest / 127)) fail_msg("%s[%d] moved by %g", param->name, (int)(o * each + k), moved);
            }
        }
    }
    assert_works(sn_weights_save_int8(again, b.graph, b.params, &info));
    sn_tensors *first, *second;
    assert_works(sn_tensors_open(path, &first));
    assert_works(sn_tensors_open(again, &second));
    for (size_t i = 0; i < sn_tensors_count(first); i++) {
        const sn_tensor *x = sn_tensors_at(first, i), *y = sn_tensors_find(second, x->name);
        assert_non_null(y);
        if (x->type == SN_TENSOR_I8) assert_memory_equal(x->data, y->data, x->bytes);
    }
    sn_tensors_close(first);
    sn_tensors_close(second);
    sn_quantization_destroy(info.quantization);
    close_network(&a);
    close_network(&b);
    remove_scratch(folder);
}

static void bad_int8_weights_are_refused(void **state)
{
    (void)state;
    char path[4200], *folder = make_scratch();
    network n = open_network("cifar_resnet8");
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    enum { MISSING, SHORT, DOUBLE, NEGATIVE, NOT_FINITE, KINDS };
    static const char *const says[KINDS] = {"there is no 'conv1.weight_scale'", "one for each output", "one for each output",
                                            "conv1.weight_scale[3] is -1", "conv1.weight_scale[3] is"};
    for (int kind = 0; kind < KINDS; kind++) {
        sn_weights_info info = {.quantization = NULL};
        sn_tensors *file;
        sn_tensor tensors[200];
        size_t count = 0;
        assert_works(sn_quantization_create(&info.quantization));
        assert_works(sn_weights_save_int8(path, n.graph, n.params, &info));
        assert_works(sn_tensors_open(path, &file));
        float scales[16] = {0};
        double doubles[16] = {0};
        scales[3] = kind == NEGATIVE ? -1 : kind == NOT_FINITE ? NAN : 1;
        for (size_t i = 0; i < sn_tensors_count(file); i++) {
            sn_tensor t = *sn_tensors_at(file, i);
            if (strcmp(t.name, "conv1.weight_scale") == 0) {
                if (kind == MISSING) continue;
                t.data = scales;
                if (kind == SHORT) t.dims[0] = 15, t.bytes = sizeof scales - sizeof *scales;
                if (kind == DOUBLE) t.type = SN_TENSOR_F64, t.data = doubles, t.bytes = sizeof doubles;
            }
            tensors[count++] = t;
        }
        char bad[4300];
        snprintf(bad, sizeof bad, "%s.bad", path);
        assert_works(sn_tensors_write(bad, tensors, count, NULL, 0));
        sn_tensors_close(file);
        assert_works(sn_tensors_open(bad, &file));
        assert_fails(sn_weights_load(file, n.spec.base, n.graph, n.params, NULL), SENET_BAD_DATA, bad, says[kind]);
        sn_tensors_close(file);
        sn_quantization_destroy(info.quantization);
    }
    close_network(&n);
    remove_scratch(folder);
}

/* ---- the pass ---- */

static sn_graph *build_folded(const char *name, int64_t side)
{
    sn_spec spec;
    sn_graph *plain, *folded, *joined;
    assert_works(sn_spec_parse(name, &spec));
    spec.classes = CLASSES;
    assert_works(sn_model_build(&spec, &(sn_build_options){.mode = SN_MODE_EVAL, .batch = 1, .height = side, .width = side}, &plain));
    assert_works(sn_graph_fold_batch_norm(plain, &folded));
    assert_works(sn_graph_join_moves(folded, SENET_INT8, &joined));
    sn_graph_destroy(plain);
    sn_graph_destroy(folded);
    return joined;
}

/* A range for every tensor that asks for one; each name once. */
static sn_quantization *make_ranges(const char *model, const sn_graph *graph)
{
    sn_quantization *made;
    bool *ranged = calloc(graph->nodes_count, sizeof *ranged), *layers = calloc(graph->nodes_count, sizeof *layers);
    assert_works(sn_quantization_create(&made));
    assert_works(sn_graph_int8_tensors(graph, ranged, layers));
    for (size_t i = 0; i < graph->nodes_count; i++) {
        if (!ranged[i]) continue;
        const char *name = sn_quantized_name(&graph->nodes[i]);
        if (sn_quantization_find(made, name)) fail_msg("%s: two tensors are named '%s'", model, name);
        assert_works(sn_quantization_set(made, name, (sn_quant){0.1f, 0}));
    }
    free(ranged);
    free(layers);
    return made;
}

static const sn_node *layer_node(const sn_graph *graph, const char *layer)
{
    char name[SN_LAYER_NAME_BYTES];
    for (size_t i = 0; i < graph->nodes_count; i++)
        if (sn_layer_name(graph, &graph->nodes[i], name) && strcmp(name, layer) == 0) return &graph->nodes[i];
    fail_msg("no layer '%s'", layer);
    return NULL;
}

static sn_dtype input_of(const sn_graph *graph, const char *layer) { return sn_input_of(graph, layer_node(graph, layer), 0)->dtype; }

static void layers_become_int8(void **state)
{
    (void)state;
    sn_graph *folded = build_folded("se_resnet50", 64), *lowered;
    sn_quantization *ranges = make_ranges("se_resnet50", folded);
    assert_works(sn_graph_lower_int8(folded, ranges, &lowered));
    assert_int_equal(input_of(lowered, "conv1"), SN_Q8); /* the picture is converted */
    assert_int_equal(layer_node(lowered, "conv1")->dtype, SN_Q8);
    assert_int_equal(input_of(lowered, "layer1.1.conv1"), SN_Q8);
    assert_int_equal(input_of(lowered, "layer4.2.conv2"), SN_Q8);
    assert_int_equal(layer_node(lowered, "layer1.0.conv3")->dtype, SN_BF16); /* waits for its gate */
    assert_int_equal(input_of(lowered, "layer1.0.se.fc1"), SN_REAL);
    assert_int_equal(input_of(lowered, "fc"), SN_REAL);
    assert_int_equal(lowered->nodes[sn_graph_find_output(lowered, "logits")].dtype, SN_REAL);
    sn_graph_destroy(lowered);
    /* a layer that is kept reads and writes float; its readers are converted to */
    assert_works(sn_quantization_keep(ranges, "layer1.1.conv2"));
    assert_works(sn_graph_lower_int8(folded, ranges, &lowered));
    assert_int_equal(input_of(lowered, "layer1.1.conv2"), SN_REAL);
    assert_int_equal(layer_node(lowered, "layer1.1.conv2")->dtype, SN_REAL);
    assert_int_equal(input_of(lowered, "layer1.1.conv3"), SN_Q8);
    sn_graph_destroy(lowered);
    sn_quantization_destroy(ranges);
    assert_fails(sn_graph_lower_int8(folded, NULL, &lowered), SENET_USAGE, "senet quantize");
    assert_works(sn_quantization_create(&ranges));
    assert_fails(sn_graph_lower_int8(folded, ranges, &lowered), SENET_BAD_DATA, "no int8 range of tensor 'input'");
    sn_quantization_destroy(ranges);
    sn_graph_destroy(folded);
}

/* Ranges are asked for wherever the pass needs one, under names that tell tensors apart: in every network, also with each layer
 * kept. */
static void every_network_is_lowered(void **state)
{
    (void)state;
    const char *name, *summary;
    for (size_t i = 0; sn_zoo_list(i, &name, &summary); i++) {
        sn_spec spec;
        assert_works(sn_spec_parse(name, &spec));
        sn_graph *folded = build_folded(name, spec.native_size), *lowered;
        sn_quantization *ranges = make_ranges(name, folded);
        char layer[SN_LAYER_NAME_BYTES];
        assert_works(sn_graph_lower_int8(folded, ranges, &lowered));
        sn_graph_destroy(lowered);
        for (size_t k = 0, conv = 0; k < folded->nodes_count; k++)
            if (sn_layer_name(folded, &folded->nodes[k], layer) && conv++ % 3 == 0) assert_works(sn_quantization_keep(ranges, layer));
        assert_works(sn_graph_lower_int8(folded, ranges, &lowered));
        sn_graph_destroy(lowered);
        sn_quantization_destroy(ranges);
        sn_graph_destroy(folded);
    }
}

/* ---- calibration ---- */

static void ranges_hold_the_values(void **state)
{
    (void)state;
    float values[1000];
    sn_range_histogram *h = calloc(1, sizeof *h);
    for (int i = 0; i < 1000; i++) values[i] = (float)i / 1000;
    sn_range_widen(h, values, 1000);
    sn_range_count(h, values, 1000);
    sn_quant quant = sn_range_choose(h);
    assert_int_equal(quant.zero, 0); /* nothing is negative */
    assert_true(fabs((double)quant.scale - 0.999 / 255) < 0.02 / 255);
    /* one value far out of a million costs less cut than all others rounded coarsely */
    memset(h, 0, sizeof *h);
    sn_range_widen(h, (float[]){-1, 12}, 2);
    for (int i = 0; i < 1000; i++) sn_range_count(h, values, 1000);
    sn_range_count(h, (float[]){-1, 12}, 2);
    quant = sn_range_choose(h);
    assert_true(quant.zero > 0 && 255 * (double)quant.scale < 10);
    memset(h, 0, sizeof *h);
    sn_range_widen(h, (float[]){0, 0}, 2); /* nothing but zeros */
    sn_range_count(h, (float[]){0, 0}, 2);
    quant = sn_range_choose(h);
    assert_true(quant.scale == 1 && quant.zero == 0);
    free(h);
}

/* Random pictures through random weights: the logits of int8 are near those of float, a layer to be kept is, one that there is not is
 * named. */
static void networks_are_calibrated(void **state)
{
    (void)state;
    static const char *const names[] = {"se_cifar_resnet8", "cifar_preresnet8", "se_mobilenet:width=0.25"};
    size_t values = SIDE * SIDE * 3, room = 16;
    float *pictures = calloc(values * room, sizeof *pictures);
    for (size_t i = 0; i < values * PICTURES; i++) pictures[i] = (float)(2 * sn_rng_uniform(77, i) - 1);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        network n = open_network(names[k]);
        sn_calibration_input input = {.pictures = pictures, .count = PICTURES, .height = SIDE, .width = SIDE};
        const char *keep = k == 2 ? "blocks.1.0.conv_pw" : "layer2.0.conv1", *unknown = "layer9";
        sn_calibration_options options = {.threads = 2, .noise = 1, .keep = &keep, .keep_count = 1};
        sn_quantization *made;
        sn_calibration_report report;
        assert_works(sn_calibrate(&n.spec, n.params, &input, &options, &made, &report));
        assert_true(report.layers_count > 4 && report.noise < 0.05);
        assert_int_equal(made->kept_count, 1);
        assert_string_equal(made->kept[0], keep);
        sn_quantization_destroy(made);
        double noise = report.noise;
        sn_calibration_report_free(&report);
        options.noise = noise / 2; /* so the worst layers are kept */
        assert_works(sn_calibrate(&n.spec, n.params, &input, &options, &made, &report));
        assert_true(made->kept_count > 1 && report.noise <= options.noise);
        sn_quantization_destroy(made);
        sn_calibration_report_free(&report);
        options.keep = &unknown;
        assert_fails(sn_calibrate(&n.spec, n.params, &input, &options, &made, &report), SENET_USAGE, "no layer 'layer9'");
        assert_null(made);
        close_network(&n);
    }
    free(pictures);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_survive_being_written), cmocka_unit_test(bad_ranges_are_refused),
        cmocka_unit_test(int8_weights_are_read_back),   cmocka_unit_test(bad_int8_weights_are_refused),
        cmocka_unit_test(layers_become_int8),           cmocka_unit_test(every_network_is_lowered),
        cmocka_unit_test(ranges_hold_the_values),       cmocka_unit_test(networks_are_calibrated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
