/* vector_check.h - holds every vector kernel of every ISA level of this processor against the plain kernel.
 *
 * The plain kernel runs in double on the same numbers, and once more on their absolute values: that is the sum of |terms| of
 * every output of a linear op, to which rounding errors are proportional.  With error_per_term e an output may be off by
 * e * (sum of |terms| + 1); an epsilon of float is 1.2e-7 / 2, and sums of up to 2e4 terms in vectors and blocks stay below ten of
 * them.  Activations have slopes of at most 1 and add one rounding.
 *
 * Outputs and scratch start as NaN, so that what is read before it is written shows; blocks are of the exact size, so that an
 * address sanitizer sees a step outside.  One, two and three threads must give the same bits.
 */
#ifndef SN_TESTS_KERNELS_VECTOR_CHECK_H
#define SN_TESTS_KERNELS_VECTOR_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "cpu/cpu.h"
#include "cpu/ref/narrow.h"
#include "kernels/kernel_case.h"

/* The levels of this build that this processor has, up to SENET_ISA. */
#define FOR_LEVELS(isa)                                                                                              \
    for (sn_isa isa = SN_ISA_BASELINE; isa <= sn_cpu_isa(); isa++)                                                   \
        if (sn_cpu_has(isa))

/* Those of them with kernels of their own on float tensors. */
static inline bool has_own_float_kernels(sn_isa isa) { return isa != SN_ISA_AVX512_BF16 && isa != SN_ISA_AMX; }
#define FOR_FLOAT_LEVELS(isa) FOR_LEVELS(isa) if (has_own_float_kernels(isa))

typedef struct vector_case {
    kernel_case call;
    char title[160];
    double error_per_term;
    double absolute;            /* > 0: the terms sum up to this instead (ops that are not linear) */
    const void *given[SN_MAX_INPUTS]; /* values of integer inputs */
    double low[SN_MAX_INPUTS], high[SN_MAX_INPUTS]; /* range of drawn reals; both 0: -1 to 1 */
    int levels[SN_MAX_INPUTS];  /* > 0: only so many different values are drawn, low the least of them */
    int changes;                /* > 0: the op changes inputs changes, changes + 1, ... and has no output */
    int in_place;               /* bit i: also with the output in the memory of input i */
} vector_case;

static inline void *vector_block(size_t bytes)
{
    void *block = NULL;
    assert_int_equal(posix_memalign(&block, SN_ALIGNMENT, bytes ? bytes : 1), 0);
    memset(block, 0xff, bytes);
    return block;
}

/* Input i with values drawn for it, as they are or as absolute values. */
static inline void *vector_draw(const vector_case *c, int i, sn_precision precision, bool absolute)
{
    int64_t count = sn_shape_elements(c->call.inputs[i].shape);
    double low = c->low[i], high = c->high[i];
    if (low == 0 && high == 0) low = -1, high = 1;
    void *data = vector_block((size_t)count * sn_real_bytes(precision));
    uint64_t key = sn_rng_key(1, SN_RNG_TEST, (uint64_t)i, 0);
    for (int64_t k = 0; k < count; k++) {
        double share = sn_rng_uniform(key, (uint64_t)k);
        if (c->levels[i] > 0) share = floor(share * c->levels[i]) / c->levels[i];
        float v = (float)(low + (high - low) * share);
        if (absolute) v = fabsf(v);
        if (precision == SN_DOUBLE)
            ((double *)data)[k] = (double)v;
        else
            ((float *)data)[k] = v;
    }
    return data;
}

/* An op that ends in an activation, without it. */
static inline void vector_drop_activation(sn_node *node)
{
    if (node->op == SN_OP_conv2d || node->op == SN_OP_depthwise_pointwise)
        node->attrs.u.conv.activation = node->attrs.u.conv.between = SN_IDENTITY;
    if (node->op == SN_OP_add || node->op == SN_OP_scale_add) node->attrs.u.activation.kind = SN_IDENTITY;
}

/* Gives a convolution with bias and residual, or without, a scale of its sums. */
static inline void vector_scale(vector_case *c)
{
    while (c->call.node.inputs_count < 5) kernel_case_input(&c->call, (sn_shape){0}, SN_REAL);
    kernel_case_input(&c->call, (sn_shape){c->call.node.shape.n, 1, 1, c->call.node.shape.c}, SN_REAL);
    strncat(c->title, " scaled", sizeof c->title - strlen(c->title) - 1);
}

