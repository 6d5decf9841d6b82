/* list.c - "list:FILE": a text file that names pictures and their labels.
 *
 * A line is a path and a label, parted by a tab, a comma or a space; the label comes last, so a path may hold any of
 * them. Labels are whole numbers from 0, or class names where a classes.txt (one a line) lies beside the list. Relative
 * paths begin at the list's folder.  A first line such as "path,label" is passed over, as are blank lines and those
 * that begin with '#'. The list serves both splits; "list:DIR" takes DIR/train.txt for one and DIR/val.txt for the
 * other. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/text.h"
#include "data/lines.h"
#include "data/photographs.h"

enum { MOST_CLASSES = 1 << 20 };

/* ---- class names ---- */

/* classes.txt, if it is there. */
static senet_status read_names(sn_photographs *set, const char *path)
{
    sn_lines lines = {0};
    const char **names = NULL;
    size_t capacity = 0;
    int64_t count = 0;
    senet_status status = SENET_OK;
    if (!sn_is_file(path)) return SENET_OK;
    SN_TRY(sn_lines_open(path, &lines), cleanup);
    for (const char *line; (line = sn_lines_next(&lines)) != NULL; count++) {
        const char *name = sn_arena_strdup(&set->arena, line);
        if (!name || !sn_grow(&names, sizeof *names, &capacity, (size_t)count + 1)) {
            status = sn_fail_memory(strlen(line), path);
            goto cleanup;
        }
        names[count] = name;
    }
    const char **kept = sn_arena_alloc(&set->arena, (size_t)(count + 1) * sizeof *kept);
    if (!kept || count == 0) {
        status = kept ? sn_fail(SENET_BAD_DATA, "%s: no class names in it", path) : sn_fail_memory((size_t)count, path);
        goto cleanup;
    }
    memcpy(kept, names, (size_t)count * sizeof *kept);
    set->base.info.labels = kept;
    set->base.info.classes = count;
cleanup:
    free(names);
    sn_lines_close(&lines);
    return status;
}

/* ---- lines ---- */

/* The number of the class that `text` is: a number, or a name. */
static bool read_label(const sn_photographs *set, const char *text, int64_t *label)
{
    if (sn_parse_int64(text, label)) return true;
    for (int64_t k = 0; set->base.info.labels && k < set->base.info.classes; k++)
        if (strcmp(set->base.info.labels[k], text) == 0) {
            *label = k;
            return true;
        }
    return false;
}

/* Cuts `line` at the last of `separators`: *label is what follows, without the spaces around it. */
static bool cut(char *line, const char *separators, char **label)
{
    char *at = line + strlen(line);
    while (at > line && !strchr(separators, at[-1])) at--;
    if (at == line) return false;
    *label = at + strspn(at, " \t");
    for (at--; at > line && (at[-1] == ' ' || at[-1] == '\t'); at--) {
    }
    *at = '\0';
    return at > line && **label;
}

/* Parts a line into path and label: at a tab if there is one, else at the last comma if a label follows, else at a
 * space. */
static bool part(const sn_photographs *set, char *line, char **text)
{
    int64_t unused;
    const char *comma = strrchr(line, ',');
    if (strchr(line, '\t')) return cut(line, "\t", text);
    if (comma && (read_label(set, comma + 1 + strspn(comma + 1, " "), &unused) || !strchr(line, ' ')))
        return cut(line, ",", text);
    return cut(line, " ", text);
}

static bool is_header(const char *path, const char *label)
{
    static const char *const paths[] = {"path", "file", "filename", "image"}, *const labels[] = {"label", "class"};
    bool known = false;
    for (size_t i = 0; i < 4; i++) known = known || strcasecmp(path, paths[i]) == 0;
    return known && (strcasecmp(label, labels[0]) == 0 || strcasecmp(label, labels[1]) == 0);
}

static senet_status fail_label(const sn_photographs *set, const char *file, int64_t line, const char *text)
{
    if (set->base.info.labels)
        return sn_fail(SENET_BAD_DATA,
                       "%s: line %" PRId64 ": label '%s' is neither a class of classes.txt nor a number of 0..%" PRId64,
                       file, line, text, set->base.info.classes - 1);
    return sn_fail(SENET_BAD_DATA, "%s: line %" PRId64 ": label '%s' is not a whole number of 0..%d", file, line, text,
                   MOST_CLASSES - 1);
}

static senet_status add_line(sn_photographs *set, const char *file, const char *folder, const sn_lines *lines,
                             char *line)
{
    const bool named = set->base.info.labels != NULL;
    char *text = NULL;
    int64_t label;
    if (!part(set, line, &text))
        return sn_fail(SENET_BAD_DATA, "%s: line %" PRId64 ": '%s' is not a path and a label", file, lines->number,
                       line);
    if (set->base.info.count == 0 && is_header(line, text)) return SENET_OK;
    if (!read_label(set, text, &label) || label < 0 || label >= (named ? set->base.info.classes : MOST_CLASSES))
        return fail_label(set, file, lines->number, text);
    if (!named && label >= set->base.info.classes) set->base.info.classes = label + 1;
    char *path = sn_path_join(folder, line);
    if (!path) return sn_fail_memory(strlen(line), file);
    senet_status status = sn_photographs_add(set, path, (int32_t)label);
    free(path);
    return status;
}

/* ---- the data set ---- */

static senet_status fill(sn_photographs *set, const char *file)
{
    sn_lines lines = {0};
    senet_status status;
    const char *slash = strrchr(file, '/');
    char *folder = slash ? strndup(file, (size_t)(slash - file) + (slash == file)) : strdup("");
    char *names = folder ? sn_path_join(folder, "classes.txt") : NULL;
    if (!names) {
        status = sn_fail_memory(strlen(file), file);
        goto cleanup;
    }
    SN_TRY(sn_photographs_set_root(set, folder), cleanup);
    SN_TRY(read_names(set, names), cleanup);
    SN_TRY(sn_lines_open(file, &lines), cleanup);
    for (char *line; (line = sn_lines_next(&lines)) != NULL;)
        SN_TRY(add_line(set, file, folder, &lines, line), cleanup);
    if (set->base.info.count == 0) status = sn_fail(SENET_BAD_DATA, "%s: names no pictures", file);
cleanup:
    sn_lines_close(&lines);
    free(names);
    free(folder);
    return status;
}

static senet_status list_open(const char *file, sn_split split, sn_dataset **dataset)
{
    if (!file || !*file) return sn_fail(SENET_USAGE, "data set 'list': no file; write list:FILE");
    sn_photographs *set = calloc(1, sizeof *set);
    if (!set) return sn_fail_memory(sizeof *set, file);
    sn_photographs_begin(set, "list");
    const char *path = file;
    if (sn_is_directory(file))
        path = sn_arena_printf(&set->arena, "%s/%s", file, split == SN_SPLIT_TRAIN ? "train.txt" : "val.txt");
    senet_status status = path ? fill(set, path) : sn_fail_memory(strlen(file), file);
    if (status == SENET_OK)
        *dataset = &set->base;
    else
        set->base.close(&set->base);
    return status;
}

const sn_dataset_kind sn_dataset_list = {"list", "list:FILE", list_open};
