/* conv_winograd_grad_weight.c - gradient of the weight of a 3x3 convolution with stride 1 in the domain of Winograd's F(4x4, 3x3), the
 * adjoint of the forward form (conv_winograd_forms.h):
 *
 *     dg = G^T [ sum over tiles of (B^T d B) * (A dY A^T) ] G          36 products for 144
 *
 * The sum over tiles is a product at each point:  dU(i, o) = sum over tiles of V(tile, i) D(tile, o).  V and D of a piece of
 * PIECE tiles belong to one worker, in its caches: [channels / VF][point][tile][VF], so that the product streams both.
 * dU of VF inputs x a few vectors of outputs is transformed back at once, while it lies in the L1 cache, and added to dw.
 *
 * Tiles are cut into chunks by the shape alone, each with a private dw; a chunk is a run of pieces, added in order.  Where there are
 * few chunks, tasks also split the outputs, and each transforms the chunk's V anew; neither changes the bits.  The chunks
 * are added in order at the end.
 * Memory: reads x 2.25 times and dy once for each split, writes and re-reads chunks x dw.
 */
#include "cpu/kernels/conv_winograd_forms.h"

enum { TILE = 4, PATCH = 6, POINTS = 36 };

/* The product's register tile: ROWS inputs x VECTORS vectors of outputs; ROWS divides VF. */
#if SN_VECTOR_FLOATS == 16
#define TILE_ROWS 8
#define TILE_VECTORS 3
#elif SN_VECTOR_REGISTERS == 32
#define TILE_ROWS 4
#define TILE_VECTORS 6
#else
#define TILE_ROWS 4
#define TILE_VECTORS 3
#endif

enum {
    PIECE = 96,            /* tiles: so many products pay for one transform back of dU */
    FEWEST_CHANNELS = 32,  /* of both sides: below, the transforms cost more than the products save */
    FEWEST_TILES = 32,
    MOST_CHUNKS = 16,
    CHUNK_FLOATS = 8 << 20 /* all private gradients together, at most 32 MB where more than two chunks are asked for */
};

typedef struct weight_plan {
    sn_shape x, y;
    int64_t top, left;
    int64_t tiles_y, tiles_x, tiles;    /* of an image; of the batch */
    int64_t blocks, panels;             /* inputs and outputs in vectors */
    int64_t dw_floats;                  /* of a private gradient: (tap, input, panels x VF) */
    int64_t pieces, chunks, pieces_each, piece_tiles;
    int64_t splits, split_panels;
    int64_t point, block;               /* floats from a point of V and D to the next, and from a vector of channels */
    int64_t v_floats, worker_floats;
} weight_plan;

static weight_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    weight_plan p = {.x = call->input_nodes[0]->shape, .y = call->input_nodes[1]->shape, .top = a->pad_top, .left = a->pad_left};
    p.tiles_y = sn_ceil_div(p.y.h, TILE);
    p.tiles_x = sn_ceil_div(p.y.w, TILE);
    p.tiles = p.y.n * p.tiles_y * p.tiles_x;
    p.blocks = sn_ceil_div(p.x.c, VF);
    p.panels = sn_ceil_div(p.y.c, VF);
    p.dw_floats = 9 * p.x.c * p.panels * VF;

    p.pieces = sn_ceil_div(p.tiles, PIECE);
    p.piece_tiles = sn_ceil_div(p.tiles, p.pieces);
    p.chunks = sn_min64(p.pieces, sn_min64(MOST_CHUNKS, sn_max64(2, CHUNK_FLOATS / p.dw_floats)));
    p.pieces_each = sn_ceil_div(p.pieces, p.chunks);
    p.chunks = sn_ceil_div(p.pieces, p.pieces_each);
    int64_t wanted = call->threads > 1 ? 2 * call->threads : 1;
    p.splits = p.chunks < wanted ? sn_ceil_div(wanted, p.chunks) : 1;
    p.split_panels = sn_ceil_div(sn_ceil_div(p.panels, p.splits), TILE_VECTORS) * TILE_VECTORS;
    p.splits = sn_ceil_div(p.panels, p.split_panels);

    p.point = (p.piece_tiles | 1) * VF; /* odd: points do not share cache sets */
    p.block = POINTS * p.point;
    p.v_floats = p.blocks * p.block;
    p.worker_floats = p.v_floats + sn_min64(p.panels, p.split_panels) * p.block + sn_max64(p.blocks, p.panels) * VF;
    return p;
}

