/* "tensors:FILE": samples that are already the network's input. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/data.h"
#include "io/safetensors.h"
#include "unit/test_data_files.h"

enum { N = 5, H = 3, W = 4 };
static char *folder, path[4200], spec[4300];
static float input[N][3][H][W];
static int64_t labels[N] = {3, 0, 7, 7, 1};

static int make_folder(void **state)
{
    (void)state;
    folder = make_scratch();
    snprintf(path, sizeof path, "%s/set.safetensors", folder);
    snprintf(spec, sizeof spec, "tensors:%s", path);
    for (int i = 0; i < N * 3 * H * W; i++) (&input[0][0][0][0])[i] = 0.25f * (float)i - 20;
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    remove_scratch(folder);
    return 0;
}

static sn_tensor tensor(const char *name, sn_tensor_type type, int32_t rank, const int64_t *dims, const void *data)
{
    sn_tensor made = {.name = name, .type = type, .rank = rank, .data = data, .bytes = sn_tensor_type_bytes(type)};
    for (int32_t d = 0; d < rank; d++) made.bytes *= (size_t)(made.dims[d] = dims[d]);
    return made;
}

static sn_tensor good_input(void)
{
    return tensor("input", SN_TENSOR_F32, 4, (const int64_t[]){N, 3, H, W}, input);
}
static sn_tensor good_labels(void)
{
    return tensor("labels", SN_TENSOR_I64, 1, (const int64_t[]){N}, labels);
}

static void put(const sn_tensor *tensors, size_t count)
{
    assert_int_equal(sn_tensors_write(path, tensors, count, NULL, 0), SENET_OK);
}

static void batches_are_the_tensors_in_nhwc(void **state)
{
    (void)state;
    put((const sn_tensor[]){good_input(), good_labels()}, 2);
    sn_dataset *dataset = NULL;
    sn_loader *loader = NULL;
    assert_int_equal(sn_dataset_open(spec, SN_SPLIT_TRAIN, &dataset), SENET_OK);
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    assert_true(info->real);
    assert_int_equal(info->count, N);
    assert_int_equal(info->height, H);
    assert_int_equal(info->width, W);
    assert_int_equal(info->classes, 8); /* one above the largest label */
    assert_int_equal(sn_loader_create(dataset, &(sn_loader_options){.batch = N}, &loader), SENET_OK);
    const sn_batch *batch = NULL;
    assert_int_equal(sn_loader_next(loader, &batch), SENET_OK);
    assert_null(batch->images);
    for (int n = 0; n < N; n++) {
        assert_int_equal(batch->labels[n], labels[n]);
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++)
                for (int c = 0; c < 3; c++)
                    assert_true(batch->real[((n * H + y) * W + x) * 3 + c] == input[n][c][y][x]);
    }
    uint8_t pixels[3 * H * W];
    int32_t label;
    assert_int_equal(sn_dataset_get(dataset, 0, pixels, &label), SENET_USAGE);
    sn_loader_destroy(loader);
    sn_dataset_close(dataset);
}

static void assert_refused(const sn_tensor *tensors, size_t count, const char *said)
{
    sn_dataset *dataset = NULL;
    put(tensors, count);
    assert_int_equal(sn_dataset_open(spec, SN_SPLIT_VAL, &dataset), SENET_BAD_DATA);
    assert_null(dataset);
    assert_non_null(strstr(senet_last_error(), "set.safetensors: "));
    if (!strstr(senet_last_error(), said)) fail_msg("'%s' is not in: %s", said, senet_last_error());
}

static void other_tensors_are_refused(void **state)
{
    (void)state;
    const sn_tensor in = good_input(), out = good_labels();
    assert_refused(&in, 1, "no tensor 'labels'");
    assert_refused(&out, 1, "no tensor 'input'");
    assert_refused((const sn_tensor[]){tensor("input", SN_TENSOR_F32, 4, (const int64_t[]){N, 1, H, W}, input), out}, 2,
                   "'input' is F32 (5,1,3,4)");
    assert_refused((const sn_tensor[]){tensor("input", SN_TENSOR_F32, 3, (const int64_t[]){3, H, W}, input), out}, 2,
                   "'input' is F32 (3,3,4)");
    assert_refused((const sn_tensor[]){tensor("input", SN_TENSOR_I32, 4, (const int64_t[]){N, 3, H, W}, input), out}, 2,
                   "is I32");
    assert_refused((const sn_tensor[]){tensor("input", SN_TENSOR_F32, 4, (const int64_t[]){0, 3, H, W}, input), out}, 2,
                   "(0,3,3,4)");
    assert_refused((const sn_tensor[]){in, tensor("labels", SN_TENSOR_I64, 1, (const int64_t[]){N - 1}, labels)}, 2,
                   "'input' has 5 samples, 'labels' has 4");
    assert_refused((const sn_tensor[]){in, tensor("labels", SN_TENSOR_F32, 1, (const int64_t[]){N}, input)}, 2,
                   "'labels' is F32 (5)");
    int64_t bad[N] = {3, 0, -1, 7, 1};
    assert_refused((const sn_tensor[]){in, tensor("labels", SN_TENSOR_I64, 1, (const int64_t[]){N}, bad)}, 2,
                   "labels[2] is -1");
    bad[2] = INT64_C(1) << 40;
    assert_refused((const sn_tensor[]){in, tensor("labels", SN_TENSOR_I64, 1, (const int64_t[]){N}, bad)}, 2,
                   "labels[2] is 1099511627776");
    sn_dataset *dataset = NULL;
    assert_int_equal(sn_dataset_open("tensors:/nowhere.safetensors", SN_SPLIT_VAL, &dataset), SENET_NO_INPUT);
    assert_int_equal(sn_dataset_open("tensors:", SN_SPLIT_VAL, &dataset), SENET_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(batches_are_the_tensors_in_nhwc, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(other_tensors_are_refused, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
