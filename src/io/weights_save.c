/* weights_save.c - writes a weights file: canonical names, float32, and the metadata a program needs to use them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "io/bias_fold.h"
#include "io/names.h"
#include "io/tensors.h"
#include "io/weights_info.h"

/* The metadata in the making; a later entry of the same key replaces the earlier one. */
typedef struct entry_list {
    sn_arena arena;
    sn_metadata_entry *entries;
    size_t count, capacity;
} entry_list;

static senet_status add_entry(entry_list *list, const char *key, const char *value)
{
    size_t at = 0;
    while (at < list->count && strcmp(list->entries[at].key, key) != 0) at++;
    if (!sn_grow(&list->entries, sizeof *list->entries, &list->capacity, at + 1)) return sn_fail_memory(at, "metadata");
    sn_metadata_entry entry = {sn_arena_strdup(&list->arena, key), sn_arena_strdup(&list->arena, value)};
    if (!entry.key || !entry.value) return sn_fail_memory(strlen(value), "metadata");
    list->entries[at] = entry;
    if (at == list->count) list->count++;
    return SENET_OK;
}

/* Adds what was gathered in `text` and empties it. */
static senet_status add_text(entry_list *list, const char *key, sn_text *text)
{
    senet_status status = sn_text_check(text, "metadata");
    if (status == SENET_OK) status = add_entry(list, key, sn_text_string(text));
    sn_text_free(text);
    return status;
}

static senet_status add_numbers(entry_list *list, const char *key, const float *values, int count)
{
    sn_text text = {0};
    for (int i = 0; i < count; i++) {
        if (i) sn_text_add_char(&text, ',');
        sn_text_add_float(&text, values[i]);
    }
    return add_text(list, key, &text);
}

static senet_status add_labels(entry_list *list, const sn_weights_info *info)
{
    bool lines = false; /* names with commas in them stand one a line, the last too */
    for (size_t i = 0; i < info->labels_count; i++) {
        if (strchr(info->labels[i], '\n'))
            return sn_fail(SENET_USAGE, "label %zu, '%s', has a line break in it", i, info->labels[i]);
        lines = lines || strchr(info->labels[i], ',');
    }
    sn_text text = {0};
    for (size_t i = 0; i < info->labels_count; i++) {
        sn_text_add_string(&text, info->labels[i]);
        if (lines || i + 1 < info->labels_count) sn_text_add_char(&text, lines ? '\n' : ',');
    }
    return add_text(list, "labels", &text);
}

static senet_status add_info(entry_list *list, const sn_weights_info *info)
{
    const sn_preprocess *how = &info->preprocess;
    sn_text text = {0};
    if (info->model) SN_RETURN_IF_FAILED(add_entry(list, "model", info->model));
    if (info->classes) {
        sn_text_printf(&text, "%lld", (long long)info->classes);
        SN_RETURN_IF_FAILED(add_text(list, "num_classes", &text));
    }
    if (info->labels_count) SN_RETURN_IF_FAILED(add_labels(list, info));
    for (size_t i = 0; i < info->extra_count; i++)
        SN_RETURN_IF_FAILED(add_entry(list, info->extra[i].key, info->extra[i].value));
    if (!info->has_preprocess) return SENET_OK;
    sn_text_printf(&text, "3x%dx%d", how->height, how->width);
    SN_RETURN_IF_FAILED(add_text(list, "input", &text));
    SN_RETURN_IF_FAILED(add_entry(list, "channels", how->bgr ? "BGR" : "RGB"));
    SN_RETURN_IF_FAILED(add_numbers(list, "mean", how->mean, 3));
    SN_RETURN_IF_FAILED(add_numbers(list, "std", how->std, 3));
    SN_RETURN_IF_FAILED(add_numbers(list, "crop_pct", &how->crop_pct, 1));
    return add_entry(list, "interpolation", sn_interpolation_names[how->interpolation]);
}

static senet_status make_metadata(entry_list *list, const sn_graph *graph, const sn_weights_info *info,
                                  const sn_metadata_entry *extra, size_t extra_count)
{
    SN_RETURN_IF_FAILED(add_entry(list, "format", "pt"));
    if (info) SN_RETURN_IF_FAILED(add_info(list, info));
    float epsilon = (float)sn_weights_bn_epsilon(graph);
    if (epsilon > 0) SN_RETURN_IF_FAILED(add_numbers(list, "bn_eps", &epsilon, 1));
    for (size_t i = 0; i < extra_count; i++) SN_RETURN_IF_FAILED(add_entry(list, extra[i].key, extra[i].value));
    return SENET_OK;
}

/* A tensor of the file: values (room for them is there), name and shape; `names` keeps a name that is not ours. */
static senet_status make_tensor(const sn_graph *graph, const sn_params *params, size_t index, const sn_naming *naming,
                                sn_arena *names, float *values, sn_tensor *tensor)
{
    const sn_param *param = &graph->params[index];
    char name[SN_MAX_TENSOR_NAME];
    int64_t dims[4];
    sn_params_get(params, graph, (int)index, values);
    *tensor = (sn_tensor){.name = param->name,
                          .type = SN_TENSOR_F32,
                          .rank = sn_naming_tensor(naming, param, name, dims),
                          .data = values,
                          .bytes = (size_t)sn_shape_elements(param->shape) * sizeof *values};
    memcpy(tensor->dims, dims, sizeof dims);
    if (strcmp(name, param->name) != 0 && !(tensor->name = sn_arena_strdup(names, name)))
        return sn_fail_memory(strlen(name), "a tensor's name");
    return SENET_OK;
}

