/* pixels.h - the two loops of the memory-bound kernels: a map over the values of a block of pixels, and sums over its pixels.
 *
 * Both take rows of `channels` values that lie `stride` apart, and per-channel coefficients (rows of `channels` floats).
 * Scalars of the call are constants.  The body is a small inline function on vectors; given as a literal name it is inlined into the loop.  Several pixels
 * share one load of the coefficients.
 */
#ifndef SN_CPU_KERNELS_PIXELS_H
#define SN_CPU_KERNELS_PIXELS_H

#include "cpu/kernels/stored.h"

enum { PIXEL_INPUTS = 3, PIXEL_COEFFICIENTS = 5, PIXEL_SUMS = 2, PIXEL_CONSTANTS = 2, MAP_PIXELS = 4, SUM_PIXELS = 8 };

typedef struct pixel_rows {
    const stored *in[PIXEL_INPUTS];
    const float *coefficient[PIXEL_COEFFICIENTS];
    float constant[PIXEL_CONSTANTS];
    int64_t pixels, channels, stride;
} pixel_rows;

/* x: the inputs at one pixel; k: the coefficients, then the constants from k[PIXEL_COEFFICIENTS] on */
typedef vf (*pixel_map_body)(const vf *x, const vf *k);
/* adds the pixel's share to each of the sums */
typedef void (*pixel_sum_body)(const vf *x, const vf *k, vf *sums);
enum { PIXEL_KS = PIXEL_COEFFICIENTS + PIXEL_CONSTANTS };

SN_INLINE void pixel_coefficients(const pixel_rows *r, int64_t channel, int coefficients, vf *k)
{
    SN_UNROLL for (int j = 0; j < coefficients; j++) k[j] = vf_load_n(r->coefficient[j] + channel, r->channels - channel);
    SN_UNROLL for (int j = 0; j < PIXEL_CONSTANTS; j++) k[PIXEL_COEFFICIENTS + j] = vf_all(r->constant[j]);
}

/* Of a span of channels, or of two pixels of VF channels. */
SN_INLINE void pixel_span_coefficients(const pixel_rows *r, int64_t channel, int coefficients, bool twins,
                                       vf k[SPAN_VECTORS][PIXEL_KS])
{
    SN_UNROLL for (int j = 0; j < coefficients; j++) {
        vf span[SPAN_VECTORS];
        if (twins)
            vf_load_twins(r->coefficient[j], span);
        else
            vf_load_span(r->coefficient[j] + channel, span);
        SN_UNROLL for (int v = 0; v < SPAN_VECTORS; v++) k[v][j] = span[v];
    }
    SN_UNROLL for (int v = 0; v < SPAN_VECTORS; v++)
        SN_UNROLL for (int j = 0; j < PIXEL_CONSTANTS; j++) k[v][PIXEL_COEFFICIENTS + j] = vf_all(r->constant[j]);
}

SN_INLINE void pixel_span(const pixel_rows *r, int64_t at, int inputs, vf x[SPAN_VECTORS][PIXEL_INPUTS])
{
    SN_UNROLL for (int i = 0; i < inputs; i++) {
        vf span[SPAN_VECTORS];
        vs_load_span(r->in[i] + at, span);
        SN_UNROLL for (int v = 0; v < SPAN_VECTORS; v++) x[v][i] = span[v];
    }
}

SN_INLINE void pixel_map_span(const pixel_rows *r, int64_t at, stored *out, int inputs, vf k[SPAN_VECTORS][PIXEL_KS],
                              pixel_map_body body)
{
    vf x[SPAN_VECTORS][PIXEL_INPUTS], y[SPAN_VECTORS];
    pixel_span(r, at, inputs, x);
    SN_UNROLL for (int v = 0; v < SPAN_VECTORS; v++) y[v] = body(x[v], k[v]);
    vs_store_span(out + at, y);
}

/* Whether a span is two pixels. */
static inline bool pixel_twins(const pixel_rows *r) { return SPAN_VECTORS == 2 && r->channels == VF && r->stride == VF; }

/* out = body(inputs, coefficients); out may be one of the inputs. */
SN_INLINE void pixel_map(const pixel_rows *r, stored *out, int inputs, int coefficients, pixel_map_body body)
{
    int64_t pixel = 0;
    if (pixel_twins(r)) {
        vf k[SPAN_VECTORS][PIXEL_KS];
        pixel_span_coefficients(r, 0, coefficients, true, k);
        for (; pixel + 2 <= r->pixels; pixel += 2) pixel_map_span(r, pixel * VF, out, inputs, k, body);
    }
    for (; pixel + MAP_PIXELS <= r->pixels; pixel += MAP_PIXELS) {
        int64_t channel = 0;
        for (; channel + SPAN <= r->channels; channel += SPAN) {
            vf k[SPAN_VECTORS][PIXEL_KS];
            pixel_span_coefficients(r, channel, coefficients, false, k);
            SN_UNROLL for (int q = 0; q < MAP_PIXELS; q++)
                pixel_map_span(r, (pixel + q) * r->stride + channel, out, inputs, k, body);
        }
        for (; channel < r->channels; channel += VF) {
            int64_t lanes = sn_min64(VF, r->channels - channel);
            vf k[PIXEL_KS];
            pixel_coefficients(r, channel, coefficients, k);
            for (int q = 0; q < MAP_PIXELS; q++) {
                int64_t at = (pixel + q) * r->stride + channel;
                vf x[PIXEL_INPUTS];
                SN_UNROLL for (int i = 0; i < inputs; i++) x[i] = vs_load_first(r->in[i] + at, lanes);
                vs_store_first(out + at, body(x, k), lanes);
            }
        }
    }
    for (; pixel < r->pixels; pixel++)
        for (int64_t channel = 0; channel < r->channels; channel += VF) {
            int64_t at = pixel * r->stride + channel, lanes = r->channels - channel;
            vf k[PIXEL_KS], x[PIXEL_INPUTS];
            pixel_coefficients(r, channel, coefficients, k);
            SN_UNROLL for (int i = 0; i < inputs; i++) x[i] = vs_load_n(r->in[i] + at, lanes);
            vs_store_n(out + at, body(x, k), lanes);
        }
}

