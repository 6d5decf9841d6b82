/* The synthetic set: the same bytes everywhere, balanced, not told by colour, and the same through CIFAR's files. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/synthetic.h"
#include "unit/test_data_files.h"

enum { BYTES = 32 * 32 * 3 };

static uint64_t hash_of(const sn_synthetic_options *options, sn_split split, int64_t first, int64_t count)
{
    uint64_t hash = 0;
    uint8_t *rgb = malloc((size_t)options->size * (size_t)options->size * 3);
    for (int64_t i = first; i < first + count; i++) {
        sn_synthetic_draw(options, split, i, rgb);
        hash = sn_rng_mix(hash ^ sn_fnv1a64(rgb, (size_t)options->size * (size_t)options->size * 3));
    }
    free(rgb);
    return hash;
}

static sn_synthetic_options parsed(const char *text)
{
    sn_synthetic_options options;
    assert_int_equal(sn_synthetic_parse(text, &options), SENET_OK);
    return options;
}

/* A change of these numbers changes every result that was ever obtained on the set. */
static void pictures_are_the_same_everywhere(void **state)
{
    (void)state;
    const sn_synthetic_options standard = parsed(NULL), other = parsed("seed=1"), large = parsed("size=96");
    assert_int_equal(hash_of(&standard, SN_SPLIT_TRAIN, 0, 100), UINT64_C(0x35b0d2b6c06b5f32));
    assert_int_equal(hash_of(&standard, SN_SPLIT_VAL, 0, 100), UINT64_C(0xfc252a06efdf3532));
    assert_int_equal(hash_of(&other, SN_SPLIT_TRAIN, 9900, 100), UINT64_C(0x037b42fb3632c7cd));
    assert_int_equal(hash_of(&large, SN_SPLIT_TRAIN, 0, 10), UINT64_C(0x7ca98680149e86c2));
}

static void no_two_pictures_are_alike(void **state)
{
    (void)state;
    enum { N = 3000 };
    static uint64_t hashes[2 * N];
    const sn_synthetic_options options = parsed(NULL);
    for (int i = 0; i < 2 * N; i++) hashes[i] = hash_of(&options, i < N ? SN_SPLIT_TRAIN : SN_SPLIT_VAL, i % N, 1);
    for (int i = 0; i < 2 * N; i++)
        for (int j = 0; j < i; j++) assert_true(hashes[i] != hashes[j]);
}

static void statistics_are_those_of_the_pictures(void **state)
{
    (void)state;
    enum { N = 2000 };
    const sn_synthetic_options options = parsed("seed=123");
    double sum[3] = {0}, squares[3] = {0};
    uint8_t rgb[BYTES];
    for (int i = 0; i < N; i++) {
        sn_synthetic_draw(&options, SN_SPLIT_TRAIN, i, rgb);
        for (int b = 0; b < BYTES; b++) {
            sum[b % 3] += rgb[b] / 255.0;
            squares[b % 3] += rgb[b] / 255.0 * (rgb[b] / 255.0);
        }
    }
    for (int c = 0; c < 3; c++) {
        double mean = sum[c] / (N * BYTES / 3), std = sqrt(squares[c] / (N * BYTES / 3) - mean * mean);
        /* A picture's mean deviates by about 0.17 from the set's: 0.004 is one standard error over 2000 pictures. */
        assert_true(fabs(mean - (double)sn_synthetic_mean[c]) < 5 * 0.004);
        assert_true(fabs(std - (double)sn_synthetic_std[c]) < 5 * 0.004);
    }
}

/* The mean colour, the class of the nearest class mean in all pixels: neither may tell the classes apart. */
static void pixels_alone_do_not_tell_the_class(void **state)
{
    (void)state;
    enum { TRAIN = 4000, VAL = 1000, K = SN_SYNTHETIC_CLASSES };
    static double mean[K][BYTES];
    const sn_synthetic_options options = parsed(NULL);
    uint8_t rgb[BYTES];
    for (int i = 0; i < TRAIN; i++) {
        sn_synthetic_draw(&options, SN_SPLIT_TRAIN, i, rgb);
        for (int b = 0; b < BYTES; b++) mean[i % K][b] += rgb[b] * (double)K / TRAIN;
    }
    int right = 0;
    for (int i = 0; i < VAL; i++) {
        double nearest = 1e300;
        int guess = 0;
        sn_synthetic_draw(&options, SN_SPLIT_VAL, i, rgb);
        for (int k = 0; k < K; k++) {
            double distance = 0;
            for (int b = 0; b < BYTES; b++) distance += (rgb[b] - mean[k][b]) * (rgb[b] - mean[k][b]);
            if (distance < nearest) {
                nearest = distance;
                guess = k;
            }
        }
        right += guess == i % K;
    }
    assert_true(right < VAL / 4); /* chance is a tenth */
}

static void figures_are_inside_at_their_heart_and_fit_the_frame(void **state)
{
    (void)state;
    for (int k = 0; k < SN_FIGURES; k++) {
        for (int shape = 0; shape < 25; shape++) {
            const sn_figure_shape form = {(float)(shape % 5) / 4, (float)(shape / 5) / 4};
            int inside = 0;
            float pattern;
            for (int y = -130; y <= 130; y++)
                for (int x = -130; x <= 130; x++) {
                    float u = (float)x / 100, v = (float)y / 100, distance = sn_figures[k](&form, u, v, &pattern);
                    inside += distance < 0;
                    if (u * u + v * v > 1.2f * 1.2f) assert_true(distance > 0); /* layers are painted no farther out */
                }
            assert_in_range(inside, 5000, 32000); /* a half to three in units of the radius squared */
        }
    }
}

