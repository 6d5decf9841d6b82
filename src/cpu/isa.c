/* isa.c - which instruction set level this process uses. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#ifdef SENET_HAS_amx
#include <cpuid.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "cpu/cpu.h"

const char *sn_cpu_isa_name(sn_isa isa)
{
    static const char *const names[] = {[SN_ISA_BASELINE] = "baseline", [SN_ISA_AVX2] = "avx2",
                                        [SN_ISA_AVX512] = "avx512", [SN_ISA_AVX512_BF16] = "avx512_bf16",
                                        [SN_ISA_AMX] = "amx",           [SN_ISA_NEON] = "neon"};
    return names[isa];
}

static const sn_isa highest = SN_ISA_NEON; /* of them all */

#ifdef SENET_HAS_amx
/* Whether the processor multiplies tiles of bf16 and of int8, and the system lets this process, whose threads' state grows by 8 KB,
 * use the tiles.  Asked for once: a process that may not (an old system, a signal stack that is too small) never may. */
static bool has_tiles(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, AMX_INT8 = 1 << 25, ALL = AMX_BF16 | AMX_TILE | AMX_INT8 };
    static atomic_int answer; /* 0: not known, 1: no, 2: yes */
    int known = atomic_load_explicit(&answer, memory_order_relaxed);
    if (known) return known == 2;
    unsigned a, b, c, d = 0;
    bool has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & ALL) == ALL &&
               syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
    atomic_store_explicit(&answer, 1 + has, memory_order_relaxed);
    return has;
}
#endif

/* Whether the build has kernels of the level, and the processor its instructions. */
static bool available(sn_isa isa)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    switch (isa) {
#ifdef SENET_HAS_baseline
    case SN_ISA_BASELINE: return true;
#endif
#ifdef SENET_HAS_avx2
    case SN_ISA_AVX2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
#ifdef SENET_HAS_avx512
    case SN_ISA_AVX512:
        return __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    case SN_ISA_AVX512_BF16:
        return available(SN_ISA_AVX512) && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
#endif
#ifdef SENET_HAS_amx
    case SN_ISA_AMX: return available(SN_ISA_AVX512_BF16) && has_tiles();
#endif
#ifdef SENET_HAS_neon
    case SN_ISA_NEON: return true;
#endif
    default: return false;
    }
}

/* The level that the environment names, if that is available, or -1. */
static int named(void)
{
    const char *name = getenv("SENET_ISA");
    for (sn_isa isa = SN_ISA_BASELINE; name && isa <= highest; isa++)
        if (strcmp(name, sn_cpu_isa_name(isa)) == 0 && available(isa)) return (int)isa;
    return -1;
}

/* The highest level that the environment allows. */
static sn_isa cap(void)
{
    int isa = named();
    return isa >= 0 ? (sn_isa)isa : highest;
}

bool sn_cpu_has(sn_isa isa) { return isa <= cap() && available(isa); }

sn_isa sn_cpu_isa(void)
{
    for (sn_isa isa = cap(); isa > SN_ISA_BASELINE; isa--)
        if (available(isa)) return isa;
    return SN_ISA_BASELINE;
}

sn_isa sn_cpu_isa_on(sn_dtype storage)
{
    sn_isa isa = sn_cpu_isa();
    if (isa != SN_ISA_AVX512_BF16 || storage != SN_BF16 || named() == (int)isa) return isa;
#if defined(__x86_64__)
    if (__builtin_cpu_is("intel")) return SN_ISA_AVX512;
#endif
    return isa;
}
