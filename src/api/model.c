/* model.c - loading a network with its weights, asking what it is, destroying it.  See senet.h and model.h. */
#include "api/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "cpu/cpu.h"
#include "graph/lower.h"

/* Fills in spec, name, layout and parameters. */
static senet_status build(senet_model *model, const char *name)
{
    sn_build_options options = {.mode = SN_MODE_EVAL, .batch = 1, .input = SN_INPUT_REAL, .no_fuse = true};
    SN_RETURN_IF_FAILED(sn_spec_parse(name, &model->spec));
    sn_spec_canonical(&model->spec, model->name, sizeof model->name);
    SN_RETURN_IF_FAILED(sn_model_build(&model->spec, &options, &model->layout));
    SN_RETURN_IF_FAILED(sn_params_create(model->layout, SN_FLOAT, &model->params));
    return sn_workspace_create(&model->workspace);
}

static senet_model *allocate(void)
{
    senet_model *model = calloc(1, sizeof *model);
    if (model)
        pthread_mutex_init(&model->lock, NULL);
    else
        sn_fail_memory(sizeof *model, "a model");
    return model;
}

senet_status sn_model_create(const char *name, senet_model **opened)
{
    *opened = NULL;
    senet_model *model = allocate();
    if (!model) return SENET_NO_MEMORY;
    senet_status status = build(model, name);
    if (status == SENET_OK) {
        model->preprocess = sn_preprocess_default(model->spec.native_size);
        *opened = model;
    } else
        senet_model_destroy(model);
    return status;
}

/* Reads the weights of a model once more. */
static senet_status read_again(void *context, sn_params *params)
{
    const senet_model *model = context;
    sn_tensors *file = NULL;
    struct stat now;
    if (stat(model->path, &now) != 0 || now.st_size != model->file.st_size || now.st_ino != model->file.st_ino ||
        now.st_mtim.tv_sec != model->file.st_mtim.tv_sec || now.st_mtim.tv_nsec != model->file.st_mtim.tv_nsec)
        return sn_fail(SENET_NO_INPUT, "%s: gone or changed since it was loaded, but its weights are needed again", model->path);
    SN_RETURN_IF_FAILED(sn_weights_open(model->path, &file));
    senet_status status = sn_weights_load(file, model->spec.base, model->layout, params, NULL);
    sn_tensors_close(file);
    return status;
}

/* Remembers the file, so that weights may be let go of. */
static senet_status remember_file(senet_model *model, const char *path)
{
    model->path = strdup(path);
    if (!model->path) return sn_fail_memory(strlen(path), "a model");
    if (stat(path, &model->file) == 0) sn_params_set_source(model->params, read_again, model);
    return SENET_OK;
}

senet_status sn_model_open(const char *path, const char *name, senet_model **opened)
{
    *opened = NULL;
    sn_tensors *file = NULL;
    senet_model *model = allocate();
    if (!model) return SENET_NO_MEMORY;
    senet_status status;
    SN_TRY(sn_weights_open(path, &file), cleanup);
    SN_TRY(sn_weights_info_read(file, &model->info), cleanup);
    if (!name) name = model->info.model;
    if (!name) {
        status =
            sn_fail(SENET_USAGE, "%s: the file does not say which network its weights belong to; name the model", path);
        goto cleanup;
    }
    status = build(model, name);
    if (status != SENET_OK) {
        if (name == model->info.model) status = sn_fail_context(SENET_BAD_DATA, "%s: metadata 'model'", path);
        goto cleanup;
    }
    SN_TRY(sn_weights_preprocess_read(file, model->spec.native_size, &model->preprocess), cleanup);
    SN_TRY(sn_weights_load(file, model->spec.base, model->layout, model->params, &model->loaded), cleanup);
    if (model->info.classes && model->info.classes != model->spec.classes) {
        status = sn_fail(SENET_BAD_DATA, "%s: metadata 'num_classes' is '%lld', but %s has %lld classes", path,
                         (long long)model->info.classes, name, (long long)model->spec.classes);
        goto cleanup;
    }
    SN_TRY(remember_file(model, path), cleanup);
    *opened = model;
    model = NULL;
cleanup:
    senet_model_destroy(model);
    sn_tensors_close(file);
    return status;
}

static senet_status add_taps(sn_graph *graph, const char *const *taps, int taps_count)
{
    for (int i = 0; i < taps_count; i++) {
        sn_id node = sn_graph_find_node(graph, taps[i]);
        bool usable = node != SN_NONE && graph->nodes[node].op != SN_OP_param && graph->nodes[node].dtype == SN_REAL;
        if (!usable) return sn_fail(SENET_USAGE, "the network has no node '%s'", taps[i]);
        if (sn_graph_find_output(graph, taps[i]) == SN_NONE)
            SN_RETURN_IF_FAILED(sn_graph_add_output(graph, taps[i], node));
    }
    return SENET_OK;
}

