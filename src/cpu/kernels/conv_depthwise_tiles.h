/* conv_depthwise_tiles.h - the register tile of the depthwise 3x3 convolutions, stride 1 and 2, and bands of a map in such tiles.
 *
 * A tile is rows x columns of neighbouring outputs x one vector of channels; its nine weights are in registers, and an input value is
 * loaded once and serves all outputs that it reaches: up to six of stride 1.  Rows and columns outside the image are skipped, pixels
 * are not copied.  A gate multiplies the weights, of which there are fewer than pixels.
 *
 * Outputs are `stored`, or, where the file that includes this defines DEPTHWISE_INTO as another type with DEPTHWISE_STORE, of that.
 */
#ifndef SN_CPU_KERNELS_CONV_DEPTHWISE_TILES_H
#define SN_CPU_KERNELS_CONV_DEPTHWISE_TILES_H

#include "cpu/kernels/clamp.h"
#include "cpu/kernels/stored.h"

#ifndef DEPTHWISE_INTO
#define DEPTHWISE_INTO stored
#define DEPTHWISE_STORE vs_store_n
enum { FETCHES_OUTPUTS = 1, BY_COLUMNS = 0 };
#elif SN_STORED_BF16
enum { FETCHES_OUTPUTS = 0, BY_COLUMNS = 0 }; /* outputs go to a buffer that is in a cache */
#else
enum { FETCHES_OUTPUTS = 0, BY_COLUMNS = 1 };
#endif

#if SN_VECTOR_REGISTERS == 32
enum { DEPTHWISE_ROWS = 2, DEPTHWISE_COLUMNS = 7 }; /* 14 sums, 9 weights, an input; maps of ImageNet networks are multiples of 7 */
#else
enum { DEPTHWISE_ROWS = 1, DEPTHWISE_COLUMNS = 4 };
#endif
enum { DEPTHWISE_TAPS = 9, MOST_IN_ROWS = 2 * (DEPTHWISE_ROWS - 1) + 3 };

/* A value to keep in a register: the compiler would load it again for every product. */
#if SN_VECTOR_FLOATS == 16
#define KEEP(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#define KEEP(v) __asm__("" : "+w"(v))
#else
#define KEEP(v) (void)(v)
#endif

/* ---- weights: [channel block][tap][VF], zeros behind the last channel ---- */

static inline int64_t depthwise_packed_floats(int64_t channels) { return sn_ceil_div(channels, VF) * DEPTHWISE_TAPS * VF; }

/* turned: the kernel by 180 degrees. */
static inline void depthwise_pack(const float *weight, int64_t channels, bool turned, float *to)
{
    for (int64_t channel = 0; channel < channels; channel += VF)
        for (int t = 0; t < DEPTHWISE_TAPS; t++, to += VF)
            vf_store(to, vf_load_n(weight + (turned ? DEPTHWISE_TAPS - 1 - t : t) * channels + channel, channels - channel));
}

/* ---- the register tile ---- */

typedef struct depthwise_tile {
    const stored *rows[MOST_IN_ROWS]; /* input rows at the image's first column, NULL outside */
    ptrdiff_t at;                    /* the tile's first input column in them */
    DEPTHWISE_INTO *y;               /* the first output */
    ptrdiff_t pixel;                 /* values from an input pixel to the next */
    ptrdiff_t y_row, y_pixel;        /* and from an output row and an output to the next */
    ptrdiff_t fetch;                 /* from an input row to the one that is fetched meanwhile; 0: to none */
    bool skip_first, skip_last;      /* that input column lies outside */
    const float *w, *bias, *gate;    /* packed weights; bias and gate may be NULL */
    clamp clamp;
} depthwise_tile;

