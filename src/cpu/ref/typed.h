/* typed.h - compiles the body of a family file twice, for float and for double.
 *
 * A family file looks like this, and what does not depend on the type stands before the #define:
 *
 *     #ifndef REF
 *     #define REF_BODY "cpu/ref/family.c"
 *     #include "cpu/ref/typed.h"
 *     #else
 *     static void REF(op)(const sn_kernel_call *call) { real *y = call->output; ... }
 *     REF_KERNEL(op, .run = REF(op));
 *     #endif
 *
 * `real` is the working type, REF(name) a name of this type, REF_KERNEL(op, ...) defines sn_ref_<op>_f32 or _f64. */

#include <math.h>
#include <string.h>

#include "cpu/ref/loops.h"
#include "cpu/ref/ref.h"

#define REF_KERNEL(op_name, ...)                                                                                       \
    const sn_kernel REF(sn_ref_##op_name) = {.name = #op_name "_ref_" REF_TYPE, .op = SN_OP_##op_name, __VA_ARGS__}

#define real float
#define REF(name) name##_f32
#define REF_TYPE "f32"
#include "cpu/ref/activate.inc"
#include REF_BODY // NOLINT(bugprone-suspicious-include): the family file itself
#undef real
#undef REF
#undef REF_TYPE

#define real double
#define REF(name) name##_f64
#define REF_TYPE "f64"
#include "cpu/ref/activate.inc"
#include REF_BODY // NOLINT(bugprone-suspicious-include): the family file itself
