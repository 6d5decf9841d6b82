/* The loader: the order of an epoch, exact augmentation, and batches that do not depend on threads or on where it
 * began. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/rng.h"
#include "data/augment.h"
#include "data/dataset.h"
#include "data/permutation.h"

/* ---- a data set for tests: pixel = hash(sample, byte), label = sample mod 7 ---- */

typedef struct test_set {
    sn_dataset base;
    int64_t broken; /* this sample cannot be read; -1: none */
    int sleep_us;   /* a read takes this long */
} test_set;

static uint8_t byte_of(int64_t index, size_t byte)
{
    return (uint8_t)(1 + sn_rng_below(sn_rng_key(1, SN_RNG_TEST, (uint64_t)index, 0), byte,
                                      255)); /* never 0: padding shows */
}

static senet_status read_sample(const sn_dataset *dataset, int64_t index, void *pixels, int32_t *label)
{
    const test_set *set = (const test_set *)dataset;
    if (set->sleep_us) nanosleep(&(struct timespec){.tv_nsec = 1000L * set->sleep_us}, NULL);
    if (index == set->broken) return sn_fail(SENET_BAD_DATA, "picture %d: broken on purpose", (int)index);
    size_t values = (size_t)dataset->info.height * (size_t)dataset->info.width * 3;
    for (size_t i = 0; i < values; i++) {
        if (dataset->info.real)
            ((float *)pixels)[i] = byte_of(index, i);
        else
            ((uint8_t *)pixels)[i] = byte_of(index, i);
    }
    *label = (int32_t)(index % 7);
    return SENET_OK;
}

static int32_t label_of_sample(const sn_dataset *dataset, int64_t index)
{
    (void)dataset;
    return (int32_t)(index % 7);
}

static test_set make_set(int64_t count, int height, int width, bool real)
{
    return (test_set){
        .base =
            {.read = read_sample,
             .label = label_of_sample,
             .info = {.name = "test", .count = count, .height = height, .width = width, .classes = 7, .real = real}},
        .broken = -1};
}

static sn_loader *start(const test_set *set, const sn_loader_options *options)
{
    sn_loader *loader = NULL;
    assert_int_equal(sn_loader_create(&set->base, options, &loader), SENET_OK);
    return loader;
}

static const sn_batch *next(sn_loader *loader)
{
    const sn_batch *batch = NULL;
    assert_int_equal(sn_loader_next(loader, &batch), SENET_OK);
    return batch;
}

/* A hash of everything a batch holds. */
static uint64_t digest(const test_set *set, const sn_batch *batch)
{
    size_t n = (size_t)batch->count, values = n * (size_t)set->base.info.height * (size_t)set->base.info.width * 3;
    uint64_t parts[7] = {(uint64_t)batch->epoch,
                         (uint64_t)batch->number,
                         set->base.info.real ? sn_fnv1a64(batch->real, values * sizeof(float))
                                             : sn_fnv1a64(batch->images, values),
                         sn_fnv1a64(batch->rects, n * 8 * sizeof(int32_t)),
                         sn_fnv1a64(batch->labels, n * sizeof(int32_t)),
                         sn_fnv1a64(batch->indices, n * sizeof(int64_t)),
                         sn_fnv1a64(batch->keys, n * sizeof(uint64_t))};
    return sn_fnv1a64(parts, sizeof parts);
}

/* ---- order ---- */

static void an_order_is_a_permutation(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= 300; n++) {
        uint8_t seen[300] = {0};
        for (int64_t i = 0; i < n; i++) {
            int64_t at = sn_permutation_at(sn_rng_key(3, SN_RNG_TEST, (uint64_t)n, 0), n, i);
            assert_true(at >= 0 && at < n);
            assert_int_equal(seen[at]++, 0);
        }
    }
    const int64_t large = INT64_C(1) << 40; /* ends hold, and neighbours part */
    int64_t first = sn_permutation_at(1, large - 1, 0), last = sn_permutation_at(1, large - 1, large - 2);
    assert_true(first >= 0 && first < large - 1 && last >= 0 && last < large - 1 && first != last);
}

