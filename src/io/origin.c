/* origin.c - the table behind origin.h [NAMES section 5; crops and interpolations from the libraries' own
 * configurations].
 *
 * A library's networks of one architecture may differ among each other, timm's above all: these are the usual values.
 */
#include "io/origin.h"

#include <fnmatch.h>
#include <string.h>

/* 104, 117, 123 (and Cadene's 128) of 255, and no division but by 255 itself. */
#define MEAN_CAFFE "0.40784314,0.45882353,0.48235294"
#define MEAN_CADENE "0.40784314,0.45882353,0.5019608"
#define STD_CAFFE "0.003921569,0.003921569,0.003921569"
#define MEAN_IMAGENET "0.485,0.456,0.406"
#define STD_IMAGENET "0.229,0.224,0.225"
#define HALVES "0.5,0.5,0.5"

enum { ENTRIES = 5 };
#define ENTRY_LIST(channels, mean, std, crop, interpolation)                                                           \
    {                                                                                                                  \
        {"channels", channels}, {"mean", mean}, {"std", std}, {"crop_pct", crop}, {"interpolation", interpolation},    \
        {                                                                                                              \
            NULL, NULL                                                                                                 \
        }                                                                                                              \
    }

static const struct {
    const char *origin, *model; /* a pattern of base names; the first row that fits counts */
    sn_metadata_entry entries[ENTRIES + 1];
} rows[] = {
    {"caffe", "*", ENTRY_LIST("BGR", MEAN_CAFFE, STD_CAFFE, "0.875", "bilinear")},
    {"cadene", "bn_inception", ENTRY_LIST("BGR", MEAN_CADENE, STD_CAFFE, "0.875", "pil_bilinear")},
    {"cadene", "inception_resnet_v2", ENTRY_LIST("RGB", HALVES, HALVES, "0.875", "pil_bilinear")},
    {"cadene", "*", ENTRY_LIST("RGB", MEAN_IMAGENET, STD_IMAGENET, "0.875", "pil_bilinear")},
    {"timm", "inception_resnet_v2", ENTRY_LIST("RGB", HALVES, HALVES, "0.8975", "pil_bicubic")},
    {"timm", "mobilenet", ENTRY_LIST("RGB", HALVES, HALVES, "0.875", "pil_bicubic")},
    {"timm", "*", ENTRY_LIST("RGB", MEAN_IMAGENET, STD_IMAGENET, "0.875", "pil_bilinear")},
    {"torchvision", "*", ENTRY_LIST("RGB", MEAN_IMAGENET, STD_IMAGENET, "0.875", "pil_bilinear")},
    {"akamaster", "*", ENTRY_LIST("RGB", MEAN_IMAGENET, STD_IMAGENET, "1", "none")},
};

const sn_metadata_entry *sn_origin_metadata(const char *origin, const char *base)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].origin, origin) == 0 && fnmatch(rows[i].model, base, 0) == 0) return rows[i].entries;
    return NULL;
}
