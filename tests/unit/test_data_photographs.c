/* Data sets of picture files: which pictures a folder or a list holds, which label each has, and what is refused. */
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

static sn_dataset *open_set(const char *spec, sn_split split)
{
    sn_dataset *set = NULL;
    assert_works(sn_dataset_open(spec, split, &set));
    return set;
}

/* Sample i is FOLDER/path and has that label. */
static void assert_sample(const sn_dataset *set, int64_t i, const char *folder, const char *path, int32_t label)
{
    const char *found = sn_dataset_path(set, i);
    assert_non_null(found);
    assert_memory_equal(found, folder, strlen(folder));
    assert_string_equal(found + strlen(folder) + 1, path);
    assert_int_equal(sn_dataset_label(set, i), label);
}

/* train: cat (2, one of them deep), dog (1), empty; val: dog.  Files that are no pictures lie about. */
static char *make_animals(void)
{
    char *folder = make_scratch();
    put_jpeg(folder, "train/dog/b.JPG", 20, 10);
    put_png(folder, "train/cat/a.png", 8, 9);
    put_jpeg(folder, "train/cat/more/deep/c.jpeg", 12, 12);
    put_nested(folder, "train/cat/notes.txt", "x", 1);
    put_nested(folder, "train/cat/.hidden.jpg", "x", 1);
    put_nested(folder, "train/zebra/readme", "x", 1);
    put_nested(folder, "train/LICENSE", "x", 1);
    put_jpeg(folder, "val/dog/d.jpg", 30, 40);
    return folder;
}

static void a_folder_is_a_class(void **state)
{
    (void)state;
    char *folder = make_animals();
    sn_dataset *train = open_set(spec_of("folder", folder, ""), SN_SPLIT_TRAIN);
    const sn_dataset_info *info = sn_dataset_describe(train);
    assert_int_equal(info->count, 3);
    assert_int_equal(info->classes, 3);
    assert_true(info->photographs);
    assert_int_equal(info->height, 0);
    assert_string_equal(info->labels[0], "cat");
    assert_string_equal(info->labels[1], "dog");
    assert_string_equal(info->labels[2], "zebra");
    assert_sample(train, 0, folder, "train/cat/a.png", 0);
    assert_sample(train, 1, folder, "train/cat/more/deep/c.jpeg", 0);
    assert_sample(train, 2, folder, "train/dog/b.JPG", 1);
    assert_null(sn_dataset_path(train, 3));
    sn_image image = {0};
    int32_t label = -1;
    assert_works(sn_dataset_picture(train, 2, true, &image, &label));
    assert_int_equal(image.width, 20);
    assert_int_equal(image.height, 10);
    assert_int_equal(label, 1);
    sn_image_free(&image);
    uint8_t byte;
    assert_fails(sn_dataset_get(train, 0, &byte, &label), SENET_USAGE, "sizes of their own");
    assert_fails(sn_dataset_picture(train, 3, true, &image, &label), SENET_USAGE, "sample 3 is outside 0..2");
    sn_dataset_close(train);
    /* The numbers of classes are those of training. */
    sn_dataset *val = open_set(spec_of("folder", folder, "/"), SN_SPLIT_VAL);
    assert_int_equal(sn_dataset_describe(val)->count, 1);
    assert_int_equal(sn_dataset_describe(val)->classes, 3);
    assert_sample(val, 0, folder, "val/dog/d.jpg", 1);
    sn_dataset_close(val);
    /* A folder without train and val serves both splits. */
    for (int split = 0; split < 2; split++) {
        sn_dataset *plain = open_set(spec_of("folder", folder, "train"), split ? SN_SPLIT_VAL : SN_SPLIT_TRAIN);
        assert_int_equal(sn_dataset_describe(plain)->count, 3);
        assert_sample(plain, 2, folder, "train/dog/b.JPG", 1);
        sn_dataset_close(plain);
    }
    remove_scratch(folder);
}

