/* log.h - what a run tells about itself: log.jsonl, summary.csv, TensorBoard events. */
#ifndef SN_TRAIN_LOG_H
#define SN_TRAIN_LOG_H

#include "base/status.h"
#include "train/train.h"

typedef struct sn_log sn_log;

/* Values of one step, one line of log.jsonl. Epochs count from 1. */
typedef struct sn_step_record {
    int64_t step, epoch;
    double lr, loss, images_per_second;
    double data_wait_percent; /* of the time since the last such line, waiting for the loader */
} sn_step_record;

/* Values of one epoch: a line in log.jsonl and a row in summary.csv. */
typedef struct sn_epoch_record {
    int64_t epoch, step;
    double lr, train_loss, train_top1_error;
    sn_validation val, ema; /* of the weights and of their moving average; what was not evaluated is left out */
    double seconds;
} sn_epoch_record;

/* A picture that could not be read: one line of log.jsonl. */
typedef struct sn_skip_record {
    const char *path, *reason;
    int64_t epoch, step; /* the step that it was meant for; in an evaluation the last one done */
} sn_skip_record;

/* Opens the logs of the folder for a run that has done `step` steps and `epochs` whole epochs: what the files say about later
 * ones, by a run that was killed, is cut off.  `ema`: summary.csv has columns for the moving average's errors.  A folder has one writer: SENET_USAGE while another process logs there. */
senet_status sn_log_open(const char *folder, int64_t step, int64_t epochs, bool ema, sn_log **log);
/* Each line is in its file when the call returns. */
senet_status sn_log_step(sn_log *log, const sn_step_record *record);
senet_status sn_log_epoch(sn_log *log, const sn_epoch_record *record);
senet_status sn_log_skip(sn_log *log, const sn_skip_record *record);
/* Makes everything logged so far durable. */
senet_status sn_log_sync(sn_log *log);
void sn_log_close(sn_log *log);

#endif
