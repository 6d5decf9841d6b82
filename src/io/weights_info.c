/* weights_info.c - what the metadata of a weights file says (weights.h), and its defaults. */
#include "io/weights_info.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

const char *const sn_interpolation_names[SN_INTERPOLATION_NONE + 2] = {
    [SN_INTERPOLATION_BILINEAR] = "bilinear",
    [SN_INTERPOLATION_PIL_BILINEAR] = "pil_bilinear",
    [SN_INTERPOLATION_PIL_BICUBIC] = "pil_bicubic",
    [SN_INTERPOLATION_NONE] = "none",
};

/* The shorter sides that the paper resizes pictures to: 256 for 224, but 352 for 299 and 320 for 320 [sections 5.1
 * and 5.5]. 299 / 352 rounded up would ask for 351. */
static float crop_share_of(int size)
{
    if (size == 32 || size == 320) return 1;
    return size == 299 ? 299 / 352.5f : 0.875f;
}

sn_preprocess sn_preprocess_default(int size)
{
    bool small = size == 32; /* CIFAR: pictures come in the network's size */
    return (sn_preprocess){
        .height = size,
        .width = size,
        .mean = {0.485f, 0.456f, 0.406f},
        .std = {0.229f, 0.224f, 0.225f},
        .crop_pct = crop_share_of(size),
        .interpolation = small ? SN_INTERPOLATION_NONE : SN_INTERPOLATION_PIL_BILINEAR,
    };
}

static senet_status fail_entry(const sn_tensors *file, const char *key, const char *value, const char *expected)
{
    return sn_fail(SENET_BAD_DATA, "%s: metadata '%s' is '%.100s', not %s", sn_tensors_path(file), key, value,
                   expected);
}

/* Up to `most` numbers separated by `separator`, spaces around them allowed; how many there are, or -1. */
static int read_numbers(const char *text, char separator, int most, double *numbers)
{
    for (int count = 0; count < most;) {
        char number[64];
        text += strspn(text, " ");
        const char *end = strchr(text, separator);
        size_t length = end ? (size_t)(end - text) : strlen(text);
        while (length && text[length - 1] == ' ') length--;
        if (length >= sizeof number) return -1;
        memcpy(number, text, length);
        number[length] = '\0';
        if (!sn_parse_double(number, &numbers[count])) return -1;
        count++;
        if (!end) return count;
        text = end + 1;
    }
    return -1;
}

static bool read_three(const char *text, bool positive, float *values)
{
    double numbers[3];
    bool good = read_numbers(text, ',', 3, numbers) == 3;
    for (int i = 0; good && i < 3; i++) {
        values[i] = (float)numbers[i];
        good = isfinite(values[i]) && (!positive || values[i] > 0);
    }
    return good;
}

const char *sn_preprocess_set(sn_preprocess *preprocess, const char *key, const char *value)
{
    if (strcmp(key, "mean") == 0) return read_three(value, false, preprocess->mean) ? NULL : "three numbers";
    if (strcmp(key, "std") == 0) return read_three(value, true, preprocess->std) ? NULL : "three numbers above 0";
    if (strcmp(key, "channels") == 0) {
        preprocess->bgr = strcmp(value, "BGR") == 0;
        return preprocess->bgr || strcmp(value, "RGB") == 0 ? NULL : "RGB or BGR";
    }
    if (strcmp(key, "crop_pct") == 0) {
        double share;
        if (read_numbers(value, ',', 1, &share) != 1 || !(share >= 0.01 && share <= 1))
            return "a number from 0.01 to 1";
        preprocess->crop_pct = (float)share;
    }
    if (strcmp(key, "interpolation") == 0) {
        int kind = 0;
        while (sn_interpolation_names[kind] && strcmp(sn_interpolation_names[kind], value) != 0) kind++;
        if (!sn_interpolation_names[kind]) return "bilinear, pil_bilinear, pil_bicubic or none";
        preprocess->interpolation = kind;
    }
    return NULL;
}

static senet_status read_input(const sn_tensors *file, sn_preprocess *preprocess)
{
    enum { MAX_SIDE = 1 << 14 };
    const char *text = sn_tensors_metadata(file, "input");
    if (!text) return SENET_OK;
    double sizes[3];
    bool good = read_numbers(text, 'x', 3, sizes) == 3 && sizes[0] == 3;
    for (int i = 1; good && i < 3; i++) good = sizes[i] >= 1 && sizes[i] <= MAX_SIDE && sizes[i] == floor(sizes[i]);
    if (!good) return fail_entry(file, "input", text, "3xHxW with sides of 1 to 16384");
    *preprocess = sn_preprocess_default(sizes[1] == sizes[2] ? (int)sizes[1] : 0);
    preprocess->height = (int)sizes[1];
    preprocess->width = (int)sizes[2];
    return SENET_OK;
}

