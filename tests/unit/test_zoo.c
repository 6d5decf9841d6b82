/* test_zoo.c - graphs from names: counts to the last digit, inputs, outputs, names of nodes, modes, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "zoo/se_block.h"

static sn_graph *build(const char *model, const sn_build_options *options)
{
    sn_spec spec;
    sn_graph *graph = NULL;
    if (sn_spec_parse(model, &spec) != SENET_OK || sn_model_build(&spec, options, &graph) != SENET_OK)
        fail_msg("'%s': %s", model, senet_last_error());
    return graph;
}

static sn_graph *build_mode(const char *model, sn_mode mode)
{
    return build(model, &(sn_build_options){.mode = mode, .batch = 2, .loss = mode != SN_MODE_EVAL});
}

static const sn_node *node_of(const sn_graph *graph, const char *name)
{
    sn_id id = sn_graph_find_node(graph, name);
    if (id == SN_NONE) fail_msg("no node '%s'", name);
    return &graph->nodes[id];
}

static const sn_param *param_of(const sn_graph *graph, const char *name)
{
    int index = sn_graph_find_param(graph, name);
    if (index < 0) fail_msg("no parameter '%s'", name);
    return &graph->params[index];
}

static int count_ops(const sn_graph *graph, sn_op_kind op)
{
    int count = 0;
    for (size_t i = 0; i < graph->nodes_count; i++) count += graph->nodes[i].op == op;
    return count;
}

/* ---- counts ---- */

/* One row of spec/counts.tsv; false for the line of headings. */
static bool check_counts(char *line)
{
    char name[128];
    int size;
    long long classes, tensors, params, params_bn, se_params, macs, macs_scale, se_macs, scale_ops;
    int fields = sscanf(line, "%127s %d %lld %lld %lld %lld %lld %lld %lld %lld %lld", name, &size, &classes, &tensors,
                        &params, &params_bn, &se_params, &macs, &macs_scale, &se_macs, &scale_ops);
    if (fields != 11) return false;
    sn_graph *graph = build(name, &(sn_build_options){.mode = SN_MODE_EVAL, .batch = 1});
    int64_t learnable, statistics, in_se = 0;
    sn_graph_count_params(graph, &learnable, &statistics);
    for (size_t i = 0; i < graph->params_count; i++)
        if (graph->params[i].in_se) in_se += sn_shape_elements(graph->params[i].shape);
    sn_cost cost = sn_graph_cost(graph);
    const sn_node *logits = &graph->nodes[sn_graph_find_output(graph, "logits")];
    bool same = node_of(graph, "input")->shape.h == size && logits->shape.c == classes &&
                (long long)graph->params_count == tensors && learnable == params &&
                learnable + statistics == params_bn && in_se == se_params && cost.macs == macs &&
                cost.macs + cost.scale_ops == macs_scale && cost.scale_ops == scale_ops;
    if (!same)
        fail_msg(
            "%s: %lld classes, %zu tensors, %lld params, %lld with statistics, %lld in SE, %lld macs, %lld scale ops",
            name, (long long)logits->shape.c, graph->params_count, (long long)learnable,
            (long long)(learnable + statistics), (long long)in_se, (long long)cost.macs, (long long)cost.scale_ops);
    sn_graph_destroy(graph);
    return true;
}

/* Parameters, multiply-accumulates and scale operations of every row are integers: equal, not close. */
static void test_counts(void **state)
{
    (void)state;
    const char *shared = getenv("SENET_SHARED");
    char path[4096], line[512];
    snprintf(path, sizeof path, "%s/spec/counts.tsv", shared ? shared : "../shared");
    FILE *file = fopen(path, "r");
    if (!file) {
        print_message("%s is not there\n", path);
        skip();
    }
    int rows = 0;
    while (fgets(line, sizeof line, file)) rows += check_counts(line);
    fclose(file);
    assert_int_equal(rows, 71);
}

