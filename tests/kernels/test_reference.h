/* test_reference.h - runs one plain C kernel by hand, without a graph, and compares it with a formula written down
 * independently: in double and float, with 1, 2 and 3 threads. */
#ifndef TEST_REFERENCE_H
#define TEST_REFERENCE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "cpu/ref/ref.h"

typedef struct reference_input {
    sn_shape shape;    /* all zero: an absent optional input */
    const void *given; /* data of an integer type; NULL: reals, drawn by the runner */
    double low, high;  /* range of the drawn reals; both 0: -1 to 1 */
} reference_input;

typedef struct reference_case reference_case;
struct reference_case {
    const char *name;
    sn_op_kind op;
    sn_attrs attrs;
    int inputs_count;
    reference_input inputs[SN_MAX_INPUTS];
    sn_shape output;
    int writes; /* > 0: the kernel changes inputs writes, writes+1, ... instead of an output (bn_update) */
    /* Fills y (zero at first) from the inputs in double; integer inputs come as they are. */
    void (*formula)(const reference_case *c, const void *const *inputs, double *y);
};

/* Row-major element of an NHWC tensor. */
static inline int64_t at(sn_shape s, int64_t n, int64_t h, int64_t w, int64_t c)
{
    return ((n * s.h + h) * s.w + w) * s.c + c;
}

static inline double activate(sn_activation kind, double v)
{
    switch (kind) {
    case SN_RELU:
        return fmax(v, 0);
    case SN_RELU6:
        return fmin(fmax(v, 0), 6);
    case SN_SIGMOID:
        return 1 / (1 + exp(-v));
    case SN_TANH:
        return tanh(v);
    case SN_IDENTITY:
        break;
    }
    return v;
}

static inline const sn_kernel *reference_kernel(sn_op_kind op, sn_precision precision)
{
    static const sn_kernel *const kernels[SN_OP_COUNT][2] = {
#define SN_OP(name, ...) [SN_OP_##name] = {&sn_ref_##name##_f32, &sn_ref_##name##_f64},
#include "ops/ops.def"
#undef SN_OP
    };
    return kernels[op][precision];
}

static inline double reference_get(const void *data, sn_precision precision, int64_t i)
{
    return precision == SN_DOUBLE ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

/* Values with few bits: the same numbers in float and double. */
static inline void *reference_draw(const reference_input *input, sn_precision precision, uint64_t stream)
{
    int64_t count = sn_shape_elements(input->shape);
    double low = input->low, high = input->high;
    if (low == 0 && high == 0) low = -1, high = 1;
    void *data = malloc((size_t)count * 8);
    assert_non_null(data);
    for (int64_t i = 0; i < count; i++) {
        float v = (float)(low + (high - low) * sn_rng_uniform(sn_rng_key(1, SN_RNG_TEST, stream, 0), (uint64_t)i));
        if (precision == SN_DOUBLE)
            ((double *)data)[i] = (double)v;
        else
            ((float *)data)[i] = v;
    }
    return data;
}

/* Runs the kernel; the result (outputs, or the inputs it changed) is malloc'ed. */
static inline void *reference_run(const reference_case *c, sn_precision precision, int threads)
{
    const sn_kernel *kernel = reference_kernel(c->op, precision);
    size_t real_bytes = sn_real_bytes(precision);
    sn_node nodes[SN_MAX_INPUTS] = {{0}};
    sn_node node = {
        .op = c->op, .inputs_count = c->inputs_count, .attrs = c->attrs, .shape = c->output, .name = c->name};
    sn_kernel_call call = {.node = &node, .threads = threads, .precision = precision};
    void *drawn[SN_MAX_INPUTS] = {NULL};
    for (int i = 0; i < c->inputs_count; i++) {
        bool absent = sn_shape_elements(c->inputs[i].shape) == 0;
        node.inputs[i] = absent ? SN_NONE : i;
        if (absent) continue;
        nodes[i].shape = c->inputs[i].shape;
        call.input_nodes[i] = &nodes[i];
        if (!c->inputs[i].given) drawn[i] = reference_draw(&c->inputs[i], precision, (uint64_t)i);
        call.inputs[i] = drawn[i] ? drawn[i] : c->inputs[i].given;
    }
    size_t elements = (size_t)sn_shape_elements(c->output);
    void *result = malloc((elements + 1) * real_bytes);
    size_t scratch_bytes = kernel->scratch_bytes ? kernel->scratch_bytes(&call) : 0;
    void *scratch = malloc(scratch_bytes + 1);
    assert_true(result && scratch);
    memset(result, 0xff, elements * real_bytes); /* NaN: an element left out shows */
    memset(scratch, 0xff, scratch_bytes);
    call.output = result;
    call.scratch = scratch;
    kernel->run(&call);
    if (c->writes) {
        size_t bytes = (size_t)sn_shape_elements(c->inputs[c->writes].shape) * real_bytes;
        for (int i = c->writes; i < c->inputs_count; i++)
            memcpy((char *)result + (size_t)(i - c->writes) * bytes, call.inputs[i], bytes);
    }
    for (int i = 0; i < c->inputs_count; i++) free(drawn[i]);
    free(scratch);
    return result;
}

static inline double *reference_expected(const reference_case *c)
{
    const void *inputs[SN_MAX_INPUTS] = {NULL};
    void *drawn[SN_MAX_INPUTS] = {NULL};
    for (int i = 0; i < c->inputs_count; i++) {
        if (sn_shape_elements(c->inputs[i].shape) == 0) continue;
        if (!c->inputs[i].given) drawn[i] = reference_draw(&c->inputs[i], SN_DOUBLE, (uint64_t)i);
        inputs[i] = drawn[i] ? drawn[i] : c->inputs[i].given;
    }
    double *y = calloc((size_t)sn_shape_elements(c->output) + 1, sizeof *y);
    assert_non_null(y);
    c->formula(c, inputs, y);
    for (int i = 0; i < c->inputs_count; i++) free(drawn[i]);
    return y;
}

/* Both types agree with the formula, and threads do not show in the bits.  Tolerances are relative to the largest
 * value: sums of up to a few thousand products of numbers below 1 lose some tens of roundings of 1e-16 (double) or 6e-8
 * (float). */
static inline void check_reference(const reference_case *c)
{
    static const double tolerance[2] = {[SN_FLOAT] = 2e-6, [SN_DOUBLE] = 1e-14};
    int64_t elements = sn_shape_elements(c->output);
    double *expected = reference_expected(c), largest = 0;
    for (int64_t i = 0; i < elements; i++) largest = fmax(largest, fabs(expected[i]));
    if (!(largest > 0)) fail_msg("%s: the formula gives nothing but zeros", c->name);
    for (int precision = SN_FLOAT; precision <= SN_DOUBLE; precision++) {
        void *first = reference_run(c, precision, 1);
        for (int64_t i = 0; i < elements; i++) {
            double got = reference_get(first, precision, i);
            if (!(fabs(got - expected[i]) <= tolerance[precision] * largest))
                fail_msg("%s: element %lld is %.17g, the formula says %.17g (%s)", c->name, (long long)i, got,
                         expected[i], precision == SN_DOUBLE ? "double" : "float");
        }
        for (int threads = 2; threads <= 3; threads++) {
            void *again = reference_run(c, precision, threads);
            if (memcmp(first, again, (size_t)elements * sn_real_bytes(precision)) != 0)
                fail_msg("%s: %d threads give other bits than one", c->name, threads);
            free(again);
        }
        free(first);
    }
    free(expected);
}

#endif
