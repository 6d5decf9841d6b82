/* test_golden_caffe.c - Caffe's published networks: the reference's weights, written as Caffe writes them, layer by
 * layer under Caffe's names, come through the reader as the network that gives the reference's logits.
 *
 * Nothing but the file says what it is: the reader must tell the network, and how its pictures are to be prepared. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/model.h"
#include "base/file.h"
#include "caffe_network.h"
#include "golden/golden.h"
#include "io/caffe.h"

/* Where the writer finds the tensors of a network: its parameters; asked for, they are marked. */
typedef struct parameters {
    const sn_graph *graph;
    const sn_params *params;
    bool *asked;
    float *kept[4]; /* the last answers */
    int turn;
    float *stem_bias; /* of conv1: the mean is written larger by as much, and folding takes it away again */
} parameters;

static float *values_of(parameters *p, int index)
{
    int64_t count = sn_shape_elements(p->graph->params[index].shape);
    float **place = &p->kept[p->turn++ % 4];
    *place = realloc(*place, (size_t)count * sizeof **place);
    assert_non_null(*place);
    sn_params_get(p->params, p->graph, index, *place);
    return *place;
}

static caffe_blob find_tensor(void *context, const char *tensor)
{
    parameters *p = context;
    int index = sn_graph_find_param(p->graph, tensor);
    if (index < 0 && p->stem_bias && strcmp(tensor, "conv1.bias") == 0) return (caffe_blob){1, {64}, p->stem_bias};
    if (index < 0) return (caffe_blob){0};
    const sn_param *param = &p->graph->params[index];
    caffe_blob blob = {.rank = param->rank};
    memcpy(blob.dims, param->dims, sizeof blob.dims);
    float *values = values_of(p, index);
    if (p->stem_bias && strcmp(tensor, "bn1.running_mean") == 0)
        for (int i = 0; i < 64; i++) values[i] += p->stem_bias[i];
    p->asked[index] = true;
    blob.values = values;
    return blob;
}

/* The network with the reference's weights as a Caffe file. */
static void write_caffe(const golden_file *file, float *stem_bias, const char *path)
{
    senet_model *model;
    caffe_bytes net = {0};
    if (sn_model_create(file->net, &model) != SENET_OK) fail_msg("%s", senet_last_error());
    golden_fill(model->layout, model->params, file->seed);
    size_t count = model->layout->params_count;
    parameters p = {model->layout, model->params, calloc(count, sizeof(bool)), .stem_bias = stem_bias};
    /* what 1000 batches of Caffe's moving average add up to */
    caffe_source source = {find_tensor, &p, 999.9823f};
    assert_true(caffe_write_network(&net, file->net, &source));
    for (size_t i = 0; i < count; i++)
        if (!p.asked[i]) fail_msg("'%s' is in no layer", model->layout->params[i].name);
    if (sn_file_write(path, net.bytes, net.size) != SENET_OK) fail_msg("%s", senet_last_error());
    for (int i = 0; i < 4; i++) free(p.kept[i]);
    free(p.asked);
    free(net.bytes);
    senet_model_destroy(model);
}

static void check_preprocess(const senet_model *model)
{
    static const float mean[3] = {104, 117, 123};
    const sn_preprocess *how = &model->preprocess;
    assert_true(how->bgr && how->height == 224 && how->width == 224 && how->crop_pct == 0.875f);
    assert_int_equal(how->interpolation, SN_INTERPOLATION_BILINEAR);
    for (int i = 0; i < 3; i++) {
        /* eight digits in the table: within a thousandth of a grey level */
        assert_true(fabsf(how->mean[i] * 255 - mean[i]) < 1e-3f);
        assert_true(fabsf(how->std[i] * 255 - 1) < 1e-5f);
    }
}

static void check_logits(const golden_file *file, const senet_model *model)
{
    sn_graph *graph;
    sn_program *program;
    sn_program_options options = {.params = model->params};
    double largest = 0;
    const double *expected = file->logits.items;
    if (sn_model_build_inference(model, file->n, file->h, file->w, NULL, 0, &graph) != SENET_OK ||
        sn_program_create(graph, &options, &program) != SENET_OK)
        fail_msg("%s", senet_last_error());
    float *pictures = golden_pictures(file, SN_FLOAT);
    assert_int_equal(sn_program_set_input(program, "input", pictures), SENET_OK);
    assert_int_equal(sn_program_run(program), SENET_OK);
    const float *logits = sn_program_output(program, "logits", NULL);
    for (size_t i = 0; i < file->logits.count; i++) largest = fmax(largest, fabs(expected[i]));
    /* GOLDEN.md's measure of what float32 can do; the factor of the sums costs a rounding, as any operation does */
    for (size_t i = 0; i < file->logits.count; i++)
        golden_expect(file, "a logit", (double)logits[i], expected[i], 20 * file->f32dev + 1e-5 * largest);
    free(pictures);
    sn_program_destroy(program);
    sn_graph_destroy(graph);
}

static void run_network(const char *network, bool biased_stem)
{
    char path[1100], caffe[] = "/tmp/senet-test-XXXXXX.caffemodel";
    golden_file file;
    senet_model *model;
    float stem_bias[64];
    for (int i = 0; i < 64; i++) stem_bias[i] = (float)(i - 32) / 64;
    snprintf(path, sizeof path, "%s/%s.txt", golden_folder(), network);
    golden_read(path, &file);
    int descriptor = mkstemps(caffe, (int)strlen(".caffemodel"));
    assert_true(descriptor >= 0);
    close(descriptor);
    write_caffe(&file, biased_stem ? stem_bias : NULL, caffe);
    senet_status status = sn_model_open(caffe, NULL, &model);
    unlink(caffe);
    if (status != SENET_OK) fail_msg("%s", senet_last_error());
    assert_string_equal(model->name, file.net);
    assert_int_equal(model->loaded.unused, 0);
    assert_int_equal(model->loaded.folded_biases, biased_stem);
    check_preprocess(model);
    check_logits(&file, model);
    senet_model_destroy(model);
    golden_free(&file);
}

#define NETWORK(name, biased_stem)                                                                                     \
    static void test_##name(void **state)                                                                              \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        run_network(#name, biased_stem);                                                                               \
    }
NETWORK(se_resnet50, false)
NETWORK(se_resnext50_32x4d, false)
NETWORK(se_resnet101, false)
NETWORK(senet154, false)
NETWORK(se_bn_inception, false)
NETWORK(resnet50, true) /* KaimingHe's, whose first convolution has a bias */

int main(void)
{
    if (!golden_folder()) {
        fprintf(stderr, "skipped: no golden files beside the project (SENET_SHARED names their folder's parent)\n");
        return 77;
    }
    if (!sn_caffe_is_supported()) {
        fprintf(stderr, "skipped: built without protobuf-c\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_se_resnet50),     cmocka_unit_test(test_se_resnext50_32x4d),
        cmocka_unit_test(test_se_resnet101),    cmocka_unit_test(test_senet154),
        cmocka_unit_test(test_se_bn_inception), cmocka_unit_test(test_resnet50),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