/* rows x pixels outputs of the channels from `channel` on, of which `lanes` exist. */
SN_INLINE void depthwise_compute(const depthwise_tile *t, int64_t channel, int64_t lanes, int rows, int pixels, int stride)
{
    const int in_rows = (rows - 1) * stride + 3, columns = (pixels - 1) * stride + 3;
    vf w[DEPTHWISE_TAPS], sum[DEPTHWISE_ROWS * DEPTHWISE_COLUMNS], bias = t->bias ? vf_load_n(t->bias + channel, lanes) : (vf){0};
    SN_UNROLL for (int k = 0; k < DEPTHWISE_TAPS; k++) w[k] = vf_load(t->w + channel * DEPTHWISE_TAPS + k * VF);
    if (t->gate) {
        vf gate = vf_load_n(t->gate + channel, lanes);
        SN_UNROLL for (int k = 0; k < DEPTHWISE_TAPS; k++) w[k] *= gate;
    }
    SN_UNROLL for (int i = 0; i < rows * pixels; i++) sum[i] = bias;
    SN_UNROLL for (int r = 0; r < in_rows; r++) {
        if (!t->rows[r]) continue;
        const stored *x = t->rows[r] + channel;
        ptrdiff_t column = t->at;
        SN_UNROLL for (int j = 0; j < columns; j++, column += t->pixel) {
            if ((j == 0 && t->skip_first) || (j == columns - 1 && t->skip_last)) continue;
            vf value = vs_load_n(x + column, lanes);
            KEEP(value);
            if (r >= in_rows - rows * stride && j < pixels * stride) __builtin_prefetch(x + column + t->fetch, 0, 2);
            SN_UNROLL for (int o = 0; o < rows; o++)
                SN_UNROLL for (int kx = 0; kx < 3; kx++) {
                    int ky = r - o * stride;
                    if (ky >= 0 && ky < 3 && j >= kx && (j - kx) % stride == 0 && (j - kx) / stride < pixels)
                        sum[o * pixels + (j - kx) / stride] += value * w[ky * 3 + kx];
                }
        }
    }
    SN_UNROLL for (int o = 0; o < rows; o++) {
        DEPTHWISE_INTO *y = t->y + o * t->y_row + channel;
        SN_UNROLL for (int i = 0; i < pixels && FETCHES_OUTPUTS; i++)
            __builtin_prefetch(y + i * t->y_pixel + rows * t->y_row, 1, 2);
        SN_UNROLL for (int i = 0; i < pixels; i++, y += t->y_pixel)
            DEPTHWISE_STORE(y, clamp_apply(&t->clamp, sum[o * pixels + i]), lanes);
    }
}

/* Channels [channel, end). With the number of lanes a constant where vectors are whole, loads and stores have no mask. */
#define DEFINE_DEPTHWISE_TILE(name, rows, pixels, stride)                                                            \
    static SN_NOINLINE void name(const depthwise_tile *t, int64_t channel, int64_t end)                              \
    {                                                                                                                \
        for (; channel + VF <= end; channel += VF) depthwise_compute(t, channel, VF, rows, pixels, stride);          \
        if (channel < end) depthwise_compute(t, channel, end - channel, rows, pixels, stride);                       \
    }

DEFINE_DEPTHWISE_TILE(depthwise_rows_1, DEPTHWISE_ROWS, DEPTHWISE_COLUMNS, 1)
DEFINE_DEPTHWISE_TILE(depthwise_rows_2, DEPTHWISE_ROWS, DEPTHWISE_COLUMNS, 2)
DEFINE_DEPTHWISE_TILE(depthwise_row_1, 1, DEPTHWISE_COLUMNS, 1)
DEFINE_DEPTHWISE_TILE(depthwise_row_2, 1, DEPTHWISE_COLUMNS, 2)
DEFINE_DEPTHWISE_TILE(depthwise_pixel_1, 1, 1, 1)
DEFINE_DEPTHWISE_TILE(depthwise_pixel_2, 1, 1, 2)

