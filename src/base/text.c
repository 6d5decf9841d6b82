/* text.c - see text.h. */
#define _GNU_SOURCE /* strtod_l */
#include "base/text.h"

#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* ---- growing text ---- */

/* Room for `more` bytes and the NUL; NULL after marking the text as failed. */
static char *make_room(sn_text *text, size_t more)
{
    if (text->failed) return NULL;
    if (more > SIZE_MAX - 1 - text->length || !sn_grow(&text->bytes, 1, &text->capacity, text->length + more + 1)) {
        text->failed = true;
        return NULL;
    }
    return text->bytes + text->length;
}

void sn_text_add(sn_text *text, const void *bytes, size_t length)
{
    char *room = make_room(text, length);
    if (!room) return;
    if (length) memcpy(room, bytes, length);
    room[length] = '\0';
    text->length += length;
}

void sn_text_add_string(sn_text *text, const char *string)
{
    sn_text_add(text, string, strlen(string));
}

void sn_text_add_char(sn_text *text, char c)
{
    sn_text_add(text, &c, 1);
}

void sn_text_printf(sn_text *text, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *room = length < 0 ? NULL : make_room(text, (size_t)length);
    if (room) {
        vsnprintf(room, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    } else {
        text->failed = true;
    }
    va_end(again);
}

/* The "C" locale: glibc's newlocale returns its static object for this name, so this neither allocates nor fails. */
static locale_t c_locale(void)
{
    return newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static double read_double(const char *string, char **end)
{
    locale_t locale = c_locale();
    double value = strtod_l(string, end, locale);
    freelocale(locale);
    return value;
}

/* snprintf writes the decimal sign of the locale; whatever it is (one or more bytes), a point takes its place. */
static void use_decimal_point(char *number)
{
    char *write = number;
    for (const char *read = number; *read; read++) {
        bool ours = strchr("+-0123456789eE", *read) != NULL;
        if (ours)
            *write++ = *read;
        else if (write == number || write[-1] != '.')
            *write++ = '.';
    }
    *write = '\0';
}

static void add_shortest(sn_text *text, double value, int fewest_digits, int most_digits, bool as_float)
{
    char number[64];
    if (!isfinite(value)) {
        sn_text_add_string(text, isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return;
    }
    for (int digits = fewest_digits; digits <= most_digits; digits++) {
        snprintf(number, sizeof number, "%.*g", digits, value);
        use_decimal_point(number);
        double back = read_double(number, NULL);
        if (as_float ? (float)back == (float)value : back == value) break;
    }
    sn_text_add_string(text, number);
}

void sn_text_add_double(sn_text *text, double value)
{
    add_shortest(text, value, 15, 17, false);
}
void sn_text_add_float(sn_text *text, float value)
{
    add_shortest(text, (double)value, 6, 9, true);
}

const char *sn_text_string(const sn_text *text)
{
    return text->length ? text->bytes : "";
}

senet_status sn_text_check(const sn_text *text, const char *what)
{
    return text->failed ? sn_fail_memory(text->length, what) : SENET_OK;
}

char *sn_text_take(sn_text *text)
{
    sn_text_add(text, "", 0); /* an empty text too is a string */
    char *bytes = text->failed ? NULL : text->bytes;
    if (!bytes) free(text->bytes);
    *text = (sn_text){0};
    return bytes;
}

void sn_text_free(sn_text *text)
{
    free(text->bytes);
    *text = (sn_text){0};
}

/* ---- strict numbers ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool sn_parse_int64(const char *string, int64_t *value)
{
    const char *p = string;
    bool negative = *p == '-';
    if (negative) p++;
    if (!is_digit(*p)) return false;
    int64_t sum = 0; /* gathered below zero, where there is one value more */
    for (; is_digit(*p); p++)
        if (__builtin_mul_overflow(sum, (int64_t)10, &sum) || __builtin_sub_overflow(sum, (int64_t)(*p - '0'), &sum))
            return false;
    if (*p || (!negative && sum == INT64_MIN)) return false;
    *value = negative ? sum : -sum;
    return true;
}

static const char *skip_digits(const char *p)
{
    while (is_digit(*p)) p++;
    return p;
}

bool sn_parse_double(const char *string, double *value)
{
    const char *p = string;
    if (*p == '-') p++;
    const char *whole = p;
    p = skip_digits(p);
    bool digits = p > whole;
    if (*p == '.') {
        const char *fraction = ++p;
        p = skip_digits(p);
        digits = digits || p > fraction;
    }
    if (!digits) return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '+' || *p == '-') p++;
        if (!is_digit(*p)) return false;
        p = skip_digits(p);
    }
    if (*p) return false;
    double result = read_double(string, NULL);
    if (!isfinite(result)) return false;
    *value = result;
    return true;
}

/* What sn_parse_int64 refuses: either no number at all, or digits beyond 64 bits. */
static bool is_whole_number(const char *string)
{
    const char *digits = string + (*string == '-');
    return is_digit(*digits) && !*skip_digits(digits);
}

senet_status sn_parse_int64_in(const char *what, const char *string, int64_t low, int64_t high, int64_t *value)
{
    int64_t number;
    if (!is_whole_number(string)) return sn_fail(SENET_USAGE, "%s: '%s' is not a whole number", what, string);
    if (!sn_parse_int64(string, &number) || number < low || number > high)
        return sn_fail(SENET_USAGE, "%s: %s is not between %lld and %lld", what, string, (long long)low,
                       (long long)high);
    *value = number;
    return SENET_OK;
}

senet_status sn_parse_int_in(const char *what, const char *string, int low, int high, int *value)
{
    int64_t number = 0;
    SN_RETURN_IF_FAILED(sn_parse_int64_in(what, string, low, high, &number));
    *value = (int)number;
    return SENET_OK;
}

senet_status sn_parse_size_in(const char *what, const char *string, size_t low, size_t high, size_t *value)
{
    int64_t number = 0, most = high > (size_t)INT64_MAX ? INT64_MAX : (int64_t)high;
    SN_RETURN_IF_FAILED(sn_parse_int64_in(what, string, low > (size_t)most ? most : (int64_t)low, most, &number));
    *value = (size_t)number;
    return SENET_OK;
}

senet_status sn_parse_double_in(const char *what, const char *string, double low, double high, double *value)
{
    double number;
    if (!sn_parse_double(string, &number)) return sn_fail(SENET_USAGE, "%s: '%s' is not a number", what, string);
    if (!(number >= low && number <= high))
        return sn_fail(SENET_USAGE, "%s: %s is not between %g and %g", what, string, low, high);
    *value = number;
    return SENET_OK;
}

/* ---- UTF-8 ---- */

/* Bytes of the well-formed sequence at p (1..4), 0 when there is none: table 3-7 of the Unicode standard. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    unsigned char lead = p[0], low = 0x80, high = 0xBF; /* bounds of the second byte */
    size_t length;
    if (lead < 0x80) return 1;
    if (lead >= 0xC2 && lead <= 0xDF) {
        length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        length = 3;
        if (lead == 0xE0) low = 0xA0;  /* overlong */
        if (lead == 0xED) high = 0x9F; /* surrogates */
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        length = 4;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F; /* above U+10FFFF */
    } else {
        return 0;
    }
    if (left < length || p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if (p[i] < 0x80 || p[i] > 0xBF) return 0;
    return length;
}

size_t sn_utf8_prefix(const void *bytes, size_t length)
{
    const unsigned char *p = bytes;
    size_t at = 0;
    while (at < length) {
        size_t step = utf8_sequence(p + at, length - at);
        if (!step) break;
        at += step;
    }
    return at;
}
