/* test_spec.c - a model's name to a spec and back: options, canonical spelling, what errors say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "zoo/family.h"

static sn_spec parse(const char *text)
{
    sn_spec spec;
    if (sn_spec_parse(text, &spec) != SENET_OK) fail_msg("'%s': %s", text, senet_last_error());
    return spec;
}

static void expect_canonical(const char *text, const char *canonical)
{
    char spelt[256];
    sn_spec spec = parse(text);
    sn_spec_canonical(&spec, spelt, sizeof spelt);
    assert_string_equal(spelt, canonical);
}

static void expect_error(const char *text, const char *message)
{
    sn_spec spec;
    assert_int_equal(sn_spec_parse(text, &spec), SENET_USAGE);
    assert_string_equal(senet_last_error(), message);
}

static void test_defaults(void **state)
{
    (void)state;
    sn_spec spec = parse("se_cifar_resnet20");
    assert_string_equal(spec.base, "cifar_resnet20");
    assert_true(spec.se);
    assert_int_equal(spec.r, 16);
    assert_int_equal(spec.squeeze, SN_SQUEEZE_AVG);
    assert_int_equal(spec.gate, SN_GATE_SIGMOID);
    assert_int_equal(spec.stages, UINT32_MAX);
    assert_int_equal(spec.place, SN_PLACE_STANDARD);
    assert_true(spec.bias);
    assert_int_equal(spec.pad, SN_PAD_CENTER);
    assert_int_equal(spec.classes, 10);
    assert_int_equal(spec.native_size, 32);
    assert_int_equal(spec.numbers[0], 20);
    assert_false(parse("cifar_resnet20").se);
    assert_int_equal(parse("cifar_preresnet20").pad, SN_PAD_END);
    assert_int_equal(parse("shake_even29_2x4x64d").classes, 100);
}

static void test_every_option(void **state)
{
    (void)state;
    sn_spec spec =
        parse("se_cifar_resnet20:classes=7,pad=end,bias=0,place=identity,stages=4+2,gate=relu,squeeze=none,r=5");
    assert_int_equal(spec.r, 5);
    assert_int_equal(spec.squeeze, SN_SQUEEZE_NONE);
    assert_int_equal(spec.gate, SN_GATE_RELU);
    assert_int_equal(spec.stages, 1u << 2 | 1u << 4);
    assert_int_equal(spec.place, SN_PLACE_IDENTITY);
    assert_false(spec.bias);
    assert_int_equal(spec.pad, SN_PAD_END);
    assert_int_equal(spec.classes, 7);
    assert_int_equal(parse("se_wrn16_8:squeeze=max").squeeze, SN_SQUEEZE_MAX);
    assert_int_equal(parse("se_wrn16_8:gate=tanh").gate, SN_GATE_TANH);
    assert_int_equal(parse("se_cifar_resnet20:place=pre").place, SN_PLACE_PRE);
    assert_int_equal(parse("se_cifar_resnet20:place=post").place, SN_PLACE_POST);
    assert_int_equal(parse("se_wrn16_8:r=9223372036854775807").r, INT64_MAX);
}

static void test_parametric_names(void **state)
{
    (void)state;
    assert_int_equal(parse("cifar_resnet1202").numbers[0], 1202);
    sn_spec wide = parse("se_wrn28_10");
    assert_int_equal(wide.numbers[0], 28);
    assert_int_equal(wide.numbers[1], 10);
    assert_int_equal(parse("shake_shake26_2x32d").numbers[0], 32);
    sn_spec even = parse("shake_even29_2x4x4d");
    assert_int_equal(even.numbers[0], 4);
    assert_int_equal(even.numbers[1], 4);
    assert_ptr_equal(parse("cifar_preresnet164").family, &sn_family_cifar_preresnet164);
    assert_ptr_equal(parse("cifar_preresnet170").family, &sn_family_cifar_preresnet);
}

static void test_canonical_spelling(void **state)
{
    (void)state;
    expect_canonical("se_cifar_resnet20", "se_cifar_resnet20");
    expect_canonical("se_cifar_resnet20:classes=7,pad=end,bias=0,place=pre,stages=4+2+2,gate=tanh,squeeze=max,r=8",
                     "se_cifar_resnet20:r=8,squeeze=max,gate=tanh,stages=2+4,place=pre,bias=0,pad=end,classes=7");
    expect_canonical(
        "se_cifar_resnet20:r=16,squeeze=avg,gate=sigmoid,stages=all,place=standard,bias=1,pad=center,classes=10",
        "se_cifar_resnet20");
    expect_canonical("cifar_preresnet20:pad=end", "cifar_preresnet20");
    expect_canonical("cifar_preresnet20:pad=center", "cifar_preresnet20:pad=center");
    expect_canonical("shake_even29_2x4x64d:classes=100", "shake_even29_2x4x64d");
    expect_canonical("shake_even29_2x4x64d:classes=10", "shake_even29_2x4x64d:classes=10");
    expect_canonical("se_wrn16_8:stages=2+3+4", "se_wrn16_8:stages=2+3+4");
    expect_canonical("se_wrn16_8:r=016", "se_wrn16_8");
}

/* A buffer that is too small gets what fits, with a NUL. */
static void test_canonical_is_cut(void **state)
{
    (void)state;
    sn_spec spec = parse("se_cifar_resnet20:r=8,bias=0");
    char spelt[24];
    sn_spec_canonical(&spec, spelt, sizeof spelt);
    assert_string_equal(spelt, "se_cifar_resnet20:r=8,b");
    sn_spec_canonical(&spec, spelt, 6);
    assert_string_equal(spelt, "se_ci");
}

