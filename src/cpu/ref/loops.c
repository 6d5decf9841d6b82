/* loops.c - see loops.h. */
#include "cpu/ref/loops.h"

#include <string.h>

#include "base/parallel.h"

enum { ELEMENTS_PER_TASK = 16384, ITEMS_PER_BLOCK = 512, COLUMNS_PER_TASK = 64 };

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- independent items ---- */

typedef struct each {
    const sn_kernel_call *call;
    sn_ref_range range;
    int64_t items, items_per_task;
} each;

static void each_task(void *context, int64_t index, int worker)
{
    const each *e = context;
    (void)worker;
    int64_t begin = index * e->items_per_task;
    e->range(e->call, begin, min64(begin + e->items_per_task, e->items));
}

void sn_ref_for(const sn_kernel_call *call, int64_t items, int64_t elements_per_item, sn_ref_range range)
{
    int64_t per_task = elements_per_item >= ELEMENTS_PER_TASK ? 1 : ELEMENTS_PER_TASK / (elements_per_item + 1) + 1;
    each e = {call, range, items, per_task};
    sn_parallel_for(call->threads, (items + per_task - 1) / per_task, each_task, &e);
}

/* ---- sums ---- */

typedef struct sum {
    const sn_kernel_call *call;
    sn_ref_add add;
    const double *given;
    int64_t items, columns, blocks;
    double *partial; /* (blocks, columns) */
    double *totals;
} sum;

static int64_t blocks_of(int64_t items)
{
    return (items + ITEMS_PER_BLOCK - 1) / ITEMS_PER_BLOCK;
}

size_t sn_ref_sum_bytes(int64_t items, int64_t columns)
{
    return (size_t)blocks_of(items) * (size_t)columns * sizeof(double);
}

static void block_task(void *context, int64_t index, int worker)
{
    const sum *s = context;
    (void)worker;
    double *sums = s->partial + index * s->columns;
    memset(sums, 0, (size_t)s->columns * sizeof *sums);
    int64_t begin = index * ITEMS_PER_BLOCK;
    s->add(s->call, s->given, begin, min64(begin + ITEMS_PER_BLOCK, s->items), sums);
}

static void columns_task(void *context, int64_t index, int worker)
{
    const sum *s = context;
    (void)worker;
    int64_t begin = index * COLUMNS_PER_TASK, end = min64(begin + COLUMNS_PER_TASK, s->columns);
    for (int64_t c = begin; c < end; c++) s->totals[c] = 0;
    for (int64_t b = 0; b < s->blocks; b++)
        for (int64_t c = begin; c < end; c++) s->totals[c] += s->partial[b * s->columns + c];
}

void sn_ref_sum(const sn_kernel_call *call, int64_t items, int64_t columns, sn_ref_add add, const double *given,
                double *scratch, double *totals)
{
    sum s = {call, add, given, items, columns, blocks_of(items), scratch, totals};
    sn_parallel_for(call->threads, s.blocks, block_task, &s);
    sn_parallel_for(call->threads, (columns + COLUMNS_PER_TASK - 1) / COLUMNS_PER_TASK, columns_task, &s);
}
