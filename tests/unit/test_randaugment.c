/* RandAugment: its operations against torchvision's, and which of them are drawn. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "data/enhance.h"
#include "data/randaugment.h"

enum { HEIGHT = 29, WIDTH = 37, BYTES = HEIGHT * WIDTH * 3 };

static const uint8_t outside[3] = {124, 116, 104};

static void draw_picture(uint8_t *pixels)
{
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            for (int c = 0; c < 3; c++) *pixels++ = (uint8_t)((x * x * 2 + y * 11 + x * y + c * 40) % 199 + 20);
}

static uint64_t digest_of(sn_randaugment_op op, double magnitude, bool reverse)
{
    uint8_t pixels[BYTES], scratch[BYTES];
    draw_picture(pixels);
    sn_randaugment_apply(op, magnitude, reverse, &(sn_randaugment_picture){HEIGHT, WIDTH, outside, pixels, scratch});
    return sn_fnv1a64(pixels, BYTES);
}

/* FNV-1a of the results of torchvision 0.29's RandAugment operations on Pillow 13 pictures: at its magnitude 9 of 30,
 * our 3, and 30, our 10, each forth and back. */
static const uint64_t torchvision[SN_RANDAUGMENT_OPS][4] = {
    [SN_RANDAUGMENT_IDENTITY] = {0xc2398032ec7b46b8, 0xc2398032ec7b46b8, 0xc2398032ec7b46b8, 0xc2398032ec7b46b8},
    [SN_RANDAUGMENT_AUTOCONTRAST] = {0x6fe37914033b6501, 0x6fe37914033b6501, 0x6fe37914033b6501, 0x6fe37914033b6501},
    [SN_RANDAUGMENT_EQUALIZE] = {0x1436c66b98319967, 0x1436c66b98319967, 0x1436c66b98319967, 0x1436c66b98319967},
    [SN_RANDAUGMENT_ROTATE] = {0x71893998a02ae0c8, 0x5e2be8b84cbf2ff5, 0x9992f8746806f61a, 0xb2978b78756845d1},
    [SN_RANDAUGMENT_SOLARIZE] = {0x6d0b936bf6760819, 0x6d0b936bf6760819, 0x75662190d3d1f843, 0x75662190d3d1f843},
    [SN_RANDAUGMENT_COLOR] = {0x5a9daa46d100a27c, 0xbd81f07df4d49a05, 0x60f4271dc846dbf7, 0xf12673120c8f1dfe},
    [SN_RANDAUGMENT_POSTERIZE] = {0x489b64f5e3184b59, 0x489b64f5e3184b59, 0x887075c14ddbb407, 0x887075c14ddbb407},
    [SN_RANDAUGMENT_CONTRAST] = {0x2afaaaec97f5793d, 0xff19a9c50d324866, 0x1abeb41cc5edc74b, 0xe69a6d9c973d451f},
    [SN_RANDAUGMENT_BRIGHTNESS] = {0xcc5c70a0481d7431, 0xc6bd3a97ce3c0e03, 0x543946eb59576b31, 0xebaff6fd4cb0ae2d},
    [SN_RANDAUGMENT_SHARPNESS] = {0x575bfa075e99b505, 0x3e8a4e13522c6a04, 0x9dfa9f31049ccdf2, 0xf5c72d015db05cae},
    [SN_RANDAUGMENT_SHEAR_X] = {0xea24b522cfc04ff0, 0x46dc142bce263dfe, 0x197bc54fe4c9f5ba, 0x56d9eda619591f25},
    [SN_RANDAUGMENT_SHEAR_Y] = {0x4b4e0aa1cb8e22a7, 0x8bcc6f842822d9ba, 0xacb10008687294b9, 0xa4f0cba2904fafea},
    [SN_RANDAUGMENT_TRANSLATE_X] = {0xae5aa97fd834d17e, 0x1d982488cb9c8803, 0x89d247994bfbe19a, 0x737c3fe50128aa29},
    [SN_RANDAUGMENT_TRANSLATE_Y] = {0x33229a2c83f92b23, 0x225f249af966ac5e, 0xb64de0274cef6209, 0x1b13309de6159926},
};

