/* scratch.h - for parsers that read files: a folder of this process's own, gone at its end; in memory where the system
 * has such a place, since a busy disk makes a parser look slow. */
#ifndef SN_TESTS_FUZZ_SCRATCH_H
#define SN_TESTS_FUZZ_SCRATCH_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char scratch_folder[64], scratch_paths[4][96];
static int scratch_files;

static void remove_scratch(void)
{
    for (int i = 0; i < scratch_files; i++) unlink(scratch_paths[i]);
    rmdir(scratch_folder);
}

/* The path of a file of that name in the folder; at most four. */
static const char *scratch_path(const char *name)
{
    if (scratch_files == 0) {
        const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        snprintf(scratch_folder, sizeof scratch_folder, "%s/senet-fuzz-XXXXXX", parent);
        if (!mkdtemp(scratch_folder) || atexit(remove_scratch) != 0) exit(EXIT_FAILURE);
    }
    if (scratch_files == 4) exit(EXIT_FAILURE);
    char *path = scratch_paths[scratch_files++];
    snprintf(path, sizeof scratch_paths[0], "%s/%s", scratch_folder, name);
    return path;
}

/* Gives the file these contents: over the old ones, and cut to size. */
static void scratch_write(const char *path, const void *bytes, size_t size)
{
    const int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || pwrite(file, bytes, size, 0) != (ssize_t)size || ftruncate(file, (off_t)size) != 0)
        exit(EXIT_FAILURE);
    close(file);
}

#endif