static void test_bad_options(void **state)
{
    (void)state;
    expect_error("se_cifar_resnet20:gate=foo",
                 "model 'se_cifar_resnet20': option 'gate' has no value 'foo'; allowed: sigmoid, tanh, relu");
    expect_error(
        "se_cifar_resnet20:place=3x3",
        "model 'se_cifar_resnet20': option 'place' has no value '3x3'; allowed: standard, pre, post, identity");
    expect_error("cifar_resnet20:pad=tf_same",
                 "model 'cifar_resnet20': option 'pad' has no value 'tf_same'; allowed: center, end");
    expect_error("se_wrn16_8:r=0", "model 'se_wrn16_8': option 'r' has no value '0'; allowed: whole numbers from 1");
    expect_error("se_wrn16_8:r=-4", "model 'se_wrn16_8': option 'r' has no value '-4'; allowed: whole numbers from 1");
    expect_error("se_wrn16_8:r=4x", "model 'se_wrn16_8': option 'r' has no value '4x'; allowed: whole numbers from 1");
    expect_error("se_wrn16_8:r=9223372036854775808",
                 "model 'se_wrn16_8': option 'r' has no value '9223372036854775808'; allowed: whole numbers from 1");
    expect_error("wrn16_8:classes=1000001",
                 "model 'wrn16_8': option 'classes' has no value '1000001'; allowed: whole numbers from 1 to 1000000");
    expect_error("wrn16_8:classes=",
                 "model 'wrn16_8': option 'classes' has no value ''; allowed: whole numbers from 1 to 1000000");
    expect_error("se_wrn16_8:bias=2", "model 'se_wrn16_8': option 'bias' has no value '2'; allowed: 0, 1");
    const char *const stages[] = {"5", "1", "2+", "+2", "2++3", "23", "", "all+2"};
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        char text[64], message[128];
        snprintf(text, sizeof text, "se_wrn16_8:stages=%s", stages[i]);
        snprintf(message, sizeof message,
                 "model 'se_wrn16_8': option 'stages' has no value '%s'; allowed: all, or stages of 2..4 joined by '+'",
                 stages[i]);
        expect_error(text, message);
    }
}

static void test_options_that_do_not_apply(void **state)
{
    (void)state;
    expect_error("se_wrn16_8:foo=1",
                 "model 'se_wrn16_8': unknown option 'foo'; accepted: r, squeeze, gate, stages, bias, classes");
    expect_error("cifar_resnet20:r=16", "model 'cifar_resnet20': takes no option 'r'; accepted: pad, classes");
    expect_error("se_cifar_preresnet20:place=pre", "model 'se_cifar_preresnet20': takes no option 'place'; accepted: "
                                                   "r, squeeze, gate, stages, bias, pad, classes");
    expect_error("cifar_preresnet164:pad=end", "model 'cifar_preresnet164': takes no option 'pad'; accepted: classes");
    expect_error("cifar_resnet20:down=3x3", "model 'cifar_resnet20': takes no option 'down'; accepted: pad, classes");
    expect_error("wrn16_8:classes=5,classes=5", "model 'wrn16_8': option 'classes' is given twice");
    expect_error("wrn16_8:classes", "model 'wrn16_8': option 'classes' is not of the form key=value");
    expect_error("wrn16_8:", "model 'wrn16_8': option '' is not of the form key=value");
    expect_error("wrn16_8:classes=5,", "model 'wrn16_8': option '' is not of the form key=value");
}

static void test_unknown_models(void **state)
{
    (void)state;
    expect_error("se_cifar_resnt20", "unknown model 'se_cifar_resnt20'; did you mean 'se_cifar_resnet20'?");
    expect_error("wrn16-8", "unknown model 'wrn16-8'; did you mean 'wrn16_8'?");
    expect_error("alexnet", "unknown model 'alexnet'");
    expect_error("", "unknown model ''");
    expect_error("se_", "unknown model 'se_'");
    expect_error("se_se_wrn16_8", "unknown model 'se_se_wrn16_8'; did you mean 'se_wrn16_8'?");
    expect_error("cifar_resnet020", "unknown model 'cifar_resnet020'; did you mean 'cifar_resnet20'?");
    expect_error("wrn16_8 ", "unknown model 'wrn16_8 '; did you mean 'wrn16_8'?");
    char longest[200];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    sn_spec spec;
    assert_int_equal(sn_spec_parse(longest, &spec), SENET_USAGE);
}

