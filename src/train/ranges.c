/* ranges.c - see ranges.h. */
#include "train/ranges.h"

#include <math.h>

void sn_range_widen(sn_range_histogram *h, const float *values, int64_t count)
{
    float low = h->low, high = h->high;
    for (int64_t i = 0; i < count; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    h->low = low;
    h->high = high;
}

void sn_range_count(sn_range_histogram *h, const float *values, int64_t count)
{
    float width = h->high - h->low, factor = width > 0 ? (float)SN_RANGE_BINS / width : 0;
    for (int64_t i = 0; i < count; i++) {
        int bin = (int)((values[i] - h->low) * factor);
        h->bins[bin < 0 ? 0 : bin >= SN_RANGE_BINS ? SN_RANGE_BINS - 1 : bin]++;
    }
    h->seen += count;
}

static sn_quant quant_of(double low, double high)
{
    double scale = (high - low) / 255;
    if (!(scale >= 1e-30)) return (sn_quant){1, 0}; /* nothing but zeros */
    return (sn_quant){(float)scale, (int32_t)lrint(-low / scale)};
}

/* Squared error of all values, each taken to lie in the middle of its bin, where rounding costs a twelfth of a step squared. */
static double error_of(const sn_range_histogram *h, sn_quant quant)
{
    double width = ((double)h->high - (double)h->low) / SN_RANGE_BINS, scale = (double)quant.scale, sum = 0;
    double least = -quant.zero * scale, most = (255 - quant.zero) * scale;
    for (int b = 0; b < SN_RANGE_BINS; b++) {
        if (h->bins[b] == 0) continue;
        double v = (double)h->low + (b + 0.5) * width, cut = v < least ? least - v : v > most ? v - most : 0;
        sum += (double)h->bins[b] * (cut * cut + (cut == 0 ? scale * scale / 12 : 0));
    }
    return sum;
}

sn_quant sn_range_choose(const sn_range_histogram *h)
{
    enum { TRIED = 80 };
    double least = 0;
    sn_quant best = quant_of((double)h->low, (double)h->high);
    for (int k = 0; k < TRIED; k++) {
        double share = 1 - (double)k / (TRIED + 20);
        sn_quant quant = quant_of((double)h->low * share, (double)h->high * share);
        double error = error_of(h, quant);
        if (k > 0 && error >= least) continue;
        least = error;
        best = quant;
    }
    return best;
}
