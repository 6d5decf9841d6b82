/* What mixes and blots pictures in training: mixup, CutMix, random erasing, alone and in the loader. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "data/augment.h"
#include "data/data.h"
#include "data/mix.h"

/* Count of an event of probability p in n trials: within 6 standard deviations, which it exceeds once in 5e8. */
static void assert_frequency(int count, int n, double p)
{
    if (fabs(count - n * p) > 6 * sqrt(n * p * (1 - p)) + 1e-9)
        fail_msg("%d of %d, expected about %.0f", count, n, n * p);
}

static uint64_t key_of(uint64_t i)
{
    return sn_rng_key(5, SN_RNG_MIX, 1, i);
}

/* ---- Beta(alpha, alpha) ---- */

/* Its distribution function where that has a formula. */
static double beta_below(double alpha, double x)
{
    if (alpha == 0.5) return 2 / 3.14159265358979 * asin(sqrt(x));
    return alpha == 1 ? x : 3 * x * x - 2 * x * x * x; /* 1, 2 */
}

static void shares_follow_the_beta_distribution(void **state)
{
    (void)state;
    enum { N = 20000 };
    const double alphas[] = {0.5, 1, 2};
    for (int a = 0; a < 3; a++) {
        int below[9] = {0};
        for (uint64_t i = 0; i < N; i++) {
            const double x = sn_mix_beta(alphas[a], key_of(i));
            assert_true(x >= 0 && x <= 1);
            for (int k = 0; k < 9; k++) below[k] += x < 0.1 * (k + 1);
        }
        for (int k = 0; k < 9; k++) assert_frequency(below[k], N, beta_below(alphas[a], 0.1 * (k + 1)));
    }
}

/* Almost only 0 and 1 for a tiny alpha, almost only 1/2 for a large one; never NaN. */
static void extreme_alphas_give_shares(void **state)
{
    (void)state;
    int ones = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        const double sharp = sn_mix_beta(0.001, key_of(i)), flat = sn_mix_beta(100, key_of(i));
        assert_true(sharp >= 0 && sharp <= 1);
        ones += sharp > 0.5;
        assert_true(fabs(flat - 0.5) < 6 * 0.0353); /* deviation 1 / (2 sqrt(201)) */
    }
    assert_frequency(ones, 1000, 0.5);
}

/* ---- mixing ---- */

enum { COUNT = 5, HEIGHT = 13, WIDTH = 10, BYTES = HEIGHT * WIDTH * 3 };

static void fill_batch(uint8_t images[COUNT][BYTES])
{
    for (uint64_t i = 0; i < COUNT; i++)
        for (uint64_t b = 0; b < BYTES; b++) images[i][b] = (uint8_t)sn_rng_u64(i, b);
}

static const int32_t labels[COUNT] = {3, 1, 4, 1, 5};

static void mixup_is_a_weighted_sum(void **state)
{
    (void)state;
    static uint8_t before[COUNT][BYTES], after[COUNT][BYTES];
    const sn_augment augment = {.mixup = 1};
    for (uint64_t key = 0; key < 40; key++) {
        int32_t labels2[COUNT];
        float mix[COUNT];
        fill_batch(before);
        fill_batch(after);
        const sn_mix_draw draw = sn_mix_sample(&augment, HEIGHT, WIDTH, key_of(key));
        assert_false(draw.cuts);
        sn_mix_apply(&draw, COUNT, HEIGHT, WIDTH, after[0], labels, labels2, mix);
        for (int i = 0; i < COUNT; i++) {
            const int partner = COUNT - 1 - i;
            assert_int_equal(labels2[i], labels[partner]);
            assert_true(mix[i] == draw.mix && mix[i] >= 0 && mix[i] <= 1);
            for (int b = 0; b < BYTES; b++) { /* exact: mix has 16 bits behind the point */
                const double sum = (double)mix[i] * before[i][b] + (1 - (double)mix[i]) * before[partner][b];
                assert_int_equal(after[i][b], (int)floor(sum + 0.5));
            }
        }
    }
}

