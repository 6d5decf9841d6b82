/* conv_grad_weight_pointwise.c - gradient of a dense 1x1 convolution's weight: dw(i, o) = sum over pixels of x(pixel, i) dy(pixel, o).
 *
 * A product of two matrices that both have the pixels along their rows.  The register tile is a few input channels x one panel of
 * output channels; it walks over the pixels of a unit, whose x, for the task's input channels, stays in the L2 cache for every
 * panel.  Tensors of many channels are copied to per-worker memory first: their strides would put all pixels into a few cache
 * sets.  The others are read where they are, and the next unit is fetched while one is multiplied.  Narrow tensors are always copied:
 * to floats, or where the processor multiplies pairs of bf16 (conv_values.h) to words of two pixels side by side, a step.
 *
 * Input channels, output channels and, where that gives too few tasks, pixels are cut by the shape alone.  A chunk of the pixels
 * has a dw of its own; the chunks are added in order at the end, so threads do not change the bits.  One chunk is the result.
 * Memory: reads x once a cut of the output channels and dy once a cut of the input channels, writes dw once a unit and chunk.
 */
#include "cpu/kernels/conv_plan.h"
#include "cpu/kernels/copy.h"

/* Pixels so many floats apart, or further, are copied. */
enum { FAR_FLOATS = 512, LINE_VALUES = LINE_FLOATS * sizeof(float) / sizeof(stored) };

enum {
    SPLIT_CHANNELS = 128,  /* input channels of a task, at least: they share the copy of dy */
    SPLIT_OUTPUTS = 256,   /* output channels: they share the copy of x */
    UNIT_FLOATS = 98304,   /* of x and a panel of dy: 384 KB of the L2 cache */
    FETCH_FLOATS = 196608, /* of x and all of dy, that they are fetched a unit ahead */
    FEWEST_UNIT_PIXELS = 16,
    MOST_UNIT_STEPS = 128, /* a panel of dy is 32 KB; more make the passes over dw little cheaper, and then it leaves the L1 cache */
    AHEAD_PIXELS = 8,      /* the copies fetch so far ahead: rows of channels are too short for the processor's own guess */
    REDUCE_ROWS = 16
};

typedef struct product_plan {
    sn_shape x, y;
    int64_t stride, pixels; /* of y */
    int64_t row;            /* floats of a row of dw: output channels in whole vectors */
    int64_t units, unit_pixels;
    int64_t chunks, units_each;
    int64_t splits, channels_each, out_splits, outs_each; /* cuts of the input and of the output channels */
    int64_t x_row;          /* words of a step of the copied x */
    int64_t unit_steps;
    int64_t worker_floats;
    bool copy_x, copy_dy;
    bool fetch;             /* the next unit, while one is multiplied */
    bool direct;            /* the one chunk is the output */
} product_plan;

static product_plan plan_of(const sn_kernel_call *call)
{
    product_plan p = {.x = call->input_nodes[0]->shape, .y = call->input_nodes[1]->shape,
                      .stride = call->node->attrs.u.conv.stride};
    p.pixels = p.y.n * p.y.h * p.y.w;
    p.row = sn_ceil_div(p.y.c, VF) * VF;
    p.splits = sn_max64(1, sn_min64(PLAN_TASKS, p.x.c / SPLIT_CHANNELS));
    p.channels_each = sn_ceil_div(p.x.c, p.splits);
    p.splits = sn_ceil_div(p.x.c, p.channels_each);
    p.outs_each = sn_max64(1, sn_min64(PLAN_TASKS / p.splits, p.y.c / SPLIT_OUTPUTS));
    p.outs_each = sn_ceil_div(sn_ceil_div(p.y.c, p.outs_each), PANEL) * PANEL;
    p.out_splits = sn_ceil_div(p.y.c, p.outs_each);
    p.x_row = p.channels_each + LINE_FLOATS;
    p.copy_x = NARROWS || p.stride > 1 || p.x.c >= FAR_FLOATS;
    p.copy_dy = NARROWS || p.y.c >= FAR_FLOATS || p.row != p.y.c;
    int64_t fit = sn_min64(MOST_UNIT_STEPS, UNIT_FLOATS / (p.x_row + PANEL)) * STEP_VALUES;
    p.unit_pixels = sn_min64(sn_max64(FEWEST_UNIT_PIXELS, fit), sn_ceil_div(p.pixels * p.splits * p.out_splits, PLAN_TASKS));
    p.unit_steps = sn_ceil_div(p.unit_pixels, STEP_VALUES);
    p.unit_pixels = p.unit_steps * STEP_VALUES;
    p.fetch = p.stride == 1 && p.unit_pixels * (p.channels_each + p.outs_each) <= FETCH_FLOATS;
    p.units = sn_ceil_div(p.pixels, p.unit_pixels);
    p.units_each = sn_ceil_div(p.units, sn_ceil_div(PLAN_TASKS, p.splits * p.out_splits));
    p.chunks = sn_ceil_div(p.units, p.units_each);
    p.worker_floats = p.unit_steps * (p.x_row + PANEL);
    p.direct = p.chunks == 1 && p.row == p.y.c;
    return p;
}

