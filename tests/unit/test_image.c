/* test_image.c - pictures of every kind come out as the RGB they should; damaged ones are refused by name and place. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "data/view.h"
#include "io/picture.h"
#include "test_data_files.h"
#include "test_failures.h"
#include "test_pictures.h"

enum { WIDTH = 40, HEIGHT = 24 };

static sn_image decode(test_picture picture, bool exif)
{
    sn_image image = {0};
    assert_works(sn_image_decode(picture.bytes, picture.size, "t", exif, &image));
    free(picture.bytes);
    return image;
}

static const uint8_t *pixel(const sn_image *image, int x, int y)
{
    return image->pixels + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
}

/* Every pixel is within `tolerance` of the wanted colour. */
static void check_colours(sn_image image, void (*wanted)(int x, int y, uint8_t *rgb), int tolerance)
{
    assert_int_equal(image.width, WIDTH);
    assert_int_equal(image.height, HEIGHT);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            uint8_t rgb[3];
            wanted(x, y, rgb);
            for (int c = 0; c < 3; c++)
                assert_in_range(pixel(&image, x, y)[c] - rgb[c] + 256, 256 - tolerance, 256 + tolerance);
        }
    sn_image_free(&image);
}

static void want_rgb(int x, int y, uint8_t *rgb)
{
    for (int c = 0; c < 3; c++) rgb[c] = pattern(x, y, c);
}

static void want_grey(int x, int y, uint8_t *rgb)
{
    memset(rgb, pattern(x, y, 0), 3);
}

/* C, M, Y, K = patterns 0..3 as ink, or as its absence (Adobe). */
static void want_ink(int x, int y, uint8_t *rgb)
{
    for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)lround((255 - pattern(x, y, c)) * (255 - pattern(x, y, 3)) / 255.0);
}

static void want_inverted_ink(int x, int y, uint8_t *rgb)
{
    for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)lround(pattern(x, y, c) * pattern(x, y, 3) / 255.0);
}

/* JPEG at quality 100 still rounds coefficients and halves the colour resolution: up to 6 steps on this pattern, whose
 * colours change by 3 a pixel; greyscale, 2. */
static void jpeg_kinds(void **state)
{
    (void)state;
    check_colours(decode(make_jpeg(WIDTH, HEIGHT, (jpeg_kind){.components = 3}), false), want_rgb, 6);
    check_colours(decode(make_jpeg(WIDTH, HEIGHT, (jpeg_kind){.components = 3, .progressive = true}), false), want_rgb,
                  6);
    check_colours(decode(make_jpeg(WIDTH, HEIGHT, (jpeg_kind){.components = 3, .arithmetic = true}), false), want_rgb,
                  6);
    check_colours(decode(make_jpeg(WIDTH, HEIGHT, (jpeg_kind){.components = 1}), false), want_grey, 2);
    check_colours(decode(make_jpeg(WIDTH, HEIGHT, (jpeg_kind){.components = 4}), false), want_ink, 6);
    check_colours(decode(make_jpeg(WIDTH, HEIGHT, (jpeg_kind){.components = 4, .adobe = true}), false),
                  want_inverted_ink, 6);
    check_colours(decode(make_jpeg(WIDTH, HEIGHT, (jpeg_kind){.components = 4, .ycck = true}), false),
                  want_inverted_ink, 6);
}

static uint8_t over_white(int value, int alpha)
{
    return (uint8_t)((value * alpha + 255 * (255 - alpha) + 127) / 255);
}

static void want_rgba(int x, int y, uint8_t *rgb)
{
    for (int c = 0; c < 3; c++) rgb[c] = over_white(pattern(x, y, c), pattern(x, y, 3));
}

static void want_grey_alpha(int x, int y, uint8_t *rgb)
{
    memset(rgb, over_white(pattern(x, y, 0), pattern(x, y, 3)), 3);
}

static void want_keyed(int x, int y, uint8_t *rgb)
{
    want_rgb(x, y, rgb);
    if (x == 3 && y == 2) memset(rgb, 255, 3);
}

static void want_palette(int x, int y, uint8_t *rgb)
{
    int i = pattern(x, y, 0);
    rgb[0] = (uint8_t)i, rgb[1] = (uint8_t)(2 * i), rgb[2] = (uint8_t)(255 - i);
}

static void want_one_bit(int x, int y, uint8_t *rgb)
{
    memset(rgb, (x + y) % 2 * 255, 3);
}
static void want_four_bits(int x, int y, uint8_t *rgb)
{
    memset(rgb, (x + y) % 16 * 17, 3);
}

