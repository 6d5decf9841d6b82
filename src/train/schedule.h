/* schedule.h - the learning rate of a step. */
#ifndef SN_TRAIN_SCHEDULE_H
#define SN_TRAIN_SCHEDULE_H

#include "base/text.h"
#include "train/train.h"

/* What the plateau schedule remembers; part of a checkpoint. */
typedef struct sn_plateau {
    double best;       /* best validation loss; infinite before the first */
    int64_t waited;    /* epochs since it, or since the last reduction */
    int64_t reduced;   /* how often the rate was lowered */
} sn_plateau;

void sn_plateau_reset(sn_plateau *plateau);
/* Takes in the validation loss of an epoch. true: the rate goes down from here. */
bool sn_plateau_observe(sn_plateau *plateau, const sn_train_config *config, double validation_loss);

/* Learning rate of step `step` (0: the first) when an epoch has steps_per_epoch steps. */
double sn_schedule_lr(const sn_train_config *config, const sn_plateau *plateau, int64_t step, int64_t steps_per_epoch);

/* Stretches milestones, step length and warm-up from config->schedule_epochs to config->epochs; where that moves a drop of
 * the learning rate, `said` gets one line about it. */
void sn_schedule_stretch(sn_train_config *config, sn_text *said);

#endif
