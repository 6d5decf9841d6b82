/* randaugment.h - RandAugment (Cubuk, Zoph, Shlens, Le, "RandAugment: Practical automated data augmentation with a
 * reduced search space", NeurIPS 2020): N operations, each drawn with equal chance from the paper's fourteen, one after
 * the other, all of the same magnitude M of 0..10.
 *
 * Each operation is that of torchvision.transforms.RandAugment on Pillow pictures, to the byte, with the colour of what
 * lies outside the picture given by the caller.  torchvision counts magnitudes from 0 to 30: its 9 is our 3.  The paper
 * and timm's rand-m9 count to 10 as we do (timm performs each operation with p = 0.5 only, and interpolates).
 *
 *   identity                 nothing
 *   autocontrast             every channel stretched to 0..255
 *   equalize                 every channel's histogram made flat
 *   rotate                   M/10 of 30 degrees, either way, about the centre
 *   solarize                 bytes from 255 - M/10 of 255 on are inverted
 *   color, contrast,         blended with grey, with its mean grey, with black, with its smoothed self by a factor
 *   brightness, sharpness      1 + or - M/10 of 0.9
 *   posterize                8 - M/10 of 4 bits (rounded) of every byte are kept
 *   shear-x, shear-y         by M/10 of 0.3, either way, from the left upper corner
 *   translate-x, -y          by M/10 of 150/331 of the side, rounded down, either way
 *
 * What moves takes the nearest pixel. */
#ifndef SN_DATA_RANDAUGMENT_H
#define SN_DATA_RANDAUGMENT_H

#include "data/data.h"

typedef enum sn_randaugment_op {
    SN_RANDAUGMENT_IDENTITY,
    SN_RANDAUGMENT_AUTOCONTRAST,
    SN_RANDAUGMENT_EQUALIZE,
    SN_RANDAUGMENT_ROTATE,
    SN_RANDAUGMENT_SOLARIZE,
    SN_RANDAUGMENT_COLOR,
    SN_RANDAUGMENT_POSTERIZE,
    SN_RANDAUGMENT_CONTRAST,
    SN_RANDAUGMENT_BRIGHTNESS,
    SN_RANDAUGMENT_SHARPNESS,
    SN_RANDAUGMENT_SHEAR_X,
    SN_RANDAUGMENT_SHEAR_Y,
    SN_RANDAUGMENT_TRANSLATE_X,
    SN_RANDAUGMENT_TRANSLATE_Y,
    SN_RANDAUGMENT_OPS
} sn_randaugment_op;

enum { SN_RANDAUGMENT_MOST_OPS = 16, SN_RANDAUGMENT_MOST_MAGNITUDE = 10 };

/* A picture in work. */
typedef struct sn_randaugment_picture {
    int height, width;
    const uint8_t *outside; /* RGB of what lies outside the picture */
    uint8_t *pixels;        /* height x width x 3: the picture, changed in place */
    uint8_t *scratch;       /* as much again */
} sn_randaugment_picture;

/* One operation; `reverse` is the other way of those that go either way. */
void sn_randaugment_apply(sn_randaugment_op op, double magnitude, bool reverse, const sn_randaugment_picture *picture);

/* `count` operations drawn by `key`. */
void sn_randaugment(int count, double magnitude, uint64_t key, const sn_randaugment_picture *picture);

#endif
