/* elementwise_q8.c - int8 maps element by element: conversion from and to bf16 and float, sums, the scale of the excitation.
 *
 * With T = N H W C values: convert reads T, add 2 T and scale_add T (2 T with a residual); all write T.  Inputs and output may each
 * be int8, bf16 or float.  Results may lie over an input of the same storage.
 */
#include "base/parallel.h"
#include "cpu/kernels/q8.h"

enum { TASK_VALUES = 65536, GATE_CHANNELS = 512, LINE = 64 };

static const char *refuse_storage(const sn_kernel_call *call)
{
    if (call->precision != SN_FLOAT) return "not single precision";
    if (!map_is_storage(call->node->dtype)) return "output is stored otherwise";
    for (int k = 0; k < call->node->inputs_count; k++)
        if (call->input_nodes[k] && !map_is_storage(call->input_nodes[k]->dtype)) return "an input is stored otherwise";
    return NULL;
}

static const char *refuse_activated(const sn_kernel_call *call)
{
    if (!clamp_is(call->node->attrs.u.activation.kind)) return "an activation that is no clamp";
    if (call->node->op == SN_OP_scale_add) {
        sn_shape gate = call->input_nodes[1]->shape;
        if (gate.h != 1 || gate.w != 1 || call->input_nodes[1]->dtype != SN_REAL) return "not a float vector of gates";
    }
    return refuse_storage(call);
}

/* steps = (x * x_factor + x_constant) (* gate) + r * r_factor + constant */
typedef struct element_run {
    const void *x, *r; /* r: the second summand or NULL */
    const float *gate; /* (N,1,1,C) or NULL */
    void *out;
    sn_dtype x_type, r_type;
    float x_factor, x_constant, r_factor, constant;
    map_end end;
    int64_t pixels, channels; /* of an image; without a gate all values are one pixel's */
    int64_t pixels_each, pieces; /* of a task; tasks an image */
} element_run;

/* Values [at, at + count) without a gate. */
static void compute_values(const element_run *given, int64_t at, int64_t count)
{
    const element_run copy = *given, *run = &copy; /* which the bytes that are stored cannot lie in */
    for (int64_t c = 0; c < count; c += VF) {
        int64_t lanes = count - c;
        vf v = map_load_n(run->x, run->x_type, at + c, lanes) * run->x_factor + run->x_constant;
        vf rest = vf_all(run->constant);
        if (run->r) rest += map_load_n(run->r, run->r_type, at + c, lanes) * run->r_factor;
        v += rest;
        if (lanes >= VF)
            map_store(&run->end, run->end.type, run->out, at + c, v);
        else
            map_store_first(&run->end, run->end.type, run->out, at + c, v, lanes);
    }
}

/* ---- scale_add: steps = x * factor + (r * r_factor + constant), factor and constant by channel ---- */

typedef struct gate_run {
    float factor[GATE_CHANNELS], constant[GATE_CHANNELS]; /* of an image and a range of channels */
    q8_range range;
    float r_factor;
} gate_run;

/* Channels from `c` of the range on. */
SN_INLINE vf gated_steps(const element_run *run, const gate_run *g, int64_t at, int64_t c, int64_t lanes, bool has_r, sn_dtype x_type,
                         sn_dtype r_type)
{
    vf steps = vf_load(g->constant + c);
    if (has_r) steps += map_load_n(run->r, r_type, at + c, lanes) * g->r_factor;
    return map_load_n(run->x, x_type, at + c, lanes) * vf_load(g->factor + c) + steps;
}

SN_INLINE void gate_pixel(const element_run *run, const gate_run *g, int64_t at, int64_t channels, bool has_r, sn_dtype x_type,
                          sn_dtype r_type, sn_dtype out_type)
{
    for (int64_t c = 0; c < channels; c += VF) {
        vf steps = gated_steps(run, g, at, c, channels - c, has_r, x_type, r_type);
        if (channels - c >= VF)
            map_store(&run->end, out_type, run->out, at + c, steps);
        else
            map_store_first(&run->end, out_type, run->out, at + c, steps, channels - c);
    }
}

/* Whole lines of bytes; held: by more than the range of a byte whose 0 stands for 0. */
SN_INLINE void gate_line(const element_run *run, const gate_run *g, int64_t at, int64_t channels, bool has_r, sn_dtype x_type,
                         bool held)
{
#if SN_VECTOR_FLOATS == 16
    for (int64_t c = 0; c < channels; c += LINE) {
        vi q[LINE / VF];
        SN_UNROLL for (int v = 0; v < LINE / VF; v++)
        {
            vf steps = gated_steps(run, g, at, c + v * VF, VF, has_r, x_type, SN_Q8);
            if (held) steps = vf_at_least(steps, g->range.low);
            q[v] = (vi)_mm512_cvtps_epi32((__m512)steps);
            if (held) q[v] += g->range.zero;
        }
        q8_store_bytes((uint8_t *)run->out + at + c, q, LINE / VF);
    }
#else
    (void)held;
    gate_pixel(run, g, at, channels, has_r, x_type, SN_Q8, SN_Q8);
#endif
}