static void folders_of_another_layout_are_refused(void **state)
{
    (void)state;
    char *folder = make_animals();
    sn_dataset *set = NULL;
    assert_fails(sn_dataset_open("folder:", SN_SPLIT_TRAIN, &set), SENET_USAGE, "folder:DIR");
    assert_fails(sn_dataset_open(spec_of("folder", folder, "nowhere"), SN_SPLIT_TRAIN, &set), SENET_NO_INPUT, "nowhere",
                 "No such file");
    assert_fails(sn_dataset_open(spec_of("folder", folder, "train/zebra"), SN_SPLIT_TRAIN, &set), SENET_BAD_DATA,
                 "zebra: no class folders");
    assert_fails(sn_dataset_open(spec_of("folder", folder, "val/dog"), SN_SPLIT_TRAIN, &set), SENET_BAD_DATA,
                 "val/dog/d.jpg: a picture outside any class");
    put_jpeg(folder, "val/emu/e.jpg", 8, 8);
    assert_fails(sn_dataset_open(spec_of("folder", folder, ""), SN_SPLIT_VAL, &set), SENET_BAD_DATA,
                 "val/emu: a class that is not in the training pictures");
    put_nested(folder, "bare/train/cat/x.txt", "x", 1);
    assert_fails(sn_dataset_open(spec_of("folder", folder, "bare"), SN_SPLIT_TRAIN, &set), SENET_BAD_DATA,
                 "no picture (.jpg, .jpeg or .png) in any of its 1 class folders");
    assert_fails(sn_dataset_open(spec_of("folder", folder, "bare"), SN_SPLIT_VAL, &set), SENET_NO_INPUT,
                 "has no folder 'val' or 'validation' beside 'train'");
    assert_null(set);
    remove_scratch(folder);
}

static void a_list_names_pictures_and_labels(void **state)
{
    (void)state;
    char *folder = make_scratch();
    put_text(folder, "list.txt",
             "\xEF\xBB\xBFpath,label\r\n# a comment\r\n\r\na.jpg 0\r\nwith space.jpg 12\na,b.jpg,3\n  tab and "
             "space.png\t4 \n"
             "comma, space.jpg, 5\n/absolute.jpg 0\nlast.jpg 1");
    static const struct {
        const char *path;
        int32_t label;
    } wanted[] = {
        {"a.jpg", 0}, {"with space.jpg", 12}, {"a,b.jpg", 3}, {"tab and space.png", 4}, {"comma, space.jpg", 5}};
    sn_dataset *set = open_set(spec_of("list", folder, "list.txt"), SN_SPLIT_TRAIN);
    assert_int_equal(sn_dataset_describe(set)->count, 7);
    assert_int_equal(sn_dataset_describe(set)->classes, 13);
    assert_null(sn_dataset_describe(set)->labels);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        assert_sample(set, (int64_t)i, folder, wanted[i].path, wanted[i].label);
    assert_string_equal(sn_dataset_path(set, 5), "/absolute.jpg");
    assert_sample(set, 6, folder, "last.jpg", 1);
    sn_image image = {0};
    assert_fails(sn_dataset_picture(set, 0, true, &image, NULL), SENET_NO_INPUT, "a.jpg: No such file");
    sn_dataset_close(set);
    remove_scratch(folder);
}

static void labels_of_a_list_may_be_names(void **state)
{
    (void)state;
    char *folder = make_scratch();
    put_text(folder, "classes.txt", "cat\ngreat white shark\ndog\n");
    put_text(folder, "train.txt", "a.jpg cat\nb.jpg\tgreat white shark\nc.jpg,dog\nd.jpg 1\n");
    put_text(folder, "val.txt", "v.jpg dog\n");
    sn_dataset *set = open_set(spec_of("list", folder, ""), SN_SPLIT_TRAIN);
    assert_int_equal(sn_dataset_describe(set)->classes, 3);
    assert_string_equal(sn_dataset_describe(set)->labels[1], "great white shark");
    for (int i = 0; i < 4; i++) assert_int_equal(sn_dataset_label(set, i), i < 3 ? i : 1);
    sn_dataset_close(set);
    set = open_set(spec_of("list", folder, ""), SN_SPLIT_VAL);
    assert_sample(set, 0, folder, "v.jpg", 2);
    sn_dataset_close(set);
    put_text(folder, "val.txt", "v.jpg dog\nw.jpg horse\n");
    assert_fails(sn_dataset_open(spec_of("list", folder, ""), SN_SPLIT_VAL, &set), SENET_BAD_DATA,
                 "val.txt: line 2: label 'horse' is neither a class of classes.txt nor a number of 0..2");
    put_text(folder, "val.txt", "v.jpg 3\n");
    assert_fails(sn_dataset_open(spec_of("list", folder, ""), SN_SPLIT_VAL, &set), SENET_BAD_DATA, "line 1: label '3'");
    remove_scratch(folder);
}

