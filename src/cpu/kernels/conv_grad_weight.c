/* conv_grad_weight.c - gradient of a convolution's weight:  dw(tap, i, o) = sum over pixels of  x(pixel + tap, i) dy(pixel, o).
 *
 * The register tile is ROWS input channels x one panel of output channels for one tap; it walks over the pixels of a unit
 * (a band of rows of one image, or a few small images), broadcasting x and loading dy, and is then added to a private dw.
 * Taps that leave the image only shorten the walk: nothing is copied, unless it is narrow and has to become float first.  A unit's x
 * and dy stay in the L1 and L2 cache while all tiles pass over it.
 *
 * Units are cut into chunks by the shape alone, each with a dw of its own (output channels padded to whole panels); the chunks
 * are added in order at the end, so threads do not change the bits.  A single chunk is the output itself where that has no padding.
 * Memory: reads x and dy once, writes and re-reads chunks x dw.
 */
#include "cpu/kernels/copy.h"

#if SN_VECTOR_FLOATS == 16
#define TILE_ROWS 16
#define TILE_VECTORS 1
#elif SN_VECTOR_REGISTERS == 32
#define TILE_ROWS 6
#define TILE_VECTORS 4
#else
#define TILE_ROWS 6
#define TILE_VECTORS 2
#endif
enum {
    PANEL = TILE_VECTORS * SN_VECTOR_FLOATS,
    UNIT_PIXELS = 128,       /* a tile's sums live in registers for about so many pixels */
    MOST_CHUNKS = 16,
    CHUNK_FLOATS = 8 << 20   /* all private gradients together, at most 32 MB where more than two chunks are asked for */
};

typedef struct weight_tile {
    const float *x, *dy; /* of the first pixel */
    ptrdiff_t x_image, x_row, x_pixel, dy_image, dy_row, dy_pixel; /* steps in floats */
    int64_t images, rows, cols;
    float *dw;         /* added to: ROWS rows of PANEL floats */
    ptrdiff_t dw_row;
} weight_tile;

#define DEFINE_TILE(ROWS)                                                                                            \
    static SN_NOINLINE void tile_##ROWS(const weight_tile *t)                                                        \
    {                                                                                                                \
        vf sum[ROWS][TILE_VECTORS];                                                                                  \
        SN_UNROLL for (int i = 0; i < ROWS; i++)                                                                     \
            SN_UNROLL for (int v = 0; v < TILE_VECTORS; v++) sum[i][v] = (vf){0};                                    \
        const ptrdiff_t x_pixel = t->x_pixel, dy_pixel = t->dy_pixel;                                                \
        for (int64_t n = 0; n < t->images; n++)                                                                      \
            for (int64_t row = 0; row < t->rows; row++) {                                                            \
                const float *x = t->x + n * t->x_image + row * t->x_row;                                             \
                const float *dy = t->dy + n * t->dy_image + row * t->dy_row;                                         \
                for (int64_t col = t->cols; col > 0; col--, x += x_pixel, dy += dy_pixel) {                          \
                    vf d[TILE_VECTORS];                                                                              \
                    SN_UNROLL for (int v = 0; v < TILE_VECTORS; v++) d[v] = vf_load(dy + v * VF);                    \
                    SN_UNROLL for (int i = 0; i < ROWS; i++)                                                         \
                        SN_UNROLL for (int v = 0; v < TILE_VECTORS; v++) sum[i][v] += x[i] * d[v];                   \
                }                                                                                                    \
            }                                                                                                        \
        SN_UNROLL for (int i = 0; i < ROWS; i++)                                                                     \
            SN_UNROLL for (int v = 0; v < TILE_VECTORS; v++) {                                                       \
                float *to = t->dw + i * t->dw_row + v * VF;                                                          \
                vf_store(to, vf_load(to) + sum[i][v]);                                                               \
            }                                                                                                        \
    }

