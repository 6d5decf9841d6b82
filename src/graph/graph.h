/* graph.h - the network as data: nodes in topological order, each an op, its inputs, attributes and one output.
 *
 *   zoo builds a graph -> sn_graph_fuse -> sn_graph_add_gradients -> a program (exec/) runs it
 *
 * Activations are NHWC: shape {n, h, w, c}, channels innermost.  A vector of C values is {1, 1, 1, C}; one per image is
 * {N, 1, 1, C}.  Convolution weights are HWIO in memory: {kh, kw, in/groups, out}; a linear layer is a 1x1 convolution.
 * Weight files keep OIHW; sn_param knows both.
 */
#ifndef SN_GRAPH_GRAPH_H
#define SN_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

typedef int32_t sn_id; /* a node: its index in the graph */
enum { SN_NONE = -1, SN_MAX_INPUTS = 8 };

typedef enum sn_op_kind {
#define SN_OP(name, ...) SN_OP_##name,
#include "ops/ops.def"
#undef SN_OP
    SN_OP_COUNT
} sn_op_kind;

/* SN_REAL is the program's working type: float, or double when a program is planned with SN_DOUBLE.  SN_BF16 and SN_Q8 are narrow
 * storage of real values, given to activations by the passes of lower.h; what is computed from them is summed in float. */
typedef enum sn_dtype {
    SN_REAL,
    SN_U8,
    SN_I32,
    SN_U64,
    SN_BF16, /* the upper half of a float, rounded to nearest even */
    SN_Q8    /* uint8 q for the value scale (q - zero): sn_node.quant */
} sn_dtype;

typedef struct sn_quant {
    float scale;
    int32_t zero; /* 0..255: the q that stands for 0 */
} sn_quant;

/* Whether a tensor holds real values in fewer bits than the program's working type. */
static inline bool sn_dtype_is_narrow(sn_dtype dtype) { return dtype == SN_BF16 || dtype == SN_Q8; }

typedef struct sn_shape {
    int64_t n, h, w, c;
} sn_shape;

static inline int64_t sn_shape_elements(sn_shape s) { return s.n * s.h * s.w * s.c; }
static inline bool sn_shape_equal(sn_shape a, sn_shape b) { return a.n == b.n && a.h == b.h && a.w == b.w && a.c == b.c; }

typedef enum sn_activation { SN_IDENTITY, SN_RELU, SN_RELU6, SN_SIGMOID, SN_TANH } sn_activation;
typedef enum sn_pool_kind { SN_POOL_MAX, SN_POOL_AVG } sn_pool_kind;

/* The attributes of a node: one struct per family of ops; ops/<op>.c says which is used. */
typedef struct sn_conv_attrs {
    int32_t stride, groups;
    int32_t pad_top, pad_left, pad_bottom, pad_right;
    sn_activation activation; /* applied to conv + bias + residual */
    bool narrow_weights;      /* of a lowered graph: weights may be rounded to bf16 though input and output are real */
    sn_shape target;          /* gradient ops: shape of the tensor whose gradient this is */
    int32_t shuffle;          /* > 1: then the output's channels are shuffled as by channel_shuffle of so many groups */
    sn_activation between;    /* depthwise_pointwise: of the depthwise convolution, in front of the 1x1 */
} sn_conv_attrs;

typedef struct sn_pool_attrs {
    sn_pool_kind kind;
    int32_t kernel, stride, pad;
    bool ceil;         /* Caffe's size rule */
    bool count_padding; /* average: divide by the window clipped to the padded area, else by the cells inside the image */
} sn_pool_attrs;

typedef struct sn_norm_attrs {
    double epsilon;
    double momentum;          /* share of the new batch in the running statistics (0.1) */
    int64_t count;            /* bn_update: elements behind each mean, N H W, for the unbiased variance */
    sn_activation activation; /* SN_IDENTITY or SN_RELU */
} sn_norm_attrs;

