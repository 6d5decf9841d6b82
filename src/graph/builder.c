/* builder.c - see builder.h.  Every function ends in sn_build_node or add_param, where a failure sticks. */
#include "graph/builder.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const double NORM_MOMENTUM = 0.1; /* share of the new batch in the running statistics: 0.9 old + 0.1 batch */

void sn_builder_start(sn_builder *b, sn_graph *graph, sn_mode mode)
{
    *b = (sn_builder){.graph = graph, .mode = mode, .epsilon = 1e-5, .shake = SN_NONE, .keys = SN_NONE};
}

static void fail_long_name(sn_builder *b, const char *start)
{
    if (b->status == SENET_OK)
        b->status = sn_fail(SENET_INTERNAL, "name '%s...' is longer than %d bytes", start, SN_BUILDER_NAME_BYTES);
}

size_t sn_build_enter(sn_builder *b, const char *format, ...)
{
    size_t outer = strlen(b->scope), room = sizeof b->scope - outer;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(b->scope + outer, room, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n + 2 > room) {
        fail_long_name(b, b->scope);
        b->scope[outer] = '\0';
        return outer;
    }
    strcpy(b->scope + outer + n, ".");
    return outer;
}

void sn_build_leave(sn_builder *b, size_t outer)
{
    b->scope[outer] = '\0';
}

/* The scope's name when name is NULL, else scope and name; and a suffix. */
static void full_name(sn_builder *b, const char *name, const char *suffix, char text[SN_BUILDER_NAME_BYTES])
{
    size_t scope = strlen(b->scope);
    if (!name && scope > 0) scope--; /* without the dot */
    int n = snprintf(text, SN_BUILDER_NAME_BYTES, "%.*s%s%s", (int)scope, b->scope, name ? name : "", suffix);
    if (n < 0 || n >= SN_BUILDER_NAME_BYTES) fail_long_name(b, text);
}

sn_shape sn_build_shape(const sn_builder *b, sn_id node)
{
    return b->status == SENET_OK ? b->graph->nodes[node].shape : (sn_shape){1, 1, 1, 1};
}

/* A node under its full name. */
static sn_id add_node(sn_builder *b, sn_op_kind op, const sn_id *inputs, int inputs_count, const sn_attrs *attrs,
                      const char *name)
{
    sn_id id = SN_NONE;
    if (b->status == SENET_OK) b->status = sn_graph_add(b->graph, op, inputs, inputs_count, attrs, name, &id);
    return id;
}

sn_id sn_build_node(sn_builder *b, sn_op_kind op, const sn_id *inputs, int inputs_count, const sn_attrs *attrs,
                    const char *name)
{
    char full[SN_BUILDER_NAME_BYTES];
    full_name(b, name, "", full);
    return add_node(b, op, inputs, inputs_count, attrs, full);
}

sn_id sn_build_input(sn_builder *b, const char *name, sn_dtype dtype, sn_shape shape)
{
    sn_attrs attrs = {.u.source = {.shape = shape, .dtype = dtype}};
    return add_node(b, SN_OP_input, NULL, 0, &attrs, name);
}

void sn_build_output(sn_builder *b, const char *name, sn_id node)
{
    if (b->status == SENET_OK) b->status = sn_graph_add_output(b->graph, name, node);
}

/* ---- parameters ---- */

/* A parameter "<scope><layer><suffix>"; dims in file order, shape in memory. */
static sn_id add_param(sn_builder *b, const char *layer, const char *suffix, sn_param param)
{
    char full[SN_BUILDER_NAME_BYTES];
    sn_id id = SN_NONE;
    full_name(b, layer, suffix, full);
    if (b->status != SENET_OK) return SN_NONE;
    param.name = full;
    param.in_se = b->in_se;
    b->status = sn_graph_add_param(b->graph, &param, &id);
    return id;
}

static sn_id add_vector(sn_builder *b, const char *layer, const char *suffix, sn_param_kind kind, int64_t channels,
                        bool learnable)
{
    return add_param(
        b, layer, suffix,
        (sn_param){.kind = kind, .learnable = learnable, .rank = 1, .dims = {channels}, .shape = {1, 1, 1, channels}});
}

/* A layer's name outlives the scope it was declared in. */
static const char *keep_name(sn_builder *b, const char *name)
{
    char full[SN_BUILDER_NAME_BYTES];
    full_name(b, name, "", full);
    const char *kept = sn_arena_strdup(&b->graph->arena, full);
    if (!kept && b->status == SENET_OK) b->status = sn_fail_memory(strlen(full), "a layer's name");
    return kept;
}

/* ---- convolutions and linear layers ---- */