/* PNG is exact. */
static void png_kinds(void **state)
{
    (void)state;
    static const struct {
        int colour, depth;
        bool keyed;
        void (*wanted)(int x, int y, uint8_t *rgb);
    } kinds[] = {
        {PNG_COLOR_TYPE_RGB, 8, false, want_rgb},         {PNG_COLOR_TYPE_RGB, 16, false, want_rgb},
        {PNG_COLOR_TYPE_RGB, 8, true, want_keyed},        {PNG_COLOR_TYPE_RGBA, 8, false, want_rgba},
        {PNG_COLOR_TYPE_RGBA, 16, false, want_rgba},      {PNG_COLOR_TYPE_GRAY, 8, false, want_grey},
        {PNG_COLOR_TYPE_GRAY, 16, false, want_grey},      {PNG_COLOR_TYPE_GRAY, 1, false, want_one_bit},
        {PNG_COLOR_TYPE_GRAY, 4, false, want_four_bits},  {PNG_COLOR_TYPE_GRAY_ALPHA, 8, false, want_grey_alpha},
        {PNG_COLOR_TYPE_PALETTE, 8, false, want_palette},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int interlaced = 0; interlaced < 2; interlaced++) {
            png_kind kind = {.colour = kinds[i].colour,
                             .depth = kinds[i].depth,
                             .transparent_colour = kinds[i].keyed,
                             .interlaced = interlaced == 1};
            check_colours(decode(make_png(WIDTH, HEIGHT, kind), false), kinds[i].wanted, 0);
        }
}

/* A TIFF block with one directory: a tag of no interest, then the orientation. */
static unsigned make_exif(unsigned char block[64], bool big_endian, int orientation, bool jpeg)
{
    static const unsigned char little[] =
        "II*\0\x08\0\0\0\x02\0\x0f\x01\x02\0\x01\0\0\0x\0\0\0\x12\x01\x03\0\x01\0\0\0o\0\0\0\0\0\0";
    static const unsigned char big[] =
        "MM\0*\0\0\0\x08\0\x02\x01\x0f\0\x02\0\0\0\x01x\0\0\0\x01\x12\0\x03\0\0\0\x01\0o\0\0\0\0\0";
    unsigned at = jpeg ? 6 : 0, size = sizeof little - 1;
    memcpy(block, "Exif\0", 6);
    memcpy(block + at, big_endian ? big : little, size);
    block[at + (big_endian ? 31 : 30)] = (unsigned char)orientation;
    return at + size;
}

/* Where the pixel that belongs at the top left, and its right neighbour, are stored: EXIF's definition, in words there.
 */
static void orientations(void **state)
{
    (void)state;
    enum { R = WIDTH - 1, B = HEIGHT - 1 };
    static const int corner[9][2] = {{0}, {0, 0}, {R, 0}, {R, B}, {0, B}, {0, 0}, {0, B}, {R, B}, {R, 0}};
    static const int step[9][2] = {{0}, {1, 0}, {-1, 0}, {-1, 0}, {1, 0}, {0, 1}, {0, -1}, {0, -1}, {0, 1}};
    for (int orientation = 1; orientation <= 8; orientation++)
        for (int kind = 0; kind < 4; kind++) {
            unsigned char exif[64];
            bool jpeg = kind < 2;
            unsigned size = make_exif(exif, kind % 2, orientation, jpeg);
            jpeg_kind as_jpeg = {.components = 3, .app1 = exif, .app1_size = size};
            png_kind as_png = {.colour = PNG_COLOR_TYPE_RGB, .depth = 8, .exif = exif, .exif_size = size};
            sn_image turned = decode(jpeg ? make_jpeg(WIDTH, HEIGHT, as_jpeg) : make_png(WIDTH, HEIGHT, as_png), true);
            sn_image stored = decode(jpeg ? make_jpeg(WIDTH, HEIGHT, as_jpeg) : make_png(WIDTH, HEIGHT, as_png), false);
            assert_int_equal(turned.width, orientation < 5 ? WIDTH : HEIGHT);
            assert_int_equal(turned.height, orientation < 5 ? HEIGHT : WIDTH);
            int x = corner[orientation][0], y = corner[orientation][1];
            assert_memory_equal(pixel(&turned, 0, 0), pixel(&stored, x, y), 3);
            x += step[orientation][0], y += step[orientation][1];
            assert_memory_equal(pixel(&turned, 1, 0), pixel(&stored, x, y), 3);
            sn_image_free(&turned);
            sn_image_free(&stored);
        }
}

