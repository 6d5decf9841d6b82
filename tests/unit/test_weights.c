/* test_weights.c - weights files: aliases, shapes, types, folded biases; nothing changes when anything is wrong. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/text.h"
#include "io/weights.h"
#include "test_data_files.h"
#include "test_failures.h"
#include "zoo/zoo.h"

/* A network with its parameters, and the same values as tensors that a test can rename, reshape and damage. */
typedef struct model {
    sn_spec spec;
    sn_graph *graph;
    sn_params *params;
    sn_tensor *tensors; /* names, data: malloc */
    size_t count;
    char *folder, path[4200];
} model;

/* Values that fit every kind of parameter: in 0.25 .. 0.75, exact in BF16, different for every element. */
static float value_of(size_t param, size_t element)
{
    return 0.25f + (float)(sn_rng_u64(sn_rng_key(3, SN_RNG_TEST, param, 0), element) % 64) / 128;
}

static void add_tensor(model *m, const char *name, int rank, const int64_t *dims, size_t seed)
{
    size_t count = 1;
    for (int d = 0; d < rank; d++) count *= (size_t)dims[d];
    float *data = malloc(count * sizeof *data);
    for (size_t i = 0; i < count; i++) data[i] = value_of(seed, i);
    m->tensors[m->count] = (sn_tensor){
        .name = strdup(name), .type = SN_TENSOR_F32, .rank = rank, .data = data, .bytes = count * sizeof *data};
    if (rank) memcpy(m->tensors[m->count].dims, dims, (size_t)rank * sizeof *dims);
    m->count++;
}

static model open_model_as(const char *name, sn_mode mode)
{
    model m = {0};
    assert_works(sn_spec_parse(name, &m.spec));
    assert_works(sn_model_build(&m.spec, &(sn_build_options){.mode = mode, .batch = 1}, &m.graph));
    assert_works(sn_params_create(m.graph, SN_FLOAT, &m.params));
    m.tensors = calloc(m.graph->params_count + 8, sizeof *m.tensors);
    for (size_t i = 0; i < m.graph->params_count; i++)
        add_tensor(&m, m.graph->params[i].name, m.graph->params[i].rank, m.graph->params[i].dims, i);
    m.folder = make_scratch();
    snprintf(m.path, sizeof m.path, "%s/w.safetensors", m.folder);
    return m;
}

static model open_model(const char *name)
{
    return open_model_as(name, SN_MODE_EVAL);
}

static void close_model(model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        free((char *)(uintptr_t)m->tensors[i].name);
        free((void *)(uintptr_t)m->tensors[i].data);
    }
    free(m->tensors);
    sn_params_destroy(m->params);
    sn_graph_destroy(m->graph);
    remove_scratch(m->folder);
}

static sn_tensor *find(model *m, const char *name)
{
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->tensors[i].name, name) == 0) return &m->tensors[i];
    fail_msg("no tensor '%s'", name);
    return NULL;
}

static void rename_tensor(model *m, const char *from, const char *to)
{
    sn_tensor *tensor = find(m, from);
    free((char *)(uintptr_t)tensor->name);
    tensor->name = strdup(to);
}

static void remove_tensor(model *m, const char *name)
{
    sn_tensor *tensor = find(m, name);
    free((char *)(uintptr_t)tensor->name);
    free((void *)(uintptr_t)tensor->data);
    *tensor = m->tensors[--m->count];
}

static float *values(model *m, const char *name)
{
    return (float *)(uintptr_t)find(m, name)->data;
}

/* Every tensor under another name: `edit` writes the new one. */
static void rename_all(model *m, void (*edit)(const char *name, char *out, size_t size))
{
    for (size_t i = 0; i < m->count; i++) {
        char name[512];
        edit(m->tensors[i].name, name, sizeof name);
        free((char *)(uintptr_t)m->tensors[i].name);
        m->tensors[i].name = strdup(name);
    }
}

static senet_status load(model *m, const sn_metadata_entry *metadata, size_t metadata_count, sn_load_report *report)
{
    sn_tensors *file = NULL;
    assert_works(sn_tensors_write(m->path, m->tensors, m->count, metadata, metadata_count));
    assert_works(sn_tensors_open(m->path, &file));
    senet_status status = sn_weights_load(file, m->spec.base, m->graph, m->params, report);
    sn_tensors_close(file);
    return status;
}

