/* fma_chain.c - nothing but multiply-adds on registers: the yardstick that a layer's speed is set against. */
#include "cpu/kernels/vector.h"

enum { CHAINS = 12 }; /* independent, so that latency does not show; baseline x86-64 has 16 registers */

int64_t SN_JOIN(sn_, fma_chain, f32, SN_ISA)(int64_t rounds, float *result);

/* Multiply-adds done; *result keeps the compiler from dropping them. */
int64_t SN_JOIN(sn_, fma_chain, f32, SN_ISA)(int64_t rounds, float *result)
{
    vf sum[CHAINS], factor = vf_all(0.999f), term = vf_all(*result);
    SN_UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = vf_all((float)i);
    for (int64_t round = 0; round < rounds; round++)
        SN_UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = sum[i] * factor + term;
    vf total = {0};
    SN_UNROLL for (int i = 0; i < CHAINS; i++) total += sum[i];
    *result = total[0];
    return rounds * CHAINS * VF;
}
