/* test_train_micro_batch.c - steps whose batch is computed in pieces: the gradient of the whole, resumed at any step. */
#define _GNU_SOURCE
#include "test_training.h"

/* The largest difference of two runs' last weights, and the largest weight. */
static double weights_apart(const char *a, const char *b, double *largest)
{
    sn_tensors *files[2];
    double apart = 0;
    *largest = 0;
    assert_int_equal(sn_tensors_open(in(a, "last.safetensors"), &files[0]), SENET_OK);
    assert_int_equal(sn_tensors_open(in(b, "last.safetensors"), &files[1]), SENET_OK);
    for (size_t i = 0; i < sn_tensors_count(files[0]); i++) {
        const sn_tensor *x = sn_tensors_at(files[0], i), *y = sn_tensors_find(files[1], x->name);
        for (size_t k = 0; k < x->bytes / sizeof(float); k++) {
            const double u = ((const float *)x->data)[k], v = ((const float *)y->data)[k];
            apart = fmax(apart, fabs(u - v));
            *largest = fmax(*largest, fabs(u));
        }
    }
    sn_tensors_close(files[0]);
    sn_tensors_close(files[1]);
    return apart;
}

/* With batch norm frozen an image's gradient does not depend on the others of its piece, so the pieces' sum is the batch's
 * gradient but for the order of the additions: 8 steps of float rounding stay below 1e-5 of the largest weight. */
static void pieces_sum_to_the_gradient_of_the_batch(void **state)
{
    (void)state;
    const int64_t pieces[] = {0, 16, 8, 4};
    const char *const names[] = {"whole", "one", "halves", "quarters"};
    for (int i = 0; i < 4; i++) {
        sn_train_config config = tiny(names[i]);
        config.micro_batch = pieces[i];
        config.epochs = config.freeze_bn_epochs = 2; /* steps of 16, 16, 16, 16 and 8 images */
        config.lr = 0.02;
        sn_train_result result = run_ok(&config, NULL);
        assert_int_equal(result.steps, 10);
    }
    double largest;
    assert_true(weights_apart("whole", "one", &largest) == 0);
    assert_true(weights_apart("whole", "halves", &largest) < 1e-5 * largest);
    assert_true(weights_apart("whole", "quarters", &largest) < 1e-5 * largest);
}

/* Batch norm sees a piece at a time: other statistics, another network. */
static void batch_norm_sees_the_piece(void **state)
{
    (void)state;
    sn_train_config whole = tiny("together"), parts = tiny("apart");
    whole.epochs = parts.epochs = 1;
    parts.micro_batch = 4;
    run_ok(&whole, NULL);
    run_ok(&parts, NULL);
    double largest;
    assert_true(weights_apart("together", "apart", &largest) > 1e-3);
}

/* Cut inside an epoch, at its end, and before the small step of 8 images. */
static void resumed_at_any_step_with_any_threads_it_is_the_same_run(void **state)
{
    (void)state;
    sn_train_config config = tiny("straight");
    config.micro_batch = 4;
    run_ok(&config, NULL);
    const int64_t cuts[] = {2, 5, 9};
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "micro%d", (int)cuts[i]);
        sn_train_config first = tiny(name);
        first.micro_batch = 4;
        first.max_steps = cuts[i];
        run_ok(&first, NULL);
        sn_train_config rest = tiny(name);
        rest.micro_batch = 4;
        rest.resume = rest.output;
        rest.threads = 2;
        rest.workers = 2;
        run_ok(&rest, NULL);
        assert_same_run("straight", name);
    }
    config.resume = config.output;
    config.micro_batch = 8;
    expect_failure(&config, SENET_USAGE, "micro_batch '4', it cannot go on with '8'");
}

/* 72 images: four steps of 16, and the 8 left over (two pieces) belong to none. */
static void a_dropped_last_step_takes_none_of_its_pieces(void **state)
{
    (void)state;
    watch w = {0};
    sn_train_hooks hooks = hooks_of(&w);
    sn_train_config config = tiny("dropped");
    config.micro_batch = 4;
    config.drop_last = true;
    assert_int_equal(run_ok(&config, &hooks).steps, 12);
    sn_train_config cut = tiny("dropped-cut");
    cut.micro_batch = 4;
    cut.drop_last = true;
    cut.max_steps = 4;
    run_ok(&cut, NULL);
    cut.max_steps = 0;
    cut.resume = cut.output;
    run_ok(&cut, NULL);
    assert_same_run("dropped", "dropped-cut");
}

static void what_cannot_be_is_named(void **state)
{
    (void)state;
    sn_train_config config = tiny("odd");
    config.micro_batch = 6;
    expect_failure(&config, SENET_USAGE, "micro-batch 6 does not divide batch size 16");
    config = tiny("odd");
    config.batch = 128;
    config.micro_batch = 8;
    config.drop_last = true;
    expect_failure(&config, SENET_USAGE, "a batch of 128 is larger than the 72 pictures");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRAINING_TEST(pieces_sum_to_the_gradient_of_the_batch),
        TRAINING_TEST(batch_norm_sees_the_piece),
        TRAINING_TEST(resumed_at_any_step_with_any_threads_it_is_the_same_run),
        TRAINING_TEST(a_dropped_last_step_takes_none_of_its_pieces),
        TRAINING_TEST(what_cannot_be_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
