/* inception_resnet_v2.c - Inception-ResNet-v2 as published with TF-slim [Szegedy et al. 2017; ARCHITECTURES section 7]:
 * a stem, residual units of parallel branches in three sizes, two reductions between.  Batch norm with epsilon 1e-3.
 * SE on a residual unit's linear output, before its constant factor and the sum.
 *
 * Branches are tables: a list of layers each, ending with an output width of 0. */
#include <stdio.h>

#include "zoo/blocks.h"
#include "zoo/family.h"

enum { LAYERS = 4, BRANCHES = 3 };

/* Convolution, batch norm, ReLU. */
typedef struct layer_config {
    int64_t out;
    int32_t kernel, kernel_width; /* width 0: square */
    int32_t stride;
    sn_padding padding;
} layer_config;

typedef layer_config branch_config[LAYERS];

static const sn_model_entry models[] = {
    SN_MODEL_PAIR("inception_resnet_v2", "Inception-ResNet-v2 for ImageNet (Table 2)"),
    {NULL, NULL},
};

/* The layer "<name>.conv", "<name>.bn"; its output is "<name>". */
static sn_id build_layer(sn_builder *b, sn_id x, const char *name, layer_config layer)
{
    size_t outer = sn_build_enter(b, "%s", name);
    sn_conv_config conv = {.out = layer.out,
                           .kernel = layer.kernel,
                           .kernel_width = layer.kernel_width,
                           .stride = layer.stride,
                           .padding = layer.padding};
    x = sn_zoo_conv_norm_act(b, x, "conv", "bn", conv, SN_RELU, NULL);
    sn_build_leave(b, outer);
    return x;
}

/* "branch0" of one layer, or "branch1.0", "branch1.1" and so on of several. */
static sn_id build_branch(sn_builder *b, sn_id x, int index, const branch_config layers)
{
    char name[2 * SN_UNIT_NAME_BYTES];
    for (int i = 0; i < LAYERS && layers[i].out; i++) {
        int used = snprintf(name, sizeof name, "branch%d", index);
        if (layers[1].out) snprintf(name + used, sizeof name - (size_t)used, ".%d", i);
        x = build_layer(b, x, name, layers[i]);
    }
    return x;
}

static sn_id build_max_pool(sn_builder *b, sn_id x, const char *name)
{
    return sn_build_pool(b, x, (sn_pool_attrs){.kind = SN_POOL_MAX, .kernel = 3, .stride = 2}, name);
}

/* ---- modules without a residual ---- */

/* mixed_5b: three branches, and an average that leaves the padding out, as TensorFlow's does. */
static sn_id build_mixed_5b(sn_builder *b, sn_id x)
{
    static const branch_config branches[BRANCHES] = {
        {{.out = 96, .kernel = 1}},
        {{.out = 48, .kernel = 1}, {.out = 64, .kernel = 5}},
        {{.out = 64, .kernel = 1}, {.out = 96, .kernel = 3}, {.out = 96, .kernel = 3}},
    };
    sn_id parts[BRANCHES + 1];
    size_t outer = sn_build_enter(b, "mixed_5b");
    for (int i = 0; i < BRANCHES; i++) parts[i] = build_branch(b, x, i, branches[i]);
    sn_pool_attrs average = {.kind = SN_POOL_AVG, .kernel = 3, .stride = 1, .pad = 1};
    x = sn_build_pool(b, x, average, "branch3.0");
    parts[BRANCHES] = build_layer(b, x, "branch3.1", (layer_config){.out = 64, .kernel = 1});
    x = sn_build_concat(b, parts, BRANCHES + 1, NULL);
    sn_build_leave(b, outer);
    return x;
}

/* mixed_6a, mixed_7a: branches that end with stride 2, and a max pool. */
static sn_id build_reduction(sn_builder *b, sn_id x, const char *name, const branch_config *branches, int count)
{
    sn_id parts[BRANCHES + 1];
    size_t outer = sn_build_enter(b, "%s", name);
    for (int i = 0; i < count; i++) parts[i] = build_branch(b, x, i, branches[i]);
    parts[count] = build_max_pool(b, x, "pool");
    x = sn_build_concat(b, parts, count + 1, NULL);
    sn_build_leave(b, outer);
    return x;
}

/* ---- residual units: act(x + factor SE(conv2d(branches(x)))) ---- */

typedef struct unit_config {
    double factor;
    int branches_count;
    branch_config branches[BRANCHES];
} unit_config;

static const unit_config unit_a = {
    0.17,
    3,
    {{{.out = 32, .kernel = 1}},
     {{.out = 32, .kernel = 1}, {.out = 32, .kernel = 3}},
     {{.out = 32, .kernel = 1}, {.out = 48, .kernel = 3}, {.out = 64, .kernel = 3}}},
};
static const unit_config unit_b = {
    0.10,
    2,
    {{{.out = 192, .kernel = 1}},
     {{.out = 128, .kernel = 1},
      {.out = 160, .kernel = 1, .kernel_width = 7},
      {.out = 192, .kernel = 7, .kernel_width = 1}}},
};
static const unit_config unit_c = {
    0.20,
    2,
    {{{.out = 192, .kernel = 1}},
     {{.out = 192, .kernel = 1},
      {.out = 224, .kernel = 1, .kernel_width = 3},
      {.out = 256, .kernel = 3, .kernel_width = 1}}},
};