static void every_place_of_an_order_is_equally_likely(void **state)
{
    (void)state;
    enum { N = 13, KEYS = 13000 };
    static int counts[N][N], pairs[N][N];
    for (uint64_t key = 0; key < KEYS; key++) {
        int64_t order[N];
        for (int64_t i = 0; i < N; i++) {
            order[i] = sn_permutation_at(sn_rng_key(key, SN_RNG_SHUFFLE, 0, 0), N, i);
            counts[i][order[i]]++;
        }
        for (int i = 0; i + 1 < N; i++) pairs[order[i]][order[i + 1]]++;
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            /* Expected 1000 of each; a binomial deviation is 30, and 6 of them happen once in 5e8. */
            assert_true(abs(counts[i][j] - KEYS / N) < 6 * 31);
            if (i != j) assert_true(abs(pairs[i][j] - KEYS / N) < 6 * 32); /* neighbours are independent */
        }
}

static void an_epoch_has_every_sample_once_in_a_new_order(void **state)
{
    (void)state;
    enum { N = 101, BATCH = 10 };
    test_set set = make_set(N, 2, 3, false);
    sn_loader *loader = start(&set, &(sn_loader_options){.batch = BATCH, .workers = 2, .shuffle = true, .seed = 4});
    assert_int_equal(sn_loader_batches_per_epoch(loader), 11);
    int64_t orders[3][N];
    for (int epoch = 0; epoch < 3; epoch++) {
        int seen[N] = {0}, done = 0;
        const sn_batch *batch;
        for (int number = 0; (batch = next(loader)) != NULL; number++) {
            assert_int_equal(batch->epoch, epoch);
            assert_int_equal(batch->number, number);
            assert_int_equal(batch->count, number == 10 ? 1 : BATCH);
            assert_int_equal((uintptr_t)batch->images % SN_ALIGNMENT, 0);
            assert_null(batch->real);
            for (int64_t i = 0; i < batch->count; i++) {
                orders[epoch][done++] = batch->indices[i];
                assert_int_equal(seen[batch->indices[i]]++, 0);
                assert_int_equal(batch->labels[i], batch->indices[i] % 7);
                for (size_t b = 0; b < 18; b++)
                    assert_int_equal(batch->images[(size_t)i * 18 + b], byte_of(batch->indices[i], b));
                const int32_t whole[8] = {0, 0, 2, 3, 0, 0, 0, 0};
                assert_memory_equal(batch->rects + 8 * i, whole, sizeof whole);
            }
        }
        assert_int_equal(done, N);
    }
    assert_memory_not_equal(orders[0], orders[1], sizeof orders[0]);
    assert_memory_not_equal(orders[1], orders[2], sizeof orders[0]);
    sn_loader_destroy(loader);
}

static void without_shuffling_the_order_is_the_files(void **state)
{
    (void)state;
    test_set set = make_set(10, 2, 2, false);
    sn_loader *loader = start(&set, &(sn_loader_options){.batch = 4, .drop_last = true});
    assert_int_equal(sn_loader_batches_per_epoch(loader), 2);
    for (int epoch = 0; epoch < 2; epoch++) {
        for (int number = 0; number < 2; number++) {
            const sn_batch *batch = next(loader);
            assert_int_equal(batch->count, 4);
            for (int i = 0; i < 4; i++) assert_int_equal(batch->indices[i], 4 * number + i);
        }
        assert_null(next(loader));
    }
    assert_true(sn_loader_waited(loader) > 0);
    sn_loader_destroy(loader);
}