DEFINE_TILE(1)
DEFINE_TILE(2)
DEFINE_TILE(3)
DEFINE_TILE(4)
DEFINE_TILE(5)
DEFINE_TILE(6)
#if TILE_ROWS == 16
DEFINE_TILE(7)
DEFINE_TILE(8)
DEFINE_TILE(9)
DEFINE_TILE(10)
DEFINE_TILE(11)
DEFINE_TILE(12)
DEFINE_TILE(13)
DEFINE_TILE(14)
DEFINE_TILE(15)
DEFINE_TILE(16)
#endif

/* tiles[rows - 1] */
static void (*const tiles[TILE_ROWS])(const weight_tile *) = {
    tile_1, tile_2, tile_3, tile_4, tile_5, tile_6,
#if TILE_ROWS == 16
    tile_7, tile_8, tile_9, tile_10, tile_11, tile_12, tile_13, tile_14, tile_15, tile_16,
#endif
};

typedef struct weight_plan {
    sn_shape x, y;
    int64_t kernel_h, kernel_w, stride, top, left;
    int64_t groups, group_in, group_out;
    int64_t blocks, panels;         /* row blocks and panels of a group */
    int64_t dw_row, dw_floats;      /* of a private gradient: (tap, group_in, groups x panels x PANEL) */
    int64_t unit_images, unit_rows; /* a unit: unit_images images x unit_rows rows; one of the two spans more than one */
    int64_t image_bands, units, chunks, units_each;
    int64_t splits, blocks_each;    /* of the groups x blocks row blocks, where there are few chunks */
    bool widen_x, widen_dy;         /* they are narrow: a unit's values are made floats */
    int64_t unit_in_rows;           /* of x behind the rows of a unit */
    int64_t x_floats, dy_floats;    /* per worker: of a unit, where they are widened */
    int64_t tail_floats;            /* per worker: dy of a panel that reaches past its group */
    bool direct;                    /* the one chunk is the output */
} weight_plan;

/* Floats of a pixel of a unit's copy: pixels do not share cache sets. */
static int64_t copied_pixel(int64_t channels) { return sn_ceil_div(channels, 16) * 16 + 16; }

static weight_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape x = call->input_nodes[0]->shape, y = call->input_nodes[1]->shape, w = call->node->shape;
    weight_plan p = {.x = x, .y = y, .kernel_h = w.n, .kernel_w = w.h, .stride = a->stride, .top = a->pad_top,
                     .left = a->pad_left, .groups = a->groups, .group_in = w.w, .group_out = y.c / a->groups};
    p.blocks = sn_ceil_div(p.group_in, TILE_ROWS);
    p.panels = sn_ceil_div(p.group_out, PANEL);
    p.dw_row = p.groups * p.panels * PANEL;
    p.dw_floats = p.kernel_h * p.kernel_w * p.group_in * p.dw_row;

    p.unit_images = sn_min64(y.n, sn_max64(1, UNIT_PIXELS / (y.h * y.w)));
    p.unit_rows = p.unit_images > 1 ? y.h : sn_min64(y.h, sn_max64(1, UNIT_PIXELS / y.w));
    p.image_bands = sn_ceil_div(y.h, p.unit_rows);
    p.units = sn_ceil_div(y.n, p.unit_images) * p.image_bands;
    p.chunks = sn_min64(p.units, sn_min64(MOST_CHUNKS, sn_max64(2, CHUNK_FLOATS / p.dw_floats)));
    p.units_each = sn_ceil_div(p.units, p.chunks);
    p.chunks = sn_ceil_div(p.units, p.units_each);
    p.direct = p.chunks == 1 && p.dw_row == y.c;
    p.splits = sn_min64(p.groups * p.blocks, sn_ceil_div(MOST_CHUNKS, p.chunks));
    p.blocks_each = sn_ceil_div(p.groups * p.blocks, p.splits);
    p.splits = sn_ceil_div(p.groups * p.blocks, p.blocks_each);
    p.widen_x = call->input_nodes[0]->dtype != SN_REAL;
    p.widen_dy = call->input_nodes[1]->dtype != SN_REAL;
    p.unit_in_rows = sn_min64(x.h, (p.unit_rows - 1) * p.stride + p.kernel_h);
    if (p.widen_x) p.x_floats = p.unit_images * p.unit_in_rows * x.w * copied_pixel(x.c);
    if (p.widen_dy) p.dy_floats = p.unit_images * p.unit_rows * y.w * copied_pixel(y.c);
    p.tail_floats = p.group_out % PANEL ? p.unit_images * p.unit_rows * y.w * PANEL : 0;
    return p;
}

