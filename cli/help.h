/* help.h - what the tables of options say to a reader: --help on a terminal, manual pages as roff. */
#ifndef SENET_CLI_HELP_H
#define SENET_CLI_HELP_H

#include "options.h"

/* `senet --help`: the verbs, a first example of each, the exit codes. */
void cli_help_program(void);
/* `senet VERB --help`: synopsis, description, examples, options. */
void cli_help_verb(const cli_verb *verb);

/* `senet --man` and `senet VERB --man`: the pages senet.1 and senet-VERB.1. */
void cli_manual_program(void);
void cli_manual_verb(const cli_verb *verb);

/* The facts that follow from an option's table row: " (1..256; default: 16)", or "". */
void cli_option_facts(const cli_option *option, char *text, size_t size);

typedef struct cli_exit_code {
    int code;
    const char *meaning;
} cli_exit_code;
extern const cli_exit_code cli_exit_codes[]; /* meaning NULL ends them */

typedef struct cli_variable {
    const char *name, *meaning;
} cli_variable;
extern const cli_variable cli_variables[]; /* of the environment; name NULL ends them */

extern const char cli_program_summary[];

#endif
