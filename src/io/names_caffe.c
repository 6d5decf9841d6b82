/* names_caffe.c - the layer names of hujie-frank/SENet and KaimingHe/deep-residual-networks [NAMES section 4.1].
 *
 * A layer X of ours stands there as three: a Convolution X, a BatchNorm and a Scale.  The first group calls the latter
 * "X/bn" and "X/bn/scale"; the second has "res2a_branch2a", "bn2a_branch2a" and "scale2a_branch2a". */
#include "io/names_caffe.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LAYER_NAME = 128 };

/* A part of a network and of a unit: its convolution and its batch norm. */
typedef struct part {
    const char *caffe, *convolution, *norm; /* norm: NULL where there is none */
} part;

static const part *find_part(const part *parts, const char *name)
{
    for (; parts->caffe; parts++)
        if (strcmp(parts->caffe, name) == 0) return parts;
    return NULL;
}

/* Writes "<unit><part>.<role>"; false for the norm of a part without one. */
static bool write_part(const char *unit, const part *p, bool norm, const char *role, char *canonical)
{
    const char *name = norm ? p->norm : p->convolution;
    if (!name) return false;
    snprintf(canonical, SN_MAX_TENSOR_NAME, "%s%s%s", unit, name, role);
    return true;
}

static bool cut_tail(char *name, const char *tail)
{
    size_t length = strlen(name), tail_length = strlen(tail);
    if (length <= tail_length || strcmp(name + length - tail_length, tail) != 0) return false;
    name[length - tail_length] = '\0';
    return true;
}

/* A number of at most three digits, from 1; *text then stands behind it.  0 if there is none. */
static int read_number(const char **text)
{
    int value = 0, digits = 0;
    for (; isdigit((unsigned char)**text) && digits < 3; digits++) value = value * 10 + *(*text)++ - '0';
    return digits > 0 && !isdigit((unsigned char)**text) ? value : 0;
}

/* "layer1.0." of Caffe's stage 2 and the unit counted from 0. */
static void write_unit(int stage, int unit, char text[32])
{
    snprintf(text, 32, "layer%d.%d.", stage - 1, unit);
}

/* ---- hujie-frank: SE-ResNet, SE-ResNeXt, SENet-154 ---- */

static bool name_se_resnet(char *layer, const char *role, char *canonical)
{
    static const part stem[] = {{"conv1/7x7_s2", "conv1", "bn1"}, {"conv1_1/3x3_s2", "conv1", "bn1"},
                                {"conv1_2/3x3", "conv2", "bn2"},  {"conv1_3/3x3", "conv3", "bn3"},
                                {"classifier", "fc", NULL},       {NULL, NULL, NULL}};
    static const part unit[] = {{"1x1_reduce", "conv1", "bn1"},
                                {"3x3", "conv2", "bn2"},
                                {"1x1_increase", "conv3", "bn3"},
                                {"1x1_down", "se.fc1", NULL},
                                {"1x1_up", "se.fc2", NULL},
                                {"1x1_proj", "downsample.0", "downsample.1"},
                                {NULL, NULL, NULL}};
    bool norm = cut_tail(layer, "/bn/scale") || cut_tail(layer, "/bn");
    const part *p = find_part(stem, layer);
    if (p) return write_part("", p, norm, role, canonical);

    const char *text = layer;
    if (strncmp(text, "conv", 4) != 0) return false;
    text += 4;
    int stage = read_number(&text);
    if (stage < 2 || stage > 5 || *text++ != '_') return false;
    int number = read_number(&text);
    if (number < 1 || *text++ != '_' || !(p = find_part(unit, text))) return false;
    char prefix[32];
    write_unit(stage, number - 1, prefix);
    return write_part(prefix, p, norm, role, canonical);
}

/* ---- KaimingHe: ResNet ---- */

