/* fuzz_image.c - JPEG, PNG and EXIF.  A PNG is tried again with its checksums put right, so that mutations get past
 * them. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "base/rng.h"
#include "fuzz/fuzz.h"
#include "io/mirror.h"
#include "io/picture.h"
#include "unit/test_pictures.h"

enum { MAX_PIXELS = 1 << 12, PNG_START = 8, CHUNK_OVERHEAD = 12 /* length, type, sum */ };

/* A rectangle that depends on the input; every other one may come reduced. */
static void choose_some(void *context, int width, int height, sn_wanted *wanted)
{
    const uint64_t key = *(const uint64_t *)context;
    wanted->width = 1 + (int)sn_rng_below(key, 0, (uint64_t)width);
    wanted->height = 1 + (int)sn_rng_below(key, 1, (uint64_t)height);
    wanted->left = (int)sn_rng_below(key, 2, (uint64_t)(width - wanted->width + 1));
    wanted->top = (int)sn_rng_below(key, 3, (uint64_t)(height - wanted->height + 1));
    wanted->least_width = wanted->least_height = key % 2 ? 5 : 0;
}

/* Of a picture that is known to be small: what a training does with it. */
static void decode_part(const uint8_t *data, size_t size)
{
    enum { WIDTH = 23, HEIGHT = 9 };
    static const sn_window crop = {.full_width = WIDTH, .full_height = HEIGHT, .width = WIDTH, .height = HEIGHT};
    uint64_t key = sn_fnv1a64(data, size);
    sn_image image = {0};
    sn_pixels part;
    if (sn_image_decode_part(data, size, "fuzz", true, choose_some, &key, &image, &part) == SENET_OK) {
        uint8_t *pixels = malloc(3 * WIDTH * HEIGHT); /* of its size, for the sanitizer to see its end */
        if (part.width < 1 || part.height < 1 || !pixels) abort();
        for (int kind = SN_INTERPOLATION_BILINEAR; kind <= SN_INTERPOLATION_PIL_BICUBIC; kind++)
            if (sn_image_resample(part, crop, kind, pixels) != SENET_OK) abort();
        sn_mirror(WIDTH, HEIGHT, pixels);
        free(pixels);
    }
    sn_image_free(&image);
}

static void decode(const uint8_t *data, size_t size)
{
    sn_image image = {0}, small = {0};
    if (sn_image_decode_within(data, size, "fuzz", true, MAX_PIXELS, &image) != SENET_OK) {
        if (image.pixels) abort();
        return;
    }
    if (image.width < 1 || image.height < 1 || (int64_t)image.width * image.height > MAX_PIXELS) abort();
    for (int kind = SN_INTERPOLATION_BILINEAR; kind <= SN_INTERPOLATION_PIL_BICUBIC; kind++) {
        if (sn_image_resize(&image, 7, 5, kind, &small) != SENET_OK) abort();
        sn_image_free(&small);
    }
    sn_image_free(&image);
    decode_part(data, size);
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void mend_sums(uint8_t *png, size_t size)
{
    for (size_t at = PNG_START; at < size && size - at >= CHUNK_OVERHEAD;) {
        size_t length = big_endian(png + at);
        if (length > size - at - CHUNK_OVERHEAD) return;
        uint32_t sum = (uint32_t)crc32(0, png + at + 4, (uInt)length + 4);
        uint8_t *place = png + at + 8 + length;
        for (int i = 0; i < 4; i++) place[i] = (uint8_t)(sum >> (24 - 8 * i));
        at += CHUNK_OVERHEAD + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode(data, size);
    sn_exif_orientation(data, size);
    if (size < PNG_START || data[0] != 0x89) return 0;
    uint8_t *mended = malloc(size);
    if (!mended) return 0;
    memcpy(mended, data, size);
    mend_sums(mended, size);
    decode(mended, size);
    free(mended);
    return 0;
}

size_t senet_fuzz_seed(size_t index, uint8_t *bytes, size_t capacity)
{
    static const unsigned char exif[] =
        "Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0"; /* orientation 6 */
    const unsigned size = sizeof exif - 1;
    const jpeg_kind jpegs[] = {
        {.components = 3, .app1 = exif, .app1_size = size},
        {.components = 1},
        {.components = 3, .progressive = true},
        {.components = 4, .ycck = true},
        {.components = 3, .arithmetic = true},
    };
    const png_kind pngs[] = {
        {.colour = PNG_COLOR_TYPE_RGB, .depth = 8, .transparent_colour = true},
        {.colour = PNG_COLOR_TYPE_RGBA, .depth = 16, .interlaced = true, .exif = exif + 6, .exif_size = size - 6},
        {.colour = PNG_COLOR_TYPE_PALETTE, .depth = 4},
        {.colour = PNG_COLOR_TYPE_GRAY, .depth = 1, .interlaced = true},
        {.colour = PNG_COLOR_TYPE_GRAY_ALPHA, .depth = 8},
    };
    enum { JPEGS = sizeof jpegs / sizeof *jpegs, PNGS = sizeof pngs / sizeof *pngs };
    if (index == JPEGS + PNGS) { /* the EXIF block alone */
        memcpy(bytes, exif + 6, size - 6);
        return size - 6;
    }
    if (index > JPEGS + PNGS) return 0;
    test_picture made = index < JPEGS ? make_jpeg(17, 13, jpegs[index]) : make_png(11, 9, pngs[index - JPEGS]);
    size_t written = made.size <= capacity ? made.size : 0;
    memcpy(bytes, made.bytes, written);
    free(made.bytes);
    return written;
}