static void a_sample_has_one_key_an_epoch(void **state)
{
    (void)state;
    enum { N = 64 };
    test_set set = make_set(N, 1, 1, false);
    sn_loader *loader = start(&set, &(sn_loader_options){.batch = N, .shuffle = true, .seed = 9});
    uint64_t keys[2][N];
    for (int epoch = 0; epoch < 2; epoch++) {
        const sn_batch *batch = next(loader);
        for (int i = 0; i < N; i++) keys[epoch][batch->indices[i]] = batch->keys[i];
        assert_null(next(loader));
    }
    for (int i = 0; i < N; i++) {
        assert_true(keys[0][i] != keys[1][i]);
        for (int j = 0; j < i; j++) assert_true(keys[0][i] != keys[0][j]);
    }
    sn_loader_destroy(loader);
}

/* ---- determinism ---- */

enum { EPOCHS = 3, MANY = 3 * 24 };

static int run(const test_set *set, sn_loader_options options, int stop_after, uint64_t digests[MANY])
{
    int count = 0;
    sn_loader *loader = start(set, &options);
    for (int ends = (int)options.epoch; ends < EPOCHS && count < stop_after;) {
        const sn_batch *batch = next(loader);
        if (batch)
            digests[count++] = digest(set, batch);
        else
            ends++;
    }
    sn_loader_destroy(loader);
    return count;
}

static void batches_do_not_depend_on_workers_or_on_the_start(void **state)
{
    (void)state;
    for (int real = 0; real < 2; real++) {
        test_set set = make_set(70, 9, 7, real);
        sn_loader_options options = {
            .batch = 3, .shuffle = true, .seed = 77, .augment = {.pad = 2, .flip = true, .cutout = 4}};
        uint64_t expected[MANY], got[MANY];
        const int all = run(&set, options, MANY, expected);
        assert_int_equal(all, MANY);
        for (int i = 0; i < all; i++)
            for (int j = 0; j < i; j++) assert_true(expected[i] != expected[j]);
        const int workers[] = {1, 2, 3, 8};
        for (size_t w = 0; w < 4; w++) {
            options.workers = workers[w];
            assert_int_equal(run(&set, options, MANY, got), all);
            assert_memory_equal(got, expected, sizeof expected);
        }
        for (int w = 0; w < 4; w += 3)
            for (int skipped = 0; skipped < MANY; skipped += 7) {
                sn_loader_options later = options;
                later.workers = w;
                later.epoch = skipped / 24;
                later.start = skipped % 24;
                assert_int_equal(run(&set, later, MANY, got), all - skipped);
                assert_memory_equal(got, expected + skipped, (size_t)(all - skipped) * sizeof *got);
            }
        options.seed++;
        run(&set, options, MANY, got);
        assert_true(got[0] != expected[0]);
    }
}

static void a_loader_may_start_at_an_epochs_end(void **state)
{
    (void)state;
    test_set set = make_set(6, 2, 2, false);
    sn_loader *loader = start(&set, &(sn_loader_options){.batch = 3, .workers = 1, .epoch = 5, .start = 2});
    assert_null(next(loader));
    const sn_batch *batch = next(loader);
    assert_int_equal(batch->epoch, 6);
    assert_int_equal(batch->number, 0);
    sn_loader_destroy(loader);
}

/* ---- augmentation ---- */

/* The definition, pixel by pixel, on the padded picture: 0 stands for padding (pixels are never 0). */
static uint8_t naive_pixel(int64_t index, const sn_augment_draw *draw, int height, int width, int y, int x, int c)
{
    int source_y = y + draw->down, source_x = (draw->flip ? width - 1 - x : x) + draw->right;
    if (source_y < 0 || source_y >= height || source_x < 0 || source_x >= width) return 0;
    return byte_of(index, ((size_t)source_y * (size_t)width + (size_t)source_x) * 3 + (size_t)c);
}

static bool inside(const int32_t *rect, int y, int x)
{
    return y >= rect[0] && y < rect[2] && x >= rect[1] && x < rect[3];
}

