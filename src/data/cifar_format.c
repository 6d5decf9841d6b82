/* cifar_format.c - see cifar_format.h.  Source: the "binary version" sections of cs.toronto.edu/~kriz/cifar.html. */
#include "data/cifar_format.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/text.h"

enum { MAX_TEXT_BYTES = 1 << 16, MAX_LINE_BYTES = 256, MAX_CLASSES = 256 /* a label is a byte */ };

senet_status sn_cifar_check(const sn_cifar_record *record, const uint8_t *bytes, size_t size, const char *path,
                            int64_t *records)
{
    size_t stride = sn_cifar_record_bytes(record);
    if (size == 0 || size % stride != 0)
        return sn_fail(SENET_BAD_DATA, "%s: %zu bytes are not a whole number (at least 1) of records of %zu bytes",
                       path, size, stride);
    for (size_t i = 0; i < size / stride; i++)
        for (int k = 0; k < record->labels; k++)
            if (bytes[i * stride + (size_t)k] >= record->limits[k])
                return sn_fail(SENET_BAD_DATA, "%s: record %zu: %s %d is outside 0..%d", path, i,
                               k + 1 == record->labels ? "label" : "coarse label", bytes[i * stride + (size_t)k],
                               record->limits[k] - 1);
    *records = (int64_t)(size / stride);
    return SENET_OK;
}

void sn_cifar_decode(const sn_cifar_record *record, const uint8_t *bytes, uint8_t *rgb, int32_t *label)
{
    const uint8_t *red = bytes + record->labels, *green = red + SN_CIFAR_PLANE, *blue = green + SN_CIFAR_PLANE;
    *label = bytes[record->labels - 1];
    for (int i = 0; i < SN_CIFAR_PLANE; i++) {
        rgb[3 * i] = red[i];
        rgb[3 * i + 1] = green[i];
        rgb[3 * i + 2] = blue[i];
    }
}

void sn_cifar_encode(const uint8_t *rgb, int32_t label, uint8_t *bytes)
{
    bytes[0] = (uint8_t)label;
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < SN_CIFAR_PLANE; i++) bytes[1 + c * SN_CIFAR_PLANE + i] = rgb[3 * i + c];
}

/* The next line that is not blank, without its end, in `line`; false at the end of the text.  *number counts lines from
 * 1; *bad is set, and the line is cut, when the line is too long, has control characters or is not UTF-8. */
static bool next_line(const uint8_t **at, const uint8_t *end, int *number, char line[MAX_LINE_BYTES], bool *bad)
{
    *bad = false;
    while (*at < end) {
        const uint8_t *newline = memchr(*at, '\n', (size_t)(end - *at));
        const uint8_t *start = *at, *stop = newline ? newline : end;
        *at = newline ? newline + 1 : end;
        ++*number;
        if (stop > start && stop[-1] == '\r') stop--;
        if (stop == start) continue;
        size_t length = (size_t)(stop - start);
        if (length >= MAX_LINE_BYTES) {
            length = MAX_LINE_BYTES - 1;
            *bad = true;
        }
        for (size_t i = 0; i < length; i++)
            if (start[i] < 0x20 || start[i] == 0x7f) *bad = true;
        if (sn_utf8_prefix(start, length) != length) *bad = true;
        memcpy(line, start, length);
        line[length] = '\0';
        return true;
    }
    return false;
}

static senet_status fail_line(const char *path, int number)
{
    return sn_fail(SENET_BAD_DATA, "%s: line %d: not text (UTF-8, no control characters, at most %d bytes)", path,
                   number, MAX_LINE_BYTES - 1);
}

static senet_status check_text_size(const char *path, size_t size)
{
    if (size <= MAX_TEXT_BYTES) return SENET_OK;
    return sn_fail(SENET_BAD_DATA, "%s: %zu bytes; such a file has at most %d", path, size, MAX_TEXT_BYTES);
}

senet_status sn_cifar_parse_names(sn_arena *arena, const uint8_t *bytes, size_t size, const char *path, int64_t classes,
                                  const char *const **names)
{
    SN_RETURN_IF_FAILED(check_text_size(path, size));
    const char **list = sn_arena_alloc(arena, (size_t)classes * sizeof *list);
    if (!list) return sn_fail_memory((size_t)classes * sizeof *list, path);
    const uint8_t *at = bytes, *end = bytes + size;
    char line[MAX_LINE_BYTES];
    int64_t found = 0;
    int number = 0;
    bool bad;
    while (size > 0 && next_line(&at, end, &number, line, &bad)) {
        if (bad) return fail_line(path, number);
        if (found < classes && !(list[found] = sn_arena_strdup(arena, line)))
            return sn_fail_memory(strlen(line) + 1, path);
        found++;
    }
    if (found != classes)
        return sn_fail(SENET_BAD_DATA, "%s: %" PRId64 " class names, the set has %" PRId64 " classes", path, found,
                       classes);
    *names = list;
    return SENET_OK;
}

/* Exactly three numbers, at most 1 and not negative, separated by single blanks.  Cuts `text` into its words. */
static bool parse_three(char *text, bool zero_allowed, float out[3])
{
    for (int c = 0; c < 3; c++) {
        double value;
        char *blank = c < 2 ? strchr(text, ' ') : NULL;
        if (c < 2 && !blank) return false;
        if (blank) *blank = '\0';
        if (!sn_parse_double(text, &value) || value > 1 || value < 0) return false;
        out[c] = (float)value;
        if (!zero_allowed && out[c] == 0) return false;
        if (blank) text = blank + 1;
    }
    return true;
}

static bool parse_classes(const char *text, int *classes)
{
    int64_t value;
    if (!sn_parse_int64(text, &value) || value < 1 || value > MAX_CLASSES) return false;
    *classes = (int)value;
    return true;
}

senet_status sn_cifar_parse_statistics(const uint8_t *bytes, size_t size, const char *path,
                                       sn_cifar_statistics *statistics)
{
    SN_RETURN_IF_FAILED(check_text_size(path, size));
    const uint8_t *at = bytes, *end = bytes + size;
    char line[MAX_LINE_BYTES];
    bool bad, has_classes = false, has_mean = false, has_std = false;
    int number = 0;
    while (size > 0 && next_line(&at, end, &number, line, &bad)) {
        if (bad) return fail_line(path, number);
        bool known = true;
        if (strncmp(line, "classes ", 8) == 0)
            known = has_classes = parse_classes(line + 8, &statistics->classes);
        else if (strncmp(line, "mean ", 5) == 0)
            known = has_mean = parse_three(line + 5, true, statistics->mean);
        else if (strncmp(line, "std ", 4) == 0)
            known = has_std = parse_three(line + 4, false, statistics->std);
        else
            known = false;
        if (!known)
            return sn_fail(
                SENET_BAD_DATA,
                "%s: line %d: not 'classes N' (1..%d), 'mean R G B' (0..1) or 'std R G B' (above 0, at most 1)", path,
                number, MAX_CLASSES);
    }
    if (!has_classes || !has_mean || !has_std)
        return sn_fail(SENET_BAD_DATA, "%s: no line '%s'", path,
                       !has_classes ? "classes N"
                       : !has_mean  ? "mean R G B"
                                    : "std R G B");
    return SENET_OK;
}
