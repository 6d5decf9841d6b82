/* test_evaluate_protocol.c - how many views each protocol has, which they are, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test_failures.h"
#include "train/protocol.h"

static sn_preprocess input(int height, int width)
{
    sn_preprocess how = sn_preprocess_default(224);
    how.height = height;
    how.width = width;
    return how;
}

/* The views of a protocol by name for square crops of one size. */
static sn_view *views_of(const char *name, int size, size_t *count)
{
    sn_protocol protocol;
    sn_view *views;
    sn_preprocess how = input(size, size);
    assert_works(sn_protocol_find(name, &protocol));
    assert_works(sn_protocol_check(&protocol));
    assert_works(sn_protocol_views(&protocol, &how, &views, count));
    return views;
}

static size_t count_where(const sn_view *views, size_t count, int side, sn_view_crop crop, bool mirror)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += views[i].side == side && views[i].crop == crop && views[i].mirror == mirror;
    return found;
}

static void single_is_the_centre_of_256(void **state)
{
    (void)state;
    size_t count;
    sn_view *views = views_of("single", 224, &count);
    assert_int_equal(count, 1);
    assert_int_equal(views[0].side, 256); /* floor(224 / 0.875) */
    assert_int_equal(views[0].resize, SN_VIEW_SHORTER);
    assert_int_equal(views[0].crop, SN_CROP_CENTRE);
    assert_int_equal(views[0].square, SN_SQUARE_NONE);
    assert_false(views[0].mirror);
    free(views);
}

static void ten_crops_are_five_and_their_mirrors(void **state)
{
    (void)state;
    size_t count;
    sn_view *views = views_of("ten-crop", 224, &count);
    assert_int_equal(count, 10);
    for (int crop = SN_CROP_CENTRE; crop <= SN_CROP_BOTTOM_RIGHT; crop++)
        for (int mirror = 0; mirror < 2; mirror++)
            assert_int_equal(count_where(views, count, 256, (sn_view_crop)crop, mirror), 1);
    free(views);
}

static void twelve_crops_have_the_whole_of_a_squared_picture(void **state)
{
    (void)state;
    size_t count;
    sn_view *views = views_of("twelve-crop", 224, &count);
    assert_int_equal(count, 12);
    assert_int_equal(count_where(views, count, 256, SN_CROP_WHOLE, false), 1);
    assert_int_equal(count_where(views, count, 256, SN_CROP_WHOLE, true), 1);
    for (size_t i = 0; i < count; i++) assert_int_equal(views[i].resize, SN_VIEW_SQUARE);
    free(views);
}

static void googlenet_has_four_scales_three_squares_six_crops_two_mirrors(void **state)
{
    (void)state;
    static const int sides[] = {256, 288, 320, 352};
    size_t count, of_last_square = 0;
    sn_view *views = views_of("144-crop", 224, &count);
    assert_int_equal(count, 144);
    for (size_t i = 0; i < 4; i++)
        for (int crop = SN_CROP_CENTRE; crop <= SN_CROP_WHOLE; crop++)
            assert_int_equal(count_where(views, count, sides[i], (sn_view_crop)crop, true), 3); /* squares */
    for (size_t i = 0; i < count; i++) of_last_square += views[i].square == SN_SQUARE_LAST;
    assert_int_equal(of_last_square, 48);
    free(views);
}

/* Scales below the crop are left out: 224 .. 384 for 224, only 320, 352, 384 for 320. */
static void many_scales_are_those_that_fit(void **state)
{
    (void)state;
    size_t count;
    sn_view *views = views_of("multi-scale", 224, &count);
    assert_int_equal(count, 60);
    assert_int_equal(count_where(views, count, 224, SN_CROP_CENTRE, false), 1);
    free(views);
    views = views_of("multi-scale", 320, &count);
    assert_int_equal(count, 30);
    assert_int_equal(count_where(views, count, 288, SN_CROP_CENTRE, false), 0);
    assert_int_equal(count_where(views, count, 384, SN_CROP_TOP_LEFT, true), 1);
    free(views);
}