/* ---- weights in 8 bits ---- */

/* Weights of convolutions and linear layers but those of kept layers. */
static bool is_int8(const sn_param *param, const sn_quantization *quantization)
{
    char layer[SN_MAX_TENSOR_NAME];
    if (param->kind != SN_PARAM_CONV_WEIGHT && param->kind != SN_PARAM_LINEAR_WEIGHT) return false;
    const char *dot = strrchr(param->name, '.');
    snprintf(layer, sizeof layer, "%.*s", dot ? (int)(dot - param->name) : (int)strlen(param->name), param->name);
    return !sn_quantization_keeps(quantization, layer);
}

/* The tensor's values become integers; what follows it in the file are their scales. */
static senet_status add_int8(sn_tensor *tensor, sn_arena *arena, sn_tensor *scale)
{
    int64_t outputs = tensor->dims[0], count = (int64_t)(tensor->bytes / sizeof(float));
    int8_t *quantized = sn_arena_alloc(arena, (size_t)count + 1);
    float *scales = sn_arena_alloc(arena, (size_t)outputs * sizeof *scales + 1);
    char *name = sn_arena_printf(arena, "%s_scale", tensor->name);
    if (!quantized || !scales || !name) return sn_fail_memory((size_t)count, "weights in 8 bits");
    sn_quantize_outputs(tensor->data, outputs, count / outputs, quantized, scales);
    *scale = (sn_tensor){.name = name, .type = SN_TENSOR_F32, .rank = 1, .dims = {outputs}, .data = scales,
                         .bytes = (size_t)outputs * sizeof *scales};
    tensor->type = SN_TENSOR_I8;
    tensor->data = quantized;
    tensor->bytes = (size_t)count;
    return SENET_OK;
}

/* ---- the file ---- */

/* Writes what was gathered in `list`; quantization NULL: all in float32. */
static senet_status write_file(const char *path, const sn_graph *graph, const sn_params *params,
                               const sn_naming *naming, const sn_quantization *quantization, const entry_list *list)
{
    senet_status status;
    sn_arena names = {0};
    size_t elements = 0, count = 0;
    float *values = NULL;
    sn_tensor *tensors = calloc(2 * graph->params_count + 1, sizeof *tensors);

    for (size_t i = 0; i < graph->params_count; i++) elements += (size_t)sn_shape_elements(graph->params[i].shape);
    values = malloc((elements + 1) * sizeof *values);
    if (!values || !tensors) {
        status = sn_fail_memory(elements * sizeof *values, path);
        goto cleanup;
    }
    elements = 0;
    for (size_t i = 0; i < graph->params_count; i++) {
        sn_tensor *tensor = &tensors[count++];
        SN_TRY(make_tensor(graph, params, i, naming, &names, values + elements, tensor), cleanup);
        if (quantization && is_int8(&graph->params[i], quantization)) SN_TRY(add_int8(tensor, &names, &tensors[count++]), cleanup);
        elements += (size_t)sn_shape_elements(graph->params[i].shape);
    }
    status = sn_tensors_write(path, tensors, count, list->entries, list->count);

cleanup:
    sn_arena_free(&names);
    free(tensors);
    free(values);
    return status;
}

static senet_status save(const char *path, const sn_graph *graph, const sn_params *params, const sn_weights_info *info,
                         const sn_naming *naming, const sn_metadata_entry *extra, size_t extra_count)
{
    entry_list list = {0};
    senet_status status = make_metadata(&list, graph, info, extra, extra_count);
    if (status == SENET_OK) status = write_file(path, graph, params, naming, NULL, &list);
    free(list.entries);
    sn_arena_free(&list.arena);
    return status;
}

senet_status sn_weights_save_int8(const char *path, const sn_graph *graph, const sn_params *params, const sn_weights_info *info)
{
    entry_list list = {0};
    sn_text text = {0};
    senet_status status;
    SN_TRY(make_metadata(&list, graph, info, NULL, 0), cleanup);
    sn_quantization_write(info->quantization, &text);
    SN_TRY(add_text(&list, SN_QUANTIZATION_KEY, &text), cleanup);
    status = write_file(path, graph, params, NULL, info->quantization, &list);
cleanup:
    sn_text_free(&text);
    free(list.entries);
    sn_arena_free(&list.arena);
    return status;
}

senet_status sn_weights_save(const char *path, const sn_graph *graph, const sn_params *params,
                             const sn_weights_info *info, const sn_metadata_entry *extra, size_t extra_count)
{
    return save(path, graph, params, info, NULL, extra, extra_count);
}

senet_status sn_weights_save_as(const char *path, const sn_graph *graph, const sn_params *params,
                                const sn_weights_info *info, const sn_naming *naming)
{
    return save(path, graph, params, info, naming, NULL, 0);
}
