/* cifar_preresnet.c - pre-activation networks for 32x32 pictures [ARCHITECTURES section 10]: three stages, then batch
 * norm and ReLU.  One table row a family:
 *
 *   cifar_preresnetN    [He et al. 2016b]              basic units, option-A shortcuts, 6n+2 layers
 *   cifar_preresnet164  KaimingHe/resnet-1k-layers     bottlenecks, 9n+2 layers with n = 18
 *   wrnD_K              [Zagoruyko, Komodakis 2016]    basic units K times as wide, 6n+4 layers */
#include "zoo/blocks.h"
#include "zoo/family.h"

typedef struct shape_of_network {
    int units;     /* a stage */
    int64_t width; /* output of the first stage; doubles from stage to stage */
    bool bottleneck, option_a;
} shape_of_network;

static sn_id build_stages(sn_builder *b, const sn_spec *spec, const shape_of_network *network, sn_id x)
{
    x = sn_build_conv(b, x, "conv1", (sn_conv_config){.out = 16, .kernel = 3});
    for (int stage = 2; stage <= 4; stage++) {
        sn_unit_se se = sn_zoo_unit_se(spec, stage);
        for (int i = 0; i < network->units; i++) {
            char name[SN_UNIT_NAME_BYTES];
            sn_preactivation_config unit = {
                .bottleneck = network->bottleneck,
                .option_a = network->option_a,
                .share = network->option_a && stage == 2 && i == 0,
                .out = network->width << (stage - 2),
                .stride = i == 0 && stage > 2 ? 2 : 1,
                .pad = spec->pad,
            };
            x = sn_zoo_preactivation_unit(b, sn_zoo_unit_name(stage, i, name), x, &unit, &se);
        }
    }
    x = sn_build_relu(b, sn_build_norm(b, x, "bn"), "relu");
    x = sn_build_squeeze(b, x, SN_OP_squeeze_avg, "pool");
    return sn_build_linear(b, x, "fc", spec->classes);
}

/* ---- basic units, option A ---- */

static const sn_model_entry basic_models[] = {
    SN_MODEL_PAIR("cifar_preresnet20", "pre-activation ResNet-20 for 32x32 pictures"),
    SN_MODEL_PAIR("cifar_preresnet56", "pre-activation ResNet-56 for 32x32 pictures"),
    SN_MODEL_PAIR("cifar_preresnet110", "pre-activation ResNet-110 for 32x32 pictures (Tables 4 and 5)"),
    {NULL, NULL},
};

static senet_status check_basic(const sn_spec *spec)
{
    return sn_family_check_depth(spec, spec->numbers[0], 6, 2);
}

static sn_id build_basic(sn_builder *b, const sn_spec *spec, sn_id x)
{
    shape_of_network network = {.units = (spec->numbers[0] - 2) / 6, .width = 16, .option_a = true};
    return build_stages(b, spec, &network, x);
}

const sn_family sn_family_cifar_preresnet = {
    .pattern = "cifar_preresnet#",
    .models = basic_models,
    .options = SN_OPTION_BIT(PAD) | SN_OPTION_BIT(CLASSES),
    .se_options = SN_SE_OPTIONS | SN_OPTION_BIT(STAGES),
    .pads = SN_PAD_BIT(CENTER) | SN_PAD_BIT(END),
    .last_stage = 4,
    .pad = SN_PAD_END,
    .classes = 10,
    .native_size = 32,
    .check = check_basic,
    .build = build_basic,
};

/* ---- bottlenecks ---- */

static const sn_model_entry bottleneck_models[] = {
    SN_MODEL_PAIR("cifar_preresnet164", "pre-activation bottleneck ResNet-164 for 32x32 pictures (Tables 4 and 5)"),
    {NULL, NULL},
};

static sn_id build_bottleneck(sn_builder *b, const sn_spec *spec, sn_id x)
{
    shape_of_network network = {.units = 18, .width = 64, .bottleneck = true};
    return build_stages(b, spec, &network, x);
}

const sn_family sn_family_cifar_preresnet164 = {
    .pattern = "cifar_preresnet164",
    .models = bottleneck_models,
    .options = SN_OPTION_BIT(CLASSES),
    .se_options = SN_SE_OPTIONS | SN_OPTION_BIT(STAGES),
    .last_stage = 4,
    .classes = 10,
    .native_size = 32,
    .build = build_bottleneck,
};

/* ---- wide ---- */

static const sn_model_entry wide_models[] = {
    SN_MODEL_PAIR("wrn16_8", "Wide ResNet of depth 16, widening 8 for 32x32 pictures (Tables 4 and 5)"),
    {NULL, NULL},
};

static senet_status check_wide(const sn_spec *spec)
{
    SN_RETURN_IF_FAILED(sn_family_check_depth(spec, spec->numbers[0], 6, 4));
    return sn_family_check_width(spec, "widening", spec->numbers[1]);
}

static sn_id build_wide(sn_builder *b, const sn_spec *spec, sn_id x)
{
    shape_of_network network = {.units = (spec->numbers[0] - 4) / 6, .width = 16 * (int64_t)spec->numbers[1]};
    return build_stages(b, spec, &network, x);
}

const sn_family sn_family_wrn = {
    .pattern = "wrn#_#",
    .models = wide_models,
    .options = SN_OPTION_BIT(CLASSES),
    .se_options = SN_SE_OPTIONS | SN_OPTION_BIT(STAGES),
    .last_stage = 4,
    .classes = 10,
    .native_size = 32,
    .check = check_wide,
    .build = build_wide,
};