static void bad_lists_are_refused_by_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a.jpg 0\nb.jpg one\n", "l.txt: line 2: label 'one' is not a whole number"},
        {"a.jpg 0\n\n#\nb.jpg -1\n", "l.txt: line 4: label '-1'"},
        {"a.jpg 99999999\n", "l.txt: line 1: label '99999999'"},
        {"a.jpg 0\nlonely\n", "l.txt: line 2: 'lonely' is not a path and a label"},
        {"a.jpg 0\npath,label\n", "l.txt: line 2: label 'label'"},
        {"", "l.txt: names no pictures"},
        {"# only\n", "l.txt: names no pictures"},
    };
    char *folder = make_scratch();
    sn_dataset *set = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_text(folder, "l.txt", cases[i].text);
        assert_fails(sn_dataset_open(spec_of("list", folder, "l.txt"), SN_SPLIT_TRAIN, &set), SENET_BAD_DATA,
                     cases[i].message);
        assert_null(set);
    }
    put_file(folder, "l.txt", "a.jpg 0\n\0b", 10);
    assert_fails(sn_dataset_open(spec_of("list", folder, "l.txt"), SN_SPLIT_TRAIN, &set), SENET_BAD_DATA,
                 "byte 8 is NUL");
    assert_fails(sn_dataset_open(spec_of("list", folder, "none.txt"), SN_SPLIT_TRAIN, &set), SENET_NO_INPUT,
                 "none.txt");
    remove_scratch(folder);
}

/* ---- label maps ---- */

static void labels_are_mapped_by_files(void **state)
{
    (void)state;
    char *folder = make_animals();
    static const struct {
        const char *text;
        int32_t cat, dog, zebra;
    } good[] = {
        {"0\tdog\thound, dog\n1\tzebra\tz\n2\tape\tape\n3\tcat\tdomestic cat\n", 3, 0, 1},
        {"cat 4\ndog 1\nzebra 0\nemu 2\n", 4, 1, 0},
        {"# devkit order\n2\n0\n1\n", 2, 0, 1},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        sn_dataset *set = open_set(spec_of("folder", folder, ""), SN_SPLIT_TRAIN);
        put_text(folder, "map", good[i].text);
        assert_works(sn_dataset_map_labels(set, spec_of("x", folder, "map") + 2, 5));
        const sn_dataset_info *info = sn_dataset_describe(set);
        assert_int_equal(info->classes, 5);
        assert_string_equal(info->labels[good[i].cat], "cat");
        assert_string_equal(info->labels[good[i].dog], "dog");
        assert_int_equal(sn_dataset_label(set, 0), good[i].cat);
        assert_int_equal(sn_dataset_label(set, 2), good[i].dog);
        int32_t label;
        sn_image image = {0};
        assert_works(sn_dataset_picture(set, 2, true, &image, &label));
        assert_int_equal(label, good[i].dog);
        sn_image_free(&image);
        sn_dataset_close(set);
    }
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"cat 0\ndog 1\n", "map: no class for 'zebra' of the data"},
        {"cat 0\ndog 0\nzebra 1\n", "map: line 2: class 0 is given to 'cat' and to 'dog'"},
        {"cat 0\ncat 1\n", "map: line 2: 'cat' is there a second time"},
        {"cat 0\ndog 5\n", "map: line 2: class 5 of 'dog' is outside 0..4"},
        {"cat 0\ndog x\n", "map: line 2: 'dog x' is not a name and an index"},
        {"0\tcat\nx\tdog\n", "map: line 2: 'x' is not an index, a tab and a name"},
        {"0\n1\n", "map: no class for 'zebra'"},
        {"0\n1\n2\n3\n", "map: line 4: more lines than the 3 labels"},
        {"0\n1\ntwo\n", "map: line 3: 'two' is not a whole number"},
        {"0\n1\n1\n", "map: line 3: class 1 is given to 'dog' and to 'zebra'"},
        {"", "map: no class for 'cat'"},
    };
    sn_dataset *set = open_set(spec_of("folder", folder, ""), SN_SPLIT_TRAIN);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_text(folder, "map", bad[i].text);
        assert_fails(sn_dataset_map_labels(set, spec_of("x", folder, "map") + 2, 5), SENET_BAD_DATA, bad[i].message);
        assert_int_equal(sn_dataset_describe(set)->classes, 3); /* unchanged */
        assert_int_equal(sn_dataset_label(set, 2), 1);
    }
    sn_dataset_close(set);
    remove_scratch(folder);
}

