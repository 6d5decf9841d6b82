/* Batches of photographs: the training crop against its definition, views, bad pictures, class-aware orders; none of it
 * depends on workers or on where a run went on. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "data/augment.h"
#include "data/crop.h"
#include "data/dataset.h"
#include "test_failures.h"
#include "test_photo_files.h"

enum { SIZE = 16 };

static const sn_preprocess input = {.height = SIZE,
                                    .width = SIZE,
                                    .mean = {0.485f, 0.456f, 0.406f},
                                    .std = {0.229f, 0.224f, 0.225f},
                                    .crop_pct = 0.8f,
                                    .interpolation = SN_INTERPOLATION_PIL_BILINEAR};
static const sn_augment imagenet = {.area_min = 0.08, .area_max = 1, .aspect = 4.0 / 3, .flip = true};

/* 3 + 5 + 1 pictures of three classes, all of different sizes. */
static char *make_photographs(void)
{
    char *folder = make_scratch(), name[64];
    static const int counts[] = {3, 5, 1};
    for (int k = 0, n = 0; k < 3; k++)
        for (int i = 0; i < counts[k]; i++, n++) {
            snprintf(name, sizeof name, "%c/%d.%s", 'a' + k, i, n % 2 ? "png" : "jpg");
            if (n % 2)
                put_png(folder, name, 30 + n, 25 - n);
            else
                put_jpeg(folder, name, 20 + 3 * n, 60 - 5 * n);
        }
    return folder;
}

static sn_dataset *open_folder(const char *folder)
{
    sn_dataset *set = NULL;
    assert_works(sn_dataset_open(spec_of("folder", folder, ""), SN_SPLIT_TRAIN, &set));
    return set;
}

static sn_loader *start(const sn_dataset *set, const sn_loader_options *options)
{
    sn_loader *loader = NULL;
    assert_works(sn_loader_create(set, options, &loader));
    return loader;
}

static const sn_batch *next(sn_loader *loader)
{
    const sn_batch *batch = NULL;
    assert_works(sn_loader_next(loader, &batch));
    return batch;
}

static uint64_t digest(const sn_batch *batch)
{
    const size_t n = (size_t)batch->count, pictures = n * (size_t)batch->views;
    const uint64_t parts[] = {sn_fnv1a64(batch->images, pictures * SIZE * SIZE * 3), sn_fnv1a64(batch->labels, n * 4),
                              sn_fnv1a64(batch->indices, n * 8), sn_fnv1a64(batch->rects, pictures * 32),
                              sn_fnv1a64(batch->keys, n * 8)};
    return sn_fnv1a64(parts, sizeof parts);
}

/* ---- the training crop ---- */

/* Kolmogorov-Smirnov: the largest distance between the samples' distribution and the uniform one on low..high. */
static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double distance_from_uniform(double *values, int n, double low, double high)
{
    double largest = 0;
    qsort(values, (size_t)n, sizeof *values, compare);
    for (int i = 0; i < n; i++) {
        double expected = (values[i] - low) / (high - low);
        largest = fmax(largest, fmax(fabs(expected - (double)i / n), fabs(expected - (i + 1.0) / n)));
    }
    return largest;
}

/* Where every attempt fits (at most 40% of a square picture, sides at most sqrt(0.4 * 4 / 3) of its own), nothing is
 * rejected: area and offsets are uniform; the ratio is uniform in 3/4..4/3, or its reciprocal is, half of the time
 * each. */
