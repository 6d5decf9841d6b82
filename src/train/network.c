/* network.c - see network.h. */
#include "train/network.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "cpu/cpu.h"
#include "graph/lower.h"

enum { PROGRAMS = 2 }; /* the full batch and the last one */

typedef struct batch_program {
    int64_t batch;
    sn_graph *graph;
    sn_program *program;
} batch_program;

struct sn_network {
    sn_network_options options;
    batch_program programs[PROGRAMS]; /* the first is the full batch's */
    int64_t shake_units;
    bool wants_keys;
    float *shake;     /* (batch, 1, 1, 2 units): alpha, beta of each unit; NULL where there are none */
    uint8_t *swapped; /* pictures in BGR; NULL where the network takes RGB */
};

/* Whether there is a loss, with gradients. */
static bool trains(const sn_network *network)
{
    return network->options.build.mode != SN_MODE_EVAL && !network->options.statistics;
}

/* ---- building ---- */

/* Replaces *graph by what the pass makes of it. */
static senet_status apply_pass(senet_status (*pass)(const sn_graph *graph, sn_graph **result), sn_graph **graph)
{
    sn_graph *result = NULL;
    SN_RETURN_IF_FAILED(pass(*graph, &result));
    sn_graph_destroy(*graph);
    *graph = result;
    return SENET_OK;
}

static senet_status join_layers(const sn_network *network, sn_graph **graph)
{
    sn_graph *joined = NULL;
    SN_RETURN_IF_FAILED(sn_cpu_join_layers(*graph, network->options.precision, &joined));
    sn_graph_destroy(*graph);
    *graph = joined;
    return SENET_OK;
}

/* running = (1 - 1) running + 1 batch. */
static void take_statistics_whole(sn_graph *graph)
{
    for (size_t i = 0; i < graph->nodes_count; i++)
        if (graph->nodes[i].op == SN_OP_bn_update) graph->nodes[i].attrs.u.norm.momentum = 1;
}

static senet_status lower_int8(const sn_quantization *quantization, sn_graph **graph)
{
    sn_graph *result = NULL;
    SN_RETURN_IF_FAILED(sn_graph_lower_int8(*graph, quantization, &result));
    sn_graph_destroy(*graph);
    *graph = result;
    return SENET_OK;
}

static senet_status build_graph(const sn_network *network, int64_t batch, sn_graph **graph)
{
    sn_build_options build = network->options.build;
    build.batch = batch;
    build.loss = trains(network);
    SN_RETURN_IF_FAILED(sn_model_build(network->options.spec, &build, graph));
    if (trains(network)) {
        sn_training_graph_options options = {.precision = network->options.precision,
                                             .recompute = network->options.recompute,
                                             .threads = network->options.threads,
                                             .reference_only = network->options.reference_only};
        return sn_training_graph_make(&options, graph);
    }
    if (network->options.statistics) {
        take_statistics_whole(*graph);
        SN_RETURN_IF_FAILED(apply_pass(sn_graph_fuse, graph));
    } else {
        SN_RETURN_IF_FAILED(apply_pass(sn_graph_fold_batch_norm, graph));
        SN_RETURN_IF_FAILED(join_layers(network, graph));
    }
    if (network->options.precision == SENET_INT8) return lower_int8(network->options.quantization, graph);
    return network->options.precision == SENET_BF16 ? apply_pass(sn_graph_lower_bf16, graph) : SENET_OK;
}

static void free_program(batch_program *slot)
{
    sn_program_destroy(slot->program);
    sn_graph_destroy(slot->graph);
    *slot = (batch_program){0};
}

static senet_status make_program(sn_network *network, int64_t batch, batch_program *slot)
{
    const sn_network_options *options = &network->options;
    sn_program_options program = {.precision = SN_FLOAT,
                                  .threads = options->threads,
                                  .reference_only = options->reference_only,
                                  .params = options->params,
                                  .gradients = trains(network) ? options->gradients : NULL,
                                  .take_gradient = trains(network) ? options->take_gradient : NULL,
                                  .take_context = options->take_context,
                                  .lean = options->recompute != SN_RECOMPUTE_NONE,
                                  .workspace = options->workspace};
    free_program(slot);
    senet_status status = build_graph(network, batch, &slot->graph);
    if (status == SENET_OK) status = sn_program_create(slot->graph, &program, &slot->program);
    if (status != SENET_OK) {
        free_program(slot);
        return status;
    }
    slot->batch = batch;
    return SENET_OK;
}

/* The input node's channels, or 0 where the network has no such input. */
static int64_t input_channels(const sn_network *network, const char *name)
{
    const sn_graph *graph = network->programs[0].graph;
    for (size_t i = 0; i < graph->nodes_count; i++)
        if (graph->nodes[i].op == SN_OP_input && strcmp(graph->nodes[i].name, name) == 0) return graph->nodes[i].shape.c;
    return 0;
}

