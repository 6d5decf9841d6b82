/* lines.h - the lines of a small text file that people write: lists of pictures, label maps, lists of what to leave
 * out. */
#ifndef SN_DATA_LINES_H
#define SN_DATA_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct sn_lines {
    char *bytes; /* of the file; lines are cut out of it in place */
    char *rest;
    int64_t number; /* of the last line, from 1 */
} sn_lines;

/* Reads the whole file, a byte order mark apart.  SENET_BAD_DATA when it has a NUL byte: it is no text. */
senet_status sn_lines_open(const char *path, sn_lines *lines);
/* The next line without its end (LF or CRLF) and the white space around it; lines that are blank or begin with '#' are
 * passed over.  NULL at the end.  It may be changed, and lives until sn_lines_close. */
char *sn_lines_next(sn_lines *lines);
void sn_lines_close(sn_lines *lines);

#endif
