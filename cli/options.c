/* options.c - strict parsing by a verb's table: unknown names, missing or superfluous values and values out of range
 * are usage errors that name the option, the value and what is allowed.  See options.h. */
#include "options.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* ---- the nearest name ---- */

enum { LONGEST_WORD = 63 };

static int smallest(int a, int b, int c)
{
    return a < b ? (a < c ? a : c) : (b < c ? b : c);
}

/* Edits (insert, delete, change, swap neighbours) between two words: the optimal string alignment distance. */
static int edit_distance(const char *a, int a_length, const char *b, int b_length)
{
    int rows[3][LONGEST_WORD + 1]; /* the rows i - 2, i - 1, i of the table, in turn */
    for (int j = 0; j <= b_length; j++) rows[0][j] = j;
    for (int i = 1; i <= a_length; i++) {
        int *row = rows[i % 3];
        const int *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= b_length; j++) {
            row[j] = smallest(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && two_above[j - 2] + 1 < row[j]) row[j] = two_above[j - 2] + 1;
        }
    }
    return rows[a_length % 3][b_length];
}

const char *cli_nearest(const char *word, const char *list, int *length)
{
    const char *nearest = "";
    int word_length = (int)strlen(word),
        least = word_length > 5 ? 3 : 2; /* farther than this less one is another word */
    *length = 0;
    if (word_length > LONGEST_WORD) return nearest;
    for (const char *item = list; *item;) {
        int item_length = (int)strcspn(item, "|");
        bool starts = word_length >= 3 && item_length > word_length && strncmp(item, word, (size_t)word_length) == 0;
        int distance = starts                       ? 1
                       : item_length > LONGEST_WORD ? least
                                                    : edit_distance(word, word_length, item, item_length);
        if (distance < least) {
            least = distance;
            nearest = item;
            *length = item_length;
        }
        item += item_length;
        if (*item == '|') item++;
    }
    return nearest;
}

/* ---- values ---- */

static senet_status fail_value(const cli_option *option, const char *text, const char *what)
{
    return sn_fail(SENET_USAGE, "--%s %s: %s", option->name, text, what);
}

static senet_status fail_range(const cli_option *option, const char *text)
{
    return sn_fail(SENET_USAGE, "--%s %s: must be %.15g..%.15g", option->name, text, option->least, option->most);
}

static senet_status parse_integer(const cli_option *option, const char *text, int64_t *value)
{
    if (!sn_parse_int64(text, value)) return fail_value(option, text, "must be a whole number");
    return (double)*value < option->least || (double)*value > option->most ? fail_range(option, text) : SENET_OK;
}

static senet_status parse_real(const cli_option *option, const char *text, double *value)
{
    if (!sn_parse_double(text, value)) return fail_value(option, text, "must be a number");
    return *value < option->least || *value > option->most ? fail_range(option, text) : SENET_OK;
}

/* Copies the text up to one of the characters in `stops`; the rest, or NULL when the piece is too long for a number. */
static const char *cut(const char *text, const char *stops, char piece[static 64])
{
    size_t length = strcspn(text, stops);
    if (length > 63) return NULL;
    memcpy(piece, text, length);
    piece[length] = '\0';
    return text + length;
}

static senet_status parse_reals(const cli_option *option, const char *text, cli_value *value)
{
    char piece[64];
    value->count = 0;
    for (const char *rest = text;; rest++) {
        if (value->count == CLI_MAX_REALS) return fail_value(option, text, "has more than 16 numbers");
        double number;
        rest = cut(rest, ",", piece);
        if (!rest || !sn_parse_double(piece, &number))
            return fail_value(option, text, "must be numbers parted by commas");
        if (number < option->least || number > option->most) return fail_range(option, piece);
        if (value->count && number <= value->reals[value->count - 1])
            return fail_value(option, text, "the numbers must ascend");
        value->reals[value->count++] = number;
        if (*rest == '\0') return SENET_OK;
    }
}

static senet_status parse_size(const cli_option *option, const char *text, cli_value *value)
{
    char piece[64];
    int64_t height, width;
    const char *cross = cut(text, "x", piece);
    bool valid = cross && sn_parse_int64(piece, &height);
    width = valid ? height : 0;
    if (valid && *cross == 'x') valid = sn_parse_int64(cross + 1, &width);
    if (!valid) return fail_value(option, text, "must be SIDE or HEIGHTxWIDTH, as in 224x320");
    bool inside = (double)height >= option->least && (double)height <= option->most && (double)width >= option->least &&
                  (double)width <= option->most;
    if (!inside) return fail_range(option, text);
    value->height = (int)height;
    value->width = (int)width;
    return SENET_OK;
}

