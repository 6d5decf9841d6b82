/* CIFAR-10 and CIFAR-100: what is read from good files, and what is said about bad ones. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/data.h"
#include "unit/test_data_files.h"

static char *folder, spec[4200];

static int make_folder(void **state)
{
    (void)state;
    folder = make_scratch();
    snprintf(spec, sizeof spec, "cifar10:%s", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    remove_scratch(folder);
    return 0;
}

/* Opening must fail with `status`, and the message must have all of `parts` in it. */
static void assert_refused(const char *what, sn_split split, senet_status status, const char *const *parts)
{
    sn_dataset *dataset = (sn_dataset *)&dataset;
    assert_int_equal(sn_dataset_open(what, split, &dataset), status);
    assert_null(dataset);
    for (; *parts; parts++)
        if (!strstr(senet_last_error(), *parts)) fail_msg("'%s' is not in: %s", *parts, senet_last_error());
}
#define ASSERT_REFUSED(what, split, status, ...)                                                                       \
    assert_refused(what, split, status, (const char *const[]){__VA_ARGS__, NULL})

static void assert_picture(const sn_dataset *dataset, int64_t index, int record, int label)
{
    uint8_t rgb[SN_CIFAR_PIXEL_BYTES];
    int32_t got;
    assert_int_equal(sn_dataset_get(dataset, index, rgb, &got), SENET_OK);
    assert_int_equal(got, label);
    for (int p = 0; p < SN_CIFAR_PLANE; p++)
        for (int c = 0; c < 3; c++) assert_int_equal(rgb[3 * p + c], test_pixel(record, c, p));
}

static void cifar10_is_read_across_its_files(void **state)
{
    (void)state;
    put_cifar10(folder);
    sn_dataset *train = NULL, *val = NULL;
    assert_int_equal(sn_dataset_open(spec, SN_SPLIT_TRAIN, &train), SENET_OK);
    assert_int_equal(sn_dataset_open(spec, SN_SPLIT_VAL, &val), SENET_OK);
    const sn_dataset_info *info = sn_dataset_describe(train);
    assert_string_equal(info->name, "cifar10");
    assert_int_equal(info->count, 20);
    assert_int_equal(info->height, 32);
    assert_int_equal(info->width, 32);
    assert_int_equal(info->classes, 10);
    assert_string_equal(info->labels[9], "truck");
    assert_true(fabsf(info->mean[0] * 255 - 125.3f) < 1e-4f && fabsf(info->std[2] * 255 - 66.7f) < 1e-4f);
    assert_int_equal(sn_dataset_describe(val)->count, 3);
    for (int i = 0; i < 20; i++) assert_picture(train, i, i, i % 10);
    assert_picture(val, 2, 102, 2);
    uint8_t rgb[SN_CIFAR_PIXEL_BYTES];
    int32_t label;
    assert_int_equal(sn_dataset_get(train, 20, rgb, &label), SENET_USAGE);
    assert_int_equal(sn_dataset_get(train, -1, rgb, &label), SENET_USAGE);
    sn_dataset_close(train);
    sn_dataset_close(val);
}

static void the_authors_folder_is_found_inside(void **state)
{
    (void)state;
    char inside[4200];
    snprintf(inside, sizeof inside, "%s/cifar-10-batches-bin", folder);
    assert_int_equal(mkdir(inside, 0777), 0);
    put_cifar10(inside);
    sn_dataset *dataset = NULL;
    assert_int_equal(sn_dataset_open(spec, SN_SPLIT_TRAIN, &dataset), SENET_OK);
    assert_picture(dataset, 7, 7, 7);
    sn_dataset_close(dataset);
}

static void cifar100_has_fine_labels(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = make_records(0, 5, 2, 20, &size);
    bytes[3 * (2 + SN_CIFAR_PIXEL_BYTES) + 1] = 99; /* record 3: fine label */
    put_file(folder, "train.bin", bytes, size);
    char names[1200] = "";
    for (int i = 0; i < 100; i++) sprintf(names + strlen(names), "class %d\r\n", i);
    put_text(folder, "fine_label_names.txt", names);
    snprintf(spec, sizeof spec, "cifar100:%s", folder);
    sn_dataset *dataset = NULL;
    assert_int_equal(sn_dataset_open(spec, SN_SPLIT_TRAIN, &dataset), SENET_OK);
    assert_int_equal(sn_dataset_describe(dataset)->classes, 100);
    assert_string_equal(sn_dataset_describe(dataset)->labels[99], "class 99");
    assert_picture(dataset, 3, 3, 99);
    sn_dataset_close(dataset);

    bytes[2 * (2 + SN_CIFAR_PIXEL_BYTES)] = 20;
    put_file(folder, "train.bin", bytes, size);
    ASSERT_REFUSED(spec, SN_SPLIT_TRAIN, SENET_BAD_DATA, "train.bin: record 2: coarse label 20 is outside 0..19");
    bytes[2 * (2 + SN_CIFAR_PIXEL_BYTES)] = 19;
    bytes[4 * (2 + SN_CIFAR_PIXEL_BYTES) + 1] = 100;
    put_file(folder, "train.bin", bytes, size);
    ASSERT_REFUSED(spec, SN_SPLIT_TRAIN, SENET_BAD_DATA, "train.bin: record 4: label 100 is outside 0..99");
    free(bytes);
}

