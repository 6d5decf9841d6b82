/* view.h - how a picture of any size becomes one input of the network in an evaluation: resize, perhaps a square, crop,
 * mirror.
 *
 * A protocol is a list of views of one crop size: one centre crop (paper section 5.1), ten crops (four corners and the
 * centre of the resized picture, with mirrors), twelve (the same of a square-resized picture, and the whole of it), 144
 * (GoogLeNet: four scales, three squares, six crops, mirrors). */
#ifndef SN_DATA_VIEW_H
#define SN_DATA_VIEW_H

#include "io/image.h"

typedef enum sn_view_resize {
    SN_VIEW_SHORTER, /* shorter side to `side`, longer side int(side * long / short) */
    SN_VIEW_SQUARE   /* both sides to `side`, whatever the aspect (Places365) */
} sn_view_resize;

/* A square of the shorter side's length, taken from the resized picture before the crop. */
typedef enum sn_view_square { SN_SQUARE_NONE, SN_SQUARE_FIRST, SN_SQUARE_CENTRE, SN_SQUARE_LAST } sn_view_square;

typedef enum sn_view_crop {
    SN_CROP_CENTRE,
    SN_CROP_TOP_LEFT,
    SN_CROP_TOP_RIGHT,
    SN_CROP_BOTTOM_LEFT,
    SN_CROP_BOTTOM_RIGHT,
    SN_CROP_WHOLE /* no crop: the whole of it resized to the input's size */
} sn_view_crop;

typedef struct sn_view {
    sn_view_resize resize;
    int side; /* pixels; at least the crop's side.  Of an input that is not square: of the box of the input's shape that
                 the resized picture covers, along the input's shorter side */
    sn_view_square square;
    sn_view_crop crop;
    bool mirror;
} sn_view;

/* The one view that a weights file's preprocessing asks for: shorter side to floor(size / crop_pct), centre crop. */
sn_view sn_view_of(const sn_preprocess *how);

/* Writes the view of `image`, how->height x how->width x 3 RGB bytes, to `pixels`.  how->interpolation is the filter;
 * it also says where a centre crop begins: at round-half-even((n - size) / 2) with Pillow's filters (torchvision,
 * timm), at floor((n - size) / 2) with OpenCV's (the paper's evaluation).  "none" takes only pictures that need no
 * resizing.  A picture that is resized to less than the crop is an error that names both sizes. */
senet_status sn_view_apply(const sn_view *view, const sn_preprocess *how, const sn_image *image, uint8_t *pixels);

/* The same of sn_view_of(how). */
senet_status sn_image_preprocess(const sn_image *image, const sn_preprocess *how, uint8_t *pixels);

#endif
