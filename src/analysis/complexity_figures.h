/* complexity_figures.h - what the paper prints about the size and the cost of its networks, as data.
 *
 * Adding a figure is a line in complexity_figures.c. */
#ifndef SN_ANALYSIS_COMPLEXITY_FIGURES_H
#define SN_ANALYSIS_COMPLEXITY_FIGURES_H

#include "analysis/complexity.h"

typedef enum sn_figure_kind {
    SN_FIGURE_GIGA_MACS,    /* 3.87 */
    SN_FIGURE_MEGA_MACS,    /* 569 */
    SN_FIGURE_PARAMS,       /* 4.2 million learnable parameters */
    SN_FIGURE_ABOUT_PARAMS, /* ~25 million */
    SN_FIGURE_PARAMS_STATS, /* 28.1 million, batch norm's running statistics counted */
    SN_FIGURE_MORE_MACS,    /* 0.26% more than `base` */
    SN_FIGURE_MORE_PARAMS,  /* 2.5 million more than `base` */
    SN_FIGURE_SHARE_PARAMS, /* 10% more than `base` */
    SN_FIGURE_KINDS
} sn_figure_kind;

typedef struct sn_paper_figure {
    const char *table, *row, *model, *base;
    sn_figure_kind kind;
    double paper;
    const char *note;
} sn_paper_figure;
extern const sn_paper_figure sn_paper_figures[]; /* a NULL table ends each of these lists */

/* A cell of Table 1. */
typedef struct sn_paper_layers_figure {
    const char *model, *row, *column, *layers;
} sn_paper_layers_figure;
extern const sn_paper_layers_figure sn_paper_layers[];

/* Equation 5 for a network. */
typedef struct sn_paper_equation {
    const char *row, *model;
    int64_t r;
    int units[SN_COMPLEXITY_STAGES];
} sn_paper_equation;
extern const sn_paper_equation sn_paper_equations[];
extern const int64_t sn_paper_equation_channels[SN_COMPLEXITY_STAGES];

/* The cell of Table 1 of a row ("conv1", "pool", "conv2_x" .. "conv5_x", "classifier"), read off a graph as the zoo
 * wrote it: "56x56: [1x1 64, 3x3 64, 1x1 256] x3". */
const char *sn_complexity_layers(const sn_graph *graph, const char *row, sn_arena *arena);

#endif
