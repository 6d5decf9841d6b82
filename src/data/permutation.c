/* permutation.c - see permutation.h.
 *
 * A generalised Feistel network with cycle walking (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA
 * 2002): a number is written as left + a * right with a = ceil(sqrt n), b = ceil(n / a); rounds add a hash of one half
 * to the other, modulo a or b, which can be undone, so the whole is a permutation of 0..ab-1.  A result of n or more
 * (ab - n < a of them) is sent through again until it is below n. */
#include "data/permutation.h"

#include <math.h>

#include "base/rng.h"

enum { ROUNDS = 8 };

int64_t sn_permutation_at(uint64_t key, int64_t n, int64_t position)
{
    uint64_t size = (uint64_t)n, a = (uint64_t)sqrt((double)n);
    while (a * a < size) a++;
    uint64_t b = (size + a - 1) / a, value = (uint64_t)position;
    do {
        uint64_t left = value % a, right = value / a;
        for (uint64_t round = 0; round < ROUNDS; round += 2) {
            left = (left + sn_rng_below(key ^ right, round, a)) % a;
            right = (right + sn_rng_below(key ^ left, round + 1, b)) % b;
        }
        value = left + a * right;
    } while (value >= size);
    return (int64_t)value;
}
