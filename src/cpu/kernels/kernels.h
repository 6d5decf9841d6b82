/* kernels.h - the vector kernels of the CPU backend: sums in single precision, one set of symbols per ISA level.
 *
 * list.inc is the list of those on float tensors, list_bf16.inc and list_q8.inc of those on bf16 and int8 activations:
 * SN_KERNEL(base), best first for every op.  Level <isa> has, for every line,
 *     extern const sn_kernel sn_<base>_f32__<isa>;   (or sn_<base>_bf16__<isa>, sn_<base>_q8__<isa>)
 * and a list of them all, sn_kernels_f32__<isa>.  Level amx has convolutions of its own on bf16 and int8 (*_amx.c,
 * SN_AMX_KERNEL), and else those of avx512_bf16.
 * A kernel refuses what it does not cover, with a reason; the plain C kernel of cpu/ref then runs.  All of them give the
 * same bits for any number of threads: work is cut by shape alone, and sums over several tasks are joined in a fixed order.
 */
#ifndef SN_CPU_KERNELS_KERNELS_H
#define SN_CPU_KERNELS_KERNELS_H

#include "base/parallel.h"
#include "exec/exec.h"

/* Work below this many bytes or operations is done by one thread: waking another costs more. */
enum { SN_SMALL_BYTES = 96 * 1024, SN_SMALL_MACS = 1000 * 1000 };

#endif
