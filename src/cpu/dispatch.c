/* dispatch.c - which kernel runs a node.  kernels/list.inc names the vector kernels, best first; each ISA level has its own
 * build of all of them.  A level looks through its own list, then the plain kernel takes what is left. */
#include <stdio.h>

#include "base/log.h"
#include "cpu/cpu.h"
#include "cpu/ref/ref.h"
#include "ops/op.h"

/* ---- the vector kernels, a NULL-ended list a level ---- */

#define LEVEL(isa) static const sn_kernel *const kernels_##isa[] = {
#define END_LEVEL NULL };

#ifdef SENET_HAS_baseline
#define SN_KERNEL(base) extern const sn_kernel sn_##base##_f32__baseline;
#include "cpu/kernels/list.inc"
#undef SN_KERNEL
LEVEL(baseline)
#define SN_KERNEL(base) &sn_##base##_f32__baseline,
#include "cpu/kernels/list.inc"
#undef SN_KERNEL
END_LEVEL
#else
LEVEL(baseline) END_LEVEL
#endif

#ifdef SENET_HAS_avx2
#define SN_KERNEL(base) extern const sn_kernel sn_##base##_f32__avx2;
#include "cpu/kernels/list.inc"
#undef SN_KERNEL
LEVEL(avx2)
#define SN_KERNEL(base) &sn_##base##_f32__avx2,
#include "cpu/kernels/list.inc"
#undef SN_KERNEL
END_LEVEL
#endif

#ifdef SENET_HAS_avx512
#define SN_KERNEL(base) extern const sn_kernel sn_##base##_f32__avx512;
#include "cpu/kernels/list.inc"
#undef SN_KERNEL
LEVEL(avx512)
#define SN_KERNEL(base) &sn_##base##_f32__avx512,
#include "cpu/kernels/list.inc"
#undef SN_KERNEL
END_LEVEL
#endif

static const sn_kernel *const *level_kernels(sn_isa isa)
{
    switch (isa) {
#ifdef SENET_HAS_avx512
    case SN_ISA_AVX512_BF16:
    case SN_ISA_AVX512: return kernels_avx512;
#endif
#ifdef SENET_HAS_avx2
    case SN_ISA_AVX2: return kernels_avx2;
#endif
    default: return kernels_baseline;
    }
}

/* ---- the plain kernels ---- */

static const sn_kernel *const plain[SN_OP_COUNT][2] = {
#define SN_OP(name, ...) [SN_OP_##name] = {&sn_ref_##name##_f32, &sn_ref_##name##_f64},
#include "ops/ops.def"
#undef SN_OP
};

/* Why the kernel does not take one of the calls, or NULL. */
static const char *refusal_of(const sn_kernel *kernel, const sn_kernel_call *calls, int count)
{
    const char *why = NULL;
    for (int i = 0; i < count && kernel->refuse && !why; i++) why = kernel->refuse(&calls[i]);
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
    const sn_kernel *chosen = plain[op][calls->precision];
    const sn_kernel *const *level = calls->precision == SN_FLOAT && !reference_only ? level_kernels(sn_cpu_isa()) : NULL;
    for (const sn_kernel *const *k = level; k && *k; k++)
        if ((*k)->op == op && !refusal_of(*k, calls, count)) {
            chosen = *k;
            break;
        }
    if (chosen && chosen->run && sn_log_wants("dispatch")) log_choice(calls, count, chosen, level);
    return chosen;
}

const sn_kernel *const *sn_cpu_candidates(sn_op_kind op, sn_precision precision, sn_isa isa)
{
    enum { MOST = 16 };
    static _Thread_local const sn_kernel *found[MOST + 2];
    int count = 0;
    if (precision == SN_FLOAT)
        for (const sn_kernel *const *k = level_kernels(isa); *k && count < MOST; k++)
            if ((*k)->op == op) found[count++] = *k;
    found[count++] = plain[op][precision];
    found[count] = NULL;
    return found;
}
