/* config.c - every setting of a run: its default, its check, its text.  A new setting is a member of sn_train_config, a line in
 * `settings`, and where it needs one a default and a check. */
#include "train/config.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

void sn_train_defaults(sn_train_config *config)
{
    *config = (sn_train_config){
        .batch = 128,
        .epochs = 30,
        .optimizer = SN_SGD_TORCH,
        .lr = 0.1,
        .momentum = 0.9,
        .weight_decay = 1e-4,
        .decay_all = true,
        .schedule = SN_SCHEDULE_COSINE,
        .gamma = 0.1,
        .patience = 10,
        .reductions = 3,
        .init = SN_INIT_HE,
        .interpolation = SN_INTERPOLATION_PIL_BILINEAR,
        .shuffle = true,
        .workers = 1,
        .eval_batch = 100,
        .log_every = 20,
        .checkpoint_minutes = 10,
    };
}

typedef enum kind { TEXT, INT64, UINT64, INT, DOUBLE, BOOL, MILESTONES } kind;

typedef struct setting {
    const char *name;
    kind kind;
    sn_config_rule rule;
    size_t offset;
    const char *words; /* INT: names of the values, "a|b" */
} setting;

/* Enums are stored as the int they are.  Not here: folders, initial weights (done with once the run has begun), max_steps,
 * and what only concerns this machine. */
