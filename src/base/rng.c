/* rng.c - see rng.h. */
#include "base/rng.h"

#include <math.h>
#include <string.h>

double sn_rng_normal(uint64_t key, uint64_t i)
{
    const double two_pi = 6.283185307179586476925286766559;
    double u = ((double)(sn_rng_u64(key, 2 * i) >> 11) + 0.5) / 9007199254740992.0; /* never 0 */
    double v = (double)(sn_rng_u64(key, 2 * i + 1) >> 11) / 9007199254740992.0;
    return sqrt(-2.0 * log(u)) * cos(two_pi * v);
}

uint64_t sn_fnv1a64(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

uint64_t sn_fnv1a64_text(const char *text) { return sn_fnv1a64(text, strlen(text)); }
