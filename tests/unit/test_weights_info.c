/* test_weights_info.c - what a weights file says besides its numbers: metadata, preprocessing, labels. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/view.h"
#include "io/weights.h"
#include "test_data_files.h"
#include "test_failures.h"

/* ---- labels ---- */

static void labels_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message; /* NULL: good */
    } cases[] = {
        {"a\nb, c\nd\n", NULL},
        {"a\r\nb, c\r\nd", NULL},
        {"a\nb\n", "2 lines, but the network tells 3 classes apart"},
        {"a\nb\nc\n\n", "4 lines"},
        {"", "0 lines"},
        {"a\n\xff\nc\n", "byte 2: labels are lines of UTF-8 text"},
    };
    char *folder = make_scratch(), path[4200];
    snprintf(path, sizeof path, "%s/labels.txt", folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sn_weights_info info = {.classes = 3};
        put_text(folder, "labels.txt", cases[i].text);
        if (cases[i].message) {
            assert_fails(sn_weights_info_read_labels(&info, path), SENET_BAD_DATA, path, cases[i].message);
            assert_null(info.labels);
            continue;
        }
        assert_works(sn_weights_info_read_labels(&info, path));
        assert_works(sn_weights_info_read_labels(&info, path)); /* the earlier ones are replaced */
        assert_int_equal(info.labels_count, 3);
        assert_string_equal(info.labels[1], "b, c");
        assert_string_equal(info.labels[2], "d");
        sn_weights_info_free(&info);
    }
    sn_weights_info info = {.classes = 3};
    assert_fails(sn_weights_info_read_labels(&info, "/nowhere/labels.txt"), SENET_NO_INPUT, "/nowhere/labels.txt");
    remove_scratch(folder);
}

/* ---- metadata ---- */

static senet_status read_info(const sn_metadata_entry *entries, size_t count, sn_weights_info *info)
{
    char *folder = make_scratch(), path[4200];
    sn_tensors *file = NULL;
    snprintf(path, sizeof path, "%s/m.safetensors", folder);
    assert_works(sn_tensors_write(path, NULL, 0, entries, count));
    assert_works(sn_tensors_open(path, &file));
    senet_status status = sn_weights_info_read(file, info);
    sn_tensors_close(file);
    remove_scratch(folder);
    return status;
}

static void metadata_is_read(void **state)
{
    (void)state;
    sn_weights_info info;
    assert_works(read_info(NULL, 0, &info));
    assert_null(info.model);
    assert_int_equal(info.classes, 0);
    assert_false(info.has_preprocess);
    sn_weights_info_free(&info);

    const sn_metadata_entry full[] = {{"input", "3x128x160"},
                                      {"mean", "0.5, 0.25,0"},
                                      {"std", "1,2,3e-1"},
                                      {"num_classes", "3"},
                                      {"labels", "a\r\nb, c\r\n d\n"}};
    assert_works(read_info(full, 5, &info));
    assert_true(info.has_preprocess);
    assert_int_equal(info.preprocess.height, 128);
    assert_int_equal(info.preprocess.width, 160);
    assert_true(info.preprocess.mean[1] == 0.25f && info.preprocess.std[2] == 0.3f);
    assert_int_equal(info.preprocess.interpolation, SN_INTERPOLATION_PIL_BILINEAR);
    assert_int_equal(info.labels_count, 3);
    assert_string_equal(info.labels[0], "a");
    assert_string_equal(info.labels[1], "b, c");
    assert_string_equal(info.labels[2], "d");
    sn_weights_info_free(&info);
    sn_weights_info_free(NULL);

    const sn_metadata_entry remark[] = {{"num_classes", "1000"}, {"labels", "sorted order, background dropped"}};
    assert_works(read_info(remark, 2, &info));
    assert_int_equal(info.labels_count, 0);
    sn_weights_info_free(&info);
}

