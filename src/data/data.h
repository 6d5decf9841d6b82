/* data.h - data sets and the loader: from "cifar10:DIR" to batches of uint8 NHWC pictures. */
#ifndef SN_DATA_DATA_H
#define SN_DATA_DATA_H

#include <stdbool.h>

#include "base/status.h"

typedef enum sn_split { SN_SPLIT_TRAIN, SN_SPLIT_VAL } sn_split;

/* A data set: random access to labelled pictures of one size. */
typedef struct sn_dataset sn_dataset;

typedef struct sn_dataset_info {
    const char *name; /* "cifar10" */
    int64_t count;
    int height, width; /* of the stored pictures */
    int64_t classes;
    const char *const *labels; /* class names, or NULL */
    float mean[3], std[3];     /* the set's own statistics, on values in 0..1 */
    bool real;                 /* tensors: float32, already normalised; images are not uint8 */
} sn_dataset_info;

/* Opens "cifar10:DIR", "cifar100:DIR", "synthetic[:classes=..,train=..,val=..,seed=..,size=..]", "tensors:FILE".  DIR
 * is the folder of the .bin files or its parent; a set in CIFAR-10's format that brings a senet-stats.txt
 * (sn_data_synth writes one) has its own classes and statistics.  Both splits of "tensors:" are the whole file.  Every
 * file is checked (size, labels) before use. */
senet_status sn_dataset_open(const char *spec, sn_split split, sn_dataset **dataset);
void sn_dataset_close(sn_dataset *dataset);
const sn_dataset_info *sn_dataset_describe(const sn_dataset *dataset);
/* The picture (height x width x 3 RGB bytes) and label of sample `index`. Thread-safe. */
senet_status sn_dataset_get(const sn_dataset *dataset, int64_t index, uint8_t *pixels, int32_t *label);

/* What happens to a training picture; all zero: nothing. Statistics of RECIPES: zero padding means zero after
 * normalisation. */
typedef struct sn_augment {
    int pad;    /* zero-pad by this many pixels on every side, then crop the original size at random */
    bool flip;  /* horizontal, p = 0.5 */
    int cutout; /* side of the square set to 0 after normalisation; 0: off */
} sn_augment;

typedef struct sn_loader_options {
    int64_t batch;
    int workers; /* decode threads; 0: pictures are prepared by the caller's thread */
    bool shuffle, drop_last;
    uint64_t seed;        /* order and augmentation depend on (seed, epoch, sample index) alone */
    sn_augment augment;   /* all zero for evaluation */
    int64_t epoch, start; /* begin at this epoch, at this batch of it */
} sn_loader_options;

/* A batch; its memory belongs to the loader and is valid until the next sn_loader_next. */
typedef struct sn_batch {
    int64_t count;          /* pictures in it; the last of an epoch may be smaller */
    int64_t epoch, number;  /* epoch, and which batch of it */
    const uint8_t *images;  /* count x H x W x 3, aligned; NULL for a set of real tensors */
    const float *real;      /* count x H x W x 3, NHWC; only for a set of real tensors */
    const int32_t *rects;   /* count x 8: see the op `normalize` */
    const int32_t *labels;  /* count */
    const int64_t *indices; /* count: sample numbers in the data set */
    const uint64_t *keys;   /* count: random keys of the samples in this epoch (dropout, shake) */
} sn_batch;

typedef struct sn_loader sn_loader;
senet_status sn_loader_create(const sn_dataset *dataset, const sn_loader_options *options, sn_loader **loader);
void sn_loader_destroy(sn_loader *loader);
int64_t sn_loader_batches_per_epoch(const sn_loader *loader);
/* The next batch of the epoch; *batch = NULL at its end (the loader then goes on with the next epoch). */
senet_status sn_loader_next(sn_loader *loader, const sn_batch **batch);
/* Seconds the caller has waited in sn_loader_next since creation. */
double sn_loader_waited(const sn_loader *loader);

/* `senet data`: */
typedef void (*sn_progress)(void *context, double done, double total, const char *what);
/* Writes a data set of the synthetic kind in CIFAR's binary format (six files, class names, statistics) into DIR;
 * `spec` is "synthetic[:options]", or the options alone. progress may be NULL. */
senet_status sn_data_synth(const char *spec, const char *directory, sn_progress progress, void *context);
/* Downloads "cifar10" or "cifar100" from the authors' site (or the mirror whose URL is in the environment variable
 * SENET_DATA_URL) into DIR, going on with a broken download, checks its MD5 and unpacks it. A set that is there is left
 * alone. */
senet_status sn_data_get(const char *name, const char *directory, sn_progress progress, void *context);

#endif
