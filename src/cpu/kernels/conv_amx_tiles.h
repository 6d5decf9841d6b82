/* conv_amx_tiles.h - the inner loops of conv_amx.c: products of two left tiles by a panel's two right ones, and their end.
 *
 * Sums begin as the bias, see all of a panel's steps, and are stored to 4 KB of scratch memory in the L1 cache, 32 floats a pixel.
 * From there a pixel's 32 outputs get their residual and their activation, are added to the squeeze, and are rounded by one
 * instruction to the 64 bytes that the output has.
 */
#ifndef SN_CPU_KERNELS_CONV_AMX_TILES_H
#define SN_CPU_KERNELS_CONV_AMX_TILES_H

#include "cpu/kernels/activate.h"
#include "cpu/kernels/clamp.h"
#include "cpu/kernels/conv_amx_plan.h"
#include "cpu/kernels/copy.h"

/* ---- products ---- */

typedef struct tiled_product {
    const stored *x[2];        /* the first pixels of two tiles, at the first tap */
    int64_t x_row;             /* bytes between pixels */
    const ptrdiff_t *segments; /* where each begins */
    int64_t segments_count, segment_steps;
    const stored *w;
    const float *bias; /* of the panel's outputs */
    const char *ahead; /* what to fetch into the L2 cache: ahead_lines cache lines a step */
    int64_t ahead_lines;
} tiled_product;

/* sums: [2][TILE_ROWS][TILED_PANEL].  once: no other tap reads the same pixels. */
SN_INLINE void tiled_multiply(const tiled_product *p, bool two, bool wide, bool once, float *sums)
{
    const stored *w = p->w;
    const char *ahead = p->ahead;
    int64_t x_row = p->x_row;
    TILE_LOAD(0, p->bias, 0);
    if (wide) TILE_LOAD(1, p->bias + TILE_OUTPUTS, 0);
    if (two) TILE_LOAD(2, p->bias, 0);
    if (two && wide) TILE_LOAD(3, p->bias + TILE_OUTPUTS, 0);
    for (int64_t s = 0; s < p->segments_count; s++) {
        const stored *x0 = p->x[0] + p->segments[s], *x1 = two ? p->x[1] + p->segments[s] : NULL;
        for (int64_t k = 0; k < p->segment_steps; k++) {
            if (once)
                TILE_LOAD_ONCE(4, x0 + k * TILE_VALUES, x_row);
            else
                TILE_LOAD(4, x0 + k * TILE_VALUES, x_row);
            TILE_LOAD(6, w, TILE_BYTES);
            TILE_ADD_PRODUCTS(0, 4, 6);
            if (wide) {
                TILE_LOAD(7, w + RIGHT_VALUES, TILE_BYTES);
                TILE_ADD_PRODUCTS(1, 4, 7);
            }
            if (two) {
                if (once)
                    TILE_LOAD_ONCE(5, x1 + k * TILE_VALUES, x_row);
                else
                    TILE_LOAD(5, x1 + k * TILE_VALUES, x_row);
                TILE_ADD_PRODUCTS(2, 5, 6);
                if (wide) TILE_ADD_PRODUCTS(3, 5, 7);
            }
            w += wide ? 2 * RIGHT_VALUES : RIGHT_VALUES;
            for (int64_t line = 0; line < p->ahead_lines; line++, ahead += 64) __builtin_prefetch(ahead, 0, 2);
        }
    }
    enum { ROW = TILED_PANEL * sizeof(float) };
    TILE_STORE(0, sums, ROW);
    if (wide) TILE_STORE(1, sums + TILE_OUTPUTS, ROW);
    if (two) TILE_STORE(2, sums + TILE_ROWS * TILED_PANEL, ROW);
    if (two && wide) TILE_STORE(3, sums + TILE_ROWS * TILED_PANEL + TILE_OUTPUTS, ROW);
}

static SN_NOINLINE void tiled_multiply_once(const tiled_product *p, float *sums) { tiled_multiply(p, true, true, true, sums); }
static SN_NOINLINE void tiled_multiply_two(const tiled_product *p, float *sums) { tiled_multiply(p, true, true, false, sums); }
static SN_NOINLINE void tiled_multiply_other(const tiled_product *p, bool two, bool wide, float *sums)
{
    if (two)
        tiled_multiply(p, true, false, false, sums);
    else if (wide)
        tiled_multiply(p, false, true, false, sums);
    else
        tiled_multiply(p, false, false, false, sums);
}

