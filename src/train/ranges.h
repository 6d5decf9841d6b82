/* ranges.h - the range that eight bits give to a tensor: the one with the least squared error over a histogram of its values. */
#ifndef SN_TRAIN_RANGES_H
#define SN_TRAIN_RANGES_H

#include "graph/graph.h"

enum { SN_RANGE_BINS = 2048 };

typedef struct sn_range_histogram {
    float low, high; /* least and largest value seen; low = high = 0: none yet */
    int64_t seen;
    int64_t bins[SN_RANGE_BINS]; /* from low to high */
} sn_range_histogram;

/* First all values pass here, which widens low and high (0 is always within) ... */
void sn_range_widen(sn_range_histogram *histogram, const float *values, int64_t count);
/* ... then here, which counts them. */
void sn_range_count(sn_range_histogram *histogram, const float *values, int64_t count);
/* The scale and zero: of the whole range and of ever shorter ones the one whose rounding and cutting cost least. */
sn_quant sn_range_choose(const sn_range_histogram *histogram);

#endif
