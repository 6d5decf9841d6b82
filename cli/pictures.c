/* pictures.c - see pictures.h. */
#define _GNU_SOURCE
#include "pictures.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

enum {
    DEEPEST_FOLDER = 32, /* a folder that links to itself would have no end */
    LARGEST_LIST = 1 << 30
};

static senet_status append(cli_pictures *pictures, const char *path)
{
    if (!sn_grow(&pictures->paths, sizeof *pictures->paths, &pictures->capacity, pictures->count + 1))
        return sn_fail_memory((pictures->count + 1) * sizeof *pictures->paths, "the list of pictures");
    char *copy = strdup(path);
    if (!copy) return sn_fail_memory(strlen(path) + 1, "the list of pictures");
    pictures->paths[pictures->count++] = copy;
    return SENET_OK;
}

static bool has_picture_name(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0 || strcasecmp(dot, ".png") == 0);
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}
static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static senet_status add_folder(cli_pictures *pictures, const char *folder, int depth)
{
    if (depth == DEEPEST_FOLDER)
        return sn_fail(SENET_NO_INPUT, "%s: more than %d folders deep", folder, DEEPEST_FOLDER);
    struct dirent **entries;
    int count = scandir(folder, &entries, is_visible, by_bytes);
    if (count < 0) return sn_fail(SENET_NO_INPUT, "%s: %s", folder, strerror(errno));
    senet_status status = SENET_OK;
    for (int i = 0; i < count; i++) {
        char *path = status == SENET_OK ? sn_path_join(folder, entries[i]->d_name) : NULL;
        if (status == SENET_OK && !path)
            status = sn_fail_memory(strlen(folder), "the list of pictures");
        else if (path && sn_is_directory(path))
            status = add_folder(pictures, path, depth + 1);
        else if (path && has_picture_name(path))
            status = append(pictures, path);
        free(path);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static senet_status add_path(cli_pictures *pictures, const char *path)
{
    if (!sn_is_directory(path)) return append(pictures, path);
    size_t before = pictures->count;
    SN_RETURN_IF_FAILED(add_folder(pictures, path, 0));
    if (pictures->count == before) return sn_fail(SENET_NO_INPUT, "%s: no .jpg, .jpeg or .png in this folder", path);
    return SENET_OK;
}

static senet_status add_pattern(cli_pictures *pictures, const char *pattern)
{
    glob_t found = {0};
    senet_status status = SENET_OK;
    int result = glob(pattern, 0, NULL, &found); /* sorted by the locale of the program, which is "C" */
    if (result == GLOB_NOMATCH)
        status = sn_fail(SENET_NO_INPUT, "%s: no file matches", pattern);
    else if (result != 0)
        status = sn_fail(SENET_NO_INPUT, "%s: the pattern cannot be expanded", pattern);
    for (size_t i = 0; status == SENET_OK && i < found.gl_pathc; i++) status = add_path(pictures, found.gl_pathv[i]);
    globfree(&found);
    return status;
}

senet_status cli_pictures_add_list(cli_pictures *pictures, const char *path)
{
    bool standard_input = strcmp(path, "-") == 0;
    const char *name = standard_input ? "standard input" : path;
    char *bytes = NULL, *rest, *line;
    size_t size = 0;
    SN_RETURN_IF_FAILED(sn_file_read(standard_input ? "/dev/stdin" : path, LARGEST_LIST, &bytes, &size));
    senet_status status = SENET_OK;
    if (memchr(bytes, '\0', size)) status = sn_fail(SENET_BAD_DATA, "%s: not a list of files (it has a byte 0)", name);
    rest = bytes;
    while (status == SENET_OK && (line = strsep(&rest, "\n"))) {
        size_t length = strlen(line);
        if (length && line[length - 1] == '\r') line[length - 1] = '\0';
        if (*line) status = add_path(pictures, line);
    }
    free(bytes);
    return status;
}

senet_status cli_pictures_add(cli_pictures *pictures, const char *word)
{
    bool there = access(word, F_OK) == 0;
    if (!there && word[0] == '@' && word[1]) return cli_pictures_add_list(pictures, word + 1);
    if (!there && strpbrk(word, "*?[")) return add_pattern(pictures, word);
    return add_path(pictures, word);
}

void cli_pictures_free(cli_pictures *pictures)
{
    for (size_t i = 0; i < pictures->count; i++) free(pictures->paths[i]);
    free(pictures->paths);
    *pictures = (cli_pictures){0};
}
