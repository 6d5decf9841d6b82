/* conv_q8.c - dense and grouped convolutions of int8 maps, for any kernel size, stride up to 4 and padding.
 *
 *     y = act(sx sw(o) (sum of (q - zx) k) + bias(o) + residual)        w = sw(o) k, k in -127 .. 127, sw(o) = largest |w| / 127
 *
 * is computed as  steps = (sum of q k - zx sum of k) (sx sw / sy) + bias / sy + ...  with whole sums, so results do not depend on any
 * order.  The output is int8, bf16 or float; so is the residual.  Weights that are whole multiples of a channel's scale up to
 * 127 times, as a file of int8 weights has them, are taken exactly.
 *
 * The work is cut as in conv_direct.c (see conv_plan.h, whose floats are bytes here), but every sum is one pass: a panel of weights has
 * a quarter of the bytes.  Where columns are padded, a task copies its block between bytes that stand for 0; rows outside the
 * image are left out if that is byte 0, else copied like columns, as the constant part of the sums counts every weight.
 */
#include "cpu/kernels/conv_plan.h"
#include "cpu/kernels/conv_q8_ends.h"
#include "cpu/kernels/conv_q8_tiles.h"

enum { WORD = 4, COPY_SLACK = 64 };

/* ---- the plan ---- */

typedef struct q8_plan {
    conv_plan c;      /* one phase, one pass, a byte where it says float */
    int64_t words;    /* of a segment, the last one filled up with zero weights */
    int64_t segments;
    bool all_rows;    /* rows outside the image are copied too */
} q8_plan;

static q8_plan plan_of(const sn_kernel_call *call)
{
    const sn_node *x = call->input_nodes[0];
    q8_plan p = {.c = conv_plan_forward(&call->node->attrs.u.conv, x->shape, call->input_nodes[1]->shape, call->node->shape,
                                        call->squeeze_node != NULL, false)};
    conv_phase *phase = &p.c.phases[0];
    phase->passes = phase->chunks = 1;
    phase->pass_segments = phase->segments;
    phase->chunk_length = phase->length;
    p.segments = phase->segments;
    p.words = sn_ceil_div(phase->length, WORD);
    p.all_rows = x->quant.zero != 0;
    return p;
}

static const char *refuse(const sn_kernel_call *call)
{
    const sn_conv_attrs *attrs = &call->node->attrs.u.conv;
    sn_shape w = call->input_nodes[1]->shape;
    const char *why = q8_conv_refusal(call);
    if (why) return why;
    if (w.n * w.h > PLAN_TAPS) return "kernel larger than 11x11";
    if (attrs->groups > 1 && w.w % WORD != 0) return "groups whose inputs are no multiple of 4";
    /* the last word of a segment would reach beyond the tensor; a copied block has room behind it */
    q8_plan p = plan_of(call);
    if (p.c.phases[0].length % WORD != 0 && !p.c.copied) return "inputs no multiple of 4 and no padding";
    if (p.all_rows && !p.c.copied && (p.c.top < 0 || (p.c.out_h - 1) * p.c.step + p.c.bottom >= p.c.in_h))
        return "rows are padded, columns not, and 0 is not byte 0";
    return NULL;
}

static const char *refuse_pointwise(const sn_kernel_call *call)
{
    const sn_conv_attrs *attrs = &call->node->attrs.u.conv;
    if (attrs->groups != 1 || !conv_is_pointwise(attrs, call->input_nodes[1]->shape)) return "not a dense 1x1 convolution";
    return refuse(call);
}

/* Where every image has blocks of its own and a group's last vector does not reach into the next group. */
static bool squeezes(const sn_kernel_call *call)
{
    q8_plan p = plan_of(call);
    return p.c.images == call->node->shape.n && (p.c.groups == 1 || p.c.group_out % VF == 0);
}

static size_t copy_bytes(const q8_plan *p) { return p->c.copied ? sn_align((size_t)p->c.buffer_floats + COPY_SLACK, SN_ALIGNMENT) : 0; }

