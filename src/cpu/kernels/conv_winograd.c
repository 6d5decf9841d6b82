/* conv_winograd.c - 3x3 convolution with stride 1 by Winograd's F(4x4, 3x3), forward and backward-data: 36 products for 16
 * outputs instead of 144 (Lavin, Gray 2016, arXiv:1509.09308; interpolation points 0, 1, -1, 2, -2, infinity).
 *
 *     Y = A^T [ (G g G^T) * (B^T d B) ] A      d: a 6x6 patch of the input, Y: 4x4 outputs, * summed over input channels
 *
 * Rounding: with float data the error relative to the sum of |terms| stays below eight times that of direct summation
 * (tests/kernels/test_vector_conv.c holds it to that).  Batch statistics over few pixels amplify rounding, and one ReLU that
 * flips shows in every gradient before it: so training on small batches sums directly.
 *
 * Work goes in groups of ROWS tiles, so few that the transformed patches stay in the core's L1 or L2; nothing of them is shared
 * between cores.  V: [36][channel block][tile][VF], so that the product's broadcasts have constant strides; U, packed:
 * [panel of VF outputs][36][input channel][VF]; M of one panel: [36][tile][VF], consumed at once.
 * Memory: the input is read (6/4)^2 = 2.25 times, mostly from cache, the output is written once.
 * Backward-data is the same convolution of dy with the weights turned by 180 degrees and transposed, pads 2 - pad. */
#include "cpu/kernels/activate.h"

enum {
    TILE = 4,
    PATCH = 6,
    POINTS = PATCH * PATCH,
    ROWS = VF == 16 ? 16 : 8,   /* tiles of a group: the product's accumulators in registers */
    M_POINT = (ROWS + 1) * VF,  /* floats from a point of M to the next; the odd vector keeps them out of each other's cache sets */
    TASK_MACS = 500 * 1000,
    FEWEST_TILES = ROWS,        /* below, most rows of a product would be empty */
    FEWEST_TRAINING_IMAGES = 32
};

typedef struct winograd_plan {
    int64_t in_h, in_w, in_c, out_h, out_w, out_c;
    int64_t pad_top, pad_left;
    int64_t tiles_y, tiles_x, tiles; /* of an image; of the batch */
    int64_t groups, task_groups;     /* of ROWS tiles; how many a task takes */
    int64_t blocks, panels;          /* input and output channels in vectors */
} winograd_plan;

static winograd_plan plan_of(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape in = call->input_nodes[0]->shape, out = call->node->shape;
    bool forward = call->node->op == SN_OP_conv2d;
    winograd_plan p = {.in_h = in.h, .in_w = in.w, .in_c = in.c, .out_h = out.h, .out_w = out.w, .out_c = out.c,
                       .pad_top = forward ? a->pad_top : 2 - a->pad_top,
                       .pad_left = forward ? a->pad_left : 2 - a->pad_left,
                       .tiles_y = sn_ceil_div(out.h, TILE), .tiles_x = sn_ceil_div(out.w, TILE),
                       .blocks = in.c / VF, .panels = out.c / VF};
    p.tiles = out.n * p.tiles_y * p.tiles_x;
    p.groups = sn_ceil_div(p.tiles, ROWS);
    p.task_groups = sn_ceil_div(TASK_MACS, ROWS * POINTS * in.c * out.c);
    return p;
}

static const char *refuse(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape in = call->input_nodes[0]->shape, w = call->input_nodes[1]->shape, out = call->node->shape;
    if (call->precision != SN_FLOAT) return "not single precision";
    if (w.n != 3 || w.h != 3 || a->stride != 1 || a->groups != 1) return "not a dense 3x3 convolution with stride 1";
    if (a->pad_top > 2 || a->pad_left > 2) return "padding above 2";
    if (in.c % VF || out.c % VF) return "channels are not a multiple of the vector";
    if (out.h < TILE || out.w < TILE) return "maps smaller than a tile";
    if (call->training && out.n < FEWEST_TRAINING_IMAGES) return "a small training batch";
    if (out.n * sn_ceil_div(out.h, TILE) * sn_ceil_div(out.w, TILE) < FEWEST_TILES) return "too few tiles";
    return NULL;
}

