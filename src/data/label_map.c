/* label_map.c - the labels of a data set as classes of a network that numbers its classes otherwise: by a text file, or
 * by name. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "data/dataset.h"
#include "data/lines.h"

enum { UNSET = -1 };

/* A map being made. */
typedef struct label_map {
    const sn_dataset *dataset;
    const char *source; /* the file, or "the network's labels" */
    int64_t classes;    /* of the network */
    int32_t *class_of;  /* of each label of the data; UNSET at first */
    int32_t *label_of;  /* of each class of the network; UNSET at first */
    const char **names; /* of the classes; in the data set's arena */
} label_map;

static senet_status map_begin(label_map *map, sn_dataset *dataset, const char *source, int64_t classes)
{
    const size_t labels = (size_t)dataset->info.classes, outputs = (size_t)classes;
    *map = (label_map){.dataset = dataset, .source = source, .classes = classes};
    if (classes < 1 || classes > INT32_MAX)
        return sn_fail(SENET_USAGE, "%s: a network of %" PRId64 " classes", source, classes);
    if (dataset->class_of)
        return sn_fail(SENET_USAGE, "%s: the labels of %s are mapped already", source, dataset->info.name);
    map->class_of = malloc(labels * sizeof *map->class_of);
    map->label_of = malloc(outputs * sizeof *map->label_of);
    map->names = sn_arena_alloc(&dataset->names, outputs * sizeof *map->names);
    if (!map->class_of || !map->label_of || !map->names)
        return sn_fail_memory(outputs * sizeof *map->names, "a map of labels");
    for (size_t i = 0; i < labels; i++) map->class_of[i] = UNSET;
    for (size_t i = 0; i < outputs; i++) map->label_of[i] = UNSET;
    return SENET_OK;
}

static void map_free(label_map *map)
{
    free(map->class_of);
    free(map->label_of);
}

/* What a label of the data is called in messages. */
static const char *label_text(const sn_dataset *dataset, int64_t label, char room[32])
{
    if (dataset->info.labels) return dataset->info.labels[label];
    sn_text text = {0};
    sn_text_printf(&text, "%" PRId64, label);
    strncpy(room, sn_text_string(&text), 31);
    room[31] = '\0';
    sn_text_free(&text);
    return room;
}

/* One to one: no label twice, no class twice. */
static senet_status map_set(label_map *map, int64_t label, int64_t class_index)
{
    char room[32], other[32];
    const char *name = label_text(map->dataset, label, room);
    if (class_index < 0 || class_index >= map->classes)
        return sn_fail(SENET_BAD_DATA, "class %" PRId64 " of '%s' is outside 0..%" PRId64, class_index, name,
                       map->classes - 1);
    if (map->class_of[label] != UNSET) return sn_fail(SENET_BAD_DATA, "'%s' is there a second time", name);
    if (map->label_of[class_index] != UNSET)
        return sn_fail(SENET_BAD_DATA, "class %" PRId64 " is given to '%s' and to '%s'", class_index,
                       label_text(map->dataset, map->label_of[class_index], other), name);
    map->class_of[label] = (int32_t)class_index;
    map->label_of[class_index] = (int32_t)label;
    return SENET_OK;
}

/* Every label must have its class; then the data set takes the map over. */
static senet_status map_finish(label_map *map, sn_dataset *dataset)
{
    char room[32];
    for (int64_t k = 0; k < dataset->info.classes; k++)
        if (map->class_of[k] == UNSET)
            return sn_fail(SENET_BAD_DATA, "%s: no class for '%s' of the data", map->source,
                           label_text(dataset, k, room));
    for (int64_t k = 0; k < map->classes; k++) {
        const int32_t label = map->label_of[k];
        if (map->names[k]) continue;
        map->names[k] = label != UNSET && dataset->info.labels ? dataset->info.labels[label]
                                                               : sn_arena_printf(&dataset->names, "class %" PRId64, k);
        if (!map->names[k]) return sn_fail_memory(32, "a class name");
    }
    dataset->class_of = map->class_of;
    map->class_of = NULL;
    dataset->info.labels = map->names;
    dataset->info.classes = map->classes;
    return SENET_OK;
}

/* ---- names ---- */