static void damaged_exif_is_no_orientation(void **state)
{
    (void)state;
    unsigned char exif[64];
    unsigned size = make_exif(exif, false, 6, false);
    assert_int_equal(sn_exif_orientation(exif, size), 6);
    for (unsigned cut = 0; cut < 34; cut++) { /* the entry ends at byte 34 */
        unsigned char *exact = malloc(cut + 1);
        memcpy(exact, exif, cut);
        assert_int_equal(sn_exif_orientation(exact, cut), 1);
        free(exact);
    }
    static const int bad[] = {0, 9, 255};
    for (int i = 0; i < 3; i++) {
        make_exif(exif, true, bad[i], false);
        assert_int_equal(sn_exif_orientation(exif, size), 1);
    }
    make_exif(exif, false, 6, false);
    memset(exif + 4, 0xFF, 4); /* directory beyond the block */
    assert_int_equal(sn_exif_orientation(exif, size), 1);
    make_exif(exif, false, 6, false);
    exif[2] = 43;
    assert_int_equal(sn_exif_orientation(exif, size), 1);
}

static void truncated_pictures(void **state)
{
    (void)state;
    test_picture jpeg = make_jpeg(WIDTH, HEIGHT, (jpeg_kind){.components = 3});
    test_picture progressive = make_jpeg(WIDTH, HEIGHT, (jpeg_kind){.components = 3, .progressive = true});
    test_picture png = make_png(WIDTH, HEIGHT, (png_kind){.colour = PNG_COLOR_TYPE_RGB, .depth = 8});
    sn_image image = {0};
    /* Behind the 24 rows is only the end marker: without it the picture is whole. */
    assert_works(sn_image_decode(jpeg.bytes, jpeg.size - 2, "t.jpg", false, &image));
    sn_image_free(&image);
    assert_works(sn_image_decode(progressive.bytes, progressive.size - 2, "t.jpg", false, &image));
    sn_image_free(&image);
    assert_fails(sn_image_decode(jpeg.bytes, jpeg.size * 3 / 4, "t.jpg", false, &image), SENET_BAD_DATA,
                 "t.jpg: truncated: the data ends after ", " of 24 rows");
    assert_fails(sn_image_decode(progressive.bytes, progressive.size * 3 / 4, "t.jpg", false, &image), SENET_BAD_DATA,
                 "t.jpg: truncated: the data ends after 0 of 24 rows");
    assert_fails(sn_image_decode(jpeg.bytes, 100, "t.jpg", false, &image), SENET_BAD_DATA,
                 "t.jpg: truncated: the data ends before the picture begins");
    assert_fails(sn_image_decode(png.bytes, png.size / 2, "t.png", false, &image), SENET_BAD_DATA,
                 "t.png: truncated: the data ends after ", " of 24 rows");
    assert_fails(sn_image_decode(png.bytes, 20, "t.png", false, &image), SENET_BAD_DATA,
                 "t.png: truncated: the PNG chunk at byte 8 claims 13 bytes, 4 are left");
    for (size_t size = 0; size + 20 < png.size; size++) /* the last 20 bytes: sums and the end chunk */
        assert_fails(sn_image_decode(png.bytes, size, "t.png", false, &image), SENET_BAD_DATA, "t.png: ");
    for (size_t size = 0; size < jpeg.size * 9 / 10; size++)
        assert_fails(sn_image_decode(jpeg.bytes, size, "t.jpg", true, &image), SENET_BAD_DATA, "t.jpg: ");
    assert_null(image.pixels);
    free(jpeg.bytes);
    free(progressive.bytes);
    free(png.bytes);
}

static void not_pictures(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *message;
    } cases[] = {
        {"", 0, "x.jpg: the file is empty"},
        {"GIF89a", 6, "x.jpg: not a JPEG or PNG picture (starts with 'GIF8')"},
        {"hi", 2, "(starts with 'hi')"},
        {"\0\0\0\x1c", 4, "(starts with 00 00 00 1c)"},
        {"\xFF\xD8", 2, "(starts with ff d8)"},
        {"\x89PNG\r\n\x1A", 7, "(starts with 89 50 4e 47)"},
        {"\xFF\xD8\xFF", 3, "x.jpg: truncated: the data ends before the picture begins"},
        {"\xFF\xD8\xFF\xD9 nothing in it", 17, "x.jpg: damaged JPEG at byte 4: "},
    };
    sn_image image = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_fails(sn_image_decode(cases[i].bytes, cases[i].size, "x.jpg", true, &image), SENET_BAD_DATA,
                     cases[i].message);
    assert_fails(sn_image_read("/nowhere/x.jpg", true, &image), SENET_NO_INPUT, "/nowhere/x.jpg: No such file");
}

