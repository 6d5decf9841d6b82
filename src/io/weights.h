/* weights.h - weights files: parameters of a model, with what a program needs to use them.
 *
 * Written as safetensors; read from safetensors and, where the library was built with protobuf-c, from Caffe's files. */
#ifndef SN_IO_WEIGHTS_H
#define SN_IO_WEIGHTS_H

#include "exec/exec.h"
#include "graph/quantization.h"
#include "io/names_export.h"
#include "io/safetensors.h"

/* Opens a weights file of any format that can be read: told by what is in it, or else by how its name ends. */
senet_status sn_weights_open(const char *path, sn_tensors **file);

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
    sn_quantization *quantization; /* ranges for int8, or NULL */
    sn_metadata_entry *extra; /* what else the metadata says: dataset, license, ... */
    size_t extra_count;
} sn_weights_info;

/* ImageNet mean and std, RGB, for a square input of `size`; crop_pct 0.875 and Pillow's bilinear as torchvision
 * evaluates, but for 299 pixels a resize to 352 and for 320 to 320 as the paper does, and for 32 crop_pct 1 and no
 * interpolation. */
sn_preprocess sn_preprocess_default(int size);
/* Sets channels, mean, std, crop_pct or interpolation, spelt as in the metadata.  Returns NULL, or in words what the
 * value should have been; another key is none of its business. */
const char *sn_preprocess_set(sn_preprocess *preprocess, const char *key, const char *value);
/* What the metadata says of it, over the default for a network of `native_size` where the file does not say `input`. */
senet_status sn_weights_preprocess_read(const sn_tensors *file, int native_size, sn_preprocess *preprocess);
senet_status sn_weights_info_read(const sn_tensors *file, sn_weights_info *info);
void sn_weights_info_free(sn_weights_info *info);
/* Takes the labels from a text file, one a line, as many as `classes`. */
senet_status sn_weights_info_read_labels(sn_weights_info *info, const char *path);
void sn_weights_info_drop_labels(sn_weights_info *info);

/* What became of the file's tensors.  Belongs to the caller (sn_load_report_free). */
typedef struct sn_load_report {
    int renamed, reshaped, converted, folded_biases;
    int unused;    /* tensors that the model has no place for: biases it does without, parts of another network */
    char **names;  /* theirs, fit to be shown: control characters are '?' */
    size_t capacity;
} sn_load_report;
void sn_load_report_free(sn_load_report *report);

/* Loads every parameter of the graph from the file, accepting the aliases of other libraries.  Fails, changing nothing,
 * with the first tensor that is missing or differs, naming both shapes, or has an element that is not finite.  `base`
 * is the model's base name ("cifar_resnet20").  report may be NULL; on failure it is empty. */
senet_status sn_weights_load(const sn_tensors *file, const char *base, const sn_graph *graph, sn_params *params,
                             sn_load_report *report);

/* Writes canonical names, F32, with metadata: `info` (model, labels, preprocessing, extra) plus `extra` entries. */
senet_status sn_weights_save(const char *path, const sn_graph *graph, const sn_params *params,
                             const sn_weights_info *info, const sn_metadata_entry *extra, size_t extra_count);
/* With weights in 8 bits, a scale an output, but those of the layers that info->quantization keeps; about a quarter of the
 * bytes.  It loads like any other file. */
senet_status sn_weights_save_int8(const char *path, const sn_graph *graph, const sn_params *params, const sn_weights_info *info);
/* The same as sn_weights_save under another library's names and shapes; naming NULL: canonical. */
senet_status sn_weights_save_as(const char *path, const sn_graph *graph, const sn_params *params,
                                const sn_weights_info *info, const sn_naming *naming);

#endif
