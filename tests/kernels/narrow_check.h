/* narrow_check.h - vector_check.h for kernels on narrow tensors: every kernel of storage SN_BF16 of every ISA level of this
 * processor, and the plain narrow kernel, against the plain kernel in double.
 *
 * The case says by the dtypes of its node and inputs what is stored as bf16 (narrow_stored sets them).  All reals, weights too,
 * are drawn as values that bf16 has, so that the double kernel sees the same numbers and a kernel may pack its weights as bf16.
 * What is left are the roundings of float sums, as in vector_check.h, and, where the output is bf16, half a unit of it.
 *
 * A squeeze beside the output is of the values before they are rounded: it is held against the mean of the double kernel's.
 */
#ifndef SN_TESTS_KERNELS_NARROW_CHECK_H
#define SN_TESTS_KERNELS_NARROW_CHECK_H

#include "cpu/ref/narrow.h"
#include "kernels/vector_check.h"

/* Stores the output, and the inputs of the mask, as bf16. */
static inline void narrow_stored(kernel_case *c, bool output, uint32_t inputs)
{
    if (output) c->node.dtype = SN_BF16;
    for (int i = 0; i < c->node.inputs_count; i++)
        if (inputs >> i & 1) c->inputs[i].dtype = SN_BF16;
}

/* Input i with values that bf16 has: as bf16 or float, or all as double. */
static inline void *narrow_draw(const vector_case *c, int i, sn_precision precision, bool absolute)
{
    int64_t count = sn_shape_elements(c->call.inputs[i].shape);
    float *drawn = vector_draw(c, i, SN_FLOAT, absolute);
    bool narrow = precision == SN_FLOAT && c->call.inputs[i].dtype == SN_BF16;
    void *data = vector_block((size_t)count * (narrow ? sizeof(uint16_t) : sn_real_bytes(precision)));
    for (int64_t k = 0; k < count; k++) {
        uint16_t bits = sn_bf16_from_float(drawn[k]);
        float v = sn_bf16_to_float(bits);
        if (narrow)
            ((uint16_t *)data)[k] = bits;
        else if (precision == SN_FLOAT)
            ((float *)data)[k] = v;
        else
            ((double *)data)[k] = (double)v;
    }
    free(drawn);
    return data;
}

static inline size_t narrow_output_bytes(const vector_case *c)
{
    return (size_t)sn_shape_elements(c->call.node.shape) * sn_dtype_bytes(c->call.node.dtype, SN_FLOAT);
}

/* Runs one kernel on the case as it is stored (SN_FLOAT), or all in double; the result is malloc'ed.  *refusal is set where the
 * kernel does not take the call.  alias >= 0: the output is written over that input. */
static inline void *narrow_run(const vector_case *given, const sn_kernel *kernel, sn_precision precision, int threads,
                               bool absolute, int alias, vector_beside *beside, const char **refusal)
{
    kernel_case c = given->call;
    if (precision == SN_DOUBLE) {
        c.node.dtype = SN_REAL;
        for (int i = 0; i < c.node.inputs_count; i++)
            if (sn_dtype_is_narrow(c.inputs[i].dtype)) c.inputs[i].dtype = SN_REAL;
    }
    kernel_case_bind(&c, threads, precision);
    if (absolute) vector_drop_activation(&c.node);
    *refusal = sn_cpu_refusal(kernel, &c.call);
    if (*refusal) return NULL;
    void *blocks[SN_MAX_INPUTS] = {0};
    for (int i = 0; i < c.node.inputs_count; i++) {
        if (!given->given[i] && c.call.input_nodes[i]) blocks[i] = narrow_draw(given, i, precision, absolute);
        c.call.inputs[i] = given->given[i] ? given->given[i] : blocks[i];
    }
    size_t bytes = (size_t)sn_shape_elements(c.node.shape) * sn_dtype_bytes(c.node.dtype, precision);
    void *output = alias >= 0 ? blocks[alias] : vector_block(bytes);
    vector_run_bound(&c.call, kernel, output, beside);
    for (int i = 0; i < c.node.inputs_count; i++)
        if (blocks[i] != output) free(blocks[i]);
    return output;
}

/* What rounding a value of this size to bf16 may change. */
static inline double narrow_half_unit(double size) { return size > 0 ? ldexp(1, ilogb(size) - 8) : 0; }