/* Floats from a point of V to the next. */
static int64_t v_point(const winograd_plan *p) { return (p->blocks * ROWS + 1) * VF; }

static size_t worker_floats(const winograd_plan *p) { return (size_t)(POINTS * (v_point(p) + M_POINT)); }

static size_t scratch_bytes(const sn_kernel_call *call)
{
    winograd_plan p = plan_of(call);
    return worker_floats(&p) * (size_t)call->threads * sizeof(float);
}

static size_t packed_bytes(const sn_kernel_call *call)
{
    winograd_plan p = plan_of(call);
    return (size_t)(POINTS * p.in_c * p.out_c) * sizeof(float);
}

/* ---- weights: U = G g G^T ---- */

/* Three values to six: a column or row of G. */
SN_INLINE void expand(vf a, vf b, vf c, vf out[PATCH])
{
    vf even = (a + c) * (-1.0f / 6), odd = b * (1.0f / 6);
    vf wide_even = a * (1.0f / 24) + c * (1.0f / 6), wide_odd = b * (1.0f / 12);
    out[0] = a * 0.25f;
    out[1] = even - odd;
    out[2] = even + odd;
    out[3] = wide_even + wide_odd;
    out[4] = wide_even - wide_odd;
    out[5] = c;
}

/* g[ky][kx]: the nine weights of VF output channels; u: POINTS vectors `stride` floats apart. */
static void transform_weights(vf g[3][3], float *u, int64_t stride)
{
    vf columns[3][PATCH];
    for (int x = 0; x < 3; x++) expand(g[0][x], g[1][x], g[2][x], columns[x]);
    for (int y = 0; y < PATCH; y++) {
        vf row[PATCH];
        expand(columns[0][y], columns[1][y], columns[2][y], row);
        for (int x = 0; x < PATCH; x++) vf_store(u + (y * PATCH + x) * stride, row[x]);
    }
}

typedef struct pack_job {
    winograd_plan plan;
    const float *weight; /* HWIO of the convolution */
    float *packed;
    bool forward;
} pack_job;

static void pack_panel(void *context, int64_t panel, int worker)
{
    (void)worker;
    const pack_job *job = context;
    const winograd_plan *p = &job->plan;
    float *u = job->packed + panel * POINTS * p->in_c * VF;
    for (int64_t c = 0; c < p->in_c; c++, u += VF) {
        vf g[3][3];
        for (int tap = 0; tap < 9; tap++) {
            vf *to = &g[tap / 3][tap % 3];
            if (job->forward) {
                *to = vf_load(job->weight + (tap * p->in_c + c) * p->out_c + panel * VF);
            } else { /* turned by 180 degrees; rows are the outputs here */
                const float *from = job->weight + ((8 - tap) * p->out_c + panel * VF) * p->in_c + c;
                for (int v = 0; v < VF; v++) (*to)[v] = from[v * p->in_c];
            }
        }
        transform_weights(g, u, p->in_c * VF);
    }
}

static void pack(const sn_kernel_call *call, void *packed)
{
    pack_job job = {.plan = plan_of(call), .weight = call->inputs[1], .packed = packed,
                    .forward = call->node->op == SN_OP_conv2d};
    int threads = job.plan.in_c * job.plan.out_c * POINTS < SN_SMALL_BYTES ? 1 : call->threads;
    sn_parallel_for(threads, job.plan.panels, pack_panel, &job);
}

/* ---- input: V = B^T d B ---- */

SN_INLINE void transform_six(const vf d[PATCH], vf out[PATCH])
{
    vf a = d[4] - d[2] * 4.0f, b = d[3] - d[1] * 4.0f;
    vf e = d[4] - d[2], f = (d[3] - d[1]) * 2.0f;
    out[0] = d[0] * 4.0f - d[2] * 5.0f + d[4];
    out[1] = a + b;
    out[2] = a - b;
    out[3] = e + f;
    out[4] = e - f;
    out[5] = d[1] * 4.0f - d[3] * 5.0f + d[5];
}

