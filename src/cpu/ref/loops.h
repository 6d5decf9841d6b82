/* loops.h - the two loops of the plain C kernels: over independent items, and sums over items in a fixed order. */
#ifndef SN_CPU_REF_LOOPS_H
#define SN_CPU_REF_LOOPS_H

#include "exec/exec.h"

/* Computes the items [begin, end) of a call: elements, pixels or rows, as the kernel sees fit. */
typedef void (*sn_ref_range)(const sn_kernel_call *call, int64_t begin, int64_t end);

/* Runs range() over [0, items) on call->threads threads, in pieces of about 16384 elements.  Items are independent, so
 * the pieces do not show in the result. */
void sn_ref_for(const sn_kernel_call *call, int64_t items, int64_t elements_per_item, sn_ref_range range);

/* Adds the contributions of the items [begin, end) to sums[]; `given` is what the caller of sn_ref_sum passed. */
typedef void (*sn_ref_add)(const sn_kernel_call *call, const double *given, int64_t begin, int64_t end, double *sums);

/* totals[columns] = the sum over [0, items), in double: blocks of a fixed number of items side by side, then the blocks
 * in order, so that neither threads nor their number matter.  `scratch` holds sn_ref_sum_bytes(items, columns). */
void sn_ref_sum(const sn_kernel_call *call, int64_t items, int64_t columns, sn_ref_add add, const double *given,
                double *scratch, double *totals);
size_t sn_ref_sum_bytes(int64_t items, int64_t columns);

/* An input, or NULL where an optional one is absent. */
static inline const void *sn_ref_input(const sn_kernel_call *call, int index)
{
    return index < call->node->inputs_count && call->node->inputs[index] != SN_NONE ? call->inputs[index] : NULL;
}

static inline int64_t sn_ref_pixels(sn_shape shape)
{
    return shape.n * shape.h * shape.w;
}

#endif