/* ---- graphs ---- */

static void test_eval_graph(void **state)
{
    (void)state;
    sn_graph *graph = build_mode("se_cifar_resnet20", SN_MODE_EVAL);
    const sn_node *input = node_of(graph, "input");
    assert_true(sn_shape_equal(input->shape, (sn_shape){2, 32, 32, 3}));
    assert_true(sn_shape_equal(graph->nodes[sn_graph_find_output(graph, "logits")].shape, (sn_shape){2, 1, 1, 10}));
    assert_int_equal(sn_graph_find_output(graph, "loss"), SN_NONE);
    assert_int_equal(count_ops(graph, SN_OP_bn_stats) + count_ops(graph, SN_OP_bn_update), 0);
    /* 1 + 9 * 2 batch norms, each with its running statistics; the units' scale, sum and ReLU are one node */
    assert_int_equal(count_ops(graph, SN_OP_bn_pack), 19);
    assert_int_equal(count_ops(graph, SN_OP_scale_add), 9);
    assert_int_equal(count_ops(graph, SN_OP_activation) + count_ops(graph, SN_OP_add), 0);
    const sn_node *unit = node_of(graph, "layer3.2");
    assert_int_equal(unit->op, SN_OP_scale_add);
    assert_true(sn_shape_equal(unit->shape, (sn_shape){2, 8, 8, 64}));
    const sn_node *gate = node_of(graph, "layer3.2.se.gate");
    assert_true(sn_shape_equal(gate->shape, (sn_shape){2, 1, 1, 64}));
    assert_int_equal(gate->attrs.u.conv.activation, SN_SIGMOID);
    sn_graph_destroy(graph);
}

static void test_train_graph(void **state)
{
    (void)state;
    sn_graph *graph = build_mode("cifar_resnet20", SN_MODE_TRAIN);
    assert_int_equal(node_of(graph, "labels")->dtype, SN_I32);
    assert_int_equal(sn_shape_elements(graph->nodes[sn_graph_find_output(graph, "loss")].shape), 1);
    assert_int_equal(count_ops(graph, SN_OP_bn_stats), 19);
    assert_int_equal(count_ops(graph, SN_OP_bn_update), 19);
    assert_int_equal(count_ops(graph, SN_OP_bn_pack), 0);
    for (size_t i = 0; i < graph->nodes_count; i++)
        if (graph->nodes[i].op == SN_OP_bn_update && strcmp(graph->nodes[i].name, "layer2.0.bn1") == 0)
            assert_int_equal(graph->nodes[i].attrs.u.norm.count, 2 * 16 * 16);
    sn_graph_destroy(graph);
}

/* Frozen batch norm: stored statistics, nothing of it learnable; parameters are the same ones in the same order. */
static void test_frozen_graph(void **state)
{
    (void)state;
    sn_graph *graph = build_mode("se_cifar_resnet20", SN_MODE_TRAIN_FROZEN);
    sn_graph *trained = build_mode("se_cifar_resnet20", SN_MODE_TRAIN);
    assert_int_equal(count_ops(graph, SN_OP_bn_stats) + count_ops(graph, SN_OP_bn_update), 0);
    assert_int_equal(graph->params_count, trained->params_count);
    for (size_t i = 0; i < graph->params_count; i++) {
        const sn_param *p = &graph->params[i];
        assert_string_equal(p->name, trained->params[i].name);
        assert_int_equal(p->learnable, p->kind == SN_PARAM_CONV_WEIGHT || p->kind == SN_PARAM_LINEAR_WEIGHT ||
                                           p->kind == SN_PARAM_BIAS);
    }
    assert_int_equal(sn_graph_add_gradients(graph, sn_graph_find_output(graph, "loss")), SENET_OK);
    assert_int_equal(param_of(graph, "bn1.weight")->gradient, SN_NONE);
    assert_int_not_equal(param_of(graph, "conv1.weight")->gradient, SN_NONE);
    sn_graph_destroy(graph);
    sn_graph_destroy(trained);
}

