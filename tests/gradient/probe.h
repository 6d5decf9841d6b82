/* probe.h - the gradient of sum(y d) for any node y and any direction d.
 *
 * Gradients start at a cross entropy, which is not linear.  But where the logits are next to nothing its slope does not
 * depend on them: with logits (e s, 0), s = sum(y d) of an image, label 0, the slope in s is -e/2 (1 + O(e s)).  So the
 * probe appends t = y d;  logits = t summed with weights (-2 N e, 0);  loss = cross entropy, mean over N and d loss / d
 * y = e d to a relative 1e-12 |s|; a power of two, e costs no digits. */
#ifndef TEST_GRADIENT_PROBE_H
#define TEST_GRADIENT_PROBE_H

#include <stdlib.h>
#include <string.h>

#include "exec/exec.h"

#define PROBE_SCALE 0x1p-40

typedef struct probe {
    sn_graph *graph; /* with gradients; owned */
    sn_params *params, *gradients;
    sn_program *program;
    sn_precision precision;
    sn_shape shape; /* of y */
    void *direction, *weights;
    int32_t *labels;
} probe;

static inline double probe_get(sn_precision precision, const void *data, int64_t i)
{
    return precision == SN_DOUBLE ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

static inline void probe_put(sn_precision precision, void *data, int64_t i, double value)
{
    if (precision == SN_DOUBLE)
        ((double *)data)[i] = value;
    else
        ((float *)data)[i] = (float)value;
}

/* Appends the probe of node y; outputs "y" and "loss". */
static inline senet_status probe_attach(sn_graph *graph, sn_id y)
{
    sn_shape s = graph->nodes[y].shape;
    sn_id direction, weights, labels, t, loss;
    sn_attrs direction_attrs = {.u.source = {.shape = s, .dtype = SN_REAL}};
    sn_attrs weights_attrs = {.u.source = {.shape = {s.h, s.w, s.c, 2}, .dtype = SN_REAL}};
    sn_attrs labels_attrs = {.u.source = {.shape = {s.n, 1, 1, 1}, .dtype = SN_I32}};
    sn_attrs product = {.u.activation.kind = SN_IDENTITY}, none = {.u.loss.smoothing = 0};
    sn_attrs whole_map = {.u.conv = {.stride = 1, .groups = 1}};
    SN_RETURN_IF_FAILED(sn_graph_add(graph, SN_OP_input, NULL, 0, &direction_attrs, "probe direction", &direction));
    SN_RETURN_IF_FAILED(sn_graph_add(graph, SN_OP_input, NULL, 0, &weights_attrs, "probe weights", &weights));
    SN_RETURN_IF_FAILED(sn_graph_add(graph, SN_OP_input, NULL, 0, &labels_attrs, "probe labels", &labels));
    SN_RETURN_IF_FAILED(
        sn_graph_add(graph, SN_OP_scale_add, (sn_id[]){y, direction}, 2, &product, "probe product", &t));
    SN_RETURN_IF_FAILED(sn_graph_add(graph, SN_OP_conv2d, (sn_id[]){t, weights}, 2, &whole_map, "probe logits", &t));
    SN_RETURN_IF_FAILED(sn_graph_add(graph, SN_OP_cross_entropy, (sn_id[]){t, labels}, 2, &none, "probe loss", &loss));
    SN_RETURN_IF_FAILED(sn_graph_add_output(graph, "y", y));
    return sn_graph_add_output(graph, "loss", loss);
}

static inline void probe_destroy(probe *p)
{
    sn_program_destroy(p->program);
    sn_params_destroy(p->params);
    sn_params_destroy(p->gradients);
    sn_graph_destroy(p->graph);
    free(p->direction);
    free(p->weights);
    free(p->labels);
    *p = (probe){0};
}

/* Adds the gradients of output "loss" to a graph and plans it; parameters are zero.  The probe owns the graph, also
 * after a failure. */
static inline senet_status probe_plan(probe *p, sn_graph *graph, sn_precision precision, bool reference_only)
{
    senet_status status;
    *p = (probe){.graph = graph, .precision = precision};
    SN_TRY(sn_graph_add_gradients(graph, sn_graph_find_output(graph, "loss")), cleanup);
    SN_TRY(sn_params_create(graph, precision, &p->params), cleanup);
    SN_TRY(sn_params_create(graph, precision, &p->gradients), cleanup);
    sn_program_options options = {.precision = precision,
                                  .threads = 1,
                                  .reference_only = reference_only,
                                  .params = p->params,
                                  .gradients = p->gradients};
    SN_TRY(sn_program_create(graph, &options, &p->program), cleanup);
    return SENET_OK;
cleanup:
    probe_destroy(p);
    return status;
}

/* The same for a graph with a probe attached; the direction is zero. */
static inline senet_status probe_create(probe *p, sn_graph *graph, sn_precision precision, bool reference_only)
{
    senet_status status;
    SN_RETURN_IF_FAILED(probe_plan(p, graph, precision, reference_only));
    p->shape = graph->nodes[sn_graph_find_output(graph, "y")].shape;
    size_t elements = (size_t)sn_shape_elements(p->shape), per_image = elements / (size_t)p->shape.n;
    p->direction = calloc(elements, sizeof(double));
    p->weights = calloc(2 * per_image, sizeof(double));
    p->labels = calloc((size_t)p->shape.n, sizeof *p->labels);
    if (!p->direction || !p->weights || !p->labels) {
        status = sn_fail_memory(elements * sizeof(double), "a probe");
        goto cleanup;
    }
    for (size_t i = 0; i < per_image; i++)
        probe_put(precision, p->weights, 2 * (int64_t)i, -2.0 * (double)p->shape.n * PROBE_SCALE);
    SN_TRY(sn_program_set_input(p->program, "probe direction", p->direction), cleanup);
    SN_TRY(sn_program_set_input(p->program, "probe weights", p->weights), cleanup);
    SN_TRY(sn_program_set_input(p->program, "probe labels", p->labels), cleanup);
    return SENET_OK;
cleanup:
    probe_destroy(p);
    return status;
}

static inline senet_status probe_run(probe *p)
{
    sn_params_changed(p->params);
    return sn_program_run(p->program);
}

/* After a run: element i of y, sum(y d), and the gradient of that sum in element i of a parameter (memory order). */
static inline double probe_output(const probe *p, int64_t i)
{
    return probe_get(p->precision, sn_program_output(p->program, "y", NULL), i);
}

static inline double probe_sum(const probe *p)
{
    double sum = 0;
    for (int64_t i = 0; i < sn_shape_elements(p->shape); i++)
        sum += probe_output(p, i) * probe_get(p->precision, p->direction, i);
    return sum;
}

static inline double probe_gradient(const probe *p, int param, int64_t i)
{
    if (p->graph->params[param].gradient == SN_NONE) return 0;
    return probe_get(p->precision, sn_params_data(p->gradients, param), i) / PROBE_SCALE;
}

#endif
