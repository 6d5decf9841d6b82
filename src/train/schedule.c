/* schedule.c - learning rate schedules: constant, steps at milestones or every few epochs, on a plateau of the validation
 * loss (the paper's ablations), and the cosine of Shake-Shake; each after an optional warm-up. */
#include "train/schedule.h"

#include <math.h>

static const double improvement = 1e-4; /* relative; less than this is a plateau */

void sn_plateau_reset(sn_plateau *plateau) { *plateau = (sn_plateau){.best = INFINITY}; }

bool sn_plateau_observe(sn_plateau *plateau, const sn_train_config *config, double validation_loss)
{
    if (validation_loss < plateau->best * (1 - improvement)) {
        plateau->best = validation_loss;
        plateau->waited = 0;
        return false;
    }
    if (++plateau->waited < config->patience || plateau->reduced >= config->reductions) return false;
    plateau->reduced++;
    plateau->waited = 0;
    return true;
}

/* First step of an epoch that may be fractional; the small term forgives the rounding of 1/3-like milestones. */
static int64_t first_step(double epoch, int64_t steps_per_epoch)
{
    return (int64_t)ceil(epoch * (double)steps_per_epoch - 1e-6);
}

static int drops_before(const sn_train_config *config, int64_t step, int64_t steps_per_epoch)
{
    int drops = 0;
    if (config->milestones_count > 0) {
        while (drops < config->milestones_count && step >= first_step(config->milestones[drops], steps_per_epoch)) drops++;
    } else if (config->step_every > 0) {
        while (step >= first_step(config->step_every * (drops + 1), steps_per_epoch)) drops++;
    }
    return drops;
}

/* lr * gamma^drops by repeated multiplication: the same bits wherever it is computed. */
static double lowered(double lr, double gamma, int64_t drops)
{
    for (int64_t i = 0; i < drops; i++) lr *= gamma;
    return lr;
}

static double scheduled(const sn_train_config *config, const sn_plateau *plateau, int64_t step, int64_t steps_per_epoch)
{
    switch (config->schedule) {
    case SN_SCHEDULE_STEP:
        return lowered(config->lr, config->gamma, drops_before(config, step, steps_per_epoch));
    case SN_SCHEDULE_PLATEAU:
        return lowered(config->lr, config->gamma, plateau->reduced);
    case SN_SCHEDULE_COSINE: {
        /* Shake-Shake counts from 1, so its last step has rate 0. */
        const double pi = 3.14159265358979323846;
        double t = (double)(step + 1) / ((double)config->epochs * (double)steps_per_epoch);
        return config->lr / 2 * (1 + cos(pi * (t < 1 ? t : 1)));
    }
    case SN_SCHEDULE_CONSTANT:
        break;
    }
    return config->lr;
}

double sn_schedule_lr(const sn_train_config *config, const sn_plateau *plateau, int64_t step, int64_t steps_per_epoch)
{
    if (step < config->warmup_steps) return config->warmup_lr;
    double lr = scheduled(config, plateau, step, steps_per_epoch);
    double rising = config->warmup_epochs * (double)steps_per_epoch;
    if ((double)step < rising) lr = config->warmup_lr + (lr - config->warmup_lr) * ((double)step / rising);
    return lr;
}

void sn_schedule_stretch(sn_train_config *config, sn_text *said)
{
    int64_t written_for = config->schedule_epochs;
    config->schedule_epochs = config->epochs;
    if (written_for <= 0 || written_for == config->epochs) return;
    double factor = (double)config->epochs / (double)written_for;
    config->warmup_epochs *= factor;
    config->step_every *= factor;
    for (int i = 0; i < config->milestones_count; i++) config->milestones[i] *= factor;
    if (config->schedule != SN_SCHEDULE_STEP) return;

    sn_text_printf(said, "the schedule of %lld epochs is scaled to %lld: the learning rate drops ", (long long)written_for,
                   (long long)config->epochs);
    if (config->milestones_count == 0) sn_text_printf(said, "every %.4g epochs", config->step_every);
    for (int i = 0; i < config->milestones_count; i++)
        sn_text_printf(said, "%s%.4g", i ? ", " : "after epoch ", config->milestones[i]);
}
