/* png.c - PNG by libpng: every colour type and depth to 8-bit RGB, transparency over white; and writing RGB. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "base/file.h"
#include "base/text.h"
#include "io/picture.h"

typedef struct png_reader {
    png_structp png;
    png_infop info;
    jmp_buf failed;
    sn_picture *picture;
    size_t at;        /* next byte of the file */
    bool at_end;      /* the file ended before the picture did */
    png_bytep pixels; /* RGBA: one row, or all of them when interlaced */
    png_uint_32 rows; /* that are complete */
    senet_status status;
} png_reader;

static void fail(png_reader *r, senet_status status)
{
    r->status = status;
    longjmp(r->failed, 1);
}

static void on_error(png_structp png, png_const_charp message)
{
    png_reader *r = png_get_error_ptr(png);
    const char *name = r->picture->name;
    if (r->at_end && r->picture->image.height)
        fail(r, sn_fail(SENET_BAD_DATA, "%s: truncated: the data ends after %u of %d rows", name, r->rows,
                        r->picture->image.height));
    if (r->at_end) fail(r, sn_fail(SENET_BAD_DATA, "%s: truncated: the data ends before the picture begins", name));
    fail(r, sn_fail(SENET_BAD_DATA, "%s: damaged PNG at byte %zu: %s", name, r->at, message));
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png; /* odd but harmless: a strange colour profile, a chunk out of place */
    (void)message;
}

static void on_read(png_structp png, png_bytep to, size_t count)
{
    png_reader *r = png_get_io_ptr(png);
    if (count > r->picture->size - r->at) {
        r->at_end = true;
        png_error(png, "the file ends too early");
    }
    memcpy(to, r->picture->bytes + r->at, count);
    r->at += count;
}

static void set_up(png_reader *r)
{
    r->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r, on_error, on_warning);
    if (r->png) r->info = png_create_info_struct(r->png);
    if (!r->info) fail(r, sn_fail_memory(1 << 12, r->picture->name));
    png_set_read_fn(r->png, r, on_read);
    png_set_user_limits(r->png, 0x7fffffff, 0x7fffffff); /* sn_picture_check has the say */
    /* What a compressed colour profile or text, which nobody here asks for, may unpack to. */
    png_set_chunk_malloc_max(r->png, r->picture->size + (1 << 16));
}

/* Asks for 8-bit RGBA whatever the file holds. */
static void choose_colours(png_reader *r)
{
    png_set_expand(r->png); /* palette, 1 to 4 bits, transparent colour */
    png_set_scale_16(r->png);
    png_set_gray_to_rgb(r->png);
    png_set_add_alpha(r->png, 0xFF, PNG_FILLER_AFTER);
}

/* deflate makes at most 1032 bytes of one; a pixel may take a single bit of them. */
static int64_t most_pixels(const png_reader *r)
{
    int64_t bits = png_get_bit_depth(r->png, r->info) * png_get_channels(r->png, r->info);
    return (int64_t)r->picture->size * 1032 * 8 / bits;
}

static void row_over_white(const uint8_t *rgba, int width, uint8_t *rgb)
{
    for (int x = 0; x < width; x++, rgba += 4, rgb += 3)
        for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)((rgba[c] * rgba[3] + 255 * (255 - rgba[3]) + 127) / 255);
}

/* An interlaced picture is complete only after its last pass, so all its rows wait in r->pixels. */
static void read_rows(png_reader *r)
{
    sn_image *image = &r->picture->image;
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    size_t row_bytes = (size_t)image->width * 4, stride = passes > 1 ? row_bytes : 0;
    if (png_get_rowbytes(r->png, r->info) != row_bytes) png_error(r->png, "a row is not RGBA");
    size_t bytes = passes > 1 ? row_bytes * (size_t)image->height : row_bytes;
    r->pixels = calloc(bytes, 1); /* zeroed: libpng reads what an earlier pass should have written */
    if (!r->pixels) fail(r, sn_fail_memory(bytes, r->picture->name));
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < image->height; y++) {
            png_bytep row = r->pixels + (size_t)y * stride;
            png_read_row(r->png, row, NULL);
            if (pass < passes - 1) continue;
            row_over_white(row, image->width, image->pixels + (size_t)y * (size_t)image->width * 3);
            r->rows++;
        }
}