/* The place of a word in an "a|b|c" list, or -1. */
static int find_choice(const char *list, const char *word)
{
    size_t word_length = strlen(word);
    for (int place = 0; list && *list; place++) {
        size_t length = strcspn(list, "|");
        if (length == word_length && memcmp(list, word, length) == 0) return place;
        list += length + (list[length] == '|');
    }
    return -1;
}

/* "a|b|c" as "a, b or c". */
static void spell_choices(const char *list, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    while (*list && used < size) {
        int length = (int)strcspn(list, "|");
        const char *rest = list + length;
        const char *joint = *rest == '\0' ? "" : strchr(rest + 1, '|') ? ", " : " or ";
        used += (size_t)snprintf(text + used, size - used, "%.*s%s", length, list, joint);
        list = *rest ? rest + 1 : rest;
    }
}

static senet_status parse_choice(const cli_option *option, const char *text, cli_value *value)
{
    char choices[256];
    spell_choices(option->choices, choices, sizeof choices);
    if (find_choice(option->absent, text) >= 0)
        return sn_fail(SENET_USAGE, "--%s %s: not available in this build, only %s", option->name, text, choices);
    int place = find_choice(option->choices, text);
    if (place < 0) return sn_fail(SENET_USAGE, "--%s %s: must be %s", option->name, text, choices);
    value->integer = place;
    return SENET_OK;
}

static senet_status parse_value(const cli_option *option, const char *text, cli_value *value)
{
    value->set = true;
    if (option->type != CLI_FLAG && *text == '\0')
        return sn_fail(SENET_USAGE, "--%s: the value is empty", option->name);
    if (!option->repeat) value->count = 0;
    switch (option->type) {
    case CLI_INTEGER:
        SN_RETURN_IF_FAILED(parse_integer(option, text, &value->integer));
        break;
    case CLI_REAL:
        SN_RETURN_IF_FAILED(parse_real(option, text, &value->real));
        break;
    case CLI_CHOICE:
        SN_RETURN_IF_FAILED(parse_choice(option, text, value));
        break;
    case CLI_REALS:
        return parse_reals(option, text, value);
    case CLI_SIZE:
        SN_RETURN_IF_FAILED(parse_size(option, text, value));
        break;
    case CLI_FLAG:
    case CLI_TEXT:
        break;
    }
    if (value->count == CLI_MAX_REPEATS)
        return sn_fail(SENET_USAGE, "--%s %s: given more than %d times", option->name, text, CLI_MAX_REPEATS);
    value->texts[value->count++] = text;
    return SENET_OK;
}

/* ---- the command line ---- */

static int find_name(const cli_verb *verb, const char *name, size_t length)
{
    for (int i = 0; verb->options[i].name; i++)
        if (strlen(verb->options[i].name) == length && memcmp(verb->options[i].name, name, length) == 0) return i;
    return -1;
}

static int find_letter(const cli_verb *verb, char letter)
{
    for (int i = 0; verb->options[i].name; i++)
        if (verb->options[i].letter == letter) return i;
    return -1;
}

static senet_status fail_unknown(const cli_verb *verb, const char *word)
{
    char names[2048];
    size_t used = 0;
    int shown = (int)strcspn(word, "="), length;
    char name[LONGEST_WORD + 1];
    names[0] = '\0';
    for (const cli_option *option = verb->options; option->name; option++)
        if (!option->hidden && used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? "|" : "", option->name);
    snprintf(name, sizeof name, "%.*s", shown - 2, word + 2);
    const char *nearest = cli_nearest(name, names, &length);
    if (length) return sn_fail(SENET_USAGE, "unknown option %.*s; did you mean --%.*s?", shown, word, length, nearest);
    return sn_fail(SENET_USAGE, "unknown option %.*s; see senet %s --help", shown, word, verb->name);
}

