/* test_view.c - views of a picture against crops cut by hand from the resized picture. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "data/view.h"
#include "test_failures.h"

static sn_image noise(int width, int height)
{
    sn_image image = {width, height, malloc((size_t)width * (size_t)height * 3)};
    for (size_t i = 0; i < (size_t)width * (size_t)height * 3; i++)
        image.pixels[i] = (uint8_t)sn_rng_u64(sn_rng_key(2, SN_RNG_TEST, 0, 0), i);
    return image;
}

/* The rectangle of `resized` is what the view gives. */
static void assert_cut(const sn_view *view, const sn_preprocess *how, const sn_image *image, const sn_image *resized,
                       int left, int top)
{
    uint8_t *pixels = malloc((size_t)how->width * (size_t)how->height * 3);
    assert_works(sn_view_apply(view, how, image, pixels));
    for (int y = 0; y < how->height; y++)
        for (int x = 0; x < how->width; x++) {
            int from = view->mirror ? how->width - 1 - x : x;
            const uint8_t *expected =
                resized->pixels + 3 * ((size_t)(top + y) * (size_t)resized->width + (size_t)(left + from));
            assert_memory_equal(pixels + 3 * ((size_t)y * (size_t)how->width + (size_t)x), expected, 3);
        }
    free(pixels);
}

/* A picture of 51 x 40 with its shorter side at 25 becomes 31 x 25 (31.875); 8 x 8 crops leave 23 x 17 over. */
static void crops_lie_where_they_should(void **state)
{
    (void)state;
    sn_image image = noise(51, 40);
    for (int kind = SN_INTERPOLATION_BILINEAR; kind <= SN_INTERPOLATION_PIL_BICUBIC; kind++) {
        const bool opencv = kind == SN_INTERPOLATION_BILINEAR;
        const sn_preprocess how = {.height = 8, .width = 8, .interpolation = kind};
        sn_image resized = {0};
        assert_works(sn_image_resize(&image, 31, 25, kind, &resized));
        /* Centre: 23 / 2 = 11.5 becomes 12 (even) or 11; 17 / 2 = 8.5 becomes 8 both ways. */
        const struct {
            sn_view_crop crop;
            int left, top;
        } cases[] = {{SN_CROP_CENTRE, opencv ? 11 : 12, 8},
                     {SN_CROP_TOP_LEFT, 0, 0},
                     {SN_CROP_TOP_RIGHT, 23, 0},
                     {SN_CROP_BOTTOM_LEFT, 0, 17},
                     {SN_CROP_BOTTOM_RIGHT, 23, 17}};
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            for (int mirror = 0; mirror < 2; mirror++) {
                sn_view view = {.side = 25, .crop = cases[i].crop, .mirror = mirror == 1};
                assert_cut(&view, &how, &image, &resized, cases[i].left, cases[i].top);
            }
        sn_image_free(&resized);
    }
    sn_image_free(&image);
}

/* Squares of 25 x 25 at 0, at the centre (6 / 2 = 3) and at 6 of the 31 columns; then the crop inside. */
static void squares_come_before_crops(void **state)
{
    (void)state;
    sn_image image = noise(51, 40), tall = noise(40, 51);
    const sn_preprocess how = {.height = 9, .width = 9, .interpolation = SN_INTERPOLATION_PIL_BILINEAR};
    sn_image resized = {0}, resized_tall = {0};
    assert_works(sn_image_resize(&image, 31, 25, how.interpolation, &resized));
    assert_works(sn_image_resize(&tall, 25, 31, how.interpolation, &resized_tall));
    const int begin[] = {[SN_SQUARE_FIRST] = 0, [SN_SQUARE_CENTRE] = 3, [SN_SQUARE_LAST] = 6};
    for (int square = SN_SQUARE_FIRST; square <= SN_SQUARE_LAST; square++) {
        sn_view view = {.side = 25, .square = (sn_view_square)square, .crop = SN_CROP_BOTTOM_RIGHT};
        assert_cut(&view, &how, &image, &resized, begin[square] + 16, 16);
        assert_cut(&view, &how, &tall, &resized_tall, 16, begin[square] + 16);
        view.crop = SN_CROP_CENTRE;
        assert_cut(&view, &how, &image, &resized, begin[square] + 8, 8);
    }
    sn_image_free(&resized);
    sn_image_free(&resized_tall);
    sn_image_free(&image);
    sn_image_free(&tall);
}