static const char *refuse(const sn_kernel_call *call)
{
    const sn_conv_attrs *attrs = &call->node->attrs.u.conv;
    if (attrs->groups != 1 || !conv_is_pointwise(attrs, call->node->shape)) return "not a dense 1x1 convolution";
    return storage_refusal(call, 1u << 0 | 1u << 1, SN_REAL);
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    product_plan p = plan_of(call);
    return (size_t)(call->threads * p.worker_floats + (p.direct ? 0 : p.chunks * p.x.c * p.row)) * sizeof(float);
}

/* ---- the register tile ---- */

typedef struct weight_tile {
    const float *x, *dy; /* words of the first step */
    int64_t steps, x_row, dy_row;
    float *dw;
    int64_t dw_row;
    bool first; /* sets dw instead of adding to it */
    const stored *ahead; /* fetched meanwhile: a cache line a pixel, ahead_row values apart */
    int64_t ahead_row;
} weight_tile;

#define CHANNEL_VALUES(i) ((const conv_value *)(x + i))

#define DEFINE_TILE(ROWS, VECTORS)                                                                                   \
    static SN_NOINLINE void tile_##ROWS##x##VECTORS(const weight_tile *t)                                            \
    {                                                                                                                \
        vf sum[ROWS][VECTORS];                                                                                       \
        EACH_SUM(ROWS, VECTORS) sum[i][v] = (vf){0};                                                                 \
        EACH_SUM(ROWS, VECTORS) __builtin_prefetch(t->dw + i * t->dw_row + v * VF, 1);                               \
        __asm__("" : "+r"(t)); /* the addresses of dw are not kept meanwhile */                                      \
        const float *x = t->x, *dy = t->dy;                                                                          \
        const stored *ahead = t->ahead;                                                                              \
        int64_t x_row = t->x_row, dy_row = t->dy_row, ahead_row = t->ahead_row;                                      \
        for (int64_t s = t->steps; s > 0; s--, x += x_row, dy += dy_row) {                                           \
            SN_UNROLL for (int p = 0; p < STEP_VALUES; p++, ahead += ahead_row) __builtin_prefetch(ahead, 0, 1);     \
            ADD_STEP(ROWS, VECTORS, CHANNEL_VALUES, dy);                                                             \
        }                                                                                                            \
        __asm__("" : "+r"(t));                                                                                       \
        if (!t->first)                                                                                               \
            EACH_SUM(ROWS, VECTORS) sum[i][v] += vf_load(t->dw + i * t->dw_row + v * VF);                            \
        EACH_SUM(ROWS, VECTORS) vf_store(t->dw + i * t->dw_row + v * VF, sum[i][v]);                                 \
    }

DEFINE_TILES
static void (*const weight_tiles[TILE_VECTORS][MOST_TILE_ROWS])(const weight_tile *) = TILE_TABLE;

/* ---- tasks ---- */

typedef struct product_run {
    product_plan plan;
    const stored *x, *dy;
    float *copies, *chunks, *dw;
} product_run;

/* ---- copies: words of a step, row after row ---- */

typedef struct step_rows {
    float *to;
    int64_t row, channels;
    const stored *held; /* pairs: the first pixel of a step */
} step_rows;

