/* conv_amx_blocks.h - a convolution by tiles, block by block and panel by panel: what conv_amx.c and conv_q8_amx.c share.
 *
 * See conv_amx_plan.h for the way the work is cut and conv_amx_tiles.h for the inner loops. A task takes a block of pixels and
 * some panels of outputs:
 *
 *     the block's input is copied or gathered, if it has to be       it stays in the L2 cache
 *     for each panel                                                 its weights too, fetched while the panel before is multiplied
 *         for each pair of tiles
 *
 * A worker keeps the block it has copied for the next task's panels. What becomes of the sums is said before this file is
 * included:
 *
 *     tiled_end          of all panels; `squeezed` is set here
 *     tiled_end_of       (all, panel, start): that of one panel, and what its sums begin with
 *     tiled_begin_block  (end, block): before a panel's first pixels of a block
 *     tiled_see_image    (end, image): before those of a tile
 *     tiled_store        (end, sums, rows, at, squeeze): stores pixels, see conv_amx_end.h
 *     tiled_gather       (end, block, at, rows): behind it
 */
#ifndef SN_CPU_KERNELS_CONV_AMX_BLOCKS_H
#define SN_CPU_KERNELS_CONV_AMX_BLOCKS_H

#include "base/parallel.h"
#include "cpu/kernels/conv_amx_tiles.h"
#include "cpu/kernels/copy.h"
#include "cpu/kernels/squeeze_sums.h"

/* ---- values: a register of them, and runs ---- */

typedef tile_value tile_row __attribute__((vector_size(TILE_BYTES), aligned(1), may_alias));

#if SN_STORED_Q8
typedef __mmask64 tile_mask;
SN_INLINE tile_row load_some(tile_mask mask, const tile_value *p) { return (tile_row)_mm512_maskz_loadu_epi8(mask, p); }
SN_INLINE void store_some(tile_value *p, tile_mask mask, tile_row v) { _mm512_mask_storeu_epi8(p, mask, (__m512i)v); }
#else
typedef __mmask32 tile_mask;
SN_INLINE tile_row load_some(tile_mask mask, const tile_value *p) { return (tile_row)_mm512_maskz_loadu_epi16(mask, p); }
SN_INLINE void store_some(tile_value *p, tile_mask mask, tile_row v) { _mm512_mask_storeu_epi16(p, mask, (__m512i)v); }
#endif
static inline tile_mask first_values(int64_t count) { return (tile_mask)((tile_mask)-1 >> (TILE_VALUES - count)); } /* 1 and more */

static inline void fill_values(tile_value *to, int value, int64_t count)
{
    tile_row v = (tile_row){0} + (tile_value)value;
    int64_t i = 0;
    for (; i + TILE_VALUES <= count; i += TILE_VALUES) *(tile_row *)(to + i) = v;
    if (i < count) store_some(to + i, first_values(count - i), v);
}

static inline void move_values(tile_value *to, const tile_value *from, int64_t count)
{
    int64_t i = 0;
    for (; i + TILE_VALUES <= count; i += TILE_VALUES) *(tile_row *)(to + i) = *(const tile_row *)(from + i);
    if (i < count) store_some(to + i, first_values(count - i), load_some(first_values(count - i), from + i));
}

/* Floats to tile values; int8 maps are such already. */
static inline void round_values(tile_value *to, const float *from, int64_t count)
{
#if SN_STORED_Q8
    (void)to, (void)from, (void)count;
#else
    narrow_values(to, from, count);
#endif
}

/* ---- scratch memory: of each worker the table of tiles, the copy and the gathered rows; then the sums of the squeeze ---- */

/* Up to 16 pixels, of which the first `skip` belong to the tile before. */
typedef struct tiled_tile {
    const tile_value *x;
    int32_t image, row, col, skip; /* row, col: in the block, of the first pixel behind those; col may lie between rows */
} tiled_tile;

typedef struct tiled_worker {
    int64_t block; /* that was copied, or -1 */
    tile_value *copy, *gathered;
    tiled_tile *tiles;
} tiled_worker;

static size_t worker_bytes(const tiled_plan *p)
{
    size_t values = (size_t)(p->copy_values + p->gather_values) * sizeof(tile_value);
    return sn_align(sizeof(tiled_worker), 64) + sn_align(values, 64) + sn_align((size_t)p->tiles * sizeof(tiled_tile), SN_ALIGNMENT);
}

static size_t workers_bytes(const sn_kernel_call *call, const tiled_plan *p)
{
    return sn_align(worker_bytes(p) * (size_t)call->threads, SN_ALIGNMENT);
}

static size_t tiled_scratch_bytes(const sn_kernel_call *call, const tiled_plan *p)
{
    return workers_bytes(call, p) + squeeze_bytes(call, p->blocks_y);
}

static tiled_worker *worker_at(const tiled_plan *p, void *memory, int64_t index)
{
    char *at = (char *)memory + worker_bytes(p) * (size_t)index;
    tiled_worker *worker = (tiled_worker *)(void *)at;
    at += sn_align(sizeof *worker, 64);
    worker->tiles = (tiled_tile *)(void *)at;
    at += sn_align((size_t)p->tiles * sizeof(tiled_tile), SN_ALIGNMENT);
    worker->copy = (tile_value *)(void *)at;
    worker->gathered = worker->copy + p->copy_values;
    return worker;
}

