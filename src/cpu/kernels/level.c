/* level.c - the list of a level's kernels for one storage, best first for each op: sn_kernels_<storage>__<isa>.  Level amx has
 * kernels of its own for some lines and those of avx512_bf16 for the others. */
#include "cpu/kernels/vector.h"

#if SN_ISA_amx
#define SN_KERNEL(base) extern const sn_kernel SN_JOIN(sn_, base, SN_STORED_NAME, avx512_bf16);
#define SN_AMX_KERNEL(base)
#include SN_KERNEL_LIST
#undef SN_KERNEL
#undef SN_AMX_KERNEL
#define LISTED(base) SN_JOIN(sn_, base, SN_STORED_NAME, avx512_bf16)
#else
#define LISTED(base) SN_KERNEL_SYMBOL(base)
#endif

const sn_kernel *const SN_KERNEL_SYMBOL(kernels)[] = {
#define SN_KERNEL(base) &LISTED(base),
#define SN_AMX_KERNEL(base) &SN_KERNEL_SYMBOL(base),
#include SN_KERNEL_LIST
    NULL};