/* Headers that claim more than the limit, or more than the file could hold, fail before memory is taken. */
static void claims_of_size(void **state)
{
    (void)state;
    sn_image image = {0};
    test_picture jpeg = make_jpeg(WIDTH, HEIGHT, (jpeg_kind){.components = 3});
    unsigned char *frame = memmem(jpeg.bytes, jpeg.size, "\xFF\xC0", 2);
    memcpy(frame + 5, "\x20\x00\x20\x00", 4); /* 8192 x 8192 */
    assert_fails(sn_image_decode(jpeg.bytes, jpeg.size, "t.jpg", false, &image), SENET_BAD_DATA,
                 "t.jpg: truncated: ", " bytes cannot hold 8192 x 8192 pixels");
    memcpy(frame + 5, "\xFF\xFF\xFF\xFF", 4);
    assert_fails(sn_image_decode(jpeg.bytes, jpeg.size, "t.jpg", false, &image), SENET_BAD_DATA, "t.jpg: ");
    memcpy(frame + 5, "\x80\x00\x40\x00", 4);
    assert_fails(sn_image_decode(jpeg.bytes, jpeg.size, "t.jpg", false, &image), SENET_BAD_DATA,
                 "t.jpg: 16384 x 32768 pixels; at least 1 and at most 268435456 are supported");
    free(jpeg.bytes);

    test_picture png = make_png(4, 4, (png_kind){.colour = PNG_COLOR_TYPE_RGB, .depth = 8});
    memcpy(png.bytes + 16, "\x00\x01\x00\x00\x00\x00\x40\x00",
           8); /* the checksum no longer fits, which is seen first */
    assert_fails(sn_image_decode(png.bytes, png.size, "t.png", false, &image), SENET_BAD_DATA,
                 "t.png: damaged PNG at byte 33: IHDR: CRC error");
    free(png.bytes);
}

/* A chunk that claims 46 MB in a file of a few hundred bytes is refused by its length, before memory is taken for it.
 */
static void claims_of_chunks(void **state)
{
    (void)state;
    unsigned char exif[64];
    unsigned size = make_exif(exif, true, 6, false);
    sn_image image = {0};
    test_picture png =
        make_png(9, 7, (png_kind){.colour = PNG_COLOR_TYPE_RGB, .depth = 8, .exif = exif, .exif_size = size});
    unsigned char *chunk = memmem(png.bytes, png.size, "eXIf", 4);
    memcpy(chunk - 4, "\x02\xBD\x83\x65", 4);
    assert_fails(sn_image_decode(png.bytes, png.size, "t.png", true, &image), SENET_BAD_DATA,
                 "t.png: truncated: the PNG chunk at byte 33 claims 45974373 bytes, ");
    free(png.bytes);
}

static void flipped_bits_never_break(void **state)
{
    (void)state;
    unsigned char exif[64];
    unsigned size = make_exif(exif, false, 6, true);
    test_picture pictures[] = {
        make_jpeg(16, 16, (jpeg_kind){.components = 3, .app1 = exif, .app1_size = size}),
        make_jpeg(16, 16, (jpeg_kind){.components = 4, .progressive = true, .ycck = true}),
        make_png(9, 7, (png_kind){.colour = PNG_COLOR_TYPE_RGBA, .depth = 16, .interlaced = true}),
        make_png(9, 7, (png_kind){.colour = PNG_COLOR_TYPE_PALETTE, .depth = 8}),
    };
    for (int p = 0; p < 4; p++) {
        int failures = 0;
        for (size_t bit = 0; bit < pictures[p].size * 8; bit++) {
            sn_image image = {0};
            pictures[p].bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            senet_status status =
                sn_image_decode_within(pictures[p].bytes, pictures[p].size, "t", true, 1 << 16, &image);
            pictures[p].bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            failures += status != SENET_OK;
            if (status == SENET_OK)
                assert_non_null(image.pixels);
            else
                assert_fails(status, SENET_BAD_DATA, "t: ");
            sn_image_free(&image);
        }
        assert_true(failures > 0);
        free(pictures[p].bytes);
    }
}

