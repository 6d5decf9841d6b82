/* conv_amx.c - convolution of bf16 maps by tiles (tiles_amx.h), forward and backward-data: any kernel size, stride up to 4, padding,
 * and groups whose inputs lie in chunks of 32 channels.
 *
 * See conv_amx_plan.h for the way the work is cut and conv_amx_tiles.h for the inner loops.  A task takes a block of pixels and some
 * panels of outputs:
 *
 *     the block's input is copied or gathered, if it has to be       it stays in the L2 cache
 *     for each panel                                                 its weights too, fetched while the panel before is multiplied
 *         for each pair of tiles
 *
 * A worker keeps the block it has copied for the next task's panels.
 */
#include "cpu/kernels/conv_amx_pack.h"
#include "cpu/kernels/conv_amx_tiles.h"
#include "cpu/kernels/norm_sums.h"
#include "cpu/kernels/squeeze_sums.h"

static tiled_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *attrs = &call->node->attrs.u.conv;
    sn_shape in = call->input_nodes[0]->shape, weight = call->input_nodes[1]->shape, out = call->node->shape;
    bool narrow = call->input_nodes[0]->dtype == SN_STORED;
    return call->node->op == SN_OP_conv2d ? tiled_plan_forward(attrs, in, weight, out, narrow, call->squeeze_node != NULL,
                                                             conv_scaled(call))
                                          : tiled_plan_backward(attrs, in, weight, out, narrow);
}

static bool is_map(sn_dtype dtype) { return dtype == SN_REAL || dtype == SN_STORED; }

/* Whether the inputs of a panel are whole chunks, or its chunk holds those of whole panels. */
static bool groups_fit(const tiled_plan *p)
{
    if (TILED_PANEL % p->group_out != 0 && p->group_out % TILED_PANEL != 0) return false;
    if (p->panels > 1 && p->out_c % TILED_PANEL != 0) return false; /* the last one would see inputs that are not there */
    int64_t seen = sn_max64(1, TILED_PANEL / p->group_out) * p->group_in;
    return seen % TILE_VALUES == 0 || TILE_VALUES % seen == 0;
}

static const char *refuse(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape weight = call->input_nodes[1]->shape;
    const sn_node *residual = call->node->inputs_count > 3 ? call->input_nodes[3] : NULL;
    if (call->precision != SN_FLOAT) return "not single precision";
    if (!is_map(call->input_nodes[0]->dtype) || !is_map(call->node->dtype)) return "a map is stored otherwise";
    if (residual && residual->dtype != SN_STORED) return "the residual is stored otherwise";
    if (weight.n * weight.h > TILED_TAPS) return "kernel larger than 11x11";
    if (a->stride > 4) return "stride above 4";
    if (a->groups == 1) return NULL;
    tiled_plan plan = plan_of(call);
    if (plan.gathered) return "groups whose channels fill no tiles";
    return groups_fit(&plan) ? NULL : "groups that do not fill tiles";
}

/* Where every image has blocks of its own, the last value of a pixel is known when it is stored. */
static bool squeezes(const sn_kernel_call *call) { return plan_of(call).images == call->node->shape.n; }

static const char *stats_refusal(const sn_kernel_call *call)
{
    return call->node->dtype == SN_STORED ? NULL : "the output is stored otherwise";
}

static size_t packed_bytes(const sn_kernel_call *call)
{
    tiled_plan plan = plan_of(call);
    return (size_t)tiled_packed_values(&plan) * sizeof(stored);
}

static void pack(const sn_kernel_call *call, void *packed)
{
    tiled_plan plan = plan_of(call);
    tiled_pack_weights(&plan, call->inputs[1], call->node->op != SN_OP_conv2d, call->threads, packed);
}

/* ---- scratch memory: each worker's table of tiles, copy and gathered rows; then the sums of the squeeze and of batch norm ---- */

/* Up to 16 pixels, of which the first `skip` belong to the tile before. */
typedef struct tiled_tile {
    const stored *x;
    int32_t image, row, col, skip; /* row, col: in the block, of the first pixel behind those; col may lie between rows */
} tiled_tile;

typedef struct tiled_worker {
    int64_t block; /* that was copied, or -1 */
    stored *copy, *gathered;
    tiled_tile *tiles;
} tiled_worker;

