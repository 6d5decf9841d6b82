/* caffe_network.h - the published networks as Caffe's files have them: every layer by name and type, in order.
 *
 * hujie-frank/SENet's SE-ResNet, SE-ResNeXt, SENet-154 and SE-BN-Inception; KaimingHe/deep-residual-networks' ResNet.
 * Written down from their prototxt files and from ours only the numbers of units and the canonical names, which the
 * caller is asked for. */
#ifndef SN_TESTS_CAFFE_NETWORK_H
#define SN_TESTS_CAFFE_NETWORK_H

#include <stdio.h>

#include "caffe_file.h"

/* Asked for every tensor by its canonical name, "layer1.0.conv1.weight"; values NULL: there is none.  The values stay
 * valid until the next question but two. */
typedef struct caffe_source {
    caffe_blob (*find)(void *context, const char *tensor);
    void *context;
    float factor; /* of the BatchNorm layers: their sums are the statistics times this */
} caffe_source;

typedef struct caffe_writer {
    caffe_bytes *net;
    const caffe_source *source;
} caffe_writer;

static inline caffe_blob caffe_find(const caffe_writer *w, const char *ours, const char *role)
{
    char tensor[256];
    snprintf(tensor, sizeof tensor, "%s.%s", ours, role);
    return w->source->find(w->source->context, tensor);
}

static inline void caffe_write_plain(const caffe_writer *w, const char *name, const char *type)
{
    caffe_add_layer(w->net, name, type, NULL, 0);
}

/* Convolution, InnerProduct or Scale: weight, and bias where there is one. */
static inline void caffe_write_weights(const caffe_writer *w, const char *name, const char *type, const char *ours)
{
    caffe_blob blobs[2] = {caffe_find(w, ours, "weight"), caffe_find(w, ours, "bias")};
    caffe_add_layer(w->net, name, type, blobs, blobs[1].values ? 2 : 1);
}

static inline void caffe_write_batch_norm(const caffe_writer *w, const char *name, const char *ours)
{
    caffe_blob blobs[3] = {
        caffe_find(w, ours, "running_mean"), caffe_find(w, ours, "running_var"), {1, {1}, &w->source->factor}};
    float *sums[2];
    for (int i = 0; i < 2; i++) {
        size_t count = caffe_elements(&blobs[i]);
        sums[i] = malloc(count * sizeof(float));
        if (!sums[i]) abort();
        for (size_t k = 0; k < count; k++) sums[i][k] = blobs[i].values[k] * w->source->factor;
        blobs[i].values = sums[i];
    }
    caffe_add_layer(w->net, name, "BatchNorm", blobs, 3);
    free(sums[0]);
    free(sums[1]);
}

static inline const char *caffe_join(char *text, size_t size, const char *a, const char *b)
{
    size_t first = strlen(a), second = strlen(b);
    if (first + second >= size) abort();
    memcpy(text, a, first);
    memcpy(text + first, b, second + 1);
    return text;
}

/* X, X/bn, X/bn/scale. */
static inline void caffe_write_convolution(const caffe_writer *w, const char *name, const char *conv, const char *norm)
{
    char text[160];
    caffe_write_weights(w, name, "Convolution", conv);
    caffe_write_batch_norm(w, caffe_join(text, sizeof text, name, "/bn"), norm);
    caffe_write_weights(w, caffe_join(text, sizeof text, name, "/bn/scale"), "Scale", norm);
}

static inline const int *caffe_units(int depth)
{
    static const int units50[4] = {3, 4, 6, 3}, units101[4] = {3, 4, 23, 3}, units152[4] = {3, 8, 36, 3};
    return depth == 50 ? units50 : depth == 101 ? units101 : units152;
}

/* ---- hujie-frank ---- */

/* One convolution of a unit: "conv2_1" + "_1x1_reduce", with a ReLU behind or not. */
static inline void caffe_write_part(const caffe_writer *w, const char *unit, const char *part, const char *ours,
                                    const char *conv, const char *norm, int relu)
{
    char name[80], convolution[80], batch_norm[80], text[160];
    caffe_write_convolution(w, caffe_join(name, sizeof name, unit, part),
                            caffe_join(convolution, sizeof convolution, ours, conv),
                            caffe_join(batch_norm, sizeof batch_norm, ours, norm));
    if (relu) caffe_write_plain(w, caffe_join(text, sizeof text, name, "/relu"), "ReLU");
}

