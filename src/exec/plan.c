/* plan.c - the liveness planner.  A tensor lives from the step that writes it to the last that reads it (the squeeze of a
 * convolution's output may be written in the convolution's step, before its own place in the graph); tensors whose lives
 * overlap must not overlap in memory.  Offsets are given greedily, largest tensor first, each at the lowest gap that fits
 * (Pisarchyk, Lee 2020, "greedy by size"), which stays within a few percent of the peak of live bytes on these networks. */
#include "exec/plan.h"

#include <stdlib.h>
#include <string.h>

#include "ops/op.h"

size_t sn_node_bytes(const sn_node *node, sn_precision precision)
{
    return (size_t)sn_shape_elements(node->shape) * sn_dtype_bytes(node->dtype, precision);
}

/* A stretch of arena memory and the steps it is needed for. */
typedef struct buffer {
    size_t bytes, offset;
    int32_t first, last;
    bool prepares; /* for folding and packing, when no run is under way: it may lie over what runs use */
} buffer;

typedef struct planner {
    const sn_graph *graph;
    const sn_node_needs *needs;
    sn_precision precision;
    sn_plan *plan;
    int32_t *last_use;  /* by node: step of the last reader */
    int32_t *buffer_of; /* by node: index into buffers, or -1 */
    int32_t *segment;   /* by node: the first node of its segment: neighbours that take turns on group after group */
    bool *crosses;      /* by node: read outside its segment, so that it is kept for the whole batch */
    buffer *buffers;
    size_t buffers_count;
} planner;

static void locate(planner *p)
{
    const sn_graph *g = p->graph;
    for (size_t i = 0; i < g->nodes_count; i++) {
        const sn_node *node = &g->nodes[i];
        sn_location *at = &p->plan->locations[i];
        at->kind = SN_AT_ARENA;
        if (node->op == SN_OP_param) {
            *at = (sn_location){.kind = SN_AT_PARAM, .param = node->attrs.u.param.index};
        } else if (node->op == SN_OP_input) {
            at->kind = SN_AT_INPUT;
        } else if (sn_shape_elements(node->shape) == 0) {
            at->kind = SN_AT_NOTHING;
        } else {
            bool constant = node->inputs_count > 0 && !p->needs[i].every_run;
            for (int k = 0; k < node->inputs_count; k++) {
                if (node->inputs[k] == SN_NONE) continue;
                sn_place_kind kind = p->plan->locations[node->inputs[k]].kind;
                if (kind != SN_AT_PARAM && kind != SN_AT_CONSTANT && kind != SN_AT_PREPARE) constant = false;
            }
            if (constant && p->needs[i].packed_only) {
                at->kind = SN_AT_PREPARE;
            } else if (constant) {
                at->kind = SN_AT_CONSTANT;
                at->offset = p->plan->constant_bytes;
                p->plan->constant_bytes += sn_align(sn_node_bytes(node, p->precision), SN_ALIGNMENT);
            }
        }
    }
    for (size_t i = 0; i < g->params_count; i++) {
        sn_id gradient = g->params[i].gradient;
        if (gradient != SN_NONE && !p->needs[gradient].handed_over && p->plan->locations[gradient].kind == SN_AT_ARENA)
            p->plan->locations[gradient] = (sn_location){.kind = SN_AT_GRADIENT, .param = (int32_t)i};
    }
}

static void find_last_uses(planner *p)
{
    const sn_graph *g = p->graph;
    for (size_t i = 0; i < g->nodes_count; i++) {
        p->last_use[i] = (int32_t)i;
        for (int k = 0; k < g->nodes[i].inputs_count; k++)
            if (g->nodes[i].inputs[k] != SN_NONE) p->last_use[g->nodes[i].inputs[k]] = (int32_t)i;
    }
    for (size_t i = 0; i < g->params_count; i++) {
        sn_id gradient = g->params[i].gradient, param = g->params[i].node;
        if (gradient == SN_NONE || !p->needs[gradient].handed_over) continue;
        if (p->last_use[param] > p->last_use[gradient]) p->last_use[gradient] = p->last_use[param];
    }
    for (size_t i = 0; i < g->outputs_count; i++) p->last_use[g->outputs[i].node] = INT32_MAX;
}