static void square_resize_ignores_the_shape(void **state)
{
    (void)state;
    sn_image image = noise(51, 40), resized = {0};
    const sn_preprocess how = {.height = 7, .width = 7, .interpolation = SN_INTERPOLATION_BILINEAR};
    const sn_view view = {.resize = SN_VIEW_SQUARE, .side = 12, .crop = SN_CROP_CENTRE};
    assert_works(sn_image_resize(&image, 12, 12, how.interpolation, &resized));
    assert_cut(&view, &how, &image, &resized, 2, 2); /* floor(5 / 2) */
    sn_image_free(&resized);
    sn_image_free(&image);
}

/* The whole of a square of the resized picture, resized once more. */
static void a_whole_is_resized_again(void **state)
{
    (void)state;
    sn_image image = noise(51, 40), resized = {0}, square = {25, 25, malloc(25 * 25 * 3)}, whole = {0};
    const sn_preprocess how = {.height = 10, .width = 10, .interpolation = SN_INTERPOLATION_PIL_BICUBIC};
    const sn_view view = {.side = 25, .square = SN_SQUARE_LAST, .crop = SN_CROP_WHOLE, .mirror = true};
    assert_works(sn_image_resize(&image, 31, 25, how.interpolation, &resized));
    for (size_t y = 0; y < 25; y++) memcpy(square.pixels + y * 75, resized.pixels + (y * 31 + 6) * 3, 75);
    assert_works(sn_image_resize(&square, 10, 10, how.interpolation, &whole));
    assert_cut(&view, &how, &image, &whole, 0, 0);
    sn_image_free(&image);
    sn_image_free(&resized);
    sn_image_free(&square);
    sn_image_free(&whole);
}

/* An input of 8 x 12 with crop_pct 0.8 covers a box of 10 x 15: 51 x 40 must become 19 x 15. */
static void inputs_need_not_be_square(void **state)
{
    (void)state;
    sn_image image = noise(51, 40), resized = {0};
    const sn_preprocess how = {
        .height = 12, .width = 8, .crop_pct = 0.8f, .interpolation = SN_INTERPOLATION_PIL_BILINEAR};
    const sn_view view = sn_view_of(&how);
    assert_int_equal(view.side, 10);
    assert_works(sn_image_resize(&image, 19, 15, how.interpolation, &resized));
    assert_cut(&view, &how, &image, &resized, 6, 2); /* 11 / 2 = 5.5 to 6, 3 / 2 = 1.5 to 2 */
    sn_image_free(&resized);
    sn_image_free(&image);
}

static void the_standard_view_is_the_weights_files(void **state)
{
    (void)state;
    sn_preprocess how = {
        .height = 224, .width = 224, .crop_pct = 0.875f, .interpolation = SN_INTERPOLATION_PIL_BILINEAR};
    assert_int_equal(sn_view_of(&how).side, 256);
    how.height = how.width = 240, how.crop_pct = 0.8f; /* 0.800000012 as a float, which would give 299 */
    assert_int_equal(sn_view_of(&how).side, 300);
    how.interpolation = SN_INTERPOLATION_NONE;
    assert_int_equal(sn_view_of(&how).side, 240);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    uint8_t pixels[32 * 32 * 3];
    sn_image image = noise(51, 40);
    sn_preprocess how = {.height = 32, .width = 32, .interpolation = SN_INTERPOLATION_PIL_BILINEAR};
    sn_view view = {.side = 30};
    assert_fails(sn_view_apply(&view, &how, &image, pixels), SENET_USAGE,
                 "a picture resized to 38 x 30 is smaller than the crop of 32 x 32");
    view.side = 0;
    assert_fails(sn_view_apply(&view, &how, &image, pixels), SENET_USAGE, "a resize to 0");
    how.interpolation = SN_INTERPOLATION_NONE;
    view.side = 32;
    assert_fails(sn_view_apply(&view, &how, &image, pixels), SENET_BAD_DATA, "51 x 40 pixels, not 32 x 32");
    sn_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crops_lie_where_they_should),     cmocka_unit_test(squares_come_before_crops),
        cmocka_unit_test(square_resize_ignores_the_shape), cmocka_unit_test(a_whole_is_resized_again),
        cmocka_unit_test(inputs_need_not_be_square),       cmocka_unit_test(the_standard_view_is_the_weights_files),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
