/* conv_rows_q8.h - 3x3 convolutions of int8 maps within groups of channels: what the depthwise and the grouped kernel share.
 *
 * A vector of output channels goes over a band of rows with its weights at hand; a tile is some outputs of one row.  A loaded column
 * of the input serves all three columns of the kernel.  Rows and columns outside the image are left out.
 */
#ifndef SN_CPU_KERNELS_CONV_ROWS_Q8_H
#define SN_CPU_KERNELS_CONV_ROWS_Q8_H

#include "base/parallel.h"
#include "cpu/kernels/q8.h"

enum { ROWS_TILE = 7, ROWS_BAND = 8, ROWS_SIDE = 3, ROWS_TAPS = 9 };

typedef struct rows_run rows_run;

/* A tile: outputs [col, col + count) of a row, for the vector of channels from `channel` on.  rows: of the input, NULL outside. */
typedef struct rows_tile {
    const rows_run *run;
    const uint8_t *rows[ROWS_SIDE];
    int64_t vector, channel, lanes, col, out; /* out: element of the first output */
    const float *gate;                        /* of the image, or NULL: what the inputs' channels are multiplied by (depthwise) */
} rows_tile;

/* Of one output; of ROWS_TILE, anywhere and where no column lies outside the image. */
typedef struct rows_tiles {
    void (*one)(const rows_tile *tile), (*whole)(const rows_tile *tile), (*inside)(const rows_tile *tile);
} rows_tiles;

struct rows_run {
    sn_shape in, out;
    int64_t pad_top, pad_left, stride, bands;
    const uint8_t *x;
    void *y;
    const char *weights;        /* of all vectors, as the kernel packs them */
    size_t vector_bytes;        /* of one */
    const float *scale, *shift; /* steps = sum * scale + shift, by channel, padded to whole vectors */
    const float *gate;          /* (N,1,1,C) or NULL */
    map_end end;
    int zero;                   /* of the input */
    rows_tiles tiles;
};

static inline int64_t rows_vectors(sn_shape out) { return sn_ceil_div(out.c, VF); }

/* What no kernel of this kind takes; NULL: nothing. */
static inline const char *rows_refusal(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape w = call->input_nodes[1]->shape;
    if (call->precision != SN_FLOAT) return "not single precision";
    if (call->input_nodes[0]->dtype != SN_Q8 || !map_is_storage(call->node->dtype)) return "stored otherwise";
    if (w.n != ROWS_SIDE || w.h != ROWS_SIDE) return "not 3x3";
    if (a->stride > 2) return "stride above 2";
    if (!clamp_is(a->activation)) return "an activation that is no clamp";
    if (call->node->inputs_count > 3 && call->input_nodes[3]) return "a residual";
    return NULL;
}

/* ---- packed: weights of all vectors, then scale, then shift ---- */

static inline size_t rows_packed_bytes(const sn_kernel_call *call, size_t vector_bytes)
{
    return (size_t)rows_vectors(call->node->shape) * (vector_bytes + 2 * VF * sizeof(float));
}

/* The largest size of an output's weights, `each` floats `stride` apart. */
static inline float rows_largest(const float *w, int64_t each, int64_t stride)
{
    float largest = 0;
    for (int64_t i = 0; i < each; i++) largest = fabsf(w[i * stride]) > largest ? fabsf(w[i * stride]) : largest;
    return largest;
}

/* Packs: `put` stores the integer of a weight, given its place in HWIO, into the zeroed weights. */
static inline void rows_pack(const sn_kernel_call *call, size_t vector_bytes, void *packed,
                             void (*put)(const sn_kernel_call *call, char *weights, int64_t tap, int64_t in, int64_t out, int integer))
{
    const float *w = call->inputs[1], *bias = call_input(call, 2);
    sn_shape shape = call->input_nodes[1]->shape;
    int64_t vectors = rows_vectors(call->node->shape), each = ROWS_TAPS * shape.w;
    float *scale = (float *)((char *)packed + (size_t)vectors * vector_bytes), *shift = scale + vectors * VF;
    float step = call->node->dtype == SN_Q8 ? call->node->quant.scale : 1;
    memset(packed, 0, (size_t)vectors * (vector_bytes + 2 * VF * sizeof(float)));
    for (int64_t o = 0; o < shape.c; o++) {
        float largest = rows_largest(w + o, each, shape.c);
        for (int64_t i = 0; i < each; i++)
            put(call, packed, i / shape.w, i % shape.w, o, q8_integer(w[i * shape.c + o], largest));
        scale[o] = call->input_nodes[0]->quant.scale * (largest / 127) / step;
        shift[o] = bias ? bias[o] / step : 0;
    }
}

