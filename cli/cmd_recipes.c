/* cmd_recipes.c - `senet recipes`: the published trainings that can be named. */
#include "base/json.h"
#include "report.h"
#include "train/train.h"
#include "verbs.h"

static int run(const cli_arguments *arguments)
{
    sn_text text = {0};
    sn_json_writer json = {.text = &text};
    const bool as_json = cli_flag(arguments, "json");
    const char *name, *summary;
    senet_status status = SENET_OK;
    if (as_json)
        sn_json_open_array(&json, NULL);
    else
        sn_text_printf(&text, "%-18s %-25s %6s %6s %6s", "name", "model", "batch", "epochs", "lr");
    for (size_t i = 0; sn_recipe_list(i, &name, &summary); i++) {
        sn_train_config config;
        sn_train_defaults(&config);
        SN_TRY(sn_recipe_apply(name, &config), cleanup);
        if (as_json) {
            sn_json_open_object(&json, NULL);
            sn_json_add_string(&json, "name", name);
            sn_json_add_string(&json, "model", config.model);
            sn_json_add_int(&json, "batch", config.batch);
            sn_json_add_int(&json, "epochs", config.epochs);
            sn_json_add_double(&json, "lr", config.lr);
            sn_json_add_string(&json, "summary", summary);
            sn_json_close_object(&json);
        } else
            sn_text_printf(&text, "\n%-18s %-25s %6lld %6lld %6g  %s", name, config.model, (long long)config.batch,
                           (long long)config.epochs, config.lr, summary);
    }
    if (as_json)
        sn_json_close_array(&json);
    else
        sn_text_printf(&text, "\n\n`senet train --recipe NAME --dry-run` shows every setting and who published it.");
    status = cli_print_text(&text);
cleanup:
    sn_text_free(&text);
    return cli_finish(status);
}

static const cli_option options[] = {CLI_OPTION_JSON, CLI_OPTIONS_END};

static const cli_example examples[] = {
    {"senet recipes", "Every recipe, a line each"},
    {"senet train --recipe ablation --dry-run", "Every setting of one, with its source"},
    {NULL, NULL},
};

const cli_verb cli_recipes = {
    .name = "recipes",
    .operands = "",
    .summary = "list the published trainings by name",
    .description =
        "Lists what `senet train --recipe` knows, with the network it is for, which --model replaces: the trainings of "
        "the paper's tables, of the models that its authors released, of the CIFAR networks' authors, and two to begin "
        "with.\n\n"
        "Some values depend on the network. What nobody published is marked \"inferred\" among the sources that "
        "--dry-run shows; flags override everything.",
    .options = options,
    .examples = examples,
    .run = run,
};
