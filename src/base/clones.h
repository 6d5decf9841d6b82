/* clones.h - functions built once per instruction set; the system's loader picks one when the program starts.
 *
 * For loops over bytes and whole numbers, whose results are the same bits at every level.  Kernels of floats, which
 * have a dispatch of their own (SENET_ISA), live in cpu/kernels/. */
#ifndef SN_BASE_CLONES_H
#define SN_BASE_CLONES_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SN_NO_CLONES 1
#endif
#endif
/* Sanitizers would instrument what chooses, which runs before they are set up. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) &&                       \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(SN_NO_CLONES)
#define SN_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define SN_CLONES
#endif

#endif