/* ---- the loops ---- */

/* Sums to steps to the map. */
SN_INLINE void rows_store(const rows_tile *t, int count, const vf *sums)
{
    const rows_run *run = t->run;
    vf scale = vf_load(run->scale + t->channel), shift = vf_load(run->shift + t->channel);
    if (t->gate) scale *= vf_load_n(t->gate + t->channel, t->lanes);
    int64_t at = t->out, step = run->out.c;
    if (t->lanes >= VF && run->end.type == SN_Q8) {
        const map_end end = run->end;
        SN_UNROLL for (int i = 0; i < count; i++) map_store(&end, SN_Q8, run->y, at + i * step, sums[i] * scale + shift);
        return;
    }
    SN_UNROLL for (int i = 0; i < count; i++, at += step) {
        vf steps = sums[i] * scale + shift;
        if (t->lanes >= VF)
            map_store(&run->end, run->end.type, run->y, at, steps);
        else
            map_store_first(&run->end, run->end.type, run->y, at, steps, t->lanes);
    }
}

static inline void rows_vector(const rows_run *run, int64_t image, int64_t first, int64_t last, int64_t vector)
{
    rows_tile t = {.run = run, .vector = vector, .channel = vector * VF, .lanes = run->out.c - vector * VF,
                   .gate = run->gate ? run->gate + image * run->out.c : NULL};
    for (int64_t row = first; row < last; row++) {
        for (int ky = 0; ky < ROWS_SIDE; ky++) {
            int64_t y = row * run->stride - run->pad_top + ky;
            t.rows[ky] = y < 0 || y >= run->in.h ? NULL : run->x + (image * run->in.h + y) * run->in.w * run->in.c;
        }
        for (int64_t count; t.col < run->out.w; t.col += count) {
            bool whole = run->out.w - t.col >= ROWS_TILE;
            count = whole ? ROWS_TILE : 1;
            t.out = ((image * run->out.h + row) * run->out.w + t.col) * run->out.c + t.channel;
            int64_t left = t.col * run->stride - run->pad_left, right = left + (count - 1) * run->stride + ROWS_SIDE;
            if (!whole)
                run->tiles.one(&t);
            else if (left < 0 || right > run->in.w)
                run->tiles.whole(&t);
            else
                run->tiles.inside(&t);
        }
        t.col = 0;
    }
}

static void rows_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const rows_run *run = context;
    int64_t image = index / run->bands, first = index % run->bands * ROWS_BAND;
    for (int64_t v = 0; v < rows_vectors(run->out); v++)
        rows_vector(run, image, first, sn_min64(first + ROWS_BAND, run->out.h), v);
}

static inline void rows_run_call(const sn_kernel_call *call, size_t vector_bytes, rows_tiles tiles)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape out = call->node->shape;
    rows_run run = {.in = call->input_nodes[0]->shape, .out = out, .pad_top = a->pad_top, .pad_left = a->pad_left,
                    .stride = a->stride, .bands = sn_ceil_div(out.h, ROWS_BAND), .x = call->inputs[0], .y = call->output,
                    .weights = call->packed, .vector_bytes = vector_bytes, .end = map_end_of(call->node, a->activation),
                    .zero = call->input_nodes[0]->quant.zero, .tiles = tiles, .gate = call_input(call, 4)};
    run.scale = (const float *)(run.weights + (size_t)rows_vectors(out) * vector_bytes);
    run.shift = run.scale + rows_vectors(out) * VF;
    sn_parallel_for(sn_shape_elements(out) < SN_SMALL_BYTES ? 1 : call->threads, out.n * run.bands, rows_task, &run);
}

/* The columns that a tile of COUNT outputs reads: BODY sees the byte address of channel 0 in `x` and the column `j`; what lies outside
 * the image is passed over, unless none does (INSIDE). */
#define ROWS_COLUMNS(T, ROW, COUNT, STRIDE, INSIDE, BODY)                                                            \
    SN_UNROLL for (int j = 0; j < ((COUNT)-1) * (STRIDE) + ROWS_SIDE; j++)                                           \
    {                                                                                                                \
        int64_t column = (T)->col * (STRIDE) - (T)->run->pad_left + j;                                               \
        if (!(INSIDE) && (column < 0 || column >= (T)->run->in.w)) continue;                                         \
        const uint8_t *x = (ROW) + column * (T)->run->in.c;                                                          \
        BODY                                                                                                         \
    }

#endif