#if SN_PAIRS
static void store_pairs(step_rows *s, const stored *first, const stored *second)
{
    for (int64_t c = 0; c < s->channels; c += VF) {
        int64_t lanes = sn_min64(VF, s->channels - c);
        vu low = __builtin_convertvector(vh_load_first(first + c, lanes), vu), high = {0};
        if (second) high = __builtin_convertvector(vh_load_first(second + c, lanes), vu);
        vf_store_n(s->to + c, (vf)(low | high << 16), lanes);
    }
    s->to += s->row;
    s->held = NULL;
}
#endif

SN_INLINE void add_pixel(step_rows *s, const stored *pixel)
{
#if SN_PAIRS
    if (s->held)
        store_pairs(s, s->held, pixel);
    else
        s->held = pixel;
#else
    widen_values(s->to, pixel, s->channels);
    s->to += s->row;
#endif
}

/* A last pixel that is alone gets zeros beside it. */
SN_INLINE void end_pixels(step_rows *s)
{
#if SN_PAIRS
    if (s->held) store_pairs(s, s->held, NULL);
#else
    (void)s;
#endif
}

/* Input channels [first, first + channels) of output pixels [p0, p1), pixel by pixel. */
static void copy_x(const product_run *run, int64_t p0, int64_t p1, int64_t first, int64_t channels, float *to)
{
    const product_plan *p = &run->plan;
    int64_t col = p0 % p->y.w, row = p0 / p->y.w % p->y.h, image = p0 / p->y.w / p->y.h, next = p->stride * p->x.c;
    const stored *from = run->x + ((image * p->x.h + row * p->stride) * p->x.w + col * p->stride) * p->x.c + first;
    step_rows rows = {.to = to, .row = p->x_row, .channels = channels};
    for (int64_t pixel = p0; pixel < p1; pixel++) {
        const stored *ahead = from + sn_min64(AHEAD_PIXELS, p1 - 1 - pixel) * next;
        for (int64_t c = 0; c < channels; c += LINE_VALUES) __builtin_prefetch(ahead + c);
        add_pixel(&rows, from);
        from += next;
        if (p->stride == 1 || ++col < p->y.w) continue;
        col = 0;
        if (++row == p->y.h) row = 0, image++;
        from = run->x + (image * p->x.h + row * p->stride) * p->x.w * p->x.c + first;
    }
    end_pixels(&rows);
}

static void copy_dy(const product_run *run, int64_t p0, int64_t p1, int64_t first, int64_t channels, float *to, int64_t width)
{
    const product_plan *p = &run->plan;
    const stored *from = run->dy + p0 * p->y.c + first;
    step_rows rows = {.to = to, .row = width, .channels = channels};
    for (int64_t pixel = p0; pixel < p1; pixel++, from += p->y.c) {
        const stored *ahead = from + sn_min64(AHEAD_PIXELS, p1 - 1 - pixel) * p->y.c;
        for (int64_t c = 0; c < channels; c += LINE_VALUES) __builtin_prefetch(ahead + c);
        vf_store(rows.to + width - VF, (vf){0}); /* the last vector may have lanes behind the channels */
        add_pixel(&rows, from);
    }
    end_pixels(&rows);
}

/* A task's part of dw: input channels [in0, in1), output channels [out0, out1). */
typedef struct weight_part {
    int64_t in0, in1, out0, out1;
} weight_part;

/* What tile number `index` of a unit fetches of the next unit, at pixel p1: one of the cache lines of each pixel's dy, then x. */
static void fetch_next(const product_run *run, const weight_part *part, int64_t p1, int64_t index, weight_tile *tile)
{
    const product_plan *p = &run->plan;
    int64_t dy_lines = sn_ceil_div(part->out1 - part->out0, LINE_VALUES), x_lines = sn_ceil_div(part->in1 - part->in0, LINE_VALUES);
    tile->ahead = (const stored *)tile->dy; /* nothing new */
    tile->ahead_row = 0;
    if (!p->fetch || p1 + tile->steps * STEP_VALUES > p->pixels || index >= dy_lines + x_lines) return;
    if (index < dy_lines) {
        tile->ahead = run->dy + p1 * p->y.c + part->out0 + index * LINE_VALUES;
        tile->ahead_row = p->y.c;
    } else {
        tile->ahead = run->x + p1 * p->x.c + part->in0 + (index - dy_lines) * LINE_VALUES;
        tile->ahead_row = p->x.c;
    }
}

/* A part of a tensor that is read where it is: not narrow. */
static const float *in_place(const stored *values) { return (const float *)(const void *)values; }

