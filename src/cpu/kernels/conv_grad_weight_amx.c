/* conv_grad_weight_amx.c - gradient of a dense convolution's weight by tiles: dw(tap, i, o) = sum over pixels of
 * x(pixel + tap, i) dy(pixel, o).
 *
 * The sum runs over pixels, so a tile needs pixels along its rows.  Both maps are laid out as one line of slots, one
 * for each output pixel and some at the ends of rows and images where dy has zeros: there a tap may reach outside the
 * map.  A tap is then a shift along the line, and all taps read the same copy of x:
 *
 *     left tile:   16 channels x 32 slots of x, transposed; a tap begins so many slots further on
 *     right tile:  16 pairs of slots of dy x 16 outputs
 *     sums:        16 channels x 16 outputs of one tap
 *
 * A convolution of stride s reads s x s phases of x (rows and columns of one parity each, for s = 2), a copy each.  Few
 * channels are folded: the phases lie side by side as channels of one copy, and shifts take the place of taps.
 *
 * Slots are cut into units, whose copies and sums stay in the L2 cache, input and output channels into splits, and
 * units into chunks; all by the shape alone.  A chunk has sums of its own; they are added in order at the end, so
 * threads do not change the bits. Memory: reads x once a split of the outputs, dy once a split of the inputs, adds to
 * dw once a unit.
 */
#include "cpu/kernels/copy.h"
#include "cpu/kernels/tiles_amx.h"

enum {
    STEP = TILE_VALUES,         /* slots of a tile */
    TILE_SUMS = TILE_ROWS * VF, /* floats of a tile of sums */
    OUTS = 2 * VF,              /* outputs of two right tiles: a block */
    EIGHT = 8,                  /* channels that are transposed at a time */
    MOST_KERNEL = 11,
    MOST_STRIDE = 4,
    TASKS = 16,         /* enough of them */
    SPLIT_INPUTS = 256, /* channels of a task; a third of them where there are many taps */
    SPLIT_OUTPUTS = 512,
    MANY_TAPS = 4,
    UNIT_SLOTS = 512,      /* two right tiles' share of dy is 32 KB */
    UNIT_BYTES = 1 << 20,  /* both copies, at most */
    CHUNK_FLOATS = 4 << 20 /* all sums together, at most, where there is more than one chunk */
};

/* One direction of the convolution: rows or columns. */
typedef struct axis {
    int64_t outputs, inputs, stride, pad, kernel;
    int64_t lowest, highest;            /* shifts, in slots or rows of a phase: lowest <= 0 <= highest */
    int64_t slots;                      /* for each row or image: outputs and what lies between them and the next */
    int64_t phases, phase[MOST_STRIDE]; /* the offsets that some tap reads */
    int64_t content[MOST_STRIDE];       /* of a phase: values in the map that some tap reads */
} axis;

static int64_t floor_div(int64_t a, int64_t b)
{
    return a >= 0 ? a / b : -((b - 1 - a) / b);
}

static int64_t tap_shift(const axis *a, int64_t tap)
{
    return floor_div(tap - a->pad, a->stride);
}

static int64_t tap_phase(const axis *a, int64_t tap)
{
    int64_t offset = tap - a->pad - tap_shift(a, tap) * a->stride;
    for (int64_t i = 0; i < a->phases; i++)
        if (a->phase[i] == offset) return i;
    return -1;
}

static axis axis_of(int64_t outputs, int64_t inputs, int64_t stride, int64_t pad, int64_t kernel)
{
    axis a = {.outputs = outputs, .inputs = inputs, .stride = stride, .pad = pad, .kernel = kernel, .slots = outputs};
    for (int64_t tap = 0; tap < kernel; tap++) {
        int64_t shift = tap_shift(&a, tap);
        a.lowest = sn_min64(a.lowest, shift);
        a.highest = sn_max64(a.highest, shift);
        if (tap_phase(&a, tap) < 0) a.phase[a.phases++] = tap - pad - shift * stride;
    }
    for (int64_t i = 0; i < a.phases; i++) {
        int64_t content = a.phase[i] < inputs ? sn_ceil_div(inputs - a.phase[i], stride) : 0;
        a.content[i] = sn_min64(content, outputs + a.highest);
        a.slots = sn_max64(a.slots, a.content[i] - a.lowest); /* what lies left of the next row are zeros */
    }
    a.slots = sn_max64(a.slots, outputs + a.highest);
    return a;
}

