/* jpeg_transform.h - from the coefficients of JPEG blocks to pixels, see jpeg_transform.c. */
#ifndef SN_IO_JPEG_TRANSFORM_H
#define SN_IO_JPEG_TRANSFORM_H

#include <stddef.h>
#include <stdint.h>

enum { SN_JPEG_SIDE = 8, SN_JPEG_BLOCK = 64 };

/* The inverse transform of one block: coefficients and quantisers row by row, pixels in rows that lie `stride` apart.
 */
void sn_jpeg_inverse(const int16_t coefficients[SN_JPEG_BLOCK], const int32_t quantisers[SN_JPEG_BLOCK],
                     uint8_t *pixels, size_t stride);
/* The same of a block with nothing but its first coefficient. */
void sn_jpeg_inverse_flat(int coefficient, int quantiser, uint8_t *pixels, size_t stride);

/* A row of luma and colour differences to RGB. */
void sn_jpeg_to_rgb(const uint8_t *luma, const uint8_t *blue, const uint8_t *red, size_t width, uint8_t *rgb);

#endif
