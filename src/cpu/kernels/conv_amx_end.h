/* conv_amx_end.h - what becomes of a bf16 convolution's sums by tiles (conv_amx_tiles.h): a pixel's 32 outputs get their
 * scale, their residual and their activation, are added to the squeeze, and are rounded by one instruction to the 64 bytes that the
 * output has, whose statistics are gathered.
 */
#ifndef SN_CPU_KERNELS_CONV_AMX_END_H
#define SN_CPU_KERNELS_CONV_AMX_END_H

#include "cpu/kernels/activate.h"
#include "cpu/kernels/clamp.h"
#include "cpu/kernels/conv_amx_plan.h"
#include "cpu/kernels/copy.h"
#include "cpu/kernels/norm_sums.h"

typedef struct tiled_end {
    int64_t channels;         /* of the panel */
    sn_activation activation; /* any */
    clamp clamp;              /* of it, if it is one */
    void *out;                /* `stored` or floats */
    bool narrow, squeezed;
    const stored *residual;   /* like out, or NULL */
    const float *bias;        /* or NULL */
    const float *scales;      /* a row of scale_image floats an image; or NULL */
    int64_t scale_image;
    const float *scale;       /* of the panel's outputs in the tile's image, or NULL */
    int64_t pixel;            /* values between pixels of out and residual */
    int64_t out_channel;      /* the panel's first */
    norm_sums norms;
} tiled_end;

static inline tiled_end tiled_end_of(const tiled_end *all, const tiled_panel *panel, float *start)
{
    tiled_end end = *all;
    end.channels = panel->channels;
    end.out_channel = panel->out;
    if (all->bias) copy_floats(start, all->bias + panel->out, panel->channels);
    return end;
}

/* Before the first pixels of a block. */
static inline void tiled_begin_block(const tiled_end *e, int64_t block) { norm_start(&e->norms, block, e->out_channel, e->channels); }

/* Before the pixels of a tile. */
static inline void tiled_see_image(tiled_end *e, int64_t image)
{
    e->scale = e->scales ? e->scales + image * e->scale_image + e->out_channel : NULL;
}

/* Behind tiled_store. */
static inline void tiled_gather(const tiled_end *e, int64_t block, int64_t at, int64_t pixels)
{
    norm_add(&e->norms, block, e->out_channel, e->channels, (const stored *)e->out + at, e->pixel, pixels);
}

/* `rows` pixels of 32 outputs, from value `at` of the output on. The last arguments are literals: what a layer has not costs
 * nothing, and the products that follow are begun the sooner. */
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