/* x and dy are stored or float: pictures are float, and so are the gradients of a classifier behind a stored map. */
static const char *refuse(const sn_kernel_call *call)
{
    uint32_t narrow = 0;
    for (int k = 0; k < 2; k++)
        if (call->input_nodes[k]->dtype != SN_REAL) narrow |= 1u << k;
    return storage_refusal(call, narrow, SN_REAL);
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    weight_plan p = plan_of(call);
    return (size_t)((p.direct ? 0 : p.chunks * p.dw_floats) + call->threads * (p.x_floats + p.dy_floats + p.tail_floats)) * sizeof(float);
}

typedef struct weight_run {
    weight_plan plan;
    const void *x, *dy;
    float *chunks, *workers, *dw;
} weight_run;

/* The outputs o in [first, last) that see an input of [0, inputs): 0 <= o * stride + shift < inputs. */
static void clip(int64_t stride, int64_t shift, int64_t inputs, int64_t *first, int64_t *last)
{
    if (*first * stride + shift < 0) *first = sn_ceil_div(-shift, stride);
    if ((*last - 1) * stride + shift >= inputs) *last = inputs > shift ? (inputs - 1 - shift) / stride + 1 : 0;
}

/* A unit: output rows [row0, row1) of images [image0, image1). */
typedef struct weight_unit {
    int64_t image0, image1, row0, row1;
} weight_unit;

/* x and dy of a unit as floats: in the tensors or in a worker's memory. */
typedef struct unit_values {
    const float *x;        /* image0's row x_row0, column 0, channel x_channel0 */
    int64_t x_row0, x_channel0, x_pixel, x_image; /* the last two: steps in floats */
    const float *dy;       /* image0's row row0, column 0, channel dy_channel0 */
    int64_t dy_channel0, dy_pixel;
} unit_values;

/* Adds a unit's share of one row block and panel to dw, for all taps.  x: the row block's first channel; dy, dy_pixel: the panel's
 * values. */
static void add_taps(const weight_plan *p, const weight_unit *u, const unit_values *v, const float *x, const float *dy,
                     int64_t dy_pixel, float *dw, int rows)
{
    weight_tile tile = {.x_image = v->x_image, .x_row = p->stride * p->x.w * v->x_pixel, .x_pixel = p->stride * v->x_pixel,
                        .dy_pixel = dy_pixel, .dy_row = p->y.w * dy_pixel, .images = u->image1 - u->image0,
                        .dw_row = p->dw_row};
    /* whole images in the tensor and in copies alike, since a unit of several images has all their rows */
    tile.dy_image = p->y.h * tile.dy_row;
    for (int64_t ky = 0; ky < p->kernel_h; ky++)
        for (int64_t kx = 0; kx < p->kernel_w; kx++, dw += p->group_in * p->dw_row) {
            int64_t row0 = u->row0, row1 = u->row1, col0 = 0, col1 = p->y.w;
            clip(p->stride, ky - p->top, p->x.h, &row0, &row1);
            clip(p->stride, kx - p->left, p->x.w, &col0, &col1);
            if (row0 >= row1 || col0 >= col1) continue;
            tile.rows = row1 - row0;
            tile.cols = col1 - col0;
            tile.x = x + ((row0 * p->stride + ky - p->top - v->x_row0) * p->x.w + col0 * p->stride + kx - p->left) * v->x_pixel;
            tile.dy = dy + (row0 - u->row0) * tile.dy_row + col0 * dy_pixel;
            tile.dw = dw;
            weight_tile merged = tile;
            if (merged.x_row == merged.cols * merged.x_pixel && merged.dy_row == merged.cols * merged.dy_pixel) {
                merged.cols *= merged.rows; /* one long row */
                merged.rows = 1;
                if (merged.x_image == merged.cols * merged.x_pixel && merged.dy_image == merged.cols * merged.dy_pixel) {
                    merged.cols *= merged.images;
                    merged.images = 1;
                }
            }
            tiles[rows - 1](&merged);
        }
}