static void numbers_are_mapped_where_there_are_no_names(void **state)
{
    (void)state;
    char *folder = make_scratch();
    put_text(folder, "l.txt", "a.jpg 0\nb.jpg 1\n");
    put_text(folder, "map", "1 7\n0 3\n");
    sn_dataset *set = open_set(spec_of("list", folder, "l.txt"), SN_SPLIT_VAL);
    assert_works(sn_dataset_map_labels(set, spec_of("x", folder, "map") + 2, 10));
    assert_int_equal(sn_dataset_label(set, 0), 3);
    assert_int_equal(sn_dataset_label(set, 1), 7);
    assert_string_equal(sn_dataset_describe(set)->labels[9], "class 9");
    sn_dataset_close(set);
    remove_scratch(folder);
}

static void labels_are_mapped_by_name(void **state)
{
    (void)state;
    static const char *const network[] = {"zebra", "cat tabby, tiger cat", "emu", "dog"};
    static const char *const without[] = {"zebra", "cat", "emu", "wolf"};
    static const char *const twice[] = {"cat one", "cat two", "dog", "zebra"};
    char *folder = make_animals();
    sn_dataset *set = open_set(spec_of("folder", folder, ""), SN_SPLIT_TRAIN);
    assert_fails(sn_dataset_map_names(set, without, 4), SENET_BAD_DATA,
                 "class 'dog' of folder is not among the 4 labels");
    assert_fails(sn_dataset_map_names(set, twice, 4), SENET_BAD_DATA, "class 'cat'"); /* it could be either */
    assert_works(sn_dataset_map_names(set, network, 4));
    assert_int_equal(sn_dataset_label(set, 0), 1);
    assert_int_equal(sn_dataset_label(set, 2), 3);
    assert_string_equal(sn_dataset_describe(set)->labels[1], "cat tabby, tiger cat");
    sn_dataset_close(set);
    remove_scratch(folder);
}

static void pictures_are_left_out_by_path(void **state)
{
    (void)state;
    char *folder = make_animals(), text[8192];
    sn_dataset *set = open_set(spec_of("folder", folder, ""), SN_SPLIT_TRAIN);
    int64_t excluded;
    const char *file = spec_of("x", folder, "out.txt") + 2;
    snprintf(text, sizeof text, "train/cat/a.png\nunknown.jpg\n%s/val/dog/d.jpg\n", folder);
    put_text(folder, "out.txt", text);
    assert_works(sn_dataset_exclude(set, file, &excluded));
    assert_int_equal(excluded, 1);
    assert_int_equal(sn_dataset_describe(set)->count, 2);
    assert_sample(set, 0, folder, "train/cat/more/deep/c.jpeg", 0);
    put_text(folder, "out.txt", sn_dataset_path(set, 0)); /* and once more, by a full path */
    assert_works(sn_dataset_exclude(set, file, &excluded));
    assert_int_equal(excluded, 1);
    assert_sample(set, 0, folder, "train/dog/b.JPG", 1);
    put_text(folder, "out.txt", "train/dog/b.JPG");
    assert_fails(sn_dataset_exclude(set, file, &excluded), SENET_BAD_DATA, "every one of the 1 pictures");
    assert_int_equal(sn_dataset_describe(set)->count, 1);
    sn_dataset_close(set);
    remove_scratch(folder);
}

/* ---- pictures as they come ---- */