/* out(n, i, j, c) = x(n, i * stride + offset, j * stride + offset, c - channels_before), 0 where that lies outside. */
typedef struct sn_subsample_attrs {
    int32_t stride, offset;
    int32_t channels_before, channels_after; /* zero channels added */
    sn_shape target;                         /* gradient op: shape of x */
} sn_subsample_attrs;

typedef struct sn_attrs {
    union {
        sn_conv_attrs conv;
        sn_pool_attrs pool;
        sn_norm_attrs norm;
        sn_subsample_attrs subsample;
        struct { sn_activation kind; } activation;               /* activation, activation_grad, add, scale_add */
        struct { double factor; } factor;                        /* multiply by a constant */
        struct { int32_t begin, count; } slice;                  /* channels [begin, begin + count) */
        struct { int32_t groups; } shuffle;                      /* channel_shuffle */
        struct { int32_t h, w; } adaptive;                       /* adaptive_avg: cells of the output */
        struct { int32_t index, branch; bool even; } mix;        /* unit number; mix_grad: which branch; even: beta = 0.5 */
        struct { float probability; int32_t salt; } dropout;     /* salt tells the layers of a network apart */
        struct { double smoothing; } loss;
        struct { float mean[3], std[3]; } normalize;             /* on values in 0..1 */
        struct { sn_dtype dtype; } convert;                      /* of the output */
        struct { int32_t index; } param;                         /* graph->params[index] */
        struct { sn_shape shape; sn_dtype dtype; } source;       /* input; shape.n = images per batch */
    } u;
} sn_attrs;

typedef struct sn_node {
    sn_op_kind op;
    int32_t inputs_count;
    sn_id inputs[SN_MAX_INPUTS]; /* SN_NONE where an optional input is absent */
    sn_attrs attrs;
    sn_dtype dtype;
    sn_quant quant;   /* of the output, where dtype is SN_Q8 */
    sn_shape shape;   /* of the output; all zero for ops that only act (bn_update) */
    const char *name; /* "layer1.0.conv1"; gradients: "d layer1.0.conv1"; lives as long as the graph */
} sn_node;

typedef enum sn_param_kind {
    SN_PARAM_CONV_WEIGHT,
    SN_PARAM_LINEAR_WEIGHT,
    SN_PARAM_BIAS,
    SN_PARAM_BN_WEIGHT, /* gamma */
    SN_PARAM_BN_BIAS,   /* beta */
    SN_PARAM_BN_MEAN,   /* running statistics: not learnable */
    SN_PARAM_BN_VAR
} sn_param_kind;

typedef struct sn_param {
    const char *name; /* canonical: "layer1.0.conv1.weight" */
    sn_param_kind kind;
    bool learnable; /* false: running statistics */
    bool in_se;     /* belongs to an SE block */
    int32_t rank;   /* of the tensor in a weight file, with its sizes: OIHW, [out, in], [C] */
    int64_t dims[4];
    sn_shape shape; /* in memory */
    sn_id node;
    sn_id gradient; /* SN_NONE before sn_graph_add_gradients, and for what is not learnable */
} sn_param;

typedef struct sn_output {
    const char *name;
    sn_id node;
} sn_output;

typedef struct sn_graph {
    sn_arena arena;
    sn_node *nodes;
    size_t nodes_count, nodes_capacity;
    sn_param *params; /* in construction order */
    size_t params_count, params_capacity;
    int32_t *slots; /* a hash table of the parameters' names: indices into params, or -1 */
    size_t slots_count;
    sn_output *outputs; /* what a run must produce: "logits", "loss", taps */
    size_t outputs_count, outputs_capacity;
    int64_t batch; /* images per run */
} sn_graph;

senet_status sn_graph_create(int64_t batch, sn_graph **graph);
void sn_graph_destroy(sn_graph *graph);