static void missing_files_are_named(void **state)
{
    (void)state;
    ASSERT_REFUSED(spec, SN_SPLIT_TRAIN, SENET_NO_INPUT, folder, "data_batch_1.bin", "cifar-10-batches-bin",
                   "senet data get");
    ASSERT_REFUSED(spec, SN_SPLIT_VAL, SENET_NO_INPUT, folder, "test_batch.bin");
    ASSERT_REFUSED("cifar10:/nowhere/at/all", SN_SPLIT_VAL, SENET_NO_INPUT, "/nowhere/at/all");
    ASSERT_REFUSED("cifar10:", SN_SPLIT_VAL, SENET_USAGE, "cifar10:DIR");
    ASSERT_REFUSED("cifar10", SN_SPLIT_VAL, SENET_USAGE, "cifar10:DIR");
    put_cifar10(folder);
    char path[4200];
    snprintf(path, sizeof path, "%s/data_batch_4.bin", folder);
    assert_int_equal(remove(path), 0);
    ASSERT_REFUSED(spec, SN_SPLIT_TRAIN, SENET_NO_INPUT, "data_batch_4.bin: No such file");
    assert_int_equal(mkdir(path, 0777), 0);
    ASSERT_REFUSED(spec, SN_SPLIT_TRAIN, SENET_NO_INPUT, "data_batch_4.bin: Is a directory");
}

static void a_file_of_broken_size_is_refused(void **state)
{
    (void)state;
    put_cifar10(folder);
    size_t size;
    uint8_t *bytes = make_records(0, 3, 1, 10, &size);
    const size_t sizes[] = {0, 1, 3072, 3074, 2 * 3073 - 1, 2 * 3073 + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char said[64];
        put_file(folder, "data_batch_3.bin", bytes, sizes[i]);
        snprintf(said, sizeof said, "data_batch_3.bin: %zu bytes", sizes[i]);
        ASSERT_REFUSED(spec, SN_SPLIT_TRAIN, SENET_BAD_DATA, said, "records of 3073 bytes");
    }
    put_file(folder, "data_batch_3.bin", bytes, 3073);
    sn_dataset *dataset = NULL;
    assert_int_equal(sn_dataset_open(spec, SN_SPLIT_TRAIN, &dataset), SENET_OK); /* one record is enough */
    assert_int_equal(sn_dataset_describe(dataset)->count, 17);
    sn_dataset_close(dataset);
    free(bytes);
}

static void every_label_is_checked(void **state)
{
    (void)state;
    put_cifar10(folder);
    size_t size;
    uint8_t *bytes = make_records(0, 18, 1, 10, &size);
    const int bad[] = {10, 200, 255};
    const int where[] = {0, 16, 17};
    for (int i = 0; i < 3; i++) {
        char said[96];
        uint8_t good = bytes[where[i] * 3073];
        bytes[where[i] * 3073] = (uint8_t)bad[i];
        put_file(folder, "data_batch_5.bin", bytes, size);
        snprintf(said, sizeof said, "data_batch_5.bin: record %d: label %d is outside 0..9", where[i], bad[i]);
        ASSERT_REFUSED(spec, SN_SPLIT_TRAIN, SENET_BAD_DATA, said);
        bytes[where[i] * 3073] = good;
    }
    free(bytes);
}