static size_t worker_bytes(const tiled_plan *p)
{
    size_t values = (size_t)(p->copy_values + p->gather_values) * sizeof(stored);
    return sn_align(sizeof(tiled_worker), 64) + sn_align(values, 64) + sn_align((size_t)p->tiles * sizeof(tiled_tile), SN_ALIGNMENT);
}

static size_t workers_bytes(const sn_kernel_call *call, const tiled_plan *p)
{
    return sn_align(worker_bytes(p) * (size_t)call->threads, SN_ALIGNMENT);
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    tiled_plan plan = plan_of(call);
    return workers_bytes(call, &plan) + squeeze_bytes(call, plan.blocks_y) + norm_bytes(call, plan.blocks_n * plan.blocks_y);
}

static tiled_worker *worker_at(const tiled_plan *p, void *memory, int64_t index)
{
    char *at = (char *)memory + worker_bytes(p) * (size_t)index;
    tiled_worker *worker = (tiled_worker *)(void *)at;
    at += sn_align(sizeof *worker, 64);
    worker->tiles = (tiled_tile *)(void *)at;
    at += sn_align((size_t)p->tiles * sizeof(tiled_tile), SN_ALIGNMENT);
    worker->copy = (stored *)(void *)at;
    worker->gathered = worker->copy + p->copy_values;
    return worker;
}

/* ---- the input of a block ---- */

typedef struct tiled_run {
    tiled_plan plan;
    const void *in; /* floats or `stored` */
    bool narrow_in;
    const stored *packed;
    const float *bias, *scale; /* scale: a row an image, or NULL */
    tiled_end end;
    void *memory;
    squeeze_sums squeeze;
    norm_sums norms;
} tiled_run;

/* Output pixels of every phase: images [n0, n1), rows [y0, y1). */
typedef struct tiled_block {
    int64_t index, n0, n1, y0, y1;
    int64_t of_image; /* index within the image */
} tiled_block;

/* Rows and columns outside the image are zero. */
static void copy_block(const tiled_run *run, const tiled_block *b, stored *to)
{
    const tiled_plan *p = &run->plan;
    int64_t before = sn_min64(sn_max64(-p->left, 0), p->row_pixels), first = b->y0 * p->step + p->top;
    int64_t end = sn_max64(sn_min64(p->in_w - p->left, p->row_pixels), before), count = (end - before) * p->in_c;
    for (int64_t n = b->n0; n < b->n1; n++) {
        stored *row_to = to + (n - b->n0) * p->image_values;
        for (int64_t row = first; row < first + tiled_copy_rows(p, b->y1 - b->y0); row++, row_to += p->row_pixels * p->in_c) {
            if (row < 0 || row >= p->in_h) {
                clear_values(row_to, p->row_pixels * p->in_c);
                continue;
            }
            int64_t from = ((n * p->in_h + row) * p->in_w + p->left + before) * p->in_c;
            clear_values(row_to, before * p->in_c);
            if (run->narrow_in)
                copy_values(row_to + before * p->in_c, (const stored *)run->in + from, count);
            else
                narrow_values(row_to + before * p->in_c, (const float *)run->in + from, count);
            clear_values(row_to + end * p->in_c, (p->row_pixels - end) * p->in_c);
        }
    }
}

/* Where a block's tiles, or the gathering, read: the pixel of output (n, y0, 0) at tap (top, left) of a copy, or at (0, 0) in place. */
static const stored *block_input(const tiled_run *run, const tiled_block *b, const tiled_worker *worker, int64_t n)
{
    const tiled_plan *p = &run->plan;
    if (p->copied) return worker->copy + (n - b->n0) * p->image_values;
    return (const stored *)run->in + (n * p->in_h + b->y0 * p->step) * p->in_w * p->in_c;
}

/* From such a pixel to what a tap reads. */
static ptrdiff_t tap_offset(const tiled_plan *p, const tiled_tap *tap)
{
    int row = p->copied ? tap->row - p->top : tap->row, col = p->copied ? tap->col - p->left : tap->col;
    return (row * p->row_pixels + col) * p->in_c;
}

/* The values that each pixel of a row sees: `length` of them at each of the offsets, filled up to `values`.  Stores are of whole
 * registers, and the next ones overwrite what is beyond. */
