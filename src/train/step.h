/* step.h - one step of the optimiser: its pictures through the network, the gradient, the update. */
#ifndef SN_TRAIN_STEP_H
#define SN_TRAIN_STEP_H

#include "train/training.h"

/* What the pictures of a step came to. */
typedef struct sn_step {
    int64_t images, errors; /* not top-1 */
    double loss;            /* mean over the images */
} sn_step;

/* Images that the network computes at once: the batch, or the pieces it is cut into. */
int64_t sn_step_piece(const sn_train_config *config);
/* Steps of an epoch over `count` images; the smaller last one counts unless it is dropped. */
int64_t sn_steps_per_epoch(const sn_train_config *config, int64_t count);

/* Takes the images of the next step from the loader and leaves the gradient of their mean loss; a step of several pieces sums
 * theirs, each by its share of the images, in their order.  Batch norm sees a piece at a time.  Where gradients are taken one by
 * one and there is one piece, the parameters have moved by it, at learning rate lr, and no gradient is left. */
senet_status sn_step_gradients(sn_training *training, double lr, sn_step *step);
/* Moves the parameters by that gradient, if they have not moved yet, and their moving average towards them. */
void sn_step_update(sn_training *training);

/* Of the program of a training (context) that keeps no gradients: moves the parameter, or adds to the sum over the pieces. */
void sn_step_take_gradient(void *training, int index, const void *gradient);

/* The moving average, where one is kept, begins with the parameters as they are. */
void sn_step_start_average(sn_training *training);

/* Goes past what is left of the loader's epoch. */
senet_status sn_step_end_epoch(sn_training *training);

#endif