static void the_crop_has_the_distribution_of_its_definition(void **state)
{
    (void)state;
    enum { N = 20000, SIDE = 4000 };
    static double area[N], left[N], top[N];
    const sn_augment augment = {.area_min = 0.08, .area_max = 0.4, .aspect = 4.0 / 3};
    int below[10] = {0};
    for (int i = 0; i < N; i++) {
        sn_crop crop = sn_crop_sample(&augment, SIDE, SIDE, sn_rng_key(3, SN_RNG_AUGMENT, 0, (uint64_t)i));
        assert_true(crop.found);
        area[i] = (double)crop.width * crop.height / SIDE / SIDE;
        left[i] = (crop.left + 0.5) / (SIDE - crop.width + 1);
        top[i] = (crop.top + 0.5) / (SIDE - crop.height + 1);
        const double ratio = (double)crop.width / crop.height;
        assert_true(ratio > 0.7495 && ratio < 1.3343); /* rounding of sides above 1000 */
        for (int t = 0; t < 10; t++) below[t] += ratio < 0.75 + (t + 1) * (4.0 / 3 - 0.75) / 11;
    }
    /* A distance of 2.2 / sqrt(N) has probability 1e-4; rounding to whole pixels is far below. */
    assert_true(distance_from_uniform(area, N, 0.08, 0.4) < 2.2 / sqrt(N));
    assert_true(distance_from_uniform(left, N, 0, 1) < 2.2 / sqrt(N));
    assert_true(distance_from_uniform(top, N, 0, 1) < 2.2 / sqrt(N));
    for (int t = 0; t < 10; t++) {
        const double r = 0.75 + (t + 1) * (4.0 / 3 - 0.75) / 11, width = 4.0 / 3 - 0.75;
        const double p = 0.5 * (r - 0.75) / width + 0.5 * (4.0 / 3 - 1 / r) / width;
        assert_true(fabs(below[t] - N * p) < 5 * sqrt(N * p * (1 - p))); /* 5 deviations: once in 1.7 million */
    }
}

/* A whole-picture crop of a 3 : 1 picture never fits: the centre crop of the picture with its shorter side at 16. */
static void a_crop_that_never_fits_becomes_the_centre(void **state)
{
    (void)state;
    const sn_augment whole = {.area_min = 1, .area_max = 1, .aspect = 4.0 / 3};
    for (uint64_t key = 0; key < 100; key++) assert_false(sn_crop_sample(&whole, 90, 30, key).found);
    char *folder = make_scratch();
    put_png(folder, "c/wide.png", 90, 30);
    sn_dataset *set = open_folder(folder);
    sn_loader *loader = start(set, &(sn_loader_options){.batch = 1, .prepare = &input, .augment = whole});
    sn_image image = {0};
    uint8_t expected[SIZE * SIZE * 3];
    sn_preprocess how = input;
    how.crop_pct = 1;
    assert_works(sn_dataset_picture(set, 0, true, &image, NULL));
    assert_works(sn_image_preprocess(&image, &how, expected));
    assert_memory_equal(next(loader)->images, expected, sizeof expected);
    sn_image_free(&image);
    sn_loader_destroy(loader);
    sn_dataset_close(set);
    remove_scratch(folder);
}

/* The loader's picture is the crop cut out, resized alone and mirrored. */
static void a_training_picture_is_its_crop_resized(void **state)
{
    (void)state;
    char *folder = make_photographs();
    sn_dataset *set = open_folder(folder);
    sn_loader *loader = start(
        set, &(sn_loader_options){.batch = 9, .shuffle = true, .seed = 5, .prepare = &input, .augment = imagenet});
    int flips = 0;
    for (int epoch = 0; epoch < 4; epoch++) {
        const sn_batch *batch = next(loader);
        for (int64_t i = 0; i < batch->count; i++) {
            const uint64_t key = sn_rng_key(5, SN_RNG_AUGMENT, (uint64_t)epoch, (uint64_t)batch->indices[i]);
            sn_image image = {0}, cut = {0}, small = {0};
            assert_works(sn_dataset_picture(set, batch->indices[i], false, &image, NULL));
            const sn_crop crop = sn_crop_sample(&imagenet, image.width, image.height, key);
            assert_true(crop.found);
            cut = (sn_image){crop.width, crop.height, malloc((size_t)crop.width * (size_t)crop.height * 3)};
            for (int y = 0; y < crop.height; y++)
                memcpy(cut.pixels + y * crop.width * 3, image.pixels + ((crop.top + y) * image.width + crop.left) * 3,
                       (size_t)crop.width * 3);
            assert_works(sn_image_resize(&cut, SIZE, SIZE, input.interpolation, &small));
            const bool flip = sn_augment_sample(&imagenet, SIZE, SIZE, key).flip;
            flips += flip;
            for (int y = 0; y < SIZE; y++)
                for (int x = 0; x < SIZE; x++)
                    assert_memory_equal(batch->images + ((i * SIZE + y) * SIZE + x) * 3,
                                        small.pixels + (y * SIZE + (flip ? SIZE - 1 - x : x)) * 3, 3);
            sn_image_free(&image);
            sn_image_free(&cut);
            sn_image_free(&small);
        }
        assert_null(next(loader));
    }
    assert_in_range(flips, 6, 30); /* of 36 */
    sn_loader_destroy(loader);
    sn_dataset_close(set);
    remove_scratch(folder);
}

