/* data_report.h - `senet data verify` and `senet data stat`: what is in a data set, and what is wrong with it. */
#ifndef SENET_CLI_DATA_REPORT_H
#define SENET_CLI_DATA_REPORT_H

#include <stdbool.h>

typedef struct cli_data_report {
    const char *data; /* "folder:pictures" */
    bool full;        /* stat: classes, colours and sizes, rather than what is wrong */
    bool as_json;
    const char *list; /* a file for the paths of unreadable pictures and duplicates; NULL: none */
    int threads;      /* 0: every CPU */
} cli_data_report;

/* Reads every picture and prints the report; the exit code. */
int cli_report_data(const cli_data_report *how);

#endif
