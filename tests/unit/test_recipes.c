/* test_recipes.c - the published settings, value by value, and that settings survive the way through a checkpoint's text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "train/config.h"

static sn_train_config recipe(const char *name)
{
    sn_train_config config;
    sn_train_defaults(&config);
    if (sn_recipe_apply(name, &config) != SENET_OK) fail_msg("%s", senet_last_error());
    return config;
}

static void preactivation_resnets(void **state)
{
    (void)state;
    sn_train_config c = recipe("cifar-preresnet");
    assert_true(c.batch == 128 && c.epochs == 164 && c.optimizer == SN_SGD_TORCH);
    assert_true(c.lr == 0.1 && c.momentum == 0.9 && c.weight_decay == 1e-4 && c.decay_all);
    assert_true(c.schedule == SN_SCHEDULE_STEP && c.milestones_count == 2 && c.gamma == 0.1);
    assert_true(c.milestones[0] == 81 && c.milestones[1] == 122);
    assert_true(c.warmup_steps == 400 && c.warmup_lr == 0.01);
    assert_true(c.init == SN_INIT_HE_FAN_OUT && !c.drop_last);
    assert_true(c.augment.pad == 4 && c.augment.flip && c.augment.cutout == 0 && c.shuffle);
}

static void wide_resnets(void **state)
{
    (void)state;
    sn_train_config c = recipe("cifar-wrn");
    assert_true(c.batch == 128 && c.epochs == 200 && c.optimizer == SN_NESTEROV && c.drop_last);
    assert_true(c.lr == 0.1 && c.weight_decay == 5e-4 && c.decay_all && c.gamma == 0.2);
    assert_true(c.milestones_count == 3 && c.milestones[0] == 60 && c.milestones[1] == 120 && c.milestones[2] == 160);
    assert_true(c.warmup_steps == 0 && c.init == SN_INIT_HE);
}

static void shake_networks(void **state)
{
    (void)state;
    sn_train_config c = recipe("cifar-shake-shake");
    assert_true(c.batch == 128 && c.epochs == 1800 && c.optimizer == SN_NESTEROV && c.schedule == SN_SCHEDULE_COSINE);
    assert_true(c.lr == 0.2 && c.weight_decay == 1e-4 && c.augment.cutout == 16 && c.init == SN_INIT_HE_FAN_OUT);
    c = recipe("cifar-shake-even");
    assert_true(c.batch == 32 && c.epochs == 1800 && c.optimizer == SN_NESTEROV && c.schedule == SN_SCHEDULE_COSINE);
    assert_true(c.lr == 0.025 && c.weight_decay == 5e-4 && c.augment.cutout == 8);
}

static void original_resnets(void **state)
{
    (void)state;
    sn_train_config c = recipe("cifar-resnet");
    assert_true(c.batch == 128 && c.epochs == 200 && c.optimizer == SN_SGD_TORCH && c.weight_decay == 1e-4);
    assert_true(c.milestones_count == 2 && c.milestones[0] == 100 && c.milestones[1] == 150 && c.gamma == 0.1);
}

static void every_recipe_can_be_used_as_it_is(void **state)
{
    (void)state;
    const char *name, *summary;
    size_t count = 0;
    for (; sn_recipe_list(count, &name, &summary); count++) {
        sn_train_config c = recipe(name);
        sn_spec spec;
        assert_true(strlen(summary) > 10);
        assert_int_equal(sn_spec_parse(c.model, &spec), SENET_OK);
        if (!c.data) c.data = "synthetic";
        c.output = "out";
        if (sn_config_check(&c) != SENET_OK) fail_msg("%s: %s", name, senet_last_error());
    }
    assert_true(count >= 7);
}

static void names_are_forgiving_but_known(void **state)
{
    (void)state;
    sn_train_config c = recipe("CIFAR_shake_even");
    assert_string_equal(c.recipe, "cifar-shake-even");
    c.model = "cifar_resnet20";
    assert_int_equal(sn_recipe_apply("cifar-wrn", &c), SENET_OK);
    assert_string_equal(c.model, "cifar_resnet20"); /* the user's word stands */
    assert_int_equal(sn_recipe_apply("cifar", &c), SENET_USAGE);
    assert_non_null(strstr(senet_last_error(), "recipe 'cifar' is unknown; there are cifar-preresnet, cifar-wrn"));
}

static void settings_survive_as_text(void **state)
{
    (void)state;
    sn_train_config before = recipe("cifar-wrn"), after;
    before.seed = UINT64_MAX - 1;
    before.lr = 0.1 / 3;
    before.model = "se_wrn16_8:r=8";
    before.milestones[1] = 100.0 / 3;
    sn_train_defaults(&after);
    sn_arena strings = {0};
    sn_text value = {0}, again = {0};
    const char *name;
    sn_config_rule rule;
    size_t count = 0;
    for (; sn_config_setting(&before, count, &name, &rule, &value); count++)
        assert_int_equal(sn_config_set(&after, count, sn_text_string(&value), &strings), SENET_OK);
    assert_true(count > 30);
    for (size_t i = 0; i < count; i++) {
        sn_config_setting(&before, i, &name, &rule, &value);
        sn_config_setting(&after, i, &name, &rule, &again);
        assert_string_equal(sn_text_string(&value), sn_text_string(&again));
    }
    assert_true(after.seed == UINT64_MAX - 1 && after.lr == 0.1 / 3 && after.milestones_count == 3);
    assert_string_equal(after.model, before.model);
    sn_config_setting(&before, 4, &name, &rule, &value);
    assert_int_equal(sn_config_set(&after, 4, "many", &strings), SENET_BAD_DATA);
    assert_non_null(strstr(senet_last_error(), name));
    sn_text_free(&value);
    sn_text_free(&again);
    sn_arena_free(&strings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preactivation_resnets),         cmocka_unit_test(wide_resnets),
        cmocka_unit_test(shake_networks),                cmocka_unit_test(original_resnets),
        cmocka_unit_test(every_recipe_can_be_used_as_it_is), cmocka_unit_test(names_are_forgiving_but_known),
        cmocka_unit_test(settings_survive_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
