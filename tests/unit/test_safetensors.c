/* test_safetensors.c - the safetensors reader believes nothing; the writer writes what the reader takes. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/safetensors.h"
#include "test_data_files.h"
#include "test_failures.h"

/* A file in memory: header size (that of the header unless told), header, `data_bytes` bytes 0, 1, 2, ... */
typedef struct test_file {
    unsigned char bytes[4096];
    size_t size;
} test_file;

static test_file make_file(const char *header, size_t data_bytes)
{
    test_file file;
    uint64_t length = strlen(header);
    memcpy(file.bytes, &length, 8);
    memcpy(file.bytes + 8, header, length);
    for (size_t i = 0; i < data_bytes; i++) file.bytes[8 + length + i] = (unsigned char)i;
    file.size = 8 + length + data_bytes;
    return file;
}

static senet_status parse(const test_file *file, sn_tensors **tensors)
{
    *tensors = NULL;
    unsigned char *exact = malloc(file->size ? file->size : 1); /* so that a sanitizer sees a read beyond the end */
    memcpy(exact, file->bytes, file->size);
    senet_status status = sn_tensors_parse(exact, file->size, "t.safetensors", tensors);
    if (status == SENET_OK) {
        for (size_t i = 0; i < sn_tensors_count(*tensors); i++) { /* touch every byte */
            const sn_tensor *tensor = sn_tensors_at(*tensors, i);
            volatile unsigned char sum = 0;
            for (size_t b = 0; b < tensor->bytes; b++)
                sum = (unsigned char)(sum + ((const unsigned char *)tensor->data)[b]);
        }
        sn_tensors_close(*tensors);
        *tensors = NULL;
    }
    free(exact);
    return status;
}

static void a_good_file(void **state)
{
    (void)state;
    test_file file = make_file("{\"__metadata__\":{\"format\":\"pt\",\"model\":\"x\"},"
                               "\"late\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[2,10]},"
                               "\"early\":{\"data_offsets\":[0,2],\"dtype\":\"I16\",\"shape\":[],\"extra\":1},"
                               "\"none\":{\"dtype\":\"F64\",\"shape\":[3,0],\"data_offsets\":[2,2]}}   ",
                               10);
    sn_tensors *tensors = NULL;
    assert_works(sn_tensors_parse(file.bytes, file.size, "t.safetensors", &tensors));
    assert_int_equal(sn_tensors_count(tensors), 3);
    assert_string_equal(sn_tensors_at(tensors, 0)->name, "early"); /* in the order of the data */
    assert_string_equal(sn_tensors_at(tensors, 1)->name, "none");
    assert_string_equal(sn_tensors_at(tensors, 2)->name, "late");
    const sn_tensor *late = sn_tensors_find(tensors, "late");
    assert_int_equal(late->rank, 2);
    assert_int_equal(late->dims[0], 2);
    assert_int_equal(late->bytes, 8);
    assert_int_equal(((const unsigned char *)late->data)[0], 2);
    assert_int_equal(sn_tensors_find(tensors, "early")->rank, 0);
    assert_null(sn_tensors_find(tensors, "absent"));
    assert_string_equal(sn_tensors_metadata(tensors, "model"), "x");
    assert_null(sn_tensors_metadata(tensors, "absent"));
    assert_int_equal(sn_tensors_metadata_count(tensors), 2);
    assert_string_equal(sn_tensors_metadata_at(tensors, 0).key, "format");
    float out[2];
    assert_fails(sn_tensor_to_f32(tensors, sn_tensors_find(tensors, "early"), out), SENET_BAD_DATA,
                 "t.safetensors: tensor 'early' is I16, not of floating point");
    sn_tensors_close(tensors);
    sn_tensors_close(NULL);
}

#define ONE(dtype, shape, offsets) "{\"x\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define PAIR(first, second)                                                                                            \
    "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" first "},"                                              \
    "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" second "}}"