/* The part of a patch that lies inside the image: rows [y0, y1), columns [x0, x1) of 6. */
typedef struct patch_window {
    const float *origin; /* where pixel (0, 0) of the patch is or would be; only pixels inside are read */
    int y0, y1, x0, x1;
} patch_window;

/* One channel block of one patch. v: POINTS vectors `stride` floats apart. */
static void transform_patch(const patch_window *window, int64_t row, int64_t pixel, float *v, int64_t stride)
{
    vf columns[PATCH][PATCH]; /* [y][x] after the first pass */
    for (int x = 0; x < PATCH; x++) {
        vf d[PATCH], t[PATCH];
        if (x < window->x0 || x >= window->x1) {
            for (int y = 0; y < PATCH; y++) columns[y][x] = (vf){0};
            continue;
        }
        for (int y = 0; y < PATCH; y++)
            d[y] = y >= window->y0 && y < window->y1 ? vf_load(window->origin + y * row + x * pixel) : (vf){0};
        transform_six(d, t);
        for (int y = 0; y < PATCH; y++) columns[y][x] = t[y];
    }
    for (int y = 0; y < PATCH; y++) {
        vf t[PATCH];
        transform_six(columns[y], t);
        for (int x = 0; x < PATCH; x++) vf_store(v + (y * PATCH + x) * stride, t[x]);
    }
}

/* ---- product: M = V U for ROWS tiles and one panel at one of the points ---- */

static SN_NOINLINE void multiply_rows(const float *v, int64_t blocks, const float *u, float *m)
{
    vf sum[ROWS];
    SN_UNROLL for (int i = 0; i < ROWS; i++) sum[i] = (vf){0};
    for (int64_t b = 0; b < blocks; b++, v += ROWS * VF)
        for (int c = 0; c < VF; c++, u += VF) {
            vf weight = vf_load(u);
            const float *x = v + c;
            SN_UNROLL for (int i = 0; i < ROWS; i++) sum[i] += x[i * VF] * weight;
        }
    SN_UNROLL for (int i = 0; i < ROWS; i++) vf_store(m + i * VF, sum[i]);
}

/* ---- output: Y = A^T M A ---- */

SN_INLINE void transform_back(const vf m[PATCH], vf out[TILE])
{
    vf sum = m[1] + m[2], difference = m[1] - m[2], wide_sum = m[3] + m[4], wide_difference = m[3] - m[4];
    out[0] = m[0] + sum + wide_sum;
    out[1] = difference + wide_difference * 2.0f;
    out[2] = sum + wide_sum * 4.0f;
    out[3] = difference + wide_difference * 8.0f + m[5];
}

typedef struct winograd_run {
    winograd_plan plan;
    const float *in, *packed, *bias, *residual;
    float *out, *scratch;
    sn_activation activation;
} winograd_run;

static vf finish(const winograd_run *run, vf y, int64_t at)
{
    if (run->residual) y += vf_load(run->residual + at);
    if (run->activation == SN_RELU) return vf_relu(y);
    if (run->activation != SN_IDENTITY) {
        float row[VF];
        vf_store(row, y);
        sn_activate_row(row, VF, run->activation);
        y = vf_load(row);
    }
    return y;
}

/* Tile's corner in the output and its image. */
typedef struct tile_place {
    int64_t image, y, x;
} tile_place;

static tile_place place_of(const winograd_plan *p, int64_t tile)
{
    return (tile_place){tile / (p->tiles_y * p->tiles_x), tile / p->tiles_x % p->tiles_y * TILE, tile % p->tiles_x * TILE};
}

