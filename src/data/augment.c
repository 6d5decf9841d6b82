/* augment.c - see augment.h. */
#include "data/augment.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "io/mirror.h"

/* Which number of the stream is for what; those from 16 on are crop.c's. */
enum { DRAW_DOWN, DRAW_RIGHT, DRAW_FLIP, DRAW_CUT_Y, DRAW_CUT_X, DRAW_ANGLE };
enum { JITTER_STREAM = 0x4A }; /* jitter takes a stream of its own: a number for every four bytes */
enum { NOISE_STREAM = 0x4E };  /* and noise: a number for every eight bytes of a row, rows 2^32 apart */

/* Random erasing, in a stream of its own: whether, then four numbers an attempt. */
enum { ERASE_STREAM = 0x45, ERASE_ATTEMPTS = 100 };
enum { ERASE_AREA, ERASE_ASPECT, ERASE_TOP, ERASE_LEFT, ERASE_DRAWS };
static const double ERASE_AREA_MIN = 0.02, ERASE_AREA_MAX = 0.4, ERASE_ASPECT_MIN = 0.3;

static int32_t clamp(int32_t value, int32_t high)
{
    return value < 0 ? 0 : value > high ? high : value;
}

static void sample_erasing(double probability, int height, int width, uint64_t key, int32_t cut[4])
{
    const uint64_t stream = sn_rng_mix(key ^ ERASE_STREAM);
    if (!(sn_rng_uniform(stream, 0) < probability)) return;
    for (uint64_t draw = 1; draw < 1 + ERASE_ATTEMPTS * ERASE_DRAWS; draw += ERASE_DRAWS) {
        const double share =
            ERASE_AREA_MIN + (ERASE_AREA_MAX - ERASE_AREA_MIN) * sn_rng_uniform(stream, draw + ERASE_AREA);
        const double aspect =
            ERASE_ASPECT_MIN + (1 / ERASE_ASPECT_MIN - ERASE_ASPECT_MIN) * sn_rng_uniform(stream, draw + ERASE_ASPECT);
        const double area = share * height * width, tall = round(sqrt(area * aspect)),
                     wide = round(sqrt(area / aspect));
        if (!(tall < height && wide < width)) continue;
        cut[0] = (int32_t)sn_rng_below(stream, draw + ERASE_TOP, (uint64_t)(height - (int)tall + 1));
        cut[1] = (int32_t)sn_rng_below(stream, draw + ERASE_LEFT, (uint64_t)(width - (int)wide + 1));
        cut[2] = cut[0] + (int32_t)tall;
        cut[3] = cut[1] + (int32_t)wide;
        return;
    }
}

sn_augment_draw sn_augment_sample(const sn_augment *augment, int height, int width, uint64_t key)
{
    sn_augment_draw draw = {.valid = {0, 0, height, width}};
    if (augment->pad > 0) {
        uint64_t offsets = 2 * (uint64_t)augment->pad + 1;
        draw.down = (int)sn_rng_below(key, DRAW_DOWN, offsets) - augment->pad;
        draw.right = (int)sn_rng_below(key, DRAW_RIGHT, offsets) - augment->pad;
        draw.valid[0] = clamp(-draw.down, height);
        draw.valid[1] = clamp(-draw.right, width);
        draw.valid[2] = clamp(height - draw.down, height);
        draw.valid[3] = clamp(width - draw.right, width);
    }
    if (augment->flip && sn_rng_below(key, DRAW_FLIP, 2) == 1) {
        int32_t left = draw.valid[1];
        draw.flip = true;
        draw.valid[1] = width - draw.valid[3];
        draw.valid[3] = width - left;
    }
    if (augment->rotate > 0) draw.angle = augment->rotate * (2 * sn_rng_uniform(key, DRAW_ANGLE) - 1);
    if (augment->erase > 0) {
        sample_erasing(augment->erase, height, width, key, draw.cut);
    } else if (augment->cutout > 0) {
        int top = (int)sn_rng_below(key, DRAW_CUT_Y, (uint64_t)height) - augment->cutout / 2;
        int left = (int)sn_rng_below(key, DRAW_CUT_X, (uint64_t)width) - augment->cutout / 2;
        draw.cut[0] = clamp(top, height);
        draw.cut[1] = clamp(left, width);
        draw.cut[2] = clamp(top + augment->cutout, height);
        draw.cut[3] = clamp(left + augment->cutout, width);
    }
    return draw;
}

static void mirror(int width, size_t pixel_bytes, uint8_t *row)
{
    float keep[3]; /* the larger of the two kinds of pixels */
    if (pixel_bytes == 3) {
        sn_mirror(width, 1, row);
        return;
    }
    assert(pixel_bytes == sizeof keep);
    for (int left = 0, right = width - 1; left < right; left++, right--) {
        memcpy(keep, row + (size_t)left * sizeof keep, sizeof keep);
        memcpy(row + (size_t)left * sizeof keep, row + (size_t)right * sizeof keep, sizeof keep);
        memcpy(row + (size_t)right * sizeof keep, keep, sizeof keep);
    }
}

