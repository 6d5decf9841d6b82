/* caffe_network.c - which network a Caffe file holds, from the names and shapes of its tensors [NAMES section 4.1].
 *
 * All files published by their authors say it: the names of the layers tell the family, the units of stage 4 the depth,
 * the groups of a convolution ResNeXt from ResNet, the SE layers whether, how narrow and with which biases. */
#ifdef SENET_WITH_PROTOBUF

#include <stdio.h>
#include <string.h>

#include "io/caffe_layer.h"
#include "io/names.h"

/* The tensor with this canonical name in a network `base`; NULL if there is none. */
static const sn_tensor *find_canonical(const sn_tensors *file, const char *base, const char *wanted)
{
    char canonical[SN_MAX_TENSOR_NAME];
    for (size_t i = 0; i < sn_tensors_count(file); i++) {
        const sn_tensor *tensor = sn_tensors_at(file, i);
        if (sn_canonical_name(base, tensor->name, canonical) && strcmp(canonical, wanted) == 0) return tensor;
    }
    return NULL;
}

/* Units of stage 4; 0 where the names are not those of a residual network. */
static int count_units(const sn_tensors *file)
{
    enum { MOST = 100 };
    char name[64];
    for (int unit = 0; unit < MOST; unit++) {
        snprintf(name, sizeof name, "layer3.%d.conv2.weight", unit);
        if (!find_canonical(file, "resnet50", name)) return unit;
    }
    return 0;
}

/* The base name, and in which tensor the first SE block and the classifier are. */
typedef struct family {
    const char *base, *se, *classifier;
    bool always_se;
} family;

static bool find_family(const sn_tensors *file, family *f)
{
    *f = (family){.se = "layer1.0.se", .classifier = "fc.weight"};
    if (sn_tensors_find(file, "inception_3a/1x1.weight")) {
        *f = (family){"bn_inception", "inception_3a_se", "last_linear.weight", false};
        return true;
    }
    int units = count_units(file);
    const sn_tensor *conv = find_canonical(file, "resnet50", "layer1.0.conv2.weight");
    if (!conv || conv->rank != 4) return false;
    f->always_se = sn_tensors_find(file, "conv1_1/3x3_s2.weight") != NULL;
    bool grouped = conv->dims[0] == 128 && conv->dims[1] == 4;
    if (f->always_se)
        f->base = units == 36 ? "senet154" : NULL;
    else if (grouped)
        f->base = units == 6 ? "resnext50_32x4d" : units == 23 ? "resnext101_32x4d" : NULL;
    else
        f->base = units == 6 ? "resnet50" : units == 23 ? "resnet101" : units == 36 ? "resnet152" : NULL;
    return f->base != NULL;
}

bool sn_caffe_deduce_network(const sn_tensors *file, char *name, size_t size)
{
    enum { STANDARD_CLASSES = 1000, STANDARD_REDUCTION = 16 };
    family f;
    char tensor[64], options[64];
    size_t used = 0;
    if (!find_family(file, &f)) return false;
    snprintf(tensor, sizeof tensor, "%s.fc1.weight", f.se);
    const sn_tensor *squeeze = find_canonical(file, f.base, tensor);
    snprintf(tensor, sizeof tensor, "%s.fc1.bias", f.se);
    bool bias = find_canonical(file, f.base, tensor) != NULL;
    const sn_tensor *classifier = find_canonical(file, f.base, f.classifier);

    options[0] = '\0';
    if (squeeze && squeeze->rank >= 2 && squeeze->dims[0] > 0) {
        int64_t reduction = squeeze->dims[1] / squeeze->dims[0];
        if (reduction != STANDARD_REDUCTION)
            used += (size_t)snprintf(options, sizeof options, ",r=%lld", (long long)reduction);
    }
    if (squeeze && !bias) used += (size_t)snprintf(options + used, sizeof options - used, ",bias=0");
    if (classifier && classifier->rank == 2 && classifier->dims[0] != STANDARD_CLASSES)
        snprintf(options + used, sizeof options - used, ",classes=%lld", (long long)classifier->dims[0]);
    if (options[0]) options[0] = ':';
    snprintf(name, size, "%s%s%s", squeeze && !f.always_se ? "se_" : "", f.base, options);
    return true;
}

#endif
