/* log.h - what a person who looks for a cause may ask the library to tell: lines on a topic, to a sink that the program gives.
 * Without a sink, or for a topic nobody asked for, nothing is formatted.  Topics: "dispatch" (which kernel runs a node, why not
 * a better one, how a batch is cut), "tuning" (what kernels that were measured took). */
#ifndef SN_BASE_LOG_H
#define SN_BASE_LOG_H

#include <stdbool.h>

#include "base/status.h"

/* topics: names separated by commas, NULL: none; sink: gets each line, without newline, possibly from several threads.  Call
 * it before anything else of the library; both must stay valid. */
void sn_log_begin(const char *topics, void (*sink)(const char *line));
bool sn_log_wants(const char *topic);
void sn_log(const char *topic, const char *format, ...) SN_PRINTF(2, 3);

#endif
