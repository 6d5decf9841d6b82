/* pool.c - max, average and adaptive average pooling, forward and backward, a vector of channels at a time.
 *
 * Windows are clipped to the image first (ops/shape.c has the size rules), so that whole windows of the usual 2x2 and 3x3 run
 * without bounds.  Forward, a task is a row of outputs.  Backward spreads each window's gradient over its cells; windows
 * overlap, so a task is one image for a range of channels.
 * Memory: forward reads x once and writes y once; backward adds to dx while it is in the cache.
 */
#include "cpu/kernels/copy.h"
#include "cpu/kernels/maximum.h"

enum { TASKS = 4, FEWEST_CHANNELS = 64 }; /* backward: a few images are cut into pieces of some cache lines a pixel */

/* Whether backward adds to dx where it lies; else in floats of the task, since narrow values would be rounded at every window. */
enum { ADDS_IN_PLACE = sizeof(stored) == sizeof(float) };

static const char *refuse(const sn_kernel_call *call) { return stored_refusal(call, 7u); }

/* ---- windows ---- */

typedef struct pool_plan {
    sn_shape x, y; /* the pooled map and the result */
    bool adaptive, max, count_padding;
    int64_t kernel, stride, pad;
} pool_plan;

/* The cells of window i along an axis of n cells: [begin, end), and how many count for an average. */
typedef struct pool_span {
    int64_t begin, end, counted;
} pool_span;

static pool_span span_of(const pool_plan *p, int64_t i, int64_t n, int64_t windows)
{
    if (p->adaptive) {
        int64_t begin = i * n / windows, end = sn_ceil_div((i + 1) * n, windows);
        return (pool_span){begin, end, end - begin};
    }
    int64_t begin = i * p->stride - p->pad, end = sn_min64(begin + p->kernel, n + p->pad), padded = end - begin;
    begin = sn_max64(begin, 0);
    end = sn_min64(end, n);
    return (pool_span){begin, end, p->count_padding ? padded : end - begin};
}

static pool_plan plan_of(const sn_kernel_call *call)
{
    sn_op_kind op = call->node->op;
    pool_plan p = {.adaptive = op == SN_OP_adaptive_avg || op == SN_OP_adaptive_avg_grad};
    bool forward = op == SN_OP_pool2d || op == SN_OP_adaptive_avg;
    p.x = forward ? call->input_nodes[0]->shape : call->node->shape;
    p.y = forward ? call->node->shape : call->input_nodes[0]->shape;
    if (!p.adaptive) {
        const sn_pool_attrs *a = &call->node->attrs.u.pool;
        p.max = a->kind == SN_POOL_MAX;
        p.count_padding = a->count_padding;
        p.kernel = a->kernel;
        p.stride = a->stride;
        p.pad = a->pad;
    }
    return p;
}

/* ---- forward ---- */

SN_INLINE vf pool_cell(vf total, vf cell, bool max)
{
    if (max) return vf_larger(total, cell);
    return total + cell;
}

/* y = the pooled window whose first cell is at x. */
SN_INLINE void pool_window(const stored *x, ptrdiff_t row, int64_t channels, stored *y, int64_t rows, int64_t cols, bool max,
                           float share)
{
    int64_t c = 0;
    for (; c + SPAN <= channels; c += SPAN) {
        vf total[SPAN_VECTORS], cell[SPAN_VECTORS];
        vs_load_span(x + c, total);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++) {
                if (i == 0 && j == 0) continue;
                vs_load_span(x + i * row + j * channels + c, cell);
                SN_UNROLL for (int v = 0; v < SPAN_VECTORS; v++) total[v] = pool_cell(total[v], cell[v], max);
            }
        if (!max) SN_UNROLL for (int v = 0; v < SPAN_VECTORS; v++) total[v] *= share;
        vs_store_span(y + c, total);
    }
    for (; c < channels; c += VF) {
        int64_t lanes = channels - c;
        vf total = vs_load_n(x + c, lanes);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++)
                if (i != 0 || j != 0) total = pool_cell(total, vs_load_n(x + i * row + j * channels + c, lanes), max);
        if (!max) total *= share;
        vs_store_n(y + c, total, lanes);
    }
}

/* The usual sizes as constants. */
SN_INLINE void pool_any_window(const stored *x, ptrdiff_t row, int64_t channels, stored *y, int64_t rows, int64_t cols, bool max,
                               float share)
{
    if (rows == 3 && cols == 3)
        pool_window(x, row, channels, y, 3, 3, max, share);
    else if (rows == 2 && cols == 2)
        pool_window(x, row, channels, y, 2, 2, max, share);
    else
        pool_window(x, row, channels, y, rows, cols, max, share);
}

