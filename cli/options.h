/* options.h - the command line as data: a verb is a table of options, from which come parsing, --help and the man
 * pages.
 *
 * Adding an option is one line in its verb's table and one cli_... call where it is used; adding a verb is a file
 * cmd_<verb>.c with a cli_verb and a line in verbs.c. */
#ifndef SENET_CLI_OPTIONS_H
#define SENET_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef enum cli_type {
    CLI_FLAG,    /* takes no value */
    CLI_INTEGER, /* least..most */
    CLI_REAL,    /* least..most */
    CLI_CHOICE,  /* one of `choices`, "a|b|c" */
    CLI_TEXT,    /* any non-empty text: a name or a path */
    CLI_REALS,   /* ascending numbers, "60,120,160", each in least..most */
    CLI_SIZE     /* "224" or "224x320", height x width, each in least..most */
} cli_type;

typedef struct cli_option {
    const char *name;    /* without dashes; NULL ends a table */
    const char *metavar; /* what the value is called in the help; NULL for flags */
    double least, most;  /* of numbers, both inclusive */
    const char *choices;
    const char *absent;   /* choices the program knows but this build does not offer, "a|b" */
    const char *standard; /* the default, parsed like the user's value; NULL: none */
    const char *implied;  /* the value that the bare option has, without "=value"; NULL: it takes the next word */
    const char *usual;    /* a default that depends on other things, in words; only shown */
    const char *help;     /* one line; the default and the range are added to it */
    cli_type type;
    char letter; /* the short form, or 0 */
    bool repeat; /* may be given several times (CLI_TEXT) */
    bool required;
    bool hidden; /* for development: parsed, but in no help */
} cli_option;

typedef struct cli_example {
    const char *command, *purpose; /* "senet train --recipe ..." */
} cli_example;

enum { CLI_MAX_OPTIONS = 96, CLI_MAX_REPEATS = 64, CLI_MAX_REALS = 16 };

typedef struct cli_arguments cli_arguments;

typedef struct cli_verb {
    const char *name;
    const char *operands;               /* the operands in the synopsis: "PICTURE|FOLDER..."; "" for none */
    int fewest_operands, most_operands; /* most < 0: any number */
    const char *summary;                /* one line, for `senet --help` */
    const char *description;            /* paragraphs, parted by empty lines */
    const cli_option *options;
    const cli_example *examples;                /* command NULL ends them */
    int (*run)(const cli_arguments *arguments); /* returns the exit code */
} cli_verb;

typedef struct cli_value {
    bool given; /* by the user, not only by default */
    bool set;   /* given or default */
    int64_t integer;
    double real;
    int count;
    const char *texts[CLI_MAX_REPEATS];
    double reals[CLI_MAX_REALS];
    int height, width;
} cli_value;

struct cli_arguments {
    const cli_verb *verb;
    bool help, manual;
    cli_value values[CLI_MAX_OPTIONS]; /* in the order of verb->options */
    const char **operands;             /* borrowed from argv; owned array */
    int operands_count;
};

/* Parses what follows the verb.  SENET_USAGE with a message that names the option, its value and what is allowed.
 * --help and --man are noted, and then nothing is required. */
senet_status cli_parse(const cli_verb *verb, int count, char *const *words, cli_arguments *arguments);
void cli_arguments_free(cli_arguments *arguments);

/* The value of an option of the verb; a name that is not in its table is a programming error. */
const cli_value *cli_get(const cli_arguments *arguments, const char *name);
bool cli_has(const cli_arguments *arguments, const char *name); /* whether the verb knows the option */
bool cli_flag(const cli_arguments *arguments, const char *name);
bool cli_given(const cli_arguments *arguments, const char *name);
int64_t cli_integer(const cli_arguments *arguments, const char *name);
double cli_real(const cli_arguments *arguments, const char *name);
const char *cli_text(const cli_arguments *arguments, const char *name); /* NULL when there is none */
/* The number of the chosen word in `choices`, from 0. */
int cli_choice(const cli_arguments *arguments, const char *name);

