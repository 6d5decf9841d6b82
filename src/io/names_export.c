/* names_export.c - see names_export.h: the networks that timm and torchvision have too, and the renaming rules of
 * names.c the other way round [NAMES sections 4, 4.2, 6].
 *
 * A network is listed where the library's computes the same from the same numbers, not only where the shapes agree: the
 * paper's ResNet-50 has its strides elsewhere than torchvision's. */
#include "io/names_export.h"

#include <stdio.h>
#include <string.h>

typedef int (*tensor_rule)(const sn_param *param, char name[SN_MAX_TENSOR_NAME], int64_t dims[4]);

struct sn_naming {
    const char *library, *model, *network; /* ours, canonical without `classes`; theirs */
    tensor_rule rule;
};

static int copy_dims(const sn_param *param, int64_t dims[4])
{
    memcpy(dims, param->dims, sizeof param->dims);
    return param->rank;
}

static int same(const sn_param *param, char name[SN_MAX_TENSOR_NAME], int64_t dims[4])
{
    snprintf(name, SN_MAX_TENSOR_NAME, "%s", param->name);
    return copy_dims(param, dims);
}

/* timm's legacy_senet.py and Cadene's senet.py: layer0 around the stem, se_module, last_linear. */
static int legacy_senet(const sn_param *param, char name[SN_MAX_TENSOR_NAME], int64_t dims[4])
{
    static const char block[] = ".se.";
    const char *se = strstr(param->name, block);
    if (strncmp(param->name, "fc.", 3) == 0)
        snprintf(name, SN_MAX_TENSOR_NAME, "last_linear.%s", param->name + 3);
    else if (strncmp(param->name, "layer", 5) != 0)
        snprintf(name, SN_MAX_TENSOR_NAME, "layer0.%s", param->name);
    else if (se)
        snprintf(name, SN_MAX_TENSOR_NAME, "%.*s.se_module.%s", (int)(se - param->name), param->name,
                 se + sizeof block - 1);
    else
        return same(param, name, dims);
    return copy_dims(param, dims);
}

/* timm's vgg.py: the hidden layers of the classifier are convolutions. */
static int timm_vgg(const sn_param *param, char name[SN_MAX_TENSOR_NAME], int64_t dims[4])
{
    enum { SIDE = 7 }; /* of the map that the first of them takes whole */
    static const struct {
        const char *ours, *theirs;
        int side; /* 0: a linear layer */
    } layers[] = {{"classifier.0.", "pre_logits.fc1.", SIDE},
                  {"classifier.3.", "pre_logits.fc2.", 1},
                  {"classifier.6.", "head.fc.", 0}};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        size_t length = strlen(layers[i].ours);
        if (strncmp(param->name, layers[i].ours, length) != 0) continue;
        snprintf(name, SN_MAX_TENSOR_NAME, "%s%s", layers[i].theirs, param->name + length);
        int rank = copy_dims(param, dims);
        if (rank != 2 || layers[i].side == 0) return rank;
        dims[1] /= layers[i].side * layers[i].side;
        dims[2] = dims[3] = layers[i].side;
        return 4;
    }
    return same(param, name, dims);
}

static const sn_naming namings[] = {
    {"torchvision", "resnet50:down=3x3,pool=pad1", "resnet50", same},
    {"torchvision", "resnet101:down=3x3,pool=pad1", "resnet101", same},
    {"torchvision", "resnet152:down=3x3,pool=pad1", "resnet152", same},
    {"torchvision", "resnext50_32x4d:pool=pad1", "resnext50_32x4d", same},
    {"torchvision", "vgg16_bn", "vgg16_bn", same},
    {"timm", "resnet50:down=3x3,pool=pad1", "resnet50", same},
    {"timm", "resnet101:down=3x3,pool=pad1", "resnet101", same},
    {"timm", "resnet152:down=3x3,pool=pad1", "resnet152", same},
    {"timm", "resnext50_32x4d:pool=pad1", "resnext50_32x4d", same},
    {"timm", "resnext101_32x4d:pool=pad1", "resnext101_32x4d", same},
    {"timm", "se_resnet50:down=3x3,pool=pad1", "seresnet50", same},
    {"timm", "se_resnet101:down=3x3,pool=pad1", "seresnet101", same},
    {"timm", "se_resnet152:down=3x3,pool=pad1", "seresnet152", same},
    {"timm", "se_resnext50_32x4d:pool=pad1", "seresnext50_32x4d", same},
    {"timm", "se_resnext101_32x4d:pool=pad1", "seresnext101_32x4d", same},
    {"timm", "se_resnet50", "legacy_seresnet50", legacy_senet},
    {"timm", "se_resnet101", "legacy_seresnet101", legacy_senet},
    {"timm", "se_resnet152", "legacy_seresnet152", legacy_senet},
    {"timm", "se_resnext50_32x4d", "legacy_seresnext50_32x4d", legacy_senet},
    {"timm", "se_resnext101_32x4d", "legacy_seresnext101_32x4d", legacy_senet},
    {"timm", "senet154", "legacy_senet154", legacy_senet},
    {"timm", "vgg16_bn", "vgg16_bn", timm_vgg},
    {"timm", "inception_resnet_v2", "inception_resnet_v2", same},
    {"timm", "mobilenet:act=relu6", "mobilenetv1_100", same},
    {"timm", "mobilenet:width=1.25,act=relu6", "mobilenetv1_125", same},
};

/* The length of a canonical name without its last option, `classes`: any number of them will do. */
static size_t length_without_classes(const char *model)
{
    const char *classes = strstr(model, "classes=");
    return classes ? (size_t)(classes - model - 1) : strlen(model);
}

senet_status sn_naming_find(const char *library, const char *model, const sn_naming **naming)
{
    size_t length = length_without_classes(model), base = strcspn(model, ":");
    const sn_naming *near = NULL;
    *naming = NULL;
    if (strcmp(library, "canonical") == 0) return SENET_OK;
    for (size_t i = 0; i < sizeof namings / sizeof *namings; i++) {
        const sn_naming *n = &namings[i];
        if (strcmp(n->library, library) != 0) continue;
        if (strlen(n->model) == length && strncmp(n->model, model, length) == 0) {
            *naming = n;
            return SENET_OK;
        }
        if (!near && strcspn(n->model, ":") == base && strncmp(n->model, model, base) == 0) near = n;
    }
    if (near)
        return sn_fail(SENET_USAGE, "%s has no network that computes what '%s' does; its %s is '%s'", library, model,
                       near->network, near->model);
    return sn_fail(SENET_USAGE, "%s has no network that computes what '%s' does", library, model);
}

const char *sn_naming_network(const sn_naming *naming)
{
    return naming->network;
}

int sn_naming_tensor(const sn_naming *naming, const sn_param *param, char name[SN_MAX_TENSOR_NAME], int64_t dims[4])
{
    return naming ? naming->rule(param, name, dims) : same(param, name, dims);
}