/* The parameters have value_of() everywhere, less `bias` (NULL: nothing) in the running mean `mean`. */
static void check_loaded(const model *m, const char *mean, const float *bias)
{
    for (size_t i = 0; i < m->graph->params_count; i++) {
        const sn_param *param = &m->graph->params[i];
        bool folded = mean && strcmp(param->name, mean) == 0;
        for (int64_t e = 0; e < sn_shape_elements(param->shape); e++) {
            float wanted = value_of(i, (size_t)e) - (folded ? bias[e] : 0);
            if (sn_params_read(m->params, m->graph, (int)i, e) != (double)wanted)
                fail_msg("%s[%d]", param->name, (int)e);
        }
    }
}

static void check_untouched(const model *m)
{
    size_t total;
    const float *block = sn_params_block(m->params, NULL, &total);
    for (size_t i = 0; i < total; i++) assert_true(block[i] == 0);
}

static void canonical_files_load(void **state)
{
    (void)state;
    model m = open_model("se_cifar_resnet8:r=4");
    sn_load_report report;
    assert_works(load(&m, NULL, 0, &report));
    check_loaded(&m, NULL, NULL);
    assert_int_equal(report.renamed + report.reshaped + report.converted + report.folded_biases + report.unused, 0);
    assert_null(report.names);
    close_model(&m);
}

static void saved_files_load(void **state)
{
    (void)state;
    model m = open_model("se_cifar_resnet8"), again = open_model("se_cifar_resnet8");
    static char *labels[] = {"cat, tabby", "dog", "a", "b", "c", "d", "e", "f", "g", "h"};
    sn_weights_info info = {.model = "se_cifar_resnet8",
                            .classes = 10,
                            .labels = labels,
                            .labels_count = 10,
                            .has_preprocess = true,
                            .preprocess = sn_preprocess_default(32)};
    info.preprocess.bgr = true;
    info.preprocess.crop_pct = 0.9f;
    info.preprocess.interpolation = SN_INTERPOLATION_PIL_BICUBIC;
    const sn_metadata_entry extra[] = {{"dataset", "cifar10"}, {"format", "mine"}};
    sn_tensors *file = NULL;
    sn_weights_info read;
    assert_works(load(&m, NULL, 0, NULL));
    assert_works(sn_weights_save(again.path, m.graph, m.params, &info, extra, 2));
    assert_works(sn_tensors_open(again.path, &file));
    assert_works(sn_weights_load(file, "cifar_resnet8", again.graph, again.params, NULL));
    check_loaded(&again, NULL, NULL);
    assert_string_equal(sn_tensors_metadata(file, "dataset"), "cifar10");
    assert_string_equal(sn_tensors_metadata(file, "format"), "mine"); /* extra entries win */
    assert_string_equal(sn_tensors_metadata(file, "mean"), "0.485,0.456,0.406");
    assert_string_equal(sn_tensors_metadata(file, "bn_eps"), "1e-05");
    assert_works(sn_weights_info_read(file, &read));
    assert_string_equal(read.model, "se_cifar_resnet8");
    assert_int_equal(read.classes, 10);
    assert_int_equal(read.labels_count, 10);
    for (int i = 0; i < 10; i++) assert_string_equal(read.labels[i], labels[i]);
    assert_true(read.has_preprocess);
    const sn_preprocess *got = &read.preprocess, *given = &info.preprocess;
    assert_true(got->height == given->height && got->width == given->width && got->bgr == given->bgr);
    assert_true(got->crop_pct == given->crop_pct && got->interpolation == given->interpolation);
    assert_memory_equal(got->mean, given->mean, sizeof got->mean);
    assert_memory_equal(got->std, given->std, sizeof got->std);
    sn_weights_info_free(&read);
    sn_tensors_close(file);
    assert_fails(sn_weights_save("/dev/full", m.graph, m.params, &info, NULL, 0), SENET_CANNOT_WRITE, "/dev/full: ");
    close_model(&m);
    close_model(&again);
}

static void as_akamaster(const char *name, char *out, size_t size)
{
    if (strncmp(name, "fc.", 3) == 0)
        snprintf(out, size, "module.linear.%s", name + 3);
    else
        snprintf(out, size, "module.%s", name);
}

/* timm's legacy names, wrapped twice; the excitation as linear layers, as moskomule's. */
static void as_legacy(const char *name, char *out, size_t size)
{
    const char *se = strstr(name, ".se.fc");
    if (se)
        snprintf(out, size, "state_dict.model.%.*s.se_module.fc.%c.%s", (int)(se - name), name,
                 se[6] == '1' ? '0' : '2', se + 8);
    else if (strncmp(name, "fc.", 3) == 0)
        snprintf(out, size, "last_linear.%s", name + 3);
    else if (strncmp(name, "conv1", 5) == 0 || strncmp(name, "bn1", 3) == 0)
        snprintf(out, size, "layer0.%s", name);
    else
        snprintf(out, size, "%s", name);
}

