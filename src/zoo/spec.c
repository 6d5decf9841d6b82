/* spec.c - a model's name, "[se_]base[:option=value,...]" (NAMES.md sections 1 and 2), to a spec and back. */
#include <stdio.h>
#include <string.h>

#include "zoo/family.h"

enum {
    NAME_BYTES = 64,
    WORD_BYTES = 64
}; /* of "se_base"; of a key or value: the longest real ones have 15 characters */

/* The options this model accepts. */
static uint32_t accepted_options(const sn_spec *spec)
{
    return spec->family->options | (spec->se ? spec->family->se_options : 0);
}

static senet_status fail_not_accepted(const sn_spec *spec, const char *key)
{
    char list[256] = "";
    for (int option = 0; option < SN_OPTION_COUNT; option++) {
        if (!(accepted_options(spec) >> option & 1)) continue;
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", sn_option_key((sn_option)option));
    }
    bool known = sn_option_find(key) != SN_OPTION_COUNT;
    return sn_fail(SENET_USAGE, "%s option '%s'; accepted: %s", known ? "takes no" : "unknown", key, list);
}

/* Copies [begin, end) into a word; a longer one is cut, which no key or value survives as itself. */
static void copy_word(const char *begin, const char *end, char word[WORD_BYTES])
{
    size_t length = (size_t)(end - begin);
    if (length > WORD_BYTES - 1) length = WORD_BYTES - 1;
    memcpy(word, begin, length);
    word[length] = '\0';
}

/* One "key=value" at [begin, end). */
static senet_status parse_option(sn_spec *spec, const char *begin, const char *end, uint32_t *given)
{
    char key[WORD_BYTES], value[WORD_BYTES];
    const char *equals = memchr(begin, '=', (size_t)(end - begin));
    copy_word(begin, equals ? equals : end, key);
    if (!equals) return sn_fail(SENET_USAGE, "option '%s' is not of the form key=value", key);
    copy_word(equals + 1, end, value);
    sn_option option = sn_option_find(key);
    if (option == SN_OPTION_COUNT || !(accepted_options(spec) >> option & 1)) return fail_not_accepted(spec, key);
    if (*given >> option & 1) return sn_fail(SENET_USAGE, "option '%s' is given twice", key);
    *given |= 1u << option;
    return sn_option_set(spec, option, value);
}

static senet_status parse_options(sn_spec *spec, const char *text)
{
    uint32_t given = 0;
    for (;;) {
        const char *end = text + strcspn(text, ",");
        SN_RETURN_IF_FAILED(parse_option(spec, text, end, &given));
        if (*end == '\0') return SENET_OK;
        text = end + 1;
    }
}

static senet_status fail_unknown(const char *name)
{
    const char *meant = sn_zoo_suggest(name);
    return meant ? sn_fail(SENET_USAGE, "unknown model '%s'; did you mean '%s'?", name, meant)
                 : sn_fail(SENET_USAGE, "unknown model '%s'", name);
}

senet_status sn_spec_parse(const char *text, sn_spec *spec)
{
    char name[NAME_BYTES];
    size_t length = strcspn(text, ":");
    memset(spec, 0, sizeof *spec);
    if (length >= NAME_BYTES) return sn_fail(SENET_USAGE, "unknown model '%.*s...'", NAME_BYTES - 1, text);
    memcpy(name, text, length);
    name[length] = '\0';

    bool prefix = strncmp(name, "se_", 3) == 0;
    const char *base = prefix ? name + 3 : name;
    spec->family = sn_family_find(base, spec->numbers);
    if (!spec->family) return fail_unknown(name);
    if (prefix && spec->family->always_se)
        return sn_fail(SENET_USAGE, "unknown model '%s'; did you mean '%s'?", name, base);
    strcpy(spec->base, base);
    spec->se = prefix || spec->family->always_se;
    spec->native_size = spec->family->native_size;
    sn_option_set_defaults(spec);
    if (spec->family->check) SN_RETURN_IF_FAILED(spec->family->check(spec));
    senet_status status = text[length] == ':' ? parse_options(spec, text + length + 1) : SENET_OK;
    return status == SENET_OK ? status : sn_fail_context(status, "model '%s'", name);
}

void sn_spec_canonical(const sn_spec *spec, char *text, size_t size)
{
    sn_spec plain = *spec;
    sn_option_set_defaults(&plain);
    int used = snprintf(text, size, "%s%s", spec->se && !spec->family->always_se ? "se_" : "", spec->base);
    char separator = ':';
    for (int option = 0; option < SN_OPTION_COUNT; option++) {
        char value[SN_OPTION_TEXT_BYTES], usual[SN_OPTION_TEXT_BYTES];
        sn_option_print(spec, (sn_option)option, value);
        sn_option_print(&plain, (sn_option)option, usual);
        if (strcmp(value, usual) == 0 || used < 0 || (size_t)used >= size) continue;
        used +=
            snprintf(text + used, size - (size_t)used, "%c%s=%s", separator, sn_option_key((sn_option)option), value);
        separator = ',';
    }
}
