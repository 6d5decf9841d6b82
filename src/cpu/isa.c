/* isa.c - which instruction set level this process uses. */
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"

const char *sn_cpu_isa_name(sn_isa isa)
{
    static const char *const names[] = {[SN_ISA_BASELINE] = "baseline", [SN_ISA_AVX2] = "avx2",
                                        [SN_ISA_AVX512] = "avx512", [SN_ISA_AVX512_BF16] = "avx512_bf16",
                                        [SN_ISA_NEON] = "neon"};
    return names[isa];
}

static sn_isa detect(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    bool narrow = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
    if (avx512) return narrow ? SN_ISA_AVX512_BF16 : SN_ISA_AVX512;
    if (avx2) return SN_ISA_AVX2;
#elif defined(__aarch64__)
    return SN_ISA_NEON;
#endif
    return SN_ISA_BASELINE;
}

sn_isa sn_cpu_isa(void)
{
    sn_isa found = detect();
    const char *cap = getenv("SENET_ISA");
    for (sn_isa isa = SN_ISA_BASELINE; cap && isa < found; isa++)
        if (strcmp(cap, sn_cpu_isa_name(isa)) == 0) return isa;
    return found;
}
