/* resample.c - resizing by separable filters, 8 bits in and out.
 *
 * Pillow's filters follow its Resample.c: the filter is stretched by the scale when shrinking, its weights are
 * normalised and rounded to 22 fractional bits, and the rows between the horizontal and the vertical pass are 8-bit
 * again.  The results are Pillow's, bit for bit.  OpenCV's INTER_LINEAR follows its resize.cpp: two taps, 11 fractional
 * bits, no antialiasing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/picture.h"

/* For each output position: the first input position, how many follow, and their weights. */
typedef struct taps {
    int *first, *count;
    int32_t *weights; /* positions x most */
    int most;
} taps;

static void taps_free(taps *t)
{
    free(t->first);
    free(t->count);
    free(t->weights);
}

static senet_status taps_allocate(taps *t, int positions, int64_t most)
{
    int64_t weights;
    t->most = (int)most;
    if (most > INT32_MAX || !sn_multiply(most, positions, &weights) || weights > INT32_MAX)
        return sn_fail(SENET_BAD_DATA, "resizing needs %lld weights at each of %d places", (long long)most, positions);
    t->first = malloc((size_t)positions * sizeof *t->first);
    t->count = malloc((size_t)positions * sizeof *t->count);
    t->weights = calloc((size_t)weights, sizeof *t->weights);
    if (!t->first || !t->count || !t->weights) return sn_fail_memory((size_t)weights * sizeof *t->weights, "resizing");
    return SENET_OK;
}

/* ---- Pillow ---- */

enum { PIL_BITS = 22 };

typedef struct filter {
    double support;
    double (*value)(double x);
} filter;

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double cubic(double x) /* Keys, a = -0.5 */
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static senet_status pil_taps(filter f, int input, int64_t full, int64_t begin, int positions, taps *t)
{
    double scale = (double)input / (double)full, stretch = scale < 1 ? 1 : scale, support = f.support * stretch;
    SN_RETURN_IF_FAILED(taps_allocate(t, positions, (int64_t)ceil(support) * 2 + 1));
    double *values = malloc((size_t)t->most * sizeof *values);
    if (!values) return sn_fail_memory((size_t)t->most * sizeof *values, "resizing");
    for (int i = 0; i < positions; i++) {
        double centre = ((double)(begin + i) + 0.5) * scale, sum = 0, inverse = 1 / stretch;
        int first = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
        if (first < 0) first = 0;
        if (end > input) end = input;
        t->first[i] = first;
        t->count[i] = end - first;
        for (int k = 0; k < end - first; k++) {
            values[k] = f.value((k + first - centre + 0.5) * inverse);
            sum += values[k];
        }
        for (int k = 0; k < end - first; k++) {
            double weight = (sum != 0 ? values[k] / sum : values[k]) * (1 << PIL_BITS);
            t->weights[(size_t)i * (size_t)t->most + (size_t)k] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
        }
    }
    free(values);
    return SENET_OK;
}

static uint8_t pil_round(int32_t sum)
{
    sum >>= PIL_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* in: rows x the source's columns x 3 -> out: rows x width x 3 */
static void pil_horizontal(const uint8_t *in, int rows, size_t stride, const taps *t, int width, uint8_t *out)
{
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < width; x++, out += 3) {
            const uint8_t *p = in + (size_t)y * stride + 3 * (size_t)t->first[x];
            const int32_t *weights = t->weights + (size_t)x * (size_t)t->most;
            int32_t r = 1 << (PIL_BITS - 1), g = r, b = r;
            for (int k = 0; k < t->count[x]; k++, p += 3) {
                r += p[0] * weights[k];
                g += p[1] * weights[k];
                b += p[2] * weights[k];
            }
            out[0] = pil_round(r);
            out[1] = pil_round(g);
            out[2] = pil_round(b);
        }
}

/* in: rows x width x 3, whose first row is `row0` of the picture -> out: height x width x 3 */
static senet_status pil_vertical(const uint8_t *in, int row0, const taps *t, int width, int height, uint8_t *out)
{
    size_t line = (size_t)width * 3;
    int32_t *sums = malloc(line * sizeof *sums);
    if (!sums) return sn_fail_memory(line * sizeof *sums, "resizing");
    for (int y = 0; y < height; y++, out += line) {
        const uint8_t *p = in + (size_t)(t->first[y] - row0) * line;
        const int32_t *weights = t->weights + (size_t)y * (size_t)t->most;
        for (size_t i = 0; i < line; i++) sums[i] = 1 << (PIL_BITS - 1);
        for (int k = 0; k < t->count[y]; k++, p += line)
            for (size_t i = 0; i < line; i++) sums[i] += p[i] * weights[k];
        for (size_t i = 0; i < line; i++) out[i] = pil_round(sums[i]);
    }
    free(sums);
    return SENET_OK;
}

