/* ops_records.h - the cases of ops.txt: vectors of single ops and blocks, full or in brief.
 *
 * "case ..." starts a case; "KEY v v v" is a whole tensor in file order, "KEY! l2 sum v0 .. v7" its L2 norm, sum and
 * first values; "run NAME" is a key of two words. */
#ifndef SENET_TESTS_OPS_RECORDS_H
#define SENET_TESTS_OPS_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ops_record {
    char *key;
    bool brief;
    double *values;
    size_t count;
    bool checked; /* in the current pass over the file */
} ops_record;

typedef struct ops_case {
    char *text; /* "pool max_ceil in=6x7 out=3x3" */
    ops_record *records;
    size_t count, capacity;
} ops_case;

typedef struct ops_file {
    uint64_t seed;
    ops_case *cases;
    size_t count, capacity;
} ops_file;

/* Reads the file; a line that is no record fails the running test. */
void ops_read(const char *path, ops_file *file);
void ops_free(ops_file *file);

/* "7" for key "stride" in a case "... stride=7 ..."; fails the test where it is missing.  Valid until the next call. */
const char *ops_field(const ops_case *c, const char *key);

/* Compares the next unchecked record of that key with a tensor in file order, relative to the tensor's largest value.
 * `mode` is for the message. */
void ops_check(ops_case *c, const char *mode, const char *key, const double *tensor, size_t count, double tolerance);
/* Every record of the case was checked; ready for the next pass. */
void ops_finish(ops_case *c, const char *mode);

#endif
