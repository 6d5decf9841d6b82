/* csv.h - comma-separated values (RFC 4180). */
#ifndef SENET_CLI_CSV_H
#define SENET_CLI_CSV_H

#include "base/text.h"

/* Adds a field, in quotes where it must be; commas and line ends are the caller's. */
void cli_csv_add(sn_text *text, const char *field);

#endif