static void class_names_are_optional_but_never_wrong(void **state)
{
    (void)state;
    put_cifar10(folder);
    put_text(folder, "batches.meta.txt", "one\ntwo\n");
    ASSERT_REFUSED(spec, SN_SPLIT_TRAIN, SENET_BAD_DATA, "batches.meta.txt: 2 class names, the set has 10 classes");
    put_text(folder, "batches.meta.txt", "");
    ASSERT_REFUSED(spec, SN_SPLIT_TRAIN, SENET_BAD_DATA, "batches.meta.txt: 0 class names");
    put_text(folder, "batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n");
    ASSERT_REFUSED(spec, SN_SPLIT_TRAIN, SENET_BAD_DATA, "batches.meta.txt: 11 class names");
    put_text(folder, "batches.meta.txt", "a\nb\n\x1b[31m\nd\ne\nf\ng\nh\ni\nj\n");
    ASSERT_REFUSED(spec, SN_SPLIT_TRAIN, SENET_BAD_DATA, "batches.meta.txt: line 3: not text");
    put_text(folder, "batches.meta.txt", "a\nb\nc\nd\n\xff\xfe\nf\ng\nh\ni\nj\n");
    ASSERT_REFUSED(spec, SN_SPLIT_TRAIN, SENET_BAD_DATA, "batches.meta.txt: line 5: not text");
    char *large = malloc(70000);
    memset(large, 'a', 70000);
    put_file(folder, "batches.meta.txt", large, 70000);
    ASSERT_REFUSED(spec, SN_SPLIT_TRAIN, SENET_BAD_DATA, "batches.meta.txt: 70000 bytes");
    put_file(folder, "batches.meta.txt", large, 300);
    ASSERT_REFUSED(spec, SN_SPLIT_TRAIN, SENET_BAD_DATA, "batches.meta.txt: line 1: not text");
    free(large);
    char path[4200];
    snprintf(path, sizeof path, "%s/batches.meta.txt", folder);
    assert_int_equal(remove(path), 0);
    sn_dataset *dataset = NULL;
    assert_int_equal(sn_dataset_open(spec, SN_SPLIT_TRAIN, &dataset), SENET_OK);
    assert_null(sn_dataset_describe(dataset)->labels);
    sn_dataset_close(dataset);
}

static void a_set_of_ones_own_brings_its_classes_and_statistics(void **state)
{
    (void)state;
    put_cifar10(folder);
    put_text(folder, "senet-stats.txt", "classes 12\nmean 0.25 0.5 1\nstd 0.125 0.25 0.5\n");
    put_text(folder, "batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl");
    put_records(folder, "test_batch.bin", 0, 12, 1, 12);
    sn_dataset *dataset = NULL;
    assert_int_equal(sn_dataset_open(spec, SN_SPLIT_VAL, &dataset), SENET_OK);
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    assert_int_equal(info->classes, 12);
    assert_string_equal(info->labels[11], "l");
    assert_true(info->mean[0] == 0.25f && info->mean[2] == 1 && info->std[0] == 0.125f && info->std[2] == 0.5f);
    sn_dataset_close(dataset);

    const char *const bad[][2] = {
        {"classes 12\nmean 0.25 0.5 1\n", "no line 'std R G B'"},
        {"mean 0.25 0.5 1\nstd 1 1 1\n", "no line 'classes N'"},
        {"classes 0\nmean 0 0 0\nstd 1 1 1\n", "line 1"},
        {"classes 257\nmean 0 0 0\nstd 1 1 1\n", "line 1"},
        {"classes 12\nmean 0.25 0.5\nstd 1 1 1\n", "line 2"},
        {"classes 12\nmean 0.25 0.5 nan\nstd 1 1 1\n", "line 2"},
        {"classes 12\nmean 0.25 0.5 1\nstd 0 1 1\n", "line 3"},
        {"classes 12\nmean 0.25 0.5 1\nstd 1 1 1 1\n", "line 3"},
        {"classes 12\nmean 0.25 0.5 1\nstd 1 1 1\nmode 3\n", "line 4"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put_text(folder, "senet-stats.txt", bad[i][0]);
        ASSERT_REFUSED(spec, SN_SPLIT_VAL, SENET_BAD_DATA, "senet-stats.txt: ", bad[i][1]);
    }
}

static void an_unknown_kind_lists_the_known_ones(void **state)
{
    (void)state;
    ASSERT_REFUSED("cifar:x", SN_SPLIT_TRAIN, SENET_USAGE, "unknown kind 'cifar'", "cifar10:DIR", "synthetic",
                   "tensors:");
    ASSERT_REFUSED("", SN_SPLIT_TRAIN, SENET_USAGE, "unknown kind ''");
    sn_dataset_close(NULL);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(cifar10_is_read_across_its_files),
        IN_FOLDER(the_authors_folder_is_found_inside),
        IN_FOLDER(cifar100_has_fine_labels),
        IN_FOLDER(missing_files_are_named),
        IN_FOLDER(a_file_of_broken_size_is_refused),
        IN_FOLDER(every_label_is_checked),
        IN_FOLDER(class_names_are_optional_but_never_wrong),
        IN_FOLDER(a_set_of_ones_own_brings_its_classes_and_statistics),
        cmocka_unit_test(an_unknown_kind_lists_the_known_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
