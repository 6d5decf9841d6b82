/* subsample.c - the strided, shifted, zero-extended copy of parameter-free shortcuts, and its gradient: rows of pixels, whole vectors
 * at a time.  Reads what is kept of the larger map, writes the result once.
 */
#include "cpu/kernels/copy.h"

static const char *refuse(const sn_kernel_call *call) { return stored_refusal(call, 1u << 0); }

/* Channels [before, before + inner) of the small map are the large map's `inner` channels. */
typedef struct subsample_run {
    const stored *from;
    stored *to;
    sn_shape large, small;
    int64_t stride, offset, before;
} subsample_run;

/* A task is a row of the result. */
static void subsample_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const subsample_run *run = context;
    sn_shape large = run->large, small = run->small;
    int64_t row = index % small.h * run->stride + run->offset, after = run->before + large.c;
    const stored *from = run->from + (index / small.h * large.h + row) * large.w * large.c;
    stored *to = run->to + index * small.w * small.c;
    bool row_inside = row >= 0 && row < large.h;
    for (int64_t j = 0; j < small.w; j++, to += small.c) {
        int64_t col = j * run->stride + run->offset;
        if (!row_inside || col < 0 || col >= large.w) {
            clear_values(to, small.c);
            continue;
        }
        clear_values(to, run->before);
        copy_values(to + run->before, from + col * large.c, large.c);
        clear_values(to + after, small.c - after);
    }
}

static void subsample_grad_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const subsample_run *run = context;
    sn_shape large = run->large, small = run->small;
    int64_t row = index % large.h - run->offset, small_row = row / run->stride;
    const stored *from = run->from + (index / large.h * small.h + small_row) * small.w * small.c + run->before;
    stored *to = run->to + index * large.w * large.c;
    clear_values(to, large.w * large.c);
    if (row < 0 || row % run->stride != 0 || small_row >= small.h) return;
    for (int64_t j = 0; j < small.w; j++) {
        int64_t col = j * run->stride + run->offset;
        if (col >= 0 && col < large.w) copy_values(to + col * large.c, from + j * small.c, large.c);
    }
}

static void run_subsample(const sn_kernel_call *call)
{
    const sn_subsample_attrs *a = &call->node->attrs.u.subsample;
    bool forward = call->node->op == SN_OP_subsample;
    sn_shape in = call->input_nodes[0]->shape, out = call->node->shape;
    subsample_run run = {.from = call->inputs[0], .to = call->output, .large = forward ? in : out,
                         .small = forward ? out : in, .stride = a->stride, .offset = a->offset, .before = a->channels_before};
    int threads = sn_shape_elements(out) * 4 < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, out.n * out.h, forward ? subsample_task : subsample_grad_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(subsample) = {.name = SN_KERNEL_NAME(subsample), .op = SN_OP_subsample, .storage = SN_STORED, .refuse = refuse,
                                               .run = run_subsample};
const sn_kernel SN_KERNEL_SYMBOL(subsample_grad) = {.name = SN_KERNEL_NAME(subsample_grad), .op = SN_OP_subsample_grad,
                                                    .storage = SN_STORED, .refuse = refuse, .run = run_subsample};
