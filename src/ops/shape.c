/* shape.c - ops that move or gather pixels and channels: pooling, sub-sampling, concatenation, shuffling, slices. */
#include "ops/rules.h"

/* Caffe's rule with ceil: at least one window where less than a stride is missing, and one fewer when the last would start at or beyond the padded end (ARCHITECTURES, 0). */
static int64_t pooled_size(int64_t n, const sn_pool_attrs *a)
{
    int64_t span = n + 2 * (int64_t)a->pad - a->kernel;
    if (span < 0) return a->ceil && -span < a->stride ? 1 : 0;
    int64_t out = (a->ceil ? (span + a->stride - 1) / a->stride : span / a->stride) + 1;
    if (a->ceil && a->pad > 0 && (out - 1) * a->stride >= n + a->pad) out--;
    return out;
}

static senet_status infer_pool2d(const sn_graph *graph, sn_node *node)
{
    const sn_pool_attrs *a = &node->attrs.u.pool;
    sn_shape x = sn_input_of(graph, node, 0)->shape;
    if (a->kernel < 1 || a->stride < 1 || a->pad < 0 || a->pad >= a->kernel)
        return sn_fail(SENET_INTERNAL, "%s: kernel %d, stride %d, pad %d", sn_node_title(node), a->kernel, a->stride,
                       a->pad);
    node->shape = (sn_shape){x.n, pooled_size(x.h, a), pooled_size(x.w, a), x.c};
    if (node->shape.h < 1 || node->shape.w < 1)
        return sn_fail(SENET_USAGE, "%s: a map of %lldx%lld is too small for windows of %d", sn_node_title(node),
                       (long long)x.h, (long long)x.w, a->kernel);
    return SENET_OK;
}

static void gradient_pool2d(sn_autodiff *ad, sn_id id, sn_id dy)
{
    const sn_node node = *sn_autodiff_node(ad, id);
    sn_id inputs[3] = {dy, node.inputs[0], id};
    sn_autodiff_accumulate(ad, node.inputs[0], sn_autodiff_add(ad, SN_OP_pool2d_grad, inputs, 3, &node.attrs));
}

const sn_op sn_op_pool2d = {.name = "pool2d", .fewest_inputs = 1, .most_inputs = 1, .infer = infer_pool2d,
                            .gradient = gradient_pool2d};

static senet_status infer_pool2d_grad(const sn_graph *graph, sn_node *node)
{
    node->shape = sn_input_of(graph, node, 1)->shape;
    return sn_rule_expect(graph, node, 2, sn_input_of(graph, node, 0)->shape);
}

const sn_op sn_op_pool2d_grad = {.name = "pool2d_grad", .fewest_inputs = 3, .most_inputs = 3,
                                 .infer = infer_pool2d_grad};

/* ---- average pooling to a fixed number of cells ---- */

static senet_status infer_adaptive_avg(const sn_graph *graph, sn_node *node)
{
    int32_t h = node->attrs.u.adaptive.h, w = node->attrs.u.adaptive.w;
    sn_shape x = sn_input_of(graph, node, 0)->shape;
    if (h < 1 || w < 1) return sn_fail(SENET_INTERNAL, "%s: %dx%d cells", sn_node_title(node), h, w);
    node->shape = (sn_shape){x.n, h, w, x.c};
    return SENET_OK;
}

static void gradient_adaptive_avg(sn_autodiff *ad, sn_id id, sn_id dy)
{
    const sn_node node = *sn_autodiff_node(ad, id);
    sn_id inputs[2] = {dy, node.inputs[0]};
    sn_autodiff_accumulate(ad, node.inputs[0], sn_autodiff_add(ad, SN_OP_adaptive_avg_grad, inputs, 2, &node.attrs));
}

static senet_status infer_adaptive_avg_grad(const sn_graph *graph, sn_node *node)
{
    sn_shape x = sn_input_of(graph, node, 1)->shape;
    node->shape = x;
    return sn_rule_expect(graph, node, 0, (sn_shape){x.n, node->attrs.u.adaptive.h, node->attrs.u.adaptive.w, x.c});
}

const sn_op sn_op_adaptive_avg = {.name = "adaptive_avg", .fewest_inputs = 1, .most_inputs = 1,
                                  .infer = infer_adaptive_avg, .gradient = gradient_adaptive_avg};
const sn_op sn_op_adaptive_avg_grad = {.name = "adaptive_avg_grad", .fewest_inputs = 2, .most_inputs = 2,
                                       .infer = infer_adaptive_avg_grad};

/* ---- copies: strided, joined, shuffled, cut ---- */

static senet_status infer_subsample(const sn_graph *graph, sn_node *node)
{
    const sn_subsample_attrs *a = &node->attrs.u.subsample;
    sn_shape x = sn_input_of(graph, node, 0)->shape;
    if (a->stride < 1 || a->channels_before < 0 || a->channels_after < 0)
        return sn_fail(SENET_INTERNAL, "%s: stride %d, %d and %d channels added", sn_node_title(node), a->stride,
                       a->channels_before, a->channels_after);
    node->shape = (sn_shape){x.n, (x.h - 1) / a->stride + 1, (x.w - 1) / a->stride + 1,
                             x.c + a->channels_before + a->channels_after};
    return SENET_OK;
}

