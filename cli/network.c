/* network.c - see network.h. */
#include "network.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "graph/lower.h"
#include "report.h"

senet_status cli_model_name(const cli_arguments *arguments, const char **name)
{
    const char *option = cli_text(arguments, "model");
    bool takes_operand = arguments->verb->most_operands > 0 && strcmp(arguments->verb->operands, "MODEL") == 0;
    const char *operand = takes_operand && arguments->operands_count ? arguments->operands[0] : NULL;
    if (option && operand)
        return sn_fail(SENET_USAGE, "the model is named twice: '%s' and --model %s", operand, option);
    *name = option ? option : operand;
    return SENET_OK;
}

void cli_warn_unused(const char *path, const senet_model *model)
{
    const sn_load_report *loaded = &model->loaded;
    if (loaded->unused == 0) return;
    sn_text line = {0};
    sn_text_printf(&line, "%s: unused, as %s has no place for them: %d of the file's tensors, first '%s'", path,
                   model->name, loaded->unused, loaded->names[0]);
    cli_report_line("%s", sn_text_string(&line));
    sn_text_free(&line);
}

senet_status cli_open_network(const cli_arguments *arguments, senet_model **model)
{
    const char *name = NULL, *weights = cli_has(arguments, "weights") ? cli_text(arguments, "weights") : NULL;
    SN_RETURN_IF_FAILED(cli_model_name(arguments, &name));
    if (!name && !weights)
        return sn_fail(SENET_USAGE, "name a network: --model NAME%s; see senet models",
                       cli_has(arguments, "weights") ? " or --weights FILE" : "");
    return cli_open_weights(arguments, weights, name, model);
}

senet_status cli_open_weights(const cli_arguments *arguments, const char *weights, const char *name, senet_model **model)
{
    SN_RETURN_IF_FAILED(weights ? sn_model_open(weights, name, model) : sn_model_create(name, model));
    cli_warn_unused(weights, *model);
    if (cli_has(arguments, "threads")) (*model)->threads = (int)cli_integer(arguments, "threads");
    senet_precision precision = cli_has(arguments, "precision") ? (senet_precision)cli_choice(arguments, "precision") : SENET_FP32;
    bool has_ranges = (*model)->info.quantization != NULL;
    senet_status status = SENET_OK;
    if (weights || precision != SENET_INT8)
        status = sn_model_set_precision(*model, precision);
    else
        (*model)->precision = precision; /* `bench` without weights makes ranges up */
    if (has_ranges && precision != SENET_INT8 && cli_has(arguments, "precision"))
        cli_report_note("%s has int8 weights, which are used in %s; --precision int8 is faster", weights, sn_precision_name(precision));
    if (status == SENET_OK && cli_has(arguments, "tune") && cli_given(arguments, "tune"))
        status = sn_tuning_open(cli_text(arguments, "tune"), &(*model)->tuning);
    if (status != SENET_OK) {
        senet_model_destroy(*model);
        *model = NULL;
        return status;
    }
    if (cli_has(arguments, "reference")) (*model)->reference_only = cli_flag(arguments, "reference");
    if (cli_has(arguments, "no-exif")) (*model)->ignore_exif = cli_flag(arguments, "no-exif");
    return SENET_OK;
}

void cli_input_size(const cli_arguments *arguments, int64_t *height, int64_t *width)
{
    const cli_value *size = cli_get(arguments, "size");
    *height = size->height;
    *width = size->width;
}

const char *cli_input_text(int64_t height, int64_t width)
{
    static char text[64];
    snprintf(text, sizeof text, "3x%" PRId64 "x%" PRId64, height, width);
    return text;
}

void cli_add_shape(sn_json_writer *json, const char *key, sn_shape shape, bool vector)
{
    sn_json_open_array(json, key);
    sn_json_add_int(json, NULL, shape.n);
    sn_json_add_int(json, NULL, shape.c);
    if (!vector) {
        sn_json_add_int(json, NULL, shape.h);
        sn_json_add_int(json, NULL, shape.w);
    }
    sn_json_close_array(json);
}
