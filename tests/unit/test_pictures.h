/* test_pictures.h - pictures for tests, made by libjpeg and libpng in memory. */
#ifndef SN_TEST_PICTURES_H
#define SN_TEST_PICTURES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

typedef struct test_picture {
    unsigned char *bytes; /* free() */
    size_t size;
} test_picture;

/* A smooth pattern, so that JPEG changes it little: component c of pixel (x, y). */
static inline uint8_t pattern(int x, int y, int c)
{
    return (uint8_t)(c == 0 ? 3 * x : c == 1 ? 3 * y : c == 2 ? x + y : 40 + x);
}

typedef struct jpeg_kind {
    int components; /* 1: grey, 3: YCbCr, 4: CMYK */
    bool ycck, progressive, adobe, arithmetic;
    const unsigned char *app1; /* a marker APP1 with these bytes */
    unsigned app1_size;
} jpeg_kind;

static inline test_picture make_jpeg(int width, int height, jpeg_kind kind)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL, *row = malloc((size_t)width * 4);
    unsigned long size = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, &size);
    jpeg.image_width = (JDIMENSION)width;
    jpeg.image_height = (JDIMENSION)height;
    jpeg.input_components = kind.components;
    jpeg.in_color_space = kind.components == 1 ? JCS_GRAYSCALE : kind.components == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    if (kind.ycck) jpeg_set_colorspace(&jpeg, JCS_YCCK);
    jpeg_set_quality(&jpeg, 100, TRUE);
    jpeg.write_Adobe_marker = kind.adobe || kind.ycck;
    jpeg.arith_code = kind.arithmetic;
    if (kind.progressive) jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    if (kind.app1) jpeg_write_marker(&jpeg, JPEG_APP0 + 1, kind.app1, kind.app1_size);
    while (jpeg.next_scanline < jpeg.image_height) {
        for (int x = 0; x < width; x++)
            for (int c = 0; c < kind.components; c++)
                row[x * kind.components + c] = pattern(x, (int)jpeg.next_scanline, c);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    free(row);
    return (test_picture){bytes, size};
}

typedef struct png_kind {
    int colour, depth; /* PNG_COLOR_TYPE_*; 1, 2, 4, 8, 16 */
    bool interlaced, transparent_colour;
    const unsigned char *exif;
    unsigned exif_size;
} png_kind;

static inline void png_append(png_structp png, png_bytep bytes, size_t count)
{
    test_picture *picture = png_get_io_ptr(png);
    picture->bytes = realloc(picture->bytes, picture->size + count);
    memcpy(picture->bytes + picture->size, bytes, count);
    picture->size += count;
}

static inline void png_no_flush(png_structp png)
{
    (void)png;
}

/* Grey: pattern 0; RGB: patterns 0..2; alpha: pattern 3; palette: entry i is (i, 2 i, 255 - i).  Fewer than 8 bits: x +
 * y; 16 bits: the pattern times 257. */
static inline test_picture make_png(int width, int height, png_kind kind)
{
    test_picture picture = {0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    int channels = kind.colour == PNG_COLOR_TYPE_GRAY || kind.colour == PNG_COLOR_TYPE_PALETTE ? 1
                   : kind.colour == PNG_COLOR_TYPE_GRAY_ALPHA                                  ? 2
                   : kind.colour == PNG_COLOR_TYPE_RGB                                         ? 3
                                                                                               : 4;
    bool alpha = kind.colour & PNG_COLOR_MASK_ALPHA;
    png_set_write_fn(png, &picture, png_append, png_no_flush);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, kind.depth, kind.colour,
                 kind.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_color palette[256];
    for (int i = 0; i < 256; i++) palette[i] = (png_color){(png_byte)i, (png_byte)(2 * i), (png_byte)(255 - i)};
    if (kind.colour == PNG_COLOR_TYPE_PALETTE) png_set_PLTE(png, info, palette, 1 << kind.depth);
    png_color_16 key = {.gray = 3, .red = 9, .green = 6, .blue = 5}; /* pattern at (1, .) and (3, 2) */
    if (kind.transparent_colour) png_set_tRNS(png, info, NULL, 0, &key);
    if (kind.exif) png_set_eXIf_1(png, info, kind.exif_size, (png_bytep)(uintptr_t)kind.exif);
    png_write_info(png, info);
    if (kind.depth < 8) png_set_packing(png);
    size_t row_bytes = (size_t)width * (size_t)channels * (kind.depth == 16 ? 2 : 1);
    png_bytep *rows = malloc((size_t)height * sizeof *rows);
    for (int y = 0; y < height; y++) {
        rows[y] = malloc(row_bytes);
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++) {
                int value =
                    kind.depth < 8 ? (x + y) % (1 << kind.depth) : pattern(x, y, alpha && c == channels - 1 ? 3 : c);
                if (kind.depth == 16)
                    memset(rows[y] + 2 * (x * channels + c), value, 2);
                else
                    rows[y][x * channels + c] = (png_byte)value;
            }
    }
    png_write_image(png, rows);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    for (int y = 0; y < height; y++) free(rows[y]);
    free(rows);
    return picture;
}

#endif
