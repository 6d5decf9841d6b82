/* training_graph.h - from a network with a loss to the graph of a training step. */
#ifndef SN_EXEC_TRAINING_GRAPH_H
#define SN_EXEC_TRAINING_GRAPH_H

#include "exec/exec.h"

/* What a training step computes twice to hold less memory: nothing; what costs a pass over memory (batch norm,
 * activations, gates); convolutions too.  From SN_RECOMPUTE_CHEAP on programs are made `lean`, and gradients are to be
 * taken (exec.h). */
typedef enum sn_recompute { SN_RECOMPUTE_NONE, SN_RECOMPUTE_CHEAP, SN_RECOMPUTE_FULL } sn_recompute;
#define SN_RECOMPUTE_WORDS "none|cheap|full"

typedef struct sn_training_graph_options {
    senet_precision precision; /* of activations and their gradients */
    sn_recompute recompute;    /* the results have the same bits with each */
    int threads;               /* of the program: the memory of its kernels counts */
    bool reference_only;
} sn_training_graph_options;

/* *graph, a network with the output "loss", becomes that of a training step: with gradients, joined where that runs
 * faster, its activations lowered to the precision.  What is computed again is chosen by planning: of several ways to
 * cut the network into segments the one whose tensors take least. */
senet_status sn_training_graph_make(const sn_training_graph_options *options, sn_graph **graph);

#endif
