/* json.c - the reader of json.h: yajl finds the tokens, this file builds the tree and adds the rules yajl does not
 * have. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/file.h"

typedef struct open_level {
    sn_json *parent;
    sn_json **next; /* where the next child hangs */
} open_level;

typedef struct reader {
    sn_json_document *document;
    yajl_handle yajl;
    const unsigned char *bytes;
    size_t size, start;
    size_t previous_end; /* of the token before the current one, in bytes[] */
    open_level levels[SN_JSON_MAX_DEPTH];
    int depth;
    const char *key; /* of the coming value */
    senet_status status;
} reader;

static senet_status fail_at(reader *r, size_t at, const char *problem)
{
    r->status = sn_fail(SENET_BAD_DATA, "%s: byte %zu: %s", r->document->name, r->start + at, problem);
    return r->status;
}

/* First byte of the token after the previous one. */
static size_t next_token(const reader *r)
{
    size_t at = r->previous_end;
    while (at < r->size && memchr(" \t\r\n,:", r->bytes[at], 6)) at++;
    return at;
}

/* First byte of the token that yajl has just finished; moves on behind it. */
static size_t token_start(reader *r)
{
    size_t at = next_token(r);
    r->previous_end = yajl_get_bytes_consumed(r->yajl);
    return at;
}

static char *copy_text(reader *r, const unsigned char *text, size_t length)
{
    char *copy = sn_arena_alloc(&r->document->arena, length + 1);
    if (copy && length) memcpy(copy, text, length); /* the arena is zeroed: the NUL is there */
    if (!copy) r->status = sn_fail_memory(length, r->document->name);
    return copy;
}

/* Hangs a new value into the open array or object; NULL on failure. */
static sn_json *add_value(reader *r, sn_json_kind kind, size_t at)
{
    sn_json *value = sn_arena_alloc(&r->document->arena, sizeof *value);
    if (!value) {
        r->status = sn_fail_memory(sizeof *value, r->document->name);
        return NULL;
    }
    value->kind = kind;
    value->key = r->key;
    value->offset = r->start + at;
    r->key = NULL;
    if (r->depth) {
        open_level *level = &r->levels[r->depth - 1];
        *level->next = value;
        level->next = &value->next;
        level->parent->count++;
    } else {
        r->document->root = value;
    }
    return value;
}

static int on_null(void *context)
{
    reader *r = context;
    return add_value(r, SN_JSON_NULL, token_start(r)) != NULL;
}

static int on_boolean(void *context, int boolean)
{
    reader *r = context;
    sn_json *value = add_value(r, SN_JSON_BOOL, token_start(r));
    if (value) value->boolean = boolean != 0;
    return value != NULL;
}

static int on_number(void *context, const char *digits, size_t length)
{
    reader *r = context;
    sn_json *value = add_value(r, SN_JSON_NUMBER, token_start(r));
    if (value) value->text = copy_text(r, (const unsigned char *)digits, length);
    return value && value->text;
}

/* yajl turns half a surrogate pair into '?'; this finds it in the raw text, whose escapes yajl has already checked. */
static bool has_lone_surrogate(const unsigned char *p, const unsigned char *end)
{
    while (p < end) {
        if (*p++ != '\\' || p == end) continue;
        if (*p++ != 'u') continue;
        char digits[5] = {0};
        if (end - p < 4) return true;
        memcpy(digits, p, 4);
        unsigned long unit = strtoul(digits, NULL, 16);
        p += 4;
        if (unit < 0xD800 || unit > 0xDFFF) continue;
        if (unit > 0xDBFF || end - p < 6 || p[0] != '\\' || p[1] != 'u') return true;
        memcpy(digits, p + 2, 4);
        unsigned long low = strtoul(digits, NULL, 16);
        if (low < 0xDC00 || low > 0xDFFF) return true;
        p += 6;
    }
    return false;
}