/* ---- the input of a block ---- */

typedef struct tiled_run {
    tiled_plan plan;
    const void *in;           /* tile values, or floats that become such */
    bool narrow_in;           /* tile values */
    int zero;                 /* the value that stands for 0 */
    const tile_value *packed; /* the weights of all panels */
    tiled_end end;
    void *memory;
    squeeze_sums squeeze;
} tiled_run;

/* Output pixels of every phase: images [n0, n1), rows [y0, y1). */
typedef struct tiled_block {
    int64_t index, n0, n1, y0, y1;
    int64_t of_image; /* index within the image */
} tiled_block;

/* Pixels of blocked channels: TILED_SLAB or twice as many of each. */
static void copy_slab(tile_value *to, const tile_value *from, int64_t pixels, int64_t from_pixel, int64_t channels)
{
#if SN_STORED_Q8
    for (int64_t i = 0; i < pixels; i++, to += channels, from += from_pixel)
        for (int64_t c = 0; c < channels; c += TILED_SLAB)
            _mm_storeu_si128((__m128i *)(void *)(to + c), _mm_loadu_si128((const __m128i *)(const void *)(from + c)));
#else
    for (int64_t i = 0; i < pixels; i++) move_values(to + i * channels, from + i * from_pixel, channels);
#endif
}

/* A row of a block: `before` pixels outside the image, those from `from` on until `end`, and others outside. */
static void copy_row(const tiled_run *run, const tile_value *from, int64_t before, int64_t end, tile_value *to)
{
    const tiled_plan *p = &run->plan;
    for (int64_t c = 0; c < p->in_c; c += p->pitch, to += p->slab_values) {
        fill_values(to, run->zero, before * p->pitch);
        if (p->blocked)
            copy_slab(to + before * p->pitch, from + c, end - before, p->in_c, p->pitch);
        else
            move_values(to + before * p->pitch, from, (end - before) * p->pitch);
        fill_values(to + end * p->pitch, run->zero, (p->row_pixels - end) * p->pitch);
    }
}

/* Rows and columns outside the image are 0. */
static void copy_block(const tiled_run *run, const tiled_block *b, tile_value *to)
{
    const tiled_plan *p = &run->plan;
    int64_t before = sn_min64(sn_max64(-p->left, 0), p->row_pixels), first = b->y0 * p->step + p->top;
    int64_t end = sn_max64(sn_min64(p->in_w - p->left, p->row_pixels), before);
    for (int64_t n = b->n0; n < b->n1; n++) {
        tile_value *row_to = to + (n - b->n0) * p->image_values;
        for (int64_t row = first; row < first + tiled_copy_rows(p, b->y1 - b->y0); row++, row_to += p->row_pixels * p->pitch) {
            bool outside = row < 0 || row >= p->in_h;
            int64_t from = outside ? 0 : ((n * p->in_h + row) * p->in_w + p->left + before) * p->in_c;
            if (outside)
                copy_row(run, run->in, p->row_pixels, p->row_pixels, row_to);
            else if (run->narrow_in)
                copy_row(run, (const tile_value *)run->in + from, before, end, row_to);
            else {
                fill_values(row_to, run->zero, before * p->in_c);
                round_values(row_to + before * p->in_c, (const float *)run->in + from, (end - before) * p->in_c);
                fill_values(row_to + end * p->in_c, run->zero, (p->row_pixels - end) * p->in_c);
            }
        }
    }
}

/* Where a block's tiles, or the gathering, read: the pixel of output (n, y0, 0) at tap (top, left) of a copy, or at (0, 0) in
 * place. */
static const tile_value *block_input(const tiled_run *run, const tiled_block *b, const tiled_worker *worker, int64_t n)
{
    const tiled_plan *p = &run->plan;
    if (p->copied) return worker->copy + (n - b->n0) * p->image_values;
    return (const tile_value *)run->in + (n * p->in_h + b->y0 * p->step) * p->in_w * p->in_c;
}

/* From such a pixel to what a tap reads. */
static ptrdiff_t tap_offset(const tiled_plan *p, const tiled_tap *tap)
{
    int row = p->copied ? tap->row - p->top : tap->row, col = p->copied ? tap->col - p->left : tap->col;
    return (row * p->row_pixels + col) * p->pitch;
}

/* The values that each pixel of a row sees: `length` of them at each of the offsets, filled up to `values`.  Stores are of whole
 * registers, and the next ones overwrite what is beyond. */
