/* complexity.h - the paper's complexity figures, ours beside its: Tables 1, 2, 3, 10, 13, 15, 16, section 4,
 * equation 5.
 *
 * What the paper calls FLOPs are multiply-adds: the products of convolutions and linear layers for one image, and one
 * for every value that a gate multiplies.  Parameters are weights, biases, gammas and betas; Tables 10, 13, 15 and 16
 * count batch norm's running statistics too.  Our figures are counted in the graphs and rounded to the digits printed
 * there. */
#ifndef SN_ANALYSIS_COMPLEXITY_H
#define SN_ANALYSIS_COMPLEXITY_H

#include "graph/graph.h"

typedef struct sn_complexity_row {
    const char *table; /* "2", "section 4", "equation 5" */
    const char *row;   /* the paper's name of the row */
    const char *model; /* ours */
    const char *quantity, *unit;
    int decimals;       /* of the paper's figure */
    double ours, paper; /* in the unit; ours rounded to the decimals */
    bool counted;       /* `exact` says what was rounded; false for percentages */
    int64_t exact;
    const char *ours_text, *paper_text; /* Table 1 lists layers, not numbers; NULL elsewhere */
    bool equal;
    const char *note; /* why not equal, or how it is to be read; NULL: nothing to say */
} sn_complexity_row;

/* Counts every figure.  Rows and their texts live in the arena. */
senet_status sn_complexity_compare(sn_arena *arena, sn_complexity_row **rows, size_t *count);

/* Equation 5: the weights that SE blocks add, (2 / r) sum over the stages of units * channels^2. */
enum { SN_COMPLEXITY_STAGES = 4 };
int64_t sn_complexity_equation_5(int64_t r, const int units[SN_COMPLEXITY_STAGES],
                                 const int64_t channels[SN_COMPLEXITY_STAGES]);

#endif
