/* lower_int8.c - the pass to int8 (lower.h).
 *
 * Every use of a map wants it stored in some way: int8 convolutions and what moves int8 values want int8, layers that are kept and ops
 * without an int8 form want real values, a sum or a scale takes what there is.  A node writes what its uses want if it can, else a
 * convert stands between; a map that both kinds of uses read is written in real values and converted; one that nobody
 * wants in particular, such as the branch that waits for its gate, is bf16: its sum with the shortcut is rounded to 8 bits anyway,
 * so the branch had better not be before.
 */
#include <stdlib.h>
#include <string.h>

#include "graph/lower.h"
#include "ops/op.h"

enum { WANTS_INT8 = 1, WANTS_REAL = 2, MOST_TAPS = 121, MOST_PRODUCTS = 65536, MOST_STRIDE = 4, WORD = 4 };

/* Arrays by old node. */
typedef struct lowering {
    const sn_graph *from;
    sn_graph *to;
    const sn_quantization *quantization;
    bool *computed;           /* from an input, not from parameters alone */
    int *wants;               /* of its readers */
    sn_dtype *storage;        /* as it is written */
    sn_id *map, *int8, *real; /* the new node as it is written, and its converted forms or SN_NONE */
} lowering;

/* ---- what can be int8 ---- */

static void find_computed(lowering *l)
{
    for (size_t i = 0; i < l->from->nodes_count; i++) {
        const sn_node *node = &l->from->nodes[i];
        l->computed[i] = node->op == SN_OP_input;
        for (int k = 0; k < node->inputs_count; k++)
            if (node->inputs[k] != SN_NONE && l->computed[node->inputs[k]]) l->computed[i] = true;
    }
}

static bool is_map(const lowering *l, sn_id id)
{
    const sn_node *node = &l->from->nodes[id];
    return l->computed[id] && node->dtype == SN_REAL && node->shape.h * node->shape.w > 1;
}

bool sn_layer_name(const sn_graph *graph, const sn_node *node, char name[SN_LAYER_NAME_BYTES])
{
    if (node->op != SN_OP_conv2d) return false;
    const sn_node *weight = sn_input_of(graph, node, 1);
    while (weight && weight->op != SN_OP_param) weight = weight->inputs_count ? sn_input_of(graph, weight, 0) : NULL;
    if (!weight) return false;
    const char *full = graph->params[weight->attrs.u.param.index].name, *dot = strrchr(full, '.');
    size_t length = dot ? (size_t)(dot - full) : strlen(full);
    if (length >= SN_LAYER_NAME_BYTES) return false;
    memcpy(name, full, length);
    name[length] = '\0';
    return true;
}

/* The shapes that the int8 kernels take; another is computed in real values. */
static bool fits_int8(const lowering *l, const sn_node *node)
{
    const sn_conv_attrs *a = &node->attrs.u.conv;
    const sn_node *x = sn_input_of(l->from, node, 0), *weight = sn_input_of(l->from, node, 1);
    sn_shape w = weight->shape;
    bool gated = node->inputs_count > 4 && node->inputs[4] != SN_NONE;
    if (!is_map(l, node->inputs[0]) || w.n * w.h > MOST_TAPS || w.n * w.h * w.w > MOST_PRODUCTS || a->stride > MOST_STRIDE)
        return false;
    if (a->activation != SN_IDENTITY && a->activation != SN_RELU && a->activation != SN_RELU6) return false;
    if (a->groups == x->shape.c && w.c == a->groups) return w.n == 3 && w.h == 3 && a->stride <= 2; /* depthwise */
    if (gated) return false;
    if (a->groups > 1) return w.w % WORD == 0;
    return x->shape.c % WORD == 0 || (a->pad_left > 0 && a->pad_top > 0);
}

static bool is_int8_layer(const lowering *l, const sn_node *node)
{
    char name[SN_LAYER_NAME_BYTES];
    return fits_int8(l, node) && sn_layer_name(l->from, node, name) && !sn_quantization_keeps(l->quantization, name);
}

/* A sum, or a scale by a vector. */
static bool is_sum(const lowering *l, const sn_node *node)
{
    if (node->op == SN_OP_add) return true;
    return node->op == SN_OP_scale_add && !is_map(l, node->inputs[1]);
}

static bool moves_values(sn_op_kind op)
{
    return op == SN_OP_pool2d || op == SN_OP_subsample || op == SN_OP_channel_shuffle || op == SN_OP_slice;
}