/* The error that summing in float may make of element i.  F(2x2, 3x3) where pairs of bf16 are multiplied rounds both factors to
 * bf16, after transforms that may double the terms and mix the pixels around: 2 x (1/2 + 1/2) units of 1/256 of these terms
 * and of some more of up to 1. */
static inline double narrow_sum_error(const vector_case *c, const char *kernel, const double *terms, int64_t i)
{
    if (strstr(kernel, "depthwise_pointwise")) return (fabs(terms[i]) + 1) / 256; /* half a unit of each, as the map between is rounded */
    if (strstr(kernel, "winograd_f23_bf16__avx512_bf16")) return 2 * (fabs(terms[i]) + 9) / 256;
    return vector_growth(kernel) * c->error_per_term * (c->absolute > 0 ? c->absolute : fabs(terms[i]) + 1);
}

static inline void narrow_compare(const vector_case *c, const char *kernel, const void *got, const double *want,
                                  const double *terms)
{
    bool narrow = c->call.node.dtype == SN_BF16;
    for (int64_t i = 0; i < sn_shape_elements(c->call.node.shape); i++) {
        double value = (double)(narrow ? sn_bf16_to_float(((const uint16_t *)got)[i]) : ((const float *)got)[i]);
        double allowed = narrow_sum_error(c, kernel, terms, i), error = fabs(value - want[i]);
        if (narrow) allowed += narrow_half_unit(fabs(want[i]) + allowed);
        if (!(error <= allowed))
            fail_msg("%s, %s: element %lld is %.9g, the plain kernel says %.9g; off by %.3g, allowed %.3g", kernel, c->title,
                     (long long)i, value, want[i], error, allowed);
    }
}

/* A kernel that squeezes its output too: the output keeps its bits, and the squeeze has the same bits for one, two and three
 * threads.  Roundings of sums over pixels as in vector_check_squeeze. */
static inline void narrow_check_squeeze(const vector_case *c, const sn_kernel *kernel, const void *output, const double *want,
                                        const double *terms)
{
    kernel_case bound = c->call;
    kernel_case_bind(&bound, 1, SN_FLOAT);
    if (!kernel->squeezes || !kernel->squeezes(&bound.call)) return;
    sn_shape y = bound.node.shape;
    vector_beside squeeze = {.squeeze_node = {.op = SN_OP_squeeze_avg, .shape = {y.n, 1, 1, y.c}}};
    size_t bytes = (size_t)(y.n * y.c) * sizeof(float);
    float *first = NULL;
    const char *refusal;
    for (int threads = 1; threads <= 3; threads++) {
        squeeze.squeeze = vector_block(bytes);
        void *got = narrow_run(c, kernel, SN_FLOAT, threads, false, -1, &squeeze, &refusal);
        if (memcmp(got, output, narrow_output_bytes(c)) != 0)
            fail_msg("%s, %s: other bits with a squeeze", kernel->name, c->title);
        free(got);
        if (first && memcmp(first, squeeze.squeeze, bytes) != 0)
            fail_msg("%s, %s: %d threads squeeze to other bits", kernel->name, c->title, threads);
        if (first)
            free(squeeze.squeeze);
        else
            first = squeeze.squeeze;
    }
    for (int64_t n = 0; n < y.n; n++)
        for (int64_t k = 0; k < y.c; k++) {
            double sum = 0, sizes = 0, errors = 0, pixels = (double)(y.h * y.w), z = (double)first[n * y.c + k];
            for (int64_t p = 0; p < y.h * y.w; p++) {
                int64_t i = (n * y.h * y.w + p) * y.c + k;
                sum += want[i];
                sizes += fabs(want[i]);
                errors += narrow_sum_error(c, kernel->name, terms, i);
            }
            double allowed = (errors + 64 * 6e-8 * sizes) / pixels;
            if (!(fabs(z - sum / pixels) <= allowed))
                fail_msg("%s, %s: squeeze of image %d, channel %d is %.9g, the mean is %.9g", kernel->name, c->title, (int)n,
                         (int)k, z, sum / pixels);
        }
    free(first);
}

static inline void *narrow_run_with(const vector_case *c, const sn_kernel *kernel, int threads, vector_beside *beside)
{
    const char *refusal;
    return narrow_run(c, kernel, SN_FLOAT, threads, false, -1, beside, &refusal);
}

