/* optimizer.c - SGD with momentum, one pass over the flat arrays of weights, velocities and gradients.
 *
 * With g' = g + decay w, the forms (they differ as soon as the learning rate changes) are
 *   Torch     v = m v + g',       w -= lr v
 *   Caffe     v = m v + lr g',    w -= v         (the paper's ImageNet models)
 *   Nesterov  v = m v + g',       w -= lr (g' + m v)
 * The array is cut into blocks of a fixed size, so the result cannot depend on the number of threads. */
#include "train/optimizer.h"

#include <stdlib.h>

#include "base/parallel.h"

enum { BLOCK_ELEMENTS = 16384 };

static double decay_of(sn_param_kind kind, const sn_train_config *config)
{
    bool weight = kind == SN_PARAM_CONV_WEIGHT || kind == SN_PARAM_LINEAR_WEIGHT;
    bool gamma = kind == SN_PARAM_BN_WEIGHT;
    return config->decay_all || weight || (gamma && config->decay_gamma) ? config->weight_decay : 0;
}

static int by_begin(const void *a, const void *b)
{
    size_t x = ((const sn_decay_span *)a)->begin, y = ((const sn_decay_span *)b)->begin;
    return (x > y) - (x < y);
}

senet_status sn_update_plan_create(const sn_graph *graph, const sn_params *params, const sn_train_config *config,
                                   sn_update_plan *plan)
{
    *plan = (sn_update_plan){0};
    plan->spans = calloc(graph->params_count ? graph->params_count : 1, sizeof *plan->spans);
    if (!plan->spans) return sn_fail_memory(graph->params_count * sizeof *plan->spans, "the optimiser");
    size_t learnable, total, real = sn_real_bytes(sn_params_precision(params));
    const char *block = sn_params_block(params, &learnable, &total);
    for (size_t i = 0; i < graph->params_count; i++) {
        const sn_param *param = &graph->params[i];
        if (!param->learnable || param->gradient == SN_NONE) continue;
        size_t begin = (size_t)((const char *)sn_params_data(params, (int)i) - block) / real;
        plan->spans[plan->count++] = (sn_decay_span){.begin = begin,
                                                     .end = begin + (size_t)sn_shape_elements(param->shape),
                                                     .decay = decay_of(param->kind, config)};
    }
    qsort(plan->spans, plan->count, sizeof *plan->spans, by_begin);
    return SENET_OK;
}

void sn_update_plan_free(sn_update_plan *plan)
{
    free(plan->spans);
    *plan = (sn_update_plan){0};
}

typedef struct update {
    const sn_update_plan *plan;
    sn_optimizer form;
    double lr, momentum;
    void *w, *v;       /* whole blocks */
    const void *g;     /* from element `origin` of a block on */
    size_t origin;
    size_t begin, end; /* what is moved */
} update;

/* The three forms over n elements of a type. The cast of the constants keeps float arithmetic in float. */
#define DEFINE_UPDATE(name, real)                                                                        \
    static void name(const update *u, double decay, size_t begin, size_t n)                              \
    {                                                                                                    \
        real *restrict w = (real *)u->w + begin, *restrict v = (real *)u->v + begin;                     \
        const real *restrict g = (const real *)u->g + (begin - u->origin);                               \
        const real lr = (real)u->lr, momentum = (real)u->momentum, wd = (real)decay;                     \
        switch (u->form) {                                                                               \
        case SN_SGD_TORCH:                                                                               \
            for (size_t i = 0; i < n; i++) {                                                             \
                v[i] = momentum * v[i] + (g[i] + wd * w[i]);                                             \
                w[i] -= lr * v[i];                                                                       \
            }                                                                                            \
            break;                                                                                       \
        case SN_SGD_CAFFE:                                                                               \
            for (size_t i = 0; i < n; i++) {                                                             \
                v[i] = momentum * v[i] + lr * (g[i] + wd * w[i]);                                        \
                w[i] -= v[i];                                                                            \
            }                                                                                            \
            break;                                                                                       \
        case SN_NESTEROV:                                                                                \
            for (size_t i = 0; i < n; i++) {                                                             \
                real decayed = g[i] + wd * w[i];                                                         \
                v[i] = momentum * v[i] + decayed;                                                        \
                w[i] -= lr * (decayed + momentum * v[i]);                                                \
            }                                                                                            \
            break;                                                                                       \
        }                                                                                                \
    }
DEFINE_UPDATE(update_float, float)
DEFINE_UPDATE(update_double, double)

typedef struct update_job {
    update update;
    sn_precision precision;
} update_job;

/* The first span that ends after `element`. */
static size_t first_span_after(const sn_update_plan *plan, size_t element)
{
    size_t low = 0, high = plan->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (plan->spans[middle].end <= element) low = middle + 1;
        else high = middle;
    }
    return low;
}

static void update_block(void *context, int64_t index, int worker)
{
    (void)worker;
    const update_job *job = context;
    const sn_update_plan *plan = job->update.plan;
    size_t begin = job->update.begin + (size_t)index * BLOCK_ELEMENTS, end = begin + BLOCK_ELEMENTS;
    if (end > job->update.end) end = job->update.end;
    for (size_t s = first_span_after(plan, begin); s < plan->count && plan->spans[s].begin < end; s++) {
        sn_decay_span span = plan->spans[s];
        size_t from = span.begin > begin ? span.begin : begin, to = span.end < end ? span.end : end;
        if (job->precision == SN_DOUBLE) update_double(&job->update, span.decay, from, to - from);
        else update_float(&job->update, span.decay, from, to - from);
    }
}

static void move(const sn_update_plan *plan, const sn_train_config *config, double lr, int threads, sn_params *params,
                 sn_params *velocity, update u)
{
    update_job job = {.update = u, .precision = sn_params_precision(params)};
    job.update.plan = plan;
    job.update.form = config->optimizer;
    job.update.lr = lr;
    job.update.momentum = config->momentum;
    job.update.w = sn_params_block(params, NULL, NULL);
    job.update.v = sn_params_block(velocity, NULL, NULL);
    sn_parallel_for(threads, (int64_t)((u.end - u.begin + BLOCK_ELEMENTS - 1) / BLOCK_ELEMENTS), update_block, &job);
    sn_params_changed(params);
}

void sn_sgd_step(const sn_update_plan *plan, const sn_train_config *config, double lr, int threads, sn_params *params,
                 sn_params *velocity, const sn_params *gradients)
{
    update u = {0};
    u.g = sn_params_block(gradients, &u.end, NULL);
    move(plan, config, lr, threads, params, velocity, u);
}

void sn_sgd_step_param(const sn_update_plan *plan, const sn_train_config *config, double lr, int threads, sn_params *params,
                       sn_params *velocity, int index, const void *gradient)
{
    const char *block = sn_params_block(params, NULL, NULL), *data = sn_params_data(params, index);
    size_t begin = (size_t)(data - block) / sn_real_bytes(sn_params_precision(params));
    size_t span = first_span_after(plan, begin);
    if (span == plan->count || plan->spans[span].begin != begin) return; /* has no gradient in the plan's graph */
    update u = {.g = gradient, .origin = begin, .begin = begin, .end = plan->spans[span].end};
    move(plan, config, lr, threads, params, velocity, u);
}
