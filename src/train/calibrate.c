/* calibrate.c - see calibrate.h.  Ranges come from two runs in single precision: the first finds the ends of every tensor's values,
 * the second counts them.  Then every layer alone is made int8, and what that does to the logits is its noise. */
#include "train/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/lower.h"
#include "train/ranges.h"

enum { NOISE_IMAGES = 32 };

typedef struct calibration {
    const sn_spec *spec;
    sn_params *params;
    const sn_calibration_input *input;
    const sn_calibration_options *options;
    sn_workspace *workspace;
    sn_graph *folded; /* for SN_CALIBRATION_STEP */
    bool *ranged, *layers; /* by its nodes */
    sn_quantization *quantization;
    sn_calibration_report *report;
    float *logits, *other; /* of single precision, and of a network in question: noise_images x classes */
    int64_t noise_images;
} calibration;

static void tell(const calibration *c, const char *what, int64_t done, int64_t total)
{
    if (c->options->progress) c->options->progress(c->options->context, what, done, total);
}

/* ---- graphs and programs ---- */

static senet_status build(const calibration *c, sn_graph **folded)
{
    sn_build_options build = {.mode = SN_MODE_EVAL, .batch = SN_CALIBRATION_STEP, .height = c->input->height, .width = c->input->width,
                              .input = SN_INPUT_REAL, .no_fuse = true};
    sn_graph *plain = NULL, *whole = NULL;
    SN_RETURN_IF_FAILED(sn_model_build(c->spec, &build, &plain));
    senet_status status = sn_graph_fold_batch_norm(plain, &whole);
    if (status == SENET_OK) status = sn_graph_join_moves(whole, SENET_INT8, folded);
    sn_graph_destroy(plain);
    sn_graph_destroy(whole);
    return status;
}

static senet_status plan(const calibration *c, const sn_graph *graph, sn_program **program)
{
    sn_program_options options = {.threads = c->options->threads, .params = c->params, .workspace = c->workspace};
    return sn_program_create(graph, &options, program);
}

/* Runs images [first, first + SN_CALIBRATION_STEP). */
static senet_status run_images(const calibration *c, sn_program *program, int64_t first)
{
    size_t values = (size_t)c->input->height * (size_t)c->input->width * 3;
    SN_RETURN_IF_FAILED(sn_program_set_input(program, "input", c->input->pictures + (size_t)first * values));
    return sn_program_run(program);
}

/* ---- ranges ---- */

static senet_status pass_over(const calibration *c, sn_program *program, sn_range_histogram **histograms, const char *what,
                              void (*take)(sn_range_histogram *histogram, const float *values, int64_t count))
{
    int64_t count = c->input->count;
    for (int64_t first = 0; first < count; first += SN_CALIBRATION_STEP) {
        int64_t images = count - first < SN_CALIBRATION_STEP ? count - first : SN_CALIBRATION_STEP;
        SN_RETURN_IF_FAILED(run_images(c, program, first));
        for (size_t i = 0; i < c->folded->nodes_count; i++) {
            if (!histograms[i]) continue;
            const sn_node *node = &c->folded->nodes[i];
            const float *values = node->op == SN_OP_input
                                      ? c->input->pictures + first * node->shape.h * node->shape.w * node->shape.c
                                      : sn_program_output(program, node->name, NULL);
            take(histograms[i], values, sn_shape_elements(node->shape) / node->shape.n * images);
        }
        tell(c, what, first + images, count);
    }
    return SENET_OK;
}

/* A graph whose ranged nodes are outputs, so that their values are there after a run. */
static senet_status expose(const calibration *c, sn_range_histogram **histograms, sn_graph *graph)
{
    for (size_t i = 0; i < graph->nodes_count; i++) {
        const sn_node *node = &graph->nodes[i];
        if (!c->ranged[i]) continue;
        histograms[i] = calloc(1, sizeof **histograms);
        if (!histograms[i]) return sn_fail_memory(sizeof **histograms, "a histogram");
        if (node->op != SN_OP_input && sn_graph_find_output(graph, node->name) == SN_NONE)
            SN_RETURN_IF_FAILED(sn_graph_add_output(graph, node->name, (sn_id)i));
    }
    return SENET_OK;
}

