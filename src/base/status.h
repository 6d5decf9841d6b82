/* status.h - how the library reports an error: a status and one line for the user, kept per thread. */
#ifndef SN_BASE_STATUS_H
#define SN_BASE_STATUS_H

#include "senet/senet.h"

#if defined(__GNUC__)
#define SN_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#else
#define SN_PRINTF(format_index, first)
#endif

/* Keeps the message for senet_last_error() and returns `status`:
 *     return sn_fail(SENET_BAD_DATA, "%s: tensor '%s' has %zu bytes, its shape needs %zu", path, name, have, need);
 * Control characters that a hostile file could smuggle into a name are replaced by '?'. */
senet_status sn_fail(senet_status status, const char *format, ...) SN_PRINTF(2, 3);

/* Puts "context: " in front of the current message; returns `status`. */
senet_status sn_fail_context(senet_status status, const char *format, ...) SN_PRINTF(2, 3);

/* sn_fail(SENET_NO_MEMORY, ...) naming what the bytes were for. */
senet_status sn_fail_memory(size_t bytes, const char *what);

#if defined(__clang_analyzer__) && !defined(SN_STATUS_DEFINITIONS)
/* clang's analyzer reads one file at a time and would take a failure reported elsewhere for a possible success. */
#define sn_fail(status, ...) (sn_fail(status, __VA_ARGS__), (status))
#define sn_fail_context(status, ...) (sn_fail_context(status, __VA_ARGS__), (status))
#define sn_fail_memory(bytes, what) (sn_fail_memory(bytes, what), SENET_NO_MEMORY)
#endif

/* `label:` cleanup in the caller:  SN_TRY(call(...), cleanup); expects a local `senet_status status`. */
#define SN_TRY(call, label)                   \
    do {                                      \
        status = (call);                      \
        if (status != SENET_OK) goto label;   \
    } while (0)

/* Returns from the caller on failure; for functions that own nothing yet. */
#define SN_RETURN_IF_FAILED(call)                          \
    do {                                                   \
        senet_status sn_status_ = (call);                  \
        if (sn_status_ != SENET_OK) return sn_status_;     \
    } while (0)

#endif
