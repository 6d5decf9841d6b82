/* crop.c - see crop.h. */
#include "data/crop.h"

#include <math.h>

#include "base/rng.h"

enum { ATTEMPTS = 10 };
/* Numbers of the stream: those of augment.c come first; each attempt has five. */
enum { FIRST_DRAW = 16, DRAW_AREA = 0, DRAW_ASPECT, DRAW_EXCHANGE, DRAW_LEFT, DRAW_TOP, DRAWS };

static double uniform(double low, double high, uint64_t key, uint64_t i)
{
    return low + (high - low) * sn_rng_uniform(key, i);
}

static sn_crop sample(const sn_augment *augment, int width, int height, uint64_t key)
{
    sn_crop crop = {0};
    for (uint64_t draw = FIRST_DRAW; draw < FIRST_DRAW + ATTEMPTS * DRAWS; draw += DRAWS) {
        double area = uniform(augment->area_min, augment->area_max, key, draw + DRAW_AREA) * width * height;
        double aspect = uniform(1 / augment->aspect, augment->aspect, key, draw + DRAW_ASPECT);
        double across = round(sqrt(area * aspect)), down = round(sqrt(area / aspect));
        if (sn_rng_below(key, draw + DRAW_EXCHANGE, 2) == 1) {
            double keep = across;
            across = down;
            down = keep;
        }
        if (across < 1 || down < 1 || across > width || down > height) continue;
        crop.found = true;
        crop.width = (int)across;
        crop.height = (int)down;
        crop.left = (int)sn_rng_below(key, draw + DRAW_LEFT, (uint64_t)width - (uint64_t)crop.width + 1);
        crop.top = (int)sn_rng_below(key, draw + DRAW_TOP, (uint64_t)height - (uint64_t)crop.height + 1);
        return crop;
    }
    return crop;
}

/* Where from + length of a side of `square` pixels lie on one of `side`: at least one pixel. */
static void stretch(int *from, int *length, int square, int side)
{
    const double scale = (double)side / square;
    int begin = (int)floor(*from * scale), end = (int)ceil((*from + *length) * scale);
    if (end > side) end = side;
    *from = begin;
    *length = end - begin;
}

sn_crop sn_crop_sample(const sn_augment *augment, int width, int height, uint64_t key)
{
    if (augment->square <= 0) return sample(augment, width, height, key);
    sn_crop crop = sample(augment, augment->square, augment->square, key);
    if (!crop.found) return crop;
    stretch(&crop.left, &crop.width, augment->square, width);
    stretch(&crop.top, &crop.height, augment->square, height);
    return crop;
}