/* ---- rotation and jitter ---- */

static void quarter_turns_are_exact(void **state)
{
    (void)state;
    uint8_t picture[8 * 8 * 3], out[8 * 8 * 3];
    static const uint8_t corners[3] = {1, 2, 3};
    for (size_t i = 0; i < sizeof picture; i++) picture[i] = (uint8_t)(7 * i);
    sn_augment_draw draw = {.angle = 90}; /* counter-clockwise: the right column becomes the top row */
    sn_augment_rotate(&draw, 8, 8, corners, picture, out);
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 8; x++) assert_memory_equal(out + (y * 8 + x) * 3, picture + (x * 8 + 7 - y) * 3, 3);
    draw.angle = 45; /* the corners come from outside */
    sn_augment_rotate(&draw, 8, 8, corners, picture, out);
    assert_memory_equal(out, corners, 3);
    assert_memory_equal(out + sizeof out - 3, corners, 3);
}

static void angles_and_jitter_are_uniform(void **state)
{
    (void)state;
    enum { N = 4000, BYTES = 100000 };
    static double angles[N];
    static uint8_t bytes[BYTES];
    const sn_augment augment = {.rotate = 10};
    for (uint64_t i = 0; i < N; i++)
        angles[i] = sn_augment_sample(&augment, 8, 8, sn_rng_key(1, SN_RNG_TEST, i, 0)).angle;
    assert_true(distance_from_uniform(angles, N, -10, 10) < 2.2 / sqrt(N)); /* probability 1e-4 */
    int counts[41] = {0};
    memset(bytes, 128, sizeof bytes);
    sn_augment_jitter(20, 9, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_in_range(bytes[i], 108, 148);
        counts[bytes[i] - 108]++;
    }
    for (int i = 0; i < 41; i++) { /* the two ends are rounded to from one side only */
        const double p = (i == 0 || i == 40 ? 0.5 : 1) / 40;
        assert_true(fabs(counts[i] - BYTES * p) < 6 * sqrt(BYTES * p));
    }
    memset(bytes, 250, 100);
    sn_augment_jitter(20, 9, bytes, 100);
    for (int i = 0; i < 100; i++) assert_true(bytes[i] >= 230);
}

/* ---- determinism ---- */

static void batches_do_not_depend_on_workers_or_on_the_start(void **state)
{
    (void)state;
    enum { BATCHES = 3, EPOCHS = 2, ALL = BATCHES * EPOCHS };
    char *folder = make_photographs();
    sn_dataset *set = open_folder(folder);
    for (int aware = 0; aware < 2; aware++) {
        sn_loader_options options = {.batch = 3, .shuffle = true, .seed = 8, .prepare = &input, .class_aware = aware};
        options.augment = imagenet;
        options.augment.rotate = 10;
        options.augment.jitter = 20;
        uint64_t expected[ALL];
        for (int from = 0; from < ALL; from++)
            for (int workers = 0; workers < 4; workers += workers ? 2 : 1) { /* 0, 1, 3 */
                options.workers = workers;
                options.epoch = from / BATCHES;
                options.start = from % BATCHES;
                sn_loader *loader = start(set, &options);
                for (int i = from; i < ALL; i++) {
                    const sn_batch *batch = next(loader);
                    if (!batch) batch = next(loader); /* the end of an epoch */
                    if (from == 0 && workers == 0) expected[i] = digest(batch);
                    assert_true(digest(batch) == expected[i]);
                }
                sn_loader_destroy(loader);
            }
    }
    sn_dataset_close(set);
    remove_scratch(folder);
}