static char *take_string(reader *r, size_t at, const unsigned char *text, size_t length)
{
    if (length && memchr(text, 0, length)) {
        fail_at(r, at, "a string with a NUL character");
        return NULL;
    }
    if (has_lone_surrogate(r->bytes + at, r->bytes + r->previous_end)) {
        fail_at(r, at, "a string with half a surrogate pair");
        return NULL;
    }
    return copy_text(r, text, length);
}

static int on_string(void *context, const unsigned char *text, size_t length)
{
    reader *r = context;
    size_t at = token_start(r);
    const char *copy = take_string(r, at, text, length);
    sn_json *value = copy ? add_value(r, SN_JSON_STRING, at) : NULL;
    if (value) value->text = copy;
    return value != NULL;
}

static int on_key(void *context, const unsigned char *text, size_t length)
{
    reader *r = context;
    size_t at = token_start(r);
    r->key = take_string(r, at, text, length);
    return r->key != NULL;
}

static int open_value(reader *r, sn_json_kind kind)
{
    size_t at = token_start(r);
    if (r->depth == SN_JSON_MAX_DEPTH) {
        fail_at(r, at, "nested deeper than 64 levels");
        return 0;
    }
    sn_json *value = add_value(r, kind, at);
    if (!value) return 0;
    r->levels[r->depth++] = (open_level){value, &value->first};
    return 1;
}

static int on_open_object(void *context)
{
    return open_value(context, SN_JSON_OBJECT);
}
static int on_open_array(void *context)
{
    return open_value(context, SN_JSON_ARRAY);
}

static int on_close_array(void *context)
{
    reader *r = context;
    token_start(r);
    r->depth--;
    return 1;
}

static int compare_keys(const void *a, const void *b)
{
    const sn_json *x = *(sn_json *const *)a, *y = *(sn_json *const *)b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->offset > y->offset) - (x->offset < y->offset);
}

/* Fails when two members of the object have one name. */
static senet_status check_names_differ(reader *r, const sn_json *object)
{
    if (object->count < 2) return SENET_OK;
    const sn_json **members = malloc(object->count * sizeof *members);
    if (!members) return r->status = sn_fail_memory(object->count * sizeof *members, r->document->name);
    size_t count = 0;
    for (const sn_json *member = object->first; member; member = member->next) members[count++] = member;
    qsort(members, count, sizeof *members, compare_keys);
    for (size_t i = 1; i < count && r->status == SENET_OK; i++)
        if (strcmp(members[i - 1]->key, members[i]->key) == 0)
            r->status = sn_fail(SENET_BAD_DATA, "%s: byte %zu: the name '%s' is there twice", r->document->name,
                                members[i]->offset, members[i]->key);
    free(members);
    return r->status;
}

static int on_close_object(void *context)
{
    reader *r = context;
    token_start(r);
    const sn_json *object = r->levels[--r->depth].parent;
    return check_names_differ(r, object) == SENET_OK;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_open_object,
    .yajl_map_key = on_key,
    .yajl_end_map = on_close_object,
    .yajl_start_array = on_open_array,
    .yajl_end_array = on_close_array,
};

/* yajl's own complaint, with the first byte of the token it is about. */
static senet_status fail_syntax(reader *r)
{
    unsigned char *message = yajl_get_error(r->yajl, 0, r->bytes, r->size);
    if (!message) return r->status = sn_fail_memory(r->size, r->document->name);
    message[strcspn((char *)message, ".\n")] = '\0';
    fail_at(r, next_token(r), (const char *)message);
    yajl_free_error(r->yajl, message);
    return r->status;
}

