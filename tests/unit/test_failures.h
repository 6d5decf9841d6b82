/* test_failures.h - checks of failures: the status, and the words the message must have. */
#ifndef SN_TEST_FAILURES_H
#define SN_TEST_FAILURES_H

#include <string.h>

#include "base/status.h"

/* The call failed with this status and a message that has all the given parts (a NULL-terminated list). */
static inline void check_failure(const char *file, int line, senet_status got, senet_status wanted,
                                 const char *const *parts)
{
    const char *message = senet_last_error();
    if (got != wanted) {
        print_error("status %d instead of %d; message: %s\n", (int)got, (int)wanted, message);
        _fail(file, line);
    }
    for (; *parts; parts++)
        if (!strstr(message, *parts)) {
            print_error("the message lacks \"%s\": %s\n", *parts, message);
            _fail(file, line);
        }
}

#define assert_fails(call, status, ...)                                                                                \
    check_failure(__FILE__, __LINE__, (call), (status), (const char *const[]){__VA_ARGS__, NULL})

static inline void check_success(const char *file, int line, senet_status got)
{
    if (got == SENET_OK) return;
    print_error("status %d: %s\n", (int)got, senet_last_error());
    _fail(file, line);
}

#define assert_works(call) check_success(__FILE__, __LINE__, (call))

#endif
