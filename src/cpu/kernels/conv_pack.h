/* conv_pack.h - weights of the dense convolutions, laid out for their tiles:
 *
 *     [group][panel][phase][segment][step][width]
 *
 * A panel is PANEL wide, a group's last one as many vectors as it needs, with zeros behind its channels.  A word of a row is a
 * float, or the bf16 of two values of a segment that lie together (conv_values.h), the first one lower.
 */
#ifndef SN_CPU_KERNELS_CONV_PACK_H
#define SN_CPU_KERNELS_CONV_PACK_H

#include "cpu/kernels/conv_plan.h"
#include "cpu/kernels/transpose.h"

typedef struct conv_panel {
    int64_t group, in, out; /* first channels of the group's input and of the panel's output, in the tensors */
    int64_t channels;
    int width;              /* words of a packed row */
    int64_t packed;         /* where its weights begin */
} conv_panel;

static inline conv_panel panel_at(const conv_plan *p, int64_t index)
{
    int64_t group = index / p->group_panels, first = index % p->group_panels * PANEL;
    conv_panel panel = {.group = group, .in = group * p->group_in, .out = group * p->group_out + first,
                        .channels = sn_min64(PANEL, p->group_out - first),
                        .packed = group * p->group_floats + first * p->packed_steps};
    panel.width = (int)sn_ceil_div(panel.channels, VF) * VF;
    return panel;
}

/* ---- the rows of a panel, one for each step ---- */

typedef struct weight_rows {
    float *to;
    int64_t channels, width; /* of a row: words behind its channels are zero */
    bool held;               /* pairs: the first row of a step */
    float first[PANEL];
} weight_rows;

/* The weights of the next value. */
static inline void weight_rows_add(weight_rows *rows, const float *weights)
{
#if SN_PAIRS
    for (int64_t c = 0; c < rows->width; c += VF) {
        vf weight = c < rows->channels ? vf_load_n(weights + c, rows->channels - c) : (vf){0};
        if (rows->held) {
            vu low = __builtin_convertvector(vf_to_bf16(vf_load(rows->first + c)), vu);
            vu high = __builtin_convertvector(vf_to_bf16(weight), vu);
            *(vu *)(rows->to + c) = low | high << 16;
        } else {
            vf_store(rows->first + c, weight);
        }
    }
    if (rows->held) rows->to += rows->width;
    rows->held = !rows->held;
#else
    copy_floats(rows->to, weights, rows->channels);
    clear_floats(rows->to + rows->channels, rows->width - rows->channels);
    rows->to += rows->width;
#endif
}

/* The end of a segment: an odd value gets a partner of weight 0. */
static inline void weight_rows_end(weight_rows *rows)
{
    static const float zeros[PANEL];
    if (rows->held) weight_rows_add(rows, zeros);
}

/* ---- a panel ---- */

typedef struct pack_job {
    const conv_plan *plan;
    const float *weight; /* HWIO of the convolution */
    float *packed;
} pack_job;

/* Rows of weights that lie in the tensor as they are packed: the taps of a segment follow one another. */
static inline void pack_tap_forward(const pack_job *job, const conv_panel *panel, const conv_tap *tap, weight_rows *rows)
{
    const conv_plan *p = job->plan;
    const float *from = job->weight + (tap->ky * p->kernel_w + tap->kx) * p->group_in * p->weight_out + panel->out;
    for (int64_t c = 0; c < p->group_in; c++, from += p->weight_out) weight_rows_add(rows, from);
}

/* rows x cols floats, at most VF each, from rows that lie `stride` apart to columns that do: zeros up to VF columns. */
static inline void transpose_floats(const float *from, int64_t stride, int64_t rows, int64_t cols, float *to, int64_t to_stride)
{
    vf square[VF];
    for (int64_t i = 0; i < VF; i++) square[i] = i < rows ? vf_load_n(from + i * stride, cols) : (vf){0};
    vf_transpose(square);
    for (int64_t i = 0; i < cols; i++) vf_store(to + i * to_stride, square[i]);
}

/* Here "in" are the convolution's output channels (weight columns) and "out" its input channels (weight rows). */
static inline void pack_tap_backward(const pack_job *job, const conv_panel *panel, const conv_tap *tap, weight_rows *rows)
{
    const conv_plan *p = job->plan;
    int64_t row = (tap->ky * p->kernel_w + tap->kx) * p->group_out + panel->out - panel->group * p->group_out;
    const float *from = job->weight + row * p->weight_out + panel->in;
    for (int64_t c = 0; c < p->group_in; c += VF) {
        float turned[VF * PANEL];
        float *to = STEP_VALUES > 1 ? turned : rows->to;
        int64_t values = sn_min64(VF, p->group_in - c);
        for (int64_t o = 0; o < panel->width; o += VF)
            transpose_floats(from + o * p->weight_out + c, p->weight_out, sn_min64(VF, panel->channels - o), values, to + o,
                             panel->width);
        if (STEP_VALUES > 1)
            for (int64_t i = 0; i < values; i++) weight_rows_add(rows, turned + i * panel->width);
        else
            rows->to += values * panel->width;
    }
}

typedef void pack_tap_function(const pack_job *job, const conv_panel *panel, const conv_tap *tap, weight_rows *rows);

SN_INLINE void pack_panel(const pack_job *job, int64_t index, pack_tap_function *pack_tap)
{
    const conv_plan *p = job->plan;
    conv_panel panel = panel_at(p, index);
    weight_rows rows = {.to = job->packed + panel.packed, .channels = panel.channels, .width = panel.width};
    for (int k = 0; k < p->phases_count; k++) {
        const conv_phase *phase = &p->phases[k];
        for (int t = 0; t < phase->taps; t++) {
            pack_tap(job, &panel, &p->taps[phase->first_tap + t], &rows);
            if ((t + 1) % (phase->taps / phase->segments) == 0) weight_rows_end(&rows);
        }
    }
}

static void pack_forward(void *job, int64_t index, int worker)
{
    (void)worker;
    pack_panel(job, index, pack_tap_forward);
}

static void pack_backward(void *job, int64_t index, int worker)
{
    (void)worker;
    pack_panel(job, index, pack_tap_backward);
}

static inline void conv_pack_weights(const conv_plan *plan, const float *weight, bool backward, int threads, float *packed)
{
    pack_job job = {.plan = plan, .weight = weight, .packed = packed};
    if (plan->groups * plan->group_floats * 4 < SN_SMALL_BYTES) threads = 1;
    sn_parallel_for(threads, plan->panels, backward ? pack_backward : pack_forward, &job);
}

#endif