static size_t scratch_bytes(const sn_kernel_call *call)
{
    q8_plan p = plan_of(call);
    return copy_bytes(&p) * (size_t)call->threads + squeeze_bytes(call, p.c.blocks_y * p.c.blocks_x);
}

/* ---- weights: for every panel [segment][word][width][4] and then start, scale and shift, [width] each ---- */

typedef struct q8_panel {
    int64_t in, out; /* first channels of the group's input and of the panel's output */
    int64_t channels;
    int width;       /* with the zeros that fill the last vector */
    int64_t packed;  /* where it begins: bytes */
} q8_panel;

static int64_t column_bytes(const q8_plan *p) { return p->segments * p->words * WORD + (int64_t)(sizeof(int32_t) + 2 * sizeof(float)); }

static q8_panel panel_at(const q8_plan *p, int64_t index)
{
    int64_t group = index / p->c.group_panels, first = index % p->c.group_panels * PANEL;
    int64_t group_width = sn_ceil_div(p->c.group_out, VF) * VF;
    q8_panel panel = {.in = group * p->c.group_in, .out = group * p->c.group_out + first,
                      .channels = sn_min64(PANEL, p->c.group_out - first),
                      .packed = (group * group_width + first) * column_bytes(p)};
    panel.width = (int)sn_ceil_div(panel.channels, VF) * VF;
    return panel;
}

static size_t packed_bytes(const sn_kernel_call *call)
{
    q8_plan p = plan_of(call);
    return (size_t)(p.c.groups * sn_ceil_div(p.c.group_out, VF) * VF * column_bytes(&p));
}

static q8_ends ends_of(const q8_plan *p, const q8_panel *panel, void *packed)
{
    return q8_ends_at((char *)packed + panel->packed + p->segments * p->words * WORD * panel->width, panel->width);
}

typedef struct pack_job {
    q8_plan plan;
    const sn_kernel_call *call;
    void *packed;
} pack_job;

/* The weights of tap t (in the order of the plan) and input channel c of the group, for the panel's outputs. */
static const float *weight_row(const pack_job *job, const q8_panel *panel, int t, int64_t c)
{
    const conv_plan *p = &job->plan.c;
    int64_t tap = p->taps[t].ky * p->kernel_w + p->taps[t].kx;
    return (const float *)job->call->inputs[1] + (tap * p->group_in + c) * p->weight_out + panel->out;
}

static void pack_panel(void *context, int64_t index, int worker)
{
    (void)worker;
    const pack_job *job = context;
    const q8_plan *p = &job->plan;
    q8_panel panel = panel_at(p, index);
    q8_ends ends = ends_of(p, &panel, job->packed);
    int8_t *packed = (int8_t *)job->packed + panel.packed;
    float largest[PANEL] = {0};
    int32_t total[PANEL] = {0};
    memset(packed, 0, (size_t)(p->segments * p->words * WORD * panel.width));
    for (int t = 0; t < p->c.taps_count; t++)
        for (int64_t c = 0; c < p->c.group_in; c++) {
            const float *row = weight_row(job, &panel, t, c);
            for (int64_t o = 0; o < panel.channels; o++) largest[o] = fabsf(row[o]) > largest[o] ? fabsf(row[o]) : largest[o];
        }
    int64_t taps = p->c.taps_count / p->segments; /* of a segment */
    for (int t = 0; t < p->c.taps_count; t++)
        for (int64_t c = 0; c < p->c.group_in; c++) {
            const float *row = weight_row(job, &panel, t, c);
            int64_t byte = t % taps * p->c.group_in + c, word = t / taps * p->words + byte / WORD;
            int8_t *to = packed + word * panel.width * WORD + byte % WORD;
            for (int64_t o = 0; o < panel.channels; o++) {
                int k = q8_integer(row[o], largest[o]);
                to[o * WORD] = (int8_t)k;
                total[o] += k;
            }
        }
    for (int64_t o = 0; o < panel.width; o++)
        q8_ends_set(&ends, job->call, o, o < panel.channels ? panel.out + o : -1, largest[o], total[o]);
}

