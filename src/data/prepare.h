/* prepare.h - from a sample of a data set to its pixels in a batch: decoding, views or the training crop, augmentation.
 */
#ifndef SN_DATA_PREPARE_H
#define SN_DATA_PREPARE_H

#include "data/data.h"

/* How samples are prepared; made once for a loader, then only read. */
typedef struct sn_preparation {
    const sn_dataset *dataset;
    sn_augment augment;
    sn_preprocess how; /* of the pictures that are not taken as they are */
    bool as_stored;    /* pictures are taken as they are in the data set: there is no `how` */
    bool exif, fast_decode;
    const sn_view *views; /* owned */
    int64_t views_count;
    int height, width; /* of every picture in a batch */
    size_t pixel_bytes, picture_bytes;
    bool moves; /* pictures are padded or turned, or of floats and mirrored: by way of a scratch picture */
    bool
        solid; /* padding is painted in the mean colour, as what comes later moves it or mixes it with other pictures */
    bool mixes; /* so is the cut */
} sn_preparation;

/* Checks the options that concern pictures, and copies them. */
senet_status sn_preparation_create(const sn_dataset *dataset, const sn_loader_options *options,
                                   sn_preparation *preparation);
void sn_preparation_free(sn_preparation *preparation);

/* Writes the pictures of sample `index` (all its views) to `pixels`, its rectangles (8 numbers a view) and its label;
 * `key` is what its augmentation depends on.  scratch: room for one picture. */
senet_status sn_prepare_sample(const sn_preparation *preparation, int64_t index, uint64_t key, void *scratch,
                               uint8_t *pixels, int32_t *rects, int32_t *label);

#endif
