/* exclude.c - leaving out the pictures that a list names: what `senet data verify --output` and a quarantine write. */
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "data/lines.h"

typedef struct name_list {
    const char **names; /* sorted */
    size_t count, capacity;
} name_list;

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static senet_status read_names(sn_lines *lines, name_list *list)
{
    for (const char *line; (line = sn_lines_next(lines)) != NULL; list->count++) {
        if (!sn_grow(&list->names, sizeof *list->names, &list->capacity, list->count + 1))
            return sn_fail_memory((list->count + 1) * sizeof *list->names, "the list of pictures to leave out");
        list->names[list->count] = line;
    }
    if (list->count > 0) qsort(list->names, list->count, sizeof *list->names, compare);
    return SENET_OK;
}

static bool has(const name_list *list, const char *name)
{
    return list->count > 0 && bsearch(&name, list->names, list->count, sizeof name, compare) != NULL;
}

static bool is_excluded(const name_list *list, const sn_dataset *dataset, const char *path)
{
    const size_t root = strlen(dataset->root);
    return has(list, path) || (root > 0 && strncmp(path, dataset->root, root) == 0 && has(list, path + root));
}

/* The samples that stay, in their order. */
static senet_status keep_others(sn_dataset *dataset, const name_list *list, int64_t *excluded)
{
    const int64_t count = dataset->info.count;
    int64_t *kept = malloc((size_t)count * sizeof *kept), left = 0;
    if (!kept) return sn_fail_memory((size_t)count * sizeof *kept, "the pictures that stay");
    for (int64_t i = 0; i < count; i++)
        if (!is_excluded(list, dataset, sn_dataset_path(dataset, i)))
            kept[left++] = dataset->kept ? dataset->kept[i] : i;
    *excluded = count - left;
    if (left == count || left == 0) {
        free(kept);
        if (left == count) return SENET_OK;
        return sn_fail(SENET_BAD_DATA, "%s: every one of the %lld pictures would be left out", dataset->info.name,
                       (long long)count);
    }
    free(dataset->kept);
    dataset->kept = kept;
    dataset->info.count = left;
    return SENET_OK;
}

senet_status sn_dataset_exclude(sn_dataset *dataset, const char *file, int64_t *excluded)
{
    sn_lines lines = {0};
    name_list list = {0};
    senet_status status;
    *excluded = 0;
    if (!dataset->info.photographs)
        return sn_fail(SENET_USAGE, "%s: leaves out pictures by path, but %s has none", file, dataset->info.name);
    SN_TRY(sn_lines_open(file, &lines), cleanup);
    SN_TRY(read_names(&lines, &list), cleanup);
    status = keep_others(dataset, &list, excluded);
    if (status != SENET_OK) sn_fail_context(status, "%s", file);
cleanup:
    free(list.names);
    sn_lines_close(&lines);
    return status;
}
