/* concat.c - ops that move channels within a pixel: concatenation, slices, and the channel shuffle.  Each reads and writes memory
 * once.
 */
#include "cpu/kernels/copy.h"

enum { TASK_BYTES = 128 * 1024 };

static const char *refuse(const sn_kernel_call *call) { return stored_refusal(call, ~0u); }

/* Pixels are moved in tasks of about TASK_BYTES. */
typedef struct move_run {
    const sn_kernel_call *call;
    int64_t pixels, channels, task_pixels;
} move_run;

static void run_moves(const sn_kernel_call *call, void (*task)(void *, int64_t, int))
{
    sn_shape out = call->node->shape;
    move_run run = {.call = call, .pixels = out.n * out.h * out.w, .channels = out.c,
                    .task_pixels = sn_max64(1, TASK_BYTES / (int64_t)sizeof(stored) / out.c)};
    int threads = run.pixels * out.c * (int64_t)sizeof(stored) < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, sn_ceil_div(run.pixels, run.task_pixels), task, &run);
}

/* ---- concatenation and slices: rows of channels ---- */

static void copy_rows(stored *to, int64_t to_step, const stored *from, int64_t from_step, int64_t pixels, int64_t channels)
{
    for (int64_t i = 0; i < pixels; i++) copy_values(to + i * to_step, from + i * from_step, channels);
}

static void concat_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const move_run *run = context;
    int64_t first = index * run->task_pixels, pixels = sn_min64(run->task_pixels, run->pixels - first);
    stored *to = (stored *)run->call->output + first * run->channels;
    for (int i = 0; i < run->call->node->inputs_count; i++) {
        int64_t channels = run->call->input_nodes[i]->shape.c;
        copy_rows(to, run->channels, (const stored *)run->call->inputs[i] + first * channels, channels, pixels, channels);
        to += channels;
    }
}

static void run_concat(const sn_kernel_call *call) { run_moves(call, concat_task); }

static void slice_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const move_run *run = context;
    int64_t first = index * run->task_pixels, from_channels = run->call->input_nodes[0]->shape.c;
    const stored *from = (const stored *)run->call->inputs[0] + first * from_channels + run->call->node->attrs.u.slice.begin;
    copy_rows((stored *)run->call->output + first * run->channels, run->channels, from, from_channels,
              sn_min64(run->task_pixels, run->pixels - first), run->channels);
}

static void run_slice(const sn_kernel_call *call) { run_moves(call, slice_task); }

const sn_kernel SN_KERNEL_SYMBOL(concat) = {.name = SN_KERNEL_NAME(concat), .op = SN_OP_concat, .storage = SN_STORED,
                                            .refuse = refuse, .run = run_concat};
const sn_kernel SN_KERNEL_SYMBOL(slice) = {.name = SN_KERNEL_NAME(slice), .op = SN_OP_slice, .storage = SN_STORED,
                                           .refuse = refuse, .run = run_slice};
