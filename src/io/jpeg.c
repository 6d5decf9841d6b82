/* jpeg.c - JPEG by libjpeg-turbo: greyscale, YCbCr, RGB, CMYK and YCCK; baseline, progressive, arithmetic.
 *
 * A file that ends too early is an error that says how far it got.  Damage inside the data that the library passes over
 * with a warning is passed over here too, as by every viewer: data sets in use have such pictures.
 *
 * Of a picture that is wanted in part only the rows and columns of the part are decoded, with a margin around them where
 * colours are stored at less than the full resolution: the library's smooth upsampling looks at the neighbours.  The rows below are not read, unless the file has no
 * end marker, and so may be truncated. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "io/picture.h"

enum { MAX_SCANS = 1000 /* against files that cost hours */, EXIF_BYTES = 6 /* "Exif", NUL, NUL */ };

/* libjpeg's objects lead; its callbacks find the rest behind them. */
typedef struct jpeg_reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    sn_picture *picture;
    bool at_end; /* the file ended before the picture did */
    unsigned char *cmyk_row, *spare_row;
    int first_row; /* of the output, that the image begins with */
    senet_status status;
} jpeg_reader;

static jpeg_reader *reader_of(j_common_ptr jpeg)
{
    return jpeg->client_data;
}

static void fail(jpeg_reader *r, senet_status status)
{
    r->status = status;
    longjmp(r->failed, 1);
}

static void fail_truncated(jpeg_reader *r)
{
    fail(r, sn_fail(SENET_BAD_DATA, "%s: truncated: the data ends after %u of %u rows", r->picture->name,
                    r->jpeg.output_scanline, r->jpeg.image_height));
}

static void on_error(j_common_ptr jpeg)
{
    jpeg_reader *r = reader_of(jpeg);
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    if (r->at_end && r->jpeg.image_height) fail_truncated(r);
    if (r->at_end)
        fail(r, sn_fail(SENET_BAD_DATA, "%s: truncated: the data ends before the picture begins", r->picture->name));
    senet_status status = jpeg->err->msg_code == JERR_OUT_OF_MEMORY ? SENET_NO_MEMORY : SENET_BAD_DATA;
    fail(r, sn_fail(status, "%s: damaged JPEG at byte %zu: %s", r->picture->name,
                    r->picture->size - r->source.bytes_in_buffer, text));
}

/* Warnings (level < 0).  One of them tells that data was really missing, where an absent end marker alone does no harm.
 */
static void on_message(j_common_ptr jpeg, int level)
{
    jpeg_reader *r = reader_of(jpeg);
    if (level < 0 && r->at_end && jpeg->err->msg_code == JWRN_HIT_MARKER) fail_truncated(r);
}

static void on_progress(j_common_ptr jpeg)
{
    jpeg_reader *r = reader_of(jpeg);
    if (r->jpeg.input_scan_number > MAX_SCANS)
        fail(r, sn_fail(SENET_BAD_DATA, "%s: damaged JPEG: more than %d scans", r->picture->name, MAX_SCANS));
}

