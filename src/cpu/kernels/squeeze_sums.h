/* squeeze_sums.h - the squeeze as a byproduct: sums over the pixels of an output, taken while it is still in registers or L1.
 *
 * A kernel whose sn_kernel.squeezes says yes cuts every image of its output into blocks of pixels, by shape alone; whoever
 * writes pixels of a block adds them to the block's row of sums.  A row belongs to one block and is written by one task for a
 * range of channels, so its order of additions is the task's own; squeeze_finish adds the rows in the order of the blocks.
 *
 *     scratch_bytes:  own bytes (a multiple of SN_ALIGNMENT) + squeeze_bytes(call, blocks)
 *     run:            squeeze_sums sums = squeeze_begin(call, memory, blocks);
 *         a task:     float *row = squeeze_row(&sums, image, block);   NULL: nobody asks for the squeeze
 *                     row[c] = sum over the block's pixels of out(.., c), after activation and residual
 *         at the end: squeeze_finish(&sums);
 *
 * A block of at most a few hundred pixels keeps the rounding of its single-precision sum near that of the values.
 */
#ifndef SN_CPU_KERNELS_SQUEEZE_SUMS_H
#define SN_CPU_KERNELS_SQUEEZE_SUMS_H

#include "cpu/kernels/vector.h"

typedef struct squeeze_sums {
    float *rows; /* [image][block][channels, padded to whole cache lines]; NULL: no squeeze */
    float *out;  /* (N,1,1,C) */
    int64_t images, blocks, channels, pixels, stride;
} squeeze_sums;

static inline int64_t squeeze_stride(int64_t channels) { return sn_ceil_div(channels, 16) * 16; }

/* Scratch memory for the rows; 0 if nobody asks for the squeeze. blocks: of an image. */
static inline size_t squeeze_bytes(const sn_kernel_call *call, int64_t blocks)
{
    if (!call->squeeze_node) return 0;
    return (size_t)(call->node->shape.n * blocks * squeeze_stride(call->node->shape.c)) * sizeof(float);
}

static inline squeeze_sums squeeze_begin(const sn_kernel_call *call, float *memory, int64_t blocks)
{
    sn_shape y = call->node->shape;
    if (!call->squeeze_node) return (squeeze_sums){0};
    return (squeeze_sums){.rows = memory, .out = call->squeeze, .images = y.n, .blocks = blocks, .channels = y.c,
                          .pixels = y.h * y.w, .stride = squeeze_stride(y.c)};
}

/* The sums of one block: `channels` floats with room for the last vector, not cleared. */
static inline float *squeeze_row(const squeeze_sums *s, int64_t image, int64_t block)
{
    return s->rows ? s->rows + (image * s->blocks + block) * s->stride : NULL;
}

/* Rows to means; one thread, once every row is written.  The rows hold a few KB to 100 KB. */
static inline void squeeze_finish(const squeeze_sums *s)
{
    if (!s->rows) return;
    vf factor = vf_all(1.0f / (float)s->pixels);
    for (int64_t n = 0; n < s->images; n++)
        for (int64_t c = 0; c < s->channels; c += VF) {
            const float *row = squeeze_row(s, n, 0) + c;
            vf sum = {0};
            for (int64_t b = 0; b < s->blocks; b++, row += s->stride) sum += vf_load(row);
            vf_store_n(s->out + n * s->channels + c, sum * factor, s->channels - c);
        }
}

#endif