/* Reads the option in words[*at] (and its value); leaves *at on the last word it used. */
static senet_status parse_option(const cli_verb *verb, int count, char *const *words, int *at, cli_arguments *arguments)
{
    const char *word = words[*at], *attached = NULL;
    int found;
    if (word[1] == '-') {
        size_t length = strcspn(word + 2, "=");
        found = find_name(verb, word + 2, length);
        if (found < 0) return fail_unknown(verb, word);
        if (word[2 + length] == '=') attached = word + 2 + length + 1;
    } else {
        found = find_letter(verb, word[1]);
        if (found < 0) return sn_fail(SENET_USAGE, "unknown option -%c; see senet %s --help", word[1], verb->name);
        if (word[2]) attached = word + 2;
    }
    const cli_option *option = &verb->options[found];
    cli_value *value = &arguments->values[found];
    if (option->type == CLI_FLAG && attached)
        return sn_fail(SENET_USAGE, "--%s takes no value ('%s' given)", option->name, attached);
    if (!attached) attached = option->implied;
    if (option->type != CLI_FLAG && !attached) {
        bool missing = *at + 1 == count || strncmp(words[*at + 1], "--", 2) == 0;
        if (missing) return sn_fail(SENET_USAGE, "--%s needs a value: %s", option->name, option->metavar);
        attached = words[++*at];
    }
    value->given = true;
    return parse_value(option, attached, value);
}

static senet_status check_complete(const cli_verb *verb, const cli_arguments *arguments)
{
    for (int i = 0; verb->options[i].name; i++) {
        const cli_option *option = &verb->options[i];
        if (option->required && !arguments->values[i].given)
            return sn_fail(SENET_USAGE, "--%s %s is missing; see senet %s --help", option->name, option->metavar,
                           verb->name);
    }
    if (arguments->operands_count < verb->fewest_operands)
        return sn_fail(SENET_USAGE, "%s is missing; see senet %s --help", verb->operands, verb->name);
    if (verb->most_operands >= 0 && arguments->operands_count > verb->most_operands)
        return sn_fail(SENET_USAGE, "'%s' is one word too many; see senet %s --help",
                       arguments->operands[verb->most_operands], verb->name);
    return SENET_OK;
}

senet_status cli_parse(const cli_verb *verb, int count, char *const *words, cli_arguments *arguments)
{
    *arguments = (cli_arguments){.verb = verb};
    arguments->operands = calloc((size_t)count + 1, sizeof *arguments->operands);
    if (!arguments->operands) return sn_fail_memory((size_t)count * sizeof *arguments->operands, "the command line");
    for (int i = 0; verb->options[i].name; i++) {
        assert(i < CLI_MAX_OPTIONS);
        if (verb->options[i].standard &&
            parse_value(&verb->options[i], verb->options[i].standard, &arguments->values[i]))
            return SENET_INTERNAL;
    }
    bool options_end = false;
    for (int at = 0; at < count; at++) {
        if (!options_end && strcmp(words[at], "--") == 0)
            options_end = true;
        else if (!options_end && words[at][0] == '-' && words[at][1])
            SN_RETURN_IF_FAILED(parse_option(verb, count, words, &at, arguments));
        else
            arguments->operands[arguments->operands_count++] = words[at];
    }
    arguments->help = cli_flag(arguments, "help");
    arguments->manual = cli_flag(arguments, "man");
    return arguments->help || arguments->manual ? SENET_OK : check_complete(verb, arguments);
}

void cli_arguments_free(cli_arguments *arguments)
{
    if (arguments) free(arguments->operands);
}

/* ---- reading the values ---- */

bool cli_has(const cli_arguments *arguments, const char *name)
{
    return find_name(arguments->verb, name, strlen(name)) >= 0;
}

const cli_value *cli_get(const cli_arguments *arguments, const char *name)
{
    int found = find_name(arguments->verb, name, strlen(name));
    assert(found >= 0);
    return &arguments->values[found];
}

bool cli_flag(const cli_arguments *arguments, const char *name)
{
    return cli_get(arguments, name)->set;
}
bool cli_given(const cli_arguments *arguments, const char *name)
{
    return cli_get(arguments, name)->given;
}
int64_t cli_integer(const cli_arguments *arguments, const char *name)
{
    return cli_get(arguments, name)->integer;
}
double cli_real(const cli_arguments *arguments, const char *name)
{
    return cli_get(arguments, name)->real;
}
int cli_choice(const cli_arguments *arguments, const char *name)
{
    return (int)cli_get(arguments, name)->integer;
}

const char *cli_text(const cli_arguments *arguments, const char *name)
{
    const cli_value *value = cli_get(arguments, name);
    return value->count ? value->texts[value->count - 1] : NULL;
}
