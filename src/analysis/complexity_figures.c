/* complexity_figures.c - the paper's complexity figures [Hu, Shen, Albanie, Sun, Wu, arXiv:1709.01507v4], each with the
 * model whose count stands beside it and, where the two differ, the reason. */
#include <stddef.h>

#include "analysis/complexity_figures.h"

static const char depth[] =
    "The paper is 0.1 to 0.3% above. Its deeper residual networks fit one more operation for every output of a batch "
    "norm, cut "
    "instead of rounded; VGG-16 and Table 13 exclude that convention, and none is known that gives every figure.";
static const char bn_inception[] = "The paper is 0.3% above, and nothing explains it: the plain network agrees.";
static const char inception_resnet[] =
    "The paper does not define its network. Ours is the public definition (10, 20, 10 blocks), which costs 13.16 G; "
    "the blocks "
    "of the figures in Szegedy et al. cost 9.26 G. The difference that SE makes, 0.01 to 0.02 G, agrees.";
static const char shufflenet_macs[] = "140 M is the nominal class of the ShuffleNet paper, whose own count of this "
                                      "network is 137 M. SE adds 2 M in both.";
static const char shufflenet_params[] = "1.866 and 2.485 M cut instead of rounded give the paper's 1.8 and 2.4 M.";
static const char reduction_8[] = "30.64 M without biases in the SE layers; with them it is 30.66 M, which rounds to "
                                  "the paper's figure, but then r = 2 "
                                  "would be 45.8 M against its 45.7 M.";
static const char rounded_share[] =
    "Of the rounded figures, (3.87 - 3.86) / 3.86, as in the paper; of the counts it is 0.21%.";
static const char about_25[] = "\"~25 million\" in section 4; Table 10 says 25.6 M.";

#define T2 "2"
#define T3 "3"
#define T10 "10"
#define T13 "13"
#define T15 "15"
#define T16 "16"
#define S4 "section 4"

