/* channel_shuffle.c - the channel shuffle of G groups of n channels: a transposition of a G x n matrix within every pixel, in one
 * pass of whole vectors.
 *
 * With few groups (ShuffleNet: 3) G vectors, one a group, are woven into G vectors of results; with few channels a group (its
 * gradient) G vectors are unpicked.
 */
#include "cpu/kernels/weave.h"

enum { TASK_FLOATS = 32768 };

typedef struct shuffle_run {
    const stored *x;
    stored *y;
    int64_t pixels, channels, task_pixels;
    int64_t rows, columns; /* the matrix with rows <= WEAVE_ROWS */
    bool weaves;           /* rows of x become columns of y; else the other way round */
    weave table[WEAVE_ROWS];
} shuffle_run;

/* Columns [column, column + VF) of the matrices of one pixel, of which `left` >= 1 exist. */
SN_INLINE void shuffle_columns(const shuffle_run *run, const stored *x, stored *y, int64_t column, int64_t left, int rows, bool weaves)
{
    vf in[WEAVE_ROWS];
    SN_UNROLL for (int b = 0; b < rows; b++) {
        int64_t count = weaves ? left : left * rows - b * VF;
        const stored *from = x + (weaves ? b * run->columns + column : column * rows + b * VF);
        in[b] = count > 0 ? vs_load_n(from, count) : (vf){0};
    }
    SN_UNROLL for (int a = 0; a < rows; a++) {
        vf out = weave_vectors(run->table, in, rows, a);
        int64_t count = weaves ? left * rows - a * VF : left;
        if (count > 0) vs_store_n(y + (weaves ? column * rows + a * VF : a * run->columns + column), out, count);
    }
}

SN_INLINE void shuffle_pixels(const shuffle_run *run, int64_t first, int64_t last, int rows, bool weaves)
{
    for (int64_t p = first; p < last; p++)
        for (int64_t column = 0; column < run->columns; column += VF)
            shuffle_columns(run, run->x + p * run->channels, run->y + p * run->channels, column, run->columns - column, rows, weaves);
}

static void shuffle_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const shuffle_run *run = context;
    int64_t first = index * run->task_pixels, last = sn_min64(run->pixels, first + run->task_pixels);
    switch (2 * run->rows + run->weaves) {
    case 4: shuffle_pixels(run, first, last, 2, false); break;
    case 5: shuffle_pixels(run, first, last, 2, true); break;
    case 6: shuffle_pixels(run, first, last, 3, false); break;
    case 7: shuffle_pixels(run, first, last, 3, true); break;
    case 8: shuffle_pixels(run, first, last, 4, false); break;
    case 9: shuffle_pixels(run, first, last, 4, true); break;
    }
}

static const char *refuse(const sn_kernel_call *call)
{
    int64_t groups = call->node->attrs.u.shuffle.groups, each = call->node->shape.c / groups;
    const char *otherwise = stored_refusal(call, 1u << 0);
    if (otherwise) return otherwise;
    if (sn_min64(groups, each) < 2 || sn_min64(groups, each) > WEAVE_ROWS) return "neither 2 to 4 groups nor 2 to 4 channels a group";
    return NULL;
}

static void run(const sn_kernel_call *call)
{
    sn_shape s = call->node->shape;
    int64_t groups = call->node->attrs.u.shuffle.groups, each = s.c / groups;
    shuffle_run run = {.x = call->inputs[0], .y = call->output, .pixels = s.n * s.h * s.w, .channels = s.c,
                       .task_pixels = sn_max64(1, TASK_FLOATS / s.c), .rows = sn_min64(groups, each),
                       .columns = sn_max64(groups, each), .weaves = groups <= each};
    weave_table(run.table, (int)run.rows, run.weaves);
    int threads = run.pixels * s.c * 4 < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, sn_ceil_div(run.pixels, run.task_pixels), shuffle_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(channel_shuffle) = {.name = SN_KERNEL_NAME(channel_shuffle), .op = SN_OP_channel_shuffle,
                                                     .storage = SN_STORED, .refuse = refuse, .run = run};