/* last: without factor and ReLU (block8).  In the scope that names the unit. */
static sn_id build_unit(sn_builder *b, const sn_spec *spec, sn_id x, const unit_config *unit, bool last)
{
    sn_unit_se se = sn_zoo_unit_se(spec, 2); /* this family has no stages to choose */
    sn_id parts[BRANCHES];
    for (int i = 0; i < unit->branches_count; i++) parts[i] = build_branch(b, x, i, unit->branches[i]);
    sn_id y = sn_build_concat(b, parts, unit->branches_count, "concat");
    y = sn_build_conv(b, y, "conv2d", (sn_conv_config){.out = sn_build_shape(b, x).c, .kernel = 1, .bias = true});
    if (se.on) y = sn_se_build(b, y, "se", se.config);
    if (last) return sn_build_add(b, y, x, NULL);
    return sn_build_relu(b, sn_build_add(b, sn_build_multiply(b, y, unit->factor, "factor"), x, "add"), NULL);
}

static sn_id build_units(sn_builder *b, const sn_spec *spec, sn_id x, const char *name, const unit_config *unit,
                         int count)
{
    for (int i = 0; i < count; i++) {
        size_t outer = sn_build_enter(b, "%s.%d", name, i);
        x = build_unit(b, spec, x, unit, false);
        sn_build_leave(b, outer);
    }
    return x;
}

/* ---- the network ---- */

static sn_id build_stem(sn_builder *b, sn_id x)
{
    x = build_layer(b, x, "conv2d_1a", (layer_config){.out = 32, .kernel = 3, .stride = 2, .padding = SN_PADDING_NONE});
    x = build_layer(b, x, "conv2d_2a", (layer_config){.out = 32, .kernel = 3, .padding = SN_PADDING_NONE});
    x = build_layer(b, x, "conv2d_2b", (layer_config){.out = 64, .kernel = 3});
    x = build_max_pool(b, x, "maxpool_3a");
    x = build_layer(b, x, "conv2d_3b", (layer_config){.out = 80, .kernel = 1});
    x = build_layer(b, x, "conv2d_4a", (layer_config){.out = 192, .kernel = 3, .padding = SN_PADDING_NONE});
    return build_max_pool(b, x, "maxpool_5a");
}

static sn_id build(sn_builder *b, const sn_spec *spec, sn_id x)
{
    static const branch_config mixed_6a[] = {
        {{.out = 384, .kernel = 3, .stride = 2, .padding = SN_PADDING_NONE}},
        {{.out = 256, .kernel = 1},
         {.out = 256, .kernel = 3},
         {.out = 384, .kernel = 3, .stride = 2, .padding = SN_PADDING_NONE}},
    };
    static const branch_config mixed_7a[] = {
        {{.out = 256, .kernel = 1}, {.out = 384, .kernel = 3, .stride = 2, .padding = SN_PADDING_NONE}},
        {{.out = 256, .kernel = 1}, {.out = 288, .kernel = 3, .stride = 2, .padding = SN_PADDING_NONE}},
        {{.out = 256, .kernel = 1},
         {.out = 288, .kernel = 3},
         {.out = 320, .kernel = 3, .stride = 2, .padding = SN_PADDING_NONE}},
    };
    b->epsilon = 1e-3;
    x = build_mixed_5b(b, build_stem(b, x));
    x = build_units(b, spec, x, "repeat", &unit_a, 10);
    x = build_reduction(b, x, "mixed_6a", mixed_6a, 2);
    x = build_units(b, spec, x, "repeat_1", &unit_b, 20);
    x = build_reduction(b, x, "mixed_7a", mixed_7a, 3);
    x = build_units(b, spec, x, "repeat_2", &unit_c, 9);
    size_t outer = sn_build_enter(b, "block8");
    x = build_unit(b, spec, x, &unit_c, true);
    sn_build_leave(b, outer);
    x = build_layer(b, x, "conv2d_7b", (layer_config){.out = 1536, .kernel = 1});
    x = sn_build_dropout(b, sn_build_squeeze(b, x, SN_OP_squeeze_avg, "global_pool"), 0.2f, "drop");
    return sn_build_linear(b, x, "classif", spec->classes);
}

const sn_family sn_family_inception_resnet_v2 = {
    .pattern = "inception_resnet_v2",
    .models = models,
    .options = SN_OPTION_BIT(CLASSES),
    .se_options = SN_SE_OPTIONS,
    .classes = 1000,
    .native_size = 299,
    .build = build,
};