/* ---- views ---- */

static void views_of_a_picture_are_adjacent(void **state)
{
    (void)state;
    char *folder = make_photographs();
    sn_dataset *set = open_folder(folder);
    const sn_view views[] = {{.side = 20, .crop = SN_CROP_TOP_LEFT},
                             {.resize = SN_VIEW_SQUARE, .side = 18, .crop = SN_CROP_WHOLE, .mirror = true},
                             {.side = 24, .square = SN_SQUARE_LAST, .crop = SN_CROP_BOTTOM_RIGHT}};
    sn_loader *loader =
        start(set, &(sn_loader_options){.batch = 2, .workers = 2, .prepare = &input, .views = views, .views_count = 3});
    int64_t seen = 0;
    for (const sn_batch *batch; (batch = next(loader)) != NULL; seen += batch->count) {
        assert_int_equal(batch->views, 3);
        for (int64_t i = 0; i < batch->count * 3; i++) {
            uint8_t expected[SIZE * SIZE * 3];
            const int32_t whole[8] = {0, 0, SIZE, SIZE, 0, 0, 0, 0};
            sn_image image = {0};
            assert_works(sn_dataset_picture(set, batch->indices[i / 3], false, &image, NULL));
            assert_works(sn_view_apply(&views[i % 3], &input, &image, expected));
            assert_memory_equal(batch->images + (size_t)i * sizeof expected, expected, sizeof expected);
            assert_memory_equal(batch->rects + 8 * i, whole, sizeof whole);
            sn_image_free(&image);
        }
    }
    assert_int_equal(seen, 9);
    sn_loader_destroy(loader);
    /* No views: the one that `prepare` asks for. */
    loader = start(set, &(sn_loader_options){.batch = 1, .prepare = &input});
    sn_image image = {0};
    uint8_t expected[SIZE * SIZE * 3];
    assert_works(sn_dataset_picture(set, 0, false, &image, NULL));
    assert_works(sn_image_preprocess(&image, &input, expected));
    const sn_batch *batch = next(loader);
    assert_int_equal(batch->views, 1);
    assert_memory_equal(batch->images, expected, sizeof expected);
    sn_image_free(&image);
    sn_loader_destroy(loader);
    sn_dataset_close(set);
    remove_scratch(folder);
}

static void sets_of_one_size_have_views_too(void **state)
{
    (void)state;
    sn_dataset *set = NULL;
    assert_works(sn_dataset_open("synthetic:train=20,val=20", SN_SPLIT_VAL, &set));
    const sn_view views[] = {{.side = 20, .crop = SN_CROP_CENTRE},
                             {.side = 20, .crop = SN_CROP_CENTRE, .mirror = true}};
    sn_loader *loader =
        start(set, &(sn_loader_options){.batch = 20, .prepare = &input, .views = views, .views_count = 2});
    const sn_batch *batch = next(loader);
    for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++)
            assert_memory_equal(batch->images + (y * SIZE + x) * 3,
                                batch->images + ((SIZE + y) * SIZE + SIZE - 1 - x) * 3, 3);
    sn_loader_destroy(loader);
    sn_dataset_close(set);
}

/* ---- options ---- */

