/* conv_depthwise_words_q8.c - depthwise 3x3 convolutions of int8 maps, stride 1 and 2, where the processor sums products of
 * four bytes.
 *
 * The three bytes of a column, one of each row, and a fourth whose weight is 0 are such a sum: 8 shuffles put a column of 64
 * channels into four vectors of words, and each of these serves the three outputs that see the column. Sums begin as what the
 * input's zero adds; outside the image is the byte that stands for 0. The shuffles leave quarters of vectors in turn (channels
 * 0-3, 16-19, 32-35, 48-51 in the first): coefficients are laid in the same order, and the narrowing to bytes restores
 * it. Outputs have the bits of conv_depthwise_q8.c.
 */
#include "cpu/kernels/conv_rows_q8.h"

#ifdef __AVX512VNNI__

enum { LINE = 64, VECTORS = LINE / VF, WORD = 4 };

/* Of 64 channels, in the order of words. */
typedef struct line_weights {
    int8_t weight[ROWS_SIDE][VECTORS][VF][WORD]; /* by kernel column; word: by kernel row */
    int32_t start[VECTORS][VF];
    float scale[VECTORS][VF], shift[VECTORS][VF];
} line_weights;

/* Where channel c of a line is: vector and lane. */
static int vector_of(int64_t c) { return (int)(c % VF / WORD); }
static int lane_of(int64_t c) { return (int)(c / VF * WORD + c % WORD); }

static const char *refuse(const sn_kernel_call *call)
{
    sn_shape w = call->input_nodes[1]->shape;
    int64_t groups = call->node->attrs.u.conv.groups;
    if (groups != call->input_nodes[0]->shape.c || w.c != groups) return "not depthwise";
    if (groups <= LINE / 2) return "slower where channels fill half of a line";
    return rows_refusal(call);
}

static size_t packed_bytes(const sn_kernel_call *call)
{
    return (size_t)sn_ceil_div(call->node->shape.c, LINE) * sizeof(line_weights);
}

static void pack(const sn_kernel_call *call, void *packed)
{
    const float *w = call->inputs[1], *bias = call_input(call, 2);
    const sn_node *x = call->input_nodes[0], *y = call->node;
    int64_t channels = y->shape.c;
    float step = y->dtype == SN_Q8 ? y->quant.scale : 1;
    memset(packed, 0, packed_bytes(call));
    for (int64_t o = 0; o < channels; o++) {
        line_weights *line = (line_weights *)packed + o / LINE;
        int v = vector_of(o % LINE), lane = lane_of(o % LINE), total = 0;
        float largest = rows_largest(w + o, ROWS_TAPS, channels);
        for (int64_t tap = 0; tap < ROWS_TAPS; tap++) {
            int integer = q8_integer(w[tap * channels + o], largest);
            line->weight[tap % ROWS_SIDE][v][lane][tap / ROWS_SIDE] = (int8_t)integer;
            total += integer;
        }
        line->start[v][lane] = -x->quant.zero * total;
        line->scale[v][lane] = x->quant.scale * (largest / 127) / step;
        line->shift[v][lane] = bias ? bias[o] / step : 0;
    }
}

typedef struct words_run {
    sn_shape in, out;
    int64_t pad_top, pad_left, bands;
    int stride, zero;
    const uint8_t *x;
    void *y;
    const line_weights *weights;
    const float *gate; /* (N,1,1,C) or NULL */
    map_end end;
} words_run;

/* 64 channels of a row of the output. */
typedef struct words_row {
    const words_run *run;
    const uint8_t *rows[ROWS_SIDE]; /* of the input at their channels; NULL: outside */
    const line_weights *weights;
    vf scale[VECTORS];
    int64_t at, lanes; /* element of the first output; channels */
    __mmask64 mask;
} words_row;

/* The words of a column. */
SN_INLINE void load_words(const words_row *r, int64_t col, vi words[VECTORS])
{
    const words_run *run = r->run;
    __m512i outside = _mm512_set1_epi8((char)run->zero), x[ROWS_SIDE];
    bool inside = col >= 0 && col < run->in.w;
    SN_UNROLL for (int k = 0; k < ROWS_SIDE; k++)
        x[k] = inside && r->rows[k] ? _mm512_maskz_loadu_epi8(r->mask, r->rows[k] + col * run->in.c) : outside;
    __m512i low01 = _mm512_unpacklo_epi8(x[0], x[1]), high01 = _mm512_unpackhi_epi8(x[0], x[1]);
    __m512i low2 = _mm512_unpacklo_epi8(x[2], x[2]), high2 = _mm512_unpackhi_epi8(x[2], x[2]);
    words[0] = (vi)_mm512_unpacklo_epi16(low01, low2);
    words[1] = (vi)_mm512_unpackhi_epi16(low01, low2);
    words[2] = (vi)_mm512_unpacklo_epi16(high01, high2);
    words[3] = (vi)_mm512_unpackhi_epi16(high01, high2);
}

SN_INLINE void add_column(const words_row *r, const vi words[VECTORS], int column, vi sums[VECTORS])
{
    SN_UNROLL for (int v = 0; v < VECTORS; v++)
        q8_add_products(&sums[v], words[v], *(const vi *)(const void *)r->weights->weight[column][v]);
}

SN_INLINE void begin_sums(const words_row *r, vi sums[VECTORS])
{
    SN_UNROLL for (int v = 0; v < VECTORS; v++) sums[v] = *(const vi *)(const void *)r->weights->start[v];
}

