/* test_names.c - what other libraries call our tensors, and the way back: every rule, and for whole networks that each
 * tensor written under another library's name is found again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exec/exec.h"
#include "io/names.h"
#include "io/names_export.h"
#include "io/origin.h"
#include "io/weights.h"
#include "test_failures.h"
#include "zoo/zoo.h"

typedef struct name_case {
    const char *base, *from, *to;
} name_case;

static void check_names(const name_case *cases, size_t count)
{
    char canonical[SN_MAX_TENSOR_NAME];
    for (size_t i = 0; i < count; i++) {
        assert_true(sn_canonical_name(cases[i].base, cases[i].from, canonical));
        assert_string_equal(canonical, cases[i].to);
    }
}
#define CHECK_NAMES(cases) check_names(cases, sizeof cases / sizeof *cases)

/* NAMES.md section 4, rule by rule. */
static void names_of_torch_libraries(void **state)
{
    (void)state;
    static const name_case cases[] = {
        /* 1: wrappers, repeatedly */
        {"resnet50", "module.model.layer0.conv1.weight", "conv1.weight"},
        {"wrn16_8", "state_dict.net.module.conv1.weight", "conv1.weight"},
        {"resnet50", "network.conv1.weight", "network.conv1.weight"},
        /* 2: timm's legacy networks, Cadene, akamaster */
        {"resnext50_32x4d", "layer0.bn1.running_var", "bn1.running_var"},
        {"senet154", "layer0.conv3.weight", "conv3.weight"},
        {"senet154", "layer1.0.se_module.fc1.bias", "layer1.0.se.fc1.bias"},
        {"resnet101", "last_linear.weight", "fc.weight"},
        {"cifar_resnet20", "linear.weight", "fc.weight"},
        {"cifar_preresnet20", "linear.bias", "fc.bias"},
        {"cifar_resnet20", "layer2.0.shortcut.0.weight", "layer2.0.downsample.0.weight"},
        {"resnet50", "layer1.0.shortcut.1.running_mean", "layer1.0.downsample.1.running_mean"},
        {"resnet50", "linear.weight", "linear.weight"}, /* only CIFAR networks call it so */
        {"wrn16_8", "layer0.x", "layer0.x"},
        {"bn_inception", "last_linear.bias", "last_linear.bias"}, /* its canonical name */
        /* 3: SE layers of moskomule, of timm's EfficientNet */
        {"resnet50", "layer1.0.se.fc.0.weight", "layer1.0.se.fc1.weight"},
        {"cifar_resnet20", "layer1.0.se.fc.2.weight", "layer1.0.se.fc2.weight"},
        {"mobilenet", "blocks.0.0.se.conv_reduce.bias", "blocks.0.0.se.fc1.bias"},
        {"mobilenet", "blocks.0.0.se.conv_expand.weight", "blocks.0.0.se.fc2.weight"},
        /* 6 */
        {"inception_resnet_v2", "last_linear.bias", "classif.bias"},
        {"inception_resnet_v2", "classif.bias", "classif.bias"},
        {"mobilenet", "classifier.weight", "classifier.weight"},
        /* 7 */
        {"vgg16_bn", "pre_logits.fc1.weight", "classifier.0.weight"},
        {"vgg16_bn", "pre_logits.fc2.bias", "classifier.3.bias"},
        {"vgg16_bn", "head.fc.bias", "classifier.6.bias"},
        {"resnet50", "head.fc.bias", "head.fc.bias"},
    };
    char canonical[SN_MAX_TENSOR_NAME], longest[600];
    CHECK_NAMES(cases);
    memset(longest, 'x', sizeof longest);
    longest[599] = '\0';
    assert_false(sn_canonical_name("resnet50", longest, canonical));
    assert_true(sn_is_ignored_name("bn1.num_batches_tracked"));
    assert_true(sn_is_ignored_name("num_batches_tracked"));
    assert_false(sn_is_ignored_name("bn1.xnum_batches_tracked"));
}