static void options_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    char *folder = make_photographs();
    sn_dataset *set = open_folder(folder);
    sn_preprocess none = input, empty = input;
    none.interpolation = SN_INTERPOLATION_NONE;
    empty.width = 0;
    const sn_view views[2] = {{.side = 20}, {.side = 22}};
    const struct {
        sn_loader_options options;
        const char *message;
    } bad[] = {
        {{.batch = 1}, "sizes of their own"},
        {{.batch = 1, .prepare = &none}, "interpolation 'none'"},
        {{.batch = 1, .prepare = &empty}, "cannot become 16 x 0"},
        {{.batch = 1, .prepare = &input, .views_count = 2}, "views"},
        {{.batch = 1, .prepare = &input, .views = views, .views_count = 2, .augment = {.flip = true}}, "2 views"},
        {{.batch = 1, .prepare = &input, .augment = {.area_min = 0.5, .area_max = 0.4, .aspect = 2}},
         "crop of 0.5 to 0.4"},
        {{.batch = 1, .prepare = &input, .augment = {.area_min = 0.5, .area_max = 1.5, .aspect = 2}},
         "crop of 0.5 to 1.5"},
        {{.batch = 1, .prepare = &input, .augment = {.area_min = 0.5, .area_max = 1}}, "aspect 0"},
        {{.batch = 1, .prepare = &input, .augment = {.rotate = 181}}, "rotation of 181"},
        {{.batch = 1, .prepare = &input, .augment = {.rotate = NAN}}, "rotation of nan"},
        {{.batch = 1, .prepare = &input, .augment = {.rotate = 5, .pad = 2}}, "padding by 2 and rotation"},
        {{.batch = 1, .prepare = &input, .augment = {.jitter = 256}}, "jitter of 256"},
        {{.batch = 1, .prepare = &input, .augment = {.pad = 17}}, "padding of 17"},
    };
    sn_loader *loader = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(sn_loader_create(set, &bad[i].options, &loader), SENET_USAGE, bad[i].message);
    assert_null(loader);
    sn_dataset_close(set);
    remove_scratch(folder);
}

/* ---- bad pictures ---- */

typedef struct reports {
    int count;
    char paths[16][256], messages[16][256];
} reports;

static void note(void *context, const char *path, const char *message)
{
    reports *r = context;
    assert_true(r->count < 16);
    snprintf(r->paths[r->count], 256, "%s", strrchr(path, '/') + 1);
    snprintf(r->messages[r->count++], 256, "%s", message);
}

static void bad_pictures_are_replaced_by_the_next(void **state)
{
    (void)state;
    char *folder = make_photographs();
    put_nested(folder, "b/0.png", "no picture", 10); /* 3 of the files' order */
    put_nested(folder, "a/2.jpg", "", 0);            /* 2 of it */
    sn_dataset *set = open_folder(folder);
    reports found = {0};
    sn_loader_options options = {
        .batch = 9, .prepare = &input, .on_bad = SN_BAD_PICTURE_SKIP, .report_bad = note, .context = &found};
    sn_loader *loader = start(set, &options);
    for (int epoch = 0; epoch < 2; epoch++) { /* told of once */
        static const int64_t wanted[9] = {0, 1, 4, 4, 4, 5, 6, 7, 8};
        const sn_batch *batch = next(loader);
        assert_memory_equal(batch->indices, wanted, sizeof wanted);
        for (int i = 0; i < 9; i++) assert_int_equal(batch->labels[i], sn_dataset_label(set, wanted[i]));
        assert_memory_equal(batch->images + 2 * SIZE * SIZE * 3, batch->images + 3 * SIZE * SIZE * 3, SIZE * SIZE * 3);
        assert_null(next(loader));
    }
    assert_int_equal(found.count, 2);
    assert_int_equal(sn_loader_skipped(loader), 2);
    assert_string_equal(found.paths[0], "2.jpg");
    assert_non_null(strstr(found.messages[0], "the file is empty"));
    assert_string_equal(found.paths[1], "0.png");
    sn_loader_destroy(loader);
    /* Shuffled: the same with and without workers. */
    uint64_t expected[9];
    options.shuffle = true;
    options.batch = 1;
    for (int workers = 0; workers < 4; workers += 3) {
        options.workers = workers;
        found.count = 0;
        loader = start(set, &options);
        for (int i = 0; i < 9; i++) {
            const sn_batch *batch = next(loader);
            if (workers == 0) expected[i] = digest(batch);
            assert_true(digest(batch) == expected[i]);
        }
        assert_int_equal(found.count, 2);
        sn_loader_destroy(loader);
    }
    /* As an error: the first one, by name. */
    options = (sn_loader_options){.batch = 9, .prepare = &input, .workers = 1};
    loader = start(set, &options);
    const sn_batch *batch;
    assert_fails(sn_loader_next(loader, &batch), SENET_BAD_DATA, "a/2.jpg: the file is empty");
    sn_loader_destroy(loader);
    sn_dataset_close(set);
    remove_scratch(folder);
}

