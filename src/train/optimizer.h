/* optimizer.h - stochastic gradient descent over the flat block of parameters. */
#ifndef SN_TRAIN_OPTIMIZER_H
#define SN_TRAIN_OPTIMIZER_H

#include "train/train.h"

/* Which stretch of the flat block gets which weight decay. */
typedef struct sn_decay_span {
    size_t begin, end; /* elements of the flat block */
    double decay;
} sn_decay_span;

/* The plan of an update: the learnable elements in ascending spans. Elements outside every span are left alone. */
typedef struct sn_update_plan {
    sn_decay_span *spans;
    size_t count;
} sn_update_plan;

/* Spans for the parameters that have a gradient in `graph`, each with the decay its kind gets by the config. */
senet_status sn_update_plan_create(const sn_graph *graph, const sn_params *params, const sn_train_config *config,
                                   sn_update_plan *plan);
void sn_update_plan_free(sn_update_plan *plan);

/* One step w, v <- update(w, v, g) at learning rate lr; `velocity` and `gradients` have the layout of params. */
void sn_sgd_step(const sn_update_plan *plan, const sn_train_config *config, double lr, int threads, sn_params *params,
                 sn_params *velocity, const sn_params *gradients);
/* The same of parameter `index` alone, whose gradient lies elsewhere: all parameters one by one get the bits of a step. */
void sn_sgd_step_param(const sn_update_plan *plan, const sn_train_config *config, double lr, int threads, sn_params *params,
                       sn_params *velocity, int index, const void *gradient);

#endif