sn_conv_layer sn_declare_conv(sn_builder *b, const char *name, sn_conv_config config)
{
    if (config.kernel_width == 0) config.kernel_width = config.kernel;
    if (config.stride == 0) config.stride = 1;
    if (config.groups == 0) config.groups = 1;
    sn_conv_layer layer = {.name = keep_name(b, config.node_name ? config.node_name : name),
                           .config = config,
                           .weight = SN_NONE,
                           .bias = SN_NONE};
    if (b->status == SENET_OK && (config.in % config.groups || config.out % config.groups))
        b->status = sn_fail(SENET_USAGE, "conv2d '%s': %lld channels in, %lld out do not divide into %d groups",
                            layer.name, (long long)config.in, (long long)config.out, config.groups);
    int64_t in = config.in / config.groups, h = config.kernel, w = config.kernel_width;
    layer.weight = add_param(b, name, ".weight",
                             (sn_param){.kind = SN_PARAM_CONV_WEIGHT,
                                        .learnable = true,
                                        .rank = 4,
                                        .dims = {config.out, in, h, w},
                                        .shape = {h, w, in, config.out}});
    if (config.bias) layer.bias = add_vector(b, name, ".bias", SN_PARAM_BIAS, config.out, true);
    return layer;
}

/* TensorFlow's SAME: the padding that gives ceil(size / stride) outputs, the smaller half in front. */
static void same_padding(int64_t size, int32_t kernel, int32_t stride, int32_t *before, int32_t *after)
{
    int64_t total = ((size + stride - 1) / stride - 1) * stride + kernel - size;
    if (total < 0) total = 0;
    *before = (int32_t)(total / 2);
    *after = (int32_t)(total - total / 2);
}

sn_id sn_apply_conv(sn_builder *b, const sn_conv_layer *layer, sn_id x)
{
    const sn_conv_config *c = &layer->config;
    sn_attrs attrs = {.u.conv = {.stride = c->stride, .groups = c->groups, .activation = c->activation}};
    sn_conv_attrs *a = &attrs.u.conv;
    sn_shape shape = sn_build_shape(b, x);
    if (c->padding == SN_PADDING_HALF) {
        a->pad_top = a->pad_bottom = c->kernel / 2;
        a->pad_left = a->pad_right = c->kernel_width / 2;
    } else if (c->padding == SN_PADDING_TF_SAME) {
        same_padding(shape.h, c->kernel, c->stride, &a->pad_top, &a->pad_bottom);
        same_padding(shape.w, c->kernel_width, c->stride, &a->pad_left, &a->pad_right);
    }
    return add_node(b, SN_OP_conv2d, (sn_id[]){x, layer->weight, layer->bias}, 3, &attrs, layer->name);
}

sn_id sn_build_conv(sn_builder *b, sn_id x, const char *name, sn_conv_config config)
{
    if (config.in == 0) config.in = sn_build_shape(b, x).c;
    sn_conv_layer layer = sn_declare_conv(b, name, config);
    return sn_apply_conv(b, &layer, x);
}

sn_id sn_build_linear(sn_builder *b, sn_id x, const char *name, int64_t out)
{
    sn_shape in = sn_build_shape(b, x);
    sn_id weight = add_param(b, name, ".weight",
                             (sn_param){.kind = SN_PARAM_LINEAR_WEIGHT,
                                        .learnable = true,
                                        .rank = 2,
                                        .dims = {out, in.c * in.h * in.w},
                                        .shape = {in.h, in.w, in.c, out}});
    sn_id bias = add_vector(b, name, ".bias", SN_PARAM_BIAS, out, true);
    sn_attrs attrs = {.u.conv = {.stride = 1, .groups = 1}};
    return sn_build_node(b, SN_OP_conv2d, (sn_id[]){x, weight, bias}, 3, &attrs, name);
}

/* ---- batch norm ---- */

sn_norm_layer sn_declare_norm(sn_builder *b, const char *name, int64_t channels)
{
    bool learnable = b->mode != SN_MODE_TRAIN_FROZEN;
    sn_norm_layer layer = {.name = keep_name(b, name), .epsilon = b->epsilon};
    layer.gamma = add_vector(b, name, ".weight", SN_PARAM_BN_WEIGHT, channels, learnable);
    layer.beta = add_vector(b, name, ".bias", SN_PARAM_BN_BIAS, channels, learnable);
    layer.mean = add_vector(b, name, ".running_mean", SN_PARAM_BN_MEAN, channels, false);
    layer.variance = add_vector(b, name, ".running_var", SN_PARAM_BN_VAR, channels, false);
    return layer;
}

/* y = bn_apply(x, statistics, gamma, beta).  Training takes the batch's statistics and lets them move the running ones;
 * otherwise the running ones are the statistics. */
sn_id sn_apply_norm(sn_builder *b, const sn_norm_layer *layer, sn_id x)
{
    sn_shape shape = sn_build_shape(b, x);
    sn_attrs attrs = {
        .u.norm = {.epsilon = layer->epsilon, .momentum = NORM_MOMENTUM, .count = shape.n * shape.h * shape.w}};
    sn_id statistics;
    if (b->mode == SN_MODE_TRAIN) {
        statistics = add_node(b, SN_OP_bn_stats, (sn_id[]){x}, 1, &attrs, layer->name);
        add_node(b, SN_OP_bn_update, (sn_id[]){statistics, layer->mean, layer->variance}, 3, &attrs, layer->name);
    } else {
        statistics = add_node(b, SN_OP_bn_pack, (sn_id[]){layer->mean, layer->variance}, 2, &attrs, layer->name);
    }
    return add_node(b, SN_OP_bn_apply, (sn_id[]){x, statistics, layer->gamma, layer->beta}, 4, &attrs, layer->name);
}

