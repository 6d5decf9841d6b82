/* test_train.c - whole trainings of a tiny network: they learn, their bits depend on nothing but their settings, they can be
 * interrupted anywhere, they refuse what makes no sense and never destroy a run. */
#define _GNU_SOURCE
#include "test_training.h"
#include "train/checkpoint.h"

/* ---- what a training does ---- */

static void a_training_learns(void **state)
{
    (void)state;
    watch w = {0};
    sn_train_hooks hooks = hooks_of(&w);
    sn_train_config config = tiny("learns");
    config.data = "synthetic:classes=4,train=320,val=80,size=16";
    config.augment = (sn_augment){0};
    config.epochs = 6;
    sn_train_result result = run_ok(&config, &hooks);
    assert_int_equal(result.epochs, 6);
    assert_int_equal(result.steps, 6 * 20);
    assert_int_equal(w.steps, 6 * 20);
    assert_int_equal(w.epochs, 6);
    assert_true(w.last_left == 0);
    assert_true(w.last_loss < 0.8 * w.first_loss); /* measured: 0.6 */
    assert_true(w.last_error < 50);                /* measured: 36; chance is 75 */
    assert_true(result.best_top1_error <= result.top1_error);
    assert_string_equal(result.best, in("learns", "best.safetensors"));
}

static void the_log_has_the_promised_keys(void **state)
{
    (void)state;
    sn_train_config config = tiny("log");
    config.epochs = 1;
    config.log_every = 2;
    run_ok(&config, NULL);
    size_t size;
    char *log = contents(in("log", "log.jsonl"), &size);
    assert_int_equal(strncmp(log, "{\"step\": 2, \"epoch\": 1, \"lr\": ", 30), 0);
    assert_non_null(strstr(log, "\"train.images_per_second\": "));
    assert_non_null(strstr(log, "\"train.data_wait_percent\": "));
    const char *line = strstr(log, "{\"epoch\": 1, \"train.loss\": "); /* after steps 2 and 4 of 5 */
    assert_non_null(line);
    const char *const keys[] = {"train.top1_error", "val.loss", "val.top1_error", "val.top5_error", "seconds"};
    for (int i = 0; i < 5; i++) assert_non_null(strstr(line, keys[i]));
    free(log);
    char *csv = contents(in("log", "summary.csv"), &size);
    assert_int_equal(strncmp(csv, "epoch,step,lr,", 14), 0);
    assert_non_null(strstr(csv, "\n1,5,"));
    free(csv);
}

static void threads_and_workers_change_no_bit(void **state)
{
    (void)state;
    sn_train_config one = tiny("one"), two = tiny("two");
    one.workers = 0;
    two.threads = 2;
    two.workers = 2;
    run_ok(&one, NULL);
    run_ok(&two, NULL);
    assert_same_run("one", "two");
}

/* 2: inside an epoch; 5: at its end; 9: before the small batch. */
static void a_run_that_is_resumed_ends_with_the_same_bits(void **state)
{
    (void)state;
    sn_train_config whole = tiny("whole");
    run_ok(&whole, NULL);
    const int64_t cuts[] = {2, 5, 9};
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "cut%d", (int)cuts[i]);
        sn_train_config first = tiny(name), rest = tiny(name);
        first.max_steps = cuts[i];
        sn_train_result result = run_ok(&first, NULL);
        assert_int_equal(result.steps, cuts[i]);
        assert_false(isnan(result.top1_error)); /* evaluated at its end, wherever that is */
        rest.resume = rest.output;
        run_ok(&rest, NULL);
        assert_same_run("whole", name);
    }
}

static void a_run_can_go_on_in_another_folder_and_from_its_checkpoint_alone(void **state)
{
    (void)state;
    sn_train_config whole = tiny("home"), first = tiny("away"), rest;
    run_ok(&whole, NULL);
    first.max_steps = 7;
    run_ok(&first, NULL);
    sn_arena strings = {0};
    assert_int_equal(sn_train_resume_config(first.output, &strings, &rest), SENET_OK);
    assert_string_equal(rest.model, "se_cifar_resnet8:classes=4");
    assert_int_equal(rest.batch, 16);
    rest.output = tiny("further").output;
    rest.threads = 1;
    run_ok(&rest, NULL);
    assert_same_run("home", "further");
    sn_arena_free(&strings);
}

