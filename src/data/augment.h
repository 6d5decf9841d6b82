/* augment.h - training augmentation of a picture of the input's size: zero-pad and crop, flip and cutout (CIFAR,
 * RECIPES section 5), rotation and jitter (the released ImageNet models, RECIPES 1.1), random erasing.  What comes
 * before is in crop.h, RandAugment in randaugment.h, and what mixes pictures of a batch in mix.h.
 *
 * Random erasing (Zhong, Zheng, Kang, Li, Yang, "Random Erasing Data Augmentation", AAAI 2020;
 * zhunzhong07/Random-Erasing): with probability `erase` a rectangle of area uniform in 2% to 40% of the picture's and
 * height / width uniform in 0.3 to 1/0.3, sides rounded, anywhere in the picture; a hundred attempts until both sides
 * are shorter than the picture's. */
#ifndef SN_DATA_AUGMENT_H
#define SN_DATA_AUGMENT_H

#include "base/text.h"
#include "data/data.h"

/* One draw.  Rectangles are top, left, bottom, right with exclusive ends, in the augmented picture. */
typedef struct sn_augment_draw {
    int down, right; /* source pixel of output (0, 0), before the flip: -pad .. pad */
    bool flip;
    double angle;     /* counter-clockwise, in degrees */
    int32_t valid[4]; /* where the picture lies; outside it is padding */
    int32_t cut[4];   /* the square that cutout clears, or the rectangle of random erasing; empty (0,0,0,0): none */
} sn_augment_draw;

/* Draws for a picture of height x width by `key`: offsets uniform in -pad..pad, the flip with p = 0.5, the centre of
 * the cut uniform over all pixels and the square [centre - side/2, centre - side/2 + side) clipped at the border.  With
 * random erasing there is no cutout. */
sn_augment_draw sn_augment_sample(const sn_augment *augment, int height, int width, uint64_t key);

/* Adds what happens to pictures in words, parted by commas; nothing where nothing happens. */
void sn_augment_describe(const sn_augment *augment, sn_text *text);

/* Copies the picture as drawn; a pixel is three bytes or three floats.  Padding becomes zero bytes; the cut is left as it is.
 */
void sn_augment_copy(const sn_augment_draw *draw, int height, int width, size_t pixel_bytes, const void *source,
                     void *out);
/* Turns the picture of RGB bytes by draw->angle about its centre, bilinearly; `corners` is the colour of what it does
 * not cover. */
void sn_augment_rotate(const sn_augment_draw *draw, int height, int width, const uint8_t corners[3],
                       const uint8_t *source, uint8_t *out);
/* Adds a number uniform in -jitter..jitter and rounded to every byte; sums beyond 0..255 become 0 or 255. */
void sn_augment_jitter(int jitter, uint64_t key, uint8_t *pixels, size_t bytes);
/* Writes zero bytes into the cut. */
void sn_augment_clear_cut(const sn_augment_draw *draw, int width, size_t pixel_bytes, void *out);
/* Writes bytes uniform in 0..255 into the cut of a picture of RGB bytes. */
void sn_augment_noise_cut(const sn_augment_draw *draw, uint64_t key, int width, uint8_t *pixels);
/* Writes the colour into the cut, or into all that lies outside draw->valid. */
void sn_augment_paint_cut(const sn_augment_draw *draw, const uint8_t rgb[3], int width, uint8_t *pixels);
void sn_augment_paint_padding(const sn_augment_draw *draw, const uint8_t rgb[3], int height, int width,
                              uint8_t *pixels);

#endif