/* Appends a node after checking and inferring its shape; *id is its number.  name may be NULL. */
senet_status sn_graph_add(sn_graph *graph, sn_op_kind op, const sn_id *inputs, int inputs_count, const sn_attrs *attrs,
                          const char *name, sn_id *id);
/* Appends a parameter and its node.  param->name is copied; node and gradient are filled in. */
senet_status sn_graph_add_param(sn_graph *graph, const sn_param *param, sn_id *id);

/* Marks a node as something a run must produce; the same name twice is an error. */
senet_status sn_graph_add_output(sn_graph *graph, const char *name, sn_id node);
/* The output's node, or SN_NONE. */
sn_id sn_graph_find_output(const sn_graph *graph, const char *name);
/* The last node of that name, or SN_NONE. */
sn_id sn_graph_find_node(const sn_graph *graph, const char *name);
/* The parameter's index, or -1. */
int sn_graph_find_param(const sn_graph *graph, const char *name);

/* ---- autodiff (autodiff.c) ---- */

/* Appends the nodes that compute d loss / d parameter for every learnable parameter and sets param.gradient.  `loss` has
 * one element.  A parameter the loss does not depend on keeps gradient SN_NONE. */
senet_status sn_graph_add_gradients(sn_graph *graph, sn_id loss);

/* The gradient rule of an op adds its share to an input's gradient. */
typedef struct sn_autodiff sn_autodiff;
void sn_autodiff_accumulate(sn_autodiff *ad, sn_id input, sn_id gradient);
/* Whether anything asks for the gradient of this node (a learnable parameter lies behind it). */
bool sn_autodiff_wants(const sn_autodiff *ad, sn_id node);
/* Appends a gradient node named "d <name of forward node>"; SN_NONE after a failure, which the pass then reports. */
sn_id sn_autodiff_add(sn_autodiff *ad, sn_op_kind op, const sn_id *inputs, int inputs_count, const sn_attrs *attrs);
const sn_node *sn_autodiff_node(const sn_autodiff *ad, sn_id id);

/* ---- passes (passes.c, on rewrite.h): graph to graph; outputs keep their names ---- */

/* Joins batch norm + ReLU, add + ReLU, scale + add (+ ReLU), convolution + activation, and, after sn_graph_add_gradients, the
 * squeeze's share of a gradient with the scale's and sums of gradients with the convolution that writes one of them, and batch
 * norm with the scale or sum behind it (join_norms.c).  For training and inference; drops what became dead. */
senet_status sn_graph_fuse(const sn_graph *graph, sn_graph **fused);
/* For inference: folds batch norm with running statistics, and constant factors, into the convolution (factors also into the
 * gate) before it, then joins activation and residual sum; a ReLU behind a concatenation joins its parts. */
senet_status sn_graph_fold_batch_norm(const sn_graph *graph, sn_graph **folded);
/* For inference, after that (moves.c): passes over memory that a convolution can do as it reads or writes become part of it.  A scale joins
 * the depthwise convolution behind it, a channel shuffle the convolution before it, as far as there are kernels for it where maps
 * will be stored in this precision. */
senet_status sn_graph_join_moves(const sn_graph *graph, senet_precision precision, sn_graph **joined);
/* Drops nodes that no output, gradient or effect needs. */
senet_status sn_graph_drop_dead(const sn_graph *graph, sn_graph **pruned);

/* ---- costs (cost.c) ---- */

typedef struct sn_cost {
    int64_t macs;      /* products of convolutions and linear layers */
    int64_t scale_ops; /* elements multiplied by a gate */
} sn_cost;

/* Cost of one node for the graph's batch. */
sn_cost sn_node_cost(const sn_graph *graph, const sn_node *node);
/* Sum over the forward nodes. */
sn_cost sn_graph_cost(const sn_graph *graph);
/* Learnable elements, and those of the running statistics. */
void sn_graph_count_params(const sn_graph *graph, int64_t *learnable, int64_t *statistics);

#endif
