/* pictures.h - from pictures and folders on the command line to a list of files. */
#ifndef SENET_CLI_PICTURES_H
#define SENET_CLI_PICTURES_H

#include <stddef.h>

#include "base/status.h"

/* File names in the order of the command line; those of a folder or a pattern sorted by bytes. */
typedef struct cli_pictures {
    char **paths;
    size_t count, capacity;
} cli_pictures;

/* Adds what a word of the command line names: a file, every .jpg, .jpeg and .png below a folder, the files of "@FILE"
 * (see cli_pictures_add_list), or those that a pattern with *, ? or [ matches (glob(7); a matched folder counts as
 * one).  What is there under the very name comes first, so that a picture named "a[1].jpg" can be named.  "-" is kept
 * as it is. SENET_NO_INPUT when the pattern matches nothing or the folder holds no picture. */
senet_status cli_pictures_add(cli_pictures *pictures, const char *word);

/* Adds the files that the lines of a text file name, "-": of standard input; folders count as above, patterns do not;
 * empty lines are left out.  SENET_NO_INPUT when it cannot be read. */
senet_status cli_pictures_add_list(cli_pictures *pictures, const char *path);
void cli_pictures_free(cli_pictures *pictures);

#endif
