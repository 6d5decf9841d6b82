/* names.c - the renaming rules: one table row a rule, applied from top to bottom.
 *
 * Names of timm, torchvision, Cadene's pretrained-models, moskomule's senet.pytorch and akamaster's CIFAR ResNets; those
 * of Caffe's networks, which follow another pattern, are in names_caffe.c, and the way back to timm in names_export.c.
 * A new origin of weights is a row or two below. */
#include "io/names.h"

#include <fnmatch.h>
#include <string.h>

#include "io/names_caffe.h"

typedef enum rule_place { AT_START, ANYWHERE } rule_place;

typedef struct name_rule {
    const char *models; /* patterns of base names, separated by spaces */
    rule_place place;
    const char *from, *to;
} name_rule;

#define RESIDUAL "resnet* resnext* senet154 cifar_*"

static const name_rule rules[] = {
    {RESIDUAL, AT_START, "layer0.", ""},
    {RESIDUAL, ANYWHERE, ".se_module.", ".se."},
    {RESIDUAL, AT_START, "last_linear.", "fc."},
    {"cifar_*", AT_START, "linear.", "fc."},
    {RESIDUAL, ANYWHERE, ".shortcut.0.", ".downsample.0."},
    {RESIDUAL, ANYWHERE, ".shortcut.1.", ".downsample.1."},
    {"*", ANYWHERE, ".se.fc.0.", ".se.fc1."},
    {"*", ANYWHERE, ".se.fc.2.", ".se.fc2."},
    {"*", ANYWHERE, ".se.conv_reduce.", ".se.fc1."},
    {"*", ANYWHERE, ".se.conv_expand.", ".se.fc2."},
    {"inception_resnet_v2", AT_START, "last_linear.", "classif."},
    {"vgg16_bn", AT_START, "pre_logits.fc1.", "classifier.0."},
    {"vgg16_bn", AT_START, "pre_logits.fc2.", "classifier.3."},
    {"vgg16_bn", AT_START, "head.fc.", "classifier.6."},
};

/* What saving a wrapped module leaves in front of every name, any number of times. */
static const char *const wrappers[] = {"module.", "model.", "state_dict.", "net."};

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static const char *strip_wrappers(const char *name)
{
    for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers;) {
        if (starts_with(name, wrappers[i])) {
            name += strlen(wrappers[i]);
            i = 0;
        } else {
            i++;
        }
    }
    return name;
}

static bool concerns(const char *patterns, const char *base)
{
    char pattern[64];
    while (*patterns) {
        size_t length = strcspn(patterns, " ");
        memcpy(pattern, patterns, length);
        pattern[length] = '\0';
        if (fnmatch(pattern, base, 0) == 0) return true;
        patterns += length;
        patterns += strspn(patterns, " ");
    }
    return false;
}

/* Replaces the rule's first occurrence in the name; false when the name grows too long. */
static bool apply(const name_rule *rule, char name[SN_MAX_TENSOR_NAME])
{
    char *at = rule->place == ANYWHERE ? strstr(name, rule->from) : starts_with(name, rule->from) ? name : NULL;
    if (!at) return true;
    size_t from = strlen(rule->from), to = strlen(rule->to), rest = strlen(at + from);
    if ((size_t)(at - name) + to + rest >= SN_MAX_TENSOR_NAME) return false;
    memmove(at + to, at + from, rest + 1);
    memcpy(at, rule->to, to);
    return true;
}

bool sn_canonical_name(const char *base, const char *name, char canonical[SN_MAX_TENSOR_NAME])
{
    name = strip_wrappers(name);
    if (strlen(name) >= SN_MAX_TENSOR_NAME) return false;
    if (sn_canonical_caffe_name(base, name, canonical)) return true;
    strcpy(canonical, name);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (concerns(rules[i].models, base) && !apply(&rules[i], canonical)) return false;
    return true;
}

bool sn_is_ignored_name(const char *name)
{
    static const char ignored[] = "num_batches_tracked";
    size_t length = strlen(name), tail = sizeof ignored - 1;
    if (length < tail || strcmp(name + length - tail, ignored) != 0) return false;
    return length == tail || name[length - tail - 1] == '.';
}