static void test_numbers_in_names(void **state)
{
    (void)state;
    expect_error("cifar_resnet21", "model 'cifar_resnet21': depth 21 is not 6n+2 (8, 14, 20, ...)");
    expect_error("cifar_resnet2", "model 'cifar_resnet2': depth 2 is not 6n+2 (8, 14, 20, ...)");
    expect_error("se_cifar_preresnet19", "model 'se_cifar_preresnet19': depth 19 is not 6n+2 (8, 14, 20, ...)");
    expect_error("wrn17_8", "model 'wrn17_8': depth 17 is not 6n+4 (10, 16, 22, ...)");
    expect_error("wrn16_5000", "model 'wrn16_5000': widening 5000 is not between 1 and 4096");
    expect_error("cifar_resnet99998", "model 'cifar_resnet99998': depth 99998 is more than 5000");
    expect_error("shake_shake26_2x95d",
                 "model 'shake_shake26_2x95d': width 95 is odd; the skip connections need halves");
    expect_error("shake_even29_2x5000x4d",
                 "model 'shake_even29_2x5000x4d': number of groups 5000 is not between 1 and 4096");
    sn_spec spec; /* far beyond any integer */
    assert_int_equal(sn_spec_parse("cifar_resnet99999999999999999999999999", &spec), SENET_USAGE);
}

/* Options of families that come with other files: values, text, and the default that stays unsaid. */
static void test_options_of_larger_networks(void **state)
{
    (void)state;
    static const struct {
        sn_option option;
        const char *value, *text;
    } good[] = {
        {SN_OPTION_DOWN, "3x3", "3x3"},    {SN_OPTION_POOL, "pad1", "pad1"}, {SN_OPTION_ACT, "relu6", "relu6"},
        {SN_OPTION_WIDTH, "0.75", "0.75"}, {SN_OPTION_WIDTH, "1.0", "1"},    {SN_OPTION_WIDTH, "1e-1", "0.1"},
        {SN_OPTION_WIDTH, "100", "100"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        sn_spec spec = parse("cifar_resnet20");
        char text[SN_OPTION_TEXT_BYTES];
        assert_int_equal(sn_option_set(&spec, good[i].option, good[i].value), SENET_OK);
        sn_option_print(&spec, good[i].option, text);
        assert_string_equal(text, good[i].text);
    }
    static const char *const bad[] = {"0", "-1", "nan", "inf", "101", "0.5x", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sn_spec spec = parse("cifar_resnet20");
        assert_int_equal(sn_option_set(&spec, SN_OPTION_WIDTH, bad[i]), SENET_USAGE);
    }
}

/* The networks for photographs: what each accepts, and where SE needs no prefix. */
static void test_imagenet_names(void **state)
{
    (void)state;
    expect_canonical("se_resnet50:pool=pad1,place=3x3,down=3x3,stages=5+2,r=8",
                     "se_resnet50:r=8,stages=2+5,place=3x3,down=3x3,pool=pad1");
    expect_canonical("se_resnet50:bias=1,pool=ceil,down=1x1", "se_resnet50");
    expect_canonical("mobilenet:pad=tf_same,act=relu6,width=0.50,classes=1001",
                     "mobilenet:width=0.5,act=relu6,pad=tf_same,classes=1001");
    expect_canonical("senet154:r=4", "senet154:r=4");
    assert_true(parse("senet154").se);
    assert_int_equal(parse("inception_resnet_v2").native_size, 299);
    expect_error("se_senet154", "unknown model 'se_senet154'; did you mean 'senet154'?");
    expect_error("resnet34", "model 'resnet34': depth 34 is not 50, 101 or 152");
    expect_error("se_resnext152_32x4d", "model 'se_resnext152_32x4d': depth 152 is not 50 or 101");
    expect_error("resnext50_32x4d:down=3x3",
                 "model 'resnext50_32x4d': takes no option 'down'; accepted: pool, classes");
    expect_error("vgg16_bn:r=4", "model 'vgg16_bn': takes no option 'r'; accepted: classes");
    expect_error("mobilenet:pad=end",
                 "model 'mobilenet': option 'pad' has no value 'end'; allowed: symmetric, tf_same");
}

static void test_list(void **state)
{
    (void)state;
    const char *name, *summary;
    size_t count = 0;
    for (; sn_zoo_list(count, &name, &summary); count++) {
        expect_canonical(name, name);
        assert_true(strlen(summary) > 0);
    }
    /* at least the paper's, with and without SE: 12 for 32x32 pictures, 10 for photographs; and senet154 */
    assert_true(count >= 2 * 12 + 2 * 10 + 1);
    assert_false(sn_zoo_list(SIZE_MAX, &name, &summary));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_option),
        cmocka_unit_test(test_parametric_names),
        cmocka_unit_test(test_canonical_spelling),
        cmocka_unit_test(test_canonical_is_cut),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_options_that_do_not_apply),
        cmocka_unit_test(test_unknown_models),
        cmocka_unit_test(test_numbers_in_names),
        cmocka_unit_test(test_options_of_larger_networks),
        cmocka_unit_test(test_imagenet_names),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
