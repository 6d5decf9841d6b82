/* checkpoint.c - see checkpoint.h. */
#include "train/checkpoint.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "train/config.h"

static const char format_key[] = "format", format_value[] = "senet-checkpoint-1";
static const char config_prefix[] = "config.";

/* ---- the state as text ---- */

typedef enum state_kind {
    WHOLE,      /* int64_t */
    REAL,       /* double */
    REAL_IF_SET /* double; a file from before it existed lacks it, and it stays NaN */
} state_kind;

typedef struct state_value {
    const char *key;
    state_kind kind;
    size_t offset;
} state_value;

#define VALUE(key, member, kind) {"state." key, kind, offsetof(sn_train_state, member)}
static const state_value state_values[] = {
    VALUE("step", step, WHOLE),
    VALUE("epoch", epoch, WHOLE),
    VALUE("batch", batch, WHOLE),
    VALUE("loss_sum", loss_sum, REAL),
    VALUE("images", images, WHOLE),
    VALUE("errors", errors, WHOLE),
    VALUE("plateau.best", plateau.best, REAL),
    VALUE("plateau.waited", plateau.waited, WHOLE),
    VALUE("plateau.reduced", plateau.reduced, WHOLE),
    VALUE("val_loss", val.loss, REAL),
    VALUE("val_top1_error", val.top1_error, REAL),
    VALUE("val_top5_error", val.top5_error, REAL),
    VALUE("ema_loss", ema.loss, REAL_IF_SET),
    VALUE("ema_top1_error", ema.top1_error, REAL_IF_SET),
    VALUE("ema_top5_error", ema.top5_error, REAL_IF_SET),
    VALUE("best_top1_error", best_top1_error, REAL),
    VALUE("best_epoch", best_epoch, WHOLE),
};
enum { STATE_VALUES = sizeof state_values / sizeof state_values[0] };

void sn_train_state_reset(sn_train_state *state)
{
    *state = (sn_train_state){.val = {NAN, NAN, NAN}, .ema = {NAN, NAN, NAN}, .best_top1_error = NAN};
    sn_plateau_reset(&state->plateau);
}

static bool parse_real(const char *text, double *value)
{
    if (strcmp(text, "nan") == 0) *value = NAN;
    else if (strcmp(text, "inf") == 0) *value = INFINITY;
    else return sn_parse_double(text, value);
    return true;
}

static senet_status read_state(const sn_tensors *file, sn_train_state *state)
{
    for (size_t i = 0; i < STATE_VALUES; i++) {
        const state_value *value = &state_values[i];
        const char *text = sn_tensors_metadata(file, value->key);
        void *member = (char *)state + value->offset;
        if (!text && value->kind == REAL_IF_SET) continue;
        if (!text) return sn_fail(SENET_BAD_DATA, "%s: metadata '%s' is missing", sn_tensors_path(file), value->key);
        bool whole = value->kind == WHOLE, parsed = whole ? sn_parse_int64(text, member) : parse_real(text, member);
        if (!parsed || (whole && *(int64_t *)member < 0))
            return sn_fail(SENET_BAD_DATA, "%s: metadata '%s' is '%s'", sn_tensors_path(file), value->key, text);
    }
    return SENET_OK;
}

/* ---- writing ---- */

/* The file in the making; everything lives in the arena but the block of numbers. */
typedef struct draft {
    sn_arena arena;
    sn_tensor *tensors;
    size_t tensors_count;
    sn_metadata_entry *metadata;
    size_t metadata_count;
    float *numbers; /* all tensors in file order */
    bool failed;    /* memory */
} draft;

static void add_metadata(draft *d, const char *prefix, const char *key, const char *value)
{
    sn_metadata_entry entry = {sn_arena_printf(&d->arena, "%s%s", prefix, key), sn_arena_strdup(&d->arena, value)};
    if (!entry.key || !entry.value) d->failed = true;
    else d->metadata[d->metadata_count++] = entry;
}

static void add_config(draft *d, const sn_train_config *config)
{
    const char *name;
    sn_config_rule rule;
    sn_text value = {0};
    for (size_t i = 0; sn_config_setting(config, i, &name, &rule, &value); i++)
        add_metadata(d, config_prefix, name, sn_text_string(&value));
    d->failed |= value.failed;
    sn_text_free(&value);
}

static void add_state(draft *d, const sn_train_state *state)
{
    sn_text text = {0};
    for (size_t i = 0; i < STATE_VALUES; i++) {
        const void *member = (const char *)state + state_values[i].offset;
        text.length = 0;
        if (state_values[i].kind != WHOLE) sn_text_add_double(&text, *(const double *)member);
        else sn_text_printf(&text, "%lld", (long long)*(const int64_t *)member);
        add_metadata(d, "", state_values[i].key, sn_text_string(&text));
    }
    d->failed |= text.failed;
    sn_text_free(&text);
}