/* The name most like `word` in a "|"-list, if it is near enough to be a typing error; its length in *length, 0 if none.
 */
const char *cli_nearest(const char *word, const char *list, int *length);

/* ---- options that several verbs share ---- */

#define CLI_OPTION_MODEL(text)                                                                                         \
    {                                                                                                                  \
        .name = "model", .type = CLI_TEXT, .metavar = "NAME[:OPTION=VALUE,...]", .help = text                          \
    }
#define CLI_OPTION_WEIGHTS(text)                                                                                       \
    {                                                                                                                  \
        .name = "weights", .type = CLI_TEXT, .metavar = "FILE", .help = text                                           \
    }
#define CLI_OPTION_BATCH(value)                                                                                        \
    {                                                                                                                  \
        .name = "batch-size", .letter = 'b', .type = CLI_INTEGER, .metavar = "N", .least = 1, .most = 1048576,         \
        .standard = value, .help = "images computed at once"                                                           \
    }
#define CLI_OPTION_WORKERS                                                                                             \
    {                                                                                                                  \
        .name = "workers", .letter = 'j', .type = CLI_INTEGER, .metavar = "N", .least = 0, .most = 256,                \
        .standard = "2", .help = "threads that read and prepare pictures; 0: none of their own"                        \
    }
#define CLI_OPTION_THREADS                                                                                             \
    {                                                                                                                  \
        .name = "threads", .type = CLI_INTEGER, .metavar = "N", .least = 1, .most = 256,                               \
        .usual = "every CPU the process may use", .help = "threads that compute"                                       \
    }
#define CLI_OPTION_PRECISION                                                                                           \
    {                                                                                                                  \
        .name = "precision", .type = CLI_CHOICE, .metavar = "TYPE", .choices = "fp32|bf16|int8",                            \
        .standard = "fp32", .help = "of activations and products; sums are in fp32"                                    \
    }
#define CLI_OPTION_RECOMPUTE                                                                                           \
    {                                                                                                                  \
        .name = "recompute", .type = CLI_CHOICE, .metavar = "WHAT", .choices = "none|cheap|full", .standard = "none", \
        .implied = "full",                                                                                             \
        .help = "train in little memory, to the same bits: compute again what is cheap (batch norm, activations, "     \
                "gates), or convolutions too, instead of keeping it; keep no gradients and no packed weights"          \
    }
#define CLI_OPTION_TUNE                                                                                                \
    {                                                                                                                  \
        .name = "tune", .type = CLI_TEXT, .metavar = "FILE",                                                           \
        .help = "choose convolution kernels by measuring them, and keep the choice in FILE"                            \
    }
#define CLI_OPTION_DEVICE                                                                                              \
    {                                                                                                                  \
        .name = "device", .type = CLI_CHOICE, .metavar = "DEVICE", .choices = "cpu", .absent = "cuda",                 \
        .standard = "cpu", .help = "where to compute"                                                                  \
    }
#define CLI_OPTION_REFERENCE                                                                                           \
    {                                                                                                                  \
        .name = "reference", .type = CLI_FLAG, .help = "plain C kernels only: slow, for checking", .hidden = true      \
    }
#define CLI_OPTION_JSON                                                                                                \
    {                                                                                                                  \
        .name = "json", .type = CLI_FLAG, .help = "print one JSON value on standard output, and nothing else there"    \
    }
/* Ends every table. */
#define CLI_OPTIONS_END                                                                                                \
    {.name = "help", .letter = 'h', .type = CLI_FLAG, .help = "show this help"},                                       \
        {.name = "man", .type = CLI_FLAG, .help = "print the manual page as roff", .hidden = true},                    \
    {                                                                                                                  \
        .name = NULL                                                                                                   \
    }

#endif
