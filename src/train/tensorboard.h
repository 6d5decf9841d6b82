/* tensorboard.h - event files that TensorBoard shows. */
#ifndef SN_TRAIN_TENSORBOARD_H
#define SN_TRAIN_TENSORBOARD_H

#include <stdint.h>

#include "base/status.h"

typedef struct sn_events sn_events;

typedef struct sn_scalar {
    const char *tag; /* "train/loss" */
    double value;
} sn_scalar;

/* Starts a new event file in the folder.  What earlier files say about steps after `step` is overridden, so that a resumed
 * run draws one line. */
senet_status sn_events_open(const char *folder, int64_t step, sn_events **events);
/* Adds one point to each curve; in the file when the call returns. */
senet_status sn_events_add(sn_events *events, int64_t step, const sn_scalar *scalars, size_t count);
void sn_events_close(sn_events *events);

/* CRC-32C (Castagnoli), as the records of an event file use it. */
uint32_t sn_crc32c(const void *bytes, size_t size);

#endif
