/* init.c - weight initialisation: He (the paper), He by fan-out (the Torch code of the CIFAR networks), Torch's default.
 *
 * Every value is a function of (seed, parameter name, element in file order): neither the order of the parameters nor their
 * layout in memory matters. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/rng.h"
#include "train/train.h"

static bool is_weight(const sn_param *param)
{
    return param->kind == SN_PARAM_CONV_WEIGHT || param->kind == SN_PARAM_LINEAR_WEIGHT;
}

/* Inputs of one output: k k Cin / groups. Memory shape of a weight: {kh, kw, in / groups, out}. */
static double fan_in(const sn_param *weight)
{
    return (double)(weight->shape.n * weight->shape.h * weight->shape.w);
}

/* k k Cout.  The Torch code uses it for convolutions only; SE layers and classifiers would start far too large with it. */
static double fan_out(const sn_param *weight)
{
    return (double)(weight->shape.n * weight->shape.h * weight->shape.c);
}

/* The weight beside a bias: "fc.weight" for "fc.bias"; NULL if there is none. */
static const sn_param *weight_of_bias(const sn_graph *graph, const sn_param *bias)
{
    size_t stem = strlen(bias->name) - strlen("bias");
    for (size_t i = 0; i < graph->params_count; i++) {
        const sn_param *other = &graph->params[i];
        if (is_weight(other) && strncmp(other->name, bias->name, stem) == 0 && strcmp(other->name + stem, "weight") == 0)
            return other;
    }
    return NULL;
}

/* What a parameter is filled with: normal(0, scale), uniform(-scale, scale) or scale itself. */
typedef struct filling {
    enum { FILL_CONSTANT, FILL_NORMAL, FILL_UNIFORM } kind;
    double scale;
} filling;

static filling filling_of(const sn_graph *graph, const sn_param *param, sn_init init)
{
    if (is_weight(param)) {
        /* Kaiming uniform with a = sqrt 5: sqrt(6 / ((1 + 5) fan_in)) */
        if (init == SN_INIT_TORCH) return (filling){FILL_UNIFORM, 1 / sqrt(fan_in(param))};
        bool by_fan_out = init == SN_INIT_HE_FAN_OUT && param->kind == SN_PARAM_CONV_WEIGHT && !param->in_se;
        return (filling){FILL_NORMAL, sqrt(2 / (by_fan_out ? fan_out(param) : fan_in(param)))};
    }
    if (param->kind == SN_PARAM_BIAS && init == SN_INIT_TORCH) {
        const sn_param *weight = weight_of_bias(graph, param);
        return (filling){FILL_UNIFORM, weight ? 1 / sqrt(fan_in(weight)) : 0};
    }
    bool one = param->kind == SN_PARAM_BN_WEIGHT || param->kind == SN_PARAM_BN_VAR;
    return (filling){FILL_CONSTANT, one ? 1 : 0};
}

static double value_at(filling fill, uint64_t key, uint64_t element)
{
    if (fill.kind == FILL_NORMAL) return fill.scale * sn_rng_normal(key, element);
    if (fill.kind == FILL_UNIFORM) return fill.scale * (2 * sn_rng_uniform(key, element) - 1);
    return fill.scale;
}

static void fill_param(const sn_param *param, filling fill, uint64_t key, void *data, sn_precision precision)
{
    sn_shape s = param->shape;
    int64_t here = 0; /* memory order: HWIO */
    for (int64_t h = 0; h < s.n; h++)
        for (int64_t w = 0; w < s.h; w++)
            for (int64_t in = 0; in < s.w; in++)
                for (int64_t out = 0; out < s.c; out++, here++) {
                    int64_t in_file = ((out * s.w + in) * s.n + h) * s.h + w; /* OIHW */
                    double value = value_at(fill, key, (uint64_t)in_file);
                    if (precision == SN_DOUBLE) ((double *)data)[here] = value;
                    else ((float *)data)[here] = (float)value;
                }
}

void sn_params_init(const sn_graph *graph, sn_params *params, sn_init init, uint64_t seed)
{
    for (size_t i = 0; i < graph->params_count; i++) {
        const sn_param *param = &graph->params[i];
        uint64_t key = sn_rng_key(seed, SN_RNG_INIT, sn_fnv1a64_text(param->name), 0);
        fill_param(param, filling_of(graph, param, init), key, sn_params_data(params, (int)i), sn_params_precision(params));
    }
    sn_params_changed(params);
}
