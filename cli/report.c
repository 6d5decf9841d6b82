/* report.c - see report.h. */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "progress.h"

static const char *report_verb;

void cli_report_set_verb(const char *verb)
{
    report_verb = verb;
}

void cli_report_line(const char *format, ...)
{
    va_list arguments;
    cli_progress_clear();
    if (report_verb)
        fprintf(stderr, "senet %s: ", report_verb);
    else
        fprintf(stderr, "senet: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

void cli_report_note(const char *format, ...)
{
    va_list arguments;
    cli_progress_clear();
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

int cli_exit_code_of(senet_status status)
{
    return status == SENET_NO_MEMORY ? SENET_INTERNAL : (int)status;
}

int cli_finish(senet_status status)
{
    if (status != SENET_OK) cli_report_line("%s", senet_last_error());
    return cli_exit_code_of(status);
}

senet_status cli_print_text(sn_text *text)
{
    senet_status status = sn_text_check(text, "the output");
    if (status == SENET_OK) printf("%s\n", sn_text_string(text));
    sn_text_free(text);
    return status;
}

senet_status cli_output_flush(void)
{
    bool lost_before = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) == 0 && !lost_before) return SENET_OK;
    return sn_fail(SENET_CANNOT_WRITE, "standard output: %s", errno ? strerror(errno) : "could not be written");
}

const char *cli_grouped(int64_t number)
{
    static char buffers[8][32];
    static int turn;
    char digits[24], *out = buffers[turn];
    turn = (turn + 1) % 8;
    int length = snprintf(digits, sizeof digits, "%" PRId64, number);
    char *place = out;
    for (int i = 0; i < length; i++) {
        *place++ = digits[i];
        int left = length - 1 - i;
        if (left && left % 3 == 0 && digits[i] != '-') *place++ = ',';
    }
    *place = '\0';
    return out;
}

const char *cli_duration(double seconds)
{
    static char text[32];
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e8) return "-:--";
    int64_t whole = (int64_t)(seconds + 0.5);
    int hours = (int)(whole / 3600), minutes = (int)(whole / 60 % 60), rest = (int)(whole % 60);
    if (hours)
        snprintf(text, sizeof text, "%d:%02d:%02d", hours, minutes, rest);
    else
        snprintf(text, sizeof text, "%d:%02d", minutes, rest);
    return text;
}