static void classes_are_dealt_in_turn(void **state)
{
    (void)state;
    sn_dataset *dataset = NULL;
    assert_int_equal(sn_dataset_open("synthetic:classes=3,train=20,val=7,seed=5,size=40", SN_SPLIT_VAL, &dataset),
                     SENET_OK);
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    assert_int_equal(info->count, 7);
    assert_int_equal(info->classes, 3);
    assert_int_equal(info->height, 40);
    assert_int_equal(info->width, 40);
    assert_string_equal(info->labels[2], "square");
    const sn_synthetic_options options = parsed("classes=3,train=20,val=7,seed=5,size=40");
    uint8_t got[40 * 40 * 3], drawn[40 * 40 * 3];
    for (int i = 0; i < 7; i++) {
        int32_t label;
        assert_int_equal(sn_dataset_get(dataset, i, got, &label), SENET_OK);
        assert_int_equal(label, i % 3);
        sn_synthetic_draw(&options, SN_SPLIT_VAL, i, drawn);
        assert_memory_equal(got, drawn, sizeof got);
    }
    sn_dataset_close(dataset);
}

static void a_set_beyond_the_cache_is_drawn_as_it_is_read(void **state)
{
    (void)state;
    sn_dataset *dataset = NULL;
    assert_int_equal(sn_dataset_open("synthetic:train=1000000000000", SN_SPLIT_TRAIN, &dataset), SENET_OK);
    const sn_synthetic_options options = parsed("");
    uint8_t got[BYTES], drawn[BYTES];
    int32_t label;
    assert_int_equal(sn_dataset_get(dataset, INT64_C(999999999999), got, &label), SENET_OK);
    assert_int_equal(label, 9);
    sn_synthetic_draw(&options, SN_SPLIT_TRAIN, INT64_C(999999999999), drawn);
    assert_memory_equal(got, drawn, sizeof got);
    sn_dataset_close(dataset);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    const char *const bad[] = {
        "synthetic:classes=11",  "synthetic:classes=1", "synthetic:train=0",   "synthetic:val=-1",
        "synthetic:train=1e4",   "synthetic:seed=",     "synthetic:size=15",   "synthetic:size=513",
        "synthetic:colour=blue", "synthetic:train",     "synthetic:train=5x,", "synthetic:seed=99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        sn_dataset *dataset = NULL;
        assert_int_equal(sn_dataset_open(bad[i], SN_SPLIT_TRAIN, &dataset), SENET_USAGE);
        assert_null(dataset);
        assert_non_null(strstr(senet_last_error(), "data set 'synthetic': "));
    }
}

static void count_calls(void *context, double done, double total, const char *what)
{
    (void)what;
    assert_true(done <= total);
    ++*(int *)context;
}

static void the_set_on_disk_is_the_set(void **state)
{
    (void)state;
    char *folder = make_scratch(), inside[4200], spec[4300];
    int calls = 0;
    snprintf(inside, sizeof inside, "%s/new/set", folder);
    snprintf(spec, sizeof spec, "cifar10:%s", inside);
    const char *const synthetic = "synthetic:classes=6,train=1013,val=101,seed=8";
    assert_int_equal(sn_data_synth(synthetic, inside, count_calls, &calls), SENET_OK);
    assert_true(calls >= 2);
    for (int split = 0; split < 2; split++) {
        sn_dataset *files = NULL, *embedded = NULL;
        assert_int_equal(sn_dataset_open(spec, split, &files), SENET_OK);
        assert_int_equal(sn_dataset_open(synthetic, split, &embedded), SENET_OK);
        const sn_dataset_info *a = sn_dataset_describe(files), *b = sn_dataset_describe(embedded);
        assert_int_equal(a->count, b->count);
        assert_int_equal(a->classes, 6);
        for (int k = 0; k < 6; k++) assert_string_equal(a->labels[k], b->labels[k]);
        for (int c = 0; c < 3; c++) assert_true(a->mean[c] == b->mean[c] && a->std[c] == b->std[c]);
        for (int64_t i = 0; i < a->count; i++) {
            uint8_t x[BYTES], y[BYTES];
            int32_t label_x, label_y;
            assert_int_equal(sn_dataset_get(files, i, x, &label_x), SENET_OK);
            assert_int_equal(sn_dataset_get(embedded, i, y, &label_y), SENET_OK);
            assert_int_equal(label_x, label_y);
            assert_memory_equal(x, y, BYTES);
        }
        sn_dataset_close(files);
        sn_dataset_close(embedded);
    }
    assert_int_equal(sn_data_synth("size=64", inside, NULL, NULL), SENET_USAGE);
    assert_int_equal(sn_data_synth("train=4", inside, NULL, NULL), SENET_USAGE);
    assert_int_equal(sn_data_synth("train=5,val=1", "/dev/null/x", NULL, NULL), SENET_CANNOT_WRITE);
    remove_scratch(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_the_same_everywhere),
        cmocka_unit_test(no_two_pictures_are_alike),
        cmocka_unit_test(statistics_are_those_of_the_pictures),
        cmocka_unit_test(pixels_alone_do_not_tell_the_class),
        cmocka_unit_test(figures_are_inside_at_their_heart_and_fit_the_frame),
        cmocka_unit_test(classes_are_dealt_in_turn),
        cmocka_unit_test(a_set_beyond_the_cache_is_drawn_as_it_is_read),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(the_set_on_disk_is_the_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
