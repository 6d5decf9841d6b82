/* eval_setup.c - see eval_setup.h.  The order: networks, data set, how its labels become the networks' classes, views.
 */
#include "eval_setup.h"

#include <stdlib.h>
#include <string.h>

#include "network.h"

enum { BATCH_SMALL = 100, BATCH_PHOTOGRAPHS = 32 };

/* ---- networks ---- */

/* The operands are weights files too: --weights A B. */
static senet_status open_models(const cli_arguments *arguments, eval_setup *setup)
{
    const cli_value *weights = cli_get(arguments, "weights"), *names = cli_get(arguments, "model");
    int count = weights->count + arguments->operands_count;
    if (names->count > 1 && names->count != count)
        return sn_fail(SENET_USAGE, "--model is given %d times for %d weights files: give it once, or once for each",
                       names->count, count);
    setup->models = calloc((size_t)count, sizeof *setup->models);
    if (!setup->models) return sn_fail_memory((size_t)count * sizeof *setup->models, "the networks");
    for (int i = 0; i < count; i++) {
        const char *path = i < weights->count ? weights->texts[i] : arguments->operands[i - weights->count];
        const char *name = names->count ? names->texts[names->count > 1 ? i : 0] : NULL;
        SN_RETURN_IF_FAILED(cli_open_weights(arguments, path, name, &setup->models[i]));
        setup->models_count++;
    }
    return SENET_OK;
}

/* ---- the data set ---- */

static senet_status fail_classes(const eval_setup *setup, const char *data)
{
    const sn_dataset_info *info = sn_dataset_describe(setup->dataset);
    const senet_model *model = setup->models[0];
    const char *hint = info->photographs && info->classes < model->spec.classes
                           ? "; --label-map FILE says which class of the network each of them is"
                           : "";
    return sn_fail(SENET_USAGE, "%s has %lld classes, %s tells %lld apart%s", data, (long long)info->classes,
                   model->name, (long long)model->spec.classes, hint);
}

/* Labels become classes of the network: by --label-map; of photographs, by the names of the classes where the weights
 * file knows them all; else number by number, when there are as many.  Sets without names (lists with numbers, tensors)
 * have the network's numbers, of which the last need not occur. */
static senet_status fit_labels(const cli_arguments *arguments, const eval_setup *setup, const char *data)
{
    const sn_dataset_info *info = sn_dataset_describe(setup->dataset);
    const senet_model *model = setup->models[0];
    const char *map = cli_text(arguments, "label-map");
    if (map) return sn_dataset_map_labels(setup->dataset, map, model->spec.classes);
    if (info->photographs && info->labels && model->info.labels_count &&
        sn_dataset_map_names(setup->dataset, (const char *const *)model->info.labels, model->spec.classes) == SENET_OK)
        return SENET_OK;
    bool numbers = info->real || (info->photographs && !info->labels);
    bool fits = numbers ? info->classes <= model->spec.classes : info->classes == model->spec.classes;
    return fits ? SENET_OK : fail_classes(setup, data);
}

static senet_status open_data(const cli_arguments *arguments, eval_setup *setup)
{
    const char *data = cli_text(arguments, "data"), *exclude = cli_text(arguments, "exclude");
    sn_split split = cli_choice(arguments, "split") == 0 ? SN_SPLIT_VAL : SN_SPLIT_TRAIN;
    SN_RETURN_IF_FAILED(sn_dataset_open(data, split, &setup->dataset));
    SN_RETURN_IF_FAILED(fit_labels(arguments, setup, data));
    int64_t excluded;
    if (exclude) SN_RETURN_IF_FAILED(sn_dataset_exclude(setup->dataset, exclude, &excluded));
    bool photographs = sn_dataset_describe(setup->dataset)->photographs;
    setup->batch = cli_given(arguments, "batch-size") ? cli_integer(arguments, "batch-size")
                   : photographs                      ? BATCH_PHOTOGRAPHS
                                                      : BATCH_SMALL;
    return SENET_OK;
}

/* ---- views ---- */

static const char *const view_options[] = {"protocol", "crops",  "scales",    "crop-size",
                                           "resize",   "mirror", "no-mirror", "interpolation"};

/* The first option given that says how pictures are cropped, or NULL. */
static const char *given_view_option(const cli_arguments *arguments)
{
    for (size_t i = 0; i < sizeof view_options / sizeof view_options[0]; i++)
        if (cli_given(arguments, view_options[i])) return view_options[i];
    return NULL;
}