static senet_status parse(reader *r)
{
    size_t good = sn_utf8_prefix(r->bytes, r->size);
    if (good < r->size) return fail_at(r, good, "not UTF-8");
    r->yajl = yajl_alloc(&callbacks, NULL, r);
    if (!r->yajl) return sn_fail_memory(r->size, r->document->name);
    yajl_status result = yajl_parse(r->yajl, r->bytes, r->size);
    if (r->status != SENET_OK) return r->status;
    if (result != yajl_status_ok) return fail_syntax(r);
    result = yajl_complete_parse(r->yajl); /* a number at the very end; an end that came too early */
    if (r->status != SENET_OK) return r->status;
    if (result != yajl_status_ok || !r->document->root) return fail_at(r, r->size, "the JSON text ends too early");
    return SENET_OK;
}

senet_status sn_json_parse(const void *bytes, size_t size, const char *name, size_t start, sn_json_document **document)
{
    sn_json_document *made = calloc(1, sizeof *made);
    if (!made) return sn_fail_memory(sizeof *made, name);
    reader r = {.document = made, .bytes = bytes, .size = size, .start = start};
    senet_status status;
    made->name = sn_arena_strdup(&made->arena, name);
    if (!made->name) {
        status = sn_fail_memory(strlen(name), name);
        goto cleanup;
    }
    SN_TRY(parse(&r), cleanup);
    *document = made;
    made = NULL;

cleanup:
    if (r.yajl) yajl_free(r.yajl);
    sn_json_destroy(made);
    return status;
}

senet_status sn_json_read(const char *path, size_t limit, sn_json_document **document)
{
    char *bytes = NULL;
    size_t size = 0;
    SN_RETURN_IF_FAILED(sn_file_read(path, limit, &bytes, &size));
    senet_status status = sn_json_parse(bytes, size, path, 0, document);
    free(bytes);
    return status;
}

void sn_json_destroy(sn_json_document *document)
{
    if (!document) return;
    sn_arena_free(&document->arena);
    free(document);
}

/* ---- typed access ---- */

const sn_json *sn_json_find(const sn_json *object, const char *key)
{
    if (!object || object->kind != SN_JSON_OBJECT) return NULL;
    for (const sn_json *member = object->first; member; member = member->next)
        if (strcmp(member->key, key) == 0) return member;
    return NULL;
}

const char *sn_json_kind_name(sn_json_kind kind)
{
    static const char *const names[] = {"null", "true or false", "a number", "a string", "an array", "an object"};
    return names[kind];
}

senet_status sn_json_expect(const sn_json_document *document, const sn_json *value, const char *what, sn_json_kind kind)
{
    if (!value) return sn_fail(SENET_BAD_DATA, "%s: %s is missing", document->name, what);
    if (value->kind == kind) return SENET_OK;
    return sn_fail(SENET_BAD_DATA, "%s: byte %zu: %s is %s, not %s", document->name, value->offset, what,
                   sn_json_kind_name(value->kind), sn_json_kind_name(kind));
}

senet_status sn_json_get_int64(const sn_json_document *document, const sn_json *value, const char *what,
                               int64_t *number)
{
    SN_RETURN_IF_FAILED(sn_json_expect(document, value, what, SN_JSON_NUMBER));
    if (sn_parse_int64(value->text, number)) return SENET_OK;
    return sn_fail(SENET_BAD_DATA, "%s: byte %zu: %s is %s, not a whole number of 64 bits", document->name,
                   value->offset, what, value->text);
}

senet_status sn_json_get_double(const sn_json_document *document, const sn_json *value, const char *what,
                                double *number)
{
    SN_RETURN_IF_FAILED(sn_json_expect(document, value, what, SN_JSON_NUMBER));
    if (sn_parse_double(value->text, number)) return SENET_OK;
    return sn_fail(SENET_BAD_DATA, "%s: byte %zu: %s is %s, beyond a double", document->name, value->offset, what,
                   value->text);
}

senet_status sn_json_get_string(const sn_json_document *document, const sn_json *value, const char *what,
                                const char **string)
{
    SN_RETURN_IF_FAILED(sn_json_expect(document, value, what, SN_JSON_STRING));
    *string = value->text;
    return SENET_OK;
}
