/* order.c - see order.h. */
#include "data/order.h"

#include <stdlib.h>

#include "base/rng.h"
#include "data/dataset.h"
#include "data/permutation.h"

enum { STREAM_SAMPLES, STREAM_CLASSES, STREAM_MEMBERS }; /* the last one and those after it: one for each class */

/* Sorts the samples by class, keeping their order within one. */
static senet_status sort_by_class(const sn_dataset *dataset, sn_order *order)
{
    const int64_t classes = dataset->info.classes;
    int64_t *next = calloc((size_t)classes + 1, sizeof *next); /* where the next sample of each class goes */
    order->members = malloc((size_t)order->count * sizeof *order->members);
    order->first = calloc((size_t)classes + 1, sizeof *order->first);
    if (!next || !order->members || !order->first) {
        free(next);
        return sn_fail_memory((size_t)order->count * sizeof *order->members, "the samples of each class");
    }
    for (int64_t i = 0; i < order->count; i++) next[sn_dataset_label(dataset, i) + 1]++;
    for (int64_t k = 0; k < classes; k++) {
        const int64_t samples = next[k + 1];
        next[k + 1] += next[k];
        if (samples > 0) order->first[++order->classes] = next[k + 1];
    }
    for (int64_t i = 0; i < order->count; i++) order->members[next[sn_dataset_label(dataset, i)]++] = i;
    free(next);
    return SENET_OK;
}

senet_status sn_order_create(const sn_dataset *dataset, const sn_loader_options *options, sn_order *order)
{
    const int64_t count = dataset->info.count;
    *order = (sn_order){.count = count,
                        .taken = options->drop_last ? count / options->batch * options->batch : count,
                        .seed = options->seed,
                        .shuffle = options->shuffle};
    return options->class_aware ? sort_by_class(dataset, order) : SENET_OK;
}

void sn_order_free(sn_order *order)
{
    free(order->members);
    free(order->first);
    *order = (sn_order){0};
}

static int64_t class_aware_at(const sn_order *order, int64_t drawn)
{
    const int64_t round = drawn / order->classes; /* in which every class has its turn */
    const uint64_t classes_key = sn_rng_key(order->seed, SN_RNG_SHUFFLE, (uint64_t)round, STREAM_CLASSES);
    const int64_t k = sn_permutation_at(classes_key, order->classes, drawn % order->classes);
    const int64_t first = order->first[k], members = order->first[k + 1] - first, pass = round / members;
    const uint64_t key = sn_rng_key(order->seed, SN_RNG_SHUFFLE, (uint64_t)pass, STREAM_MEMBERS + (uint64_t)k);
    return order->members[first + sn_permutation_at(key, members, round % members)];
}

int64_t sn_order_at(const sn_order *order, int64_t epoch, int64_t place)
{
    if (order->members) return class_aware_at(order, epoch * order->taken + place);
    if (!order->shuffle) return place;
    return sn_permutation_at(sn_rng_key(order->seed, SN_RNG_SHUFFLE, (uint64_t)epoch, STREAM_SAMPLES), order->count,
                             place);
}