static void a_stop_saves_and_says_so(void **state)
{
    (void)state;
    sn_train_config whole = tiny("unstopped"), config = tiny("stopped");
    run_ok(&whole, NULL);
    watch w = {.stop_at = 6};
    sn_train_hooks hooks = hooks_of(&w);
    sn_train_result result;
    assert_int_equal(sn_train(&config, &hooks, &result), SENET_STOPPED);
    assert_non_null(strstr(senet_last_error(), "step 6"));
    assert_int_equal(result.steps, 6);
    config.resume = config.output;
    run_ok(&config, NULL);
    assert_same_run("unstopped", "stopped");
}

static void a_finished_run_resumed_has_nothing_to_do(void **state)
{
    (void)state;
    sn_train_config config = tiny("done");
    sn_train_result first = run_ok(&config, NULL);
    config.resume = config.output;
    sn_train_result again = run_ok(&config, NULL);
    assert_int_equal(again.steps, first.steps);
    assert_true(again.top1_error == first.top1_error && again.best_top1_error == first.best_top1_error);
}

static void shake_networks_and_frozen_batch_norm_train_reproducibly(void **state)
{
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        sn_train_config config = tiny(cut ? "shake-cut" : "shake");
        config.model = "se_shake_shake26_2x8d:classes=4";
        config.data = "synthetic:classes=4,train=12,val=4,size=16";
        config.batch = 4;
        config.epochs = 2;
        config.freeze_bn_epochs = 1;
        config.max_steps = cut ? 4 : 0; /* inside the frozen epoch */
        run_ok(&config, NULL);
        if (!cut) continue;
        config.max_steps = 0;
        config.resume = config.output;
        run_ok(&config, NULL);
    }
    assert_same_run("shake", "shake-cut");
}

/* Statistics, gamma and beta of every batch norm stay as they were; the other weights move. */
static void frozen_batch_norm_does_not_move(void **state)
{
    (void)state;
    sn_train_config config = tiny("thaw");
    config.epochs = 2;
    config.freeze_bn_epochs = 1;
    config.max_steps = 5;
    run_ok(&config, NULL);
    sn_tensors *before, *after;
    sn_train_config rest = tiny("freeze");
    rest.epochs = 2;
    rest.freeze_bn_epochs = 1;
    rest.resume = config.output;
    run_ok(&rest, NULL);
    assert_int_equal(sn_tensors_open(in("thaw", "last.safetensors"), &before), SENET_OK);
    assert_int_equal(sn_tensors_open(in("freeze", "last.safetensors"), &after), SENET_OK);
    const char *const still[] = {"bn1.weight", "bn1.bias", "bn1.running_mean", "layer2.0.bn2.running_var"};
    for (int i = 0; i < 4; i++) {
        const sn_tensor *a = sn_tensors_find(before, still[i]), *b = sn_tensors_find(after, still[i]);
        assert_memory_equal(a->data, b->data, a->bytes);
    }
    const sn_tensor *a = sn_tensors_find(before, "conv1.weight"), *b = sn_tensors_find(after, "conv1.weight");
    assert_memory_not_equal(a->data, b->data, a->bytes);
    sn_tensors_close(before);
    sn_tensors_close(after);
}

/* ---- weights ---- */