static void operations_are_torchvisions_to_the_byte(void **state)
{
    (void)state;
    for (int op = 0; op < SN_RANDAUGMENT_OPS; op++)
        for (int variant = 0; variant < 4; variant++) {
            const uint64_t digest = digest_of((sn_randaugment_op)op, variant < 2 ? 3 : 10, variant & 1);
            if (digest != torchvision[op][variant])
                fail_msg("operation %d, variant %d: %016llx", op, variant, (unsigned long long)digest);
        }
}

/* Pictures without contrast, and smaller than a filter, stay what they are. */
static void plain_and_tiny_pictures_are_no_trouble(void **state)
{
    (void)state;
    for (int op = 0; op < SN_RANDAUGMENT_OPS; op++) {
        uint8_t pixels[2 * 3], scratch[2 * 3];
        memset(pixels, 77, sizeof pixels);
        sn_randaugment_apply((sn_randaugment_op)op, 3, true,
                             &(sn_randaugment_picture){1, 2, (const uint8_t[]){77, 77, 77}, pixels, scratch});
        const int expected = op == SN_RANDAUGMENT_BRIGHTNESS  ? 56 /* 77 x 0.73, rounded down */
                             : op == SN_RANDAUGMENT_POSTERIZE ? 76 /* 7 bits */
                                                              : 77;
        for (size_t i = 0; i < sizeof pixels; i++) assert_int_equal(pixels[i], expected);
    }
}

/* With one operation a call, each of the fourteen comes equally often, and either way. */
static void every_operation_is_equally_likely(void **state)
{
    (void)state;
    enum { KEYS = 7000 };
    static int drawn[SN_RANDAUGMENT_OPS][2];
    for (uint64_t key = 0; key < KEYS; key++) {
        uint8_t pixels[BYTES], scratch[BYTES];
        draw_picture(pixels);
        sn_randaugment(1, 3, sn_rng_key(1, SN_RNG_AUGMENT, 0, key),
                       &(sn_randaugment_picture){HEIGHT, WIDTH, outside, pixels, scratch});
        const uint64_t digest = sn_fnv1a64(pixels, BYTES);
        int found = 0;
        for (int op = 0; op < SN_RANDAUGMENT_OPS; op++)
            for (int reverse = 0; reverse < 2 && found == 0; reverse++)
                if (digest == torchvision[op][reverse]) drawn[op][reverse] += ++found;
        assert_int_equal(found, 1);
    }
    for (int op = 0; op < SN_RANDAUGMENT_OPS; op++) {
        const bool either = torchvision[op][0] != torchvision[op][1];
        /* Expected 500; a binomial deviation is 21.5 (15.5 of either way), and 6 of them happen once in 5e8. */
        assert_true(fabs(drawn[op][0] + drawn[op][1] - KEYS / 14.0) < 6 * 21.5);
        if (either) assert_true(fabs(drawn[op][0] - KEYS / 28.0) < 6 * 15.5);
    }
}

static void several_operations_follow_each_other(void **state)
{
    (void)state;
    uint8_t one[BYTES], two[BYTES], scratch[BYTES];
    int differ = 0;
    for (uint64_t key = 0; key < 50; key++) {
        draw_picture(one);
        draw_picture(two);
        sn_randaugment(1, 5, key, &(sn_randaugment_picture){HEIGHT, WIDTH, outside, one, scratch});
        sn_randaugment(2, 5, key, &(sn_randaugment_picture){HEIGHT, WIDTH, outside, two, scratch});
        differ += memcmp(one, two, BYTES) != 0;
        sn_randaugment(0, 5, key, &(sn_randaugment_picture){HEIGHT, WIDTH, outside, two, scratch}); /* none */
    }
    assert_in_range(differ, 30, 50); /* but for identities, mostly */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_are_torchvisions_to_the_byte),
        cmocka_unit_test(plain_and_tiny_pictures_are_no_trouble),
        cmocka_unit_test(every_operation_is_equally_likely),
        cmocka_unit_test(several_operations_follow_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
