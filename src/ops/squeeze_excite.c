/* squeeze_excite.c - the ops around the excitation (Hu et al., section 3): squeeze, scale, and their gradients.  The two
 * layers of the excitation itself are 1x1 convolutions with fused activations.
 *
 *   z = squeeze(u); s = gate(W2 relu(W1 z + b1) + b2); y = act(u s + r)
 *   du = g s + (d squeeze),  ds = sum over H,W of g u,  dr = g,  g = dy act'
 *
 * In training u is the batch norm of a convolution's output x; sn_graph_fuse has scale_add and scale_grad_gate read x and
 * normalise it themselves, so that u is never written. */
#include "ops/rules.h"

static sn_shape per_image(sn_shape s) { return (sn_shape){s.n, 1, 1, s.c}; }

static senet_status infer_squeeze(const sn_graph *graph, sn_node *node)
{
    node->shape = per_image(sn_input_of(graph, node, 0)->shape);
    return SENET_OK;
}

static void gradient_squeeze_avg(sn_autodiff *ad, sn_id id, sn_id dz)
{
    sn_id x = sn_autodiff_node(ad, id)->inputs[0];
    sn_autodiff_accumulate(ad, x, sn_autodiff_add(ad, SN_OP_squeeze_avg_grad, (sn_id[]){dz, x}, 2, NULL));
}

static void gradient_squeeze_max(sn_autodiff *ad, sn_id id, sn_id dz)
{
    sn_id x = sn_autodiff_node(ad, id)->inputs[0];
    sn_autodiff_accumulate(ad, x, sn_autodiff_add(ad, SN_OP_squeeze_max_grad, (sn_id[]){dz, x, id}, 3, NULL));
}

const sn_op sn_op_squeeze_avg = {.name = "squeeze_avg", .fewest_inputs = 1, .most_inputs = 1, .infer = infer_squeeze,
                                 .gradient = gradient_squeeze_avg};
const sn_op sn_op_squeeze_max = {.name = "squeeze_max", .fewest_inputs = 1, .most_inputs = 1, .infer = infer_squeeze,
                                 .gradient = gradient_squeeze_max};

static senet_status infer_squeeze_grad(const sn_graph *graph, sn_node *node)
{
    node->shape = sn_input_of(graph, node, 1)->shape;
    SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 0, per_image(node->shape)));
    return sn_input_of(graph, node, 2) ? sn_rule_expect(graph, node, 2, per_image(node->shape)) : SENET_OK;
}

const sn_op sn_op_squeeze_avg_grad = {.name = "squeeze_avg_grad", .fewest_inputs = 2, .most_inputs = 2,
                                      .infer = infer_squeeze_grad};
const sn_op sn_op_squeeze_max_grad = {.name = "squeeze_max_grad", .fewest_inputs = 3, .most_inputs = 3,
                                      .infer = infer_squeeze_grad};

/* A gate has one value a channel of an image, or (squeeze=none) one an element. */
static senet_status expect_gate(const sn_graph *graph, const sn_node *node, int index, sn_shape x)
{
    if (sn_shape_equal(sn_input_of(graph, node, index)->shape, x)) return SENET_OK;
    return sn_rule_expect(graph, node, index, per_image(x));
}

/* Input 3, where there is one: the rows of a bn_affine. */
static senet_status expect_affine(const sn_graph *graph, const sn_node *node, sn_shape x)
{
    return sn_input_of(graph, node, 3) ? sn_rule_expect(graph, node, 3, (sn_shape){1, 1, 2, x.c}) : SENET_OK;
}

static senet_status infer_scale_add(const sn_graph *graph, sn_node *node)
{
    node->shape = sn_input_of(graph, node, 0)->shape;
    if (sn_input_of(graph, node, 2)) SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 2, node->shape));
    if (!sn_input_of(graph, node, 1) && !sn_input_of(graph, node, 3))
        return sn_fail(SENET_INTERNAL, "%s: neither a gate nor a batch norm", sn_node_title(node));
    if (!sn_input_of(graph, node, 3)) return expect_gate(graph, node, 1, node->shape);
    SN_RETURN_IF_FAILED(expect_affine(graph, node, node->shape));
    return sn_input_of(graph, node, 1) ? sn_rule_expect(graph, node, 1, per_image(node->shape)) : SENET_OK;
}

static void gradient_scale_add(sn_autodiff *ad, sn_id id, sn_id dy)
{
    const sn_node node = *sn_autodiff_node(ad, id);
    sn_id x = node.inputs[0], s = node.inputs[1], r = node.inputs[2], g = dy;
    if (node.attrs.u.activation.kind != SN_IDENTITY)
        g = sn_autodiff_add(ad, SN_OP_activation_grad, (sn_id[]){dy, id}, 2, &node.attrs);
    if (sn_autodiff_wants(ad, r)) sn_autodiff_accumulate(ad, r, g);
    if (sn_autodiff_wants(ad, s))
        sn_autodiff_accumulate(ad, s, sn_autodiff_add(ad, SN_OP_scale_grad_gate, (sn_id[]){g, x, s}, 3, NULL));
    if (sn_autodiff_wants(ad, x))
        sn_autodiff_accumulate(ad, x, sn_autodiff_add(ad, SN_OP_scale_grad_input, (sn_id[]){g, s}, 2, NULL));
}

static sn_cost cost_scale_add(const sn_graph *graph, const sn_node *node)
{
    return (sn_cost){.scale_ops = sn_input_of(graph, node, 1) ? sn_shape_elements(node->shape) : 0};
}

const sn_op sn_op_scale_add = {.name = "scale_add", .fewest_inputs = 1, .most_inputs = 4, .infer = infer_scale_add,
                               .gradient = gradient_scale_add, .cost = cost_scale_add, .in_place = 1u << 0 | 1u << 2};

static senet_status infer_scale_grad_input(const sn_graph *graph, sn_node *node)
{
    node->shape = sn_input_of(graph, node, 0)->shape;
    if (sn_input_of(graph, node, 2)) SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 2, per_image(node->shape)));
    return expect_gate(graph, node, 1, node->shape);
}

const sn_op sn_op_scale_grad_input = {.name = "scale_grad_input", .fewest_inputs = 2, .most_inputs = 3,
                                      .infer = infer_scale_grad_input, .in_place = 1u << 0};

static senet_status infer_scale_grad_gate(const sn_graph *graph, sn_node *node)
{
    sn_shape x = sn_input_of(graph, node, 1)->shape;
    SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 0, x));
    SN_RETURN_IF_FAILED(expect_affine(graph, node, x));
    node->shape = sn_input_of(graph, node, 2)->shape;
    return expect_gate(graph, node, 2, x);
}

const sn_op sn_op_scale_grad_gate = {.name = "scale_grad_gate", .fewest_inputs = 3, .most_inputs = 4,
                                     .infer = infer_scale_grad_gate};
