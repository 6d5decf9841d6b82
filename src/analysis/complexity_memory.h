/* complexity_memory.h - what a network needs in memory, planned without taking any of it. */
#ifndef SN_ANALYSIS_COMPLEXITY_MEMORY_H
#define SN_ANALYSIS_COMPLEXITY_MEMORY_H

#include "exec/training_graph.h"
#include "zoo/zoo.h"

/* Bytes of a program in fp32 with the kernels of this machine.  `arena` holds all tensors of a run, sharing places;
 * `packed` the weights as the kernels want them. */
typedef struct sn_program_needs {
    size_t arena, packed;
} sn_program_needs;

typedef struct sn_memory_needs {
    size_t weights;   /* parameters and running statistics */
    size_t momentum;  /* of a training */
    size_t gradients; /* likewise; none are kept where something is computed again */
    sn_program_needs inference, training;
} sn_memory_needs;

/* Plans inference (batch norm folded) and a training step of batches of height x width pictures.  threads 0: as many as
 * there would be by default; they change the scratch memory of some kernels. */
senet_status sn_memory_needs_plan(const sn_spec *spec, int64_t batch, int64_t height, int64_t width, int threads,
                                  sn_recompute recompute, sn_memory_needs *needs);

/* All that inference, or a training step with momentum, holds at once. */
size_t sn_memory_needs_inference(const sn_memory_needs *needs);
size_t sn_memory_needs_training(const sn_memory_needs *needs);

#endif
