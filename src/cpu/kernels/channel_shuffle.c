/* channel_shuffle.c - the channel shuffle of G groups of n channels: a transposition of a G x n matrix within every pixel, in one
 * pass of whole vectors.
 *
 * With few groups (ShuffleNet: 3) G vectors, one a group, are woven into G vectors of results; with few channels a group (its
 * gradient) G vectors are unpicked.  Either way result a takes lane table[a].lane[l] of the input vector whose mask holds l.
 */
#include "cpu/kernels/stored.h"

enum { MOST_ROWS = 4, TASK_FLOATS = 32768 };

/* v[lane] where the mask holds, else `other`. */
#if SN_VECTOR_FLOATS == 16
typedef __mmask16 lane_mask;
static lane_mask mask_of(vi where) { return _mm512_movepi32_mask((__m512i)where); }
SN_INLINE vf pick(vf other, lane_mask mask, vi lane, vf v)
{
    return (vf)_mm512_mask_permutexvar_ps((__m512)other, mask, (__m512i)lane, (__m512)v);
}
#elif SN_VECTOR_FLOATS == 8
typedef vi lane_mask;
static lane_mask mask_of(vi where) { return where; }
SN_INLINE vf pick(vf other, lane_mask mask, vi lane, vf v)
{
    return (vf)_mm256_blendv_ps((__m256)other, _mm256_permutevar8x32_ps((__m256)v, (__m256i)lane), (__m256)mask);
}
#elif defined(__aarch64__)
typedef vi lane_mask;
static lane_mask mask_of(vi where) { return where; }
SN_INLINE vf pick(vf other, lane_mask mask, vi lane, vf v)
{
    vi bytes = (lane * 0x04040404 + 0x03020100) | ~mask; /* of v; beyond them `other` stays */
    return (vf)vqtbx1q_u8((uint8x16_t)other, (uint8x16_t)v, (uint8x16_t)bytes);
}
#else
typedef vi lane_mask;
static lane_mask mask_of(vi where) { return where; }
SN_INLINE vf pick(vf other, lane_mask mask, vi lane, vf v)
{
    for (int l = 0; l < VF; l++)
        if (mask[l]) other[l] = v[lane[l]];
    return other;
}
#endif

typedef struct weave {
    vi lane;
    lane_mask from[MOST_ROWS];
} weave;

typedef struct shuffle_run {
    const stored *x;
    stored *y;
    int64_t pixels, channels, task_pixels;
    int64_t rows, columns; /* the matrix with rows <= MOST_ROWS */
    bool weaves;           /* rows of x become columns of y; else the other way round */
    weave table[MOST_ROWS];
} shuffle_run;

static void make_table(shuffle_run *run)
{
    int rows = (int)run->rows;
    for (int a = 0; a < rows; a++) {
        int32_t lane[VF], source[VF], where[VF];
        for (int l = 0; l < VF; l++) {
            int woven = a * VF + l; /* woven element `column * rows + row` */
            lane[l] = run->weaves ? woven / rows : (l * rows + a) % VF;
            source[l] = run->weaves ? woven % rows : (l * rows + a) / VF;
        }
        memcpy(&run->table[a].lane, lane, sizeof lane);
        for (int b = 0; b < rows; b++) {
            vi mask;
            for (int l = 0; l < VF; l++) where[l] = source[l] == b ? -1 : 0;
            memcpy(&mask, where, sizeof where);
            run->table[a].from[b] = mask_of(mask);
        }
    }
}

/* Columns [column, column + VF) of the matrices of one pixel, of which `left` >= 1 exist. */
SN_INLINE void shuffle_columns(const shuffle_run *run, const stored *x, stored *y, int64_t column, int64_t left, int rows, bool weaves)
{
    vf in[MOST_ROWS];
    SN_UNROLL for (int b = 0; b < rows; b++) {
        int64_t count = weaves ? left : left * rows - b * VF;
        const stored *from = x + (weaves ? b * run->columns + column : column * rows + b * VF);
        in[b] = count > 0 ? vs_load_n(from, count) : (vf){0};
    }
    SN_UNROLL for (int a = 0; a < rows; a++) {
        vf out = {0};
        SN_UNROLL for (int b = 0; b < rows; b++) out = pick(out, run->table[a].from[b], run->table[a].lane, in[b]);
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
    if (sn_min64(groups, each) < 2 || sn_min64(groups, each) > MOST_ROWS) return "neither 2 to 4 groups nor 2 to 4 channels a group";
    return NULL;
}

static void run(const sn_kernel_call *call)
{
    sn_shape s = call->node->shape;
    int64_t groups = call->node->attrs.u.shuffle.groups, each = s.c / groups;
    shuffle_run run = {.x = call->inputs[0], .y = call->output, .pixels = s.n * s.h * s.w, .channels = s.c,
                       .task_pixels = sn_max64(1, TASK_FLOATS / s.c), .rows = sn_min64(groups, each),
                       .columns = sn_max64(groups, each), .weaves = groups <= each};
    make_table(&run);
    int threads = run.pixels * s.c * 4 < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, sn_ceil_div(run.pixels, run.task_pixels), shuffle_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(channel_shuffle) = {.name = SN_KERNEL_NAME(channel_shuffle), .op = SN_OP_channel_shuffle,
                                                     .storage = SN_STORED, .refuse = refuse, .run = run};
