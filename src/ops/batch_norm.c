/* batch_norm.c - batch norm in pieces that passes can join and backends can fuse.
 *
 * training:   stats = bn_stats(x);  y = bn_apply(x, stats, gamma, beta);  bn_update(stats, running mean, running var)
 * inference:  stats = bn_pack(running mean, running var);  y = bn_apply(x, stats, gamma, beta)
 *
 * With xhat = (x - mean) / sqrt(var + eps), M = N H W elements a channel, and g = dy where the fused ReLU let it through:
 *   d beta = sum g,  d gamma = sum g xhat,
 *   dx = gamma / sqrt(var + eps) (g - (sum g) / M - xhat (sum g xhat) / M)    with batch statistics
 *   dx = gamma / sqrt(var + eps) g                                            with stored statistics (Ioffe, Szegedy 2015) */
#include "ops/rules.h"

static sn_shape stats_shape(int64_t c) { return (sn_shape){1, 1, 2, c}; }

static senet_status infer_stats(const sn_graph *graph, sn_node *node)
{
    node->shape = stats_shape(sn_input_of(graph, node, 0)->shape.c);
    return SENET_OK;
}

/* Its share of dx is part of bn_grad_input; see gradient_apply. */
const sn_op sn_op_bn_stats = {.name = "bn_stats", .fewest_inputs = 1, .most_inputs = 1, .infer = infer_stats};

static senet_status infer_pack(const sn_graph *graph, sn_node *node)
{
    SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 1, sn_input_of(graph, node, 0)->shape));
    return infer_stats(graph, node);
}

const sn_op sn_op_bn_pack = {.name = "bn_pack", .fewest_inputs = 2, .most_inputs = 2, .infer = infer_pack};

/* stats, gamma and beta at inputs first, first+1, first+2 fit c channels. */
static senet_status expect_norm(const sn_graph *graph, const sn_node *node, int first, int64_t c)
{
    SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, first, stats_shape(c)));
    SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, first + 1, sn_vector_shape(c)));
    return sn_rule_expect(graph, node, first + 2, sn_vector_shape(c));
}

static senet_status infer_apply(const sn_graph *graph, sn_node *node)
{
    node->shape = sn_input_of(graph, node, 0)->shape;
    return expect_norm(graph, node, 1, node->shape.c);
}

static void gradient_apply(sn_autodiff *ad, sn_id id, sn_id dy)
{
    const sn_node node = *sn_autodiff_node(ad, id);
    sn_id x = node.inputs[0], stats = node.inputs[1], gamma = node.inputs[2], beta = node.inputs[3];
    bool batch_statistics = sn_autodiff_node(ad, stats)->op == SN_OP_bn_stats;
    sn_id sums = SN_NONE;
    if (sn_autodiff_wants(ad, gamma) || sn_autodiff_wants(ad, beta) || batch_statistics)
        sums = sn_autodiff_add(ad, SN_OP_bn_grad_sums, (sn_id[]){dy, x, stats, gamma, beta}, 5, &node.attrs);
    for (int row = 0; row < 2; row++) {
        sn_id param = row == 0 ? beta : gamma;
        sn_attrs attrs = {.u.slice = {.begin = row, .count = 1}};
        if (sn_autodiff_wants(ad, param))
            sn_autodiff_accumulate(ad, param, sn_autodiff_add(ad, SN_OP_row, (sn_id[]){sums}, 1, &attrs));
    }
    if (!sn_autodiff_wants(ad, x)) return;
    sn_id inputs[6] = {dy, x, stats, gamma, beta, batch_statistics ? sums : SN_NONE};
    sn_autodiff_accumulate(ad, x, sn_autodiff_add(ad, SN_OP_bn_grad_input, inputs, 6, &node.attrs));
}

const sn_op sn_op_bn_apply = {.name = "bn_apply", .fewest_inputs = 4, .most_inputs = 4, .infer = infer_apply,
                              .gradient = gradient_apply, .in_place = 1u << 0};

static senet_status infer_affine(const sn_graph *graph, sn_node *node)
{
    node->shape = sn_input_of(graph, node, 0)->shape;
    return expect_norm(graph, node, 0, node->shape.c);
}

const sn_op sn_op_bn_affine = {.name = "bn_affine", .fewest_inputs = 3, .most_inputs = 3, .infer = infer_affine};

static senet_status infer_update(const sn_graph *graph, sn_node *node)
{
    int64_t c = sn_input_of(graph, node, 0)->shape.c;
    if (node->attrs.u.norm.count < 1)
        return sn_fail(SENET_INTERNAL, "%s: statistics of %lld elements", sn_node_title(node),
                       (long long)node->attrs.u.norm.count);
    return expect_norm(graph, node, 0, c);
}

const sn_op sn_op_bn_update = {.name = "bn_update", .fewest_inputs = 3, .most_inputs = 3, .infer = infer_update,
                               .effect = true};

/* Inputs first and first+1, where there are any: gate and share of the gradient of a scale, of an image each. */
static senet_status expect_scale(const sn_graph *graph, const sn_node *node, int first, sn_shape x)
{
    for (int k = first; k < first + 2; k++)
        if (sn_input_of(graph, node, k)) SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, k, (sn_shape){x.n, 1, 1, x.c}));
    return SENET_OK;
}

static senet_status infer_grad_sums(const sn_graph *graph, sn_node *node)
{
    sn_shape x = sn_input_of(graph, node, 1)->shape;
    SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 0, x));
    SN_RETURN_IF_FAILED(expect_scale(graph, node, 5, x));
    node->shape = stats_shape(x.c);
    return expect_norm(graph, node, 2, x.c);
}

const sn_op sn_op_bn_grad_sums = {.name = "bn_grad_sums", .fewest_inputs = 5, .most_inputs = 7,
                                  .infer = infer_grad_sums};

static senet_status infer_grad_input(const sn_graph *graph, sn_node *node)
{
    SN_RETURN_IF_FAILED(sn_rule_same_as_second(graph, node));
    SN_RETURN_IF_FAILED(expect_scale(graph, node, 6, node->shape));
    if (sn_input_of(graph, node, 5)) SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 5, stats_shape(node->shape.c)));
    return expect_norm(graph, node, 2, node->shape.c);
}

const sn_op sn_op_bn_grad_input = {.name = "bn_grad_input", .fewest_inputs = 5, .most_inputs = 8,
                                   .infer = infer_grad_input, .in_place = 3u << 0};

static senet_status infer_fold_weight(const sn_graph *graph, sn_node *node)
{
    node->shape = sn_input_of(graph, node, 0)->shape;
    SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 1, stats_shape(node->shape.c)));
    return sn_rule_expect(graph, node, 2, sn_vector_shape(node->shape.c));
}

const sn_op sn_op_bn_fold_weight = {.name = "bn_fold_weight", .fewest_inputs = 3, .most_inputs = 3,
                                    .infer = infer_fold_weight};

static senet_status infer_fold_bias(const sn_graph *graph, sn_node *node)
{
    int64_t c = sn_input_of(graph, node, 1)->shape.c;
    node->shape = sn_vector_shape(c);
    if (sn_input_of(graph, node, 3)) SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, 3, node->shape));
    return expect_norm(graph, node, 0, c);
}

const sn_op sn_op_bn_fold_bias = {.name = "bn_fold_bias", .fewest_inputs = 3, .most_inputs = 4,
                                  .infer = infer_fold_bias};
