/* level.c - the list of a level's kernels for one storage, best first for each op: sn_kernels_<storage>__<isa>. */
#include "cpu/kernels/vector.h"

const sn_kernel *const SN_KERNEL_SYMBOL(kernels)[] = {
#define SN_KERNEL(base) &SN_KERNEL_SYMBOL(base),
#include SN_KERNEL_LIST
#undef SN_KERNEL
    NULL};
