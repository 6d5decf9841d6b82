/* trainer.c - the training loop: steps, epochs, evaluation, what is said and saved on the way.
 *
 * The state of a run changes only in take_step and finish_epoch, and each leaves it consistent: whenever the loop stops
 * between two of them, a checkpoint goes on with the same bits. */
#include <math.h>
#include <stdio.h>

#include "train/clock.h"
#include "train/evaluate.h"
#include "train/statistics.h"
#include "train/step.h"
#include "train/training_data.h"

/* What is measured, not computed: nothing here influences the run. */
typedef struct meter {
    double epoch_start, log_start, checkpoint_start; /* clock readings */
    int64_t log_images;       /* since the last line of the log */
    double seconds_per_step;  /* moving average; 0 before the first step */
    double evaluation_seconds; /* of the last evaluation */
    double busy_seconds;      /* in training steps, waiting for data included */
    int64_t busy_images;
    double wait_seconds, log_waited; /* of them, for data; since the last line of the log */
    double step_start;
    double lr, loss;          /* of the last step */
} meter;

typedef struct run {
    sn_training *t;
    meter meter;
    bool evaluating;
} run;

static double percent(int64_t part, int64_t whole) { return whole > 0 ? 100.0 * (double)part / (double)whole : NAN; }

static double data_wait_percent(const meter *m) { return m->busy_seconds > 0 ? 100 * m->wait_seconds / m->busy_seconds : 0; }

static bool stop_requested(const sn_training *t) { return t->hooks.stop && *t->hooks.stop; }

/* Steps of the whole run. */
static int64_t steps_planned(const sn_training *t)
{
    int64_t steps = t->config.epochs * t->steps_per_epoch;
    return t->config.max_steps > 0 && t->config.max_steps < steps ? t->config.max_steps : steps;
}

static bool max_steps_reached(const sn_training *t)
{
    return t->config.max_steps > 0 && t->state.step >= t->config.max_steps;
}

/* ---- telling ---- */

static void report(run *r, bool epoch_end)
{
    const sn_training *t = r->t;
    const sn_train_state *state = &t->state;
    const meter *m = &r->meter;
    if (!t->hooks.progress) return;
    int64_t steps = steps_planned(t);
    double epochs_left = (double)(steps - state->step) / (double)t->steps_per_epoch;
    sn_train_progress progress = {
        .step = state->step,
        .steps = steps,
        .epoch = epoch_end ? state->epoch : state->epoch + 1,
        .epochs = t->config.epochs,
        .images = state->images,
        .lr = m->lr,
        .loss = state->images > 0 ? state->loss_sum / (double)state->images : m->loss,
        .top1_error = percent(state->errors, state->images),
        .images_per_second = m->busy_seconds > 0 ? (double)m->busy_images / m->busy_seconds : 0,
        .data_wait_percent = data_wait_percent(m),
        .seconds_left = m->seconds_per_step * (double)(steps - state->step) + m->evaluation_seconds * epochs_left,
        .epoch_end = epoch_end,
        .evaluating = r->evaluating,
        .val = state->val,
        .ema = state->ema,
    };
    t->hooks.progress(t->hooks.context, &progress);
}

static void report_evaluation(void *context, int64_t done, int64_t total)
{
    (void)done;
    (void)total;
    report(context, false);
}

static senet_status log_step(run *r)
{
    const sn_training *t = r->t;
    meter *m = &r->meter;
    if (t->state.step % t->config.log_every != 0) return SENET_OK;
    double now = sn_seconds_now(), seconds = now - m->log_start;
    sn_step_record record = {.step = t->state.step,
                             .epoch = t->state.epoch + 1,
                             .lr = m->lr,
                             .loss = m->loss,
                             .images_per_second = seconds > 0 ? (double)m->log_images / seconds : 0,
                             .data_wait_percent = seconds > 0 ? 100 * m->log_waited / seconds : 0};
    m->log_start = now;
    m->log_images = 0;
    m->log_waited = 0;
    return sn_log_step(t->log, &record);
}

/* ---- a step ---- */

static senet_status diverged(const run *r, const char *what, double value)
{
    const sn_training *t = r->t;
    return sn_fail(SENET_BAD_DATA,
                   "%s is %g at step %lld (epoch %lld, learning rate %g): the training has diverged; %s holds step %lld", what,
                   value, (long long)t->state.step + 1, (long long)t->state.epoch + 1, r->meter.lr, t->folder.checkpoint,
                   (long long)t->saved_step);
}

static void measure_step(meter *m, int64_t images, double waited)
{
    double now = sn_seconds_now(), seconds = now - m->step_start;
    m->seconds_per_step = m->seconds_per_step > 0 ? 0.95 * m->seconds_per_step + 0.05 * seconds : seconds;
    m->busy_seconds += seconds;
    m->busy_images += images;
    m->wait_seconds += waited;
    m->log_waited += waited;
    m->log_images += images;
}

