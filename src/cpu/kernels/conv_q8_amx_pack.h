/* conv_q8_amx_pack.h - weights of an int8 convolution as right tiles (tiles_amx.h), and behind all of them what makes steps of
 * sums (conv_q8_ends.h):
 *
 *     [panel][step][half of the panel][16 words of four inputs][16 outputs][4]        [start, scale, shift][outputs, whole panels]
 *
 * Outputs and inputs beyond the last, and words of different groups, have zeros.
 */
#ifndef SN_CPU_KERNELS_CONV_Q8_AMX_PACK_H
#define SN_CPU_KERNELS_CONV_Q8_AMX_PACK_H

#include "base/parallel.h"
#include "cpu/kernels/conv_amx_plan.h"
#include "cpu/kernels/conv_q8_ends.h"

enum { PACK_PANELS = 8 }; /* side by side: 1 KB of a row */

typedef struct tiled_pack {
    const tiled_plan *plan;
    const sn_kernel_call *call;
    void *packed;
    int64_t panels_each; /* of a task */
} tiled_pack;

static inline int64_t tiled_outputs(const tiled_plan *p) { return p->panels * TILED_PANEL; }
static inline q8_ends tiled_ends(const tiled_plan *p, const void *packed)
{
    return q8_ends_at((char *)(uintptr_t)packed + tiled_packed_values(p), tiled_outputs(p));
}

/* The four inputs of a word, for outputs that see channels from `first` on; taps are NULL where there is no input. */
typedef struct tiled_word {
    const tiled_tap *tap[TILE_WORD];
    int64_t channel[TILE_WORD];
} tiled_word;

static inline tiled_word tiled_word_at(const tiled_plan *p, int64_t first, int64_t step, int64_t value)
{
    tiled_word word = {{NULL}};
    for (int b = 0; b < TILE_WORD; b++)
        if (!tiled_input(p, &p->phases[0], first, step, value + b, &word.tap[b], &word.channel[b])) word.tap[b] = NULL;
    return word;
}

/* Outputs from `out` on: what their weights are multiplied by, and the sums of the integers. */
typedef struct tiled_band {
    int64_t out, count; /* vectors */
    float largest[PACK_PANELS * TILED_PANEL], factor[PACK_PANELS * TILED_PANEL];
    int32_t total[PACK_PANELS * TILED_PANEL];
} tiled_band;

/* HWIO: a row of all outputs for each tap and channel of a group. */
static inline void tiled_band_scales(const tiled_pack *job, tiled_band *band)
{
    const tiled_plan *p = job->plan;
    int64_t rows = p->taps_count * p->group_in, outputs = sn_min64(band->count * VF, p->out_c - band->out);
    const float *w = (const float *)job->call->inputs[1] + band->out;
    memset(band->largest, 0, sizeof band->largest);
    memset(band->total, 0, sizeof band->total);
    for (int64_t row = 0; row < rows; row++, w += p->weight_out)
        for (int64_t o = 0; o < outputs; o += VF) {
            __m512 size = _mm512_abs_ps((__m512)vf_load_n(w + o, outputs - o));
            vf_store(band->largest + o, (vf)_mm512_max_ps(size, (__m512)vf_load(band->largest + o)));
        }
    for (int64_t o = 0; o < band->count * VF; o++) band->factor[o] = band->largest[o] > 0 ? 127 / band->largest[o] : 0;
}

/* One word of 16 outputs, the vector `v` of a band. */
SN_INLINE void tiled_pack_word(const tiled_pack *job, const tiled_word *word, tiled_band *band, int64_t v, uint8_t *to)
{
    vf factor = vf_load(band->factor + v * VF);
    vi *total = (vi *)(void *)(band->total + v * VF), four = {0};
    for (int b = 0; b < TILE_WORD; b++) {
        if (!word->tap[b]) continue;
        vf w = tiled_forward_row(job->plan, job->call->inputs[1], word->tap[b], word->channel[b], band->out + v * VF);
        vi k = (vi)_mm512_cvtps_epi32((__m512)(w * factor));
        *total += k;
        four |= (k & 255) << 8 * b;
    }
    *(vi *)(void *)to = four;
}

/* A task: some panels, row by row of the weights. */
static inline void tiled_pack_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const tiled_pack *job = context;
    const tiled_plan *p = job->plan;
    q8_ends ends = tiled_ends(p, job->packed);
    int64_t panel = index * job->panels_each, last = sn_min64(p->panels, panel + job->panels_each) - 1;
    int64_t halves = 2 * (last - panel) + 1 + tiled_panel_at(p, last).wide;
    tiled_band band = {.out = panel * TILED_PANEL, .count = halves};
    tiled_band_scales(job, &band);
    for (int64_t step = 0; step < p->steps; step++)
        for (int64_t value = 0; value < TILE_VALUES; value += TILE_WORD) {
            int64_t known = -1;
            tiled_word word;
            for (int64_t v = 0; v < halves; v++) {
                tiled_panel at = tiled_panel_at(p, panel + v / 2);
                int64_t first = tiled_first_channel(p, p->split ? at.out + v % 2 * TILE_OUTPUTS : at.out);
                if (first != known) word = tiled_word_at(p, known = first, step, value);
                int64_t tile = at.packed + (at.wide ? 2 * step + v % 2 : step) * RIGHT_VALUES;
                tiled_pack_word(job, &word, &band, v, (uint8_t *)job->packed + tile + value * TILE_OUTPUTS);
            }
        }
    for (int64_t o = 0; o < halves * VF; o++)
        q8_ends_set(&ends, job->call, band.out + o, band.out + o < p->out_c ? band.out + o : -1, band.largest[o], band.total[o]);
    for (int64_t o = band.out + halves * VF; o < (last + 1) * TILED_PANEL; o++) q8_ends_set(&ends, job->call, o, -1, 0, 0);
}

static inline size_t tiled_packed_bytes(const tiled_plan *p)
{
    return (size_t)tiled_packed_values(p) + q8_ends_bytes(tiled_outputs(p));
}

static inline void tiled_pack_weights(const tiled_plan *plan, const sn_kernel_call *call, void *packed)
{
    tiled_pack job = {.plan = plan, .call = call, .packed = packed};
    job.panels_each = sn_max64(1, sn_min64(PACK_PANELS, plan->panels / 4));
    sn_parallel_for(tiled_packed_bytes(plan) < SN_SMALL_BYTES ? 1 : call->threads, sn_ceil_div(plan->panels, job.panels_each),
                    tiled_pack_task, &job);
}

#endif
