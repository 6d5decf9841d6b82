/* cmd_summary.c - `senet summary MODEL`: the layer table with output shapes, parameters, multiply-adds and bytes, and
 * what the whole takes in memory. */
#include <stdio.h>

#include "analysis/complexity_memory.h"
#include "base/json.h"
#include "network.h"
#include "ops/op.h"
#include "report.h"
#include "verbs.h"

typedef struct summary {
    sn_spec spec;
    char name[SN_MODEL_NAME_BYTES];
    sn_graph *graph;
    int64_t height, width, params, statistics;
    int64_t batch, activation_bytes; /* the latter of one image */
    sn_cost cost;
    sn_memory_needs memory; /* of the batch */
} summary;

/* Learnable elements among a node's inputs. */
static int64_t node_params(const sn_graph *graph, const sn_node *node)
{
    int64_t elements = 0;
    for (int i = 0; i < node->inputs_count; i++) {
        const sn_node *input = sn_input_of(graph, node, i);
        if (input && input->op == SN_OP_param && graph->params[input->attrs.u.param.index].learnable)
            elements += sn_shape_elements(input->shape);
    }
    return elements;
}

/* Whether a node is a layer for the reader: parameters and the packing of statistics are not. */
static bool is_layer(const sn_node *node)
{
    return node->op != SN_OP_param && node->op != SN_OP_bn_pack && node->op != SN_OP_row;
}

/* Bytes of a layer's output in fp32, for one image. */
static int64_t activation_bytes(const summary *s, const sn_node *node)
{
    return sn_shape_elements(node->shape) / s->batch * (int64_t)sizeof(float);
}

/* --size or --input, which are the same; zeros where neither is given. */
static senet_status read_size(const cli_arguments *arguments, summary *s)
{
    const cli_value *input = cli_get(arguments, "input");
    cli_input_size(arguments, &s->height, &s->width);
    if (!input->given) return SENET_OK;
    if (cli_given(arguments, "size")) return sn_fail(SENET_USAGE, "--size and --input are the same: give one");
    s->height = input->height;
    s->width = input->width;
    return SENET_OK;
}

static senet_status measure(const cli_arguments *arguments, summary *s)
{
    const char *name = NULL;
    SN_RETURN_IF_FAILED(cli_model_name(arguments, &name));
    if (!name) return sn_fail(SENET_USAGE, "name a network: senet summary MODEL; see senet models");
    SN_RETURN_IF_FAILED(sn_spec_parse(name, &s->spec));
    sn_spec_canonical(&s->spec, s->name, sizeof s->name);
    SN_RETURN_IF_FAILED(read_size(arguments, s));
    s->batch = cli_integer(arguments, "batch-size");
    if (!s->height) s->height = s->width = s->spec.native_size;
    sn_build_options options = {
        .mode = SN_MODE_EVAL, .batch = s->batch, .height = s->height, .width = s->width, .no_fuse = true};
    SN_RETURN_IF_FAILED(sn_model_build(&s->spec, &options, &s->graph));
    sn_graph_count_params(s->graph, &s->params, &s->statistics);
    s->cost = sn_graph_cost(s->graph);
    s->cost.macs /= s->batch;
    s->cost.scale_ops /= s->batch;
    for (size_t i = 0; i < s->graph->nodes_count; i++)
        if (is_layer(&s->graph->nodes[i])) s->activation_bytes += activation_bytes(s, &s->graph->nodes[i]);
    return sn_memory_needs_plan(&s->spec, s->batch, s->height, s->width, (int)cli_integer(arguments, "threads"),
                                (sn_recompute)cli_choice(arguments, "recompute"), &s->memory);
}