static void augmented_pictures_are_exact(void **state)
{
    (void)state;
    const int shapes[][2] = {{8, 8}, {5, 9}, {9, 4}, {1, 1}, {2, 11}, {3, 16}, {2, 37}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int variant = 0; variant < 8; variant++) {
            const int height = shapes[s][0], width = shapes[s][1], shorter = height < width ? height : width;
            sn_augment augment = {.pad = variant & 1 ? shorter : 0,
                                  .flip = variant & 2,
                                  .cutout = variant & 4 ? (shorter < 3 ? shorter : 3) : 0};
            test_set bytes = make_set(50, height, width, false), real = make_set(50, height, width, true);
            sn_loader_options options = {.batch = 50, .shuffle = true, .seed = 6, .augment = augment};
            sn_loader *byte_loader = start(&bytes, &options), *real_loader = start(&real, &options);
            const sn_batch *batch = next(byte_loader), *floats = next(real_loader);
            assert_null(floats->images);
            for (int64_t i = 0; i < batch->count; i++) {
                const int64_t index = batch->indices[i];
                assert_int_equal(floats->indices[i], index);
                uint64_t key = sn_rng_key(6, SN_RNG_AUGMENT, 0, (uint64_t)index);
                sn_augment_draw draw = sn_augment_sample(&augment, height, width, key);
                const int32_t *valid = batch->rects + 8 * i, *cut = valid + 4;
                for (int y = 0; y < height; y++)
                    for (int x = 0; x < width; x++)
                        for (int c = 0; c < 3; c++) {
                            size_t at =
                                (((size_t)i * (size_t)height + (size_t)y) * (size_t)width + (size_t)x) * 3 + (size_t)c;
                            uint8_t expected = naive_pixel(index, &draw, height, width, y, x, c);
                            assert_int_equal(batch->images[at], expected);
                            assert_int_equal(inside(valid, y, x), expected != 0);
                            assert_true(floats->real[at] == (inside(cut, y, x) ? 0 : expected));
                        }
            }
            sn_loader_destroy(byte_loader);
            sn_loader_destroy(real_loader);
        }
}

/* Count of an event of probability p in n trials: within 6 standard deviations. */
static void assert_frequency(int count, int n, double p)
{
    if (fabs(count - n * p) > 6 * sqrt(n * p * (1 - p))) fail_msg("%d of %d, expected about %.0f", count, n, n * p);
}

static void offsets_flips_and_cuts_are_uniform(void **state)
{
    (void)state;
    enum { N = 40000 };
    static int down[9], right[9], both[9][9], flips, cut_y[32], cut_x[32];
    const sn_augment augment = {.pad = 4, .flip = true, .cutout = 16};
    for (uint64_t i = 0; i < N; i++) {
        sn_augment_draw draw = sn_augment_sample(&augment, 32, 32, sn_rng_key(1, SN_RNG_AUGMENT, 2, i));
        down[draw.down + 4]++;
        right[draw.right + 4]++;
        both[draw.down + 4][draw.right + 4]++;
        flips += draw.flip;
        /* The centre: rows [centre - 8, centre + 8), clipped at one border at most. */
        int y = draw.cut[0] > 0 ? draw.cut[0] + 8 : draw.cut[2] - 8,
            x = draw.cut[1] > 0 ? draw.cut[1] + 8 : draw.cut[3] - 8;
        assert_true(y >= 0 && y < 32 && x >= 0 && x < 32);
        assert_int_equal(draw.cut[0], y < 8 ? 0 : y - 8);
        assert_int_equal(draw.cut[2], y > 24 ? 32 : y + 8);
        assert_int_equal(draw.cut[1], x < 8 ? 0 : x - 8);
        assert_int_equal(draw.cut[3], x > 24 ? 32 : x + 8);
        cut_y[y]++;
        cut_x[x]++;
    }
    assert_frequency(flips, N, 0.5);
    for (int i = 0; i < 9; i++) {
        assert_frequency(down[i], N, 1.0 / 9);
        assert_frequency(right[i], N, 1.0 / 9);
        for (int j = 0; j < 9; j++) assert_frequency(both[i][j], N, 1.0 / 81);
    }
    for (int i = 0; i < 32; i++) {
        assert_frequency(cut_y[i], N, 1.0 / 32);
        assert_frequency(cut_x[i], N, 1.0 / 32);
    }
}

