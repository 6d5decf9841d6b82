/* conv_grouped_pointwise.c - 1x1 convolution of 2 to 4 groups whose output channels are shuffled (ShuffleNet).
 *
 * A panel is some channels of every group.  A task multiplies a block of pixels by a panel, group after group, into a buffer in the
 * L1 cache, and weaves the groups' channels on the way to the output; so the shuffle costs no pass over memory.
 * Groups have few outputs (20 or 40 at the widest maps), which seldom fill vectors: a register tile is some pixels x up to 3
 * vectors, or x 1 or 2 vectors and a half, which costs half an instruction's time on processors with 256-bit units.
 * Only the weights are packed, pixels are read where they are.
 * Every output is one sum in the order of its inputs, so neither blocks nor threads change the bits.
 */
#include "cpu/kernels/clamp.h"
#include "cpu/kernels/copy.h"
#include "cpu/kernels/tile_sizes.h"
#include "cpu/kernels/weave.h"

#if SN_VECTOR_FLOATS == 16
enum { TILE = 7 }; /* up to 21 sums, 3 weights and an input; maps of ImageNet networks are multiples of 7 */
#else
enum { TILE = 4 };
#endif
enum { HALF = VF / 2, MOST_VECTORS = 3, PANEL_FLOATS = MOST_VECTORS * VF, FEWEST_BLOCKS = 16, BLOCK_TILES = 4, WEIGHTS_AHEAD = 1536 };

typedef float half __attribute__((vector_size(4 * HALF), aligned(4), may_alias));

/* Channels of every group: so many vectors, and a half one? */
typedef struct pointwise_panel {
    int64_t first, channels; /* of a group */
    int vectors;
    bool half;
    int64_t width, packed;   /* floats of a packed row, and where the first group's weights begin */
} pointwise_panel;

typedef struct pointwise_plan {
    int64_t pixels, groups, in, out; /* in, out: channels of a group */
    int64_t panels, each;            /* channels of a panel, but of the last */
    int64_t block, blocks;           /* pixels of a task */
} pointwise_plan;

static pointwise_plan plan_of(const sn_kernel_call *call)
{
    sn_shape x = call->input_nodes[0]->shape, y = call->node->shape;
    int64_t groups = call->node->attrs.u.conv.groups;
    pointwise_plan p = {.pixels = y.n * y.h * y.w, .groups = groups, .in = x.c / groups, .out = y.c / groups};
    int64_t vectors = sn_ceil_div(p.out, VF);
    p.panels = sn_ceil_div(vectors, MOST_VECTORS);
    p.each = sn_ceil_div(vectors, p.panels) * VF;
    p.panels = sn_ceil_div(p.out, p.each);
    int64_t tiles = sn_ceil_div(p.pixels, TILE);
    p.block = TILE * sn_max64(1, sn_min64(BLOCK_TILES, tiles / FEWEST_BLOCKS));
    p.blocks = sn_ceil_div(p.pixels, p.block);
    return p;
}

static pointwise_panel panel_at(const pointwise_plan *p, int64_t index)
{
    pointwise_panel panel = {.first = index * p->each, .packed = index * p->each * p->in * p->groups};
    panel.channels = sn_min64(p->each, p->out - panel.first);
    int64_t over = panel.channels % VF;
    panel.half = over > 0 && over <= HALF && panel.channels > VF;
    panel.vectors = (int)(panel.channels / VF) + (over > 0 && !panel.half);
    panel.width = panel.vectors * VF + (panel.half ? HALF : 0);
    return panel;
}

static const char *refuse(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape w = call->input_nodes[1]->shape;
    const char *otherwise = stored_refusal(call, 0);
    if (otherwise) return otherwise;
    if (a->shuffle != a->groups || a->groups < 2 || a->groups > WEAVE_ROWS) return "no shuffle of its 2 to 4 groups";
    if (w.n != 1 || w.h != 1 || a->stride != 1 || a->pad_top || a->pad_left || a->pad_bottom || a->pad_right) return "not 1x1";
    if (!clamp_is(a->activation)) return "an activation that is no clamp";
    return NULL;
}

/* ---- weights: [panel][group][input][width], zeros behind the panel's channels ---- */

static size_t packed_bytes(const sn_kernel_call *call)
{
    pointwise_plan p = plan_of(call);
    pointwise_panel last = panel_at(&p, p.panels - 1);
    return (size_t)(last.packed + p.groups * p.in * last.width) * sizeof(float);
}

static void pack(const sn_kernel_call *call, void *packed)
{
    pointwise_plan p = plan_of(call);
    const float *weight = call->inputs[1];
    for (int64_t k = 0; k < p.panels; k++) {
        pointwise_panel panel = panel_at(&p, k);
        float *to = (float *)packed + panel.packed;
        for (int64_t g = 0; g < p.groups; g++)
            for (int64_t i = 0; i < p.in; i++, to += panel.width) {
                copy_floats(to, weight + i * p.groups * p.out + g * p.out + panel.first, panel.channels);
                clear_floats(to + panel.channels, panel.width - panel.channels);
            }
    }
}

