/* vgg16_bn.c - VGG-16 with batch norm [Simonyan, Zisserman 2015; torchvision; ARCHITECTURES section 5]: 13 convolutions
 * that keep their biases, five max pools, three fully connected layers.  SE behind each convolution's ReLU.
 *
 * The convolutions are numbered as torchvision's list of layers is: convolution, batch norm, ReLU, and the pools. */
#include <stdio.h>

#include "zoo/blocks.h"
#include "zoo/family.h"

enum { GROUPS = 5, CONVOLUTIONS = 13, NAME_BYTES = 24, CELLS = 7 };

static const struct {
    int64_t channels;
    int convolutions;
} groups[GROUPS] = {{64, 2}, {128, 2}, {256, 3}, {512, 3}, {512, 3}};

static const sn_model_entry models[] = {
    SN_MODEL_PAIR("vgg16_bn", "VGG-16 with batch norm for ImageNet (Table 2)"),
    {NULL, NULL},
};

typedef struct features {
    char conv_names[CONVOLUTIONS][NAME_BYTES], norm_names[CONVOLUTIONS][NAME_BYTES], se_names[CONVOLUTIONS][NAME_BYTES];
    sn_conv_layer convs[CONVOLUTIONS];
    sn_norm_layer norms[CONVOLUTIONS];
    sn_se_block blocks[CONVOLUTIONS];
} features;

/* All convolutions, then all SE blocks: the order of the weight files. */
static void declare_features(sn_builder *b, const sn_unit_se *se, features *f)
{
    int64_t in = 3;
    int layer = 0, k = 0;
    for (int group = 0; group < GROUPS; group++, layer++)
        for (int i = 0; i < groups[group].convolutions; i++, k++, layer += 3) {
            int64_t out = groups[group].channels;
            snprintf(f->conv_names[k], NAME_BYTES, "features.%d", layer);
            snprintf(f->norm_names[k], NAME_BYTES, "features.%d", layer + 1);
            snprintf(f->se_names[k], NAME_BYTES, "se.%d", k);
            sn_conv_config conv = {.in = in, .out = out, .kernel = 3, .bias = true};
            f->convs[k] = sn_declare_conv(b, f->conv_names[k], conv);
            f->norms[k] = sn_declare_norm(b, f->norm_names[k], out);
            in = out;
        }
    for (k = 0; se->on && k < CONVOLUTIONS; k++)
        f->blocks[k] = sn_se_declare(b, f->se_names[k], f->convs[k].config.out, &se->config);
}

static sn_id apply_features(sn_builder *b, const sn_unit_se *se, const features *f, sn_id x)
{
    int layer = 0, k = 0;
    for (int group = 0; group < GROUPS; group++, layer++) {
        char name[NAME_BYTES];
        for (int i = 0; i < groups[group].convolutions; i++, k++, layer += 3) {
            snprintf(name, sizeof name, "features.%d", layer + 2);
            x = sn_build_relu(b, sn_apply_norm(b, &f->norms[k], sn_apply_conv(b, &f->convs[k], x)), name);
            if (se->on) x = sn_se_apply(b, &f->blocks[k], x, f->se_names[k]);
        }
        snprintf(name, sizeof name, "features.%d", layer);
        x = sn_build_pool(b, x, (sn_pool_attrs){.kind = SN_POOL_MAX, .kernel = 2, .stride = 2}, name);
    }
    return x;
}

static sn_id build(sn_builder *b, const sn_spec *spec, sn_id x)
{
    enum { HIDDEN = 4096 };
    features f;
    sn_unit_se se = sn_zoo_unit_se(spec, 2); /* this family has no stages to choose */
    declare_features(b, &se, &f);
    x = apply_features(b, &se, &f, x);
    x = sn_build_adaptive_avg(b, x, CELLS, CELLS, "avgpool");
    x = sn_build_relu(b, sn_build_linear(b, x, "classifier.0", HIDDEN), "classifier.1");
    x = sn_build_dropout(b, x, 0.5f, "classifier.2");
    x = sn_build_relu(b, sn_build_linear(b, x, "classifier.3", HIDDEN), "classifier.4");
    x = sn_build_dropout(b, x, 0.5f, "classifier.5");
    return sn_build_linear(b, x, "classifier.6", spec->classes);
}

const sn_family sn_family_vgg16_bn = {
    .pattern = "vgg16_bn",
    .models = models,
    .options = SN_OPTION_BIT(CLASSES),
    .se_options = SN_SE_OPTIONS,
    .classes = 1000,
    .native_size = 224,
    .build = build,
};