typedef struct weight_plan {
    sn_shape x, y;
    int64_t kernel_h, kernel_w;
    axis rows, columns;
    bool folded;
    bool narrows;             /* values of x are rounded, or moved, to rows of their own before they are transposed */
    int64_t taps;             /* or shifts, where folded */
    int64_t groups;           /* copies of x */
    int64_t channels, blocks; /* of a copy; in tiles */
    int64_t out_blocks;
    int64_t line_rows, unit_rows, units, chunks, units_each;
    int64_t ins_each, outs_each, in_splits, out_splits; /* in blocks */
    int64_t steps;                                      /* of a unit */
    int64_t x_slots, lead;    /* of a copy; the first `lead` of them lie before the unit's */
    int64_t x_row;            /* values from channel to channel */
    int64_t narrow_row;
    int64_t x_values, dy_values, narrow_values, zero_bytes, worker_bytes;
    int64_t chunk_floats;
    bool direct; /* one unit: sums go to dw from the registers */
} weight_plan;

/* A kernel that covers its map is a 1x1 layer on one pixel of all the values. */
static void join_covered(weight_plan *p, int64_t *pad_top, int64_t *pad_left)
{
    if (p->y.h != 1 || p->y.w != 1 || *pad_top || *pad_left || p->x.h != p->kernel_h || p->x.w != p->kernel_w) return;
    p->x = (sn_shape){p->x.n, 1, 1, p->x.h * p->x.w * p->x.c};
    p->kernel_h = p->kernel_w = 1;
}

static void cut_line(weight_plan *p)
{
    int64_t pitch = p->columns.slots, across = p->groups * p->ins_each * TILE_ROWS + p->outs_each * OUTS;
    int64_t most = sn_max64(STEP, UNIT_BYTES / 2 / across), wanted = sn_min64(most, UNIT_SLOTS);
    p->line_rows = p->y.n * p->rows.slots;
    if (p->line_rows * pitch <= sn_min64(most, 2 * UNIT_SLOTS)) wanted = p->line_rows * pitch;
    p->unit_rows = sn_min64(p->line_rows, sn_max64(1, wanted / pitch));
    p->units = sn_ceil_div(p->line_rows, p->unit_rows);
    p->unit_rows = sn_ceil_div(p->line_rows, p->units);
    p->units = sn_ceil_div(p->line_rows, p->unit_rows);
    p->chunk_floats = p->out_blocks * p->taps * p->blocks * 2 * TILE_SUMS;
    p->chunks = sn_min64(sn_ceil_div(TASKS, p->in_splits * p->out_splits), sn_max64(1, CHUNK_FLOATS / p->chunk_floats));
    p->units_each = sn_ceil_div(p->units, p->chunks);
    p->chunks = sn_ceil_div(p->units, p->units_each);
    p->direct = p->units == 1;
}