static stored *gather_row(const stored *from, int64_t pixels, int64_t pixel, const ptrdiff_t *offsets, int64_t segments,
                          int64_t length, int64_t values, stored *to)
{
    const __mmask32 last = (__mmask32)(0xffffffffu >> (TILE_VALUES - 1 - (length - 1) % TILE_VALUES));
    int64_t whole = (length - 1) / TILE_VALUES * TILE_VALUES;
    for (int64_t col = 0; col < pixels; col++, from += pixel, to += values) {
        stored *at = to;
        for (int64_t s = 0; s < segments; s++, at += length) {
            const stored *segment = from + offsets[s];
            for (int64_t i = 0; i < whole; i += TILE_VALUES) *(vh2 *)(at + i) = *(const vh2 *)(segment + i);
            *(vh2 *)(at + whole) = (vh2)_mm512_maskz_loadu_epi16(last, segment + whole);
        }
        if (at < to + values) *(vh2 *)at = (vh2){0};
    }
    return to;
}

static void gather_block(const tiled_run *run, const tiled_block *b, const tiled_phase *phase, int64_t rows, tiled_worker *worker)
{
    const tiled_plan *p = &run->plan;
    ptrdiff_t offsets[TILED_TAPS];
    int joined = 1;
    const tiled_tap *taps = &p->taps[phase->first_tap];
    while (joined < phase->taps && taps[joined].row == taps->row) joined++;
    int64_t segments = phase->taps / joined;
    for (int64_t s = 0; s < segments; s++) offsets[s] = tap_offset(p, &taps[s * joined]);
    stored *to = worker->gathered;
    for (int64_t n = b->n0; n < b->n1; n++)
        for (int64_t row = 0; row < rows; row++)
            to = gather_row(block_input(run, b, worker, n) + row * p->row_pixels * p->step * p->in_c, phase->cols, p->step * p->in_c,
                            offsets, segments, joined * p->in_c, phase->steps * TILE_VALUES, to);
}

/* ---- the tiles of a block ---- */

typedef struct tiled_layout {
    int64_t count, rows;  /* tiles, and pixels of each */
    int64_t cols, pixels; /* stored pixels of a row, and pixels from row to row; one row where all are stored */
} tiled_layout;

static tiled_layout lay_tiles(const tiled_run *run, const tiled_block *b, const tiled_phase *phase, int64_t rows, tiled_worker *worker)
{
    const tiled_plan *p = &run->plan;
    int64_t row_pixels = p->gathered ? phase->cols : p->row_pixels;
    int64_t spans = p->flat ? 1 : rows, span = p->flat ? (rows - 1) * row_pixels + phase->cols : phase->cols;
    int64_t tiles = sn_ceil_div(span, TILE_ROWS), size = tiled_rows(span);
    int64_t pixel = p->gathered ? phase->steps * TILE_VALUES : p->step * p->in_c;
    tiled_layout layout = {.rows = size, .cols = phase->cols, .pixels = row_pixels};
    if (p->flat && row_pixels == phase->cols && p->out_step == 1) /* all are stored, side by side */
        layout.cols = layout.pixels = span;
    for (int64_t n = b->n0; n < b->n1; n++)
        for (int64_t s = 0; s < spans; s++) {
            const stored *x = p->gathered ? worker->gathered + (n - b->n0) * span * pixel
                                          : block_input(run, b, worker, n) + s * p->step * p->row_pixels * p->in_c;
            for (int64_t t = 0; t < tiles; t++) {
                int64_t begin = sn_min64(t * size, span - size), first = t * size;
                worker->tiles[layout.count++] = (tiled_tile){
                    .x = x + begin * pixel, .image = (int32_t)n, .skip = (int32_t)(first - begin),
                    .row = (int32_t)(p->flat ? first / layout.pixels : s), .col = (int32_t)(p->flat ? first % layout.pixels : first)};
            }
        }
    return layout;
}

/* ---- a panel ---- */