static senet_status take_step(run *r)
{
    sn_training *t = r->t;
    meter *m = &r->meter;
    sn_step step;
    m->step_start = sn_seconds_now();
    const double waited = sn_loader_waited(t->loader);
    m->lr = sn_schedule_lr(&t->config, &t->state.plateau, t->state.step, t->steps_per_epoch);
    SN_RETURN_IF_FAILED(sn_step_gradients(t, m->lr, &step));
    m->loss = step.loss;
    if (!isfinite(m->loss)) return diverged(r, "the loss", m->loss);
    sn_step_update(t);
    t->state.errors += step.errors;
    t->state.loss_sum += step.loss * (double)step.images;
    t->state.images += step.images;
    t->state.batch++;
    t->state.step++;
    measure_step(m, step.images, sn_loader_waited(t->loader) - waited);
    return SENET_OK;
}

/* ---- the end of an epoch ---- */

static senet_status evaluate(run *r, sn_network *network, sn_validation *validation)
{
    sn_training *t = r->t;
    const bool photographs = sn_dataset_describe(t->val_set)->photographs;
    sn_eval_options options = {.batch = t->eval_batch,
                               .workers = t->config.workers,
                               .prepare = photographs ? &t->preprocess : NULL,
                               .view = photographs ? &t->view : NULL,
                               .exif = !t->config.no_exif,
                               .on_bad = t->config.on_bad == SN_ON_BAD_FAIL ? SN_BAD_PICTURE_FAIL : SN_BAD_PICTURE_SKIP,
                               .report_bad = sn_training_report_bad,
                               .bad_context = t,
                               .progress = report_evaluation,
                               .context = r};
    sn_eval_result result;
    r->evaluating = true;
    senet_status status = sn_evaluate_network(network, &t->spec, t->val_set, &options, t->hooks.stop, &result);
    r->evaluating = false;
    r->meter.evaluation_seconds += result.seconds;
    if (status == SENET_OK && !isfinite(result.loss)) return diverged(r, "the validation loss", result.loss);
    validation->loss = result.loss;
    validation->top1_error = percent(result.top1_errors, result.images);
    validation->top5_error = percent(result.top5_errors, result.images);
    return status;
}

/* The weights, and their moving average: both into the state, or neither. */
static senet_status validate(run *r)
{
    sn_training *t = r->t;
    sn_validation val, ema = t->state.ema;
    r->meter.evaluation_seconds = 0;
    SN_RETURN_IF_FAILED(evaluate(r, t->eval_network, &val));
    if (t->ema_network) SN_RETURN_IF_FAILED(evaluate(r, t->ema_network, &ema));
    t->state.val = val;
    t->state.ema = ema;
    return SENET_OK;
}

/* Evaluates, and remembers what follows from it. */
static senet_status judge_epoch(run *r, bool *best)
{
    sn_training *t = r->t;
    sn_train_state *state = &t->state;
    *best = false;
    if (!t->eval_network) return SENET_OK;
    SN_RETURN_IF_FAILED(validate(r));
    *best = isnan(state->best_top1_error) || state->val.top1_error < state->best_top1_error;
    if (*best) {
        state->best_top1_error = state->val.top1_error;
        state->best_epoch = state->epoch + 1;
    }
    if (t->config.schedule == SN_SCHEDULE_PLATEAU && sn_plateau_observe(&state->plateau, &t->config, state->val.loss))
        sn_training_say(t, "the validation loss has not fallen for %d epochs: the learning rate goes down", t->config.patience);
    return SENET_OK;
}

static senet_status finish_epoch(run *r)
{
    sn_training *t = r->t;
    sn_train_state *state = &t->state;
    bool best;
    if (t->config.bn_recompute > 0 && state->epoch + 1 == t->config.epochs)
        SN_RETURN_IF_FAILED(sn_training_recompute_statistics(t));
    SN_RETURN_IF_FAILED(judge_epoch(r, &best));
    SN_RETURN_IF_FAILED(sn_step_end_epoch(t));
    sn_epoch_record record = {
        .epoch = state->epoch + 1,
        .step = state->step,
        .lr = r->meter.lr,
        .train_loss = state->loss_sum / (double)state->images,
        .train_top1_error = percent(state->errors, state->images),
        .val = state->val,
        .ema = state->ema,
        .seconds = sn_seconds_now() - r->meter.epoch_start,
    };
    state->epoch++;
    report(r, true);
    state->batch = 0;
    state->loss_sum = 0;
    state->images = state->errors = 0;
    SN_RETURN_IF_FAILED(sn_log_epoch(t->log, &record));
    if (best) SN_RETURN_IF_FAILED(sn_training_save_weights(t, t->folder.best));
    SN_RETURN_IF_FAILED(sn_training_save_weights(t, t->folder.last));
    SN_RETURN_IF_FAILED(sn_training_save_ema(t));
    SN_RETURN_IF_FAILED(sn_training_save_checkpoint(t));
    r->meter.checkpoint_start = r->meter.epoch_start = r->meter.log_start = sn_seconds_now();
    r->meter.log_images = 0;
    r->meter.log_waited = 0;
    return SENET_OK;
}

