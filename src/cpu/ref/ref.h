/* ref.h - the plain C kernels: one for every op and working type, the truth that all faster kernels are tested against.
 *
 * They take every call, work in float or double (narrow tensors are widened to float on the way, narrow.c), and give the same bits for any number of threads.  Sources (input,
 * param) have an entry without run, so that a table over ops.def has no holes. */
#ifndef SN_CPU_REF_REF_H
#define SN_CPU_REF_REF_H

#include "exec/exec.h"

#define SN_OP(name, ...) extern const sn_kernel sn_ref_##name##_f32, sn_ref_##name##_f64, sn_ref_##name##_narrow;
#include "ops/ops.def"
#undef SN_OP

#endif