/* m: POINTS vectors M_POINT floats apart; writes the part of the 4x4 outputs that lies in the map. */
static void write_tile(const winograd_run *run, tile_place at, int64_t channel, const float *m)
{
    const winograd_plan *p = &run->plan;
    vf half[TILE][PATCH], start = run->bias ? vf_load(run->bias + channel) : (vf){0};
    for (int x = 0; x < PATCH; x++) {
        vf column[PATCH], t[TILE];
        for (int y = 0; y < PATCH; y++) column[y] = vf_load(m + (y * PATCH + x) * M_POINT);
        transform_back(column, t);
        for (int y = 0; y < TILE; y++) half[y][x] = t[y];
    }
    int64_t rows = sn_min64(TILE, p->out_h - at.y), cols = sn_min64(TILE, p->out_w - at.x);
    for (int64_t y = 0; y < rows; y++) {
        vf row[TILE];
        transform_back(half[y], row);
        int64_t to = ((at.image * p->out_h + at.y + y) * p->out_w + at.x) * p->out_c + channel;
        for (int64_t x = 0; x < cols; x++, to += p->out_c) vf_store(run->out + to, finish(run, row[x] + start, to));
    }
}

/* ---- run ---- */

static void transform_tile(const winograd_run *run, tile_place at, float *v)
{
    const winograd_plan *p = &run->plan;
    int64_t y = at.y - p->pad_top, x = at.x - p->pad_left;
    patch_window window = {.y0 = (int)sn_max64(0, -y), .y1 = (int)sn_min64(PATCH, p->in_h - y),
                           .x0 = (int)sn_max64(0, -x), .x1 = (int)sn_min64(PATCH, p->in_w - x)};
    ptrdiff_t first = ((at.image * p->in_h + y) * p->in_w + x) * p->in_c;
    for (int64_t block = 0; block < p->blocks; block++) {
        window.origin = (const float *)((uintptr_t)run->in + (uintptr_t)((first + block * VF) * (ptrdiff_t)sizeof(float)));
        transform_patch(&window, p->in_w * p->in_c, p->in_c, v + block * ROWS * VF, v_point(p));
    }
}

static void run_group(const winograd_run *run, int64_t first, float *v)
{
    const winograd_plan *p = &run->plan;
    int64_t tiles = sn_min64(ROWS, p->tiles - first), point = v_point(p);
    float *m = v + POINTS * point;
    tile_place places[ROWS];
    for (int64_t t = 0; t < tiles; t++) {
        places[t] = place_of(p, first + t);
        transform_tile(run, places[t], v + t * VF);
    }
    for (int64_t t = tiles; t < ROWS; t++) /* rows of the last product that stand for no tile */
        for (int64_t k = 0; k < POINTS; k++)
            for (int64_t b = 0; b < p->blocks; b++) vf_store(v + k * point + (b * ROWS + t) * VF, (vf){0});
    for (int64_t panel = 0; panel < p->panels; panel++) {
        const float *u = run->packed + panel * POINTS * p->in_c * VF;
        for (int k = 0; k < POINTS; k++) multiply_rows(v + k * point, p->blocks, u + k * p->in_c * VF, m + k * M_POINT);
        for (int64_t t = 0; t < tiles; t++) write_tile(run, places[t], panel * VF, m + t * VF);
    }
}

static void run_task(void *context, int64_t index, int worker)
{
    const winograd_run *run = context;
    const winograd_plan *p = &run->plan;
    float *v = run->scratch + (size_t)worker * worker_floats(p);
    int64_t first = index * p->task_groups, last = sn_min64(p->groups, first + p->task_groups);
    for (int64_t group = first; group < last; group++) run_group(run, group * ROWS, v);
}

static void run(const sn_kernel_call *call)
{
    winograd_run run = {.plan = plan_of(call), .in = call->inputs[0], .packed = call->packed, .out = call->output,
                        .scratch = call->scratch};
    if (call->node->op == SN_OP_conv2d) {
        run.bias = call_input(call, 2);
        run.residual = call_input(call, 3);
        run.activation = call->node->attrs.u.conv.activation;
    }
    int64_t macs = run.plan.tiles * POINTS * run.plan.in_c * run.plan.out_c;
    sn_parallel_for(macs < SN_SMALL_MACS ? 1 : call->threads, sn_ceil_div(run.plan.groups, run.plan.task_groups), run_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_winograd) = {
    .name = SN_KERNEL_NAME(conv2d_winograd),
    .op = SN_OP_conv2d,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .run = run,
};

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grad_input_winograd) = {
    .name = SN_KERNEL_NAME(conv2d_grad_input_winograd),
    .op = SN_OP_conv2d_grad_input,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .run = run,
};
