/* text.h - growing text, strict numbers, UTF-8.
 *
 * None of it depends on the locale of the host program. */
#ifndef SN_BASE_TEXT_H
#define SN_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* ---- growing text: zero-initialised is empty and valid ---- */

typedef struct sn_text {
    char *bytes; /* NUL-terminated once something was added, else NULL: see sn_text_string */
    size_t length, capacity;
    bool failed; /* memory ran out: later additions do nothing; asked once at the end with sn_text_check */
} sn_text;

void sn_text_add(sn_text *text, const void *bytes, size_t length);
void sn_text_add_string(sn_text *text, const char *string);
void sn_text_add_char(sn_text *text, char c);
void sn_text_printf(sn_text *text, const char *format, ...) SN_PRINTF(2, 3);
/* The shortest decimal that reads back as the same double, or as the same float; "nan", "inf", "-inf" where not finite.
 */
void sn_text_add_double(sn_text *text, double value);
void sn_text_add_float(sn_text *text, float value);
/* The text so far, "" when empty; valid until the next addition. */
const char *sn_text_string(const sn_text *text);
/* SENET_NO_MEMORY if any addition failed. */
senet_status sn_text_check(const sn_text *text, const char *what);
/* Hands the bytes to the caller (free); the text is empty afterwards.  NULL after a failure. */
char *sn_text_take(sn_text *text);
void sn_text_free(sn_text *text);

/* ---- strict numbers: the whole string, nothing before, nothing after ---- */

/* Decimal with an optional '-'; false when malformed or out of range. */
bool sn_parse_int64(const char *string, int64_t *value);
/* Decimal with optional '-', point and exponent; false when malformed, hexadecimal, "nan", "inf" or beyond a double. */
bool sn_parse_double(const char *string, double *value);

/* The same with a range, both ends included; the SENET_USAGE message reads
 *     WHAT: 'abc' is not a whole number     WHAT: 0 is not between 1 and 1024 */
senet_status sn_parse_int64_in(const char *what, const char *string, int64_t low, int64_t high, int64_t *value);
senet_status sn_parse_int_in(const char *what, const char *string, int low, int high, int *value);
senet_status sn_parse_size_in(const char *what, const char *string, size_t low, size_t high, size_t *value);
senet_status sn_parse_double_in(const char *what, const char *string, double low, double high, double *value);

/* ---- UTF-8 ---- */

/* How many leading bytes are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF); `length`
 * when all are. */
size_t sn_utf8_prefix(const void *bytes, size_t length);

#endif
