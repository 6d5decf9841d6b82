/* cifar_resnet.c - the original residual networks for 32x32 pictures [He et al. 2016, section 4.2; ARCHITECTURES
 * section 10]: 6n+2 layers, three stages of n basic units with 16, 32, 64 channels. */
#include "zoo/blocks.h"
#include "zoo/family.h"

static const sn_model_entry models[] = {
    SN_MODEL_PAIR("cifar_resnet20", "ResNet-20 for 32x32 pictures"),
    SN_MODEL_PAIR("cifar_resnet32", "ResNet-32 for 32x32 pictures"),
    SN_MODEL_PAIR("cifar_resnet44", "ResNet-44 for 32x32 pictures"),
    SN_MODEL_PAIR("cifar_resnet56", "ResNet-56 for 32x32 pictures"),
    SN_MODEL_PAIR("cifar_resnet110", "ResNet-110 for 32x32 pictures"),
    {NULL, NULL},
};

static senet_status check(const sn_spec *spec)
{
    return sn_family_check_depth(spec, spec->numbers[0], 6, 2);
}

static sn_id build(sn_builder *b, const sn_spec *spec, sn_id x)
{
    int units = (spec->numbers[0] - 2) / 6;
    x = sn_build_conv(b, x, "conv1", (sn_conv_config){.out = 16, .kernel = 3});
    x = sn_build_relu(b, sn_build_norm(b, x, "bn1"), "relu");
    for (int stage = 2; stage <= 4; stage++) {
        sn_unit_se se = sn_zoo_unit_se(spec, stage);
        for (int i = 0; i < units; i++) {
            char name[SN_UNIT_NAME_BYTES];
            bool shrink = i == 0 && stage > 2;
            sn_basic_config unit = {.out = 16 << (stage - 2), .stride = shrink ? 2 : 1, .pad = spec->pad};
            x = sn_zoo_basic_unit(b, sn_zoo_unit_name(stage, i, name), x, &unit, &se);
        }
    }
    x = sn_build_squeeze(b, x, SN_OP_squeeze_avg, "pool");
    return sn_build_linear(b, x, "fc", spec->classes);
}

const sn_family sn_family_cifar_resnet = {
    .pattern = "cifar_resnet#",
    .models = models,
    .options = SN_OPTION_BIT(PAD) | SN_OPTION_BIT(CLASSES),
    .se_options = SN_SE_OPTIONS | SN_OPTION_BIT(STAGES) | SN_OPTION_BIT(PLACE),
    .places = SN_PLACE_BIT(STANDARD) | SN_PLACE_BIT(PRE) | SN_PLACE_BIT(POST) | SN_PLACE_BIT(IDENTITY),
    .pads = SN_PAD_BIT(CENTER) | SN_PAD_BIT(END),
    .last_stage = 4,
    .pad = SN_PAD_CENTER,
    .classes = 10,
    .native_size = 32,
    .check = check,
    .build = build,
};
