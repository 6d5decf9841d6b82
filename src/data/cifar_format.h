/* cifar_format.h - the bytes of the CIFAR binary files and of the two small text files beside them; no file access.
 *
 * A record is its label bytes, then 1,024 red, 1,024 green and 1,024 blue bytes of a 32x32 picture, row-major. */
#ifndef SN_DATA_CIFAR_FORMAT_H
#define SN_DATA_CIFAR_FORMAT_H

#include "base/memory.h"

enum { SN_CIFAR_SIDE = 32, SN_CIFAR_PLANE = SN_CIFAR_SIDE * SN_CIFAR_SIDE, SN_CIFAR_PIXEL_BYTES = 3 * SN_CIFAR_PLANE };
enum { SN_CIFAR_MAX_LABELS = 2 }; /* label bytes of a record */

/* The label bytes in front of a picture; the last one is the class. */
typedef struct sn_cifar_record {
    int labels;                      /* 1: class (CIFAR-10); 2: superclass, class (CIFAR-100) */
    int limits[SN_CIFAR_MAX_LABELS]; /* label i is in 0..limits[i]-1 */
} sn_cifar_record;

static inline size_t sn_cifar_record_bytes(const sn_cifar_record *record)
{
    return (size_t)record->labels + SN_CIFAR_PIXEL_BYTES;
}

/* Checks a whole file: at least one record, whole records only, every label in range.  `path` is for messages. */
senet_status sn_cifar_check(const sn_cifar_record *record, const uint8_t *bytes, size_t size, const char *path,
                            int64_t *records);

/* Record -> 32x32 interleaved RGB and its class; and back. */
void sn_cifar_decode(const sn_cifar_record *record, const uint8_t *bytes, uint8_t *rgb, int32_t *label);
void sn_cifar_encode(const uint8_t *rgb, int32_t label, uint8_t *bytes); /* one label byte: CIFAR-10 */

/* Class names, one a line (LF or CRLF; blank lines are skipped): exactly `classes` of them. */
senet_status sn_cifar_parse_names(sn_arena *arena, const uint8_t *bytes, size_t size, const char *path, int64_t classes,
                                  const char *const **names);

/* What a set in CIFAR-10's format that is not CIFAR-10 says about itself in SN_CIFAR_STATISTICS_FILE:
 *     classes 10
 *     mean 0.49 0.48 0.45
 *     std 0.25 0.24 0.26
 * (values in 0..1; every line required, in any order). */
#define SN_CIFAR_STATISTICS_FILE "senet-stats.txt"
typedef struct sn_cifar_statistics {
    int classes;
    float mean[3], std[3];
} sn_cifar_statistics;
senet_status sn_cifar_parse_statistics(const uint8_t *bytes, size_t size, const char *path,
                                       sn_cifar_statistics *statistics);

#endif
