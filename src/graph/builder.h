/* builder.h - writing a network down: layers by name, in a line each.
 *
 *   sn_builder b;
 *   sn_builder_start(&b, graph, SN_MODE_TRAIN);
 *   sn_id x = sn_build_input(&b, "input", SN_REAL, (sn_shape){8, 32, 32, 3});
 *   x = sn_build_conv(&b, x, "conv1", (sn_conv_config){.out = 16, .kernel = 3});
 *   x = sn_build_relu(&b, sn_build_norm(&b, x, "bn1"), "relu1");
 *   x = sn_build_linear(&b, sn_build_squeeze(&b, x, SN_OP_squeeze_avg, "pool"), "fc", 10);
 *   sn_build_output(&b, "logits", x);
 *   return b.status;
 *
 * The first failure sticks: every later call adds nothing and returns SN_NONE, so only b.status needs a check, at the
 * end.
 *
 * Parameters are numbered in the order they are made, which is the order of a weight file.  Where a unit's computation
 * runs in another order than its list of layers, a layer is declared first (sn_declare_..., makes the parameters) and
 * applied later (sn_apply_..., adds the nodes); sn_build_... does both.
 */
#ifndef SN_GRAPH_BUILDER_H
#define SN_GRAPH_BUILDER_H

#include "graph/graph.h"

typedef enum sn_mode {
    SN_MODE_EVAL,        /* running statistics; no dropout; shake coefficients 0.5 */
    SN_MODE_TRAIN,       /* batch statistics, running statistics updated */
    SN_MODE_TRAIN_FROZEN /* training with batch norm frozen: stored statistics, gamma and beta not learnable */
} sn_mode;

enum { SN_BUILDER_NAME_BYTES = 128, SN_SHAKE_UNITS_MAX = 64 };

typedef struct sn_builder {
    sn_graph *graph;
    sn_mode mode;
    senet_status status;               /* of the first call that failed */
    double epsilon;                    /* of batch norms; 1e-5 unless a network changes it */
    bool in_se;                        /* parameters made now belong to an SE block */
    char scope[SN_BUILDER_NAME_BYTES]; /* "layer1.0." in front of every name */
    sn_id shake, keys;                 /* the inputs of Shake units and of dropout; SN_NONE: not there */
    int32_t shake_units, dropouts;
} sn_builder;

void sn_builder_start(sn_builder *b, sn_graph *graph, sn_mode mode);

/* Enters a scope: names below it get "<formatted>." in front.  Returns what sn_build_leave needs to go back. */
size_t sn_build_enter(sn_builder *b, const char *format, ...) SN_PRINTF(2, 3);
void sn_build_leave(sn_builder *b, size_t outer);

/* Shape of a node; all 1 after a failure, so that arithmetic on it stays harmless. */
sn_shape sn_build_shape(const sn_builder *b, sn_id node);

/* ---- any node; name NULL: the scope itself ("layer1.0") ---- */
sn_id sn_build_node(sn_builder *b, sn_op_kind op, const sn_id *inputs, int inputs_count, const sn_attrs *attrs,
                    const char *name);
sn_id sn_build_input(sn_builder *b, const char *name, sn_dtype dtype, sn_shape shape);
void sn_build_output(sn_builder *b, const char *name, sn_id node);

/* ---- convolutions and linear layers: parameters "<name>.weight" and, with bias, "<name>.bias" ---- */
typedef enum sn_padding {
    SN_PADDING_HALF, /* kernel / 2 on every side: keeps the size at stride 1 */
    SN_PADDING_NONE,
    SN_PADDING_TF_SAME /* TensorFlow: output ceil(n / stride), the odd row and column at the bottom and right */
} sn_padding;

typedef struct sn_conv_config {
    int64_t in, out;              /* in may be 0 with sn_build_conv: the channels of x */
    int32_t kernel, kernel_width; /* kernel_width 0: square */
    int32_t stride, groups;       /* 0: 1 */
    sn_padding padding;
    bool bias;
    sn_activation activation;
    const char *node_name; /* of the node, in the scope of the declaration; NULL: the layer's name */
} sn_conv_config;

typedef struct sn_conv_layer {
    const char *name;
    sn_conv_config config;
    sn_id weight, bias;
} sn_conv_layer;

sn_conv_layer sn_declare_conv(sn_builder *b, const char *name, sn_conv_config config);
sn_id sn_apply_conv(sn_builder *b, const sn_conv_layer *layer, sn_id x);
sn_id sn_build_conv(sn_builder *b, sn_id x, const char *name, sn_conv_config config);
/* x (N,H,W,C) -> (N,1,1,out) over all of a map, with bias; stored as [out, C H W] in weight files. */
sn_id sn_build_linear(sn_builder *b, sn_id x, const char *name, int64_t out);

/* ---- batch norm: "<name>.weight", ".bias", ".running_mean", ".running_var"; the builder's mode decides how it runs
 * ---- */
typedef struct sn_norm_layer {
    const char *name;
    double epsilon;
    sn_id gamma, beta, mean, variance;
} sn_norm_layer;

sn_norm_layer sn_declare_norm(sn_builder *b, const char *name, int64_t channels);
sn_id sn_apply_norm(sn_builder *b, const sn_norm_layer *layer, sn_id x);
sn_id sn_build_norm(sn_builder *b, sn_id x, const char *name);

/* ---- without parameters ---- */
sn_id sn_build_activation(sn_builder *b, sn_id x, sn_activation kind, const char *name);
sn_id sn_build_relu(sn_builder *b, sn_id x, const char *name);
sn_id sn_build_add(sn_builder *b, sn_id a, sn_id other, const char *name);
sn_id sn_build_concat(sn_builder *b, const sn_id *parts, int parts_count, const char *name);
sn_id sn_build_pool(sn_builder *b, sn_id x, sn_pool_attrs pool, const char *name);
/* Averages to h x w cells, whatever the size of the map; x itself where it has that size. */
sn_id sn_build_adaptive_avg(sn_builder *b, sn_id x, int32_t h, int32_t w, const char *name);
/* Channels in `groups` groups, dealt out one from each in turn. */
sn_id sn_build_channel_shuffle(sn_builder *b, sn_id x, int32_t groups, const char *name);
sn_id sn_build_multiply(sn_builder *b, sn_id x, double factor, const char *name);
sn_id sn_build_subsample(sn_builder *b, sn_id x, sn_subsample_attrs attrs, const char *name);
/* (N,H,W,C) -> (N,1,1,C): op is SN_OP_squeeze_avg (also the global average pool) or SN_OP_squeeze_max. */
sn_id sn_build_squeeze(sn_builder *b, sn_id x, sn_op_kind op, const char *name);
/* x times the gate s (N,1,1,C) or (N,H,W,C). */
sn_id sn_build_scale(sn_builder *b, sn_id x, sn_id s, const char *name);

/* ---- randomness of training; both vanish in SN_MODE_EVAL ---- */
/* Drops elements with the given probability; all layers share one input "keys" (N,1,1,1) U64. */
sn_id sn_build_dropout(sn_builder *b, sn_id x, float probability, const char *name);
/* The input "shake" (N,1,1,2 units) of a network with that many Shake units; before the first sn_build_mix. */
void sn_build_shake_input(sn_builder *b, int32_t units);
/* alpha x0 + (1 - alpha) x1 of the next Shake unit (0.5 each in SN_MODE_EVAL); even: 0.5 in the backward pass. */
sn_id sn_build_mix(sn_builder *b, sn_id x0, sn_id x1, bool even, const char *name);

#endif
