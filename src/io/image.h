/* image.h - pictures: JPEG (libjpeg-turbo) and PNG (libpng) to 8-bit RGB, resizing, cropping. */
#ifndef SN_IO_IMAGE_H
#define SN_IO_IMAGE_H

#include "io/weights.h"

typedef struct sn_image {
    int width, height;
    uint8_t *pixels; /* height x width x 3, RGB; owned */
} sn_image;

/* Pixels that belong to another: a picture, or a rectangle of it. */
typedef struct sn_pixels {
    const uint8_t *first; /* RGB */
    int width, height;
    size_t stride; /* bytes from a row to the next */
} sn_pixels;

/* Reads a picture of any kind a user may have: greyscale, CMYK/YCCK JPEG, 16-bit, palette and alpha PNG (alpha over
 * white) become RGB.  exif: turn the picture as its EXIF orientation says.  Errors name the file, what is wrong and
 * where. Pictures above 2^28 pixels are refused. */
senet_status sn_image_read(const char *path, bool exif, sn_image *image);
senet_status sn_image_decode(const void *bytes, size_t size, const char *name, bool exif, sn_image *image);
void sn_image_free(sn_image *image);

/* What is wanted of a picture. */
typedef struct sn_wanted {
    int left, top, width, height;  /* this rectangle of the upright picture */
    int least_width, least_height; /* which may come at a reduced size, but not below this one; 0: as it is */
} sn_wanted;
/* Chooses it when the size of the upright picture is known. */
typedef void (*sn_image_chooser)(void *context, int width, int height, sn_wanted *wanted);
/* Decodes what is wanted and as little more as possible; *part is the rectangle, in *image.  Where it comes as it is,
 * its pixels are those of sn_image_decode.  JPEGs are reduced by libjpeg's scaled transforms, to a half, a quarter or
 * an eighth; in a reduced picture the rectangle is rounded outwards. */
senet_status sn_image_decode_part(const void *bytes, size_t size, const char *name, bool exif, sn_image_chooser choose,
                                  void *context, sn_image *image, sn_pixels *part);

/* Resizes to width x height: SN_INTERPOLATION_BILINEAR is OpenCV's INTER_LINEAR (half-pixel centres, no antialiasing),
 * PIL_* are Pillow's antialiased filters (8 bits a pass, as Pillow). */
senet_status sn_image_resize(const sn_image *image, int width, int height, int interpolation, sn_image *resized);

/* The rectangle must lie in the image. */
sn_pixels sn_image_part(const sn_image *image, int left, int top, int width, int height);
sn_pixels sn_image_whole(const sn_image *image);

/* A window of the source resized to full_width x full_height: columns left .. left+width-1, rows top .. top+height-1 of
 * the resized picture, the same bits as resizing all of it.  out: height x width x 3. */
typedef struct sn_window {
    int64_t full_width, full_height, left, top;
    int width, height;
} sn_window;
senet_status sn_image_resample(sn_pixels source, sn_window window, int interpolation, uint8_t *out);

/* Writes an 8-bit RGB PNG (temporary file + rename). */
senet_status sn_image_write_png(const char *path, int width, int height, const uint8_t *rgb);

#endif