sn_id sn_build_norm(sn_builder *b, sn_id x, const char *name)
{
    sn_norm_layer layer = sn_declare_norm(b, name, sn_build_shape(b, x).c);
    return sn_apply_norm(b, &layer, x);
}

/* ---- without parameters ---- */

sn_id sn_build_activation(sn_builder *b, sn_id x, sn_activation kind, const char *name)
{
    sn_attrs attrs = {.u.activation.kind = kind};
    return sn_build_node(b, SN_OP_activation, (sn_id[]){x}, 1, &attrs, name);
}

sn_id sn_build_relu(sn_builder *b, sn_id x, const char *name)
{
    return sn_build_activation(b, x, SN_RELU, name);
}

sn_id sn_build_add(sn_builder *b, sn_id a, sn_id other, const char *name)
{
    return sn_build_node(b, SN_OP_add, (sn_id[]){a, other}, 2, NULL, name);
}

sn_id sn_build_concat(sn_builder *b, const sn_id *parts, int parts_count, const char *name)
{
    return sn_build_node(b, SN_OP_concat, parts, parts_count, NULL, name);
}

sn_id sn_build_pool(sn_builder *b, sn_id x, sn_pool_attrs pool, const char *name)
{
    sn_attrs attrs = {.u.pool = pool};
    return sn_build_node(b, SN_OP_pool2d, (sn_id[]){x}, 1, &attrs, name);
}

sn_id sn_build_adaptive_avg(sn_builder *b, sn_id x, int32_t h, int32_t w, const char *name)
{
    sn_shape shape = sn_build_shape(b, x);
    if (shape.h == h && shape.w == w) return x;
    sn_attrs attrs = {.u.adaptive = {.h = h, .w = w}};
    return sn_build_node(b, SN_OP_adaptive_avg, (sn_id[]){x}, 1, &attrs, name);
}

sn_id sn_build_channel_shuffle(sn_builder *b, sn_id x, int32_t groups, const char *name)
{
    sn_attrs attrs = {.u.shuffle.groups = groups};
    return sn_build_node(b, SN_OP_channel_shuffle, (sn_id[]){x}, 1, &attrs, name);
}

sn_id sn_build_multiply(sn_builder *b, sn_id x, double factor, const char *name)
{
    sn_attrs attrs = {.u.factor.factor = factor};
    return sn_build_node(b, SN_OP_multiply, (sn_id[]){x}, 1, &attrs, name);
}

sn_id sn_build_subsample(sn_builder *b, sn_id x, sn_subsample_attrs subsample, const char *name)
{
    sn_attrs attrs = {.u.subsample = subsample};
    return sn_build_node(b, SN_OP_subsample, (sn_id[]){x}, 1, &attrs, name);
}

sn_id sn_build_squeeze(sn_builder *b, sn_id x, sn_op_kind op, const char *name)
{
    return sn_build_node(b, op, (sn_id[]){x}, 1, NULL, name);
}

sn_id sn_build_scale(sn_builder *b, sn_id x, sn_id s, const char *name)
{
    return sn_build_node(b, SN_OP_scale_add, (sn_id[]){x, s}, 2, NULL, name);
}

/* ---- randomness of training ---- */

sn_id sn_build_dropout(sn_builder *b, sn_id x, float probability, const char *name)
{
    if (b->mode == SN_MODE_EVAL) return x;
    if (b->keys == SN_NONE) b->keys = sn_build_input(b, "keys", SN_U64, (sn_shape){b->graph->batch, 1, 1, 1});
    sn_attrs attrs = {.u.dropout = {.probability = probability, .salt = b->dropouts++}};
    return sn_build_node(b, SN_OP_dropout, (sn_id[]){x, b->keys}, 2, &attrs, name);
}

void sn_build_shake_input(sn_builder *b, int32_t units)
{
    if (b->mode != SN_MODE_EVAL)
        b->shake = sn_build_input(b, "shake", SN_REAL, (sn_shape){b->graph->batch, 1, 1, 2 * (int64_t)units});
}

sn_id sn_build_mix(sn_builder *b, sn_id x0, sn_id x1, bool even, const char *name)
{
    if (b->status == SENET_OK && b->shake_units == SN_SHAKE_UNITS_MAX)
        b->status = sn_fail(SENET_USAGE, "more than %d Shake units", SN_SHAKE_UNITS_MAX);
    sn_attrs attrs = {.u.mix = {.index = b->shake_units++, .even = even}};
    return sn_build_node(b, SN_OP_mix, (sn_id[]){x0, x1, b->shake}, 3, &attrs, name);
}
