/* bn_inception.c - Inception with batch norm, as the released SE-BN-Inception has it [Ioffe, Szegedy 2015;
 * ARCHITECTURES section 6]: ten modules of up to four branches.  SE on each module's concatenated output. */
#include <stdio.h>

#include "zoo/blocks.h"
#include "zoo/family.h"

enum { MODULES = 10, NAME_BYTES = 48 };

/* Widths of a module's branches; one without 1x1 and projection halves the map and passes its max-pooled input on. */
typedef struct module_config {
    const char *name;
    int64_t one, reduce, three, double_reduce, double_three;
    sn_pool_kind pool;
    int64_t projection;
} module_config;

static const module_config modules[MODULES] = {
    {"3a", 64, 64, 64, 64, 96, SN_POOL_AVG, 32},       {"3b", 64, 64, 96, 64, 96, SN_POOL_AVG, 64},
    {"3c", 0, 128, 160, 64, 96, SN_POOL_MAX, 0},       {"4a", 224, 64, 96, 96, 128, SN_POOL_AVG, 128},
    {"4b", 192, 96, 128, 96, 128, SN_POOL_AVG, 128},   {"4c", 160, 128, 160, 128, 160, SN_POOL_AVG, 128},
    {"4d", 96, 128, 192, 160, 192, SN_POOL_AVG, 128},  {"4e", 0, 128, 192, 192, 256, SN_POOL_MAX, 0},
    {"5a", 352, 192, 320, 160, 224, SN_POOL_AVG, 128}, {"5b", 352, 192, 320, 192, 224, SN_POOL_MAX, 128},
};

static const sn_model_entry models[] = {
    SN_MODEL_PAIR("bn_inception", "BN-Inception for ImageNet (Table 2)"),
    {NULL, NULL},
};

/* A convolution called "<prefix><name>", its batch norm "<prefix><name>_bn", ReLU. */
static sn_id build_layer(sn_builder *b, sn_id x, const char *prefix, const char *name, sn_conv_config config)
{
    char conv[NAME_BYTES], norm[NAME_BYTES], relu[NAME_BYTES];
    snprintf(conv, sizeof conv, "%s%s", prefix, name);
    snprintf(norm, sizeof norm, "%s%s_bn", prefix, name);
    snprintf(relu, sizeof relu, "%s%s_relu", prefix, name);
    return sn_zoo_conv_norm_act(b, x, conv, norm, config, SN_RELU, relu);
}

static sn_id build_halving_pool(sn_builder *b, sn_id x, const char *name)
{
    return sn_build_pool(b, x, (sn_pool_attrs){.kind = SN_POOL_MAX, .kernel = 3, .stride = 2, .ceil = true}, name);
}

/* The pooled branch: in its own size with a projection, or halved and as it is. */
static sn_id build_pool_branch(sn_builder *b, sn_id x, const module_config *m, const char *prefix)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%spool", prefix);
    if (!m->projection) return build_halving_pool(b, x, name);
    sn_pool_attrs pool = {.kind = m->pool, .kernel = 3, .stride = 1, .pad = 1, .count_padding = true};
    return build_layer(b, sn_build_pool(b, x, pool, name), prefix, "pool_proj",
                       (sn_conv_config){.out = m->projection, .kernel = 1});
}

static sn_id build_branches(sn_builder *b, sn_id x, const module_config *m, const char *prefix, const char *output)
{
    int32_t stride = m->projection ? 1 : 2;
    sn_conv_config one = {.out = m->one, .kernel = 1}, reduce = {.out = m->reduce, .kernel = 1},
                   three = {.out = m->three, .kernel = 3, .stride = stride},
                   double_reduce = {.out = m->double_reduce, .kernel = 1},
                   double_first = {.out = m->double_three, .kernel = 3},
                   double_second = {.out = m->double_three, .kernel = 3, .stride = stride};
    sn_id branches[4], y;
    int count = 0;
    if (m->one) branches[count++] = build_layer(b, x, prefix, "1x1", one);
    y = build_layer(b, x, prefix, "3x3_reduce", reduce);
    branches[count++] = build_layer(b, y, prefix, "3x3", three);
    y = build_layer(b, x, prefix, "double_3x3_reduce", double_reduce);
    y = build_layer(b, y, prefix, "double_3x3_1", double_first);
    branches[count++] = build_layer(b, y, prefix, "double_3x3_2", double_second);
    branches[count++] = build_pool_branch(b, x, m, prefix);
    return sn_zoo_join(b, branches, count, output);
}

static sn_id build_module(sn_builder *b, const sn_spec *spec, sn_id x, const module_config *m)
{
    char prefix[NAME_BYTES], output[NAME_BYTES], block[NAME_BYTES];
    sn_unit_se se = sn_zoo_unit_se(spec, 2); /* this family has no stages to choose */
    snprintf(prefix, sizeof prefix, "inception_%s_", m->name);
    snprintf(output, sizeof output, "inception_%s_out", m->name);
    snprintf(block, sizeof block, "inception_%s_se", m->name);
    if (!se.on) return build_branches(b, x, m, prefix, output);
    char joined[NAME_BYTES];
    snprintf(joined, sizeof joined, "inception_%s_concat", m->name);
    x = build_branches(b, x, m, prefix, joined);
    sn_se_block excitation = sn_se_declare(b, block, sn_build_shape(b, x).c, &se.config);
    return sn_se_apply(b, &excitation, x, output);
}

static sn_id build(sn_builder *b, const sn_spec *spec, sn_id x)
{
    x = build_layer(b, x, "", "conv1_7x7_s2", (sn_conv_config){.out = 64, .kernel = 7, .stride = 2});
    x = build_halving_pool(b, x, "pool1_3x3_s2");
    x = build_layer(b, x, "", "conv2_3x3_reduce", (sn_conv_config){.out = 64, .kernel = 1});
    x = build_layer(b, x, "", "conv2_3x3", (sn_conv_config){.out = 192, .kernel = 3});
    x = build_halving_pool(b, x, "pool2_3x3_s2");
    for (int i = 0; i < MODULES; i++) x = build_module(b, spec, x, &modules[i]);
    x = sn_build_squeeze(b, x, SN_OP_squeeze_avg, "global_pool");
    return sn_build_linear(b, x, "last_linear", spec->classes);
}

const sn_family sn_family_bn_inception = {
    .pattern = "bn_inception",
    .models = models,
    .options = SN_OPTION_BIT(CLASSES),
    .se_options = SN_SE_OPTIONS,
    .classes = 1000,
    .native_size = 224,
    .build = build,
};