static weight_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape w = call->node->shape;
    weight_plan p = {
        .x = call->input_nodes[0]->shape, .y = call->input_nodes[1]->shape, .kernel_h = w.n, .kernel_w = w.h};
    int64_t top = a->pad_top, left = a->pad_left;
    join_covered(&p, &top, &left);
    p.rows = axis_of(p.y.h, p.x.h, a->stride, top, p.kernel_h);
    p.columns = axis_of(p.y.w, p.x.w, a->stride, left, p.kernel_w);
    int64_t phases = p.rows.phases * p.columns.phases;
    p.folded = phases > 1 && phases * p.x.c <= TILE_ROWS;
    p.groups = p.folded ? 1 : phases;
    p.channels = p.folded ? phases * p.x.c : p.x.c;
    p.taps = p.kernel_h * p.kernel_w;
    if (p.folded) p.taps = (p.rows.highest - p.rows.lowest + 1) * (p.columns.highest - p.columns.lowest + 1);
    p.narrows = p.folded || p.x.c % EIGHT || call->input_nodes[0]->dtype != SN_STORED;
    p.blocks = sn_ceil_div(p.channels, TILE_ROWS);
    p.out_blocks = sn_ceil_div(p.y.c, OUTS);

    int64_t share = p.taps >= MANY_TAPS ? 2 : 1;
    p.ins_each = sn_ceil_div(p.blocks, sn_ceil_div(p.blocks, SPLIT_INPUTS / TILE_ROWS / share));
    p.in_splits = sn_ceil_div(p.blocks, p.ins_each);
    p.outs_each = sn_ceil_div(p.out_blocks, sn_ceil_div(p.out_blocks, SPLIT_OUTPUTS / OUTS / share));
    p.out_splits = sn_ceil_div(p.out_blocks, p.outs_each);
    cut_line(&p);

    int64_t pitch = p.columns.slots;
    p.steps = sn_ceil_div(p.unit_rows * pitch, STEP);
    p.lead = sn_ceil_div(-(p.rows.lowest * pitch + p.columns.lowest), STEP) * STEP;
    p.x_slots = sn_ceil_div(p.lead + p.steps * STEP + p.rows.highest * pitch + p.columns.highest, STEP) * STEP;
    p.x_row = (p.x_slots / STEP | 1) * STEP; /* channels do not share cache sets */
    p.x_values = p.groups * p.ins_each * TILE_ROWS * p.x_row;
    p.dy_values = p.outs_each * p.steps * OUTS * STEP;
    p.narrow_row = sn_ceil_div(sn_min64(p.channels, p.ins_each * TILE_ROWS), EIGHT) * EIGHT;
    p.narrow_values = p.narrows ? p.x_slots * p.narrow_row : 0;
    p.zero_bytes = sn_max64(p.ins_each * TILE_ROWS, p.outs_each * OUTS) * (int64_t)sizeof(float);
    int64_t values = p.x_values + p.dy_values + sn_ceil_div(p.narrow_values, 2 * VF) * 2 * VF;
    p.worker_bytes = values * (int64_t)sizeof(stored) + p.zero_bytes + p.x_slots * (int64_t)sizeof(void *);
    p.worker_bytes = sn_ceil_div(p.worker_bytes, SN_ALIGNMENT) * SN_ALIGNMENT;
    return p;
}

static const char *refuse(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape w = call->node->shape;
    if (a->groups != 1) return "groups";
    if (w.n > MOST_KERNEL || w.h > MOST_KERNEL || a->stride > MOST_STRIDE) return "a large kernel or stride";
    bool wide = call->input_nodes[0]->dtype == SN_REAL;
    const char *otherwise = storage_refusal(call, 1u << 1 | (wide ? 0 : 1u << 0), SN_REAL);
    if (otherwise) return otherwise;
    weight_plan p = plan_of(call);
    if (p.rows.slots * p.columns.slots > 3 * p.y.h * p.y.w) return "a map that is small for its kernel";
    return NULL;
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    weight_plan p = plan_of(call);
    return (size_t)(call->threads * p.worker_bytes) +
           (size_t)(p.direct ? 0 : p.chunks * p.chunk_floats) * sizeof(float);
}

/* A worker's memory. */
typedef struct weight_memory {
    stored *x, *dy,
        *narrow; /* x: [group][channel][slot]; dy: [block of outputs][step][right tile]; narrow: [slot][channel] */
    char *zeros;
    const void **pixels; /* of the slots of a copy */
} weight_memory;

typedef struct weight_run {
    weight_plan plan;
    const char *x;
    const stored *dy;
    bool x_is_stored;
    float *dw, *chunks; /* chunks: [block of outputs][tap][block of channels][two tiles] */
    char *workers;
} weight_run;

static weight_memory memory_of(const weight_run *run, int worker)
{
    const weight_plan *p = &run->plan;
    char *at = run->workers + worker * p->worker_bytes;
    weight_memory m = {.x = (stored *)(void *)at};
    m.dy = m.x + p->x_values;
    m.narrow = m.dy + p->dy_values;
    m.zeros = (char *)(m.narrow + sn_ceil_div(p->narrow_values, 2 * VF) * 2 * VF);
    m.pixels = (const void **)(void *)(m.zeros + p->zero_bytes);
    return m;
}

/* A split: blocks of inputs [in0, in1) and of outputs [out0, out1). */
typedef struct weight_part {
    int64_t in0, in1, out0, out1;
} weight_part;

/* ---- slots ---- */

