/* join_depthwise.c - see join_depthwise.h.
 *
 * act(pointwise(between(depthwise(x gate) + b)) + c) as one node: its kernels multiply the depthwise outputs while they are in a
 * cache, so that the map between is neither written nor read, and a core goes on with the rows that it has just written itself.
 * What speaks against it: a dense 1x1 convolution of its own may be computed by Strassen's multiplication, an eighth cheaper, where
 * there are at least 128 channels.  Maps of LARGE_PIXELS have fewer, and do not fit into a core's cache. */
#include "graph/join_depthwise.h"

#include "graph/rewrite.h"

enum { LARGE_PIXELS = 2048, LARGE_CHANNELS = 128 };

static bool is_large(sn_shape between)
{
    return between.h * between.w >= LARGE_PIXELS && between.c <= LARGE_CHANNELS;
}

/* Whether at most one row and column lie outside the image on each side, which is what the kernels are made for. */
static bool edges_fit(const sn_conv_attrs *a, sn_shape x, sn_shape y)
{
    return a->pad_top <= 1 && a->pad_left <= 1 && (y.h - 1) * a->stride - a->pad_top + 2 <= x.h &&
           (y.w - 1) * a->stride - a->pad_left + 2 <= x.w;
}

static senet_status visit(sn_rewrite *rw, sn_id id, bool *done, sn_id *made)
{
    const sn_node *node = &rw->from->nodes[id];
    sn_activation end = node->attrs.u.conv.activation;
    if (!sn_rewrite_is_pointwise(rw->from, node) || !sn_rewrite_clamps(end)) return SENET_OK;
    const sn_node *found = sn_rewrite_absorbable(rw, node, 0, SN_OP_conv2d);
    if (!found || !sn_rewrite_is_depthwise(rw->to, found)) return SENET_OK;
    const sn_node depthwise = *found;
    sn_join_depthwise which = *(const sn_join_depthwise *)rw->context;
    sn_attrs attrs = depthwise.attrs;
    if (!edges_fit(&attrs.u.conv, rw->to->nodes[depthwise.inputs[0]].shape, depthwise.shape)) return SENET_OK;
    if (which != SN_JOIN_ALL && !is_large(depthwise.shape)) return SENET_OK;
    sn_id inputs[6] = {depthwise.inputs[0], sn_rewrite_mapped(rw, node->inputs[1]), sn_rewrite_mapped(rw, node->inputs[2]),
                       depthwise.inputs[1], depthwise.inputs[2], depthwise.inputs[4]};
    attrs.u.conv.between = attrs.u.conv.activation;
    attrs.u.conv.activation = end;
    *done = true;
    return sn_rewrite_append(rw, node, SN_OP_depthwise_pointwise, inputs, 6, &attrs, made);
}

senet_status sn_graph_join_depthwise(const sn_graph *graph, sn_join_depthwise which, sn_graph **joined)
{
    return sn_rewrite_graph(graph, visit, &which, joined);
}
