/* caffe_wire.c - see caffe_wire.h.
 *
 * protobuf-c only says that a message is wrong; the walk says where and why: a field is a tag (number << 3 | type) and
 * a value, and the value of type 2 is a length and so many bytes [protobuf.dev, "Encoding"].  It goes down only where
 * messages that we read hold messages that we read, four levels at most; all else is skipped. */
#include "io/caffe_wire.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum { VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 5, MAX_VARINT_BYTES = 10, MAX_FIELD = (1 << 29) - 1 };

/* The kinds of messages, and the fields in which they hold each other (caffe.proto). */
typedef enum level { NET, LAYER, OLD_LAYER, BLOB, LEAF, NOTHING } level;

static const struct {
    level of;
    uint64_t number;
    level holds;
} nested[] = {
    {NET, 100, LAYER}, {NET, 2, OLD_LAYER}, {LAYER, 7, BLOB}, {LAYER, 139, LEAF}, {OLD_LAYER, 6, BLOB}, {BLOB, 7, LEAF},
};

static level nested_in(level of, uint64_t number)
{
    for (size_t i = 0; i < sizeof nested / sizeof *nested; i++)
        if (nested[i].of == of && nested[i].number == number) return nested[i].holds;
    return NOTHING;
}

typedef struct field {
    uint64_t number;
    int type;
    size_t begin, end; /* of the value, as offsets */
} field;

static senet_status read_varint(const sn_caffe_walk *walk, size_t *at, size_t end, uint64_t *value)
{
    size_t begin = *at;
    *value = 0;
    for (int i = 0; i < MAX_VARINT_BYTES; i++) {
        if (*at == end)
            return sn_fail(SENET_BAD_DATA, "%s: byte %zu: %s ends within a number", walk->path, begin, walk->what);
        uint8_t byte = walk->bytes[(*at)++];
        *value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) return SENET_OK;
    }
    return sn_fail(SENET_BAD_DATA, "%s: byte %zu: a number of more than %d bytes in %s", walk->path, begin,
                   MAX_VARINT_BYTES, walk->what);
}

static senet_status read_field(const sn_caffe_walk *walk, size_t at, size_t end, field *f)
{
    size_t begin = at;
    uint64_t tag, length = 0;
    SN_RETURN_IF_FAILED(read_varint(walk, &at, end, &tag));
    f->number = tag >> 3;
    f->type = (int)(tag & 7);
    f->begin = at;
    if (f->number == 0 || f->number > MAX_FIELD)
        return sn_fail(SENET_BAD_DATA, "%s: byte %zu: %s has a field numbered %llu: this is no Caffe file", walk->path,
                       begin, walk->what, (unsigned long long)f->number);
    switch (f->type) {
    case VARINT:
        SN_RETURN_IF_FAILED(read_varint(walk, &at, end, &length));
        f->end = at;
        return SENET_OK;
    case LENGTH:
        SN_RETURN_IF_FAILED(read_varint(walk, &at, end, &length));
        f->begin = at;
        break;
    case EIGHT_BYTES:
        length = 8;
        break;
    case FOUR_BYTES:
        length = 4;
        break;
    default:
        return sn_fail(SENET_BAD_DATA, "%s: byte %zu: field %llu of %s has the type %d: this is no Caffe file",
                       walk->path, begin, (unsigned long long)f->number, walk->what, f->type);
    }
    if (length > end - at)
        return sn_fail(SENET_BAD_DATA, "%s: byte %zu: field %llu of %s claims %llu bytes, of which %zu are there",
                       walk->path, begin, (unsigned long long)f->number, walk->what, (unsigned long long)length,
                       end - at);
    f->end = at + (size_t)length;
    return SENET_OK;
}

/* A field that ought to hold a message. */
static senet_status expect_length(const sn_caffe_walk *walk, const field *f)
{
    if (f->type == LENGTH) return SENET_OK;
    return sn_fail(SENET_BAD_DATA, "%s: byte %zu: field %llu of %s has the type %d, not that of a message", walk->path,
                   f->begin, (unsigned long long)f->number, walk->what, f->type);
}

/* Once the layer's name is known, messages bear it. */
static void note_name(sn_caffe_walk *walk, const field *f)
{
    enum { SHOWN = 100 };
    size_t length = f->end - f->begin < SHOWN ? f->end - f->begin : SHOWN;
    const char *name = (const char *)walk->bytes + f->begin;
    snprintf(walk->what, sizeof walk->what, "layer %d '%.*s'", walk->layers, (int)sn_utf8_prefix(name, length), name);
}

static senet_status check_message(sn_caffe_walk *walk, level kind, size_t begin, size_t end)
{
    for (size_t at = begin; at < end;) {
        field f;
        SN_RETURN_IF_FAILED(read_field(walk, at, end, &f));
        if (f.type == LENGTH && ((kind == LAYER && f.number == 1) || (kind == OLD_LAYER && f.number == 4)))
            note_name(walk, &f);
        level inner = nested_in(kind, f.number);
        if (inner != NOTHING) {
            SN_RETURN_IF_FAILED(expect_length(walk, &f));
            SN_RETURN_IF_FAILED(check_message(walk, inner, f.begin, f.end));
        }
        at = f.end;
    }
    return SENET_OK;
}

senet_status sn_caffe_next_layer(sn_caffe_walk *walk, sn_caffe_message *layer)
{
    *layer = (sn_caffe_message){0};
    while (walk->at < walk->size) {
        field f;
        snprintf(walk->what, sizeof walk->what, "the network");
        SN_RETURN_IF_FAILED(read_field(walk, walk->at, walk->size, &f));
        walk->at = f.end;
        level kind = nested_in(NET, f.number);
        if (kind == NOTHING) continue;
        SN_RETURN_IF_FAILED(expect_length(walk, &f));
        snprintf(walk->what, sizeof walk->what, "layer %d", ++walk->layers);
        SN_RETURN_IF_FAILED(check_message(walk, kind, f.begin, f.end));
        *layer = (sn_caffe_message){
            .bytes = walk->bytes + f.begin, .size = f.end - f.begin, .at = f.begin, .old = kind == OLD_LAYER};
        return SENET_OK;
    }
    return SENET_OK;
}
