/* test_tensorboard.c - event files, read back by a reader of their own: framing, checksums, messages. */
#define _GNU_SOURCE
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "train/tensorboard.h"

static void the_checksum_is_castagnoli(void **state)
{
    (void)state;
    assert_int_equal(sn_crc32c("123456789", 9), 0xe3069283u); /* the check value of CRC-32C */
    unsigned char zeros[32] = {0};
    assert_int_equal(sn_crc32c(zeros, 32), 0x8a9136aau); /* RFC 3720, B.4 */
}

static uint64_t little_endian(const unsigned char *bytes, int count)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static uint32_t masked(const void *bytes, size_t size)
{
    uint32_t crc = sn_crc32c(bytes, size);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

/* One scalar of a file; `text` is a file version, or "start" for a session's start. */
typedef struct point {
    int64_t step;
    char text[64];
    float value;
} point;

static uint64_t varint(const unsigned char **at)
{
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        unsigned char byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return value;
    }
}

static int read_summary(const unsigned char *at, const unsigned char *end, point *points)
{
    int count = 0;
    while (at < end) {
        assert_int_equal(*at++, 1 << 3 | 2); /* value */
        uint64_t length = varint(&at);
        const unsigned char *next = at + length;
        assert_int_equal(*at++, 1 << 3 | 2); /* tag */
        uint64_t tag = varint(&at);
        snprintf(points[count].text, sizeof points[count].text, "%.*s", (int)tag, (const char *)at);
        at += tag;
        assert_int_equal(*at++, 2 << 3 | 5); /* simple_value */
        uint32_t bits = (uint32_t)little_endian(at, 4);
        memcpy(&points[count++].value, &bits, 4);
        assert_ptr_equal(at + 4, next);
        at = next;
    }
    return count;
}

static int read_event(const unsigned char *at, const unsigned char *end, point *points)
{
    int count = 0;
    int64_t step = -1;
    assert_int_equal(*at++, 1 << 3 | 1); /* wall_time */
    uint64_t bits = little_endian(at, 8);
    double seconds;
    memcpy(&seconds, &bits, 8);
    assert_true(seconds > 1.6e9); /* after 2020 */
    at += 8;
    assert_int_equal(*at++, 2 << 3 | 0); /* step */
    step = (int64_t)varint(&at);
    int field = *at >> 3;
    assert_int_equal(*at++ & 7, 2);
    uint64_t length = varint(&at);
    assert_ptr_equal(at + length, end);
    if (field == 3) {
        snprintf(points[0].text, sizeof points[0].text, "%.*s", (int)length, (const char *)at);
        count = 1;
    } else if (field == 7) {
        assert_memory_equal(at, "\x08\x01", 2); /* status: START */
        strcpy(points[0].text, "start");
        count = 1;
    } else {
        assert_int_equal(field, 5);
        count = read_summary(at, end, points);
    }
    for (int i = 0; i < count; i++) points[i].step = step;
    return count;
}

static int read_file(const char *path, point *points)
{
    char *bytes = NULL;
    size_t size;
    int count = 0;
    assert_int_equal(sn_file_read(path, 1 << 20, &bytes, &size), SENET_OK);
    const unsigned char *at = (const unsigned char *)bytes, *end = at + size;
    while (at < end) {
        uint64_t length = little_endian(at, 8);
        assert_true(length <= size);
        assert_int_equal(little_endian(at + 8, 4), masked(at, 8));
        const unsigned char *data = at + 12;
        assert_int_equal(little_endian(data + length, 4), masked(data, length));
        count += read_event(data, data + length, points + count);
        at = data + length + 4;
    }
    free(bytes);
    return count;
}

static void an_event_file_holds_what_was_added(void **state)
{
    (void)state;
    char folder[] = "/tmp/senet-test-events-XXXXXX", pattern[128], command[128];
    assert_non_null(mkdtemp(folder));
    snprintf(pattern, sizeof pattern, "%s/events.out.tfevents.*", folder);
    sn_events *events;
    assert_int_equal(sn_events_open(folder, 0, &events), SENET_OK);
    sn_scalar both[] = {{"train/loss", 2.5}, {"train/lr", 0.1}};
    assert_int_equal(sn_events_add(events, 1, both, 2), SENET_OK);
    assert_int_equal(sn_events_add(events, 300, both, 1), SENET_OK);
    sn_events_close(events);
    assert_int_equal(sn_events_open(folder, 250, &events), SENET_OK); /* resumed: another file, later in order */
    sn_events_close(events);

    glob_t files;
    point points[16];
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    assert_int_equal(files.gl_pathc, 2);
    assert_int_equal(read_file(files.gl_pathv[0], points), 5);
    assert_string_equal(points[0].text, "brain.Event:2");
    assert_string_equal(points[1].text, "start");
    assert_int_equal(points[1].step, 1);
    assert_string_equal(points[2].text, "train/loss");
    assert_true(points[2].step == 1 && points[2].value == 2.5f);
    assert_string_equal(points[3].text, "train/lr");
    assert_true(points[3].value == 0.1f);
    assert_true(points[4].step == 300);
    assert_int_equal(read_file(files.gl_pathv[1], points), 2);
    assert_int_equal(points[1].step, 251); /* what the first file says from here on is void */
    globfree(&files);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    (void)state;
    sn_events *events;
    assert_int_equal(sn_events_open("/nowhere/at/all", 0, &events), SENET_CANNOT_WRITE);
    assert_non_null(strstr(senet_last_error(), "/nowhere/at/all/events"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_is_castagnoli),
        cmocka_unit_test(an_event_file_holds_what_was_added),
        cmocka_unit_test(a_folder_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
