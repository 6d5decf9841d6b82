/* picture.h - what the picture files of this folder share: decoders behind sn_image_decode, orientation. */
#ifndef SN_IO_PICTURE_H
#define SN_IO_PICTURE_H

#include "io/image.h"

enum { SN_MAX_PIXELS = 1 << 28 };

/* One picture file being decoded.  A decoder fills image and orientation; sn_image_decode frees on failure. */
typedef struct sn_picture {
    const unsigned char *bytes;
    size_t size;
    const char *name; /* for messages */
    bool exif;        /* look for an orientation */
    int64_t max_pixels;
    sn_image_chooser choose; /* of a part, or NULL; a decoder may leave it to sn_image_decode_part */
    void *context;
    sn_image image;
    int orientation; /* 1..8 as in EXIF */
    bool has_part;   /* the decoder decoded no more than `part` of image, perhaps */
    sn_pixels part;
} sn_picture;

/* sn_image_decode with a limit of its own (fuzzing). */
senet_status sn_image_decode_within(const void *bytes, size_t size, const char *name, bool exif, int64_t max_pixels,
                                    sn_image *image);

senet_status sn_jpeg_decode(sn_picture *picture); /* jpeg.c */
senet_status sn_png_decode(sn_picture *picture);  /* png.c */

/* Checks the size a header claims, and that the file could hold that much: `most_pixels` is what its bytes can encode
 * at best. */
senet_status sn_picture_check(const sn_picture *picture, int64_t width, int64_t height, int64_t most_pixels);
/* Allocates image->pixels, of the picture or of a part. */
senet_status sn_picture_allocate(sn_picture *picture, int64_t width, int64_t height);

/* The orientation in a TIFF block (the payload of EXIF), 1 where there is none or the block is damaged. */
int sn_exif_orientation(const unsigned char *tiff, size_t size);
/* Turns the picture upright; orientation 1..8. */
senet_status sn_image_orient(sn_image *image, int orientation);

#endif
