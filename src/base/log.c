/* log.c - see log.h. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *wanted;
static void (*write_line)(const char *line);

void sn_log_begin(const char *topics, void (*sink)(const char *line))
{
    wanted = topics;
    write_line = sink;
}

bool sn_log_wants(const char *topic)
{
    if (!wanted || !write_line) return false;
    size_t length = strlen(topic);
    for (const char *at = wanted; (at = strstr(at, topic)); at += length)
        if ((at == wanted || at[-1] == ',') && (at[length] == '\0' || at[length] == ',')) return true;
    return false;
}

void sn_log(const char *topic, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    if (!sn_log_wants(topic)) return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    write_line(line);
}