/* NAMES.md section 4.1. */
static void names_of_caffe(void **state)
{
    (void)state;
    static const name_case cases[] = {
        {"resnet50", "conv1/7x7_s2.weight", "conv1.weight"},
        {"resnet50", "conv1/7x7_s2/bn.running_mean", "bn1.running_mean"},
        {"resnext101_32x4d", "conv1/7x7_s2/bn/scale.bias", "bn1.bias"},
        {"senet154", "conv1_1/3x3_s2.weight", "conv1.weight"},
        {"senet154", "conv1_2/3x3/bn.running_var", "bn2.running_var"},
        {"senet154", "conv1_3/3x3/bn/scale.weight", "bn3.weight"},
        {"resnet50", "conv2_1_1x1_reduce.weight", "layer1.0.conv1.weight"},
        {"resnet50", "conv3_4_3x3/bn.running_mean", "layer2.3.bn2.running_mean"},
        {"resnet152", "conv4_36_1x1_increase/bn/scale.weight", "layer3.35.bn3.weight"},
        {"resnet50", "conv5_3_1x1_down.bias", "layer4.2.se.fc1.bias"},
        {"resnet50", "conv5_3_1x1_up.weight", "layer4.2.se.fc2.weight"},
        {"senet154", "conv3_1_1x1_proj.weight", "layer2.0.downsample.0.weight"},
        {"senet154", "conv3_1_1x1_proj/bn/scale.bias", "layer2.0.downsample.1.bias"},
        {"resnet50", "classifier.weight", "fc.weight"},
        /* none of theirs */
        {"resnet50", "conv6_1_1x1_reduce.weight", "conv6_1_1x1_reduce.weight"},
        {"resnet50", "conv2_0_1x1_reduce.weight", "conv2_0_1x1_reduce.weight"},
        {"resnet50", "conv2_1_5x5.weight", "conv2_1_5x5.weight"},
        {"resnet50", "conv5_3_1x1_down/bn.running_mean", "conv5_3_1x1_down/bn.running_mean"},
        {"resnet50", "conv2_99999999999_3x3.weight", "conv2_99999999999_3x3.weight"},
        {"cifar_resnet20", "conv2_1_3x3.weight", "conv2_1_3x3.weight"},
        {"vgg16_bn", "classifier.weight", "classifier.weight"},
        /* SE-BN-Inception */
        {"bn_inception", "conv1/7x7_s2.weight", "conv1_7x7_s2.weight"},
        {"bn_inception", "conv2/3x3_reduce/bn.running_var", "conv2_3x3_reduce_bn.running_var"},
        {"bn_inception", "inception_3a/1x1/bn/scale.weight", "inception_3a_1x1_bn.weight"},
        {"bn_inception", "inception_3a/double3x3_reduce.weight", "inception_3a_double_3x3_reduce.weight"},
        {"bn_inception", "inception_4e/double3x3a.weight", "inception_4e_double_3x3_1.weight"},
        {"bn_inception", "inception_5b/double3x3b/bn.running_mean", "inception_5b_double_3x3_2_bn.running_mean"},
        {"bn_inception", "inception_3a/pool_proj.weight", "inception_3a_pool_proj.weight"},
        {"bn_inception", "inception_3a_1x1_down.bias", "inception_3a_se.fc1.bias"},
        {"bn_inception", "inception_3a_1x1_up.weight", "inception_3a_se.fc2.weight"},
        {"bn_inception", "classifier.bias", "last_linear.bias"},
        {"bn_inception", "inception_3a_double_3x3_1.weight", "inception_3a_double_3x3_1.weight"}, /* Cadene's */
        /* KaimingHe */
        {"resnet50", "conv1.bias", "conv1.bias"},
        {"resnet50", "bn_conv1.running_mean", "bn1.running_mean"},
        {"resnet50", "scale_conv1.bias", "bn1.bias"},
        {"resnet50", "res2a_branch2a.weight", "layer1.0.conv1.weight"},
        {"resnet50", "bn3d_branch2b.running_var", "layer2.3.bn2.running_var"},
        {"resnet50", "scale5c_branch2c.weight", "layer4.2.bn3.weight"},
        {"resnet101", "res4b22_branch2c.weight", "layer3.22.conv3.weight"},
        {"resnet152", "bn3b7_branch2a.running_mean", "layer2.7.bn1.running_mean"},
        {"resnet101", "res3b_branch2a.weight", "layer2.1.conv1.weight"},
        {"resnet50", "res2a_branch1.weight", "layer1.0.downsample.0.weight"},
        {"resnet50", "scale2a_branch1.bias", "layer1.0.downsample.1.bias"},
        {"resnet50", "fc1000.bias", "fc.bias"},
        {"resnet50", "res6a_branch1.weight", "res6a_branch1.weight"},
        {"resnet50", "res2_branch1.weight", "res2_branch1.weight"},
    };
    CHECK_NAMES(cases);
}

