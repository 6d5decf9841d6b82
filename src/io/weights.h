/* weights.h - weights files: parameters of a model in safetensors, with what a program needs to use them. */
#ifndef SN_IO_WEIGHTS_H
#define SN_IO_WEIGHTS_H

#include "exec/exec.h"
#include "io/safetensors.h"

enum { SN_INTERPOLATION_BILINEAR, SN_INTERPOLATION_PIL_BILINEAR, SN_INTERPOLATION_PIL_BICUBIC, SN_INTERPOLATION_NONE };

/* How pictures become the network's input; from a file's metadata, or a default for the model's native size. */
typedef struct sn_preprocess {
    int height, width;     /* of the network's input */
    bool bgr;              /* channel order */
    float mean[3], std[3]; /* in channel order, on values in 0..1 */
    float crop_pct;        /* crop side / resized shorter side */
    int interpolation;
} sn_preprocess;

/* What `__metadata__` says, with defaults for what it does not say. Strings belong to the struct
 * (sn_weights_info_free). */
typedef struct sn_weights_info {
    char *model;         /* NULL when absent */
    int64_t classes;     /* 0 when absent */
    char **labels;       /* `labels_count` names, or NULL */
    size_t labels_count; /* `classes`, or 0 */
    bool has_preprocess; /* the file has input, mean and std: `preprocess` is complete.  Else it holds what the file
                          * says over sn_preprocess_default, with size 0 when `input` is absent */
    sn_preprocess preprocess;
} sn_weights_info;

/* ImageNet mean and std, RGB, for a square input of `size`; crop_pct 0.875 and Pillow's bilinear as torchvision
 * evaluates, for 32 pixels crop_pct 1 and no interpolation. */
sn_preprocess sn_preprocess_default(int size);
senet_status sn_weights_info_read(const sn_tensors *file, sn_weights_info *info);
void sn_weights_info_free(sn_weights_info *info);

typedef struct sn_load_report {
    int renamed, reshaped, converted, folded_biases, unused;
    const char *first_unused; /* NULL when every tensor was used; belongs to the file handle */
} sn_load_report;

/* Loads every parameter of the graph from the file, accepting the aliases of other libraries.  Fails, changing nothing,
 * with the first tensor that is missing or differs, naming both shapes, or has an element that is not finite.  `base`
 * is the model's base name ("cifar_resnet20"). report may be NULL. */
senet_status sn_weights_load(const sn_tensors *file, const char *base, const sn_graph *graph, sn_params *params,
                             sn_load_report *report);

/* Writes canonical names, F32, with metadata: `info` (model, labels, preprocessing) plus `extra` entries. */
senet_status sn_weights_save(const char *path, const sn_graph *graph, const sn_params *params,
                             const sn_weights_info *info, const sn_metadata_entry *extra, size_t extra_count);

#endif
