/* options.c - the options of a model's name, each with its key, its values and its default (NAMES.md section 2). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "zoo/family.h"

enum { MOST_CLASSES = 1000000 };
static const double WIDEST = 100, WIDTH_UNIT = 1e6; /* width is kept in millionths, so that its text is exact */

/* Options with a list of values; value i stands for i in the spec. */
static const char *const squeezes[] = {"avg", "max", "none", NULL};
static const char *const gates[] = {"sigmoid", "tanh", "relu", NULL};
static const char *const places[] = {"standard", "pre", "post", "identity", "3x3", NULL};
static const char *const biases[] = {"0", "1", NULL};
static const char *const downs[] = {"1x1", "3x3", NULL};
static const char *const pools[] = {"ceil", "pad1", NULL};
static const char *const activations[] = {"relu", "relu6", NULL};
static const char *const pads[] = {"", "center", "end", "symmetric", "tf_same", NULL};

static const struct {
    const char *key;
    const char *const *values; /* NULL: a number or a list of stages */
} options[SN_OPTION_COUNT] = {
    [SN_OPTION_R] = {"r", NULL},           [SN_OPTION_SQUEEZE] = {"squeeze", squeezes},
    [SN_OPTION_GATE] = {"gate", gates},    [SN_OPTION_STAGES] = {"stages", NULL},
    [SN_OPTION_PLACE] = {"place", places}, [SN_OPTION_BIAS] = {"bias", biases},
    [SN_OPTION_DOWN] = {"down", downs},    [SN_OPTION_POOL] = {"pool", pools},
    [SN_OPTION_WIDTH] = {"width", NULL},   [SN_OPTION_ACT] = {"act", activations},
    [SN_OPTION_PAD] = {"pad", pads},       [SN_OPTION_CLASSES] = {"classes", NULL},
};

const char *sn_option_key(sn_option option)
{
    return options[option].key;
}

sn_option sn_option_find(const char *key)
{
    int i = 0;
    while (i < SN_OPTION_COUNT && strcmp(options[i].key, key) != 0) i++;
    return (sn_option)i;
}

void sn_option_set_defaults(sn_spec *spec)
{
    spec->r = 16;
    spec->squeeze = SN_SQUEEZE_AVG;
    spec->gate = SN_GATE_SIGMOID;
    spec->stages = UINT32_MAX;
    spec->place = SN_PLACE_STANDARD;
    spec->bias = true;
    spec->down_3x3 = spec->pool_pad1 = spec->relu6 = false;
    spec->width = 1;
    spec->pad = spec->family->pad;
    spec->classes = spec->family->classes;
}

/* ---- options with a list of values ---- */

static int get_choice(const sn_spec *spec, sn_option option)
{
    switch (option) {
    case SN_OPTION_SQUEEZE:
        return (int)spec->squeeze;
    case SN_OPTION_GATE:
        return (int)spec->gate;
    case SN_OPTION_PLACE:
        return (int)spec->place;
    case SN_OPTION_BIAS:
        return spec->bias;
    case SN_OPTION_DOWN:
        return spec->down_3x3;
    case SN_OPTION_POOL:
        return spec->pool_pad1;
    case SN_OPTION_ACT:
        return spec->relu6;
    default:
        return (int)spec->pad;
    }
}

static void set_choice(sn_spec *spec, sn_option option, int value)
{
    switch (option) {
    case SN_OPTION_SQUEEZE:
        spec->squeeze = (sn_squeeze)value;
        break;
    case SN_OPTION_GATE:
        spec->gate = (sn_gate)value;
        break;
    case SN_OPTION_PLACE:
        spec->place = (sn_place)value;
        break;
    case SN_OPTION_BIAS:
        spec->bias = value;
        break;
    case SN_OPTION_DOWN:
        spec->down_3x3 = value;
        break;
    case SN_OPTION_POOL:
        spec->pool_pad1 = value;
        break;
    case SN_OPTION_ACT:
        spec->relu6 = value;
        break;
    default:
        spec->pad = (sn_pad)value;
        break;
    }
}

/* Bits of the values the family takes. */
static uint32_t allowed_choices(const sn_spec *spec, sn_option option)
{
    if (option == SN_OPTION_PLACE) return spec->family->places;
    if (option == SN_OPTION_PAD) return spec->family->pads;
    return UINT32_MAX;
}

static senet_status fail_value(sn_option option, const char *value, const char *allowed)
{
    return sn_fail(SENET_USAGE, "option '%s' has no value '%s'; allowed: %s", options[option].key, value, allowed);
}