static void test_param_layouts(void **state)
{
    (void)state;
    sn_graph *graph = build_mode("se_shake_even29_2x4x64d", SN_MODE_EVAL);
    const sn_param *grouped = param_of(graph, "layer1.0.branch1.conv2.weight");
    assert_int_equal(grouped->kind, SN_PARAM_CONV_WEIGHT);
    assert_int_equal(grouped->rank, 4);
    const int64_t oihw[4] = {256, 64, 3, 3};
    assert_memory_equal(grouped->dims, oihw, sizeof oihw);
    assert_true(sn_shape_equal(grouped->shape, (sn_shape){3, 3, 64, 256}));
    const sn_param *linear = param_of(graph, "fc.weight");
    assert_int_equal(linear->kind, SN_PARAM_LINEAR_WEIGHT);
    assert_int_equal(linear->rank, 2);
    assert_int_equal(linear->dims[0], 100);
    assert_int_equal(linear->dims[1], 1024);
    assert_true(sn_shape_equal(linear->shape, (sn_shape){1, 1, 1024, 100}));
    const sn_param *squeeze = param_of(graph, "layer1.0.branch1.se.fc1.weight");
    assert_true(squeeze->in_se && squeeze->learnable && squeeze->rank == 4);
    assert_false(param_of(graph, "layer1.0.branch1.bn1.running_var")->learnable);
    assert_false(param_of(graph, "layer1.0.downsample.0.weight")->in_se);
    sn_graph_destroy(graph);
}

static void test_bytes_as_input(void **state)
{
    (void)state;
    sn_build_options options = {.mode = SN_MODE_EVAL,
                                .batch = 3,
                                .height = 40,
                                .width = 24,
                                .input = SN_INPUT_U8,
                                .mean = {0.5f, 0.4f, 0.3f},
                                .std = {0.2f, 0.25f, 0.3f}};
    sn_graph *graph = build("wrn16_1", &options);
    assert_int_equal(node_of(graph, "images")->dtype, SN_U8);
    assert_true(sn_shape_equal(node_of(graph, "images")->shape, (sn_shape){3, 40, 24, 3}));
    assert_int_equal(node_of(graph, "rects")->dtype, SN_I32);
    assert_true(node_of(graph, "normalize")->attrs.u.normalize.std[1] == 0.25f);
    assert_int_equal(sn_graph_find_node(graph, "input"), SN_NONE);
    assert_true(sn_shape_equal(node_of(graph, "layer3.1")->shape, (sn_shape){3, 10, 6, 64}));
    sn_graph_destroy(graph);
}

static void test_shake_units(void **state)
{
    (void)state;
    size_t count;
    sn_graph *graph = build_mode("se_shake_shake26_2x32d", SN_MODE_TRAIN);
    const char *const *units = sn_model_shake_units(graph, &count);
    assert_int_equal(count, 12);
    assert_string_equal(units[0], "layer1.0");
    assert_string_equal(units[5], "layer2.1");
    assert_string_equal(units[11], "layer3.3");
    assert_true(sn_shape_equal(node_of(graph, "shake")->shape, (sn_shape){2, 1, 1, 24}));
    assert_int_not_equal(node_of(graph, "layer1.0")->op, SN_OP_mix); /* the unit's output is the sum behind it */
    sn_graph_destroy(graph);

    graph = build_mode("shake_even29_2x4x4d", SN_MODE_TRAIN_FROZEN);
    sn_model_shake_units(graph, &count);
    assert_int_equal(count, 9);
    assert_true(sn_shape_equal(node_of(graph, "shake")->shape, (sn_shape){2, 1, 1, 18}));
    sn_graph_destroy(graph);

    graph = build_mode("shake_even29_2x4x4d", SN_MODE_EVAL);
    assert_int_equal(sn_graph_find_node(graph, "shake"), SN_NONE);
    sn_graph_destroy(graph);

    graph = build_mode("wrn16_1", SN_MODE_TRAIN);
    sn_model_shake_units(graph, &count);
    assert_int_equal(count, 0);
    sn_graph_destroy(graph);
}

