/* plain_run.h - an inference graph with made-up weights, run by the plain kernels in double: the truth for graphs that passes have changed. */
#ifndef SN_TESTS_UNIT_PLAIN_RUN_H
#define SN_TESTS_UNIT_PLAIN_RUN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "exec/exec.h"

/* Weights that keep the size of activations, with some spread in everything. */
static inline void plain_fill(sn_params *params, const sn_graph *g)
{
    for (size_t i = 0; i < g->params_count; i++) {
        const sn_param *p = &g->params[i];
        int64_t n = sn_shape_elements(p->shape), sums = p->shape.n * p->shape.h * p->shape.w;
        float *values = malloc((size_t)n * sizeof *values);
        assert_non_null(values);
        for (int64_t k = 0; k < n; k++) {
            float u = (float)sn_rng_uniform(sn_rng_key(3, SN_RNG_TEST, i, 0), (uint64_t)k);
            bool scale = p->kind == SN_PARAM_BN_WEIGHT || p->kind == SN_PARAM_BN_VAR;
            values[k] = scale ? 0.5f + u : p->rank > 1 ? (2 * u - 1) * 2.4f / sqrtf((float)sums) : u - 0.5f;
        }
        sn_params_set(params, g, (int)i, values);
        free(values);
    }
}

/* The first values of an output, by the plain kernels in double. */
static inline void plain_run(const sn_graph *g, const double *images, const char *output, double *values, int64_t count)
{
    sn_params *params = NULL;
    sn_program *program = NULL;
    assert_int_equal(sn_params_create(g, SN_DOUBLE, &params), SENET_OK);
    plain_fill(params, g);
    sn_program_options options = {.precision = SN_DOUBLE, .params = params};
    assert_int_equal(sn_program_create(g, &options, &program), SENET_OK);
    assert_int_equal(sn_program_set_input(program, "input", images), SENET_OK);
    assert_int_equal(sn_program_run(program), SENET_OK);
    const double *got = sn_program_output(program, output, NULL);
    for (int64_t i = 0; i < count; i++) values[i] = got[i];
    sn_program_destroy(program);
    sn_params_destroy(params);
}

#endif
