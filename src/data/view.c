/* view.c - see view.h.  Resizing is io/resample.c's, window by window: only the pixels of the crop are computed. */
#include "data/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/mirror.h"

/* A rectangle of the resized picture. */
typedef struct area {
    int64_t left, top, width, height;
} area;

/* Where a centred piece begins that leaves `excess` pixels over. */
static int64_t centre(int64_t excess, int interpolation)
{
    int64_t half = excess / 2;
    if (interpolation == SN_INTERPOLATION_BILINEAR) return half;
    return half + (excess % 2 && half % 2); /* Python's round: halves to the even number */
}

sn_view sn_view_of(const sn_preprocess *how)
{
    const int shorter = how->height < how->width ? how->height : how->width;
    /* crop_pct is a decimal such as 0.8, which float makes 0.800000012: 240 / 0.8 must stay 300. */
    double crop_pct = round((double)how->crop_pct * 1e6) / 1e6, side = floor(shorter / crop_pct);
    sn_view view = {.side = 0}; /* which sn_view_apply refuses */
    if (crop_pct > 0 && side < (double)INT32_MAX)
        view.side = how->interpolation == SN_INTERPOLATION_NONE ? shorter : (int)side;
    return view;
}

static senet_status check(const sn_view *view, const sn_preprocess *how, const sn_image *image)
{
    if (how->width < 1 || how->height < 1 || view->side < 1)
        return sn_fail(SENET_USAGE, "cannot prepare a picture for an input of %d x %d by a resize to %d (crop_pct %g)",
                       how->width, how->height, view->side, (double)how->crop_pct);
    if (how->interpolation == SN_INTERPOLATION_NONE && (image->width != how->width || image->height != how->height))
        return sn_fail(SENET_BAD_DATA, "the picture has %d x %d pixels, not %d x %d, and interpolation is none",
                       image->width, image->height, how->width, how->height);
    return SENET_OK;
}

/* The size of the whole picture after resizing: of its own shape the smallest that covers the box, or the box. */
static area resized(const sn_view *view, const sn_preprocess *how, const sn_image *image)
{
    const int64_t shorter = how->height < how->width ? how->height : how->width;
    const int64_t box_width = how->width * (int64_t)view->side / shorter;
    const int64_t box_height = how->height * (int64_t)view->side / shorter;
    area full = {.width = box_width, .height = box_height};
    if (view->resize == SN_VIEW_SQUARE) return full;
    if (box_height * image->width >= box_width * image->height)
        full.width = box_height * image->width / image->height;
    else
        full.height = box_width * image->height / image->width;
    return full;
}

static area take_square(const sn_view *view, const sn_preprocess *how, area full)
{
    const int64_t side = full.width < full.height ? full.width : full.height;
    area square = {.width = side, .height = side};
    if (view->square == SN_SQUARE_NONE) return full;
    if (view->square == SN_SQUARE_LAST) {
        square.left = full.width - side;
        square.top = full.height - side;
    } else if (view->square == SN_SQUARE_CENTRE) {
        square.left = centre(full.width - side, how->interpolation);
        square.top = centre(full.height - side, how->interpolation);
    }
    return square;
}

/* The crop of the input's size within `from`; both excesses are checked. */
static area take_crop(const sn_view *view, const sn_preprocess *how, area from)
{
    const int64_t right = from.width - how->width, down = from.height - how->height;
    area crop = {.left = from.left, .top = from.top, .width = how->width, .height = how->height};
    switch (view->crop) {
    case SN_CROP_CENTRE:
        crop.left += centre(right, how->interpolation);
        crop.top += centre(down, how->interpolation);
        break;
    case SN_CROP_BOTTOM_RIGHT:
        crop.left += right;
        crop.top += down;
        break;
    case SN_CROP_TOP_RIGHT:
        crop.left += right;
        break;
    case SN_CROP_BOTTOM_LEFT:
        crop.top += down;
        break;
    default:
        break;
    }
    return crop;
}

static senet_status resample(const sn_image *image, area full, area part, int interpolation, uint8_t *pixels)
{
    sn_window window = {.full_width = full.width,
                        .full_height = full.height,
                        .left = part.left,
                        .top = part.top,
                        .width = (int)part.width,
                        .height = (int)part.height};
    return sn_image_resample(sn_image_whole(image), window, interpolation, pixels);
}

/* All of `part` resized once more, to the input's size. */
static senet_status resize_part(const sn_image *image, area full, area part, const sn_preprocess *how, uint8_t *pixels)
{
    int64_t bytes;
    if (!sn_multiply(part.width, part.height, &bytes) || part.width < 1 || part.height < 1 || bytes > INT32_MAX / 3)
        return sn_fail(SENET_BAD_DATA, "a picture of %d x %d cannot become %lld x %lld pixels", image->width,
                       image->height, (long long)full.width, (long long)full.height);
    sn_image between = {.width = (int)part.width, .height = (int)part.height, .pixels = malloc((size_t)bytes * 3)};
    if (!between.pixels) return sn_fail_memory((size_t)bytes * 3, "a resized picture");
    senet_status status = resample(image, full, part, how->interpolation, between.pixels);
    area whole = {.width = how->width, .height = how->height};
    if (status == SENET_OK) status = resample(&between, whole, whole, how->interpolation, pixels);
    sn_image_free(&between);
    return status;
}

senet_status sn_view_apply(const sn_view *view, const sn_preprocess *how, const sn_image *image, uint8_t *pixels)
{
    SN_RETURN_IF_FAILED(check(view, how, image));
    const area full = resized(view, how, image), from = take_square(view, how, full);
    if (view->crop == SN_CROP_WHOLE) {
        SN_RETURN_IF_FAILED(resize_part(image, full, from, how, pixels));
    } else {
        if (from.width < how->width || from.height < how->height)
            return sn_fail(SENET_USAGE, "a picture resized to %lld x %lld is smaller than the crop of %d x %d",
                           (long long)from.width, (long long)from.height, how->width, how->height);
        SN_RETURN_IF_FAILED(resample(image, full, take_crop(view, how, from), how->interpolation, pixels));
    }
    if (view->mirror) sn_mirror(how->width, how->height, pixels);
    return SENET_OK;
}

senet_status sn_image_preprocess(const sn_image *image, const sn_preprocess *how, uint8_t *pixels)
{
    sn_view view = sn_view_of(how);
    return sn_view_apply(&view, how, image, pixels);
}