senet_status sn_weights_preprocess_read(const sn_tensors *file, int native_size, sn_preprocess *preprocess)
{
    static const char *const keys[] = {"mean", "std", "channels", "crop_pct", "interpolation"};
    *preprocess = sn_preprocess_default(native_size);
    SN_RETURN_IF_FAILED(read_input(file, preprocess));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *value = sn_tensors_metadata(file, keys[i]);
        const char *expected = value ? sn_preprocess_set(preprocess, keys[i], value) : NULL;
        if (expected) return fail_entry(file, keys[i], value, expected);
    }
    return SENET_OK;
}

static senet_status read_preprocess(const sn_tensors *file, sn_weights_info *info)
{
    static const char *const needed[] = {"input", "mean", "std"};
    info->has_preprocess = true;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!sn_tensors_metadata(file, needed[i])) info->has_preprocess = false;
    return sn_weights_preprocess_read(file, 0, &info->preprocess);
}

/* Class names, comma-separated or one a line.  Files in the wild have a remark there instead: when the count is not
 * that of the classes, the text is none of names. */
static senet_status read_labels(const sn_tensors *file, sn_weights_info *info)
{
    const char *text = sn_tensors_metadata(file, "labels");
    if (!text || !*text) return SENET_OK;
    size_t length = strlen(text);
    char separator = strchr(text, '\n') ? '\n' : ',';
    if (separator == '\n' && text[length - 1] == '\n') length--;
    size_t count = 1;
    for (size_t i = 0; i < length; i++) count += text[i] == separator;
    if (info->classes && (size_t)info->classes != count) return SENET_OK;
    info->labels = calloc(count, sizeof *info->labels);
    if (!info->labels) return sn_fail_memory(count * sizeof *info->labels, sn_tensors_path(file));
    info->labels_count = count;
    const char *p = text;
    for (size_t i = 0; i < count; i++) {
        const char *end = memchr(p, separator, (size_t)(text + length - p));
        if (!end) end = text + length;
        const char *next = end + 1;
        if (end > p && end[-1] == '\r') end--;
        while (p < end && *p == ' ') p++;
        info->labels[i] = strndup(p, (size_t)(end - p));
        if (!info->labels[i]) return sn_fail_memory((size_t)(end - p), sn_tensors_path(file));
        p = next;
    }
    return SENET_OK;
}

/* The entries that are not what the struct has members for, or what a writer finds in the network. */
static senet_status read_extra(const sn_tensors *file, sn_weights_info *info)
{
    static const char *const known[] = {"format", "model", "num_classes", "labels",        "input", "channels",
                                        "mean",   "std",   "crop_pct",    "interpolation", "bn_eps", SN_QUANTIZATION_KEY};
    size_t count = sn_tensors_metadata_count(file);
    info->extra = calloc(count + 1, sizeof *info->extra);
    if (!info->extra) return sn_fail_memory(count * sizeof *info->extra, sn_tensors_path(file));
    for (size_t i = 0; i < count; i++) {
        sn_metadata_entry entry = sn_tensors_metadata_at(file, i);
        size_t k = 0;
        while (k < sizeof known / sizeof *known && strcmp(known[k], entry.key) != 0) k++;
        if (k < sizeof known / sizeof *known) continue;
        sn_metadata_entry *copy = &info->extra[info->extra_count++];
        copy->key = strdup(entry.key);
        copy->value = strdup(entry.value);
        if (!copy->key || !copy->value) return sn_fail_memory(strlen(entry.value), sn_tensors_path(file));
    }
    return SENET_OK;
}

senet_status sn_weights_info_read(const sn_tensors *file, sn_weights_info *info)
{
    senet_status status;
    const char *model = sn_tensors_metadata(file, "model"), *classes = sn_tensors_metadata(file, "num_classes");
    *info = (sn_weights_info){0};
    if (model && !(info->model = strdup(model))) {
        status = sn_fail_memory(strlen(model), sn_tensors_path(file));
        goto cleanup;
    }
    if (classes && (!sn_parse_int64(classes, &info->classes) || info->classes < 1)) {
        status = fail_entry(file, "num_classes", classes, "a whole number above 0");
        goto cleanup;
    }
    SN_TRY(read_preprocess(file, info), cleanup);
    SN_TRY(read_labels(file, info), cleanup);
    SN_TRY(read_extra(file, info), cleanup);
    const char *quantization = sn_tensors_metadata(file, SN_QUANTIZATION_KEY);
    if (quantization) SN_TRY(sn_quantization_read(quantization, sn_tensors_path(file), &info->quantization), cleanup);
    return SENET_OK;

cleanup:
    sn_weights_info_free(info);
    return status;
}

void sn_weights_info_free(sn_weights_info *info)
{
    if (!info) return;
    free(info->model);
    sn_quantization_destroy(info->quantization);
    sn_weights_info_drop_labels(info);
    for (size_t i = 0; i < info->extra_count; i++) {
        free((char *)(uintptr_t)info->extra[i].key);
        free((char *)(uintptr_t)info->extra[i].value);
    }
    free(info->extra);
    *info = (sn_weights_info){0};
}
