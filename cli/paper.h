/* paper.h - what `senet paper` can show: a topic is a name, a line about it, and a function. */
#ifndef SENET_CLI_PAPER_H
#define SENET_CLI_PAPER_H

#include "options.h"

typedef struct cli_paper_topic {
    const char *name, *summary;
    senet_status (*show)(const cli_arguments *arguments);
} cli_paper_topic;

/* Tables 1, 2, 3, 10, 13, 15, 16, section 4, equation 5 (paper_complexity.c). */
senet_status cli_paper_complexity(const cli_arguments *arguments);

#endif
