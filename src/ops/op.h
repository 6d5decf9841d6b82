/* op.h - what an op is: a name, a shape rule, a gradient rule, a cost. */
#ifndef SN_OPS_OP_H
#define SN_OPS_OP_H

#include "graph/graph.h"

typedef struct sn_op {
    const char *name;
    int fewest_inputs, most_inputs;
    /* Checks the inputs and sets node->shape and node->dtype; errors name the node and the sizes. */
    senet_status (*infer)(const sn_graph *graph, sn_node *node);
    /* Adds the gradients of the inputs, given dy; NULL: the op is not differentiable. */
    void (*gradient)(sn_autodiff *ad, sn_id node, sn_id dy);
    /* NULL: costs nothing that is counted. */
    sn_cost (*cost)(const sn_graph *graph, const sn_node *node);
    uint32_t in_place; /* bit i: the output may take the memory of input i if nobody needs it any more */
    bool effect;       /* acts on a parameter; never dropped */
} sn_op;

/* The op of a kind; never NULL. */
const sn_op *sn_op_of(sn_op_kind kind);

/* The rules of every op, in the files of ops/; a rule an op does not have is left NULL there. */
#define SN_OP(name, ...) extern const sn_op sn_op_##name;
#include "ops/ops.def"
#undef SN_OP

/* Shorthand for the rules. */
static inline const sn_node *sn_input_of(const sn_graph *graph, const sn_node *node, int index)
{
    return node->inputs[index] == SN_NONE ? NULL : &graph->nodes[node->inputs[index]];
}

/* "conv2d 'layer1.0.conv1'" for messages; per-thread buffer. */
const char *sn_node_title(const sn_node *node);
/* "8x32x32x16" for messages; a few per-thread buffers in turn. */
const char *sn_shape_text(sn_shape shape);

#endif
