/* peak.c - how many multiply-adds a second one core of this machine can do at the level in use. */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

#include "cpu/cpu.h"

typedef int64_t (*fma_chain)(int64_t rounds, float *result);

#define DECLARE(isa) int64_t sn_fma_chain_f32__##isa(int64_t rounds, float *result);
#ifdef SENET_HAS_baseline
DECLARE(baseline)
#endif
#ifdef SENET_HAS_avx2
DECLARE(avx2)
#endif
#ifdef SENET_HAS_avx512
DECLARE(avx512)
#endif
#ifdef SENET_HAS_neon
DECLARE(neon)
#endif

static fma_chain chain_of(sn_isa isa)
{
    switch (isa) {
#ifdef SENET_HAS_baseline
    case SN_ISA_BASELINE: return sn_fma_chain_f32__baseline;
#endif
#ifdef SENET_HAS_avx2
    case SN_ISA_AVX2: return sn_fma_chain_f32__avx2;
#endif
#ifdef SENET_HAS_avx512
    case SN_ISA_AMX:
    case SN_ISA_AVX512_BF16:
    case SN_ISA_AVX512: return sn_fma_chain_f32__avx512;
#endif
#ifdef SENET_HAS_neon
    case SN_ISA_NEON: return sn_fma_chain_f32__neon;
#endif
    default: return NULL;
    }
}

double sn_cpu_peak_flops(void)
{
    enum { BURSTS = 40, ROUNDS = 20000 }; /* some 0.1 ms each: the best of them ran undisturbed at full clock */
    fma_chain chain = chain_of(sn_cpu_isa());
    double best = 0;
    float value = 0.5f;
    for (int burst = 0; chain && burst < BURSTS; burst++) {
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        double products = (double)chain(ROUNDS, &value);
        clock_gettime(CLOCK_MONOTONIC, &end);
        double seconds = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
        if (seconds > 0 && 2 * products / seconds > best) best = 2 * products / seconds;
    }
    return best;
}
