/* test_schedule.c - the learning rate at the steps where it matters. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "train/config.h"
#include "train/schedule.h"

enum { EPOCH = 391 }; /* steps: 50,000 pictures in batches of 128 */

static sn_train_config with(sn_schedule schedule)
{
    sn_train_config config;
    sn_train_defaults(&config);
    config.schedule = schedule;
    config.epochs = 200;
    return config;
}

static sn_plateau fresh(void)
{
    sn_plateau plateau;
    sn_plateau_reset(&plateau);
    return plateau;
}

static double lr_at(const sn_train_config *config, int64_t step)
{
    sn_plateau plateau = fresh();
    return sn_schedule_lr(config, &plateau, step, EPOCH);
}

/* Products like 0.1 * 0.2 * 0.2 carry a rounding or two. */
static void assert_near(double a, double b) { assert_true(fabs(a - b) <= 1e-15 + 1e-12 * fabs(b)); }

static void a_constant_rate_is_constant(void **state)
{
    (void)state;
    sn_train_config config = with(SN_SCHEDULE_CONSTANT);
    assert_true(lr_at(&config, 0) == 0.1 && lr_at(&config, 1000000) == 0.1);
}

static void the_rate_drops_with_the_first_step_after_a_milestone(void **state)
{
    (void)state;
    sn_train_config config = with(SN_SCHEDULE_STEP);
    config.milestones_count = 3;
    config.milestones[0] = 60, config.milestones[1] = 120, config.milestones[2] = 160;
    config.gamma = 0.2;
    assert_near(lr_at(&config, 60 * EPOCH - 1), 0.1);
    assert_near(lr_at(&config, 60 * EPOCH), 0.02);
    assert_near(lr_at(&config, 120 * EPOCH), 0.004);
    assert_near(lr_at(&config, 160 * EPOCH - 1), 0.004);
    assert_near(lr_at(&config, 200 * EPOCH), 0.0008);
    config.milestones[0] = 1.0 / 3; /* inside an epoch: 130.33 steps */
    assert_near(lr_at(&config, 130), 0.1);
    assert_near(lr_at(&config, 131), 0.02);
}

static void the_rate_drops_every_few_epochs(void **state)
{
    (void)state;
    sn_train_config config = with(SN_SCHEDULE_STEP);
    config.lr = 0.6; /* the paper's: divided by 10 every 30 epochs */
    config.step_every = 30;
    assert_near(lr_at(&config, 30 * EPOCH - 1), 0.6);
    assert_near(lr_at(&config, 30 * EPOCH), 0.06);
    assert_near(lr_at(&config, 95 * EPOCH), 0.0006);
}

/* lr / 2 (1 + cos(pi t / T)), t from 1 */
static void the_cosine_counts_from_one_and_ends_at_zero(void **state)
{
    (void)state;
    sn_train_config config = with(SN_SCHEDULE_COSINE);
    config.lr = 0.2;
    const int64_t steps = 200 * EPOCH;
    assert_near(lr_at(&config, 0), 0.1 * (1 + cos(3.14159265358979323846 / (double)steps)));
    assert_near(lr_at(&config, steps / 2 - 1), 0.1);
    assert_near(lr_at(&config, steps - 1), 0);
}

static void warm_up_rises_linearly_or_stays_low(void **state)
{
    (void)state;
    sn_train_config config = with(SN_SCHEDULE_CONSTANT);
    config.warmup_lr = 0.01;
    config.warmup_epochs = 2;
    assert_near(lr_at(&config, 0), 0.01);
    assert_near(lr_at(&config, EPOCH), 0.055);
    assert_near(lr_at(&config, 2 * EPOCH), 0.1);
    config.warmup_epochs = 0;
    config.warmup_steps = 400; /* the 110-layer networks */
    assert_near(lr_at(&config, 399), 0.01);
    assert_near(lr_at(&config, 400), 0.1);
}

static void a_plateau_lowers_the_rate_so_many_times(void **state)
{
    (void)state;
    sn_train_config config = with(SN_SCHEDULE_PLATEAU);
    config.patience = 3;
    config.reductions = 2;
    sn_plateau plateau = fresh();
    assert_false(sn_plateau_observe(&plateau, &config, 1.0));
    assert_false(sn_plateau_observe(&plateau, &config, 0.99995)); /* better by less than 1e-4 */
    assert_false(sn_plateau_observe(&plateau, &config, 2.0));
    assert_false(sn_plateau_observe(&plateau, &config, 0.9)); /* better: counting begins anew */
    assert_false(sn_plateau_observe(&plateau, &config, 0.9));
    assert_false(sn_plateau_observe(&plateau, &config, 0.9));
    assert_near(sn_schedule_lr(&config, &plateau, 0, EPOCH), 0.1);
    assert_true(sn_plateau_observe(&plateau, &config, 0.9));
    assert_near(sn_schedule_lr(&config, &plateau, 0, EPOCH), 0.01);
    for (int i = 0; i < 2; i++) assert_false(sn_plateau_observe(&plateau, &config, 0.9));
    assert_true(sn_plateau_observe(&plateau, &config, 0.9));
    for (int i = 0; i < 20; i++) assert_false(sn_plateau_observe(&plateau, &config, 0.9));
    assert_near(sn_schedule_lr(&config, &plateau, 0, EPOCH), 0.001);
}

static void another_number_of_epochs_stretches_the_schedule(void **state)
{
    (void)state;
    sn_train_config config = with(SN_SCHEDULE_STEP);
    sn_text said = {0};
    assert_int_equal(sn_recipe_apply("cifar-wrn", &config), SENET_OK);
    sn_schedule_stretch(&config, &said);
    assert_int_equal(said.length, 0); /* as the recipe has it */
    config.epochs = 30;
    sn_schedule_stretch(&config, &said);
    assert_near(config.milestones[0], 9);
    assert_near(config.milestones[1], 18);
    assert_near(config.milestones[2], 24);
    assert_non_null(strstr(sn_text_string(&said), "200 epochs is scaled to 30"));
    assert_non_null(strstr(sn_text_string(&said), "9, 18, 24"));
    sn_schedule_stretch(&config, &said); /* once is enough */
    assert_near(config.milestones[0], 9);
    sn_text_free(&said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_constant_rate_is_constant),
        cmocka_unit_test(the_rate_drops_with_the_first_step_after_a_milestone),
        cmocka_unit_test(the_rate_drops_every_few_epochs),
        cmocka_unit_test(the_cosine_counts_from_one_and_ends_at_zero),
        cmocka_unit_test(warm_up_rises_linearly_or_stays_low),
        cmocka_unit_test(a_plateau_lowers_the_rate_so_many_times),
        cmocka_unit_test(another_number_of_epochs_stretches_the_schedule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