static void aliases_load(void **state)
{
    (void)state;
    model m = open_model("cifar_resnet8");
    sn_load_report report;
    rename_all(&m, as_akamaster);
    static const int64_t none[1] = {1};
    add_tensor(&m, "module.bn1.num_batches_tracked", 0, none, 0);
    assert_works(load(&m, NULL, 0, &report));
    check_loaded(&m, NULL, NULL);
    assert_int_equal(report.renamed, m.graph->params_count);
    assert_int_equal(report.unused, 0);
    close_model(&m);

    m = open_model("se_cifar_resnet8");
    for (size_t i = 0; i < m.graph->params_count; i++)
        if (m.graph->params[i].in_se && m.tensors[i].rank == 4) m.tensors[i].rank = 2; /* [a,b,1,1] -> [a,b] */
    find(&m, "fc.weight")->rank = 4;
    find(&m, "fc.weight")->dims[2] = find(&m, "fc.weight")->dims[3] = 1;
    rename_all(&m, as_legacy);
    assert_works(load(&m, NULL, 0, &report));
    check_loaded(&m, NULL, NULL);
    assert_int_equal(report.reshaped, 3 * 2 + 1); /* three blocks of two layers, the classifier */
    close_model(&m);
}

static void halves_and_doubles_load(void **state)
{
    (void)state;
    model m = open_model("cifar_resnet8");
    sn_load_report report;
    for (size_t i = 0; i < m.count; i++) {
        sn_tensor *tensor = &m.tensors[i];
        const float *from = tensor->data;
        size_t count = tensor->bytes / 4;
        if (i % 3 == 0) continue;
        void *to = malloc(count * 8);
        for (size_t e = 0; e < count; e++) {
            uint32_t bits;
            memcpy(&bits, &from[e], 4);
            if (i % 3 == 1)
                ((uint16_t *)to)[e] = (uint16_t)(bits >> 16); /* BF16: value_of() fits */
            else
                ((double *)to)[e] = (double)from[e];
        }
        free((void *)(uintptr_t)tensor->data);
        tensor->type = i % 3 == 1 ? SN_TENSOR_BF16 : SN_TENSOR_F64;
        tensor->data = to;
        tensor->bytes = count * sn_tensor_type_bytes(tensor->type);
    }
    assert_works(load(&m, NULL, 0, &report));
    check_loaded(&m, NULL, NULL);
    assert_int_equal(report.converted, m.count - (m.count + 2) / 3);
    close_model(&m);
}

/* The bias of a convolution before batch norm moves into the running mean; in whichever shape the graph is. */
static void conv_biases_are_folded(void **state)
{
    (void)state;
    static const sn_mode modes[] = {SN_MODE_EVAL, SN_MODE_TRAIN};
    static const int64_t width[1] = {16};
    for (int i = 0; i < 2; i++) {
        model m = open_model_as("cifar_resnet8", modes[i]);
        sn_load_report report;
        add_tensor(&m, "layer1.0.conv2.bias", 1, width, 1000);
        assert_works(load(&m, NULL, 0, &report));
        assert_int_equal(report.folded_biases, 1);
        assert_int_equal(report.unused, 0);
        check_loaded(&m, "layer1.0.bn2.running_mean", values(&m, "layer1.0.conv2.bias"));
        find(&m, "layer1.0.conv2.bias")->bytes = 15 * 4;
        find(&m, "layer1.0.conv2.bias")->dims[0] = 15;
        assert_fails(load(&m, NULL, 0, NULL), SENET_BAD_DATA, "tensor 'layer1.0.conv2.bias' is [15]",
                     "'layer1.0.bn2.running_mean', which takes the bias, is [16]");
        close_model(&m);
    }
    /* In a pre-activation unit the last convolution goes into the sum: no batch norm can take its bias. */
    model m = open_model("cifar_preresnet8");
    sn_load_report report;
    add_tensor(&m, "layer1.0.conv2.bias", 1, width, 1000);
    add_tensor(&m, "layer1.0.conv1.bias", 1, width, 1001);
    assert_works(load(&m, NULL, 0, &report));
    assert_int_equal(report.folded_biases, 1);
    assert_int_equal(report.unused, 1);
    assert_string_equal(report.names[0], "layer1.0.conv2.bias");
    sn_load_report_free(&report);
    check_loaded(&m, "layer1.0.bn2.running_mean", values(&m, "layer1.0.conv1.bias"));
    close_model(&m);
}

