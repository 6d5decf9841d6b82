/* order.h - which sample stands at a place of an epoch: in the files' order, shuffled, or class by class. */
#ifndef SN_DATA_ORDER_H
#define SN_DATA_ORDER_H

#include "data/data.h"

typedef struct sn_order {
    int64_t count; /* samples of the data set, and places of an epoch */
    int64_t taken; /* places of an epoch that are used: fewer where the last batch is dropped */
    uint64_t seed;
    bool shuffle;
    /* of class-aware orders, else NULL */
    int64_t *members; /* count: samples sorted by class */
    int64_t *first;   /* classes + 1: where the members of each class that has any begin */
    int64_t classes;  /* that have samples */
} sn_order;

/* Class-aware sampling (RECIPES 1, after Relay Backpropagation): the classes are walked through in shuffled rounds, and
 * each class through its samples in shuffled rounds of its own; rounds go on across epochs. */
senet_status sn_order_create(const sn_dataset *dataset, const sn_loader_options *options, sn_order *order);
void sn_order_free(sn_order *order);
/* The sample at `place` (0..count-1) of the epoch: a function of the seed, the epoch and the place alone. */
int64_t sn_order_at(const sn_order *order, int64_t epoch, int64_t place);

#endif