static void pack(const sn_kernel_call *call, void *packed)
{
    pack_job job = {.plan = plan_of(call), .call = call, .packed = packed};
    sn_parallel_for((int64_t)packed_bytes(call) < SN_SMALL_BYTES ? 1 : call->threads, job.plan.c.panels, pack_panel, &job);
}

/* ---- a block ---- */

typedef struct q8_run {
    q8_plan plan;
    const uint8_t *in;
    char *packed, *copies;
    const void *residual;
    void *out;
    size_t out_bytes, residual_bytes; /* of an element */
    int zero;
    map_end end;
    sn_dtype residual_type;
    float residual_scale;
    squeeze_sums squeeze;
} q8_run;

/* Images [n0, n1), output rows [y0, y1), columns [x0, x1). */
typedef struct q8_block {
    int64_t n0, n1, y0, y1, x0, x1;
    int64_t index; /* within the image */
} q8_block;

/* Copies the input of a block; what lies outside the image is the byte that stands for 0. */
static void copy_block(const q8_run *run, const q8_block *b, uint8_t *buffer)
{
    const conv_plan *p = &run->plan.c;
    int64_t cols = (b->x1 - b->x0 - 1) * p->step + p->right - p->left + 1, x = b->x0 * p->step + p->left;
    int64_t before = sn_min64(sn_max64(-x, 0), cols), end = sn_max64(sn_min64(p->in_w - x, cols), before);
    int64_t first = b->y0 * p->step + p->top, last = (b->y1 - 1) * p->step + p->bottom;
    for (int64_t n = b->n0; n < b->n1; n++)
        for (int64_t row = first; row <= last; row++) {
            uint8_t *to = buffer + (n - b->n0) * p->image_floats + (row - first) * p->row_floats;
            if (row < 0 || row >= p->in_h) {
                if (run->plan.all_rows) memset(to, run->zero, (size_t)(cols * p->in_c));
                continue;
            }
            const uint8_t *from = run->in + ((n * p->in_h + row) * p->in_w + x + before) * p->in_c;
            memset(to, run->zero, (size_t)(before * p->in_c));
            memcpy(to + before * p->in_c, from, (size_t)((end - before) * p->in_c));
            memset(to + end * p->in_c, run->zero, (size_t)((cols - end) * p->in_c));
        }
}

/* One panel of a block. */
typedef struct q8_target {
    const q8_run *run;
    const q8_block *block;
    q8_panel panel;
    q8_tile tile;      /* all but the places */
    ptrdiff_t origin;  /* of what tile.x points to, in the input */
    const int8_t *ahead; /* weights to fetch in ahead_parts parts */
    int64_t ahead_parts, ahead_bytes, tiles_done;
    bool ahead_pixels; /* then the pixels of the next tile: the first panel reads them from memory */
} q8_target;

/* Panels whose last vector is not full: the tile works on a copy of its outputs. */
static void compute_partial_tile(const q8_target *target, const q8_tile *tile, int64_t pixels)
{
    enum { MOST = MOST_TILE_ROWS * PANEL };
    float y[MOST], residual[MOST];
    const q8_run *run = target->run;
    int64_t channels = target->panel.channels, width = target->panel.width;
    size_t bytes = (size_t)channels * run->out_bytes;
    q8_tile copy = *tile;
    copy.y = y;
    copy.y_pixel = width;
    if (tile->residual) {
        memset(residual, 0, sizeof residual);
        for (int64_t i = 0; i < pixels; i++)
            memcpy((char *)residual + (size_t)(i * width) * run->residual_bytes,
                   (const char *)tile->residual + (size_t)(i * tile->y_pixel) * run->residual_bytes,
                   (size_t)channels * run->residual_bytes);
        copy.residual = residual;
    }
    q8_tiles[width / VF - 1][pixels - 1](&copy);
    for (int64_t i = 0; i < pixels; i++)
        memcpy((char *)tile->y + (size_t)(i * tile->y_pixel) * run->out_bytes, (char *)y + (size_t)(i * width) * run->out_bytes, bytes);
}