typedef struct pool_run {
    pool_plan plan;
    const stored *x, *y, *dy;
    stored *out;
    int64_t channels_each, splits; /* backward */
    float *sums;                   /* backward, unless it adds in place: per worker, some rows of dx */
    int64_t sums_rows;
} pool_run;

static void pool_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const pool_run *run = context;
    const pool_plan *p = &run->plan;
    int64_t channels = p->x.c, row = p->x.w * channels;
    const stored *image = run->x + index / p->y.h * p->x.h * row;
    stored *y = run->out + index * p->y.w * channels;
    pool_span rows = span_of(p, index % p->y.h, p->x.h, p->y.h);
    for (int64_t col = 0; col < p->y.w; col++, y += channels) {
        pool_span cols = span_of(p, col, p->x.w, p->y.w);
        const stored *x = image + rows.begin * row + cols.begin * channels;
        int64_t high = rows.end - rows.begin, wide = cols.end - cols.begin;
        if (p->max)
            pool_any_window(x, row, channels, y, high, wide, true, 1);
        else
            pool_any_window(x, row, channels, y, high, wide, false, 1 / (float)(rows.counted * cols.counted));
    }
}

static void run_pool(const sn_kernel_call *call)
{
    pool_run run = {.plan = plan_of(call), .x = call->inputs[0], .out = call->output};
    int threads = sn_shape_elements(run.plan.x) * 4 < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, run.plan.y.n * run.plan.y.h, pool_task, &run);
}

/* ---- backward ---- */

/* Where one window's gradient goes: pointers to its first cell, and how far the next row and pixel are. */
typedef struct pool_cells {
    const stored *x, *y, *dy;
    float *dx, share;
    ptrdiff_t row, pixel, dx_row, dx_pixel;
    int64_t channels;
} pool_cells;

/* Adds dy to the window's first maximum, or its share to all cells. */
SN_INLINE void spread_window(const pool_cells *w, int64_t rows, int64_t cols, bool max)
{
    for (int64_t c = 0; c < w->channels; c += VF) {
        int64_t lanes = w->channels - c;
        vf change = vs_load_n(w->dy + c, lanes), maximum = {0};
        vi wanted = ~(vi){0};
        if (max)
            maximum = vs_load_n(w->y + c, lanes);
        else
            change *= w->share;
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++) {
                float *dx = w->dx + i * w->dx_row + j * w->dx_pixel + c;
                vf add = change;
                if (max) {
                    vi here = wanted & (vs_load_n(w->x + i * w->row + j * w->pixel + c, lanes) == maximum);
                    wanted &= ~here;
                    add = vf_where(here, change);
                }
                vf_store_n(dx, vf_load_n(dx, lanes) + add, lanes);
            }
    }
}

SN_INLINE void spread_any_window(const pool_cells *w, int64_t rows, int64_t cols, bool max)
{
    if (rows == 3 && cols == 3)
        spread_window(w, 3, 3, max);
    else if (rows == 2 && cols == 2)
        spread_window(w, 2, 2, max);
    else
        spread_window(w, rows, cols, max);
}

/* The rows of dx that windows add to, for a range of channels of an image: in dx itself, or in floats of the task from row `first`
 * on, the first that windows still reach. */
typedef struct open_rows {
    stored *dx;               /* at the image's first pixel */
    float *sums;              /* row `first` */
    ptrdiff_t row, pixel;     /* of dx */
    ptrdiff_t sums_row, sums_pixel;
    int64_t channels, width;  /* pixels of a row */
    int64_t first, cleared;   /* rows before `cleared` are begun */
} open_rows;

/* No window adds to rows before `row` any more: writes their sums, or zeros where no window came. */
static void close_rows(open_rows *o, int64_t row)
{
    if (ADDS_IN_PLACE || row == o->first) return;
    for (int64_t i = o->first; i < row; i++)
        for (int64_t j = 0; j < o->width; j++) {
            stored *to = o->dx + i * o->row + j * o->pixel;
            if (i < o->cleared)
                narrow_values(to, o->sums + (i - o->first) * o->sums_row + j * o->sums_pixel, o->channels);
            else
                clear_values(to, o->channels);
        }
    if (row < o->cleared)
        memmove(o->sums, o->sums + (row - o->first) * o->sums_row, (size_t)((o->cleared - row) * o->sums_row) * sizeof(float));
    o->cleared = sn_max64(o->cleared, row);
    o->first = row;
}

