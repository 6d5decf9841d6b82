/* scores.h - from logits to scores that can be averaged over views and networks, and what is read off them.
 *
 * The scores of a picture are the natural logarithms of its classes' probabilities.  One view: log softmax of its
 * logits. Several (of crops, scales, networks): the logarithm of the mean of their softmax outputs (GoogLeNet, section
 * 7).  Double throughout, so that an average adds no ties and no order of its own. */
#ifndef SN_TRAIN_SCORES_H
#define SN_TRAIN_SCORES_H

#include <stdint.h>

/* scores = log softmax(logits). */
void sn_scores_of(const float *logits, int64_t classes, double *scores);

/* sums += softmax(logits). */
void sn_scores_add(const float *logits, int64_t classes, double *sums);

/* From sums over `views` views to scores, in place. */
void sn_scores_finish(double *sums, int64_t classes, int64_t views);

/* The rank of `label`: 0 where it is the largest, so that top-k is right for rank < k.  Among equals the first counts
 * as larger; comparisons with NaN go against the label. */
int64_t sn_scores_rank(const double *scores, int64_t classes, int64_t label);

/* The `count` (at most `classes`) largest, the best first; of equals the lower number first. */
void sn_scores_top(const double *scores, int64_t classes, int count, int64_t *top);

#endif