/* `pixels` pixels that lie side by side from (n, row, col) on. */
static void compute_tile(q8_target *target, int64_t n, int64_t row, int64_t col, int64_t pixels)
{
    const q8_run *run = target->run;
    const conv_plan *p = &run->plan.c;
    q8_tile *tile = &target->tile;
    size_t y = (size_t)(((n * p->out_h + row) * p->out_w + col) * p->out_c + target->panel.out);
    tile->at = n * p->image_floats + row * p->step * p->row_floats + col * p->step * p->in_c - target->origin + target->panel.in;
    tile->y = (char *)run->out + y * run->out_bytes;
    tile->residual = run->residual ? (const char *)run->residual + y * run->residual_bytes : NULL;
    tile->squeeze = squeeze_row(&run->squeeze, n, target->block->index);
    if (tile->squeeze) tile->squeeze += target->panel.out;
    tile->ahead = tile->w; /* nothing new */
    if (target->tiles_done < target->ahead_parts)
        tile->ahead = target->ahead + target->tiles_done * target->ahead_bytes;
    else if (target->ahead_pixels)
        tile->ahead = (const int8_t *)tile->x + (tile->at + pixels * tile->x_pixel);
    target->tiles_done++;
    if (target->panel.channels == target->panel.width)
        q8_tiles[target->panel.width / VF - 1][pixels - 1](tile);
    else
        compute_partial_tile(target, tile, pixels);
}

/* A row of the block, in tiles of nearly equal size; segments outside the image are left out where they add nothing. */
static void compute_row(q8_target *target, int64_t n, int64_t row, const q8_tile *whole)
{
    const q8_plan *plan = &target->run->plan;
    const conv_plan *p = &plan->c;
    int64_t first = 0, last = whole->segments, in_row = row * p->step;
    while (!plan->all_rows && first < last && in_row + p->segment_row[first] < 0) first++;
    while (!plan->all_rows && first < last && in_row + p->segment_row[last - 1] >= p->in_h) last--;
    target->tile.segments = last - first;
    target->tile.x_offset = whole->x_offset + first;
    target->tile.w = whole->w + first * plan->words * WORD * target->panel.width;
    int64_t x0 = target->block->x0, x1 = target->block->x1;
    int64_t most = tile_rows[target->panel.width / VF - 1];
    int64_t tiles = sn_ceil_div(x1 - x0, most), size = (x1 - x0) / tiles, larger = (x1 - x0) % tiles;
    for (int64_t i = 0, col = x0; i < tiles; i++) {
        int64_t pixels = size + (i < larger);
        compute_tile(target, n, row, col, pixels);
        col += pixels;
    }
}

static void compute_panel(q8_target *target, int64_t index, bool first, bool last)
{
    const q8_run *run = target->run;
    const q8_plan *plan = &run->plan;
    q8_panel panel = panel_at(plan, index);
    q8_ends ends = ends_of(plan, &panel, run->packed);
    target->panel = panel;
    target->tiles_done = 0;
    target->ahead_pixels = first && !plan->c.copied && plan->c.step == 1 && plan->segments == 1;
    target->ahead_parts = 0;
    if (!last) {
        q8_panel next = panel_at(plan, index + 1);
        target->ahead = (const int8_t *)run->packed + next.packed;
        target->ahead_bytes = plan->segments * plan->words * 64;
        target->ahead_parts = sn_ceil_div(next.width * WORD, 64);
    }
    q8_tile *tile = &target->tile;
    tile->x_offset = plan->c.segment_offset;
    tile->segments = plan->segments;
    tile->words = plan->words;
    tile->w = (const int8_t *)run->packed + panel.packed;
    tile->start = ends.start;
    tile->scale = ends.scale;
    tile->shift = ends.shift;
    tile->end = &run->end;
    tile->residual_type = run->residual_type;
    tile->residual_scale = run->residual_scale;
    tile->y_bytes = (int)run->out_bytes;
    tile->residual_bytes = (int)run->residual_bytes;
    q8_tile whole = *tile;
    for (int64_t n = target->block->n0; n < target->block->n1; n++) {
        float *sums = squeeze_row(&run->squeeze, n, target->block->index);
        if (sums) memset(sums + panel.out, 0, (size_t)panel.width * sizeof(float));
        for (int64_t row = target->block->y0; row < target->block->y1; row++) compute_row(target, n, row, &whole);
    }
}

