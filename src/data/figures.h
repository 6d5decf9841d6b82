/* figures.h - the ten plane figures of the synthetic set, as signed distances. */
#ifndef SN_DATA_FIGURES_H
#define SN_DATA_FIGURES_H

/* What a figure varies in beside its pose; every value in 0..1, fixed for one picture. */
typedef struct sn_figure_shape {
    float a, b;
} sn_figure_shape;

/* One figure of about unit radius around the origin.  Returns the signed distance of (x, y) from its outline, negative
 * inside; *pattern gets the signed distance from the border between its two colours, negative where it has the second
 * one. */
typedef float (*sn_figure)(const sn_figure_shape *shape, float x, float y, float *pattern);

enum { SN_FIGURES = 10 };
extern const sn_figure sn_figures[SN_FIGURES];
extern const char *const sn_figure_names[SN_FIGURES]; /* "disc", ... */

#endif