/* Other storages: the order of channels by way of memory. */
static SN_NOINLINE void store_any(const words_row *r, int64_t at, const vf steps[VECTORS])
{
    const map_end *end = &r->run->end;
    float ordered[LINE];
    for (int64_t c = 0; c < LINE; c += WORD)
        memcpy(ordered + c, (const float *)&steps[vector_of(c)] + lane_of(c), WORD * sizeof(float));
    for (int64_t c = 0; c < r->lanes; c += VF)
        map_store_first(end, end->type, r->run->y, at + c, vf_load(ordered + c), sn_min64(VF, r->lanes - c));
}

SN_INLINE void store_output(const words_row *r, int64_t at, const vi sums[VECTORS])
{
    const map_end *end = &r->run->end;
    vf steps[VECTORS];
    SN_UNROLL for (int v = 0; v < VECTORS; v++)
        steps[v] = __builtin_convertvector(sums[v], vf) * r->scale[v] + vf_load(r->weights->shift[v]);
    if (end->type != SN_Q8) {
        store_any(r, at, steps);
        return;
    }
    vi q[VECTORS];
    SN_UNROLL for (int v = 0; v < VECTORS; v++)
        q[v] = (vi)_mm512_cvtps_epi32((__m512)q8_hold(&end->range, steps[v])) + end->range.zero;
    __m512i low = _mm512_packs_epi32((__m512i)q[0], (__m512i)q[1]), high = _mm512_packs_epi32((__m512i)q[2], (__m512i)q[3]);
    _mm512_mask_storeu_epi8((uint8_t *)r->run->y + at, r->mask, _mm512_packus_epi16(low, high));
}

/* Every column of the input adds to the outputs that see it: three, or two and one in turn. */
static SN_NOINLINE void compute_row_1(const words_row *r)
{
    const words_run *run = r->run;
    vi first[VECTORS], second[VECTORS], third[VECTORS], words[VECTORS];
    begin_sums(r, first);
    begin_sums(r, second);
    load_words(r, -run->pad_left, words);
    add_column(r, words, 0, first);
    load_words(r, 1 - run->pad_left, words);
    add_column(r, words, 1, first);
    add_column(r, words, 0, second);
    for (int64_t col = 0; col < run->out.w; col++) {
        begin_sums(r, third);
        load_words(r, col + 2 - run->pad_left, words);
        add_column(r, words, 2, first);
        add_column(r, words, 1, second);
        add_column(r, words, 0, third);
        store_output(r, r->at + col * run->out.c, first);
        SN_UNROLL for (int v = 0; v < VECTORS; v++) first[v] = second[v], second[v] = third[v];
    }
}

static SN_NOINLINE void compute_row_2(const words_row *r)
{
    const words_run *run = r->run;
    vi first[VECTORS], second[VECTORS], words[VECTORS];
    begin_sums(r, first);
    load_words(r, -run->pad_left, words);
    add_column(r, words, 0, first);
    for (int64_t col = 0; col < run->out.w; col++) {
        load_words(r, 2 * col + 1 - run->pad_left, words);
        add_column(r, words, 1, first);
        load_words(r, 2 * col + 2 - run->pad_left, words);
        begin_sums(r, second);
        add_column(r, words, 2, first);
        add_column(r, words, 0, second);
        store_output(r, r->at + col * run->out.c, first);
        SN_UNROLL for (int v = 0; v < VECTORS; v++) first[v] = second[v];
    }
}

/* 64 channels from `channel` on of rows [first, last). */
static void compute_line(const words_run *run, int64_t image, int64_t channel, int64_t first, int64_t last)
{
    words_row r = {.run = run, .weights = run->weights + channel / LINE, .lanes = sn_min64(LINE, run->out.c - channel)};
    r.mask = ~(__mmask64)0 >> (LINE - r.lanes);
    for (int64_t c = 0; c < LINE; c++) {
        bool gated = run->gate && c < r.lanes;
        float gate = gated ? run->gate[image * run->out.c + channel + c] : 1;
        r.scale[vector_of(c)][lane_of(c)] = r.weights->scale[vector_of(c)][lane_of(c)] * gate;
    }
    for (int64_t row = first; row < last; row++) {
        for (int k = 0; k < ROWS_SIDE; k++) {
            int64_t y = row * run->stride - run->pad_top + k;
            r.rows[k] = y < 0 || y >= run->in.h ? NULL : run->x + (image * run->in.h + y) * run->in.w * run->in.c + channel;
        }
        r.at = (image * run->out.h + row) * run->out.w * run->out.c + channel;
        (run->stride == 1 ? compute_row_1 : compute_row_2)(&r);
    }
}

static void compute_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const words_run *run = context;
    int64_t first = index % run->bands * ROWS_BAND, last = sn_min64(first + ROWS_BAND, run->out.h);
    for (int64_t channel = 0; channel < run->out.c; channel += LINE) compute_line(run, index / run->bands, channel, first, last);
}

static void run(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape out = call->node->shape;
    words_run run = {.in = call->input_nodes[0]->shape, .out = out, .pad_top = a->pad_top, .pad_left = a->pad_left,
                     .stride = a->stride, .bands = sn_ceil_div(out.h, ROWS_BAND), .x = call->inputs[0], .y = call->output, .weights = call->packed,
                     .gate = call_input(call, 4), .end = map_end_of(call->node, a->activation),
                     .zero = call->input_nodes[0]->quant.zero};
    sn_parallel_for(sn_shape_elements(out) < SN_SMALL_BYTES ? 1 : call->threads, out.n * run.bands, compute_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_depthwise_words) = {.name = SN_KERNEL_NAME(conv2d_depthwise_words),
                                                            .op = SN_OP_conv2d,
                                                            .storage = SN_Q8,
                                                            .refuse = refuse,
                                                            .packed_bytes = packed_bytes,
                                                            .pack = pack,
                                                            .run = run,
                                                            .takes = SN_TAKES_GATE};

#endif
