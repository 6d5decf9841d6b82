/* fuzz_list.c - lists of pictures and labels, with a classes.txt beside them or without: the first byte chooses. */
#define _GNU_SOURCE
#include <string.h>

#include "data/data.h"
#include "fuzz/fuzz.h"
#include "fuzz/scratch.h"

/* Every picture of a list that was accepted has a path and a class. */
static void check(const char *spec)
{
    sn_dataset *set = NULL;
    if (sn_dataset_open(spec, SN_SPLIT_TRAIN, &set) != SENET_OK) {
        if (set) abort();
        return;
    }
    const sn_dataset_info *info = sn_dataset_describe(set);
    if (info->count < 1 || info->classes < 1) abort();
    for (int64_t i = 0; i < info->count; i++) {
        const char *path = sn_dataset_path(set, i);
        const int32_t label = sn_dataset_label(set, i);
        if (!path || !*path || label < 0 || label >= info->classes) abort();
        if (info->labels && !*info->labels[label]) abort();
    }
    sn_dataset_close(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char names[] = "cat\ngreat white shark\ndog\n";
    static const char *list, *classes;
    static char spec[128];
    if (size == 0) return 0;
    if (!list) {
        list = scratch_path("list.txt");
        classes = scratch_path("classes.txt");
        snprintf(spec, sizeof spec, "list:%s", list);
    }
    const bool named = data[0] % 2;
    if (named)
        scratch_write(classes, names, sizeof names - 1);
    else
        unlink(classes);
    scratch_write(list, data + 1, size - 1);
    check(spec);
    if (named) { /* and the same bytes as class names */
        scratch_write(classes, data + 1, size - 1);
        scratch_write(list, "a.jpg 0\n", 8);
        check(spec);
    }
    return 0;
}

size_t senet_fuzz_seed(size_t index, uint8_t *bytes, size_t capacity)
{
    static const char *const seeds[] = {
        "0\xEF\xBB\xBFpath,label\r\n# a comment\r\n\r\na.jpg 0\r\nwith space.jpg 12\na,b.jpg,3\n  tab.png\t4 \nc, "
        "d.jpg, 5\n",
        "1a.jpg cat\nb.jpg\tgreat white shark\nc.jpg,dog\nd.jpg 1\n",
        "0/absolute.jpg 0\nlast.jpg 1048575",
    };
    if (index >= sizeof seeds / sizeof *seeds || strlen(seeds[index]) > capacity) return 0;
    memcpy(bytes, seeds[index], strlen(seeds[index]));
    return strlen(seeds[index]);
}