static void best_weights_give_the_logged_error(void **state)
{
    (void)state;
    sn_train_config config = tiny("weights");
    sn_train_result trained = run_ok(&config, NULL);
    sn_tensors *file;
    sn_weights_info info;
    sn_spec spec;
    sn_graph *graph;
    sn_params *params;
    sn_dataset *val;
    assert_int_equal(sn_tensors_open(in("weights", "best.safetensors"), &file), SENET_OK);
    assert_int_equal(sn_weights_info_read(file, &info), SENET_OK);
    assert_string_equal(info.model, config.model);
    assert_int_equal(info.classes, 4);
    assert_true(info.has_preprocess);
    assert_int_equal(info.preprocess.height, 16);
    assert_string_equal(sn_tensors_metadata(file, "dataset"), "synthetic");
    assert_int_equal(sn_spec_parse(info.model, &spec), SENET_OK);
    sn_build_options build = {.mode = SN_MODE_EVAL, .batch = 1, .no_fuse = true};
    assert_int_equal(sn_model_build(&spec, &build, &graph), SENET_OK);
    assert_int_equal(sn_params_create(graph, SN_FLOAT, &params), SENET_OK);
    assert_int_equal(sn_weights_load(file, spec.base, graph, params, NULL), SENET_OK);
    assert_int_equal(sn_dataset_open(config.data, SN_SPLIT_VAL, &val), SENET_OK);
    sn_eval_options options = {.batch = 7, .threads = 1};
    sn_eval_result result;
    if (sn_evaluate(&spec, params, &info.preprocess, val, &options, &result) != SENET_OK) fail_msg("%s", senet_last_error());
    assert_int_equal(result.images, 24);
    assert_true(fabs(100.0 * (double)result.top1_errors / 24 - trained.best_top1_error) < 1e-9);
    sn_dataset_close(val);
    sn_params_destroy(params);
    sn_graph_destroy(graph);
    sn_weights_info_free(&info);
    sn_tensors_close(file);
}

static void initial_weights_are_taken(void **state)
{
    (void)state;
    sn_train_config source = tiny("source"), config = tiny("from");
    source.epochs = 1;
    run_ok(&source, NULL);
    config.init_weights = in("source", "last.safetensors");
    config.lr = 0;
    config.weight_decay = 0;
    config.epochs = 1;
    run_ok(&config, NULL);
    sn_tensors *before, *after;
    assert_int_equal(sn_tensors_open(in("source", "last.safetensors"), &before), SENET_OK);
    assert_int_equal(sn_tensors_open(in("from", "last.safetensors"), &after), SENET_OK);
    const sn_tensor *a = sn_tensors_find(before, "conv1.weight"), *b = sn_tensors_find(after, "conv1.weight");
    assert_memory_equal(a->data, b->data, a->bytes); /* at rate 0 nothing moves */
    sn_tensors_close(before);
    sn_tensors_close(after);
}

/* ---- refusals ---- */

static void another_run_is_never_overwritten(void **state)
{
    (void)state;
    sn_train_config config = tiny("mine");
    config.epochs = 1;
    run_ok(&config, NULL);
    expect_failure(&config, SENET_USAGE, "holds a run already");
    sn_train_config other = tiny("other");
    other.max_steps = 1;
    run_ok(&other, NULL);
    other.resume = config.output;
    expect_failure(&other, SENET_USAGE, "holds a run already");
}

static void a_run_does_not_go_on_as_another(void **state)
{
    (void)state;
    sn_train_config config = tiny("fixed");
    config.max_steps = 2;
    run_ok(&config, NULL);
    config.resume = config.output;
    sn_train_config changed = config;
    changed.seed = 7;
    expect_failure(&changed, SENET_USAGE, "seed '0', it cannot go on with '7'");
    changed = config;
    changed.model = "cifar_resnet8:classes=4";
    expect_failure(&changed, SENET_USAGE, "model 'se_cifar_resnet8:classes=4'");
    changed = config;
    changed.data = "synthetic:classes=4,train=72,val=24,size=16,seed=5";
    expect_failure(&changed, SENET_USAGE, "other data");
    changed = config;
    changed.resume = in("nowhere", "");
    expect_failure(&changed, SENET_NO_INPUT, "checkpoint.safetensors");

    watch w = {0};
    sn_train_hooks hooks = hooks_of(&w);
    changed = config;
    changed.lr = 0.05;
    changed.max_steps = 3;
    run_ok(&changed, &hooks);
    assert_non_null(strstr(w.said, "lr was 0.1, now 0.05"));
}

