/* enhance.c - see enhance.h.  `count` is pixels everywhere.  Floats are those of Pillow's C code, so that bytes agree.
 */
#include "data/enhance.h"

#include <string.h>

enum { VALUES = 256 };

/* ---- by a table for each channel ---- */

static void count_values(size_t count, const uint8_t *pixels, uint32_t histogram[3][VALUES])
{
    memset(histogram, 0, 3 * sizeof *histogram);
    for (size_t i = 0; i < 3 * count; i += 3)
        for (size_t c = 0; c < 3; c++) histogram[c][pixels[i + c]]++;
}

static void look_up(const uint8_t table[3][VALUES], size_t count, uint8_t *pixels)
{
    for (size_t i = 0; i < 3 * count; i += 3)
        for (size_t c = 0; c < 3; c++) pixels[i + c] = table[c][pixels[i + c]];
}

static void keep_values(uint8_t table[VALUES])
{
    for (int v = 0; v < VALUES; v++) table[v] = (uint8_t)v;
}

static void stretch(const uint32_t histogram[VALUES], uint8_t table[VALUES])
{
    int low = 0, high = VALUES - 1;
    while (low < high && histogram[low] == 0) low++;
    while (high > low && histogram[high] == 0) high--;
    keep_values(table);
    if (high <= low) return;
    const double scale = 255.0 / (high - low), offset = -low * scale;
    for (int v = 0; v < VALUES; v++) {
        const double stretched = v * scale + offset;
        table[v] = (uint8_t)(stretched < 0 ? 0 : stretched > 255 ? 255 : stretched);
    }
}

/* Each of the 255 steps takes as many pixels; those of the last value in use do not count. */
static void flatten(const uint32_t histogram[VALUES], uint8_t table[VALUES])
{
    uint64_t sum = 0;
    int last = 0, used = 0;
    keep_values(table);
    for (int v = 0; v < VALUES; v++) {
        sum += histogram[v];
        used += histogram[v] > 0;
        if (histogram[v] > 0) last = v;
    }
    const uint64_t step = (sum - histogram[last]) / (VALUES - 1);
    if (used <= 1 || step == 0) return;
    uint64_t reached = step / 2;
    for (int v = 0; v < VALUES; v++) {
        const uint64_t level = reached / step;
        table[v] = (uint8_t)(level < VALUES ? level : VALUES - 1);
        reached += histogram[v];
    }
}

void sn_enhance_autocontrast(size_t count, uint8_t *pixels)
{
    uint32_t histogram[3][VALUES];
    uint8_t table[3][VALUES];
    count_values(count, pixels, histogram);
    for (int c = 0; c < 3; c++) stretch(histogram[c], table[c]);
    look_up((const uint8_t(*)[VALUES])table, count, pixels);
}

void sn_enhance_equalize(size_t count, uint8_t *pixels)
{
    uint32_t histogram[3][VALUES];
    uint8_t table[3][VALUES];
    count_values(count, pixels, histogram);
    for (int c = 0; c < 3; c++) flatten(histogram[c], table[c]);
    look_up((const uint8_t(*)[VALUES])table, count, pixels);
}

void sn_enhance_solarize(double threshold, size_t count, uint8_t *pixels)
{
    for (size_t i = 0; i < 3 * count; i++)
        if (!(pixels[i] < threshold)) pixels[i] = (uint8_t)(255 - pixels[i]);
}

void sn_enhance_posterize(int bits, size_t count, uint8_t *pixels)
{
    const uint8_t mask = (uint8_t)(0xFF << (8 - bits));
    for (size_t i = 0; i < 3 * count; i++) pixels[i] &= mask;
}

/* ---- by blending with a degenerate picture ---- */

static uint8_t blend(uint8_t degenerate, uint8_t value, float factor)
{
    const float blended = (float)degenerate + factor * (float)(value - degenerate);
    return (uint8_t)(blended <= 0 ? 0 : blended >= 255 ? 255 : blended);
}

/* ITU-R 601-2 luma in 1/65536, rounded. */
static uint8_t grey_of(const uint8_t rgb[3])
{
    return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

void sn_enhance_color(float factor, size_t count, uint8_t *pixels)
{
    for (size_t i = 0; i < 3 * count; i += 3) {
        const uint8_t grey = grey_of(pixels + i);
        for (size_t c = 0; c < 3; c++) pixels[i + c] = blend(grey, pixels[i + c], factor);
    }
}

void sn_enhance_contrast(float factor, size_t count, uint8_t *pixels)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < 3 * count; i += 3) sum += grey_of(pixels + i);
    const uint8_t mean = (uint8_t)((double)sum / (double)count + 0.5);
    for (size_t i = 0; i < 3 * count; i++) pixels[i] = blend(mean, pixels[i], factor);
}

void sn_enhance_brightness(float factor, size_t count, uint8_t *pixels)
{
    for (size_t i = 0; i < 3 * count; i++) pixels[i] = blend(0, pixels[i], factor);
}

/* ImageFilter.SMOOTH: nine pixels, the middle one five times, over 13; the border stays as it is. */
static void smooth(int height, int width, const uint8_t *pixels, uint8_t *out)
{
    const size_t row = 3 * (size_t)width;
    memcpy(out, pixels, (size_t)height * row);
    for (int y = 1; y < height - 1; y++) {
        const uint8_t *at = pixels + (size_t)y * row, *above = at - row, *below = at + row;
        uint8_t *to = out + (size_t)y * row;
        for (size_t i = 3; i + 3 < row; i++) {
            const unsigned sum = above[i - 3] + above[i] + above[i + 3] + at[i - 3] + 5u * at[i] + at[i + 3] +
                                 below[i - 3] + below[i] + below[i + 3];
            to[i] = (uint8_t)((2 * sum + 13) / 26);
        }
    }
}

void sn_enhance_sharpness(float factor, int height, int width, uint8_t *pixels, uint8_t *scratch)
{
    smooth(height, width, pixels, scratch);
    for (size_t i = 0; i < 3 * (size_t)height * (size_t)width; i++) pixels[i] = blend(scratch[i], pixels[i], factor);
}
