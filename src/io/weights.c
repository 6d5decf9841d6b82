/* weights.c - loads a weights file into a network's parameters (weights.h): first every check, then every change.
 *
 * Both walk over all bytes, tensors shared among threads; what is float32 already is read in place. */
#include "io/weights.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "base/text.h"
#include "io/bias_fold.h"
#include "io/names.h"
#include "io/tensors.h"

/* Where a parameter's values come from. */
typedef struct source {
    const sn_tensor *tensor;
    const sn_tensor *bias; /* of the convolution before, to be subtracted: running means only */
} source;

typedef struct loader {
    const sn_tensors *file;
    const char *path, *base;
    const sn_graph *graph;
    source *sources; /* by parameter */
    sn_params *params;
    atomic_size_t failed; /* the first parameter that a thread could not check or set; params_count: none */
    sn_load_report report;
} loader;

/* ---- which tensor goes where ---- */

static senet_status claim(loader *l, const sn_tensor **place, const sn_tensor *tensor, const char *canonical)
{
    if (*place)
        return sn_fail(SENET_BAD_DATA, "%s: tensors '%s' and '%s' are both '%s'", l->path, (*place)->name, tensor->name,
                       canonical);
    *place = tensor;
    if (strcmp(tensor->name, canonical) != 0) l->report.renamed++;
    return SENET_OK;
}

/* The running mean that takes this tensor, if it is the bias of a convolution whose bias the model does without; or -1.
 */
static int bias_target(const loader *l, const char *canonical)
{
    char weight[SN_MAX_TENSOR_NAME + 8];
    const char *tail = strrchr(canonical, '.');
    if (!tail || strcmp(tail, ".bias") != 0) return -1;
    snprintf(weight, sizeof weight, "%.*s.weight", (int)(tail - canonical), canonical);
    int index = sn_graph_find_param(l->graph, weight);
    if (index < 0 || l->graph->params[index].kind != SN_PARAM_CONV_WEIGHT) return -1;
    return sn_running_mean_behind(l->graph, index);
}