/* Writes int8, bf16 or real values as it is asked. */
static bool writes_any(const lowering *l, sn_id id)
{
    const sn_node *node = &l->from->nodes[id];
    return is_map(l, id) && (is_sum(l, node) || (node->op == SN_OP_conv2d && is_int8_layer(l, node)));
}

/* Writes int8 from int8. */
static bool writes_int8(const lowering *l, sn_id id)
{
    sn_op_kind op = l->from->nodes[id].op;
    return is_map(l, id) && (moves_values(op) || op == SN_OP_concat);
}

/* ---- what readers want ---- */

static int wants_of(const lowering *l, sn_id reader, int k)
{
    const sn_node *node = &l->from->nodes[reader];
    if (node->op == SN_OP_squeeze_avg || node->op == SN_OP_squeeze_max) return 0;
    if (node->op == SN_OP_conv2d && is_int8_layer(l, node)) return k == 0 ? WANTS_INT8 : 0; /* a residual as it is */
    if (is_map(l, reader) && is_sum(l, node)) return 0;
    return writes_int8(l, reader) ? WANTS_INT8 : WANTS_REAL;
}

static void collect_wants(lowering *l)
{
    for (size_t i = 0; i < l->from->nodes_count; i++) {
        const sn_node *node = &l->from->nodes[i];
        for (int k = 0; k < node->inputs_count; k++)
            if (node->inputs[k] != SN_NONE && is_map(l, node->inputs[k])) l->wants[node->inputs[k]] |= wants_of(l, (sn_id)i, k);
    }
    for (size_t i = 0; i < l->from->outputs_count; i++) l->wants[l->from->outputs[i].node] |= WANTS_REAL;
}

/* Kernels of sums take int8, bf16 and float mixed where one of them is int8; else all have to be alike. */
static bool agree(lowering *l, sn_id sum)
{
    const sn_node *node = &l->from->nodes[sum];
    sn_id maps[3] = {sum};
    int count = 1, bf16 = 0, real = 0;
    for (int k = 0; k < node->inputs_count; k++)
        if (node->inputs[k] != SN_NONE && is_map(l, node->inputs[k]) && count < 3) maps[count++] = node->inputs[k];
    for (int k = 0; k < count; k++) {
        if (l->storage[maps[k]] == SN_Q8) return true;
        bf16 += l->storage[maps[k]] == SN_BF16;
        real += l->storage[maps[k]] == SN_REAL;
    }
    if (!bf16 || !real) return true;
    for (int k = 0; k < count; k++) l->storage[maps[k]] = SN_REAL; /* who writes bf16 writes real values as well */
    return false;
}

static void choose_storage(lowering *l)
{
    for (size_t i = 0; i < l->from->nodes_count; i++) {
        sn_id id = (sn_id)i;
        l->storage[i] = l->from->nodes[i].dtype;
        if (writes_int8(l, id)) l->storage[i] = SN_Q8;
        if (writes_any(l, id) && !(l->wants[i] & WANTS_REAL)) l->storage[i] = l->wants[i] & WANTS_INT8 ? SN_Q8 : SN_BF16;
    }
    for (bool settled = false; !settled;) {
        settled = true;
        for (size_t i = 0; i < l->from->nodes_count; i++)
            if (is_map(l, (sn_id)i) && is_sum(l, &l->from->nodes[i]) && !agree(l, (sn_id)i)) settled = false;
    }
}

/* ---- the new graph ---- */

const char *sn_quantized_name(const sn_node *node)
{
    return node->op == SN_OP_input || node->op == SN_OP_normalize ? "input" : node->name ? node->name : "";
}

static senet_status set_range(const lowering *l, const sn_node *old, sn_node *made)
{
    const sn_quant *quant = sn_quantization_find(l->quantization, sn_quantized_name(old));
    if (!quant) return sn_fail(SENET_BAD_DATA, "no int8 range of tensor '%s'", sn_quantized_name(old));
    made->dtype = SN_Q8;
    made->quant = *quant;
    return SENET_OK;
}

static senet_status add_convert(lowering *l, sn_id old, sn_dtype dtype, sn_id *made)
{
    sn_attrs attrs = {.u.convert.dtype = dtype};
    const sn_node *node = &l->from->nodes[old];
    SN_RETURN_IF_FAILED(sn_graph_add(l->to, SN_OP_convert, &l->map[old], 1, &attrs, node->name, made));
    return dtype == SN_Q8 ? set_range(l, node, &l->to->nodes[*made]) : SENET_OK;
}