/* Nodes with the same group of images run one behind the other for each group; what stays among them is kept for one group. */
static void find_segments(planner *p)
{
    const sn_graph *g = p->graph;
    for (size_t i = 0; i < g->nodes_count; i++) {
        p->segment[i] = i > 0 && p->needs[i].group == p->needs[i - 1].group ? p->segment[i - 1] : (int32_t)i;
        p->crosses[i] = false;
    }
    for (size_t i = 0; i < g->outputs_count; i++) p->crosses[g->outputs[i].node] = true;
    for (size_t i = 0; i < g->nodes_count; i++)
        for (int k = 0; k < g->nodes[i].inputs_count; k++) {
            sn_id input = g->nodes[i].inputs[k];
            if (input != SN_NONE && p->segment[p->needs[input].written_by] != p->segment[i]) p->crosses[input] = true;
        }
}

static bool prepares(const planner *p, sn_id id)
{
    return p->plan->locations[id].kind == SN_AT_PREPARE || p->plan->locations[id].kind == SN_AT_CONSTANT;
}

/* Whether node's step runs once for the whole batch. */
static bool runs_once(const planner *p, sn_id id) { return p->needs[id].group == p->graph->batch || prepares(p, id); }

static size_t kept_bytes(const planner *p, sn_id id)
{
    size_t all = sn_node_bytes(&p->graph->nodes[id], p->precision);
    sn_id writer = p->needs[id].written_by;
    return p->crosses[id] || runs_once(p, writer) ? all : all / (size_t)p->graph->batch * (size_t)p->needs[writer].group;
}

/* A tensor that lives for the whole batch while a segment runs is needed from the segment's start to its end. */
static buffer life_of(const planner *p, sn_id id)
{
    sn_id writer = p->needs[id].written_by;
    buffer life = {.bytes = sn_align(kept_bytes(p, id), SN_ALIGNMENT), .first = writer, .last = p->last_use[id], .prepares = prepares(p, id)};
    if (!p->crosses[id] || life.prepares) return life;
    if (!runs_once(p, writer)) life.first = p->segment[writer];
    if (life.last == INT32_MAX || runs_once(p, life.last)) return life;
    int32_t segment = p->segment[life.last];
    while (life.last + 1 < (int32_t)p->graph->nodes_count && p->segment[life.last + 1] == segment) life.last++;
    return life;
}

/* Whether a tensor's last reader may write over it: it has no group of images that is still to be read, and is not handed over
 * behind that reader. */
static bool dies_at_last_use(const planner *p, sn_id id)
{
    if (p->needs[id].handed_over) return false;
    return !p->crosses[id] || (runs_once(p, p->needs[id].written_by) && runs_once(p, p->last_use[id]));
}

/* The buffer of an input that dies here and may become the output, or -1. */
static int32_t reusable_input(const planner *p, sn_id id)
{
    const sn_node *node = &p->graph->nodes[id];
    uint32_t allowed = sn_op_of(node->op)->in_place;
    for (int k = 0; k < node->inputs_count; k++) {
        sn_id input = node->inputs[k];
        if (!(allowed >> k & 1) || input == SN_NONE || p->buffer_of[input] < 0) continue;
        const sn_node *source = &p->graph->nodes[input];
        /* another node may have taken over the input's memory: the buffer's life counts, not the tensor's */
        if (p->last_use[input] == id && p->buffers[p->buffer_of[input]].last == id && dies_at_last_use(p, input) &&
            (!p->crosses[id] || runs_once(p, id)) && kept_bytes(p, input) == kept_bytes(p, id) &&
            sn_node_bytes(source, p->precision) == sn_node_bytes(node, p->precision))
            return p->buffer_of[input];
    }
    return -1;
}

static void make_buffers(planner *p, int32_t *scratch_of)
{
    for (size_t i = 0; i < p->graph->nodes_count; i++) {
        p->buffer_of[i] = scratch_of[i] = -1;
        if (p->plan->locations[i].kind == SN_AT_ARENA || p->plan->locations[i].kind == SN_AT_PREPARE) {
            int32_t reused = reusable_input(p, (sn_id)i);
            if (reused >= 0) {
                p->buffer_of[i] = reused;
                p->buffers[reused].last = p->last_use[i];
            } else {
                p->buffer_of[i] = (int32_t)p->buffers_count;
                p->buffers[p->buffers_count++] = life_of(p, (sn_id)i);
            }
        }
        if (p->needs[i].scratch_bytes) {
            scratch_of[i] = (int32_t)p->buffers_count;
            p->buffers[p->buffers_count++] = (buffer){.bytes = sn_align(p->needs[i].scratch_bytes, SN_ALIGNMENT),
                                                      .first = (int32_t)i, .last = (int32_t)i,
                                                      .prepares = prepares(p, (sn_id)i)};
        }
    }
}

