/* pictures.h - from pictures and folders on the command line to a list of files. */
#ifndef SENET_CLI_PICTURES_H
#define SENET_CLI_PICTURES_H

#include <stddef.h>

#include "base/status.h"

/* File names in the order of the command line; those of a folder sorted by bytes. */
typedef struct cli_pictures {
    char **paths;
    size_t count, capacity;
} cli_pictures;

/* Adds a file as it is, or every .jpg, .jpeg and .png below a folder.  SENET_NO_INPUT when it is not there, or when the
 * folder holds no picture. */
senet_status cli_pictures_add(cli_pictures *pictures, const char *path);
void cli_pictures_free(cli_pictures *pictures);

#endif