/* ---- the run ---- */

static senet_status save_in_time(run *r)
{
    double now = sn_seconds_now();
    double every = 60 * r->t->config.checkpoint_minutes;
    if (every <= 0 || now - r->meter.checkpoint_start < every) return SENET_OK;
    r->meter.checkpoint_start = now;
    return sn_training_save_checkpoint(r->t);
}

static senet_status train(run *r)
{
    sn_training *t = r->t;
    meter *m = &r->meter;
    m->lr = sn_schedule_lr(&t->config, &t->state.plateau, t->state.step - (t->state.step > 0), t->steps_per_epoch);
    m->epoch_start = m->log_start = m->checkpoint_start = sn_seconds_now();
    while (t->state.epoch < t->config.epochs) {
        SN_RETURN_IF_FAILED(sn_training_prepare_epoch(t));
        while (t->state.batch < t->steps_per_epoch) {
            if (stop_requested(t)) return sn_fail(SENET_STOPPED, "stopped on request");
            if (max_steps_reached(t)) return SENET_OK;
            SN_RETURN_IF_FAILED(take_step(r));
            SN_RETURN_IF_FAILED(log_step(r));
            report(r, false);
            SN_RETURN_IF_FAILED(save_in_time(r));
        }
        SN_RETURN_IF_FAILED(finish_epoch(r));
    }
    return SENET_OK;
}

/* What the run came to.  One that max_steps ends inside an epoch is evaluated for this: its checkpoint is on the disk
 * already, so that a resumed run knows nothing of it. */
static senet_status judge_end(run *r)
{
    sn_training *t = r->t;
    if (!t->eval_network || t->state.batch == 0) return SENET_OK;
    SN_RETURN_IF_FAILED(validate(r));
    if (!isnan(t->state.best_top1_error)) return SENET_OK;
    t->state.best_top1_error = t->state.val.top1_error;
    t->state.best_epoch = t->state.epoch + 1;
    return sn_training_save_weights(t, t->folder.best);
}

static void fill_result(const run *r, sn_train_result *result)
{
    const sn_training *t = r->t;
    result->epochs = t->state.epoch;
    result->steps = t->state.step;
    result->loss = t->state.val.loss;
    result->top1_error = t->state.val.top1_error;
    result->top5_error = t->state.val.top5_error;
    result->ema = t->state.ema;
    result->best_top1_error = t->state.best_top1_error;
    result->best_epoch = t->state.best_epoch;
    result->images_per_second = r->meter.busy_seconds > 0 ? (double)r->meter.busy_images / r->meter.busy_seconds : 0;
    result->data_wait_percent = data_wait_percent(&r->meter);
    if (t->state.best_epoch > 0) snprintf(result->best, sizeof result->best, "%s", t->folder.best);
}

/* Saves what a run that was stopped, or came to its end, leaves behind. */
static senet_status save_end(run *r)
{
    sn_training *t = r->t;
    SN_RETURN_IF_FAILED(sn_training_save_weights(t, t->folder.last));
    SN_RETURN_IF_FAILED(sn_training_save_ema(t));
    return t->saved_step == t->state.step ? SENET_OK : sn_training_save_checkpoint(t);
}

senet_status sn_train(const sn_train_config *config, const sn_train_hooks *hooks, sn_train_result *result)
{
    run r = {0};
    *result = (sn_train_result){
        .loss = NAN, .top1_error = NAN, .top5_error = NAN, .best_top1_error = NAN, .ema = {NAN, NAN, NAN}};
    SN_RETURN_IF_FAILED(sn_training_create(config, hooks, &r.t));
    senet_status status = train(&r);
    if (status == SENET_OK || status == SENET_STOPPED) {
        senet_status saved = save_end(&r);
        if (saved != SENET_OK) status = saved;
    }
    if (status == SENET_OK) status = judge_end(&r);
    fill_result(&r, result);
    if (status == SENET_STOPPED)
        sn_fail(status, "stopped after step %lld; the state is in %s", (long long)r.t->state.step, r.t->folder.checkpoint);
    sn_training_destroy(r.t);
    return status;
}