static inline void caffe_write_gate(const caffe_writer *w, const char *unit, const char *ours)
{
    char name[160], se[160];
    caffe_write_plain(w, caffe_join(name, sizeof name, unit, "_global_pool"), "Pooling");
    caffe_write_weights(w, caffe_join(name, sizeof name, unit, "_1x1_down"), "Convolution",
                        caffe_join(se, sizeof se, ours, "fc1"));
    caffe_write_plain(w, caffe_join(name, sizeof name, unit, "_1x1_down/relu"), "ReLU");
    caffe_write_weights(w, caffe_join(name, sizeof name, unit, "_1x1_up"), "Convolution",
                        caffe_join(se, sizeof se, ours, "fc2"));
    caffe_write_plain(w, caffe_join(name, sizeof name, unit, "_prob"), "Sigmoid");
}

static inline void caffe_write_se_unit(const caffe_writer *w, int stage, int i)
{
    char unit[32], ours[32], se[64], text[64];
    snprintf(unit, sizeof unit, "conv%d_%d", stage, i + 1);
    snprintf(ours, sizeof ours, "layer%d.%d.", stage - 1, i);
    caffe_write_part(w, unit, "_1x1_reduce", ours, "conv1", "bn1", 1);
    caffe_write_part(w, unit, "_3x3", ours, "conv2", "bn2", 1);
    caffe_write_part(w, unit, "_1x1_increase", ours, "conv3", "bn3", 0);
    caffe_write_gate(w, unit, caffe_join(se, sizeof se, ours, "se."));
    if (i == 0) caffe_write_part(w, unit, "_1x1_proj", ours, "downsample.0", "downsample.1", 0);
    caffe_write_plain(w, unit, "Axpy");
    caffe_write_plain(w, caffe_join(text, sizeof text, unit, "/relu"), "ReLU");
}

static inline void caffe_write_se_resnet(const caffe_writer *w, int depth, int senet154)
{
    if (senet154) {
        caffe_write_convolution(w, "conv1_1/3x3_s2", "conv1", "bn1");
        caffe_write_plain(w, "conv1_1/relu_3x3_s2", "ReLU");
        caffe_write_convolution(w, "conv1_2/3x3", "conv2", "bn2");
        caffe_write_plain(w, "conv1_2/relu_3x3", "ReLU");
        caffe_write_convolution(w, "conv1_3/3x3", "conv3", "bn3");
        caffe_write_plain(w, "conv1_3/relu_3x3", "ReLU");
    } else {
        caffe_write_convolution(w, "conv1/7x7_s2", "conv1", "bn1");
        caffe_write_plain(w, "conv1/relu_7x7_s2", "ReLU");
    }
    caffe_write_plain(w, "pool1/3x3_s2", "Pooling");
    for (int stage = 2; stage <= 5; stage++)
        for (int i = 0; i < caffe_units(depth)[stage - 2]; i++) caffe_write_se_unit(w, stage, i);
    caffe_write_plain(w, "pool5/7x7_s1", "Pooling");
    if (senet154) caffe_write_plain(w, "pool5/drop", "Dropout");
    caffe_write_weights(w, "classifier", "InnerProduct", "fc");
    caffe_write_plain(w, "prob", "Softmax");
}

static inline void caffe_write_inception_layer(const caffe_writer *w, const char *module, const char *name,
                                               const char *ours)
{
    char caffe[80], conv[80], norm[96];
    snprintf(caffe, sizeof caffe, "%s/%s", module, name);
    snprintf(conv, sizeof conv, "%s_%s", module, ours);
    snprintf(norm, sizeof norm, "%s_bn", conv);
    caffe_write_convolution(w, caffe, conv, norm);
    snprintf(caffe, sizeof caffe, "%s/relu_%s", module, name);
    caffe_write_plain(w, caffe, "ReLU");
}

