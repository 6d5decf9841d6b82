/* conv_amx_pack.h - weights of a convolution as right tiles (tiles_amx.h), rounded to bf16:
 *
 *     [panel][phase][step][half of the panel][16 pairs of inputs][16 outputs][2]
 *
 * A last panel of at most 16 outputs has one half.  Outputs and inputs beyond the last, and pairs of different groups, have zeros.
 */
#ifndef SN_CPU_KERNELS_CONV_AMX_PACK_H
#define SN_CPU_KERNELS_CONV_AMX_PACK_H

#include "cpu/kernels/conv_amx_plan.h"

typedef struct tiled_pack {
    const tiled_plan *plan;
    const float *weight; /* HWIO of the convolution */
    stored *packed;
    bool backward;
} tiled_pack;

static inline void tiled_pack_forward(const tiled_pack *job, const tiled_phase *phase, int64_t first, int64_t step, int64_t out,
                                      stored *to)
{
    const tiled_plan *p = job->plan;
    for (int64_t pair = 0; pair < TILE_VALUES; pair += 2, to += TILE_VALUES) {
        vf row[2] = {{0}};
        for (int i = 0; i < 2; i++) {
            const tiled_tap *tap;
            int64_t channel;
            if (tiled_input(p, phase, first, step, pair + i, &tap, &channel))
                row[i] = tiled_forward_row(p, job->weight, tap, channel, out);
        }
        vu low = __builtin_convertvector(vf_to_bf16(row[0]), vu), high = __builtin_convertvector(vf_to_bf16(row[1]), vu);
        *(vu *)(void *)to = low | high << 16;
    }
}

/* Backward: the weights of output `out` (a weight's row) and of 16 inputs (its columns) from `channel` on. */
static inline vf tiled_backward_row(const tiled_pack *job, const tiled_tap *tap, int64_t channel, int64_t out)
{
    const tiled_plan *p = job->plan;
    if (out >= p->out_c) return (vf){0};
    int64_t group = out / p->group_out, first = group * p->group_in - channel, last = first + p->group_in;
    first = sn_max64(first, 0);
    last = sn_min64(last, VF);
    if (first >= last) return (vf){0};
    const float *row = job->weight + ((tap->ky * p->kernel_w + tap->kx) * p->group_out + out - group * p->group_out) * p->weight_out;
    __mmask16 lanes = (__mmask16)((1u << last) - (1u << first));
    return (vf)_mm512_maskz_loadu_ps(lanes, row + channel);
}

static inline void tiled_pack_backward(const tiled_pack *job, const tiled_phase *phase, int64_t first, int64_t step, int64_t out,
                                       stored *to)
{
    const tiled_plan *p = job->plan;
    vf square[VF]; /* the pairs of an output, then turned */
    for (int64_t o = 0; o < VF; o++) {
        vf half[2] = {{0}};
        const tiled_tap *tap;
        int64_t channel;
        for (int h = 0; h < 2; h++)
            if (!p->gathered) {
                if (tiled_input(p, phase, first, step, h * VF, &tap, &channel))
                    half[h] = tiled_backward_row(job, tap, channel, out + o);
            } else { /* a step may see several taps */
                for (int64_t i = 0; i < VF; i++)
                    if (tiled_input(p, phase, first, step, h * VF + i, &tap, &channel))
                        half[h][i] = tiled_backward_row(job, tap, channel, out + o)[0];
            }
        square[o] = (vf)_mm512_cvtne2ps_pbh((__m512)half[1], (__m512)half[0]);
    }
    vf_transpose(square);
    for (int64_t pair = 0; pair < VF; pair++) vf_store((float *)(void *)(to + pair * TILE_VALUES), square[pair]);
}

static inline void tiled_pack_panel(void *context, int64_t index, int worker)
{
    (void)worker;
    const tiled_pack *job = context;
    const tiled_plan *p = job->plan;
    tiled_panel panel = tiled_panel_at(p, index);
    int64_t first = tiled_first_channel(p, panel.out);
    stored *to = job->packed + panel.packed;
    for (int k = 0; k < p->phases_count; k++)
        for (int64_t step = 0; step < p->phases[k].steps; step++)
            for (int64_t half = 0; half <= (int64_t)panel.wide; half++, to += RIGHT_VALUES)
                (job->backward ? tiled_pack_backward : tiled_pack_forward)(job, &p->phases[k], first, step,
                                                                           panel.out + half * TILE_OUTPUTS, to);
}

static inline void tiled_pack_weights(const tiled_plan *plan, const float *weight, bool backward, int threads, stored *packed)
{
    tiled_pack job = {.plan = plan, .weight = weight, .packed = packed, .backward = backward};
    if (tiled_packed_values(plan) * 2 < SN_SMALL_BYTES) threads = 1;
    sn_parallel_for(threads, plan->panels, tiled_pack_panel, &job);
}

#endif