/* Shorter side to 256 for 224 pixels, but 352 for 299 and 320 for 320; CIFAR's pictures as they are. */
static void default_crops_are_the_papers(void **state)
{
    (void)state;
    static const int cases[][2] = {{224, 256}, {299, 352}, {320, 320}, {32, 32}, {128, 146}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sn_preprocess how = sn_preprocess_default(cases[i][0]);
        assert_int_equal(sn_view_of(&how).side, cases[i][1]);
    }
}

static sn_preprocess read_preprocess(const sn_metadata_entry *entries, size_t count, int native_size)
{
    char *folder = make_scratch(), path[4200];
    sn_tensors *file = NULL;
    sn_preprocess how;
    snprintf(path, sizeof path, "%s/m.safetensors", folder);
    assert_works(sn_tensors_write(path, NULL, 0, entries, count));
    assert_works(sn_tensors_open(path, &file));
    assert_works(sn_weights_preprocess_read(file, native_size, &how));
    sn_tensors_close(file);
    remove_scratch(folder);
    return how;
}

/* Each key counts, whichever others are missing. */
static void missing_metadata_is_the_networks(void **state)
{
    (void)state;
    sn_preprocess how = read_preprocess(NULL, 0, 299);
    assert_int_equal(how.height, 299);
    assert_int_equal(sn_view_of(&how).side, 352);
    const sn_metadata_entry some[] = {{"crop_pct", "0.8"}, {"interpolation", "bilinear"}, {"mean", "0.5,0.5,0.5"}};
    how = read_preprocess(some, 3, 224);
    assert_int_equal(how.height, 224);
    assert_int_equal(sn_view_of(&how).side, 280);
    assert_int_equal(how.interpolation, SN_INTERPOLATION_BILINEAR);
    assert_true(how.mean[0] == 0.5f && how.std[0] == 0.229f);
    const sn_metadata_entry input[] = {{"input", "3x320x320"}};
    how = read_preprocess(input, 1, 224);
    assert_int_equal(how.width, 320);
    assert_int_equal(sn_view_of(&how).side, 320);
}

static void bad_metadata_is_named(void **state)
{
    (void)state;
    static const struct {
        sn_metadata_entry entry;
        const char *message;
    } cases[] = {
        {{"num_classes", "many"}, "metadata 'num_classes' is 'many', not a whole number above 0"},
        {{"num_classes", "0"}, "metadata 'num_classes' is '0'"},
        {{"input", "224"}, "metadata 'input' is '224', not 3xHxW"},
        {{"input", "1x28x28"}, "metadata 'input'"},
        {{"input", "3x1e9x1"}, "metadata 'input'"},
        {{"input", "3x32.5x32"}, "metadata 'input'"},
        {{"mean", "0.5,0.5"}, "metadata 'mean' is '0.5,0.5', not three numbers"},
        {{"mean", "1,2,3,4"}, "metadata 'mean'"},
        {{"mean", "1,2,nan"}, "metadata 'mean'"},
        {{"std", "1,0,1"}, "metadata 'std' is '1,0,1', not three numbers above 0"},
        {{"std", "1,1,1e-60"}, "metadata 'std'"},
        {{"channels", "GRB"}, "metadata 'channels' is 'GRB', not RGB or BGR"},
        {{"crop_pct", "1.5"}, "metadata 'crop_pct' is '1.5', not a number from 0.01 to 1"},
        {{"crop_pct", ""}, "metadata 'crop_pct'"},
        {{"interpolation", "lanczos"},
         "metadata 'interpolation' is 'lanczos', not bilinear, pil_bilinear, pil_bicubic or none"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sn_weights_info info;
        assert_fails(read_info(&cases[i].entry, 1, &info), SENET_BAD_DATA, "m.safetensors: ", cases[i].message);
        assert_null(info.model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_read),
        cmocka_unit_test(metadata_is_read),
        cmocka_unit_test(default_crops_are_the_papers),
        cmocka_unit_test(missing_metadata_is_the_networks),
        cmocka_unit_test(bad_metadata_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
