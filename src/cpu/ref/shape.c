/* shape.c - pooling, and the ops that only move values: subsample, concatenation, channel shuffle, slices.
 *
 * Pooling windows start at o * stride - pad and may hang over the padded image at the bottom and right (Caffe's size
 * rule); what lies outside is never looked at.  The size of the output is the shape rule's business (ops/shape.c). */
#ifndef REF

#include "cpu/ref/loops.h"

/* The cells of a pooling window: rows [top, bottom), columns [left, right) inside the image, and the average's divisor.
 */
typedef struct pool_window {
    int64_t top, left, bottom, right, divisor;
} pool_window;

static pool_window pool_window_of(const sn_pool_attrs *a, sn_shape x, int64_t oy, int64_t ox)
{
    int64_t top = oy * a->stride - a->pad, left = ox * a->stride - a->pad;
    int64_t bottom = top + a->kernel, right = left + a->kernel;
    if (bottom > x.h + a->pad) bottom = x.h + a->pad;
    if (right > x.w + a->pad) right = x.w + a->pad;
    int64_t padded = (bottom - top) * (right - left);
    if (top < 0) top = 0;
    if (left < 0) left = 0;
    if (bottom > x.h) bottom = x.h;
    if (right > x.w) right = x.w;
    return (pool_window){top, left, bottom, right, a->count_padding ? padded : (bottom - top) * (right - left)};
}

/* Cell i of `cells` over n rows of an adaptive average: rows [begin, end), at least one. */
typedef struct cell_rows {
    int64_t begin, end;
} cell_rows;

static cell_rows cell_rows_of(int64_t i, int64_t cells, int64_t n)
{
    return (cell_rows){i * n / cells, ((i + 1) * n + cells - 1) / cells};
}

#define REF_BODY "cpu/ref/shape.c"
#include "cpu/ref/typed.h"

#else

/* ---- pooling; forward, an item is an output pixel ---- */

static void REF(pool2d_pixels)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    const sn_pool_attrs *a = &call->node->attrs.u.pool;
    sn_shape s = call->input_nodes[0]->shape, out = call->node->shape;
    for (int64_t p = begin; p < end; p++) {
        pool_window w = pool_window_of(a, s, p / out.w % out.h, p % out.w);
        const real *image = (const real *)call->inputs[0] + p / (out.h * out.w) * s.h * s.w * s.c;
        real *y = (real *)call->output + p * s.c;
        for (int64_t c = 0; c < s.c; c++) y[c] = a->kind == SN_POOL_MAX ? -(real)INFINITY : 0;
        for (int64_t i = w.top; i < w.bottom; i++)
            for (int64_t j = w.left; j < w.right; j++) {
                const real *x = image + (i * s.w + j) * s.c;
                if (a->kind == SN_POOL_MAX) /* NaN wins, so that a diverged run shows */
                    for (int64_t c = 0; c < s.c; c++) y[c] = x[c] > y[c] || x[c] != x[c] ? x[c] : y[c];
                else
                    for (int64_t c = 0; c < s.c; c++) y[c] += x[c];
            }
        if (a->kind == SN_POOL_AVG)
            for (int64_t c = 0; c < s.c; c++) y[c] /= (real)w.divisor;
    }
}

static void REF(pool2d)(const sn_kernel_call *call)
{
    const sn_pool_attrs *a = &call->node->attrs.u.pool;
    sn_ref_for(call, sn_ref_pixels(call->node->shape), call->node->shape.c * a->kernel * a->kernel, REF(pool2d_pixels));
}

REF_KERNEL(pool2d, .run = REF(pool2d));

/* Spreads one window's dy: max to its first maximum, average to all cells. */
static void REF(pool2d_spread)(const sn_pool_attrs *a, const pool_window *w, sn_shape s, const real *dy, const real *x,
                               const real *y, real *dx)
{
    for (int64_t c = 0; c < s.c; c++) {
        bool found = false;
        for (int64_t i = w->top; i < w->bottom && !found; i++)
            for (int64_t j = w->left; j < w->right && !found; j++) {
                int64_t cell = (i * s.w + j) * s.c + c;
                if (a->kind == SN_POOL_AVG)
                    dx[cell] += dy[c] / (real)w->divisor;
                else if (x[cell] == y[c]) {
                    dx[cell] += dy[c];
                    found = true;
                }
            }
    }
}