static float *add_tensor(draft *d, const char *prefix, const sn_graph *layout, int index, const sn_params *values, float *at)
{
    const sn_param *param = &layout->params[index];
    size_t elements = (size_t)sn_shape_elements(param->shape);
    sn_tensor tensor = {.name = sn_arena_printf(&d->arena, "%s%s", prefix, param->name),
                        .type = SN_TENSOR_F32,
                        .rank = param->rank,
                        .data = at,
                        .bytes = elements * sizeof *at};
    if (!tensor.name) d->failed = true;
    for (int i = 0; i < param->rank; i++) tensor.dims[i] = param->dims[i];
    sn_params_get(values, layout, index, at);
    d->tensors[d->tensors_count++] = tensor;
    return at + elements;
}

static size_t count_settings(const sn_train_config *config)
{
    const char *name;
    sn_config_rule rule;
    sn_text value = {0};
    size_t count = 0;
    while (sn_config_setting(config, count, &name, &rule, &value)) count++;
    sn_text_free(&value);
    return count;
}

senet_status sn_checkpoint_write(const char *path, const sn_checkpoint *checkpoint)
{
    const sn_graph *layout = checkpoint->layout;
    draft d = {0};
    senet_status status;
    int64_t learnable, statistics;
    sn_graph_count_params(layout, &learnable, &statistics);
    size_t whole = (size_t)learnable + (size_t)statistics; /* elements */
    size_t bytes = (whole + (size_t)learnable + (checkpoint->ema ? whole : 0) + 1) * sizeof(float);
    d.numbers = malloc(bytes);
    d.tensors = sn_arena_alloc(&d.arena, 3 * layout->params_count * sizeof *d.tensors);
    d.metadata = sn_arena_alloc(&d.arena, (count_settings(checkpoint->config) + STATE_VALUES + 3) * sizeof *d.metadata);
    if (!d.numbers || !d.tensors || !d.metadata) {
        status = sn_fail_memory(bytes, "a checkpoint");
        goto cleanup;
    }
    add_metadata(&d, "", format_key, format_value);
    add_metadata(&d, "", "model", checkpoint->config->model);
    add_metadata(&d, "", "dataset", checkpoint->dataset);
    add_config(&d, checkpoint->config);
    add_state(&d, checkpoint->state);
    float *at = d.numbers;
    for (size_t i = 0; i < layout->params_count; i++) at = add_tensor(&d, "", layout, (int)i, checkpoint->params, at);
    for (size_t i = 0; i < layout->params_count; i++)
        if (layout->params[i].learnable) at = add_tensor(&d, "momentum.", layout, (int)i, checkpoint->velocity, at);
    for (size_t i = 0; i < layout->params_count && checkpoint->ema; i++)
        at = add_tensor(&d, "ema.", layout, (int)i, checkpoint->ema, at);
    if (d.failed) {
        status = sn_fail_memory(bytes, "a checkpoint");
        goto cleanup;
    }
    status = sn_tensors_write(path, d.tensors, d.tensors_count, d.metadata, d.metadata_count);
cleanup:
    free(d.numbers);
    sn_arena_free(&d.arena);
    return status;
}

/* ---- reading ---- */

static senet_status check_format(const sn_tensors *file)
{
    const char *format = sn_tensors_metadata(file, format_key);
    if (format && strcmp(format, format_value) == 0) return SENET_OK;
    return sn_fail(SENET_BAD_DATA, "%s: not a checkpoint: metadata 'format' is %s%s%s, not '%s'", sn_tensors_path(file),
                   format ? "'" : "", format ? format : "missing", format ? "'" : "", format_value);
}

static const char *stored_setting(const sn_tensors *file, const char *name)
{
    char key[64];
    size_t prefix = sizeof config_prefix - 1, length = strlen(name);
    if (prefix + length >= sizeof key) return NULL;
    memcpy(key, config_prefix, prefix);
    memcpy(key + prefix, name, length + 1);
    return sn_tensors_metadata(file, key);
}

/* The run as it was against the run as it shall go on.  A setting that the file does not know is younger than the file: the
 * run had its default. */
