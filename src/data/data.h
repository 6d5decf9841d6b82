/* data.h - data sets and the loader: from "cifar10:DIR" or "folder:DIR" to batches of uint8 NHWC pictures. */
#ifndef SN_DATA_DATA_H
#define SN_DATA_DATA_H

#include <stdbool.h>

#include "base/status.h"
#include "data/view.h"

typedef enum sn_split { SN_SPLIT_TRAIN, SN_SPLIT_VAL } sn_split;

/* A data set: random access to labelled pictures, all of one size, or photographs of any size. */
typedef struct sn_dataset sn_dataset;

typedef struct sn_dataset_info {
    const char *name; /* "cifar10" */
    int64_t count;
    int height, width; /* of the stored pictures; 0 for photographs */
    int64_t classes;
    const char *const *labels; /* class names, or NULL */
    float mean[3], std[3];     /* the set's own statistics, on values in 0..1 */
    bool real;                 /* tensors: float32, already normalised; images are not uint8 */
    bool photographs; /* JPEG and PNG files of any size, decoded when they are read; mean and std are ImageNet's */
} sn_dataset_info;

/* Opens "cifar10:DIR", "cifar100:DIR", "synthetic[:classes=..,train=..,val=..,seed=..,size=..]", "tensors:FILE",
 * "folder:DIR", "list:FILE", "tar:GLOB".  DIR of CIFAR is the folder of the .bin files or its parent; a set in
 * CIFAR-10's format that brings a senet-stats.txt (sn_data_synth writes one) has its own classes and statistics.  Both
 * splits of "tensors:" are the whole file.  Every file of these is checked (size, labels) before use; photographs are
 * indexed, and looked into when they are read.  docs/data.md describes the layouts. */
senet_status sn_dataset_open(const char *spec, sn_split split, sn_dataset **dataset);
void sn_dataset_close(sn_dataset *dataset);
const sn_dataset_info *sn_dataset_describe(const sn_dataset *dataset);
/* The picture (height x width x 3 RGB bytes) and label of sample `index`, for sets of one size. Thread-safe. */
senet_status sn_dataset_get(const sn_dataset *dataset, int64_t index, uint8_t *pixels, int32_t *label);
/* The picture of sample `index` in its own size, for every kind but real tensors; sn_image_free.  exif: upright, as its
 * EXIF orientation says.  Errors name the file.  label may be NULL.  Thread-safe. */
senet_status sn_dataset_picture(const sn_dataset *dataset, int64_t index, bool exif, sn_image *image, int32_t *label);
/* The label of sample `index` (in range), without reading its picture. */
int32_t sn_dataset_label(const sn_dataset *dataset, int64_t index);
/* The file of photograph `index`, or "SHARD.tar/MEMBER"; NULL for the other kinds. */
const char *sn_dataset_path(const sn_dataset *dataset, int64_t index);
/* The file of photograph `index` as it is; free(*bytes). Thread-safe. */
senet_status sn_dataset_bytes(const sn_dataset *dataset, int64_t index, char **bytes, size_t *size);

/* Three changes to a set just opened, before a loader sees it.
 *
 * Labels become the classes of a network with `classes` outputs.  map_labels takes them from a text file
 * (docs/data.md): "index TAB name [TAB words]", or "name index", or one index a line (line i: the class of label i).
 * map_names finds every class name of the data among the network's `labels`: equal, or the label's first word
 * ("n01440764 tench"). SENET_BAD_DATA names the class or line that does not fit; the set is then unchanged. */
senet_status sn_dataset_map_labels(sn_dataset *dataset, const char *file, int64_t classes);
senet_status sn_dataset_map_names(sn_dataset *dataset, const char *const *labels, int64_t classes);
/* Leaves out the pictures whose paths (as sn_dataset_path, or relative to the set's folder) stand in the file, one a
 * line; *excluded counts them. */
senet_status sn_dataset_exclude(sn_dataset *dataset, const char *file, int64_t *excluded);

