/* tar.c - "tar:GLOB": shards of a data set, tar archives as WebDataset writes them.
 *
 * Members whose names are the same up to the first dot of the last part are one sample: "n01/0007.jpg" (or .jpeg, .png)
 * and its label, "n01/0007.cls" (a whole number) or "n01/0007.json" (an object whose "label" or "cls" is one); other
 * members are passed over.  Opening walks through the headers by libarchive and keeps where each picture lies; reading
 * one is a pread.  That takes archives as they are: a compressed one is refused.  Shards come in the order of their
 * names and serve both splits; "tar:DIR" is DIR/train*.tar for one and DIR/val*.tar for the other.  Compiled where
 * CMake found libarchive. */
#ifdef SENET_WITH_ARCHIVE
#define _GNU_SOURCE
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "data/photographs.h"

enum { BLOCK_BYTES = 1 << 12, MOST_LABEL_BYTES = 1 << 20, MOST_CLASSES = 1 << 20 };
static const int64_t MOST_PICTURE_BYTES = 1 << 30;

typedef struct member {
    const char *shard;
    int64_t offset, size; /* bytes */
} member;

typedef struct tar_set {
    sn_photographs photographs;
    member *members; /* of the pictures */
    size_t capacity;
} tar_set;

/* ---- reading ---- */

static void tar_close(sn_dataset *dataset)
{
    tar_set *set = (tar_set *)dataset;
    free(set->members);
    sn_photographs_free(&set->photographs);
    free(set);
}

