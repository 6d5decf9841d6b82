/* statistics.h - exact averages of batch norm's statistics over many training images, after the training.
 *
 * The running statistics of a training are a moving average over its last steps, each taken from other weights.  The authors
 * of ResNet replaced them by averages "on a sufficiently large training batch after the training procedure"
 * (KaimingHe/deep-residual-networks): every batch with the final weights, all weighing alike. */
#ifndef SN_TRAIN_STATISTICS_H
#define SN_TRAIN_STATISTICS_H

#include "train/training.h"

/* Sets the running statistics of the training's parameters, and of their moving average, to the mean over batches of
 * config.bn_recompute training images (at least one batch), augmented and cut into pieces as in training, in the order of
 * the epoch after the last.  Asked to stop it gives up with SENET_STOPPED; after a failure the statistics are as before. */
senet_status sn_training_recompute_statistics(sn_training *training);

#endif
