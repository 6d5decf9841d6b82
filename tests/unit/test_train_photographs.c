/* test_train_photographs.c - how a training's settings turn photographs into inputs: normalisation, the size that validation
 * resizes to, pictures made square; and what its weights files say of it. */
#define _GNU_SOURCE
#include "test_training.h"
#include "test_photo_files.h"

#include "data/crop.h"
#include "train/ensemble.h"

enum { SIDE = 24 };

/* Twelve wide photographs of two classes for training, four for validation, and a training on them. */
static sn_train_config photographs(const char *run)
{
    static char data[8192];
    for (int i = 0; i < 12; i++) {
        char name[64];
        snprintf(name, sizeof name, "photos/train/%s/%d.jpg", i % 2 ? "tall" : "wide", i);
        put_jpeg(scratch, name, i % 2 ? 40 : 80, i % 2 ? 70 + i : 40);
        snprintf(name, sizeof name, "photos/val/%s/%d.jpg", i % 2 ? "tall" : "wide", i);
        if (i < 4) put_jpeg(scratch, name, i % 2 ? 44 : 90, i % 2 ? 90 : 44 + i);
    }
    snprintf(data, sizeof data, "folder:%s/photos", scratch);
    sn_train_config config = tiny(run);
    config.model = "se_cifar_resnet8:classes=2";
    config.data = data;
    config.batch = 4;
    config.epochs = 1;
    config.input_size = SIDE;
    config.augment = (sn_augment){.area_min = 0.25, .area_max = 1, .aspect = 4.0 / 3, .flip = true};
    config.interpolation = SN_INTERPOLATION_BILINEAR;
    return config;
}

static sn_preprocess preprocess_of(const char *run)
{
    sn_tensors *file;
    sn_weights_info info;
    assert_int_equal(sn_tensors_open(in(run, "last.safetensors"), &file), SENET_OK);
    assert_int_equal(sn_weights_info_read(file, &info), SENET_OK);
    sn_preprocess how = info.preprocess;
    sn_weights_info_free(&info);
    sn_tensors_close(file);
    return how;
}

/* Relative, of floats that went through decimal text. */
static void assert_close(float value, double expected)
{
    if (fabs((double)value - expected) > 1e-6 * expected) fail_msg("%.9g is not %.9g", (double)value, expected);
}

static void the_weights_say_how_pixels_were_normalised(void **state)
{
    (void)state;
    sn_train_config config = photographs("caffe");
    config.normalize = SN_NORMALIZE_CAFFE;
    run_ok(&config, NULL);
    sn_preprocess how = preprocess_of("caffe");
    assert_close(how.mean[0], 123 / 255.0); /* red */
    assert_close(how.mean[2], 104 / 255.0);
    for (int c = 0; c < 3; c++) assert_close(how.std[c], 1 / 255.0);
    config = photographs("places");
    config.normalize = SN_NORMALIZE_PLACES;
    run_ok(&config, NULL);
    assert_close(preprocess_of("places").mean[1], 113.768 / 255);
    config = photographs("imagenet");
    config.normalize = SN_NORMALIZE_IMAGENET;
    run_ok(&config, NULL);
    assert_close(preprocess_of("imagenet").std[0], 0.229);
}

/* Also where crop side / resized side has no short decimal, such as the paper's 299 / 352. */
static void validation_resizes_as_told(void **state)
{
    (void)state;
    const int sides[] = {0, 24, 25, 29, 31};
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "side%d", sides[i]);
        sn_train_config config = photographs(name);
        config.eval_resize = sides[i];
        run_ok(&config, NULL);
        const sn_preprocess how = preprocess_of(name);
        assert_int_equal(sn_view_of(&how).side, sides[i] ? sides[i] : 27); /* floor(24 / 0.875) */
    }
    sn_train_config config = photographs("small");
    config.eval_resize = 20;
    expect_failure(&config, SENET_USAGE, "eval-resize 20 is below the input size 24");
}