senet_status sn_model_build_inference(const senet_model *model, int64_t batch, int64_t height, int64_t width,
                                      const char *const *taps, int taps_count, sn_graph **graph)
{
    sn_build_options options = {.mode = SN_MODE_EVAL,
                                .batch = batch,
                                .height = height,
                                .width = width,
                                .input = SN_INPUT_REAL,
                                .no_fuse = true};
    sn_graph *plain = NULL, *fused = NULL, *folded = NULL, *joined = NULL;
    senet_status status;
    *graph = NULL;
    SN_TRY(sn_model_build(&model->spec, &options, &plain), cleanup);
    SN_TRY(add_taps(plain, taps, taps_count), cleanup); /* before the passes, which keep outputs and drop other names */
    SN_TRY(sn_graph_fuse(plain, &fused), cleanup);
    SN_TRY(sn_graph_fold_batch_norm(fused, &folded), cleanup);
    SN_TRY(sn_cpu_join_layers(folded, model->precision, &joined), cleanup);
    if (model->precision == SENET_BF16)
        status = sn_graph_lower_bf16(joined, graph);
    else if (model->precision == SENET_INT8)
        status = sn_graph_lower_int8(joined, model->info.quantization, graph);
    else {
        *graph = joined;
        joined = NULL;
    }
cleanup:
    sn_graph_destroy(plain);
    sn_graph_destroy(fused);
    sn_graph_destroy(folded);
    sn_graph_destroy(joined);
    return status;
}

static senet_status check_precision(senet_precision precision)
{
    if (precision == SENET_FP32 || precision == SENET_BF16 || precision == SENET_INT8) return SENET_OK;
    return sn_fail(SENET_USAGE, "precision %d: there are SENET_FP32, SENET_BF16 and SENET_INT8", (int)precision);
}

senet_status sn_model_set_precision(senet_model *model, senet_precision precision)
{
    SN_RETURN_IF_FAILED(check_precision(precision));
    if (precision == SENET_INT8 && !model->info.quantization)
        return sn_fail(SENET_USAGE, "%s: these weights have no ranges for int8; `senet quantize` writes a file that has", model->name);
    model->precision = precision;
    return SENET_OK;
}

static senet_status check_threads(int threads)
{
    if (threads >= 0 && threads <= SN_MAX_THREADS) return SENET_OK;
    return sn_fail(SENET_USAGE, "%d threads: must be 1..%d, or 0 for every CPU", threads, SN_MAX_THREADS);
}

senet_status senet_model_load(const char *path, const senet_model_options *options, senet_model **model)
{
    *model = NULL;
    if (!path) return sn_fail(SENET_USAGE, "senet_model_load: path is NULL");
    if (options) {
        SN_RETURN_IF_FAILED(check_threads(options->threads));
        SN_RETURN_IF_FAILED(check_precision(options->precision));
    }
    SN_RETURN_IF_FAILED(sn_model_open(path, options ? options->model : NULL, model));
    if (options) {
        (*model)->threads = options->threads;
        (*model)->release_weights = options->release_weights != 0;
        (*model)->ignore_exif = options->ignore_exif != 0;
        senet_status status = sn_model_set_precision(*model, options->precision);
        if (status == SENET_OK && options->tuning_file) status = sn_tuning_open(options->tuning_file, &(*model)->tuning);
        if (status != SENET_OK) {
            senet_model_destroy(*model);
            *model = NULL;
            return status;
        }
    }
    return SENET_OK;
}

void senet_model_destroy(senet_model *model)
{
    if (!model) return;
    sn_model_forget_programs(model);
    sn_workspace_destroy(model->workspace);
    sn_params_destroy(model->params);
    sn_graph_destroy(model->layout);
    sn_weights_info_free(&model->info);
    sn_load_report_free(&model->loaded);
    sn_free_aligned(model->staging);
    sn_tuning_close(model->tuning);
    free(model->path);
    pthread_mutex_destroy(&model->lock);
    free(model);
}

const char *senet_model_name(const senet_model *model)
{
    return model->name;
}
int senet_model_classes(const senet_model *model)
{
    return (int)model->spec.classes;
}

const char *senet_model_label(const senet_model *model, int class_index)
{
    bool named =
        class_index >= 0 && class_index < model->spec.classes && (size_t)class_index < model->info.labels_count;
    return named ? model->info.labels[class_index] : NULL;
}

void senet_model_input_size(const senet_model *model, int *height, int *width)
{
    *height = model->preprocess.height;
    *width = model->preprocess.width;
}

senet_status senet_model_set_threads(senet_model *model, int threads)
{
    SN_RETURN_IF_FAILED(check_threads(threads));
    pthread_mutex_lock(&model->lock);
    if (threads != model->threads) sn_model_forget_programs(model);
    model->threads = threads;
    pthread_mutex_unlock(&model->lock);
    return SENET_OK;
}