static inline void caffe_write_se_bn_inception(const caffe_writer *w)
{
    static const char *const modules[] = {"3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b"};
    caffe_write_inception_layer(w, "conv1", "7x7_s2", "7x7_s2");
    caffe_write_plain(w, "pool1/3x3_s2", "Pooling");
    caffe_write_inception_layer(w, "conv2", "3x3_reduce", "3x3_reduce");
    caffe_write_inception_layer(w, "conv2", "3x3", "3x3");
    caffe_write_plain(w, "pool2/3x3_s2", "Pooling");
    for (int m = 0; m < 10; m++) {
        char module[32], text[64], se[64];
        int halves = m == 2 || m == 7;
        snprintf(module, sizeof module, "inception_%s", modules[m]);
        if (!halves) caffe_write_inception_layer(w, module, "1x1", "1x1");
        caffe_write_inception_layer(w, module, "3x3_reduce", "3x3_reduce");
        caffe_write_inception_layer(w, module, "3x3", "3x3");
        caffe_write_inception_layer(w, module, "double3x3_reduce", "double_3x3_reduce");
        caffe_write_inception_layer(w, module, "double3x3a", "double_3x3_1");
        caffe_write_inception_layer(w, module, "double3x3b", "double_3x3_2");
        caffe_write_plain(w, caffe_join(text, sizeof text, module, "/pool"), "Pooling");
        if (!halves) caffe_write_inception_layer(w, module, "pool_proj", "pool_proj");
        caffe_write_plain(w, caffe_join(text, sizeof text, module, "/output"), "Concat");
        caffe_write_gate(w, module, caffe_join(se, sizeof se, module, "_se."));
        caffe_write_plain(w, caffe_join(text, sizeof text, module, "_scale"), "Scale"); /* of two bottoms: no blobs */
    }
    caffe_write_plain(w, "global_pool", "Pooling");
    caffe_write_weights(w, "classifier", "InnerProduct", "last_linear");
    caffe_write_plain(w, "prob", "Softmax");
}

/* ---- KaimingHe ---- */

/* "a", "b", "c", ...; in stages of the deeper networks that have more units than the alphabet is sensible for, "a",
 * "b1", "b2", ... */
static inline void caffe_unit_letter(int depth, int stage, int i, char text[16])
{
    int many = depth > 50 && (stage == 3 || stage == 4);
    if (many && i > 0)
        snprintf(text, 16, "b%d", i);
    else
        snprintf(text, 16, "%c", 'a' + i);
}

static inline void caffe_write_resnet(const caffe_writer *w, int depth)
{
    static const struct {
        const char *branch, *conv, *norm;
    } parts[] = {{"branch1", "downsample.0", "downsample.1"},
                 {"branch2a", "conv1", "bn1"},
                 {"branch2b", "conv2", "bn2"},
                 {"branch2c", "conv3", "bn3"}};
    caffe_write_weights(w, "conv1", "Convolution", "conv1");
    caffe_write_batch_norm(w, "bn_conv1", "bn1");
    caffe_write_weights(w, "scale_conv1", "Scale", "bn1");
    caffe_write_plain(w, "conv1_relu", "ReLU");
    caffe_write_plain(w, "pool1", "Pooling");
    for (int stage = 2; stage <= 5; stage++)
        for (int i = 0; i < caffe_units(depth)[stage - 2]; i++) {
            char unit[32], letter[16], name[64], ours[64];
            caffe_unit_letter(depth, stage, i, letter);
            snprintf(unit, sizeof unit, "%d%s", stage, letter);
            for (int p = i > 0; p < 4; p++) {
                snprintf(name, sizeof name, "res%s_%s", unit, parts[p].branch);
                snprintf(ours, sizeof ours, "layer%d.%d.%s", stage - 1, i, parts[p].conv);
                caffe_write_weights(w, name, "Convolution", ours);
                snprintf(name, sizeof name, "bn%s_%s", unit, parts[p].branch);
                snprintf(ours, sizeof ours, "layer%d.%d.%s", stage - 1, i, parts[p].norm);
                caffe_write_batch_norm(w, name, ours);
                snprintf(name, sizeof name, "scale%s_%s", unit, parts[p].branch);
                caffe_write_weights(w, name, "Scale", ours);
            }
            snprintf(name, sizeof name, "res%s", unit);
            caffe_write_plain(w, name, "Eltwise");
        }
    caffe_write_plain(w, "pool5", "Pooling");
    caffe_write_weights(w, "fc1000", "InnerProduct", "fc");
    caffe_write_plain(w, "prob", "Softmax");
}

/* ---- all of them, by our names ---- */

/* 0 for a network that nobody published in Caffe. */
static inline int caffe_write_network(caffe_bytes *net, const char *network, const caffe_source *source)
{
    caffe_writer w = {net, source};
    caffe_add_text(net, CAFFE_NET_NAME, network);
    if (strcmp(network, "se_bn_inception") == 0)
        caffe_write_se_bn_inception(&w);
    else if (strcmp(network, "senet154") == 0)
        caffe_write_se_resnet(&w, 152, 1);
    else if (strncmp(network, "se_resnet", 9) == 0)
        caffe_write_se_resnet(&w, atoi(network + 9), 0);
    else if (strncmp(network, "se_resnext", 10) == 0)
        caffe_write_se_resnet(&w, atoi(network + 10), 0);
    else if (strncmp(network, "resnet", 6) == 0)
        caffe_write_resnet(&w, atoi(network + 6));
    else
        return 0;
    return 1;
}

#endif
