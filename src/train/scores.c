/* scores.c - see scores.h. */
#include "train/scores.h"

#include <math.h>
#include <string.h>

static double log_sum_exp(const float *logits, int64_t classes)
{
    double largest = logits[0], sum = 0;
    for (int64_t k = 1; k < classes; k++)
        if (logits[k] > largest) largest = logits[k];
    for (int64_t k = 0; k < classes; k++) sum += exp(logits[k] - largest);
    return log(sum) + largest;
}

void sn_scores_of(const float *logits, int64_t classes, double *scores)
{
    double whole = log_sum_exp(logits, classes);
    for (int64_t k = 0; k < classes; k++) scores[k] = logits[k] - whole;
}

void sn_scores_add(const float *logits, int64_t classes, double *sums)
{
    double whole = log_sum_exp(logits, classes);
    for (int64_t k = 0; k < classes; k++) sums[k] += exp(logits[k] - whole);
}

void sn_scores_finish(double *sums, int64_t classes, int64_t views)
{
    for (int64_t k = 0; k < classes; k++) sums[k] = log(sums[k] / (double)views);
}

int64_t sn_scores_rank(const double *scores, int64_t classes, int64_t label)
{
    int64_t rank = 0;
    for (int64_t k = 0; k < classes; k++) {
        if (k < label)
            rank += !(scores[k] < scores[label]);
        else if (k > label)
            rank += !(scores[k] <= scores[label]);
    }
    return rank;
}

void sn_scores_top(const double *scores, int64_t classes, int count, int64_t *top)
{
    int found = 0; /* top[0 .. found-1] is sorted; a class goes in before the first that it beats */
    for (int64_t k = 0; k < classes; k++) {
        int place = found;
        while (place > 0 && scores[k] > scores[top[place - 1]]) place--;
        if (place >= count) continue;
        if (found < count) found++;
        memmove(&top[place + 1], &top[place], (size_t)(found - 1 - place) * sizeof *top);
        top[place] = k;
    }
}
