/* squeeze_excite.c - the squeeze and the scale of an SE block (sections 3.1 and 3.2 of the paper) and their gradients.
 * The excitation between them is two 1x1 convolutions.
 *
 * Squeezes and sums over H,W go by tiles of 64 channels of an image, in double, pixels in row-major order. */
#ifndef REF

#include <stdbool.h>

#include "cpu/ref/loops.h"

enum { TILE = 64 };

typedef struct channel_tile {
    int64_t n, first, count;
} channel_tile;

static int64_t tiles_of(int64_t channels)
{
    return (channels + TILE - 1) / TILE;
}

static channel_tile channel_tile_of(int64_t item, int64_t channels)
{
    int64_t tiles = tiles_of(channels), first = item % tiles * TILE;
    return (channel_tile){item / tiles, first, channels - first < TILE ? channels - first : TILE};
}

/* One value a channel and image, as opposed to one an element ("no squeeze"). */
static bool is_gate_vector(sn_shape gate)
{
    return gate.h == 1 && gate.w == 1;
}

#define REF_BODY "cpu/ref/squeeze_excite.c"
#include "cpu/ref/typed.h"

#else

/* ---- squeeze: mean ---- */

static void REF(squeeze_avg_tiles)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_shape s = call->input_nodes[0]->shape;
    int64_t pixels = s.h * s.w;
    for (int64_t item = begin; item < end; item++) {
        channel_tile t = channel_tile_of(item, s.c);
        const real *x = (const real *)call->inputs[0] + t.n * pixels * s.c + t.first;
        real *z = (real *)call->output + t.n * s.c + t.first;
        double sums[TILE] = {0};
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = 0; c < t.count; c++) sums[c] += (double)x[p * s.c + c];
        for (int64_t c = 0; c < t.count; c++) z[c] = (real)(sums[c] / (double)pixels);
    }
}

static void REF(squeeze_avg)(const sn_kernel_call *call)
{
    sn_shape s = call->input_nodes[0]->shape;
    sn_ref_for(call, s.n * tiles_of(s.c), s.h * s.w * TILE, REF(squeeze_avg_tiles));
}

REF_KERNEL(squeeze_avg, .run = REF(squeeze_avg));

static void REF(squeeze_avg_grad_pixels)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_shape s = call->node->shape;
    int64_t pixels = s.h * s.w;
    real *dx = call->output;
    for (int64_t p = begin; p < end; p++) {
        const real *dz = (const real *)call->inputs[0] + p / pixels * s.c;
        for (int64_t c = 0; c < s.c; c++) dx[p * s.c + c] = dz[c] / (real)pixels;
    }
}

static void REF(squeeze_avg_grad)(const sn_kernel_call *call)
{
    sn_ref_for(call, sn_ref_pixels(call->node->shape), call->node->shape.c, REF(squeeze_avg_grad_pixels));
}

REF_KERNEL(squeeze_avg_grad, .run = REF(squeeze_avg_grad));

/* ---- squeeze: maximum; NaN wins, so that a diverged run shows ---- */

static void REF(squeeze_max_images)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_shape s = call->input_nodes[0]->shape;
    int64_t pixels = s.h * s.w;
    for (int64_t n = begin; n < end; n++) {
        const real *x = (const real *)call->inputs[0] + n * pixels * s.c;
        real *z = (real *)call->output + n * s.c;
        memcpy(z, x, (size_t)s.c * sizeof *z);
        for (int64_t p = 1; p < pixels; p++)
            for (int64_t c = 0; c < s.c; c++) {
                real v = x[p * s.c + c];
                z[c] = v > z[c] || v != v ? v : z[c];
            }
    }
}

static void REF(squeeze_max)(const sn_kernel_call *call)
{
    sn_shape s = call->input_nodes[0]->shape;
    sn_ref_for(call, s.n, s.h * s.w * s.c, REF(squeeze_max_images));
}

REF_KERNEL(squeeze_max, .run = REF(squeeze_max));

static void REF(squeeze_max_grad_images)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_shape s = call->node->shape;
    int64_t elements = s.h * s.w * s.c;
    for (int64_t n = begin; n < end; n++) {
        const real *dz = (const real *)call->inputs[0] + n * s.c, *z = (const real *)call->inputs[2] + n * s.c;
        const real *x = (const real *)call->inputs[1] + n * elements;
        real *dx = (real *)call->output + n * elements;
        memset(dx, 0, (size_t)elements * sizeof *dx);
        for (int64_t c = 0; c < s.c; c++)
            for (int64_t i = c; i < elements; i += s.c)
                if (x[i] == z[c]) {
                    dx[i] = dz[c];
                    break;
                }
    }
}

