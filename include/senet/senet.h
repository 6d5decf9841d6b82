/* senet.h - the public interface of libsenet: Squeeze-and-Excitation networks in C.
 *
 * Every call that can fail returns a senet_status; senet_last_error() then holds one line that names the thing and the
 * actual values.  The library never prints, exits or aborts on input.  Handles are opaque; every destroy takes NULL.
 */
#ifndef SENET_SENET_H
#define SENET_SENET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SENET_VERSION_MAJOR 0
#define SENET_VERSION_MINOR 1
#define SENET_VERSION_PATCH 0

#if defined(__GNUC__)
#define SENET_API __attribute__((visibility("default")))
#else
#define SENET_API
#endif

/* What a call came to.  The values are those of sysexits.h, and the program's exit codes. */
typedef enum senet_status {
    SENET_OK = 0,
    SENET_USAGE = 64,        /* an argument or option that makes no sense */
    SENET_BAD_DATA = 65,     /* a file that is not what it should be */
    SENET_NO_INPUT = 66,     /* a file or folder that is not there or cannot be read */
    SENET_INTERNAL = 70,     /* a fault of ours */
    SENET_NO_MEMORY = 71,    /* memory could not be had (the program exits with 70) */
    SENET_CANNOT_WRITE = 73, /* a file that cannot be written: full disk, permissions */
    SENET_STOPPED = 75       /* stopped on request after the state was saved */
} senet_status;

/* The version as "major.minor.patch". */
SENET_API const char *senet_version(void);

/* The message of this thread's last failed call: one line, no newline.  "" if none failed.  Valid until the thread's next
 * failing call. */
SENET_API const char *senet_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
