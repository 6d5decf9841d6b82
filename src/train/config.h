/* config.h - a run's settings as text: what a checkpoint keeps, and what a resumed run is compared with. */
#ifndef SN_TRAIN_CONFIG_H
#define SN_TRAIN_CONFIG_H

#include "base/text.h"
#include "train/train.h"

/* Names of the values of settings that are choices, in the order of their enums. */
#define SN_PRECISION_WORDS "fp32|bf16"
#define SN_OPTIMIZER_WORDS "sgd|sgd-caffe|nesterov"
#define SN_SCHEDULE_WORDS "constant|step|plateau|cosine"
#define SN_INIT_WORDS "he|torch|he-fan-out"
#define SN_ON_BAD_WORDS "fail|skip|quarantine"
#define SN_ERASE_FILL_WORDS "mean|black|noise"
#define SN_INTERPOLATION_WORDS "bilinear|pil-bilinear|pil-bicubic"
#define SN_ERASE_FILL_WORDS "mean|black|noise"
#define SN_NORMALIZE_WORDS "data|imagenet|caffe|places365"

/* SENET_USAGE, naming the setting and its value, when a setting makes no sense. */
senet_status sn_config_check(const sn_train_config *config);

/* A change of a setting between the run as it was and as it shall go on. */
typedef enum sn_config_rule {
    SN_CONFIG_FREE,  /* changes nothing that is computed: threads */
    SN_CONFIG_TOLD,  /* the user may change course; said in a message: lr */
    SN_CONFIG_FIXED  /* would be another run: seed */
} sn_config_rule;

/* Setting `index` (false past the last): its name, its rule, and its value as text (cleared first). */
bool sn_config_setting(const sn_train_config *config, size_t index, const char **name, sn_config_rule *rule, sn_text *value);
/* The name of value `value` of setting `index`, a choice: its length in *length; NULL for other settings. */
const char *sn_config_word(size_t index, int64_t value, int *length);
/* The index of the setting of that name, or -1. */
int sn_config_find(const char *name);
/* Sets setting `index` from text written by sn_config_setting, or by the name of a choice; strings go into the arena. */
senet_status sn_config_set(sn_train_config *config, size_t index, const char *value, sn_arena *strings);

#endif