static void cutmix_replaces_a_box(void **state)
{
    (void)state;
    static uint8_t before[COUNT][BYTES], after[COUNT][BYTES];
    const sn_augment augment = {.cutmix = 1};
    double left = 0;
    enum { KEYS = 2000 };
    for (uint64_t key = 0; key < KEYS; key++) {
        int32_t labels2[COUNT];
        float mix[COUNT];
        const sn_mix_draw draw = sn_mix_sample(&augment, HEIGHT, WIDTH, key_of(key));
        assert_true(draw.cuts);
        assert_true(draw.box[0] >= 0 && draw.box[0] <= draw.box[2] && draw.box[2] <= HEIGHT);
        assert_true(draw.box[1] >= 0 && draw.box[1] <= draw.box[3] && draw.box[3] <= WIDTH);
        left += draw.mix;
        if (key >= 40) continue;
        fill_batch(before);
        fill_batch(after);
        sn_mix_apply(&draw, COUNT, HEIGHT, WIDTH, after[0], labels, labels2, mix);
        for (int i = 0; i < COUNT; i++) {
            int kept = 0;
            for (int y = 0; y < HEIGHT; y++)
                for (int x = 0; x < WIDTH; x++) {
                    const bool inside = y >= draw.box[0] && y < draw.box[2] && x >= draw.box[1] && x < draw.box[3];
                    kept += !inside;
                    assert_memory_equal(after[i] + 3 * (y * WIDTH + x),
                                        before[inside ? COUNT - 1 - i : i] + 3 * (y * WIDTH + x), 3);
                }
            assert_int_equal(labels2[i], labels[COUNT - 1 - i]);
            assert_true(mix[i] == (float)(1 - (double)(HEIGHT * WIDTH - kept) / (HEIGHT * WIDTH)));
        }
    }
    /* With alpha = 1 the box would take half on average; a part of it lies beyond the border. */
    assert_true(left / KEYS > 0.6 && left / KEYS < 0.8);
}

/* The box of the authors' rand_bbox: even sides, centre uniform over the pixels. */
static void cutmix_boxes_lie_anywhere(void **state)
{
    (void)state;
    enum { N = 30000, SIDE = 8 };
    static int covered[SIDE][SIDE];
    double shares = 0;
    const sn_augment augment = {.cutmix = 100}; /* sides near sqrt(1/2) 8 = 5.6: 4 of each, at most 6 */
    for (uint64_t i = 0; i < N; i++) {
        const sn_mix_draw draw = sn_mix_sample(&augment, SIDE, SIDE, key_of(i));
        for (int y = draw.box[0]; y < draw.box[2]; y++)
            for (int x = draw.box[1]; x < draw.box[3]; x++) covered[y][x]++;
        shares += 1 - (double)draw.mix;
    }
    double sum = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) sum += covered[y][x];
    assert_true(fabs(sum / (SIDE * SIDE) - shares) < 1e-6 * sum);
    /* Row y is in a box of 4 whose centre is y - 1 .. y + 2: of these four the first row has three, the last two. */
    const double middle = covered[4][4];
    assert_true(fabs(covered[0][4] / middle - 0.75) < 0.05 && fabs(covered[4][0] / middle - 0.75) < 0.05);
    assert_true(fabs(covered[7][4] / middle - 0.5) < 0.05 && fabs(covered[4][7] / middle - 0.5) < 0.05);
}

static void both_share_the_batches(void **state)
{
    (void)state;
    int cuts = 0;
    const sn_augment augment = {.mixup = 0.2, .cutmix = 1};
    for (uint64_t i = 0; i < 4000; i++) cuts += sn_mix_sample(&augment, 8, 8, key_of(i)).cuts;
    assert_frequency(cuts, 4000, 0.5);
}

/* ---- random erasing ---- */

static void erased_rectangles_are_the_papers(void **state)
{
    (void)state;
    enum { N = 20000, H = 200, W = 100 };
    const sn_augment augment = {.erase = 0.25};
    int erased = 0, small = 0, upper = 0;
    for (uint64_t i = 0; i < N; i++) {
        const sn_augment_draw draw = sn_augment_sample(&augment, H, W, key_of(i));
        const int tall = draw.cut[2] - draw.cut[0], wide = draw.cut[3] - draw.cut[1];
        if (tall == 0) continue;
        erased++;
        assert_true(draw.cut[0] >= 0 && draw.cut[1] >= 0 && tall > 0 && wide > 0);
        assert_true(draw.cut[2] <= H && draw.cut[3] <= W && tall < H && wide < W);
        /* Rounding of the sides moves area and aspect by a little: half a pixel of at least 11. */
        const double share = (double)tall * wide / (H * W), aspect = (double)tall / wide;
        assert_true(share > 0.02 * 0.93 && share < 0.4 * 1.03 && aspect > 0.3 * 0.93 && aspect < 1 / 0.3 * 1.07);
        small += share < 0.21;
        upper += draw.cut[0] + draw.cut[2] < H;
    }
    assert_frequency(erased, N, 0.25);
    assert_true(small > 0.5 * erased && small < 0.65 * erased); /* uniform, less large ones that did not fit */
    assert_true(fabs(upper - 0.5 * erased) < 6 * sqrt(0.25 * erased) + 0.02 * erased); /* ties lie on neither side */
}

