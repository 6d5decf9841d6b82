/* dataset.h - what a kind of data set provides; private to src/data.
 *
 * A new kind is one file that defines a `const sn_dataset_kind`, and one line in the list of dataset.c.  Its data set
 * is a struct that begins with an sn_dataset; `open` fills the description and the functions.  A kind of photographs
 * builds on photographs.h, which has all of them but what finds the files. */
#ifndef SN_DATA_DATASET_H
#define SN_DATA_DATASET_H

#include "base/memory.h"
#include "data/data.h"

struct sn_dataset {
    sn_dataset_info info;
    /* The functions see samples by their number in the files, and labels as these have them; they are thread-safe.
     *
     * read, of sets of one size: writes height x width x 3 RGB bytes, or floats where info.real, and the label;
     * allocates nothing.  bytes and path, of photographs only: see sn_dataset_bytes and sn_dataset_path. */
    senet_status (*read)(const sn_dataset *dataset, int64_t sample, void *pixels, int32_t *label);
    int32_t (*label)(const sn_dataset *dataset, int64_t sample);
    senet_status (*bytes)(const sn_dataset *dataset, int64_t sample, char **bytes, size_t *size);
    const char *(*path)(const sn_dataset *dataset, int64_t sample);
    void (*close)(sn_dataset *dataset);
    const char *root; /* of photographs: what their relative paths begin from, "data/"; "" for none */

    /* What the changes after opening leave: NULL for none.  Owned by dataset.c. */
    int64_t *kept;     /* info.count: the sample behind each index */
    int32_t *class_of; /* the network's class of each label in the files */
    sn_arena names;    /* of mapped classes */
};

typedef struct sn_dataset_kind {
    const char *prefix; /* "cifar10": what stands before the colon */
    const char *form;   /* "cifar10:DIR": how a user writes it */
    /* `rest` is what follows the colon, NULL when there is none. */
    senet_status (*open)(const char *rest, sn_split split, sn_dataset **dataset);
} sn_dataset_kind;

extern const sn_dataset_kind sn_dataset_cifar10, sn_dataset_cifar100; /* cifar.c */
extern const sn_dataset_kind sn_dataset_synthetic;                    /* synthetic.c */
extern const sn_dataset_kind sn_dataset_tensors;                      /* tensors.c */
extern const sn_dataset_kind sn_dataset_folder;                       /* folder.c */
extern const sn_dataset_kind sn_dataset_list;                         /* list.c */
extern const sn_dataset_kind sn_dataset_tar;                          /* tar.c */

/* read, of sample `index` after the changes. */
senet_status sn_dataset_read(const sn_dataset *dataset, int64_t index, void *pixels, int32_t *label);

#endif
