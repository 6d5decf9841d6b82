/* fuzz_label_map.c - label maps, over data with class names and without: the first byte chooses, and how many classes
 * the network has. */
#define _GNU_SOURCE
#include <string.h>

#include "data/data.h"
#include "fuzz/fuzz.h"
#include "fuzz/scratch.h"

enum { LABELS = 4, MOST_CLASSES = 8 };

/* A map that was accepted gives every label a class of its own; one that was refused changes nothing. */
static void check(sn_dataset *set, const char *map, int64_t classes)
{
    const sn_dataset_info *info = sn_dataset_describe(set);
    bool taken[MOST_CLASSES] = {false};
    if (sn_dataset_map_labels(set, map, classes) != SENET_OK) {
        if (info->classes != LABELS) abort();
        for (int64_t i = 0; i < LABELS; i++)
            if (sn_dataset_label(set, i) != i) abort();
        return;
    }
    if (info->classes != classes || !info->labels) abort();
    for (int64_t k = 0; k < classes; k++)
        if (!info->labels[k]) abort();
    for (int64_t i = 0; i < LABELS; i++) {
        const int32_t label = sn_dataset_label(set, i);
        if (label < 0 || label >= classes || taken[label]) abort();
        taken[label] = true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char names[] = "cat\ndog\ngreat white shark\nzebra\n",
                      pictures[] = "a.jpg 0\nb.jpg 1\nc.jpg 2\nd.jpg 3\n";
    static const char *map, *classes;
    static char spec[128];
    if (size == 0) return 0;
    if (!map) {
        const char *list = scratch_path("list.txt");
        scratch_write(list, pictures, sizeof pictures - 1);
        snprintf(spec, sizeof spec, "list:%s", list);
        classes = scratch_path("classes.txt");
        map = scratch_path("map.txt");
    }
    if (data[0] % 2)
        scratch_write(classes, names, sizeof names - 1);
    else
        unlink(classes);
    scratch_write(map, data + 1, size - 1);
    sn_dataset *set = NULL;
    if (sn_dataset_open(spec, SN_SPLIT_TRAIN, &set) != SENET_OK) abort();
    check(set, map, LABELS + data[0] / 2 % (MOST_CLASSES - LABELS + 1));
    sn_dataset_close(set);
    return 0;
}

size_t senet_fuzz_seed(size_t index, uint8_t *bytes, size_t capacity)
{
    static const char *const seeds[] = {
        "\x09"
        "0\tdog\thound, dog\n1\tzebra\tz\n2\tape\tape\n3\tcat\tdomestic cat\n7\tgreat white shark\n",
        "\x05"
        "cat 4\ndog 1\nzebra 0\ngreat white shark 2\n",
        "\x04"
        "# devkit order\n2\n0\n1\n5\n",
        "\x06"
        "index\twnid\twords\n0\t3\n6\t0\n5\t1\n4\t2\n",
    };
    if (index >= sizeof seeds / sizeof *seeds || strlen(seeds[index]) > capacity) return 0;
    memcpy(bytes, seeds[index], strlen(seeds[index]));
    return strlen(seeds[index]);
}
