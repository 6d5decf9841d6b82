/* normalize.c - uint8 pictures to network input through a table of the 256 values of each channel, so that the rounding is that
 * of the plain kernel.  Reads T bytes, writes 4 T, for T = N H W 3.
 */
#include "cpu/kernels/vector.h"

enum { CHANNELS = 3, LEVELS = 256, ROWS_EACH = 32 };

static const char *refuse(const sn_kernel_call *call)
{
    if (call->precision != SN_FLOAT) return "not single precision";
    return call->node->shape.c == CHANNELS ? NULL : "not three channels";
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    (void)call;
    return CHANNELS * LEVELS * sizeof(float);
}

/* Columns [begin, end) of a picture's row through the table. */
static void look_up(const float *table, const uint8_t *from, float *to, int64_t begin, int64_t end)
{
    for (int64_t x = begin; x < end; x++)
        for (int c = 0; c < CHANNELS; c++) to[x * CHANNELS + c] = table[c * LEVELS + from[x * CHANNELS + c]];
}

static int64_t clamp(int64_t v, int64_t low, int64_t high) { return v < low ? low : v > high ? high : v; }

static void normalize_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const sn_kernel_call *call = context;
    sn_shape s = call->node->shape;
    for (int64_t row = index * ROWS_EACH; row < sn_min64(s.n * s.h, (index + 1) * ROWS_EACH); row++) {
        const uint8_t *from = (const uint8_t *)call->inputs[0] + row * s.w * CHANNELS;
        const int32_t *rect = (const int32_t *)call->inputs[1] + row / s.h * 8, *cut = rect + 4; /* top, left, bottom, right */
        float *to = (float *)call->output + row * s.w * CHANNELS;
        int64_t y = row % s.h;
        memset(to, 0, (size_t)(s.w * CHANNELS) * sizeof(float));
        if (y < rect[0] || y >= rect[2]) continue;
        int64_t begin = clamp(rect[1], 0, s.w), end = clamp(rect[3], 0, s.w);
        bool is_cut = y >= cut[0] && y < cut[2];
        look_up(call->scratch, from, to, begin, is_cut ? sn_min64(end, sn_max64(cut[1], begin)) : end);
        if (is_cut) look_up(call->scratch, from, to, sn_max64(begin, sn_max64(cut[3], cut[1])), end);
    }
}

static void run_normalize(const sn_kernel_call *call)
{
    const float *mean = call->node->attrs.u.normalize.mean, *std = call->node->attrs.u.normalize.std;
    float *table = call->scratch;
    for (int c = 0; c < CHANNELS; c++)
        for (int v = 0; v < LEVELS; v++)
            table[c * LEVELS + v] = (float)((v / 255.0 - (double)mean[c]) / (double)std[c]);
    int64_t rows = call->node->shape.n * call->node->shape.h;
    sn_parallel_for(rows * call->node->shape.w < 8 * SN_SMALL_BYTES / CHANNELS ? 1 : call->threads, sn_ceil_div(rows, ROWS_EACH),
                    normalize_task, (void *)(uintptr_t)call);
}

const sn_kernel SN_KERNEL_SYMBOL(normalize) = {.name = SN_KERNEL_NAME(normalize), .op = SN_OP_normalize, .refuse = refuse,
                                               .scratch_bytes = scratch_bytes, .run = run_normalize};