static void add_memory_json(sn_json_writer *json, const summary *s)
{
    const sn_memory_needs *memory = &s->memory;
    sn_json_open_object(json, "memory");
    sn_json_add_int(json, "batch", s->batch);
    sn_json_add_int(json, "activations", s->activation_bytes);
    sn_json_add_int(json, "weights", (int64_t)memory->weights);
    sn_json_add_int(json, "gradients", (int64_t)memory->gradients);
    sn_json_add_int(json, "momentum", (int64_t)memory->momentum);
    sn_json_add_int(json, "inference_arena", (int64_t)memory->inference.arena);
    sn_json_add_int(json, "inference_packed", (int64_t)memory->inference.packed);
    sn_json_add_int(json, "inference", (int64_t)sn_memory_needs_inference(memory));
    sn_json_add_int(json, "training_arena", (int64_t)memory->training.arena);
    sn_json_add_int(json, "training_packed", (int64_t)memory->training.packed);
    sn_json_add_int(json, "training", (int64_t)sn_memory_needs_training(memory));
    sn_json_close_object(json);
}

static void add_json(sn_text *text, const summary *s)
{
    sn_json_writer json = {.text = text};
    sn_json_open_object(&json, NULL);
    sn_json_add_string(&json, "model", s->name);
    sn_json_add_string(&json, "input", cli_input_text(s->height, s->width));
    sn_json_add_int(&json, "classes", s->spec.classes);
    sn_json_add_int(&json, "params", s->params);
    sn_json_add_int(&json, "params_with_bn_stats", s->params + s->statistics);
    sn_json_add_int(&json, "macs", s->cost.macs);
    sn_json_add_int(&json, "macs_with_scale", s->cost.macs + s->cost.scale_ops);
    sn_json_open_array(&json, "layers");
    for (size_t i = 0; i < s->graph->nodes_count; i++) {
        const sn_node *node = &s->graph->nodes[i];
        if (!is_layer(node)) continue;
        sn_json_open_object(&json, NULL);
        sn_json_add_string(&json, "name", node->name ? node->name : "");
        sn_json_add_string(&json, "op", sn_op_of(node->op)->name);
        cli_add_shape(&json, "output", node->shape, false);
        sn_json_add_int(&json, "params", node_params(s->graph, node));
        sn_json_add_int(&json, "macs", sn_node_cost(s->graph, node).macs / s->graph->batch);
        sn_json_add_int(&json, "activation_bytes", activation_bytes(s, node));
        sn_json_close_object(&json);
    }
    sn_json_close_array(&json);
    add_memory_json(&json, s);
    sn_json_close_object(&json);
}

static void add_count(sn_text *text, int width, int64_t number)
{
    sn_text_printf(text, " %*s", width, number ? cli_grouped(number) : "");
}

static double mebibytes(size_t bytes)
{
    return (double)bytes / (1 << 20);
}

static void add_program_needs(sn_text *text, const char *what, size_t all, const sn_program_needs *needs)
{
    sn_text_printf(text, "\n%-10s %9.1f MiB: tensors of a run %.1f, packed weights %.1f", what, mebibytes(all),
                   mebibytes(needs->arena), mebibytes(needs->packed));
}

static void add_memory(sn_text *text, const summary *s)
{
    const sn_memory_needs *memory = &s->memory;
    sn_text_printf(text, "memory, fp32, batch %lld; the outputs of all layers are %.1f MiB an image",
                   (long long)s->batch, mebibytes((size_t)s->activation_bytes));
    add_program_needs(text, "inference", sn_memory_needs_inference(memory), &memory->inference);
    sn_text_printf(text, ", weights %.1f", mebibytes(memory->weights));
    add_program_needs(text, "training", sn_memory_needs_training(memory), &memory->training);
    sn_text_printf(text, ", weights %.1f, gradients %.1f, momentum %.1f", mebibytes(memory->weights),
                   mebibytes(memory->gradients), mebibytes(memory->momentum));
}