/* ---- resizing ---- */

static sn_image noise(int width, int height)
{
    sn_image image = {.width = width, .height = height, .pixels = malloc((size_t)(width * height) * 3)};
    for (int i = 0; i < width * height * 3; i++)
        image.pixels[i] = (uint8_t)sn_rng_u64(sn_rng_key(2, SN_RNG_TEST, 0, 0), (uint64_t)i);
    return image;
}

/* The filters' definition in double precision, both passes without rounding between them. */
static double reference(const sn_image *image, int width, int height, int kind, int x, int y, int c)
{
    double sum = 0, weights = 0;
    double sx = (double)image->width / width, sy = (double)image->height / height;
    double px = (x + 0.5) * sx - 0.5, py = (y + 0.5) * sy - 0.5;
    double wide = kind == SN_INTERPOLATION_BILINEAR ? 1 : fmax(sx, 1),
           high = kind == SN_INTERPOLATION_BILINEAR ? 1 : fmax(sy, 1);
    bool edge = kind == SN_INTERPOLATION_BILINEAR; /* OpenCV repeats the edge, Pillow leaves out what is outside */
    int reach = kind == SN_INTERPOLATION_PIL_BICUBIC ? 2 : 1;
    for (int v = (int)floor(py - reach * high); v <= (int)ceil(py + reach * high); v++)
        for (int u = (int)floor(px - reach * wide); u <= (int)ceil(px + reach * wide); u++) {
            if (!edge && (u < 0 || v < 0 || u >= image->width || v >= image->height)) continue;
            double w = 1;
            for (int axis = 0; axis < 2; axis++) {
                double t = fabs(axis ? (v - py) / high : (u - px) / wide);
                if (kind != SN_INTERPOLATION_PIL_BICUBIC)
                    w *= fmax(0, 1 - t);
                else
                    w *= t < 1 ? (1.5 * t - 2.5) * t * t + 1 : t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
            }
            int uu = u < 0               ? 0
                     : u >= image->width ? image->width - 1
                                         : u,
                vv = v < 0                ? 0
                     : v >= image->height ? image->height - 1
                                          : v;
            sum += w * pixel(image, uu, vv)[c];
            weights += w;
        }
    return fmin(255, fmax(0, sum / weights));
}

static void filters_match_their_definition(void **state)
{
    (void)state;
    static const int sizes[][4] = {{17, 11, 30, 25}, {40, 30, 13, 9}, {21, 8, 21, 20},
                                   {8, 21, 3, 21},   {1, 1, 5, 4},    {2, 9, 1, 1}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int kind = SN_INTERPOLATION_BILINEAR; kind <= SN_INTERPOLATION_PIL_BICUBIC; kind++) {
            sn_image image = noise(sizes[s][0], sizes[s][1]), resized = {0};
            assert_works(sn_image_resize(&image, sizes[s][2], sizes[s][3], kind, &resized));
            /* One step from 8 or 11 fractional bits; Pillow rounds and clips between its passes too: half a step times
             * the sum of |weights| of the vertical filter, at most 1.3; the bicubic filter may also overshoot 0..255
             * there, which noise makes large. */
            double tolerance = kind == SN_INTERPOLATION_PIL_BICUBIC ? 24 : 1.2;
            for (int y = 0; y < resized.height; y++)
                for (int x = 0; x < resized.width; x++)
                    for (int c = 0; c < 3; c++) {
                        double wanted = reference(&image, resized.width, resized.height, kind, x, y, c);
                        assert_true(fabs(pixel(&resized, x, y)[c] - wanted) <= tolerance);
                    }
            sn_image_free(&image);
            sn_image_free(&resized);
        }
}

/* Fingerprints of results that were compared with Pillow 11.3 and OpenCV 4.8 (without IPP) and found equal in every
 * byte. */