/* ---- the register tile ---- */

typedef struct pointwise_tile {
    const float *x; /* `inputs` floats of every pixel lie together */
    ptrdiff_t x_pixel;
    int64_t inputs;
    const float *w, *bias; /* bias: of the panel's width */
    const float *fetch;    /* input that comes next: as much as the tile reads */
    float *y;
    ptrdiff_t y_pixel;
    clamp clamp;
} pointwise_tile;

SN_INLINE half lower_half(vf v)
{
#if SN_VECTOR_FLOATS == 16
    return (half)_mm512_castps512_ps256((__m512)v);
#elif SN_VECTOR_FLOATS == 8
    return (half)_mm256_castps256_ps128((__m256)v);
#else
    return (half){v[0], v[1]};
#endif
}

/* With zeros behind it. */
SN_INLINE vf whole_vector(half h)
{
#if SN_VECTOR_FLOATS == 16
    return (vf)_mm512_zextps256_ps512((__m256)h);
#elif SN_VECTOR_FLOATS == 8
    return (vf)_mm256_zextps128_ps256((__m128)h);
#else
    return (vf){h[0], h[1]};
#endif
}

/* Five pixels share a base pointer, as in conv_tiles.h. */
#define DEFINE_POINTWISE(PIXELS, VECTORS, HALVES)                                                                    \
    static SN_NOINLINE void tile_##PIXELS##_##VECTORS##_##HALVES(const pointwise_tile *t)                            \
    {                                                                                                                \
        vf sum[PIXELS][VECTORS];                                                                                     \
        half rest[PIXELS];                                                                                           \
        EACH_SUM(PIXELS, VECTORS) sum[i][v] = (vf){0};                                                               \
        SN_UNROLL for (int i = 0; i < PIXELS; i++) rest[i] = (half){0};                                              \
        __asm__("" : "+r"(t));                                                                                       \
        const float *w = t->w, *x0 = t->x, *x5 = x0 + 5 * t->x_pixel, *fetch = t->fetch;                             \
        ptrdiff_t pixel = t->x_pixel;                                                                                \
        __asm__("" : "+r"(x0), "+r"(x5), "+r"(pixel));                                                               \
        for (const float *end = x0 + t->inputs; x0 < end; x0++, x5++, w += VECTORS * VF + HALVES * HALF) {           \
            __builtin_prefetch(fetch);                                                                               \
            fetch += PIXELS;                                                                                         \
            vf weight[VECTORS];                                                                                      \
            half last = {0};                                                                                         \
            SN_UNROLL for (int v = 0; v < VECTORS; v++) {                                                            \
                weight[v] = vf_load(w + v * VF);                                                                     \
                __builtin_prefetch(w + v * VF + WEIGHTS_AHEAD);                                                      \
            }                                                                                                        \
            if (HALVES) last = *(const half *)(w + VECTORS * VF);                                                    \
            SN_UNROLL for (int i = 0; i < PIXELS; i++) {                                                             \
                vf x = spread((i < 5 ? x0 : x5) + i % 5 * pixel);                                                    \
                SN_UNROLL for (int v = 0; v < VECTORS; v++) sum[i][v] += x * weight[v];                              \
                if (HALVES) rest[i] += lower_half(x) * last;                                                         \
            }                                                                                                        \
        }                                                                                                            \
        __asm__("" : "+r"(t));                                                                                       \
        clamp limits = t->clamp;                                                                                     \
        const float *bias = t->bias;                                                                                 \
        float *y = t->y;                                                                                             \
        ptrdiff_t y_pixel = t->y_pixel;                                                                              \
        EACH_SUM(PIXELS, VECTORS)                                                                                    \
        vf_store(y + i * y_pixel + v * VF, clamp_apply(&limits, sum[i][v] + vf_load(bias + v * VF)));                \
        if (!HALVES) return;                                                                                         \
        half rest_bias = *(const half *)(bias + VECTORS * VF);                                                       \
        SN_UNROLL for (int i = 0; i < PIXELS; i++)                                                                   \
            *(half *)(y + i * y_pixel + VECTORS * VF) = lower_half(clamp_apply(&limits, whole_vector(rest[i] + rest_bias))); \
    }

#if SN_VECTOR_FLOATS == 16
#define EACH_POINTWISE(VECTORS, HALVES) DEFINE_POINTWISE(7, VECTORS, HALVES) DEFINE_POINTWISE(1, VECTORS, HALVES)
#define POINTWISE_PAIR(VECTORS, HALVES) {tile_7_##VECTORS##_##HALVES, tile_1_##VECTORS##_##HALVES}
#else
#define EACH_POINTWISE(VECTORS, HALVES) DEFINE_POINTWISE(4, VECTORS, HALVES) DEFINE_POINTWISE(1, VECTORS, HALVES)
#define POINTWISE_PAIR(VECTORS, HALVES) {tile_4_##VECTORS##_##HALVES, tile_1_##VECTORS##_##HALVES}
#endif
EACH_POINTWISE(1, 0)
EACH_POINTWISE(2, 0)
EACH_POINTWISE(3, 0)
EACH_POINTWISE(1, 1)
EACH_POINTWISE(2, 1)

