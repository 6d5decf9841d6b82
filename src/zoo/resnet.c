/* resnet.c - the residual networks for ImageNet with bottleneck units [He et al. 2016; Xie et al. 2017; Hu et al. 2018;
 * ARCHITECTURES sections 2 to 4]: ResNet, ResNeXt 32x4d, SENet-154.
 *
 * Four stages with 64, 128, 256, 512 times 4 channels, each but the first halving the map.  The families differ in the
 * stem and in what a unit looks like. */
#include "zoo/blocks.h"
#include "zoo/family.h"

enum { STAGES = 4 };

/* ---- depths ---- */

/* Units of the stages. */
static const int *units_of(int depth)
{
    static const int units50[STAGES] = {3, 4, 6, 3}, units101[STAGES] = {3, 4, 23, 3}, units152[STAGES] = {3, 8, 36, 3};
    return depth == 50 ? units50 : depth == 101 ? units101 : depth == 152 ? units152 : NULL;
}

static senet_status check_resnet(const sn_spec *spec)
{
    if (units_of(spec->numbers[0])) return SENET_OK;
    return sn_family_refuse(spec, "depth %d is not 50, 101 or 152", spec->numbers[0]);
}

static senet_status check_resnext(const sn_spec *spec)
{
    if (spec->numbers[0] == 50 || spec->numbers[0] == 101) return SENET_OK;
    return sn_family_refuse(spec, "depth %d is not 50 or 101", spec->numbers[0]);
}

/* ---- what they share ---- */

/* Max pool of the stem, 3x3 stride 2: Caffe's size without padding, or Torch's with. */
static sn_id build_stem_pool(sn_builder *b, const sn_spec *spec, sn_id x)
{
    sn_pool_attrs pool = {.kind = SN_POOL_MAX, .kernel = 3, .stride = 2};
    if (spec->pool_pad1)
        pool.pad = 1;
    else
        pool.ceil = true;
    return sn_build_pool(b, x, pool, "stem");
}

/* The stem of ResNet and ResNeXt: 7x7 stride 2, max pool. */
static sn_id build_stem(sn_builder *b, const sn_spec *spec, sn_id x)
{
    sn_conv_config conv = {.out = 64, .kernel = 7, .stride = 2};
    return build_stem_pool(b, spec, sn_zoo_conv_norm_act(b, x, "conv1", "bn1", conv, SN_RELU, "relu"));
}

/* A unit of stage 2..5 whose width is m, 64 in stage 2; the stride is filled in. */
typedef sn_bottleneck_config (*unit_rule)(const sn_spec *spec, int64_t m);

/* All units, then the global average. */
static sn_id build_stages(sn_builder *b, const sn_spec *spec, sn_id x, const int *units, unit_rule rule)
{
    for (int stage = 2; stage < 2 + STAGES; stage++) {
        sn_unit_se se = sn_zoo_unit_se(spec, stage);
        for (int i = 0; i < units[stage - 2]; i++) {
            char name[SN_UNIT_NAME_BYTES];
            sn_bottleneck_config unit = rule(spec, 64 << (stage - 2));
            unit.stride = i == 0 && stage > 2 ? 2 : 1;
            if (unit.stride == 1) unit.projection_kernel = 1;
            x = sn_zoo_bottleneck(b, sn_zoo_unit_name(stage, i, name), x, &unit, &se);
        }
    }
    return sn_build_squeeze(b, x, SN_OP_squeeze_avg, "pool");
}

/* ---- ResNet-50, -101, -152 ---- */

static const sn_model_entry resnets[] = {
    SN_MODEL_PAIR("resnet50", "ResNet-50 for ImageNet (Table 2)"),
    SN_MODEL_PAIR("resnet101", "ResNet-101 for ImageNet (Table 2)"),
    SN_MODEL_PAIR("resnet152", "ResNet-152 for ImageNet (Table 2)"),
    {NULL, NULL},
};

static sn_bottleneck_config resnet_unit(const sn_spec *spec, int64_t m)
{
    return (sn_bottleneck_config){
        .w1 = m, .w2 = m, .out = 4 * m, .groups = 1, .down_3x3 = spec->down_3x3, .projection_kernel = 1};
}

static sn_id build_resnet(sn_builder *b, const sn_spec *spec, sn_id x)
{
    x = build_stages(b, spec, build_stem(b, spec, x), units_of(spec->numbers[0]), resnet_unit);
    return sn_build_linear(b, x, "fc", spec->classes);
}