/* Adds the share of pixels [p0, p1) to a part of dw. */
static void add_unit(const product_run *run, const weight_part *part, int64_t p0, int64_t p1, float *copies, float *dw, bool first)
{
    const product_plan *p = &run->plan;
    int64_t channels = part->in1 - part->in0, index = 0;
    float *dy_copy = copies + p->unit_steps * p->x_row;
    if (p->copy_x) copy_x(run, p0, p1, part->in0, channels, copies);
    const float *x = p->copy_x ? copies : in_place(run->x + p0 * p->x.c + part->in0);
    for (int64_t out = part->out0; out < part->out1; out += PANEL) {
        int64_t outs = sn_min64(PANEL, part->out1 - out), vectors = sn_ceil_div(outs, VF);
        if (p->copy_dy) copy_dy(run, p0, p1, out, outs, dy_copy, vectors * VF);
        weight_tile tile = {.dy = p->copy_dy ? dy_copy : in_place(run->dy + p0 * p->y.c + out),
                            .steps = sn_ceil_div(p1 - p0, STEP_VALUES), .dw_row = p->row,
                            .x_row = p->copy_x ? p->x_row : p->x.c, .dy_row = p->copy_dy ? vectors * VF : p->y.c, .first = first};
        int64_t tiles = sn_ceil_div(channels, tile_rows[vectors - 1]), size = channels / tiles, larger = channels % tiles;
        for (int64_t i = 0, row = 0; i < tiles; i++) {
            int64_t rows = size + (i < larger);
            tile.x = x + row;
            tile.dw = dw + (part->in0 + row) * p->row + out;
            fetch_next(run, part, p1, index++, &tile);
            weight_tiles[vectors - 1][rows - 1](&tile);
            row += rows;
        }
    }
}

static void chunk_task(void *context, int64_t index, int worker)
{
    const product_run *run = context;
    const product_plan *p = &run->plan;
    weight_part part = {.in0 = index % p->splits * p->channels_each, .out0 = index / p->splits % p->out_splits * p->outs_each};
    part.in1 = sn_min64(p->x.c, part.in0 + p->channels_each);
    part.out1 = sn_min64(p->y.c, part.out0 + p->outs_each);
    int64_t chunk = index / p->splits / p->out_splits;
    int64_t first_unit = chunk * p->units_each, last_unit = sn_min64(p->units, first_unit + p->units_each);
    for (int64_t unit = first_unit; unit < last_unit; unit++)
        add_unit(run, &part, unit * p->unit_pixels, sn_min64(p->pixels, (unit + 1) * p->unit_pixels),
                 run->copies + worker * p->worker_floats, run->chunks + chunk * p->x.c * p->row, unit == first_unit);
}

/* dw = the sum of the chunks in order, for some input channels. */
static void reduce_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const product_run *run = context;
    const product_plan *p = &run->plan;
    for (int64_t i = index * REDUCE_ROWS; i < sn_min64(p->x.c, (index + 1) * REDUCE_ROWS); i++)
        for (int64_t o = 0; o < p->y.c; o += VF) {
            const float *from = run->chunks + i * p->row + o;
            vf sum = vf_load(from);
            for (int64_t chunk = 1; chunk < p->chunks; chunk++) sum += vf_load(from + chunk * p->x.c * p->row);
            vf_store_n(run->dw + i * p->y.c + o, sum, p->y.c - o);
        }
}

static void run(const sn_kernel_call *call)
{
    product_run run = {.plan = plan_of(call), .x = call->inputs[0], .dy = call->inputs[1], .copies = call->scratch,
                       .dw = call->output};
    const product_plan *p = &run.plan;
    run.chunks = p->direct ? run.dw : run.copies + call->threads * p->worker_floats;
    int threads = p->pixels * p->x.c * p->y.c < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->chunks * p->splits * p->out_splits, chunk_task, &run);
    if (p->direct) return;
    threads = p->chunks * p->x.c * p->row * 4 < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, sn_ceil_div(p->x.c, REDUCE_ROWS), reduce_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grad_weight_pointwise) = {
    .name = SN_KERNEL_NAME(conv2d_grad_weight_pointwise),
    .op = SN_OP_conv2d_grad_weight,
    .storage = SN_STORED,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