/* What a kernel is asked for beside its output. */
typedef struct vector_beside {
    sn_node squeeze_node, stats_node;
    float *squeeze; /* (N,1,1,C), or NULL: not asked for */
    float *stats;   /* (1,1,2,C), or NULL */
} vector_beside;

/* Runs a kernel on a call with its inputs in place: packs, gives what it is asked for beside, and writes to output. */
static inline void vector_run_bound(sn_kernel_call *call, const sn_kernel *kernel, void *output, vector_beside *beside)
{
    if (beside && beside->squeeze) {
        call->squeeze_node = &beside->squeeze_node;
        call->squeeze = beside->squeeze;
    }
    if (beside && beside->stats) {
        call->stats_node = &beside->stats_node;
        call->stats = beside->stats;
    }
    void *packed = kernel->packed_bytes ? vector_block(kernel->packed_bytes(call)) : NULL;
    void *scratch = kernel->scratch_bytes ? vector_block(kernel->scratch_bytes(call)) : NULL;
    if (kernel->pack) kernel->pack(call, packed);
    call->output = output;
    call->packed = packed;
    call->scratch = scratch;
    kernel->run(call);
    free(packed);
    free(scratch);
}

/* Runs one kernel; the result is malloc'ed: the output, or the inputs it changed one behind the other. *refusal is set where the kernel
 * does not take the call.  alias >= 0: the output is written over that input. */
static inline void *vector_run_beside(const vector_case *given, const sn_kernel *kernel, sn_precision precision,
                                         int threads, bool absolute, int alias, vector_beside *beside,
                                         const char **refusal)
{
    kernel_case c = given->call;
    kernel_case_bind(&c, threads, precision);
    if (absolute) vector_drop_activation(&c.node);
    *refusal = sn_cpu_refusal(kernel, &c.call);
    if (*refusal) return NULL;
    size_t real = sn_real_bytes(precision), output_bytes = (size_t)sn_shape_elements(c.node.shape) * real;
    void *blocks[SN_MAX_INPUTS] = {0};
    for (int i = 0; i < c.node.inputs_count; i++) {
        if (!given->given[i] && c.call.input_nodes[i]) blocks[i] = vector_draw(given, i, precision, absolute);
        c.call.inputs[i] = given->given[i] ? given->given[i] : blocks[i];
    }
    void *output = alias >= 0 ? blocks[alias] : vector_block(output_bytes);
    vector_run_bound(&c.call, kernel, output, beside);
    if (given->changes > 0) {
        free(output);
        size_t total = 0;
        for (int i = given->changes; i < c.node.inputs_count; i++)
            total += (size_t)sn_shape_elements(c.inputs[i].shape) * real;
        char *changed = output = vector_block(total);
        for (int i = given->changes; i < c.node.inputs_count; i++) {
            size_t bytes = (size_t)sn_shape_elements(c.inputs[i].shape) * real;
            memcpy(changed, blocks[i], bytes);
            changed += bytes;
        }
    }
    for (int i = 0; i < c.node.inputs_count; i++)
        if (blocks[i] != output) free(blocks[i]);
    return output;
}

static inline void *vector_run(const vector_case *given, const sn_kernel *kernel, sn_precision precision, int threads,
                               bool absolute, int alias, const char **refusal)
{
    return vector_run_beside(given, kernel, precision, threads, absolute, alias, NULL, refusal);
}

static inline int64_t vector_outputs(const vector_case *c)
{
    if (c->changes == 0) return sn_shape_elements(c->call.node.shape);
    int64_t count = 0;
    for (int i = c->changes; i < c->call.node.inputs_count; i++) count += sn_shape_elements(c->call.inputs[i].shape);
    return count;
}

/* The kernel without its preferences, refusals that begin with "slower"; false where it has other reasons. */
static inline bool vector_force(vector_case *c, const sn_kernel *kernel, sn_kernel *forced)
{
    kernel_case_bind(&c->call, 1, SN_FLOAT);
    const char *refusal = kernel->refuse(&c->call.call);
    *forced = *kernel;
    forced->refuse = NULL;
    return !refusal || strncmp(refusal, "slower", 6) == 0;
}

/* F(4x4,3x3) multiplies the terms by up to 5 and 8 on the way and cancels that again, F(2x2,3x3) by up to 2 and 2.  Strassen's sums
 * have up to three and four terms, and what cancels in an output belongs to its neighbours. */
