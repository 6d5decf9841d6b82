/* cifar.c - CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) in their authors' binary files, memory-mapped.
 *
 * "cifar10:DIR" also reads a set of one's own in CIFAR-10's format: senet-stats.txt beside the files then says how many
 * classes it has and its mean and standard deviation (cifar_format.h). */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "data/cifar_format.h"
#include "data/dataset.h"

enum { MAX_FILES = 5 };

typedef struct cifar_format {
    const char *name;                                      /* and the kind's prefix */
    const char *folder;                                    /* in the authors' archive */
    const char *train[MAX_FILES + 1], *val[MAX_FILES + 1]; /* NULL-terminated */
    const char *names;                                     /* file of class names; optional */
    sn_cifar_record record;
    float mean[3], std[3]; /* times 255; fb.resnet.torch's */
} cifar_format;

static const cifar_format cifar10 = {
    .name = "cifar10",
    .folder = "cifar-10-batches-bin",
    .train = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
    .val = {"test_batch.bin"},
    .names = "batches.meta.txt",
    .record = {.labels = 1, .limits = {10}},
    .mean = {125.3f, 123.0f, 113.9f},
    .std = {63.0f, 62.1f, 66.7f},
};

static const cifar_format cifar100 = {
    .name = "cifar100",
    .folder = "cifar-100-binary",
    .train = {"train.bin"},
    .val = {"test.bin"},
    .names = "fine_label_names.txt",
    .record = {.labels = 2, .limits = {20, 100}},
    .mean = {129.3f, 124.1f, 112.4f},
    .std = {68.2f, 65.4f, 70.4f},
};

typedef struct cifar_set {
    sn_dataset base;
    sn_cifar_record record;
    sn_mapping files[MAX_FILES];
    int64_t ends[MAX_FILES]; /* records in files 0..i */
    sn_split split;
    sn_arena arena; /* class names, paths */
} cifar_set;

static void cifar_close(sn_dataset *dataset)
{
    cifar_set *set = (cifar_set *)dataset;
    for (int i = 0; i < MAX_FILES; i++) sn_file_unmap(&set->files[i]);
    sn_arena_free(&set->arena);
    free(set);
}

static const uint8_t *record_at(const cifar_set *set, int64_t sample)
{
    int file = 0;
    while (sample >= set->ends[file]) file++;
    size_t at = (size_t)(sample - (file ? set->ends[file - 1] : 0));
    return (const uint8_t *)set->files[file].bytes + at * sn_cifar_record_bytes(&set->record);
}

static senet_status cifar_read(const sn_dataset *dataset, int64_t sample, void *pixels, int32_t *label)
{
    const cifar_set *set = (const cifar_set *)dataset;
    sn_cifar_decode(&set->record, record_at(set, sample), pixels, label);
    return SENET_OK;
}

static int32_t cifar_label(const sn_dataset *dataset, int64_t sample)
{
    const cifar_set *set = (const cifar_set *)dataset;
    return record_at(set, sample)[set->record.labels - 1];
}

/* A path in the set's arena; NULL, with the message left, when memory is short. */
static const char *join(cifar_set *set, const char *folder, const char *name)
{
    const char *path = sn_arena_printf(&set->arena, "%s/%s", folder, name);
    if (!path) sn_fail_memory(strlen(folder) + strlen(name) + 2, folder);
    return path;
}

/* The folder that holds the files: `given` itself, or the authors' folder inside it. */
static senet_status find_folder(cifar_set *set, const cifar_format *format, const char *given, const char **folder)
{
    const char *first = set->split == SN_SPLIT_TRAIN ? format->train[0] : format->val[0];
    const char *inside = join(set, given, format->folder);
    if (!inside) return SENET_NO_MEMORY;
    const char *const candidates[] = {given, inside};
    for (size_t i = 0; i < 2; i++) {
        const char *path = join(set, candidates[i], first);
        if (!path) return SENET_NO_MEMORY;
        if (!sn_is_file(path)) continue;
        *folder = candidates[i];
        return SENET_OK;
    }
    return sn_fail(SENET_NO_INPUT, "%s: neither it nor its folder %s has %s (`senet data get %s` downloads the set)",
                   given, format->folder, first, format->name);
}

