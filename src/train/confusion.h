/* confusion.h - which classes a network takes for which: errors of every class, and the matrix of confusions. */
#ifndef SN_TRAIN_CONFUSION_H
#define SN_TRAIN_CONFUSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct sn_class_count {
    int64_t images, top1_errors, top5_errors;
} sn_class_count;

typedef struct sn_confusion {
    int64_t classes;
    sn_class_count *counts; /* by the true class */
    uint32_t *matrix;       /* (true class, answer), or NULL: not wanted */
} sn_confusion;

enum { SN_CONFUSION_MAX_CLASSES = 32768 }; /* of the matrix: 4 GiB */

/* All counts zero.  SENET_USAGE for a matrix of more classes than SN_CONFUSION_MAX_CLASSES. */
senet_status sn_confusion_create(int64_t classes, bool matrix, sn_confusion *confusion);
void sn_confusion_free(sn_confusion *confusion);

/* One picture: its class, the answer, and at which rank its class came. */
void sn_confusion_add(sn_confusion *confusion, int64_t label, int64_t answer, int64_t rank);

/* The matrix as a PNG picture: rows are true classes, columns answers, a cell the darker the larger its share of the
 * row. More classes than pixels can show (SN_CONFUSION_PICTURE_SIDE) are put together: a cell is then the mean of
 * several. */
enum { SN_CONFUSION_PICTURE_SIDE = 1024 };
senet_status sn_confusion_write_png(const sn_confusion *confusion, const char *path);

#endif
