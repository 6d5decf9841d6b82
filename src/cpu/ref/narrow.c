/* narrow.c - the plain kernels on narrow tensors: widens the inputs to float, runs the plain float kernel, narrows the output.
 *
 * So every op works on bf16 and int8 tensors on every machine, and there is one truth for the kernels that compute on them. */
#include "cpu/ref/narrow.h"

#include "base/memory.h"
#include "base/parallel.h"
#include "cpu/ref/loops.h"
#include "cpu/ref/ref.h"

enum { PIECE = 16384 };

static const sn_kernel *const plain_float[SN_OP_COUNT] = {
#define SN_OP(name, ...) [SN_OP_##name] = &sn_ref_##name##_f32,
#include "ops/ops.def"
#undef SN_OP
};

static size_t float_bytes(const sn_node *node) { return sn_align((size_t)sn_shape_elements(node->shape) * sizeof(float), SN_ALIGNMENT); }

static size_t scratch_bytes(const sn_kernel_call *call)
{
    const sn_kernel *kernel = plain_float[call->node->op];
    size_t bytes = kernel->scratch_bytes ? sn_align(kernel->scratch_bytes(call), SN_ALIGNMENT) : 0;
    if (sn_dtype_is_narrow(call->node->dtype)) bytes += float_bytes(call->node);
    for (int k = 0; k < call->node->inputs_count; k++)
        if (call->input_nodes[k] && sn_dtype_is_narrow(call->input_nodes[k]->dtype)) bytes += float_bytes(call->input_nodes[k]);
    return bytes;
}

/* ---- a tensor from one type to the other, in pieces side by side ---- */

typedef struct conversion {
    const sn_node *node;
    void *narrow;
    float *wide;
} conversion;

static void widen_piece(void *context, int64_t index, int worker)
{
    (void)worker;
    const conversion *c = context;
    int64_t end = sn_shape_elements(c->node->shape), begin = index * PIECE;
    if (end > begin + PIECE) end = begin + PIECE;
    if (c->node->dtype == SN_BF16)
        for (int64_t i = begin; i < end; i++) c->wide[i] = sn_bf16_to_float(((const uint16_t *)c->narrow)[i]);
    else
        for (int64_t i = begin; i < end; i++) c->wide[i] = sn_q8_to_float(((const uint8_t *)c->narrow)[i], c->node->quant);
}

static void narrow_piece(void *context, int64_t index, int worker)
{
    (void)worker;
    const conversion *c = context;
    int64_t end = sn_shape_elements(c->node->shape), begin = index * PIECE;
    if (end > begin + PIECE) end = begin + PIECE;
    if (c->node->dtype == SN_BF16)
        for (int64_t i = begin; i < end; i++) ((uint16_t *)c->narrow)[i] = sn_bf16_from_float(c->wide[i]);
    else
        for (int64_t i = begin; i < end; i++) ((uint8_t *)c->narrow)[i] = sn_q8_from_float(c->wide[i], c->node->quant);
}

static void convert(const sn_kernel_call *call, const conversion *c, void (*piece)(void *context, int64_t index, int worker))
{
    sn_parallel_for(call->threads, (sn_shape_elements(c->node->shape) + PIECE - 1) / PIECE, piece, (void *)(uintptr_t)c);
}

static void run(const sn_kernel_call *call)
{
    const sn_kernel *kernel = plain_float[call->node->op];
    sn_kernel_call wide = *call;
    char *scratch = call->scratch;
    for (int k = 0; k < call->node->inputs_count; k++) {
        const sn_node *input = call->input_nodes[k];
        if (!input || !sn_dtype_is_narrow(input->dtype)) continue;
        conversion c = {.node = input, .narrow = (void *)(uintptr_t)call->inputs[k], .wide = (float *)scratch};
        convert(call, &c, widen_piece);
        wide.inputs[k] = scratch;
        scratch += float_bytes(input);
    }
    conversion out = {.node = call->node, .narrow = call->output, .wide = (float *)scratch};
    if (sn_dtype_is_narrow(call->node->dtype)) {
        wide.output = scratch;
        scratch += float_bytes(call->node);
    }
    wide.scratch = scratch;
    kernel->run(&wide);
    if (sn_dtype_is_narrow(call->node->dtype)) convert(call, &out, narrow_piece);
}

/* One an op, so that profiles tell them apart; sources have none to run. */
#define SN_OP(op_name, ...)                                                                                         \
    const sn_kernel sn_ref_##op_name##_narrow = {                                                                   \
        .name = #op_name "_ref_narrow", .op = SN_OP_##op_name, .scratch_bytes = scratch_bytes, .run = run};
#include "ops/ops.def"
#undef SN_OP
