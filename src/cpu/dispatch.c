/* dispatch.c - which kernel runs a node.  kernels/list.inc names the vector kernels, best first; each ISA level has its own
 * build of all of them, and one more of those on bf16 and int8 activations.  A level looks through its own list, then the plain
 * kernel takes what is left. */
#include <stdio.h>

#include "base/log.h"
#include "cpu/cpu.h"
#include "cpu/ref/ref.h"
#include "ops/op.h"

/* ---- the vector kernels: a NULL-ended list a level and storage (kernels/level.c) ---- */

static const sn_kernel *const none[] = {NULL};

#define LISTS(isa)                                                                                                   \
    extern const sn_kernel *const sn_kernels_f32__##isa[], *const sn_kernels_bf16__##isa[], *const sn_kernels_q8__##isa[];
#define LIST(storage, isa)                                                                                           \
    ((storage) == SN_BF16 ? sn_kernels_bf16__##isa : (storage) == SN_Q8 ? sn_kernels_q8__##isa : sn_kernels_f32__##isa)

#ifdef SENET_HAS_baseline
LISTS(baseline)
#endif
#ifdef SENET_HAS_avx2
LISTS(avx2)
#endif
#ifdef SENET_HAS_avx512
LISTS(avx512)
extern const sn_kernel *const sn_kernels_bf16__avx512_bf16[], *const sn_kernels_q8__avx512_bf16[];
#endif
#ifdef SENET_HAS_amx
extern const sn_kernel *const sn_kernels_bf16__amx[], *const sn_kernels_q8__amx[];
#endif
#ifdef SENET_HAS_neon
LISTS(neon)
#endif

/* Those of a level; none where it was not built. */
static const sn_kernel *const *level_kernels(sn_dtype storage, sn_isa isa)
{
#ifdef SENET_HAS_amx
    if (isa == SN_ISA_AMX && storage == SN_BF16) return sn_kernels_bf16__amx;
    if (isa == SN_ISA_AMX && storage == SN_Q8) return sn_kernels_q8__amx;
#endif
    switch (isa) {
#ifdef SENET_HAS_baseline
    case SN_ISA_BASELINE: return LIST(storage, baseline);
#endif
#ifdef SENET_HAS_avx2
    case SN_ISA_AVX2: return LIST(storage, avx2);
#endif
#ifdef SENET_HAS_avx512
    case SN_ISA_AVX512: return LIST(storage, avx512);
    case SN_ISA_AVX512_BF16:
    case SN_ISA_AMX:
        if (storage == SN_BF16) return sn_kernels_bf16__avx512_bf16;
        if (storage == SN_Q8) return sn_kernels_q8__avx512_bf16;
        return sn_kernels_f32__avx512;
#endif
#ifdef SENET_HAS_neon
    case SN_ISA_NEON: return LIST(storage, neon);
#endif
    default: return none;
    }
}

/* ---- the plain kernels ---- */

static const sn_kernel *const plain[SN_OP_COUNT][3] = {
#define SN_OP(name, ...) [SN_OP_##name] = {&sn_ref_##name##_f32, &sn_ref_##name##_f64, &sn_ref_##name##_narrow},
#include "ops/ops.def"
#undef SN_OP
};

static const sn_kernel *plain_kernel(sn_op_kind op, sn_dtype storage, sn_precision precision)
{
    return plain[op][storage != SN_REAL ? 2 : precision == SN_DOUBLE];
}

/* What sn_kernel.storage has to be for a call. */
static sn_dtype storage_of(const sn_kernel_call *call)
{
    sn_dtype storage = sn_dtype_is_narrow(call->node->dtype) ? call->node->dtype : SN_REAL;
    if (call->node->op == SN_OP_conv2d && call->node->attrs.u.conv.narrow_weights) storage = SN_BF16;
    for (int k = 0; k < call->node->inputs_count; k++)
        if (call->input_nodes[k] && sn_dtype_is_narrow(call->input_nodes[k]->dtype) && call->input_nodes[k]->dtype > storage)
            storage = call->input_nodes[k]->dtype;
    return storage;
}

const char *sn_cpu_refusal(const sn_kernel *kernel, const sn_kernel_call *call)
{
    const sn_node *node = call->node;
    if (!kernel->refuse) return NULL;
    if (node->op == SN_OP_conv2d && !(kernel->takes & SN_TAKES_GATE) && node->inputs_count > 4 && call->input_nodes[4]) return "a gate";
    if (node->op == SN_OP_conv2d && !(kernel->takes & SN_TAKES_SCALE) && node->inputs_count > 5 && call->input_nodes[5]) return "a scale";
    if (node->op == SN_OP_conv2d && !(kernel->takes & SN_SHUFFLES) && node->attrs.u.conv.shuffle > 1) return "a shuffle";
    return kernel->refuse(call);
}

/* Why the kernel does not take one of the calls, or NULL. */
static const char *refusal_of(const sn_kernel *kernel, const sn_kernel_call *calls, int count)
{
    const char *why = NULL;
    for (int i = 0; i < count && !why; i++) why = sn_cpu_refusal(kernel, &calls[i]);
    return why;
}

/* "conv2d 'layer1.0.relu1', 1x56x56x64: conv2d_direct_f32__avx512; not conv2d_matvec_f32__avx512: a residual" */
static void log_choice(const sn_kernel_call *calls, int count, const sn_kernel *chosen, const sn_kernel *const *level)
{
    char refused[800] = "";
    size_t used = 0;
    for (const sn_kernel *const *k = level; k && *k && *k != chosen; k++) {
        if ((*k)->op != chosen->op || used >= sizeof refused) continue;
        used += (size_t)snprintf(refused + used, sizeof refused - used, "; not %s: %s", (*k)->name,
                                 refusal_of(*k, calls, count));
    }
    sn_log("dispatch", "%s, %s: %s%s", sn_node_title(calls->node), sn_shape_text(calls->node->shape), chosen->name, refused);
}

const sn_kernel *sn_cpu_choose(const sn_kernel_call *calls, int count, bool reference_only)
{
    sn_op_kind op = calls->node->op;
    sn_dtype storage = storage_of(calls);
    const sn_kernel *chosen = plain_kernel(op, storage, calls->precision);
    const sn_kernel *const *level = NULL;
    if (calls->precision == SN_FLOAT && !reference_only) level = level_kernels(storage, sn_cpu_isa_on(storage));
    for (const sn_kernel *const *k = level; k && *k; k++)
        if ((*k)->op == op && !refusal_of(*k, calls, count)) {
            chosen = *k;
            break;
        }
    if (chosen && chosen->run && sn_log_wants("dispatch")) log_choice(calls, count, chosen, level);
    return chosen;
}

const sn_kernel *const *sn_cpu_candidates_on(sn_op_kind op, sn_dtype storage, sn_precision precision, sn_isa isa)
{
    enum { MOST = 16 };
    static _Thread_local const sn_kernel *found[MOST + 2];
    int count = 0;
    if (precision == SN_FLOAT)
        for (const sn_kernel *const *k = level_kernels(storage, isa); *k && count < MOST; k++)
            if ((*k)->op == op) found[count++] = *k;
    found[count++] = plain_kernel(op, storage, precision);
    found[count] = NULL;
    return found;
}

const sn_kernel *const *sn_cpu_candidates(sn_op_kind op, sn_precision precision, sn_isa isa)
{
    return sn_cpu_candidates_on(op, SN_REAL, precision, isa);
}
