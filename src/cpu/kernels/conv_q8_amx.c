/* conv_q8_amx.c - dense convolutions of int8 maps by tiles (tiles_amx.h), and of groups whose inputs lie in chunks of 64
 * channels.
 *
 * Blocks, layouts and products are those of the bf16 form (conv_amx_blocks.h) with bytes; sums are whole numbers and their end
 * is that of conv_q8.c, so outputs have the bits of that kernel. The zero of the input is subtracted as a constant: padding is
 * copied as the byte that stands for 0.
 */
#include "cpu/kernels/conv_q8_amx_end.h"
#include "cpu/kernels/conv_amx_blocks.h"
#include "cpu/kernels/conv_q8_amx_pack.h"

static tiled_plan plan_of(const sn_kernel_call *call)
{
    return tiled_plan_forward(&call->node->attrs.u.conv, call->input_nodes[0]->shape, call->input_nodes[1]->shape, call->node->shape,
                              true, call->squeeze_node != NULL, false);
}

static const char *refuse(const sn_kernel_call *call)
{
    sn_shape weight = call->input_nodes[1]->shape;
    const char *why = q8_conv_refusal(call);
    if (why) return why;
    if (weight.n * weight.h > TILED_TAPS) return "kernel larger than 11x11";
    tiled_plan plan = plan_of(call);
    return tiled_groups_refusal(&plan);
}

/* Where every image has blocks of its own, the last value of a pixel is known when it is stored. */
static bool squeezes(const sn_kernel_call *call) { return plan_of(call).images == call->node->shape.n; }

static size_t packed_bytes(const sn_kernel_call *call)
{
    tiled_plan plan = plan_of(call);
    return tiled_packed_bytes(&plan);
}

static void pack(const sn_kernel_call *call, void *packed)
{
    tiled_plan plan = plan_of(call);
    tiled_pack_weights(&plan, call, packed);
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    tiled_plan plan = plan_of(call);
    return tiled_scratch_bytes(call, &plan);
}

static void run(const sn_kernel_call *call)
{
    const sn_node *y = call->node, *residual = y->inputs_count > 3 ? call->input_nodes[3] : NULL;
    map_end end = map_end_of(y, y->attrs.u.conv.activation);
    tiled_run run = {.plan = plan_of(call), .in = call->inputs[0], .narrow_in = true, .zero = call->input_nodes[0]->quant.zero,
                     .packed = call->packed};
    run.end = (tiled_end){.ends = tiled_ends(&run.plan, call->packed), .end = &end, .out = call->output, .pixel = run.plan.out_c};
    if (residual) {
        run.end.residual = call->inputs[3];
        run.end.residual_type = residual->dtype;
        run.end.residual_scale = q8_residual_scale(residual, end.step);
    }
    run.end.bytes = map_end_is_byte(&end) && (!residual || residual->dtype == SN_Q8);
    tiled_run_call(call, &run);
    q8_finish_squeeze(&run.squeeze, end.step);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_tiles) = {.name = SN_KERNEL_NAME(conv2d_tiles),
                                                  .op = SN_OP_conv2d,
                                                  .storage = SN_Q8,
                                                  .refuse = refuse,
                                                  .scratch_bytes = scratch_bytes,
                                                  .packed_bytes = packed_bytes,
                                                  .pack = pack,
                                                  .run = run,
                                                  .squeezes = squeezes};