static senet_status compare(const sn_tensors *file, const sn_checkpoint *checkpoint, sn_text *changes)
{
    const char *name;
    sn_config_rule rule;
    sn_text value = {0}, standard = {0};
    sn_train_config defaults;
    senet_status status = SENET_OK;
    sn_train_defaults(&defaults);
    for (size_t i = 0; status == SENET_OK && sn_config_setting(checkpoint->config, i, &name, &rule, &value); i++) {
        const char *before = stored_setting(file, name), *now = sn_text_string(&value);
        if (!before && sn_config_setting(&defaults, i, &name, &rule, &standard)) before = sn_text_string(&standard);
        if (rule == SN_CONFIG_FREE || strcmp(before, now) == 0) continue;
        if (rule == SN_CONFIG_FIXED)
            status = sn_fail(SENET_USAGE, "%s: the run has %s '%s', it cannot go on with '%s'", sn_tensors_path(file), name,
                             before, now);
        else sn_text_printf(changes, "%s was %s, now %s\n", name, *before ? before : "none", *now ? now : "none");
    }
    sn_text_free(&value);
    sn_text_free(&standard);
    if (status != SENET_OK) return status;
    const char *dataset = sn_tensors_metadata(file, "dataset");
    if (dataset && strcmp(dataset, checkpoint->dataset) == 0) return SENET_OK;
    return sn_fail(SENET_USAGE, "%s: the run was made on other data (%s), it cannot go on with %s", sn_tensors_path(file),
                   dataset ? dataset : "not said which", checkpoint->dataset);
}

/* Reads tensor "<prefix><parameter>" into `values`; `room` holds the largest. */
static senet_status read_tensor(const sn_tensors *file, const char *prefix, const sn_graph *layout, int index,
                                sn_params *values, float *room)
{
    const sn_param *param = &layout->params[index];
    sn_text name = {0};
    sn_text_printf(&name, "%s%s", prefix, param->name);
    const sn_tensor *tensor = sn_tensors_find(file, sn_text_string(&name));
    bool fits = tensor && tensor->type == SN_TENSOR_F32 && tensor->rank == param->rank;
    for (int i = 0; fits && i < param->rank; i++) fits = tensor->dims[i] == param->dims[i];
    senet_status status = sn_text_check(&name, "a name");
    if (status == SENET_OK && !fits)
        status = sn_fail(SENET_BAD_DATA, "%s: tensor '%s' %s", sn_tensors_path(file), sn_text_string(&name),
                         tensor ? "is not of the model's shape" : "is missing");
    if (status == SENET_OK) status = sn_tensor_to_f32(file, tensor, room);
    if (status == SENET_OK) sn_params_set(values, layout, index, room);
    sn_text_free(&name);
    return status;
}

static senet_status read_tensors(const sn_tensors *file, const sn_checkpoint *checkpoint)
{
    const sn_graph *layout = checkpoint->layout;
    size_t largest = 1;
    for (size_t i = 0; i < layout->params_count; i++) {
        size_t elements = (size_t)sn_shape_elements(layout->params[i].shape);
        if (elements > largest) largest = elements;
    }
    float *room = malloc(largest * sizeof *room);
    if (!room) return sn_fail_memory(largest * sizeof *room, "a tensor of the checkpoint");
    senet_status status = SENET_OK;
    for (size_t i = 0; status == SENET_OK && i < layout->params_count; i++) {
        status = read_tensor(file, "", layout, (int)i, checkpoint->params, room);
        if (status == SENET_OK && layout->params[i].learnable)
            status = read_tensor(file, "momentum.", layout, (int)i, checkpoint->velocity, room);
        if (status == SENET_OK && checkpoint->ema)
            status = read_tensor(file, "ema.", layout, (int)i, checkpoint->ema, room);
    }
    free(room);
    return status;
}

senet_status sn_checkpoint_read(const char *path, const sn_checkpoint *checkpoint, sn_text *changes)
{
    sn_tensors *file;
    SN_RETURN_IF_FAILED(sn_tensors_open(path, &file));
    senet_status status;
    SN_TRY(check_format(file), cleanup);
    SN_TRY(compare(file, checkpoint, changes), cleanup);
    SN_TRY(read_state(file, checkpoint->state), cleanup);
    SN_TRY(read_tensors(file, checkpoint), cleanup);
cleanup:
    sn_tensors_close(file);
    return status;
}

senet_status sn_train_resume_config(const char *folder, sn_arena *strings, sn_train_config *config)
{
    const char *name;
    sn_config_rule rule;
    sn_text ignored = {0};
    sn_tensors *file = NULL;
    senet_status status;
    sn_train_defaults(config);
    char *path = sn_path_join(folder, "checkpoint.safetensors");
    if (!path) return sn_fail_memory(strlen(folder) + 32, "a path");
    SN_TRY(sn_tensors_open(path, &file), cleanup);
    SN_TRY(check_format(file), cleanup);
    for (size_t i = 0; sn_config_setting(config, i, &name, &rule, &ignored); i++) {
        const char *value = stored_setting(file, name);
        if (value && (status = sn_config_set(config, i, value, strings)) != SENET_OK) {
            sn_fail_context(status, "%s", path);
            goto cleanup;
        }
    }
    config->resume = sn_arena_strdup(strings, folder);
    if (!config->resume) status = sn_fail_memory(strlen(folder) + 1, "a path");
cleanup:
    sn_tensors_close(file);
    sn_text_free(&ignored);
    free(path);
    return status;
}
