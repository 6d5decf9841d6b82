/* training.h - everything a training has in hand; made by training.c, driven by trainer.c. */
#ifndef SN_TRAIN_TRAINING_H
#define SN_TRAIN_TRAINING_H

#include "train/checkpoint.h"
#include "train/log.h"
#include "train/network.h"
#include "train/optimizer.h"
#include "train/run_folder.h"

typedef struct sn_training {
    sn_train_config config; /* complete: thread count, canonical model name, stretched schedule */
    sn_train_hooks hooks;   /* all zero where the caller gave none */
    sn_arena strings;
    sn_spec spec;
    sn_dataset *train_set, *val_set; /* val_set NULL: no evaluation */
    sn_preprocess preprocess;
    sn_view view;            /* of photographs in validation, and in training where no crop is drawn */
    const char *fingerprint; /* of the training data */

    sn_graph *layout; /* the parameters */
    sn_params *params, *velocity;
    sn_params *gradients;    /* NULL where sn_step_take_gradient takes them (config.recompute) */
    sn_params *gradient_sum; /* over the pieces of a step; NULL where a step is one piece */
    sn_params *ema;          /* exponential moving average of params; NULL: none is kept */
    sn_workspace *workspace;
    sn_network *network, *eval_network; /* eval_network NULL: no evaluation */
    sn_network *ema_network;            /* evaluates ema */
    int64_t eval_batch;                 /* their batch */
    bool frozen;                        /* network has its batch norm frozen */
    sn_update_plan plan;
    double lr;                          /* of the step that is under way */
    double share;                       /* of its piece that is under way: of the step's images */
    bool first_piece;

    sn_run_folder folder;
    sn_loader *loader;
    sn_log *log;
    sn_train_state state;
    int64_t steps_per_epoch;
    int64_t skipped;    /* bad pictures, in this process */
    int64_t saved_step; /* of the checkpoint on disk; -1: there is none */
} sn_training;

/* Opens and builds everything; a new run has its first checkpoint on disk, a resumed one its state. */
senet_status sn_training_create(const sn_train_config *config, const sn_train_hooks *hooks, sn_training **training);
void sn_training_destroy(sn_training *training);

/* What every network of the training is made with. */
sn_network_options sn_training_network_options(const sn_training *training, const sn_dataset *dataset, sn_mode mode,
                                               int64_t batch);
/* Makes the network of an epoch, which differs where batch norm begins to be frozen. */
senet_status sn_training_prepare_epoch(sn_training *training);
/* The state onto the disk. */
senet_status sn_training_save_checkpoint(sn_training *training);
/* The weights onto the disk: last or best of the folder. */
senet_status sn_training_save_weights(const sn_training *training, const char *path);
/* The weights' moving average onto the disk, where one is kept. */
senet_status sn_training_save_ema(const sn_training *training);
/* A line for the user. */
void sn_training_say(const sn_training *training, const char *format, ...) SN_PRINTF(2, 3);

#endif
