/* test_train_statistics.c - batch norm's statistics averaged anew after the last step. */
#define _GNU_SOURCE
#include "test_training.h"

/* Nothing moves but the statistics; every picture as it is. */
static sn_train_config still(const char *run)
{
    sn_train_config config = tiny(run);
    config.lr = 0;
    config.epochs = 1;
    config.augment = (sn_augment){0};
    return config;
}

static float value(const char *run, const char *file, const char *name, size_t index)
{
    sn_tensors *tensors;
    if (sn_tensors_open(in(run, file), &tensors) != SENET_OK) fail_msg("%s", senet_last_error());
    const float found = ((const float *)sn_tensors_find(tensors, name)->data)[index];
    sn_tensors_close(tensors);
    return found;
}

/* Over all 72 images the mean of nine batches' means is the mean of the one batch: a moving average is something else.  Of
 * the first batch norm only: the next one's input is normalised by other statistics.  1e-5: sums of 18,432 floats. */
static void the_mean_is_that_of_all_images(void **state)
{
    (void)state;
    sn_train_config whole = still("whole"), pieces = still("pieces"), moving = still("moving");
    whole.batch = 72;
    pieces.batch = moving.batch = 8;
    whole.bn_recompute = pieces.bn_recompute = 72;
    run_ok(&whole, NULL);
    run_ok(&pieces, NULL);
    run_ok(&moving, NULL);
    double farthest = 0;
    for (size_t c = 0; c < 16; c++) {
        const double exact = value("whole", "last.safetensors", "bn1.running_mean", c);
        assert_true(fabs(value("pieces", "last.safetensors", "bn1.running_mean", c) - exact) < 1e-5);
        farthest = fmax(farthest, fabs(value("moving", "last.safetensors", "bn1.running_mean", c) - exact));
        /* unbiased, and within batches only: below that of all images, which is taken over one */
        assert_true(value("pieces", "last.safetensors", "bn1.running_var", c) <=
                    1.01f * value("whole", "last.safetensors", "bn1.running_var", c));
    }
    assert_true(farthest > 1e-3); /* 0.9^9 of it still is the initial 0 */
    assert_true(value("whole", "last.safetensors", "conv1.weight", 5) ==
                value("moving", "last.safetensors", "conv1.weight", 5));
}

static void the_moving_average_of_weights_gets_its_own(void **state)
{
    (void)state;
    sn_train_config config = still("both");
    config.ema = 0.5;
    config.bn_recompute = 32;
    run_ok(&config, NULL);
    for (size_t c = 0; c < 16; c++) /* the same weights: the same statistics */
        assert_true(value("both", "last.safetensors", "layer2.0.bn1.running_var", c) ==
                    value("both", "ema.safetensors", "layer2.0.bn1.running_var", c));
}

/* More images than there are; cut inside the last epoch and at the end of the first; other threads. */
static void resumed_it_is_the_same_run(void **state)
{
    (void)state;
    sn_train_config straight = tiny("straight");
    straight.bn_recompute = 100;
    straight.micro_batch = 8;
    run_ok(&straight, NULL);
    for (int cut = 5; cut <= 12; cut += 7) {
        const char *name = cut == 5 ? "early" : "late";
        sn_train_config first = tiny(name), rest = tiny(name);
        first.bn_recompute = rest.bn_recompute = 100;
        first.micro_batch = rest.micro_batch = 8;
        first.max_steps = cut;
        run_ok(&first, NULL);
        rest.resume = rest.output;
        rest.threads = rest.workers = 2;
        run_ok(&rest, NULL);
        assert_same_run("straight", name);
    }
}

static void it_does_not_go_with_frozen_statistics(void **state)
{
    (void)state;
    sn_train_config config = tiny("frozen");
    config.bn_recompute = 100;
    config.freeze_bn_epochs = 2;
    expect_failure(&config, SENET_USAGE, "frozen in the last 2 epochs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRAINING_TEST(the_mean_is_that_of_all_images),
        TRAINING_TEST(the_moving_average_of_weights_gets_its_own),
        TRAINING_TEST(resumed_it_is_the_same_run),
        TRAINING_TEST(it_does_not_go_with_frozen_statistics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
