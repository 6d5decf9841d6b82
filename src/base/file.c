/* file.c - see file.h: reading and mapping, folders.  The atomic writer is in file_writer.c. */
#define _GNU_SOURCE
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static senet_status fail_reading(const char *path, int error)
{
    if (error == ENOMEM) return sn_fail(SENET_NO_MEMORY, "%s: %s", path, strerror(error));
    return sn_fail(SENET_NO_INPUT, "%s: %s", path, strerror(error));
}

/* Opens a file and its facts; a folder is an error here, where open() would take it. */
static senet_status open_for_reading(const char *path, int *descriptor, struct stat *facts)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (file < 0) return fail_reading(path, errno);
    int error = 0;
    if (fstat(file, facts) != 0)
        error = errno;
    else if (S_ISDIR(facts->st_mode))
        error = EISDIR;
    if (error) {
        close(file);
        return fail_reading(path, error);
    }
    *descriptor = file;
    return SENET_OK;
}

static senet_status fail_too_large(const char *path, size_t limit)
{
    return sn_fail(SENET_BAD_DATA, "%s: larger than the %zu bytes that are allowed", path, limit);
}

senet_status sn_file_read(const char *path, size_t limit, char **bytes, size_t *size)
{
    senet_status status;
    struct stat facts;
    char *buffer = NULL;
    size_t length = 0, capacity;
    int file = -1;

    SN_RETURN_IF_FAILED(open_for_reading(path, &file, &facts));
    if (limit > SIZE_MAX / 4) limit = SIZE_MAX / 4;
    if (S_ISREG(facts.st_mode) && (uintmax_t)facts.st_size > limit) {
        status = fail_too_large(path, limit);
        goto cleanup;
    }
    /* One byte more than expected, so that the end of the file shows without growing. */
    capacity = S_ISREG(facts.st_mode) ? (size_t)facts.st_size + 1 : 65536;
    for (;;) {
        char *grown = realloc(buffer, capacity + 1);
        if (!grown) {
            status = sn_fail_memory(capacity, path);
            goto cleanup;
        }
        buffer = grown;
        ssize_t got = 1;
        while (length < capacity && got != 0) {
            got = read(file, buffer + length, capacity - length);
            if (got < 0 && errno != EINTR) {
                status = fail_reading(path, errno);
                goto cleanup;
            }
            if (got > 0) length += (size_t)got;
        }
        if (length > limit) {
            status = fail_too_large(path, limit);
            goto cleanup;
        }
        if (got == 0) break;
        capacity *= 2;
    }
    buffer[length] = '\0';
    *bytes = buffer;
    *size = length;
    buffer = NULL;
    status = SENET_OK;

cleanup:
    free(buffer);
    close(file);
    return status;
}

senet_status sn_file_map(const char *path, sn_mapping *mapping)
{
    struct stat facts;
    int file = -1;
    SN_RETURN_IF_FAILED(open_for_reading(path, &file, &facts));
    senet_status status = SENET_OK;
    if (!S_ISREG(facts.st_mode)) {
        status = sn_fail(SENET_NO_INPUT, "%s: not a regular file", path);
    } else if (facts.st_size == 0) {
        *mapping = (sn_mapping){.bytes = "", .size = 0};
    } else {
        void *bytes = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (bytes == MAP_FAILED)
            status = fail_reading(path, errno);
        else
            *mapping = (sn_mapping){.bytes = bytes, .size = (size_t)facts.st_size};
    }
    close(file);
    return status;
}

void sn_file_unmap(sn_mapping *mapping)
{
    if (mapping->size) munmap((void *)(uintptr_t)mapping->bytes, mapping->size);
    *mapping = (sn_mapping){0};
}

char *sn_path_join(const char *folder, const char *name)
{
    size_t length = strlen(folder);
    if (!length || name[0] == '/') return strdup(name);
    size_t slash = folder[length - 1] != '/', name_bytes = strlen(name) + 1;
    char *path = malloc(length + slash + name_bytes);
    if (!path) return NULL;
    memcpy(path, folder, length);
    if (slash) path[length] = '/';
    memcpy(path + length + slash, name, name_bytes);
    return path;
}

bool sn_is_directory(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

bool sn_is_file(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISREG(facts.st_mode);
}

/* mkdir that is content with a folder that is there. */
static int ensure_directory(const char *path)
{
    if (mkdir(path, 0777) == 0 || sn_is_directory(path)) return 0;
    return errno == EEXIST ? ENOTDIR : errno;
}

senet_status sn_make_directories(const char *path)
{
    char *prefix = strdup(path);
    if (!prefix) return sn_fail_memory(strlen(path) + 1, "a path");
    int error = *path ? 0 : ENOENT;
    for (char *p = prefix + 1; !error && p[-1] && *p; p++) {
        if (*p != '/') continue;
        *p = '\0';
        error = ensure_directory(prefix);
        if (!error) *p = '/';
    }
    if (!error) error = ensure_directory(prefix);
    senet_status status = error ? sn_fail(SENET_CANNOT_WRITE, "%s: %s", prefix, strerror(error)) : SENET_OK;
    free(prefix);
    return status;
}
