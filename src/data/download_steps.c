/* download_steps.c - the three steps of a download over libcurl, nettle and libarchive.  Compiled where CMake found all
 * three (SENET_WITH_DOWNLOAD). */
#ifdef SENET_WITH_DOWNLOAD
#define _POSIX_C_SOURCE 200809L
#include <archive.h>
#include <archive_entry.h>
#include <curl/curl.h>
#include <errno.h>
#include <nettle/md5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/download.h"

enum { BUFFER_BYTES = 1 << 16, CONNECT_SECONDS = 30, STALL_SECONDS = 60, MAX_FILES = 16 };
static const int64_t MAX_ARCHIVE_BYTES = INT64_C(1) << 30, MAX_FILE_BYTES = INT64_C(1) << 30;

/* ---- fetch ---- */

typedef struct transfer {
    sn_progress progress;
    void *context;
    const char *what;
    curl_off_t before; /* bytes that were there already */
} transfer;

static int report(void *argument, curl_off_t total, curl_off_t now, curl_off_t upload_total, curl_off_t upload_now)
{
    const transfer *state = argument;
    (void)upload_total;
    (void)upload_now;
    if (state->progress && total > 0)
        state->progress(state->context, (double)(state->before + now), (double)(state->before + total), state->what);
    return 0;
}

static void restrict_protocols(CURL *curl)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

/* One GET of what lies behind the file's end.  *restart: the server cannot serve a part; the whole is needed. */
static senet_status get_rest(const char *url, const char *path, transfer *state, bool *restart)
{
    senet_status status = SENET_OK;
    char reason[CURL_ERROR_SIZE] = "";
    struct stat about;
    FILE *file = fopen(path, "ab");
    CURL *curl = curl_easy_init();
    *restart = false;
    if (!file || fstat(fileno(file), &about) != 0) {
        status = sn_fail(SENET_CANNOT_WRITE, "%s: %s", path, strerror(errno));
        goto cleanup;
    }
    if (!curl) {
        status = sn_fail(SENET_INTERNAL, "%s: libcurl does not start", url);
        goto cleanup;
    }
    state->before = about.st_size;
    restrict_protocols(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, file);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "senet");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
    curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)MAX_ARCHIVE_BYTES);
    curl_easy_setopt(curl, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)about.st_size);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, report);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, state);
    CURLcode code = curl_easy_perform(curl);
    long response = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response);
    if (code == CURLE_RANGE_ERROR && about.st_size > 0) {
        *restart = true;
    } else if (code == CURLE_HTTP_RETURNED_ERROR && response == 416 && about.st_size > 0) {
        /* nothing lies behind the file's end: it is whole, which the checksum will show */
    } else if (code == CURLE_WRITE_ERROR) {
        status = sn_fail(SENET_CANNOT_WRITE, "%s: %s", path, strerror(errno));
    } else if (code != CURLE_OK) {
        status = sn_fail(SENET_NO_INPUT, "%s: %s", url, *reason ? reason : curl_easy_strerror(code));
    }
cleanup:
    curl_easy_cleanup(curl);
    if (file && fclose(file) != 0 && status == SENET_OK)
        status = sn_fail(SENET_CANNOT_WRITE, "%s: %s", path, strerror(errno));
    return status;
}

senet_status sn_download_fetch(const char *url, const char *path, const char *what, sn_progress progress, void *context)
{
    transfer state = {.progress = progress, .context = context, .what = what};
    bool restart;
    SN_RETURN_IF_FAILED(get_rest(url, path, &state, &restart));
    if (!restart) return SENET_OK;
    if (remove(path) != 0) return sn_fail(SENET_CANNOT_WRITE, "%s: %s", path, strerror(errno));
    return get_rest(url, path, &state, &restart);
}

/* ---- check ---- */

senet_status sn_download_md5(const char *path, char text[SN_MD5_TEXT])
{
    uint8_t digest[MD5_DIGEST_SIZE];
    struct md5_ctx md5;
    sn_mapping file = {0};
    SN_RETURN_IF_FAILED(sn_file_map(path, &file));
    md5_init(&md5);
    md5_update(&md5, file.size, file.bytes);
    md5_digest(&md5, sizeof digest, digest);
    sn_file_unmap(&file);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return SENET_OK;
}