static senet_status note_unused(loader *l, const sn_tensor *tensor)
{
    sn_load_report *r = &l->report;
    if (!sn_grow(&r->names, sizeof *r->names, &r->capacity, (size_t)r->unused + 1) ||
        !(r->names[r->unused] = strdup(tensor->name)))
        return sn_fail_memory(strlen(tensor->name), l->path);
    for (char *c = r->names[r->unused]; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';
    r->unused++;
    return SENET_OK;
}

static senet_status place_tensor(loader *l, const sn_tensor *tensor)
{
    char canonical[SN_MAX_TENSOR_NAME];
    if (sn_is_ignored_name(tensor->name) || sn_tensor_is_scale(l->file, tensor)) return SENET_OK;
    if (sn_canonical_name(l->base, tensor->name, canonical)) {
        int index = sn_graph_find_param(l->graph, canonical);
        if (index >= 0) return claim(l, &l->sources[index].tensor, tensor, canonical);
        index = bias_target(l, canonical);
        if (index >= 0) {
            l->report.folded_biases++;
            return claim(l, &l->sources[index].bias, tensor, canonical);
        }
    }
    return note_unused(l, tensor);
}

/* ---- checks ---- */

static senet_status fail_missing(const loader *l, const sn_param *param)
{
    char shape[SN_DIMS_TEXT_BYTES];
    size_t missing = 0;
    for (size_t i = 0; i < l->graph->params_count; i++) missing += !l->sources[i].tensor;
    sn_text hint = {0};
    if (param->in_se && param->kind == SN_PARAM_BIAS)
        sn_text_add_string(&hint, "; for a file without SE biases use the model option bias=0");
    else if (l->report.unused)
        sn_text_printf(&hint, "; %d tensors of the file are unknown, first '%s'", l->report.unused, l->report.names[0]);
    senet_status status = sn_fail(
        SENET_BAD_DATA, "%s: tensor '%s' %s is missing (%zu of the model's %zu tensors are)%s", l->path, param->name,
        sn_dims_text(shape, param->dims, param->rank), missing, l->graph->params_count, sn_text_string(&hint));
    sn_text_free(&hint);
    return status;
}

/* Equal, or the same elements in the same order: [a,b] for a 1x1 convolution's [a,b,1,1]; [a,b,h,w], where h = w = 1 is
 * the usual case, for a linear layer's [a,b*h*w]. */
static bool shapes_agree(const sn_tensor *tensor, const sn_param *param, bool *reshaped)
{
    bool equal = tensor->rank == param->rank;
    for (int d = 0; equal && d < param->rank; d++) equal = tensor->dims[d] == param->dims[d];
    *reshaped = !equal;
    if (equal) return true;
    if (param->kind != SN_PARAM_CONV_WEIGHT && param->kind != SN_PARAM_LINEAR_WEIGHT) return false;
    if (tensor->rank < 2 || tensor->dims[0] != param->dims[0]) return false;
    if (tensor->rank == 2) return tensor->dims[1] == param->dims[1] && param->dims[2] == 1 && param->dims[3] == 1;
    int64_t inputs = 1;
    for (int d = 1; d < tensor->rank; d++)
        if (!sn_multiply(inputs, tensor->dims[d], &inputs)) return false;
    return param->rank == 2 && inputs == param->dims[1];
}

/* Elements as float32: in place, or else converted into memory of their own, *made, which the caller frees. */
static senet_status values_of(const sn_tensors *file, const sn_tensor *tensor, const float **values, float **made)
{
    *made = NULL;
    *values = tensor->data;
    if (tensor->type == SN_TENSOR_F32 && (uintptr_t)tensor->data % sizeof **values == 0) return SENET_OK;
    size_t count = tensor->bytes / sn_tensor_type_bytes(tensor->type);
    *values = *made = malloc((count + 1) * sizeof **made);
    if (!*made) return sn_fail_memory(count * sizeof **made, sn_tensors_path(file));
    return tensor->type == SN_TENSOR_I8 ? sn_tensor_dequantize(file, tensor, *made) : sn_tensor_to_f32(file, tensor, *made);
}

/* Whether the exponents of all are below infinity's; a loop that compilers make vectors of. */
static bool all_finite(const float *values, size_t count)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

/* Looks at every element: a damaged file must not be used silently. */
static senet_status check_values(const loader *l, const sn_tensor *tensor, bool variance)
{
    float *made;
    const float *values;
    size_t count = tensor->bytes / sn_tensor_type_bytes(tensor->type);
    senet_status status = values_of(l->file, tensor, &values, &made);
    for (size_t i = 0; status == SENET_OK && (variance || !all_finite(values, count)) && i < count; i++) {
        if (!isfinite(values[i]))
            status = sn_fail(SENET_BAD_DATA, "%s: %s[%zu] is not finite", l->path, tensor->name, i);
        else if (variance && values[i] < 0)
            status = sn_fail(SENET_BAD_DATA, "%s: %s[%zu] is %g, but a variance cannot be negative", l->path, tensor->name, i,
                             (double)values[i]);
    }
    free(made);
    sn_tensor_drop(l->file, tensor);
    return status;
}

static senet_status check_shape(loader *l, size_t index)
{
    const sn_param *param = &l->graph->params[index];
    const source *from = &l->sources[index];
    char have[SN_DIMS_TEXT_BYTES], need[SN_DIMS_TEXT_BYTES];
    bool reshaped;
    if (!from->tensor) return fail_missing(l, param);
    if (!shapes_agree(from->tensor, param, &reshaped))
        return sn_fail(SENET_BAD_DATA, "%s: tensor '%s' is %s, but the model's '%s' is %s", l->path, from->tensor->name,
                       sn_dims_text(have, from->tensor->dims, from->tensor->rank), param->name,
                       sn_dims_text(need, param->dims, param->rank));
    if (from->bias && (from->bias->rank != 1 || from->bias->dims[0] != param->dims[0]))
        return sn_fail(SENET_BAD_DATA, "%s: tensor '%s' is %s, but '%s', which takes the bias, is %s", l->path, from->bias->name,
                       sn_dims_text(have, from->bias->dims, from->bias->rank), param->name,
                       sn_dims_text(need, param->dims, param->rank));
    l->report.reshaped += reshaped;
    l->report.converted += from->tensor->type != SN_TENSOR_F32;
    l->report.converted += from->bias && from->bias->type != SN_TENSOR_F32;
    return SENET_OK;
}

static senet_status check_param(loader *l, size_t index)
{
    const source *from = &l->sources[index];
    SN_RETURN_IF_FAILED(check_values(l, from->tensor, l->graph->params[index].kind == SN_PARAM_BN_VAR));
    return from->bias ? check_values(l, from->bias, false) : SENET_OK;
}

/* A file that says which epsilon its batch norms had does not work with another one. */
static senet_status check_epsilon(const loader *l)
{
    const char *text = sn_tensors_metadata(l->file, "bn_eps");
    double stated, ours = sn_weights_bn_epsilon(l->graph);
    if (!text || ours == 0) return SENET_OK;
    if (!sn_parse_double(text, &stated))
        return sn_fail(SENET_BAD_DATA, "%s: metadata 'bn_eps' is '%.100s', not a number", l->path, text);
    if (fabs(stated - ours) <= 1e-3 * ours) return SENET_OK; /* float against double, and digits dropped on the way */
    return sn_fail(SENET_BAD_DATA, "%s: metadata 'bn_eps' is %s, but the model's batch norms have %g", l->path, text,
                   ours);
}

/* ---- the change ---- */

static senet_status set_param(loader *l, size_t index)
{
    const source *from = &l->sources[index];
    const float *values, *bias;
    float *made, *made_bias = NULL, *difference = NULL;
    senet_status status;
    SN_TRY(values_of(l->file, from->tensor, &values, &made), cleanup);
    if (from->bias) {
        int64_t n = l->graph->params[index].dims[0];
        SN_TRY(values_of(l->file, from->bias, &bias, &made_bias), cleanup);
        difference = malloc((size_t)n * sizeof *difference);
        if (!difference) {
            status = sn_fail_memory((size_t)n * sizeof *difference, l->path);
            goto cleanup;
        }
        for (int64_t i = 0; i < n; i++) difference[i] = values[i] - bias[i];
        values = difference;
    }
    sn_params_set(l->params, l->graph, (int)index, values);
cleanup:
    free(made);
    free(made_bias);
    free(difference);
    sn_tensor_drop(l->file, from->tensor);
    return status;
}

/* ---- all parameters, shared among threads ---- */

/* Remembers the first parameter that failed: errors are told by the thread that loads. */
static void note_failure(loader *l, size_t index)
{
    size_t first = atomic_load(&l->failed);
    while (index < first && !atomic_compare_exchange_weak(&l->failed, &first, index)) continue;
}

static void check_task(void *context, int64_t index, int worker)
{
    (void)worker;
    if (check_param(context, (size_t)index) != SENET_OK) note_failure(context, (size_t)index);
}

static void set_task(void *context, int64_t index, int worker)
{
    (void)worker;
    if (set_param(context, (size_t)index) != SENET_OK) note_failure(context, (size_t)index);
}

static senet_status each_param(loader *l, void (*task)(void *, int64_t, int), senet_status (*again)(loader *, size_t))
{
    size_t count = l->graph->params_count;
    atomic_store(&l->failed, count);
    sn_parallel_for(sn_default_threads(), (int64_t)count, task, l);
    return l->failed < count ? again(l, l->failed) : SENET_OK;
}

void sn_load_report_free(sn_load_report *report)
{
    if (!report) return;
    for (int i = 0; i < report->unused; i++) free(report->names[i]);
    free(report->names);
    *report = (sn_load_report){0};
}

senet_status sn_weights_load(const sn_tensors *file, const char *base, const sn_graph *graph, sn_params *params,
                             sn_load_report *report)
{
    senet_status status;
    if (report) *report = (sn_load_report){0};
    loader l = {.file = file, .path = sn_tensors_path(file), .base = base, .graph = graph, .params = params};
    l.sources = calloc(graph->params_count + 1, sizeof *l.sources);
    if (!l.sources) {
        status = sn_fail_memory(graph->params_count * sizeof *l.sources, l.path);
        goto cleanup;
    }
    for (size_t i = 0; i < sn_tensors_count(file); i++) SN_TRY(place_tensor(&l, sn_tensors_at(file, i)), cleanup);
    SN_TRY(check_epsilon(&l), cleanup);
    for (size_t i = 0; i < graph->params_count; i++) SN_TRY(check_shape(&l, i), cleanup);
    SN_TRY(each_param(&l, check_task, check_param), cleanup);
    SN_TRY(each_param(&l, set_task, set_param), cleanup);
    if (report) {
        *report = l.report;
        l.report = (sn_load_report){0};
    }
    status = SENET_OK;

cleanup:
    sn_load_report_free(&l.report);
    free(l.sources);
    return status;
}
