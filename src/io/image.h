/* image.h - pictures: JPEG (libjpeg-turbo) and PNG (libpng) to 8-bit RGB, resizing, cropping. */
#ifndef SN_IO_IMAGE_H
#define SN_IO_IMAGE_H

#include "io/weights.h"

typedef struct sn_image {
    int width, height;
    uint8_t *pixels; /* height x width x 3, RGB; owned */
} sn_image;

/* Reads a picture of any kind a user may have: greyscale, CMYK/YCCK JPEG, 16-bit, palette and alpha PNG (alpha over white)
 * become RGB.  exif: turn the picture as its EXIF orientation says.  Errors name the file, what is wrong and where. Pictures
 * above 2^28 pixels are refused. */
senet_status sn_image_read(const char *path, bool exif, sn_image *image);
senet_status sn_image_decode(const void *bytes, size_t size, const char *name, bool exif, sn_image *image);
void sn_image_free(sn_image *image);

/* Resizes to width x height: SN_INTERPOLATION_BILINEAR is OpenCV's INTER_LINEAR (half-pixel centres, no antialiasing),
 * PIL_* are Pillow's antialiased filters (8 bits a pass, as Pillow). */
senet_status sn_image_resize(const sn_image *image, int width, int height, int interpolation, sn_image *resized);

/* Shorter side to floor(size / crop_pct), longer side int(short * long / side); centre crop at round-half-even((n-size)/2).
 * Writes height x width x 3 RGB bytes to `pixels`. */
senet_status sn_image_preprocess(const sn_image *image, const sn_preprocess *how, uint8_t *pixels);

/* Writes an 8-bit RGB PNG (temporary file + rename). */
senet_status sn_image_write_png(const char *path, int width, int height, const uint8_t *rgb);

#endif
