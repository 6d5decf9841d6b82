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

/* out = body(inputs, coefficients); out may be one of the inputs. */
SN_INLINE void pixel_map(const pixel_rows *r, stored *out, int inputs, int coefficients, pixel_map_body body)
{
    int64_t pixel = 0;
    for (; pixel + MAP_PIXELS <= r->pixels; pixel += MAP_PIXELS) {
        int64_t channel = 0;
        for (; channel + VF <= r->channels; channel += VF) {
            vf k[PIXEL_KS];
            pixel_coefficients(r, channel, coefficients, k);
            SN_UNROLL for (int q = 0; q < MAP_PIXELS; q++) {
                int64_t at = (pixel + q) * r->stride + channel;
                vf x[PIXEL_INPUTS];
                SN_UNROLL for (int i = 0; i < inputs; i++) x[i] = vs_load(r->in[i] + at);
                vs_store(out + at, body(x, k));
            }
        }
        if (channel == r->channels) continue;
        vf k[PIXEL_KS];
        pixel_coefficients(r, channel, coefficients, k);
        for (int q = 0; q < MAP_PIXELS; q++) {
            int64_t at = (pixel + q) * r->stride + channel;
            vf x[PIXEL_INPUTS];
            SN_UNROLL for (int i = 0; i < inputs; i++) x[i] = vs_load_first(r->in[i] + at, r->channels - channel);
            vs_store_first(out + at, body(x, k), r->channels - channel);
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

/* Sums over the pixels, added to sums[s * sums_stride + channel]; sums_stride is a multiple of VF. */
SN_INLINE void pixel_sum(const pixel_rows *r, float *sums, int64_t sums_stride, int inputs, int coefficients, int sums_count,
                         pixel_sum_body body)
{
    for (int64_t pixel = 0; pixel < r->pixels; pixel += SUM_PIXELS) {
        int64_t pixels = sn_min64(SUM_PIXELS, r->pixels - pixel);
        for (int64_t channel = 0; channel < r->channels; channel += VF) {
            int64_t lanes = r->channels - channel;
            vf k[PIXEL_KS], x[PIXEL_INPUTS], sum[PIXEL_SUMS];
            pixel_coefficients(r, channel, coefficients, k);
            SN_UNROLL for (int s = 0; s < sums_count; s++) sum[s] = (vf){0};
            if (pixels == SUM_PIXELS && lanes >= VF) {
                SN_UNROLL for (int q = 0; q < SUM_PIXELS; q++) {
                    SN_UNROLL for (int i = 0; i < inputs; i++) x[i] = vs_load(r->in[i] + (pixel + q) * r->stride + channel);
                    body(x, k, sum);
                }
            } else {
                for (int64_t q = 0; q < pixels; q++) {
                    SN_UNROLL for (int i = 0; i < inputs; i++)
                        x[i] = vs_load_n(r->in[i] + (pixel + q) * r->stride + channel, lanes);
                    body(x, k, sum);
                }
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
