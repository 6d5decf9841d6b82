/* main.c - `senet VERB [options]`: finds the verb, parses its options, runs it, and sees that standard output arrived.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "help.h"
#include "report.h"
#include "verbs.h"

static int run_verb(const cli_verb *verb, int count, char *const *words)
{
    cli_arguments arguments;
    cli_report_set_verb(verb->name);
    senet_status status = cli_parse(verb, count, words, &arguments);
    int code = 0;
    if (status != SENET_OK)
        code = cli_finish(status);
    else if (arguments.help)
        cli_help_verb(verb);
    else if (arguments.manual)
        cli_manual_verb(verb);
    else
        code = verb->run(&arguments);
    cli_arguments_free(&arguments);
    return code;
}

/* What may stand in place of a verb. */
static int run_program_option(const char *word)
{
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        cli_help_program();
    else if (strcmp(word, "--version") == 0)
        printf("senet %s\n", senet_version());
    else if (strcmp(word, "--man") == 0)
        cli_manual_program();
    else
        return cli_finish(sn_fail(SENET_USAGE, "unknown option %s; a verb comes first, see senet --help", word));
    return 0;
}

static int run(int count, char *const *words)
{
    if (count == 0) return cli_finish(sn_fail(SENET_USAGE, "a verb is missing; see senet --help"));
    if (words[0][0] == '-') return run_program_option(words[0]);
    if (strcmp(words[0], "help") == 0 && count == 1) return run_program_option("--help");
    bool help = strcmp(words[0], "help") == 0;
    const cli_verb *verb = cli_find_verb(words[help]);
    if (!verb) return cli_finish(SENET_USAGE);
    if (!help) return run_verb(verb, count - 1, words + 1);
    cli_help_verb(verb);
    return 0;
}

static void log_to_standard_error(const char *line)
{
    fprintf(stderr, "%s\n", line);
}

int main(int count, char **words)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is then a failing write, reported like a full disk */
    sn_log_begin(getenv("SENET_LOG"), log_to_standard_error);
    int code = run(count > 0 ? count - 1 : 0, words + 1);
    senet_status status = cli_output_flush();
    if (status != SENET_OK && code != SENET_CANNOT_WRITE) code = cli_finish(status);
    return code;
}