/* What a line of slots shows of a map: `rows` rows of each image, `columns` pixels of each. */
typedef struct line_view {
    const char *first;
    int64_t pixel_bytes, row_bytes, image_bytes;
    int64_t images, rows, columns, line_rows, pitch; /* line_rows, pitch: with what lies between images and rows */
} line_view;

/* Pointers to the pixels of slots [slot, slot + count), or to zeros. */
static void point_at(const line_view *v, int64_t slot, int64_t count, const void *zeros, const void **to)
{
    int64_t row = floor_div(slot, v->pitch), column = slot - row * v->pitch, image = floor_div(row, v->line_rows);
    row -= image * v->line_rows;
    while (count > 0) {
        int64_t length = sn_min64(count, v->pitch - column), real = 0;
        if (image >= 0 && image < v->images && row < v->rows) real = sn_max64(0, sn_min64(length, v->columns - column));
        const char *from = v->first + image * v->image_bytes + row * v->row_bytes + column * v->pixel_bytes;
        for (int64_t i = 0; i < real; i++) to[i] = from + i * v->pixel_bytes;
        for (int64_t i = real; i < length; i++) to[i] = zeros;
        to += length;
        count -= length;
        column = 0;
        if (++row == v->line_rows) row = 0, image++;
    }
}

static line_view view_of_x(const weight_run *run, int64_t phase, int64_t channel)
{
    const weight_plan *p = &run->plan;
    int64_t i = phase / p->columns.phases, j = phase % p->columns.phases, stride = p->rows.stride;
    int64_t pixel = p->x.c * (int64_t)(run->x_is_stored ? sizeof(stored) : sizeof(float)), row = p->x.w * pixel;
    return (line_view){.first =
                           run->x + p->rows.phase[i] * row + p->columns.phase[j] * pixel + channel * (pixel / p->x.c),
                       .pixel_bytes = stride * pixel,
                       .row_bytes = stride * row,
                       .image_bytes = p->x.h * row,
                       .images = p->x.n,
                       .rows = p->rows.content[i],
                       .columns = p->columns.content[j],
                       .line_rows = p->rows.slots,
                       .pitch = p->columns.slots};
}

/* ---- copies ---- */

/* EIGHT channels of STEP pixels, from `offset` on, to rows of pixels.  Pixels 0 to 7 are made the first lane of 128
 * bits, 8 to 15 the second, and so on; then lanes are transposed. */
