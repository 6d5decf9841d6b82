/* test_evaluate_scores.c - softmax in logarithms, its mean, ranks, the best classes; errors of classes and confusions.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/image.h"
#include "test_failures.h"
#include "train/confusion.h"
#include "train/scores.h"

static void assert_near(double value, double wanted)
{
    if (!(fabs(value - wanted) <= 1e-14 * (1 + fabs(wanted)))) fail_msg("%.17g, not %.17g", value, wanted); /* double */
}

static void one_view_is_log_softmax(void **state)
{
    (void)state;
    const float logits[] = {0, logf(2), 0, -1000};
    double scores[4];
    sn_scores_of(logits, 4, scores);
    assert_near(scores[0], log(0.25) + (log(2) - (double)logf(2)) / 2);
    assert_near(scores[3], scores[0] - 1000); /* not minus infinity: a loss can be averaged */
}

static void several_views_are_the_mean_of_probabilities(void **state)
{
    (void)state;
    const float first[] = {5, 5 + logf(3)}, second[] = {-2, -2}; /* (1/4, 3/4), (1/2, 1/2) */
    double scores[2] = {0, 0};
    sn_scores_add(first, 2, scores);
    sn_scores_add(second, 2, scores);
    sn_scores_finish(scores, 2, 2);
    assert_true(fabs(exp(scores[0]) - 0.375) < 1e-7); /* the logarithm of 3 as a float */
    assert_near(exp(scores[0]) + exp(scores[1]), 1);
}

/* The mean of probabilities is not the mean of logits: one sure view outweighs two that lean the other way. */
static void the_mean_is_not_that_of_logits(void **state)
{
    (void)state;
    const float sure[] = {0, 2}, leans[] = {1.2f, 0};
    double scores[2] = {0, 0};
    sn_scores_add(sure, 2, scores);
    sn_scores_add(leans, 2, scores);
    sn_scores_add(leans, 2, scores);
    sn_scores_finish(scores, 2, 3);
    assert_true(scores[0] > scores[1]); /* (0.119 + 2 x 0.769) / 3; the logits' sum, 2.4 : 2, says so too */
    const float surer[] = {0, 20};
    double again[2] = {0, 0};
    sn_scores_add(surer, 2, again);
    sn_scores_add(leans, 2, again);
    sn_scores_add(leans, 2, again);
    sn_scores_finish(again, 2, 3);
    assert_true(again[0] > again[1]); /* (0 + 2 x 0.769) / 3 = 0.51; the logits' sum, 2.4 : 20, says otherwise */
}

static void ranks_count_what_is_larger(void **state)
{
    (void)state;
    const double scores[] = {3, 5, 3, 1}, broken[] = {NAN, 1, 2};
    int64_t top[4];
    assert_int_equal(sn_scores_rank(scores, 4, 1), 0);
    assert_int_equal(sn_scores_rank(scores, 4, 0), 1); /* of equals the first */
    assert_int_equal(sn_scores_rank(scores, 4, 2), 2);
    assert_int_equal(sn_scores_rank(scores, 4, 3), 3);
    assert_int_equal(sn_scores_rank(broken, 3, 0), 2); /* NaN is never right */
    assert_int_equal(sn_scores_rank(broken, 3, 2), 1);
    sn_scores_top(scores, 4, 3, top);
    assert_int_equal(top[0], 1);
    assert_int_equal(top[1], 0);
    assert_int_equal(top[2], 2);
    sn_scores_top(scores, 4, 4, top);
    assert_int_equal(top[3], 3);
}

/* ---- confusions ---- */

static void confusions_are_counted_by_true_class(void **state)
{
    (void)state;
    sn_confusion c;
    assert_works(sn_confusion_create(3, true, &c));
    sn_confusion_add(&c, 0, 0, 0);
    sn_confusion_add(&c, 0, 2, 1);
    sn_confusion_add(&c, 2, 1, 7);
    assert_int_equal(c.counts[0].images, 2);
    assert_int_equal(c.counts[0].top1_errors, 1);
    assert_int_equal(c.counts[0].top5_errors, 0);
    assert_int_equal(c.counts[2].top5_errors, 1);
    assert_int_equal(c.matrix[0 * 3 + 2], 1);
    assert_int_equal(c.matrix[2 * 3 + 1], 1);
    assert_int_equal(c.matrix[1 * 3 + 1], 0);
    sn_confusion_free(&c);
    assert_works(sn_confusion_create(100000, false, &c)); /* counts alone are small */
    assert_null(c.matrix);
    sn_confusion_add(&c, 99999, 5, 0);
    sn_confusion_free(&c);
    assert_fails(sn_confusion_create(100000, true, &c), SENET_USAGE, "100000 classes");
}

/* Ten classes in a picture of 1024 pixels: cells of 102; dark where all of a row is, white where nothing is. */
static void the_picture_is_dark_where_answers_are(void **state)
{
    (void)state;
    char path[] = "/tmp/senet-test-confusion-XXXXXX";
    close(mkstemp(path));
    sn_confusion c;
    sn_image image;
    assert_works(sn_confusion_create(10, true, &c));
    sn_confusion_add(&c, 3, 7, 1);
    assert_works(sn_confusion_write_png(&c, path));
    assert_works(sn_image_read(path, false, &image));
    assert_int_equal(image.width, 1021);
    const uint8_t *hit = image.pixels + 3 * ((3 * 102 + 50) * 1021 + 7 * 102 + 50);
    const uint8_t *miss = image.pixels + 3 * ((7 * 102 + 50) * 1021 + 3 * 102 + 50);
    assert_int_equal(hit[0], 8);
    assert_int_equal(hit[2], 107);
    assert_int_equal(miss[0], 255);
    assert_int_equal(miss[2], 255);
    sn_image_free(&image);
    sn_confusion_free(&c);
    /* 3000 classes: three of them a cell. */
    assert_works(sn_confusion_create(3000, true, &c));
    for (int64_t k = 0; k < 3000; k++) sn_confusion_add(&c, k, k, 0);
    assert_works(sn_confusion_write_png(&c, path));
    assert_works(sn_image_read(path, false, &image));
    assert_int_equal(image.width, 1000);
    assert_int_equal(image.pixels[3 * (500 * 1000 + 500)], 8);
    assert_int_equal(image.pixels[3 * (500 * 1000 + 501)], 255);
    sn_image_free(&image);
    sn_confusion_free(&c);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_view_is_log_softmax),
        cmocka_unit_test(several_views_are_the_mean_of_probabilities),
        cmocka_unit_test(the_mean_is_not_that_of_logits),
        cmocka_unit_test(ranks_count_what_is_larger),
        cmocka_unit_test(confusions_are_counted_by_true_class),
        cmocka_unit_test(the_picture_is_dark_where_answers_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
