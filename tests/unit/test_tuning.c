/* Kernels chosen by measuring: the file is made, holds, is refused when it is something else, and no choice changes a result by
 * more than rounding. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/model.h"
#include "base/file.h"
#include "base/rng.h"
#include "test_failures.h"
#include "train/train.h"

enum { SIDE = 32, CLASSES = 10, VALUES = 3 * SIDE * SIDE };

static char folder[] = "/tmp/senet-test-tuning-XXXXXX", tuning_path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(tuning_path, sizeof tuning_path, "%s/tuning.json", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(tuning_path);
    return rmdir(folder);
}

static void logits_of(sn_tuning *tuning, float *logits)
{
    static float input[VALUES];
    senet_model *model = NULL;
    for (int i = 0; i < VALUES; i++) input[i] = (float)sn_rng_uniform(7, (uint64_t)i);
    assert_works(sn_model_create("se_cifar_resnet8", &model));
    sn_params_init(model->layout, model->params, SN_INIT_HE, 5);
    model->tuning = tuning;
    model->threads = 1;
    assert_works(senet_model_forward(model, input, 1, logits));
    model->tuning = NULL; /* the caller's */
    senet_model_destroy(model);
}

static void a_choice_is_kept_and_changes_rounding_alone(void **state)
{
    (void)state;
    float usual[CLASSES], measured[CLASSES], again[CLASSES], largest = 0;
    char *first = NULL, *second = NULL;
    size_t size;
    sn_tuning *tuning = NULL;
    logits_of(NULL, usual);
    assert_works(sn_tuning_open(tuning_path, &tuning));
    logits_of(tuning, measured);
    sn_tuning_close(tuning);
    assert_works(sn_file_read(tuning_path, 1 << 20, &first, &size));
    assert_non_null(strstr(first, "conv2d"));

    assert_works(sn_tuning_open(tuning_path, &tuning));
    logits_of(tuning, again);
    sn_tuning_close(tuning);
    assert_works(sn_file_read(tuning_path, 1 << 20, &second, &size));
    assert_string_equal(first, second);
    assert_memory_equal(measured, again, sizeof again);

    for (int k = 0; k < CLASSES; k++) largest = fmaxf(largest, fabsf(usual[k]));
    for (int k = 0; k < CLASSES; k++) /* ten layers of Winograd or direct sums: some 1e-6 each */
        assert_true(fabsf(usual[k] - measured[k]) <= 1e-4f * largest);
    free(first);
    free(second);
}

static void another_file_is_refused(void **state)
{
    (void)state;
    sn_tuning *tuning = NULL;
    static const char *const contents[] = {"", "[]", "{}", "{\"kernels\": 3}", "{\"kernels\": {\"a\": 3}}", "{\"kernels\": {"};
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        assert_works(sn_file_write(tuning_path, contents[i], strlen(contents[i])));
        assert_fails(sn_tuning_open(tuning_path, &tuning), SENET_BAD_DATA, tuning_path);
        assert_null(tuning);
    }
    /* names that no kernel has, and choices of other machines, stay and do nothing */
    const char *strange = "{\"kernels\": {\"a machine\": \"a kernel\"}}";
    assert_works(sn_file_write(tuning_path, strange, strlen(strange)));
    assert_works(sn_tuning_open(tuning_path, &tuning));
    float logits[CLASSES];
    logits_of(tuning, logits);
    sn_tuning_close(tuning);
    char *text = NULL;
    size_t size;
    assert_works(sn_file_read(tuning_path, 1 << 20, &text, &size));
    assert_non_null(strstr(text, "a machine"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_choice_is_kept_and_changes_rounding_alone),
        cmocka_unit_test(another_file_is_refused),
    };
    return cmocka_run_group_tests_name("tuning", tests, make_folder, remove_folder);
}
