/* levels.h - loops over bytes and whole numbers, built for several instruction sets in one file.
 *
 * A file of loops has the functions LEVEL(name); who owns it includes it once for each level, SN_LEVEL_... around it,
 * and calls SN_BEST(name, (arguments)).  The results are the same bits at every level.  Kernels of floats, whose levels
 * SENET_ISA chooses, live in cpu/kernels/. */
#ifndef SN_BASE_LEVELS_H
#define SN_BASE_LEVELS_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define SN_HAS_LEVELS 1
#define SN_BEST(name, arguments)                                                                                       \
    (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx2")                                              \
         ? name##_avx512 arguments                                                                                     \
         : (__builtin_cpu_supports("avx2") ? name##_avx2 arguments : name##_plain arguments))
#else
#define SN_HAS_LEVELS 0
#define SN_BEST(name, arguments) name##_plain arguments
#endif

#endif
