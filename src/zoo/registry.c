/* registry.c - the families by name: who builds "wrn16_8", what there is, what a misspelt name was meant to be. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zoo/family.h"

#define SN_FAMILY(name) &sn_family_##name,
static const sn_family *const families[] = {
#include "zoo/families.def"
};
#undef SN_FAMILY
enum { FAMILIES = sizeof families / sizeof families[0] };

/* A number of a name: 1..999999, no leading zero, so that a name has one spelling.  Returns what follows, or NULL. */
static const char *match_number(const char *text, int *number)
{
    enum { DIGITS = 6 };
    int digits = 0;
    *number = 0;
    if (*text < '1' || *text > '9') return NULL;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (++digits > DIGITS) return NULL;
        *number = *number * 10 + (*text - '0');
    }
    return text;
}

static bool match(const char *pattern, const char *name, int numbers[4])
{
    int found = 0;
    memset(numbers, 0, 4 * sizeof *numbers);
    for (; *pattern; pattern++) {
        if (*pattern == '#') {
            name = match_number(name, &numbers[found++]);
            if (!name) return false;
        } else if (*pattern != *name++) {
            return false;
        }
    }
    return *name == '\0';
}

const sn_family *sn_family_find(const char *base, int numbers[4])
{
    for (int i = 0; i < FAMILIES; i++)
        if (match(families[i]->pattern, base, numbers)) return families[i];
    return NULL;
}

bool sn_zoo_list(size_t index, const char **name, const char **summary)
{
    for (int i = 0; i < FAMILIES; i++)
        for (const sn_model_entry *model = families[i]->models; model->name; model++, index--)
            if (index == 0) {
                *name = model->name;
                *summary = model->summary;
                return true;
            }
    return false;
}

/* ---- suggestions ---- */

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance: insertions, deletions and replacements that turn one into the other. */
static int edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    int row[LONGEST + 1], columns = (int)strlen(b);
    if (columns > LONGEST) return columns;
    for (int j = 0; j <= columns; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= columns; j++) {
            int replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[columns];
}

const char *sn_zoo_suggest(const char *name)
{
    const char *candidate, *summary, *nearest = NULL;
    int distance = 1 + (int)strlen(name) / 4; /* farther away it is another name, not a slip */
    for (size_t i = 0; sn_zoo_list(i, &candidate, &summary); i++) {
        int d = edit_distance(name, candidate);
        if (d < distance || (d == distance && !nearest)) {
            distance = d;
            nearest = candidate;
        }
    }
    return nearest;
}

/* ---- refusals shared by the families ---- */

senet_status sn_family_refuse(const sn_spec *spec, const char *format, ...)
{
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    bool prefix = spec->se && !spec->family->always_se;
    return sn_fail(SENET_USAGE, "model '%s%s': %s", prefix ? "se_" : "", spec->base, reason);
}

senet_status sn_family_check_depth(const sn_spec *spec, int depth, int units, int rest)
{
    enum { DEEPEST = 5000 };
    if (depth > DEEPEST) return sn_family_refuse(spec, "depth %d is more than %d", depth, DEEPEST);
    if (depth >= units + rest && (depth - rest) % units == 0) return SENET_OK;
    return sn_family_refuse(spec, "depth %d is not %dn+%d (%d, %d, %d, ...)", depth, units, rest, units + rest,
                            2 * units + rest, 3 * units + rest);
}

senet_status sn_family_check_width(const sn_spec *spec, const char *what, int width)
{
    enum { WIDEST = 4096 };
    if (width >= 1 && width <= WIDEST) return SENET_OK;
    return sn_family_refuse(spec, "%s %d is not between 1 and %d", what, width, WIDEST);
}
