/* quantization.c - see quantization.h. */
#include "graph/quantization.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum { VERSION = 1 };

senet_status sn_quantization_create(sn_quantization **quantization)
{
    *quantization = calloc(1, sizeof **quantization);
    return *quantization ? SENET_OK : sn_fail_memory(sizeof **quantization, "ranges of tensors");
}

void sn_quantization_destroy(sn_quantization *q)
{
    if (!q) return;
    sn_arena_free(&q->arena);
    free(q->tensors);
    free(q->kept);
    free(q);
}

const sn_quant *sn_quantization_find(const sn_quantization *q, const char *tensor)
{
    for (size_t i = 0; i < q->tensors_count; i++)
        if (strcmp(q->tensors[i].name, tensor) == 0) return &q->tensors[i].quant;
    return NULL;
}

senet_status sn_quantization_set(sn_quantization *q, const char *tensor, sn_quant quant)
{
    size_t at = 0;
    while (at < q->tensors_count && strcmp(q->tensors[at].name, tensor) != 0) at++;
    if (at == q->tensors_count) {
        const char *name = sn_arena_strdup(&q->arena, tensor);
        if (!name || !sn_grow(&q->tensors, sizeof *q->tensors, &q->tensors_capacity, at + 1))
            return sn_fail_memory(strlen(tensor), "ranges of tensors");
        q->tensors[at].name = name;
        q->tensors_count++;
    }
    q->tensors[at].quant = quant;
    return SENET_OK;
}

bool sn_quantization_keeps(const sn_quantization *q, const char *layer)
{
    for (size_t i = 0; q && i < q->kept_count; i++)
        if (strcmp(q->kept[i], layer) == 0) return true;
    return false;
}

senet_status sn_quantization_keep(sn_quantization *q, const char *layer)
{
    if (sn_quantization_keeps(q, layer)) return SENET_OK;
    const char *name = sn_arena_strdup(&q->arena, layer);
    if (!name || !sn_grow(&q->kept, sizeof *q->kept, &q->kept_capacity, q->kept_count + 1))
        return sn_fail_memory(strlen(layer), "the layers kept");
    q->kept[q->kept_count++] = name;
    return SENET_OK;
}

void sn_quantization_write(const sn_quantization *q, sn_text *text)
{
    sn_json_writer json = {.text = text};
    sn_json_open_object(&json, NULL);
    sn_json_add_int(&json, "version", VERSION);
    sn_json_open_array(&json, "kept");
    for (size_t i = 0; i < q->kept_count; i++) sn_json_add_string(&json, NULL, q->kept[i]);
    sn_json_close_array(&json);
    sn_json_open_object(&json, "tensors");
    for (size_t i = 0; i < q->tensors_count; i++) {
        sn_json_open_array(&json, q->tensors[i].name);
        sn_json_add_float(&json, NULL, q->tensors[i].quant.scale);
        sn_json_add_int(&json, NULL, q->tensors[i].quant.zero);
        sn_json_close_array(&json);
    }
    sn_json_close_object(&json);
    sn_json_close_object(&json);
}

/* [scale, zero] */
static senet_status read_tensor(const sn_json_document *document, const sn_json *value, sn_quantization *q)
{
    double scale;
    int64_t zero;
    SN_RETURN_IF_FAILED(sn_json_expect(document, value, value->key, SN_JSON_ARRAY));
    if (value->count != 2)
        return sn_fail(SENET_BAD_DATA, "%s: '%s' has %zu numbers, not a scale and a zero", document->name, value->key, value->count);
    SN_RETURN_IF_FAILED(sn_json_get_double(document, value->first, value->key, &scale));
    SN_RETURN_IF_FAILED(sn_json_get_int64(document, value->first->next, value->key, &zero));
    float single = (float)scale;
    if (!(single >= 1e-30f && single <= 1e30f))
        return sn_fail(SENET_BAD_DATA, "%s: the scale of '%s' is %g, not between 1e-30 and 1e30", document->name, value->key, scale);
    if (zero < 0 || zero > 255)
        return sn_fail(SENET_BAD_DATA, "%s: the zero of '%s' is %lld, not 0..255", document->name, value->key, (long long)zero);
    return sn_quantization_set(q, value->key, (sn_quant){single, (int32_t)zero});
}

static senet_status read_document(const sn_json_document *document, sn_quantization *q)
{
    const sn_json *kept = sn_json_find(document->root, "kept"), *tensors = sn_json_find(document->root, "tensors");
    int64_t version;
    SN_RETURN_IF_FAILED(sn_json_get_int64(document, sn_json_find(document->root, "version"), "version", &version));
    if (version != VERSION)
        return sn_fail(SENET_BAD_DATA, "%s: version %lld is not known, only %d", document->name, (long long)version, VERSION);
    SN_RETURN_IF_FAILED(sn_json_expect(document, kept, "kept", SN_JSON_ARRAY));
    SN_RETURN_IF_FAILED(sn_json_expect(document, tensors, "tensors", SN_JSON_OBJECT));
    for (const sn_json *layer = kept->first; layer; layer = layer->next) {
        const char *name;
        SN_RETURN_IF_FAILED(sn_json_get_string(document, layer, "a layer kept", &name));
        SN_RETURN_IF_FAILED(sn_quantization_keep(q, name));
    }
    for (const sn_json *tensor = tensors->first; tensor; tensor = tensor->next)
        SN_RETURN_IF_FAILED(read_tensor(document, tensor, q));
    return SENET_OK;
}

senet_status sn_quantization_read(const char *text, const char *file, sn_quantization **quantization)
{
    sn_text name = {0};
    sn_json_document *document = NULL;
    sn_quantization *q = NULL;
    senet_status status;
    *quantization = NULL;
    sn_text_printf(&name, "%s: metadata '" SN_QUANTIZATION_KEY "'", file);
    SN_TRY(sn_text_check(&name, file), cleanup);
    SN_TRY(sn_json_parse(text, strlen(text), sn_text_string(&name), 0, &document), cleanup);
    SN_TRY(sn_quantization_create(&q), cleanup);
    SN_TRY(read_document(document, q), cleanup);
    *quantization = q;
    q = NULL;
cleanup:
    sn_quantization_destroy(q);
    sn_json_destroy(document);
    sn_text_free(&name);
    return status;
}