static void table_8_and_places_have_their_own_sizes(void **state)
{
    (void)state;
    size_t count;
    sn_protocol protocol;
    sn_view *views = views_of("320", 320, &count);
    assert_int_equal(count, 1);
    assert_int_equal(views[0].side, 320); /* no border is cut off the shorter side */
    free(views);
    assert_works(sn_protocol_find("320", &protocol));
    assert_int_equal(protocol.sizes_count, 1);
    assert_int_equal(protocol.sizes[0].height, 320);
    views = views_of("places365", 224, &count);
    assert_int_equal(count, 1);
    assert_int_equal(views[0].side, 256);
    assert_int_equal(views[0].resize, SN_VIEW_SQUARE);
    free(views);
}

static void without_mirrors_half_is_left(void **state)
{
    (void)state;
    sn_protocol protocol;
    sn_preprocess how = input(224, 224);
    sn_view *views;
    size_t count;
    assert_works(sn_protocol_find("144-crop", &protocol));
    protocol.mirrors = false;
    assert_works(sn_protocol_views(&protocol, &how, &views, &count));
    assert_int_equal(count, 72);
    for (size_t i = 0; i < count; i++) assert_false(views[i].mirror);
    free(views);
}

static void lists_are_parsed_strictly(void **state)
{
    (void)state;
    sn_protocol protocol;
    assert_works(sn_protocol_find("single", &protocol));
    assert_works(sn_protocol_parse_scales("224,256,384", &protocol));
    assert_int_equal(protocol.scales_count, 3);
    assert_int_equal(protocol.scales[2], 384);
    assert_works(sn_protocol_parse_sizes("224,320x256", &protocol));
    assert_int_equal(protocol.sizes_count, 2);
    assert_int_equal(protocol.sizes[0].width, 224);
    assert_int_equal(protocol.sizes[1].height, 320);
    assert_int_equal(protocol.sizes[1].width, 256);
    static const char *const bad[] = {
        "", "224,", ",224", "224;256", "0", "-5", "224.5", "99999", "1234567890123456789012345678901234567890"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_fails(sn_protocol_parse_scales(bad[i], &protocol), SENET_USAGE, "a side in pixels");
        assert_fails(sn_protocol_parse_sizes(bad[i], &protocol), SENET_USAGE, "a side in pixels");
    }
    assert_fails(sn_protocol_parse_sizes("224x", &protocol), SENET_USAGE, "a side in pixels");
    assert_fails(sn_protocol_parse_sizes("1,2,3,4,5", &protocol), SENET_USAGE, "more than 4 crop sizes");
    assert_fails(sn_protocol_parse_scales("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", &protocol), SENET_USAGE,
                 "more than 16 scales");
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    sn_protocol protocol;
    sn_preprocess how = input(224, 224);
    sn_view *views;
    size_t count;
    assert_fails(sn_protocol_find("11-crop", &protocol), SENET_USAGE, "11-crop", "ten-crop", "places365");
    assert_works(sn_protocol_find("single", &protocol));
    assert_works(sn_protocol_parse_scales("200,256", &protocol));
    assert_works(sn_protocol_parse_sizes("224", &protocol));
    assert_fails(sn_protocol_check(&protocol), SENET_USAGE, "scale 200", "224 x 224");
    assert_works(sn_protocol_parse_scales("300", &protocol));
    assert_works(sn_protocol_parse_sizes("224,320", &protocol));
    assert_fails(sn_protocol_check(&protocol), SENET_USAGE, "no scale", "320 x 320");
    assert_works(sn_protocol_parse_scales("100", &protocol));
    assert_fails(sn_protocol_views(&protocol, &how, &views, &count), SENET_USAGE, "no scale", "224 x 224");
    assert_null(views);
    /* Oblong: the scale is along the shorter side; squares must hold the longer one. */
    assert_works(sn_protocol_parse_scales("224", &protocol));
    assert_works(sn_protocol_parse_sizes("320x224", &protocol));
    assert_works(sn_protocol_check(&protocol));
    protocol.crops = 144;
    assert_fails(sn_protocol_check(&protocol), SENET_USAGE, "320 x 224");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_is_the_centre_of_256),
        cmocka_unit_test(ten_crops_are_five_and_their_mirrors),
        cmocka_unit_test(twelve_crops_have_the_whole_of_a_squared_picture),
        cmocka_unit_test(googlenet_has_four_scales_three_squares_six_crops_two_mirrors),
        cmocka_unit_test(many_scales_are_those_that_fit),
        cmocka_unit_test(table_8_and_places_have_their_own_sizes),
        cmocka_unit_test(without_mirrors_half_is_left),
        cmocka_unit_test(lists_are_parsed_strictly),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