static senet_status read_at(int file, const member *m, char *bytes, const char *path)
{
    for (int64_t done = 0; done < m->size;) {
        const ssize_t got = pread(file, bytes + done, (size_t)(m->size - done), m->offset + done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return sn_fail(SENET_NO_INPUT, "%s: %s", path, strerror(errno));
        if (got == 0)
            return sn_fail(SENET_BAD_DATA, "%s: truncated: the shard ends after %" PRId64 " of %" PRId64 " bytes", path,
                           done, m->size);
        done += got;
    }
    return SENET_OK;
}

/* A shard is opened for each picture: a large set has more of them than a process may have files. */
static senet_status tar_bytes(const sn_dataset *dataset, int64_t sample, char **bytes, size_t *size)
{
    const member *m = &((const tar_set *)dataset)->members[sample];
    const char *path = dataset->path(dataset, sample);
    const int file = open(m->shard, O_RDONLY | O_CLOEXEC);
    if (file < 0) return sn_fail(SENET_NO_INPUT, "%s: %s", m->shard, strerror(errno));
    char *room = malloc((size_t)m->size + 1);
    senet_status status = room ? read_at(file, m, room, path) : sn_fail_memory((size_t)m->size, path);
    close(file);
    if (status == SENET_OK) {
        room[m->size] = '\0';
        *bytes = room;
        *size = (size_t)m->size;
    } else
        free(room);
    return status;
}

/* ---- the index ---- */

/* The sample whose members are being met. */
typedef struct sample {
    char *key;     /* what its members' names have in common; NULL before the first */
    char *picture; /* the name of its picture, or NULL */
    member where;
    int64_t label; /* -1: not met */
} sample;

typedef struct shard_reader {
    tar_set *set;
    const char *path;
    int64_t size; /* of the file */
    struct archive *archive;
    sample current;
} shard_reader;

static void sample_free(sample *s)
{
    free(s->key);
    free(s->picture);
    *s = (sample){.label = -1};
}

/* Puts a sample whose members have all been met into the set. */
static senet_status finish_sample(shard_reader *r)
{
    sn_photographs *photographs = &r->set->photographs;
    const sample *s = &r->current;
    const size_t count = (size_t)photographs->base.info.count;
    if (!s->picture && s->label < 0) return SENET_OK; /* members of no interest */
    if (!s->picture) return sn_fail(SENET_BAD_DATA, "%s: '%s' has a label, but no picture", r->path, s->key);
    if (s->label < 0) return sn_fail(SENET_BAD_DATA, "%s: '%s' has no label (.cls or .json)", r->path, s->picture);
    sn_text path = {0};
    sn_text_printf(&path, "%s/%s", r->path, s->picture);
    senet_status status = sn_text_check(&path, "a path");
    if (status == SENET_OK && !sn_grow(&r->set->members, sizeof *r->set->members, &r->set->capacity, count + 1))
        status = sn_fail_memory((count + 1) * sizeof *r->set->members, "the list of pictures");
    if (status == SENET_OK) r->set->members[count] = s->where;
    if (status == SENET_OK) status = sn_photographs_add(photographs, sn_text_string(&path), (int32_t)s->label);
    if (s->label >= photographs->base.info.classes) photographs->base.info.classes = s->label + 1;
    sn_text_free(&path);
    return status;
}

/* Where the ending begins: at the first dot of the name's last part; NULL where there is none. */
static const char *ending_of(const char *name)
{
    const char *slash = strrchr(name, '/');
    return strchr(slash ? slash + 1 : name, '.');
}

/* Begins another sample where the member is none of the current one. */
static senet_status enter_sample(shard_reader *r, const char *name, const char *ending)
{
    const size_t length = (size_t)(ending - name);
    sample *s = &r->current;
    if (s->key && strlen(s->key) == length && memcmp(s->key, name, length) == 0) return SENET_OK;
    senet_status status = finish_sample(r);
    sample_free(s);
    if (status == SENET_OK && !(s->key = strndup(name, length))) status = sn_fail_memory(length, r->path);
    return status;
}

static senet_status fail_label(const shard_reader *r, const char *name, const char *text)
{
    return sn_fail(SENET_BAD_DATA, "%s/%s: label '%.40s' is not a whole number of 0..%d", r->path, name, text,
                   MOST_CLASSES - 1);
}

/* "label" or "cls" of a JSON object; an object without either is no label. */
static senet_status json_label(const shard_reader *r, const char *name, const char *bytes, size_t size, int64_t *label)
{
    sn_json_document *document = NULL;
    senet_status status;
    SN_TRY(sn_json_parse(bytes, size, name, 0, &document), cleanup);
    const sn_json *found = sn_json_find(document->root, "label");
    if (!found) found = sn_json_find(document->root, "cls");
    if (found) SN_TRY(sn_json_get_int64(document, found, "label", label), cleanup);
cleanup:
    sn_json_destroy(document);
    if (status != SENET_OK) sn_fail_context(status, "%s", r->path);
    return status;
}

static senet_status fail_archive(const shard_reader *r, const char *name)
{
    const char *why = archive_error_string(r->archive);
    return sn_fail(SENET_BAD_DATA, "%s: %s%s%s", r->path, name, *name ? ": " : "", why ? why : "damaged archive");
}

static senet_status read_label(shard_reader *r, const char *name, int64_t size, bool json)
{
    int64_t label = -1;
    if (size > MOST_LABEL_BYTES)
        return sn_fail(SENET_BAD_DATA, "%s/%s: a label of %" PRId64 " bytes", r->path, name, size);
    char *text = malloc((size_t)size + 1);
    if (!text) return sn_fail_memory((size_t)size, name);
    senet_status status = SENET_OK;
    if (archive_read_data(r->archive, text, (size_t)size) != size) {
        status = fail_archive(r, name);
        goto cleanup;
    }
    text[size] = '\0';
    if (json) {
        SN_TRY(json_label(r, name, text, (size_t)size, &label), cleanup);
        if (label == -1) goto cleanup;
    } else {
        text[strcspn(text, " \t\r\n")] = '\0';
        if (!sn_parse_int64(text, &label)) label = -1;
    }
    if (label < 0 || label >= MOST_CLASSES)
        status = fail_label(r, name, text);
    else
        r->current.label = label;
cleanup:
    free(text);
    return status;
}

static senet_status read_picture(shard_reader *r, const char *name, int64_t size)
{
    sample *s = &r->current;
    if (s->picture)
        return sn_fail(SENET_BAD_DATA, "%s: '%s' has two pictures, %s and %s", r->path, s->key, s->picture, name);
    if (size > MOST_PICTURE_BYTES)
        return sn_fail(SENET_BAD_DATA, "%s/%s: a picture of %" PRId64 " bytes", r->path, name, size);
    s->where = (member){.shard = r->path, .offset = archive_filter_bytes(r->archive, -1), .size = size};
    s->picture = strdup(name);
    return s->picture ? SENET_OK : sn_fail_memory(strlen(name), r->path);
}

static senet_status read_member(shard_reader *r, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry), *ending = name ? ending_of(name) : NULL;
    const int64_t size = archive_entry_size(entry), begin = archive_filter_bytes(r->archive, -1);
    if (!ending || archive_entry_filetype(entry) != AE_IFREG) return SENET_OK;
    if (size < 0 || begin > r->size - size)
        return sn_fail(SENET_BAD_DATA, "%s: truncated: it ends inside %s, after %" PRId64 " of %" PRId64 " bytes",
                       r->path, name, r->size > begin ? r->size - begin : 0, size);
    SN_RETURN_IF_FAILED(enter_sample(r, name, ending));
    if (strcmp(ending, ".cls") == 0 || strcmp(ending, ".json") == 0) return read_label(r, name, size, ending[1] == 'j');
    return sn_has_picture_name(ending) ? read_picture(r, name, size) : SENET_OK;
}

