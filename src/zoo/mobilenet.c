/* mobilenet.c - MobileNet v1 [Howard et al. 2017; ARCHITECTURES section 8]: 13 units of a depthwise 3x3 and a 1x1
 * convolution.  SE on the unit's output, behind the last activation. */
#include "zoo/blocks.h"
#include "zoo/family.h"

enum { STAGES = 5 };

static const struct {
    int64_t out;
    int units;
    int32_t stride; /* of the first unit */
} stages[STAGES] = {{64, 1, 1}, {128, 2, 2}, {256, 2, 2}, {512, 6, 2}, {1024, 2, 2}};

static const sn_model_entry models[] = {
    SN_MODEL_PAIR("mobilenet", "MobileNet v1 for ImageNet (Table 3)"),
    {NULL, NULL},
};

/* Channels times the width multiplier: the nearest multiple of 8, but not more than 10% below, and at least 8, as
 * TensorFlow and timm do. */
static int64_t widened(const sn_spec *spec, int64_t channels)
{
    enum { MULTIPLE = 8 };
    double exact = (double)channels * spec->width;
    int64_t rounded = (int64_t)(exact + MULTIPLE / 2) / MULTIPLE * MULTIPLE;
    if (rounded < MULTIPLE) rounded = MULTIPLE;
    return (double)rounded < 0.9 * exact ? rounded + MULTIPLE : rounded;
}

static sn_id build_unit(sn_builder *b, const sn_spec *spec, sn_id x, int64_t out, int32_t stride)
{
    int64_t in = sn_build_shape(b, x).c;
    sn_padding padding = spec->pad == SN_PAD_TF_SAME ? SN_PADDING_TF_SAME : SN_PADDING_HALF;
    sn_activation activation = spec->relu6 ? SN_RELU6 : SN_RELU;
    sn_unit_se se = sn_zoo_unit_se(spec, 2); /* this family has no stages to choose */
    sn_conv_config depthwise = {.out = in, .kernel = 3, .stride = stride, .groups = (int32_t)in, .padding = padding};
    sn_conv_config pointwise = {.out = out, .kernel = 1};
    x = sn_zoo_conv_norm_act(b, x, "conv_dw", "bn1", depthwise, activation, "act1");
    x = sn_zoo_conv_norm_act(b, x, "conv_pw", "bn2", pointwise, activation, se.on ? "act2" : NULL);
    if (!se.on) return x;
    sn_se_block block = sn_se_declare(b, "se", out, &se.config);
    return sn_se_apply(b, &block, x, NULL);
}

static sn_id build(sn_builder *b, const sn_spec *spec, sn_id x)
{
    sn_conv_config stem = {.out = widened(spec, 32),
                           .kernel = 3,
                           .stride = 2,
                           .padding = spec->pad == SN_PAD_TF_SAME ? SN_PADDING_TF_SAME : SN_PADDING_HALF};
    x = sn_zoo_conv_norm_act(b, x, "conv_stem", "bn1", stem, spec->relu6 ? SN_RELU6 : SN_RELU, "act1");
    for (int stage = 0; stage < STAGES; stage++)
        for (int i = 0; i < stages[stage].units; i++) {
            size_t outer = sn_build_enter(b, "blocks.%d.%d", stage, i);
            x = build_unit(b, spec, x, widened(spec, stages[stage].out), i == 0 ? stages[stage].stride : 1);
            sn_build_leave(b, outer);
        }
    x = sn_build_squeeze(b, x, SN_OP_squeeze_avg, "pool");
    return sn_build_linear(b, x, "classifier", spec->classes);
}

const sn_family sn_family_mobilenet = {
    .pattern = "mobilenet",
    .models = models,
    .options = SN_OPTION_BIT(WIDTH) | SN_OPTION_BIT(ACT) | SN_OPTION_BIT(PAD) | SN_OPTION_BIT(CLASSES),
    .se_options = SN_SE_OPTIONS,
    .pads = SN_PAD_BIT(SYMMETRIC) | SN_PAD_BIT(TF_SAME),
    .pad = SN_PAD_SYMMETRIC,
    .classes = 1000,
    .native_size = 224,
    .build = build,
};
