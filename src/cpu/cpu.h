/* cpu.h - the CPU backend: which kernel runs a node on this machine. */
#ifndef SN_CPU_CPU_H
#define SN_CPU_CPU_H

#include "exec/exec.h"

typedef enum sn_isa { SN_ISA_BASELINE, SN_ISA_AVX2, SN_ISA_AVX512, SN_ISA_AVX512_BF16, SN_ISA_AMX, SN_ISA_NEON } sn_isa;

/* Whether kernels of the level were built, the processor runs them, and the environment's SENET_ISA is no lower level.  Of
 * x86-64: baseline, avx2, avx512, avx512_bf16 (as avx512, but with kernels of its own on narrow tensors), amx (as avx512_bf16, but
 * with kernels of its own on bf16; needs the system's permission, asked for at the first use); of arm64: neon. */
bool sn_cpu_has(sn_isa isa);
/* The level in use: the highest that there is. */
sn_isa sn_cpu_isa(void);
/* The level whose kernels run on tensors of a type: the one in use, but on bf16 avx512 instead of avx512_bf16 where the
 * processor is Intel's and the environment's SENET_ISA does not name the latter: its VDPBF16PS starts every other cycle, its FMA
 * twice a cycle, so that values widened to fp32 are multiplied in two thirds of the time (docs/kernels.md). */
sn_isa sn_cpu_isa_on(sn_dtype storage);
const char *sn_cpu_isa_name(sn_isa isa);

/* For inference, after batch norm is folded: sn_graph_join_moves, and pairs of layers joined as suits the level in use. */
senet_status sn_cpu_join_layers(const sn_graph *graph, senet_precision precision, sn_graph **joined);

/* Measures what one core can do: floating point operations a second, two for a multiply-add; some ms.  0: not known. */
double sn_cpu_peak_flops(void);

/* The first kernel that takes all of these calls of one node, which differ in the number of images: vector kernels of the
 * level in use, best first, then the plain one, which takes everything.  NULL only for an op without kernel (sources).
 * The log's topic "dispatch" tells which it was, and why those before it refused. */
const sn_kernel *sn_cpu_choose(const sn_kernel_call *calls, int count, bool reference_only);

/* Why the kernel does not take the call, or NULL. */
const char *sn_cpu_refusal(const sn_kernel *kernel, const sn_kernel_call *call);

/* Every kernel that could run an op, best first, for tests and benches; ends with NULL. */
const sn_kernel *const *sn_cpu_candidates(sn_op_kind op, sn_precision precision, sn_isa isa);
/* The same for calls with narrow tensors (sn_kernel.storage). */
const sn_kernel *const *sn_cpu_candidates_on(sn_op_kind op, sn_dtype storage, sn_precision precision, sn_isa isa);

#endif