SN_INLINE void transpose_eight(const void *const *pixels, int64_t offset, stored *to, int64_t row)
{
    __m512i v[EIGHT], t[EIGHT];
#define LANE(k) _mm_loadu_si128((const __m128i *)(const void *)((const stored *)pixels[i + EIGHT * (k)] + offset))
    SN_UNROLL for (int i = 0; i < EIGHT; i++)
    {
        __m512i lanes = _mm512_castsi128_si512(LANE(0));
        lanes = _mm512_mask_broadcast_i32x4(lanes, 0x00f0, LANE(1));
        lanes = _mm512_mask_broadcast_i32x4(lanes, 0x0f00, LANE(2));
        v[i] = _mm512_mask_broadcast_i32x4(lanes, 0xf000, LANE(3));
    }
#undef LANE
    SN_UNROLL for (int i = 0; i < EIGHT; i += 2)
    { /* t[i]: channels 0 to 3 of pixels i and i + 1, t[i + 1]: channels 4 to 7 */
        t[i] = _mm512_unpacklo_epi16(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi16(v[i], v[i + 1]);
    }
    SN_UNROLL for (int i = 0; i < EIGHT; i += 4) SN_UNROLL for (int k = 0; k < 2; k++)
    { /* v[i + 2 k], v[i + 2 k + 1]: two channels each of pixels i to i + 3 */
        v[i + 2 * k] = _mm512_unpacklo_epi32(t[i + k], t[i + 2 + k]);
        v[i + 2 * k + 1] = _mm512_unpackhi_epi32(t[i + k], t[i + 2 + k]);
    }
    SN_UNROLL for (int k = 0; k < 4; k++)
    {
        _mm512_storeu_si512(to + 2 * k * row, _mm512_unpacklo_epi64(v[k], v[k + 4]));
        _mm512_storeu_si512(to + (2 * k + 1) * row, _mm512_unpackhi_epi64(v[k], v[k + 4]));
    }
}

/* Channels [first, first + count) of a copy's rows; `pixels` stand at channel `first`. */
static void transpose_slots(const weight_plan *p, const void *const *pixels, int64_t count, stored *to)
{
    for (int64_t slot = 0; slot < p->x_slots; slot += STEP, pixels += STEP)
        for (int64_t c = 0; c < count; c += EIGHT) {
            if (c % STEP == 0 && slot + STEP < p->x_slots) /* a cache line of each pixel that comes next */
                for (int i = 0; i < STEP; i++) __builtin_prefetch((const stored *)pixels[STEP + i] + c);
            transpose_eight(pixels, c, to + c * p->x_row + slot, p->x_row);
        }
}

/* `count` values of every slot's pixel to rows of bf16. */
static void narrow_slots(const weight_run *run, const void *const *pixels, int64_t count, stored *to)
{
    const weight_plan *p = &run->plan;
    for (int64_t slot = 0; slot < p->x_slots; slot++, to += p->narrow_row) {
        if (run->x_is_stored)
            copy_values(to, pixels[slot], count);
        else
            narrow_values(to, pixels[slot], count);
    }
}

/* Input channels of a part, from slot `first` on, of every group. */
static void copy_x(const weight_run *run, const weight_part *part, int64_t first, const weight_memory *m)
{
    const weight_plan *p = &run->plan;
    int64_t phases = p->rows.phases * p->columns.phases, channel = part->in0 * TILE_ROWS;
    int64_t count = sn_min64(p->x.c, part->in1 * TILE_ROWS) - channel, rows = sn_ceil_div(count, EIGHT) * EIGHT;
    if (p->folded) rows = p->narrow_row;
    if (p->narrows) memset(m->narrow, 0, (size_t)p->narrow_values * sizeof(stored));
    for (int64_t phase = 0; phase < phases; phase++) {
        line_view view = view_of_x(run, phase, channel);
        point_at(&view, first, p->x_slots, m->zeros, m->pixels);
        if (p->narrows) narrow_slots(run, m->pixels, count, m->narrow + (p->folded ? phase * p->x.c : 0));
        if (p->folded && phase < phases - 1) continue;
        for (int64_t slot = 0; p->narrows && slot < p->x_slots; slot++)
            m->pixels[slot] = m->narrow + slot * p->narrow_row;
        transpose_slots(p, m->pixels, rows, m->x + (p->folded ? 0 : phase) * p->ins_each * TILE_ROWS * p->x_row);
    }
}

/* Two slots' values side by side: of up to OUTS outputs, to a row of two tiles each.  The first tile has outputs 0 to
 * 3, 8 to 11, 16 to 19 and 24 to 27, the second the others: store_sums puts that right. */
SN_INLINE void pair_slots(const stored *first, const stored *second, __mmask32 outs, stored *to)
{
    __m512i a = _mm512_maskz_loadu_epi16(outs, first), b = _mm512_maskz_loadu_epi16(outs, second);
    _mm512_storeu_si512(to, _mm512_unpacklo_epi16(a, b));
    _mm512_storeu_si512(to + RIGHT_VALUES, _mm512_unpackhi_epi16(a, b));
}

/* The same of up to VF outputs, to one tile in their own order. */
SN_INLINE void pair_few(const stored *first, const stored *second, int64_t outs, stored *to)
{
    vu low = __builtin_convertvector(vh_load_first(first, outs), vu),
       high = __builtin_convertvector(vh_load_first(second, outs), vu);
    *(vu_stored *)to = low | high << 16;
}

/* Outputs of a part that are in one tile, not two. */
static bool is_half(const weight_plan *p, int64_t out_block)
{
    return p->y.c - out_block * OUTS <= VF;
}

static void copy_dy(const weight_run *run, const weight_part *part, int64_t first, int64_t slots,
                    const weight_memory *m)
{
    const weight_plan *p = &run->plan;
    int64_t pixel = p->y.c * (int64_t)sizeof(stored), channel = part->out0 * OUTS;
    line_view view = {.first = (const char *)(run->dy + channel),
                      .pixel_bytes = pixel,
                      .row_bytes = p->y.w * pixel,
                      .image_bytes = p->y.h * p->y.w * pixel,
                      .images = p->y.n,
                      .rows = p->y.h,
                      .columns = p->y.w,
                      .line_rows = p->rows.slots,
                      .pitch = p->columns.slots};
    point_at(&view, first, slots, m->zeros, m->pixels);
    for (int64_t slot = slots; slot < p->steps * STEP; slot++) m->pixels[slot] = m->zeros;
    for (int64_t slot = 0; slot < p->steps * STEP; slot += 2) {
        const stored *a = m->pixels[slot], *b = m->pixels[slot + 1];
        stored *to = m->dy + slot / STEP * OUTS * STEP + slot % STEP / 2 * STEP;
        for (int64_t block = part->out0; block < part->out1;
             block++, a += OUTS, b += OUTS, to += p->steps * OUTS * STEP) {
            int64_t outs = sn_min64(OUTS, p->y.c - block * OUTS);
            if (is_half(p, block))
                pair_few(a, b, outs, to);
            else
                pair_slots(a, b, (__mmask32)(0xffffffffu >> (OUTS - outs)), to);
        }
    }
}

/* ---- products ---- */

typedef struct tile_product {
    const stored *left[2], *right;
    int64_t left_bytes; /* from channel to channel */
    int64_t steps;
    float *sums[2]; /* of each left tile: two tiles */
    bool first;     /* sets the sums instead of adding to them */
} tile_product;

/* LEFTS x RIGHTS tiles of sums, 1 or 2 each. */
#define DEFINE_PRODUCT(LEFTS, RIGHTS)                                                                                  \
    static SN_NOINLINE void product_##LEFTS##x##RIGHTS(const tile_product *p)                                          \
    {                                                                                                                  \
        const stored *left = p->left[0], *other = p->left[1], *right = p->right;                                       \
        const int64_t bytes = p->left_bytes;                                                                           \
        if (p->first) {                                                                                                \
            TILE_CLEAR(0);                                                                                             \
            if (RIGHTS > 1) TILE_CLEAR(1);                                                                             \
            if (LEFTS > 1) TILE_CLEAR(2);                                                                              \
            if (LEFTS > 1 && RIGHTS > 1) TILE_CLEAR(3);                                                                \
        } else {                                                                                                       \
            TILE_LOAD(0, p->sums[0], TILE_BYTES);                                                                      \
            if (RIGHTS > 1) TILE_LOAD(1, p->sums[0] + TILE_SUMS, TILE_BYTES);                                          \
            if (LEFTS > 1) TILE_LOAD(2, p->sums[1], TILE_BYTES);                                                       \
            if (LEFTS > 1 && RIGHTS > 1) TILE_LOAD(3, p->sums[1] + TILE_SUMS, TILE_BYTES);                             \
        }                                                                                                              \
        for (int64_t s = p->steps; s > 0; s--, left += STEP, other += STEP, right += OUTS * STEP) {                    \
            TILE_LOAD(6, right, TILE_BYTES);                                                                           \
            TILE_LOAD(4, left, bytes);                                                                                 \
            TILE_ADD_PRODUCTS(0, 4, 6);                                                                                \
            if (RIGHTS > 1) TILE_LOAD(7, right + RIGHT_VALUES, TILE_BYTES);                                            \
            if (RIGHTS > 1) TILE_ADD_PRODUCTS(1, 4, 7);                                                                \
            if (LEFTS > 1) TILE_LOAD(5, other, bytes);                                                                 \
            if (LEFTS > 1) TILE_ADD_PRODUCTS(2, 5, 6);                                                                 \
            if (LEFTS > 1 && RIGHTS > 1) TILE_ADD_PRODUCTS(3, 5, 7);                                                   \
        }                                                                                                              \
        TILE_STORE(0, p->sums[0], TILE_BYTES);                                                                         \
        if (RIGHTS > 1) TILE_STORE(1, p->sums[0] + TILE_SUMS, TILE_BYTES);                                             \
        if (LEFTS > 1) TILE_STORE(2, p->sums[1], TILE_BYTES);                                                          \
        if (LEFTS > 1 && RIGHTS > 1) TILE_STORE(3, p->sums[1] + TILE_SUMS, TILE_BYTES);                                \
    }

DEFINE_PRODUCT(1, 1)
DEFINE_PRODUCT(1, 2)
DEFINE_PRODUCT(2, 1)
DEFINE_PRODUCT(2, 2)

static void (*const products[2][2])(const tile_product *) = {{product_1x1, product_1x2}, {product_2x1, product_2x2}};

/* ---- sums to dw ---- */

/* The row of dw, (tap, input), of a row of sums, or -1. */
static int64_t row_of(const weight_plan *p, int64_t tap, int64_t channel)
{
    if (channel >= p->channels) return -1;
    if (!p->folded) return tap * p->x.c + channel;
    int64_t phase = channel / p->x.c, width = p->columns.highest - p->columns.lowest + 1;
    int64_t ky =
        (tap / width + p->rows.lowest) * p->rows.stride + p->rows.phase[phase / p->columns.phases] + p->rows.pad;
    int64_t kx = (tap % width + p->columns.lowest) * p->columns.stride + p->columns.phase[phase % p->columns.phases] +
                 p->columns.pad;
    if (ky < 0 || kx < 0 || ky >= p->kernel_h || kx >= p->kernel_w) return -1;
    return (ky * p->kernel_w + kx) * p->x.c + channel % p->x.c;
}

/* dw = the sums of the chunks, in order, of one tap, block of channels and block of outputs. */
static void store_sums(const weight_run *run, int64_t tap, int64_t block, int64_t out_block, const float *sums,
                       int64_t chunks)
{
    const weight_plan *p = &run->plan;
    const __m512i lower = _mm512_set_epi32(23, 22, 21, 20, 7, 6, 5, 4, 19, 18, 17, 16, 3, 2, 1, 0),
                  half = _mm512_set1_epi32(8);
    int64_t outs = sn_min64(OUTS, p->y.c - out_block * OUTS);
    bool one = is_half(p, out_block);
    for (int64_t i = 0; i < TILE_ROWS; i++, sums += VF) {
        int64_t row = row_of(p, tap, block * TILE_ROWS + i);
        if (row < 0) continue;
        vf a = vf_load(sums), b = one ? (vf){0} : vf_load(sums + TILE_SUMS);
        for (int64_t chunk = 1; chunk < chunks; chunk++) {
            a += vf_load(sums + chunk * p->chunk_floats);
            if (!one) b += vf_load(sums + chunk * p->chunk_floats + TILE_SUMS);
        }
        float *to = run->dw + row * p->y.c + out_block * OUTS;
        if (one) {
            vf_store_n(to, a, outs);
            continue;
        }
        vf_store(to, (vf)_mm512_permutex2var_ps((__m512)a, lower, (__m512)b));
        vf_store_n(to + VF, (vf)_mm512_permutex2var_ps((__m512)a, _mm512_add_epi32(lower, half), (__m512)b), outs - VF);
    }
}

/* ---- tasks ---- */

/* The first slot of a block's channels that tap number `tap` reads. */
static const stored *left_tile(const weight_plan *p, const weight_part *part, const stored *x, int64_t tap,
                               int64_t block)
{
    int64_t group = 0, down, right;
    if (p->folded) {
        int64_t width = p->columns.highest - p->columns.lowest + 1;
        down = tap / width + p->rows.lowest;
        right = tap % width + p->columns.lowest;
    } else {
        int64_t ky = tap / p->kernel_w, kx = tap % p->kernel_w;
        group = tap_phase(&p->rows, ky) * p->columns.phases + tap_phase(&p->columns, kx);
        down = tap_shift(&p->rows, ky);
        right = tap_shift(&p->columns, kx);
    }
    return x + (group * p->ins_each + block - part->in0) * TILE_ROWS * p->x_row + p->lead + down * p->columns.slots +
           right;
}

/* Up to two left tiles, (tap, block) each, times a block of outputs. */
static void multiply(const weight_run *run, const weight_part *part, const weight_memory *m, int64_t out_block,
                     int64_t tap, int64_t block, int64_t other_tap, int64_t other_block, float *chunk, bool first)
{
    const weight_plan *p = &run->plan;
    float direct[4 * TILE_SUMS] __attribute__((aligned(64)));
    bool two = other_tap < p->taps && other_block < part->in1;
    tile_product product = {.left_bytes = p->x_row * (int64_t)sizeof(stored),
                            .steps = p->steps,
                            .first = first,
                            .right = m->dy + (out_block - part->out0) * p->steps * OUTS * STEP};
    product.left[0] = left_tile(p, part, m->x, tap, block);
    product.left[1] = two ? left_tile(p, part, m->x, other_tap, other_block) : product.left[0];
    float *sums = chunk + out_block * p->taps * p->blocks * 2 * TILE_SUMS;
    product.sums[0] = p->direct ? direct : sums + (tap * p->blocks + block) * 2 * TILE_SUMS;
    product.sums[1] = p->direct ? direct + 2 * TILE_SUMS : sums + (other_tap * p->blocks + other_block) * 2 * TILE_SUMS;
    products[two][!is_half(p, out_block)](&product);
    if (!p->direct) return;
    store_sums(run, tap, block, out_block, direct, 1);
    if (two) store_sums(run, other_tap, other_block, out_block, direct + 2 * TILE_SUMS, 1);
}

static void multiply_unit(const weight_run *run, const weight_part *part, const weight_memory *m, float *chunk,
                          bool first)
{
    const weight_plan *p = &run->plan;
    for (int64_t out = part->out0; out < part->out1; out++)
        for (int64_t block = part->in0; block < part->in1; block += 2) {
            bool alone = block + 1 == part->in1; /* then two taps of it are taken together */
            for (int64_t tap = 0; tap < p->taps; tap += 1 + alone)
                multiply(run, part, m, out, tap, block, tap + alone, block + !alone, chunk, first);
        }
}

static void chunk_task(void *context, int64_t index, int worker)
{
    const weight_run *run = context;
    const weight_plan *p = &run->plan;
    weight_memory m = memory_of(run, worker);
    weight_part part = {.in0 = index % p->in_splits * p->ins_each,
                        .out0 = index / p->in_splits % p->out_splits * p->outs_each};
    part.in1 = sn_min64(p->blocks, part.in0 + p->ins_each);
    part.out1 = sn_min64(p->out_blocks, part.out0 + p->outs_each);
    int64_t chunk = index / p->in_splits / p->out_splits;
    memset(m.zeros, 0, (size_t)p->zero_bytes);
    tiles_begin(TILE_ROWS);
    int64_t first_unit = chunk * p->units_each, last_unit = sn_min64(p->units, first_unit + p->units_each);
    for (int64_t unit = first_unit; unit < last_unit; unit++) {
        int64_t row = unit * p->unit_rows, rows = sn_min64(p->unit_rows, p->line_rows - row);
        copy_x(run, &part, row * p->columns.slots - p->lead, &m);
        copy_dy(run, &part, row * p->columns.slots, rows * p->columns.slots, &m);
        multiply_unit(run, &part, &m, run->chunks + chunk * p->chunk_floats, unit == first_unit);
    }
    tiles_end();
}

static void reduce_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const weight_run *run = context;
    const weight_plan *p = &run->plan;
    for (int64_t block = 0; block < p->blocks; block++) {
        const float *sums = run->chunks + (index * p->blocks + block) * 2 * TILE_SUMS;
        store_sums(run, index % p->taps, block, index / p->taps, sums, p->chunks);
    }
}

static void run(const sn_kernel_call *call)
{
    weight_run run = {.plan = plan_of(call),
                      .x = call->inputs[0],
                      .dy = call->inputs[1],
                      .dw = call->output,
                      .x_is_stored = call->input_nodes[0]->dtype == SN_STORED,
                      .workers = call->scratch};
    const weight_plan *p = &run.plan;
    run.chunks = (float *)(void *)(run.workers + call->threads * p->worker_bytes);
    int64_t macs = sn_shape_elements(p->y) * p->kernel_h * p->kernel_w * p->x.c;
    sn_parallel_for(macs < SN_SMALL_MACS ? 1 : call->threads, p->chunks * p->in_splits * p->out_splits, chunk_task,
                    &run);
    if (p->direct) return;
    int threads = p->chunks * p->chunk_floats * 4 < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, p->out_blocks * p->taps, reduce_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grad_weight_tiles) = {
    .name = SN_KERNEL_NAME(conv2d_grad_weight_tiles),
    .op = SN_OP_conv2d_grad_weight,
    .storage = SN_STORED,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
