/* shake.c - Shake-Shake networks for 32x32 pictures [Gastaldi 2017; ARCHITECTURES section 10]: two branches a unit,
 * mixed by random shares in training.  Each branch has its own SE block, behind its last batch norm.
 *
 *   shake_shake26_2xWd    basic branches of width W, 26 layers; alpha forward and an independent beta backward, per
 * image shake_even29_2xGxWd   ResNeXt branches of G groups, 29 layers; alpha forward, 0.5 backward */
#include "zoo/blocks.h"
#include "zoo/family.h"

/* SE(y) in a branch with SE blocks, else y. */
static sn_id squeeze_and_excite(sn_builder *b, const sn_unit_se *se, sn_id y)
{
    return se->on ? sn_se_build(b, y, "se", se->config) : y;
}

/* ---- shake_shake26 ---- */

enum { UNITS_26 = 4, UNITS_29 = 3, STAGES = 3 };

/* a (already relu(x)): 3x3, BN, ReLU, 3x3, BN. */
static sn_id branch_26(sn_builder *b, const char *name, sn_id a, int64_t out, int32_t stride, const sn_unit_se *se)
{
    size_t outer = sn_build_enter(b, "%s", name);
    sn_id y = sn_build_conv(b, a, "conv1", (sn_conv_config){.out = out, .kernel = 3, .stride = stride});
    y = sn_build_relu(b, sn_build_norm(b, y, "bn1"), "relu1");
    y = sn_build_conv(b, y, "conv2", (sn_conv_config){.out = out, .kernel = 3});
    y = squeeze_and_excite(b, se, sn_build_norm(b, y, "bn2"));
    sn_build_leave(b, outer);
    return y;
}

/* The skip where channels change: one half of them from the pixels at multiples of the stride, the other from those one
 * up and left of them (zeros outside), each through a 1x1 convolution. */
static sn_id skip_26(sn_builder *b, sn_id a, int64_t out, int32_t stride)
{
    size_t outer = sn_build_enter(b, "downsample");
    sn_id straight = sn_build_conv(b, a, "conv1", (sn_conv_config){.out = out / 2, .kernel = 1, .stride = stride});
    sn_id shifted = sn_build_subsample(b, a, (sn_subsample_attrs){.stride = stride, .offset = -1}, "shift");
    shifted = sn_build_conv(b, shifted, "conv2", (sn_conv_config){.out = out / 2, .kernel = 1});
    sn_id y = sn_build_norm(b, sn_build_concat(b, (sn_id[]){straight, shifted}, 2, "concat"), "bn");
    sn_build_leave(b, outer);
    return y;
}

static sn_id unit_26(sn_builder *b, const char *name, sn_id x, int64_t out, int32_t stride, const sn_unit_se *se)
{
    size_t outer = sn_build_enter(b, "%s", name);
    sn_id a = sn_build_relu(b, x, "relu");
    sn_id first = branch_26(b, "branch1", a, out, stride, se), second = branch_26(b, "branch2", a, out, stride, se);
    sn_id skip = sn_build_shape(b, x).c == out ? x : skip_26(b, a, out, stride);
    sn_id y = sn_build_add(b, sn_build_mix(b, first, second, false, NULL), skip, NULL);
    sn_build_leave(b, outer);
    return y;
}

static const sn_model_entry models_26[] = {
    SN_MODEL_PAIR("shake_shake26_2x96d", "Shake-Shake 26 2x96d for 32x32 pictures (Table 4)"),
    {NULL, NULL},
};

static senet_status check_26(const sn_spec *spec)
{
    int width = spec->numbers[0];
    if (width % 2) return sn_family_refuse(spec, "width %d is odd; the skip connections need halves", width);
    return sn_family_check_width(spec, "width", width);
}

static sn_id build_26(sn_builder *b, const sn_spec *spec, sn_id x)
{
    sn_build_shake_input(b, STAGES * UNITS_26);
    x = sn_build_norm(b, sn_build_conv(b, x, "conv1", (sn_conv_config){.out = 16, .kernel = 3}), "bn1");
    for (int stage = 2; stage <= 4; stage++) {
        sn_unit_se se = sn_zoo_unit_se(spec, stage);
        for (int i = 0; i < UNITS_26; i++) {
            char name[SN_UNIT_NAME_BYTES];
            int64_t out = (int64_t)spec->numbers[0] << (stage - 2);
            x = unit_26(b, sn_zoo_unit_name(stage, i, name), x, out, i == 0 && stage > 2 ? 2 : 1, &se);
        }
    }
    x = sn_build_squeeze(b, sn_build_relu(b, x, "relu"), SN_OP_squeeze_avg, "pool");
    return sn_build_linear(b, x, "fc", spec->classes);
}

