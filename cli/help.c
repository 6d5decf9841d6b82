/* help.c - --help: examples first, because most readers look for a command to change; then every option with its range
 * and default.  See help.h. */
#include "help.h"

#include <stdio.h>
#include <string.h>

#include "verbs.h"

enum { HELP_COLUMN = 34, HELP_WIDTH = 110 };

const char cli_program_summary[] = "trains, evaluates and runs Squeeze-and-Excitation networks";

const cli_exit_code cli_exit_codes[] = {
    {0, "done"},
    {64, "the command line makes no sense"},
    {65, "a file is not what it should be"},
    {66, "a file or folder is not there or cannot be read"},
    {70, "out of memory, or a fault of the program"},
    {73, "something cannot be written: full disk, permissions, closed pipe"},
    {75, "stopped by a signal after the state was saved; run again with --resume to go on"},
    {0, NULL},
};

const cli_variable cli_variables[] = {
    {"SENET_LOG", "topics to tell on standard error: dispatch (which kernel runs a layer, and why not a better one), "
                  "tuning (what kernels that were measured took)"},
    {"SENET_ISA", "the highest instruction set level to use: on x86-64 baseline, avx2, avx512, avx512_bf16, amx; on arm64 there "
                  "is neon alone (default: what the processor has)"},
    {NULL, NULL},
};

void cli_option_facts(const cli_option *option, char *text, size_t size)
{
    char range[96] = "";
    bool ranged = option->type == CLI_INTEGER || option->type == CLI_REAL;
    if (ranged && option->most < 1e15)
        snprintf(range, sizeof range, "%.15g..%.15g", option->least, option->most);
    else if (ranged)
        snprintf(range, sizeof range, "at least %.15g", option->least);
    const char *standard = option->usual ? option->usual : option->standard;
    if (!range[0] && !standard)
        snprintf(text, size, "%s", option->repeat ? " (may be repeated)" : "");
    else
        snprintf(text, size, " (%s%s%s%s)", range, range[0] && standard ? "; " : "", standard ? "default: " : "",
                 standard ? standard : "");
}

/* Prints text from column `column` on, broken between words; the cursor stands at column `column` already. */
static void print_wrapped(const char *text, int column)
{
    int at = column;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (at > column && at + length > HELP_WIDTH) {
            printf("\n%*s", column, "");
            at = column;
        }
        at += printf("%.*s", length, text);
        text += length;
        if (*text == ' ') {
            text++;
            if (*text && at + 1 + (int)strcspn(text, " ") <= HELP_WIDTH)
                at += printf(" ");
            else if (*text)
                at = HELP_WIDTH;
        }
    }
    printf("\n");
}

static void print_paragraphs(const char *text, int indent)
{
    while (*text) {
        const char *end = strstr(text, "\n\n");
        char paragraph[2048];
        snprintf(paragraph, sizeof paragraph, "%.*s", end ? (int)(end - text) : (int)strlen(text), text);
        printf("%*s", indent, "");
        print_wrapped(paragraph, indent);
        if (!end) return;
        printf("\n");
        text = end + 2;
    }
}

static void print_option(const cli_option *option)
{
    char left[128], letter[8] = "    ", facts[160], right[1024];
    if (option->letter) snprintf(letter, sizeof letter, "-%c, ", option->letter);
    const char *value = option->type == CLI_CHOICE ? option->choices : option->metavar;
    const char *before = option->implied ? "[=" : value ? " " : "", *after = option->implied ? "]" : "";
    snprintf(left, sizeof left, "  %s--%s%s%s%s", letter, option->name, before, value ? value : "", after);
    cli_option_facts(option, facts, sizeof facts);
    snprintf(right, sizeof right, "%s%s", option->help, facts);
    int used = printf("%s", left);
    if (used >= HELP_COLUMN)
        printf("\n%*s", HELP_COLUMN, "");
    else
        printf("%*s", HELP_COLUMN - used, "");
    print_wrapped(right, HELP_COLUMN);
}

void cli_help_verb(const cli_verb *verb)
{
    printf("senet %s - %s\n\nUsage: senet %s [options]%s%s\n\n", verb->name, verb->summary, verb->name,
           verb->operands[0] ? " " : "", verb->operands);
    print_paragraphs(verb->description, 0);
    printf("\nExamples:\n");
    for (const cli_example *example = verb->examples; example->command; example++)
        printf("  %s\n      %s\n", example->purpose, example->command);
    printf("\nOptions:\n");
    for (const cli_option *option = verb->options; option->name; option++)
        if (!option->hidden) print_option(option);
}

void cli_help_program(void)
{
    printf("senet %s - %s\n\nUsage: senet VERB [options]\n\nVerbs:\n", senet_version(), cli_program_summary);
    for (const cli_verb *const *verb = cli_verbs; *verb; verb++) printf("  %-10s%s\n", (*verb)->name, (*verb)->summary);
    printf("\nFor a start:\n");
    for (const cli_verb *const *verb = cli_verbs; *verb; verb++) printf("  %s\n", (*verb)->examples[0].command);
    printf("\n`senet VERB --help` shows a verb's options and more examples; `senet --version` the version.\n\nExit "
           "codes:\n");
    for (const cli_exit_code *code = cli_exit_codes; code->meaning; code++)
        printf("  %2d  %s\n", code->code, code->meaning);
    printf("\nEnvironment:\n");
    for (const cli_variable *variable = cli_variables; variable->name; variable++) {
        printf("  %-12s", variable->name);
        print_wrapped(variable->meaning, 14);
    }
}
