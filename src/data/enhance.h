/* enhance.h - changes of a picture's colours, as Pillow's ImageOps and ImageEnhance make them, to the byte: what
 * RandAugment is made of.  Pictures are height x width x 3 RGB bytes, changed in place. */
#ifndef SN_DATA_ENHANCE_H
#define SN_DATA_ENHANCE_H

#include <stddef.h>
#include <stdint.h>

/* ImageOps.autocontrast: every channel stretched so that its least byte becomes 0 and its greatest 255. */
void sn_enhance_autocontrast(size_t count, uint8_t *pixels);
/* ImageOps.equalize: every channel's histogram made flat. */
void sn_enhance_equalize(size_t count, uint8_t *pixels);
/* ImageOps.solarize: bytes from the threshold on are inverted. */
void sn_enhance_solarize(double threshold, size_t count, uint8_t *pixels);
/* ImageOps.posterize: only the upper 1..8 bits are kept. */
void sn_enhance_posterize(int bits, size_t count, uint8_t *pixels);

/* ImageEnhance: factor 0 is a degenerate picture, 1 the picture as it is, more than 1 away from the degenerate one;
 * bytes are rounded towards 0 and stay in 0..255.  The degenerate picture is its grey (Color), one grey, its mean
 * (Contrast), black (Brightness), or smoothed (Sharpness; `scratch` has room for the picture). */
void sn_enhance_color(float factor, size_t count, uint8_t *pixels);
void sn_enhance_contrast(float factor, size_t count, uint8_t *pixels);
void sn_enhance_brightness(float factor, size_t count, uint8_t *pixels);
void sn_enhance_sharpness(float factor, int height, int width, uint8_t *pixels, uint8_t *scratch);

#endif