/* Rewrites a run's checkpoint without what concerns one setting. */
static void forget_setting(const char *run, const char *key)
{
    sn_tensors *file;
    char path[256];
    snprintf(path, sizeof path, "%s", in(run, "checkpoint.safetensors"));
    assert_int_equal(sn_tensors_open(path, &file), SENET_OK);
    const size_t tensors_count = sn_tensors_count(file);
    sn_tensor *tensors = malloc(tensors_count * sizeof *tensors);
    sn_metadata_entry *metadata = malloc(sn_tensors_metadata_count(file) * sizeof *metadata);
    size_t kept = 0;
    for (size_t i = 0; i < tensors_count; i++) tensors[i] = *sn_tensors_at(file, i);
    for (size_t i = 0; i < sn_tensors_metadata_count(file); i++) {
        const sn_metadata_entry entry = sn_tensors_metadata_at(file, i);
        if (strcmp(entry.key, key) != 0) metadata[kept++] = entry;
    }
    assert_int_equal(kept + 1, sn_tensors_metadata_count(file));
    assert_int_equal(sn_tensors_write(path, tensors, tensors_count, metadata, kept), SENET_OK);
    free(tensors);
    free(metadata);
    sn_tensors_close(file);
}

/* A checkpoint written before a setting existed: the run had its default. */
static void a_setting_younger_than_the_checkpoint_had_its_default(void **state)
{
    (void)state;
    sn_train_config config = tiny("old");
    config.max_steps = 2;
    run_ok(&config, NULL);
    forget_setting("old", "config.micro_batch");
    config.resume = config.output;
    config.micro_batch = 8;
    expect_failure(&config, SENET_USAGE, "micro_batch '0', it cannot go on with '8'");
    config.micro_batch = 0;
    config.max_steps = 3;
    assert_int_equal(run_ok(&config, NULL).steps, 3);
}

static void a_loss_that_is_not_finite_ends_the_run(void **state)
{
    (void)state;
    sn_train_config config = tiny("diverges");
    config.lr = 1e30;
    config.schedule = SN_SCHEDULE_CONSTANT;
    expect_failure(&config, SENET_BAD_DATA, "learning rate 1e+30");
    assert_non_null(strstr(senet_last_error(), "checkpoint.safetensors holds step 0"));
}

static void settings_that_make_no_sense_are_named(void **state)
{
    (void)state;
    sn_train_config config = tiny("senseless");
    config.lr = NAN;
    expect_failure(&config, SENET_USAGE, "learning rate is nan");
    config = tiny("senseless");
    config.batch = 0;
    expect_failure(&config, SENET_USAGE, "batch size is 0");
    config = tiny("senseless");
    config.momentum = 1;
    expect_failure(&config, SENET_USAGE, "momentum is 1");
    config = tiny("senseless");
    config.schedule = SN_SCHEDULE_STEP;
    expect_failure(&config, SENET_USAGE, "needs milestones");
    config = tiny("senseless");
    config.model = "se_cifar_resnet8:classes=5";
    expect_failure(&config, SENET_USAGE, "classes=4");
    config = tiny("senseless");
    config.batch = 100000000;
    expect_failure(&config, SENET_USAGE, "batch of 100000000");
    assert_false(sn_is_directory(tiny("senseless").output)); /* nothing was begun */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRAINING_TEST(a_training_learns),
        TRAINING_TEST(the_log_has_the_promised_keys),
        TRAINING_TEST(threads_and_workers_change_no_bit),
        TRAINING_TEST(a_run_that_is_resumed_ends_with_the_same_bits),
        TRAINING_TEST(a_run_can_go_on_in_another_folder_and_from_its_checkpoint_alone),
        TRAINING_TEST(a_stop_saves_and_says_so),
        TRAINING_TEST(a_finished_run_resumed_has_nothing_to_do),
        TRAINING_TEST(shake_networks_and_frozen_batch_norm_train_reproducibly),
        TRAINING_TEST(frozen_batch_norm_does_not_move),
        TRAINING_TEST(best_weights_give_the_logged_error),
        TRAINING_TEST(initial_weights_are_taken),
        TRAINING_TEST(another_run_is_never_overwritten),
        TRAINING_TEST(a_run_does_not_go_on_as_another),
        TRAINING_TEST(a_setting_younger_than_the_checkpoint_had_its_default),
        TRAINING_TEST(a_loss_that_is_not_finite_ends_the_run),
        TRAINING_TEST(settings_that_make_no_sense_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