static senet_status parse_choice(sn_spec *spec, sn_option option, const char *value)
{
    const char *const *values = options[option].values;
    uint32_t allowed = allowed_choices(spec, option);
    char list[128] = "";
    for (int i = 0; values[i]; i++) {
        if (!(allowed >> i & 1)) continue;
        if (strcmp(values[i], value) == 0) {
            set_choice(spec, option, i);
            return SENET_OK;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", values[i]);
    }
    return fail_value(option, value, list);
}

/* ---- numbers and lists ---- */

static bool parse_digits(const char *text, int64_t *number)
{
    return text[0] >= '0' && text[0] <= '9' && sn_parse_int64(text, number);
}

/* "all", or stages with '+' between: "2+3". */
static senet_status parse_stages(sn_spec *spec, const char *value)
{
    uint32_t stages = 0;
    int last = spec->family->last_stage;
    if (strcmp(value, "all") == 0) {
        spec->stages = UINT32_MAX;
        return SENET_OK;
    }
    for (const char *p = value;; p += 2) {
        bool stage = *p >= '2' && *p - '0' <= last && (p[1] == '+' || p[1] == '\0');
        if (!stage) {
            char list[64];
            snprintf(list, sizeof list, "all, or stages of 2..%d joined by '+'", last);
            return fail_value(SN_OPTION_STAGES, value, list);
        }
        stages |= 1u << (*p - '0');
        if (p[1] == '\0') break;
    }
    spec->stages = stages;
    return SENET_OK;
}

static senet_status parse_width(sn_spec *spec, const char *value)
{
    double width;
    if (!sn_parse_double(value, &width) || !(width >= 1 / WIDTH_UNIT && width <= WIDEST))
        return fail_value(SN_OPTION_WIDTH, value, "a number from 0.000001 to 100");
    spec->width = round(width * WIDTH_UNIT) / WIDTH_UNIT;
    return SENET_OK;
}

senet_status sn_option_set(sn_spec *spec, sn_option option, const char *value)
{
    int64_t number;
    switch (option) {
    case SN_OPTION_R:
        if (!parse_digits(value, &number) || number < 1) return fail_value(option, value, "whole numbers from 1");
        spec->r = number;
        return SENET_OK;
    case SN_OPTION_CLASSES:
        if (!parse_digits(value, &number) || number < 1 || number > MOST_CLASSES)
            return fail_value(option, value, "whole numbers from 1 to 1000000");
        spec->classes = number;
        return SENET_OK;
    case SN_OPTION_STAGES:
        return parse_stages(spec, value);
    case SN_OPTION_WIDTH:
        return parse_width(spec, value);
    default:
        return parse_choice(spec, option, value);
    }
}

static void print_stages(const sn_spec *spec, char text[SN_OPTION_TEXT_BYTES])
{
    strcpy(text, spec->stages == UINT32_MAX ? "all" : "");
    for (int stage = 2; stage <= spec->family->last_stage && spec->stages != UINT32_MAX; stage++)
        if (spec->stages >> stage & 1) {
            size_t used = strlen(text);
            snprintf(text + used, SN_OPTION_TEXT_BYTES - used, "%s%d", used ? "+" : "", stage);
        }
}

/* Millionths without trailing zeros: 1, 0.75. */
static void print_width(const sn_spec *spec, char text[SN_OPTION_TEXT_BYTES])
{
    long long millionths = llround(spec->width * WIDTH_UNIT), unit = (long long)WIDTH_UNIT;
    int n = snprintf(text, SN_OPTION_TEXT_BYTES, "%lld.%06lld", millionths / unit, millionths % unit);
    while (text[n - 1] == '0') n--;
    if (text[n - 1] == '.') n--;
    text[n] = '\0';
}

void sn_option_print(const sn_spec *spec, sn_option option, char text[SN_OPTION_TEXT_BYTES])
{
    switch (option) {
    case SN_OPTION_R:
        snprintf(text, SN_OPTION_TEXT_BYTES, "%lld", (long long)spec->r);
        break;
    case SN_OPTION_CLASSES:
        snprintf(text, SN_OPTION_TEXT_BYTES, "%lld", (long long)spec->classes);
        break;
    case SN_OPTION_STAGES:
        print_stages(spec, text);
        break;
    case SN_OPTION_WIDTH:
        print_width(spec, text);
        break;
    default:
        strcpy(text, options[option].values[get_choice(spec, option)]);
        break;
    }
}