/* squeeze=none: the gate has a value for every position; stages without SE are plain. */
static void test_se_options_reach_the_graph(void **state)
{
    (void)state;
    sn_graph *graph = build_mode("se_cifar_resnet20:r=2,squeeze=none,gate=tanh,stages=3,bias=0", SN_MODE_EVAL);
    const sn_node *gate = node_of(graph, "layer2.0.se.gate");
    assert_true(sn_shape_equal(gate->shape, (sn_shape){2, 16, 16, 32}));
    assert_int_equal(gate->attrs.u.conv.activation, SN_TANH);
    assert_int_equal(sn_graph_find_param(graph, "layer2.0.se.fc1.bias"), -1);
    assert_int_equal(param_of(graph, "layer2.0.se.fc1.weight")->dims[0], 16);
    assert_int_equal(sn_graph_find_param(graph, "layer1.0.se.fc1.weight"), -1);
    assert_int_equal(sn_graph_find_param(graph, "layer3.0.se.fc1.weight"), -1);
    sn_graph_destroy(graph);
    graph = build_mode("se_cifar_resnet20:squeeze=max,place=pre", SN_MODE_EVAL);
    assert_int_equal(count_ops(graph, SN_OP_squeeze_max), 9);
    assert_int_equal(param_of(graph, "layer2.0.se.fc2.weight")->dims[0], 16); /* pre: the unit's input channels */
    sn_graph_destroy(graph);
    graph = build_mode("se_wrn16_1:r=1000", SN_MODE_EVAL);
    assert_int_equal(param_of(graph, "layer3.0.se.fc1.weight")->dims[0], 1); /* never fewer than one */
    sn_graph_destroy(graph);
}

/* A tap is the unit's output even where the next node would have swallowed it: here the ReLU that opens the next unit.
 */
static void test_taps(void **state)
{
    (void)state;
    const char *const taps[] = {"layer1.3", "layer2.0.branch1.se.gate"};
    sn_build_options options = {.mode = SN_MODE_EVAL, .batch = 2, .taps = taps, .taps_count = 2};
    sn_graph *graph = build("se_shake_shake26_2x32d", &options);
    const sn_node *unit = &graph->nodes[sn_graph_find_output(graph, "layer1.3")];
    assert_int_equal(unit->op, SN_OP_add);
    assert_int_equal(unit->attrs.u.activation.kind, SN_IDENTITY);
    assert_true(sn_shape_equal(unit->shape, (sn_shape){2, 32, 32, 32}));
    assert_true(sn_shape_equal(graph->nodes[sn_graph_find_output(graph, taps[1])].shape, (sn_shape){2, 1, 1, 64}));
    sn_graph_destroy(graph);
    sn_spec spec;
    const char *const missing = "layer9.0";
    assert_int_equal(sn_spec_parse("wrn16_1", &spec), SENET_OK);
    options = (sn_build_options){.batch = 1, .taps = &missing, .taps_count = 1};
    assert_int_equal(sn_model_build(&spec, &options, &graph), SENET_USAGE);
    assert_string_equal(senet_last_error(), "model 'wrn16_1': no node is called 'layer9.0'");
}

static void test_refusals(void **state)
{
    (void)state;
    static const sn_build_options bad[] = {
        {.batch = 0},
        {.batch = 1, .height = -1},
        {.batch = 1, .width = 100000},
        {.batch = 1, .loss = true, .smoothing = 1},
        {.batch = 1, .input = SN_INPUT_U8, .std = {1, 0, 1}},
        {.batch = INT64_MAX / 1000},
    };
    sn_spec spec;
    assert_int_equal(sn_spec_parse("se_wrn16_1", &spec), SENET_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sn_graph *graph = (sn_graph *)&spec;
        assert_int_equal(sn_model_build(&spec, &bad[i], &graph), SENET_USAGE);
        assert_null(graph);
        assert_non_null(strstr(senet_last_error(), "model 'se_wrn16_1': "));
    }
}

