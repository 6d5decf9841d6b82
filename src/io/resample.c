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
#include "io/resample_rows.h"

static void taps_free(sn_taps *t)
{
    free(t->first);
    free(t->count);
    free(t->weights);
}

static senet_status taps_allocate(sn_taps *t, int positions, int64_t most)
{
    int64_t weights;
    t->most = (int)most;
    t->positions = positions;
    if (most > INT32_MAX || !sn_multiply(most, positions, &weights) || weights > INT32_MAX)
        return sn_fail(SENET_BAD_DATA, "resizing needs %lld weights at each of %d places", (long long)most, positions);
    t->first = malloc((size_t)positions * sizeof *t->first);
    t->count = malloc((size_t)positions * sizeof *t->count);
    t->weights = calloc((size_t)weights, sizeof *t->weights);
    if (!t->first || !t->count || !t->weights) return sn_fail_memory((size_t)weights * sizeof *t->weights, "resizing");
    return SENET_OK;
}

/* ---- Pillow ---- */

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

static senet_status pil_taps(filter f, int input, int64_t full, int64_t begin, int positions, sn_taps *t)
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
            double weight = (sum != 0 ? values[k] / sum : values[k]) * (1 << SN_PIL_BITS);
            t->weights[(size_t)i * (size_t)t->most + (size_t)k] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
        }
    }
    free(values);
    return SENET_OK;
}

/* The columns that the taps read. */
static void columns_of(const sn_taps *t, int *begin, int *end)
{
    *begin = t->first[0];
    *end = 0;
    for (int x = 0; x < t->positions; x++) {
        if (t->first[x] < *begin) *begin = t->first[x];
        if (t->first[x] + t->count[x] > *end) *end = t->first[x] + t->count[x];
    }
}

static uint8_t *allocate_quads(int begin, int end)
{
    return malloc((size_t)(end - begin) * SN_QUAD * 4);
}

/* in: rows x the source's columns x 3 -> out: rows x t->positions x 3; the last four may repeat a row. */
static senet_status pil_horizontal(const uint8_t *in, int rows, size_t stride, const sn_taps *t, uint8_t *out)
{
    const size_t line = (size_t)t->positions * 3;
    int begin, end;
    columns_of(t, &begin, &end);
    uint8_t *quads = allocate_quads(begin, end);
    if (!quads) return sn_fail_memory((size_t)(end - begin) * SN_QUAD * 4, "resizing");
    for (int y = 0; y < rows; y += SN_QUAD) {
        const uint8_t *from[SN_QUAD];
        uint8_t *to[SN_QUAD];
        for (int i = 0; i < SN_QUAD; i++) {
            const size_t row = (size_t)(y + i < rows ? y + i : rows - 1);
            from[i] = in + row * stride;
            to[i] = out + row * line;
        }
        sn_quads_fill(from, begin, end, quads);
        sn_pil_across(quads, begin, t, to);
    }
    free(quads);
    return SENET_OK;
}

static senet_status pil_resample(sn_pixels source, sn_window w, filter f, uint8_t *out)
{
    senet_status status;
    sn_taps across = {0}, down = {0};
    uint8_t *between = NULL;
    int row0, rows;
    size_t bytes;
    const size_t line = (size_t)w.width * 3;

    SN_TRY(pil_taps(f, source.width, w.full_width, w.left, w.width, &across), cleanup);
    SN_TRY(pil_taps(f, source.height, w.full_height, w.top, w.height, &down), cleanup);
    row0 = down.first[0]; /* only the rows that the vertical pass will read */
    rows = down.first[w.height - 1] + down.count[w.height - 1] - row0;
    bytes = (size_t)rows * line;
    between = malloc(bytes);
    if (!between) {
        status = sn_fail_memory(bytes, "resizing");
        goto cleanup;
    }
    /* Where the size stays, the filters have one weight of 1 and copy, as Pillow's skipped passes do. */
    SN_TRY(pil_horizontal(source.first + (size_t)row0 * source.stride, rows, source.stride, &across, between), cleanup);
    for (int y = 0; y < w.height; y++)
        sn_pil_down(between + (size_t)(down.first[y] - row0) * line, down.weights + (size_t)y * (size_t)down.most,
                    down.count[y], line, out + (size_t)y * line);

cleanup:
    free(between);
    taps_free(&across);
    taps_free(&down);
    return status;
}

/* ---- OpenCV ---- */

/* Beyond the border both taps fall on the edge; their weights still count, as rounding then is OpenCV's. */
static senet_status cv_taps(int input, int64_t full, int64_t begin, int positions, sn_taps *t)
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
        t->weights[2 * i] = (int32_t)lrintf((1 - share) * (1 << SN_CV_BITS));
        t->weights[2 * i + 1] = (int32_t)lrintf(share * (1 << SN_CV_BITS));
    }
    return SENET_OK;
}

/* Two rows of the output from the four of the source between which they lie. */
static senet_status cv_resample(sn_pixels source, sn_window w, uint8_t *out)
{
    senet_status status;
    sn_taps across = {0}, down = {0};
    const size_t line = (size_t)w.width * 3;
    uint8_t *quads = NULL;
    int begin, end;

    SN_TRY(cv_taps(source.width, w.full_width, w.left, w.width, &across), cleanup);
    SN_TRY(cv_taps(source.height, w.full_height, w.top, w.height, &down), cleanup);
    columns_of(&across, &begin, &end);
    quads = allocate_quads(begin, end);
    if (!quads) {
        status = sn_fail_memory((size_t)(end - begin) * SN_QUAD * 4, "resizing");
        goto cleanup;
    }
    for (int y = 0; y < w.height; y += 2) {
        const int rows[2] = {y, y + 1 < w.height ? y + 1 : y};
        uint8_t *const to[2] = {out + (size_t)rows[0] * line, out + (size_t)rows[1] * line};
        const uint8_t *from[SN_QUAD];
        int32_t weights[SN_QUAD];
        for (int i = 0; i < SN_QUAD; i++) {
            const int row = rows[i / 2], second = i % 2;
            from[i] = source.first + (size_t)(down.first[row] + (second ? down.count[row] - 1 : 0)) * source.stride;
            weights[i] = down.weights[2 * row + second];
        }
        sn_quads_fill(from, begin, end, quads);
        sn_cv_rows(quads, begin, &across, weights, to);
    }
    status = SENET_OK;

cleanup:
    free(quads);
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
