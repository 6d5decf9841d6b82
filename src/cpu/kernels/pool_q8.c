/* pool_q8.c - pooling and the squeeze of int8 maps: maxima are those of the bytes, averages whole sums, divided once.
 *
 * pool2d writes the scale and zero that it reads (a graph in which they differ takes the plain kernel); squeezes write floats.
 */
#include "base/parallel.h"
#include "cpu/kernels/q8.h"

enum { BYTES = 4 * VF /* of a whole register */, SQUEEZE_CHANNELS = 256 /* of a task */ };
typedef uint8_t vw __attribute__((vector_size(4 * SN_VECTOR_FLOATS), aligned(1), may_alias));

SN_INLINE vw vw_max(vw a, vw b)
{
#if SN_VECTOR_FLOATS == 16
    return (vw)_mm512_max_epu8((__m512i)a, (__m512i)b);
#elif SN_VECTOR_FLOATS == 8
    return (vw)_mm256_max_epu8((__m256i)a, (__m256i)b);
#else
    vw larger = (vw)(a > b);
    return (a & larger) | (b & ~larger);
#endif
}

/* ---- pool2d ---- */

static const char *refuse_pool(const sn_kernel_call *call)
{
    const sn_node *x = call->input_nodes[0], *y = call->node;
    if (call->precision != SN_FLOAT) return "not single precision";
    if (x->dtype != SN_Q8 || y->dtype != SN_Q8) return "stored otherwise";
    if (x->quant.scale != y->quant.scale || x->quant.zero != y->quant.zero) return "input and output differ in scale";
    return NULL;
}

/* The cells of a window inside the image, and the divisor of an average. */
typedef struct window {
    int64_t top, left, bottom, right, divisor;
} window;

static window window_of(const sn_pool_attrs *a, sn_shape in, int64_t row, int64_t col)
{
    int64_t top = row * a->stride - a->pad, left = col * a->stride - a->pad;
    int64_t bottom = sn_min64(top + a->kernel, in.h + a->pad), right = sn_min64(left + a->kernel, in.w + a->pad);
    window w = {.top = sn_max64(top, 0), .left = sn_max64(left, 0), .bottom = sn_min64(bottom, in.h), .right = sn_min64(right, in.w)};
    w.divisor = a->count_padding ? (bottom - top) * (right - left) : (w.bottom - w.top) * (w.right - w.left);
    return w;
}

static void max_window(const uint8_t *image, sn_shape in, const window *w, uint8_t *y)
{
    for (int64_t c = 0; c < in.c; c += BYTES) {
        int64_t bytes = in.c - c;
        vw most = {0};
        for (int64_t i = w->top; i < w->bottom; i++)
            for (int64_t j = w->left; j < w->right; j++) {
                const uint8_t *x = image + (i * in.w + j) * in.c + c;
                vw v = {0};
                if (bytes >= BYTES)
                    v = *(const vw *)x;
                else
                    memcpy(&v, x, (size_t)bytes);
                most = vw_max(most, v);
            }
        if (bytes >= BYTES)
            *(vw *)(y + c) = most;
        else
            memcpy(y + c, &most, (size_t)bytes);
    }
}

static void average_window(const uint8_t *image, sn_shape in, const window *w, const q8_range *range, uint8_t *y)
{
    vi zeros = range->zero * (int32_t)((w->bottom - w->top) * (w->right - w->left));
    vf divisor = vf_all((float)w->divisor);
    for (int64_t c = 0; c < in.c; c += VF) {
        int64_t lanes = in.c - c;
        vi sum = {0};
        for (int64_t i = w->top; i < w->bottom; i++)
            for (int64_t j = w->left; j < w->right; j++) sum += q8_integers_n(image + (i * in.w + j) * in.c + c, lanes);
        vb q = q8_bytes(range, q8_hold(range, __builtin_convertvector(sum - zeros, vf) / divisor));
        if (lanes >= VF)
            *(vb *)(y + c) = q;
        else
            vb_store_first(y + c, q, lanes);
    }
}

