/* rng.h - randomness as a function: value = f(key, counter), so that nothing depends on threads, ranks or resumption.
 *
 * The generator is SplitMix64 read at an index (Steele, Lea, Flood, OOPSLA 2014): mix(key + (i+1) * golden ratio). */
#ifndef SN_BASE_RNG_H
#define SN_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* What a stream of numbers is for; part of the key, so that two uses never share numbers. */
typedef enum sn_rng_purpose {
    SN_RNG_INIT = 1,    /* weight initialisation */
    SN_RNG_SHUFFLE,     /* the order of an epoch */
    SN_RNG_AUGMENT,     /* crop, flip, cutout of a sample */
    SN_RNG_DROPOUT,
    SN_RNG_SHAKE,       /* Shake-Shake coefficients */
    SN_RNG_SYNTHETIC,   /* the procedural data set */
    SN_RNG_TEST,
    SN_RNG_MIX          /* mixup and CutMix of a batch */
} sn_rng_purpose;

static inline uint64_t sn_rng_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* The i-th 64-bit value of stream `key`. */
static inline uint64_t sn_rng_u64(uint64_t key, uint64_t i)
{
    return sn_rng_mix(key + (i + 1) * 0x9E3779B97F4A7C15u);
}

/* Uniform in [0, 1), 24 bits: exact in float32. */
static inline double sn_rng_uniform(uint64_t key, uint64_t i) { return (double)(sn_rng_u64(key, i) >> 40) / 16777216.0; }

/* Uniform integer in [0, n), n > 0; bias below n / 2^64. */
static inline uint64_t sn_rng_below(uint64_t key, uint64_t i, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)sn_rng_u64(key, i) * n) >> 64);
}

/* Standard normal (Box-Muller on values 2i and 2i+1 of the stream, 53 bits each). */
double sn_rng_normal(uint64_t key, uint64_t i);

/* FNV-1a over bytes; offset basis 0xcbf29ce484222325, prime 0x100000001b3. */
uint64_t sn_fnv1a64(const void *bytes, size_t n);
uint64_t sn_fnv1a64_text(const char *text);

/* The key of a stream: (seed, purpose, a, b), e.g. (seed, SN_RNG_AUGMENT, epoch, sample index). */
static inline uint64_t sn_rng_key(uint64_t seed, sn_rng_purpose purpose, uint64_t a, uint64_t b)
{
    uint64_t key = sn_rng_mix(seed + 0x9E3779B97F4A7C15u);
    key = sn_rng_mix(key ^ ((uint64_t)purpose * 0xD1B54A32D192ED03u));
    key = sn_rng_mix(key ^ (a * 0x8CB92BA72F3D8DD7u + 1));
    return sn_rng_mix(key ^ (b * 0xABC98388FB8FAC03u + 2));
}

#endif
