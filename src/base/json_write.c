/* json_write.c - the writer of json.h. */
#include <math.h>
#include <string.h>

#include "base/json.h"

static void new_line(sn_json_writer *json)
{
    sn_text_printf(json->text, "\n%*s", 2 * json->depth, "");
}

static void add_quoted(sn_text *text, const char *string)
{
    size_t left = strlen(string);
    sn_text_add_char(text, '"');
    while (left) {
        size_t good = sn_utf8_prefix(string, left), plain = 0;
        while (plain < good && (unsigned char)string[plain] >= 0x20 && string[plain] != '"' && string[plain] != '\\')
            plain++;
        sn_text_add(text, string, plain);
        string += plain;
        left -= plain;
        if (!left) break;
        unsigned char c = (unsigned char)*string;
        if (plain == good)
            sn_text_add_string(text, "\xEF\xBF\xBD"); /* U+FFFD */
        else if (c == '"' || c == '\\')
            sn_text_printf(text, "\\%c", c);
        else if (c == '\n')
            sn_text_add_string(text, "\\n");
        else if (c == '\t')
            sn_text_add_string(text, "\\t");
        else
            sn_text_printf(text, "\\u%04x", c);
        string++;
        left--;
    }
    sn_text_add_char(text, '"');
}

/* What stands before a value: comma, line, name. */
static void begin_value(sn_json_writer *json, const char *key)
{
    if (json->comma) sn_text_add_char(json->text, ',');
    if (json->pretty && json->depth) new_line(json);
    if (key) {
        add_quoted(json->text, key);
        sn_text_add_string(json->text, json->pretty ? ": " : ":");
    }
    json->comma = true;
}

static void open_level(sn_json_writer *json, const char *key, char bracket)
{
    begin_value(json, key);
    sn_text_add_char(json->text, bracket);
    json->depth++;
    json->comma = false;
}

static void close_level(sn_json_writer *json, char bracket)
{
    json->depth--;
    if (json->pretty && json->comma) new_line(json);
    sn_text_add_char(json->text, bracket);
    json->comma = true;
}

void sn_json_open_object(sn_json_writer *json, const char *key)
{
    open_level(json, key, '{');
}
void sn_json_close_object(sn_json_writer *json)
{
    close_level(json, '}');
}
void sn_json_open_array(sn_json_writer *json, const char *key)
{
    open_level(json, key, '[');
}
void sn_json_close_array(sn_json_writer *json)
{
    close_level(json, ']');
}

void sn_json_add_string(sn_json_writer *json, const char *key, const char *value)
{
    begin_value(json, key);
    if (value)
        add_quoted(json->text, value);
    else
        sn_text_add_string(json->text, "null");
}

void sn_json_add_double(sn_json_writer *json, const char *key, double value)
{
    begin_value(json, key);
    if (isfinite(value))
        sn_text_add_double(json->text, value);
    else
        sn_text_add_string(json->text, "null");
}

void sn_json_add_float(sn_json_writer *json, const char *key, float value)
{
    begin_value(json, key);
    if (isfinite(value))
        sn_text_add_float(json->text, value);
    else
        sn_text_add_string(json->text, "null");
}

void sn_json_add_int(sn_json_writer *json, const char *key, int64_t value)
{
    begin_value(json, key);
    sn_text_printf(json->text, "%lld", (long long)value);
}

void sn_json_add_bool(sn_json_writer *json, const char *key, bool value)
{
    begin_value(json, key);
    sn_text_add_string(json->text, value ? "true" : "false");
}

void sn_json_add_null(sn_json_writer *json, const char *key)
{
    begin_value(json, key);
    sn_text_add_string(json->text, "null");
}
