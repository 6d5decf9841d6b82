/* cmd_convert.c - `senet convert`: weights of others into our names, and ours into theirs. */
#include <stdlib.h>
#include <string.h>

#include "io/origin.h"
#include "network.h"
#include "report.h"
#include "verbs.h"

typedef struct job {
    const char *from, *to, *library; /* library: whose names to write */
    const sn_naming *naming;
    senet_model *model;
} job;

/* ---- what the new file says of its pictures ---- */

static senet_status set_entry(sn_preprocess *how, const char *option, const char *key, const char *value)
{
    const char *expected = sn_preprocess_set(how, key, value);
    return expected ? sn_fail(SENET_USAGE, "--%s %s: must be %s", option, value, expected) : SENET_OK;
}

/* The file's own preprocessing, or that of the origin; single options win. */
static senet_status set_preprocess(const cli_arguments *arguments, senet_model *model)
{
    static const struct {
        const char *option, *key;
    } singles[] = {{"channels", "channels"},
                   {"mean", "mean"},
                   {"std", "std"},
                   {"crop-pct", "crop_pct"},
                   {"interpolation", "interpolation"}};
    sn_preprocess *how = &model->preprocess;
    const char *origin = cli_text(arguments, "origin");
    if (origin) {
        *how = sn_preprocess_default(model->spec.native_size);
        for (const sn_metadata_entry *entry = sn_origin_metadata(origin, model->spec.base); entry->key; entry++)
            SN_RETURN_IF_FAILED(set_entry(how, "origin", entry->key, entry->value));
    }
    const cli_value *size = cli_get(arguments, "size");
    if (size->set) how->height = size->height, how->width = size->width;
    for (size_t i = 0; i < sizeof singles / sizeof *singles; i++) {
        const char *value = cli_text(arguments, singles[i].option);
        if (value) SN_RETURN_IF_FAILED(set_entry(how, singles[i].option, singles[i].key, value));
    }
    return SENET_OK;
}

/* Everything that the new file's metadata says. */
static senet_status set_info(const cli_arguments *arguments, senet_model *model)
{
    sn_weights_info *info = &model->info;
    const char *labels = cli_text(arguments, "labels");
    SN_RETURN_IF_FAILED(set_preprocess(arguments, model));
    info->preprocess = model->preprocess;
    info->has_preprocess = true;
    info->classes = model->spec.classes;
    free(info->model);
    info->model = strdup(model->name);
    if (!info->model) return sn_fail_memory(strlen(model->name), "the model's name");
    if (labels) return sn_weights_info_read_labels(info, labels);
    if ((int64_t)info->labels_count != info->classes) sn_weights_info_drop_labels(info);
    return SENET_OK;
}

/* ---- the report ---- */

static void add_json(sn_text *text, const job *j)
{
    const sn_load_report *loaded = &j->model->loaded;
    sn_json_writer json = {.text = text};
    sn_json_open_object(&json, NULL);
    sn_json_add_string(&json, "input", j->from);
    sn_json_add_string(&json, "output", j->to);
    sn_json_add_string(&json, "model", j->model->name);
    sn_json_add_string(&json, "naming", j->library);
    if (j->naming) sn_json_add_string(&json, "network", sn_naming_network(j->naming));
    sn_json_add_int(&json, "tensors", (int64_t)j->model->layout->params_count);
    sn_json_add_int(&json, "renamed", loaded->renamed);
    sn_json_add_int(&json, "reshaped", loaded->reshaped);
    sn_json_add_int(&json, "converted", loaded->converted);
    sn_json_add_int(&json, "folded", loaded->folded_biases);
    sn_json_add_int(&json, "missing", 0); /* a file that lacks a tensor is refused */
    sn_json_open_array(&json, "unused");
    for (int i = 0; i < loaded->unused; i++) sn_json_add_string(&json, NULL, loaded->names[i]);
    sn_json_close_array(&json);
    sn_json_close_object(&json);
}

static void add_text(sn_text *text, const job *j)
{
    const sn_load_report *loaded = &j->model->loaded;
    sn_text_printf(text, "%s: %zu tensors of %s -> %s", j->from, j->model->layout->params_count, j->model->name, j->to);
    if (j->naming) sn_text_printf(text, " (%s's %s)", j->library, sn_naming_network(j->naming));
    sn_text_printf(text, "\nrenamed %d, reshaped %d, converted to float32 %d, biases folded into batch norms %d",
                   loaded->renamed, loaded->reshaped, loaded->converted, loaded->folded_biases);
    sn_text_printf(text, "\nunused %d", loaded->unused);
    for (int i = 0; i < loaded->unused; i++) sn_text_printf(text, "%s %s", i ? "," : ":", loaded->names[i]);
}

