/* test_weights.c - the rule of the project's golden vectors: element i of a tensor comes from the random number u of
 * stream FNV-1a(name) xor seed, computed in double and rounded once.  See test_weights.h. */
#include "test_weights.h"

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"

static size_t elements_of(const sn_param *param)
{
    size_t elements = 1;
    for (int32_t d = 0; d < param->rank; d++) elements *= (size_t)param->dims[d];
    return elements;
}

/* The value of an element whose random number is u, 0 <= u < 1. */
static double value_of(const sn_param *param, double u)
{
    switch (param->kind) {
    case SN_PARAM_CONV_WEIGHT:
    case SN_PARAM_LINEAR_WEIGHT: {
        double fan_in = (double)elements_of(param) / (double)param->dims[0];
        return (2 * u - 1) * sqrt(3 / fan_in);
    }
    case SN_PARAM_BIAS:
        return 0.1 * (2 * u - 1);
    case SN_PARAM_BN_WEIGHT:
        return 0.8 + 0.4 * u;
    case SN_PARAM_BN_BIAS:
        return 0.2 * (2 * u - 1);
    case SN_PARAM_BN_MEAN:
        return 0.1 * (2 * u - 1);
    case SN_PARAM_BN_VAR:
        return 0.5 + u;
    }
    return 0;
}

senet_status cli_fill_test_weights(const sn_graph *graph, sn_params *params, uint64_t seed)
{
    size_t most = 1;
    for (size_t i = 0; i < graph->params_count; i++)
        if (elements_of(&graph->params[i]) > most) most = elements_of(&graph->params[i]);
    float *values = malloc(most * sizeof *values);
    if (!values) return sn_fail_memory(most * sizeof *values, "test weights");
    for (size_t i = 0; i < graph->params_count; i++) {
        const sn_param *param = &graph->params[i];
        uint64_t key = sn_fnv1a64_text(param->name) ^ seed;
        size_t elements = elements_of(param);
        for (size_t e = 0; e < elements; e++) values[e] = (float)value_of(param, sn_rng_uniform(key, e));
        sn_params_set(params, graph, (int)i, values);
    }
    sn_params_changed(params);
    free(values);
    return SENET_OK;
}