/* ---- the end ---- */

typedef struct tiled_end {
    int64_t channels;         /* of the panel */
    sn_activation activation; /* any */
    clamp clamp;              /* of it, if it is one */
    void *out;                /* `stored` or floats */
    bool narrow, squeezed;
    const stored *residual;   /* like out, or NULL */
    const float *scale;       /* of the panel's outputs in the pixels' image, or NULL */
    int64_t pixel;            /* values between pixels of both */
} tiled_end;

/* `rows` pixels of 32 outputs, from value `at` of the output on.  The last arguments are literals: what a layer has not costs nothing,
 * and the products that follow are begun the sooner. */
SN_INLINE void tiled_store_panel(const tiled_end *e, const float *sums, int64_t rows, int64_t at, vf squeeze[2], bool residual,
                                 bool clamped, bool squeezed, bool scaled)
{
    stored *out = (stored *)e->out + at;
    const stored *left = residual ? e->residual + at : NULL;
    ptrdiff_t pixel = e->pixel;
    vf s0 = squeeze[0], s1 = squeeze[1];
    vf scale0 = scaled ? vf_load(e->scale) : (vf){0}, scale1 = scaled ? vf_load(e->scale + VF) : (vf){0};
    clamp limits = e->clamp;
    for (const float *end = sums + rows * TILED_PANEL; sums < end; sums += TILED_PANEL, out += pixel) {
        vf v0 = vf_load(sums), v1 = vf_load(sums + VF);
        if (scaled) v0 *= scale0, v1 *= scale1;
        if (residual) {
            v0 += vs_load(left);
            v1 += vs_load(left + VF);
            left += pixel;
        }
        if (clamped) v0 = clamp_apply(&limits, v0), v1 = clamp_apply(&limits, v1);
        if (squeezed) s0 += v0, s1 += v1;
        *(vh2 *)out = (vh2)_mm512_cvtne2ps_pbh((__m512)v1, (__m512)v0);
    }
    squeeze[0] = s0;
    squeeze[1] = s1;
}

/* Any number of outputs, any activation, floats too. */
static SN_NOINLINE void tiled_store_part(const tiled_end *e, const float *sums, int64_t rows, int64_t at, vf squeeze[2])
{
    for (int64_t i = 0; i < rows; i++, sums += TILED_PANEL, at += e->pixel)
        for (int h = 0; h < 2 && h * VF < e->channels; h++) {
            int64_t lanes = sn_min64(VF, e->channels - h * VF);
            vf v = vf_load_first(sums + h * VF, lanes);
            if (e->scale) v *= vf_load_first(e->scale + h * VF, lanes);
            if (e->residual) v += vs_load_first(e->residual + at + h * VF, lanes);
            v = vf_activate(v, e->activation);
            squeeze[h] += vf_load_first((const float *)(const void *)&v, lanes);
            if (e->narrow)
                vs_store_first((stored *)e->out + at + h * VF, v, lanes);
            else
                vf_store_first((float *)e->out + at + h * VF, v, lanes);
        }
}

static inline void tiled_store(const tiled_end *e, const float *sums, int64_t rows, int64_t at, vf squeeze[2])
{
    bool clamped = e->activation != SN_IDENTITY;
    if (!e->narrow || e->channels < TILED_PANEL || !clamp_is(e->activation) || (e->scale && !e->residual))
        tiled_store_part(e, sums, rows, at, squeeze);
    else if (e->scale)
        tiled_store_panel(e, sums, rows, at, squeeze, true, true, true, true);
    else if (e->residual)
        tiled_store_panel(e, sums, rows, at, squeeze, true, true, true, false);
    else if (clamped && e->squeezed)
        tiled_store_panel(e, sums, rows, at, squeeze, false, true, true, false);
    else if (clamped)
        tiled_store_panel(e, sums, rows, at, squeeze, false, true, false, false);
    else if (e->squeezed)
        tiled_store_panel(e, sums, rows, at, squeeze, false, false, true, false);
    else
        tiled_store_panel(e, sums, rows, at, squeeze, false, false, false, false);
}

#endif
