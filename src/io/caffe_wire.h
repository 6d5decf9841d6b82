/* caffe_wire.h - where the layers of a Caffe file lie, and whether everything in them fits into what is around it. */
#ifndef SN_IO_CAFFE_WIRE_H
#define SN_IO_CAFFE_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* A walk over the file. */
typedef struct sn_caffe_walk {
    const char *path;
    const uint8_t *bytes; /* the file */
    size_t size, at;
    int layers;     /* seen so far */
    char what[160]; /* the layer the walk is at, "layer 3 'conv1/7x7_s2'", for messages */
} sn_caffe_walk;

typedef struct sn_caffe_message {
    const uint8_t *bytes; /* NULL: there are no more */
    size_t size, at;      /* its offset in the file */
    bool old;             /* of the layers of before 2015 (NetParameter.layers) */
} sn_caffe_message;

/* The next layer, its lengths checked through to the blobs' shapes.  SENET_BAD_DATA with the place and the values. */
senet_status sn_caffe_next_layer(sn_caffe_walk *walk, sn_caffe_message *layer);

#endif