static void same_bits_as_pillow_and_opencv(void **state)
{
    (void)state;
    static const struct {
        int width, height, kind;
        uint64_t hash;
    } cases[] = {
        {90, 80, SN_INTERPOLATION_BILINEAR, 0x7bc7bd329de9b909},
        {90, 80, SN_INTERPOLATION_PIL_BILINEAR, 0xfd35f60d0bdf8f0d},
        {90, 80, SN_INTERPOLATION_PIL_BICUBIC, 0xb11e97360e24b2a2},
        {23, 31, SN_INTERPOLATION_BILINEAR, 0xe07fcc9d57a17e2d},
        {23, 31, SN_INTERPOLATION_PIL_BILINEAR, 0x9dace0e3c4137d57},
        {23, 31, SN_INTERPOLATION_PIL_BICUBIC, 0x4652d6b6a6c11451},
        {100, 20, SN_INTERPOLATION_BILINEAR, 0x70f7b9b0b690de29},
        {100, 20, SN_INTERPOLATION_PIL_BILINEAR, 0x4e6e4853429b2d38},
        {100, 20, SN_INTERPOLATION_PIL_BICUBIC, 0x2e459551417aca5f},
        {61, 13, SN_INTERPOLATION_BILINEAR, 0x479ce4090eeb530d},
        {61, 13, SN_INTERPOLATION_PIL_BILINEAR, 0x6a783c6cd28e9d97},
        {61, 13, SN_INTERPOLATION_PIL_BICUBIC, 0xe424b5e07db048ff},
    };
    sn_image image = noise(61, 47);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sn_image resized = {0};
        assert_works(sn_image_resize(&image, cases[i].width, cases[i].height, cases[i].kind, &resized));
        uint64_t hash = sn_fnv1a64(resized.pixels, (size_t)(resized.width * resized.height) * 3);
        sn_image_free(&resized);
        if (hash != cases[i].hash)
            fail_msg("%d x %d, filter %d: %016llx", cases[i].width, cases[i].height, cases[i].kind,
                     (unsigned long long)hash);
    }
    sn_image_free(&image);
}

static void preprocessing_is_resize_and_crop(void **state)
{
    (void)state;
    static const int cases[][5] = {/* picture, input, resized picture */
                                   {64, 48, 32, 48, 36},
                                   {48, 64, 32, 36, 48},
                                   {37, 37, 32, 36, 36},
                                   {33, 100, 7, 8, 24}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int kind = SN_INTERPOLATION_BILINEAR; kind <= SN_INTERPOLATION_PIL_BICUBIC; kind++) {
            int size = cases[i][2], width = cases[i][3], height = cases[i][4];
            sn_image image = noise(cases[i][0], cases[i][1]), resized = {0};
            sn_preprocess how = sn_preprocess_default(size);
            how.crop_pct = 0.875f;
            how.interpolation = kind;
            uint8_t *pixels = malloc((size_t)(size * size) * 3);
            assert_works(sn_image_preprocess(&image, &how, pixels));
            assert_works(sn_image_resize(&image, width, height, kind, &resized));
            /* Half to even with Pillow's filters, down with OpenCV's. */
            bool down = kind == SN_INTERPOLATION_BILINEAR;
            int left = down ? (width - size) / 2 : (int)nearbyint((width - size) / 2.0),
                top = down ? (height - size) / 2 : (int)nearbyint((height - size) / 2.0);
            for (int y = 0; y < size; y++)
                assert_memory_equal(pixels + y * size * 3, pixel(&resized, left, top + y), (size_t)size * 3);
            free(pixels);
            sn_image_free(&image);
            sn_image_free(&resized);
        }
}

static void preprocessing_edges(void **state)
{
    (void)state;
    uint8_t pixels[32 * 32 * 3];
    sn_image image = noise(32, 32);
    sn_preprocess how = sn_preprocess_default(32);
    assert_int_equal(how.interpolation, SN_INTERPOLATION_NONE);
    assert_works(sn_image_preprocess(&image, &how, pixels));
    assert_memory_equal(pixels, image.pixels, sizeof pixels);
    how.width = 31;
    assert_fails(sn_image_preprocess(&image, &how, pixels), SENET_BAD_DATA,
                 "the picture has 32 x 32 pixels, not 31 x 32");
    how.crop_pct = 0;
    assert_fails(sn_image_preprocess(&image, &how, pixels), SENET_USAGE, "crop_pct 0");
    assert_fails(sn_image_resize(&image, 0, 5, SN_INTERPOLATION_BILINEAR, &image), SENET_USAGE, "0 x 5");
    assert_fails(sn_image_resize(&image, 1 << 20, 1 << 20, SN_INTERPOLATION_BILINEAR, &image), SENET_USAGE,
                 "1048576 x 1048576");
    sn_image_free(&image);
    /* A thin line: its longer side would become 2.5 million pixels, of which only the crop is computed. */
    image = noise(1, 70000);
    how =
        (sn_preprocess){.height = 32, .width = 32, .crop_pct = 0.875f, .interpolation = SN_INTERPOLATION_PIL_BILINEAR};
    assert_works(sn_image_preprocess(&image, &how, pixels));
    sn_image_free(&image);
}

