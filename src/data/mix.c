/* mix.c - see mix.h. */
#include "data/mix.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"

enum { DRAW_SWITCH, DRAW_CENTRE_Y, DRAW_CENTRE_X }; /* numbers of the batch's stream */
enum { BETA_STREAM = 0xBE, ONE = 65536 };

/* ---- Beta(alpha, alpha) ---- */

/* Uniform in (0, 1): never 0, whose logarithm nobody wants. */
static double open_uniform(uint64_t key, uint64_t i)
{
    return ((double)(sn_rng_u64(key, i) >> 11) + 0.5) / 9007199254740992.0;
}

/* log of a Gamma(alpha, 1) number: Marsaglia and Tsang 2000 for alpha + 1, and alpha's from it by a power of a uniform
 * number.  As a logarithm, since for a small alpha the number itself is often too small for a double. */
static double log_gamma_number(double alpha, uint64_t key)
{
    const double d = alpha + 1 - 1.0 / 3, c = 1 / sqrt(9 * d);
    const uint64_t normals = sn_rng_mix(key ^ 1), uniforms = sn_rng_mix(key ^ 2);
    for (uint64_t attempt = 0;; attempt++) {
        const double x = sn_rng_normal(normals, attempt), v = (1 + c * x) * (1 + c * x) * (1 + c * x);
        if (v <= 0) continue;
        if (log(open_uniform(uniforms, attempt + 1)) < 0.5 * x * x + d - d * v + d * log(v))
            return log(d * v) + log(open_uniform(uniforms, 0)) / alpha;
    }
}

double sn_mix_beta(double alpha, uint64_t key)
{
    /* X / (X + Y) of two Gamma numbers. */
    const double log_x = log_gamma_number(alpha, sn_rng_mix(key ^ 3)),
                 log_y = log_gamma_number(alpha, sn_rng_mix(key ^ 4));
    return 1 / (1 + exp(log_y - log_x));
}

/* ---- a draw ---- */

static int32_t clamp(int32_t value, int32_t high)
{
    return value < 0 ? 0 : value > high ? high : value;
}

static void sample_box(sn_mix_draw *draw, double kept, int height, int width, uint64_t key)
{
    const double side = sqrt(1 - kept);
    const int32_t tall = (int32_t)(height * side), wide = (int32_t)(width * side);
    const int32_t top = (int32_t)sn_rng_below(key, DRAW_CENTRE_Y, (uint64_t)height) - tall / 2;
    const int32_t left = (int32_t)sn_rng_below(key, DRAW_CENTRE_X, (uint64_t)width) - wide / 2;
    draw->box[0] = clamp(top, height);
    draw->box[1] = clamp(left, width);
    draw->box[2] = clamp(top + tall / 2 * 2, height);
    draw->box[3] = clamp(left + wide / 2 * 2, width);
    const double area = (double)(draw->box[2] - draw->box[0]) * (draw->box[3] - draw->box[1]);
    draw->mix = (float)(1 - area / ((double)height * width));
}

sn_mix_draw sn_mix_sample(const sn_augment *augment, int height, int width, uint64_t key)
{
    const bool both = augment->mixup > 0 && augment->cutmix > 0;
    sn_mix_draw draw = {.cuts = both ? sn_rng_below(key, DRAW_SWITCH, 2) == 1 : augment->cutmix > 0};
    const double kept = sn_mix_beta(draw.cuts ? augment->cutmix : augment->mixup, sn_rng_mix(key ^ BETA_STREAM));
    if (draw.cuts) {
        sample_box(&draw, kept, height, width, key);
    } else {
        draw.share = (uint32_t)lrint(kept * ONE);
        draw.mix = (float)draw.share / ONE;
    }
    return draw;
}

/* ---- applying it ---- */

/* Both pictures of a pair at once: each becomes its own share and the rest of the other. */
static void blend(uint32_t share, size_t bytes, uint8_t *restrict a, uint8_t *restrict b)
{
    const uint32_t rest = ONE - share;
    for (size_t i = 0; i < bytes; i++) {
        const uint32_t x = a[i], y = b[i];
        a[i] = (uint8_t)((share * x + rest * y + ONE / 2) / ONE);
        b[i] = (uint8_t)((share * y + rest * x + ONE / 2) / ONE);
    }
}

static void exchange(const int32_t box[4], int width, uint8_t *a, uint8_t *b)
{
    for (int32_t y = box[0]; y < box[2]; y++)
        for (size_t i = ((size_t)y * (size_t)width + (size_t)box[1]) * 3, end = i + 3 * (size_t)(box[3] - box[1]);
             i < end; i++) {
            const uint8_t keep = a[i];
            a[i] = b[i];
            b[i] = keep;
        }
}

void sn_mix_apply(const sn_mix_draw *draw, int64_t count, int height, int width, uint8_t *images, const int32_t *labels,
                  int32_t *labels2, float *mix)
{
    const size_t bytes = (size_t)height * (size_t)width * 3;
    for (int64_t i = 0; i < count; i++) {
        labels2[i] = labels[count - 1 - i];
        mix[i] = draw->mix;
    }
    for (int64_t i = 0; i < count / 2; i++) { /* the middle one of an odd count is its own partner */
        uint8_t *a = images + (size_t)i * bytes, *b = images + (size_t)(count - 1 - i) * bytes;
        if (draw->cuts)
            exchange(draw->box, width, a, b);
        else
            blend(draw->share, bytes, a, b);
    }
}