static int run(const cli_arguments *arguments)
{
    job j = {.from = arguments->operands[0], .to = arguments->operands[1], .library = cli_text(arguments, "naming")};
    sn_text text = {0};
    senet_status status;
    SN_TRY(sn_model_open(j.from, cli_text(arguments, "model"), &j.model), cleanup);
    cli_warn_unused(j.from, j.model);
    SN_TRY(sn_naming_find(j.library, j.model->name, &j.naming), cleanup);
    SN_TRY(set_info(arguments, j.model), cleanup);
    SN_TRY(sn_weights_save_as(j.to, j.model->layout, j.model->params, &j.model->info, j.naming), cleanup);
    if (cli_flag(arguments, "json"))
        add_json(&text, &j);
    else
        add_text(&text, &j);
    status = cli_print_text(&text);
cleanup:
    sn_text_free(&text);
    senet_model_destroy(j.model);
    return cli_finish(status);
}

static const cli_option options[] = {
    CLI_OPTION_MODEL("the network; not needed where the file tells it"),
    {.name = "naming",
     .type = CLI_CHOICE,
     .metavar = "LIBRARY",
     .choices = SN_NAMINGS,
     .standard = "canonical",
     .help = "whose names and shapes to write, so that the file loads there"},
    {.name = "labels",
     .type = CLI_TEXT,
     .metavar = "FILE",
     .help = "names of the classes, one a line, to put into the file"},
    {.name = "origin",
     .type = CLI_CHOICE,
     .metavar = "LIBRARY",
     .choices = SN_ORIGINS,
     .usual = "what the file says",
     .help = "whose weights they are: how that library prepares pictures for this network"},
    {.name = "size",
     .type = CLI_SIZE,
     .metavar = "SIDE|HxW",
     .least = 1,
     .most = 16384,
     .usual = "what the file says, or the network's own",
     .help = "height and width of the input"},
    {.name = "channels", .type = CLI_CHOICE, .metavar = "ORDER", .choices = "RGB|BGR", .help = "order of the colours"},
    {.name = "mean",
     .type = CLI_TEXT,
     .metavar = "A,B,C",
     .help = "what is subtracted from a pixel in 0..1, in the order of the colours"},
    {.name = "std", .type = CLI_TEXT, .metavar = "A,B,C", .help = "what it is then divided by"},
    {.name = "crop-pct",
     .type = CLI_REAL,
     .metavar = "SHARE",
     .least = 0.01,
     .most = 1,
     .help = "side of the crop over the shorter side of the resized picture"},
    {.name = "interpolation",
     .type = CLI_CHOICE,
     .metavar = "KIND",
     .choices = "bilinear|pil_bilinear|pil_bicubic|none",
     .help = "how pictures are resized"},
    CLI_OPTION_JSON,
    CLI_OPTIONS_END,
};

static const cli_example examples[] = {
    {"senet convert SE-ResNet-50.caffemodel se_resnet50.safetensors --labels synset_words.txt",
     "The authors' weights; file and labels tell the rest"},
    {"senet convert seresnet50.safetensors out.safetensors --model se_resnet50:down=3x3,pool=pad1 --origin timm",
     "timm's weights, with timm's way to prepare pictures"},
    {"senet convert run/best.safetensors for_timm.safetensors --naming timm",
     "Weights trained here, to load into timm"},
    {NULL, NULL},
};

const cli_verb cli_convert = {
    .name = "convert",
    .operands = "IN OUT",
    .fewest_operands = 2,
    .most_operands = 2,
    .summary = "weights of other libraries into ours, and back",
    .description =
        "Reads weights from IN, safetensors under the names of this program, torchvision, timm, Cadene, moskomule or "
        "akamaster, or a .caffemodel; checks every tensor against the network; and writes OUT, safetensors in float32 "
        "with all metadata, so that it needs no options any more. A file that does not fit is refused with the first "
        "tensor that differs. What was renamed, reshaped, converted or not used is reported.",
    .options = options,
    .examples = examples,
    .run = run,
};
