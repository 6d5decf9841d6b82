/* weights_labels.c - class names from a text file into what a weights file says (weights.h). */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "io/weights.h"

/* Splits at line ends, in place; "\r\n" too, and the last line may go without. */
static senet_status split_lines(const char *path, char *text, size_t length, char **lines, size_t count)
{
    if (length && text[length - 1] == '\n') text[length - 1] = '\0';
    for (size_t i = 0; i < count; i++) {
        char *end = strchr(text, '\n');
        if (end) *end = '\0';
        size_t line = strlen(text);
        if (line && text[line - 1] == '\r') text[line - 1] = '\0';
        if (!(lines[i] = strdup(text))) return sn_fail_memory(line, path);
        text += end ? line + 1 : line;
    }
    return SENET_OK;
}

static size_t count_lines(const char *text, size_t length)
{
    size_t count = length && text[length - 1] != '\n';
    for (size_t i = 0; i < length; i++) count += text[i] == '\n';
    return count;
}

senet_status sn_weights_info_read_labels(sn_weights_info *info, const char *path)
{
    enum { MAX_BYTES = 1 << 24 };
    char *text = NULL, **labels = NULL;
    size_t length, count = 0;
    senet_status status;
    SN_RETURN_IF_FAILED(sn_file_read(path, MAX_BYTES, &text, &length));
    if (strlen(text) != length || sn_utf8_prefix(text, length) != length) {
        status = sn_fail(SENET_BAD_DATA, "%s: byte %zu: labels are lines of UTF-8 text", path,
                         sn_utf8_prefix(text, strlen(text)));
        goto cleanup;
    }
    count = count_lines(text, length);
    if (count != (size_t)info->classes) {
        status = sn_fail(SENET_BAD_DATA, "%s: %zu lines, but the network tells %lld classes apart", path, count,
                         (long long)info->classes);
        count = 0;
        goto cleanup;
    }
    if (!(labels = calloc(count + 1, sizeof *labels))) {
        status = sn_fail_memory(count * sizeof *labels, path);
        count = 0;
        goto cleanup;
    }
    SN_TRY(split_lines(path, text, length, labels, count), cleanup);
    sn_weights_info_drop_labels(info);
    info->labels = labels;
    info->labels_count = count;
    labels = NULL;
    count = 0;
cleanup:
    for (size_t i = 0; i < count && labels; i++) free(labels[i]);
    free(labels);
    free(text);
    return status;
}

void sn_weights_info_drop_labels(sn_weights_info *info)
{
    for (size_t i = 0; i < info->labels_count; i++) free(info->labels[i]);
    free(info->labels);
    info->labels = NULL;
    info->labels_count = 0;
}