/* --protocol, or the standard one of --crops; then every flag. */
static senet_status read_protocol(const cli_arguments *arguments, sn_protocol *protocol)
{
    static const char *const standard[] = {"single", "ten-crop", "twelve-crop",
                                           "144-crop"}; /* by the choices of --crops */
    const int crops = cli_choice(arguments, "crops");
    const char *name = cli_text(arguments, "protocol");
    sn_protocol by_crops;
    SN_RETURN_IF_FAILED(sn_protocol_find(standard[crops], &by_crops));
    *protocol = by_crops;
    if (name) SN_RETURN_IF_FAILED(sn_protocol_find(name, protocol));
    if (cli_given(arguments, "crops")) {
        protocol->crops = by_crops.crops;
        protocol->mirrors = by_crops.mirrors;
    }
    if (cli_given(arguments, "scales"))
        SN_RETURN_IF_FAILED(sn_protocol_parse_scales(cli_text(arguments, "scales"), protocol));
    if (cli_given(arguments, "crop-size"))
        SN_RETURN_IF_FAILED(sn_protocol_parse_sizes(cli_text(arguments, "crop-size"), protocol));
    if (cli_given(arguments, "resize")) protocol->resize = (sn_view_resize)cli_choice(arguments, "resize");
    if (cli_flag(arguments, "mirror") && cli_flag(arguments, "no-mirror"))
        return sn_fail(SENET_USAGE, "--mirror and --no-mirror: choose one");
    if (cli_flag(arguments, "mirror")) protocol->mirrors = true;
    if (cli_flag(arguments, "no-mirror")) protocol->mirrors = false;
    return SENET_OK;
}

/* Pictures of any size must be resized somehow, whatever the weights were trained on. */
static int interpolation_of(const cli_arguments *arguments, const senet_model *model)
{
    if (cli_given(arguments, "interpolation")) return cli_choice(arguments, "interpolation");
    int own = model->preprocess.interpolation;
    return own == SN_INTERPOLATION_NONE ? SN_INTERPOLATION_PIL_BILINEAR : own;
}

/* The streams of one network: one for each of its crop sizes. */
static senet_status add_streams(const cli_arguments *arguments, senet_model *model, eval_setup *setup)
{
    sn_eval_stream stream = {.spec = &model->spec, .params = model->params, .precision = model->precision,
                            .quantization = model->info.quantization,
                             .preprocess = model->preprocess};
    if (setup->as_stored) {
        setup->streams[setup->streams_count++] = stream;
        setup->views++;
        return SENET_OK;
    }
    sn_protocol protocol = setup->protocol;
    if (!protocol.sizes_count)
        protocol.sizes[protocol.sizes_count++] = (sn_crop_size){stream.preprocess.height, stream.preprocess.width};
    SN_RETURN_IF_FAILED(sn_protocol_check(&protocol));
    stream.preprocess.interpolation = interpolation_of(arguments, model);
    for (size_t i = 0; i < protocol.sizes_count; i++) {
        sn_view *views;
        stream.preprocess.height = protocol.sizes[i].height;
        stream.preprocess.width = protocol.sizes[i].width;
        SN_RETURN_IF_FAILED(sn_protocol_views(&protocol, &stream.preprocess, &views, &stream.views_count));
        stream.views = views;
        setup->streams[setup->streams_count++] = stream;
        setup->views += (int64_t)stream.views_count;
    }
    return SENET_OK;
}

static senet_status create_views(const cli_arguments *arguments, eval_setup *setup)
{
    const sn_dataset_info *info = sn_dataset_describe(setup->dataset);
    const char *option = given_view_option(arguments);
    if (info->real && option)
        return sn_fail(SENET_USAGE, "--%s: %s holds prepared inputs, which are not cropped", option, info->name);
    setup->as_stored = !info->photographs && !option;
    SN_RETURN_IF_FAILED(read_protocol(arguments, &setup->protocol));
    size_t most = setup->models_count * SN_MAX_CROP_SIZES;
    setup->streams = calloc(most, sizeof *setup->streams);
    if (!setup->streams) return sn_fail_memory(most * sizeof *setup->streams, "the networks' views");
    for (size_t i = 0; i < setup->models_count; i++)
        SN_RETURN_IF_FAILED(add_streams(arguments, setup->models[i], setup));
    return SENET_OK;
}

senet_status eval_setup_create(const cli_arguments *arguments, eval_setup *setup)
{
    *setup = (eval_setup){0};
    SN_RETURN_IF_FAILED(open_models(arguments, setup));
    SN_RETURN_IF_FAILED(open_data(arguments, setup));
    return create_views(arguments, setup);
}

void eval_setup_free(eval_setup *setup)
{
    for (size_t i = 0; i < setup->streams_count; i++) free((sn_view *)setup->streams[i].views);
    free(setup->streams);
    sn_dataset_close(setup->dataset);
    for (size_t i = 0; i < setup->models_count; i++) senet_model_destroy(setup->models[i]);
    free(setup->models);
    *setup = (eval_setup){0};
}

const char *eval_label(const eval_setup *setup, int64_t k)
{
    const char *own = senet_model_label(setup->models[0], (int)k);
    const sn_dataset_info *info = sn_dataset_describe(setup->dataset);
    if (own) return own;
    return info->labels && k < info->classes ? info->labels[k] : NULL;
}
