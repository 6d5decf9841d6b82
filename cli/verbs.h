/* verbs.h - the verbs of the program. */
#ifndef SENET_CLI_VERBS_H
#define SENET_CLI_VERBS_H

#include "options.h"

extern const cli_verb cli_models, cli_summary, cli_recipes, cli_train, cli_eval, cli_predict, cli_run, cli_bench, cli_convert,
    cli_quantize, cli_paper, cli_data;

/* Every verb in the order of the help; ends with NULL. */
extern const cli_verb *const cli_verbs[];

/* The verb of that name, or NULL after SENET_USAGE was noted with the nearest name. */
const cli_verb *cli_find_verb(const char *name);

#endif
