/* synthetic.h - the procedural picture set: a class is the name of a figure; private to src/data.
 *
 * A picture is a function of (seed, split, index) computed with +, -, *, / and sqrt only, so it has the same bytes on
 * every machine with IEEE floats. */
#ifndef SN_DATA_SYNTHETIC_H
#define SN_DATA_SYNTHETIC_H

#include "data/data.h"
#include "data/figures.h"

enum { SN_SYNTHETIC_CLASSES = SN_FIGURES, SN_SYNTHETIC_MIN_SIZE = 16, SN_SYNTHETIC_MAX_SIZE = 512 };
/* Mean and standard deviation of the default training split, on values in 0..1. */
extern const float sn_synthetic_mean[3], sn_synthetic_std[3];

typedef struct sn_synthetic_options {
    int64_t classes, train, val;
    uint64_t seed;
    int size; /* side of a picture, pixels */
} sn_synthetic_options;

/* Reads "classes=10,train=10000,val=2000,seed=0,size=32" (each optional; NULL or "": all defaults). */
senet_status sn_synthetic_parse(const char *text, sn_synthetic_options *options);

/* Classes are dealt in turn, so that every class is equally frequent in any run of pictures. */
static inline int32_t sn_synthetic_label(const sn_synthetic_options *options, int64_t index)
{
    return (int32_t)(index % options->classes);
}

/* Draws picture `index` of a split: size x size interleaved RGB. Thread-safe; allocates nothing. */
void sn_synthetic_draw(const sn_synthetic_options *options, sn_split split, int64_t index, uint8_t *rgb);

#endif