static void add_table(sn_text *text, const summary *s)
{
    sn_text_printf(text, "%-34s %-14s %-20s %12s %15s %12s\n", "layer", "operation", "output (N,C,H,W)", "parameters",
                   "multiply-adds", "bytes");
    for (size_t i = 0; i < s->graph->nodes_count; i++) {
        const sn_node *node = &s->graph->nodes[i];
        char shape[96];
        if (!is_layer(node)) continue;
        snprintf(shape, sizeof shape, "%lldx%lldx%lldx%lld", (long long)node->shape.n, (long long)node->shape.c,
                 (long long)node->shape.h, (long long)node->shape.w);
        sn_text_printf(text, "%-34s %-14s %-20s", node->name ? node->name : "", sn_op_of(node->op)->name, shape);
        add_count(text, 12, node_params(s->graph, node));
        add_count(text, 15, sn_node_cost(s->graph, node).macs / s->graph->batch);
        add_count(text, 12, activation_bytes(s, node));
        sn_text_add_char(text, '\n');
    }
    sn_text_printf(text, "\n%s: input 3x%lldx%lld, %lld classes\n", s->name, (long long)s->height, (long long)s->width,
                   (long long)s->spec.classes);
    sn_text_printf(text, "parameters       %15s   with batch norm's statistics %15s\n", cli_grouped(s->params),
                   cli_grouped(s->params + s->statistics));
    sn_text_printf(text, "multiply-adds    %15s   with the gates' products     %15s   (one image)\n",
                   cli_grouped(s->cost.macs), cli_grouped(s->cost.macs + s->cost.scale_ops));
    add_memory(text, s);
}

static int run(const cli_arguments *arguments)
{
    sn_text text = {0};
    summary s = {0};
    senet_status status = measure(arguments, &s);
    if (status == SENET_OK) {
        if (cli_flag(arguments, "json"))
            add_json(&text, &s);
        else
            add_table(&text, &s);
        status = cli_print_text(&text);
    }
    sn_graph_destroy(s.graph);
    return cli_finish(status);
}

static const cli_option options[] = {
    CLI_OPTION_MODEL("the network, instead of MODEL"),
    {.name = "size",
     .type = CLI_SIZE,
     .metavar = "SIDE|HxW",
     .least = 1,
     .most = 16384,
     .usual = "the network's own",
     .help = "input in pixels"},
    {.name = "input", .type = CLI_SIZE, .metavar = "SIDE|HxW", .least = 1, .most = 16384, .help = "the same as --size"},
    CLI_OPTION_BATCH("1"),
    CLI_OPTION_RECOMPUTE,
    CLI_OPTION_THREADS,
    CLI_OPTION_JSON,
    CLI_OPTIONS_END,
};

static const cli_example examples[] = {
    {"senet summary se_cifar_resnet20", "The layers of SE-ResNet-20"},
    {"senet summary se_cifar_resnet20:r=8 --size 64", "Another reduction ratio, larger pictures"},
    {"senet summary se_wrn16_8 --json", "Counts for a program: params, macs, macs_with_scale, layers[], memory"},
    {"senet summary se_resnet50 --batch-size 32 --input 192x256",
     "What training batches of 32 such pictures takes in memory"},
    {NULL, NULL},
};

const cli_verb cli_summary = {
    .name = "summary",
    .operands = "MODEL",
    .most_operands = 1,
    .summary = "show the layers of a network, their shapes and costs",
    .description = "Prints every layer with its output's shape, learnable parameters, multiply-adds and the bytes of "
                   "its output for "
                   "one image, and the sums. "
                   "Multiply-adds are the products of convolutions and linear layers for one image, those of the SE "
                   "blocks included; macs_with_scale adds one for every value that a gate multiplies.\n\n"
                   "Memory is what the planner lays out for inference, and for a training step with momentum, with the "
                   "kernels of this machine; nothing of it is taken. Tensors share places where their lives do not "
                   "overlap, so it is less than the sum of the layers' outputs. --recompute shows what train --recompute "
                   "takes.",
    .options = options,
    .examples = examples,
    .run = run,
};
