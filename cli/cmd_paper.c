/* cmd_paper.c - `senet paper TOPIC`: the paper's tables, ours beside its.
 *
 * Adding a topic is a line in `topics`, a file paper_<topic>.c, and its declaration in paper.h. */
#include "paper.h"

#include <string.h>

#include "base/json.h"
#include "report.h"
#include "verbs.h"

static const cli_paper_topic topics[] = {
    {"complexity", "parameters and multiply-adds: Tables 1, 2, 3, 10, 13, 15, 16, section 4, equation 5",
     cli_paper_complexity},
};
enum { TOPICS = sizeof topics / sizeof *topics };

static senet_status list_topics(bool as_json)
{
    sn_text text = {0};
    sn_json_writer json = {.text = &text};
    if (as_json) sn_json_open_array(&json, NULL);
    for (int i = 0; i < TOPICS; i++) {
        if (as_json) {
            sn_json_open_object(&json, NULL);
            sn_json_add_string(&json, "topic", topics[i].name);
            sn_json_add_string(&json, "summary", topics[i].summary);
            sn_json_close_object(&json);
        } else {
            sn_text_printf(&text, "%ssenet paper %-12s %s", i ? "\n" : "", topics[i].name, topics[i].summary);
        }
    }
    if (as_json) sn_json_close_array(&json);
    return cli_print_text(&text);
}

static senet_status fail_unknown(const char *name)
{
    sn_text names = {0};
    for (int i = 0; i < TOPICS; i++) sn_text_printf(&names, "%s%s", i ? ", " : "", topics[i].name);
    senet_status status = sn_fail(SENET_USAGE, "unknown topic '%s'; topics: %s", name, sn_text_string(&names));
    sn_text_free(&names);
    return status;
}

static senet_status show(const cli_arguments *arguments)
{
    if (arguments->operands_count == 0) return list_topics(cli_flag(arguments, "json"));
    for (int i = 0; i < TOPICS; i++)
        if (strcmp(topics[i].name, arguments->operands[0]) == 0) return topics[i].show(arguments);
    return fail_unknown(arguments->operands[0]);
}

static int run(const cli_arguments *arguments)
{
    return cli_finish(show(arguments));
}

static const cli_option options[] = {
    {.name = "csv",
     .type = CLI_TEXT,
     .metavar = "FILE",
     .help = "write the rows to FILE too, as comma-separated values"},
    CLI_OPTION_JSON,
    CLI_OPTIONS_END,
};

static const cli_example examples[] = {
    {"senet paper", "What can be shown"},
    {"senet paper complexity", "Every complexity figure of the paper, ours beside it"},
    {"senet paper complexity --csv complexity.csv", "The same rows for a spreadsheet"},
    {NULL, NULL},
};

const cli_verb cli_paper = {
    .name = "paper",
    .operands = "[TOPIC]",
    .most_operands = 1,
    .summary = "show figures of the paper, ours beside its",
    .description =
        "Shows what the paper (Hu, Shen, Albanie, Sun, Wu: Squeeze-and-Excitation Networks) prints about a topic, and "
        "our "
        "figures beside it. Without a topic, lists the topics.\n\n"
        "complexity: our figures are counted in the networks' graphs and rounded to the digits that the paper prints. "
        "Its "
        "FLOPs are multiply-adds: the products of convolutions and linear layers for one image, and one for every "
        "value "
        "that a gate multiplies. A row that is not equal says why. --json gives an array of {table, row, model, "
        "quantity, ours, paper, unit, equal, exact, note}; exact is the count behind a rounded figure.",
    .options = options,
    .examples = examples,
    .run = run,
};
