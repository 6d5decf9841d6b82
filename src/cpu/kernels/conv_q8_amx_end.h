/* conv_q8_amx_end.h - what becomes of an int8 convolution's sums by tiles (conv_amx_tiles.h): 32 outputs of a pixel become
 * steps, get their residual and their activation, are added to the squeeze, and are rounded to bytes or bf16. The same
 * operations as in conv_q8_tiles.h give the same bits.
 */
#ifndef SN_CPU_KERNELS_CONV_Q8_AMX_END_H
#define SN_CPU_KERNELS_CONV_Q8_AMX_END_H

#include "cpu/kernels/conv_amx_plan.h"
#include "cpu/kernels/conv_q8_ends.h"

typedef struct tiled_end {
    int64_t channels;     /* of the panel */
    q8_ends ends;         /* of all panels, or of one */
    const map_end *end;
    void *out;
    const void *residual; /* or NULL */
    sn_dtype residual_type;
    float residual_scale; /* steps of the output a unit of it */
    int64_t pixel;        /* elements between pixels of both */
    bool bytes;           /* the range of a byte and a low end are all that holds the steps */
    bool held, squeezed;  /* held: more than that range */
} tiled_end;

static inline tiled_end tiled_end_of(const tiled_end *all, const tiled_panel *panel, int32_t *start)
{
    tiled_end end = *all;
    end.channels = panel->channels;
    memcpy(start, all->ends.start + panel->out, TILED_PANEL * sizeof *start);
    end.ends.scale += panel->out;
    end.ends.shift += panel->out;
    end.held = all->squeezed || all->end->range.zero[0] != 0;
    return end;
}

/* What else an end may ask for: see conv_amx_end.h. */
static inline void tiled_begin_block(const tiled_end *e, int64_t block) { (void)e, (void)block; }
static inline void tiled_see_image(tiled_end *e, int64_t image) { (void)e, (void)image; }
static inline void tiled_gather(const tiled_end *e, int64_t block, int64_t at, int64_t pixels) { (void)e, (void)block, (void)at, (void)pixels; }

/* `rows` pixels of 32 outputs, or 16, from element `at` of the output on. The last arguments are literals: whether bytes are
 * stored, else bf16; whether steps are held at a low end and moved by a zero, or the byte's own end at 0 does it. */
SN_INLINE void tiled_store_panel(const tiled_end *e, const int32_t *sums, int64_t rows, int64_t at, vf squeeze[2], bool wide, bool bytes,
                                 bool held, bool residual, bool squeezed)
{
    int64_t size = bytes ? 1 : (int64_t)sizeof(uint16_t);
    char *out = (char *)e->out + at * size;
    const uint8_t *left = residual ? (const uint8_t *)e->residual + at : NULL;
    ptrdiff_t pixel = e->pixel;
    vf s0 = squeeze[0], s1 = squeeze[1], factor = vf_all(e->residual_scale);
    vf scale0 = vf_load(e->ends.scale), scale1 = vf_load(e->ends.scale + VF);
    vf shift0 = vf_load(e->ends.shift), shift1 = vf_load(e->ends.shift + VF);
    vf low = bytes ? e->end->range.low : e->end->clamp.low, high = e->end->clamp.high;
    vi zero = e->end->range.zero;
    for (const int32_t *end = sums + rows * TILED_PANEL; sums < end; sums += TILED_PANEL, out += pixel * size) {
        vf v0 = __builtin_convertvector(*(const vi *)sums, vf) * scale0 + shift0, v1 = v0;
        if (wide) v1 = __builtin_convertvector(*(const vi *)(sums + VF), vf) * scale1 + shift1;
        if (residual) {
            v0 += q8_load(left) * factor;
            if (wide) v1 += q8_load(left + VF) * factor;
            left += pixel;
        }
        if (held) v0 = vf_at_least(v0, low), v1 = vf_at_least(v1, low);
        if (!bytes) v0 = vf_at_most(v0, high), v1 = vf_at_most(v1, high);
        if (squeezed) s0 += v0, s1 += v1;
        if (bytes) {
            vi q[2] = {(vi)_mm512_cvtps_epi32((__m512)v0), (vi)_mm512_cvtps_epi32((__m512)v1)};
            if (held) q[0] += zero, q[1] += zero;
            q8_store_bytes((uint8_t *)out, q, wide ? 2 : 1);
        } else if (wide)
            _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh((__m512)v1, (__m512)v0));
        else
            vf_store_bf16((uint16_t *)(void *)out, v0);
    }
    squeeze[0] = s0;
    squeeze[1] = s1;
}

SN_INLINE void tiled_store_frequent(const tiled_end *e, const int32_t *sums, int64_t rows, int64_t at, vf squeeze[2], bool wide)
{
    if (!e->bytes)
        tiled_store_panel(e, sums, rows, at, squeeze, wide, false, true, false, true);
    else if (e->residual)
        tiled_store_panel(e, sums, rows, at, squeeze, wide, true, true, true, true);
    else if (e->held)
        tiled_store_panel(e, sums, rows, at, squeeze, wide, true, true, false, true);
    else
        tiled_store_panel(e, sums, rows, at, squeeze, wide, true, false, false, false);
}

static SN_NOINLINE void tiled_store_narrow(const tiled_end *e, const int32_t *sums, int64_t rows, int64_t at, vf squeeze[2])
{
    tiled_store_frequent(e, sums, rows, at, squeeze, false);
}

/* Any number of outputs, any storage. */
static SN_NOINLINE void tiled_store_any(const tiled_end *e, const int32_t *sums, int64_t rows, int64_t at, vf squeeze[2])
{
    for (int64_t i = 0; i < rows; i++, sums += TILED_PANEL, at += e->pixel)
        for (int h = 0; h < 2 && h * VF < e->channels; h++) {
            int64_t lanes = sn_min64(VF, e->channels - h * VF), to = at + h * VF;
            vf steps = __builtin_convertvector(*(const vi *)(sums + h * VF), vf) * vf_load(e->ends.scale + h * VF) +
                       vf_load(e->ends.shift + h * VF);
            if (e->residual) steps += map_load_n(e->residual, e->residual_type, to, lanes) * e->residual_scale;
            squeeze[h] += map_hold(e->end, steps);
            map_store_first(e->end, e->end->type, e->out, to, steps, lanes);
        }
}

static inline void tiled_store(const tiled_end *e, const int32_t *sums, int64_t rows, int64_t at, vf squeeze[2])
{
    bool frequent = e->bytes || (e->end->type == SN_BF16 && !e->residual);
    if (frequent && e->channels == TILED_PANEL)
        tiled_store_frequent(e, sums, rows, at, squeeze, true);
    else if (frequent && e->channels == TILE_OUTPUTS)
        tiled_store_narrow(e, sums, rows, at, squeeze);
    else
        tiled_store_any(e, sums, rows, at, squeeze);
}

#endif
