/* lines.c - see lines.h. */
#include "data/lines.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { MAX_LIST = 1 << 30 };

senet_status sn_lines_open(const char *path, sn_lines *lines)
{
    size_t size;
    *lines = (sn_lines){0};
    SN_RETURN_IF_FAILED(sn_file_read(path, MAX_LIST, &lines->bytes, &size));
    const char *nul = memchr(lines->bytes, '\0', size);
    if (nul) {
        size_t at = (size_t)(nul - lines->bytes);
        sn_lines_close(lines);
        return sn_fail(SENET_BAD_DATA, "%s: byte %zu is NUL: not a text file", path, at);
    }
    lines->rest = lines->bytes;
    if (strncmp(lines->rest, "\xEF\xBB\xBF", 3) == 0) lines->rest += 3;
    return SENET_OK;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

char *sn_lines_next(sn_lines *lines)
{
    while (*lines->rest) {
        char *line = lines->rest, *end = line + strcspn(line, "\n");
        lines->rest = *end ? end + 1 : end;
        lines->number++;
        while (is_blank(*line)) line++;
        while (end > line && is_blank(end[-1])) end--;
        *end = '\0';
        if (*line && *line != '#') return line;
    }
    return NULL;
}

void sn_lines_close(sn_lines *lines)
{
    free(lines->bytes);
    *lines = (sn_lines){0};
}
