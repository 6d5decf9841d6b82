/* helper.c - what the shell tests of the program need and a shell cannot do:
 *
 *     helper pictures DIR            writes pictures of every kind a user may have, good and broken
 *     helper turned DIR              writes turned.jpg, which has an EXIF orientation, and upright.png, what it shows
 *     helper tensors FILE N H W      writes `input` (N,3,H,W) and `labels` (N)
 *     helper json FILE [KEY...]      checks that the file is one JSON value; prints the value found by the keys (of
 * objects by name, of arrays by number; "#" for a count) helper golden FILE GOLDEN      compares `logits` with those of
 * a golden vector, within the tolerance that file sets helper same FILE FILE          compares the tensors of two
 * safetensors files bit by bit, not their metadata
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

#include "base/json.h"
#include "base/rng.h"
#include "io/image.h"
#include "io/safetensors.h"

static int fail(void)
{
    fprintf(stderr, "helper: %s\n", senet_last_error());
    return 1;
}

/* ---- pictures ---- */

enum { WIDTH = 48, HEIGHT = 40 };

static FILE *create(const char *directory, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

/* A smooth picture: a value for every pixel and channel. */
static unsigned value_at(int x, int y, int channel)
{
    return (unsigned)(x * 5 + y * (channel + 1) + 40 * channel) % 256;
}

/* EXIF with one entry, the orientation (JEITA CP-3451, 4.6.4). */
static void write_exif(struct jpeg_compress_struct *jpeg, unsigned char orientation)
{
    const unsigned char exif[] = {
        'E',  'x',  'i', 'f', 0, 0, 'M', 'M', 0,           42, 0, 0, 0, 8, /* a big-endian TIFF header */
        0,    1,                                                          /* entries */
        0x01, 0x12, 0,   3,   0, 0, 0,   1,   0, orientation, 0,  0,       /* tag, SHORT, one of it, its value */
        0,    0,    0,   0,                                               /* no other directory */
    };
    jpeg_write_marker(jpeg, JPEG_APP0 + 1, exif, sizeof exif);
}

/* orientation: 1..8, or 0 for a file that does not say. */
static void write_jpeg(const char *directory, const char *name, int channels, J_COLOR_SPACE space,
                       unsigned char orientation)
{
    FILE *file = create(directory, name);
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = WIDTH;
    jpeg.image_height = HEIGHT;
    jpeg.input_components = channels;
    jpeg.in_color_space = space;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 90, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    if (orientation) write_exif(&jpeg, orientation);
    for (int y = 0; y < HEIGHT; y++) {
        JSAMPLE row[WIDTH * 4];
        JSAMPROW rows[1] = {row};
        for (int i = 0; i < WIDTH * channels; i++) row[i] = (JSAMPLE)value_at(i / channels, y, i % channels);
        jpeg_write_scanlines(&jpeg, rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    fclose(file);
}

static void write_png(const char *directory, const char *name, int bits, int type)
{
    FILE *file = create(directory, name);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    int channels = type == PNG_COLOR_TYPE_RGB ? 3 : type == PNG_COLOR_TYPE_RGB_ALPHA ? 4 : 1, bytes = bits / 8;
    png_init_io(png, file);
    png_set_IHDR(png, info, WIDTH, HEIGHT, bits, type, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_color palette[256];
        for (int i = 0; i < 256; i++) palette[i] = (png_color){(png_byte)i, (png_byte)(255 - i), (png_byte)(i / 2)};
        png_set_PLTE(png, info, palette, 256);
    }
    png_write_info(png, info);
    for (int y = 0; y < HEIGHT; y++) {
        png_byte row[WIDTH * 4 * 2];
        for (int i = 0; i < WIDTH * channels * bytes; i++)
            row[i] = (png_byte)value_at(i / bytes / channels, y, i / bytes % channels);
        png_write_row(png, row);
    }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(file);
}

static int write_pictures(const char *directory)
{
    write_jpeg(directory, "rgb.jpg", 3, JCS_RGB, 0);
    write_jpeg(directory, "grey.jpg", 1, JCS_GRAYSCALE, 0);
    write_jpeg(directory, "cmyk.jpg", 4, JCS_CMYK, 0);
    write_png(directory, "rgb.png", 8, PNG_COLOR_TYPE_RGB);
    write_png(directory, "rgb16.png", 16, PNG_COLOR_TYPE_RGB);
    write_png(directory, "grey16.png", 16, PNG_COLOR_TYPE_GRAY);
    write_png(directory, "alpha.png", 8, PNG_COLOR_TYPE_RGB_ALPHA);
    write_png(directory, "palette.png", 8, PNG_COLOR_TYPE_PALETTE);
    return 0;
}

/* The picture rgb.jpg as a camera on its side writes it, and what it shows: turned by 90 degrees to the right. */
static int write_turned(const char *directory)
{
    char path[4096];
    uint8_t upright[WIDTH * HEIGHT * 3];
    sn_image stored = {0};
    write_jpeg(directory, "turned.jpg", 3, JCS_RGB, 6);
    snprintf(path, sizeof path, "%s/turned.jpg", directory);
    if (sn_image_read(path, false, &stored) != SENET_OK) return fail();
    for (int y = 0; y < WIDTH; y++)
        for (int x = 0; x < HEIGHT; x++)
            memcpy(upright + 3 * (y * HEIGHT + x), stored.pixels + 3 * ((HEIGHT - 1 - x) * WIDTH + y), 3);
    sn_image_free(&stored);
    snprintf(path, sizeof path, "%s/upright.png", directory);
    return sn_image_write_png(path, HEIGHT, WIDTH, upright) == SENET_OK ? 0 : fail();
}

/* ---- tensors ---- */

static int write_tensors(const char *path, int64_t n, int64_t h, int64_t w)
{
    size_t elements = (size_t)(n * 3 * h * w);
    float *input = calloc(elements, sizeof *input);
    int64_t *labels = calloc((size_t)n, sizeof *labels);
    uint64_t key = sn_fnv1a64_text("input") ^ 1;
    if (!input || !labels) return 1;
    for (size_t i = 0; i < elements; i++) input[i] = (float)(2 * sn_rng_uniform(key, i) - 1);
    for (int64_t i = 0; i < n; i++) labels[i] = i % 10;
    sn_tensor tensors[] = {
        {.name = "input", .type = SN_TENSOR_F32, .rank = 4, .dims = {n, 3, h, w}, .data = input, .bytes = elements * 4},
        {.name = "labels", .type = SN_TENSOR_I64, .rank = 1, .dims = {n}, .data = labels, .bytes = (size_t)n * 8},
    };
    senet_status status = sn_tensors_write(path, tensors, 2, NULL, 0);
    free(input);
    free(labels);
    return status == SENET_OK ? 0 : fail();
}

static int compare_tensors(const char *a_path, const char *b_path)
{
    sn_tensors *a = NULL, *b = NULL;
    if (sn_tensors_open(a_path, &a) != SENET_OK || sn_tensors_open(b_path, &b) != SENET_OK) return fail();
    int differ = sn_tensors_count(a) != sn_tensors_count(b);
    for (size_t i = 0; i < sn_tensors_count(a) && !differ; i++) {
        const sn_tensor *x = sn_tensors_at(a, i), *y = sn_tensors_find(b, x->name);
        differ = !y || x->bytes != y->bytes || memcmp(x->data, y->data, x->bytes) != 0;
        if (differ) printf("%s and %s differ in '%s'\n", a_path, b_path, x->name);
    }
    sn_tensors_close(a);
    sn_tensors_close(b);
    return differ;
}

/* Records "f32dev X" and "logits N K" with N K lines of numbers; the tolerance is what spec/GOLDEN.md names
 * comfortable: 20 times the deviation of a float32 run, and 1e-5 of the largest logit. */
static int compare_golden(const char *path, const char *golden_path)
{
    sn_tensors *file = NULL;
    FILE *golden = fopen(golden_path, "r");
    char line[512];
    double deviation = 0, largest = 0, worst = 0;
    int64_t n = 0, k = 0, read = 0;
    if (!golden || sn_tensors_open(path, &file) != SENET_OK) return fail();
    const sn_tensor *logits = sn_tensors_find(file, "logits");
    while (fgets(line, sizeof line, golden)) {
        if (n && read < n * k) {
            float ours;
            double theirs = strtod(line, NULL);
            memcpy(&ours, (const char *)logits->data + read++ * (int64_t)sizeof ours, sizeof ours);
            if (fabs(theirs) > largest) largest = fabs(theirs);
            if (!(fabs(ours - theirs) <= worst)) worst = fabs(ours - theirs);
        } else if (strncmp(line, "f32dev ", 7) == 0)
            deviation = strtod(line + 7, NULL);
        else if (sscanf(line, "logits %" SCNd64 " %" SCNd64, &n, &k) == 2 && logits->bytes != (size_t)(n * k) * 4)
            break;
    }
    fclose(golden);
    sn_tensors_close(file);
    double tolerance = 20 * deviation + 1e-5 * largest;
    printf("%s: largest difference %.3g, allowed %.3g\n", golden_path, worst, tolerance);
    return n == 0 || read != n * k || !(worst <= tolerance);
}

/* ---- JSON ---- */

static const sn_json *child(const sn_json *value, const char *key)
{
    if (value->kind == SN_JSON_OBJECT) return sn_json_find(value, key);
    const sn_json *item = value->first;
    for (int i = atoi(key); i > 0 && item; i--) item = item->next;
    return item;
}

static int print_json(const char *path, char **keys, int count)
{
    sn_json_document *document = NULL;
    if (sn_json_read(path, 1 << 28, &document) != SENET_OK) return fail();
    const sn_json *value = document->root;
    for (int i = 0; i < count && value; i++) {
        if (strcmp(keys[i], "#") == 0) {
            printf("%zu\n", value->count);
            sn_json_destroy(document);
            return 0;
        }
        value = child(value, keys[i]);
    }
    if (!value)
        fprintf(stderr, "helper: %s: no such member\n", path);
    else if (value->kind == SN_JSON_NULL)
        printf("null\n");
    else if (value->kind == SN_JSON_BOOL)
        printf("%s\n", value->boolean ? "true" : "false");
    else if (value->text)
        printf("%s\n", value->text);
    sn_json_destroy(document);
    return value ? 0 : 1;
}

int main(int count, char **words)
{
    const char *action = count > 1 ? words[1] : "";
    if (strcmp(action, "pictures") == 0 && count == 3) return write_pictures(words[2]);
    if (strcmp(action, "turned") == 0 && count == 3) return write_turned(words[2]);
    if (strcmp(action, "tensors") == 0 && count == 6)
        return write_tensors(words[2], atoi(words[3]), atoi(words[4]), atoi(words[5]));
    if (strcmp(action, "same") == 0 && count == 4) return compare_tensors(words[2], words[3]);
    if (strcmp(action, "golden") == 0 && count == 4) return compare_golden(words[2], words[3]);
    if (strcmp(action, "json") == 0 && count >= 3) return print_json(words[2], words + 3, count - 3);
    fprintf(stderr, "helper: unknown action '%s'\n", action);
    return 1;
}
