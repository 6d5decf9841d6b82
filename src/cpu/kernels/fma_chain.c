/* fma_chain.c - nothing but multiply-adds on registers: the yardstick that a layer's speed is set against. */
#include "cpu/kernels/vector.h"

enum { CHAINS = SN_VECTOR_REGISTERS == 32 ? 24 : 12 }; /* independent, so that latency does not show */

int64_t SN_JOIN(sn_, fma_chain, f32, SN_ISA)(int64_t rounds, float *result);

/* Towards a limit, without an instruction beside the multiply-add: FMLA overwrites the addend. */
SN_INLINE vf multiply_add(vf sum, vf factor, vf term)
{
#if defined(__aarch64__)
    (void)term;
    return sum + sum * (factor - 1);
#else
    return sum * factor + term;
#endif
}

/* Multiply-adds done; *result keeps the compiler from dropping them. */
int64_t SN_JOIN(sn_, fma_chain, f32, SN_ISA)(int64_t rounds, float *result)
{
    vf sum[CHAINS], factor = vf_all(0.999f), term = vf_all(*result);
    SN_UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = vf_all((float)(i + 1));
    for (int64_t round = 0; round < rounds; round++)
        SN_UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = multiply_add(sum[i], factor, term);
    vf total = {0};
    SN_UNROLL for (int i = 0; i < CHAINS; i++) total += sum[i];
    *result = total[0];
    return rounds * CHAINS * VF;
}
