/* test_text.c - growing text, strict numbers, UTF-8. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/text.h"
#include "test_failures.h"

static void text_grows(void **state)
{
    (void)state;
    sn_text text = {0};
    assert_string_equal(sn_text_string(&text), "");
    for (int i = 0; i < 1000; i++) sn_text_printf(&text, "%d,", i);
    assert_int_equal(text.length, 10 * 2 + 90 * 3 + 900 * 4);
    assert_memory_equal(text.bytes, "0,1,2,", 6);
    assert_string_equal(text.bytes + text.length - 8, "998,999,");
    assert_works(sn_text_check(&text, "text"));
    char *taken = sn_text_take(&text);
    assert_int_equal(strlen(taken), 3890);
    assert_int_equal(text.length, 0);
    free(taken);
    taken = sn_text_take(&text);
    assert_string_equal(taken, "");
    free(taken);
    sn_text_add(&text, "x", SIZE_MAX); /* no such memory */
    sn_text_add_string(&text, "after a failure nothing is added");
    assert_int_equal(text.length, 0);
    assert_fails(sn_text_check(&text, "a table"), SENET_NO_MEMORY, "a table");
    assert_null(sn_text_take(&text));
}

/* Every bit pattern of a number must survive writing and reading. */
static void numbers_round_trip(void **state)
{
    (void)state;
    uint64_t key = sn_rng_key(1, SN_RNG_TEST, 0, 0);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t bits = sn_rng_u64(key, i);
        double value, back;
        float single;
        memcpy(&value, &bits, sizeof value);
        memcpy(&single, &bits, sizeof single);
        sn_text text = {0};
        if (isfinite(value)) {
            sn_text_add_double(&text, value);
            assert_true(sn_parse_double(text.bytes, &back));
            assert_memory_equal(&back, &value, sizeof back);
            sn_text_free(&text);
        }
        if (isfinite(single)) {
            sn_text_add_float(&text, single);
            assert_true(sn_parse_double(text.bytes, &back));
            float single_back = (float)back;
            assert_memory_equal(&single_back, &single, sizeof single);
            sn_text_free(&text);
        }
    }
}

static void numbers_are_short(void **state)
{
    (void)state;
    sn_text text = {0};
    sn_text_add_double(&text, 0.1);
    sn_text_add_char(&text, ' ');
    sn_text_add_float(&text, 0.485f);
    sn_text_add_char(&text, ' ');
    sn_text_add_double(&text, 8.27);
    sn_text_add_char(&text, ' ');
    sn_text_add_double(&text, NAN);
    sn_text_add_double(&text, -INFINITY);
    assert_string_equal(text.bytes, "0.1 0.485 8.27 nan-inf");
    sn_text_free(&text);
}

static void whole_numbers_are_strict(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {
        {"0", 0}, {"-0", 0}, {"007", 7}, {"9223372036854775807", INT64_MAX}, {"-9223372036854775808", INT64_MIN}};
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1a",
                                      "0x10",
                                      "1.0",
                                      "1e3",
                                      "9223372036854775808",
                                      "--1",
                                      "-9223372036854775809",
                                      "99999999999999999999999"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t value = 1;
        assert_true(sn_parse_int64(good[i].text, &value));
        assert_int_equal(value, good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t value = 12345;
        assert_false(sn_parse_int64(bad[i], &value));
        assert_int_equal(value, 12345);
    }
}

static void decimals_are_strict(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } good[] = {{"0", 0},      {"-1.5", -1.5}, {".5", .5},    {"5.", 5},
                {"1e3", 1000}, {"1E-3", 1e-3}, {"1e+2", 100}, {"1e-999", 0}};
    static const char *const bad[] = {"",    "-",     ".",  "e5", "1e",  "1e+",   "nan",
                                      "inf", "0x1p3", " 1", "1 ", "1,5", "1e999", "+1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double value = -7;
        assert_true(sn_parse_double(good[i].text, &value));
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double value = -7;
        assert_false(sn_parse_double(bad[i], &value));
        assert_true(value == -7);
    }
}

static void ranges_name_the_value(void **state)
{
    (void)state;
    int64_t whole = 0;
    int small = 0;
    size_t size = 0;
    double real = 0;
    assert_works(sn_parse_int64_in("--batch-size", "64", 1, 4096, &whole));
    assert_int_equal(whole, 64);
    assert_fails(sn_parse_int64_in("--batch-size", "0", 1, 4096, &whole), SENET_USAGE,
                 "--batch-size: 0 is not between 1 and 4096");
    assert_fails(sn_parse_int64_in("--batch-size", "many", 1, 4096, &whole), SENET_USAGE,
                 "--batch-size: 'many' is not a whole number");
    assert_fails(sn_parse_int64_in("--seed", "99999999999999999999", 0, 10, &whole), SENET_USAGE,
                 "--seed: 99999999999999999999 is not between 0 and 10");
    assert_fails(sn_parse_int_in("-j", "3000000000", 0, INT32_MAX, &small), SENET_USAGE, "-j: 3000000000");
    assert_works(sn_parse_int_in("-j", "2", 0, 8, &small));
    assert_int_equal(small, 2);
    assert_fails(sn_parse_size_in("size", "-1", 0, SIZE_MAX, &size), SENET_USAGE, "size: -1 is not between 0 and ");
    assert_works(sn_parse_size_in("size", "9", 0, SIZE_MAX, &size));
    assert_int_equal(size, 9);
    assert_fails(sn_parse_double_in("--lr", "nan", 0, 10, &real), SENET_USAGE, "--lr: 'nan' is not a number");
    assert_fails(sn_parse_double_in("--lr", "-0.1", 0, 10, &real), SENET_USAGE, "--lr: -0.1 is not between 0 and 10");
    assert_works(sn_parse_double_in("--lr", "0.6", 0, 10, &real));
    assert_true(real == 0.6);
}

static void utf8_is_checked(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t prefix; /* SIZE_MAX: all of it */
    } cases[] = {
        {"", SIZE_MAX},
        {"plain", SIZE_MAX},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", SIZE_MAX}, /* é € and a face */
        {"\xF4\x8F\xBF\xBF", SIZE_MAX},                     /* U+10FFFF */
        {"ab\x80", 2},                                      /* continuation without a lead */
        {"a\xC3", 1},                                       /* cut short */
        {"a\xE2\x82", 1},
        {"\xC0\xAF", 0}, /* overlong '/' */
        {"\xE0\x80\xAF", 0},
        {"\xF0\x80\x80\xAF", 0},
        {"\xED\xA0\x80", 0},     /* surrogate */
        {"\xF4\x90\x80\x80", 0}, /* above U+10FFFF */
        {"x\xFE", 1},
        {"x\xC3\x28", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t length = strlen(cases[i].text);
        assert_int_equal(sn_utf8_prefix(cases[i].text, length), cases[i].prefix == SIZE_MAX ? length : cases[i].prefix);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_grows),          cmocka_unit_test(numbers_round_trip),
        cmocka_unit_test(numbers_are_short),   cmocka_unit_test(whole_numbers_are_strict),
        cmocka_unit_test(decimals_are_strict), cmocka_unit_test(ranges_name_the_value),
        cmocka_unit_test(utf8_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