/* The new node that stands for an old one, in the storage wanted. */
static senet_status take(lowering *l, sn_id old, int wanted, sn_id *id)
{
    *id = l->map[old];
    if (!is_map(l, old)) return SENET_OK;
    if (wanted == WANTS_INT8 && l->storage[old] != SN_Q8) {
        if (l->int8[old] == SN_NONE) SN_RETURN_IF_FAILED(add_convert(l, old, SN_Q8, &l->int8[old]));
        *id = l->int8[old];
    }
    if (wanted == WANTS_REAL && l->storage[old] != SN_REAL) {
        if (l->real[old] == SN_NONE) SN_RETURN_IF_FAILED(add_convert(l, old, SN_REAL, &l->real[old]));
        *id = l->real[old];
    }
    return SENET_OK;
}

static senet_status lower_node(lowering *l, sn_id id)
{
    const sn_node *node = &l->from->nodes[id];
    if (node->op == SN_OP_param) return sn_graph_add_param(l->to, &l->from->params[node->attrs.u.param.index], &l->map[id]);
    sn_id inputs[SN_MAX_INPUTS];
    for (int k = 0; k < node->inputs_count; k++) {
        inputs[k] = SN_NONE;
        if (node->inputs[k] != SN_NONE) SN_RETURN_IF_FAILED(take(l, node->inputs[k], wants_of(l, id, k), &inputs[k]));
    }
    SN_RETURN_IF_FAILED(sn_graph_add(l->to, node->op, inputs, node->inputs_count, &node->attrs, node->name, &l->map[id]));
    sn_node *made = &l->to->nodes[l->map[id]];
    made->dtype = l->storage[id]; /* the shape rules hand on the inputs' type */
    if (made->dtype != SN_Q8) return SENET_OK;
    if (!moves_values(node->op)) return set_range(l, node, made);
    made->quant = l->to->nodes[inputs[0]].quant;
    return SENET_OK;
}

static senet_status lower_graph(lowering *l)
{
    for (size_t i = 0; i < l->from->nodes_count; i++) SN_RETURN_IF_FAILED(lower_node(l, (sn_id)i));
    for (size_t i = 0; i < l->from->outputs_count; i++) {
        sn_id real;
        SN_RETURN_IF_FAILED(take(l, l->from->outputs[i].node, WANTS_REAL, &real));
        SN_RETURN_IF_FAILED(sn_graph_add_output(l->to, l->from->outputs[i].name, real));
    }
    return SENET_OK;
}

/* ---- the pass ---- */

static senet_status begin(lowering *l)
{
    size_t n = l->from->nodes_count + 1;
    l->computed = calloc(n, sizeof *l->computed);
    l->wants = calloc(n, sizeof *l->wants);
    l->storage = calloc(n, sizeof *l->storage);
    l->map = malloc(n * sizeof *l->map);
    l->int8 = malloc(n * sizeof *l->int8);
    l->real = malloc(n * sizeof *l->real);
    if (!l->computed || !l->wants || !l->storage || !l->map || !l->int8 || !l->real)
        return sn_fail_memory(n * sizeof *l->map, "a graph pass");
    for (size_t i = 0; i < n; i++) l->int8[i] = l->real[i] = SN_NONE;
    find_computed(l);
    collect_wants(l);
    choose_storage(l);
    return SENET_OK;
}

static void end(lowering *l)
{
    free(l->computed);
    free(l->wants);
    free(l->storage);
    free(l->map);
    free(l->int8);
    free(l->real);
    sn_graph_destroy(l->to);
}

senet_status sn_graph_lower_int8(const sn_graph *graph, const sn_quantization *quantization, sn_graph **lowered)
{
    lowering l = {.from = graph, .quantization = quantization};
    senet_status status;
    *lowered = NULL;
    if (!quantization) return sn_fail(SENET_USAGE, "int8 needs the ranges of tensors; `senet quantize` makes a file that has them");
    SN_TRY(begin(&l), cleanup);
    SN_TRY(sn_graph_create(graph->batch, &l.to), cleanup);
    SN_TRY(lower_graph(&l), cleanup);
    *lowered = l.to;
    l.to = NULL;
cleanup:
    end(&l);
    return status;
}

senet_status sn_graph_int8_tensors(const sn_graph *graph, bool *ranged, bool *layers)
{
    lowering l = {.from = graph};
    senet_status status = begin(&l);
    for (size_t i = 0; status == SENET_OK && i < graph->nodes_count; i++) {
        const sn_node *node = &graph->nodes[i];
        bool stored = (l.wants[i] & WANTS_INT8) || l.storage[i] == SN_Q8;
        ranged[i] = is_map(&l, (sn_id)i) && stored && !moves_values(node->op);
        layers[i] = node->op == SN_OP_conv2d && is_int8_layer(&l, node);
    }
    end(&l);
    return status;
}
