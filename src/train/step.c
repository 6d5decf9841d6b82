/* step.c - see step.h. */
#include "train/step.h"

#include "base/parallel.h"

enum { BLOCK_ELEMENTS = 16384 }; /* fixed: the bits depend on no number of threads */

int64_t sn_step_piece(const sn_train_config *config)
{
    return config->micro_batch > 0 && config->micro_batch < config->batch ? config->micro_batch : config->batch;
}

int64_t sn_steps_per_epoch(const sn_train_config *config, int64_t count)
{
    return count / config->batch + (!config->drop_last && count % config->batch != 0);
}

/* ---- arithmetic on whole parameter blocks ---- */

typedef struct blend {
    float *out;
    const float *in;
    float keep, take;
    size_t elements;
} blend;

static void blend_block(void *context, int64_t index, int worker)
{
    (void)worker;
    const blend *b = context;
    const size_t begin = (size_t)index * BLOCK_ELEMENTS, left = b->elements - begin;
    const size_t n = left < BLOCK_ELEMENTS ? left : BLOCK_ELEMENTS;
    float *restrict out = b->out + begin;
    const float *restrict in = b->in + begin;
    if (b->keep == 0)
        for (size_t i = 0; i < n; i++) out[i] = b->take * in[i];
    else
        for (size_t i = 0; i < n; i++) out[i] = b->keep * out[i] + b->take * in[i];
}

/* out = keep out + take in, element by element; with keep 0 whatever was in out. */
static void blend_floats(const sn_training *t, float *out, double keep, const float *in, double take, size_t elements)
{
    blend b = {.out = out, .in = in, .keep = (float)keep, .take = (float)take, .elements = elements};
    sn_parallel_for(t->config.threads, (int64_t)((elements + BLOCK_ELEMENTS - 1) / BLOCK_ELEMENTS), blend_block, &b);
}

static void blend_params(const sn_training *t, sn_params *out, double keep, const sn_params *in, double take)
{
    size_t total;
    float *block = sn_params_block(out, NULL, &total);
    blend_floats(t, block, keep, sn_params_block(in, NULL, NULL), take, total);
}

/* ---- a step ---- */

/* Of a picture that is mixed of two the label of the larger share counts. */
static int64_t count_errors(const sn_training *t, const sn_batch *batch, const float *logits)
{
    int64_t errors = 0;
    for (int64_t n = 0; n < batch->count; n++) {
        const int32_t label = batch->mix && batch->mix[n] < 0.5f ? batch->labels2[n] : batch->labels[n];
        errors += sn_logits_rank(logits + n * t->spec.classes, t->spec.classes, label) > 0;
    }
    return errors;
}

void sn_step_take_gradient(void *context, int index, const void *gradient)
{
    sn_training *t = context;
    if (t->gradient_sum) {
        const size_t elements = (size_t)sn_shape_elements(t->layout->params[index].shape);
        blend_floats(t, sn_params_data(t->gradient_sum, index), t->first_piece ? 0 : 1, gradient, t->share, elements);
    } else
        sn_sgd_step_param(&t->plan, &t->config, t->lr, t->config.threads, t->params, t->velocity, index, gradient);
}

senet_status sn_step_gradients(sn_training *t, double lr, sn_step *step)
{
    const int64_t left = sn_dataset_describe(t->train_set)->count - t->state.batch * t->config.batch;
    const int64_t images = left < t->config.batch ? left : t->config.batch;
    *step = (sn_step){0};
    t->lr = lr;
    while (step->images < images) {
        const sn_batch *piece;
        const float *logits;
        double loss;
        SN_RETURN_IF_FAILED(sn_loader_next(t->loader, &piece));
        if (!piece) return sn_fail(SENET_INTERNAL, "the loader ended epoch %lld early", (long long)t->state.epoch + 1);
        t->share = (double)piece->count / (double)images;
        t->first_piece = step->images == 0;
        SN_RETURN_IF_FAILED(sn_network_run(t->network, piece, &logits, &loss));
        if (t->gradient_sum && t->gradients) blend_params(t, t->gradient_sum, !t->first_piece, t->gradients, t->share);
        step->loss += t->share * loss;
        step->images += piece->count;
        step->errors += count_errors(t, piece, logits);
    }
    return SENET_OK;
}

/* As timm's ModelEmaV2: average = decay average + (1 - decay) value for every entry, running statistics included. */
static void move_average(sn_training *t, double decay)
{
    if (!t->ema) return;
    blend_params(t, t->ema, decay, t->params, 1 - decay);
    sn_params_changed(t->ema);
}

void sn_step_start_average(sn_training *t)
{
    move_average(t, 0);
}

void sn_step_update(sn_training *t)
{
    const sn_params *gradients = t->gradient_sum ? t->gradient_sum : t->gradients;
    if (gradients) sn_sgd_step(&t->plan, &t->config, t->lr, t->config.threads, t->params, t->velocity, gradients);
    move_average(t, t->config.ema);
}

senet_status sn_step_end_epoch(sn_training *t)
{
    const sn_batch *rest;
    do SN_RETURN_IF_FAILED(sn_loader_next(t->loader, &rest)); /* what a dropped last step would have had, then NULL */
    while (rest);
    return SENET_OK;
}
