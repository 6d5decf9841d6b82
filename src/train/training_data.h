/* training_data.h - the pictures of a training: opening them, the size they get, the loader, what becomes of bad ones.
 */
#ifndef SN_TRAIN_TRAINING_DATA_H
#define SN_TRAIN_TRAINING_DATA_H

#include "train/training.h"

/* Opens both splits and tells them from other data sets. */
senet_status sn_training_open_data(sn_training *training);
/* Decides how pictures become the network's input; the model is known. */
senet_status sn_training_choose_input(sn_training *training);
/* Where a loader begins, and what its batches are. */
typedef struct sn_loader_place {
    int64_t batch, epoch, start; /* start: batches of the epoch that are behind it */
    bool drop_last;
} sn_loader_place;

/* A loader of the training pictures, augmented as the settings say. */
senet_status sn_training_open_loader(sn_training *training, sn_loader_place place, sn_loader **loader);
/* Starts the training's own where the state stands, and counts the steps of an epoch. */
senet_status sn_training_start_loader(sn_training *training);
/* sn_loader_options.report_bad; the context is the training, whose folder is there. */
void sn_training_report_bad(void *training, const char *path, const char *message);

#endif