/* ---- the way back ---- */

static sn_graph *build(const char *model, sn_spec *spec)
{
    sn_graph *graph = NULL;
    sn_build_options options = {.mode = SN_MODE_EVAL, .batch = 1, .no_fuse = true};
    assert_works(sn_spec_parse(model, spec));
    assert_works(sn_model_build(spec, &options, &graph));
    return graph;
}

static int64_t elements_of(const int64_t *dims, int rank)
{
    int64_t elements = 1;
    for (int d = 0; d < rank; d++) elements *= dims[d];
    return elements;
}

/* Each tensor's name there is one of its own, comes back as ours, and its shape holds as many elements. */
static void written_names_are_found_again(void **state)
{
    (void)state;
    static const struct {
        const char *library, *model, *network, *ours, *theirs;
        int rank;
        int64_t dims[4];
    } cases[] = {
        {"timm",
         "se_resnet50:classes=365",
         "legacy_seresnet50",
         "layer1.0.se.fc1.weight",
         "layer1.0.se_module.fc1.weight",
         4,
         {16, 256, 1, 1}},
        {"timm", "se_resnet101", "legacy_seresnet101", "bn1.bias", "layer0.bn1.bias", 1, {64}},
        {"timm", "senet154", "legacy_senet154", "conv3.weight", "layer0.conv3.weight", 4, {128, 64, 3, 3}},
        {"timm", "se_resnext50_32x4d", "legacy_seresnext50_32x4d", "fc.weight", "last_linear.weight", 2, {1000, 2048}},
        {"timm",
         "se_resnet50:down=3x3,pool=pad1",
         "seresnet50",
         "layer1.0.se.fc1.weight",
         "layer1.0.se.fc1.weight",
         4,
         {16, 256, 1, 1}},
        {"timm", "vgg16_bn", "vgg16_bn", "classifier.0.weight", "pre_logits.fc1.weight", 4, {4096, 512, 7, 7}},
        {"timm",
         "vgg16_bn:classes=10",
         "vgg16_bn",
         "classifier.3.weight",
         "pre_logits.fc2.weight",
         4,
         {4096, 4096, 1, 1}},
        {"timm", "vgg16_bn:classes=10", "vgg16_bn", "classifier.6.weight", "head.fc.weight", 2, {10, 4096}},
        {"timm", "mobilenet:act=relu6", "mobilenetv1_100", "classifier.weight", "classifier.weight", 2, {1000, 1024}},
        {"timm", "inception_resnet_v2", "inception_resnet_v2", "classif.weight", "classif.weight", 2, {1000, 1536}},
        {"torchvision", "vgg16_bn", "vgg16_bn", "classifier.0.weight", "classifier.0.weight", 2, {4096, 25088}},
        {"torchvision", "resnet50:down=3x3,pool=pad1", "resnet50", "fc.weight", "fc.weight", 2, {1000, 2048}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sn_spec spec;
        const sn_naming *naming = NULL;
        sn_graph *graph = build(cases[i].model, &spec);
        assert_works(sn_naming_find(cases[i].library, cases[i].model, &naming));
        assert_string_equal(sn_naming_network(naming), cases[i].network);
        for (size_t p = 0; p < graph->params_count; p++) {
            const sn_param *param = &graph->params[p];
            char theirs[SN_MAX_TENSOR_NAME], back[SN_MAX_TENSOR_NAME];
            int64_t dims[4];
            int rank = sn_naming_tensor(naming, param, theirs, dims);
            assert_true(sn_canonical_name(spec.base, theirs, back));
            assert_string_equal(back, param->name);
            assert_int_equal(elements_of(dims, rank), elements_of(param->dims, param->rank));
            if (strcmp(param->name, cases[i].ours) != 0) continue;
            assert_string_equal(theirs, cases[i].theirs);
            assert_int_equal(rank, cases[i].rank);
            assert_memory_equal(dims, cases[i].dims, (size_t)rank * sizeof *dims);
        }
        sn_graph_destroy(graph);
    }
}

/* Same shapes are not enough: where the other library's network computes something else, there is no such name. */
static void other_networks_have_no_name_there(void **state)
{
    (void)state;
    static const struct {
        const char *library, *model, *message;
    } cases[] = {
        {"torchvision", "se_resnet50", "torchvision has no network that computes what 'se_resnet50' does"},
        {"torchvision", "resnet50", "its resnet50 is 'resnet50:down=3x3,pool=pad1'"},
        {"torchvision", "resnext101_32x4d:pool=pad1", "torchvision has no network"},
        {"timm", "resnet50:pool=pad1", "its resnet50 is 'resnet50:down=3x3,pool=pad1'"},
        {"timm", "se_resnet50:bias=0", "timm has no network that computes what 'se_resnet50:bias=0' does"},
        {"timm", "mobilenet", "its mobilenetv1_100 is 'mobilenet:act=relu6'"},
        {"timm", "se_cifar_resnet20", "timm has no network"},
        {"timm", "se_vgg16_bn", "timm has no network"},
    };
    const sn_naming *naming;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_fails(sn_naming_find(cases[i].library, cases[i].model, &naming), SENET_USAGE, cases[i].message);
    assert_works(sn_naming_find("canonical", "se_cifar_resnet20", &naming));
    assert_null(naming);
}

/* NAMES.md section 5. */
static void origins_say_how_to_prepare_pictures(void **state)
{
    (void)state;
    static const struct {
        const char *origin, *base;
        bool bgr;
        float mean[3], std[3]; /* of 255 for BGR, of 1 for RGB */
    } cases[] = {
        {"caffe", "resnet50", true, {104, 117, 123}, {1, 1, 1}},
        {"cadene", "bn_inception", true, {104, 117, 128}, {1, 1, 1}},
        {"cadene", "senet154", false, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}},
        {"torchvision", "vgg16_bn", false, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}},
        {"timm", "resnet50", false, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}},
        {"timm", "inception_resnet_v2", false, {0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}},
        {"timm", "mobilenet", false, {0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}},
        {"akamaster", "cifar_resnet20", false, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sn_preprocess how = {0};
        const sn_metadata_entry *entry = sn_origin_metadata(cases[i].origin, cases[i].base);
        assert_non_null(entry);
        for (; entry->key; entry++) assert_null(sn_preprocess_set(&how, entry->key, entry->value));
        assert_int_equal(how.bgr, cases[i].bgr);
        float unit = cases[i].bgr ? 255 : 1;
        for (int c = 0; c < 3; c++) { /* eight digits in the table */
            assert_float_equal(how.mean[c] * unit, cases[i].mean[c], 1e-6 * unit);
            assert_float_equal(how.std[c] * unit, cases[i].std[c], 1e-6 * unit);
        }
    }
    assert_null(sn_origin_metadata("elsewhere", "resnet50"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_torch_libraries),
        cmocka_unit_test(names_of_caffe),
        cmocka_unit_test(written_names_are_found_again),
        cmocka_unit_test(other_networks_have_no_name_there),
        cmocka_unit_test(origins_say_how_to_prepare_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