/* An archive that pread could not be used on. */
static senet_status check_plain(const char *path, int64_t *size)
{
    static const struct {
        const char *start, *name;
    } packers[] = {{"\x1F\x8B", "gzip"},
                   {"BZh", "bzip2"},
                   {"\xFD"
                    "7zXZ",
                    "xz"},
                   {"\x28\xB5\x2F\xFD", "zstd"}};
    char start[8] = "";
    struct stat about;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return sn_fail(SENET_NO_INPUT, "%s: %s", path, strerror(errno));
    const bool read = fstat(file, &about) == 0 && pread(file, start, sizeof start, 0) >= 0;
    const int why = errno;
    close(file);
    if (!read) return sn_fail(SENET_NO_INPUT, "%s: %s", path, strerror(why));
    for (size_t i = 0; i < sizeof packers / sizeof *packers; i++)
        if (memcmp(start, packers[i].start, strlen(packers[i].start)) == 0)
            return sn_fail(SENET_BAD_DATA,
                           "%s: packed by %s, so that single pictures cannot be reached; unpack it to a plain .tar",
                           path, packers[i].name);
    *size = about.st_size;
    return SENET_OK;
}

static senet_status index_shard(tar_set *set, const char *path)
{
    shard_reader r = {.set = set, .path = path, .current = {.label = -1}};
    struct archive_entry *entry;
    senet_status status;
    int result;
    SN_RETURN_IF_FAILED(check_plain(path, &r.size));
    r.archive = archive_read_new();
    if (!r.archive) return sn_fail_memory(0, path);
    archive_read_support_format_tar(r.archive);
    if (archive_read_open_filename(r.archive, path, BLOCK_BYTES) != ARCHIVE_OK) {
        status = fail_archive(&r, "");
        goto cleanup;
    }
    while ((result = archive_read_next_header(r.archive, &entry)) == ARCHIVE_OK || result == ARCHIVE_WARN)
        SN_TRY(read_member(&r, entry), cleanup);
    if (result == ARCHIVE_EOF)
        status = finish_sample(&r);
    else
        status = fail_archive(&r, r.current.key ? r.current.key : "");
cleanup:
    sample_free(&r.current);
    archive_read_free(r.archive);
    return status;
}

/* ---- the data set ---- */

static senet_status index_shards(tar_set *set, const char *pattern, bool *any)
{
    glob_t found = {0};
    senet_status status = SENET_OK;
    const int result = glob(pattern, GLOB_BRACE | GLOB_TILDE, NULL, &found);
    *any = result == 0;
    if (result == GLOB_NOSPACE)
        status = sn_fail_memory(0, pattern);
    else if (result == GLOB_ABORTED)
        status = sn_fail(SENET_NO_INPUT, "%s: a folder in it cannot be read", pattern);
    for (size_t i = 0; result == 0 && i < found.gl_pathc && status == SENET_OK; i++) {
        const char *path = sn_arena_strdup(&set->photographs.arena, found.gl_pathv[i]);
        status = path ? index_shard(set, path) : sn_fail_memory(strlen(found.gl_pathv[i]), pattern);
    }
    globfree(&found);
    return status;
}

static senet_status fill(tar_set *set, const char *pattern, sn_split split)
{
    bool any;
    const char *chosen = pattern;
    if (sn_is_directory(pattern)) {
        chosen =
            sn_arena_printf(&set->photographs.arena, "%s/%s*.tar", pattern, split == SN_SPLIT_TRAIN ? "train" : "val");
        if (!chosen) return sn_fail_memory(strlen(pattern), pattern);
    }
    SN_RETURN_IF_FAILED(index_shards(set, chosen, &any));
    if (!any) return sn_fail(SENET_NO_INPUT, "%s: no such file", chosen);
    if (set->photographs.base.info.count > 0) return SENET_OK;
    return sn_fail(SENET_BAD_DATA, "%s: no pictures (.jpg, .jpeg or .png with .cls or .json) in it", chosen);
}

static senet_status tar_open(const char *pattern, sn_split split, sn_dataset **dataset)
{
    if (!pattern || !*pattern)
        return sn_fail(SENET_USAGE, "data set 'tar': no files; write tar:GLOB, as in tar:train-*.tar");
    tar_set *set = calloc(1, sizeof *set);
    if (!set) return sn_fail_memory(sizeof *set, pattern);
    sn_dataset *base = &set->photographs.base;
    sn_photographs_begin(&set->photographs, "tar");
    base->bytes = tar_bytes;
    base->close = tar_close;
    senet_status status = fill(set, pattern, split);
    if (status == SENET_OK)
        *dataset = base;
    else
        tar_close(base);
    return status;
}
#else
#include "data/dataset.h"

static senet_status tar_open(const char *pattern, sn_split split, sn_dataset **dataset)
{
    (void)split;
    (void)dataset;
    return sn_fail(SENET_USAGE, "data set 'tar:%s': this build is without libarchive", pattern ? pattern : "");
}
#endif

const sn_dataset_kind sn_dataset_tar = {"tar", "tar:GLOB", tar_open};
