/* folder.c - "folder:DIR": a folder a class, the layout of ImageNet and of most sets that people make.
 *
 * DIR/train/<class>/... and DIR/val/<class>/... (or validation/); a DIR that has neither is DIR/<class>/... and serves
 * both splits.  Classes are numbered in the order of their names' bytes, those of train/ where there is one; pictures
 * follow in the order of their paths.  Nothing is opened but folders: a hundred thousand pictures take less than a
 * second. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/text.h"
#include "data/photographs.h"

enum { DEEPEST_FOLDER = 32 }; /* a folder that links to itself would have no end */

/* ---- reading folders ---- */

typedef struct entries {
    struct dirent **list;
    int count;
} entries;

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static senet_status entries_read(const char *folder, entries *all)
{
    *all = (entries){0};
    all->count = scandir(folder, &all->list, is_visible, by_bytes);
    if (all->count >= 0) return SENET_OK;
    all->count = 0;
    if (errno == ENOMEM) return sn_fail_memory(0, folder);
    return sn_fail(SENET_NO_INPUT, "%s: %s", folder, strerror(errno));
}

static void entries_free(entries *all)
{
    for (int i = 0; i < all->count; i++) free(all->list[i]);
    free(all->list);
}

/* Whether the entry is a folder; the system is asked only where the listing does not say. */
static bool is_folder(const char *path, const struct dirent *entry)
{
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) return entry->d_type == DT_DIR;
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

/* "folder/name" over `path`, whose memory is used again. */
static senet_status join(sn_text *path, size_t folder_length, const char *name)
{
    path->length = folder_length;
    sn_text_add_char(path, '/');
    sn_text_add_string(path, name);
    return sn_text_check(path, "a path");
}

/* Every picture below the folder that `path` names; `path` is as before afterwards. */
static senet_status add_pictures(sn_photographs *set, sn_text *path, int32_t label, int depth)
{
    const size_t length = path->length;
    entries all;
    if (depth == DEEPEST_FOLDER)
        return sn_fail(SENET_BAD_DATA, "%s: more than %d folders deep", sn_text_string(path), DEEPEST_FOLDER);
    senet_status status;
    SN_TRY(entries_read(sn_text_string(path), &all), cleanup);
    for (int i = 0; i < all.count; i++) {
        const struct dirent *entry = all.list[i];
        SN_TRY(join(path, length, entry->d_name), cleanup);
        if (is_folder(sn_text_string(path), entry))
            SN_TRY(add_pictures(set, path, label, depth + 1), cleanup);
        else if (sn_has_picture_name(entry->d_name))
            SN_TRY(sn_photographs_add(set, sn_text_string(path), label), cleanup);
    }
cleanup:
    entries_free(&all);
    path->length = length;
    if (path->bytes) path->bytes[length] = '\0';
    return status;
}

/* ---- classes ---- */

typedef struct class_list {
    const char **names;
    int64_t count;
} class_list;

