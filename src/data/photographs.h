/* photographs.h - data sets of picture files: the paths and labels behind folder:, list: and tar:; private to src/data.
 */
#ifndef SN_DATA_PHOTOGRAPHS_H
#define SN_DATA_PHOTOGRAPHS_H

#include "data/dataset.h"

/* A million pictures take about a hundred bytes each: all paths stand in one block. */
typedef struct sn_photographs {
    sn_dataset base;
    char *paths; /* NUL-terminated, one behind the other */
    size_t paths_bytes, paths_capacity;
    size_t *starts; /* info.count: of each path */
    size_t starts_capacity;
    int32_t *labels; /* info.count */
    size_t labels_capacity;
    sn_arena arena; /* class names, root */
} sn_photographs;

/* Fills `set` (zeroed, perhaps the first member of a larger one) with the functions of a kind whose samples are files.
 */
void sn_photographs_begin(sn_photographs *set, const char *kind);
senet_status sn_photographs_add(sn_photographs *set, const char *path, int32_t label);
/* "FOLDER/" as the root that relative paths begin from. */
senet_status sn_photographs_set_root(sn_photographs *set, const char *folder);
/* Frees what the set holds; the struct stays. */
void sn_photographs_free(sn_photographs *set);

/* .jpg, .jpeg, .jpe or .png in any case. */
bool sn_has_picture_name(const char *path);

#endif