/* Backward, an item is an image: windows overlap. */
static void REF(pool2d_grad_images)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    const sn_pool_attrs *a = &call->node->attrs.u.pool;
    sn_shape s = call->node->shape, out = call->input_nodes[0]->shape;
    int64_t elements = s.h * s.w * s.c;
    for (int64_t n = begin; n < end; n++) {
        const real *x = (const real *)call->inputs[1] + n * elements;
        real *dx = (real *)call->output + n * elements;
        memset(dx, 0, (size_t)elements * sizeof *dx);
        for (int64_t oy = 0; oy < out.h; oy++)
            for (int64_t ox = 0; ox < out.w; ox++) {
                int64_t at = ((n * out.h + oy) * out.w + ox) * s.c;
                pool_window w = pool_window_of(a, s, oy, ox);
                REF(pool2d_spread)
                (a, &w, s, (const real *)call->inputs[0] + at, x, (const real *)call->inputs[2] + at, dx);
            }
    }
}

static void REF(pool2d_grad)(const sn_kernel_call *call)
{
    sn_shape s = call->node->shape;
    sn_ref_for(call, s.n, s.h * s.w * s.c, REF(pool2d_grad_images));
}

REF_KERNEL(pool2d_grad, .run = REF(pool2d_grad));

/* ---- adaptive average; forward, an item is an output pixel ---- */

static void REF(adaptive_avg_pixels)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_shape s = call->input_nodes[0]->shape, out = call->node->shape;
    for (int64_t p = begin; p < end; p++) {
        cell_rows rows = cell_rows_of(p / out.w % out.h, out.h, s.h), columns = cell_rows_of(p % out.w, out.w, s.w);
        const real *image = (const real *)call->inputs[0] + p / (out.h * out.w) * s.h * s.w * s.c;
        real *y = (real *)call->output + p * s.c,
             cells = (real)((rows.end - rows.begin) * (columns.end - columns.begin));
        for (int64_t c = 0; c < s.c; c++) y[c] = 0;
        for (int64_t i = rows.begin; i < rows.end; i++)
            for (int64_t j = columns.begin; j < columns.end; j++)
                for (int64_t c = 0; c < s.c; c++) y[c] += image[(i * s.w + j) * s.c + c];
        for (int64_t c = 0; c < s.c; c++) y[c] /= cells;
    }
}

static void REF(adaptive_avg)(const sn_kernel_call *call)
{
    sn_shape s = call->input_nodes[0]->shape, out = call->node->shape;
    int64_t cells = (s.h / out.h + 2) * (s.w / out.w + 2);
    sn_ref_for(call, sn_ref_pixels(out), out.c * cells, REF(adaptive_avg_pixels));
}

REF_KERNEL(adaptive_avg, .run = REF(adaptive_avg));

/* Backward, an item is an image: cells overlap. */
static void REF(adaptive_avg_grad_images)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_shape s = call->node->shape, out = call->input_nodes[0]->shape;
    int64_t elements = s.h * s.w * s.c;
    memset((real *)call->output + begin * elements, 0, (size_t)((end - begin) * elements) * sizeof(real));
    for (int64_t p = begin * out.h * out.w; p < end * out.h * out.w; p++) {
        cell_rows rows = cell_rows_of(p / out.w % out.h, out.h, s.h), columns = cell_rows_of(p % out.w, out.w, s.w);
        real *image = (real *)call->output + p / (out.h * out.w) * elements;
        const real *dy = (const real *)call->inputs[0] + p * s.c;
        real cells = (real)((rows.end - rows.begin) * (columns.end - columns.begin));
        for (int64_t i = rows.begin; i < rows.end; i++)
            for (int64_t j = columns.begin; j < columns.end; j++)
                for (int64_t c = 0; c < s.c; c++) image[(i * s.w + j) * s.c + c] += dy[c] / cells;
    }
}

static void REF(adaptive_avg_grad)(const sn_kernel_call *call)
{
    sn_shape s = call->node->shape;
    sn_ref_for(call, s.n, s.h * s.w * s.c, REF(adaptive_avg_grad_images));
}

REF_KERNEL(adaptive_avg_grad, .run = REF(adaptive_avg_grad));

/* ---- subsample; an item is a pixel of the result ---- */

