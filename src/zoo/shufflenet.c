/* shufflenet.c - ShuffleNet v1 1x with three groups [Zhang et al. 2018; ARCHITECTURES section 9]: units of a grouped
 * 1x1, a channel shuffle, a depthwise 3x3 and another grouped 1x1 convolution.  SE on the branch, before the sum or the
 * concatenation.
 *
 * The unit that opens a stage halves the map and puts its branch beside the averaged input. */
#include "zoo/blocks.h"
#include "zoo/family.h"

enum { STAGES = 3, GROUPS = 3, STEM = 24 };

static const struct {
    int64_t out;
    int units;
} stages[STAGES] = {{240, 4}, {480, 8}, {960, 4}};

static const sn_model_entry models[] = {
    SN_MODEL_PAIR("shufflenet_g3", "ShuffleNet v1 1x, 3 groups, for ImageNet (Table 3)"),
    {NULL, NULL},
};

static sn_id build_branch(sn_builder *b, const sn_spec *spec, sn_id x, int64_t middle, int64_t out, int32_t stride)
{
    sn_unit_se se = sn_zoo_unit_se(spec, 2); /* this family has no stages to choose */
    /* the stem's few channels are not grouped */
    int32_t groups = sn_build_shape(b, x).c == STEM ? 1 : GROUPS;
    sn_conv_config reduce = {.out = middle, .kernel = 1, .groups = groups};
    sn_conv_config depthwise = {.out = middle, .kernel = 3, .stride = stride, .groups = (int32_t)middle};
    sn_conv_config expand = {.out = out, .kernel = 1, .groups = GROUPS};
    x = sn_zoo_conv_norm_act(b, x, "conv1", "bn1", reduce, SN_RELU, "relu1");
    x = sn_build_channel_shuffle(b, x, GROUPS, "shuffle");
    x = sn_build_norm(b, sn_build_conv(b, x, "conv2", depthwise), "bn2");
    x = sn_build_norm(b, sn_build_conv(b, x, "conv3", expand), "bn3");
    return se.on ? sn_se_build(b, x, "se", se.config) : x;
}

static sn_id build_unit(sn_builder *b, const sn_spec *spec, sn_id x, int64_t out, bool first)
{
    int64_t in = sn_build_shape(b, x).c;
    sn_id branch = build_branch(b, spec, x, out / 4, first ? out - in : out, first ? 2 : 1), y;
    if (first) {
        sn_pool_attrs average = {.kind = SN_POOL_AVG, .kernel = 3, .stride = 2, .ceil = true};
        y = sn_zoo_join(b, (sn_id[]){sn_build_pool(b, x, average, "shortcut"), branch}, 2, "concat");
    } else {
        y = sn_build_add(b, branch, x, "add");
    }
    return sn_build_relu(b, y, NULL);
}

static sn_id build(sn_builder *b, const sn_spec *spec, sn_id x)
{
    sn_conv_config stem = {.out = STEM, .kernel = 3, .stride = 2};
    x = sn_zoo_conv_norm_act(b, x, "conv1", "bn1", stem, SN_RELU, "relu");
    x = sn_build_pool(b, x, (sn_pool_attrs){.kind = SN_POOL_MAX, .kernel = 3, .stride = 2, .ceil = true}, "maxpool");
    for (int stage = 0; stage < STAGES; stage++)
        for (int i = 0; i < stages[stage].units; i++) {
            size_t outer = sn_build_enter(b, "stage%d.%d", stage + 2, i);
            x = build_unit(b, spec, x, stages[stage].out, i == 0);
            sn_build_leave(b, outer);
        }
    x = sn_build_squeeze(b, x, SN_OP_squeeze_avg, "pool");
    return sn_build_linear(b, x, "fc", spec->classes);
}

const sn_family sn_family_shufflenet_g3 = {
    .pattern = "shufflenet_g3",
    .models = models,
    .options = SN_OPTION_BIT(CLASSES),
    .se_options = SN_SE_OPTIONS,
    .classes = 1000,
    .native_size = 224,
    .build = build,
};