/* Stores the pixels of a tile, row by row. */
static void finish_tile(const tiled_run *run, tiled_end *end, const tiled_block *b, const tiled_phase *phase,
                        const tiled_layout *layout, const tiled_panel *panel, const tiled_tile *tile, const float *sums)
{
    const tiled_plan *p = &run->plan;
    vf squeeze[2] = {{0}};
    if (run->scale) end->scale = run->scale + tile->image * p->out_c + panel->out;
    int64_t row = tile->row, col = tile->col;
    for (int64_t i = tile->skip; i < layout->rows;) {
        int64_t count = sn_min64(layout->rows - i, layout->cols - col);
        int64_t y = phase->row0 + (b->y0 + row) * p->out_step, x = phase->col0 + col * p->out_step;
        int64_t at = ((tile->image * p->out_h + y) * p->out_w + x) * p->out_c + panel->out;
        if (count > 0) {
            tiled_store(end, sums + i * TILED_PANEL, count, at, squeeze);
            norm_add(&run->norms, b->index, panel->out, panel->channels, (const stored *)end->out + at, end->pixel, count);
        }
        i += sn_max64(count, 0) + layout->pixels - sn_max64(layout->cols, col);
        row++;
        col = 0;
    }
    float *total = squeeze_row(&run->squeeze, tile->image, b->of_image);
    for (int h = 0; total && h * VF < panel->channels; h++)
        vf_store(total + panel->out + h * VF, vf_load(total + panel->out + h * VF) + squeeze[h]);
}

/* What pair `index` of `pairs` fetches: its share of the weights behind the panel's; the first panel's first pair, whose weights
 * nobody has fetched, those a few steps ahead. */
static void look_ahead(tiled_product *product, const stored *w, int64_t steps, bool wide, bool first, bool last, int64_t index,
                       int64_t pairs)
{
    enum { LINES = 2 * RIGHT_VALUES * sizeof(stored) / 64, DISTANCE = 8 };
    product->ahead_lines = 0;
    if (first && index == 0) {
        product->ahead = (const char *)(w + sn_min64(DISTANCE, steps) * 2 * RIGHT_VALUES);
        product->ahead_lines = wide ? LINES : LINES / 2;
        return;
    }
    if (last) return;
    int64_t parts = pairs - first, part = index - first;
    product->ahead_lines = sn_ceil_div(LINES, parts);
    product->ahead = (const char *)(w + steps * 2 * RIGHT_VALUES) + part * steps * product->ahead_lines * 64;
    if (part * product->ahead_lines >= LINES) product->ahead_lines = 0;
}

static void compute_panel(const tiled_run *run, const tiled_block *b, const tiled_phase *phase, const tiled_layout *layout,
                          const tiled_tile *tiles, int64_t index, bool first, bool last)
{
    const tiled_plan *p = &run->plan;
    _Alignas(64) float sums[2 * TILE_ROWS * TILED_PANEL], bias[TILED_PANEL] = {0};
    ptrdiff_t segments[TILED_TAPS] = {0};
    tiled_panel panel = tiled_panel_at(p, index);
    if (run->bias) copy_floats(bias, run->bias + panel.out, panel.channels);
    tiled_product product = {.segments = segments, .segments_count = phase->segments, .segment_steps = phase->segment_steps, .bias = bias};
    product.x_row = (p->gathered ? phase->steps * TILE_VALUES : p->step * p->in_c) * (int64_t)sizeof(stored);
    product.w = run->packed + panel.packed + phase->first_step * (panel.wide ? 2 : 1) * RIGHT_VALUES;
    for (int64_t s = 0; s < phase->segments && !p->gathered; s++)
        segments[s] = tap_offset(p, &p->taps[phase->first_tap + s * phase->taps / phase->segments]) +
                      tiled_first_chunk(p, index) * TILE_VALUES;
    tiled_end end = run->end;
    end.channels = panel.channels;
    for (int64_t n = b->n0; n < b->n1 && run->squeeze.rows; n++)
        clear_floats(squeeze_row(&run->squeeze, n, b->of_image) + panel.out, sn_ceil_div(panel.channels, VF) * VF);
    norm_start(&run->norms, b->index, panel.out, panel.channels);
    int64_t pairs = sn_ceil_div(layout->count, 2);
    bool once = phase->taps == 1 || p->gathered;
    for (int64_t i = 0; i < pairs; i++) {
        const tiled_tile *tile = tiles + 2 * i;
        bool two = 2 * i + 1 < layout->count;
        product.x[0] = tile[0].x;
        product.x[1] = tile[two].x;
        look_ahead(&product, product.w, phase->steps, panel.wide, first, last, i, pairs);
        if (two && panel.wide && once)
            tiled_multiply_once(&product, sums);
        else if (two && panel.wide)
            tiled_multiply_two(&product, sums);
        else
            tiled_multiply_other(&product, two, panel.wide, sums);
        for (int k = 0; k <= two; k++)
            finish_tile(run, &end, b, phase, layout, &panel, &tile[k], sums + k * TILE_ROWS * TILED_PANEL);
    }
}

