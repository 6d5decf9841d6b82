/* report.h - what the program tells its user: failures as one line on standard error, results on standard output. */
#ifndef SENET_CLI_REPORT_H
#define SENET_CLI_REPORT_H

#include "base/text.h"

/* The verb that messages begin with, "senet train: ..."; NULL: none yet. */
void cli_report_set_verb(const char *verb);

/* Prints a line about a failure, "senet train: ..."; clears a progress bar first. */
void cli_report_line(const char *format, ...) SN_PRINTF(1, 2);

/* Prints a line about the course of the work, without the program's name in front. */
void cli_report_note(const char *format, ...) SN_PRINTF(1, 2);

/* The exit code of a status; prints the message of what failed. */
int cli_finish(senet_status status);
/* The exit code of a status. */
int cli_exit_code_of(senet_status status);

/* Prints the text and a newline on standard output, and frees it. */
senet_status cli_print_text(sn_text *text);
/* Flushes standard output: SENET_CANNOT_WRITE when something of it was lost. */
senet_status cli_output_flush(void);

/* 1234567 as "1,234,567"; a few buffers in turn. */
const char *cli_grouped(int64_t number);
/* 83 as "1:23", 4000 as "1:06:40"; "-:--" when it is not known. */
const char *cli_duration(double seconds);

#endif