void sn_augment_copy(const sn_augment_draw *draw, int height, int width, size_t pixel_bytes, const void *source,
                     void *out)
{
    const int32_t top = draw->valid[0], left = draw->valid[1], bottom = draw->valid[2], right = draw->valid[3];
    const size_t row = (size_t)width * pixel_bytes, bytes = left < right ? (size_t)(right - left) * pixel_bytes : 0;
    /* The source column that lands leftmost; a flipped row is mirrored once it is copied. */
    const int first = draw->flip ? width - right + draw->right : left + draw->right;
    for (int y = 0; y < height; y++) {
        uint8_t *to = (uint8_t *)out + (size_t)y * row;
        if (y < top || y >= bottom || left >= right) {
            memset(to, 0, row);
            continue;
        }
        memset(to, 0, (size_t)left * pixel_bytes);
        to += (size_t)left * pixel_bytes;
        memcpy(to, (const uint8_t *)source + (size_t)(y + draw->down) * row + (size_t)first * pixel_bytes, bytes);
        if (draw->flip) mirror(right - left, pixel_bytes, to);
        memset(to + bytes, 0, (size_t)(width - right) * pixel_bytes);
    }
}

/* The colour at (x, y), pixel centres at whole numbers; beyond the border lies `corners`. */
static void sample_bilinear(const uint8_t *source, int height, int width, const uint8_t corners[3], double x, double y,
                            uint8_t out[3])
{
    const double left = floor(x), top = floor(y), across = x - left, down = y - top;
    double sums[3] = {0};
    for (int corner = 0; corner < 4; corner++) {
        const double column = left + (corner & 1), row = top + (corner >> 1);
        const double weight = (corner & 1 ? across : 1 - across) * (corner >> 1 ? down : 1 - down);
        const bool inside = column >= 0 && column < width && row >= 0 && row < height;
        const uint8_t *colour = inside ? source + 3 * ((size_t)row * (size_t)width + (size_t)column) : corners;
        for (int c = 0; c < 3; c++) sums[c] += weight * colour[c];
    }
    for (int c = 0; c < 3; c++) out[c] = (uint8_t)lrint(sums[c]);
}

void sn_augment_rotate(const sn_augment_draw *draw, int height, int width, const uint8_t corners[3],
                       const uint8_t *source, uint8_t *out)
{
    const double turn = draw->angle * 3.14159265358979323846 / 180, cosine = cos(turn), sine = sin(turn);
    const double middle_x = (width - 1) / 2.0, middle_y = (height - 1) / 2.0;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, out += 3) {
            const double right = x - middle_x, below = y - middle_y; /* turned back into the source */
            sample_bilinear(source, height, width, corners, middle_x + cosine * right - sine * below,
                            middle_y + sine * right + cosine * below, out);
        }
}

void sn_augment_jitter(int jitter, uint64_t key, uint8_t *pixels, size_t bytes)
{
    const uint64_t stream = sn_rng_mix(key ^ JITTER_STREAM);
    uint64_t numbers = 0;
    for (size_t i = 0; i < bytes; i++, numbers >>= 16) {
        if (i % 4 == 0) numbers = sn_rng_u64(stream, i / 4);
        const int value = pixels[i] + (int)(((numbers & 0xFFFF) * 2 * (unsigned)jitter + 0x8000) >> 16) - jitter;
        pixels[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

void sn_augment_clear_cut(const sn_augment_draw *draw, int width, size_t pixel_bytes, void *out)
{
    size_t bytes = (size_t)(draw->cut[3] - draw->cut[1]) * pixel_bytes;
    for (int32_t y = draw->cut[0]; y < draw->cut[2]; y++)
        memset((uint8_t *)out + ((size_t)y * (size_t)width + (size_t)draw->cut[1]) * pixel_bytes, 0, bytes);
}

void sn_augment_noise_cut(const sn_augment_draw *draw, uint64_t key, int width, uint8_t *pixels)
{
    const uint64_t stream = sn_rng_mix(key ^ NOISE_STREAM);
    const uint64_t bytes = 3 * (uint64_t)(draw->cut[3] - draw->cut[1]);
    for (int32_t y = draw->cut[0]; y < draw->cut[2]; y++) {
        uint8_t *row = pixels + ((size_t)y * (size_t)width + (size_t)draw->cut[1]) * 3;
        uint64_t numbers = 0;
        for (uint64_t i = 0; i < bytes; i++, numbers >>= 8) {
            if (i % 8 == 0) numbers = sn_rng_u64(stream, ((uint64_t)y << 32) + i / 8);
            row[i] = (uint8_t)numbers;
        }
    }
}

static void paint(int top, int left, int bottom, int right, const uint8_t rgb[3], int width, uint8_t *pixels)
{
    for (int y = top; y < bottom; y++) {
        uint8_t *at = pixels + ((size_t)y * (size_t)width + (size_t)left) * 3;
        for (int x = left; x < right; x++, at += 3) memcpy(at, rgb, 3);
    }
}

void sn_augment_paint_cut(const sn_augment_draw *draw, const uint8_t rgb[3], int width, uint8_t *pixels)
{
    paint(draw->cut[0], draw->cut[1], draw->cut[2], draw->cut[3], rgb, width, pixels);
}

void sn_augment_paint_padding(const sn_augment_draw *draw, const uint8_t rgb[3], int height, int width, uint8_t *pixels)
{
    const int32_t *valid = draw->valid;
    paint(0, 0, valid[0], width, rgb, width, pixels);
    paint(valid[0], 0, valid[2], valid[1], rgb, width, pixels);
    paint(valid[0], valid[3], valid[2], width, rgb, width, pixels);
    paint(valid[2], 0, height, width, rgb, width, pixels);
}
