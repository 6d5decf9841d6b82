/* norm_sums.h - batch norm's statistics as a byproduct: gathered from the values of an output as they are stored, while these still lie
 * in a cache.
 *
 * A kernel whose sn_kernel.stats_refusal says NULL cuts its output into blocks of pixels, by shape alone; a block may reach over several
 * images.  Whoever stores values of a block adds them to the block's sums.  The sums of a channel of a block belong to one task, so their
 * order is the task's own; norm_finish joins the blocks in order.
 *
 *     scratch_bytes:  own bytes (a multiple of SN_ALIGNMENT) + norm_bytes(call, blocks)
 *     run:            norm_sums norms = norm_begin(call, memory, blocks);
 *         a task:     norm_start(&norms, block, channel, channels);           each does nothing where nobody asks for statistics
 *                     norm_add(&norms, block, channel, channels, y, pixel, pixels);
 *         at the end: norm_finish(call, &norms);
 *
 * Channels begin at a whole vector.  Whether they are given in one piece or in several, their sums have the same bits.
 *
 * A block sums deviations from a centre, the mean of CENTRE_PIXELS of its first pixels, and their squares in single precision, at most
 * RUN_PIXELS by themselves first.  With n values in the block, the square of its mean deviation is at most n / CENTRE_PIXELS of its
 * variance, however large the mean, so what cancels is little; beyond the block all is double.
 */
#ifndef SN_CPU_KERNELS_NORM_SUMS_H
#define SN_CPU_KERNELS_NORM_SUMS_H

#include "cpu/kernels/stored.h"

enum { NORM_CENTRE, NORM_DEVIATIONS, NORM_SQUARES, NORM_COUNTS, CENTRE_PIXELS = 8, RUN_PIXELS = 64 };

#if SN_VECTOR_REGISTERS == 32
enum { NORM_VECTORS = 4 }; /* at a time, with two sums each of deviations and squares */
#else
enum { NORM_VECTORS = 2 };
#endif

typedef struct norm_sums {
    float *rows; /* [block][centre, deviations, squares: `stride` floats each; pixels so far of each vector]; NULL: no statistics */
    float *out;  /* (1,1,2,C): mean, biased variance */
    int64_t blocks, channels, pixels, stride, block_floats;
} norm_sums;

static inline int64_t norm_stride(int64_t channels) { return sn_ceil_div(channels, 16) * 16; }
static inline int64_t norm_block_floats(int64_t channels)
{
    int64_t stride = norm_stride(channels);
    return NORM_COUNTS * stride + sn_ceil_div(stride / VF, 16) * 16;
}

/* Scratch memory for the sums; 0 if nobody asks for statistics.  blocks: of the whole output. */
static inline size_t norm_bytes(const sn_kernel_call *call, int64_t blocks)
{
    return call->stats_node ? (size_t)(blocks * norm_block_floats(call->node->shape.c)) * sizeof(float) : 0;
}

static inline norm_sums norm_begin(const sn_kernel_call *call, float *memory, int64_t blocks)
{
    sn_shape y = call->node->shape;
    if (!call->stats_node) return (norm_sums){0};
    return (norm_sums){.rows = memory, .out = call->stats, .blocks = blocks, .channels = y.c, .pixels = y.n * y.h * y.w,
                       .stride = norm_stride(y.c), .block_floats = norm_block_floats(y.c)};
}

/* Before the first values of these channels of a block. */
static inline void norm_start(const norm_sums *s, int64_t block, int64_t channel, int64_t channels)
{
    if (!s->rows) return;
    float *counts = s->rows + block * s->block_floats + NORM_COUNTS * s->stride;
    for (int64_t c = channel; c < channel + channels; c += VF) counts[c / VF] = 0;
}

/* row: of the block, from the first channel on; count: the pixels so far of its first vector. */
SN_INLINE void norm_add_vectors(const norm_sums *s, float *row, float *count, const stored *y, ptrdiff_t pixel, int64_t pixels,
                                int vectors, int64_t lanes)
{
    vf centre[NORM_VECTORS], deviations[2][NORM_VECTORS], squares[2][NORM_VECTORS];
    int64_t stride = s->stride;
    if (*count == 0) {
        int64_t first = sn_min64(pixels, CENTRE_PIXELS), apart = pixels / first * pixel;
        SN_UNROLL for (int v = 0; v < vectors; v++) {
            centre[v] = vs_load_n(y + v * VF, lanes);
            for (int64_t i = 1; i < first; i++) centre[v] += vs_load_n(y + i * apart + v * VF, lanes);
            vf_store(row + NORM_CENTRE * stride + v * VF, centre[v] *= vf_all(1.0f / (float)first));
            vf_store(row + NORM_DEVIATIONS * stride + v * VF, (vf){0});
            vf_store(row + NORM_SQUARES * stride + v * VF, (vf){0});
        }
    } else
        SN_UNROLL for (int v = 0; v < vectors; v++) centre[v] = vf_load(row + NORM_CENTRE * stride + v * VF);
    SN_UNROLL for (int k = 0; k < 2; k++)
        SN_UNROLL for (int v = 0; v < vectors; v++) deviations[k][v] = squares[k][v] = (vf){0};
    int64_t i = 0;
    for (; i + 2 <= pixels; i += 2, y += 2 * pixel)
        SN_UNROLL for (int k = 0; k < 2; k++)
            SN_UNROLL for (int v = 0; v < vectors; v++) {
                vf d = vs_load_n(y + k * pixel + v * VF, lanes) - centre[v];
                deviations[k][v] += d;
                squares[k][v] += d * d;
            }
    if (i < pixels)
        SN_UNROLL for (int v = 0; v < vectors; v++) {
            vf d = vs_load_n(y + v * VF, lanes) - centre[v];
            deviations[0][v] += d;
            squares[0][v] += d * d;
        }
    SN_UNROLL for (int v = 0; v < vectors; v++) {
        float *to = row + v * VF;
        vf_store(to + NORM_DEVIATIONS * stride, vf_load(to + NORM_DEVIATIONS * stride) + (deviations[0][v] + deviations[1][v]));
        vf_store(to + NORM_SQUARES * stride, vf_load(to + NORM_SQUARES * stride) + (squares[0][v] + squares[1][v]));
        count[v] += (float)pixels;
    }
}

