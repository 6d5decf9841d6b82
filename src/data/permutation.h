/* permutation.h - a random order of 0..n-1 that is a function: no table, any position at once. */
#ifndef SN_DATA_PERMUTATION_H
#define SN_DATA_PERMUTATION_H

#include <stdint.h>

/* Where `position` (0..n-1, n > 0) goes in the permutation of 0..n-1 that `key` names. */
int64_t sn_permutation_at(uint64_t key, int64_t n, int64_t position);

#endif
