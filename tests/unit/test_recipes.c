/* test_recipes.c - the published settings, value by value, and that settings survive the way through a checkpoint's text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "train/config.h"
#include "train/recipe_table.h"

static sn_train_config recipe_for(const char *name, const char *model)
{
    sn_train_config config;
    sn_train_defaults(&config);
    config.model = model;
    if (sn_recipe_apply(name, &config) != SENET_OK) fail_msg("%s", senet_last_error());
    return config;
}

static sn_train_config recipe(const char *name)
{
    return recipe_for(name, NULL);
}

/* ---- ImageNet ---- */

static void imagenet(void **state)
{
    (void)state;
    sn_train_config c = recipe("imagenet");
    assert_string_equal(c.model, "se_resnet50");
    assert_true(c.batch == 1024 && c.micro_batch == 32 && c.epochs == 100 && c.optimizer == SN_SGD_CAFFE);
    assert_true(c.lr == 0.6 && c.momentum == 0.9 && c.weight_decay == 1e-4 && !c.decay_all && c.decay_gamma);
    assert_true(c.schedule == SN_SCHEDULE_STEP && c.step_every == 30 && c.milestones_count == 0 && c.gamma == 0.1);
    assert_true(c.label_smoothing == 0 && c.warmup_epochs == 0 && c.warmup_steps == 0 && c.freeze_bn_epochs == 0);
    assert_true(c.augment.area_min == 0.08 && c.augment.area_max == 1 && c.augment.aspect == 4.0 / 3 && c.augment.flip);
    assert_true(c.augment.rotate == 0 && c.augment.jitter == 0 && c.augment.pad == 0);
    assert_true(c.normalize == SN_NORMALIZE_CAFFE && c.eval_resize == 256 && !c.square && !c.class_aware);
    assert_true(c.interpolation == SN_INTERPOLATION_BILINEAR && c.init == SN_INIT_HE);
}

static void values_that_depend_on_the_network(void **state)
{
    (void)state;
    assert_true(recipe_for("imagenet", "se_bn_inception:r=8").weight_decay == 2e-4);
    assert_true(recipe_for("imagenet", "vgg16_bn").weight_decay == 5e-4);
    assert_true(recipe_for("imagenet", "se_resnext50_32x4d").weight_decay == 1e-4);
    assert_true(recipe_for("imagenet", "se_inception_resnet_v2").eval_resize == 352);
    sn_train_config c = recipe_for("imagenet", "bn_inception");
    assert_string_equal(sn_recipe_source(&c, "weight_decay"), "SENet #37");
    c = recipe_for("imagenet", "resnet50");
    assert_string_equal(sn_recipe_source(&c, "weight_decay"), "SENet #37: as the network without SE");
    assert_null(sn_recipe_source(&c, "seed"));
    c = recipe_for("imagenet", "nonsense"); /* whoever builds the model complains */
    assert_true(c.weight_decay == 1e-4);
}

static void released_models(void **state)
{
    (void)state;
    sn_train_config c = recipe("released");
    assert_true(c.batch == 256 && c.lr == 0.1 && c.epochs == 270 && c.augment.rotate == 10 && c.augment.jitter == 20);
    assert_true(c.schedule == SN_SCHEDULE_STEP && c.milestones_count == 3 && c.step_every == 0);
    assert_true(c.milestones[0] == 125 && c.milestones[1] == 200 && c.milestones[2] == 250);
    c = recipe("released-plateau");
    assert_true(c.schedule == SN_SCHEDULE_PLATEAU && c.milestones_count == 0 && c.patience == 10 && c.reductions == 3);
    assert_true(c.augment.rotate == 10 && c.lr == 0.1 && c.optimizer == SN_SGD_CAFFE);
}

static void mobile_networks_and_ablations(void **state)
{
    (void)state;
    sn_train_config c = recipe("mobile");
    assert_true(c.batch == 256 && c.lr == 0.1 && c.epochs == 400 && c.weight_decay == 4e-5);
    assert_true(c.schedule == SN_SCHEDULE_PLATEAU && c.augment.area_min == 0.25 && c.label_smoothing == 0);
    c = recipe("ablation");
    assert_string_equal(c.model, "se_resnet50:bias=0");
    assert_true(c.batch == 256 && c.lr == 0.1 && c.epochs == 300 && c.label_smoothing == 0.1);
    assert_true(c.schedule == SN_SCHEDULE_PLATEAU && c.reductions == 3 && c.step_every == 0);
    c = recipe("ablation-270");
    assert_true(c.epochs == 270 && c.schedule == SN_SCHEDULE_STEP && c.milestones_count == 3 && c.milestones[2] == 250);
    assert_true(c.label_smoothing == 0.1 && c.batch == 256);
}

static void senet154_and_places(void **state)
{
    (void)state;
    sn_train_config c = recipe("senet154");
    assert_true(c.batch == 2048 && c.micro_batch == 32 && c.lr == 1 && c.epochs == 100 && c.step_every == 30);
    assert_true(c.label_smoothing == 0.1 && c.freeze_bn_epochs == 4 && c.input_size == 0 && c.eval_resize == 256);
    c = recipe("senet154-320");
    assert_true(c.batch == 2048 && c.input_size == 320 && c.eval_resize == 320 && c.freeze_bn_epochs == 4);
    c = recipe("places365");
    assert_string_equal(c.model, "se_resnet152:classes=365");
    assert_true(c.batch == 1024 && c.lr == 0.6 && c.class_aware && c.square && c.eval_resize == 256);
    assert_true(c.normalize == SN_NORMALIZE_PLACES);
}

/* Also of networks that no other test names. */
static void every_value_names_its_source(void **state)
{
    (void)state;
    for (const sn_recipe *r = sn_recipes; r->name; r++)
        for (const sn_recipe_value *v = r->values; v->setting; v++) {
            if (sn_config_find(v->setting) < 0) fail_msg("%s: no setting '%s'", r->name, v->setting);
            if (!v->source || strlen(v->source) < 5) fail_msg("%s: no source of '%s'", r->name, v->setting);
        }
}

/* ---- CIFAR ---- */

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
    assert_true(c.augment.pad == 4 && c.augment.flip && c.augment.cutout == 0 && c.shuffle && c.micro_batch == 64);
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
    assert_true(c.warmup_steps == 0);
    c = recipe_for("cifar-resnet", "se_cifar_resnet110");
    assert_true(c.warmup_steps == 400 && c.warmup_lr == 0.01 && c.lr == 0.1);
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
    assert_int_equal(count, 16);
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
    assert_non_null(strstr(senet_last_error(), "recipe 'cifar' is unknown; there are imagenet, released, "));
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
        cmocka_unit_test(imagenet),                      cmocka_unit_test(values_that_depend_on_the_network),
        cmocka_unit_test(released_models),               cmocka_unit_test(mobile_networks_and_ablations),
        cmocka_unit_test(senet154_and_places),           cmocka_unit_test(every_value_names_its_source),
        cmocka_unit_test(preactivation_resnets),         cmocka_unit_test(wide_resnets),
        cmocka_unit_test(shake_networks),                cmocka_unit_test(original_resnets),
        cmocka_unit_test(every_recipe_can_be_used_as_it_is), cmocka_unit_test(names_are_forgiving_but_known),
        cmocka_unit_test(settings_survive_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
