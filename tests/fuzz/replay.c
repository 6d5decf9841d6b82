/* replay.c - runs a harness without a fuzzer: its seeds, every truncation of them, and a few thousand mutations that
 * are the same each time; so every compiler's test run exercises the parsers.
 *
 *   replay_<parser>                 the test
 *   replay_<parser> --seeds DIR     writes the seeds, for a fuzzer to begin with
 *   replay_<parser> FILE...         the given inputs, to look into a finding */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/rng.h"
#include "fuzz/fuzz.h"

enum { CAPACITY = 1 << 16, MUTATIONS = 4000, MAX_EDITS = 4, MAX_TRUNCATIONS = 300 };

/* Numbers that parsers stumble over. */
static const uint8_t awkward[] = {0, 1, 0x7f, 0x80, 0xff, '"', '\\', '{', '}', '[', ']', '-', '9', ',', ' ', '\n'};

/* One edit: a bit, a byte, a run of bytes moved, removed or doubled. */
static size_t edit(uint8_t *bytes, size_t size, uint64_t key)
{
    if (size == 0) return 0;
    size_t at = sn_rng_below(key, 0, size), run = 1 + sn_rng_below(key, 1, size - at < 16 ? size - at : 16);
    switch (sn_rng_below(key, 2, 6)) {
    case 0:
        bytes[at] ^= (uint8_t)(1u << sn_rng_below(key, 3, 8));
        return size;
    case 1:
        bytes[at] = (uint8_t)sn_rng_u64(key, 3);
        return size;
    case 2:
        memset(bytes + at, awkward[sn_rng_below(key, 3, sizeof awkward)], run);
        return size;
    case 3:
        memmove(bytes + at, bytes + sn_rng_below(key, 3, size - run + 1), run);
        return size;
    case 4:
        memmove(bytes + at, bytes + at + run, size - at - run);
        return size - run;
    default:
        if (size + run > CAPACITY) return size;
        memmove(bytes + at + run, bytes + at, size - at);
        return size + run;
    }
}

/* The harness on a block of exactly this size, so that a sanitizer sees a read beyond the end. */
static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) exit(EXIT_FAILURE);
    memcpy(exact, bytes, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static void replay(size_t index, const uint8_t *seed, size_t size)
{
    static uint8_t bytes[CAPACITY];
    size_t step = size / MAX_TRUNCATIONS + 1;
    for (size_t cut = 0; cut <= size; cut += step) run(seed, cut);
    run(seed, size);
    for (uint64_t m = 0; m < MUTATIONS; m++) {
        size_t mutated = size;
        memcpy(bytes, seed, size);
        for (uint64_t e = 0; e <= m % MAX_EDITS; e++)
            mutated = edit(bytes, mutated, sn_rng_key(index, SN_RNG_TEST, m, e));
        run(bytes, mutated);
    }
}

static int write_seed(const char *folder, size_t index, const uint8_t *seed, size_t size)
{
    char name[32];
    snprintf(name, sizeof name, "seed-%zu", index);
    char *path = sn_path_join(folder, name);
    int failed = !path || sn_file_write(path, seed, size) != SENET_OK;
    if (failed) fprintf(stderr, "%s\n", senet_last_error());
    free(path);
    return failed;
}

static int run_file(const char *path)
{
    char *bytes = NULL;
    size_t size = 0;
    if (sn_file_read(path, CAPACITY * 16, &bytes, &size) != SENET_OK) {
        fprintf(stderr, "%s\n", senet_last_error());
        return 1;
    }
    run((const uint8_t *)bytes, size);
    free(bytes);
    return 0;
}

int main(int count, char **arguments)
{
    static uint8_t seed[CAPACITY];
    bool write = count == 3 && strcmp(arguments[1], "--seeds") == 0;
    int failed = 0;
    if (count > 1 && !write) {
        for (int i = 1; i < count; i++) failed |= run_file(arguments[i]);
        return failed;
    }
    size_t seeds = 0, size;
    for (; (size = senet_fuzz_seed(seeds, seed, sizeof seed)) > 0; seeds++) {
        if (write)
            failed |= write_seed(arguments[2], seeds, seed, size);
        else
            replay(seeds, seed, size);
    }
    if (!write) printf("%zu seeds, each whole, cut short and in %d mutations\n", seeds, MUTATIONS);
    return failed || seeds == 0;
}
