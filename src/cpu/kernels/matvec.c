/* matvec.c - a convolution whose kernel covers the whole map: y (N,1,1,C) = act(x (N, K) W (K, C) + bias), the two layers of an
 * excitation and the classifiers.
 *
 * With few images the weights are most of what is read, so they are streamed once, as they lie, row after row; nothing is
 * packed, but where the graph allows weights in bf16, which halves the bytes: then they are rounded once.  Input, sums and output
 * are float.  Rows go in blocks; a block's products are summed into a row of C partial sums that stays in the L1 cache, eight
 * rows of W a pass, so that a partial sum is loaded and stored once for eight products.  Blocks are the tasks: they are cut by
 * shape alone and their sums joined in order.  Where rows are few and long, as in the second layer of an excitation, partial sums would
 * be as many bytes as the weights: there a task takes some columns of all rows.  The images of a group share each load of the
 * weights; every image sums in the same order, so its bits do not depend on the batch.
 */
#include "cpu/kernels/activate.h"
#include "cpu/kernels/copy.h"

enum {
    PASS = 8,                      /* rows of W in a pass */
    GROUP = 8,                     /* images that share a pass */
    BLOCK_BYTES = 64 * 1024,       /* of weights, a task; more where that would make many blocks */
    MOST_BLOCKS = 32,
    FEW_ROWS = 512,                /* of one block, whose columns are cut instead */
    PART_COLUMNS = 128,            /* of such a task; no more vectors than add_narrow has sums */
    ONE_THREAD_BYTES = 192 * 1024, /* weights and products below which a second thread would not pay for its waking */
    AHEAD = 4096,                  /* bytes of weights that are fetched ahead */
    ROWS_AHEAD = 8                 /* the same in rows, of a part of the columns */
};

typedef struct matvec_plan {
    int64_t images, rows, columns; /* N, K, C */
    int64_t blocks, block_rows;
    int64_t parts, part_columns; /* parts > 1 only where there is one block */
    int64_t groups; /* of images */
    int64_t stride; /* floats of a row of partial sums */
} matvec_plan;

static matvec_plan plan_of(const sn_kernel_call *call)
{
    sn_shape x = call->input_nodes[0]->shape, y = call->node->shape;
    matvec_plan p = {.images = y.n, .rows = x.h * x.w * x.c, .columns = y.c, .stride = sn_ceil_div(y.c, 16) * 16};
    p.block_rows = sn_max64(BLOCK_BYTES / ((int64_t)sizeof(stored) * p.columns), sn_ceil_div(p.rows, MOST_BLOCKS));
    p.block_rows = sn_ceil_div(sn_max64(p.block_rows, 1), PASS) * PASS;
    if (p.rows <= FEW_ROWS && p.columns > PART_COLUMNS) p.block_rows = p.rows;
    p.blocks = sn_ceil_div(p.rows, p.block_rows);
    p.part_columns = p.blocks == 1 ? PART_COLUMNS : p.columns;
    p.parts = sn_ceil_div(p.columns, p.part_columns);
    p.groups = sn_ceil_div(p.images, GROUP);
    return p;
}

static bool x_or_y_is_narrow(const sn_kernel_call *call)
{
    return call->input_nodes[0]->dtype != SN_REAL || call->node->dtype != SN_REAL;
}

static const char *refuse(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape x = call->input_nodes[0]->shape, w = call->input_nodes[1]->shape;
    if (call->precision != SN_FLOAT) return "not single precision";
    if (x_or_y_is_narrow(call)) return "input or output is stored otherwise";
    if (w.n != x.h || w.h != x.w || a->pad_top || a->pad_left || a->pad_bottom || a->pad_right)
        return "the kernel does not cover the map";
    if (a->groups != 1) return "grouped";
    if (call->input_nodes[3]) return "a residual";
    return NULL;
}

static size_t scratch_bytes(const sn_kernel_call *call)
{
    matvec_plan p = plan_of(call);
    return (size_t)(p.images * p.blocks * p.stride) * sizeof(float);
}

typedef struct matvec_run {
    matvec_plan plan;
    const float *x, *bias;
    const stored *w;
    float *partial; /* [image][block][stride] */
    float *y;
    sn_activation activation;
} matvec_run;