static const char *refuse(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape w = call->node->shape, y = call->input_nodes[1]->shape;
    const char *otherwise = storage_refusal(call, 1u << 0 | 1u << 1, SN_REAL);
    if (otherwise) return otherwise;
    if (w.n != 3 || w.h != 3 || a->stride != 1 || a->groups != 1) return "not a dense 3x3 convolution with stride 1";
    if (winograd_training_is_small(call)) return "slower kernels round less: a small training batch";
    if (w.w < FEWEST_CHANNELS || w.c < FEWEST_CHANNELS) return "slower than direct summation: few channels";
    if (y.n * sn_ceil_div(y.h, TILE) * sn_ceil_div(y.w, TILE) < FEWEST_TILES) return "slower than direct summation: few tiles";
    if (y.h * y.w * 2 < sn_ceil_div(y.h, TILE) * sn_ceil_div(y.w, TILE) * TILE * TILE)
        return "slower than direct summation: tiles half empty";
    return NULL;
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    weight_plan p = plan_of(call);
    return (size_t)(p.chunks * p.dw_floats + call->threads * p.worker_floats) * sizeof(float);
}

typedef struct weight_run {
    weight_plan plan;
    const stored *x, *dy;
    float *chunks, *workers, *dw;
} weight_run;

/* ---- product: u(i, o) = sum over tiles of v(tile, i) d(tile, o) for TILE_ROWS inputs ---- */

#define DEFINE_PRODUCT(VECTORS)                                                                                      \
    static SN_NOINLINE void product_##VECTORS(const float *v, const float *d, ptrdiff_t d_panel, int64_t tiles,      \
                                              float *u)                                                              \
    {                                                                                                                \
        vf sum[TILE_ROWS][VECTORS];                                                                                  \
        SN_UNROLL for (int i = 0; i < TILE_ROWS; i++)                                                                \
            SN_UNROLL for (int k = 0; k < VECTORS; k++) sum[i][k] = (vf){0};                                         \
        for (const float *end = v + tiles * VF;       v < end; v += VF, d += VF) {                                   \
            vf panel[VECTORS];                                                                                       \
            SN_UNROLL for (int k = 0; k < VECTORS; k++) panel[k] = vf_load(d + k * d_panel);                         \
            SN_UNROLL for (int i = 0; i < TILE_ROWS; i++)                                                            \
                SN_UNROLL for (int k = 0; k < VECTORS; k++) sum[i][k] += v[i] * panel[k];                            \
        }                                                                                                            \
        SN_UNROLL for (int i = 0; i < TILE_ROWS; i++)                                                                \
            SN_UNROLL for (int k = 0; k < VECTORS; k++) vf_store(u + (i * VECTORS + k) * VF, sum[i][k]);             \
    }

DEFINE_PRODUCT(1)
DEFINE_PRODUCT(2)
DEFINE_PRODUCT(3)
#if TILE_VECTORS > 3
DEFINE_PRODUCT(4)
DEFINE_PRODUCT(5)
DEFINE_PRODUCT(6)
#endif

static void (*const products[TILE_VECTORS])(const float *, const float *, ptrdiff_t, int64_t, float *) = {
    product_1, product_2, product_3,
#if TILE_VECTORS > 3
    product_4, product_5, product_6,
#endif
};

/* Adds dU of TILE_ROWS inputs from `input` on and some vectors of outputs to the taps of dw. */
static void add_product(const weight_plan *p, const float *v, const float *d, int vectors, int64_t tiles, int64_t inputs,
                        float *dw)
{
    float u[POINTS * TILE_ROWS * TILE_VECTORS * VF] __attribute__((aligned(64)));
    const int64_t point = TILE_ROWS * vectors * VF, row = p->panels * VF;
    for (int k = 0; k < POINTS; k++)
        products[vectors - 1](v + k * p->point, d + k * p->point, p->block, tiles, u + k * point);
    for (int64_t i = 0; i < inputs; i++)
        for (int o = 0; o < vectors; o++) {
            vf taps[9];
            winograd_weights_adjoint(TILE, u + (i * vectors + o) * VF, point, taps);
            for (int tap = 0; tap < 9; tap++) {
                float *to = dw + (tap * p->x.c + i) * row + o * VF;
                vf_store(to, vf_load(to) + taps[tap]);
            }
        }
}

/* ---- V and D of a piece ---- */

/* size x size pointers to the pixels of `map` from (y, x) on, or to zeros. */
static void point_at(const stored **pixels, const stored *map, sn_shape shape, int64_t image, int64_t y, int64_t x, int size,
                     const stored *zeros)
{
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) {
            bool inside = y + i >= 0 && y + i < shape.h && x + j >= 0 && x + j < shape.w;
            *pixels++ = inside ? map + ((image * shape.h + y + i) * shape.w + x + j) * shape.c : zeros;
        }
}

static SN_NOINLINE void transform_x(const stored *const *pixels, int64_t channels, float *v, int64_t block, int64_t point)
{
    int64_t c = 0;
    for (; c + VF <= channels; c += VF, v += block) winograd_input(TILE, pixels, c, VF, v, point);
    if (c < channels) winograd_input(TILE, pixels, c, channels - c, v, point);
}

