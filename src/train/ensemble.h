/* ensemble.h - evaluation by any number of networks, crop sizes and views: the mean of their softmax outputs.
 *
 * Each stream reads the data set with a loader of its own, all of them in lockstep: the same pictures at the same time.
 * Memory does not grow with the data set: a picture's scores are counted, handed to the caller and forgotten. */
#ifndef SN_TRAIN_ENSEMBLE_H
#define SN_TRAIN_ENSEMBLE_H

#include "data/view.h"
#include "train/train.h"

/* A network built for one crop size, and the views of a picture that it sees.  Borrowed. */
typedef struct sn_eval_stream {
    const sn_spec *spec;
    sn_params *params;
    senet_precision precision;
    const sn_quantization *quantization; /* for SENET_INT8 */
    sn_preprocess preprocess; /* height x width: of the crop */
    const sn_view *views;     /* NULL: the pictures of the data set have one size, and are taken as they are */
    size_t views_count;
} sn_eval_stream;

/* What came of one picture; valid during the call. */
typedef struct sn_eval_picture {
    int64_t index; /* in the data set */
    int64_t label;
    int64_t rank;         /* of the label among the answers, from 0 */
    const double *scores; /* by class: natural logarithms of probabilities */
    int64_t classes;
} sn_eval_picture;

typedef struct sn_ensemble_options {
    int64_t batch; /* inputs that a network computes at once, at most */
    int threads, workers;
    bool exif; /* turn photographs as their EXIF orientation says */
    bool reference_only;
    senet_status (*picture)(void *context,
                            const sn_eval_picture *picture);      /* may be NULL; a failure ends the evaluation */
    void (*progress)(void *context, int64_t done, int64_t total); /* may be NULL */
    void *context;
} sn_ensemble_options;

/* Runs the whole data set through every stream.  SENET_USAGE, naming both, when the networks differ in the number of
 * classes, or the data set has more than they. */
senet_status sn_evaluate_ensemble(const sn_eval_stream *streams, size_t count, const sn_dataset *dataset,
                                  const sn_ensemble_options *options, sn_eval_result *result);

#endif
