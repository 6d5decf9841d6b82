/* test_jpeg_scan.c - the JPEGs that are decoded without libjpeg, against libjpeg: the same pixels, and never a picture
 * of damaged data that libjpeg would refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jpeglib.h>

#include "base/rng.h"
#include "io/jpeg_scan.h"

typedef struct encoding {
    int width, height, quality, step; /* step: how far pixels move from one to the next */
    bool grey, optimised;
    int across, restart; /* luma's horizontal sampling; interval of restart markers */
} encoding;

typedef struct file {
    unsigned char *bytes;
    unsigned long size;
} file;

static file encode(const encoding *e)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    file f = {NULL, 0};
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &f.bytes, &f.size);
    jpeg.image_width = (JDIMENSION)e->width;
    jpeg.image_height = (JDIMENSION)e->height;
    jpeg.input_components = e->grey ? 1 : 3;
    jpeg.in_color_space = e->grey ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, e->quality, TRUE);
    jpeg.comp_info[0].h_samp_factor = e->across;
    jpeg.comp_info[0].v_samp_factor = 1;
    jpeg.restart_interval = (unsigned)e->restart;
    jpeg.optimize_coding = e->optimised;
    jpeg_start_compress(&jpeg, TRUE);
    uint8_t *row = malloc(3 * (size_t)e->width);
    for (uint64_t y = 0; jpeg.next_scanline < jpeg.image_height; y++) {
        const uint64_t key = sn_rng_key(3, SN_RNG_TEST, y, (uint64_t)e->step);
        for (int i = 0; i < jpeg.input_components * e->width; i++)
            row[i] = (uint8_t)(128 + (int)sn_rng_below(key, (uint64_t)i, (uint64_t)e->step) - e->step / 2);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    free(row);
    return f;
}

static void open_header(struct jpeg_decompress_struct *jpeg, struct jpeg_error_mgr *errors, const file *f)
{
    jpeg->err = jpeg_std_error(errors);
    jpeg_create_decompress(jpeg);
    jpeg_mem_src(jpeg, f->bytes, f->size);
    assert_int_equal(jpeg_read_header(jpeg, TRUE), JPEG_HEADER_OK);
}

static bool scan(const file *f, const sn_wanted *part, uint8_t *rgb)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    open_header(&jpeg, &errors, f);
    const bool done = sn_jpeg_scan(&jpeg, part, rgb);
    jpeg_destroy_decompress(&jpeg);
    return done;
}

/* All of the picture by libjpeg. */
static uint8_t *decode(const file *f, const encoding *e)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    const size_t line = 3 * (size_t)e->width;
    uint8_t *rgb = malloc(line * (size_t)e->height);
    open_header(&jpeg, &errors, f);
    jpeg.out_color_space = JCS_RGB;
    jpeg_start_decompress(&jpeg);
    while (jpeg.output_scanline < jpeg.output_height) {
        uint8_t *row = rgb + line * jpeg.output_scanline;
        jpeg_read_scanlines(&jpeg, &row, 1);
    }
    jpeg_destroy_decompress(&jpeg);
    return rgb;
}

static sn_wanted some_part(const encoding *e, uint64_t i)
{
    const uint64_t key = sn_rng_key(4, SN_RNG_TEST, i, 0);
    sn_wanted part = {.width = e->width, .height = e->height};
    if (i == 0) return part;
    part.width = 1 + (int)sn_rng_below(key, 0, (uint64_t)e->width);
    part.height = 1 + (int)sn_rng_below(key, 1, (uint64_t)e->height);
    part.left = (int)sn_rng_below(key, 2, (uint64_t)(e->width - part.width + 1));
    part.top = (int)sn_rng_below(key, 3, (uint64_t)(e->height - part.height + 1));
    return part;
}

static const encoding ours[] = {
    {.width = 131, .height = 67, .quality = 100, .step = 256, .across = 1}, /* long codes and values */
    {.width = 64, .height = 40, .quality = 95, .step = 200, .across = 1},
    {.width = 97, .height = 100, .quality = 75, .step = 40, .across = 1, .optimised = true},
    {.width = 33, .height = 9, .quality = 20, .step = 60, .across = 1}, /* few coefficients */
    {.width = 50, .height = 50, .quality = 50, .step = 1, .across = 1}, /* flat blocks */
    {.width = 45, .height = 61, .quality = 90, .step = 256, .across = 1, .grey = true},
    {.width = 1, .height = 1, .quality = 90, .step = 256, .across = 1},
};

