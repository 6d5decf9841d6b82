/* compose_weight.c - for inference, two 1x1 convolutions in a row as one: the product of their weights, v (I,C) w (C,K) + bias.
 *
 * A task computes ROWS rows of v by all K columns, four vectors of columns at a time, so that w is read from the cache once for
 * ROWS rows.  Runs once, when parameters have changed; weights are float whatever activations are.
 */
#include "cpu/kernels/vector.h"

enum { ROWS = 6, COLUMN_VECTORS = 4 }; /* 24 sums, four weights and a value in registers of AVX-512 */

static const char *refuse(const sn_kernel_call *call)
{
    if (call->precision != SN_FLOAT) return "not single precision";
    for (int k = 0; k < call->node->inputs_count; k++)
        if (call->input_nodes[k] && call->input_nodes[k]->dtype != SN_REAL) return "weights are not stored as floats";
    return NULL;
}

typedef struct compose_run {
    const float *v, *w, *bias;
    float *out;
    int64_t rows, inner, columns;
} compose_run;

/* `rows` rows and the columns from `column` on; rows is a literal or few. */
SN_INLINE void compose_columns(const compose_run *run, int64_t row, int rows, int64_t column)
{
    vf sum[ROWS][COLUMN_VECTORS];
    int64_t lanes = run->columns - column;
    SN_UNROLL for (int j = 0; j < COLUMN_VECTORS; j++)
    {
        vf start = run->bias && lanes > j * VF ? vf_load_n(run->bias + column + j * VF, lanes - j * VF) : (vf){0};
        SN_UNROLL for (int i = 0; i < ROWS; i++) sum[i][j] = start;
    }
    const float *v = run->v + row * run->inner;
    for (int64_t c = 0; c < run->inner; c++) {
        const float *w = run->w + c * run->columns + column;
        vf weight[COLUMN_VECTORS];
        SN_UNROLL for (int j = 0; j < COLUMN_VECTORS; j++) weight[j] = lanes > j * VF ? vf_load_n(w + j * VF, lanes - j * VF) : (vf){0};
        SN_UNROLL for (int i = 0; i < rows; i++) {
            vf value = vf_all(v[i * run->inner + c]);
            SN_UNROLL for (int j = 0; j < COLUMN_VECTORS; j++) sum[i][j] += value * weight[j];
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < COLUMN_VECTORS && lanes > j * VF; j++)
            vf_store_n(run->out + (row + i) * run->columns + column + j * VF, sum[i][j], lanes - j * VF);
}

static void compose_task(void *context, int64_t index, int worker)
{
    (void)worker;
    const compose_run *run = context;
    int64_t row = index * ROWS, rows = sn_min64(ROWS, run->rows - row);
    for (int64_t column = 0; column < run->columns; column += COLUMN_VECTORS * VF)
        if (rows == ROWS)
            compose_columns(run, row, ROWS, column);
        else
            for (int64_t i = 0; i < rows; i++) compose_columns(run, row + i, 1, column);
}

static void run(const sn_kernel_call *call)
{
    compose_run run = {.v = call->inputs[0], .w = call->inputs[1], .bias = call_input(call, 2), .out = call->output,
                       .rows = call->node->shape.w, .inner = call->input_nodes[1]->shape.w, .columns = call->node->shape.c};
    int threads = run.rows * run.inner * run.columns < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, sn_ceil_div(run.rows, ROWS), compose_task, &run);
}

const sn_kernel SN_KERNEL_SYMBOL(compose_weight) = {.name = SN_KERNEL_NAME(compose_weight), .op = SN_OP_compose_weight,
                                                    .refuse = refuse, .run = run};
