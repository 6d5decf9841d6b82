/* protocol.c - see protocol.h; sources: RECIPES 1.2 (single, 320), 4 (the others), 6 (places365). */
#include "train/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

typedef struct named_protocol {
    const char *name;
    sn_protocol protocol;
} named_protocol;

static const named_protocol protocols[] = {
    {"single", {.crops = 1}},
    {"ten-crop", {.crops = 10, .mirrors = true}},
    {"twelve-crop", {.crops = 12, .mirrors = true, .resize = SN_VIEW_SQUARE}},
    {"144-crop", {.crops = 144, .mirrors = true, .scales = {256, 288, 320, 352}, .scales_count = 4}},
    {"multi-scale",
     {.crops = 10,
      .mirrors = true,
      .sizes = {{224, 224}, {320, 320}},
      .sizes_count = 2,
      .scales = {224, 256, 288, 320, 352, 384},
      .scales_count = 6}},
    {"320", {.crops = 1, .sizes = {{320, 320}}, .sizes_count = 1, .scales = {320}, .scales_count = 1}},
    {"places365", {.crops = 1, .resize = SN_VIEW_SQUARE, .scales = {256}, .scales_count = 1}},
};
enum { PROTOCOLS = sizeof protocols / sizeof protocols[0] };

senet_status sn_protocol_find(const char *name, sn_protocol *protocol)
{
    char known[256] = "";
    for (size_t i = 0, used = 0; i < PROTOCOLS; i++) {
        if (strcmp(protocols[i].name, name) == 0) {
            *protocol = protocols[i].protocol;
            return SENET_OK;
        }
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", protocols[i].name);
    }
    return sn_fail(SENET_USAGE, "unknown protocol '%s'; known: %s", name, known);
}

/* ---- from text ---- */

enum { LARGEST_SIDE = 1 << 14 };

/* A side from text[0 .. length-1]. */
static senet_status parse_side(const char *text, size_t length, int *side)
{
    char word[32];
    if (length >= sizeof word) length = sizeof word - 1;
    memcpy(word, text, length);
    word[length] = '\0';
    return sn_parse_int_in("a side in pixels", word, 1, LARGEST_SIDE, side);
}

senet_status sn_protocol_parse_scales(const char *text, sn_protocol *protocol)
{
    protocol->scales_count = 0;
    for (const char *item = text;; item++) {
        size_t length = strcspn(item, ",");
        if (protocol->scales_count == SN_MAX_SCALES)
            return sn_fail(SENET_USAGE, "'%s': more than %d scales", text, SN_MAX_SCALES);
        SN_RETURN_IF_FAILED(parse_side(item, length, &protocol->scales[protocol->scales_count]));
        protocol->scales_count++;
        item += length;
        if (!*item) return SENET_OK;
    }
}

senet_status sn_protocol_parse_sizes(const char *text, sn_protocol *protocol)
{
    protocol->sizes_count = 0;
    for (const char *item = text;; item++) {
        size_t length = strcspn(item, ","), height = strcspn(item, ",x");
        if (protocol->sizes_count == SN_MAX_CROP_SIZES)
            return sn_fail(SENET_USAGE, "'%s': more than %d crop sizes", text, SN_MAX_CROP_SIZES);
        sn_crop_size *size = &protocol->sizes[protocol->sizes_count++];
        SN_RETURN_IF_FAILED(parse_side(item, height, &size->height));
        size->width = size->height;
        if (height < length) SN_RETURN_IF_FAILED(parse_side(item + height + 1, length - height - 1, &size->width));
        item += length;
        if (!*item) return SENET_OK;
    }
}

/* ---- scales and crops ---- */

/* Whether a picture resized to `scale` has room for the crop (view.h: of an oblong crop, the scale is along its shorter
 * side; but GoogLeNet's crops are cut from squares). */
static bool fits(const sn_protocol *protocol, int scale, sn_crop_size size)
{
    bool tall = size.height > size.width, square = protocol->crops == 144;
    return scale >= (square == tall ? size.height : size.width);
}

