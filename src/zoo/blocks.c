/* blocks.c - see blocks.h.  A unit declares its layers in the order of the weight files, then computes: shortcut,
 * branch, sum. */
#include "zoo/blocks.h"

#include <stdio.h>
#include <string.h>

sn_unit_se sn_zoo_unit_se(const sn_spec *spec, int stage)
{
    return (sn_unit_se){
        .on = spec->se && (spec->stages >> stage & 1),
        .place = spec->place,
        .config = {.r = spec->r, .squeeze = spec->squeeze, .gate = spec->gate, .bias = spec->bias},
    };
}

const char *sn_zoo_unit_name(int stage, int i, char name[SN_UNIT_NAME_BYTES])
{
    snprintf(name, SN_UNIT_NAME_BYTES, "layer%d.%d", stage - 1, i);
    return name;
}

/* ---- a convolution and its batch norm ---- */

typedef struct conv_norm {
    sn_conv_layer conv;
    sn_norm_layer norm;
} conv_norm;

static conv_norm declare_conv_norm(sn_builder *b, const char *conv, const char *norm, sn_conv_config config)
{
    conv_norm layer;
    layer.conv = sn_declare_conv(b, conv, config);
    layer.norm = sn_declare_norm(b, norm, config.out);
    return layer;
}

static sn_id apply_conv_norm(sn_builder *b, const conv_norm *layer, sn_id x)
{
    return sn_apply_norm(b, &layer->norm, sn_apply_conv(b, &layer->conv, x));
}

sn_id sn_zoo_conv_norm_act(sn_builder *b, sn_id x, const char *conv, const char *norm, sn_conv_config config,
                           sn_activation activation, const char *output)
{
    x = sn_build_norm(b, sn_build_conv(b, x, conv, config), norm);
    return sn_build_activation(b, x, activation, output);
}

/* ---- joining branches ---- */

sn_id sn_zoo_join(sn_builder *b, const sn_id *branches, int count, const char *name)
{
    sn_shape first = sn_build_shape(b, branches[0]);
    for (int i = 1; i < count; i++) {
        sn_shape other = sn_build_shape(b, branches[i]);
        if (b->status != SENET_OK || (other.h == first.h && other.w == first.w)) continue;
        sn_shape picture = b->graph->nodes[0].shape;
        b->status =
            sn_fail(SENET_USAGE,
                    "pictures of %lldx%lld do not fit: '%s%s' would join maps of %lldx%lld and %lldx%lld; sides "
                    "that are multiples of 32 fit",
                    (long long)picture.h, (long long)picture.w, b->scope, name, (long long)first.h, (long long)first.w,
                    (long long)other.h, (long long)other.w);
    }
    return sn_build_concat(b, branches, count, name);
}

/* ---- what all units share ---- */

static size_t enter_unit(sn_builder *b, const char *name)
{
    return name ? sn_build_enter(b, "%s", name) : strlen(b->scope);
}

/* The unit's SE block; `channels` at the standard place, but the input's for pre, the 3x3 convolution's for 3x3. */
static sn_se_block declare_se(sn_builder *b, const sn_unit_se *se, int64_t in, int64_t middle, int64_t out)
{
    if (!se->on) return (sn_se_block){0};
    int64_t channels = se->place == SN_PLACE_PRE ? in : se->place == SN_PLACE_3X3 ? middle : out;
    return sn_se_declare(b, "se", channels, &se->config);
}

/* SE(x) if the unit's block sits at this place, else x. */
static sn_id se_at(sn_builder *b, const sn_unit_se *se, const sn_se_block *block, sn_place place, sn_id x)
{
    return se->on && se->place == place ? sn_se_apply(b, block, x, "se") : x;
}

/* From branch and shortcut to the unit's output. */
static sn_id close_unit(sn_builder *b, const sn_unit_se *se, const sn_se_block *block, sn_id branch, sn_id shortcut)
{
    bool post = se->on && se->place == SN_PLACE_POST;
    branch = se_at(b, se, block, SN_PLACE_STANDARD, branch);
    shortcut = se_at(b, se, block, SN_PLACE_IDENTITY, shortcut);
    sn_id y = sn_build_relu(b, sn_build_add(b, branch, shortcut, "add"), post ? "relu" : NULL);
    return post ? sn_se_apply(b, block, y, NULL) : y;
}

/* Option A [He et al. 2016]: every stride-th pixel, zeros for the channels there are not; no parameters. */
static sn_id option_a(sn_builder *b, sn_id x, int32_t stride, int64_t out, sn_pad pad)
{
    int64_t added = out - sn_build_shape(b, x).c;
    if (stride == 1 && added == 0) return x;
    int32_t before = pad == SN_PAD_CENTER ? (int32_t)(added / 2) : 0;
    return sn_build_subsample(
        b, x,
        (sn_subsample_attrs){.stride = stride, .channels_before = before, .channels_after = (int32_t)added - before},
        "shortcut");
}

/* ---- the units ---- */