typedef struct named {
    const char *name;
    int64_t number;
} named;

static int by_name(const void *a, const void *b)
{
    const named *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->number > y->number) - (x->number < y->number);
}

/* The data's class names in an order that find_name searches; free().  NULL when memory is short. */
static named *sort_names(const char *const *names, int64_t count)
{
    named *sorted = malloc(((size_t)count + 1) * sizeof *sorted);
    for (int64_t i = 0; sorted && i < count; i++) sorted[i] = (named){names[i], i};
    if (sorted && count > 0) qsort(sorted, (size_t)count, sizeof *sorted, by_name);
    return sorted;
}

/* The number behind the name, or -1 where there is none, or more than one. */
static int64_t find_name(const named *sorted, int64_t count, const char *name)
{
    int64_t low = 0, high = count;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (strcmp(sorted[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == count || strcmp(sorted[low].name, name) != 0) return -1;
    return low + 1 < count && strcmp(sorted[low + 1].name, name) == 0 ? -1 : sorted[low].number;
}

/* ---- by a file ---- */

/* "index TAB name [TAB words]": cuts the line. */
static bool split_numbered(char *line, int64_t *index, char **name)
{
    char *tab = strchr(line, '\t');
    if (!tab) return false;
    *tab = '\0';
    *name = tab + 1;
    (*name)[strcspn(*name, "\t")] = '\0';
    return sn_parse_int64(line, index);
}

/* "name index": cuts the line. */
static bool split_named(char *line, int64_t *index, char **name)
{
    char *end = line + strlen(line);
    while (end > line && end[-1] != ' ' && end[-1] != '\t') end--;
    if (end == line || !sn_parse_int64(end, index)) return false;
    while (end > line && (end[-1] == ' ' || end[-1] == '\t')) end--;
    *end = '\0';
    *name = line;
    return true;
}

/* The label of the data that a name of the file means: a class name, or the number where the data has no names; -1:
 * none. */
static int64_t label_named(const label_map *map, const named *sorted, const char *name)
{
    int64_t label;
    const int64_t labels = map->dataset->info.classes;
    if (map->dataset->info.labels) return find_name(sorted, labels, name);
    return sn_parse_int64(name, &label) && label >= 0 && label < labels ? label : -1;
}

typedef enum map_form { FORM_BARE, FORM_NUMBERED, FORM_NAMED } map_form;

/* Which form the first line shows. */
static map_form form_of(const char *line)
{
    char *copy = strdup(line), *name;
    int64_t index;
    map_form form = sn_parse_int64(line, &index)                  ? FORM_BARE
                    : copy && split_numbered(copy, &index, &name) ? FORM_NUMBERED
                                                                  : FORM_NAMED;
    free(copy);
    return form;
}

/* A line that names a class; names that the data lacks are none of its business. */
static senet_status add_named_line(label_map *map, sn_arena *arena, const named *sorted, char *line, map_form form)
{
    int64_t index;
    char *name;
    if (form == FORM_NUMBERED ? !split_numbered(line, &index, &name) : !split_named(line, &index, &name))
        return sn_fail(SENET_BAD_DATA, "'%s' is not %s", line,
                       form == FORM_NUMBERED ? "an index, a tab and a name" : "a name and an index");
    const int64_t label = label_named(map, sorted, name);
    if (label >= 0) SN_RETURN_IF_FAILED(map_set(map, label, index));
    if (index < 0 || index >= map->classes || !map->dataset->info.labels) return SENET_OK;
    map->names[index] = sn_arena_strdup(arena, name);
    return map->names[index] ? SENET_OK : sn_fail_memory(strlen(name), map->source);
}

/* A line that is the class of the next label. */
static senet_status add_bare_line(label_map *map, const char *line, int64_t label)
{
    int64_t index;
    const sn_dataset_info *info = &map->dataset->info;
    if (!sn_parse_int64(line, &index)) return sn_fail(SENET_BAD_DATA, "'%s' is not a whole number", line);
    if (label < info->classes) return map_set(map, label, index);
    return sn_fail(SENET_BAD_DATA, "more lines than the %" PRId64 " labels of %s", label, info->name);
}

/* The first line of a table: "index TAB wnid TAB words". */
static bool is_heading(const char *line)
{
    return strncmp(line, "index\t", 6) == 0;
}

static senet_status read_map(label_map *map, sn_arena *arena, sn_lines *lines, const named *sorted)
{
    map_form form = FORM_BARE;
    int64_t read = 0;
    for (char *line; (line = sn_lines_next(lines)) != NULL;) {
        if (read == 0 && is_heading(line)) continue;
        if (read == 0) form = form_of(line);
        senet_status status =
            form == FORM_BARE ? add_bare_line(map, line, read) : add_named_line(map, arena, sorted, line, form);
        read++;
        if (status != SENET_OK) return sn_fail_context(status, "%s: line %" PRId64, map->source, lines->number);
    }
    return SENET_OK;
}

senet_status sn_dataset_map_labels(sn_dataset *dataset, const char *file, int64_t classes)
{
    label_map map = {0};
    sn_lines lines = {0};
    const char *const *names = dataset->info.labels;
    named *sorted = sort_names(names, names ? dataset->info.classes : 0);
    senet_status status;
    if (!sorted) {
        status = sn_fail_memory((size_t)dataset->info.classes * sizeof *sorted, "the class names");
        goto cleanup;
    }
    SN_TRY(map_begin(&map, dataset, file, classes), cleanup);
    SN_TRY(sn_lines_open(file, &lines), cleanup);
    SN_TRY(read_map(&map, &dataset->names, &lines, sorted), cleanup);
    status = map_finish(&map, dataset);
cleanup:
    free(sorted);
    sn_lines_close(&lines);
    map_free(&map);
    return status;
}

/* ---- by the network's labels ---- */

/* The labels' first words ("n01440764" of "n01440764 tench"), in one block behind the pointers; free(). */
static char **first_words(const char *const *labels, int64_t count)
{
    size_t bytes = (size_t)count * sizeof(char *);
    for (int64_t i = 0; i < count; i++) bytes += strlen(labels[i]) + 1;
    char **words = malloc(bytes), *at = (char *)(words + count);
    for (int64_t i = 0; words && i < count; i++) {
        const size_t length = strcspn(labels[i], " ,\t");
        words[i] = memcpy(at, labels[i], length);
        at[length] = '\0';
        at += length + 1;
    }
    return words;
}

static senet_status map_by_name(label_map *map, const named *labels, const named *words)
{
    const sn_dataset_info *info = &map->dataset->info;
    for (int64_t k = 0; k < info->classes; k++) {
        int64_t found = find_name(labels, map->classes, info->labels[k]);
        if (found < 0) found = find_name(words, map->classes, info->labels[k]);
        if (found < 0)
            return sn_fail(SENET_BAD_DATA, "class '%s' of %s is not among the %" PRId64 " labels of the network",
                           info->labels[k], info->name, map->classes);
        SN_RETURN_IF_FAILED(map_set(map, k, found));
    }
    return SENET_OK;
}

senet_status sn_dataset_map_names(sn_dataset *dataset, const char *const *labels, int64_t classes)
{
    if (!dataset->info.labels)
        return sn_fail(SENET_BAD_DATA, "the classes of %s have no names to find among the network's labels",
                       dataset->info.name);
    label_map map = {0};
    char **words = first_words(labels, classes);
    named *sorted_labels = sort_names(labels, classes);
    named *sorted_words = words ? sort_names((const char *const *)words, classes) : NULL;
    senet_status status;
    if (!sorted_labels || !sorted_words) {
        status = sn_fail_memory((size_t)classes * sizeof *sorted_labels, "the network's labels");
        goto cleanup;
    }
    SN_TRY(map_begin(&map, dataset, "the network's labels", classes), cleanup);
    SN_TRY(map_by_name(&map, sorted_labels, sorted_words), cleanup);
    for (int64_t k = 0; k < classes; k++)
        if (!(map.names[k] = sn_arena_strdup(&dataset->names, labels[k]))) {
            status = sn_fail_memory(strlen(labels[k]), "a label");
            goto cleanup;
        }
    status = map_finish(&map, dataset);
cleanup:
    free(words);
    free(sorted_labels);
    free(sorted_words);
    map_free(&map);
    return status;
}
