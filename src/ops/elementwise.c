/* elementwise.c - activation, sum, constant factor, dropout, and the mixing of Shake-Shake branches. */
#include "ops/rules.h"

const sn_op sn_op_activation_grad = {.name = "activation_grad", .fewest_inputs = 2, .most_inputs = 2,
                                     .infer = sn_rule_same_as_second, .in_place = 1u << 0};

/* dy behind an activation whose output is node `id`; the identity passes dy on. */
static sn_id through_activation(sn_autodiff *ad, sn_activation kind, sn_id dy, sn_id id)
{
    if (kind == SN_IDENTITY) return dy;
    sn_attrs attrs = {.u.activation.kind = kind};
    return sn_autodiff_add(ad, SN_OP_activation_grad, (sn_id[]){dy, id}, 2, &attrs);
}

static void gradient_activation(sn_autodiff *ad, sn_id id, sn_id dy)
{
    const sn_node node = *sn_autodiff_node(ad, id);
    sn_autodiff_accumulate(ad, node.inputs[0], through_activation(ad, node.attrs.u.activation.kind, dy, id));
}

const sn_op sn_op_activation = {.name = "activation", .fewest_inputs = 1, .most_inputs = 1,
                                .infer = sn_rule_same_as_first, .gradient = gradient_activation, .in_place = 1u << 0};

static void gradient_add(sn_autodiff *ad, sn_id id, sn_id dy)
{
    const sn_node node = *sn_autodiff_node(ad, id);
    sn_id g = through_activation(ad, node.attrs.u.activation.kind, dy, id);
    for (int i = 0; i < 2; i++) sn_autodiff_accumulate(ad, node.inputs[i], g);
}

const sn_op sn_op_add = {.name = "add", .fewest_inputs = 2, .most_inputs = 2, .infer = sn_rule_same_as_second,
                         .gradient = gradient_add, .in_place = 3u << 0};

static void gradient_multiply(sn_autodiff *ad, sn_id id, sn_id dy)
{
    const sn_node node = *sn_autodiff_node(ad, id);
    sn_autodiff_accumulate(ad, node.inputs[0], sn_autodiff_add(ad, SN_OP_multiply, (sn_id[]){dy}, 1, &node.attrs));
}

const sn_op sn_op_multiply = {.name = "multiply", .fewest_inputs = 1, .most_inputs = 1, .infer = sn_rule_same_as_first,
                              .gradient = gradient_multiply, .in_place = 1u << 0};

static senet_status infer_convert(const sn_graph *graph, sn_node *node)
{
    SN_RETURN_IF_FAILED(sn_rule_same_as_first(graph, node));
    node->dtype = node->attrs.u.convert.dtype;
    return SENET_OK;
}

/* Put into finished graphs only, so that it needs no gradient. */
const sn_op sn_op_convert = {.name = "convert", .fewest_inputs = 1, .most_inputs = 1, .infer = infer_convert};

static senet_status infer_dropout(const sn_graph *graph, sn_node *node)
{
    float p = node->attrs.u.dropout.probability;
    if (!(p >= 0 && p < 1))
        return sn_fail(SENET_USAGE, "%s: probability %g is not in [0, 1)", sn_node_title(node), (double)p);
    SN_RETURN_IF_FAILED(sn_rule_same_as_first(graph, node));
    SN_RETURN_IF_FAILED(sn_rule_expect_dtype(graph, node, 1, SN_U64));
    return sn_rule_expect(graph, node, 1, (sn_shape){node->shape.n, 1, 1, 1});
}

static void gradient_dropout(sn_autodiff *ad, sn_id id, sn_id dy)
{
    const sn_node node = *sn_autodiff_node(ad, id);
    sn_id inputs[2] = {dy, node.inputs[1]};
    sn_autodiff_accumulate(ad, node.inputs[0], sn_autodiff_add(ad, SN_OP_dropout, inputs, 2, &node.attrs));
}

const sn_op sn_op_dropout = {.name = "dropout", .fewest_inputs = 2, .most_inputs = 2, .infer = infer_dropout,
                             .gradient = gradient_dropout, .in_place = 1u << 0};

/* Coefficients, where there are any, have two columns a unit and one row an image. */
static senet_status expect_coefficients(const sn_graph *graph, const sn_node *node, int index)
{
    const sn_node *coefficients = sn_input_of(graph, node, index);
    if (!coefficients) return SENET_OK;
    int64_t last = 2 * (int64_t)node->attrs.u.mix.index + 1;
    if (coefficients->shape.n == node->shape.n && node->attrs.u.mix.index >= 0 && coefficients->shape.c > last)
        return SENET_OK;
    return sn_fail(SENET_INTERNAL, "%s: coefficients of shape %s have no unit %d for %lld images", sn_node_title(node),
                   sn_shape_text(coefficients->shape), node->attrs.u.mix.index, (long long)node->shape.n);
}

static senet_status infer_mix(const sn_graph *graph, sn_node *node)
{
    SN_RETURN_IF_FAILED(sn_rule_same_as_second(graph, node));
    return expect_coefficients(graph, node, 2);
}

static void gradient_mix(sn_autodiff *ad, sn_id id, sn_id dy)
{
    const sn_node node = *sn_autodiff_node(ad, id);
    for (int branch = 0; branch < 2; branch++) {
        sn_attrs attrs = node.attrs;
        attrs.u.mix.branch = branch;
        if (!sn_autodiff_wants(ad, node.inputs[branch])) continue;
        sn_id inputs[2] = {dy, node.inputs[2]};
        sn_autodiff_accumulate(ad, node.inputs[branch], sn_autodiff_add(ad, SN_OP_mix_grad, inputs, 2, &attrs));
    }
}

const sn_op sn_op_mix = {.name = "mix", .fewest_inputs = 2, .most_inputs = 3, .infer = infer_mix,
                         .gradient = gradient_mix, .in_place = 3u << 0};

static senet_status infer_mix_grad(const sn_graph *graph, sn_node *node)
{
    SN_RETURN_IF_FAILED(sn_rule_same_as_first(graph, node));
    return expect_coefficients(graph, node, 1);
}

const sn_op sn_op_mix_grad = {.name = "mix_grad", .fewest_inputs = 1, .most_inputs = 2, .infer = infer_mix_grad,
                              .in_place = 1u << 0};
