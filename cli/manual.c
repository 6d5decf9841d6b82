/* manual.c - the manual pages as roff (man(7) macros), from the tables that also drive parsing and --help.  See help.h.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "help.h"
#include "verbs.h"

/* Text with what roff would take for its own escaped: backslashes, hyphens, a dot or quote that begins a line. */
static void print_roff(const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\'')) printf("\\&");
        if (*text == '\\')
            printf("\\e");
        else if (*text == '-')
            printf("\\-");
        else
            putchar(*text);
        line_start = *text == '\n';
    }
}

static void print_paragraphs(const char *text)
{
    for (; *text; text++) {
        if (strncmp(text, "\n\n", 2) == 0) {
            printf("\n.PP\n");
            text++;
            continue;
        }
        char one[2] = {*text, '\0'};
        print_roff(one);
    }
    printf("\n");
}

static void print_title(const char *page, const char *summary)
{
    printf(".TH %s 1 \"\" \"senet %s\" \"User Commands\"\n.SH NAME\n", page, senet_version());
    print_roff(page);
    printf(" \\- %s\n", summary);
}

static void print_exit_codes(void)
{
    printf(".SH EXIT STATUS\n");
    for (const cli_exit_code *code = cli_exit_codes; code->meaning; code++)
        printf(".TP\n.B %d\n%s\n", code->code, code->meaning);
}

static void print_environment(void)
{
    printf(".SH ENVIRONMENT\n");
    for (const cli_variable *variable = cli_variables; variable->name; variable++)
        printf(".TP\n.B %s\n%s\n", variable->name, variable->meaning);
}

static void print_option(const cli_option *option)
{
    char facts[160];
    const char *value = option->type == CLI_CHOICE ? option->choices : option->metavar;
    printf(".TP\n");
    if (option->letter) printf("\\fB\\-%c\\fR, ", option->letter);
    printf("\\fB\\-\\-");
    print_roff(option->name);
    printf("\\fR");
    if (value) {
        printf(option->implied ? "[=\\fI" : " \\fI");
        print_roff(value);
        printf(option->implied ? "\\fR]" : "\\fR");
    }
    printf("\n");
    cli_option_facts(option, facts, sizeof facts);
    print_roff(option->help);
    print_roff(facts);
    printf("\n");
}

static void print_examples(const cli_example *examples, int most)
{
    for (const cli_example *example = examples; example->command && most > 0; example++, most--) {
        printf(".PP\n");
        print_roff(example->purpose);
        printf("\n.PP\n.nf\n.RS\n");
        print_roff(example->command);
        printf("\n.RE\n.fi\n");
    }
}

void cli_manual_verb(const cli_verb *verb)
{
    char page[64];
    snprintf(page, sizeof page, "senet-%s", verb->name);
    print_title(page, verb->summary);
    printf(".SH SYNOPSIS\n.B senet %s\n[options] ", verb->name);
    print_roff(verb->operands);
    printf("\n.SH DESCRIPTION\n");
    print_paragraphs(verb->description);
    printf(".SH EXAMPLES\n");
    print_examples(verb->examples, 99);
    printf(".SH OPTIONS\n");
    for (const cli_option *option = verb->options; option->name; option++)
        if (!option->hidden) print_option(option);
    print_exit_codes();
    print_environment();
    printf(".SH SEE ALSO\n.BR senet (1)\n");
}

void cli_manual_program(void)
{
    print_title("senet", cli_program_summary);
    printf(".SH SYNOPSIS\n.B senet\n.I VERB\n[options]\n.SH DESCRIPTION\n"
           "A network is named as in \\fBse_cifar_resnet20\\fR or, with options, "
           "\\fBse_cifar_resnet20:r=8,squeeze=max\\fR; "
           "\\fBsenet models\\fR lists the names.\nEvery verb has a page of its own.\n.SH VERBS\n");
    for (const cli_verb *const *verb = cli_verbs; *verb; verb++)
        printf(".TP\n.BR senet\\-%s (1)\n%s\n", (*verb)->name, (*verb)->summary);
    printf(".SH EXAMPLES\n");
    for (const cli_verb *const *verb = cli_verbs; *verb; verb++) print_examples((*verb)->examples, 1);
    print_exit_codes();
    print_environment();
}