static void gradient_subsample(sn_autodiff *ad, sn_id id, sn_id dy)
{
    const sn_node node = *sn_autodiff_node(ad, id);
    sn_attrs attrs = node.attrs;
    attrs.u.subsample.target = sn_autodiff_node(ad, node.inputs[0])->shape;
    sn_autodiff_accumulate(ad, node.inputs[0], sn_autodiff_add(ad, SN_OP_subsample_grad, (sn_id[]){dy}, 1, &attrs));
}

const sn_op sn_op_subsample = {.name = "subsample", .fewest_inputs = 1, .most_inputs = 1, .infer = infer_subsample,
                               .gradient = gradient_subsample};

static senet_status infer_subsample_grad(const sn_graph *graph, sn_node *node)
{
    (void)graph;
    node->shape = node->attrs.u.subsample.target;
    return SENET_OK;
}

const sn_op sn_op_subsample_grad = {.name = "subsample_grad", .fewest_inputs = 1, .most_inputs = 1,
                                    .infer = infer_subsample_grad};

static senet_status infer_concat(const sn_graph *graph, sn_node *node)
{
    node->shape = sn_input_of(graph, node, 0)->shape;
    node->shape.c = 0;
    for (int i = 0; i < node->inputs_count; i++) {
        const sn_node *part = sn_input_of(graph, node, i);
        if (!part) return sn_fail(SENET_INTERNAL, "%s: input %d is absent", sn_node_title(node), i);
        sn_shape fits = node->shape;
        fits.c = part->shape.c;
        SN_RETURN_IF_FAILED(sn_rule_expect(graph, node, i, fits));
        node->shape.c += part->shape.c;
    }
    return SENET_OK;
}

static void gradient_concat(sn_autodiff *ad, sn_id id, sn_id dy)
{
    const sn_node node = *sn_autodiff_node(ad, id);
    int64_t begin = 0;
    for (int i = 0; i < node.inputs_count; i++) {
        int64_t count = sn_autodiff_node(ad, node.inputs[i])->shape.c;
        sn_attrs attrs = {.u.slice = {.begin = (int32_t)begin, .count = (int32_t)count}};
        begin += count;
        if (sn_autodiff_wants(ad, node.inputs[i]))
            sn_autodiff_accumulate(ad, node.inputs[i], sn_autodiff_add(ad, SN_OP_slice, (sn_id[]){dy}, 1, &attrs));
    }
}

const sn_op sn_op_concat = {.name = "concat", .fewest_inputs = 1, .most_inputs = SN_MAX_INPUTS, .infer = infer_concat,
                            .gradient = gradient_concat};

static senet_status infer_channel_shuffle(const sn_graph *graph, sn_node *node)
{
    int32_t groups = node->attrs.u.shuffle.groups;
    node->shape = sn_input_of(graph, node, 0)->shape;
    if (groups < 1 || node->shape.c % groups)
        return sn_fail(SENET_USAGE, "%s: %lld channels do not divide into %d groups", sn_node_title(node),
                       (long long)node->shape.c, groups);
    return SENET_OK;
}

/* Rows and columns exchange their roles: the inverse of G groups of n is n groups of G. */
static void gradient_channel_shuffle(sn_autodiff *ad, sn_id id, sn_id dy)
{
    const sn_node node = *sn_autodiff_node(ad, id);
    sn_attrs attrs = {.u.shuffle.groups = (int32_t)(node.shape.c / node.attrs.u.shuffle.groups)};
    sn_autodiff_accumulate(ad, node.inputs[0], sn_autodiff_add(ad, SN_OP_channel_shuffle, (sn_id[]){dy}, 1, &attrs));
}

const sn_op sn_op_channel_shuffle = {.name = "channel_shuffle", .fewest_inputs = 1, .most_inputs = 1,
                                     .infer = infer_channel_shuffle, .gradient = gradient_channel_shuffle};

static senet_status infer_slice(const sn_graph *graph, sn_node *node)
{
    int64_t begin = node->attrs.u.slice.begin, count = node->attrs.u.slice.count;
    node->shape = sn_input_of(graph, node, 0)->shape;
    if (begin < 0 || count < 1 || begin + count > node->shape.c)
        return sn_fail(SENET_INTERNAL, "%s: channels %lld to %lld of %lld", sn_node_title(node), (long long)begin,
                       (long long)(begin + count), (long long)node->shape.c);
    node->shape.c = count;
    return SENET_OK;
}

const sn_op sn_op_slice = {.name = "slice", .fewest_inputs = 1, .most_inputs = 1, .infer = infer_slice};

static senet_status infer_row(const sn_graph *graph, sn_node *node)
{
    sn_shape table = sn_input_of(graph, node, 0)->shape;
    if (node->attrs.u.slice.begin < 0 || node->attrs.u.slice.begin >= table.w)
        return sn_fail(SENET_INTERNAL, "%s: row %d of %s", sn_node_title(node), node->attrs.u.slice.begin,
                       sn_shape_text(table));
    node->shape = sn_vector_shape(table.c);
    return SENET_OK;
}

const sn_op sn_op_row = {.name = "row", .fewest_inputs = 1, .most_inputs = 1, .infer = infer_row};
