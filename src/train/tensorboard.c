/* tensorboard.c - TensorBoard event files, written by hand: a few scalars need no protobuf library.
 *
 * A file is a sequence of TFRecords: length (8 bytes, little-endian), masked CRC-32C of the length, data, masked CRC-32C of
 * the data.  The data of each is a message of tensorflow/core/util/event.proto:
 *   Event      { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog session_log = 7; }
 *   Summary    { repeated Value value = 1; }    Value { string tag = 1; float simple_value = 2; }
 *   SessionLog { SessionStatus status = 1; }    START = 1: the reader forgets points at this step and after it */
#define _GNU_SOURCE
#include "train/tensorboard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

struct sn_events {
    int file;
    char *path;
};

/* ---- records ---- */

uint32_t sn_crc32c(const void *bytes, size_t size)
{
    const unsigned char *p = bytes;
    uint32_t crc = 0xffffffffu;
    while (size--) {
        crc ^= *p++;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82f63b78u & -(crc & 1));
    }
    return ~crc;
}

static void add_little_endian(sn_text *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) sn_text_add_char(out, (char)(value >> (8 * i)));
}

static void add_masked_crc(sn_text *out, const void *bytes, size_t size)
{
    uint32_t crc = sn_crc32c(bytes, size);
    add_little_endian(out, ((crc >> 15) | (crc << 17)) + 0xa282ead8u, 4);
}

static senet_status write_record(sn_events *events, const sn_text *data)
{
    sn_text record = {0};
    senet_status status;
    add_little_endian(&record, data->length, 8);
    add_masked_crc(&record, record.bytes, record.length);
    sn_text_add(&record, data->bytes, data->length);
    add_masked_crc(&record, data->bytes, data->length);
    SN_TRY(sn_text_check(data, "an event"), cleanup);
    SN_TRY(sn_text_check(&record, "an event"), cleanup);
    for (size_t done = 0; done < record.length;) {
        ssize_t wrote = write(events->file, record.bytes + done, record.length - done);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) {
            status = sn_fail(SENET_CANNOT_WRITE, "%s: %s", events->path, strerror(errno));
            goto cleanup;
        }
        done += (size_t)wrote;
    }
cleanup:
    sn_text_free(&record);
    return status;
}

/* ---- protobuf: a field is its number and wire type, then the value ---- */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static void add_varint(sn_text *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) sn_text_add_char(out, (char)(value | 0x80));
    sn_text_add_char(out, (char)value);
}

static void add_key(sn_text *out, int field, int wire) { add_varint(out, (uint64_t)field << 3 | (uint64_t)wire); }

static void add_bytes(sn_text *out, int field, const void *bytes, size_t size)
{
    add_key(out, field, WIRE_BYTES);
    add_varint(out, size);
    sn_text_add(out, bytes, size);
}

static void add_double(sn_text *out, int field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    add_key(out, field, WIRE_64);
    add_little_endian(out, bits, 8);
}

static void add_float(sn_text *out, int field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    add_key(out, field, WIRE_32);
    add_little_endian(out, bits, 4);
}

/* wall_time and step, which every event has. */
static void begin_event(sn_text *event, int64_t step)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    add_double(event, 1, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
    add_key(event, 2, WIRE_VARINT);
    add_varint(event, (uint64_t)step);
}

static senet_status write_file_version(sn_events *events)
{
    sn_text event = {0};
    begin_event(&event, 0);
    add_bytes(&event, 3, "brain.Event:2", strlen("brain.Event:2"));
    senet_status status = write_record(events, &event);
    sn_text_free(&event);
    return status;
}

static senet_status write_session_start(sn_events *events, int64_t step)
{
    static const char session_start[] = {1 << 3 | WIRE_VARINT, 1};
    sn_text event = {0};
    begin_event(&event, step);
    add_bytes(&event, 7, session_start, sizeof session_start);
    senet_status status = write_record(events, &event);
    sn_text_free(&event);
    return status;
}

/* ---- the file ---- */

/* events.out.tfevents.<seconds>.<n>.senet: readers take a run's files in the order of their names. */
static senet_status create_file(sn_events *events, const char *folder)
{
    for (int n = 0; n < 100; n++) {
        sn_text path = {0};
        sn_text_printf(&path, "%s/events.out.tfevents.%010lld.%02d.senet", folder, (long long)time(NULL), n);
        SN_RETURN_IF_FAILED(sn_text_check(&path, "a path"));
        free(events->path);
        events->path = sn_text_take(&path);
        events->file = open(events->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
        if (events->file >= 0) return SENET_OK;
        if (errno != EEXIST) break;
    }
    return sn_fail(SENET_CANNOT_WRITE, "%s: %s", events->path, strerror(errno));
}

senet_status sn_events_open(const char *folder, int64_t step, sn_events **events_out)
{
    *events_out = NULL;
    senet_status status;
    sn_events *events = calloc(1, sizeof *events);
    if (!events) return sn_fail_memory(sizeof *events, "an event file");
    events->file = -1;
    SN_TRY(create_file(events, folder), cleanup);
    SN_TRY(write_file_version(events), cleanup);
    SN_TRY(write_session_start(events, step + 1), cleanup);
    *events_out = events;
    return SENET_OK;
cleanup:
    sn_events_close(events);
    return status;
}

senet_status sn_events_add(sn_events *events, int64_t step, const sn_scalar *scalars, size_t count)
{
    sn_text event = {0}, summary = {0}, value = {0};
    for (size_t i = 0; i < count; i++) {
        value.length = 0;
        add_bytes(&value, 1, scalars[i].tag, strlen(scalars[i].tag));
        add_float(&value, 2, (float)scalars[i].value);
        add_bytes(&summary, 1, value.bytes, value.length);
    }
    begin_event(&event, step);
    add_bytes(&event, 5, summary.bytes, summary.length);
    senet_status status = sn_text_check(&value, "an event");
    if (status == SENET_OK) status = sn_text_check(&summary, "an event");
    if (status == SENET_OK) status = write_record(events, &event);
    sn_text_free(&value);
    sn_text_free(&summary);
    sn_text_free(&event);
    return status;
}

void sn_events_close(sn_events *events)
{
    if (!events) return;
    if (events->file >= 0) close(events->file);
    free(events->path);
    free(events);
}
