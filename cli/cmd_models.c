/* cmd_models.c - `senet models`: every network that can be named, with its input, classes, parameters and cost. */
#include <stdio.h>

#include "base/json.h"
#include "network.h"
#include "report.h"
#include "verbs.h"

typedef struct model_row {
    const char *name, *summary;
    sn_spec spec;
    int64_t params, macs;
} model_row;

static senet_status measure(model_row *row)
{
    sn_graph *graph = NULL;
    int64_t statistics;
    sn_build_options options = {.mode = SN_MODE_EVAL, .batch = 1, .no_fuse = true};
    SN_RETURN_IF_FAILED(sn_spec_parse(row->name, &row->spec));
    SN_RETURN_IF_FAILED(sn_model_build(&row->spec, &options, &graph));
    sn_graph_count_params(graph, &row->params, &statistics);
    row->macs = sn_graph_cost(graph).macs;
    sn_graph_destroy(graph);
    return SENET_OK;
}

static void add_json(sn_json_writer *json, const model_row *row)
{
    sn_json_open_object(json, NULL);
    sn_json_add_string(json, "name", row->name);
    sn_json_add_string(json, "input", cli_input_text(row->spec.native_size, row->spec.native_size));
    sn_json_add_int(json, "classes", row->spec.classes);
    sn_json_add_int(json, "params", row->params);
    sn_json_add_int(json, "macs", row->macs);
    sn_json_add_string(json, "summary", row->summary);
    sn_json_close_object(json);
}

static void add_line(sn_text *text, const model_row *row)
{
    sn_text_printf(text, "%-28s %5d %7lld %12s %15s  %s\n", row->name, row->spec.native_size,
                   (long long)row->spec.classes, cli_grouped(row->params), cli_grouped(row->macs), row->summary);
}

static int run(const cli_arguments *arguments)
{
    sn_text text = {0};
    sn_json_writer json = {.text = &text};
    bool as_json = cli_flag(arguments, "json");
    senet_status status = SENET_OK;
    model_row row;
    if (as_json)
        sn_json_open_array(&json, NULL);
    else
        sn_text_printf(&text, "%-28s %5s %7s %12s %15s\n", "name", "input", "classes", "parameters", "multiply-adds");
    for (size_t i = 0; sn_zoo_list(i, &row.name, &row.summary); i++) {
        SN_TRY(measure(&row), cleanup);
        if (as_json)
            add_json(&json, &row);
        else
            add_line(&text, &row);
    }
    if (as_json)
        sn_json_close_array(&json);
    else
        sn_text_printf(
            &text,
            "\nOptions follow the name, se_cifar_resnet20:r=8,squeeze=max; `senet summary MODEL` shows the layers.");
    status = cli_print_text(&text);
cleanup:
    sn_text_free(&text);
    return cli_finish(status);
}

static const cli_option options[] = {CLI_OPTION_JSON, CLI_OPTIONS_END};

static const cli_example examples[] = {
    {"senet models", "Every network, a line each"},
    {"senet models --json",
     "The same for a program: [{\"name\", \"input\", \"classes\", \"params\", \"macs\", \"summary\"}, ...]"},
    {NULL, NULL},
};

const cli_verb cli_models = {
    .name = "models",
    .operands = "",
    .summary = "list the networks by name",
    .description =
        "Lists the networks with the side of their input in pixels, classes, learnable parameters and multiply-adds "
        "of one image (convolutions and linear layers).\n\n"
        "The prefix se_ puts a Squeeze-and-Excitation block into every unit (senet154 always has them). Options follow "
        "a "
        "colon, in any order: classes=N; with SE blocks r=16 (reduction), squeeze=avg|max|none, "
        "gate=sigmoid|tanh|relu, "
        "bias=1|0; in residual networks with SE blocks stages=2+3 (where they are: 2..5, of 32-pixel networks 2..4); "
        "in "
        "resnet*, resnext*, senet154 and cifar_resnet* place=standard|pre|post|identity, and but for the latter "
        "3x3.\n\n"
        "For weights of other origin: resnet*: down=1x1|3x3 (the convolution with the stride); resnet*, resnext*, "
        "senet154: pool=ceil|pad1; mobilenet: width=1.0, act=relu|relu6, pad=symmetric|tf_same; cifar_resnet*, "
        "cifar_preresnet* but 164: pad=center|end (zero channels of the shortcut).\n\n"
        "Families take other depths and widths: cifar_resnetN and cifar_preresnetN (N = 6n+2), wrnD_K (D = 6n+4), "
        "shake_shake26_2xWd, shake_even29_2xGxWd.",
    .options = options,
    .examples = examples,
    .run = run,
};