/* [vectors - 1][half][one pixel] */
static void (*const pointwise_tiles[MOST_VECTORS][2][2])(const pointwise_tile *t) = {
    {POINTWISE_PAIR(1, 0), POINTWISE_PAIR(1, 1)}, {POINTWISE_PAIR(2, 0), POINTWISE_PAIR(2, 1)}, {POINTWISE_PAIR(3, 0)}};

/* ---- tasks ---- */

typedef struct pointwise_run {
    pointwise_plan plan;
    const float *x, *packed, *bias;
    float *y;
    clamp clamp;
    weave table[WEAVE_ROWS];
} pointwise_run;

/* `pixels` pixels of the image of all groups, from `pixel` on. */
static void multiply_tile(const pointwise_run *run, const pointwise_panel *panel, const float *bias, int64_t pixel, int pixels,
                          float *y)
{
    const pointwise_plan *p = &run->plan;
    pointwise_tile t = {.x = run->x + pixel * p->groups * p->in, .x_pixel = p->groups * p->in, .inputs = p->in,
                        .w = run->packed + panel->packed, .bias = bias, .y = y, .y_pixel = WEAVE_ROWS * PANEL_FLOATS,
                        .clamp = run->clamp};
    t.fetch = t.x + pixels * t.x_pixel;
    for (int64_t g = 0; g < p->groups; g++) {
        pointwise_tiles[panel->vectors - 1][panel->half][pixels == 1](&t);
        t.x += p->in;
        t.w += p->in * panel->width;
        t.bias += PANEL_FLOATS;
        t.y += PANEL_FLOATS;
        t.fetch += pixels * p->in;
    }
}

/* The groups' `channels` floats, `stride` apart, to one row. */
SN_INLINE void weave_row(const weave *table, const float *from, int64_t stride, int64_t channels, float *to, int groups)
{
    for (int64_t c = 0; c < channels; c += VF) {
        vf in[WEAVE_ROWS];
        SN_UNROLL for (int g = 0; g < groups; g++) in[g] = vf_load(from + g * stride + c);
        SN_UNROLL for (int a = 0; a < groups; a++) {
            int64_t lanes = (channels - c) * groups - a * VF;
            if (lanes > 0) vf_store_n(to + c * groups + a * VF, weave_vectors(table, in, groups, a), lanes);
        }
    }
}

static void pointwise_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const pointwise_run *run = context;
    const pointwise_plan *p = &run->plan;
    float buffer[BLOCK_TILES * TILE * WEAVE_ROWS * PANEL_FLOATS], bias[WEAVE_ROWS * PANEL_FLOATS] = {0};
    pointwise_panel panel = panel_at(p, index % p->panels);
    int64_t pixel = index / p->panels * p->block, pixels = sn_min64(p->block, p->pixels - pixel);
    for (int64_t g = 0; g < p->groups && run->bias; g++)
        copy_floats(bias + g * PANEL_FLOATS, run->bias + g * p->out + panel.first, panel.channels);
    int step = pixels < TILE ? 1 : TILE;
    for (int64_t i = 0; i < pixels; i += step) {
        int64_t from = sn_min64(i, pixels - step); /* the last tile may overlap */
        multiply_tile(run, &panel, bias, pixel + from, step, buffer + from * WEAVE_ROWS * PANEL_FLOATS);
    }
    float *y = run->y + (pixel * p->out + panel.first) * p->groups;
    for (int64_t i = 0; i < pixels; i++, y += p->groups * p->out) {
        const float *from = buffer + i * WEAVE_ROWS * PANEL_FLOATS;
        if (p->groups == 2) weave_row(run->table, from, PANEL_FLOATS, panel.channels, y, 2);
        if (p->groups == 3) weave_row(run->table, from, PANEL_FLOATS, panel.channels, y, 3);
        if (p->groups == 4) weave_row(run->table, from, PANEL_FLOATS, panel.channels, y, 4);
    }
}

static void run(const sn_kernel_call *call)
{
    pointwise_run run = {.plan = plan_of(call), .x = call->inputs[0], .packed = call->packed, .bias = call_input(call, 2),
                         .y = call->output, .clamp = clamp_of(call->node->attrs.u.conv.activation)};
    const pointwise_plan *p = &run.plan;
    weave_table(run.table, (int)p->groups, true);
    int threads = p->pixels * p->groups * p->in * p->out < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->blocks * p->panels, pointwise_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grouped_pointwise) = {
    .name = SN_KERNEL_NAME(conv2d_grouped_pointwise),
    .op = SN_OP_conv2d,
    .storage = SN_STORED,
    .refuse = refuse,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .run = run,
    .takes = SN_SHUFFLES,
};
