/* conv_grad_weight_rows.c - gradient of a dense convolution's weight, a kernel row at a time:
 *
 *     dw(ky, r, o) = sum over pixels (row, col) of  x(row * stride + ky - top, col * stride - left; r) dy(row, col, o)
 *
 * In NHWC the taps of a kernel row read floats that lie together, r = 0 .. kernel width x input channels - 1, and so do their weights:
 * a 7x7 stem on 3 channels is seven products of 21 rows each, not 49 of 3.  The register tile is a few r x one panel of output
 * channels; it walks over the pixels of a unit, a band of output rows of one image.  A task copies the unit's input rows between
 * columns of zeros and, panel by panel, its dy, both in the L2 cache while all tiles pass over them; input rows outside
 * the image shorten the walk.
 *
 * Units are cut into chunks by the shape alone, each with a dw of its own; the chunks are added in order at the end, so threads do
 * not change the bits.  Where there are few chunks, tasks also split the panels.
 * Memory: reads x 1 + kernel height / band times and dy once, writes and re-reads chunks x dw.
 */
#include "cpu/kernels/conv_plan.h"
#include "cpu/kernels/copy.h"

enum {
    MOST_CHANNELS = 12,    /* of the input: with more, taps need not be joined, and dw outgrows the caches that x and dy leave */
    UNIT_PIXELS = 448,     /* of a band: a panel of dy is 112 KB */
    UNIT_FLOATS = 131072,  /* most of a copied band of x, if it has more than one row: 512 KB */
    MOST_CHUNKS = 16,
    CHUNK_FLOATS = 8 << 20 /* all private gradients together, at most 32 MB where more than two chunks are asked for */
};

typedef struct row_plan {
    sn_shape x, y;
    int64_t kernel_h, stride, top, left;
    int64_t taps;                   /* floats of a kernel row: r */
    int64_t panels, dw_row;         /* of the output channels; floats of a row of a chunk's dw: whole vectors */
    int64_t dw_floats;              /* of a chunk: (ky, r, dw_row) */
    int64_t unit_rows, bands, units, chunks, units_each;
    int64_t splits, split_panels;
    int64_t x_cols, x_rows, x_row;  /* the copied band: columns of the image it may need, rows, floats of a row */
    int64_t worker_floats;
} row_plan;

static int64_t band_rows(const row_plan *p) { return (p->unit_rows - 1) * p->stride + p->kernel_h; }

static row_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape w = call->node->shape;
    row_plan p = {.x = call->input_nodes[0]->shape, .y = call->input_nodes[1]->shape, .kernel_h = w.n, .stride = a->stride,
                  .top = a->pad_top, .left = a->pad_left, .taps = w.h * w.w};
    p.panels = sn_ceil_div(p.y.c, PANEL);
    p.dw_row = sn_ceil_div(p.y.c, VF) * VF;
    p.dw_floats = p.kernel_h * p.taps * p.dw_row;
    p.x_cols = (p.y.w - 1) * p.stride + w.h;
    p.x_row = sn_ceil_div(p.x_cols * p.x.c, LINE_FLOATS) * LINE_FLOATS + LINE_FLOATS;

    p.unit_rows = sn_min64(p.y.h, sn_max64(1, UNIT_PIXELS / p.y.w));
    while (p.unit_rows > 1 && band_rows(&p) * p.x_row > UNIT_FLOATS) p.unit_rows = sn_ceil_div(p.unit_rows, 2);
    p.bands = sn_ceil_div(p.y.h, p.unit_rows);
    p.unit_rows = sn_ceil_div(p.y.h, p.bands);
    p.bands = sn_ceil_div(p.y.h, p.unit_rows);
    p.x_rows = band_rows(&p);
    p.units = p.y.n * p.bands;
    p.chunks = sn_min64(p.units, sn_min64(MOST_CHUNKS, sn_max64(2, CHUNK_FLOATS / p.dw_floats)));
    p.units_each = sn_ceil_div(p.units, p.chunks);
    p.chunks = sn_ceil_div(p.units, p.units_each);
    p.splits = sn_min64(p.panels, sn_ceil_div(MOST_CHUNKS, p.chunks));
    p.split_panels = sn_ceil_div(p.panels, p.splits);
    p.splits = sn_ceil_div(p.panels, p.split_panels);
    p.worker_floats = p.x_rows * p.x_row + p.unit_rows * p.y.w * PANEL;
    return p;
}

