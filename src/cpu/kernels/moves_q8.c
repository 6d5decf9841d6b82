/* moves_q8.c - ops that move int8 values: concatenation, slices, strided copies, the channel shuffle.
 *
 * Values keep their bytes; only a concatenation may read other scales than it writes, and then rounds anew.
 */
#include "base/parallel.h"
#include "cpu/kernels/q8.h"

enum { TASK_BYTES = 128 * 1024 };

static bool same_quant(sn_quant a, sn_quant b) { return a.scale == b.scale && a.zero == b.zero; }

static const char *refuse_storage(const sn_kernel_call *call)
{
    if (call->precision != SN_FLOAT) return "not single precision";
    if (call->node->dtype != SN_Q8) return "output is stored otherwise";
    for (int k = 0; k < call->node->inputs_count; k++)
        if (call->input_nodes[k]->dtype != SN_Q8) return "an input is stored otherwise";
    return NULL;
}

static const char *refuse_scales(const sn_kernel_call *call)
{
    const char *why = refuse_storage(call);
    if (why) return why;
    return same_quant(call->input_nodes[0]->quant, call->node->quant) ? NULL : "input and output differ in scale";
}

/* Tasks are ranges of pixels of the output. */
typedef struct move_run {
    const sn_kernel_call *call;
    int64_t pixels, each;
} move_run;

static void run_moves(const sn_kernel_call *call, void (*task)(void *context, int64_t index, int worker))
{
    sn_shape out = call->node->shape;
    move_run run = {.call = call, .pixels = out.n * out.h * out.w, .each = sn_max64(1, TASK_BYTES / out.c)};
    int threads = sn_shape_elements(out) < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, sn_ceil_div(run.pixels, run.each), task, &run);
}

static void copy_rows(uint8_t *to, int64_t to_step, const uint8_t *from, int64_t from_step, int64_t pixels, int64_t channels)
{
    for (int64_t i = 0; i < pixels; i++) memcpy(to + i * to_step, from + i * from_step, (size_t)channels);
}

/* The same with other scales. */
static void rescale_rows(uint8_t *to, int64_t to_step, sn_quant to_quant, const uint8_t *from, int64_t from_step, sn_quant from_quant,
                         int64_t pixels, int64_t channels)
{
    q8_range range = q8_range_of(to_quant, SN_IDENTITY);
    float factor = from_quant.scale / to_quant.scale;
    for (int64_t i = 0; i < pixels; i++)
        for (int64_t c = 0; c < channels; c += VF) {
            vi q = q8_integers_n(from + i * from_step + c, channels - c) - from_quant.zero;
            vb made = q8_bytes(&range, q8_hold(&range, __builtin_convertvector(q, vf) * factor));
            vb_store_first(to + i * to_step + c, made, sn_min64(VF, channels - c));
        }
}

static void concat_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const move_run *run = context;
    const sn_node *y = run->call->node;
    int64_t first = index * run->each, pixels = sn_min64(run->each, run->pixels - first), width = y->shape.c;
    uint8_t *to = (uint8_t *)run->call->output + first * width;
    for (int k = 0; k < y->inputs_count; k++) {
        const sn_node *x = run->call->input_nodes[k];
        int64_t channels = x->shape.c;
        const uint8_t *from = (const uint8_t *)run->call->inputs[k] + first * channels;
        if (same_quant(x->quant, y->quant))
            copy_rows(to, width, from, channels, pixels, channels);
        else
            rescale_rows(to, width, y->quant, from, channels, x->quant, pixels, channels);
        to += channels;
    }
}

static void slice_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const move_run *run = context;
    int64_t first = index * run->each, from_width = run->call->input_nodes[0]->shape.c, width = run->call->node->shape.c;
    const uint8_t *from = (const uint8_t *)run->call->inputs[0] + first * from_width + run->call->node->attrs.u.slice.begin;
    copy_rows((uint8_t *)run->call->output + first * width, width, from, from_width, sn_min64(run->each, run->pixels - first), width);
}

static void shuffle_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const move_run *run = context;
    int64_t groups = run->call->node->attrs.u.shuffle.groups, channels = run->call->node->shape.c, each = channels / groups;
    int64_t first = index * run->each, pixels = sn_min64(run->each, run->pixels - first);
    const uint8_t *from = (const uint8_t *)run->call->inputs[0] + first * channels;
    uint8_t *to = (uint8_t *)run->call->output + first * channels;
    for (int64_t p = 0; p < pixels; p++, from += channels, to += channels)
        for (int64_t g = 0; g < groups; g++)
            for (int64_t j = 0; j < each; j++) to[j * groups + g] = from[g * each + j];
}

/* Zeros that are added have the byte that stands for 0. */
static void subsample_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const move_run *run = context;
    const sn_subsample_attrs *a = &run->call->node->attrs.u.subsample;
    sn_shape in = run->call->input_nodes[0]->shape, out = run->call->node->shape;
    int zero = run->call->node->quant.zero;
    int64_t end = sn_min64((index + 1) * run->each, run->pixels);
    for (int64_t p = index * run->each; p < end; p++) {
        int64_t row = p / out.w % out.h * a->stride + a->offset, col = p % out.w * a->stride + a->offset;
        int64_t image = p / (out.w * out.h), after = a->channels_before + in.c;
        uint8_t *to = (uint8_t *)run->call->output + p * out.c;
        if (row < 0 || row >= in.h || col < 0 || col >= in.w) {
            memset(to, zero, (size_t)out.c);
            continue;
        }
        memset(to, zero, (size_t)a->channels_before);
        memcpy(to + a->channels_before, (const uint8_t *)run->call->inputs[0] + ((image * in.h + row) * in.w + col) * in.c, (size_t)in.c);
        memset(to + after, zero, (size_t)(out.c - after));
    }
}

static void run_concat(const sn_kernel_call *call) { run_moves(call, concat_task); }
static void run_slice(const sn_kernel_call *call) { run_moves(call, slice_task); }
static void run_channel_shuffle(const sn_kernel_call *call) { run_moves(call, shuffle_task); }
static void run_subsample(const sn_kernel_call *call) { run_moves(call, subsample_task); }

#define DEFINE_KERNEL(base, refusal)                                                                                 \
    const sn_kernel SN_KERNEL_SYMBOL(base) = {                                                                       \
        .name = SN_KERNEL_NAME(base), .op = SN_OP_##base, .storage = SN_Q8, .refuse = refusal, .run = run_##base}

DEFINE_KERNEL(concat, refuse_storage);
DEFINE_KERNEL(slice, refuse_scales);
DEFINE_KERNEL(channel_shuffle, refuse_scales);
DEFINE_KERNEL(subsample, refuse_scales);