/* The folders in `folder`, which are the classes.  A picture beside them belongs to none: that is an error. */
static senet_status read_classes(sn_photographs *set, const char *folder, class_list *classes)
{
    senet_status status;
    sn_text path = {0};
    entries all;
    const size_t length = strlen(folder);
    SN_TRY(entries_read(folder, &all), cleanup);
    *classes = (class_list){.names = sn_arena_alloc(&set->arena, ((size_t)all.count + 1) * sizeof *classes->names)};
    if (!classes->names) {
        status = sn_fail_memory((size_t)all.count * sizeof *classes->names, folder);
        goto cleanup;
    }
    sn_text_add_string(&path, folder);
    for (int i = 0; i < all.count; i++) {
        const char *name = all.list[i]->d_name;
        SN_TRY(join(&path, length, name), cleanup);
        if (is_folder(sn_text_string(&path), all.list[i])) {
            if (!(classes->names[classes->count++] = sn_arena_strdup(&set->arena, name))) {
                status = sn_fail_memory(strlen(name), "a class name");
                goto cleanup;
            }
        } else if (sn_has_picture_name(name)) {
            status = sn_fail(SENET_BAD_DATA, "%s: a picture outside any class; each class is a folder of %s",
                             sn_text_string(&path), folder);
            goto cleanup;
        }
    }
    if (classes->count == 0) status = sn_fail(SENET_BAD_DATA, "%s: no class folders in it", folder);
cleanup:
    sn_text_free(&path);
    entries_free(&all);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The number of a class, or -1. */
static int32_t find_class(const class_list *classes, const char *name)
{
    const char **found = bsearch(&name, classes->names, (size_t)classes->count, sizeof name, compare_names);
    return found ? (int32_t)(found - classes->names) : -1;
}

/* The pictures of all class folders of `folder`, numbered as in `classes`. */
static senet_status add_classes(sn_photographs *set, const char *folder, const class_list *present,
                                const class_list *classes)
{
    sn_text path = {0};
    senet_status status = SENET_OK;
    const size_t length = strlen(folder);
    sn_text_add_string(&path, folder);
    for (int64_t i = 0; i < present->count; i++) {
        int32_t label = find_class(classes, present->names[i]);
        if (label < 0) {
            status = sn_fail(SENET_BAD_DATA, "%s/%s: a class that is not in the training pictures", folder,
                             present->names[i]);
            goto cleanup;
        }
        SN_TRY(join(&path, length, present->names[i]), cleanup);
        SN_TRY(add_pictures(set, &path, label, 0), cleanup);
    }
    if (set->base.info.count == 0)
        status = sn_fail(SENET_BAD_DATA, "%s: no picture (.jpg, .jpeg or .png) in any of its %lld class folders",
                         folder, (long long)present->count);
cleanup:
    sn_text_free(&path);
    return status;
}

/* ---- the data set ---- */

/* The subfolder of `directory` as a path, or NULL where there is none (or no memory, with its message). */
static const char *subfolder(sn_photographs *set, const char *directory, const char *name, senet_status *status)
{
    const char *path = sn_arena_printf(&set->arena, "%s/%s", directory, name);
    if (!path) *status = sn_fail_memory(strlen(directory) + strlen(name), directory);
    return path && sn_is_directory(path) ? path : NULL;
}

/* The folder of the split's classes, and the one whose classes count. */
static senet_status choose_folders(sn_photographs *set, const char *directory, sn_split split, const char **folder,
                                   const char **names)
{
    senet_status status = SENET_OK;
    const char *train = subfolder(set, directory, "train", &status), *val = subfolder(set, directory, "val", &status);
    if (!val) val = subfolder(set, directory, "validation", &status);
    if (status != SENET_OK) return status;
    if (!train && !val) {
        *folder = *names = directory;
        return SENET_OK;
    }
    *folder = split == SN_SPLIT_TRAIN ? train : val;
    *names = train ? train : val;
    if (*folder) return SENET_OK;
    return sn_fail(SENET_NO_INPUT, "%s: has no folder %s beside '%s'", directory,
                   split == SN_SPLIT_TRAIN ? "'train'" : "'val' or 'validation'", train ? "train" : "val");
}

static senet_status fill(sn_photographs *set, const char *directory, sn_split split)
{
    const char *folder, *names;
    class_list classes, present;
    SN_RETURN_IF_FAILED(sn_photographs_set_root(set, directory));
    SN_RETURN_IF_FAILED(choose_folders(set, directory, split, &folder, &names));
    SN_RETURN_IF_FAILED(read_classes(set, names, &classes));
    present = classes;
    if (folder != names) SN_RETURN_IF_FAILED(read_classes(set, folder, &present));
    set->base.info.classes = classes.count;
    set->base.info.labels = classes.names;
    return add_classes(set, folder, &present, &classes);
}

/* Without the slashes at its end, that paths have one. */
static char *trimmed(sn_arena *arena, const char *directory)
{
    char *copy = sn_arena_strdup(arena, directory);
    size_t length = copy ? strlen(copy) : 0;
    while (length > 1 && copy[length - 1] == '/') copy[--length] = '\0';
    return copy;
}

static senet_status folder_open(const char *directory, sn_split split, sn_dataset **dataset)
{
    if (!directory || !*directory) return sn_fail(SENET_USAGE, "data set 'folder': no folder; write folder:DIR");
    sn_photographs *set = calloc(1, sizeof *set);
    if (!set) return sn_fail_memory(sizeof *set, directory);
    sn_photographs_begin(set, "folder");
    const char *root = trimmed(&set->arena, directory);
    senet_status status = root ? fill(set, root, split) : sn_fail_memory(strlen(directory), directory);
    if (status == SENET_OK)
        *dataset = &set->base;
    else
        set->base.close(&set->base);
    return status;
}

const sn_dataset_kind sn_dataset_folder = {"folder", "folder:DIR", folder_open};