/* ---- the networks for photographs ---- */

static void expect_no_graph(const char *model, int64_t height, int64_t width, const char *message)
{
    sn_spec spec;
    sn_graph *graph;
    assert_int_equal(sn_spec_parse(model, &spec), SENET_OK);
    sn_build_options options = {.batch = 1, .height = height, .width = width};
    assert_int_equal(sn_model_build(&spec, &options, &graph), SENET_USAGE);
    assert_null(graph);
    if (!strstr(senet_last_error(), message)) fail_msg("'%s' does not say '%s'", senet_last_error(), message);
}

/* Any size whose maps agree is taken; where branches would not, the error says which size and which maps. */
static void test_sizes(void **state)
{
    (void)state;
    static const char *const models[] = {"se_resnet50",  "senet154",     "se_vgg16_bn",
                                         "bn_inception", "se_mobilenet", "shufflenet_g3"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        for (int64_t side = 32; side <= 96; side += 32) {
            sn_build_options options = {.mode = SN_MODE_TRAIN, .batch = 2, .height = side, .width = 64, .loss = true};
            sn_graph_destroy(build(models[i], &options));
        }
    static const sn_build_options odd = {.batch = 1, .height = 97, .width = 131};
    sn_graph_destroy(build("resnext50_32x4d", &odd));
    sn_graph_destroy(build("mobilenet", &odd));
    sn_graph_destroy(build("inception_resnet_v2", &odd));
    expect_no_graph("shufflenet_g3", 224, 230,
                    "pictures of 224x230 do not fit: 'stage2.0.concat' would join maps of 28x28 and 28x29");
    expect_no_graph("se_bn_inception", 200, 224,
                    "pictures of 200x224 do not fit: 'inception_3c_concat' would join maps of 13x14 and 12x14");
    expect_no_graph("vgg16_bn", 16, 224, "a map of 1x14 is too small for windows of 2");
    expect_no_graph("inception_resnet_v2", 60, 60, "too small");
}

/* The first linear layer reads a whole map; files hold its weight flat, in C, H, W order. */
static void test_vgg_classifier(void **state)
{
    (void)state;
    sn_graph *graph =
        build("vgg16_bn", &(sn_build_options){.mode = SN_MODE_EVAL, .batch = 1, .height = 64, .width = 96});
    const sn_param *weight = param_of(graph, "classifier.0.weight");
    assert_int_equal(weight->rank, 2);
    assert_int_equal(weight->dims[0], 4096);
    assert_int_equal(weight->dims[1], 25088);
    assert_true(sn_shape_equal(weight->shape, (sn_shape){7, 7, 512, 4096}));
    assert_true(sn_shape_equal(node_of(graph, "avgpool")->shape, (sn_shape){1, 7, 7, 512}));
    sn_graph_destroy(graph);
    graph = build_mode("vgg16_bn", SN_MODE_TRAIN);
    assert_int_equal(count_ops(graph, SN_OP_adaptive_avg), 0); /* 224 gives 7x7 already */
    assert_int_equal(count_ops(graph, SN_OP_dropout), 2);
    sn_graph_destroy(graph);
}

/* Channels are multiples of 8, not more than 10% below the exact number: 0.3 * 32 = 9.6 -> 16 and not 8. */
static void test_mobilenet_options(void **state)
{
    (void)state;
    sn_graph *graph = build_mode("mobilenet:width=0.3,act=relu6,pad=tf_same", SN_MODE_EVAL);
    assert_int_equal(param_of(graph, "conv_stem.weight")->dims[0], 16);
    assert_int_equal(param_of(graph, "blocks.4.1.conv_pw.weight")->dims[0], 304); /* 307.2 */
    assert_int_equal(param_of(graph, "classifier.weight")->dims[0], 1000);
    sn_id stem = sn_graph_find_node(graph, "conv_stem");
    const sn_conv_attrs *a = &graph->nodes[stem].attrs.u.conv;
    assert_true(a->pad_top == 0 && a->pad_left == 0 && a->pad_bottom == 1 && a->pad_right == 1);
    assert_int_equal(node_of(graph, "blocks.0.0")->attrs.u.activation.kind, SN_RELU6);
    sn_graph_destroy(graph);
}

/* The stride of a halving unit, and the stem's pool, as the options say. */
static void test_resnet_options(void **state)
{
    (void)state;
    sn_graph *graph = build_mode("resnet50", SN_MODE_EVAL);
    assert_int_equal(node_of(graph, "layer2.0.conv1")->attrs.u.conv.stride, 2);
    assert_true(node_of(graph, "stem")->attrs.u.pool.ceil);
    sn_graph_destroy(graph);
    graph = build_mode("resnet50:down=3x3,pool=pad1", SN_MODE_EVAL);
    assert_int_equal(node_of(graph, "layer2.0.conv1")->attrs.u.conv.stride, 1);
    assert_int_equal(node_of(graph, "layer2.0.conv2")->attrs.u.conv.stride, 2);
    assert_int_equal(node_of(graph, "stem")->attrs.u.pool.pad, 1);
    sn_graph_destroy(graph);
}

/* ---- the builder ---- */

/* After a failure nothing is added, every call returns SN_NONE, and the first message stays. */
static void test_builder_failure_sticks(void **state)
{
    (void)state;
    sn_graph *graph;
    sn_builder b;
    assert_int_equal(sn_graph_create(1, &graph), SENET_OK);
    sn_builder_start(&b, graph, SN_MODE_TRAIN);
    sn_id x = sn_build_input(&b, "input", SN_REAL, (sn_shape){1, 4, 4, 3});
    sn_id bad = sn_build_conv(&b, x, "conv", (sn_conv_config){.out = 8, .kernel = 3, .groups = 2});
    assert_int_equal(bad, SN_NONE);
    assert_int_equal(b.status, SENET_USAGE);
    assert_string_equal(senet_last_error(), "conv2d 'conv': 3 channels in, 8 out do not divide into 2 groups");
    size_t nodes = graph->nodes_count;
    size_t outer = sn_build_enter(&b, "unit");
    x = sn_build_norm(&b, bad, "bn");
    x = sn_build_dropout(&b, sn_build_relu(&b, x, "relu"), 0.5f, "drop");
    x = sn_se_build(&b, sn_build_add(&b, x, x, "add"), "se", sn_se_default());
    sn_build_leave(&b, outer);
    sn_build_output(&b, "logits", sn_build_linear(&b, x, "fc", 10));
    assert_int_equal(x, SN_NONE);
    assert_int_equal(graph->nodes_count, nodes);
    assert_string_equal(senet_last_error(), "conv2d 'conv': 3 channels in, 8 out do not divide into 2 groups");
    sn_graph_destroy(graph);
}

/* The three paddings at stride 2 on an odd and an even side: sizes, and where TensorFlow puts the odd row. */
static void test_builder_paddings(void **state)
{
    (void)state;
    sn_graph *graph;
    sn_builder b;
    assert_int_equal(sn_graph_create(1, &graph), SENET_OK);
    sn_builder_start(&b, graph, SN_MODE_EVAL);
    sn_id x = sn_build_input(&b, "input", SN_REAL, (sn_shape){1, 7, 8, 3});
    sn_id half = sn_build_conv(&b, x, "half", (sn_conv_config){.out = 4, .kernel = 3, .stride = 2});
    sn_id none = sn_build_conv(&b, x, "none",
                               (sn_conv_config){.out = 4, .kernel = 1, .kernel_width = 7, .padding = SN_PADDING_NONE});
    sn_id same = sn_build_conv(&b, x, "same",
                               (sn_conv_config){.out = 4, .kernel = 3, .stride = 2, .padding = SN_PADDING_TF_SAME});
    assert_int_equal(b.status, SENET_OK);
    assert_true(sn_shape_equal(graph->nodes[half].shape, (sn_shape){1, 4, 4, 4}));
    assert_true(sn_shape_equal(graph->nodes[none].shape, (sn_shape){1, 7, 2, 4}));
    assert_true(sn_shape_equal(graph->nodes[same].shape, (sn_shape){1, 4, 4, 4}));
    const sn_conv_attrs *a = &graph->nodes[same].attrs.u.conv;
    assert_true(a->pad_top == 1 && a->pad_bottom == 1 && a->pad_left == 0 && a->pad_right == 1);
    sn_graph_destroy(graph);
}

/* Dropout asks for one input of keys, tells its layers apart, and is gone at test time. */
static void test_builder_dropout(void **state)
{
    (void)state;
    for (int mode = SN_MODE_EVAL; mode <= SN_MODE_TRAIN_FROZEN; mode++) {
        sn_graph *graph;
        sn_builder b;
        assert_int_equal(sn_graph_create(5, &graph), SENET_OK);
        sn_builder_start(&b, graph, (sn_mode)mode);
        sn_id x = sn_build_input(&b, "input", SN_REAL, (sn_shape){5, 1, 1, 3});
        sn_id first = sn_build_dropout(&b, x, 0.2f, "drop1"), second = sn_build_dropout(&b, first, 0.5f, "drop2");
        assert_int_equal(b.status, SENET_OK);
        if (mode == SN_MODE_EVAL) {
            assert_int_equal(second, x);
        } else {
            assert_true(sn_shape_equal(node_of(graph, "keys")->shape, (sn_shape){5, 1, 1, 1}));
            assert_int_equal(graph->nodes[first].inputs[1], graph->nodes[second].inputs[1]);
            assert_int_not_equal(graph->nodes[first].attrs.u.dropout.salt, graph->nodes[second].attrs.u.dropout.salt);
        }
        sn_graph_destroy(graph);
    }
}

static void test_builder_long_names(void **state)
{
    (void)state;
    sn_graph *graph;
    sn_builder b;
    char name[SN_BUILDER_NAME_BYTES];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(sn_graph_create(1, &graph), SENET_OK);
    sn_builder_start(&b, graph, SN_MODE_EVAL);
    size_t outer = sn_build_enter(&b, "%s", name);
    assert_int_equal(b.status, SENET_INTERNAL);
    assert_int_equal(outer, 0);
    assert_string_equal(b.scope, "");
    sn_builder_start(&b, graph, SN_MODE_EVAL);
    sn_id x = sn_build_input(&b, "input", SN_REAL, (sn_shape){1, 1, 1, 3});
    sn_build_enter(&b, "a");
    sn_build_linear(&b, x, name, 10);
    assert_int_equal(b.status, SENET_INTERNAL);
    sn_graph_destroy(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_eval_graph),
        cmocka_unit_test(test_train_graph),
        cmocka_unit_test(test_frozen_graph),
        cmocka_unit_test(test_param_layouts),
        cmocka_unit_test(test_bytes_as_input),
        cmocka_unit_test(test_shake_units),
        cmocka_unit_test(test_se_options_reach_the_graph),
        cmocka_unit_test(test_taps),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_vgg_classifier),
        cmocka_unit_test(test_mobilenet_options),
        cmocka_unit_test(test_resnet_options),
        cmocka_unit_test(test_builder_failure_sticks),
        cmocka_unit_test(test_builder_paddings),
        cmocka_unit_test(test_builder_dropout),
        cmocka_unit_test(test_builder_long_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