static const char *refuse(const sn_kernel_call *call)
{
    const char *otherwise = storage_refusal(call, 0, SN_REAL);
    if (otherwise) return otherwise;
    if (call->node->attrs.u.conv.groups != 1) return "not a dense convolution";
    if (call->node->shape.w > MOST_CHANNELS) return "slower than tap by tap: the channels of a pixel fill register tiles";
    return NULL;
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    row_plan p = plan_of(call);
    return (size_t)(p.chunks * p.dw_floats + call->threads * p.worker_floats) * sizeof(float);
}

/* ---- the register tile ---- */

typedef struct row_tile {
    const float *x, *dy;       /* of the first pixel */
    int64_t rows, cols;        /* pixels */
    int64_t x_row, x_pixel;    /* floats from one to the next; those of dy follow one another */
    float *dw;                 /* added to */
    int64_t dw_row;
} row_tile;

#define TAP_VALUE(i) (x + i)

#define DEFINE_TILE(ROWS, VECTORS)                                                                                   \
    static SN_NOINLINE void tile_##ROWS##x##VECTORS(const row_tile *t)                                               \
    {                                                                                                                \
        vf sum[ROWS][VECTORS];                                                                                       \
        EACH_SUM(ROWS, VECTORS) sum[i][v] = (vf){0};                                                                 \
        EACH_SUM(ROWS, VECTORS) __builtin_prefetch(t->dw + i * t->dw_row + v * VF, 1);                               \
        __asm__("" : "+r"(t)); /* the addresses of dw are not kept meanwhile */                                      \
        const float *dy = t->dy, *first = t->x;                                                                      \
        const int64_t x_pixel = t->x_pixel;                                                                          \
        for (int64_t row = t->rows; row > 0; row--, first += t->x_row) {                                             \
            const float *x = first;                                                                                  \
            for (int64_t col = t->cols; col > 0; col--, x += x_pixel, dy += VECTORS * VF)                            \
                ADD_STEP(ROWS, VECTORS, TAP_VALUE, dy);                                                              \
        }                                                                                                            \
        __asm__("" : "+r"(t));                                                                                       \
        EACH_SUM(ROWS, VECTORS) sum[i][v] += vf_load(t->dw + i * t->dw_row + v * VF);                                \
        EACH_SUM(ROWS, VECTORS) vf_store(t->dw + i * t->dw_row + v * VF, sum[i][v]);                                 \
    }

DEFINE_TILES
static void (*const row_tiles[TILE_VECTORS][MOST_TILE_ROWS])(const row_tile *) = TILE_TABLE;

/* ---- tasks ---- */

typedef struct row_run {
    row_plan plan;
    const float *x, *dy;
    float *chunks, *workers, *dw;
} row_run;

/* Output rows [row0, row1) of an image. */
typedef struct row_unit {
    int64_t image, row0, row1;
} row_unit;

/* The input rows of a unit between zeros; rows outside the image are left out. */
static void copy_x(const row_run *run, const row_unit *u, float *to)
{
    const row_plan *p = &run->plan;
    int64_t before = sn_min64(p->left, p->x_cols), end = sn_max64(sn_min64(p->x.w + p->left, p->x_cols), before);
    int64_t first = u->row0 * p->stride - p->top, rows = (u->row1 - u->row0 - 1) * p->stride + p->kernel_h;
    for (int64_t row = first; row < first + rows; row++, to += p->x_row) {
        if (row < 0 || row >= p->x.h) continue;
        clear_floats(to, before * p->x.c);
        copy_floats(to + before * p->x.c, run->x + (u->image * p->x.h + row) * p->x.w * p->x.c, (end - before) * p->x.c);
        clear_floats(to + end * p->x.c, (p->x_cols - end) * p->x.c);
    }
}

/* `outs` output channels from `first` on, with zeros up to whole vectors. */
static void copy_dy(const row_run *run, const row_unit *u, int64_t first, int64_t outs, int64_t width, float *to)
{
    const row_plan *p = &run->plan;
    const float *from = run->dy + (u->image * p->y.h + u->row0) * p->y.w * p->y.c + first;
    for (int64_t pixel = (u->row1 - u->row0) * p->y.w; pixel > 0; pixel--, from += p->y.c, to += width) {
        vf_store(to + width - VF, (vf){0});
        copy_floats(to, from, outs);
    }
}