/* Adds `rows` rows of W, times their values of x, to the partial sums of `images` images. */
SN_INLINE void add_rows(const float *x, int64_t x_image, const stored *w, int64_t w_row, float *sums, int64_t sums_image,
                        int64_t columns, int images, int rows)
{
    vf first[PASS];
    if (images == 1) SN_UNROLL for (int r = 0; r < rows; r++) first[r] = vf_all(x[r]);
    for (int64_t c = 0; c < columns; c += VF) {
        int64_t lanes = columns - c;
        vf weight[PASS];
        SN_UNROLL for (int r = 0; r < rows; r++) {
            const stored *at = w + r * w_row + c;
            __builtin_prefetch((const void *)((uintptr_t)at + AHEAD));
            weight[r] = vs_load_n(at, lanes);
        }
        SN_UNROLL for (int i = 0; i < images; i++) {
            float *to = sums + i * sums_image + c; /* rows of sums end in padding */
            vf sum = vf_load(to);
            SN_UNROLL for (int r = 0; r < rows; r++)
                sum += (images == 1 ? first[r] : vf_all(x[i * x_image + r])) * weight[r];
            vf_store(to, sum);
        }
    }
}

/* The same for one image whose sums all fit into registers: W is read strictly in order.  Sums have the bits of add_rows. */
#define DEFINE_NARROW(VECTORS)                                                                                       \
    static SN_NOINLINE void add_narrow_##VECTORS(const float *x, const stored *w, int64_t w_row, float *sums, int64_t columns, int64_t rows) \
    {                                                                                                                \
        vf sum[VECTORS];                                                                                             \
        int64_t last = columns - (VECTORS - 1) * VF;                                                                 \
        SN_UNROLL for (int v = 0; v < VECTORS; v++) sum[v] = vf_load(sums + v * VF);                                 \
        ptrdiff_t ahead = w_row == columns ? AHEAD : (ptrdiff_t)(ROWS_AHEAD * w_row * (int64_t)sizeof *w);                       \
        for (int64_t row = 0; row < rows; row++, w += w_row) {                                                     \
            vf value = vf_all(x[row]);                                                                               \
            SN_UNROLL for (int v = 0; v < VECTORS; v++) {                                                            \
                const stored *at = w + v * VF;                                                                       \
                __builtin_prefetch((const void *)((uintptr_t)at + (uintptr_t)ahead));                                \
                sum[v] += value * (v < VECTORS - 1 || last == VF ? vs_load(at) : vs_load_first(at, last));           \
            }                                                                                                        \
        }                                                                                                            \
        SN_UNROLL for (int v = 0; v < VECTORS; v++) vf_store(sums + v * VF, sum[v]);                                 \
    }

DEFINE_NARROW(1)
DEFINE_NARROW(2)
DEFINE_NARROW(3)
DEFINE_NARROW(4)
DEFINE_NARROW(5)
DEFINE_NARROW(6)
DEFINE_NARROW(7)
DEFINE_NARROW(8)

enum { NARROW = 8 }; /* vectors of columns */

static void (*const add_narrow[NARROW])(const float *x, const stored *w, int64_t w_row, float *sums, int64_t columns, int64_t rows) = {
    add_narrow_1, add_narrow_2, add_narrow_3, add_narrow_4, add_narrow_5, add_narrow_6, add_narrow_7, add_narrow_8,
};

#define DEFINE_ADD(IMAGES)                                                                                           \
    static SN_NOINLINE void add_block_##IMAGES(const float *x, int64_t x_image, const stored *w, int64_t w_row,      \
                                               float *sums, int64_t sums_image, int64_t columns, int64_t rows)       \
    {                                                                                                                \
        int64_t row = 0;                                                                                             \
        for (; row + PASS <= rows; row += PASS)                                                                      \
            add_rows(x + row, x_image, w + row * w_row, w_row, sums, sums_image, columns, IMAGES, PASS);             \
        for (; row < rows; row++)                                                                                    \
            add_rows(x + row, x_image, w + row * w_row, w_row, sums, sums_image, columns, IMAGES, 1);                \
    }

DEFINE_ADD(1)
DEFINE_ADD(2)
DEFINE_ADD(3)
DEFINE_ADD(4)
DEFINE_ADD(5)
DEFINE_ADD(6)
DEFINE_ADD(7)
DEFINE_ADD(8)

