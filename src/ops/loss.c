/* loss.c - softmax cross entropy, mean over the batch, with label smoothing: target = (1-e) onehot + e / K
 * (Szegedy et al. 2016).  Pictures mixed of two (mixup, Zhang et al. 2018; CutMix, Yun et al. 2019) have m onehot +
 * (1-m) onehot2 in place of onehot. */
#include "ops/rules.h"

static senet_status expect_logits(const sn_graph *graph, const sn_node *node)
{
    sn_shape logits = sn_input_of(graph, node, 0)->shape;
    if (logits.h != 1 || logits.w != 1)
        return sn_fail(SENET_INTERNAL, "%s: logits of shape %s", sn_node_title(node), sn_shape_text(logits));
    if (node->inputs_count == 3) return sn_fail(SENET_INTERNAL, "%s: a second label without mix", sn_node_title(node));
    for (int i = 1; i < node->inputs_count; i++) {
        SN_RETURN_IF_FAILED(sn_rule_expect_dtype(graph, node, i, i == 3 ? SN_REAL : SN_I32));
        SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, i, (sn_shape){logits.n, 1, 1, 1}));
    }
    return SENET_OK;
}

static senet_status infer_cross_entropy(const sn_graph *graph, sn_node *node)
{
    node->shape = (sn_shape){1, 1, 1, 1};
    return expect_logits(graph, node);
}

/* The loss is where gradients start, so dy is 1 and not a node. */
static void gradient_cross_entropy(sn_autodiff *ad, sn_id id, sn_id dy)
{
    (void)dy;
    const sn_node node = *sn_autodiff_node(ad, id);
    sn_autodiff_accumulate(ad, node.inputs[0],
                           sn_autodiff_add(ad, SN_OP_cross_entropy_grad, node.inputs, node.inputs_count, &node.attrs));
}

const sn_op sn_op_cross_entropy = {.name = "cross_entropy", .fewest_inputs = 2, .most_inputs = 4,
                                   .infer = infer_cross_entropy, .gradient = gradient_cross_entropy};

static senet_status infer_cross_entropy_grad(const sn_graph *graph, sn_node *node)
{
    SN_RETURN_IF_FAILED(sn_rule_same_as_first(graph, node));
    return expect_logits(graph, node);
}

const sn_op sn_op_cross_entropy_grad = {.name = "cross_entropy_grad", .fewest_inputs = 2, .most_inputs = 4,
                                        .infer = infer_cross_entropy_grad};
