/* dataset.h - what a kind of data set provides; private to src/data.
 *
 * A new kind is one file that defines a `const sn_dataset_kind`, and one line in the list of dataset.c.  Its data set
 * is a struct that begins with an sn_dataset; `open` fills the description and the two functions. */
#ifndef SN_DATA_DATASET_H
#define SN_DATA_DATASET_H

#include "data/data.h"

struct sn_dataset {
    sn_dataset_info info;
    /* Writes sample `index` (in range): height x width x 3 RGB bytes, or floats where info.real; and its label.
     * Thread-safe, and allocates nothing. */
    senet_status (*read)(const sn_dataset *dataset, int64_t index, void *pixels, int32_t *label);
    void (*close)(sn_dataset *dataset);
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

#endif
