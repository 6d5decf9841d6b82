/* squeeze_max.c - the squeeze by maximum and its gradient, which goes to the first maximum of each channel in the order of rows.
 * Reads the map once; the gradient reads and writes it once.  A task is a range of channels of an image, a few vectors at a time.
 */
#include "cpu/kernels/maximum.h"
#include "cpu/kernels/stored.h"

enum { TASKS = 16, VECTORS = 4 };

typedef struct max_run {
    const stored *x;
    const float *z, *dz; /* gradient */
    float *out;          /* (N,1,1,C) */
    stored *dx;
    int64_t images, pixels, channels;
    int64_t channels_each, ranges; /* of a task; of an image */
} max_run;

static const char *refuse(const sn_kernel_call *call)
{
    return call->node->op == SN_OP_squeeze_max ? storage_refusal(call, 1u << 0, SN_REAL) : stored_refusal(call, 1u << 1); /* x */
}

static max_run run_of(sn_shape map)
{
    max_run run = {.images = map.n, .pixels = map.h * map.w, .channels = map.c};
    int64_t least = VECTORS * VF, most_ranges = sn_ceil_div(map.c, least);
    run.channels_each = sn_ceil_div(map.c, sn_min64(most_ranges, sn_ceil_div(TASKS, map.n)));
    run.channels_each = sn_ceil_div(run.channels_each, least) * least;
    run.ranges = sn_ceil_div(map.c, run.channels_each);
    return run;
}

static void for_ranges(const sn_kernel_call *call, max_run *run, void (*task)(void *, int64_t, int))
{
    bool small = run->images * run->pixels * run->channels * 4 < SN_SMALL_BYTES;
    sn_parallel_for(small ? 1 : call->threads, run->images * run->ranges, task, run);
}

/* The maxima of `vectors` vectors of channels, `lanes` channels of each. */
SN_INLINE void largest(const max_run *run, const stored *x, float *out, int vectors, int64_t lanes)
{
    vf most[VECTORS];
    SN_UNROLL for (int v = 0; v < vectors; v++) most[v] = vs_load_n(x + v * VF, lanes);
    for (int64_t pixel = 1; pixel < run->pixels; pixel++) {
        x += run->channels;
        SN_UNROLL for (int v = 0; v < vectors; v++) most[v] = vf_larger(most[v], vs_load_n(x + v * VF, lanes));
    }
    SN_UNROLL for (int v = 0; v < vectors; v++) vf_store_n(out + v * VF, most[v], lanes);
}

static void squeeze_max_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const max_run *run = context;
    int64_t image = index / run->ranges, c = index % run->ranges * run->channels_each;
    int64_t end = sn_min64(run->channels, c + run->channels_each);
    const stored *x = run->x + image * run->pixels * run->channels;
    float *out = run->out + image * run->channels;
    for (; c + VECTORS * VF <= end; c += VECTORS * VF) largest(run, x + c, out + c, VECTORS, VF);
    for (; c < end; c += VF) largest(run, x + c, out + c, 1, end - c);
}

static void run_squeeze_max(const sn_kernel_call *call)
{
    max_run run = run_of(call->input_nodes[0]->shape);
    run.x = call->inputs[0];
    run.out = call->output;
    for_ranges(call, &run, squeeze_max_task);
}

/* dx = dz where x is its channel's maximum z for the first time */
SN_INLINE void to_first_maximum(const max_run *run, const stored *x, const float *z, const float *dz, stored *dx, int vectors,
                                int64_t lanes)
{
    vf most[VECTORS], change[VECTORS];
    vi wanted[VECTORS];
    SN_UNROLL for (int v = 0; v < vectors; v++) {
        most[v] = vf_load_n(z + v * VF, lanes);
        change[v] = vf_load_n(dz + v * VF, lanes);
        wanted[v] = ~(vi){0};
    }
    for (int64_t pixel = 0; pixel < run->pixels; pixel++, x += run->channels, dx += run->channels)
        SN_UNROLL for (int v = 0; v < vectors; v++) {
            vi here = wanted[v] & (vs_load_n(x + v * VF, lanes) == most[v]);
            wanted[v] &= ~here;
            vs_store_n(dx + v * VF, vf_where(here, change[v]), lanes);
        }
}

static void squeeze_max_grad_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const max_run *run = context;
    int64_t image = index / run->ranges, c = index % run->ranges * run->channels_each;
    int64_t end = sn_min64(run->channels, c + run->channels_each), map = image * run->pixels * run->channels;
    const float *z = run->z + image * run->channels, *dz = run->dz + image * run->channels;
    for (; c + VECTORS * VF <= end; c += VECTORS * VF)
        to_first_maximum(run, run->x + map + c, z + c, dz + c, run->dx + map + c, VECTORS, VF);
    for (; c < end; c += VF) to_first_maximum(run, run->x + map + c, z + c, dz + c, run->dx + map + c, 1, end - c);
}

static void run_squeeze_max_grad(const sn_kernel_call *call)
{
    max_run run = run_of(call->node->shape);
    run.dz = call->inputs[0];
    run.x = call->inputs[1];
    run.z = call->inputs[2];
    run.dx = call->output;
    for_ranges(call, &run, squeeze_max_grad_task);
}

const sn_kernel SN_KERNEL_SYMBOL(squeeze_max) = {.name = SN_KERNEL_NAME(squeeze_max), .op = SN_OP_squeeze_max, .storage = SN_STORED,
                                                 .refuse = refuse, .run = run_squeeze_max};
const sn_kernel SN_KERNEL_SYMBOL(squeeze_max_grad) = {.name = SN_KERNEL_NAME(squeeze_max_grad), .op = SN_OP_squeeze_max_grad,
                                                      .storage = SN_STORED, .refuse = refuse, .run = run_squeeze_max_grad};
