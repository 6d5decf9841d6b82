/* cmd_run.c - `senet run`: tensors in, tensors out; any node of the network can be tapped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "network.h"
#include "progress.h"
#include "report.h"
#include "test_weights.h"
#include "verbs.h"

/* An output of the network, collected over all images in file order (N,C,H,W). */
typedef struct collected {
    const char *name;
    sn_shape shape; /* n: all images */
    float *values;
} collected;

typedef struct job {
    senet_model *model;
    sn_tensors *file;
    const sn_tensor *input; /* (N,3,H,W) */
    float *images;          /* the same as NHWC float32 */
    collected *outputs;     /* logits first, then the taps */
    size_t outputs_count;
} job;

/* ---- input ---- */

static senet_status open_input(const char *path, job *j)
{
    SN_RETURN_IF_FAILED(sn_tensors_open(path, &j->file));
    j->input = sn_tensors_find(j->file, "input");
    if (!j->input) return sn_fail(SENET_BAD_DATA, "%s: no tensor 'input'", path);
    const int64_t *dims = j->input->dims;
    bool fits = j->input->rank == 4 && dims[0] >= 1 && dims[1] == 3 && dims[2] >= 1 && dims[3] >= 1;
    if (!fits)
        return sn_fail(SENET_BAD_DATA,
                       "%s: tensor 'input' has %d dimensions%s; it must be N,3,H,W with at least one image", path,
                       (int)j->input->rank, j->input->rank == 4 ? " of the wrong sizes" : "");
    int64_t area = dims[2] * dims[3], elements = dims[0] * 3 * area;
    size_t bytes = (size_t)elements * sizeof(float);
    float *planes = malloc(bytes);
    j->images = malloc(bytes);
    senet_status status =
        planes && j->images ? sn_tensor_to_f32(j->file, j->input, planes) : sn_fail_memory(bytes, "the input");
    for (int64_t n = 0; n < dims[0] && status == SENET_OK; n++)
        for (int64_t c = 0; c < 3; c++)
            for (int64_t i = 0; i < area; i++) j->images[(n * area + i) * 3 + c] = planes[(n * 3 + c) * area + i];
    free(planes);
    return status;
}

/* ---- the network ---- */

/* Checks the taps against the plain network, where a wrong name can be answered with the nearest one. */
static senet_status check_taps(const senet_model *model, const cli_value *taps)
{
    const sn_graph *graph = model->layout;
    for (int i = 0; i < taps->count; i++) {
        const char *tap = taps->texts[i];
        if (sn_graph_find_node(graph, tap) != SN_NONE && sn_graph_find_param(graph, tap) < 0) continue;
        sn_text names = {0};
        for (size_t k = 0; k < graph->nodes_count; k++)
            if (graph->nodes[k].name && graph->nodes[k].op != SN_OP_param)
                sn_text_printf(&names, "%s%s", names.length ? "|" : "", graph->nodes[k].name);
        int length = 0;
        const char *nearest = cli_nearest(tap, sn_text_string(&names), &length);
        if (length)
            sn_fail(SENET_USAGE, "--tap %s: no such node; did you mean %.*s?", tap, length, nearest);
        else
            sn_fail(SENET_USAGE, "--tap %s: no such node; senet summary %s lists them", tap, model->name);
        sn_text_free(&names);
        return SENET_USAGE;
    }
    return SENET_OK;
}

/* Whether tap `i` is an output already: the logits always are, and a tap may be given twice. */
static bool is_repeated(const cli_value *taps, int i)
{
    bool repeated = strcmp(taps->texts[i], "logits") == 0;
    for (int k = 0; k < i; k++) repeated = repeated || strcmp(taps->texts[i], taps->texts[k]) == 0;
    return repeated;
}

/* Makes room for every output of all images, once a program knows their shapes. */
static senet_status allocate_outputs(const sn_program *program, const cli_value *taps, int64_t images, job *j)
{
    j->outputs = calloc((size_t)taps->count + 1, sizeof *j->outputs);
    if (!j->outputs) return sn_fail_memory(((size_t)taps->count + 1) * sizeof *j->outputs, "the list of outputs");
    for (int i = -1; i < taps->count; i++) {
        const char *name = i < 0 ? "logits" : taps->texts[i];
        if (i >= 0 && is_repeated(taps, i)) continue;
        sn_shape shape;
        int64_t elements;
        sn_program_output(program, name, &shape);
        shape.n = images;
        if (!sn_multiply(images, shape.h * shape.w * shape.c, &elements) || elements > INT64_MAX / 8)
            return sn_fail(SENET_USAGE, "output '%s' of %lld images is too large", name, (long long)images);
        float *values = malloc((size_t)elements * sizeof *values);
        if (!values) return sn_fail_memory((size_t)elements * sizeof *values, name);
        j->outputs[j->outputs_count++] = (collected){name, shape, values};
    }
    return SENET_OK;
}