/* Windows now reach the rows before `row`. */
static void begin_rows(open_rows *o, int64_t row)
{
    for (; o->cleared < row; o->cleared++)
        for (int64_t j = 0; j < o->width; j++)
            clear_floats(o->sums + (o->cleared - o->first) * o->sums_row + j * o->sums_pixel, o->channels);
}

static void pool_grad_task(void *context, int64_t index, int worker)
{
    const pool_run *run = context;
    const pool_plan *p = &run->plan;
    int64_t image = index / run->splits, channel = index % run->splits * run->channels_each;
    pool_cells w = {.pixel = p->x.c, .row = p->x.w * p->x.c, .channels = sn_min64(run->channels_each, p->x.c - channel)};
    ptrdiff_t x_image = image * p->x.h * w.row + channel, y_at = image * p->y.h * p->y.w * w.pixel + channel;
    open_rows open = {.dx = run->out + x_image, .row = w.row, .pixel = w.pixel, .channels = w.channels, .width = p->x.w};
    open.sums_pixel = ADDS_IN_PLACE ? w.pixel : run->channels_each;
    open.sums_row = open.sums_pixel * p->x.w;
    open.sums = ADDS_IN_PLACE ? (float *)(void *)open.dx : run->sums + worker * run->sums_rows * open.sums_row;
    w.dx_pixel = open.sums_pixel;
    w.dx_row = open.sums_row;
    for (int64_t i = 0; i < p->y.h; i++) {
        pool_span rows = span_of(p, i, p->x.h, p->y.h);
        close_rows(&open, rows.begin);
        begin_rows(&open, rows.end);
        for (int64_t j = 0; j < p->y.w; j++, y_at += w.pixel) {
            pool_span cols = span_of(p, j, p->x.w, p->y.w);
            w.dx = open.sums + (rows.begin - open.first) * w.dx_row + cols.begin * w.dx_pixel;
            w.dy = run->dy + y_at;
            if (p->max) {
                w.x = run->x + x_image + rows.begin * w.row + cols.begin * w.pixel;
                w.y = run->y + y_at;
                spread_any_window(&w, rows.end - rows.begin, cols.end - cols.begin, true);
            } else {
                w.share = 1 / (float)(rows.counted * cols.counted);
                spread_any_window(&w, rows.end - rows.begin, cols.end - cols.begin, false);
            }
        }
    }
    if (ADDS_IN_PLACE) begin_rows(&open, p->x.h); /* rows that no window reached */
    close_rows(&open, p->x.h);
}

static pool_run grad_run_of(const sn_kernel_call *call)
{
    pool_run run = {.plan = plan_of(call), .dy = call->inputs[0], .out = call->output, .sums = call->scratch};
    sn_shape s = run.plan.x;
    int64_t pieces = sn_max64(1, sn_min64(s.c / FEWEST_CHANNELS, sn_ceil_div(TASKS, s.n)));
    run.channels_each = sn_ceil_div(sn_ceil_div(s.c, pieces), FEWEST_CHANNELS) * FEWEST_CHANNELS;
    run.splits = sn_ceil_div(s.c, run.channels_each);
    for (int64_t i = 0; i < run.plan.y.h; i++) {
        pool_span rows = span_of(&run.plan, i, s.h, run.plan.y.h);
        run.sums_rows = sn_max64(run.sums_rows, rows.end - rows.begin);
    }
    return run;
}

static size_t grad_scratch_bytes(const sn_kernel_call *call)
{
    pool_run run = grad_run_of(call);
    return ADDS_IN_PLACE ? 0 : (size_t)(call->threads * run.sums_rows * run.plan.x.w * run.channels_each) * sizeof(float);
}

static void run_pool_grad(const sn_kernel_call *call)
{
    pool_run run = grad_run_of(call);
    if (run.plan.max) {
        run.x = call->inputs[1];
        run.y = call->inputs[2];
    }
    int threads = sn_shape_elements(run.plan.x) * 4 < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, run.plan.x.n * run.splits, pool_grad_task, &run);
}

#define DEFINE_KERNEL(base, scratch, function)                                                                       \
    const sn_kernel SN_KERNEL_SYMBOL(base) = {.name = SN_KERNEL_NAME(base), .op = SN_OP_##base, .storage = SN_STORED, \
                                              .refuse = refuse, .scratch_bytes = scratch, .run = function}

DEFINE_KERNEL(pool2d, NULL, run_pool);
DEFINE_KERNEL(pool2d_grad, grad_scratch_bytes, run_pool_grad);
DEFINE_KERNEL(adaptive_avg, NULL, run_pool);
DEFINE_KERNEL(adaptive_avg_grad, grad_scratch_bytes, run_pool_grad);