/* [stride - 1][DEPTHWISE_ROWS rows of DEPTHWISE_COLUMNS pixels, one row, one pixel] */
static void (*const depthwise_tiles[2][3])(const depthwise_tile *t, int64_t channel, int64_t end) = {
    {depthwise_rows_1, depthwise_row_1, depthwise_pixel_1}, {depthwise_rows_2, depthwise_row_2, depthwise_pixel_2}};

/* ---- rows ---- */

typedef struct depthwise_map {
    sn_shape in, out;
    int64_t stride, top, left;
    const float *packed, *bias; /* bias may be NULL */
    clamp clamp;
} depthwise_map;

/* Whether at most one row or column lies outside the image on each side, as the tile expects. */
static inline bool depthwise_edges_fit(int64_t in, int64_t out, int64_t stride, int64_t before)
{
    return before >= 0 && before <= 1 && (out - 1) * stride - before + 2 <= in;
}

/* Where the outputs of a band go: its first row's first pixel, and values from a pixel to the next. */
typedef struct depthwise_target {
    DEPTHWISE_INTO *y;
    ptrdiff_t y_pixel;
} depthwise_target;

/* The tile of columns [from, from + pixels) of rows [row, row + rows), channels [channel, end); the band begins with `first_row`. */
static inline void depthwise_tile_at(const depthwise_map *m, const stored *image, const float *gate, int64_t first_row, int64_t row,
                                     int rows, int64_t from, int pixels, int64_t channel, int64_t end, depthwise_target to)
{
    depthwise_tile t = {.y_row = m->out.w * to.y_pixel, .y_pixel = to.y_pixel, .pixel = m->in.c, .w = m->packed, .bias = m->bias,
                        .gate = gate, .clamp = m->clamp};
    int in_rows = (rows - 1) * (int)m->stride + 3, kind = pixels == 1 ? 2 : rows == 1 ? 1 : 0;
    for (int r = 0; r < in_rows; r++) {
        int64_t in_row = row * m->stride - m->top + r;
        t.rows[r] = in_row >= 0 && in_row < m->in.h ? image + in_row * m->in.w * m->in.c : NULL;
        if (in_row + rows * m->stride < m->in.h) t.fetch = rows * m->stride * m->in.w * m->in.c;
    }
    int64_t first = from * m->stride - m->left;
    t.at = first * m->in.c;
    t.y = to.y + ((row - first_row) * m->out.w + from) * to.y_pixel;
    t.skip_first = first < 0;
    t.skip_last = first + (pixels - 1) * m->stride + 2 >= m->in.w;
    depthwise_tiles[m->stride - 1][kind](&t, channel, end);
}

/* Rows [row, end_row) of channels [channel, end) of an image; the gate may be NULL.  Row by row, so that memory is read in streams, or,
 * where the input was fetched before, column by column, so that rows that two tiles see come from the L1 cache. */
static inline void depthwise_band(const depthwise_map *m, const stored *image, const float *gate, int64_t first_row, int64_t end_row,
                                  int64_t channel, int64_t end, depthwise_target to)
{
    int pixels = m->out.w >= DEPTHWISE_COLUMNS ? DEPTHWISE_COLUMNS : 1, most = pixels > 1 ? DEPTHWISE_ROWS : 1;
    int64_t pairs = sn_ceil_div(end_row - first_row, most), columns = sn_ceil_div(m->out.w, pixels);
    for (int64_t i = 0; i < pairs * columns; i++) {
        int64_t pair = BY_COLUMNS ? i % pairs : i / columns, column = BY_COLUMNS ? i / pairs : i % columns;
        int64_t from = sn_min64(column * pixels, m->out.w - pixels); /* the last may overlap */
        for (int64_t row = first_row + pair * most, rows; row < sn_min64(end_row, first_row + (pair + 1) * most); row += rows) {
            rows = row + most <= end_row ? most : 1;
            depthwise_tile_at(m, image, gate, first_row, row, (int)rows, from, pixels, channel, end, to);
        }
    }
}

#endif
