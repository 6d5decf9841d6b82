/* bench_data.h - `senet bench --data`: how fast pictures become training batches. */
#ifndef SENET_CLI_BENCH_DATA_H
#define SENET_CLI_BENCH_DATA_H

#include "options.h"

/* Runs the loader alone, with the options of `bench`, and prints pictures a second. */
senet_status bench_data_run(const cli_arguments *arguments);

#endif