static SN_NOINLINE void transform_dy(const stored *const *pixels, int64_t first, int64_t last, float *d, int64_t block, int64_t point)
{
    int64_t c = first;
    for (; c + VF <= last; c += VF, d += block) winograd_output_adjoint(TILE, pixels, c, VF, d, point);
    if (c < last) winograd_output_adjoint(TILE, pixels, c, last - c, d, point);
}

static void transform_piece(const weight_run *run, int64_t first, int64_t tiles, int64_t panel, int64_t last_panel,
                            const stored *zeros, float *v, float *d)
{
    const weight_plan *p = &run->plan;
    const stored *pixels[POINTS];
    int64_t last = sn_min64(p->y.c, last_panel * VF);
    for (int64_t t = 0; t < tiles; t++, v += VF, d += VF) {
        int64_t tile = first + t, image = tile / (p->tiles_y * p->tiles_x);
        int64_t y = tile / p->tiles_x % p->tiles_y * TILE, x = tile % p->tiles_x * TILE;
        point_at(pixels, run->x, p->x, image, y - p->top, x - p->left, PATCH, zeros);
        transform_x(pixels, p->x.c, v, p->block, p->point);
        point_at(pixels, run->dy, p->y, image, y, x, TILE, zeros);
        transform_dy(pixels, panel * VF, last, d, p->block, p->point);
    }
}

/* ---- run ---- */

static void chunk_task(void *context, int64_t index, int worker)
{
    const weight_run *run = context;
    const weight_plan *p = &run->plan;
    int64_t chunk = index / p->splits, panel0 = index % p->splits * p->split_panels;
    int64_t panel1 = sn_min64(p->panels, panel0 + p->split_panels);
    float *v = run->workers + worker * p->worker_floats, *d = v + p->v_floats;
    float *dw = run->chunks + chunk * p->dw_floats;
    stored *zeros = (stored *)(d + (panel1 - panel0) * p->block);
    memset(zeros, 0, (size_t)(sn_max64(p->blocks, p->panels) * VF) * sizeof(stored));
    for (int64_t row = 0; row < 9 * p->x.c; row++)
        memset(dw + (row * p->panels + panel0) * VF, 0, (size_t)((panel1 - panel0) * VF) * sizeof(float));

    int64_t last_piece = sn_min64(p->pieces, (chunk + 1) * p->pieces_each), vectors;
    for (int64_t piece = chunk * p->pieces_each; piece < last_piece; piece++) {
        int64_t first = piece * p->piece_tiles, tiles = sn_min64(p->piece_tiles, p->tiles - first);
        if (tiles <= 0) break;
        transform_piece(run, first, tiles, panel0, panel1, zeros, v, d);
        for (int64_t panel = panel0; panel < panel1; panel += vectors) {
            vectors = sn_ceil_div(panel1 - panel, sn_ceil_div(panel1 - panel, TILE_VECTORS)); /* 2 + 2 rather than 3 + 1 */
            for (int64_t input = 0; input < p->x.c; input += TILE_ROWS)
                add_product(p, v + input / VF * p->block + input % VF, d + (panel - panel0) * p->block, (int)vectors, tiles,
                            sn_min64(TILE_ROWS, p->x.c - input), dw + (input * p->panels + panel) * VF);
        }
    }
}

enum { REDUCE_ROWS = 16 };

/* dw = the sum of the chunks in order, for some rows (tap, input). */
static void reduce_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const weight_run *run = context;
    const weight_plan *p = &run->plan;
    int64_t last = sn_min64(9 * p->x.c, (index + 1) * REDUCE_ROWS);
    for (int64_t row = index * REDUCE_ROWS; row < last; row++)
        for (int64_t o = 0; o < p->y.c; o += VF) {
            vf sum = {0};
            const float *from = run->chunks + row * p->panels * VF + o;
            for (int64_t chunk = 0; chunk < p->chunks; chunk++) sum += vf_load(from + chunk * p->dw_floats);
            vf_store_n(run->dw + row * p->y.c + o, sum, p->y.c - o);
        }
}

static void run(const sn_kernel_call *call)
{
    weight_run run = {.plan = plan_of(call), .x = call->inputs[0], .dy = call->inputs[1], .chunks = call->scratch,
                      .dw = call->output};
    const weight_plan *p = &run.plan;
    run.workers = run.chunks + p->chunks * p->dw_floats;
    sn_parallel_for(call->threads, p->chunks * p->splits, chunk_task, &run);
    int threads = p->chunks * p->dw_floats * 4 < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, sn_ceil_div(9 * p->x.c, REDUCE_ROWS), reduce_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grad_weight_winograd_f43) = {
    .name = SN_KERNEL_NAME(conv2d_grad_weight_winograd_f43),
    .op = SN_OP_conv2d_grad_weight,
    .storage = SN_STORED,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