static SN_NOINLINE void norm_add_pixels(const norm_sums *s, int64_t block, int64_t channel, int64_t channels, const stored *y,
                                        ptrdiff_t pixel, int64_t pixels)
{
    float *row = s->rows + block * s->block_floats + channel, *count = row - channel + NORM_COUNTS * s->stride + channel / VF;
    int64_t c = 0;
    for (; c + NORM_VECTORS * VF <= channels; c += NORM_VECTORS * VF)
        norm_add_vectors(s, row + c, count + c / VF, y + c, pixel, pixels, NORM_VECTORS, VF);
    for (; c + VF <= channels; c += VF) norm_add_vectors(s, row + c, count + c / VF, y + c, pixel, pixels, 1, VF);
    if (c < channels) norm_add_vectors(s, row + c, count + c / VF, y + c, pixel, pixels, 1, channels - c);
}

/* `pixels` pixels that lie `pixel` values apart; y: channel `channel` of the first. */
static inline void norm_add(const norm_sums *s, int64_t block, int64_t channel, int64_t channels, const stored *y, ptrdiff_t pixel,
                            int64_t pixels)
{
    for (; s->rows && pixels > 0; pixels -= RUN_PIXELS, y += RUN_PIXELS * pixel)
        norm_add_pixels(s, block, channel, channels, y, pixel, sn_min64(RUN_PIXELS, pixels));
}

/* ---- blocks to statistics ---- */

enum { NORM_CHANNELS = 4 * VF }; /* of a task */

/* mean = sum of (n centre + deviations) / M;  M var = sum of (squares - deviations^2 / n + n (centre + deviations / n - mean)^2) */
static void norm_finish_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const norm_sums *s = context;
    double mean[NORM_CHANNELS] = {0}, squares[NORM_CHANNELS] = {0}, total = (double)s->pixels;
    int64_t channel = index * NORM_CHANNELS, vectors = sn_ceil_div(sn_min64(NORM_CHANNELS, s->channels - channel), VF);
    for (int64_t b = 0; b < s->blocks; b++)
        for (int64_t v = 0; v < vectors; v++) {
            const float *row = s->rows + b * s->block_floats + channel + v * VF;
            const float *deviations = row + NORM_DEVIATIONS * s->stride;
            double n = (double)s->rows[b * s->block_floats + NORM_COUNTS * s->stride + channel / VF + v], *to = mean + v * VF;
            for (int i = 0; i < VF; i++) to[i] += n * (double)row[i] + (double)deviations[i];
        }
    for (int64_t c = 0; c < vectors * VF; c++) mean[c] /= total;
    for (int64_t b = 0; b < s->blocks; b++)
        for (int64_t v = 0; v < vectors; v++) {
            const float *row = s->rows + b * s->block_floats + channel + v * VF;
            const float *deviations = row + NORM_DEVIATIONS * s->stride, *block_squares = row + NORM_SQUARES * s->stride;
            double n = (double)s->rows[b * s->block_floats + NORM_COUNTS * s->stride + channel / VF + v], part = 1 / n;
            double *to = squares + v * VF, *centre = mean + v * VF;
            for (int i = 0; i < VF; i++) {
                double shift = (double)deviations[i] * part, delta = (double)row[i] + shift - centre[i];
                to[i] += (double)block_squares[i] - shift * (double)deviations[i] + n * delta * delta;
            }
        }
    for (int64_t c = 0; c < sn_min64(NORM_CHANNELS, s->channels - channel); c++) {
        s->out[channel + c] = (float)mean[c];
        s->out[s->channels + channel + c] = (float)(squares[c] < 0 ? 0 : squares[c] / total);
    }
}

/* Once every block is written. */
static inline void norm_finish(const sn_kernel_call *call, norm_sums *s)
{
    if (!s->rows) return;
    bool small = s->blocks * s->block_floats * 4 < SN_SMALL_BYTES;
    sn_parallel_for(small ? 1 : call->threads, sn_ceil_div(s->channels, NORM_CHANNELS), norm_finish_task, s);
}

#endif