/* NHWC of a batch to its place among the collected, NCHW. */
static void collect(const collected *output, const float *from, int64_t first, int64_t count)
{
    int64_t area = output->shape.h * output->shape.w, channels = output->shape.c;
    float *to = output->values + first * area * channels;
    for (int64_t n = 0; n < count; n++, from += area * channels, to += area * channels)
        for (int64_t i = 0; i < area; i++)
            for (int64_t c = 0; c < channels; c++) to[c * area + i] = from[i * channels + c];
}

/* Runs images first .. first + count - 1 in one batch; allocates the outputs at the first. */
static senet_status run_batch(job *j, const cli_value *taps, int64_t first, int64_t count, int64_t *capacity,
                              sn_graph **graph, sn_program **program)
{
    if (*capacity != count) {
        sn_program_options options = {
            .threads = j->model->threads, .reference_only = j->model->reference_only, .params = j->model->params,
            .tuning = j->model->tuning, .release_params = true};
        sn_program_destroy(*program);
        sn_graph_destroy(*graph);
        *program = NULL;
        SN_RETURN_IF_FAILED(sn_model_build_inference(j->model, count, j->input->dims[2], j->input->dims[3], taps->texts,
                                                     taps->count, graph));
        SN_RETURN_IF_FAILED(sn_program_create(*graph, &options, program));
        if (j->model->tuning) SN_RETURN_IF_FAILED(sn_tuning_save(j->model->tuning));
        *capacity = count;
    }
    const float *images = j->images + first * 3 * j->input->dims[2] * j->input->dims[3];
    SN_RETURN_IF_FAILED(sn_program_set_input(*program, "input", images));
    SN_RETURN_IF_FAILED(sn_program_run(*program));
    if (!j->outputs) SN_RETURN_IF_FAILED(allocate_outputs(*program, taps, j->input->dims[0], j));
    for (size_t i = 0; i < j->outputs_count; i++)
        collect(&j->outputs[i], sn_program_output(*program, j->outputs[i].name, NULL), first, count);
    return SENET_OK;
}

static senet_status run_network(job *j, const cli_value *taps, int64_t batch)
{
    sn_graph *graph = NULL;
    sn_program *program = NULL;
    int64_t capacity = 0, images = j->input->dims[0];
    senet_status status = SENET_OK;
    for (int64_t first = 0; first < images && status == SENET_OK; first += batch) {
        int64_t count = images - first < batch ? images - first : batch;
        status = run_batch(j, taps, first, count, &capacity, &graph, &program);
        if (images > batch)
            cli_progress_draw((double)first / (double)images, "%lld of %lld images", (long long)first,
                              (long long)images);
    }
    cli_progress_clear();
    sn_program_destroy(program);
    sn_graph_destroy(graph);
    return status;
}

/* ---- output ---- */

static senet_status write_outputs(const job *j, const char *path)
{
    sn_tensor *tensors = calloc(j->outputs_count, sizeof *tensors);
    if (!tensors) return sn_fail_memory(j->outputs_count * sizeof *tensors, "the list of outputs");
    for (size_t i = 0; i < j->outputs_count; i++) {
        sn_shape s = j->outputs[i].shape;
        bool logits = strcmp(j->outputs[i].name, "logits") == 0;
        tensors[i] = (sn_tensor){.name = j->outputs[i].name,
                                 .type = SN_TENSOR_F32,
                                 .rank = logits ? 2 : 4,
                                 .dims = {s.n, s.c, s.h, s.w},
                                 .data = j->outputs[i].values,
                                 .bytes = (size_t)sn_shape_elements(s) * sizeof(float)};
    }
    sn_metadata_entry model = {"model", j->model->name};
    senet_status status = sn_tensors_write(path, tensors, j->outputs_count, &model, 1);
    free(tensors);
    return status;
}

