/* runs.h - tiny trainings in processes of their own, to be killed, starved and resumed. */
#ifndef SN_TESTS_FAULTS_RUNS_H
#define SN_TESTS_FAULTS_RUNS_H

#include <sys/types.h>

#include "train/train.h"

/* Makes and removes the folder all runs of a test live in. */
int make_scratch(void **state);
int remove_scratch(void **state);
/* "<scratch>/<run>/<file>"; file may be "". A few buffers in turn. */
const char *run_path(const char *run, const char *file);

/* 40 pictures in batches of 8, three epochs, on one thread; a checkpoint after every step. */
sn_train_config tiny_run(const char *run);
/* The same, going on if the folder holds a checkpoint. */
sn_train_config tiny_run_again(const char *run);

/* Trains in a child process; its exit status is the senet_status, its message goes to "<scratch>/message". */
pid_t start_training(const sn_train_config *config, const sn_train_hooks *hooks);
/* Waits for the child to exit by itself; returns the senet_status. */
senet_status finish_training(pid_t child);
/* The message of the last child that failed. */
const char *child_message(void);

/* Every safetensors file of the run can be read in whole, and every line of its log is complete but the last. */
void assert_files_whole(const char *run);
/* Checkpoint and weights are the same bytes. */
void assert_same_run(const char *a, const char *b);

#endif
