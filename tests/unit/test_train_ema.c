/* test_train_ema.c - the moving average of the weights: its values, its errors in the logs, its file, its way through a
 * checkpoint. */
#define _GNU_SOURCE
#include "test_training.h"

static sn_tensors *open_file(const char *run, const char *file)
{
    sn_tensors *tensors;
    if (sn_tensors_open(in(run, file), &tensors) != SENET_OK) fail_msg("%s", senet_last_error());
    return tensors;
}

static sn_train_config averaged(const char *run)
{
    sn_train_config config = tiny(run);
    config.ema = 0.75;
    return config;
}

/* average = 0.75 average + 0.25 value, starting with the initial weights: timm's ModelEmaV2, every entry alike.  Float
 * arithmetic in the order of the definition: exact. */
static void the_average_is_timms(void **state)
{
    (void)state;
    sn_train_config config = averaged("ema"), start = averaged("start");
    char initial[256];
    snprintf(initial, sizeof initial, "%s", in("start", "last.safetensors"));
    config.max_steps = 3;
    config.init_weights = initial;
    start.max_steps = 1;
    start.lr = 0; /* the initial weights, but for batch norm's statistics */
    run_ok(&start, NULL);
    run_ok(&config, NULL);
    sn_tensors *before = open_file("start", "last.safetensors"), *after[3], *ema = open_file("ema", "ema.safetensors");
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "step%d", i + 1);
        sn_train_config plain = tiny(name);
        plain.init_weights = initial;
        plain.max_steps = i + 1;
        run_ok(&plain, NULL);
        after[i] = open_file(name, "last.safetensors");
    }
    assert_int_equal(sn_tensors_count(ema), sn_tensors_count(before));
    for (size_t t = 0; t < sn_tensors_count(ema); t++) {
        const sn_tensor *tensor = sn_tensors_at(ema, t);
        for (size_t k = 0; k < tensor->bytes / sizeof(float); k++) {
            float average = ((const float *)sn_tensors_find(before, tensor->name)->data)[k];
            for (int i = 0; i < 3; i++)
                average = 0.75f * average + 0.25f * ((const float *)sn_tensors_find(after[i], tensor->name)->data)[k];
            if (((const float *)tensor->data)[k] != average)
                fail_msg("%s[%zu] is %.9g, not %.9g", tensor->name, k, (double)((const float *)tensor->data)[k],
                         (double)average);
        }
    }
    sn_tensors_close(before);
    sn_tensors_close(ema);
    for (int i = 0; i < 3; i++) sn_tensors_close(after[i]);
}

/* The weights themselves, their errors and best.safetensors know nothing of the average. */
static void averaging_changes_nothing_else(void **state)
{
    (void)state;
    sn_train_config with = averaged("with"), without = tiny("without");
    sn_train_result a = run_ok(&with, NULL), b = run_ok(&without, NULL);
    assert_same_file(in("with", "last.safetensors"), in("without", "last.safetensors"));
    assert_same_file(in("with", "best.safetensors"), in("without", "best.safetensors"));
    assert_true(a.top1_error == b.top1_error && isnan(b.ema.loss));
    assert_false(sn_is_file(in("without", "ema.safetensors")));
}

static void its_errors_are_logged(void **state)
{
    (void)state;
    sn_train_config config = averaged("logged");
    sn_train_result result = run_ok(&config, NULL);
    size_t size;
    char *log = contents(in("logged", "log.jsonl"), &size), *end;
    const char *line = strstr(log, "{\"epoch\": 3, \"train.loss\": ");
    assert_non_null(line);
    const char *error = strstr(line, "\"val_ema.top1_error\": ");
    assert_non_null(error);
    assert_true(fabs(strtod(error + strlen("\"val_ema.top1_error\": "), &end) - result.ema.top1_error) < 1e-9);
    assert_non_null(strstr(line, "\"val_ema.loss\": "));
    assert_non_null(strstr(line, "\"val_ema.top5_error\": "));
    free(log);
    char *csv = contents(in("logged", "summary.csv"), &size);
    assert_non_null(strstr(csv, ",seconds,val_ema.loss,val_ema.top1_error,val_ema.top5_error\n1,5,"));
    free(csv);

    /* and are those of the file */
    sn_tensors *file = open_file("logged", "ema.safetensors");
    assert_true(fabs(strtod(sn_tensors_metadata(file, "top1_error"), &end) - result.ema.top1_error) < 1e-9);
    sn_tensors_close(file);
}

/* Cut inside an epoch and at its end; with other threads. */
static void resumed_it_is_the_same_average(void **state)
{
    (void)state;
    sn_train_config whole = averaged("unbroken");
    run_ok(&whole, NULL);
    for (int cut = 2; cut <= 5; cut += 3) {
        const char *name = cut == 2 ? "inside" : "end";
        sn_train_config first = averaged(name), rest = averaged(name);
        first.max_steps = cut;
        run_ok(&first, NULL);
        rest.resume = rest.output;
        rest.threads = 2;
        run_ok(&rest, NULL);
        assert_same_run("unbroken", name);
        assert_same_file(in("unbroken", "ema.safetensors"), in(name, "ema.safetensors"));
    }
    whole.resume = whole.output;
    whole.ema = 0;
    expect_failure(&whole, SENET_USAGE, "ema '0.75', it cannot go on with '0'");
}

static void a_decay_that_makes_no_sense_is_named(void **state)
{
    (void)state;
    sn_train_config config = averaged("senseless");
    config.ema = 1;
    expect_failure(&config, SENET_USAGE, "(ema) is 1, must be at least 0 and below 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRAINING_TEST(the_average_is_timms),           TRAINING_TEST(averaging_changes_nothing_else),
        TRAINING_TEST(its_errors_are_logged),          TRAINING_TEST(resumed_it_is_the_same_average),
        TRAINING_TEST(a_decay_that_makes_no_sense_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