/* The validation loss of a training with square pictures is that of an evaluation with the square view. */
static void square_pictures_are_validated_square(void **state)
{
    (void)state;
    sn_train_config config = photographs("square");
    config.square = true;
    config.eval_resize = 28;
    sn_train_result trained = run_ok(&config, NULL);
    sn_tensors *file;
    sn_spec spec;
    sn_graph *graph;
    sn_params *params;
    sn_dataset *val;
    const sn_preprocess how = preprocess_of("square");
    assert_int_equal(sn_tensors_open(in("square", "last.safetensors"), &file), SENET_OK);
    assert_int_equal(sn_spec_parse(config.model, &spec), SENET_OK);
    sn_build_options build = {.mode = SN_MODE_EVAL, .batch = 1, .no_fuse = true};
    assert_int_equal(sn_model_build(&spec, &build, &graph), SENET_OK);
    assert_int_equal(sn_params_create(graph, SN_FLOAT, &params), SENET_OK);
    assert_int_equal(sn_weights_load(file, spec.base, graph, params, NULL), SENET_OK);
    assert_int_equal(sn_dataset_open(config.data, SN_SPLIT_VAL, &val), SENET_OK);
    double losses[2];
    for (int square = 0; square < 2; square++) {
        sn_view view = sn_view_of(&how);
        if (square) view.resize = SN_VIEW_SQUARE;
        sn_eval_stream stream = {.spec = &spec, .params = params, .preprocess = how, .views = &view, .views_count = 1};
        sn_ensemble_options options = {.batch = 4, .threads = 1, .exif = true};
        sn_eval_result result;
        if (sn_evaluate_ensemble(&stream, 1, val, &options, &result) != SENET_OK) fail_msg("%s", senet_last_error());
        losses[square] = result.loss;
    }
    assert_true(fabs(losses[1] - trained.loss) < 1e-6); /* float sums of another batch */
    assert_true(fabs(losses[0] - trained.loss) > 1e-4);
    sn_dataset_close(val);
    sn_params_destroy(params);
    sn_graph_destroy(graph);
    sn_tensors_close(file);
}

static void resumed_it_is_the_same_run(void **state)
{
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        sn_train_config config = photographs(cut ? "cut" : "straight");
        config.square = true;
        config.class_aware = true;
        config.max_steps = cut ? 2 : 0;
        run_ok(&config, NULL);
        config.max_steps = 0;
        config.resume = config.output;
        config.workers = 2;
        if (cut) run_ok(&config, NULL);
    }
    assert_same_run("straight", "cut");
}

/* A crop of the square is, in the picture, the same shares of its width and height. */
static void crops_of_the_square_stretch_with_it(void **state)
{
    (void)state;
    sn_augment plain = {.area_min = 0.08, .area_max = 1, .aspect = 4.0 / 3}, square = plain;
    square.square = 256;
    for (uint64_t key = 0; key < 1000; key++) {
        const sn_crop of_square = sn_crop_sample(&plain, 256, 256, key);
        const sn_crop same = sn_crop_sample(&square, 256, 256, key), wide = sn_crop_sample(&square, 1024, 512, key);
        assert_true(of_square.found && same.found && wide.found);
        assert_memory_equal(&of_square.left, &same.left, sizeof(sn_crop) - offsetof(sn_crop, left));
        assert_true(wide.left == 4 * same.left && wide.width == 4 * same.width);
        assert_true(wide.top == 2 * same.top && wide.height == 2 * same.height);
        const sn_crop tiny_crop = sn_crop_sample(&square, 100, 3, key); /* rounded, but never empty or outside */
        assert_true(tiny_crop.width >= 1 && tiny_crop.left >= 0 && tiny_crop.left + tiny_crop.width <= 100);
        assert_true(tiny_crop.height >= 1 && tiny_crop.top >= 0 && tiny_crop.top + tiny_crop.height <= 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRAINING_TEST(the_weights_say_how_pixels_were_normalised),
        TRAINING_TEST(validation_resizes_as_told),
        TRAINING_TEST(square_pictures_are_validated_square),
        TRAINING_TEST(resumed_it_is_the_same_run),
        cmocka_unit_test(crops_of_the_square_stretch_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
