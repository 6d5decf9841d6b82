/* verbs.c - the list of verbs.  See verbs.h. */
#include "verbs.h"

#include <stdio.h>
#include <string.h>

const cli_verb *const cli_verbs[] = {&cli_models, &cli_summary, &cli_recipes, &cli_train, &cli_eval, &cli_predict,
                                     &cli_run,    &cli_bench,   &cli_convert, &cli_quantize, &cli_paper, &cli_data, NULL};

const cli_verb *cli_find_verb(const char *name)
{
    char names[256];
    size_t used = 0;
    for (const cli_verb *const *verb = cli_verbs; *verb; verb++) {
        if (strcmp((*verb)->name, name) == 0) return *verb;
        if (used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? "|" : "", (*verb)->name);
    }
    int length;
    const char *nearest = cli_nearest(name, names, &length);
    if (length)
        sn_fail(SENET_USAGE, "unknown verb '%s'; did you mean %.*s?", name, length, nearest);
    else
        sn_fail(SENET_USAGE, "unknown verb '%s'; see senet --help", name);
    return NULL;
}
