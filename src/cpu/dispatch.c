/* dispatch.c - which kernel runs a node.  kernels/list.inc names the vector kernels, best first; each ISA level has its own
 * build of all of them.  A level looks through its own list, then the plain kernel takes what is left. */
#include "cpu/cpu.h"
#include "cpu/ref/ref.h"

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

const sn_kernel *sn_cpu_choose(const sn_kernel_call *call, bool reference_only)
{
    if (call->precision == SN_FLOAT && !reference_only) {
        for (const sn_kernel *const *k = level_kernels(sn_cpu_isa()); *k; k++)
            if ((*k)->op == call->node->op && (!(*k)->refuse || !(*k)->refuse(call))) return *k;
    }
    return plain[call->node->op][call->precision];
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
