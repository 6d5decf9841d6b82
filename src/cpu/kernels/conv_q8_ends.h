/* conv_q8_ends.h - what the dense convolutions of int8 maps share whatever multiplies: what none of them takes, and the numbers
 * that make steps of whole sums (see conv_q8.c).
 */
#ifndef SN_CPU_KERNELS_CONV_Q8_ENDS_H
#define SN_CPU_KERNELS_CONV_Q8_ENDS_H

#include "cpu/kernels/q8.h"
#include "cpu/kernels/squeeze_sums.h"

enum { MOST_BYTES = 65536 /* of a sum: 255 * 127 times as many stay below 2^31 */ };

static inline const char *q8_conv_refusal(const sn_kernel_call *call)
{
    const sn_conv_attrs *attrs = &call->node->attrs.u.conv;
    sn_shape w = call->input_nodes[1]->shape;
    const sn_node *residual = call->node->inputs_count > 3 ? call->input_nodes[3] : NULL;
    if (call->precision != SN_FLOAT) return "not single precision";
    if (call->input_nodes[0]->dtype != SN_Q8) return "the input is not int8";
    if (!map_is_storage(call->node->dtype) || (residual && !map_is_storage(residual->dtype))) return "stored otherwise";
    if (!clamp_is(attrs->activation)) return "an activation that is no clamp";
    if (w.n * w.h * w.w > MOST_BYTES) return "sums of more than 65536 products";
    if (attrs->stride > 4) return "stride above 4";
    return NULL;
}

/* Sums begin as `start`; steps = sum * scale + shift + residual. */
typedef struct q8_ends {
    int32_t *start;
    float *scale, *shift;
} q8_ends;

/* [3][outputs] */
static inline q8_ends q8_ends_at(void *memory, int64_t outputs)
{
    return (q8_ends){memory, (float *)memory + outputs, (float *)memory + 2 * outputs};
}
static inline size_t q8_ends_bytes(int64_t outputs) { return (size_t)outputs * (sizeof(int32_t) + 2 * sizeof(float)); }

/* Of output `out` of the layer, or -1 for one that only fills a vector: its largest weight and the sum of its integers. */
static inline void q8_ends_set(const q8_ends *ends, const sn_kernel_call *call, int64_t at, int64_t out, float largest, int32_t total)
{
    const sn_node *x = call->input_nodes[0], *y = call->node, *residual = y->inputs_count > 3 ? call->input_nodes[3] : NULL;
    const float *bias = call_input(call, 2);
    float step = y->dtype == SN_Q8 ? y->quant.scale : 1, moved = residual ? map_scale_of(residual).constant : 0;
    ends->start[at] = out >= 0 ? -x->quant.zero * total : 0;
    ends->scale[at] = out >= 0 ? x->quant.scale * (largest / 127) / step : 0;
    ends->shift[at] = out >= 0 ? ((bias ? bias[out] : 0) + moved) / step : 0;
}

/* Steps of the output a unit of the residual as it is stored. */
static inline float q8_residual_scale(const sn_node *residual, float step) { return map_scale_of(residual).factor / step; }

/* The sums of the squeeze are in steps. */
static inline void q8_finish_squeeze(const squeeze_sums *sums, float step)
{
    squeeze_finish(sums);
    for (int64_t i = 0; sums->rows && i < sums->images * sums->channels; i++) sums->out[i] *= step;
}

#endif
