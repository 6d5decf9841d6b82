/* crop.h - the scale and aspect-ratio crop of training on photographs (RECIPES 1.1), as a function of a key. */
#ifndef SN_DATA_CROP_H
#define SN_DATA_CROP_H

#include "data/data.h"

/* A rectangle of the picture. */
typedef struct sn_crop {
    bool found; /* false: no attempt fitted; the training takes the centre crop of the resized picture instead */
    int left, top, width, height;
} sn_crop;

/* Up to ten attempts of fb.resnet.torch's RandomSizedCrop on a picture of width x height: area uniform in
 * area_min..area_max of the picture's, aspect ratio uniform in 1/aspect..aspect, sides rounded and exchanged with p =
 * 0.5; the first that fits lies anywhere in the picture with equal chance.  With augment->square all of this happens in
 * the square, and the crop is what its place there is in the picture. */
sn_crop sn_crop_sample(const sn_augment *augment, int width, int height, uint64_t key);

#endif