static inline void narrow_check_kernel(const vector_case *c, const sn_kernel *kernel, void *got, const double *want,
                                       const double *terms)
{
    const char *refusal;
    narrow_compare(c, kernel->name, got, want, terms);
    narrow_check_squeeze(c, kernel, got, want, terms);
    check_stats(c, kernel, got, narrow_run_with);
    for (int threads = 2; threads <= 3; threads++) {
        void *again = narrow_run(c, kernel, SN_FLOAT, threads, false, -1, NULL, &refusal);
        if (memcmp(got, again, narrow_output_bytes(c)) != 0)
            fail_msg("%s, %s: %d threads give other bits", kernel->name, c->title, threads);
        free(again);
    }
    for (int i = 0; i < c->call.node.inputs_count; i++) {
        if (!(c->in_place >> i & 1)) continue;
        void *again = narrow_run(c, kernel, SN_FLOAT, 2, false, i, NULL, &refusal);
        if (memcmp(got, again, narrow_output_bytes(c)) != 0)
            fail_msg("%s, %s: other bits over input %d", kernel->name, c->title, i);
        free(again);
    }
}

/* The check; a kernel that refuses the call is passed over, but some vector kernel of each level has to take it. */
static inline void narrow_check(const vector_case *c)
{
    const char *refusal = "no kernel";
    sn_op_kind op = c->call.node.op;
    const sn_kernel *plain = sn_cpu_candidates(op, SN_DOUBLE, SN_ISA_BASELINE)[0];
    double *want = narrow_run(c, plain, SN_DOUBLE, 2, false, -1, NULL, &refusal);
    double *terms = c->absolute > 0 ? NULL : narrow_run(c, plain, SN_DOUBLE, 2, true, -1, NULL, &refusal);
    FOR_LEVELS(isa)
    {
        const sn_kernel *kernels[17] = {NULL};
        const sn_kernel *const *candidates = sn_cpu_candidates_on(op, SN_BF16, SN_FLOAT, isa);
        for (int k = 0; candidates[k]; k++) kernels[k] = candidates[k];
        int took = 0;
        for (int k = 0; kernels[k]; k++) {
            bool is_plain = !kernels[k + 1];
            if (is_plain && isa != sn_cpu_isa()) continue;
            void *got = narrow_run(c, kernels[k], SN_FLOAT, 1, false, -1, NULL, &refusal);
            if (!got) continue;
            took += !is_plain;
            narrow_check_kernel(c, kernels[k], got, want, terms);
            free(got);
        }
        if (took == 0)
            fail_msg("%s, %s: no kernel on bf16 takes it: %s", sn_cpu_isa_name(isa), c->title, refusal ? refusal : "none");
    }
    free(terms);
    free(want);
}

/* ---- one kernel alone, found by a part of its name ---- */

static inline const sn_kernel *narrow_kernel(sn_op_kind op, sn_isa isa, const char *part)
{
    for (const sn_kernel *const *k = sn_cpu_candidates_on(op, SN_BF16, SN_FLOAT, isa); *k; k++)
        if (strstr((*k)->name, part)) return *k;
    fail_msg("no kernel %s", part);
    return NULL;
}

static inline const char *narrow_refusal(vector_case *c, const sn_kernel *kernel)
{
    kernel_case_bind(&c->call, 1, SN_FLOAT);
    return sn_cpu_refusal(kernel, &c->call.call);
}

/* Against the plain kernel; it must not refuse. */
static inline void narrow_check_alone(vector_case *c, const sn_kernel *kernel)
{
    const sn_kernel *plain = sn_cpu_candidates(c->call.node.op, SN_DOUBLE, SN_ISA_BASELINE)[0];
    const char *refusal = narrow_refusal(c, kernel);
    if (refusal) fail_msg("%s: %s", c->title, refusal);
    double *want = narrow_run(c, plain, SN_DOUBLE, 2, false, -1, NULL, &refusal);
    double *terms = narrow_run(c, plain, SN_DOUBLE, 2, true, -1, NULL, &refusal);
    void *got = narrow_run(c, kernel, SN_FLOAT, 1, false, -1, NULL, &refusal);
    narrow_check_kernel(c, kernel, got, want, terms);
    free(got);
    free(terms);
    free(want);
}

#endif