static void compute_task(void *context, int64_t index, int worker)
{
    const q8_run *run = context;
    const conv_plan *p = &run->plan.c;
    int64_t split = index % p->panel_splits;
    index /= p->panel_splits;
    q8_block b = {.x0 = index % p->blocks_x * p->block_cols, .y0 = index / p->blocks_x % p->blocks_y * p->block_rows,
                  .n0 = index / p->blocks_x / p->blocks_y * p->block_images};
    b.index = index % (p->blocks_x * p->blocks_y);
    b.x1 = sn_min64(b.x0 + p->block_cols, p->out_w);
    b.y1 = sn_min64(b.y0 + p->block_rows, p->out_h);
    b.n1 = sn_min64(b.n0 + p->block_images, p->images);
    q8_target target = {.run = run, .block = &b, .tile = {.x = run->in, .x_pixel = p->step * p->in_c, .y_pixel = p->out_c}};
    if (p->copied) {
        uint8_t *buffer = (uint8_t *)run->copies + (size_t)worker * copy_bytes(&run->plan);
        copy_block(run, &b, buffer);
        target.tile.x = buffer;
        target.origin = b.n0 * p->image_floats + b.y0 * p->step * p->row_floats + b.x0 * p->step * p->in_c;
    }
    int64_t first = split * p->panels_each, last = sn_min64(p->panels, first + p->panels_each);
    for (int64_t panel = first; panel < last; panel++) compute_panel(&target, panel, panel == first, panel == last - 1);
}

static void run(const sn_kernel_call *call)
{
    const sn_node *y = call->node, *residual = y->inputs_count > 3 ? call->input_nodes[3] : NULL;
    q8_run run = {.plan = plan_of(call), .in = call->inputs[0], .packed = (char *)(uintptr_t)call->packed, .out = call->output,
                  .copies = call->scratch, .out_bytes = sn_dtype_bytes(y->dtype, SN_FLOAT), .zero = call->input_nodes[0]->quant.zero};
    run.end = map_end_of(y, y->attrs.u.conv.activation);
    if (residual) {
        run.residual = call->inputs[3];
        run.residual_bytes = sn_dtype_bytes(residual->dtype, SN_FLOAT);
        run.residual_type = residual->dtype;
        run.residual_scale = q8_residual_scale(residual, run.end.step);
    }
    const conv_plan *p = &run.plan.c;
    run.squeeze = squeeze_begin(call, (float *)(run.copies + copy_bytes(&run.plan) * (size_t)call->threads), p->blocks_y * p->blocks_x);
    int64_t macs = p->images * p->out_h * p->out_w * p->out_c * run.plan.segments * run.plan.words;
    int threads = macs < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, p->blocks_n * p->blocks_y * p->blocks_x * p->panel_splits, compute_task, &run);
    q8_finish_squeeze(&run.squeeze, run.end.step);
}

/* The same kernel under the names by which profiles tell 1x1 convolutions apart. */
#define DENSE_KERNEL(base, refusal)                                                                                  \
    const sn_kernel SN_KERNEL_SYMBOL(base) = {.name = SN_KERNEL_NAME(base),                                          \
                                              .op = SN_OP_conv2d,                                                    \
                                              .storage = SN_Q8,                                                      \
                                              .refuse = refusal,                                                     \
                                              .scratch_bytes = scratch_bytes,                                        \
                                              .packed_bytes = packed_bytes,                                          \
                                              .pack = pack,                                                          \
                                              .run = run,                                                            \
                                              .squeezes = squeezes}

DENSE_KERNEL(conv2d_pointwise, refuse_pointwise);
DENSE_KERNEL(conv2d_direct, refuse);