static senet_status make_buffers(sn_network *network)
{
    const sn_build_options *build = &network->options.build;
    network->shake_units = input_channels(network, "shake") / 2;
    network->wants_keys = input_channels(network, "keys") > 0;
    if (network->shake_units > 0) {
        size_t bytes = (size_t)build->batch * (size_t)network->shake_units * 2 * sizeof *network->shake;
        network->shake = sn_alloc_aligned(bytes);
        if (!network->shake) return sn_fail_memory(bytes, "the coefficients of Shake units");
    }
    if (network->options.bgr && build->input == SN_INPUT_U8) {
        size_t bytes = (size_t)build->batch * (size_t)build->height * (size_t)build->width * 3;
        network->swapped = sn_alloc_aligned(bytes);
        if (!network->swapped) return sn_fail_memory(bytes, "a batch of pictures");
    }
    return SENET_OK;
}

senet_status sn_network_create(const sn_network_options *options, sn_network **network_out)
{
    *network_out = NULL;
    sn_network *network = calloc(1, sizeof *network);
    if (!network) return sn_fail_memory(sizeof *network, "a network");
    network->options = *options;
    senet_status status = make_program(network, options->build.batch, &network->programs[0]);
    if (status == SENET_OK) status = make_buffers(network);
    if (status == SENET_OK) *network_out = network;
    else sn_network_destroy(network);
    return status;
}

void sn_network_destroy(sn_network *network)
{
    if (!network) return;
    for (int i = 0; i < PROGRAMS; i++) free_program(&network->programs[i]);
    sn_free_aligned(network->shake);
    sn_free_aligned(network->swapped);
    free(network);
}

const sn_graph *sn_network_graph(const sn_network *network) { return network->programs[0].graph; }

/* ---- running ---- */

/* alpha and beta of a unit are two numbers of the stream (key of the sample, unit). */
static void draw_shake(sn_network *network, const sn_batch *batch)
{
    float *out = network->shake;
    for (int64_t n = 0; n < batch->count; n++)
        for (int64_t unit = 0; unit < network->shake_units; unit++) {
            uint64_t key = sn_rng_key(batch->keys[n], SN_RNG_SHAKE, (uint64_t)unit, 0);
            *out++ = (float)sn_rng_uniform(key, 0);
            *out++ = (float)sn_rng_uniform(key, 1);
        }
}

static const uint8_t *in_channel_order(sn_network *network, const sn_batch *batch)
{
    if (!network->swapped) return batch->images;
    const sn_build_options *build = &network->options.build;
    size_t pixels = (size_t)batch->count * (size_t)build->height * (size_t)build->width;
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++) network->swapped[3 * i + c] = batch->images[3 * i + 2 - c];
    return network->swapped;
}

static senet_status bind_inputs(sn_network *network, sn_program *program, const sn_batch *batch)
{
    if (network->options.build.input == SN_INPUT_U8) {
        SN_RETURN_IF_FAILED(sn_program_set_input(program, "images", in_channel_order(network, batch)));
        SN_RETURN_IF_FAILED(sn_program_set_input(program, "rects", batch->rects));
    } else
        SN_RETURN_IF_FAILED(sn_program_set_input(program, "input", batch->real));
    if (trains(network)) SN_RETURN_IF_FAILED(sn_program_set_input(program, "labels", batch->labels));
    if (trains(network) && network->options.build.mixed) {
        SN_RETURN_IF_FAILED(sn_program_set_input(program, "labels2", batch->labels2));
        SN_RETURN_IF_FAILED(sn_program_set_input(program, "mix", batch->mix));
    }
    if (network->wants_keys) SN_RETURN_IF_FAILED(sn_program_set_input(program, "keys", batch->keys));
    if (network->shake_units > 0) {
        draw_shake(network, batch);
        SN_RETURN_IF_FAILED(sn_program_set_input(program, "shake", network->shake));
    }
    return SENET_OK;
}

senet_status sn_network_run(sn_network *network, const sn_batch *batch, const float **logits, double *loss)
{
    batch_program *slot = &network->programs[batch->count == network->programs[0].batch ? 0 : 1];
    if (slot->batch != batch->count) SN_RETURN_IF_FAILED(make_program(network, batch->count, slot));
    SN_RETURN_IF_FAILED(bind_inputs(network, slot->program, batch));
    SN_RETURN_IF_FAILED(sn_program_run(slot->program));
    *logits = sn_program_output(slot->program, "logits", NULL);
    if (loss) *loss = *(const float *)sn_program_output(slot->program, "loss", NULL);
    return SENET_OK;
}

int64_t sn_logits_rank(const float *logits, int64_t classes, int32_t label)
{
    int64_t rank = 0;
    for (int64_t k = 0; k < classes; k++) {
        if (k < label) rank += !(logits[k] < logits[label]);
        else if (k > label) rank += !(logits[k] <= logits[label]);
    }
    return rank;
}
