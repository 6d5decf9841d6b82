/* image.c - pictures of image.h: what kind a file is, decoding, turning.  Formats: jpeg.c, png.c; filters: resample.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "io/picture.h"

enum { MAX_FILE = 1 << 30 };

senet_status sn_picture_check(const sn_picture *picture, int64_t width, int64_t height, int64_t most_pixels)
{
    int64_t pixels;
    if (width < 1 || height < 1 || !sn_multiply(width, height, &pixels) || pixels > picture->max_pixels)
        return sn_fail(SENET_BAD_DATA, "%s: %lld x %lld pixels; at least 1 and at most %lld are supported",
                       picture->name, (long long)width, (long long)height, (long long)picture->max_pixels);
    if (pixels > most_pixels)
        return sn_fail(SENET_BAD_DATA, "%s: truncated: %zu bytes cannot hold %lld x %lld pixels", picture->name,
                       picture->size, (long long)width, (long long)height);
    return SENET_OK;
}

senet_status sn_picture_allocate(sn_picture *picture, int64_t width, int64_t height)
{
    const size_t bytes = (size_t)width * (size_t)height * 3;
    picture->image.pixels = malloc(bytes);
    if (!picture->image.pixels) return sn_fail_memory(bytes, picture->name);
    picture->image.width = (int)width;
    picture->image.height = (int)height;
    return SENET_OK;
}

static senet_status fail_kind(const sn_picture *picture)
{
    char start[32] = "";
    size_t shown = picture->size < 4 ? picture->size : 4;
    bool printable = true;
    if (!shown) return sn_fail(SENET_BAD_DATA, "%s: the file is empty", picture->name);
    for (size_t i = 0; i < shown; i++) printable = printable && picture->bytes[i] >= 0x20 && picture->bytes[i] < 0x7f;
    if (printable)
        snprintf(start, sizeof start, "'%.*s'", (int)shown, (const char *)picture->bytes);
    else
        for (size_t i = 0; i < shown; i++)
            snprintf(start + strlen(start), sizeof start - strlen(start), i ? " %02x" : "%02x", picture->bytes[i]);
    return sn_fail(SENET_BAD_DATA, "%s: not a JPEG or PNG picture (starts with %s)", picture->name, start);
}

static bool starts_with(const sn_picture *picture, const char *start, size_t length)
{
    return picture->size >= length && memcmp(picture->bytes, start, length) == 0;
}

/* Decodes and turns upright; frees on failure. */
static senet_status decode(sn_picture *picture)
{
    senet_status status;
    if (starts_with(picture, "\xFF\xD8\xFF", 3))
        SN_TRY(sn_jpeg_decode(picture), cleanup);
    else if (starts_with(picture, "\x89PNG\r\n\x1A\n", 8))
        SN_TRY(sn_png_decode(picture), cleanup);
    else
        SN_TRY(fail_kind(picture), cleanup);
    SN_TRY(sn_image_orient(&picture->image, picture->orientation), cleanup);
    return SENET_OK;

cleanup:
    sn_image_free(&picture->image);
    return status;
}

senet_status sn_image_decode_within(const void *bytes, size_t size, const char *name, bool exif, int64_t max_pixels,
                                    sn_image *image)
{
    sn_picture picture = {
        .bytes = bytes, .size = size, .name = name, .exif = exif, .max_pixels = max_pixels, .orientation = 1};
    SN_RETURN_IF_FAILED(decode(&picture));
    *image = picture.image;
    return SENET_OK;
}

senet_status sn_image_decode_part(const void *bytes, size_t size, const char *name, bool exif, sn_image_chooser choose,
                                  void *context, sn_image *image, sn_pixels *part)
{
    sn_picture picture = {.bytes = bytes,
                          .size = size,
                          .name = name,
                          .exif = exif,
                          .max_pixels = SN_MAX_PIXELS,
                          .orientation = 1,
                          .choose = choose,
                          .context = context};
    SN_RETURN_IF_FAILED(decode(&picture));
    if (!picture.has_part) {
        sn_wanted wanted;
        choose(context, picture.image.width, picture.image.height, &wanted);
        picture.part = sn_image_part(&picture.image, wanted.left, wanted.top, wanted.width, wanted.height);
    }
    *image = picture.image;
    *part = picture.part;
    return SENET_OK;
}

senet_status sn_image_decode(const void *bytes, size_t size, const char *name, bool exif, sn_image *image)
{
    return sn_image_decode_within(bytes, size, name, exif, SN_MAX_PIXELS, image);
}

senet_status sn_image_read(const char *path, bool exif, sn_image *image)
{
    char *bytes = NULL;
    size_t size = 0;
    SN_RETURN_IF_FAILED(sn_file_read(path, MAX_FILE, &bytes, &size));
    senet_status status = sn_image_decode(bytes, size, path, exif, image);
    free(bytes);
    return status;
}

void sn_image_free(sn_image *image)
{
    if (!image) return;
    free(image->pixels);
    *image = (sn_image){0};
}

senet_status sn_image_orient(sn_image *image, int orientation)
{
    if (orientation == 1) return SENET_OK;
    bool turned = orientation >= 5; /* rows become columns */
    bool mirror_x =
        orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8; /* of the stored picture */
    bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    int width = turned ? image->height : image->width, height = turned ? image->width : image->height;
    uint8_t *pixels = malloc((size_t)width * (size_t)height * 3), *to = pixels;
    if (!pixels) return sn_fail_memory((size_t)width * (size_t)height * 3, "turning a picture");
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, to += 3) {
            int from_x = turned ? y : x, from_y = turned ? x : y;
            if (mirror_x) from_x = image->width - 1 - from_x;
            if (mirror_y) from_y = image->height - 1 - from_y;
            memcpy(to, image->pixels + 3 * ((size_t)from_y * (size_t)image->width + (size_t)from_x), 3);
        }
    free(image->pixels);
    *image = (sn_image){.width = width, .height = height, .pixels = pixels};
    return SENET_OK;
}

sn_pixels sn_image_part(const sn_image *image, int left, int top, int width, int height)
{
    size_t stride = (size_t)image->width * 3;
    return (sn_pixels){image->pixels + (size_t)top * stride + 3 * (size_t)left, width, height, stride};
}

sn_pixels sn_image_whole(const sn_image *image)
{
    return sn_image_part(image, 0, 0, image->width, image->height);
}

senet_status sn_image_resize(const sn_image *image, int width, int height, int interpolation, sn_image *resized)
{
    int64_t pixels;
    if (width < 1 || height < 1 || !sn_multiply(width, height, &pixels) || pixels > SN_MAX_PIXELS)
        return sn_fail(SENET_USAGE, "cannot resize a picture to %d x %d pixels", width, height);
    uint8_t *out = malloc((size_t)pixels * 3);
    if (!out) return sn_fail_memory((size_t)pixels * 3, "a resized picture");
    sn_window all = {.full_width = width, .full_height = height, .width = width, .height = height};
    senet_status status = sn_image_resample(sn_image_whole(image), all, interpolation, out);
    if (status == SENET_OK)
        *resized = (sn_image){.width = width, .height = height, .pixels = out};
    else
        free(out);
    return status;
}
