/* calibrate.h - from a trained network and some pictures to what int8 needs: ranges of tensors, and layers that had better stay in
 * floating point.  docs/quantization.md describes the method. */
#ifndef SN_TRAIN_CALIBRATE_H
#define SN_TRAIN_CALIBRATE_H

#include "data/data.h"
#include "graph/quantization.h"
#include "train/train.h"

enum { SN_CALIBRATION_STEP = 8 }; /* pictures that are run at once */

/* Pictures as the network wants them. */
typedef struct sn_calibration_input {
    const float *pictures; /* count x height x width x 3, normalised; there is room for a whole number of steps */
    int64_t count, height, width;
} sn_calibration_input;

typedef struct sn_calibration_options {
    int threads;
    double noise;            /* share of the logits' variance that all layers in int8 may add: the worst are kept until it is less */
    const char *const *keep; /* layers that are kept in any case */
    size_t keep_count;
    void (*progress)(void *context, const char *what, int64_t done, int64_t total); /* may be NULL */
    void *context;
} sn_calibration_options;

typedef struct sn_calibration_layer {
    const char *name; /* belongs to the report */
    double noise;     /* that this layer alone adds to the logits, as a share of their variance */
    bool kept;
} sn_calibration_layer;

typedef struct sn_calibration_report {
    sn_arena arena;
    sn_calibration_layer *layers; /* that can be int8, in the order of the network */
    size_t layers_count, layers_capacity;
    double noise;  /* of all together, those kept left out */
    double agreement; /* share of the pictures whose first class is that of single precision */
} sn_calibration_report;
void sn_calibration_report_free(sn_calibration_report *report);

/* Up to `most` pictures of the set in an order that mixes its classes, prepared as `preprocess` says; sn_free_aligned(*pictures). */
senet_status sn_calibration_load(const sn_dataset *dataset, const sn_preprocess *preprocess, int64_t most, int workers, bool exif,
                                 float **pictures, int64_t *count);

/* Runs the network on the pictures.  SENET_USAGE, naming it, for a layer to be kept that the network does not have.  report may be
 * NULL: no layer is measured, only options->keep is kept. */
senet_status sn_calibrate(const sn_spec *spec, sn_params *params, const sn_calibration_input *input,
                          const sn_calibration_options *options, sn_quantization **quantization, sn_calibration_report *report);

#endif
