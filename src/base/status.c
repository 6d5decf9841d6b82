/* status.c - the per-thread error message. */
#define SN_STATUS_DEFINITIONS
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 1024 };
static _Thread_local char last_message[MESSAGE_BYTES];

const char *senet_last_error(void) { return last_message; }

#define SN_TEXT_(x) #x
#define SN_TEXT(x) SN_TEXT_(x)
const char *senet_version(void)
{
    return SN_TEXT(SENET_VERSION_MAJOR) "." SN_TEXT(SENET_VERSION_MINOR) "." SN_TEXT(SENET_VERSION_PATCH);
}

static void make_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f) *p = '?';
}

senet_status sn_fail(senet_status status, const char *format, ...)
{
    char text[MESSAGE_BYTES]; /* the arguments may point into last_message */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    make_printable(text);
    memcpy(last_message, text, sizeof text);
    return status;
}

senet_status sn_fail_context(senet_status status, const char *format, ...)
{
    char context[MESSAGE_BYTES], text[2 * MESSAGE_BYTES + 3];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(context, sizeof context, format, arguments);
    va_end(arguments);
    snprintf(text, sizeof text, "%s: %s", context, last_message);
    text[MESSAGE_BYTES - 1] = '\0';
    make_printable(text);
    memcpy(last_message, text, MESSAGE_BYTES);
    return status;
}

senet_status sn_fail_memory(size_t bytes, const char *what)
{
    return sn_fail(SENET_NO_MEMORY, "out of memory: %s needs %.1f MB", what, (double)bytes / 1e6);
}
