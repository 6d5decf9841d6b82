/* recompute.c - see recompute.h.
 *
 * What becomes of a node of the forward pass is decided first (`decide`); then the graph is copied node by node, and a
 * gradient that asks for a value that is not kept has the nodes that make it appended in front of it.  Such a copy is
 * made of
 *
 *   a DROPPED node  once: the first gradient of a segment that asks brings back what it needs of the segment
 *   a PASSING node  from its input, which is kept or brought back: its own copy for the gradients, as what the
 * segment's forward nodes read shall not wait for them
 *
 * The copies compute with the same kernels from the same values, so they have the same bits.  When a copy's life ends
 * is for the planner to find out. */
#include "graph/recompute.h"

#include <stdlib.h>

#include "graph/rewrite.h"
#include "ops/op.h"

enum { DROPPED = 1, PASSING = 2 };

typedef struct recomputing {
    const sn_graph *graph;
    sn_id loss;
    uint8_t *fate;  /* by node of the forward pass: DROPPED, PASSING */
    sn_id *last;    /* by node of the forward pass: its last reader there */
    sn_id *again;   /* by node: the copy of a dropped node in the new graph, or SN_NONE */
    sn_id *passing; /* by node: the copy of a passing node */
    sn_id early;    /* a gradient that was appended before its turn: its new node, or SN_NONE */
} recomputing;

/* ---- what to keep ---- */

/* Whether the node's output is as large as a map: vectors cost nothing to keep. */
static bool is_map(const sn_node *node)
{
    bool statistics = node->op == SN_OP_bn_stats || node->op == SN_OP_bn_pack || node->op == SN_OP_bn_affine;
    bool source = node->op == SN_OP_param || node->op == SN_OP_input;
    return !statistics && !source && node->shape.h * node->shape.w > 1;
}

static int64_t map_bytes(const sn_node *node)
{
    return is_map(node) ? sn_shape_elements(node->shape) * (int64_t)sizeof(float) : 0;
}

/* Ops that cost about as much as reading and writing their map. */
static bool is_pass(const sn_node *node)
{
    switch (node->op) {
    case SN_OP_normalize:
    case SN_OP_bn_apply:
    case SN_OP_activation:
    case SN_OP_add:
    case SN_OP_multiply:
    case SN_OP_dropout:
    case SN_OP_mix:
    case SN_OP_scale_add:
    case SN_OP_pool2d:
    case SN_OP_adaptive_avg:
    case SN_OP_subsample:
    case SN_OP_concat:
    case SN_OP_channel_shuffle:
    case SN_OP_slice:
        return true;
    default:
        return false;
    }
}

/* A pass over a single map that is there by itself: chains of passes, and sums along a trunk, would lead back to the
 * input. */
static bool may_pass(const recomputing *r, sn_id id)
{
    const sn_node *node = &r->graph->nodes[id];
    int maps = 0;
    if (!is_pass(node) || !is_map(node)) return false;
    for (int k = 0; k < node->inputs_count; k++) {
        const sn_node *input = sn_input_of(r->graph, node, k);
        if (!input || !is_map(input)) continue;
        if (++maps > 1 || (r->fate[node->inputs[k]] & PASSING)) return false;
    }
    return true;
}

static void find_last_readers(recomputing *r)
{
    for (sn_id id = 0; id <= r->loss; id++) {
        const sn_node *node = &r->graph->nodes[id];
        r->last[id] = id;
        for (int k = 0; k < node->inputs_count; k++)
            if (node->inputs[k] != SN_NONE) r->last[node->inputs[k]] = id;
    }
    for (size_t i = 0; i < r->graph->outputs_count; i++) /* taps are kept to the end */
        if (r->graph->outputs[i].node <= r->loss) r->last[r->graph->outputs[i].node] = r->loss;
}

/* The segment that the walk is in. */
typedef struct segment {
    sn_id begin;
    int64_t bytes, largest; /* of its maps that would be brought back, and of one map */
} segment;

/* What is live while the gradients of the segment are computed: its maps, and gradients of a few. */
static int64_t segment_needs(const segment *s, int gradients)
{
    return s->bytes + gradients * s->largest;
}

static void add_to_segment(const recomputing *r, sn_id id, segment *s)
{
    int64_t bytes = map_bytes(&r->graph->nodes[id]);
    if (!(r->fate[id] & PASSING)) s->bytes += bytes;
    if (bytes > s->largest) s->largest = bytes;
}

/* Goes past node `id`: the number of maps that are still to be read, and the sum of their ids, which of a single one is
 * its id. */
static void update_live(const recomputing *r, sn_id id, int64_t *live, int64_t *sum)
{
    const sn_node *node = &r->graph->nodes[id];
    if (is_map(node) && r->last[id] > id) {
        ++*live;
        *sum += id;
    }
    for (int k = 0; k < node->inputs_count; k++) {
        sn_id input = node->inputs[k];
        bool seen = input == SN_NONE || !is_map(&r->graph->nodes[input]) || r->last[input] != id;
        for (int j = 0; j < k; j++) seen |= node->inputs[j] == input;
        if (seen) continue;
        --*live;
        *sum -= input;
    }
}

/* Walks the forward pass with the set of maps that are still to be read; where it has a single one, the rest of the
 * network reads nothing else, and a segment may end.  It ends at the last such place before what is kept in front of it
 * and what it needs itself come to more than the limit.  Normalised pictures are no better to keep than the pictures.
 */