static void (*const add_block[GROUP])(const float *x, int64_t x_image, const stored *w, int64_t w_row, float *sums,
                                      int64_t sums_image, int64_t columns, int64_t rows) = {
    add_block_1, add_block_2, add_block_3, add_block_4, add_block_5, add_block_6, add_block_7, add_block_8,
};

/* y = act(bias + the blocks' sums, in order), columns [begin, end) of an image */
static void finish_columns(const matvec_run *run, int64_t image, int64_t begin, int64_t end)
{
    const matvec_plan *p = &run->plan;
    for (int64_t c = begin; c < end; c += VF) {
        const float *partial = run->partial + image * p->blocks * p->stride + c;
        vf sum = run->bias ? vf_load_n(run->bias + c, end - c) : (vf){0};
        for (int64_t b = 0; b < p->blocks; b++) sum += vf_load(partial + b * p->stride);
        vf_store_n(run->y + image * p->columns + c, vf_activate(sum, run->activation), end - c);
    }
}

/* A block of rows, or a part of the columns, whose sums are then complete. */
static void block_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const matvec_run *run = context;
    const matvec_plan *p = &run->plan;
    int64_t block = index / p->groups / p->parts, image = index % p->groups * GROUP, images = sn_min64(GROUP, p->images - image);
    int64_t row = block * p->block_rows, rows = sn_min64(p->block_rows, p->rows - row);
    int64_t column = index / p->groups % p->parts * p->part_columns, columns = sn_min64(p->part_columns, p->columns - column);
    float *sums = run->partial + (image * p->blocks + block) * p->stride + column;
    int64_t sums_image = p->blocks * p->stride;
    for (int64_t i = 0; i < images; i++) clear_floats(sums + i * sums_image, sn_ceil_div(columns, VF) * VF);
    const float *x = run->x + image * p->rows + row;
    const stored *w = run->w + row * p->columns + column;
    if (images == 1 && columns <= NARROW * VF)
        add_narrow[sn_ceil_div(columns, VF) - 1](x, w, p->columns, sums, columns, rows);
    else
        add_block[images - 1](x, p->rows, w, p->columns, sums, sums_image, columns, rows);
    for (int64_t i = image; i < image + images && p->blocks == 1; i++) finish_columns(run, i, column, column + columns);
}

static void finish_task(void *context, int64_t group, int worker)
{
    (void)worker;
    const matvec_run *run = context;
    const matvec_plan *p = &run->plan;
    for (int64_t i = group * GROUP; i < sn_min64(p->images, (group + 1) * GROUP); i++) finish_columns(run, i, 0, p->columns);
}

static void run(const sn_kernel_call *call)
{
    matvec_run run = {.plan = plan_of(call), .x = call->inputs[0], .bias = call_input(call, 2),
                      .w = SN_STORED == SN_REAL ? call->inputs[1] : call->packed,
                      .partial = call->scratch, .y = call->output, .activation = call->node->attrs.u.conv.activation};
    const matvec_plan *p = &run.plan;
    bool small = p->rows * p->columns * (4 + p->images / 4) < ONE_THREAD_BYTES;
    sn_parallel_for(small ? 1 : call->threads, p->blocks * p->parts * p->groups, block_task, &run);
    if (p->blocks == 1) return;
    small = p->images * p->blocks * p->columns * 4 < ONE_THREAD_BYTES;
    sn_parallel_for(small ? 1 : call->threads, p->groups, finish_task, &run);
}

#if SN_STORED_BF16
static int64_t weight_values(const sn_kernel_call *call) { return sn_shape_elements(call->input_nodes[1]->shape); }
static size_t packed_bytes(const sn_kernel_call *call) { return (size_t)weight_values(call) * sizeof(stored); }
static void pack(const sn_kernel_call *call, void *packed) { narrow_values(packed, call->inputs[1], weight_values(call)); }
#endif

const sn_kernel SN_KERNEL_SYMBOL(conv2d_matvec) = {
    .name = SN_KERNEL_NAME(conv2d_matvec),
    .op = SN_OP_conv2d,
    .storage = SN_STORED,
    .refuse = refuse,
    .scratch_bytes = scratch_bytes,
#if SN_STORED_BF16
    .packed_bytes = packed_bytes,
    .pack = pack,
#endif
    .run = run,
};