static sn_dataset *open_synthetic(void)
{
    sn_dataset *set = NULL;
    if (sn_dataset_open("synthetic:train=60,val=20,size=16", SN_SPLIT_TRAIN, &set) != SENET_OK)
        fail_msg("%s", senet_last_error());
    return set;
}

static sn_loader *start(const sn_dataset *set, const sn_loader_options *options)
{
    sn_loader *loader = NULL;
    if (sn_loader_create(set, options, &loader) != SENET_OK) fail_msg("%s", senet_last_error());
    return loader;
}

static const sn_batch *next(sn_loader *loader)
{
    const sn_batch *batch = NULL;
    assert_int_equal(sn_loader_next(loader, &batch), SENET_OK);
    return batch;
}

enum { SIDE = 16, PICTURE = SIDE * SIDE * 3 };

/* To the mean colour by the op `normalize`, else in the bytes. */
static void erasing_fills_as_it_is_told(void **state)
{
    (void)state;
    sn_dataset *set = open_synthetic();
    const int32_t nothing[4] = {0};
    for (int fill = SN_ERASE_MEAN; fill <= SN_ERASE_NOISE; fill++) {
        const sn_loader_options plain = {.batch = 60, .seed = 3};
        sn_loader_options erasing = plain;
        erasing.augment = (sn_augment){.erase = 1, .erase_fill = (sn_erase_fill)fill};
        sn_loader *a = start(set, &plain), *b = start(set, &erasing);
        const sn_batch *before = next(a), *after = next(b);
        double sum = 0, bytes = 0;
        for (int64_t i = 0; i < after->count; i++) {
            const uint64_t key = sn_rng_key(3, SN_RNG_AUGMENT, 0, (uint64_t)after->indices[i]);
            const sn_augment_draw draw = sn_augment_sample(&erasing.augment, SIDE, SIDE, key);
            assert_memory_equal(after->rects + 8 * i + 4, fill == SN_ERASE_MEAN ? draw.cut : nothing, 16);
            for (int y = 0; y < SIDE; y++)
                for (int x = 0; x < SIDE; x++) {
                    const uint8_t *was = before->images + i * PICTURE + 3 * (y * SIDE + x);
                    const uint8_t *is = after->images + i * PICTURE + 3 * (y * SIDE + x);
                    const bool cut = y >= draw.cut[0] && y < draw.cut[2] && x >= draw.cut[1] && x < draw.cut[3];
                    if (!cut || fill == SN_ERASE_MEAN)
                        assert_memory_equal(is, was, 3);
                    else if (fill == SN_ERASE_BLACK)
                        assert_int_equal(is[0] + is[1] + is[2], 0);
                    else {
                        sum += is[0] + is[1] + is[2];
                        bytes += 3;
                    }
                }
        }
        if (fill == SN_ERASE_NOISE) assert_true(fabs(sum / bytes - 127.5) < 6 * 73.9 / sqrt(bytes));
        sn_loader_destroy(a);
        sn_loader_destroy(b);
    }
    sn_dataset_close(set);
}

/* ---- in the loader ---- */

static uint64_t digest(const sn_batch *batch)
{
    const size_t n = (size_t)batch->count;
    const uint64_t parts[] = {(uint64_t)batch->number,
                              sn_fnv1a64(batch->images, n * PICTURE),
                              sn_fnv1a64(batch->rects, n * 32),
                              sn_fnv1a64(batch->labels, n * 4),
                              batch->labels2 ? sn_fnv1a64(batch->labels2, n * 4) : 0,
                              batch->mix ? sn_fnv1a64(batch->mix, n * 4) : 0};
    return sn_fnv1a64(parts, sizeof parts);
}

static const sn_augment everything = {.pad = 2,
                                      .flip = true,
                                      .randaugment.ops = 2,
                                      .randaugment.magnitude = 9,
                                      .jitter = 3,
                                      .erase = 0.5,
                                      .erase_fill = SN_ERASE_NOISE,
                                      .mixup = 0.8,
                                      .cutmix = 1};

static void mixed_batches_do_not_depend_on_workers_or_on_the_start(void **state)
{
    (void)state;
    enum { BATCHES = 9, EPOCHS = 2 }; /* eight of 7 and one of 4 */
    sn_dataset *set = open_synthetic();
    uint64_t expected[EPOCHS * BATCHES];
    sn_loader_options options = {.batch = 7, .shuffle = true, .seed = 8, .augment = everything};
    for (int workers = 0; workers < 5; workers += 2)
        for (int begin = 0; begin < EPOCHS * BATCHES; begin += 5) {
            options.workers = workers;
            options.epoch = begin / BATCHES;
            options.start = begin % BATCHES;
            sn_loader *loader = start(set, &options);
            for (int b = begin; b < EPOCHS * BATCHES; b++) {
                const sn_batch *batch = next(loader);
                if (!batch) batch = next(loader);
                if (workers == 0 && begin == 0) expected[b] = digest(batch);
                assert_true(digest(batch) == expected[b]);
            }
            sn_loader_destroy(loader);
        }
    for (int i = 0; i < EPOCHS * BATCHES; i++)
        for (int j = 0; j < i; j++) assert_true(expected[i] != expected[j]);
    sn_dataset_close(set);
}

