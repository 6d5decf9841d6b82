/* file.h - whole files in, whole files out: reading, mapping, and writing so that a crash leaves the old file or the
 * new.
 *
 * Messages read "PATH: No space left on device". */
#ifndef SN_BASE_FILE_H
#define SN_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* ---- reading: SENET_NO_INPUT when the file cannot be opened or read ---- */

/* The whole file with a NUL behind it (not counted in *size); free(*bytes).  A file above `limit` bytes is
 * SENET_BAD_DATA. Reads pipes and devices too. */
senet_status sn_file_read(const char *path, size_t limit, char **bytes, size_t *size);

/* A file in memory, read-only; a zero-initialised mapping is empty.  Another program that shortens the file while it is
 * mapped makes the process fault, as for every mapping: files are replaced by rename, not overwritten. */
typedef struct sn_mapping {
    const void *bytes; /* not NULL, even for an empty file */
    size_t size;
} sn_mapping;
senet_status sn_file_map(const char *path, sn_mapping *mapping);
void sn_file_unmap(sn_mapping *mapping);

/* ---- writing ---- */

/* An atomic replacement: bytes go to "PATH.tmp"; commit makes them durable (fsync), renames the file over PATH and
 * makes the rename durable.  On any failure PATH is what it was and the temporary is gone.  A leftover of a killed
 * program is taken over; two writers of one path take turns.  A PATH that is a device or a pipe is written in place; a
 * symbolic link stays and its target is replaced. */
typedef struct sn_file_writer sn_file_writer;
senet_status sn_file_writer_open(const char *path, sn_file_writer **writer);
/* Buffered.  After a failure the writer is good only for discard. */
senet_status sn_file_writer_write(sn_file_writer *writer, const void *bytes, size_t size);
/* Ends the writer, whatever the result. */
senet_status sn_file_writer_commit(sn_file_writer *writer);
/* Drops what was written; takes NULL. */
void sn_file_writer_discard(sn_file_writer *writer);
/* All of it at once. */
senet_status sn_file_write(const char *path, const void *bytes, size_t size);

/* ---- paths ---- */

/* "folder/name", or a copy of `name` where it is absolute or the folder is empty; free().  NULL when memory is short.
 */
char *sn_path_join(const char *folder, const char *name);
/* The folder and all those above it that are missing; one that is there already is no error. */
senet_status sn_make_directories(const char *path);
bool sn_is_directory(const char *path);
bool sn_is_file(const char *path); /* a regular file */

#endif
