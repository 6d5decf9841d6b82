/* network.h - a model with programs for the batch sizes it meets: the full batch, and the smaller last one of an epoch. */
#ifndef SN_TRAIN_NETWORK_H
#define SN_TRAIN_NETWORK_H

#include "exec/training_graph.h"
#include "graph/quantization.h"
#include "train/train.h"

typedef struct sn_network_options {
    const sn_spec *spec;        /* borrowed, as everything here */
    sn_build_options build;     /* batch: the full one; mixed: batches have labels2 and mix.  With a training mode the programs compute gradients; in
                                   SN_MODE_EVAL batch norm is folded and there is no loss */
    bool statistics;            /* in SN_MODE_TRAIN: forward only, and a run leaves the batch's own statistics in params as
                                   the running ones; there is no loss */
    bool bgr;                   /* the weights expect blue, green, red; mean and std are in that order */
    int threads;
    senet_precision precision;  /* how activations are stored, and their gradients in training */
    const sn_quantization *quantization; /* ranges, required for SENET_INT8 */
    bool reference_only;
    sn_recompute recompute;     /* not SN_RECOMPUTE_NONE: the programs are lean, and training's compute again what they do not keep */
    sn_params *params;
    sn_params *gradients;       /* NULL where none are computed, or take_gradient takes them */
    sn_gradient_taker take_gradient; /* NULL: they stay in `gradients` */
    void *take_context;
    sn_workspace *workspace;    /* NULL: its own */
} sn_network_options;

typedef struct sn_network sn_network;

/* Makes the program of the full batch, so that a batch too large for the machine is refused at once. */
senet_status sn_network_create(const sn_network_options *options, sn_network **network);
void sn_network_destroy(sn_network *network);

/* The graph of the full batch, with gradients in a training mode. */
const sn_graph *sn_network_graph(const sn_network *network);

/* Runs a batch of any size up to the full one.  *logits (count x classes) is valid until the next run; *loss is set in a training
 * mode, and then the gradients are there.  Shake coefficients and dropout come from the batch's keys. */
senet_status sn_network_run(sn_network *network, const sn_batch *batch, const float **logits, double *loss);

/* The rank of `label` among the logits of one picture: 0 where it is the largest, so that top-k is right for rank < k.
 * Among equals the first counts as larger; comparisons with NaN go against the label. */
int64_t sn_logits_rank(const float *logits, int64_t classes, int32_t label);

#endif
