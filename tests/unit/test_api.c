/* The public API: loading, asking, classifying files and pixels, batches, threads; what it refuses, and how it says so.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/model.h"
#include "base/rng.h"
#include "test_failures.h"
#include "train/train.h"

enum { SIDE = 32, CLASSES = 10, VALUES = 3 * SIDE * SIDE };

static char folder[] = "/tmp/senet-test-api-XXXXXX", weights_path[64], picture_path[64];
static uint8_t picture[VALUES];

/* A weights file of a small network, written as training writes it, and a picture. */
static int make_files(void **state)
{
    (void)state;
    static char *labels[CLASSES] = {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"};
    static char name[] = "se_cifar_resnet8";
    senet_model *model = NULL;
    if (!mkdtemp(folder)) return -1;
    snprintf(weights_path, sizeof weights_path, "%s/weights.safetensors", folder);
    snprintf(picture_path, sizeof picture_path, "%s/picture.png", folder);
    for (int i = 0; i < VALUES; i++) picture[i] = (uint8_t)sn_rng_u64(17, (uint64_t)i);
    assert_works(sn_image_write_png(picture_path, SIDE, SIDE, picture));
    assert_works(sn_model_create(name, &model));
    sn_params_init(model->layout, model->params, SN_INIT_HE, 5);
    sn_weights_info info = {.model = name,
                            .classes = CLASSES,
                            .labels = labels,
                            .labels_count = CLASSES,
                            .has_preprocess = true,
                            .preprocess = {.height = SIDE,
                                           .width = SIDE,
                                           .mean = {0.5f, 0.4f, 0.3f},
                                           .std = {0.2f, 0.3f, 0.4f},
                                           .crop_pct = 1,
                                           .interpolation = SN_INTERPOLATION_NONE}};
    assert_works(sn_weights_save(weights_path, model->layout, model->params, &info, NULL, 0));
    senet_model_destroy(model);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(weights_path);
    unlink(picture_path);
    return rmdir(folder);
}

static senet_model *load(int threads)
{
    senet_model *model = NULL;
    assert_works(senet_model_load(weights_path, &(senet_model_options){.threads = threads}, &model));
    return model;
}

static void a_model_says_what_it_is(void **state)
{
    (void)state;
    senet_model *model = NULL;
    int height = 0, width = 0;
    assert_works(senet_model_load(weights_path, NULL, &model));
    assert_string_equal(senet_model_name(model), "se_cifar_resnet8");
    assert_int_equal(senet_model_classes(model), CLASSES);
    assert_string_equal(senet_model_label(model, 3), "three");
    assert_null(senet_model_label(model, -1));
    assert_null(senet_model_label(model, CLASSES));
    senet_model_input_size(model, &height, &width);
    assert_int_equal(height, SIDE);
    assert_int_equal(width, SIDE);
    senet_model_destroy(model);
    senet_model_destroy(NULL);
}

static void a_file_and_its_pixels_are_the_same_picture(void **state)
{
    (void)state;
    senet_model *model = load(1);
    senet_prediction from_file[CLASSES], from_pixels[CLASSES], from_rows[CLASSES];
    enum { STRIDE = 3 * SIDE + 5 };
    unsigned char rows[STRIDE * SIDE];
    memset(rows, 99, sizeof rows);
    for (int y = 0; y < SIDE; y++) memcpy(rows + y * STRIDE, picture + y * 3 * SIDE, 3 * SIDE);
    assert_works(senet_model_classify_file(model, picture_path, CLASSES, from_file));
    assert_works(senet_model_classify_pixels(model, picture, SIDE, SIDE, 3 * SIDE, CLASSES, from_pixels));
    assert_works(senet_model_classify_pixels(model, rows, SIDE, SIDE, STRIDE, CLASSES, from_rows));
    double sum = 0;
    for (int k = 0; k < CLASSES; k++) {
        assert_int_equal(from_file[k].class_index, from_pixels[k].class_index);
        assert_int_equal(from_file[k].class_index, from_rows[k].class_index);
        assert_true(from_file[k].probability == from_pixels[k].probability);
        assert_true(from_file[k].probability == from_rows[k].probability);
        assert_true(k == 0 || from_file[k].probability <= from_file[k - 1].probability);
        assert_string_equal(from_file[k].label, senet_model_label(model, from_file[k].class_index));
        sum += from_file[k].probability;
    }
    assert_true(fabs(sum - 1) < 1e-5); /* ten roundings of numbers below 1 to 24 bits */
    senet_model_destroy(model);
}

/* The normalised input of the picture, (3, H, W). */
static void normalise(float *planes)
{
    static const float mean[3] = {0.5f, 0.4f, 0.3f}, std[3] = {0.2f, 0.3f, 0.4f};
    for (int i = 0; i < VALUES; i++)
        planes[i % 3 * SIDE * SIDE + i / 3] = ((float)picture[i] / 255.0f - mean[i % 3]) / std[i % 3];
}

static void classes_are_the_softmax_of_the_logits(void **state)
{
    (void)state;
    senet_model *model = load(1);
    senet_prediction top[CLASSES];
    float planes[VALUES], logits[CLASSES];
    double sum = 0;
    normalise(planes);
    assert_works(senet_model_forward(model, planes, 1, logits));
    assert_works(senet_model_classify_pixels(model, picture, SIDE, SIDE, 3 * SIDE, CLASSES, top));
    for (int k = 0; k < CLASSES; k++) sum += exp(logits[k]);
    for (int k = 0; k < CLASSES; k++) {
        double probability = exp(logits[top[k].class_index]) / sum;
        assert_true(fabs(top[k].probability - probability) < 1e-6); /* the same logits; exp in double, rounded once */
    }
    senet_model_destroy(model);
}

static void a_larger_picture_is_made_to_fit(void **state)
{
    (void)state;
    senet_model *model = load(1);
    senet_prediction top[1];
    uint8_t *large = calloc(100 * 80, 3);
    assert_non_null(large);
    assert_works(senet_model_classify_pixels(model, large, 100, 80, 240, 1, top));
    free(large);
    senet_model_destroy(model);
}

static void batches_and_threads_do_not_change_the_logits(void **state)
{
    (void)state;
    enum { IMAGES = 35 }; /* more than are run at once */
    senet_model *one = load(1), *two = load(2);
    float *input = malloc(IMAGES * VALUES * sizeof *input), a[IMAGES * CLASSES], b[IMAGES * CLASSES], single[CLASSES];
    assert_non_null(input);
    for (int i = 0; i < IMAGES * VALUES; i++) input[i] = (float)(2 * sn_rng_uniform(3, (uint64_t)i) - 1);
    assert_works(senet_model_forward(one, input, IMAGES, a));
    assert_works(senet_model_forward(two, input, IMAGES, b));
    assert_memory_equal(a, b, sizeof a);
    assert_works(senet_model_set_threads(one, 2));
    assert_works(senet_model_forward(one, input, IMAGES, b));
    assert_memory_equal(a, b, sizeof a);
    for (int n = 0; n < IMAGES; n += 17) {
        assert_works(senet_model_forward(one, input + n * VALUES, 1, single));
        /* Another batch size may choose other kernels: float32 sums of up to 576 products in another order. */
        for (int k = 0; k < CLASSES; k++)
            assert_true(fabsf(single[k] - a[n * CLASSES + k]) < 1e-4f * (1 + fabsf(single[k])));
    }
    assert_works(senet_model_forward(one, input, 0, single));
    free(input);
    senet_model_destroy(one);
    senet_model_destroy(two);
}

typedef struct caller {
    senet_model *model;
    float input[VALUES], expected[CLASSES];
    bool same;
} caller;

static void *call_often(void *argument)
{
    caller *c = argument;
    float logits[CLASSES];
    c->same = true;
    for (int i = 0; i < 10; i++)
        if (senet_model_forward(c->model, c->input, 1, logits) != SENET_OK ||
            memcmp(logits, c->expected, sizeof logits) != 0)
            c->same = false;
    return NULL;
}

static void weights_that_were_given_back_are_read_again(void **state)
{
    (void)state;
    enum { IMAGES = 3 };
    static float input[IMAGES * VALUES], want[IMAGES * CLASSES], got[IMAGES * CLASSES];
    for (int i = 0; i < IMAGES * VALUES; i++) input[i] = (float)sn_rng_uniform(3, (uint64_t)i);
    senet_model *kept = load(1), *released = NULL;
    senet_model_options options = {.threads = 1, .release_weights = 1};
    assert_works(senet_model_load(weights_path, &options, &released));
    for (int images = 1; images <= IMAGES; images++) {
        assert_works(senet_model_forward(kept, input, images, want));
        assert_works(senet_model_forward(released, input, images, got));
        assert_memory_equal(got, want, (size_t)images * CLASSES * sizeof *got);
    }
    size_t total;
    sn_params_block(kept->params, NULL, &total);
    assert_true(sn_params_held_bytes(kept->params) == total * sizeof(float));
    assert_true(sn_params_held_bytes(released->params) < total * sizeof(float) / 2); /* small tensors share pages */

    char aside[80];
    snprintf(aside, sizeof aside, "%s.aside", weights_path);
    assert_int_equal(rename(weights_path, aside), 0);
    assert_works(senet_model_forward(released, input, IMAGES, got)); /* what is laid out stays */
    assert_fails(senet_model_forward(released, input, 1, got), SENET_NO_INPUT, "gone or changed since it was loaded");
    assert_works(senet_model_forward(kept, input, 1, want));
    assert_int_equal(rename(aside, weights_path), 0);
    assert_works(senet_model_forward(released, input, 1, got));
    assert_memory_equal(got, want, CLASSES * sizeof *got);
    senet_model_destroy(kept);
    senet_model_destroy(released);
}

static void threads_take_turns_on_one_handle(void **state)
{
    (void)state;
    enum { CALLERS = 3 };
    static caller callers[CALLERS];
    pthread_t threads[CALLERS];
    senet_model *model = load(1);
    for (int t = 0; t < CALLERS; t++) {
        callers[t].model = model;
        for (int i = 0; i < VALUES; i++) callers[t].input[i] = (float)sn_rng_uniform((uint64_t)t, (uint64_t)i);
        assert_works(senet_model_forward(model, callers[t].input, 1, callers[t].expected));
    }
    for (int t = 0; t < CALLERS; t++) assert_int_equal(pthread_create(&threads[t], NULL, call_often, &callers[t]), 0);
    for (int t = 0; t < CALLERS; t++) pthread_join(threads[t], NULL);
    for (int t = 0; t < CALLERS; t++) assert_true(callers[t].same);
    senet_model_destroy(model);
}

static void a_file_must_not_contradict_its_network(void **state)
{
    (void)state;
    static char name[] = "se_cifar_resnet8";
    char path[80];
    senet_model *model = NULL;
    snprintf(path, sizeof path, "%s/three.safetensors", folder);
    assert_works(sn_model_create(name, &model));
    assert_works(sn_weights_save(path, model->layout, model->params, &(sn_weights_info){.model = name, .classes = 3}, NULL, 0));
    senet_model_destroy(model);
    assert_fails(senet_model_load(path, NULL, &model), SENET_BAD_DATA, path, "'num_classes' is '3'", "se_cifar_resnet8 has 10");
    unlink(path);
}

static void wrong_arguments_are_refused(void **state)
{
    (void)state;
    senet_model *model = load(1), *none = (senet_model *)weights_path;
    senet_prediction top[CLASSES + 1];
    float number = 0;
    assert_fails(senet_model_classify_file(model, picture_path, 0, top), SENET_USAGE, "0 classes", "1..10");
    assert_fails(senet_model_classify_file(model, picture_path, CLASSES + 1, top), SENET_USAGE, "11 classes");
    assert_fails(senet_model_classify_file(model, "nowhere.png", 1, top), SENET_NO_INPUT, "nowhere.png");
    assert_fails(senet_model_classify_file(model, weights_path, 1, top), SENET_BAD_DATA, weights_path);
    assert_fails(senet_model_classify_pixels(model, picture, SIDE, SIDE, 3 * SIDE - 1, 1, top), SENET_USAGE,
                 "95 bytes");
    assert_fails(senet_model_classify_pixels(model, picture, 0, SIDE, 3 * SIDE, 1, top), SENET_USAGE, "0 x 32");
    assert_fails(senet_model_forward(model, &number, -1, &number), SENET_USAGE, "-1 images");
    assert_fails(senet_model_set_threads(model, 257), SENET_USAGE, "257 threads");
    senet_model_destroy(model);

    assert_fails(senet_model_load("nowhere.safetensors", NULL, &none), SENET_NO_INPUT, "nowhere.safetensors");
    assert_null(none);
    assert_fails(senet_model_load(NULL, NULL, &none), SENET_USAGE, "NULL");
    assert_fails(senet_model_load(picture_path, NULL, &none), SENET_BAD_DATA, picture_path);
    assert_fails(senet_model_load(weights_path, &(senet_model_options){.model = "se_cifar_resnet20"}, &none),
                 SENET_BAD_DATA, weights_path, "layer1.1");
    assert_fails(senet_model_load(weights_path, &(senet_model_options){.model = "alexnet"}, &none), SENET_USAGE,
                 "alexnet");
    assert_fails(senet_model_load(weights_path, &(senet_model_options){.threads = -1}, &none), SENET_USAGE,
                 "-1 threads");
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_says_what_it_is),
        cmocka_unit_test(a_file_and_its_pixels_are_the_same_picture),
        cmocka_unit_test(classes_are_the_softmax_of_the_logits),
        cmocka_unit_test(a_larger_picture_is_made_to_fit),
        cmocka_unit_test(batches_and_threads_do_not_change_the_logits),
        cmocka_unit_test(weights_that_were_given_back_are_read_again),
        cmocka_unit_test(threads_take_turns_on_one_handle),
        cmocka_unit_test(a_file_must_not_contradict_its_network),
        cmocka_unit_test(wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