static void REF(subsample_pixels)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    const sn_subsample_attrs *a = &call->node->attrs.u.subsample;
    sn_shape s = call->input_nodes[0]->shape, out = call->node->shape;
    for (int64_t p = begin; p < end; p++) {
        int64_t n = p / (out.h * out.w), iy = p / out.w % out.h * a->stride + a->offset,
                ix = p % out.w * a->stride + a->offset;
        real *y = (real *)call->output + p * out.c;
        memset(y, 0, (size_t)out.c * sizeof *y);
        if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w) continue;
        const real *x = (const real *)call->inputs[0] + ((n * s.h + iy) * s.w + ix) * s.c;
        memcpy(y + a->channels_before, x, (size_t)s.c * sizeof *y);
    }
}

static void REF(subsample)(const sn_kernel_call *call)
{
    sn_ref_for(call, sn_ref_pixels(call->node->shape), call->node->shape.c, REF(subsample_pixels));
}

REF_KERNEL(subsample, .run = REF(subsample));

static void REF(subsample_grad_pixels)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    const sn_subsample_attrs *a = &call->node->attrs.u.subsample;
    sn_shape s = call->node->shape, out = call->input_nodes[0]->shape;
    for (int64_t p = begin; p < end; p++) {
        int64_t n = p / (s.h * s.w), y = p / s.w % s.h - a->offset, x = p % s.w - a->offset;
        int64_t oy = y / a->stride, ox = x / a->stride;
        real *dx = (real *)call->output + p * s.c;
        if (y < 0 || x < 0 || y % a->stride != 0 || x % a->stride != 0 || oy >= out.h || ox >= out.w)
            memset(dx, 0, (size_t)s.c * sizeof *dx);
        else
            memcpy(dx, (const real *)call->inputs[0] + ((n * out.h + oy) * out.w + ox) * out.c + a->channels_before,
                   (size_t)s.c * sizeof *dx);
    }
}

static void REF(subsample_grad)(const sn_kernel_call *call)
{
    sn_ref_for(call, sn_ref_pixels(call->node->shape), call->node->shape.c, REF(subsample_grad_pixels));
}

REF_KERNEL(subsample_grad, .run = REF(subsample_grad));

/* ---- concatenation, shuffling and slices of channels ---- */

static void REF(concat_pixels)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    real *y = (real *)call->output + begin * call->node->shape.c;
    for (int64_t p = begin; p < end; p++)
        for (int i = 0; i < call->node->inputs_count; i++) {
            int64_t channels = call->input_nodes[i]->shape.c;
            memcpy(y, (const real *)call->inputs[i] + p * channels, (size_t)channels * sizeof *y);
            y += channels;
        }
}

static void REF(concat)(const sn_kernel_call *call)
{
    sn_ref_for(call, sn_ref_pixels(call->node->shape), call->node->shape.c, REF(concat_pixels));
}

REF_KERNEL(concat, .run = REF(concat));

static void REF(channel_shuffle_pixels)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    int64_t channels = call->node->shape.c, groups = call->node->attrs.u.shuffle.groups, each = channels / groups;
    for (int64_t p = begin; p < end; p++) {
        const real *x = (const real *)call->inputs[0] + p * channels;
        real *y = (real *)call->output + p * channels;
        for (int64_t j = 0; j < each; j++)
            for (int64_t i = 0; i < groups; i++) y[j * groups + i] = x[i * each + j];
    }
}

static void REF(channel_shuffle)(const sn_kernel_call *call)
{
    sn_ref_for(call, sn_ref_pixels(call->node->shape), call->node->shape.c, REF(channel_shuffle_pixels));
}

REF_KERNEL(channel_shuffle, .run = REF(channel_shuffle));

static void REF(slice_pixels)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    int64_t channels = call->node->shape.c, in = call->input_nodes[0]->shape.c;
    const real *x = (const real *)call->inputs[0] + call->node->attrs.u.slice.begin;
    for (int64_t p = begin; p < end; p++)
        memcpy((real *)call->output + p * channels, x + p * in, (size_t)channels * sizeof *x);
}

static void REF(slice)(const sn_kernel_call *call)
{
    sn_ref_for(call, sn_ref_pixels(call->node->shape), call->node->shape.c, REF(slice_pixels));
}

REF_KERNEL(slice, .run = REF(slice));

static void REF(row)(const sn_kernel_call *call)
{
    int64_t channels = call->node->shape.c;
    const real *x = call->inputs[0];
    memcpy(call->output, x + call->node->attrs.u.slice.begin * channels, (size_t)channels * sizeof *x);
}

REF_KERNEL(row, .run = REF(row));

#endif