static void REF(squeeze_max_grad)(const sn_kernel_call *call)
{
    sn_shape s = call->node->shape;
    sn_ref_for(call, s.n, s.h * s.w * s.c, REF(squeeze_max_grad_images));
}

REF_KERNEL(squeeze_max_grad, .run = REF(squeeze_max_grad));

/* ---- scale: act(u s + r), u = x or x scale + shift ---- */

/* The gate of pixel p: a row of C values. */
static const real *REF(gate_of)(const sn_kernel_call *call, const real *gate, sn_shape gate_shape, int64_t p)
{
    sn_shape s = call->input_nodes[0]->shape;
    return gate + (is_gate_vector(gate_shape) ? p / (s.h * s.w) : p) * s.c;
}

static void REF(scale_add_pixels)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    int64_t channels = call->node->shape.c;
    const real *gates = sn_ref_input(call, 1), *residual = sn_ref_input(call, 2), *affine = sn_ref_input(call, 3);
    for (int64_t p = begin; p < end; p++) {
        const real *gate = gates ? REF(gate_of)(call, gates, call->input_nodes[1]->shape, p) : NULL;
        const real *x = (const real *)call->inputs[0] + p * channels;
        real *y = (real *)call->output + p * channels;
        for (int64_t c = 0; c < channels; c++) {
            real u = affine ? x[c] * affine[c] + affine[channels + c] : x[c];
            y[c] = (gate ? u * gate[c] : u) + (residual ? residual[p * channels + c] : 0);
        }
    }
    real *rows = (real *)call->output + begin * channels;
    REF(activate)(call->node->attrs.u.activation.kind, rows, (end - begin) * channels);
}

static void REF(scale_add)(const sn_kernel_call *call)
{
    sn_ref_for(call, sn_ref_pixels(call->node->shape), call->node->shape.c, REF(scale_add_pixels));
}

REF_KERNEL(scale_add, .run = REF(scale_add));

/* dx = g s + dz / (H W) */
static void REF(scale_grad_input_pixels)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_shape s = call->node->shape;
    int64_t pixels = s.h * s.w;
    const real *share = sn_ref_input(call, 2);
    for (int64_t p = begin; p < end; p++) {
        const real *gate = REF(gate_of)(call, call->inputs[1], call->input_nodes[1]->shape, p);
        const real *g = (const real *)call->inputs[0] + p * s.c, *dz = share ? share + p / pixels * s.c : NULL;
        real *dx = (real *)call->output + p * s.c;
        for (int64_t c = 0; c < s.c; c++) dx[c] = g[c] * gate[c] + (dz ? dz[c] / (real)pixels : 0);
    }
}

static void REF(scale_grad_input)(const sn_kernel_call *call)
{
    sn_ref_for(call, sn_ref_pixels(call->node->shape), call->node->shape.c, REF(scale_grad_input_pixels));
}

REF_KERNEL(scale_grad_input, .run = REF(scale_grad_input));

/* ds = g u, summed over H,W for a gate vector */
static void REF(scale_grad_gate_range)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    const real *g = call->inputs[0], *x = call->inputs[1];
    real *ds = call->output;
    for (int64_t i = begin; i < end; i++) ds[i] = g[i] * x[i];
}

static void REF(scale_grad_gate_tiles)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_shape s = call->input_nodes[0]->shape;
    int64_t pixels = s.h * s.w;
    for (int64_t item = begin; item < end; item++) {
        channel_tile t = channel_tile_of(item, s.c);
        int64_t offset = t.n * pixels * s.c + t.first;
        const real *g = (const real *)call->inputs[0] + offset, *x = (const real *)call->inputs[1] + offset;
        real *ds = (real *)call->output + t.n * s.c + t.first;
        const real *affine = sn_ref_input(call, 3), *scale = affine ? affine + t.first : NULL;
        double sums[TILE] = {0};
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = 0; c < t.count; c++) {
                double u = (double)x[p * s.c + c];
                if (scale) u = u * (double)scale[c] + (double)scale[s.c + c];
                sums[c] += (double)g[p * s.c + c] * u;
            }
        for (int64_t c = 0; c < t.count; c++) ds[c] = (real)sums[c];
    }
}

static void REF(scale_grad_gate)(const sn_kernel_call *call)
{
    sn_shape s = call->input_nodes[0]->shape;
    if (is_gate_vector(call->node->shape))
        sn_ref_for(call, s.n * tiles_of(s.c), s.h * s.w * TILE, REF(scale_grad_gate_tiles));
    else
        sn_ref_for(call, sn_shape_elements(s), 1, REF(scale_grad_gate_range));
}

REF_KERNEL(scale_grad_gate, .run = REF(scale_grad_gate));

#endif