static void bad_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *message;
    } cases[] = {
        {"", 0, "byte 8: the header does not begin with '{'"},
        {" {}", 0, "byte 8: the header does not begin with '{'"},
        {"[]", 0, "byte 8: the header does not begin with '{'"},
        {"{", 0, "byte 9: the JSON text ends too early"},
        {"{}x", 0, "byte 10: parse error: trailing garbage"},
        {"{}", 3, "3 bytes of data behind the last tensor, which ends at 0"},
        {"{\"x\":1}", 0, "byte 13: tensor 'x' is a number, not an object"},
        {"{\"x\":{}}", 0, "dtype of tensor 'x' is missing"},
        {ONE("7", "[]", "[0,1]"), 1, "dtype of tensor 'x' is a number, not a string"},
        {ONE("\"F31\"", "[]", "[0,1]"), 1, "byte 22: dtype of tensor 'x': 'F31' is unknown"},
        {ONE("\"f32\"", "[]", "[0,4]"), 4, "'f32' is unknown"},
        {"{\"x\":{\"dtype\":\"F32\"}}", 0, "shape of tensor 'x' is missing"},
        {ONE("\"F32\"", "4", "[0,4]"), 4, "shape of tensor 'x' is a number, not an array"},
        {ONE("\"F32\"", "[\"4\"]", "[0,4]"), 4, "shape of tensor 'x' is a string, not a number"},
        {ONE("\"F32\"", "[1.0]", "[0,4]"), 4, "shape of tensor 'x' is 1.0, not a whole number"},
        {ONE("\"F32\"", "[-1]", "[0,4]"), 4, "shape of tensor 'x': -1 is negative"},
        {ONE("\"F32\"", "[99999999999999999999]", "[0,4]"), 4,
         "is 99999999999999999999, not a whole number of 64 bits"},
        {ONE("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "has 9 dimensions, at most 8 are supported"},
        {ONE("\"F32\"", "[4611686018427387904]", "[0,0]"), 0, "shape of tensor 'x': the product overflows"},
        {ONE("\"U8\"", "[4294967296,4294967296]", "[0,0]"), 0, "the product overflows"},
        {ONE("\"F32\"", "[9223372036854775807,9223372036854775807,0]", "[0,0]"), 0, "the product overflows"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[]}}", 0, "data_offsets of tensor 'x' is missing"},
        {ONE("\"U8\"", "[]", "[0]"), 1, "data_offsets of tensor 'x' are 1 numbers, not 2"},
        {ONE("\"U8\"", "[]", "[0,1,2]"), 1, "are 3 numbers, not 2"},
        {ONE("\"U8\"", "[]", "[1,0]"), 1, "data_offsets of tensor 'x': [1, 0] is out of order"},
        {ONE("\"U8\"", "[]", "[-1,0]"), 1, "[-1, 0] is out of order"},
        {ONE("\"U8\"", "[]", "[18446744073709551615,0]"), 1, "not a whole number of 64 bits"},
        {ONE("\"U8\"", "[2]", "[0,2]"), 1, "[0, 2] goes beyond the data, which has 1 bytes"},
        {ONE("\"F32\"", "[2]", "[0,4]"), 4, "[0, 4] holds 4 bytes, but dtype F32 and shape need 8"},
        {ONE("\"U8\"", "[0]", "[0,1]"), 1, "[0, 1] holds 1 bytes, but dtype U8 and shape need 0"},
        {ONE("\"U8\"", "[]", "[1,2]"), 2, "tensor 'x': data begins at 1, after a hole of 1 bytes"},
        {PAIR("[0,4]", "[2,6]"), 6, "tensor 'b': data begins at 2, inside tensor 'a', which ends at 4"},
        {PAIR("[0,4]", "[0,4]"), 4, "data begins at 0, inside tensor"},
        {PAIR("[0,4]", "[5,9]"), 9, "tensor 'b': data begins at 5, after a hole of 1 bytes"},
        {PAIR("[0,4]", "[4,8]"), 9, "1 bytes of data behind the last tensor, which ends at 8"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[1,2]}}",
         2, "the name 'a' is there twice"},
        {"{\"__metadata__\":[]}", 0, "__metadata__ is an array, not an object"},
        {"{\"__metadata__\":{\"k\":1}}", 0, "metadata 'k' is a number, not a string"},
        {"{\"x\xFF\":1}", 0, "byte 11: not UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_file file = make_file(cases[i].header, cases[i].data_bytes);
        sn_tensors *tensors;
        assert_fails(parse(&file, &tensors), SENET_BAD_DATA, "t.safetensors: ", cases[i].message);
    }
}