static _Thread_local const buffer *sort_buffers; /* qsort passes no context */

static int larger_first(const void *a, const void *b)
{
    const buffer *x = &sort_buffers[*(const int32_t *)a], *y = &sort_buffers[*(const int32_t *)b];
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Gives every buffer its offset; `order` and `placed` have room for all. */
static void place_buffers(planner *p, int32_t *order, buffer *placed)
{
    size_t placed_count = 0;
    for (size_t i = 0; i < p->buffers_count; i++) order[i] = (int32_t)i;
    sort_buffers = p->buffers;
    qsort(order, p->buffers_count, sizeof *order, larger_first);
    for (size_t i = 0; i < p->buffers_count; i++) {
        buffer *b = &p->buffers[order[i]];
        size_t at = 0, insert;
        for (size_t k = 0; k < placed_count; k++) { /* placed is sorted by offset */
            const buffer *other = &placed[k];
            if (other->prepares != b->prepares || other->last < b->first || b->last < other->first) continue;
            if (other->offset >= at + b->bytes) break; /* the gap before it fits */
            if (other->offset + other->bytes > at) at = other->offset + other->bytes;
        }
        b->offset = at;
        for (insert = placed_count++; insert > 0 && placed[insert - 1].offset > at; insert--) placed[insert] = placed[insert - 1];
        placed[insert] = *b;
        if (at + b->bytes > p->plan->arena_bytes) p->plan->arena_bytes = at + b->bytes;
    }
}

senet_status sn_plan_create(const sn_graph *graph, sn_precision precision, const sn_node_needs *needs, sn_plan *plan)
{
    senet_status status = SENET_OK;
    size_t n = graph->nodes_count;
    memset(plan, 0, sizeof *plan);
    planner p = {.graph = graph, .needs = needs, .precision = precision, .plan = plan};
    int32_t *work = malloc((6 * n + 1) * sizeof *work);
    p.crosses = malloc(n + 1);
    p.buffers = malloc(2 * (2 * n + 1) * sizeof *p.buffers); /* and a copy of each, in the order of their offsets */
    plan->locations = calloc(n + 1, sizeof *plan->locations);
    plan->scratch_offsets = calloc(n + 1, sizeof *plan->scratch_offsets);
    if (!work || !p.crosses || !p.buffers || !plan->locations || !plan->scratch_offsets) {
        sn_plan_free(plan);
        status = sn_fail_memory(n * sizeof *p.buffers, "the memory plan");
        goto cleanup;
    }
    p.last_use = work;
    p.buffer_of = work + n;
    int32_t *scratch_of = work + 2 * n, *order = work + 3 * n;
    p.segment = work + 5 * n;
    locate(&p);
    find_last_uses(&p);
    find_segments(&p);
    make_buffers(&p, scratch_of);
    place_buffers(&p, order, p.buffers + 2 * n + 1);
    for (size_t i = 0; i < n; i++) {
        if (p.buffer_of[i] >= 0) plan->locations[i].offset = p.buffers[p.buffer_of[i]].offset;
        if (plan->locations[i].kind == SN_AT_INPUT || (plan->locations[i].kind == SN_AT_ARENA && p.crosses[i]))
            plan->locations[i].image_bytes = sn_node_bytes(&graph->nodes[i], precision) / (size_t)graph->batch;
        if (scratch_of[i] >= 0) plan->scratch_offsets[i] = p.buffers[scratch_of[i]].offset;
    }
cleanup:
    free(work);
    free(p.crosses);
    free(p.buffers);
    return status;
}

void sn_plan_free(sn_plan *plan)
{
    free(plan->locations);
    free(plan->scratch_offsets);
    memset(plan, 0, sizeof *plan);
}
