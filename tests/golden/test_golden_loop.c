/* test_golden_loop.c - the training loop as a user runs it (weights file, tensor file, log) against the loss trajectories of
 * the double-precision reference: what the loader, the loss, the optimiser and the log make together. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "train/train.h"

static void must(senet_status status)
{
    if (status != SENET_OK) fail_msg("%s", senet_last_error());
}

/* The reference's initial weights as a weights file. */
static void write_weights(const golden_file *file, const char *path)
{
    sn_spec spec;
    sn_graph *graph;
    sn_params *params;
    sn_weights_info info = {.model = (char *)(uintptr_t)file->net, .classes = file->classes};
    must(sn_spec_parse(file->net, &spec));
    must(sn_model_build(&spec, &(sn_build_options){.mode = SN_MODE_EVAL, .batch = 1, .no_fuse = true}, &graph));
    must(sn_params_create(graph, SN_FLOAT, &params));
    golden_fill(graph, params, file->seed);
    must(sn_weights_save(path, graph, params, &info, NULL, 0));
    sn_params_destroy(params);
    sn_graph_destroy(graph);
}

/* Its pictures (N, 3, H, W) and labels as a tensor file. */
static void write_data(const golden_file *file, const char *path)
{
    int64_t plane = file->h * file->w, elements = file->n * plane * 3;
    float *nhwc = golden_pictures(file, SN_FLOAT), *nchw = malloc((size_t)elements * sizeof *nchw);
    int32_t *small_labels = golden_labels(file);
    int64_t labels[64];
    assert_non_null(nchw);
    assert_true(file->n <= 64);
    for (int64_t i = 0; i < elements; i++) nchw[(i / (3 * plane) * 3 + i % 3) * plane + i / 3 % plane] = nhwc[i];
    for (int64_t n = 0; n < file->n; n++) labels[n] = small_labels[n];
    const sn_tensor tensors[] = {
        {.name = "input", .type = SN_TENSOR_F32, .rank = 4, .dims = {file->n, 3, file->h, file->w}, .data = nchw,
         .bytes = (size_t)elements * sizeof *nchw},
        {.name = "labels", .type = SN_TENSOR_I64, .rank = 1, .dims = {file->n}, .data = labels,
         .bytes = (size_t)file->n * sizeof *labels}};
    must(sn_tensors_write(path, tensors, 2, NULL, 0));
    free(nhwc);
    free(nchw);
    free(small_labels);
}

/* One batch an epoch, so that the reference's steps are epochs.  The plain kernels follow this network's losses to 4e-8; no ReLU
 * flips by rounding on the way.  The slightest wrong detail of loader, optimiser or loss moves them by more than 1e-5. */
static void check_log(const golden_file *file, const char *path)
{
    FILE *log = fopen(path, "r");
    assert_non_null(log);
    char line[512];
    size_t step = 0;
    while (fgets(line, sizeof line, log)) {
        const char *loss = strstr(line, "\"train.loss\": ");
        if (strncmp(line, "{\"step\": ", 9) != 0) continue;
        assert_non_null(loss);
        assert_true(step < file->trajectory.count);
        const golden_step *expected = (const golden_step *)file->trajectory.items + step++;
        golden_expect(file, "loss in the log", atof(loss + strlen("\"train.loss\": ")), expected->loss,
                      fabs(expected->loss) * 1e-5);
    }
    fclose(log);
    assert_int_equal(step, file->trajectory.count);
}

static void check_file(const char *golden_path)
{
    char folder[] = "/tmp/senet-test-loop-XXXXXX", weights[64], data[64], output[64], spec[80], log[80], command[64];
    golden_file file;
    golden_read(golden_path, &file);
    assert_non_null(mkdtemp(folder));
    snprintf(weights, sizeof weights, "%s/weights.safetensors", folder);
    snprintf(data, sizeof data, "%s/data.safetensors", folder);
    snprintf(spec, sizeof spec, "tensors:%s", data);
    snprintf(output, sizeof output, "%s/run", folder);
    snprintf(log, sizeof log, "%s/log.jsonl", output);
    write_weights(&file, weights);
    write_data(&file, data);

    sn_train_config config;
    sn_train_result result;
    sn_train_defaults(&config);
    config.model = file.net;
    config.data = spec;
    config.output = output;
    config.init_weights = weights;
    config.batch = file.n;
    config.epochs = config.max_steps = (int64_t)file.trajectory.count;
    config.lr = file.lr;
    config.momentum = file.momentum;
    config.weight_decay = file.weight_decay;
    config.schedule = SN_SCHEDULE_CONSTANT;
    config.shuffle = false;
    config.no_eval = true;
    config.log_every = 1;
    config.reference_only = true; /* the loop is what is tested here */
    must(sn_train(&config, NULL, &result));
    check_log(&file, log);
    golden_free(&file);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

/* The smallest network that does not draw Shake coefficients of its own. */
static void the_loop_follows_the_reference(void **state)
{
    (void)state;
    char **paths;
    bool checked = false;
    size_t count = golden_list_files(true, &paths);
    for (size_t i = 0; i < count; i++) {
        if (!strstr(paths[i], "train_se_wrn16_1.txt")) continue;
        check_file(paths[i]);
        checked = true;
    }
    golden_free_paths(paths, count);
    assert_true(checked);
}

int main(void)
{
    if (!golden_folder()) {
        fprintf(stderr, "skipped: no golden files beside the project (SENET_SHARED names their folder's parent)\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_loop_follows_the_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