static tile_value *gather_row(const tile_value *from, int64_t pixels, int64_t pixel, const ptrdiff_t *offsets, int64_t segments,
                          int64_t length, int64_t values, tile_value *to)
{
    const tile_mask last = first_values((length - 1) % TILE_VALUES + 1);
    int64_t whole = (length - 1) / TILE_VALUES * TILE_VALUES;
    for (int64_t col = 0; col < pixels; col++, from += pixel, to += values) {
        tile_value *at = to;
        for (int64_t s = 0; s < segments; s++, at += length) {
            const tile_value *segment = from + offsets[s];
            for (int64_t i = 0; i < whole; i += TILE_VALUES) *(tile_row *)(at + i) = *(const tile_row *)(segment + i);
            *(tile_row *)(at + whole) = load_some(last, segment + whole);
        }
        if (at < to + values) *(tile_row *)at = (tile_row){0};
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
    tile_value *to = worker->gathered;
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
    int64_t pixel = p->gathered ? phase->steps * TILE_VALUES : p->step * p->pitch;
    tiled_layout layout = {.rows = size, .cols = phase->cols, .pixels = row_pixels};
    if (p->flat && row_pixels == phase->cols && p->out_step == 1) /* all are stored, side by side */
        layout.cols = layout.pixels = span;
    for (int64_t n = b->n0; n < b->n1; n++)
        for (int64_t s = 0; s < spans; s++) {
            const tile_value *x = p->gathered ? worker->gathered + (n - b->n0) * span * pixel
                                          : block_input(run, b, worker, n) + s * p->step * p->row_pixels * p->pitch;
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
                        const tiled_layout *layout, const tiled_panel *panel, const tiled_tile *tile, const tile_sum *sums)
{
    const tiled_plan *p = &run->plan;
    vf squeeze[2] = {{0}};
    tiled_see_image(end, tile->image);
    int64_t row = tile->row, col = tile->col;
    for (int64_t i = tile->skip; i < layout->rows;) {
        int64_t count = sn_min64(layout->rows - i, layout->cols - col);
        int64_t y = phase->row0 + (b->y0 + row) * p->out_step, x = phase->col0 + col * p->out_step;
        int64_t at = ((tile->image * p->out_h + y) * p->out_w + x) * p->out_c + panel->out;
        if (count > 0) {
            tiled_store(end, sums + i * TILED_PANEL, count, at, squeeze);
            tiled_gather(end, b->index, at, count);
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
static void look_ahead(tiled_product *product, const tile_value *w, int64_t steps, bool wide, bool first, bool last, int64_t index,
                       int64_t pairs)
{
    enum { LINES = 2 * RIGHT_VALUES * sizeof(tile_value) / 64, DISTANCE = 8 };
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
    _Alignas(64) tile_sum sums[2 * TILE_ROWS * TILED_PANEL], start[TILED_PANEL] = {0};
    ptrdiff_t segments[TILED_TAPS] = {0};
    tiled_panel panel = tiled_panel_at(p, index);
    tiled_end end = tiled_end_of(&run->end, &panel, start);
    tiled_product product = {.segments = segments, .segments_count = phase->segments, .segment_steps = phase->segment_steps, .start = start};
    product.x_row = (p->gathered ? phase->steps * TILE_VALUES : p->step * p->pitch) * (int64_t)sizeof(tile_value);
    product.w = run->packed + panel.packed + phase->first_step * (panel.wide ? 2 : 1) * RIGHT_VALUES;
    int64_t first_channel = tiled_first_channel(p, panel.out);
    for (int64_t s = 0; s < phase->segments && !p->gathered; s++)
        segments[s] = tap_offset(p, &p->taps[phase->first_tap + s * phase->taps / phase->segments]) +
                      (p->blocked ? first_channel / p->seen * p->slab_values : first_channel);
    for (int64_t n = b->n0; n < b->n1 && run->squeeze.rows; n++)
        clear_floats(squeeze_row(&run->squeeze, n, b->of_image) + panel.out, sn_ceil_div(panel.channels, VF) * VF);
    tiled_begin_block(&end, b->index);
    int64_t pairs = sn_ceil_div(layout->count, 2);
    bool once = phase->taps == 1 || p->gathered;
    for (int64_t i = 0; i < pairs; i++) {
        const tiled_tile *tile = tiles + 2 * i;
        bool two = 2 * i + 1 < layout->count;
        product.x[0] = tile[0].x;
        product.x[1] = tile[two].x;
        look_ahead(&product, product.w, phase->steps, panel.wide, first, last, i, pairs);
        if (p->split)
            tiled_multiply_split(&product, two, p->slab_values, sums);
        else if (two && panel.wide && once)
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

/* Runs a call whose plan, input, weights and end are set; the sums of the squeeze are left to finish. */
static void tiled_run_call(const sn_kernel_call *call, tiled_run *run)
{
    const tiled_plan *p = &run->plan;
    run->memory = call->scratch;
    run->squeeze = squeeze_begin(call, (float *)(void *)((char *)call->scratch + workers_bytes(call, p)), p->blocks_y);
    run->end.squeezed = run->squeeze.rows != NULL;
    for (int i = 0; i < call->threads; i++) worker_at(p, run->memory, i)->block = -1;
    int64_t macs = p->images * p->phases[0].rows * p->phases[0].cols * p->out_c * p->steps * TILE_VALUES;
    int threads = macs < 8 * SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->blocks_n * p->blocks_y * p->splits, compute_task, run);
}

#endif