static inline double vector_growth(const char *kernel)
{
    return strstr(kernel, "winograd_f43") ? 12 : strstr(kernel, "winograd_f23") || strstr(kernel, "strassen") ? 2 : 1;
}

/* Runs a kernel for check_stats. */
typedef void *(*vector_runner)(const vector_case *c, const sn_kernel *kernel, int threads, vector_beside *beside);

static inline double vector_value(const vector_case *c, const void *map, int64_t i)
{
    return (double)(c->call.node.dtype == SN_BF16 ? sn_bf16_to_float(((const uint16_t *)map)[i]) : ((const float *)map)[i]);
}

/* A kernel that gives batch norm's statistics of its output too: the output keeps its bits, also beside a squeeze, which keeps its
 * own; the statistics have the same bits for one, two and three threads.  They are those of the output as it is stored, in double: up
 * to the rounding to float, and to that of sums in blocks of some hundred values, from a centre that lies among them; what is lost
 * does not grow with the mean.  Whether the kernel gives any. */
static inline bool check_stats(const vector_case *c, const sn_kernel *kernel, const void *output, vector_runner run)
{
    kernel_case bound = c->call;
    kernel_case_bind(&bound, 1, SN_FLOAT);
    if (!kernel->stats_refusal || kernel->stats_refusal(&bound.call)) return false;
    sn_shape y = bound.node.shape;
    int64_t pixels = y.n * y.h * y.w;
    size_t values = (size_t)y.c * 2 * sizeof(float), squeezes = (size_t)(y.n * y.c) * sizeof(float);
    size_t bytes = (size_t)(pixels * y.c) * sn_dtype_bytes(bound.node.dtype, SN_FLOAT);
    float *stats[4], *squeeze = NULL;
    for (int i = 0; i < 4; i++) { /* 1 to 3 threads, and beside a squeeze */
        if (i == 3 && !(kernel->squeezes && kernel->squeezes(&bound.call))) break;
        vector_beside beside = {.squeeze_node = {.op = SN_OP_squeeze_avg, .shape = {y.n, 1, 1, y.c}},
                                .stats_node = {.op = SN_OP_bn_stats, .shape = {1, 1, 2, y.c}}, .stats = vector_block(values)};
        stats[i] = beside.stats;
        if (i == 3) beside.squeeze = squeeze = vector_block(squeezes);
        void *got = run(c, kernel, 1 + i % 3, &beside);
        if (memcmp(got, output, bytes) != 0) fail_msg("%s, %s: other bits with statistics", kernel->name, c->title);
        if (i < 3 && memcmp(stats[i], stats[0], values) != 0)
            fail_msg("%s, %s: %d threads give other statistics", kernel->name, c->title, 1 + i);
        free(got);
    }
    if (squeeze) {
        vector_beside beside = {.squeeze_node = {.op = SN_OP_squeeze_avg, .shape = {y.n, 1, 1, y.c}}, .squeeze = vector_block(squeezes)};
        free(run(c, kernel, 2, &beside));
        if (memcmp(beside.squeeze, squeeze, squeezes) != 0)
            fail_msg("%s, %s: another squeeze beside statistics", kernel->name, c->title);
        free(beside.squeeze);
    }
    for (int i = 0; i < (squeeze ? 4 : 1); i += 3)
        for (int64_t k = 0; k < y.c; k++) {
            double sum = 0, squares = 0, mean, variance, got_mean = (double)stats[i][k], got = (double)stats[i][y.c + k];
            for (int64_t p = 0; p < pixels; p++) sum += vector_value(c, output, p * y.c + k);
            mean = sum / (double)pixels;
            for (int64_t p = 0; p < pixels; p++) {
                double d = vector_value(c, output, p * y.c + k) - mean;
                squares += d * d;
            }
            variance = squares / (double)pixels;
            if (!(fabs(got_mean - mean) <= 1.2e-7 * fabs(mean) + 1e-5 * sqrt(variance)))
                fail_msg("%s, %s: the mean of channel %d is %.9g, not %.9g", kernel->name, c->title, (int)k, mean, got_mean);
            if (!(fabs(got - variance) <= 1e-5 * variance + 1e-16 * mean * mean))
                fail_msg("%s, %s: the variance of channel %d is %.9g, not %.9g (mean %g)", kernel->name, c->title, (int)k, variance, got, mean);
        }
    for (int i = 0; i < (squeeze ? 4 : 3); i++) free(stats[i]);
    free(squeeze);
    return true;
}