sn_id sn_zoo_basic_unit(sn_builder *b, const char *name, sn_id x, const sn_basic_config *unit, const sn_unit_se *se)
{
    size_t outer = enter_unit(b, name);
    int64_t in = sn_build_shape(b, x).c, out = unit->out;
    conv_norm first = declare_conv_norm(b, "conv1", "bn1",
                                        (sn_conv_config){.in = in, .out = out, .kernel = 3, .stride = unit->stride});
    conv_norm second = declare_conv_norm(b, "conv2", "bn2", (sn_conv_config){.in = out, .out = out, .kernel = 3});
    sn_se_block block = declare_se(b, se, in, out, out);

    sn_id shortcut = option_a(b, x, unit->stride, out, unit->pad);
    sn_id y = se_at(b, se, &block, SN_PLACE_PRE, x);
    y = sn_build_relu(b, apply_conv_norm(b, &first, y), "relu1");
    y = close_unit(b, se, &block, apply_conv_norm(b, &second, y), shortcut);
    sn_build_leave(b, outer);
    return y;
}

sn_id sn_zoo_bottleneck(sn_builder *b, const char *name, sn_id x, const sn_bottleneck_config *unit,
                        const sn_unit_se *se)
{
    size_t outer = enter_unit(b, name);
    int64_t in = sn_build_shape(b, x).c, w1 = unit->w1, w2 = unit->w2, out = unit->out;
    int32_t s1 = unit->down_3x3 ? 1 : unit->stride, s2 = unit->down_3x3 ? unit->stride : 1;
    bool project = unit->stride != 1 || in != out;
    conv_norm first =
        declare_conv_norm(b, "conv1", "bn1", (sn_conv_config){.in = in, .out = w1, .kernel = 1, .stride = s1});
    conv_norm second = declare_conv_norm(
        b, "conv2", "bn2", (sn_conv_config){.in = w1, .out = w2, .kernel = 3, .stride = s2, .groups = unit->groups});
    conv_norm third = declare_conv_norm(b, "conv3", "bn3", (sn_conv_config){.in = w2, .out = out, .kernel = 1});
    sn_se_block block = declare_se(b, se, in, w2, out);
    sn_id shortcut = x;
    if (project) {
        conv_norm projection = declare_conv_norm(
            b, "downsample.0", "downsample.1",
            (sn_conv_config){.in = in, .out = out, .kernel = unit->projection_kernel, .stride = unit->stride});
        shortcut = apply_conv_norm(b, &projection, x);
    }

    sn_id y = se_at(b, se, &block, SN_PLACE_PRE, x);
    y = sn_build_relu(b, apply_conv_norm(b, &first, y), "relu1");
    y = sn_build_relu(b, apply_conv_norm(b, &second, y), "relu2");
    y = se_at(b, se, &block, SN_PLACE_3X3, y);
    y = close_unit(b, se, &block, apply_conv_norm(b, &third, y), shortcut);
    sn_build_leave(b, outer);
    return y;
}

/* conv(relu(bn(y))) for layers number k = 1, 2, 3 of a pre-activation unit. */
typedef struct norm_conv {
    sn_norm_layer norm;
    sn_conv_layer conv;
} norm_conv;

static norm_conv declare_norm_conv(sn_builder *b, const char *norm, const char *conv, sn_conv_config config)
{
    norm_conv layer;
    layer.norm = sn_declare_norm(b, norm, config.in);
    layer.conv = sn_declare_conv(b, conv, config);
    return layer;
}

sn_id sn_zoo_preactivation_unit(sn_builder *b, const char *name, sn_id x, const sn_preactivation_config *unit,
                                const sn_unit_se *se)
{
    size_t outer = enter_unit(b, name);
    int64_t in = sn_build_shape(b, x).c, out = unit->out, width = unit->bottleneck ? out / 4 : out;
    int32_t kernel = unit->bottleneck ? 1 : 3, stride = unit->stride;
    norm_conv first = declare_norm_conv(b, "bn1", "conv1",
                                        (sn_conv_config){.in = in, .out = width, .kernel = kernel, .stride = stride});
    norm_conv second = declare_norm_conv(b, "bn2", "conv2", (sn_conv_config){.in = width, .out = width, .kernel = 3});
    norm_conv third = {0};
    if (unit->bottleneck)
        third = declare_norm_conv(b, "bn3", "conv3", (sn_conv_config){.in = width, .out = out, .kernel = 1});
    sn_se_block block = declare_se(b, se, in, width, out);

    sn_id active = sn_build_relu(b, sn_apply_norm(b, &first.norm, x), "relu1");
    sn_id shortcut = unit->share ? active : x;
    if (unit->option_a)
        shortcut = option_a(b, shortcut, stride, out, unit->pad);
    else if (in != out)
        shortcut = sn_build_conv(b, active, "downsample.0",
                                 (sn_conv_config){.in = in, .out = out, .kernel = 1, .stride = stride});

    sn_id y = sn_apply_conv(b, &first.conv, active);
    y = sn_apply_conv(b, &second.conv, sn_build_relu(b, sn_apply_norm(b, &second.norm, y), "relu2"));
    if (unit->bottleneck)
        y = sn_apply_conv(b, &third.conv, sn_build_relu(b, sn_apply_norm(b, &third.norm, y), "relu3"));
    y = sn_build_add(b, se_at(b, se, &block, SN_PLACE_STANDARD, y), shortcut, NULL);
    sn_build_leave(b, outer);
    return y;
}