static int find_orientation(png_reader *r)
{
    png_uint_32 size = 0;
    png_bytep exif = NULL;
    return png_get_eXIf_1(r->png, r->info, &size, &exif) && exif ? sn_exif_orientation(exif, size) : 1;
}

/* libpng takes the memory that a chunk claims to need before it reads it.  So every chunk must fit into the file, but
 * for the image data, which it reads piece by piece: how many rows a cut file has is seen there. */
static senet_status check_chunks(const sn_picture *picture)
{
    enum { SIGNATURE = 8, HEAD = 8 /* length, type */, SUM = 4 };
    for (size_t at = SIGNATURE; at < picture->size && picture->size - at >= HEAD;) {
        const png_byte *chunk = picture->bytes + at;
        size_t length = png_get_uint_32(chunk), left = picture->size - at - HEAD;
        if (memcmp(chunk + 4, "IEND", 4) == 0) return SENET_OK;
        if (length > left || left - length < SUM) {
            if (memcmp(chunk + 4, "IDAT", 4) == 0) return SENET_OK;
            return sn_fail(SENET_BAD_DATA, "%s: truncated: the PNG chunk at byte %zu claims %zu bytes, %zu are left",
                           picture->name, at, length, left);
        }
        at += HEAD + length + SUM;
    }
    return SENET_OK;
}

/* Everything that may jump; r->status tells how it went. */
static void decode(png_reader *r)
{
    if (setjmp(r->failed)) return;
    set_up(r);
    png_read_info(r->png, r->info);
    const png_uint_32 width = png_get_image_width(r->png, r->info), height = png_get_image_height(r->png, r->info);
    senet_status status = sn_picture_check(r->picture, width, height, most_pixels(r));
    if (status == SENET_OK) status = sn_picture_allocate(r->picture, width, height);
    if (status != SENET_OK) fail(r, status);
    choose_colours(r);
    read_rows(r);
    png_read_end(r->png, r->info); /* checks the last sums; a late eXIf chunk */
    if (r->picture->exif) r->picture->orientation = find_orientation(r);
    r->status = SENET_OK;
}

senet_status sn_png_decode(sn_picture *picture)
{
    png_reader r = {.picture = picture, .status = SENET_INTERNAL};
    SN_RETURN_IF_FAILED(check_chunks(picture));
    decode(&r);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    free(r.pixels);
    return r.status;
}

/* ---- writing ---- */

typedef struct png_writer {
    png_structp png;
    png_infop info;
    jmp_buf failed;
    sn_text file;
    char problem[128];
} png_writer;

static void on_write_error(png_structp png, png_const_charp message)
{
    png_writer *w = png_get_error_ptr(png);
    snprintf(w->problem, sizeof w->problem, "%s", message);
    longjmp(w->failed, 1);
}

static void on_write(png_structp png, png_bytep bytes, size_t count)
{
    png_writer *w = png_get_io_ptr(png);
    sn_text_add(&w->file, bytes, count);
    if (w->file.failed) png_error(png, "out of memory");
}

static void on_flush(png_structp png)
{
    (void)png;
}

/* false with w->problem on failure. */
static bool encode(png_writer *w, int width, int height, const uint8_t *rgb)
{
    if (setjmp(w->failed)) return false;
    w->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w, on_write_error, on_warning);
    if (w->png) w->info = png_create_info_struct(w->png);
    if (!w->info) {
        snprintf(w->problem, sizeof w->problem, "out of memory");
        return false;
    }
    png_set_write_fn(w->png, w, on_write, on_flush);
    png_set_IHDR(w->png, w->info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(w->png, w->info);
    for (int y = 0; y < height; y++) png_write_row(w->png, rgb + (size_t)y * (size_t)width * 3);
    png_write_end(w->png, w->info);
    return true;
}

senet_status sn_image_write_png(const char *path, int width, int height, const uint8_t *rgb)
{
    png_writer w = {.png = NULL};
    senet_status status;
    if (encode(&w, width, height, rgb))
        status = sn_file_write(path, w.file.bytes, w.file.length);
    else
        status = sn_fail(w.file.failed ? SENET_NO_MEMORY : SENET_USAGE, "%s: a picture of %d x %d: %s", path, width,
                         height, w.problem);
    png_destroy_write_struct(&w.png, &w.info);
    sn_text_free(&w.file);
    return status;
}