static void parts_have_the_pixels_of_libjpeg(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof ours / sizeof *ours; k++) {
        const encoding *e = &ours[k];
        const file f = encode(e);
        uint8_t *whole = decode(&f, e);
        for (uint64_t i = 0; i < 60; i++) {
            const sn_wanted part = some_part(e, i);
            const size_t line = 3 * (size_t)part.width;
            uint8_t *rgb = malloc(line * (size_t)part.height); /* of its size, for the address sanitizer */
            assert_true(scan(&f, &part, rgb));
            for (int y = 0; y < part.height; y++)
                assert_memory_equal(rgb + line * (size_t)y,
                                    whole + 3 * ((size_t)(part.top + y) * (size_t)e->width + (size_t)part.left), line);
            free(rgb);
        }
        free(whole);
        free(f.bytes);
    }
}

static void other_pictures_are_left_to_libjpeg(void **state)
{
    (void)state;
    const encoding others[] = {
        {.width = 40, .height = 40, .quality = 90, .step = 99, .across = 2},
        {.width = 40, .height = 40, .quality = 90, .step = 99, .across = 1, .restart = 3},
    };
    static uint8_t rgb[40 * 40 * 3];
    for (int k = 0; k < 2; k++) {
        const file f = encode(&others[k]);
        const sn_wanted part = {.width = 40, .height = 40};
        assert_false(scan(&f, &part, rgb));
        free(f.bytes);
    }
}

/* Where the file ends too early there is no end marker: at any length it is left to libjpeg, which says so. */
static void truncated_pictures_are_left_to_libjpeg(void **state)
{
    (void)state;
    const encoding *e = &ours[1];
    const file f = encode(e);
    uint8_t *rgb = malloc(3 * (size_t)e->width * (size_t)e->height);
    const sn_wanted part = {.width = 10, .height = 10};
    for (unsigned long size = 700; size < f.size; size++) { /* the header has 623 bytes */
        const file cut = {f.bytes, size};
        assert_false(scan(&cut, &part, rgb));
    }
    /* An end marker in the middle: rows above it are there, those below are not. */
    const unsigned char saved[2] = {f.bytes[f.size / 2], f.bytes[f.size / 2 + 1]};
    const sn_wanted all = {.width = e->width, .height = e->height};
    f.bytes[f.size / 2] = 0xFF;
    f.bytes[f.size / 2 + 1] = JPEG_EOI;
    assert_false(scan(&f, &all, rgb));
    memcpy(f.bytes + f.size / 2, saved, 2);
    assert_true(scan(&f, &all, rgb));
    free(rgb);
    free(f.bytes);
}

/* Random bytes in the data: a picture or a refusal, and no byte outside of the buffers. */
static void damage_does_no_harm(void **state)
{
    (void)state;
    int refused = 0;
    for (size_t k = 0; k < 3; k++) { /* whose last half holds no tables */
        const encoding *e = &ours[k];
        for (uint64_t i = 0; i < 200; i++) {
            const file f = encode(e);
            const uint64_t key = sn_rng_key(5, SN_RNG_TEST, i, k);
            const sn_wanted part = some_part(e, i);
            uint8_t *rgb = malloc(3 * (size_t)part.width * (size_t)part.height);
            for (uint64_t n = 0; n < 1 + i % 5; n++)
                f.bytes[f.size - 3 - sn_rng_below(key, 2 * n, f.size / 2)] = (uint8_t)sn_rng_u64(key, 2 * n + 1);
            refused += !scan(&f, &part, rgb);
            free(rgb);
            free(f.bytes);
        }
    }
    assert_true(refused > 50); /* else nothing was damaged */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_have_the_pixels_of_libjpeg),
        cmocka_unit_test(other_pictures_are_left_to_libjpeg),
        cmocka_unit_test(truncated_pictures_are_left_to_libjpeg),
        cmocka_unit_test(damage_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