static senet_status print_result(const job *j, const char *path, bool as_json)
{
    sn_text text = {0};
    sn_json_writer json = {.text = &text};
    if (as_json) {
        sn_json_open_object(&json, NULL);
        sn_json_add_string(&json, "model", j->model->name);
        sn_json_add_int(&json, "images", j->input->dims[0]);
        sn_json_add_string(&json, "file", path);
        sn_json_open_array(&json, "outputs");
    } else
        sn_text_printf(&text, "%s: %lld images -> %s", j->model->name, (long long)j->input->dims[0], path);
    for (size_t i = 0; i < j->outputs_count; i++) {
        const collected *output = &j->outputs[i];
        bool logits = strcmp(output->name, "logits") == 0;
        if (as_json) {
            sn_json_open_object(&json, NULL);
            sn_json_add_string(&json, "name", output->name);
            cli_add_shape(&json, "shape", output->shape, logits);
            sn_json_close_object(&json);
        } else if (logits)
            sn_text_printf(&text, "\n  %-32s %lldx%lld", output->name, (long long)output->shape.n,
                           (long long)output->shape.c);
        else
            sn_text_printf(&text, "\n  %-32s %lldx%lldx%lldx%lld", output->name, (long long)output->shape.n,
                           (long long)output->shape.c, (long long)output->shape.h, (long long)output->shape.w);
    }
    if (as_json) {
        sn_json_close_array(&json);
        sn_json_close_object(&json);
    }
    return cli_print_text(&text);
}

static senet_status set_up(const cli_arguments *arguments, job *j)
{
    const char *weights = cli_text(arguments, "weights");
    if (!weights && !cli_given(arguments, "fill"))
        return sn_fail(SENET_USAGE, "name the weights: --weights FILE, or --fill SEED for test weights");
    if (weights && cli_given(arguments, "fill")) return sn_fail(SENET_USAGE, "--weights and --fill: choose one");
    SN_RETURN_IF_FAILED(cli_open_network(arguments, &j->model));
    if (!weights)
        SN_RETURN_IF_FAILED(
            cli_fill_test_weights(j->model->layout, j->model->params, (uint64_t)cli_integer(arguments, "fill")));
    return open_input(cli_text(arguments, "input"), j);
}

static int run(const cli_arguments *arguments)
{
    job j = {0};
    const char *path = cli_text(arguments, "output");
    senet_status status;
    SN_TRY(set_up(arguments, &j), cleanup);
    SN_TRY(check_taps(j.model, cli_get(arguments, "tap")), cleanup);
    SN_TRY(run_network(&j, cli_get(arguments, "tap"), cli_integer(arguments, "batch-size")), cleanup);
    SN_TRY(write_outputs(&j, path), cleanup);
    status = print_result(&j, path, cli_flag(arguments, "json"));
cleanup:
    for (size_t i = 0; i < j.outputs_count; i++) free(j.outputs[i].values);
    free(j.outputs);
    free(j.images);
    sn_tensors_close(j.file);
    senet_model_destroy(j.model);
    return cli_finish(status);
}

static const cli_option options[] = {
    CLI_OPTION_MODEL("the network; not needed where --weights says it"),
    CLI_OPTION_WEIGHTS("trained weights (safetensors or .caffemodel)"),
    {.name = "fill",
     .type = CLI_INTEGER,
     .metavar = "SEED",
     .least = 0,
     .most = 9e15,
     .help = "instead of --weights: test weights, a fixed function of tensor names and SEED"},
    {.name = "input",
     .type = CLI_TEXT,
     .metavar = "FILE",
     .required = true,
     .help = "safetensors with `input`: N,3,H,W float32, normalised"},
    {.name = "output",
     .type = CLI_TEXT,
     .metavar = "FILE",
     .required = true,
     .help = "safetensors to write: `logits` N,K and every tap N,C,H,W, float32"},
    {.name = "tap",
     .type = CLI_TEXT,
     .metavar = "NODE",
     .repeat = true,
     .help = "also write this node's output: layer1.0, layer1.0.se.gate, ..."},
    CLI_OPTION_BATCH("32"),
    CLI_OPTION_THREADS,
    CLI_OPTION_PRECISION,
    CLI_OPTION_TUNE,
    CLI_OPTION_DEVICE,
    CLI_OPTION_REFERENCE,
    CLI_OPTION_JSON,
    CLI_OPTIONS_END,
};

static const cli_example examples[] = {
    {"senet run --weights best.safetensors --input batch.safetensors --output logits.safetensors", "Logits of a batch"},
    {"senet run --weights best.safetensors --input batch.safetensors --output out.safetensors --tap layer3.0.se.gate",
     "With the activations of a gate"},
    {"senet run --model se_cifar_resnet20 --fill 1 --input batch.safetensors --output out.safetensors --json",
     "Test weights, to compare two builds or machines"},
    {NULL, NULL},
};

const cli_verb cli_run = {
    .name = "run",
    .operands = "",
    .summary = "run a network on tensors from a file",
    .description = "Reads the tensor `input` (N,3,H,W), runs the network in evaluation mode, and writes the logits and "
                   "every tapped node to a safetensors file. H and W may be any size the network takes. senet "
                   "summary lists the nodes: a unit's output bears the unit's name, a gate is <block>.gate.",
    .options = options,
    .examples = examples,
    .run = run,
};