/* a, b, c, ... or a, b1, b2, ...: 0, 1, 2, ...; -1 for anything else. */
static int read_unit_letter(const char **text)
{
    char letter = **text;
    if (letter < 'a' || letter > 'z') return -1;
    ++*text;
    if (letter != 'b' || !isdigit((unsigned char)**text)) return letter - 'a';
    int number = read_number(text);
    return number ? number : -1;
}

static bool name_resnet(char *layer, const char *role, char *canonical)
{
    static const part convolutions[] = {{"branch2a", "conv1", "bn1"},
                                        {"branch2b", "conv2", "bn2"},
                                        {"branch2c", "conv3", "bn3"},
                                        {"branch1", "downsample.0", "downsample.1"},
                                        {NULL, NULL, NULL}};
    static const part stem[] = {{"conv1", "conv1", NULL},
                                {"bn_conv1", "bn1", NULL},
                                {"scale_conv1", "bn1", NULL},
                                {"fc1000", "fc", NULL},
                                {NULL, NULL, NULL}};
    const part *p = find_part(stem, layer);
    if (p) return write_part("", p, false, role, canonical);

    static const char *const starts[] = {"res", "bn", "scale"};
    const char *text = NULL;
    bool norm = false;
    for (int i = 0; i < 3 && !text; i++)
        if (strncmp(layer, starts[i], strlen(starts[i])) == 0) text = layer + strlen(starts[i]), norm = i > 0;
    if (!text || *text < '2' || *text > '5') return false;
    int stage = *text++ - '0', number = read_unit_letter(&text);
    if (number < 0 || *text++ != '_' || !(p = find_part(convolutions, text))) return false;
    char prefix[32];
    write_unit(stage, number, prefix);
    return write_part(prefix, p, norm, role, canonical);
}

/* ---- hujie-frank: SE-BN-Inception, whose canonical names are nearly Caffe's ---- */

/* Replaces the first `from`; a name that would grow too long stays as it is, and is no tensor of ours. */
static void replace(char name[MAX_LAYER_NAME], const char *from, const char *to)
{
    char *at = strstr(name, from);
    size_t before = strlen(from), after = strlen(to);
    if (!at || strlen(name) - before + after >= MAX_LAYER_NAME) return;
    memmove(at + after, at + before, strlen(at + before) + 1);
    memcpy(at, to, after);
}

static bool name_se_bn_inception(char layer[MAX_LAYER_NAME], const char *role, char *canonical)
{
    bool known = strchr(layer, '/') || strstr(layer, "_1x1_down") || strstr(layer, "_1x1_up") ||
                 strcmp(layer, "classifier") == 0;
    if (!known) return false;
    bool norm = cut_tail(layer, "/bn/scale") || cut_tail(layer, "/bn");
    for (char *c = layer; *c; c++)
        if (*c == '/') *c = '_';
    replace(layer, "double3x3_reduce", "double_3x3_reduce");
    replace(layer, "double3x3a", "double_3x3_1");
    replace(layer, "double3x3b", "double_3x3_2");
    replace(layer, "_1x1_down", "_se.fc1");
    replace(layer, "_1x1_up", "_se.fc2");
    snprintf(canonical, SN_MAX_TENSOR_NAME, "%s%s%s", strcmp(layer, "classifier") == 0 ? "last_linear" : layer,
             norm ? "_bn" : "", role);
    return true;
}

/* ---- all of them ---- */

bool sn_canonical_caffe_name(const char *base, const char *name, char canonical[SN_MAX_TENSOR_NAME])
{
    char layer[MAX_LAYER_NAME];
    const char *role = strrchr(name, '.');
    if (!role || role - name >= MAX_LAYER_NAME) return false;
    snprintf(layer, sizeof layer, "%.*s", (int)(role - name), name);
    if (strcmp(base, "bn_inception") == 0) return name_se_bn_inception(layer, role, canonical);
    bool residual =
        fnmatch("resnet*", base, 0) == 0 || fnmatch("resnext*", base, 0) == 0 || strcmp(base, "senet154") == 0;
    return residual && (name_resnet(layer, role, canonical) || name_se_resnet(layer, role, canonical));
}
