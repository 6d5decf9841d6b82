/* ops_records.c - see ops_records.h. */
#include "golden/ops_records.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"

/* ---- reading ---- */

static char *copy_text(const char *text, size_t length)
{
    char *copy = malloc(length + 1);
    assert_non_null(copy);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

/* All numbers of the line; false where something else stands between them. */
static bool read_numbers(ops_record *record, const char *at)
{
    size_t capacity = 0;
    for (char *end; *at; at = end) {
        double value = strtod(at, &end);
        if (end == at) return false;
        assert_true(sn_grow(&record->values, sizeof *record->values, &capacity, record->count + 1));
        record->values[record->count++] = value;
        end += strspn(end, " ");
    }
    return record->count > (record->brief ? 2u : 0u);
}

static bool read_record(ops_case *c, const char *line)
{
    size_t start = strncmp(line, "run ", 4) == 0 ? 4 : 0, length = start + strcspn(line + start, " ");
    if (length == 0 || !line[length]) return false;
    assert_true(sn_grow(&c->records, sizeof *c->records, &c->capacity, c->count + 1));
    ops_record *record = &c->records[c->count++];
    *record = (ops_record){.brief = line[length - 1] == '!'};
    record->key = copy_text(line, length - record->brief);
    return read_numbers(record, line + length + 1);
}

static bool read_line(ops_file *file, const char *line)
{
    unsigned long long seed;
    if (sscanf(line, "# seed %llu", &seed) == 1) return file->seed = seed, true;
    if (line[0] == '#') return true;
    if (strncmp(line, "case ", 5) == 0) {
        assert_true(sn_grow(&file->cases, sizeof *file->cases, &file->capacity, file->count + 1));
        file->cases[file->count++] = (ops_case){.text = copy_text(line + 5, strlen(line + 5))};
        return true;
    }
    return file->count > 0 && read_record(&file->cases[file->count - 1], line);
}

void ops_read(const char *path, ops_file *file)
{
    char *line = NULL;
    size_t capacity = 0;
    bool ended = false;
    *file = (ops_file){0};
    FILE *stream = fopen(path, "r");
    if (!stream) fail_msg("%s cannot be read", path);
    for (int number = 1; !ended && getline(&line, &capacity, stream) >= 0; number++) {
        line[strcspn(line, "\n")] = '\0';
        ended = strcmp(line, "end") == 0;
        if (!ended && !read_line(file, line)) fail_msg("%s:%d: '%.40s' is no record", path, number, line);
    }
    free(line);
    fclose(stream);
    if (!ended) fail_msg("%s has no end", path);
}

void ops_free(ops_file *file)
{
    for (size_t i = 0; i < file->count; i++) {
        for (size_t k = 0; k < file->cases[i].count; k++) {
            free(file->cases[i].records[k].key);
            free(file->cases[i].records[k].values);
        }
        free(file->cases[i].records);
        free(file->cases[i].text);
    }
    free(file->cases);
}

const char *ops_field(const ops_case *c, const char *key)
{
    static char value[64];
    char pattern[40];
    int length = snprintf(pattern, sizeof pattern, " %s=", key);
    const char *found = strstr(c->text, pattern);
    if (!found) fail_msg("case %s has no %s", c->text, key);
    snprintf(value, sizeof value, "%.*s", (int)strcspn(found + length, " "), found + length);
    return value;
}

/* ---- comparing ---- */

typedef struct comparison {
    const ops_case *c;
    const char *mode, *key;
} comparison;

static void expect_near(const comparison *at, const char *what, size_t index, double actual, double expected,
                        double tolerance)
{
    if (!(fabs(actual - expected) <= tolerance))
        fail_msg("case %s (%s): %s, %s %zu is %.12g, not %.12g (off by %.2e, allowed %.2e)", at->c->text, at->mode,
                 at->key, what, index, actual, expected, fabs(actual - expected), tolerance);
}

static void check_full(const comparison *at, const ops_record *record, const double *tensor, double tolerance)
{
    double largest = 0;
    for (size_t i = 0; i < record->count; i++) largest = fmax(largest, fabs(record->values[i]));
    for (size_t i = 0; i < record->count; i++)
        expect_near(at, "element", i, tensor[i], record->values[i], tolerance * largest);
}

/* The sum may cancel: it is compared on the scale of the sum of that many values of the tensor's root mean square. */
static void check_brief(const comparison *at, const ops_record *record, const double *tensor, size_t count,
                        double tolerance)
{
    double squares = 0, sum = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        squares += tensor[i] * tensor[i];
        sum += tensor[i];
        largest = fmax(largest, fabs(tensor[i]));
    }
    double l2 = record->values[0];
    expect_near(at, "L2 norm", 0, sqrt(squares), l2, tolerance * l2);
    expect_near(at, "sum", 0, sum, record->values[1], tolerance * l2 * sqrt((double)count));
    for (size_t i = 2; i < record->count; i++)
        expect_near(at, "element", i - 2, tensor[i - 2], record->values[i], tolerance * largest);
}

void ops_check(ops_case *c, const char *mode, const char *key, const double *tensor, size_t count, double tolerance)
{
    comparison at = {c, mode, key};
    for (size_t i = 0; i < c->count; i++) {
        ops_record *record = &c->records[i];
        if (record->checked || strcmp(record->key, key) != 0) continue;
        size_t listed = record->brief ? (count < 8 ? count : 8) + 2 : count;
        if (record->count != listed)
            fail_msg("case %s: %s has %zu values, %zu belong there", c->text, key, record->count, listed);
        record->checked = true;
        if (record->brief)
            check_brief(&at, record, tensor, count, tolerance);
        else
            check_full(&at, record, tensor, tolerance);
        return;
    }
    fail_msg("case %s has no record %s", c->text, key);
}

void ops_finish(ops_case *c, const char *mode)
{
    for (size_t i = 0; i < c->count; i++) {
        if (!c->records[i].checked)
            fail_msg("case %s (%s): nothing checks the record %s", c->text, mode, c->records[i].key);
        c->records[i].checked = false;
    }
}
