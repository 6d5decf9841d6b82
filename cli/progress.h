/* progress.h - a progress bar on a terminal; elsewhere nothing, so that logs stay readable. */
#ifndef SENET_CLI_PROGRESS_H
#define SENET_CLI_PROGRESS_H

#include <stdbool.h>

#include "base/status.h"

/* Whether standard error is a terminal that a bar can be drawn on. */
bool cli_progress_on_terminal(void);

/* Draws the bar, at most ten times a second: `fraction` of 0..1 is done, the text stands beside it. */
void cli_progress_draw(double fraction, const char *format, ...) SN_PRINTF(2, 3);
/* Removes the bar; what is printed next stands in its place. */
void cli_progress_clear(void);

#endif