/* ---- tasks ---- */

static void compute_task(void *context, int64_t index, int worker_index)
{
    const tiled_run *run = context;
    const tiled_plan *p = &run->plan;
    tiled_worker *worker = worker_at(p, run->memory, worker_index);
    int64_t split = index % p->splits;
    tiled_block b = {.index = index / p->splits};
    b.of_image = b.index % p->blocks_y;
    b.n0 = b.index / p->blocks_y * p->block_images;
    b.n1 = sn_min64(p->images, b.n0 + p->block_images);
    b.y0 = b.of_image * p->block_rows;
    b.y1 = sn_min64(p->phases[0].rows, b.y0 + p->block_rows);
    bool fresh = worker->block != b.index;
    if (p->copied && fresh) copy_block(run, &b, worker->copy);
    worker->block = b.index;
    for (int k = 0; k < p->phases_count; k++) {
        const tiled_phase *phase = &p->phases[k];
        int64_t rows = sn_min64(b.y1, phase->rows) - b.y0;
        if (rows <= 0) continue;
        if (p->gathered && (fresh || p->phases_count > 1)) gather_block(run, &b, phase, rows, worker);
        tiled_layout layout = lay_tiles(run, &b, phase, rows, worker);
        tiles_begin((int)layout.rows);
        int64_t first = split * p->panels_each, end = sn_min64(p->panels, first + p->panels_each);
        for (int64_t panel = first; panel < end; panel++)
            compute_panel(run, &b, phase, &layout, worker->tiles, panel, panel == first, panel == p->panels - 1);
        tiles_end();
    }
}

static void run(const sn_kernel_call *call)
{
    tiled_run run = {.plan = plan_of(call), .in = call->inputs[0], .narrow_in = call->input_nodes[0]->dtype == SN_STORED,
                     .packed = call->packed, .memory = call->scratch};
    const tiled_plan *p = &run.plan;
    run.end = (tiled_end){.out = call->output, .narrow = call->node->dtype == SN_STORED, .pixel = p->out_step * p->out_c,
                          .clamp = clamp_of(SN_IDENTITY)};
    run.end.residual = call_stored(call, 3);
    if (call->node->op == SN_OP_conv2d) {
        run.bias = call_input(call, 2);
        run.scale = call_input(call, 5);
        run.end.activation = call->node->attrs.u.conv.activation;
        if (clamp_is(run.end.activation)) run.end.clamp = clamp_of(run.end.activation);
    }
    char *sums = (char *)call->scratch + workers_bytes(call, p);
    run.squeeze = squeeze_begin(call, (float *)(void *)sums, p->blocks_y);
    run.norms = norm_begin(call, (float *)(void *)(sums + squeeze_bytes(call, p->blocks_y)), p->blocks_n * p->blocks_y);
    run.end.squeezed = run.squeeze.rows != NULL;
    for (int i = 0; i < call->threads; i++) worker_at(p, run.memory, i)->block = -1;
    int64_t macs = p->images * p->phases[0].rows * p->phases[0].cols * p->out_c * p->steps * TILE_VALUES;
    int threads = macs < 8 * SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->blocks_n * p->blocks_y * p->splits, compute_task, &run);
    squeeze_finish(&run.squeeze);
    norm_finish(call, &run.norms);
}

#define TILED_KERNEL(base, kind, squeezing, gathers)                                                                 \
    const sn_kernel SN_KERNEL_SYMBOL(base) = {                                                                       \
        .name = SN_KERNEL_NAME(base),                                                                                \
        .op = kind,                                                                                                  \
        .storage = SN_STORED,                                                                                        \
        .refuse = refuse,                                                                                            \
        .scratch_bytes = scratch_bytes,                                                                              \
        .packed_bytes = packed_bytes,                                                                                \
        .pack = pack,                                                                                                \
        .run = run,                                                                                                  \
        .squeezes = squeezing,                                                                                       \
        .takes = SN_TAKES_SCALE,                                                                                     \
        .stats_refusal = gathers,                                                                                    \
    }

TILED_KERNEL(conv2d_tiles, SN_OP_conv2d, squeezes, stats_refusal);
TILED_KERNEL(conv2d_grad_input_tiles, SN_OP_conv2d_grad_input, NULL, NULL);