const sn_paper_figure sn_paper_figures[] = {
    {T2, "ResNet-50", "resnet50", NULL, SN_FIGURE_GIGA_MACS, 3.86, NULL},
    {T2, "SE-ResNet-50", "se_resnet50", NULL, SN_FIGURE_GIGA_MACS, 3.87, NULL},
    {T2, "ResNet-101", "resnet101", NULL, SN_FIGURE_GIGA_MACS, 7.58, depth},
    {T2, "SE-ResNet-101", "se_resnet101", NULL, SN_FIGURE_GIGA_MACS, 7.60, depth},
    {T2, "ResNet-152", "resnet152", NULL, SN_FIGURE_GIGA_MACS, 11.30, depth},
    {T2, "SE-ResNet-152", "se_resnet152", NULL, SN_FIGURE_GIGA_MACS, 11.32, depth},
    {T2, "ResNeXt-50", "resnext50_32x4d", NULL, SN_FIGURE_GIGA_MACS, 4.24, depth},
    {T2, "SE-ResNeXt-50", "se_resnext50_32x4d", NULL, SN_FIGURE_GIGA_MACS, 4.25, depth},
    {T2, "ResNeXt-101", "resnext101_32x4d", NULL, SN_FIGURE_GIGA_MACS, 7.99, depth},
    {T2, "SE-ResNeXt-101", "se_resnext101_32x4d", NULL, SN_FIGURE_GIGA_MACS, 8.00, depth},
    {T2, "VGG-16", "vgg16_bn", NULL, SN_FIGURE_GIGA_MACS, 15.47, NULL},
    {T2, "SE-VGG-16", "se_vgg16_bn", NULL, SN_FIGURE_GIGA_MACS, 15.48, NULL},
    {T2, "BN-Inception", "bn_inception", NULL, SN_FIGURE_GIGA_MACS, 2.03, NULL},
    {T2, "SE-BN-Inception", "se_bn_inception", NULL, SN_FIGURE_GIGA_MACS, 2.04, bn_inception},
    {T2, "Inception-ResNet-v2", "inception_resnet_v2", NULL, SN_FIGURE_GIGA_MACS, 11.75, inception_resnet},
    {T2, "SE-Inception-ResNet-v2", "se_inception_resnet_v2", NULL, SN_FIGURE_GIGA_MACS, 11.76, inception_resnet},

    {T3, "MobileNet", "mobilenet", NULL, SN_FIGURE_MEGA_MACS, 569, NULL},
    {T3, "MobileNet", "mobilenet", NULL, SN_FIGURE_PARAMS, 4.2, NULL},
    {T3, "SE-MobileNet", "se_mobilenet", NULL, SN_FIGURE_MEGA_MACS, 572, NULL},
    {T3, "SE-MobileNet", "se_mobilenet", NULL, SN_FIGURE_PARAMS, 4.7, NULL},
    {T3, "ShuffleNet", "shufflenet_g3", NULL, SN_FIGURE_MEGA_MACS, 140, shufflenet_macs},
    {T3, "ShuffleNet", "shufflenet_g3", NULL, SN_FIGURE_PARAMS, 1.8, shufflenet_params},
    {T3, "SE-ShuffleNet", "se_shufflenet_g3", NULL, SN_FIGURE_MEGA_MACS, 142, shufflenet_macs},
    {T3, "SE-ShuffleNet", "se_shufflenet_g3", NULL, SN_FIGURE_PARAMS, 2.4, shufflenet_params},

    {T10, "original", "resnet50", NULL, SN_FIGURE_PARAMS_STATS, 25.6, NULL},
    {T10, "r = 2", "se_resnet50:r=2,bias=0", NULL, SN_FIGURE_PARAMS_STATS, 45.7, NULL},
    {T10, "r = 4", "se_resnet50:r=4,bias=0", NULL, SN_FIGURE_PARAMS_STATS, 35.7, NULL},
    {T10, "r = 8", "se_resnet50:r=8,bias=0", NULL, SN_FIGURE_PARAMS_STATS, 30.7, reduction_8},
    {T10, "r = 16", "se_resnet50:bias=0", NULL, SN_FIGURE_PARAMS_STATS, 28.1, NULL},
    {T10, "r = 32", "se_resnet50:r=32,bias=0", NULL, SN_FIGURE_PARAMS_STATS, 26.9, NULL},

    {T13, "ResNet-50", "resnet50", NULL, SN_FIGURE_GIGA_MACS, 3.86, NULL},
    {T13, "ResNet-50", "resnet50", NULL, SN_FIGURE_PARAMS_STATS, 25.6, NULL},
    {T13, "SE_Stage_2", "se_resnet50:stages=2,bias=0", NULL, SN_FIGURE_GIGA_MACS, 3.86, NULL},
    {T13, "SE_Stage_2", "se_resnet50:stages=2,bias=0", NULL, SN_FIGURE_PARAMS_STATS, 25.6, NULL},
    {T13, "SE_Stage_3", "se_resnet50:stages=3,bias=0", NULL, SN_FIGURE_GIGA_MACS, 3.86, NULL},
    {T13, "SE_Stage_3", "se_resnet50:stages=3,bias=0", NULL, SN_FIGURE_PARAMS_STATS, 25.7, NULL},
    {T13, "SE_Stage_4", "se_resnet50:stages=4,bias=0", NULL, SN_FIGURE_GIGA_MACS, 3.86, NULL},
    {T13, "SE_Stage_4", "se_resnet50:stages=4,bias=0", NULL, SN_FIGURE_PARAMS_STATS, 26.4, NULL},
    {T13, "SE_All", "se_resnet50:bias=0", NULL, SN_FIGURE_GIGA_MACS, 3.87, NULL},
    {T13, "SE_All", "se_resnet50:bias=0", NULL, SN_FIGURE_PARAMS_STATS, 28.1, NULL},

    {T15, "SE", "se_resnet50:bias=0", NULL, SN_FIGURE_GIGA_MACS, 3.87, NULL},
    {T15, "SE", "se_resnet50:bias=0", NULL, SN_FIGURE_PARAMS_STATS, 28.1, NULL},
    {T15, "SE_3x3", "se_resnet50:place=3x3,bias=0", NULL, SN_FIGURE_GIGA_MACS, 3.86, NULL},
    {T15, "SE_3x3", "se_resnet50:place=3x3,bias=0", NULL, SN_FIGURE_PARAMS_STATS, 25.8, NULL},

    {T16, "ResNet-50", "resnet50", NULL, SN_FIGURE_GIGA_MACS, 3.86, NULL},
    {T16, "ResNet-50", "resnet50", NULL, SN_FIGURE_PARAMS_STATS, 25.6, NULL},
    {T16, "NoSqueeze", "se_resnet50:squeeze=none,bias=0", NULL, SN_FIGURE_GIGA_MACS, 4.27, NULL},
    {T16, "NoSqueeze", "se_resnet50:squeeze=none,bias=0", NULL, SN_FIGURE_PARAMS_STATS, 28.1, NULL},
    {T16, "SE", "se_resnet50:bias=0", NULL, SN_FIGURE_GIGA_MACS, 3.87, NULL},
    {T16, "SE", "se_resnet50:bias=0", NULL, SN_FIGURE_PARAMS_STATS, 28.1, NULL},

    {S4, "ResNet-50", "resnet50", NULL, SN_FIGURE_GIGA_MACS, 3.86, NULL},
    {S4, "SE-ResNet-50", "se_resnet50", NULL, SN_FIGURE_GIGA_MACS, 3.87, NULL},
    {S4, "ResNet-101", "resnet101", NULL, SN_FIGURE_GIGA_MACS, 7.58, depth},
    {S4, "SE-ResNet-50", "se_resnet50", "resnet50", SN_FIGURE_MORE_MACS, 0.26, rounded_share},
    {S4, "ResNet-50", "resnet50", NULL, SN_FIGURE_ABOUT_PARAMS, 25, about_25},
    {S4, "SE-ResNet-50", "se_resnet50:bias=0", "resnet50", SN_FIGURE_MORE_PARAMS, 2.5, NULL},
    {S4, "SE-ResNet-50", "se_resnet50:bias=0", "resnet50", SN_FIGURE_SHARE_PARAMS, 10, NULL},
    {S4, "no SE in the last stage", "se_resnet50:stages=2+3+4,bias=0", "resnet50", SN_FIGURE_SHARE_PARAMS, 4, NULL},
    {NULL, NULL, NULL, NULL, SN_FIGURE_KINDS, 0, NULL},
};

