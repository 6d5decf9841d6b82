/* test_data_files.h - scratch folders and small CIFAR files for the tests of src/data. */
#ifndef SN_TEST_DATA_FILES_H
#define SN_TEST_DATA_FILES_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "data/cifar_format.h"

static inline int remove_entry(const char *path, const struct stat *about, int type, struct FTW *where)
{
    (void)about, (void)type, (void)where;
    return remove(path);
}

static inline void remove_scratch(char *folder)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

/* A new folder; remove_scratch() ends it. */
static inline char *make_scratch(void)
{
    const char *base = getenv("TMPDIR");
    char *folder = malloc(4096);
    snprintf(folder, 4096, "%s/senet-test-XXXXXX", base && *base ? base : "/tmp");
    assert_non_null(mkdtemp(folder));
    return folder;
}

/* FOLDER/NAME with these bytes. */
static inline void put_file(const char *folder, const char *name, const void *bytes, size_t size)
{
    char path[8192];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void put_text(const char *folder, const char *name, const char *text)
{
    put_file(folder, name, text, strlen(text));
}

/* The byte of a test picture: a function of record, plane and pixel. */
static inline uint8_t test_pixel(int record, int plane, int pixel)
{
    return (uint8_t)sn_rng_u64(sn_rng_key(5, SN_RNG_TEST, (uint64_t)record, (uint64_t)plane), (uint64_t)pixel);
}

/* Records `first`, `first + 1`, ...: `labels` label bytes (all record % classes), then test_pixel()s; free(). */
static inline uint8_t *make_records(int first, int count, int labels, int classes, size_t *size)
{
    size_t stride = (size_t)labels + SN_CIFAR_PIXEL_BYTES;
    uint8_t *bytes = malloc((size_t)count * stride);
    *size = (size_t)count * stride;
    for (int i = 0; i < count; i++) {
        uint8_t *record = bytes + (size_t)i * stride;
        memset(record, (first + i) % classes, (size_t)labels);
        for (int p = 0; p < SN_CIFAR_PIXEL_BYTES; p++)
            record[labels + p] = test_pixel(first + i, p / SN_CIFAR_PLANE, p % SN_CIFAR_PLANE);
    }
    return bytes;
}

static inline void put_records(const char *folder, const char *name, int first, int count, int labels, int classes)
{
    size_t size;
    uint8_t *bytes = make_records(first, count, labels, classes, &size);
    put_file(folder, name, bytes, size);
    free(bytes);
}

/* A whole CIFAR-10 set: 5 x 4 training records numbered 0..19, 3 test records numbered 100..102, and class names. */
static inline void put_cifar10(const char *folder)
{
    for (int i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin", i + 1);
        put_records(folder, name, 4 * i, 4, 1, 10);
    }
    put_records(folder, "test_batch.bin", 100, 3, 1, 10);
    put_text(folder, "batches.meta.txt", "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
}

#endif
