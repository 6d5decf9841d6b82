/* test_json.c - JSON: what is written reads back; what is not JSON is refused with file and byte. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "test_failures.h"

static void writer_places_commas_and_escapes(void **state)
{
    (void)state;
    sn_text text = {0};
    sn_json_writer json = {.text = &text};
    sn_json_open_object(&json, NULL);
    sn_json_add_string(&json, "a\"b", "line\nquote\" slash\\ tab\t bell\x07 \xC3\xA9 bad\xFF.");
    sn_json_add_double(&json, "x", 0.1);
    sn_json_add_double(&json, "nan", NAN);
    sn_json_add_float(&json, "inf", INFINITY);
    sn_json_add_int(&json, "i", INT64_MIN);
    sn_json_open_array(&json, "list");
    sn_json_add_bool(&json, NULL, true);
    sn_json_add_null(&json, NULL);
    sn_json_add_string(&json, NULL, NULL);
    sn_json_open_array(&json, NULL);
    sn_json_close_array(&json);
    sn_json_open_object(&json, NULL);
    sn_json_close_object(&json);
    sn_json_close_array(&json);
    sn_json_add_float(&json, "f", 0.485f);
    sn_json_close_object(&json);
    assert_string_equal(text.bytes,
                        "{\"a\\\"b\":\"line\\nquote\\\" slash\\\\ tab\\t bell\\u0007 \xC3\xA9 bad\xEF\xBF\xBD.\","
                        "\"x\":0.1,\"nan\":null,\"inf\":null,\"i\":-9223372036854775808,"
                        "\"list\":[true,null,null,[],{}],\"f\":0.485}");
    sn_json_document *document = NULL;
    assert_works(sn_json_parse(text.bytes, text.length, "written", 0, &document));
    const sn_json *value = sn_json_find(document->root, "a\"b");
    assert_string_equal(value->text, "line\nquote\" slash\\ tab\t bell\x07 \xC3\xA9 bad\xEF\xBF\xBD.");
    assert_int_equal(document->root->count, 7);
    sn_json_destroy(document);
    sn_text_free(&text);
}

static void pretty_is_json_too(void **state)
{
    (void)state;
    sn_text text = {0};
    sn_json_writer json = {.text = &text, .pretty = true};
    sn_json_open_array(&json, NULL);
    sn_json_open_object(&json, NULL);
    sn_json_add_int(&json, "n", 1);
    sn_json_add_int(&json, "m", 2);
    sn_json_close_object(&json);
    sn_json_close_array(&json);
    assert_string_equal(text.bytes, "[\n  {\n    \"n\": 1,\n    \"m\": 2\n  }\n]");
    sn_text_free(&text);
}

static void reader_builds_the_tree(void **state)
{
    (void)state;
    static const char text[] =
        " {\"n\": -12, \"r\":2.5e1, \"s\":\"\\u00e9\\ud83d\\ude00\", \"a\": [1, true, null, {\"k\":[]}]}\n";
    sn_json_document *document = NULL;
    int64_t whole = 0;
    double real = 0;
    const char *string = NULL;
    assert_works(sn_json_parse(text, strlen(text), "t.json", 100, &document));
    assert_works(sn_json_get_int64(document, sn_json_find(document->root, "n"), "n", &whole));
    assert_int_equal(whole, -12);
    assert_works(sn_json_get_double(document, sn_json_find(document->root, "r"), "r", &real));
    assert_true(real == 25);
    assert_works(sn_json_get_string(document, sn_json_find(document->root, "s"), "s", &string));
    assert_string_equal(string, "\xC3\xA9\xF0\x9F\x98\x80");
    const sn_json *array = sn_json_find(document->root, "a");
    assert_int_equal(array->kind, SN_JSON_ARRAY);
    assert_int_equal(array->count, 4);
    assert_int_equal(array->offset, 100 + (size_t)(strchr(text, '[') - text));
    assert_true(array->first->next->boolean);
    assert_int_equal(array->first->next->next->kind, SN_JSON_NULL);
    assert_null(sn_json_find(document->root, "absent"));
    assert_null(sn_json_find(NULL, "absent"));
    assert_fails(sn_json_get_int64(document, sn_json_find(document->root, "r"), "the rate", &whole), SENET_BAD_DATA,
                 "t.json: byte 116: the rate is 2.5e1, not a whole number");
    assert_fails(sn_json_get_double(document, array, "loss", &real), SENET_BAD_DATA, "loss is an array, not a number");
    assert_fails(sn_json_get_string(document, NULL, "model", &string), SENET_BAD_DATA, "t.json: model is missing");
    sn_json_destroy(document);
    sn_json_destroy(NULL);
}

static void reader_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size; /* 0: strlen */
        const char *message;
    } cases[] = {
        {"", 0, "byte 8: the JSON text ends too early"},
        {"{\"a\":1", 0, "byte 14: the JSON text ends too early"},
        {"{\"a\":1}}", 0, "byte 15: "},
        {"{\"a\":1} x", 0, "byte 16: "},
        {"{\"a\" 1}", 0, "byte 13: parse error"},
        {"{\"a\":01}", 0, "byte 14: parse error"},
        {"[1,]", 0, "byte 11: "},
        {"[1 2]", 0, "byte 11: parse error: after array element"},
        {"nul", 0, "byte 11: the JSON text ends too early"},
        {"[NaN]", 0, "byte 9: "},
        {"// no\n1", 0, "byte 8: "},
        {"{\"a\":1,\"b\":2,\"a\":3}", 0, "byte 25: the name 'a' is there twice"},
        {"{\"a\":1,\"\\u0061\":3}", 0, "the name 'a' is there twice"},
        {"[\"\xC3\"]", 0, "byte 10: not UTF-8"},
        {"[\"\xED\xA0\x80\"]", 0, "byte 10: not UTF-8"},
        {"[\"\\ud800\"]", 0, "byte 9: a string with half a surrogate pair"},
        {"[\"\\udc00\"]", 0, "half a surrogate pair"},
        {"[\"\\ud800\\u0041\"]", 0, "half a surrogate pair"},
        {"[\"a\\u0000\"]", 0, "byte 9: a string with a NUL character"},
        {"[\"\\x\"]", 0, "byte 9: lexical error"},
        {"[\"line\nbreak\"]", 0, "byte 9: lexical error"},
        {"[1]\0", 4, "byte 11: "},
        {"\xEF\xBB\xBF[1]", 0, "byte 8: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sn_json_document *document = NULL;
        size_t size = cases[i].size ? cases[i].size : strlen(cases[i].text);
        assert_fails(sn_json_parse(cases[i].text, size, "bad.json", 8, &document), SENET_BAD_DATA, "bad.json: byte ",
                     cases[i].message);
        assert_null(document);
    }
}

static void depth_is_limited(void **state)
{
    (void)state;
    char text[2 * 70 + 1];
    sn_json_document *document = NULL;
    for (int depth = SN_JSON_MAX_DEPTH; depth <= SN_JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        senet_status status = sn_json_parse(text, 2 * (size_t)depth, "deep", 0, &document);
        if (depth == SN_JSON_MAX_DEPTH)
            assert_works(status);
        else
            assert_fails(status, SENET_BAD_DATA, "deep: byte 64: nested deeper than 64 levels");
        if (status == SENET_OK) sn_json_destroy(document);
    }
}

static void missing_file_is_named(void **state)
{
    (void)state;
    sn_json_document *document = NULL;
    assert_fails(sn_json_read("no/such.json", 100, &document), SENET_NO_INPUT,
                 "no/such.json: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writer_places_commas_and_escapes),
        cmocka_unit_test(pretty_is_json_too),
        cmocka_unit_test(reader_builds_the_tree),
        cmocka_unit_test(reader_refuses),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