/* Makes floats of channels [first, last) of rows [row0, row1) of a unit's images. */
static void widen_rows(const stored *map, sn_shape shape, const weight_unit *u, int64_t row0, int64_t row1, int64_t first,
                       int64_t last, float *to)
{
    int64_t pixel = copied_pixel(last - first);
    for (int64_t image = u->image0; image < u->image1; image++) {
        const stored *from = map + (image * shape.h + row0) * shape.w * shape.c + first;
        for (int64_t i = 0; i < (row1 - row0) * shape.w; i++, to += pixel, from += shape.c) widen_values(to, from, last - first);
    }
}

/* For the groups' row blocks [first_block, last_block). */
static unit_values values_of(const weight_run *run, const weight_unit *u, int64_t first_block, int64_t last_block, float *memory)
{
    const weight_plan *p = &run->plan;
    int64_t first_group = first_block / p->blocks, last_group = (last_block - 1) / p->blocks;
    unit_values v = {.x_pixel = p->x.c, .dy_pixel = p->y.c};
    if (p->widen_x) {
        int64_t last = last_group * p->group_in + sn_min64(p->group_in, ((last_block - 1) % p->blocks + 1) * TILE_ROWS);
        v.x_channel0 = first_group * p->group_in + first_block % p->blocks * TILE_ROWS;
        v.x_row0 = sn_min64(p->x.h, sn_max64(0, u->row0 * p->stride - p->top));
        int64_t row1 = sn_max64(v.x_row0, sn_min64(p->x.h, (u->row1 - 1) * p->stride - p->top + p->kernel_h));
        widen_rows(run->x, p->x, u, v.x_row0, row1, v.x_channel0, last, memory);
        v.x = memory;
        v.x_pixel = copied_pixel(last - v.x_channel0);
        v.x_image = (row1 - v.x_row0) * p->x.w * v.x_pixel;
    } else {
        v.x_image = p->x.h * p->x.w * p->x.c;
        v.x = (const float *)run->x + u->image0 * v.x_image;
    }
    if (p->widen_dy) {
        int64_t last = (last_group + 1) * p->group_out;
        v.dy_channel0 = first_group * p->group_out;
        widen_rows(run->dy, p->y, u, u->row0, u->row1, v.dy_channel0, last, memory + p->x_floats);
        v.dy = memory + p->x_floats;
        v.dy_pixel = copied_pixel(last - v.dy_channel0);
    } else {
        v.dy = (const float *)run->dy + (u->image0 * p->y.h + u->row0) * p->y.w * p->y.c;
    }
    return v;
}

/* memory: a worker's */
static void add_unit(const weight_run *run, const weight_unit *u, int64_t first_block, int64_t last_block, float *dw, float *memory)
{
    const weight_plan *p = &run->plan;
    unit_values v = values_of(run, u, first_block, last_block, memory);
    float *tail = memory + p->x_floats + p->dy_floats;
    int64_t pixels = (u->image1 - u->image0) * (u->row1 - u->row0) * p->y.w;
    for (int64_t panel = 0; panel < p->panels; panel++) {
        int64_t outs = sn_min64(PANEL, p->group_out - panel * PANEL), copied_group = -1;
        for (int64_t block = first_block; block < last_block; block++) {
            int64_t group = block / p->blocks, in = block % p->blocks * TILE_ROWS;
            int64_t rows = sn_min64(TILE_ROWS, p->group_in - in);
            const float *from = v.dy + group * p->group_out + panel * PANEL - v.dy_channel0;
            int64_t dy_pixel = v.dy_pixel;
            if (outs < PANEL) { /* a whole vector would reach past the group, at the end past the tensor */
                for (int64_t i = 0; copied_group != group && i < pixels; i++) {
                    memcpy(tail + i * PANEL, from + i * v.dy_pixel, (size_t)outs * sizeof(float));
                    memset(tail + i * PANEL + outs, 0, (size_t)(PANEL - outs) * sizeof(float));
                }
                copied_group = group;
                from = tail;
                dy_pixel = PANEL;
            }
            add_taps(p, u, &v, v.x + group * p->group_in + in - v.x_channel0, from, dy_pixel,
                     dw + in * p->dw_row + (group * p->panels + panel) * PANEL, (int)rows);
        }
    }
}

