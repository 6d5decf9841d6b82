/* json.h - JSON (RFC 8259): writing, and reading whole documents on yajl. */
#ifndef SN_BASE_JSON_H
#define SN_BASE_JSON_H

#include "base/memory.h"
#include "base/text.h"

enum { SN_JSON_MAX_DEPTH = 64 };

/* ---- writing: commas, quotes and escapes are the writer's business ----
 *
 *     sn_json_writer json = {.text = &text};
 *     sn_json_open_object(&json, NULL);
 *     sn_json_add_double(&json, "loss", 0.25);
 *     sn_json_close_object(&json);          -> {"loss":0.25}
 *
 * `key` is the member's name inside an object and NULL elsewhere.  Failures (memory) are the text's. */
typedef struct sn_json_writer {
    sn_text *text;
    bool comma;  /* something stands before the next value of this level */
    bool pretty; /* every member on a line of its own, two spaces a level */
    int depth;
} sn_json_writer;

void sn_json_open_object(sn_json_writer *json, const char *key);
void sn_json_close_object(sn_json_writer *json);
void sn_json_open_array(sn_json_writer *json, const char *key);
void sn_json_close_array(sn_json_writer *json);
/* NULL is written as null; bytes that are not UTF-8 (file names) become U+FFFD. */
void sn_json_add_string(sn_json_writer *json, const char *key, const char *value);
/* Reads back as the same number; null where not finite. */
void sn_json_add_double(sn_json_writer *json, const char *key, double value);
void sn_json_add_float(sn_json_writer *json, const char *key, float value);
void sn_json_add_int(sn_json_writer *json, const char *key, int64_t value);
void sn_json_add_bool(sn_json_writer *json, const char *key, bool value);
void sn_json_add_null(sn_json_writer *json, const char *key);

/* ---- reading: the document as a tree, in one arena ---- */

typedef enum sn_json_kind {
    SN_JSON_NULL,
    SN_JSON_BOOL,
    SN_JSON_NUMBER,
    SN_JSON_STRING,
    SN_JSON_ARRAY,
    SN_JSON_OBJECT
} sn_json_kind;

typedef struct sn_json {
    sn_json_kind kind;
    bool boolean;
    const char *key;              /* its name in the object around it, else NULL */
    const char *text;             /* contents of a string, digits of a number; NUL-terminated, no NUL inside */
    size_t count;                 /* of an array's or object's children */
    struct sn_json *first, *next; /* the children in document order */
    size_t offset;                /* of its first byte in the file */
} sn_json;

typedef struct sn_json_document {
    sn_arena arena;
    sn_json *root;
    const char *name; /* of the file, for messages */
} sn_json_document;

/* Parses one JSON value.  Strict: well-formed UTF-8 only, nothing after the value but white space, no object with the
 * same name twice, no NUL or lone surrogate in strings, at most SN_JSON_MAX_DEPTH levels.  `start` is the file offset
 * of bytes[0]. SENET_BAD_DATA with "NAME: byte 17: ..." otherwise. */
senet_status sn_json_parse(const void *bytes, size_t size, const char *name, size_t start, sn_json_document **document);
/* The same for a file of at most `limit` bytes. */
senet_status sn_json_read(const char *path, size_t limit, sn_json_document **document);
void sn_json_destroy(sn_json_document *document);

/* The member of that name, NULL when absent or `object` is none (or NULL). */
const sn_json *sn_json_find(const sn_json *object, const char *key);
const char *sn_json_kind_name(sn_json_kind kind); /* "a string" */

/* Typed access; SENET_BAD_DATA with "NAME: byte 17: 'shape' is a string, not a whole number".  `value` may be NULL
 * (absent), which is reported the same way; `what` names it. */
senet_status sn_json_get_int64(const sn_json_document *document, const sn_json *value, const char *what,
                               int64_t *number);
senet_status sn_json_get_double(const sn_json_document *document, const sn_json *value, const char *what,
                                double *number);
senet_status sn_json_get_string(const sn_json_document *document, const sn_json *value, const char *what,
                                const char **string);
/* Checks the kind. */
senet_status sn_json_expect(const sn_json_document *document, const sn_json *value, const char *what,
                            sn_json_kind kind);

#endif
