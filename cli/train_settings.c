/* train_settings.c - see train_settings.h. */
#include "train_settings.h"

#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "report.h"
#include "train/config.h"
#include "train/schedule.h"

/* ---- checking ---- */

/* Whether what follows the colon is there; the kinds that have no file are opened. */
static senet_status check_data(const char *data)
{
    static const char *const with_path[] = {"folder:", "list:", "cifar10:", "cifar100:", "tensors:"};
    for (size_t i = 0; i < sizeof with_path / sizeof with_path[0]; i++) {
        const size_t length = strlen(with_path[i]);
        if (strncmp(data, with_path[i], length) != 0 || data[length] == '\0') continue;
        if (access(data + length, R_OK) == 0) return SENET_OK;
        return sn_fail(SENET_NO_INPUT, "--data %s: no such file or folder, or it cannot be read", data);
    }
    if (strncmp(data, "tar:", 4) == 0) return SENET_OK; /* a pattern */
    sn_dataset *dataset;
    SN_RETURN_IF_FAILED(sn_dataset_open(data, SN_SPLIT_VAL, &dataset));
    sn_dataset_close(dataset);
    return SENET_OK;
}

senet_status cli_train_check(const sn_train_config *config)
{
    sn_train_config complete = *config;
    sn_spec spec;
    if (!complete.data) complete.data = "synthetic";
    SN_RETURN_IF_FAILED(sn_config_check(&complete));
    return sn_spec_parse(config->model, &spec);
}

/* ---- sources ---- */

/* The flags of settings that are not called as their flag; a setting may have several. */
static const struct {
    const char *setting, *flag;
} flags[] = {
    {"batch", "batch-size"},
    {"decay_all", "weight-decay-on"},
    {"decay_gamma", "weight-decay-on"},
    {"schedule", "milestones"},
    {"schedule_epochs", "milestones"},
    {"schedule_epochs", "epochs"},
    {"warmup_steps", "warmup-epochs"},
    {"init", "init-rule"},
    {"shuffle", "no-shuffle"},
    {"on_bad", "on-bad-image"},
    {"eval_batch", "eval-batch-size"},
    {"eval_resize", "input-size"},
    {"augment.randaugment.ops", "randaugment"},
    {"augment.randaugment.magnitude", "randaugment"},
    {"augment.erase", "random-erasing"},
    {"augment.erase_fill", "erase-fill"},
    {"augment.mixup", "mixup"},
    {"augment.cutmix", "cutmix"},
};
/* "init" is a flag, but for the weights to begin with. */
static bool is_own_flag(const char *name)
{
    return strcmp(name, "init") != 0;
}

/* The flag that the user gave for the setting, or NULL. */
static const char *given_flag(const cli_arguments *arguments, const char *setting)
{
    static char name[64];
    size_t length = 0;
    for (; setting[length] && length < sizeof name - 1; length++)
        name[length] = setting[length] == '_' ? '-' : setting[length];
    name[length] = '\0';
    if (is_own_flag(name) && cli_has(arguments, name) && cli_given(arguments, name)) return name;
    bool listed = false;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(flags[i].setting, setting) != 0) continue;
        listed = true;
        if (cli_given(arguments, flags[i].flag)) return flags[i].flag;
    }
    const bool by_augment = !listed && strncmp(setting, "augment.", 8) == 0; /* those without a flag of their own */
    return by_augment && cli_given(arguments, "augment") ? "augment" : NULL;
}

/* Whether a recipe's value is written for its number of epochs. */
static bool stretches(const char *setting)
{
    return strcmp(setting, "milestones") == 0 || strcmp(setting, "step_every") == 0 || strcmp(setting, "warmup_epochs") == 0;
}