/* ---- misuse, failures, shutdown ---- */

static void bad_options_are_refused(void **state)
{
    (void)state;
    test_set set = make_set(10, 8, 6, false);
    const sn_loader_options bad[] = {
        {.batch = 0},
        {.batch = -1},
        {.batch = 4, .workers = -1},
        {.batch = 4, .workers = 100000},
        {.batch = 11, .drop_last = true},
        {.batch = 4, .start = 4},
        {.batch = 4, .start = -1},
        {.batch = 4, .epoch = -1},
        {.batch = 4, .augment = {.pad = 7}},
        {.batch = 4, .augment = {.pad = -1}},
        {.batch = 4, .augment = {.cutout = -1}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        sn_loader *loader = (sn_loader *)&loader;
        assert_int_equal(sn_loader_create(&set.base, &bad[i], &loader), SENET_USAGE);
        assert_null(loader);
    }
    test_set huge = make_set(INT64_C(1) << 50, 1 << 20, 1 << 20, true);
    sn_loader *loader = NULL;
    assert_int_equal(sn_loader_create(&huge.base, &(sn_loader_options){.batch = INT64_C(1) << 50}, &loader),
                     SENET_USAGE);
    assert_null(loader);
    sn_loader_destroy(NULL);
}

static void a_batch_larger_than_the_set_is_the_whole_set(void **state)
{
    (void)state;
    test_set set = make_set(10, 2, 2, false);
    sn_loader *loader = start(&set, &(sn_loader_options){.batch = INT64_C(1) << 60, .workers = 1});
    assert_int_equal(next(loader)->count, 10);
    assert_null(next(loader));
    sn_loader_destroy(loader);
}

static void a_workers_error_reaches_the_caller_at_its_batch(void **state)
{
    (void)state;
    for (int workers = 0; workers <= 3; workers++) {
        test_set set = make_set(40, 2, 2, false);
        set.broken = 22;
        sn_loader *loader = start(&set, &(sn_loader_options){.batch = 4, .workers = workers});
        for (int i = 0; i < 5; i++) assert_int_equal(next(loader)->number, i);
        for (int again = 0; again < 2; again++) { /* and it stays there */
            const sn_batch *batch = (const sn_batch *)&set;
            assert_int_equal(sn_loader_next(loader, &batch), SENET_BAD_DATA);
            assert_null(batch);
            assert_string_equal(senet_last_error(), "picture 22: broken on purpose");
        }
        sn_loader_destroy(loader);
    }
}

static void a_loader_can_be_destroyed_at_any_moment(void **state)
{
    (void)state;
    test_set set = make_set(1000, 4, 4, false);
    set.sleep_us = 300;
    for (int taken = 0; taken < 12; taken++) {
        sn_loader *loader =
            start(&set, &(sn_loader_options){.batch = 1 + taken % 3 * 300, .workers = 4, .shuffle = true});
        for (int i = 0; i < taken / 3 % 3; i++) assert_non_null(next(loader));
        sn_loader_destroy(loader); /* batches are half filled, workers wait for slots */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_is_a_permutation),
        cmocka_unit_test(every_place_of_an_order_is_equally_likely),
        cmocka_unit_test(an_epoch_has_every_sample_once_in_a_new_order),
        cmocka_unit_test(without_shuffling_the_order_is_the_files),
        cmocka_unit_test(a_sample_has_one_key_an_epoch),
        cmocka_unit_test(batches_do_not_depend_on_workers_or_on_the_start),
        cmocka_unit_test(a_loader_may_start_at_an_epochs_end),
        cmocka_unit_test(augmented_pictures_are_exact),
        cmocka_unit_test(offsets_flips_and_cuts_are_uniform),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(a_batch_larger_than_the_set_is_the_whole_set),
        cmocka_unit_test(a_workers_error_reaches_the_caller_at_its_batch),
        cmocka_unit_test(a_loader_can_be_destroyed_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
