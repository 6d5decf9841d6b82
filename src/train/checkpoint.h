/* checkpoint.h - the full state of a run in a safetensors file: going on from it gives the bits of a run never stopped.
 *
 * Tensors: the parameters under their names, so that the file can serve as a weights file too, "momentum.<name>" for the
 * learnable ones, and "ema.<name>" where a moving average is kept.  Metadata: "config.<setting>", "state.<value>", "dataset".  Nothing in it depends on the machine, the
 * time or the number of threads. */
#ifndef SN_TRAIN_CHECKPOINT_H
#define SN_TRAIN_CHECKPOINT_H

#include "base/text.h"
#include "train/schedule.h"

/* Where a run stands. */
typedef struct sn_train_state {
    int64_t step;           /* steps done */
    int64_t epoch, batch;   /* whole epochs done, and batches of the next one */
    double loss_sum;        /* over the images of the epoch so far */
    int64_t images, errors; /* of the epoch so far: seen, not top-1 */
    sn_plateau plateau;
    sn_validation val, ema; /* of the last evaluation: of the weights, and of their moving average */
    double best_top1_error; /* NaN before the first evaluation */
    int64_t best_epoch;     /* from 1 */
} sn_train_state;

void sn_train_state_reset(sn_train_state *state);

/* What a checkpoint holds, in use by a run. */
typedef struct sn_checkpoint {
    const sn_graph *layout; /* says which parameters there are */
    sn_params *params, *velocity;
    sn_params *ema; /* NULL: none is kept */
    sn_train_config *config;
    const char *dataset; /* fingerprint of the training data */
    sn_train_state *state;
} sn_checkpoint;

senet_status sn_checkpoint_write(const char *path, const sn_checkpoint *checkpoint);
/* Fills params, velocity, ema and state.  SENET_USAGE when the run was made with another value of a setting that cannot change;
 * `changes` gets a line about each setting that does. */
senet_status sn_checkpoint_read(const char *path, const sn_checkpoint *checkpoint, sn_text *changes);

#endif
