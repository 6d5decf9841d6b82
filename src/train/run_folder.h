/* run_folder.h - the files a run keeps in its folder. */
#ifndef SN_TRAIN_RUN_FOLDER_H
#define SN_TRAIN_RUN_FOLDER_H

#include "train/checkpoint.h"

typedef struct sn_run_folder {
    char *path;                    /* the folder */
    char *checkpoint, *last, *best, *ema; /* state and weights: full paths */
} sn_run_folder;

/* Makes the folder of a new run.  SENET_USAGE when it holds a run already: nothing is ever overwritten by another run.  With
 * `resume`, the folder of the run to go on with, which may be the same; where it is not, what that run has written so far is
 * copied. */
senet_status sn_run_folder_open(const char *path, const char *resume, sn_run_folder *folder);
void sn_run_folder_free(sn_run_folder *folder);

/* What a weights file of the run says about itself. */
typedef struct sn_run_weights {
    const sn_graph *layout;
    const sn_params *params;
    const sn_train_config *config;
    const sn_dataset *dataset;    /* of training: name, labels, size */
    sn_preprocess preprocess;
    int64_t classes, epoch;       /* epochs done */
    double top1_error;            /* NaN: not evaluated */
} sn_run_weights;
senet_status sn_run_weights_save(const char *path, const sn_run_weights *weights);

#endif