static senet_status pil_resample(sn_pixels source, sn_window w, filter f, uint8_t *out)
{
    senet_status status;
    taps across = {0}, down = {0};
    uint8_t *between = NULL;
    int row0, rows;
    size_t bytes;

    SN_TRY(pil_taps(f, source.width, w.full_width, w.left, w.width, &across), cleanup);
    SN_TRY(pil_taps(f, source.height, w.full_height, w.top, w.height, &down), cleanup);
    row0 = down.first[0]; /* only the rows that the vertical pass will read */
    rows = down.first[w.height - 1] + down.count[w.height - 1] - row0;
    bytes = (size_t)rows * (size_t)w.width * 3;
    between = malloc(bytes);
    if (!between) {
        status = sn_fail_memory(bytes, "resizing");
        goto cleanup;
    }
    /* Where the size stays, the filters have one weight of 1 and copy, as Pillow's skipped passes do. */
    pil_horizontal(source.first + (size_t)row0 * source.stride, rows, source.stride, &across, w.width, between);
    status = pil_vertical(between, row0, &down, w.width, w.height, out);

cleanup:
    free(between);
    taps_free(&across);
    taps_free(&down);
    return status;
}

/* ---- OpenCV ---- */

enum { CV_BITS = 11 };

/* Beyond the border both taps fall on the edge; their weights still count, as rounding then is OpenCV's. */
static senet_status cv_taps(int input, int64_t full, int64_t begin, int positions, taps *t)
{
    double scale = (double)input / (double)full;
    SN_RETURN_IF_FAILED(taps_allocate(t, positions, 2));
    for (int i = 0; i < positions; i++) {
        float place = (float)(((double)(begin + i) + 0.5) * scale - 0.5);
        int first = (int)floorf(place);
        float share = place - (float)first;
        int second = first + 1 < input ? first + 1 : input - 1;
        if (first < 0) first = 0;
        if (first > second) first = second;
        t->first[i] = first;
        t->count[i] = second - first + 1;
        t->weights[2 * i] = (int32_t)lrintf((1 - share) * (1 << CV_BITS));
        t->weights[2 * i + 1] = (int32_t)lrintf(share * (1 << CV_BITS));
    }
    return SENET_OK;
}

static void cv_row(const uint8_t *in, const taps *t, int width, int32_t *out)
{
    for (int x = 0; x < width; x++) {
        const uint8_t *p = in + 3 * (size_t)t->first[x], *q = t->count[x] == 2 ? p + 3 : p;
        for (int c = 0; c < 3; c++) *out++ = p[c] * t->weights[2 * x] + q[c] * t->weights[2 * x + 1];
    }
}

static senet_status cv_resample(sn_pixels source, sn_window w, uint8_t *out)
{
    senet_status status;
    taps across = {0}, down = {0};
    size_t line = (size_t)w.width * 3;
    int32_t *rows = malloc(2 * line * sizeof *rows);

    if (!rows) {
        status = sn_fail_memory(2 * line * sizeof *rows, "resizing");
        goto cleanup;
    }
    SN_TRY(cv_taps(source.width, w.full_width, w.left, w.width, &across), cleanup);
    SN_TRY(cv_taps(source.height, w.full_height, w.top, w.height, &down), cleanup);
    for (int y = 0; y < w.height; y++) {
        int first = down.first[y], second = first + down.count[y] - 1;
        int32_t a = down.weights[2 * y], b = down.weights[2 * y + 1];
        cv_row(source.first + (size_t)first * source.stride, &across, w.width, rows);
        cv_row(source.first + (size_t)second * source.stride, &across, w.width, rows + line);
        for (size_t i = 0; i < line; i++) {
            int32_t sum = ((a * (rows[i] >> 4)) >> 16) + ((b * (rows[line + i] >> 4)) >> 16);
            *out++ = (uint8_t)((sum + 2) >> 2);
        }
    }
    status = SENET_OK;

cleanup:
    free(rows);
    taps_free(&across);
    taps_free(&down);
    return status;
}

senet_status sn_image_resample(sn_pixels source, sn_window window, int interpolation, uint8_t *out)
{
    switch (interpolation) {
    case SN_INTERPOLATION_BILINEAR:
        return cv_resample(source, window, out);
    case SN_INTERPOLATION_PIL_BILINEAR:
        return pil_resample(source, window, (filter){1, triangle}, out);
    case SN_INTERPOLATION_PIL_BICUBIC:
        return pil_resample(source, window, (filter){2, cubic}, out);
    case SN_INTERPOLATION_NONE:
        if (window.full_width != source.width || window.full_height != source.height) break;
        for (int y = 0; y < window.height; y++)
            memcpy(out + (size_t)y * (size_t)window.width * 3,
                   source.first + (size_t)(window.top + y) * source.stride + 3 * (size_t)window.left,
                   (size_t)window.width * 3);
        return SENET_OK;
    default:
        return sn_fail(SENET_INTERNAL, "interpolation %d is unknown", interpolation);
    }
    return sn_fail(SENET_USAGE, "a picture of %d x %d cannot become %lld x %lld without interpolation", source.width,
                   source.height, (long long)window.full_width, (long long)window.full_height);
}