/* Adds a unit's share of kernel row ky and a panel, whose dy is given, to dw. */
static void add_kernel_row(const row_plan *p, const row_unit *u, int64_t ky, const float *x, const float *dy, int vectors, float *dw)
{
    int64_t row0 = u->row0, row1 = u->row1, width = vectors * VF;
    while (row0 < row1 && row0 * p->stride + ky < p->top) row0++;
    while (row0 < row1 && (row1 - 1) * p->stride + ky - p->top >= p->x.h) row1--;
    if (row0 == row1) return;
    row_tile tile = {.dy = dy + (row0 - u->row0) * p->y.w * width, .rows = row1 - row0, .cols = p->y.w,
                     .x_row = p->stride * p->x_row, .x_pixel = p->stride * p->x.c, .dw_row = p->dw_row};
    x += ((row0 - u->row0) * p->stride + ky) * p->x_row;
    int64_t tiles = sn_ceil_div(p->taps, tile_rows[vectors - 1]), size = p->taps / tiles, larger = p->taps % tiles;
    for (int64_t i = 0, r = 0; i < tiles; i++) {
        int64_t rows = size + (i < larger);
        tile.x = x + r;
        tile.dw = dw + (ky * p->taps + r) * p->dw_row;
        row_tiles[vectors - 1][rows - 1](&tile);
        r += rows;
    }
}

static void add_unit(const row_run *run, const row_unit *u, int64_t first_panel, int64_t last_panel, float *x, float *dw)
{
    const row_plan *p = &run->plan;
    float *dy = x + p->x_rows * p->x_row;
    copy_x(run, u, x);
    for (int64_t panel = first_panel; panel < last_panel; panel++) {
        int64_t outs = sn_min64(PANEL, p->y.c - panel * PANEL), vectors = sn_ceil_div(outs, VF);
        copy_dy(run, u, panel * PANEL, outs, vectors * VF, dy);
        for (int64_t ky = 0; ky < p->kernel_h; ky++) add_kernel_row(p, u, ky, x, dy, (int)vectors, dw + panel * PANEL);
    }
}

static void chunk_task(void *context, int64_t index, int worker)
{
    const row_run *run = context;
    const row_plan *p = &run->plan;
    int64_t chunk = index / p->splits, first_panel = index % p->splits * p->split_panels;
    int64_t last_panel = sn_min64(p->panels, first_panel + p->split_panels);
    float *dw = run->chunks + chunk * p->dw_floats;
    int64_t first_float = first_panel * PANEL, last_float = sn_min64(p->dw_row, last_panel * PANEL);
    for (int64_t row = 0; row < p->kernel_h * p->taps; row++)
        clear_floats(dw + row * p->dw_row + first_float, last_float - first_float);
    int64_t last_unit = sn_min64(p->units, (chunk + 1) * p->units_each);
    for (int64_t unit = chunk * p->units_each; unit < last_unit; unit++) {
        int64_t row = unit % p->bands * p->unit_rows;
        row_unit u = {unit / p->bands, row, sn_min64(p->y.h, row + p->unit_rows)};
        add_unit(run, &u, first_panel, last_panel, run->workers + worker * p->worker_floats, dw);
    }
}

enum { REDUCE_ROWS = 16 };

/* dw = the sum of the chunks in order, for some rows (ky, r). */
static void reduce_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const row_run *run = context;
    const row_plan *p = &run->plan;
    int64_t last = sn_min64(p->kernel_h * p->taps, (index + 1) * REDUCE_ROWS);
    for (int64_t row = index * REDUCE_ROWS; row < last; row++)
        for (int64_t o = 0; o < p->y.c; o += VF) {
            const float *from = run->chunks + row * p->dw_row + o;
            vf sum = vf_load(from);
            for (int64_t chunk = 1; chunk < p->chunks; chunk++) sum += vf_load(from + chunk * p->dw_floats);
            vf_store_n(run->dw + row * p->y.c + o, sum, p->y.c - o);
        }
}

static void run(const sn_kernel_call *call)
{
    row_run run = {.plan = plan_of(call), .x = call->inputs[0], .dy = call->inputs[1], .chunks = call->scratch, .dw = call->output};
    const row_plan *p = &run.plan;
    run.workers = run.chunks + p->chunks * p->dw_floats;
    int64_t macs = sn_shape_elements(p->y) * p->kernel_h * p->taps;
    sn_parallel_for(macs < SN_SMALL_MACS ? 1 : call->threads, p->chunks * p->splits, chunk_task, &run);
    int threads = p->chunks * p->dw_floats * 4 < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, sn_ceil_div(p->kernel_h * p->taps, REDUCE_ROWS), reduce_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grad_weight_rows) = {
    .name = SN_KERNEL_NAME(conv2d_grad_weight_rows),
    .op = SN_OP_conv2d_grad_weight,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