/* Every place of the SE block, and stages 2 to 5. */
enum {
    BOTTLENECK_SE_OPTIONS = SN_SE_OPTIONS | SN_OPTION_BIT(STAGES) | SN_OPTION_BIT(PLACE),
    BOTTLENECK_PLACES =
        SN_PLACE_BIT(STANDARD) | SN_PLACE_BIT(PRE) | SN_PLACE_BIT(POST) | SN_PLACE_BIT(IDENTITY) | SN_PLACE_BIT(3X3),
    LAST_STAGE = 5
};

const sn_family sn_family_resnet = {
    .pattern = "resnet#",
    .models = resnets,
    .options = SN_OPTION_BIT(DOWN) | SN_OPTION_BIT(POOL) | SN_OPTION_BIT(CLASSES),
    .se_options = BOTTLENECK_SE_OPTIONS,
    .places = BOTTLENECK_PLACES,
    .last_stage = LAST_STAGE,
    .classes = 1000,
    .native_size = 224,
    .check = check_resnet,
    .build = build_resnet,
};

/* ---- ResNeXt-50, -101: twice the width in 32 groups, the stride in the 3x3 convolution ---- */

static const sn_model_entry resnexts[] = {
    SN_MODEL_PAIR("resnext50_32x4d", "ResNeXt-50 32x4d for ImageNet (Table 2)"),
    SN_MODEL_PAIR("resnext101_32x4d", "ResNeXt-101 32x4d for ImageNet (Table 2)"),
    {NULL, NULL},
};

static sn_bottleneck_config resnext_unit(const sn_spec *spec, int64_t m)
{
    (void)spec;
    return (sn_bottleneck_config){
        .w1 = 2 * m, .w2 = 2 * m, .out = 4 * m, .groups = 32, .down_3x3 = true, .projection_kernel = 1};
}

static sn_id build_resnext(sn_builder *b, const sn_spec *spec, sn_id x)
{
    x = build_stages(b, spec, build_stem(b, spec, x), units_of(spec->numbers[0]), resnext_unit);
    return sn_build_linear(b, x, "fc", spec->classes);
}

const sn_family sn_family_resnext = {
    .pattern = "resnext#_32x4d",
    .models = resnexts,
    .options = SN_OPTION_BIT(POOL) | SN_OPTION_BIT(CLASSES),
    .se_options = BOTTLENECK_SE_OPTIONS,
    .places = BOTTLENECK_PLACES,
    .last_stage = LAST_STAGE,
    .classes = 1000,
    .native_size = 224,
    .check = check_resnext,
    .build = build_resnext,
};

/* ---- SENet-154: a stem of three 3x3 convolutions, 64 groups, 3x3 projections, dropout ---- */

static const sn_model_entry senets[] = {
    {"senet154", "SENet-154 for ImageNet (Table 8)"},
    {NULL, NULL},
};

static sn_bottleneck_config senet154_unit(const sn_spec *spec, int64_t m)
{
    (void)spec;
    return (sn_bottleneck_config){
        .w1 = 2 * m, .w2 = 4 * m, .out = 4 * m, .groups = 64, .down_3x3 = true, .projection_kernel = 3};
}

static sn_id build_senet154(sn_builder *b, const sn_spec *spec, sn_id x)
{
    sn_conv_config first = {.out = 64, .kernel = 3, .stride = 2}, second = {.out = 64, .kernel = 3},
                   third = {.out = 128, .kernel = 3};
    x = sn_zoo_conv_norm_act(b, x, "conv1", "bn1", first, SN_RELU, "relu1");
    x = sn_zoo_conv_norm_act(b, x, "conv2", "bn2", second, SN_RELU, "relu2");
    x = sn_zoo_conv_norm_act(b, x, "conv3", "bn3", third, SN_RELU, "relu3");
    x = build_stages(b, spec, build_stem_pool(b, spec, x), units_of(152), senet154_unit);
    return sn_build_linear(b, sn_build_dropout(b, x, 0.2f, "drop"), "fc", spec->classes);
}

const sn_family sn_family_senet154 = {
    .pattern = "senet154",
    .models = senets,
    .always_se = true,
    .options = SN_OPTION_BIT(POOL) | SN_OPTION_BIT(CLASSES),
    .se_options = BOTTLENECK_SE_OPTIONS,
    .places = BOTTLENECK_PLACES,
    .last_stage = LAST_STAGE,
    .classes = 1000,
    .native_size = 224,
    .build = build_senet154,
};