static void wrong_files_change_nothing(void **state)
{
    (void)state;
    model m = open_model("se_cifar_resnet8");
    rename_tensor(&m, "layer2.0.conv1.weight", "layer2.0.convX.weight");
    assert_fails(load(&m, NULL, 0, NULL), SENET_BAD_DATA, m.path,
                 "tensor 'layer2.0.conv1.weight' [32,16,3,3] is missing (1 of the model's ",
                 "; 1 tensors of the file are unknown, first 'layer2.0.convX.weight'");
    check_untouched(&m);
    rename_tensor(&m, "layer2.0.convX.weight", "module.conv1.weight");
    assert_fails(load(&m, NULL, 0, NULL), SENET_BAD_DATA,
                 "tensors 'conv1.weight' and 'module.conv1.weight' are both 'conv1.weight'");
    rename_tensor(&m, "module.conv1.weight", "layer2.0.conv1.weight");

    sn_tensor *tensor = find(&m, "fc.weight"), kept = *tensor;
    tensor->dims[0] = 64, tensor->dims[1] = 10;
    assert_fails(load(&m, NULL, 0, NULL), SENET_BAD_DATA,
                 "tensor 'fc.weight' is [64,10], but the model's 'fc.weight' is [10,64]");
    tensor->dims[0] = 5, tensor->dims[1] = 128;
    assert_fails(load(&m, NULL, 0, NULL), SENET_BAD_DATA, "is [5,128]");
    *tensor = kept;
    tensor->type = SN_TENSOR_I32;
    assert_fails(load(&m, NULL, 0, NULL), SENET_BAD_DATA, "tensor 'fc.weight' is I32, not of floating point");
    *tensor = kept;

    static const struct {
        const char *name;
        int element;
        float value;
        const char *message;
    } damages[] = {
        {"layer1.0.conv1.weight", 17, NAN, "layer1.0.conv1.weight[17] is not finite"},
        {"fc.bias", 9, INFINITY, "fc.bias[9] is not finite"},
        {"layer3.0.bn2.running_var", 3, -0.5f,
         "layer3.0.bn2.running_var[3] is -0.5, but a variance cannot be negative"},
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        float *place = values(&m, damages[i].name) + damages[i].element, good = *place;
        *place = damages[i].value;
        assert_fails(load(&m, NULL, 0, NULL), SENET_BAD_DATA, m.path, damages[i].message);
        *place = good;
    }
    const sn_metadata_entry epsilon = {"bn_eps", "0.001"}, word = {"bn_eps", "small"};
    assert_fails(load(&m, &epsilon, 1, NULL), SENET_BAD_DATA,
                 "metadata 'bn_eps' is 0.001, but the model's batch norms have 1e-05");
    assert_fails(load(&m, &word, 1, NULL), SENET_BAD_DATA, "metadata 'bn_eps' is 'small', not a number");
    remove_tensor(&m, "layer1.0.se.fc1.bias");
    assert_fails(load(&m, NULL, 0, NULL), SENET_BAD_DATA, "'layer1.0.se.fc1.bias' [", "use the model option bias=0");
    check_untouched(&m);
    close_model(&m);
}

/* A bias of an SE block that the model is without cannot go anywhere: it is reported, not dropped in silence. */
static void what_has_no_place_is_reported(void **state)
{
    (void)state;
    static const int64_t one[1] = {1}, wide[1] = {16};
    model m = open_model("se_cifar_resnet8:bias=0");
    sn_load_report report;
    add_tensor(&m, "layer1.0.se.fc1.bias", 1, one, 1000);
    add_tensor(&m, "layer1.0.se.fc2.bias", 1, wide, 1001);
    add_tensor(&m, "bn1.num_batches_tracked", 0, NULL, 1002);
    add_tensor(&m, "esc\033[31maped", 1, one, 1003);
    assert_works(load(&m, NULL, 0, &report));
    check_loaded(&m, NULL, NULL);
    assert_int_equal(report.unused, 3);
    assert_string_equal(report.names[0], "layer1.0.se.fc1.bias");
    assert_string_equal(report.names[1], "layer1.0.se.fc2.bias");
    assert_string_equal(report.names[2], "esc?[31maped");
    sn_load_report_free(&report);
    sn_load_report_free(NULL);
    close_model(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_files_load),
        cmocka_unit_test(saved_files_load),
        cmocka_unit_test(aliases_load),
        cmocka_unit_test(halves_and_doubles_load),
        cmocka_unit_test(conv_biases_are_folded),
        cmocka_unit_test(wrong_files_change_nothing),
        cmocka_unit_test(what_has_no_place_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