static void bad_header_sizes(void **state)
{
    (void)state;
    sn_tensors *tensors;
    test_file file = make_file("{}", 0);
    static const struct {
        uint64_t size;
        const char *message;
    } cases[] = {
        {UINT64_C(1) << 63, "byte 0: the header size 9223372036854775808 is above the limit of 100000000"},
        {UINT64_MAX, "the header size 18446744073709551615 is above the limit"},
        {100000001, "the header size 100000001 is above the limit"},
        {100000000, "byte 0: the header size 100000000 goes beyond the file, which has 10 bytes"},
        {3, "the header size 3 goes beyond the file, which has 10 bytes"},
        {1, "byte 9: the JSON text ends too early"},
        {0, "byte 8: the header does not begin with '{'"},
    };
    assert_works(parse(&file, &tensors));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(file.bytes, &cases[i].size, 8);
        assert_fails(parse(&file, &tensors), SENET_BAD_DATA, "t.safetensors: ", cases[i].message);
    }
    for (size_t size = 0; size < 8; size++) {
        file.size = size;
        assert_fails(parse(&file, &tensors), SENET_BAD_DATA, " bytes are too few for a safetensors file");
    }
}

/* Cut anywhere, or with any one bit of size or header flipped, a file is refused or still consistent; it never breaks.
 */
static void cut_and_flipped(void **state)
{
    (void)state;
    test_file file =
        make_file("{\"__metadata__\":{\"a\":\"b\"},\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
                  "\"b\":{\"dtype\":\"F16\",\"shape\":[1,2],\"data_offsets\":[4,8]}}",
                  8);
    sn_tensors *tensors;
    assert_works(parse(&file, &tensors));
    for (size_t size = 0; size < file.size; size++) {
        test_file cut = file;
        cut.size = size;
        assert_fails(parse(&cut, &tensors), SENET_BAD_DATA, "t.safetensors: ");
    }
    int refused = 0;
    for (size_t bit = 0; bit < (file.size - 8) * 8; bit++) {
        test_file flipped = file;
        flipped.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        refused += parse(&flipped, &tensors) != SENET_OK;
    }
    assert_true(refused > 1000); /* the rest are letters of names and values, or dtypes of the same size */
}

static void halves_are_converted(void **state)
{
    (void)state;
    static const struct {
        uint16_t half;
        float value;
    } f16[] = {{0x0000, 0},        {0x8000, -0.0f},       {0x3c00, 1},         {0xc000, -2},
               {0x7bff, 65504},    {0x0001, 0x1p-24f},    {0x8001, -0x1p-24f}, {0x03ff, 0x1.ff8p-15f},
               {0x0400, 0x1p-14f}, {0x3555, 0x1.554p-2f}, {0x7c00, INFINITY},  {0xfc00, -INFINITY}},
      bf16[] = {{0x0000, 0},         {0x3f80, 1},           {0xc000, -2},
                {0x0001, 0x1p-133f}, {0x7f7f, 0x1.fep127f}, {0xff80, -INFINITY}};
    for (int kind = 0; kind < 2; kind++) {
        size_t count = kind ? sizeof bf16 / sizeof *bf16 : sizeof f16 / sizeof *f16;
        for (size_t i = 0; i < count; i++) {
            uint16_t half = kind ? bf16[i].half : f16[i].half;
            float wanted = kind ? bf16[i].value : f16[i].value, got;
            sn_tensor tensor = {.name = "h", .type = kind ? SN_TENSOR_BF16 : SN_TENSOR_F16, .data = &half, .bytes = 2};
            assert_works(sn_tensor_to_f32(NULL, &tensor, &got));
            assert_memory_equal(&got, &wanted, 4);
        }
    }
    uint16_t nan = 0x7e01;
    float got;
    sn_tensor tensor = {.name = "h", .type = SN_TENSOR_F16, .data = &nan, .bytes = 2};
    assert_works(sn_tensor_to_f32(NULL, &tensor, &got));
    assert_true(isnan(got));
    char unaligned[9];
    double value = -0.1;
    memcpy(unaligned + 1, &value, 8);
    tensor = (sn_tensor){.name = "d", .type = SN_TENSOR_F64, .data = unaligned + 1, .bytes = 8};
    assert_works(sn_tensor_to_f32(NULL, &tensor, &got));
    assert_true(got == -0.1f);
}

