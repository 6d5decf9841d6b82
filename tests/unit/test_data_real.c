/* The real CIFAR-10, unpacked from the shared data into a scratch folder (about 4 seconds); skipped where the shared
 * data, python3 or dwebp are absent. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/data.h"
#include "unit/test_data_files.h"

static char spec[4200];

/* 5,000 training and 1,000 test pictures a class; the training mean is 0.4914, 0.4822, 0.4465. */
static void counts_and_mean_are_the_published_ones(void **state)
{
    (void)state;
    for (int split = 0; split < 2; split++) {
        sn_dataset *dataset = NULL;
        assert_int_equal(sn_dataset_open(spec, split, &dataset), SENET_OK);
        const int64_t count = sn_dataset_describe(dataset)->count;
        assert_int_equal(count, split == SN_SPLIT_TRAIN ? 50000 : 10000);
        int64_t by_class[10] = {0}, sums[3] = {0};
        for (int64_t i = 0; i < count; i++) {
            uint8_t rgb[SN_CIFAR_PIXEL_BYTES];
            int32_t label;
            assert_int_equal(sn_dataset_get(dataset, i, rgb, &label), SENET_OK);
            by_class[label]++;
            for (int p = 0; p < SN_CIFAR_PIXEL_BYTES; p++) sums[p % 3] += rgb[p];
        }
        for (int k = 0; k < 10; k++) assert_int_equal(by_class[k], count / 10);
        const double published[3] = {0.4914, 0.4822, 0.4465};
        for (int c = 0; c < 3 && split == SN_SPLIT_TRAIN; c++)
            assert_true(fabs((double)sums[c] / (255.0 * SN_CIFAR_PLANE * (double)count) - published[c]) <
                        5e-5); /* their rounding */
        sn_dataset_close(dataset);
    }
}

int main(void)
{
    const char *shared = getenv("SENET_SHARED");
    char unpack[4200], command[12800];
    snprintf(unpack, sizeof unpack, "%s/data/unpack", shared && *shared ? shared : "../shared");
    if (access(unpack, X_OK) != 0 || system("command -v dwebp python3 >/dev/null 2>&1") != 0) {
        printf("skipped: needs the shared data (%s), dwebp and python3\n", unpack);
        return 77;
    }
    char *folder = make_scratch();
    snprintf(command, sizeof command, "'%s' '%s' cifar10 >/dev/null", unpack, folder);
    snprintf(spec, sizeof spec, "cifar10:%s", folder);
    int failed = system(command);
    if (failed) printf("%s failed\n", command);
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_and_mean_are_the_published_ones)};
    if (!failed) failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_scratch(folder);
    return failed != 0;
}
