/* family.h - what the zoo knows about a family of networks: its names, the options it takes, and how to build it. */
#ifndef SN_ZOO_FAMILY_H
#define SN_ZOO_FAMILY_H

#include "zoo/zoo.h"

/* The options of NAMES.md section 2, in its order, which is the canonical one. */
typedef enum sn_option {
    SN_OPTION_R,
    SN_OPTION_SQUEEZE,
    SN_OPTION_GATE,
    SN_OPTION_STAGES,
    SN_OPTION_PLACE,
    SN_OPTION_BIAS,
    SN_OPTION_DOWN,
    SN_OPTION_POOL,
    SN_OPTION_WIDTH,
    SN_OPTION_ACT,
    SN_OPTION_PAD,
    SN_OPTION_CLASSES,
    SN_OPTION_COUNT
} sn_option;

/* Sets of options, places and pads, as bits. */
#define SN_OPTION_BIT(option) (1u << SN_OPTION_##option)
#define SN_PLACE_BIT(place) (1u << SN_PLACE_##place)
#define SN_PAD_BIT(pad) (1u << SN_PAD_##pad)
enum { SN_SE_OPTIONS = SN_OPTION_BIT(R) | SN_OPTION_BIT(SQUEEZE) | SN_OPTION_BIT(GATE) | SN_OPTION_BIT(BIAS) };

typedef struct sn_model_entry {
    const char *name, *summary;
} sn_model_entry;

/* Two entries: the network, and the network with SE blocks. */
#define SN_MODEL_PAIR(name, summary)                                                                                   \
    {name, summary},                                                                                                   \
    {                                                                                                                  \
        "se_" name, summary ", with SE blocks"                                                                         \
    }

struct sn_family {
    const char *pattern;          /* of the base name; '#' stands for a number: "wrn#_#" */
    const sn_model_entry *models; /* those `senet models` lists; ends with a NULL name */
    bool always_se;               /* SE blocks without "se_" in front (SENet-154) */
    uint32_t options;             /* every member accepts these */
    uint32_t se_options;          /* and members with SE blocks these */
    uint32_t places, pads;        /* the values `place` and `pad` may have */
    int last_stage;               /* `stages` lists 2..last_stage */
    sn_pad pad;                   /* defaults of `pad` and `classes` */
    int64_t classes;
    int native_size;
    senet_status (*check)(const sn_spec *spec); /* of spec->numbers: NULL, or SENET_USAGE by sn_family_refuse */
    sn_id (*build)(sn_builder *b, const sn_spec *spec, sn_id x); /* x (N,H,W,3) -> logits (N,1,1,classes) */
};

#define SN_FAMILY(name) extern const sn_family sn_family_##name;
#include "zoo/families.def"
#undef SN_FAMILY

/* "model 'wrn17_8': <reason>", SENET_USAGE. */
senet_status sn_family_refuse(const sn_spec *spec, const char *format, ...) SN_PRINTF(2, 3);
/* Refuses a depth that is not units * n + rest for an n >= 1, and depths beyond 5000. */
senet_status sn_family_check_depth(const sn_spec *spec, int depth, int units, int rest);
/* Refuses a width, or number of groups, that is not 1..4096; what names it. */
senet_status sn_family_check_width(const sn_spec *spec, const char *what, int width);

/* ---- registry.c ---- */

/* The family of a base name ("wrn16_8"), its numbers put into numbers[4]; NULL: nobody knows the name. */
const sn_family *sn_family_find(const char *base, int numbers[4]);
/* The listed model whose name is nearest to a misspelt one; NULL when none is near. */
const char *sn_zoo_suggest(const char *name);

/* ---- options.c ---- */

const char *sn_option_key(sn_option option);
/* The option of that key, or SN_OPTION_COUNT. */
sn_option sn_option_find(const char *key);
/* Every option at its default for a model of spec->family. */
void sn_option_set_defaults(sn_spec *spec);
/* Sets an option from its text, or fails with SENET_USAGE: "option 'gate' has no value 'foo'; allowed: sigmoid, tanh,
 * relu". */
senet_status sn_option_set(sn_spec *spec, sn_option option, const char *value);
/* The option's value as text. */
enum { SN_OPTION_TEXT_BYTES = 32 };
void sn_option_print(const sn_spec *spec, sn_option option, char text[SN_OPTION_TEXT_BYTES]);

#endif
