/* golden.h - the vectors of the double-precision reference: reading them, and the weights and pictures they were made
 * from.
 *
 * The format and the fill rule are GOLDEN.md's of the shared specification.  Every reader fails the running test with
 * file and line on a record it does not know. */
#ifndef SENET_TESTS_GOLDEN_H
#define SENET_TESTS_GOLDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exec/exec.h"

enum { GOLDEN_NAME_BYTES = 96, GOLDEN_FIRST = 4 };

typedef struct golden_param {
    char name[GOLDEN_NAME_BYTES];
    int rank;
    int64_t dims[4];
} golden_param;

/* A unit's output over the whole batch. */
typedef struct golden_stat {
    char name[GOLDEN_NAME_BYTES];
    double mean, rms;
    int64_t elements;
} golden_stat;

/* A tensor in brief: L2 norm, sum, its first values in file order. */
typedef struct golden_summary {
    char name[GOLDEN_NAME_BYTES];
    double l2, sum, first[GOLDEN_FIRST];
    int first_count;
} golden_summary;

typedef struct golden_step {
    double loss, deviation; /* before the update; relative deviation of a float32 run */
} golden_step;

typedef struct golden_list {
    void *items;
    size_t count, capacity;
} golden_list;

typedef struct golden_file {
    char path[512], net[128];
    uint64_t seed;
    int64_t n, h, w, classes;
    int64_t tensors, elements;
    uint64_t hash;
    double inscale, coarse;    /* 1 and 0 where the file has no such record */
    golden_list params, stats; /* golden_param, golden_stat */
    double f32dev;
    golden_list logits; /* double, n rows of classes */
    double lr, momentum, weight_decay, loss, loss_smooth, gradnorm, gradnorm_smooth, graddev_max, graddev_median;
    golden_list grads, running, trajectory,
        final_weights; /* golden_summary, golden_summary, golden_step, golden_summary */
} golden_file;

/* The folder of golden files, or NULL where the shared data is absent. */
const char *golden_folder(void);
/* Paths of the files of the networks, sorted; with train, those of whole training steps.  Free with golden_free_paths.
 */
size_t golden_list_files(bool train, char ***paths);
void golden_free_paths(char **paths, size_t count);

void golden_read(const char *path, golden_file *file);
void golden_free(golden_file *file);
/* A network for 32x32 pictures, or one for larger ones? */
static inline bool golden_is_cifar(const golden_file *file)
{
    return file->h == 32;
}

/* u(name, i) in [0, 1). */
double golden_uniform(const char *name, uint64_t seed, uint64_t i);
/* Every parameter by the fill rule of its kind. */
void golden_fill(const sn_graph *graph, sn_params *params, uint64_t seed);
/* The pictures, N H W C, in the working type; free(). */
void *golden_pictures(const golden_file *file, sn_precision precision);
/* Label i is i mod 10; free(). */
int32_t *golden_labels(const golden_file *file);
/* alpha and beta of every Shake unit for every picture (N, 2 units); NULL where there are none; free(). */
void *golden_shake(const sn_graph *graph, const golden_file *file, sn_precision precision);

/* Element i of a run's tensor. */
double golden_element(const void *data, sn_precision precision, int64_t i);

/* |actual - expected| <= tolerance, or the test fails naming file and thing. */
void golden_expect(const golden_file *file, const char *what, double actual, double expected, double tolerance);

#endif