static void cut_segments(recomputing *r, const sn_recompute_plan *plan)
{
    const sn_node *nodes = r->graph->nodes;
    segment now = {0}, rest = {0};       /* rest: behind the last place where `now` may end */
    sn_id end = SN_NONE, kept = SN_NONE; /* that place, and the map that is kept then */
    int64_t live = 0, sum = 0, before = 0;
    for (sn_id id = 0; id <= r->loss; id++) {
        add_to_segment(r, id, &now);
        add_to_segment(r, id, &rest);
        if (end != SN_NONE && before + segment_needs(&now, plan->gradients) > plan->limit) {
            for (sn_id k = now.begin; k <= end; k++)
                if (k != kept && is_map(&nodes[k])) r->fate[k] |= DROPPED;
            r->fate[kept] = 0;
            before += map_bytes(&nodes[kept]);
            now = rest;
            end = SN_NONE;
        }
        update_live(r, id, &live, &sum);
        if (live != 1 || sum < now.begin || nodes[sum].op == SN_OP_normalize) continue;
        end = id;
        kept = (sn_id)sum;
        rest = (segment){.begin = id + 1};
    }
}

static void decide(recomputing *r, const sn_recompute_plan *plan)
{
    find_last_readers(r);
    for (sn_id id = 0; plan->passes && id <= r->loss; id++)
        if (may_pass(r, id)) r->fate[id] |= PASSING;
    if (plan->limit > 0) cut_segments(r, plan);
    for (size_t i = 0; i < r->graph->outputs_count; i++)
        if (r->graph->outputs[i].node <= r->loss) r->fate[r->graph->outputs[i].node] = 0;
}

/* ---- the copies ---- */

/* The new node that has the value of old node `id`, appended if need be. */
static senet_status value_of(sn_rewrite *rw, sn_id id, bool for_gradient, sn_id *made)
{
    const recomputing *r = rw->context;
    if (id == SN_NONE || id > r->loss || (!(r->fate[id] & DROPPED) && !(for_gradient && r->fate[id] & PASSING))) {
        *made = sn_rewrite_mapped(rw, id);
        return SENET_OK;
    }
    bool passes = for_gradient && r->fate[id] & PASSING;
    sn_id *copy = passes ? &r->passing[id] : &r->again[id], inputs[SN_MAX_INPUTS];
    if (*copy == SN_NONE) {
        const sn_node *node = &rw->from->nodes[id];
        for (int k = 0; k < node->inputs_count; k++)
            SN_RETURN_IF_FAILED(value_of(rw, node->inputs[k], passes, &inputs[k]));
        const char *name = sn_arena_printf(&rw->to->arena, "again %s", node->name);
        if (!name) return sn_fail_memory(sizeof *node, "a node's name");
        SN_RETURN_IF_FAILED(sn_graph_add(rw->to, node->op, inputs, node->inputs_count, &node->attrs, name, copy));
    }
    *made = *copy;
    return SENET_OK;
}

static senet_status append_gradient(sn_rewrite *rw, sn_id id, sn_id *made)
{
    const sn_node *node = &rw->from->nodes[id];
    sn_id inputs[SN_MAX_INPUTS];
    for (int k = 0; k < node->inputs_count; k++) SN_RETURN_IF_FAILED(value_of(rw, node->inputs[k], true, &inputs[k]));
    return sn_rewrite_append(rw, node, node->op, inputs, node->inputs_count, &node->attrs, made);
}

/* Whether node id + 1, the gradient of a convolution's input, had better come before node id, that of its weight: so
 * the weight's gradient need not wait, with the weight, for the other to have been computed. */
static bool comes_late(const sn_graph *graph, sn_id id)
{
    if ((size_t)id + 1 >= graph->nodes_count) return false;
    const sn_node *weight = &graph->nodes[id], *input = &graph->nodes[id + 1];
    return weight->op == SN_OP_conv2d_grad_weight && input->op == SN_OP_conv2d_grad_input &&
           weight->inputs[1] == input->inputs[0] && sn_shape_elements(weight->shape) > sn_shape_elements(input->shape);
}

static senet_status visit(sn_rewrite *rw, sn_id id, bool *done, sn_id *made)
{
    recomputing *r = (recomputing *)(uintptr_t)rw->context;
    if (id <= r->loss) return SENET_OK;
    *done = true;
    if (r->early != SN_NONE) {
        *made = r->early;
        r->early = SN_NONE;
        return SENET_OK;
    }
    if (comes_late(rw->from, id)) SN_RETURN_IF_FAILED(append_gradient(rw, id + 1, &r->early));
    return append_gradient(rw, id, made);
}

senet_status sn_graph_recompute(const sn_graph *graph, const sn_recompute_plan *plan, sn_graph **result)
{
    recomputing r = {.graph = graph, .loss = sn_graph_find_output(graph, "loss"), .early = SN_NONE};
    size_t n = graph->nodes_count;
    *result = NULL;
    if (r.loss == SN_NONE) return sn_fail(SENET_INTERNAL, "a graph without a loss has nothing to compute again");
    r.fate = calloc(n, sizeof *r.fate);
    sn_id *work = malloc(3 * n * sizeof *work);
    senet_status status = SENET_OK;
    if (r.fate && work) {
        r.last = work;
        r.again = work + n;
        r.passing = work + 2 * n;
        for (size_t i = 0; i < n; i++) r.again[i] = r.passing[i] = SN_NONE;
        decide(&r, plan);
        status = sn_rewrite_graph(graph, visit, &r, result);
    } else
        status = sn_fail_memory(3 * n * sizeof *work, "a graph pass");
    free(r.fate);
    free(work);
    return status;
}

int64_t sn_graph_map_bytes(const sn_graph *graph)
{
    sn_id loss = sn_graph_find_output(graph, "loss");
    int64_t bytes = 0;
    for (sn_id id = 0; id <= loss; id++) bytes += map_bytes(&graph->nodes[id]);
    return bytes;
}