/* What random erasing puts into its rectangle. */
typedef enum sn_erase_fill {
    SN_ERASE_MEAN,  /* zero after normalisation */
    SN_ERASE_BLACK, /* zero bytes */
    SN_ERASE_NOISE  /* every byte uniform in 0..255: the best of the paper's */
} sn_erase_fill;

/* What happens to a training picture, in this order; all zero: nothing. Statistics of RECIPES: zero padding means zero
 * after normalisation. */
typedef struct sn_augment {
    double area_min,
        area_max;  /* random-resized crop (RECIPES 1.1): its share of the picture, uniform; area_max 0: off */
    double aspect; /* its width / height, uniform in 1/aspect .. aspect */
    int square;    /* above 0: the crop is drawn in the picture made square, of this side (Places365), whatever the aspect */
    int pad;       /* zero-pad by this many pixels on every side, then crop the original size at random */
    bool flip;     /* horizontal, p = 0.5 */
    struct {
        int ops;          /* so many operations (randaugment.h); 0: off */
        double magnitude; /* of each: 0..10 */
    } randaugment;
    double rotate; /* about the centre, uniform in -rotate .. rotate degrees; uncovered corners get the mean colour */
    int jitter;    /* added to every byte on its own: uniform in -jitter .. jitter, rounded; the sum stays in 0..255 */
    int cutout;    /* side of the square set to 0 after normalisation; 0: off */
    double erase;  /* probability of random erasing (Zhong et al. 2020), which takes cutout's place; 0: off */
    sn_erase_fill erase_fill;
    double mixup, cutmix; /* alpha of the batch's mixing (mix.h); 0: off; both: each for half of the batches */
} sn_augment;

/* What becomes of a picture that cannot be read. */
typedef enum sn_bad_picture {
    SN_BAD_PICTURE_FAIL, /* sn_loader_next fails, naming it */
    SN_BAD_PICTURE_SKIP  /* the next good one of the same order stands in; batch->indices tells which */
} sn_bad_picture;

typedef struct sn_loader_options {
    int64_t batch;
    int workers; /* decode threads; 0: pictures are prepared by the caller's thread */
    bool shuffle, drop_last;
    bool class_aware;     /* every class equally often (RECIPES 1); an epoch is still `count` samples */
    uint64_t seed;        /* order and augmentation depend on (seed, epoch, sample index) alone */
    sn_augment augment;   /* all zero for evaluation */
    int64_t epoch, start; /* begin at this epoch, at this batch of it */

    /* Required for photographs, possible for every set but real tensors: batches hold pictures of prepare's size.
     * Copied. */
    const sn_preprocess *prepare;
    const sn_view *views; /* of an evaluation, copied; none: the one of sn_view_of(prepare) */
    int views_count;      /* with more than one view nothing may be augmented */
    bool exif;            /* photographs are turned upright as their EXIF orientation says */
    bool fast_decode;     /* JPEGs may be decoded at a reduced size, never below what the resizing needs */
    sn_bad_picture on_bad;
    /* Called from sn_loader_next, once for every picture that was skipped: its path and what is wrong. May be NULL. */
    void (*report_bad)(void *context, const char *path, const char *message);
    void *context;
} sn_loader_options;

/* A batch; its memory belongs to the loader and is valid until the next sn_loader_next. */
typedef struct sn_batch {
    int64_t count;          /* samples in it; the last of an epoch may be smaller */
    int64_t views;          /* pictures of a sample, adjacent; 1 but for evaluations of several views */
    int64_t epoch, number;  /* epoch, and which batch of it */
    const uint8_t *images;  /* count x views x H x W x 3, aligned; NULL for a set of real tensors */
    const float *real;      /* count x H x W x 3, NHWC; only for a set of real tensors */
    const int32_t *rects;   /* count x views x 8: see the op `normalize` */
    const int32_t *labels;  /* count */
    const int32_t *labels2; /* count: of the pictures that were mixed into these; NULL without mixup and CutMix */
    const float *mix;       /* count: the share of `labels`, the rest is that of labels2; NULL likewise */
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
/* Different pictures that were skipped since creation. */
int64_t sn_loader_skipped(const sn_loader *loader);

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