/* The storages of a lowered network have loops of their own. */
SN_INLINE void gate_lines(const element_run *run, const gate_run *g, int64_t at, int64_t pixels, int64_t channels, bool has_r,
                          sn_dtype x_type)
{
    if (g->range.zero[0] != 0)
        for (int64_t p = 0; p < pixels; p++) gate_line(run, g, at + p * run->channels, channels, has_r, x_type, true);
    else
        for (int64_t p = 0; p < pixels; p++) gate_line(run, g, at + p * run->channels, channels, has_r, x_type, false);
}

static SN_NOINLINE void gate_any(const element_run *run, const gate_run *g, int64_t at, int64_t pixels, int64_t channels)
{
    for (int64_t p = 0; p < pixels; p++, at += run->channels)
        gate_pixel(run, g, at, channels, run->r != NULL, run->x_type, run->r_type, run->end.type);
}

/* A range of channels of some pixels. */
static void compute_gated(const element_run *run, int64_t at, int64_t pixels, int64_t channels, const float *gate)
{
    gate_run g = {.range = run->end.range, .r_factor = run->r_factor};
    sn_dtype x = run->x_type;
    for (int64_t c = 0; c < channels; c += VF) {
        vf row = vf_load_n(gate + c, channels - c);
        vf_store(g.factor + c, row * run->x_factor);
        vf_store(g.constant + c, row * run->x_constant + run->constant);
    }
    bool lines = map_end_is_byte(&run->end) && (!run->r || run->r_type == SN_Q8) && channels % LINE == 0;
    if (lines && x == SN_Q8 && run->r)
        gate_lines(run, &g, at, pixels, channels, true, SN_Q8);
    else if (lines && x == SN_Q8)
        gate_lines(run, &g, at, pixels, channels, false, SN_Q8);
    else if (lines && x == SN_BF16 && run->r)
        gate_lines(run, &g, at, pixels, channels, true, SN_BF16);
    else
        gate_any(run, &g, at, pixels, channels);
}

static void element_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const element_run *run = context;
    int64_t image = index / run->pieces, first = index % run->pieces * run->pixels_each;
    int64_t pixels = sn_min64(run->pixels_each, run->pixels - first);
    int64_t at = (image * run->pixels + first) * run->channels;
    if (!run->gate)
        compute_values(run, at, pixels * run->channels);
    for (int64_t c = 0; run->gate && c < run->channels; c += GATE_CHANNELS)
        compute_gated(run, at + c, pixels, sn_min64(GATE_CHANNELS, run->channels - c), run->gate + image * run->channels + c);
}

static void run_elements(const sn_kernel_call *call, element_run *run, const sn_node *r)
{
    sn_shape y = call->node->shape;
    map_scale x = map_scale_of(call->input_nodes[0]);
    run->x = call->inputs[0];
    run->x_type = call->input_nodes[0]->dtype;
    run->out = call->output;
    run->x_factor = x.factor / run->end.step;
    run->x_constant = x.constant / run->end.step;
    if (r) {
        map_scale scale = map_scale_of(r);
        run->r_type = r->dtype;
        run->r_factor = scale.factor / run->end.step;
        run->constant = scale.constant / run->end.step;
    }
    run->pixels = y.h * y.w;
    run->channels = y.c;
    run->pixels_each = sn_max64(1, TASK_VALUES / y.c);
    run->pieces = sn_ceil_div(run->pixels, run->pixels_each);
    sn_parallel_for(sn_shape_elements(y) < SN_SMALL_BYTES ? 1 : call->threads, y.n * run->pieces, element_task, run);
}

static void run_convert(const sn_kernel_call *call)
{
    element_run run = {.end = map_end_of(call->node, SN_IDENTITY)};
    run_elements(call, &run, NULL);
}

static void run_add(const sn_kernel_call *call)
{
    element_run run = {.r = call->inputs[1], .end = map_end_of(call->node, call->node->attrs.u.activation.kind)};
    run_elements(call, &run, call->input_nodes[1]);
}

static void run_scale_add(const sn_kernel_call *call)
{
    const sn_node *r = call->node->inputs_count > 2 ? call->input_nodes[2] : NULL;
    element_run run = {.r = r ? call->inputs[2] : NULL, .gate = call->inputs[1],
                       .end = map_end_of(call->node, call->node->attrs.u.activation.kind)};
    run_elements(call, &run, r);
}

const sn_kernel SN_KERNEL_SYMBOL(convert) = {
    .name = SN_KERNEL_NAME(convert), .op = SN_OP_convert, .storage = SN_Q8, .refuse = refuse_storage, .run = run_convert};
const sn_kernel SN_KERNEL_SYMBOL(add) = {
    .name = SN_KERNEL_NAME(add), .op = SN_OP_add, .storage = SN_Q8, .refuse = refuse_activated, .run = run_add};
const sn_kernel SN_KERNEL_SYMBOL(scale_add) = {
    .name = SN_KERNEL_NAME(scale_add), .op = SN_OP_scale_add, .storage = SN_Q8, .refuse = refuse_activated, .run = run_scale_add};
