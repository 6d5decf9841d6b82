/* conv_amx.c - convolution of bf16 maps by tiles (tiles_amx.h), forward and backward-data: any kernel size, stride up to 4, padding,
 * and groups whose inputs lie in chunks of 32 channels.
 *
 * conv_amx_blocks.h has the way through it.
 */
#include "cpu/kernels/conv_amx_end.h"
#include "cpu/kernels/conv_amx_blocks.h"
#include "cpu/kernels/conv_amx_pack.h"

static tiled_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *attrs = &call->node->attrs.u.conv;
    sn_shape in = call->input_nodes[0]->shape, weight = call->input_nodes[1]->shape, out = call->node->shape;
    bool narrow = call->input_nodes[0]->dtype == SN_STORED;
    return call->node->op == SN_OP_conv2d ? tiled_plan_forward(attrs, in, weight, out, narrow, call->squeeze_node != NULL,
                                                             conv_scaled(call))
                                          : tiled_plan_backward(attrs, in, weight, out, narrow);
}

static bool is_map(sn_dtype dtype) { return dtype == SN_REAL || dtype == SN_STORED; }

static const char *refuse(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape weight = call->input_nodes[1]->shape;
    const sn_node *residual = call->node->inputs_count > 3 ? call->input_nodes[3] : NULL;
    if (call->precision != SN_FLOAT) return "not single precision";
    if (!is_map(call->input_nodes[0]->dtype) || !is_map(call->node->dtype)) return "a map is stored otherwise";
    if (residual && residual->dtype != SN_STORED) return "the residual is stored otherwise";
    if (weight.n * weight.h > TILED_TAPS) return "kernel larger than 11x11";
    if (a->stride > 4) return "stride above 4";
    tiled_plan plan = plan_of(call);
    return tiled_groups_refusal(&plan);
}

/* Where every image has blocks of its own, the last value of a pixel is known when it is stored. */
static bool squeezes(const sn_kernel_call *call) { return plan_of(call).images == call->node->shape.n; }

static const char *stats_refusal(const sn_kernel_call *call)
{
    return call->node->dtype == SN_STORED ? NULL : "the output is stored otherwise";
}

static size_t packed_bytes(const sn_kernel_call *call)
{
    tiled_plan plan = plan_of(call);
    return (size_t)tiled_packed_values(&plan) * sizeof(stored);
}

static void pack(const sn_kernel_call *call, void *packed)
{
    tiled_plan plan = plan_of(call);
    tiled_pack_weights(&plan, call->inputs[1], call->node->op != SN_OP_conv2d, call->threads, packed);
}

/* Behind that of the blocks the sums of batch norm. */
static size_t scratch_bytes(const sn_kernel_call *call)
{
    tiled_plan plan = plan_of(call);
    return tiled_scratch_bytes(call, &plan) + norm_bytes(call, plan.blocks_n * plan.blocks_y);
}

static void run(const sn_kernel_call *call)
{
    tiled_run run = {.plan = plan_of(call), .in = call->inputs[0], .narrow_in = call->input_nodes[0]->dtype == SN_STORED,
                     .packed = call->packed};
    run.end = (tiled_end){.out = call->output, .narrow = call->node->dtype == SN_STORED, .pixel = run.plan.out_step * run.plan.out_c,
                          .clamp = clamp_of(SN_IDENTITY)};
    run.end.residual = call_stored(call, 3);
    if (call->node->op == SN_OP_conv2d) {
        run.end.bias = call_input(call, 2);
        run.end.scales = call_input(call, 5);
        run.end.scale_image = run.plan.out_c;
        run.end.activation = call->node->attrs.u.conv.activation;
        if (clamp_is(run.end.activation)) run.end.clamp = clamp_of(run.end.activation);
    }
    char *sums = (char *)call->scratch + tiled_scratch_bytes(call, &run.plan);
    run.end.norms = norm_begin(call, (float *)(void *)sums, run.plan.blocks_n * run.plan.blocks_y);
    tiled_run_call(call, &run);
    squeeze_finish(&run.squeeze);
    norm_finish(call, &run.end.norms);
}

#define TILED_KERNEL(base, kind, squeezing, gathers)                                                                 \
    const sn_kernel SN_KERNEL_SYMBOL(base) = {                                                                       \
        .name = SN_KERNEL_NAME(base),                                                                                \
        .op = kind,                                                                                                  \
        .storage = SN_STORED,                                                                                        \
        .refuse = refuse,                                                                                            \
        .scratch_bytes = scratch_bytes,                                                                              \
        .packed_bytes = packed_bytes,                                                                                \
        .pack = pack,                                                                                                \
        .run = run,                                                                                                  \
        .squeezes = squeezing,                                                                                       \
        .takes = SN_TAKES_SCALE,                                                                                     \
        .stats_refusal = gathers,                                                                                    \
    }

TILED_KERNEL(conv2d_tiles, SN_OP_conv2d, squeezes, stats_refusal);
TILED_KERNEL(conv2d_grad_input_tiles, SN_OP_conv2d_grad_input, NULL, NULL);