static void a_set_of_bad_pictures_is_an_error(void **state)
{
    (void)state;
    char *folder = make_scratch();
    put_nested(folder, "a/1.jpg", "x", 1);
    put_nested(folder, "a/2.jpg", "y", 1);
    sn_dataset *set = open_folder(folder);
    sn_loader *loader = start(set, &(sn_loader_options){.batch = 2, .prepare = &input, .on_bad = SN_BAD_PICTURE_SKIP});
    const sn_batch *batch;
    assert_fails(sn_loader_next(loader, &batch), SENET_BAD_DATA, "2 pictures in a row cannot be read; the last one: ");
    sn_loader_destroy(loader);
    sn_dataset_close(set);
    remove_scratch(folder);
}

/* ---- class-aware orders ---- */

static void every_class_comes_equally_often(void **state)
{
    (void)state;
    char *folder = make_photographs(); /* 3, 5 and 1 pictures */
    sn_dataset *set = open_folder(folder);
    sn_loader *loader = start(
        set, &(sn_loader_options){.batch = 9, .shuffle = true, .class_aware = true, .seed = 2, .prepare = &input});
    int64_t drawn[135];
    for (int epoch = 0, n = 0; epoch < 15; epoch++) {
        const sn_batch *batch = next(loader);
        for (int i = 0; i < 9; i++) drawn[n++] = batch->indices[i];
        for (int round = 0; round < 3; round++) { /* each round of three has every class */
            int seen = 0;
            for (int i = 0; i < 3; i++) seen |= 1 << batch->labels[3 * round + i];
            assert_int_equal(seen, 7);
        }
        assert_null(next(loader));
    }
    /* 45 rounds: each picture of a class of n comes 45 / n times, every time once before any of them comes again. */
    int counts[9] = {0}, orders = 0;
    int64_t last[5] = {0}, pass[5];
    for (int i = 0, b = 0; i < 135; i++) {
        counts[drawn[i]]++;
        if (sn_dataset_label(set, drawn[i]) != 1) continue;
        pass[b++ % 5] = drawn[i];
        if (b % 5) continue;
        int seen = 0;
        for (int k = 0; k < 5; k++) seen |= 1 << (pass[k] - 3);
        assert_int_equal(seen, 31);
        orders += memcmp(last, pass, sizeof pass) != 0;
        memcpy(last, pass, sizeof pass);
    }
    for (int i = 0; i < 9; i++) assert_int_equal(counts[i], i < 3 ? 15 : i < 8 ? 9 : 45);
    assert_true(orders > 5); /* of 9 passes */
    sn_loader_destroy(loader);
    sn_dataset_close(set);
    remove_scratch(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_crop_has_the_distribution_of_its_definition),
        cmocka_unit_test(a_crop_that_never_fits_becomes_the_centre),
        cmocka_unit_test(a_training_picture_is_its_crop_resized),
        cmocka_unit_test(quarter_turns_are_exact),
        cmocka_unit_test(angles_and_jitter_are_uniform),
        cmocka_unit_test(batches_do_not_depend_on_workers_or_on_the_start),
        cmocka_unit_test(views_of_a_picture_are_adjacent),
        cmocka_unit_test(sets_of_one_size_have_views_too),
        cmocka_unit_test(options_that_make_no_sense_are_refused),
        cmocka_unit_test(bad_pictures_are_replaced_by_the_next),
        cmocka_unit_test(a_set_of_bad_pictures_is_an_error),
        cmocka_unit_test(every_class_comes_equally_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
