/* bench_job.h - a network made ready to be timed: its program, inputs of random numbers, a step of training or
 * inference. */
#ifndef SENET_CLI_BENCH_JOB_H
#define SENET_CLI_BENCH_JOB_H

#include "api/model.h"
#include "train/optimizer.h"

typedef struct bench_work {
    bool training; /* a whole step: forward, backward, update by SGD with momentum; else inference */
    sn_recompute recompute;
    int64_t height, width, batch; /* sides 0: the network's own */
} bench_work;

typedef struct bench_job {
    senet_model *model; /* borrowed */
    bench_work work;
    sn_graph *graph;
    sn_program *program;
    sn_params *gradients, *velocity; /* training only, as is what follows; gradients NULL where they are taken one by one */
    sn_update_plan update;
    sn_train_config config;
    void **buffers; /* of the graph's inputs */
    size_t buffers_count;
} bench_job;

/* `job` stays where it is until it is freed. */
senet_status bench_job_create(senet_model *model, const bench_work *work, bench_job *job);
/* Runs it once. */
senet_status bench_job_step(bench_job *job);
void bench_job_free(bench_job *job);

/* Multiply-adds of a node, those of the convolutions' gradients included. */
int64_t bench_node_macs(const sn_graph *graph, const sn_node *node);
int64_t bench_job_macs(const bench_job *job);

#endif