static senet_status read_statistics(cifar_set *set, const char *path)
{
    sn_mapping file = {0};
    sn_cifar_statistics statistics;
    senet_status status;
    SN_TRY(sn_file_map(path, &file), cleanup);
    SN_TRY(sn_cifar_parse_statistics(file.bytes, file.size, path, &statistics), cleanup);
    set->record.limits[set->record.labels - 1] = statistics.classes;
    set->base.info.classes = statistics.classes;
    memcpy(set->base.info.mean, statistics.mean, sizeof statistics.mean);
    memcpy(set->base.info.std, statistics.std, sizeof statistics.std);
cleanup:
    sn_file_unmap(&file);
    return status;
}

static senet_status read_names(cifar_set *set, const char *path)
{
    sn_mapping file = {0};
    senet_status status;
    SN_TRY(sn_file_map(path, &file), cleanup);
    SN_TRY(
        sn_cifar_parse_names(&set->arena, file.bytes, file.size, path, set->base.info.classes, &set->base.info.labels),
        cleanup);
cleanup:
    sn_file_unmap(&file);
    return status;
}

/* The two text files; both may be absent. */
static senet_status read_about(cifar_set *set, const cifar_format *format, const char *folder)
{
    const char *statistics = join(set, folder, SN_CIFAR_STATISTICS_FILE), *names = join(set, folder, format->names);
    if (!statistics || !names) return SENET_NO_MEMORY;
    if (format == &cifar10 && sn_is_file(statistics)) SN_RETURN_IF_FAILED(read_statistics(set, statistics));
    return sn_is_file(names) ? read_names(set, names) : SENET_OK;
}

static senet_status open_records(cifar_set *set, const char *folder, const char *const *names)
{
    for (int i = 0; names[i]; i++) {
        int64_t records;
        const char *path = join(set, folder, names[i]);
        if (!path) return SENET_NO_MEMORY;
        SN_RETURN_IF_FAILED(sn_file_map(path, &set->files[i]));
        SN_RETURN_IF_FAILED(sn_cifar_check(&set->record, set->files[i].bytes, set->files[i].size, path, &records));
        set->base.info.count += records;
        set->ends[i] = set->base.info.count;
    }
    return SENET_OK;
}

static senet_status cifar_open(const cifar_format *format, const char *directory, sn_split split, sn_dataset **dataset)
{
    if (!directory || !*directory)
        return sn_fail(SENET_USAGE, "data set '%s': no folder; write %s:DIR", format->name, format->name);
    senet_status status;
    const char *folder = NULL;
    cifar_set *set = calloc(1, sizeof *set);
    if (!set) return sn_fail_memory(sizeof *set, format->name);
    set->record = format->record;
    set->split = split;
    set->base = (sn_dataset){.read = cifar_read,
                             .label = cifar_label,
                             .close = cifar_close,
                             .info = {.name = format->name,
                                      .height = SN_CIFAR_SIDE,
                                      .width = SN_CIFAR_SIDE,
                                      .classes = format->record.limits[format->record.labels - 1]}};
    for (int c = 0; c < 3; c++) {
        set->base.info.mean[c] = format->mean[c] / 255;
        set->base.info.std[c] = format->std[c] / 255;
    }
    SN_TRY(find_folder(set, format, directory, &folder), cleanup);
    SN_TRY(read_about(set, format, folder), cleanup);
    SN_TRY(open_records(set, folder, split == SN_SPLIT_TRAIN ? format->train : format->val), cleanup);
    *dataset = &set->base;
    return SENET_OK;
cleanup:
    cifar_close(&set->base);
    return status;
}

static senet_status cifar10_open(const char *directory, sn_split split, sn_dataset **dataset)
{
    return cifar_open(&cifar10, directory, split, dataset);
}

static senet_status cifar100_open(const char *directory, sn_split split, sn_dataset **dataset)
{
    return cifar_open(&cifar100, directory, split, dataset);
}

const sn_dataset_kind sn_dataset_cifar10 = {"cifar10", "cifar10:DIR", cifar10_open};
const sn_dataset_kind sn_dataset_cifar100 = {"cifar100", "cifar100:DIR", cifar100_open};