const sn_family sn_family_shake_shake26 = {
    .pattern = "shake_shake26_2x#d",
    .models = models_26,
    .options = SN_OPTION_BIT(CLASSES),
    .se_options = SN_SE_OPTIONS | SN_OPTION_BIT(STAGES),
    .last_stage = 4,
    .classes = 10,
    .native_size = 32,
    .check = check_26,
    .build = build_26,
};

/* ---- shake_even29 ---- */

typedef struct unit_29_config {
    int64_t width, out; /* of the grouped 3x3 convolution; of the unit */
    int32_t groups, stride;
} unit_29_config;

/* 1x1, BN, ReLU, grouped 3x3, BN, ReLU, 1x1, BN. */
static sn_id branch_29(sn_builder *b, const char *name, sn_id x, const unit_29_config *unit, const sn_unit_se *se)
{
    size_t outer = sn_build_enter(b, "%s", name);
    sn_id y = sn_build_conv(b, x, "conv1", (sn_conv_config){.out = unit->width, .kernel = 1});
    y = sn_build_relu(b, sn_build_norm(b, y, "bn1"), "relu1");
    y = sn_build_conv(
        b, y, "conv2",
        (sn_conv_config){.out = unit->width, .kernel = 3, .stride = unit->stride, .groups = unit->groups});
    y = sn_build_relu(b, sn_build_norm(b, y, "bn2"), "relu2");
    y = sn_build_conv(b, y, "conv3", (sn_conv_config){.out = unit->out, .kernel = 1});
    y = squeeze_and_excite(b, se, sn_build_norm(b, y, "bn3"));
    sn_build_leave(b, outer);
    return y;
}

static sn_id unit_29(sn_builder *b, const char *name, sn_id x, const unit_29_config *unit, const sn_unit_se *se)
{
    size_t outer = sn_build_enter(b, "%s", name);
    sn_id first = branch_29(b, "branch1", x, unit, se), second = branch_29(b, "branch2", x, unit, se);
    sn_id skip = x;
    if (sn_build_shape(b, x).c != unit->out) {
        sn_conv_config projection = {.out = unit->out, .kernel = 1, .stride = unit->stride};
        skip = sn_build_norm(b, sn_build_conv(b, x, "downsample.0", projection), "downsample.1");
    }
    sn_id sum = sn_build_add(b, sn_build_mix(b, first, second, true, NULL), skip, "add");
    sn_id y = sn_build_relu(b, sum, NULL);
    sn_build_leave(b, outer);
    return y;
}

static const sn_model_entry models_29[] = {
    SN_MODEL_PAIR("shake_even29_2x4x64d", "Shake-Even 29 2x4x64d for 32x32 pictures (Table 5)"),
    {NULL, NULL},
};

static senet_status check_29(const sn_spec *spec)
{
    SN_RETURN_IF_FAILED(sn_family_check_width(spec, "number of groups", spec->numbers[0]));
    return sn_family_check_width(spec, "width", spec->numbers[1]);
}

static sn_id build_29(sn_builder *b, const sn_spec *spec, sn_id x)
{
    int32_t groups = spec->numbers[0];
    sn_build_shake_input(b, STAGES * UNITS_29);
    x = sn_build_conv(b, x, "conv1", (sn_conv_config){.out = 64, .kernel = 3});
    x = sn_build_relu(b, sn_build_norm(b, x, "bn1"), "relu");
    for (int stage = 2; stage <= 4; stage++) {
        sn_unit_se se = sn_zoo_unit_se(spec, stage);
        int64_t n = 64 << (stage - 2);
        for (int i = 0; i < UNITS_29; i++) {
            char name[SN_UNIT_NAME_BYTES];
            unit_29_config unit = {.width = n * spec->numbers[1] / 64 * groups,
                                   .out = 4 * n,
                                   .groups = groups,
                                   .stride = i == 0 && stage > 2 ? 2 : 1};
            x = unit_29(b, sn_zoo_unit_name(stage, i, name), x, &unit, &se);
        }
    }
    x = sn_build_squeeze(b, x, SN_OP_squeeze_avg, "pool");
    return sn_build_linear(b, x, "fc", spec->classes);
}

const sn_family sn_family_shake_even29 = {
    .pattern = "shake_even29_2x#x#d",
    .models = models_29,
    .options = SN_OPTION_BIT(CLASSES),
    .se_options = SN_SE_OPTIONS | SN_OPTION_BIT(STAGES),
    .last_stage = 4,
    .classes = 100,
    .native_size = 32,
    .check = check_29,
    .build = build_29,
};
