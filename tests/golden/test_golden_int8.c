/* test_golden_int8.c - a trained MobileNet in int8 on photographs: calibrated on 64 of them without their labels, it still knows as
 * many of the 200 (data/README.md) as in single precision, but for three: the answers that change have margins near nothing, and
 * one picture of 200 is what int8 may cost (0.5 points); as many change for the better. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/model.h"
#include "golden/golden.h"
#include "train/calibrate.h"
#include "train/ensemble.h"
#include "unit/test_failures.h"

enum { CALIBRATED = 64, CLASSES = 1000, RIGHT = 99, MAY_CHANGE = 3 };

static const char *shared(const char *name)
{
    static char path[1300];
    snprintf(path, sizeof path, "%s/../data/%s", golden_folder(), name);
    return path;
}

static void int8_knows_as_many(void **state)
{
    (void)state;
    senet_model *model;
    sn_dataset *set;
    float *pictures;
    char data[1400];
    sn_eval_result result;
    assert_works(sn_model_open(shared("weights/mobilenetv1_025_128.safetensors"), NULL, &model));
    snprintf(data, sizeof data, "folder:%s", shared("imagenet200"));
    assert_works(sn_dataset_open(data, SN_SPLIT_VAL, &set));
    assert_works(sn_dataset_map_labels(set, shared("imagenet_classes.tsv"), CLASSES));
    sn_calibration_input input = {.height = model->preprocess.height, .width = model->preprocess.width};
    sn_calibration_options options = {.threads = 2};
    assert_works(sn_calibration_load(set, &model->preprocess, CALIBRATED, 2, false, &pictures, &input.count));
    input.pictures = pictures;
    assert_works(sn_calibrate(&model->spec, model->params, &input, &options, &model->info.quantization, NULL));
    sn_view view = sn_view_of(&model->preprocess);
    sn_eval_stream stream = {.spec = &model->spec, .params = model->params, .precision = SENET_INT8,
                             .quantization = model->info.quantization, .preprocess = model->preprocess,
                             .views = &view, .views_count = 1};
    sn_ensemble_options how = {.batch = 16, .threads = 2, .workers = 2};
    assert_works(sn_evaluate_ensemble(&stream, 1, set, &how, &result));
    print_message("int8: %d of 200 right, %d in single precision\n", (int)(200 - result.top1_errors), RIGHT);
    assert_in_range(200 - result.top1_errors, RIGHT - MAY_CHANGE, 200);
    sn_free_aligned(pictures);
    sn_dataset_close(set);
    senet_model_destroy(model);
}

int main(void)
{
    if (!golden_folder() || access(shared("imagenet200"), R_OK) != 0) {
        fprintf(stderr, "skipped: no photographs beside the project (SENET_SHARED names their folder's parent)\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(int8_knows_as_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