#define STEM "112x112: conv 7x7 64, stride 2"
#define POOL "56x56: max pool 3x3, stride 2"
#define CLASSIFIER "1x1: global average pool, 1000-way fc"

const sn_paper_layers_figure sn_paper_layers[] = {
    {"resnet50", "conv1", "ResNet-50", STEM},
    {"resnet50", "pool", "ResNet-50", POOL},
    {"resnet50", "conv2_x", "ResNet-50", "56x56: [1x1 64, 3x3 64, 1x1 256] x3"},
    {"resnet50", "conv3_x", "ResNet-50", "28x28: [1x1 128, 3x3 128, 1x1 512] x4"},
    {"resnet50", "conv4_x", "ResNet-50", "14x14: [1x1 256, 3x3 256, 1x1 1024] x6"},
    {"resnet50", "conv5_x", "ResNet-50", "7x7: [1x1 512, 3x3 512, 1x1 2048] x3"},
    {"resnet50", "classifier", "ResNet-50", CLASSIFIER},
    {"se_resnet50", "conv1", "SE-ResNet-50", STEM},
    {"se_resnet50", "pool", "SE-ResNet-50", POOL},
    {"se_resnet50", "conv2_x", "SE-ResNet-50", "56x56: [1x1 64, 3x3 64, 1x1 256, fc [16, 256]] x3"},
    {"se_resnet50", "conv3_x", "SE-ResNet-50", "28x28: [1x1 128, 3x3 128, 1x1 512, fc [32, 512]] x4"},
    {"se_resnet50", "conv4_x", "SE-ResNet-50", "14x14: [1x1 256, 3x3 256, 1x1 1024, fc [64, 1024]] x6"},
    {"se_resnet50", "conv5_x", "SE-ResNet-50", "7x7: [1x1 512, 3x3 512, 1x1 2048, fc [128, 2048]] x3"},
    {"se_resnet50", "classifier", "SE-ResNet-50", CLASSIFIER},
    {"se_resnext50_32x4d", "conv1", "SE-ResNeXt-50", STEM},
    {"se_resnext50_32x4d", "pool", "SE-ResNeXt-50", POOL},
    {"se_resnext50_32x4d", "conv2_x", "SE-ResNeXt-50", "56x56: [1x1 128, 3x3 128 C=32, 1x1 256, fc [16, 256]] x3"},
    {"se_resnext50_32x4d", "conv3_x", "SE-ResNeXt-50", "28x28: [1x1 256, 3x3 256 C=32, 1x1 512, fc [32, 512]] x4"},
    {"se_resnext50_32x4d", "conv4_x", "SE-ResNeXt-50", "14x14: [1x1 512, 3x3 512 C=32, 1x1 1024, fc [64, 1024]] x6"},
    {"se_resnext50_32x4d", "conv5_x", "SE-ResNeXt-50", "7x7: [1x1 1024, 3x3 1024 C=32, 1x1 2048, fc [128, 2048]] x3"},
    {"se_resnext50_32x4d", "classifier", "SE-ResNeXt-50", CLASSIFIER},
    {NULL, NULL, NULL, NULL},
};

const int64_t sn_paper_equation_channels[SN_COMPLEXITY_STAGES] = {256, 512, 1024, 2048};

const sn_paper_equation sn_paper_equations[] = {
    {"SE-ResNet-50, r = 2", "se_resnet50:r=2,bias=0", 2, {3, 4, 6, 3}},
    {"SE-ResNet-50, r = 4", "se_resnet50:r=4,bias=0", 4, {3, 4, 6, 3}},
    {"SE-ResNet-50, r = 8", "se_resnet50:r=8,bias=0", 8, {3, 4, 6, 3}},
    {"SE-ResNet-50, r = 16", "se_resnet50:bias=0", 16, {3, 4, 6, 3}},
    {"SE-ResNet-50, r = 32", "se_resnet50:r=32,bias=0", 32, {3, 4, 6, 3}},
    {"without the last stage", "se_resnet50:stages=2+3+4,bias=0", 16, {3, 4, 6, 0}},
    {"SE-ResNet-101, r = 16", "se_resnet101:bias=0", 16, {3, 4, 23, 3}},
    {"SE-ResNet-152, r = 16", "se_resnet152:bias=0", 16, {3, 8, 36, 3}},
    {NULL, NULL, 0, {0, 0, 0, 0}},
};
