/* augment.h - the training augmentation of CIFAR (RECIPES section 5): zero-pad and crop, flip, cutout. */
#ifndef SN_DATA_AUGMENT_H
#define SN_DATA_AUGMENT_H

#include "data/data.h"

/* One draw.  Rectangles are top, left, bottom, right with exclusive ends, in the augmented picture. */
typedef struct sn_augment_draw {
    int down, right; /* source pixel of output (0, 0), before the flip: -pad .. pad */
    bool flip;
    int32_t valid[4]; /* where the picture lies; outside it is padding */
    int32_t cut[4];   /* the square that cutout clears; empty (0,0,0,0) when off */
} sn_augment_draw;

/* Draws for a picture of height x width by `key`: offsets uniform in -pad..pad, the flip with p = 0.5, the centre of
 * the cut uniform over all pixels and the square [centre - side/2, centre - side/2 + side) clipped at the border. */
sn_augment_draw sn_augment_sample(const sn_augment *augment, int height, int width, uint64_t key);

/* Copies the picture as drawn; a pixel is `pixel_bytes` bytes.  Padding becomes zero bytes; the cut is left as it is.
 */
void sn_augment_copy(const sn_augment_draw *draw, int height, int width, size_t pixel_bytes, const void *source,
                     void *out);
/* Writes zero bytes into the cut. */
void sn_augment_clear_cut(const sn_augment_draw *draw, int width, size_t pixel_bytes, void *out);

#endif