static senet_status find_ranges(calibration *c)
{
    size_t nodes = c->folded->nodes_count;
    sn_graph *graph = NULL;
    sn_program *program = NULL;
    sn_range_histogram **histograms = calloc(nodes + 1, sizeof *histograms);
    senet_status status;
    if (!histograms) return sn_fail_memory(nodes * sizeof *histograms, "histograms");
    SN_TRY(build(c, &graph), cleanup);
    SN_TRY(expose(c, histograms, graph), cleanup);
    SN_TRY(plan(c, graph, &program), cleanup);
    SN_TRY(pass_over(c, program, histograms, "ends of values", sn_range_widen), cleanup);
    SN_TRY(pass_over(c, program, histograms, "histograms", sn_range_count), cleanup);
    for (size_t i = 0; i < nodes; i++)
        if (histograms[i])
            SN_TRY(sn_quantization_set(c->quantization, sn_quantized_name(&c->folded->nodes[i]), sn_range_choose(histograms[i])),
                   cleanup);
cleanup:
    for (size_t i = 0; i < nodes; i++) free(histograms[i]);
    free(histograms);
    sn_program_destroy(program);
    sn_graph_destroy(graph);
    return status;
}

/* ---- noise of layers ---- */

static senet_status run_logits(const calibration *c, const sn_graph *graph, float *logits)
{
    sn_program *program = NULL;
    senet_status status = plan(c, graph, &program);
    size_t classes = (size_t)c->spec->classes;
    for (int64_t first = 0; status == SENET_OK && first < c->noise_images; first += SN_CALIBRATION_STEP) {
        int64_t images = c->noise_images - first < SN_CALIBRATION_STEP ? c->noise_images - first : SN_CALIBRATION_STEP;
        status = run_images(c, program, first);
        if (status == SENET_OK)
            memcpy(logits + (size_t)first * classes, sn_program_output(program, "logits", NULL), (size_t)images * classes * sizeof *logits);
    }
    sn_program_destroy(program);
    return status;
}

static int64_t first_class(const float *logits, int64_t classes)
{
    int64_t best = 0;
    for (int64_t k = 1; k < classes; k++)
        if (logits[k] > logits[best]) best = k;
    return best;
}

/* Variance over the classes of what was added to the logits, as a share of their own; softmax does not see their mean. */
static double noise_of(const calibration *c, double *agreement)
{
    int64_t classes = c->spec->classes, agree = 0;
    double noise = 0, signal = 0;
    for (int64_t n = 0; n < c->noise_images; n++) {
        const float *a = c->logits + n * classes, *b = c->other + n * classes;
        double mean = 0, moved = 0;
        for (int64_t k = 0; k < classes; k++) {
            mean += (double)a[k] / (double)classes;
            moved += ((double)b[k] - (double)a[k]) / (double)classes;
        }
        for (int64_t k = 0; k < classes; k++) {
            double own = (double)a[k] - mean, added = (double)b[k] - (double)a[k] - moved;
            signal += own * own;
            noise += added * added;
        }
        agree += first_class(a, classes) == first_class(b, classes);
    }
    if (agreement) *agreement = (double)agree / (double)c->noise_images;
    return signal > 0 ? noise / signal : 0;
}

/* The noise of the network with the layers in int8 that `kept` does not name. */
static senet_status measure(const calibration *c, const sn_quantization *kept, double *noise, double *agreement)
{
    sn_graph *graph = NULL;
    SN_RETURN_IF_FAILED(sn_graph_lower_int8(c->folded, kept, &graph));
    senet_status status = run_logits(c, graph, c->other);
    sn_graph_destroy(graph);
    if (status == SENET_OK) *noise = noise_of(c, agreement);
    return status;
}

/* The same ranges, every layer kept but one. */
static senet_status all_but(const calibration *c, size_t layer, sn_quantization **alone)
{
    SN_RETURN_IF_FAILED(sn_quantization_create(alone));
    for (size_t i = 0; i < c->quantization->tensors_count; i++)
        SN_RETURN_IF_FAILED(sn_quantization_set(*alone, c->quantization->tensors[i].name, c->quantization->tensors[i].quant));
    for (size_t i = 0; i < c->report->layers_count; i++)
        if (i != layer) SN_RETURN_IF_FAILED(sn_quantization_keep(*alone, c->report->layers[i].name));
    return SENET_OK;
}

static senet_status measure_layers(calibration *c)
{
    sn_calibration_report *report = c->report;
    for (size_t i = 0; i < report->layers_count; i++) {
        sn_quantization *alone = NULL;
        senet_status status = all_but(c, i, &alone);
        if (status == SENET_OK) status = measure(c, alone, &report->layers[i].noise, NULL);
        sn_quantization_destroy(alone);
        SN_RETURN_IF_FAILED(status);
        tell(c, "layers", (int64_t)i + 1, (int64_t)report->layers_count);
    }
    return SENET_OK;
}