senet_status sn_protocol_check(const sn_protocol *protocol)
{
    for (size_t s = 0; s < protocol->sizes_count && protocol->scales_count; s++) {
        bool used = false;
        for (size_t i = 0; i < protocol->scales_count; i++)
            used |= fits(protocol, protocol->scales[i], protocol->sizes[s]);
        if (!used)
            return sn_fail(SENET_USAGE, "no scale is large enough for crops of %d x %d pixels",
                           protocol->sizes[s].height, protocol->sizes[s].width);
    }
    for (size_t i = 0; i < protocol->scales_count && protocol->sizes_count; i++) {
        bool used = false;
        for (size_t s = 0; s < protocol->sizes_count; s++)
            used |= fits(protocol, protocol->scales[i], protocol->sizes[s]);
        if (!used)
            return sn_fail(SENET_USAGE, "scale %d is smaller than crops of %d x %d pixels", protocol->scales[i],
                           protocol->sizes[0].height, protocol->sizes[0].width);
    }
    return SENET_OK;
}

/* ---- the views ---- */

typedef struct view_list {
    sn_view *views;
    size_t count, capacity;
    bool mirrors;
} view_list;

static senet_status add(view_list *list, sn_view view)
{
    for (int mirrored = 0; mirrored <= (list->mirrors ? 1 : 0); mirrored++) {
        if (!sn_grow(&list->views, sizeof *list->views, &list->capacity, list->count + 1))
            return sn_fail_memory((list->count + 1) * sizeof *list->views, "the views of a picture");
        view.mirror = mirrored;
        list->views[list->count++] = view;
    }
    return SENET_OK;
}

/* The centre, then the corners, then perhaps the whole: the first view is the single crop's. */
static senet_status add_crops(view_list *list, sn_view view, bool corners, bool whole)
{
    static const sn_view_crop order[] = {SN_CROP_CENTRE,      SN_CROP_TOP_LEFT,     SN_CROP_TOP_RIGHT,
                                         SN_CROP_BOTTOM_LEFT, SN_CROP_BOTTOM_RIGHT, SN_CROP_WHOLE};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        bool wanted = order[i] == SN_CROP_CENTRE || (order[i] == SN_CROP_WHOLE ? whole : corners);
        view.crop = order[i];
        if (wanted) SN_RETURN_IF_FAILED(add(list, view));
    }
    return SENET_OK;
}

static senet_status add_scale(view_list *list, const sn_protocol *protocol, sn_view view)
{
    static const sn_view_square squares[] = {SN_SQUARE_FIRST, SN_SQUARE_CENTRE, SN_SQUARE_LAST};
    view.resize = protocol->resize;
    switch (protocol->crops) {
    case 1:
        return add_crops(list, view, false, false);
    case 10:
        return add_crops(list, view, true, false);
    case 12:
        return add_crops(list, view, true, true);
    default:
        for (size_t i = 0; i < sizeof squares / sizeof squares[0]; i++) {
            view.square = squares[i];
            SN_RETURN_IF_FAILED(add_crops(list, view, true, true));
        }
        return SENET_OK;
    }
}

senet_status sn_protocol_views(const sn_protocol *protocol, const sn_preprocess *how, sn_view **views, size_t *count)
{
    view_list list = {.mirrors = protocol->mirrors};
    const sn_crop_size size = {how->height, how->width};
    senet_status status = SENET_OK;
    *views = NULL;
    *count = 0;
    sn_view view = sn_view_of(how);
    if (!protocol->scales_count) SN_TRY(add_scale(&list, protocol, view), cleanup);
    for (size_t i = 0; i < protocol->scales_count; i++) {
        view.side = protocol->scales[i];
        if (fits(protocol, view.side, size)) SN_TRY(add_scale(&list, protocol, view), cleanup);
    }
    if (!list.count) {
        status = sn_fail(SENET_USAGE, "no scale is large enough for crops of %d x %d pixels", how->height, how->width);
        goto cleanup;
    }
    *views = list.views;
    *count = list.count;
    return SENET_OK;
cleanup:
    free(list.views);
    return status;
}
