/* Data sets in tar shards: every way of writing a name, labels of both kinds, and damage named by shard and member. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "data/data.h"
#include "test_failures.h"
#include "test_photo_files.h"

#ifdef SENET_WITH_ARCHIVE
#include <archive.h>
#include <archive_entry.h>

typedef struct test_member {
    const char *name;
    const void *bytes;
    size_t size;
} test_member;

typedef int (*set_format)(struct archive *);

static void put_tar(const char *folder, const char *name, set_format format, const test_member *members, size_t count)
{
    char path[8192];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    struct archive *archive = archive_write_new();
    format(archive);
    assert_int_equal(archive_write_open_filename(archive, path), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, members[i].name);
        archive_entry_set_size(entry, (la_int64_t)members[i].size);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
        assert_int_equal(archive_write_data(archive, members[i].bytes, members[i].size), members[i].size);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
    archive_write_free(archive);
}

static sn_dataset *open_set(const char *spec, sn_split split)
{
    sn_dataset *set = NULL;
    assert_works(sn_dataset_open(spec, split, &set));
    return set;
}

#define TEXT(text) text, sizeof text - 1

/* Names longer than a header holds take headers of their own, in GNU's and in POSIX's form. */
static void pictures_are_found_in_every_form_of_tar(void **state)
{
    (void)state;
    static const set_format formats[] = {archive_write_set_format_ustar, archive_write_set_format_gnutar,
                                         archive_write_set_format_pax, archive_write_set_format_pax_restricted};
    char long_name[256], long_label[256];
    memset(long_name, 'x', 230);
    memcpy(long_label, long_name, 230);
    strcpy(long_name + 230, ".png");
    strcpy(long_label + 230, ".json");
    long_name[135] = long_label[135] = '/'; /* as ustar wants it */
    test_picture jpeg = make_jpeg(31, 17, (jpeg_kind){.components = 3});
    test_picture png = make_png(13, 19, (png_kind){.colour = PNG_COLOR_TYPE_RGB, .depth = 8});
    const test_member members[] = {
        {"a.b/0001.jpg", jpeg.bytes, jpeg.size}, {"a.b/0001.txt", TEXT("a caption")},
        {"a.b/0001.cls", TEXT("7\n")},           {long_label, TEXT("{\"x\": [1], \"label\": 2}")},
        {long_name, png.bytes, png.size},        {"3.json", TEXT("{\"cls\": 0}")},
        {"3.JPEG", jpeg.bytes, jpeg.size},       {"README", TEXT("none")}};
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        char *folder = make_scratch();
        put_tar(folder, "s-0.tar", formats[f], members, 5);
        put_tar(folder, "s-1.tar", formats[f], members + 5, 3);
        sn_dataset *set = open_set(spec_of("tar", folder, "s-*.tar"), SN_SPLIT_TRAIN);
        assert_int_equal(sn_dataset_describe(set)->count, 3);
        assert_int_equal(sn_dataset_describe(set)->classes, 8);
        static const int labels[] = {7, 2, 0}, widths[] = {31, 13, 31};
        for (int64_t i = 0; i < 3; i++) {
            char *bytes;
            size_t size;
            const test_picture *wanted = i == 1 ? &png : &jpeg;
            assert_works(sn_dataset_bytes(set, i, &bytes, &size));
            assert_int_equal(size, wanted->size);
            assert_memory_equal(bytes, wanted->bytes, size);
            free(bytes);
            sn_image image = {0};
            int32_t label;
            assert_works(sn_dataset_picture(set, i, true, &image, &label));
            assert_int_equal(label, labels[i]);
            assert_int_equal(image.width, widths[i]);
            sn_image_free(&image);
        }
        assert_string_equal(strrchr(sn_dataset_path(set, 2), '-'), "-1.tar/3.JPEG");
        sn_dataset_close(set);
        remove_scratch(folder);
    }
    free(jpeg.bytes);
    free(png.bytes);
}

static void a_folder_of_shards_has_both_splits(void **state)
{
    (void)state;
    char *folder = make_scratch();
    test_picture jpeg = make_jpeg(9, 9, (jpeg_kind){.components = 3});
    const test_member members[] = {
        {"0.jpg", jpeg.bytes, jpeg.size}, {"0.cls", TEXT("1")}, {"1.jpg", jpeg.bytes, jpeg.size}, {"1.cls", TEXT("0")}};
    put_tar(folder, "train-0.tar", archive_write_set_format_ustar, members, 4);
    put_tar(folder, "val-0.tar", archive_write_set_format_ustar, members, 2);
    sn_dataset *train = open_set(spec_of("tar", folder, ""), SN_SPLIT_TRAIN),
               *val = open_set(spec_of("tar", folder, ""), SN_SPLIT_VAL);
    assert_int_equal(sn_dataset_describe(train)->count, 2);
    assert_int_equal(sn_dataset_describe(val)->count, 1);
    sn_dataset_close(train);
    sn_dataset_close(val);
    free(jpeg.bytes);
    remove_scratch(folder);
}