static void written_png_reads_back(void **state)
{
    (void)state;
    char *folder = make_scratch(), path[4200];
    snprintf(path, sizeof path, "%s/w.png", folder);
    sn_image image = noise(31, 17), read = {0};
    assert_works(sn_image_write_png(path, image.width, image.height, image.pixels));
    assert_works(sn_image_read(path, true, &read));
    assert_int_equal(read.width, 31);
    assert_int_equal(read.height, 17);
    assert_memory_equal(read.pixels, image.pixels, 31 * 17 * 3);
    assert_fails(sn_image_write_png("/dev/full", 31, 17, image.pixels), SENET_CANNOT_WRITE, "/dev/full: No space left");
    assert_fails(sn_image_write_png(path, 0, 17, image.pixels), SENET_USAGE, path, "a picture of 0 x 17: ");
    sn_image_free(&image);
    sn_image_free(&read);
    remove_scratch(folder);
}

/* ---- parts ---- */

typedef struct part_case {
    sn_wanted wanted;
    int width, height; /* that the chooser was told */
} part_case;

static void choose_part(void *context, int width, int height, sn_wanted *wanted)
{
    part_case *c = context;
    c->width = width;
    c->height = height;
    *wanted = c->wanted;
}

/* A JPEG with detail in it, and colours at a half, a quarter or all of the resolution. */
static test_picture noisy_jpeg(int width, int height, int across, int down, bool progressive, int restart)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL, row[3 * 256], *rows = row;
    unsigned long size = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, &size);
    jpeg.image_width = (JDIMENSION)width;
    jpeg.image_height = (JDIMENSION)height;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 95, TRUE);
    jpeg.comp_info[0].h_samp_factor = across;
    jpeg.comp_info[0].v_samp_factor = down;
    jpeg.restart_interval = (unsigned)restart;
    if (progressive) jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    for (uint64_t y = 0; jpeg.next_scanline < jpeg.image_height; y++) {
        for (int i = 0; i < 3 * width; i++) row[i] = (uint8_t)sn_rng_u64(sn_rng_key(9, SN_RNG_TEST, y, 0), (uint64_t)i);
        jpeg_write_scanlines(&jpeg, &rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return (test_picture){bytes, size};
}

/* What is decoded of a part is what decoding all of the picture gives there, to the bit. */
static void parts_are_the_same_pixels(void **state)
{
    (void)state;
    enum { W = 230, H = 170 };
    static const int factors[][2] = {{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}};
    for (size_t f = 0; f < 5; f++)
        for (int kind = 0; kind < 3; kind++) { /* baseline, with restarts, progressive */
            test_picture picture = noisy_jpeg(W, H, factors[f][0], factors[f][1], kind == 2, kind == 1 ? 3 : 0);
            sn_image whole = {0};
            assert_works(sn_image_decode(picture.bytes, picture.size, "t", false, &whole));
            for (uint64_t i = 0; i < 80; i++) {
                const uint64_t key = sn_rng_key(4, SN_RNG_TEST, i, f);
                part_case c = {
                    .wanted = {.width = 1 + (int)sn_rng_below(key, 0, W), .height = 1 + (int)sn_rng_below(key, 1, H)}};
                c.wanted.left = (int)sn_rng_below(key, 2, (uint64_t)(W - c.wanted.width + 1));
                c.wanted.top = (int)sn_rng_below(key, 3, (uint64_t)(H - c.wanted.height + 1));
                sn_image image = {0};
                sn_pixels part;
                assert_works(
                    sn_image_decode_part(picture.bytes, picture.size, "t", false, choose_part, &c, &image, &part));
                assert_int_equal(c.width, W);
                assert_int_equal(c.height, H);
                assert_int_equal(part.width, c.wanted.width);
                assert_int_equal(part.height, c.wanted.height);
                for (int y = 0; y < part.height; y++)
                    assert_memory_equal(part.first + (size_t)y * part.stride,
                                        pixel(&whole, c.wanted.left, c.wanted.top + y), (size_t)part.width * 3);
                sn_image_free(&image);
            }
            sn_image_free(&whole);
            free(picture.bytes);
        }
}

/* A part is reduced by 2, 4 or 8, never below its least size, and shows the same place: on a smooth picture, whose
 * colours change by 3 a pixel, by at most the slope over the reduced pixels. */
static void parts_are_reduced_as_far_as_allowed(void **state)
{
    (void)state;
    enum { W = 96, H = 80 };
    test_picture picture = make_jpeg(W, H, (jpeg_kind){.components = 3});
    static const int cases[][2] = {{64, 1}, {33, 1}, {32, 2}, {17, 2}, {16, 4}, {9, 4}, {8, 8}, {1, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int by = cases[i][1];
        part_case c = {.wanted = {8, 16, 64, 64, cases[i][0], cases[i][0]}};
        sn_image image = {0};
        sn_pixels part;
        assert_works(sn_image_decode_part(picture.bytes, picture.size, "t", false, choose_part, &c, &image, &part));
        assert_int_equal(part.width, 64 / by);
        assert_int_equal(part.height, 64 / by);
        for (int y = 0; y < part.height; y++)
            for (int x = 0; x < part.width; x++) {
                const double wanted_x = 8 + (x + 0.5) * by - 0.5, wanted_y = 16 + (y + 0.5) * by - 0.5;
                const uint8_t *rgb = part.first + (size_t)y * part.stride + 3 * x;
                /* Colours at half the resolution lag by up to a reduced pixel at the border. */
                assert_true(fabs(rgb[0] - 3 * wanted_x) < 8 + 3 * by && fabs(rgb[1] - 3 * wanted_y) < 8 + 3 * by);
            }
        sn_image_free(&image);
    }
    free(picture.bytes);
}

/* Parts of pictures that the decoder takes as a whole: turned ones, CMYK, PNG. */
static void parts_of_other_pictures_are_right(void **state)
{
    (void)state;
    test_picture pictures[] = {make_png(WIDTH, HEIGHT, (png_kind){.colour = PNG_COLOR_TYPE_RGB, .depth = 8}),
                               make_jpeg(WIDTH, HEIGHT, (jpeg_kind){.components = 4, .adobe = true}),
                               make_jpeg(WIDTH, HEIGHT, (jpeg_kind){.components = 1})};
    for (size_t i = 0; i < 3; i++) {
        part_case c = {.wanted = {5, 7, 11, 13, 0, 0}};
        sn_image whole = {0}, image = {0};
        sn_pixels part;
        assert_works(sn_image_decode(pictures[i].bytes, pictures[i].size, "t", false, &whole));
        assert_works(
            sn_image_decode_part(pictures[i].bytes, pictures[i].size, "t", false, choose_part, &c, &image, &part));
        for (int y = 0; y < 13; y++)
            assert_memory_equal(part.first + (size_t)y * part.stride, pixel(&whole, 5, 7 + y), 33);
        sn_image_free(&whole);
        sn_image_free(&image);
        free(pictures[i].bytes);
    }
}

/* A file that ends too early is refused even where the part lies before the end. */
static void truncated_parts_are_refused(void **state)
{
    (void)state;
    test_picture picture = noisy_jpeg(200, 160, 2, 2, false, 0);
    part_case c = {.wanted = {0, 0, 50, 20, 0, 0}};
    sn_image image = {0};
    sn_pixels part;
    assert_fails(
        sn_image_decode_part(picture.bytes, picture.size * 3 / 4, "cut", false, choose_part, &c, &image, &part),
        SENET_BAD_DATA, "cut: truncated: the data ends after");
    assert_works(
        sn_image_decode_part(picture.bytes, picture.size - 2, "no end marker", false, choose_part, &c, &image, &part));
    sn_image_free(&image);
    free(picture.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_the_same_pixels),
        cmocka_unit_test(parts_are_reduced_as_far_as_allowed),
        cmocka_unit_test(parts_of_other_pictures_are_right),
        cmocka_unit_test(truncated_parts_are_refused),
        cmocka_unit_test(jpeg_kinds),
        cmocka_unit_test(png_kinds),
        cmocka_unit_test(orientations),
        cmocka_unit_test(damaged_exif_is_no_orientation),
        cmocka_unit_test(truncated_pictures),
        cmocka_unit_test(not_pictures),
        cmocka_unit_test(claims_of_size),
        cmocka_unit_test(claims_of_chunks),
        cmocka_unit_test(flipped_bits_never_break),
        cmocka_unit_test(filters_match_their_definition),
        cmocka_unit_test(same_bits_as_pillow_and_opencv),
        cmocka_unit_test(preprocessing_is_resize_and_crop),
        cmocka_unit_test(preprocessing_edges),
        cmocka_unit_test(written_png_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
