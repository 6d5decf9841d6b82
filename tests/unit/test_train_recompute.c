/* test_train_recompute.c - whole trainings with recomputation: the same weights, also in pieces, with a moving average,
 * and where a run goes on with another setting. */
#define _GNU_SOURCE
#include "test_training.h"

/* Weights and errors; checkpoints differ in the setting itself. */
static void assert_same_results(const char *a, const char *b)
{
    assert_same_file(in(a, "last.safetensors"), in(b, "last.safetensors"));
    assert_same_file(in(a, "best.safetensors"), in(b, "best.safetensors"));
    char *a_log = log_without_times(in(a, "log.jsonl")), *b_log = log_without_times(in(b, "log.jsonl"));
    assert_string_equal(a_log, b_log);
    free(a_log);
    free(b_log);
}

/* An odd last step, pictures mixed in pairs, smoothed labels, an evaluation batch larger than a step's. */
static sn_train_config varied(const char *run, sn_recompute recompute)
{
    sn_train_config config = tiny(run);
    config.recompute = recompute;
    config.label_smoothing = 0.1;
    config.augment.mixup = 0.2;
    config.eval_batch = 24;
    return config;
}

static void a_run_ends_with_the_same_weights(void **state)
{
    (void)state;
    sn_train_config none = varied("none", SN_RECOMPUTE_NONE), cheap = varied("cheap", SN_RECOMPUTE_CHEAP),
                    full = varied("full", SN_RECOMPUTE_FULL);
    full.threads = 2;
    run_ok(&none, NULL);
    run_ok(&cheap, NULL);
    run_ok(&full, NULL);
    assert_same_results("none", "cheap");
    assert_same_results("none", "full");
}

static void so_does_one_in_pieces_with_every_extra(void **state)
{
    (void)state;
    sn_train_config none = varied("none", SN_RECOMPUTE_NONE), full = varied("full", SN_RECOMPUTE_FULL);
    none.micro_batch = full.micro_batch = 4;
    none.ema = full.ema = 0.9;
    none.freeze_bn_epochs = full.freeze_bn_epochs = 1;
    none.optimizer = full.optimizer = SN_NESTEROV;
    run_ok(&none, NULL);
    run_ok(&full, NULL);
    assert_same_results("none", "full");
    assert_same_file(in("none", "ema.safetensors"), in("full", "ema.safetensors"));
}

static void so_does_one_that_averages_its_statistics(void **state)
{
    (void)state;
    sn_train_config none = varied("none", SN_RECOMPUTE_NONE), full = varied("full", SN_RECOMPUTE_FULL);
    none.bn_recompute = full.bn_recompute = 48;
    none.precision = full.precision = SENET_BF16;
    run_ok(&none, NULL);
    run_ok(&full, NULL);
    assert_same_results("none", "full");
}

/* The setting is stored, and a run may go on with another. */
static void a_run_goes_on_with_or_without(void **state)
{
    (void)state;
    sn_train_config straight = varied("straight", SN_RECOMPUTE_NONE);
    run_ok(&straight, NULL);
    static const sn_recompute first[] = {SN_RECOMPUTE_NONE, SN_RECOMPUTE_FULL, SN_RECOMPUTE_FULL},
                              then[] = {SN_RECOMPUTE_FULL, SN_RECOMPUTE_NONE, SN_RECOMPUTE_CHEAP};
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "cut%d", i);
        sn_train_config config = varied(name, first[i]), stored;
        config.max_steps = 7;
        run_ok(&config, NULL);
        sn_arena strings = {0};
        assert_int_equal(sn_train_resume_config(config.output, &strings, &stored), SENET_OK);
        assert_int_equal(stored.recompute, first[i]);
        sn_arena_free(&strings);
        config.max_steps = 0;
        config.resume = config.output;
        config.recompute = then[i];
        run_ok(&config, NULL);
        assert_same_file(in("straight", "last.safetensors"), in(name, "last.safetensors"));
    }
}

/* The weights have moved by the time the loss is known to be none; what is on the disk has not. */
static void a_diverged_run_keeps_its_checkpoint(void **state)
{
    (void)state;
    sn_train_config config = varied("diverged", SN_RECOMPUTE_FULL);
    config.lr = 1e30;
    config.momentum = 0;
    expect_failure(&config, SENET_BAD_DATA, "the training has diverged");
    config.resume = config.output;
    config.lr = 0.1;
    run_ok(&config, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRAINING_TEST(a_run_ends_with_the_same_weights),         TRAINING_TEST(so_does_one_in_pieces_with_every_extra),
        TRAINING_TEST(so_does_one_that_averages_its_statistics), TRAINING_TEST(a_run_goes_on_with_or_without),
        TRAINING_TEST(a_diverged_run_keeps_its_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
