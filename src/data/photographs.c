/* photographs.c - see photographs.h. */
#include "data/photographs.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"

enum { MAX_PICTURE = 1 << 30 }; /* bytes of a file */

static senet_status file_bytes(const sn_dataset *dataset, int64_t sample, char **bytes, size_t *size)
{
    return sn_file_read(dataset->path(dataset, sample), MAX_PICTURE, bytes, size);
}

static const char *path_of(const sn_dataset *dataset, int64_t sample)
{
    const sn_photographs *set = (const sn_photographs *)dataset;
    return set->paths + set->starts[sample];
}

static int32_t label_of(const sn_dataset *dataset, int64_t sample)
{
    return ((const sn_photographs *)dataset)->labels[sample];
}

static void close_set(sn_dataset *dataset)
{
    sn_photographs *set = (sn_photographs *)dataset;
    sn_photographs_free(set);
    free(set);
}

void sn_photographs_begin(sn_photographs *set, const char *kind)
{
    const sn_preprocess imagenet = sn_preprocess_default(224);
    set->base = (sn_dataset){.label = label_of,
                             .bytes = file_bytes,
                             .path = path_of,
                             .close = close_set,
                             .root = "",
                             .info = {.name = kind, .photographs = true}};
    memcpy(set->base.info.mean, imagenet.mean, sizeof imagenet.mean);
    memcpy(set->base.info.std, imagenet.std, sizeof imagenet.std);
}

senet_status sn_photographs_add(sn_photographs *set, const char *path, int32_t label)
{
    const size_t length = strlen(path) + 1, count = (size_t)set->base.info.count;
    if (!sn_grow(&set->paths, 1, &set->paths_capacity, set->paths_bytes + length) ||
        !sn_grow(&set->starts, sizeof *set->starts, &set->starts_capacity, count + 1) ||
        !sn_grow(&set->labels, sizeof *set->labels, &set->labels_capacity, count + 1))
        return sn_fail_memory(set->paths_bytes + length, "the list of pictures");
    memcpy(set->paths + set->paths_bytes, path, length);
    set->starts[count] = set->paths_bytes;
    set->labels[count] = label;
    set->paths_bytes += length;
    set->base.info.count++;
    return SENET_OK;
}

senet_status sn_photographs_set_root(sn_photographs *set, const char *folder)
{
    const size_t length = strlen(folder);
    const char *slash = length == 0 || folder[length - 1] == '/' ? "" : "/";
    char *root = sn_arena_printf(&set->arena, "%s%s", folder, slash);
    if (!root) return sn_fail_memory(length + 2, folder);
    set->base.root = root;
    return SENET_OK;
}

void sn_photographs_free(sn_photographs *set)
{
    free(set->paths);
    free(set->starts);
    free(set->labels);
    sn_arena_free(&set->arena);
}

bool sn_has_picture_name(const char *path)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".jpe", ".png"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0) return true;
    return false;
}
