/* params.c - the flat block of parameters: learnable tensors first, then running statistics; each starts at a cache line. */
#define _GNU_SOURCE /* madvise */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exec/exec.h"

struct sn_params {
    sn_precision precision;
    size_t count, learnable, total; /* tensors; elements incl. padding */
    size_t *offsets;                /* in elements, by parameter index */
    void *block; /* pages of their own, which can be given back */
    atomic_uint_fast64_t version;
    sn_params_source source; /* NULL: values cannot be had again */
    void *source_context;
    size_t released; /* bytes given back */
};

senet_status sn_params_create(const sn_graph *graph, sn_precision precision, sn_params **params)
{
    *params = NULL;
    sn_params *created = calloc(1, sizeof *created);
    if (!created) return sn_fail_memory(sizeof *created, "parameters");
    created->precision = precision;
    created->count = graph->params_count;
    created->version = 1;
    created->offsets = malloc((created->count + 1) * sizeof *created->offsets);
    if (!created->offsets) {
        sn_params_destroy(created);
        return sn_fail_memory(graph->params_count * sizeof *created->offsets, "parameters");
    }
    size_t line = SN_ALIGNMENT / 4, at = 0;
    for (int statistics = 0; statistics < 2; statistics++) {
        for (size_t i = 0; i < graph->params_count; i++) {
            if (graph->params[i].learnable == (statistics == 1)) continue;
            created->offsets[i] = at;
            at += sn_align((size_t)sn_shape_elements(graph->params[i].shape), line);
        }
        if (!statistics) created->learnable = at;
    }
    created->total = at;
    created->block = sn_pages_map(at * sn_real_bytes(precision));
    if (!created->block) {
        sn_params_destroy(created);
        return sn_fail_memory(at * sn_real_bytes(precision), "parameters");
    }
    *params = created;
    return SENET_OK;
}

void sn_params_destroy(sn_params *params)
{
    if (!params) return;
    free(params->offsets);
    sn_pages_unmap(params->block, params->total * sn_real_bytes(params->precision));
    free(params);
}

void *sn_params_data(const sn_params *params, int index)
{
    return (char *)params->block + params->offsets[index] * sn_real_bytes(params->precision);
}

void *sn_params_block(const sn_params *params, size_t *learnable, size_t *total)
{
    if (learnable) *learnable = params->learnable;
    if (total) *total = params->total;
    return params->block;
}

size_t sn_params_held_bytes(const sn_params *params)
{
    size_t all = params->total * sn_real_bytes(params->precision);
    return all > params->released ? all - params->released : 0;
}

sn_precision sn_params_precision(const sn_params *params) { return params->precision; }
void sn_params_changed(sn_params *params) { params->version++; }
uint64_t sn_params_version(const sn_params *params) { return params->version; }

void sn_params_set_source(sn_params *params, sn_params_source read, void *context)
{
    params->source = read;
    params->source_context = context;
}

void sn_params_release(sn_params *params, int index)
{
    if (!params->source) return;
    size_t end = params->total;
    for (size_t i = 0; i < params->count; i++) /* the next tensor in the block */
        if (params->offsets[i] > params->offsets[index] && params->offsets[i] < end) end = params->offsets[i];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), real = sn_real_bytes(params->precision);
    size_t first = sn_align((size_t)(uintptr_t)params->block + params->offsets[index] * real, page);
    size_t last = ((size_t)(uintptr_t)params->block + end * real) / page * page; /* whole pages alone */
    if (first >= last) return;
    params->released += last - first;
    madvise((void *)(uintptr_t)first, last - first, MADV_DONTNEED); /* a wish */
}

senet_status sn_params_hold(sn_params *params)
{
    if (!params->released) return SENET_OK;
    uint64_t version = params->version; /* the values are those that programs have packed */
    senet_status status = params->source(params->source_context, params);
    params->version = version;
    if (status == SENET_OK) params->released = 0;
    return status;
}

/* Where element `i` of file order stands in memory: OIHW -> HWIO, [out, in] -> [in][out]; vectors stay. */
static size_t memory_index(const sn_param *param, int64_t i)
{
    if (param->rank < 2) return (size_t)i;
    sn_shape s = param->shape; /* kh, kw, in, out */
    int64_t kw = i % s.h, kh = i / s.h % s.n, in = i / (s.h * s.n) % s.w, out = i / (s.h * s.n * s.w);
    return (size_t)(((kh * s.h + kw) * s.w + in) * s.c + out);
}

void sn_params_set(sn_params *params, const sn_graph *graph, int index, const float *file_order)
{
    const sn_param *param = &graph->params[index];
    void *data = sn_params_data(params, index);
    bool vector = param->rank < 2;
    int64_t n = sn_shape_elements(param->shape), outputs = vector ? n : param->shape.c, each = n / outputs;
    /* A transposition, in blocks of cache lines: strides are often powers of two, where lines that wait for their other elements
     * push each other out of the cache. */
    enum { LINE = 16 };
    for (int64_t first = 0; first < each; first += LINE) {
        int64_t count = each - first < LINE ? each - first : LINE;
        size_t rows[LINE] = {0};
        for (int64_t i = 0; i < count; i++) rows[i] = memory_index(param, first + i);
        for (int64_t o = 0; o < outputs; o += LINE) {
            int64_t width = outputs - o < LINE ? outputs - o : LINE;
            float block[LINE][LINE];
            for (int64_t k = 0; k < width; k++)
                for (int64_t i = 0; i < count; i++) block[i][k] = file_order[(o + k) * each + first + i];
            for (int64_t i = 0; i < count; i++)
                for (int64_t k = 0; k < width; k++) {
                    if (params->precision == SN_DOUBLE)
                        ((double *)data)[rows[i] + (size_t)(o + k)] = (double)block[i][k];
                    else
                        ((float *)data)[rows[i] + (size_t)(o + k)] = block[i][k];
                }
        }
    }
    sn_params_changed(params);
}

double sn_params_read(const sn_params *params, const sn_graph *graph, int index, int64_t file_order_element)
{
    size_t at = memory_index(&graph->params[index], file_order_element);
    const void *data = sn_params_data(params, index);
    return params->precision == SN_DOUBLE ? ((const double *)data)[at] : (double)((const float *)data)[at];
}

void sn_params_get(const sn_params *params, const sn_graph *graph, int index, float *file_order)
{
    int64_t n = sn_shape_elements(graph->params[index].shape);
    for (int64_t i = 0; i < n; i++) file_order[i] = (float)sn_params_read(params, graph, index, i);
}
