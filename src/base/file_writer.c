/* file_writer.c - the atomic writer of file.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { BUFFER_BYTES = 1 << 16 };

struct sn_file_writer {
    char *shown;     /* the path as the caller gave it: for messages */
    char *path;      /* where links lead */
    char *temporary; /* "PATH.tmp"; NULL when the path is a device or a pipe */
    int file;
    size_t buffered;
    char buffer[BUFFER_BYTES];
};

static senet_status fail_writing(const char *path, int error)
{
    return sn_fail(SENET_CANNOT_WRITE, "%s: %s", path, strerror(error));
}

/* Frees the writer; removes the temporary file unless it was renamed. */
static void writer_free(sn_file_writer *writer, bool remove_temporary)
{
    if (!writer) return;
    if (writer->file >= 0) {
        /* Before the lock falls with close(), so that no other writer takes the file over and loses it. */
        if (remove_temporary && writer->temporary) unlink(writer->temporary);
        close(writer->file);
    }
    free(writer->shown);
    free(writer->path);
    free(writer->temporary);
    free(writer);
}

void sn_file_writer_discard(sn_file_writer *writer)
{
    writer_free(writer, true);
}

/* Whether the name still leads to the open file: a writer that waited for the lock may find it renamed away. */
static bool still_named(const char *name, int file)
{
    struct stat by_name, by_descriptor;
    return stat(name, &by_name) == 0 && fstat(file, &by_descriptor) == 0 && by_name.st_ino == by_descriptor.st_ino &&
           by_name.st_dev == by_descriptor.st_dev;
}

/* Opens, locks and empties the temporary file; -1 with errno on failure. */
static int open_temporary(const char *name)
{
    for (;;) {
        int file = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (file < 0) return -1;
        int locked;
        do locked = flock(file, LOCK_EX);
        while (locked != 0 && errno == EINTR);
        /* File systems without locks: writers of one path are then not kept apart, everything else holds. */
        if (locked == 0 && !still_named(name, file)) {
            close(file);
            continue;
        }
        if (ftruncate(file, 0) == 0) return file;
        int error = errno;
        close(file);
        errno = error;
        return -1;
    }
}

senet_status sn_file_writer_open(const char *path, sn_file_writer **writer)
{
    senet_status status;
    struct stat facts;
    sn_file_writer *made = calloc(1, sizeof *made);
    if (!made) return sn_fail_memory(sizeof *made, path);
    made->file = -1;
    made->shown = strdup(path);
    bool exists = stat(path, &facts) == 0;
    made->path = exists ? realpath(path, NULL) : strdup(path);
    if (!made->shown || !made->path) {
        status = sn_fail_memory(strlen(path), "a path");
        goto cleanup;
    }
    if (exists && S_ISDIR(facts.st_mode)) {
        status = fail_writing(path, EISDIR);
        goto cleanup;
    }
    if (exists && !S_ISREG(facts.st_mode)) {
        made->file = open(made->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    } else {
        size_t length = strlen(made->path);
        made->temporary = malloc(length + sizeof ".tmp");
        if (!made->temporary) {
            status = sn_fail_memory(length, "a path");
            goto cleanup;
        }
        memcpy(made->temporary, made->path, length);
        memcpy(made->temporary + length, ".tmp", sizeof ".tmp");
        made->file = open_temporary(made->temporary);
        if (made->file >= 0 && exists && fchmod(made->file, facts.st_mode & 0777) != 0) {
            status = fail_writing(path, errno);
            goto cleanup;
        }
    }
    if (made->file < 0) {
        status = fail_writing(path, errno);
        goto cleanup;
    }
    *writer = made;
    return SENET_OK;

cleanup:
    writer_free(made, true);
    return status;
}

static senet_status write_all(sn_file_writer *writer, const char *bytes, size_t size)
{
    while (size) {
        ssize_t done = write(writer->file, bytes, size);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return fail_writing(writer->shown, errno);
        bytes += done;
        size -= (size_t)done;
    }
    return SENET_OK;
}

senet_status sn_file_writer_write(sn_file_writer *writer, const void *bytes, size_t size)
{
    if (size > BUFFER_BYTES - writer->buffered) {
        SN_RETURN_IF_FAILED(write_all(writer, writer->buffer, writer->buffered));
        writer->buffered = 0;
    }
    if (size >= BUFFER_BYTES) return write_all(writer, bytes, size);
    if (size) memcpy(writer->buffer + writer->buffered, bytes, size);
    writer->buffered += size;
    return SENET_OK;
}

/* Makes the rename durable.  File systems that cannot sync a folder (EINVAL) have nothing more to give. */
static int sync_folder_of(char *path)
{
    int folder = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return errno == EACCES ? 0 : errno; /* a folder may be writable without being readable */
    int error = fsync(folder) == 0 || errno == EINVAL ? 0 : errno;
    close(folder);
    return error;
}

senet_status sn_file_writer_commit(sn_file_writer *writer)
{
    senet_status status = write_all(writer, writer->buffer, writer->buffered);
    bool renamed = false;
    if (status == SENET_OK && writer->temporary) {
        if (fsync(writer->file) != 0 || rename(writer->temporary, writer->path) != 0) {
            status = fail_writing(writer->shown, errno);
        } else {
            renamed = true;
            int error = sync_folder_of(writer->path);
            if (error) status = fail_writing(writer->shown, error);
        }
    }
    writer_free(writer, !renamed);
    return status;
}

senet_status sn_file_write(const char *path, const void *bytes, size_t size)
{
    sn_file_writer *writer = NULL;
    SN_RETURN_IF_FAILED(sn_file_writer_open(path, &writer));
    senet_status status = sn_file_writer_write(writer, bytes, size);
    if (status != SENET_OK) {
        sn_file_writer_discard(writer);
        return status;
    }
    return sn_file_writer_commit(writer);
}