static inline void vector_compare(const vector_case *c, const char *kernel, const float *got, const double *want,
                                  const double *terms)
{
    int64_t count = vector_outputs(c);
    double growth = vector_growth(kernel);
    for (int64_t i = 0; i < count; i++) {
        double allowed = growth * c->error_per_term * (c->absolute > 0 ? c->absolute : fabs(terms[i]) + 1);
        double error = fabs((double)got[i] - want[i]);
        if (!(error <= allowed))
            fail_msg("%s, %s: element %lld is %.9g, the plain kernel says %.9g; off by %.3g, allowed %.3g", kernel, c->title,
                     (long long)i, (double)got[i], want[i], error, allowed);
    }
}

/* A kernel that squeezes its output too: the output keeps its bits, the squeeze is its mean for one, two and three threads.
 * Sums of up to a few hundred values in single precision, then of their sums: within 64 roundings of the mean of sizes. */
static inline void vector_check_squeeze(const vector_case *c, const sn_kernel *kernel, const float *output)
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
        float *got = vector_run_beside(c, kernel, SN_FLOAT, threads, false, -1, &squeeze, &refusal);
        if (memcmp(got, output, (size_t)sn_shape_elements(y) * sizeof(float)) != 0)
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
            double sum = 0, sizes = 0, pixels = (double)(y.h * y.w), z = (double)first[n * y.c + k];
            for (int64_t p = 0; p < y.h * y.w; p++) {
                double v = (double)output[(n * y.h * y.w + p) * y.c + k];
                sum += v;
                sizes += fabs(v);
            }
            double allowed = 64 * 6e-8 * sizes / pixels;
            if (!(fabs(z - sum / pixels) <= allowed))
                fail_msg("%s, %s: squeeze of image %d, channel %d is %.9g, the mean is %.9g", kernel->name, c->title, (int)n,
                         (int)k, z, sum / pixels);
        }
    free(first);
}

static inline void *vector_run_with(const vector_case *c, const sn_kernel *kernel, int threads, vector_beside *beside)
{
    const char *refusal;
    return vector_run_beside(c, kernel, SN_FLOAT, threads, false, -1, beside, &refusal);
}

/* The check; a kernel that refuses the call is passed over, but some vector kernel of each level has to take it. */
static inline void vector_check(const vector_case *c)
{
    const char *refusal = NULL;
    sn_op_kind op = c->call.node.op;
    const sn_kernel *plain = sn_cpu_candidates(op, SN_DOUBLE, SN_ISA_BASELINE)[0];
    double *want = vector_run(c, plain, SN_DOUBLE, 2, false, -1, &refusal);
    double *terms = c->absolute > 0 ? NULL : vector_run(c, plain, SN_DOUBLE, 2, true, -1, &refusal);
    size_t bytes = (size_t)vector_outputs(c) * sizeof(float);
    FOR_FLOAT_LEVELS(isa)
    {
        const sn_kernel *kernels[16] = {NULL};
        const sn_kernel *const *candidates = sn_cpu_candidates(op, SN_FLOAT, isa);
        for (int k = 0; candidates[k] && candidates[k + 1]; k++) kernels[k] = candidates[k]; /* the last is the plain one */
        int took = 0;
        for (int k = 0; kernels[k]; k++) {
            float *got = vector_run(c, kernels[k], SN_FLOAT, 1, false, -1, &refusal);
            if (!got) continue;
            took++;
            vector_compare(c, kernels[k]->name, got, want, terms);
            vector_check_squeeze(c, kernels[k], got);
            check_stats(c, kernels[k], got, vector_run_with);
            for (int threads = 2; threads <= 3; threads++) {
                float *again = vector_run(c, kernels[k], SN_FLOAT, threads, false, -1, &refusal);
                if (memcmp(got, again, bytes) != 0) fail_msg("%s, %s: %d threads give other bits", kernels[k]->name, c->title, threads);
                free(again);
            }
            for (int i = 0; i < c->call.node.inputs_count; i++) {
                if (!(c->in_place >> i & 1)) continue;
                float *again = vector_run(c, kernels[k], SN_FLOAT, 2, false, i, &refusal);
                if (memcmp(got, again, bytes) != 0) fail_msg("%s, %s: other bits over input %d", kernels[k]->name, c->title, i);
                free(again);
            }
            free(got);
        }
        if (kernels[0] && took == 0) fail_msg("%s, %s: refused: %s", kernels[0]->name, c->title, refusal);
    }
    free(terms);
    free(want);
}

#endif
