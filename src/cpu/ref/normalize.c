/* normalize.c - uint8 images to network input: ((v / 255) - mean) / std inside the visible rectangle, 0 outside it and
 * inside the cut-out one. */
#ifndef REF

#include <stdbool.h>

#include "cpu/ref/loops.h"

/* rect: top, left, bottom, right; ends exclusive */
static bool is_inside(const int32_t rect[4], int64_t y, int64_t x)
{
    return y >= rect[0] && x >= rect[1] && y < rect[2] && x < rect[3];
}

#define REF_BODY "cpu/ref/normalize.c"
#include "cpu/ref/typed.h"

#else

/* An item is a row (n, y). */
static void REF(normalize_rows)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_shape s = call->node->shape;
    const float *mean = call->node->attrs.u.normalize.mean, *std = call->node->attrs.u.normalize.std;
    for (int64_t row = begin; row < end; row++) {
        const uint8_t *image = (const uint8_t *)call->inputs[0] + row * s.w * s.c;
        const int32_t *rects = (const int32_t *)call->inputs[1] + row / s.h * 8;
        real *y = (real *)call->output + row * s.w * s.c;
        for (int64_t x = 0; x < s.w; x++) {
            bool visible = is_inside(rects, row % s.h, x) && !is_inside(rects + 4, row % s.h, x);
            for (int64_t c = 0; c < s.c; c++)
                y[x * s.c + c] = visible ? (real)((image[x * s.c + c] / 255.0 - (double)mean[c]) / (double)std[c]) : 0;
        }
    }
}

static void REF(normalize)(const sn_kernel_call *call)
{
    sn_shape s = call->node->shape;
    sn_ref_for(call, s.n * s.h, s.w * s.c, REF(normalize_rows));
}

REF_KERNEL(normalize, .run = REF(normalize));

#endif