static void chunk_task(void *context, int64_t index, int worker)
{
    const weight_run *run = context;
    const weight_plan *p = &run->plan;
    int64_t chunk = index / p->splits, split = index % p->splits;
    int64_t first_block = split * p->blocks_each, last_block = sn_min64(p->groups * p->blocks, first_block + p->blocks_each);
    float *dw = run->chunks + chunk * p->dw_floats;
    for (int64_t block = first_block; block < last_block; block++) { /* clear this task's part */
        int64_t in = block % p->blocks * TILE_ROWS, rows = sn_min64(TILE_ROWS, p->group_in - in);
        for (int64_t tap = 0; tap < p->kernel_h * p->kernel_w; tap++)
            for (int64_t i = in; i < in + rows; i++)
                memset(dw + (tap * p->group_in + i) * p->dw_row + block / p->blocks * p->panels * PANEL, 0,
                       (size_t)(p->panels * PANEL) * sizeof(float));
    }
    int64_t last_unit = sn_min64(p->units, (chunk + 1) * p->units_each);
    for (int64_t unit = chunk * p->units_each; unit < last_unit; unit++) {
        int64_t image = unit / p->image_bands * p->unit_images, row = unit % p->image_bands * p->unit_rows;
        weight_unit u = {image, sn_min64(p->y.n, image + p->unit_images), row, sn_min64(p->y.h, row + p->unit_rows)};
        add_unit(run, &u, first_block, last_block, dw, run->workers + worker * (p->x_floats + p->dy_floats + p->tail_floats));
    }
}

enum { REDUCE_ROWS = 16 };

/* dw = the sum of the chunks in order, for some rows (tap, input channel). */
static void reduce_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const weight_run *run = context;
    const weight_plan *p = &run->plan;
    int64_t last = sn_min64(p->kernel_h * p->kernel_w * p->group_in, (index + 1) * REDUCE_ROWS);
    for (int64_t row = index * REDUCE_ROWS; row < last; row++)
        for (int64_t group = 0; group < p->groups; group++) {
            float *to = run->dw + row * p->y.c + group * p->group_out;
            const float *from = run->chunks + row * p->dw_row + group * p->panels * PANEL;
            for (int64_t panel = 0; panel < p->panels * PANEL; panel += VF) {
                vf sum = {0};
                for (int64_t chunk = 0; chunk < p->chunks; chunk++) sum += vf_load(from + chunk * p->dw_floats + panel);
                vf_store_first(to + panel, sum, sn_max64(0, sn_min64(VF, p->group_out - panel)));
            }
        }
}

static void run(const sn_kernel_call *call)
{
    weight_run run = {.plan = plan_of(call), .x = call->inputs[0], .dy = call->inputs[1], .dw = call->output};
    const weight_plan *p = &run.plan;
    float *scratch = call->scratch;
    run.chunks = p->direct ? run.dw : scratch;
    run.workers = p->direct ? scratch : scratch + p->chunks * p->dw_floats;
    int64_t macs = sn_shape_elements(p->y) * p->kernel_h * p->kernel_w * p->group_in;
    int threads = macs < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->chunks * p->splits, chunk_task, &run);
    if (p->direct) return;
    threads = p->chunks * p->dw_floats * 4 < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, sn_ceil_div(p->kernel_h * p->kernel_w * p->group_in, REDUCE_ROWS), reduce_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grad_weight_direct) = {
    .name = SN_KERNEL_NAME(conv2d_grad_weight_direct),
    .op = SN_OP_conv2d_grad_weight,
    .storage = SN_STORED,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