static void source_start(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

/* Past the last byte: an end marker, so that the library comes to an end by itself. */
static boolean source_refill(j_decompress_ptr jpeg)
{
    static const JOCTET end_marker[2] = {0xFF, JPEG_EOI};
    reader_of((j_common_ptr)jpeg)->at_end = true;
    jpeg->src->next_input_byte = end_marker;
    jpeg->src->bytes_in_buffer = 2;
    return TRUE;
}

static void source_skip(j_decompress_ptr jpeg, long bytes)
{
    if (bytes <= 0) return;
    if ((size_t)bytes > jpeg->src->bytes_in_buffer) {
        source_refill(jpeg);
    } else {
        jpeg->src->next_input_byte += bytes;
        jpeg->src->bytes_in_buffer -= (size_t)bytes;
    }
}

static void set_up(jpeg_reader *r)
{
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    r->jpeg.client_data = r;
    jpeg_create_decompress(&r->jpeg);
    r->source = (struct jpeg_source_mgr){
        .next_input_byte = r->picture->bytes,
        .bytes_in_buffer = r->picture->size,
        .init_source = source_start,
        .fill_input_buffer = source_refill,
        .skip_input_data = source_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = source_start,
    };
    r->jpeg.src = &r->source;
    r->progress.progress_monitor = on_progress;
    r->jpeg.progress = &r->progress;
    if (r->picture->exif) jpeg_save_markers(&r->jpeg, JPEG_APP0 + 1, 0xFFFF);
}

static int find_orientation(const jpeg_reader *r)
{
    for (jpeg_saved_marker_ptr marker = r->jpeg.marker_list; marker; marker = marker->next)
        if (marker->data_length > EXIF_BYTES && memcmp(marker->data, "Exif\0", EXIF_BYTES) == 0)
            return sn_exif_orientation(marker->data + EXIF_BYTES, marker->data_length - EXIF_BYTES);
    return 1;
}

static void choose_colours(jpeg_reader *r)
{
    switch (r->jpeg.jpeg_color_space) {
    case JCS_GRAYSCALE:
    case JCS_RGB:
    case JCS_YCbCr:
        r->jpeg.out_color_space = JCS_RGB;
        return;
    case JCS_CMYK:
    case JCS_YCCK:
        r->jpeg.out_color_space = JCS_CMYK;
        r->cmyk_row = malloc((size_t)r->jpeg.image_width * 4);
        if (!r->cmyk_row) fail(r, sn_fail_memory((size_t)r->jpeg.image_width * 4, r->picture->name));
        return;
    default:
        fail(r, sn_fail(SENET_BAD_DATA, "%s: a JPEG with %d components of unknown colours", r->picture->name,
                        r->jpeg.num_components));
    }
}

/* With Huffman codes every unit of at most 32 x 32 pixels takes a bit of the file or more; arithmetic coding has no
 * such bound. */
static int64_t most_pixels(const jpeg_reader *r)
{
    return r->jpeg.arith_code ? INT64_MAX : (int64_t)r->picture->size * 8 * 32 * 32;
}

/* Adobe's programs store ink inverted; then 255 means none. */
static void cmyk_to_rgb(const unsigned char *cmyk, bool inverted, int width, uint8_t *rgb)
{
    for (int x = 0; x < width; x++, cmyk += 4, rgb += 3) {
        int white = inverted ? cmyk[3] : 255 - cmyk[3];
        for (int c = 0; c < 3; c++) {
            int ink = inverted ? 255 - cmyk[c] : cmyk[c];
            rgb[c] = (uint8_t)(white - (ink * white + 127) / 255);
        }
    }
}

/* Whether a file with several scans had all of them: known only for progressive ones, whose coefficients have all bits.
 */
static bool is_complete(const jpeg_reader *r)
{
    if (!r->jpeg.coef_bits) return false;
    for (int c = 0; c < r->jpeg.num_components; c++)
        for (int i = 0; i < DCTSIZE2; i++)
            if (r->jpeg.coef_bits[c][i] != 0) return false;
    return true;
}

static void read_rows(jpeg_reader *r)
{
    sn_image *image = &r->picture->image;
    while (r->jpeg.output_scanline < (JDIMENSION)(r->first_row + image->height)) {
        uint8_t *rgb =
            image->pixels + (size_t)(r->jpeg.output_scanline - (JDIMENSION)r->first_row) * (size_t)image->width * 3;
        JSAMPROW row = r->cmyk_row ? r->cmyk_row : rgb;
        jpeg_read_scanlines(&r->jpeg, &row, 1);
        if (r->cmyk_row) cmyk_to_rgb(r->cmyk_row, r->jpeg.saw_Adobe_marker, image->width, rgb);
    }
}

/* ---- a part ---- */

/* The strongest reduction that leaves the wanted part its least size. */
static void choose_scale(jpeg_reader *r, const sn_wanted *wanted)
{
    r->jpeg.scale_num = r->jpeg.scale_denom = 8;
    if (wanted->least_width < 1 || wanted->least_height < 1) return;
    while (r->jpeg.scale_num > 1 &&
           (int64_t)wanted->width * (r->jpeg.scale_num / 2) >= (int64_t)wanted->least_width * 8 &&
           (int64_t)wanted->height * (r->jpeg.scale_num / 2) >= (int64_t)wanted->least_height * 8)
        r->jpeg.scale_num /= 2;
}

/* `from` .. `end` of the picture's `full` pixels, in the `reduced` pixels of the output, rounded outwards. */
static void scale_range(int *from, int *end, JDIMENSION full, JDIMENSION reduced)
{
    *from = (int)((int64_t)*from * reduced / full);
    *end = (int)(((int64_t)*end * reduced + full - 1) / full);
}

/* The pixels around a part that its own depend on: two samples of colour, where colours need upsampling along the side.
 */
static int margin_of(int most_samples)
{
    return most_samples > 1 ? 2 * most_samples : 0;
}

/* Decompresses only what the part needs.  Returns where the part lies in the image. */
static sn_wanted begin_part(jpeg_reader *r)
{
    sn_wanted wanted;
    r->picture->choose(r->picture->context, (int)r->jpeg.image_width, (int)r->jpeg.image_height, &wanted);
    choose_scale(r, &wanted);
    jpeg_start_decompress(&r->jpeg);
    int left = wanted.left, right = left + wanted.width, top = wanted.top, bottom = top + wanted.height;
    scale_range(&left, &right, r->jpeg.image_width, r->jpeg.output_width);
    scale_range(&top, &bottom, r->jpeg.image_height, r->jpeg.output_height);
    const int beside = margin_of(r->jpeg.max_h_samp_factor), above = margin_of(r->jpeg.max_v_samp_factor);
    const int end = right + beside < (int)r->jpeg.output_width ? right + beside : (int)r->jpeg.output_width;
    JDIMENSION begin = (JDIMENSION)(left > beside ? left - beside : 0), width = (JDIMENSION)end - begin;
    if (width < r->jpeg.output_width) jpeg_crop_scanline(&r->jpeg, &begin, &width); /* rounds begin down to a unit */
    r->first_row = top > above ? top - above : 0;
    senet_status status = sn_picture_allocate(r->picture, r->jpeg.output_width, bottom - r->first_row);
    if (status != SENET_OK) fail(r, status);
    return (sn_wanted){
        .left = left - (int)begin, .top = top - r->first_row, .width = right - left, .height = bottom - top};
}

/* Most files have their end marker at their very end. */
static bool has_end_marker(const jpeg_reader *r)
{
    static const unsigned char marker[2] = {0xFF, JPEG_EOI};
    const unsigned char *rest = r->source.next_input_byte;
    const size_t size = r->source.bytes_in_buffer;
    return size >= 2 && (memcmp(rest + size - 2, marker, 2) == 0 || memmem(rest, size, marker, 2));
}

/* A file that has its end marker is not truncated; of one that has none, the rest is decoded to see how far it goes. */
static void check_end(jpeg_reader *r)
{
    if (r->at_end || has_end_marker(r)) return;
    r->spare_row = malloc((size_t)r->jpeg.output_width * 3);
    if (!r->spare_row) fail(r, sn_fail_memory((size_t)r->jpeg.output_width * 3, r->picture->name));
    while (r->jpeg.output_scanline < r->jpeg.output_height) jpeg_read_scanlines(&r->jpeg, &r->spare_row, 1);
}

static void read_part(jpeg_reader *r)
{
    const sn_wanted part = begin_part(r);
    if (r->at_end && jpeg_has_multiple_scans(&r->jpeg) && !is_complete(r)) fail_truncated(r);
    if (r->first_row > 0) jpeg_skip_scanlines(&r->jpeg, (JDIMENSION)r->first_row);
    read_rows(r);
    if (!jpeg_has_multiple_scans(&r->jpeg)) check_end(r); /* else all of the file is read by now */
    r->picture->part = sn_image_part(&r->picture->image, part.left, part.top, part.width, part.height);
    r->picture->has_part = true;
}

/* Everything that may jump; r->status tells how it went. */
static void decode(jpeg_reader *r)
{
    if (setjmp(r->failed)) return;
    set_up(r);
    jpeg_read_header(&r->jpeg, TRUE);
    if (r->picture->exif) r->picture->orientation = find_orientation(r);
    choose_colours(r);
    senet_status status = sn_picture_check(r->picture, r->jpeg.image_width, r->jpeg.image_height, most_pixels(r));
    if (status != SENET_OK) fail(r, status);
    if (r->picture->choose && r->picture->orientation == 1 && !r->cmyk_row) {
        read_part(r);
    } else {
        jpeg_start_decompress(&r->jpeg);
        status = sn_picture_allocate(r->picture, r->jpeg.image_width, r->jpeg.image_height);
        if (status != SENET_OK) fail(r, status);
        if (r->at_end && jpeg_has_multiple_scans(&r->jpeg) && !is_complete(r)) fail_truncated(r);
        read_rows(r);
    }
    r->status = SENET_OK;
}

senet_status sn_jpeg_decode(sn_picture *picture)
{
    jpeg_reader r = {.picture = picture, .status = SENET_INTERNAL};
    decode(&r);
    jpeg_destroy_decompress(&r.jpeg);
    free(r.cmyk_row);
    free(r.spare_row);
    return r.status;
}