/* The map over `count` values that know no channels. */
SN_INLINE void flat_map(const pixel_rows *given, int64_t count, stored *out, int inputs, pixel_map_body body)
{
    enum { ROW = 4 * VF };
    pixel_rows r = *given;
    r.stride = r.channels = ROW;
    r.pixels = count / ROW;
    pixel_map(&r, out, inputs, 0, body);
    int64_t done = r.pixels * ROW;
    if (done == count) return;
    for (int i = 0; i < inputs; i++) r.in[i] += done;
    r.channels = count - done;
    r.pixels = 1;
    pixel_map(&r, out + done, inputs, 0, body);
}

/* The sums of `spans` spans that lie `step` apart from `at` on: of SUM_PIXELS pixels, or twins. */
SN_INLINE void pixel_sum_spans(const pixel_rows *r, int64_t at, int64_t step, int64_t spans, int64_t channel, bool twins, float *sums,
                               int64_t sums_stride, int inputs, int coefficients, int sums_count, pixel_sum_body body)
{
    vf k[SPAN_VECTORS][PIXEL_KS], x[SPAN_VECTORS][PIXEL_INPUTS], sum[SPAN_VECTORS][PIXEL_SUMS];
    pixel_span_coefficients(r, channel, coefficients, twins, k);
    SN_UNROLL for (int v = 0; v < SPAN_VECTORS; v++)
        SN_UNROLL for (int s = 0; s < sums_count; s++) sum[v][s] = (vf){0};
    SN_UNROLL for (int64_t q = 0; q < spans; q++) {
        pixel_span(r, at + q * step, inputs, x);
        SN_UNROLL for (int v = 0; v < SPAN_VECTORS; v++) body(x[v], k[v], sum[v]);
    }
    SN_UNROLL for (int s = 0; s < sums_count; s++) {
        vf span[SPAN_VECTORS];
        SN_UNROLL for (int v = 0; v < SPAN_VECTORS; v++) span[v] = sum[v][s];
        if (twins)
            vf_add_twins(sums + s * sums_stride, span);
        else
            vf_add_span(sums + s * sums_stride + channel, span);
    }
}

/* Sums over the pixels, added to sums[s * sums_stride + channel]; sums_stride is a multiple of VF. */
SN_INLINE void pixel_sum(const pixel_rows *r, float *sums, int64_t sums_stride, int inputs, int coefficients, int sums_count,
                         pixel_sum_body body)
{
    int64_t pixel = 0;
    for (; pixel_twins(r) && pixel + 2 * SUM_PIXELS <= r->pixels; pixel += 2 * SUM_PIXELS)
        pixel_sum_spans(r, pixel * VF, SPAN, SUM_PIXELS, 0, true, sums, sums_stride, inputs, coefficients, sums_count, body);
    for (; pixel < r->pixels; pixel += SUM_PIXELS) {
        int64_t pixels = sn_min64(SUM_PIXELS, r->pixels - pixel), channel = 0;
        for (; pixels == SUM_PIXELS && channel + SPAN <= r->channels; channel += SPAN)
            pixel_sum_spans(r, pixel * r->stride + channel, r->stride, SUM_PIXELS, channel, false, sums, sums_stride, inputs,
                            coefficients, sums_count, body);
        for (; channel < r->channels; channel += VF) {
            int64_t lanes = r->channels - channel;
            vf k[PIXEL_KS], x[PIXEL_INPUTS], sum[PIXEL_SUMS];
            pixel_coefficients(r, channel, coefficients, k);
            SN_UNROLL for (int s = 0; s < sums_count; s++) sum[s] = (vf){0};
            for (int64_t q = 0; q < pixels; q++) {
                SN_UNROLL for (int i = 0; i < inputs; i++) x[i] = vs_load_n(r->in[i] + (pixel + q) * r->stride + channel, lanes);
                body(x, k, sum);
            }
            SN_UNROLL for (int s = 0; s < sums_count; s++) {
                float *total = sums + s * sums_stride + channel;
                vf_store(total, vf_load(total) + sum[s]);
            }
        }
    }
}

/* Floats of a row of sums or coefficients of `channels` channels. */
static inline int64_t padded_channels(int64_t channels) { return sn_ceil_div(channels, VF) * VF; }

/* Pixels of a task that touches about `floats` floats a stream, and of a block whose sums may stay in single precision: short
 * enough for the rounding (at most 128 additions each) and for the L1 cache (16 KB a stream). */
static inline int64_t pixels_in(int64_t floats, int64_t channels) { return sn_max64(SUM_PIXELS, floats / channels / SUM_PIXELS * SUM_PIXELS); }
enum { TASK_FLOATS = 32768, BLOCK_FLOATS = 4096 };

#endif