/* ---- unpack ---- */

/* Which of `files` the entry is: its name must be FOLDER/file exactly, with or without "./", so that no name of an
 * archive can lead out of the folder.  -1: none. */
static int find_entry(const char *entry, const char *folder, const char *const *files)
{
    if (!entry) return -1;
    if (strncmp(entry, "./", 2) == 0) entry += 2;
    size_t length = strlen(folder);
    if (strncmp(entry, folder, length) != 0 || entry[length] != '/') return -1;
    for (int i = 0; files[i]; i++)
        if (strcmp(entry + length + 1, files[i]) == 0) return i;
    return -1;
}

static senet_status unpack_file(struct archive *reader, const char *archive_path, const char *path)
{
    senet_status status;
    sn_file_writer *writer = NULL;
    uint8_t buffer[BUFFER_BYTES];
    int64_t total = 0;
    SN_TRY(sn_file_writer_open(path, &writer), cleanup);
    for (;;) {
        la_ssize_t got = archive_read_data(reader, buffer, sizeof buffer);
        if (got == 0) break;
        if (got < 0) {
            status = sn_fail(SENET_BAD_DATA, "%s: %s", archive_path, archive_error_string(reader));
            goto cleanup;
        }
        total += got;
        if (total > MAX_FILE_BYTES) {
            status = sn_fail(SENET_BAD_DATA, "%s: %s would be larger than %lld bytes", archive_path, path,
                             (long long)MAX_FILE_BYTES);
            goto cleanup;
        }
        SN_TRY(sn_file_writer_write(writer, buffer, (size_t)got), cleanup);
    }
    return sn_file_writer_commit(writer);
cleanup:
    sn_file_writer_discard(writer);
    return status;
}

senet_status sn_download_unpack(const char *archive_path, const char *folder, const char *const *files,
                                const char *directory, sn_progress progress, void *context)
{
    senet_status status;
    sn_arena arena = {0};
    bool found[MAX_FILES] = {false};
    int wanted = 0, done = 0;
    while (files[wanted]) wanted++;
    struct archive *reader = archive_read_new();
    const char *target = sn_arena_printf(&arena, "%s/%s", directory, folder);
    if (!reader || !target) {
        status = sn_fail_memory(strlen(directory) + BUFFER_BYTES, archive_path);
        goto cleanup;
    }
    SN_TRY(sn_make_directories(target), cleanup);
    archive_read_support_filter_gzip(reader);
    archive_read_support_format_tar(reader);
    int code = archive_read_open_filename(reader, archive_path, BUFFER_BYTES);
    for (struct archive_entry *entry; code == ARCHIVE_OK && done < wanted;) {
        code = archive_read_next_header(reader, &entry);
        if (code != ARCHIVE_OK) break;
        int file = find_entry(archive_entry_pathname(entry), folder, files);
        if (file < 0 || archive_entry_filetype(entry) != AE_IFREG || found[file]) continue;
        if (progress) progress(context, done, wanted, files[file]);
        const char *path = sn_arena_printf(&arena, "%s/%s", target, files[file]);
        if (!path) {
            status = sn_fail_memory(strlen(target), archive_path);
            goto cleanup;
        }
        SN_TRY(unpack_file(reader, archive_path, path), cleanup);
        found[file] = true;
        done++;
    }
    if (code != ARCHIVE_OK && code != ARCHIVE_EOF) {
        status = sn_fail(SENET_BAD_DATA, "%s: %s", archive_path, archive_error_string(reader));
        goto cleanup;
    }
    for (int i = 0; i < wanted; i++)
        if (!found[i]) {
            status = sn_fail(SENET_BAD_DATA, "%s: has no %s/%s", archive_path, folder, files[i]);
            goto cleanup;
        }
    if (progress) progress(context, done, wanted, "unpacked");
cleanup:
    archive_read_free(reader);
    sn_arena_free(&arena);
    return status;
}

#endif