static void describe_source(const cli_arguments *arguments, const sn_train_config *config, const char *setting,
                            sn_text *source)
{
    const char *flag = given_flag(arguments, setting), *said = sn_recipe_source(config, setting);
    const bool named = strcmp(setting, "model") == 0 || strcmp(setting, "data") == 0;
    source->length = 0;
    if (flag)
        sn_text_printf(source, "--%s", flag);
    else if (config->resume)
        sn_text_printf(source, "the run in %s", config->resume);
    else if (said)
        sn_text_printf(source, "%s: %s", config->recipe, said);
    else if (named && config->recipe && (strcmp(setting, "model") == 0 || config->data))
        sn_text_printf(source, "%s", config->recipe);
    else if (strcmp(setting, "data") == 0 && !config->data)
        sn_text_add_string(source, "to be named with --data");
    else
        sn_text_add_string(source, "default");
    if (stretches(setting) && said && !flag && cli_given(arguments, "epochs"))
        sn_text_printf(source, "; stretched to --epochs %lld", (long long)config->epochs);
    if (strcmp(setting, "lr") == 0 && cli_given(arguments, "scale-lr"))
        sn_text_printf(source, "; times %lld / %lld by --scale-lr", (long long)config->batch,
                       (long long)cli_integer(arguments, "scale-lr"));
}

/* ---- printing ---- */

/* Setting `index` as its user would write it; false past the last. */
static bool show_value(const sn_train_config *config, size_t index, const char **name, sn_text *value)
{
    sn_config_rule rule;
    int64_t choice;
    int length;
    if (!sn_config_setting(config, index, name, &rule, value)) return false;
    if (!sn_parse_int64(sn_text_string(value), &choice)) return true;
    const char *word = sn_config_word(index, choice, &length);
    if (!word) return true;
    value->length = 0;
    sn_text_add(value, word, (size_t)length);
    return true;
}

/* A number stays one in JSON; the others are text, an empty one null. */
static void add_setting(sn_json_writer *json, const char *name, const char *value)
{
    int64_t whole;
    double real;
    if (!*value)
        sn_json_add_null(json, name);
    else if (sn_parse_int64(value, &whole))
        sn_json_add_int(json, name, whole);
    else if (sn_parse_double(value, &real))
        sn_json_add_double(json, name, real);
    else
        sn_json_add_string(json, name, value);
}

static void print_json(const cli_arguments *arguments, const sn_train_config *config, sn_text *text)
{
    sn_json_writer json = {.text = text};
    sn_text value = {0};
    const char *name;
    sn_json_open_object(&json, NULL);
    for (size_t i = 0; show_value(config, i, &name, &value); i++) add_setting(&json, name, sn_text_string(&value));
    sn_json_open_object(&json, "sources");
    for (size_t i = 0; show_value(config, i, &name, &value); i++) {
        describe_source(arguments, config, name, &value);
        sn_json_add_string(&json, name, sn_text_string(&value));
    }
    sn_json_close_object(&json);
    sn_json_close_object(&json);
    text->failed |= value.failed;
    sn_text_free(&value);
}

static void print_table(const cli_arguments *arguments, const sn_train_config *config, sn_text *text)
{
    sn_text value = {0}, source = {0};
    const char *name;
    sn_text_printf(text, "%-20s %-20s %s", "setting", "value", "source");
    for (size_t i = 0; show_value(config, i, &name, &value); i++) {
        describe_source(arguments, config, name, &source);
        sn_text_printf(text, "\n%-20s %-20s %s", name, value.length ? sn_text_string(&value) : "-",
                       sn_text_string(&source));
    }
    text->failed |= value.failed || source.failed;
    sn_text_free(&value);
    sn_text_free(&source);
}

senet_status cli_train_print_settings(const cli_arguments *arguments, const sn_train_config *config)
{
    sn_text text = {0}, said = {0};
    sn_train_config shown = *config;
    if (config->data) SN_RETURN_IF_FAILED(check_data(config->data));
    sn_schedule_stretch(&shown, &said);
    if (said.length > 0) cli_report_note("%s", sn_text_string(&said));
    sn_text_free(&said);
    if (cli_flag(arguments, "json"))
        print_json(arguments, &shown, &text);
    else
        print_table(arguments, &shown, &text);
    return cli_print_text(&text);
}