/* A task is a row of the output. */
static void pool_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const sn_kernel_call *call = context;
    const sn_pool_attrs *a = &call->node->attrs.u.pool;
    sn_shape in = call->input_nodes[0]->shape, out = call->node->shape;
    q8_range range = q8_range_of(call->node->quant, SN_IDENTITY);
    const uint8_t *image = (const uint8_t *)call->inputs[0] + index / out.h * in.h * in.w * in.c;
    uint8_t *y = (uint8_t *)call->output + index * out.w * out.c;
    for (int64_t col = 0; col < out.w; col++, y += out.c) {
        window w = window_of(a, in, index % out.h, col);
        if (a->kind == SN_POOL_MAX)
            max_window(image, in, &w, y);
        else
            average_window(image, in, &w, &range, y);
    }
}

static void run_pool(const sn_kernel_call *call)
{
    sn_shape out = call->node->shape;
    int threads = sn_shape_elements(out) < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, out.n * out.h, pool_task, (void *)(uintptr_t)call);
}

/* ---- the squeeze ---- */

static const char *refuse_squeeze(const sn_kernel_call *call)
{
    sn_shape in = call->input_nodes[0]->shape;
    if (call->precision != SN_FLOAT) return "not single precision";
    if (call->input_nodes[0]->dtype != SN_Q8 || call->node->dtype != SN_REAL) return "stored otherwise";
    if (in.h * in.w > 1 << 23) return "a sum that may not fit into 31 bits";
    return NULL;
}

/* A task is a range of an image's channels. */
SN_INLINE void squeeze_task(const sn_kernel_call *call, int64_t index, bool average)
{
    sn_shape in = call->input_nodes[0]->shape;
    sn_quant quant = call->input_nodes[0]->quant;
    int64_t ranges = sn_ceil_div(in.c, SQUEEZE_CHANNELS), image = index / ranges, first = index % ranges * SQUEEZE_CHANNELS;
    int64_t pixels = in.h * in.w, last = sn_min64(in.c, first + SQUEEZE_CHANNELS);
    const uint8_t *x = (const uint8_t *)call->inputs[0] + image * pixels * in.c;
    float *z = (float *)call->output + image * in.c;
    for (int64_t c = first; c < last; c += VF) {
        vi total = {0};
        vb most = {0};
        for (int64_t p = 0; p < pixels; p++) {
            vb q = vb_load_n(x + p * in.c + c, in.c - c);
            vb larger = (vb)(q > most);
            if (average)
                total += vi_from_bytes(q);
            else
                most = (q & larger) | (most & ~larger);
        }
        vi value = average ? total - quant.zero * (int32_t)pixels : vi_from_bytes(most) - quant.zero;
        float factor = average ? quant.scale / (float)pixels : quant.scale;
        vf_store_n(z + c, __builtin_convertvector(value, vf) * factor, in.c - c);
    }
}

static void average_task(void *context, int64_t index, int worker)
{
    (void)worker;
    squeeze_task(context, index, true);
}

static void maximum_task(void *context, int64_t index, int worker)
{
    (void)worker;
    squeeze_task(context, index, false);
}

static void run_squeeze(const sn_kernel_call *call)
{
    sn_shape in = call->input_nodes[0]->shape;
    sn_parallel_for(sn_shape_elements(in) < SN_SMALL_BYTES ? 1 : call->threads, in.n * sn_ceil_div(in.c, SQUEEZE_CHANNELS),
                    call->node->op == SN_OP_squeeze_avg ? average_task : maximum_task, (void *)(uintptr_t)call);
}

const sn_kernel SN_KERNEL_SYMBOL(pool2d) = {
    .name = SN_KERNEL_NAME(pool2d), .op = SN_OP_pool2d, .storage = SN_Q8, .refuse = refuse_pool, .run = run_pool};
const sn_kernel SN_KERNEL_SYMBOL(squeeze_avg) = {
    .name = SN_KERNEL_NAME(squeeze_avg), .op = SN_OP_squeeze_avg, .storage = SN_Q8, .refuse = refuse_squeeze, .run = run_squeeze};
const sn_kernel SN_KERNEL_SYMBOL(squeeze_max) = {
    .name = SN_KERNEL_NAME(squeeze_max), .op = SN_OP_squeeze_max, .storage = SN_Q8, .refuse = refuse_squeeze, .run = run_squeeze};