static void written_files_read_back(void **state)
{
    (void)state;
    char *folder = make_scratch(), path[4200];
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    static const float values[6] = {1, -2, 3.5f, 0, 1e-30f, 7};
    static const int64_t labels[2] = {-5, 1LL << 40};
    static const uint8_t byte[1] = {255};
    const sn_tensor tensors[] = {
        {.name = "one \"quoted\" \xC3\xA9", .type = SN_TENSOR_U8, .rank = 1, .dims = {1}, .data = byte, .bytes = 1},
        {.name = "values", .type = SN_TENSOR_F32, .rank = 2, .dims = {2, 3}, .data = values, .bytes = 24},
        {.name = "labels", .type = SN_TENSOR_I64, .rank = 1, .dims = {2}, .data = labels, .bytes = 16},
        {.name = "empty", .type = SN_TENSOR_F32, .rank = 1, .dims = {0}, .data = NULL, .bytes = 0},
    };
    const sn_metadata_entry metadata[] = {{"format", "pt"}, {"labels", "a\nb"}};
    assert_works(sn_tensors_write(path, tensors, 4, metadata, 2));
    sn_tensors *file = NULL;
    assert_works(sn_tensors_open(path, &file));
    assert_int_equal(sn_tensors_count(file), 4);
    assert_string_equal(sn_tensors_metadata(file, "labels"), "a\nb");
    for (size_t i = 0; i < 4; i++) {
        const sn_tensor *read = sn_tensors_find(file, tensors[i].name);
        assert_non_null(read);
        assert_int_equal(read->type, tensors[i].type);
        assert_int_equal(read->bytes, tensors[i].bytes);
        if (read->bytes) assert_memory_equal(read->data, tensors[i].data, read->bytes);
    }
    assert_string_equal(sn_tensors_path(file), path);
    assert_int_equal((uintptr_t)sn_tensors_at(file, 0)->data % 8, 0);
    sn_tensors_close(file);

    sn_tensor twice[] = {tensors[1], tensors[1]};
    assert_fails(sn_tensors_write(path, twice, 2, NULL, 0), SENET_USAGE, path, "two tensors are named 'values'");
    twice[0].dims[0] = 3;
    assert_fails(sn_tensors_write(path, twice, 1, NULL, 0), SENET_INTERNAL,
                 "'values' has 24 bytes, its shape needs 36");
    twice[0] = tensors[1];
    twice[0].name = "bad \xFF";
    assert_fails(sn_tensors_write(path, twice, 1, NULL, 0), SENET_USAGE, "cannot be a tensor's name");
    assert_fails(sn_tensors_write("/dev/full", tensors, 4, NULL, 0), SENET_CANNOT_WRITE,
                 "/dev/full: No space left on device");
    assert_works(sn_tensors_open(path, &file)); /* what was there stays */
    sn_tensors_close(file);
    remove_scratch(folder);
}

static void files_that_are_none(void **state)
{
    (void)state;
    sn_tensors *file = NULL;
    char *folder = make_scratch(), path[4200];
    assert_fails(sn_tensors_open(folder, &file), SENET_NO_INPUT, folder, ": Is a directory");
    snprintf(path, sizeof path, "%s/empty", folder);
    assert_fails(sn_tensors_open(path, &file), SENET_NO_INPUT, path, ": No such file or directory");
    put_text(folder, "empty", "");
    assert_fails(sn_tensors_open(path, &file), SENET_BAD_DATA, path, ": 0 bytes are too few for a safetensors file");
    assert_null(file);
    remove_scratch(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file),          cmocka_unit_test(bad_headers),
        cmocka_unit_test(bad_header_sizes),     cmocka_unit_test(cut_and_flipped),
        cmocka_unit_test(halves_are_converted), cmocka_unit_test(written_files_read_back),
        cmocka_unit_test(files_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