/* Keeps the layers that add most, one after the other, until what all others add together is little enough. */
static senet_status choose_kept(calibration *c)
{
    sn_calibration_report *report = c->report;
    double agreement;
    for (;;) {
        SN_RETURN_IF_FAILED(measure(c, c->quantization, &report->noise, &agreement));
        report->agreement = agreement;
        if (report->noise <= c->options->noise) return SENET_OK;
        sn_calibration_layer *worst = NULL;
        for (size_t i = 0; i < report->layers_count; i++)
            if (!report->layers[i].kept && (!worst || report->layers[i].noise > worst->noise)) worst = &report->layers[i];
        if (!worst) return SENET_OK;
        worst->kept = true;
        SN_RETURN_IF_FAILED(sn_quantization_keep(c->quantization, worst->name));
    }
}

static senet_status keep_layers(calibration *c)
{
    size_t floats = (size_t)c->noise_images * (size_t)c->spec->classes;
    c->logits = malloc(floats * sizeof *c->logits);
    c->other = malloc(floats * sizeof *c->other);
    if (!c->logits || !c->other) return sn_fail_memory(floats * sizeof *c->logits, "logits");
    SN_RETURN_IF_FAILED(run_logits(c, c->folded, c->logits));
    SN_RETURN_IF_FAILED(measure_layers(c));
    return choose_kept(c);
}

/* ---- layers by name ---- */

static bool has_layer(const sn_graph *graph, const char *wanted)
{
    char name[SN_LAYER_NAME_BYTES];
    for (size_t i = 0; i < graph->nodes_count; i++)
        if (sn_layer_name(graph, &graph->nodes[i], name) && strcmp(name, wanted) == 0) return true;
    return false;
}

static senet_status keep_given(const calibration *c)
{
    for (size_t i = 0; i < c->options->keep_count; i++) {
        if (!has_layer(c->folded, c->options->keep[i]))
            return sn_fail(SENET_USAGE, "the network has no layer '%s'", c->options->keep[i]);
        SN_RETURN_IF_FAILED(sn_quantization_keep(c->quantization, c->options->keep[i]));
    }
    return SENET_OK;
}

static senet_status list_layers(calibration *c)
{
    sn_calibration_report *report = c->report;
    char name[SN_LAYER_NAME_BYTES];
    for (size_t i = 0; i < c->folded->nodes_count; i++) {
        if (!c->layers[i] || !sn_layer_name(c->folded, &c->folded->nodes[i], name)) continue;
        if (!sn_grow(&report->layers, sizeof *report->layers, &report->layers_capacity, report->layers_count + 1))
            return sn_fail_memory(sizeof *report->layers, "the list of layers");
        sn_calibration_layer *layer = &report->layers[report->layers_count];
        *layer = (sn_calibration_layer){.name = sn_arena_strdup(&report->arena, name),
                                        .kept = sn_quantization_keeps(c->quantization, name)};
        if (!layer->name) return sn_fail_memory(strlen(name), "the list of layers");
        report->layers_count++;
    }
    return SENET_OK;
}

void sn_calibration_report_free(sn_calibration_report *report)
{
    sn_arena_free(&report->arena);
    free(report->layers);
    *report = (sn_calibration_report){0};
}

/* ---- all of it ---- */

static senet_status calibrate(calibration *c)
{
    SN_RETURN_IF_FAILED(sn_workspace_create(&c->workspace));
    SN_RETURN_IF_FAILED(build(c, &c->folded));
    size_t nodes = c->folded->nodes_count;
    c->ranged = calloc(nodes + 1, sizeof *c->ranged);
    c->layers = calloc(nodes + 1, sizeof *c->layers);
    if (!c->ranged || !c->layers) return sn_fail_memory(nodes, "a calibration");
    SN_RETURN_IF_FAILED(sn_graph_int8_tensors(c->folded, c->ranged, c->layers));
    SN_RETURN_IF_FAILED(sn_quantization_create(&c->quantization));
    SN_RETURN_IF_FAILED(keep_given(c));
    SN_RETURN_IF_FAILED(find_ranges(c));
    if (!c->report) return SENET_OK;
    SN_RETURN_IF_FAILED(list_layers(c));
    return keep_layers(c);
}

senet_status sn_calibrate(const sn_spec *spec, sn_params *params, const sn_calibration_input *input,
                          const sn_calibration_options *options, sn_quantization **quantization, sn_calibration_report *report)
{
    calibration c = {.spec = spec, .params = params, .input = input, .options = options, .report = report};
    c.noise_images = input->count < NOISE_IMAGES ? input->count : NOISE_IMAGES;
    if (report) *report = (sn_calibration_report){0};
    *quantization = NULL;
    senet_status status = calibrate(&c);
    if (status == SENET_OK) {
        *quantization = c.quantization;
        c.quantization = NULL;
    } else if (report)
        sn_calibration_report_free(report);
    sn_quantization_destroy(c.quantization);
    sn_graph_destroy(c.folded);
    sn_workspace_destroy(c.workspace);
    free(c.ranged);
    free(c.layers);
    free(c.logits);
    free(c.other);
    return status;
}