#define SETTING(member, kind, rule) {#member, kind, rule, offsetof(sn_train_config, member), NULL}
#define CHOICE(member, words, rule) {#member, INT, rule, offsetof(sn_train_config, member), words}
static const setting settings[] = {
    SETTING(model, TEXT, SN_CONFIG_FIXED),
    SETTING(data, TEXT, SN_CONFIG_FREE), /* a data set may move; its contents are compared instead */
    SETTING(recipe, TEXT, SN_CONFIG_FREE),
    SETTING(batch, INT64, SN_CONFIG_FIXED),
    SETTING(micro_batch, INT64, SN_CONFIG_FIXED),
    SETTING(epochs, INT64, SN_CONFIG_TOLD),
    CHOICE(precision, SN_PRECISION_WORDS, SN_CONFIG_FIXED),
    CHOICE(recompute, SN_RECOMPUTE_WORDS, SN_CONFIG_FREE),
    CHOICE(optimizer, SN_OPTIMIZER_WORDS, SN_CONFIG_FIXED),
    SETTING(lr, DOUBLE, SN_CONFIG_TOLD),
    SETTING(momentum, DOUBLE, SN_CONFIG_TOLD),
    SETTING(weight_decay, DOUBLE, SN_CONFIG_TOLD),
    SETTING(decay_all, BOOL, SN_CONFIG_TOLD),
    SETTING(decay_gamma, BOOL, SN_CONFIG_TOLD),
    CHOICE(schedule, SN_SCHEDULE_WORDS, SN_CONFIG_TOLD),
    SETTING(milestones, MILESTONES, SN_CONFIG_TOLD),
    SETTING(schedule_epochs, INT64, SN_CONFIG_FREE),
    SETTING(step_every, DOUBLE, SN_CONFIG_TOLD),
    SETTING(gamma, DOUBLE, SN_CONFIG_TOLD),
    SETTING(patience, INT, SN_CONFIG_TOLD),
    SETTING(reductions, INT, SN_CONFIG_TOLD),
    SETTING(warmup_epochs, DOUBLE, SN_CONFIG_TOLD),
    SETTING(warmup_lr, DOUBLE, SN_CONFIG_TOLD),
    SETTING(warmup_steps, INT64, SN_CONFIG_TOLD),
    SETTING(label_smoothing, DOUBLE, SN_CONFIG_TOLD),
    SETTING(ema, DOUBLE, SN_CONFIG_FIXED),
    CHOICE(init, SN_INIT_WORDS, SN_CONFIG_FREE),
    SETTING(augment.area_min, DOUBLE, SN_CONFIG_FIXED),
    SETTING(augment.area_max, DOUBLE, SN_CONFIG_FIXED),
    SETTING(augment.aspect, DOUBLE, SN_CONFIG_FIXED),
    SETTING(augment.pad, INT, SN_CONFIG_FIXED),
    SETTING(augment.flip, BOOL, SN_CONFIG_FIXED),
    SETTING(augment.rotate, DOUBLE, SN_CONFIG_FIXED),
    SETTING(augment.jitter, INT, SN_CONFIG_FIXED),
    SETTING(augment.cutout, INT, SN_CONFIG_FIXED),
    SETTING(augment.randaugment.ops, INT, SN_CONFIG_FIXED),
    SETTING(augment.randaugment.magnitude, DOUBLE, SN_CONFIG_FIXED),
    SETTING(augment.erase, DOUBLE, SN_CONFIG_FIXED),
    CHOICE(augment.erase_fill, SN_ERASE_FILL_WORDS, SN_CONFIG_FIXED),
    SETTING(augment.mixup, DOUBLE, SN_CONFIG_FIXED),
    SETTING(augment.cutmix, DOUBLE, SN_CONFIG_FIXED),
    SETTING(input_size, INT, SN_CONFIG_FIXED),
    CHOICE(interpolation, SN_INTERPOLATION_WORDS, SN_CONFIG_FIXED),
    CHOICE(normalize, SN_NORMALIZE_WORDS, SN_CONFIG_FIXED),
    SETTING(eval_resize, INT, SN_CONFIG_TOLD),
    SETTING(square, BOOL, SN_CONFIG_FIXED),
    SETTING(no_exif, BOOL, SN_CONFIG_FIXED),
    SETTING(fast_decode, BOOL, SN_CONFIG_FIXED),
    CHOICE(on_bad, SN_ON_BAD_WORDS, SN_CONFIG_TOLD),
    SETTING(exclude, TEXT, SN_CONFIG_FREE), /* as `data` */
    SETTING(label_map, TEXT, SN_CONFIG_FREE), /* likewise: labels are compared */
    SETTING(shuffle, BOOL, SN_CONFIG_FIXED),
    SETTING(drop_last, BOOL, SN_CONFIG_FIXED),
    SETTING(class_aware, BOOL, SN_CONFIG_FIXED),
    SETTING(freeze_bn_epochs, INT, SN_CONFIG_TOLD),
    SETTING(bn_recompute, INT64, SN_CONFIG_TOLD),
    SETTING(seed, UINT64, SN_CONFIG_FIXED),
    SETTING(eval_batch, INT64, SN_CONFIG_FREE),
    SETTING(log_every, INT64, SN_CONFIG_FREE),
    SETTING(no_eval, BOOL, SN_CONFIG_FREE),
    SETTING(checkpoint_minutes, DOUBLE, SN_CONFIG_FREE),
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

bool sn_config_setting(const sn_train_config *config, size_t index, const char **name, sn_config_rule *rule, sn_text *value)
{
    if (index >= SETTINGS) return false;
    const setting *s = &settings[index];
    const char *member = (const char *)config + s->offset;
    *name = s->name;
    *rule = s->rule;
    value->length = 0;
    switch (s->kind) {
    case TEXT: {
        const char *text = *(const char *const *)member;
        sn_text_add_string(value, text ? text : "");
        break;
    }
    case INT64:
        sn_text_printf(value, "%lld", (long long)*(const int64_t *)member);
        break;
    case UINT64:
        sn_text_printf(value, "%lld", (long long)*(const uint64_t *)member); /* read back modulo 2^64 */
        break;
    case INT:
        sn_text_printf(value, "%d", *(const int *)member);
        break;
    case DOUBLE:
        sn_text_add_double(value, *(const double *)member);
        break;
    case BOOL:
        sn_text_add_string(value, *(const bool *)member ? "1" : "0");
        break;
    case MILESTONES:
        sn_text_add_string(value, "");
        for (int i = 0; i < config->milestones_count; i++) {
            if (i) sn_text_add_char(value, ' ');
            sn_text_add_double(value, config->milestones[i]);
        }
        break;
    }
    if (value->length == 0 && value->bytes) value->bytes[0] = '\0';
    return true;
}

const char *sn_config_word(size_t index, int64_t value, int *length)
{
    const char *word = index < SETTINGS ? settings[index].words : NULL;
    for (; word && value > 0; value--) {
        word += strcspn(word, "|");
        word = *word ? word + 1 : NULL;
    }
    if (!word || value < 0) return NULL;
    *length = (int)strcspn(word, "|");
    return word;
}

int sn_config_find(const char *name)
{
    for (int i = 0; i < SETTINGS; i++)
        if (strcmp(settings[i].name, name) == 0) return i;
    return -1;
}

/* The number of a choice by its name, or -1. */
static int64_t find_word(size_t index, const char *text)
{
    int length;
    const char *word;
    for (int64_t value = 0; (word = sn_config_word(index, value, &length)); value++)
        if (strlen(text) == (size_t)length && memcmp(word, text, (size_t)length) == 0) return value;
    return -1;
}

static bool parse_milestones(const char *text, sn_train_config *config)
{
    config->milestones_count = 0;
    while (*text) {
        char number[32];
        size_t length = strcspn(text, " ");
        if (length >= sizeof number || config->milestones_count == SN_MAX_MILESTONES) return false;
        memcpy(number, text, length);
        number[length] = '\0';
        if (!sn_parse_double(number, &config->milestones[config->milestones_count++])) return false;
        text += length;
        if (*text) text++;
    }
    return true;
}

senet_status sn_config_set(sn_train_config *config, size_t index, const char *value, sn_arena *strings)
{
    const setting *s = &settings[index];
    char *member = (char *)config + s->offset;
    int64_t whole = 0;
    bool parsed = true;
    switch (s->kind) {
    case TEXT: {
        char *copy = *value ? sn_arena_strdup(strings, value) : NULL;
        if (*value && !copy) return sn_fail_memory(strlen(value) + 1, "a setting");
        *(const char **)member = copy;
        break;
    }
    case INT64:
        parsed = sn_parse_int64(value, (int64_t *)member);
        break;
    case UINT64:
        parsed = sn_parse_int64(value, &whole);
        *(uint64_t *)member = (uint64_t)whole;
        break;
    case INT:
        parsed = (whole = find_word(index, value)) >= 0 ||
                 (sn_parse_int64(value, &whole) && whole >= INT32_MIN && whole <= INT32_MAX);
        if (parsed) *(int *)member = (int)whole;
        break;
    case DOUBLE:
        parsed = sn_parse_double(value, (double *)member);
        break;
    case BOOL:
        parsed = (value[0] == '0' || value[0] == '1') && value[1] == '\0';
        *(bool *)member = value[0] == '1';
        break;
    case MILESTONES:
        parsed = parse_milestones(value, config);
        break;
    }
    if (!parsed) return sn_fail(SENET_BAD_DATA, "setting '%s' is '%s'", s->name, value);
    return SENET_OK;
}

static senet_status check_at_least(const char *name, int64_t value, int64_t least)
{
    if (value >= least) return SENET_OK;
    return sn_fail(SENET_USAGE, "%s is %lld, must be at least %lld", name, (long long)value, (long long)least);
}

/* low <= value, and value < high unless high is infinite. */
static senet_status check_range(const char *name, double value, double low, double high)
{
    if (value >= low && value < high) return SENET_OK;
    if (isinf(high)) return sn_fail(SENET_USAGE, "%s is %g, must be a finite number of at least %g", name, value, low);
    return sn_fail(SENET_USAGE, "%s is %g, must be at least %g and below %g", name, value, low, high);
}

static senet_status check_schedule(const sn_train_config *config)
{
    if ((unsigned)config->schedule > SN_SCHEDULE_COSINE) return sn_fail(SENET_USAGE, "schedule %d is unknown", config->schedule);
    if (config->milestones_count < 0 || config->milestones_count > SN_MAX_MILESTONES)
        return sn_fail(SENET_USAGE, "%d milestones, at most %d are possible", config->milestones_count, SN_MAX_MILESTONES);
    for (int i = 0; i < config->milestones_count; i++) {
        double before = i ? config->milestones[i - 1] : 0;
        if (!(config->milestones[i] > before) || isinf(config->milestones[i]))
            return sn_fail(SENET_USAGE, "milestone %g after %g: milestones must ascend from above 0", config->milestones[i], before);
    }
    if (config->schedule == SN_SCHEDULE_STEP && config->milestones_count == 0 && !(config->step_every > 0))
        return sn_fail(SENET_USAGE, "schedule 'step' needs milestones, or a number of epochs between its steps");
    if (config->schedule == SN_SCHEDULE_PLATEAU && config->no_eval)
        return sn_fail(SENET_USAGE, "schedule 'plateau' follows the validation loss; it cannot go with no evaluation");
    SN_RETURN_IF_FAILED(check_at_least("patience", config->patience, 1));
    SN_RETURN_IF_FAILED(check_at_least("reductions", config->reductions, 0));
    SN_RETURN_IF_FAILED(check_range("gamma", config->gamma, 0, INFINITY));
    SN_RETURN_IF_FAILED(check_range("step_every", config->step_every, 0, INFINITY));
    SN_RETURN_IF_FAILED(check_range("warm-up epochs", config->warmup_epochs, 0, INFINITY));
    SN_RETURN_IF_FAILED(check_range("warm-up learning rate", config->warmup_lr, 0, INFINITY));
    return check_at_least("warm-up steps", config->warmup_steps, 0);
}

/* What the loader does not check again, or would name otherwise. */
static senet_status check_pictures(const sn_train_config *config)
{
    if ((unsigned)config->on_bad > SN_ON_BAD_QUARANTINE)
        return sn_fail(SENET_USAGE, "treatment %d of bad pictures is unknown", config->on_bad);
    if (config->interpolation < SN_INTERPOLATION_BILINEAR || config->interpolation > SN_INTERPOLATION_PIL_BICUBIC)
        return sn_fail(SENET_USAGE, "interpolation %d is unknown", config->interpolation);
    if ((unsigned)config->normalize > SN_NORMALIZE_PLACES)
        return sn_fail(SENET_USAGE, "normalisation %d is unknown", config->normalize);
    SN_RETURN_IF_FAILED(check_at_least("input size", config->input_size, 0));
    SN_RETURN_IF_FAILED(check_at_least("eval-resize", config->eval_resize, 0));
    SN_RETURN_IF_FAILED(check_at_least("padding", config->augment.pad, 0));
    return check_at_least("cutout", config->augment.cutout, 0);
}

senet_status sn_config_check(const sn_train_config *config)
{
    if (!config->model || !*config->model) return sn_fail(SENET_USAGE, "no model is named");
    if (!config->data || !*config->data) return sn_fail(SENET_USAGE, "no data set is named");
    if (!config->output || !*config->output) return sn_fail(SENET_USAGE, "no output folder is named");
    if ((unsigned)config->optimizer > SN_NESTEROV) return sn_fail(SENET_USAGE, "optimizer %d is unknown", config->optimizer);
    if ((unsigned)config->recompute > SN_RECOMPUTE_FULL)
        return sn_fail(SENET_USAGE, "recomputation %d is unknown", config->recompute);
    if ((unsigned)config->init > SN_INIT_HE_FAN_OUT) return sn_fail(SENET_USAGE, "initialisation %d is unknown", config->init);
    if (config->resume && config->init_weights)
        return sn_fail(SENET_USAGE, "a resumed run has its weights already: '%s' cannot be loaded as well",
                       config->init_weights);
    SN_RETURN_IF_FAILED(check_at_least("batch size", config->batch, 1));
    SN_RETURN_IF_FAILED(check_at_least("micro-batch", config->micro_batch, 0));
    if (config->micro_batch > 0 && config->micro_batch < config->batch && config->batch % config->micro_batch != 0)
        return sn_fail(SENET_USAGE, "micro-batch %lld does not divide batch size %lld", (long long)config->micro_batch,
                       (long long)config->batch);
    SN_RETURN_IF_FAILED(check_at_least("evaluation batch size", config->eval_batch, 1));
    SN_RETURN_IF_FAILED(check_at_least("epochs", config->epochs, 1));
    SN_RETURN_IF_FAILED(check_at_least("max steps", config->max_steps, 0));
    SN_RETURN_IF_FAILED(check_at_least("log every", config->log_every, 1));
    SN_RETURN_IF_FAILED(check_at_least("epochs of frozen batch norm", config->freeze_bn_epochs, 0));
    SN_RETURN_IF_FAILED(check_at_least("images to recompute batch norm over", config->bn_recompute, 0));
    if (config->bn_recompute > 0 && config->freeze_bn_epochs > 0)
        return sn_fail(SENET_USAGE,
                       "batch norm's statistics are frozen in the last %d epochs (freeze-bn-epochs): they cannot be "
                       "recomputed over %lld images (bn-recompute) as well",
                       config->freeze_bn_epochs, (long long)config->bn_recompute);
    SN_RETURN_IF_FAILED(check_pictures(config));
    SN_RETURN_IF_FAILED(check_at_least("threads", config->threads, 0));
    SN_RETURN_IF_FAILED(check_at_least("workers", config->workers, 0));
    SN_RETURN_IF_FAILED(check_range("learning rate", config->lr, 0, INFINITY));
    SN_RETURN_IF_FAILED(check_range("momentum", config->momentum, 0, 1));
    SN_RETURN_IF_FAILED(check_range("weight decay", config->weight_decay, 0, INFINITY));
    SN_RETURN_IF_FAILED(check_range("label smoothing", config->label_smoothing, 0, 1));
    SN_RETURN_IF_FAILED(check_range("decay of the weights' average (ema)", config->ema, 0, 1));
    SN_RETURN_IF_FAILED(check_range("minutes between checkpoints", config->checkpoint_minutes, 0, INFINITY));
    return check_schedule(config);
}