/* Padding and cuts are mixed as the colour they stand for; without mixing there is no second label. */
static void mixed_pictures_have_no_rectangles(void **state)
{
    (void)state;
    sn_dataset *set = open_synthetic();
    const sn_dataset_info *info = sn_dataset_describe(set);
    const int32_t whole[8] = {0, 0, SIDE, SIDE};
    sn_loader_options options = {.batch = 6, .seed = 1, .augment = {.pad = 8, .flip = true, .cutout = 8}};
    sn_loader *plain = start(set, &options);
    options.augment.mixup = 1;
    sn_loader *mixed = start(set, &options);
    const sn_batch *a = next(plain), *b = next(mixed);
    assert_null(a->labels2);
    assert_null(a->mix);
    for (int64_t i = 0; i < 6; i++) {
        assert_memory_equal(b->rects + 8 * i, whole, sizeof whole);
        assert_int_equal(b->labels[i], a->labels[i]);
        assert_int_equal(b->labels2[i], a->labels[5 - i]);
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                for (int c = 0; c < 3; c++) {
                    double sum = 0;
                    for (int side = 0; side < 2; side++) {
                        const int64_t from = side ? 5 - i : i;
                        const int32_t *valid = a->rects + 8 * from, *cut = valid + 4;
                        const bool in = y >= valid[0] && y < valid[2] && x >= valid[1] && x < valid[3] &&
                                        !(y >= cut[0] && y < cut[2] && x >= cut[1] && x < cut[3]);
                        const double value = in ? a->images[from * PICTURE + 3 * (y * SIDE + x) + c]
                                                : lrint(255 * (double)info->mean[c]);
                        sum += (side ? 1 - (double)b->mix[i] : (double)b->mix[i]) * value;
                    }
                    assert_int_equal(b->images[i * PICTURE + 3 * (y * SIDE + x) + c], (int)floor(sum + 0.5));
                }
    }
    sn_loader_destroy(plain);
    sn_loader_destroy(mixed);
    sn_dataset_close(set);
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    sn_dataset *set = open_synthetic();
    const struct {
        sn_augment augment;
        int64_t batch;
        const char *words;
    } bad[] = {
        {{.randaugment.ops = -1}, 4, "RandAugment of -1 operations"},
        {{.randaugment.ops = 17}, 4, "RandAugment of 17 operations is outside 0..16"},
        {{.randaugment.ops = 2, .randaugment.magnitude = 11}, 4, "magnitude 11 is outside 0..10"},
        {{.randaugment.ops = 2, .randaugment.magnitude = NAN}, 4, "magnitude nan"},
        {{.erase = 1.5}, 4, "probability 1.5 is outside 0..1"},
        {{.erase = 0.5, .erase_fill = (sn_erase_fill)3}, 4, "filling 3"},
        {{.erase = 0.5, .cutout = 4}, 4, "cutout of 4 pixels and random erasing"},
        {{.mixup = -0.1}, 4, "mixup -0.1"},
        {{.cutmix = 101}, 4, "CutMix 101"},
        {{.mixup = 0.2}, 1, "at least 2 pictures"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sn_loader *loader = NULL;
        assert_int_equal(
            sn_loader_create(set, &(sn_loader_options){.batch = bad[i].batch, .augment = bad[i].augment}, &loader),
            SENET_USAGE);
        if (!strstr(senet_last_error(), bad[i].words))
            fail_msg("'%s' does not say '%s'", senet_last_error(), bad[i].words);
    }
    sn_dataset_close(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_follow_the_beta_distribution),
        cmocka_unit_test(extreme_alphas_give_shares),
        cmocka_unit_test(mixup_is_a_weighted_sum),
        cmocka_unit_test(cutmix_replaces_a_box),
        cmocka_unit_test(cutmix_boxes_lie_anywhere),
        cmocka_unit_test(both_share_the_batches),
        cmocka_unit_test(erased_rectangles_are_the_papers),
        cmocka_unit_test(erasing_fills_as_it_is_told),
        cmocka_unit_test(mixed_batches_do_not_depend_on_workers_or_on_the_start),
        cmocka_unit_test(mixed_pictures_have_no_rectangles),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