/* Every kind of damage is refused by name; every odd kind that viewers show is read. */
static void damaged_pictures_are_named(void **state)
{
    (void)state;
    char *folder = make_scratch();
    test_picture jpeg = make_jpeg(64, 48, (jpeg_kind){.components = 3});
    test_picture png = make_png(64, 48, (png_kind){.colour = PNG_COLOR_TYPE_RGB, .depth = 8});
    put_nested(folder, "c/a-cut.jpg", jpeg.bytes, jpeg.size / 2);
    put_nested(folder, "c/b-cut.png", png.bytes, png.size / 2);
    put_nested(folder, "c/c-empty.jpg", "", 0);
    put_nested(folder, "c/d-text.png", "this is text", 12);
    memcpy(png.bytes + 16, "\x7F\xFF\xFF\xFF\x7F\xFF\xFF\xFF", 8); /* a claim of 2^31 x 2^31 pixels */
    put_nested(folder, "c/e-huge.png", png.bytes, png.size);
    put_nested(folder, "c/f-jpeg.png", jpeg.bytes, jpeg.size);
    put_picture(folder, "c/g-cmyk.jpg", make_jpeg(9, 9, (jpeg_kind){.components = 4, .adobe = true}));
    put_picture(folder, "c/h-grey.jpg", make_jpeg(9, 9, (jpeg_kind){.components = 1}));
    free(jpeg.bytes);
    free(png.bytes);
    static const char *const parts[5][2] = {{"a-cut.jpg", "truncated"},
                                            {"b-cut.png", "truncated"},
                                            {"c-empty.jpg", "the file is empty"},
                                            {"d-text.png", "not a JPEG or PNG picture (starts with 'this')"},
                                            {"e-huge.png", "e-huge.png"}};
    sn_dataset *set = open_set(spec_of("folder", folder, ""), SN_SPLIT_VAL);
    assert_int_equal(sn_dataset_describe(set)->count, 8);
    for (int64_t i = 0; i < 8; i++) {
        sn_image image = {0};
        senet_status status = sn_dataset_picture(set, i, true, &image, NULL);
        if (i < 5)
            assert_fails(status, SENET_BAD_DATA, parts[i][0], parts[i][1]);
        else
            assert_works(status);
        sn_image_free(&image);
    }
    sn_dataset_close(set);
    remove_scratch(folder);
}

/* EXIF: big-endian TIFF, one entry: tag 0x112, short, orientation 6 (turned a quarter). */
static void orientation_is_followed_or_not(void **state)
{
    (void)state;
    static const unsigned char exif[] = {'E', 'x',  'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1,
                                         1,   0x12, 0,   3,   0, 0, 0,   1,   0, 6,  0, 0, 0, 0, 0, 0};
    char *folder = make_scratch();
    put_picture(folder, "c/t.jpg",
                make_jpeg(20, 10, (jpeg_kind){.components = 3, .app1 = exif, .app1_size = sizeof exif}));
    sn_dataset *set = open_set(spec_of("folder", folder, ""), SN_SPLIT_VAL);
    for (int turn = 0; turn < 2; turn++) {
        sn_image image = {0};
        assert_works(sn_dataset_picture(set, 0, turn, &image, NULL));
        assert_int_equal(image.width, turn ? 10 : 20);
        sn_image_free(&image);
    }
    sn_dataset_close(set);
    remove_scratch(folder);
}

/* The kinds that hold bytes give pictures too. */
static void every_kind_of_bytes_gives_pictures(void **state)
{
    (void)state;
    sn_dataset *set = open_set("synthetic:train=20,val=20", SN_SPLIT_TRAIN);
    uint8_t pixels[32 * 32 * 3];
    int32_t label, other;
    sn_image image = {0};
    assert_works(sn_dataset_get(set, 7, pixels, &label));
    assert_works(sn_dataset_picture(set, 7, true, &image, &other));
    assert_int_equal(image.width, 32);
    assert_memory_equal(image.pixels, pixels, sizeof pixels);
    assert_int_equal(label, other);
    assert_int_equal(label, sn_dataset_label(set, 7));
    assert_null(sn_dataset_path(set, 7));
    char *bytes;
    size_t size;
    int64_t excluded;
    assert_fails(sn_dataset_bytes(set, 7, &bytes, &size), SENET_USAGE, "no files");
    assert_fails(sn_dataset_exclude(set, "x", &excluded), SENET_USAGE, "by path");
    sn_image_free(&image);
    sn_dataset_close(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_a_class),
        cmocka_unit_test(folders_of_another_layout_are_refused),
        cmocka_unit_test(a_list_names_pictures_and_labels),
        cmocka_unit_test(labels_of_a_list_may_be_names),
        cmocka_unit_test(bad_lists_are_refused_by_line),
        cmocka_unit_test(labels_are_mapped_by_files),
        cmocka_unit_test(numbers_are_mapped_where_there_are_no_names),
        cmocka_unit_test(labels_are_mapped_by_name),
        cmocka_unit_test(pictures_are_left_out_by_path),
        cmocka_unit_test(damaged_pictures_are_named),
        cmocka_unit_test(orientation_is_followed_or_not),
        cmocka_unit_test(every_kind_of_bytes_gives_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