static void bad_shards_are_named(void **state)
{
    (void)state;
    char *folder = make_scratch();
    test_picture jpeg = make_jpeg(40, 40, (jpeg_kind){.components = 3});
    const test_member good[] = {{"0.jpg", jpeg.bytes, jpeg.size}, {"0.cls", TEXT("1")}};
    const struct {
        test_member members[3];
        size_t count;
        const char *message;
    } cases[] = {
        {{good[0]}, 1, "s.tar: '0.jpg' has no label (.cls or .json)"},
        {{good[1]}, 1, "s.tar: '0' has a label, but no picture"},
        {{good[0], {"0.cls", TEXT("cat")}}, 2, "s.tar/0.cls: label 'cat' is not a whole number"},
        {{good[0], {"0.cls", TEXT("-1")}}, 2, "s.tar/0.cls: label '-1'"},
        {{good[0], {"0.json", TEXT("{\"label\": \"cat\"}")}}, 2, "0.json"},
        {{good[0], {"0.json", TEXT("{\"label\":")}}, 2, "s.tar: 0.json"},
        {{good[0], {"0.json", TEXT("{}")}}, 2, "'0.jpg' has no label"},
        {{good[0], {"0.png", jpeg.bytes, jpeg.size}}, 2, "s.tar: '0' has two pictures, 0.jpg and 0.png"},
        {{{"x", TEXT("y")}}, 1, "no pictures (.jpg, .jpeg or .png with .cls or .json) in it"},
    };
    sn_dataset *set = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_tar(folder, "s.tar", archive_write_set_format_ustar, cases[i].members, cases[i].count);
        assert_fails(sn_dataset_open(spec_of("tar", folder, "s.tar"), SN_SPLIT_VAL, &set), SENET_BAD_DATA,
                     cases[i].message);
        assert_null(set);
    }
    assert_fails(sn_dataset_open(spec_of("tar", folder, "none-*.tar"), SN_SPLIT_VAL, &set), SENET_NO_INPUT,
                 "none-*.tar");
    put_file(folder, "s.tar", "\x1F\x8B\x08\0rest", 8);
    assert_fails(sn_dataset_open(spec_of("tar", folder, "s.tar"), SN_SPLIT_VAL, &set), SENET_BAD_DATA,
                 "s.tar: packed by gzip", "plain .tar");
    put_text(folder, "s.tar", "this is no archive, however long its text may be made");
    assert_fails(sn_dataset_open(spec_of("tar", folder, "s.tar"), SN_SPLIT_VAL, &set), SENET_BAD_DATA, "s.tar: ");
    /* Cut inside the picture of the second sample. */
    const test_member two[] = {good[0], good[1], {"1.jpg", jpeg.bytes, jpeg.size}, {"1.cls", TEXT("0")}};
    put_tar(folder, "s.tar", archive_write_set_format_ustar, two, 4);
    char path[8192];
    snprintf(path, sizeof path, "%s/s.tar", folder);
    const off_t second = (off_t)(512 + (jpeg.size + 511) / 512 * 512 + 1024); /* of its header */
    assert_int_equal(truncate(path, second + 512 + 100), 0);
    assert_fails(sn_dataset_open(spec_of("tar", folder, "s.tar"), SN_SPLIT_VAL, &set), SENET_BAD_DATA,
                 "s.tar: truncated: it ends inside 1.jpg, after 100 of");
    assert_int_equal(truncate(path, second + 100), 0); /* inside its header: what came before is named */
    assert_fails(sn_dataset_open(spec_of("tar", folder, "s.tar"), SN_SPLIT_VAL, &set), SENET_BAD_DATA,
                 "s.tar: 0: ", "runcated");
    /* Cut after it was opened. */
    put_tar(folder, "s.tar", archive_write_set_format_ustar, two, 4);
    set = open_set(spec_of("tar", folder, "s.tar"), SN_SPLIT_VAL);
    assert_int_equal(truncate(path, second + 512 + 100), 0);
    sn_image image = {0};
    assert_works(sn_dataset_picture(set, 0, true, &image, NULL));
    sn_image_free(&image);
    assert_fails(sn_dataset_picture(set, 1, true, &image, NULL), SENET_BAD_DATA,
                 "s.tar/1.jpg: truncated: the shard ends after 100 of");
    sn_dataset_close(set);
    free(jpeg.bytes);
    remove_scratch(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_found_in_every_form_of_tar),
        cmocka_unit_test(a_folder_of_shards_has_both_splits),
        cmocka_unit_test(bad_shards_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void)
{
    puts("skipped: this build is without libarchive");
    return 77;
}
#endif
