/* fuzz_tar.c - tar shards: members, labels as text and JSON, where pictures lie.  Checksums of headers are put right,
 * or nothing behind the first would be read. */
#define _GNU_SOURCE
#include <string.h>

#include "data/data.h"
#include "fuzz/fuzz.h"
#include "fuzz/scratch.h"

enum { BLOCK = 512, MOST = 1 << 16 };

/* Places in a header. */
enum { NAME = 0, MODE = 100, SIZE = 124, TIME = 136, CHECKSUM = 148, TYPE = 156, MAGIC = 257 };

static void put_checksum(uint8_t *header)
{
    unsigned sum = 0;
    memset(header + CHECKSUM, ' ', 8);
    for (int i = 0; i < BLOCK; i++) sum += header[i];
    snprintf((char *)header + CHECKSUM, 7, "%06o", sum);
}

/* Of every header that the sizes before it lead to. */
static void put_checksums(uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at + BLOCK <= size;) {
        char digits[13] = "";
        memcpy(digits, bytes + at + SIZE, 12);
        if (bytes[at] != 0) put_checksum(bytes + at);
        const size_t length = strtoul(digits, NULL, 8);
        if (length > size) return;
        at += BLOCK + (length + BLOCK - 1) / BLOCK * BLOCK;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[MOST];
    static const char *shard;
    static char spec[128];
    if (size > MOST) return 0;
    if (!shard) {
        shard = scratch_path("shard.tar");
        snprintf(spec, sizeof spec, "tar:%s", shard);
    }
    memcpy(bytes, data, size);
    put_checksums(bytes, size);
    scratch_write(shard, bytes, size);
    sn_dataset *set = NULL;
    if (sn_dataset_open(spec, SN_SPLIT_TRAIN, &set) != SENET_OK) {
        if (set) abort();
        return 0;
    }
    const sn_dataset_info *info = sn_dataset_describe(set);
    if (info->count < 1) abort();
    for (int64_t i = 0; i < info->count; i++) { /* every picture has a label and lies within the shard */
        char *picture = NULL;
        size_t length;
        const char *path = sn_dataset_path(set, i);
        const int32_t label = sn_dataset_label(set, i);
        if (!path || strncmp(path, shard, strlen(shard)) != 0 || label < 0 || label >= info->classes) abort();
        if (sn_dataset_bytes(set, i, &picture, &length) != SENET_OK || length > size) abort();
        if (length > 0 && !memmem(bytes, size, picture, length)) abort();
        free(picture);
    }
    sn_dataset_close(set);
    return 0;
}

/* ---- good inputs ---- */

static size_t put_member(uint8_t *at, const char *name, const char *contents)
{
    const size_t size = strlen(contents);
    memset(at, 0, 2 * BLOCK);
    memcpy(at + NAME, name, strlen(name));
    memcpy(at + MODE, "0000644", 7);
    snprintf((char *)at + SIZE, 12, "%011o", (unsigned)size);
    memcpy(at + TIME, "00000000000", 11);
    at[TYPE] = '0';
    memcpy(at + MAGIC, "ustar\00000", 8);
    put_checksum(at);
    memcpy(at + BLOCK, contents, size); /* at most one block */
    return 2 * BLOCK;
}

size_t senet_fuzz_seed(size_t index, uint8_t *bytes, size_t capacity)
{
    static const char *const members[][6][2] = {
        {{"0001.jpg", "\xFF\xD8 a picture"},
         {"0001.cls", "7"},
         {"0002.png", "another"},
         {"0002.json", "{\"label\": 3, \"x\": [1]}"}},
        {{"n01/a.b.jpeg", "one"},
         {"n01/a.cls", "0\n"},
         {"n01/a.txt", "passed over"},
         {"n02/c.JPG", "two"},
         {"n02/c.json", "{\"cls\": 12}"}},
        {{"x.cls", "1048575"}, {"x.jpg", "label first"}},
    };
    uint8_t *at = bytes;
    if (index >= sizeof members / sizeof *members || capacity < 14 * BLOCK) return 0;
    for (int i = 0; i < 6 && members[index][i][0]; i++)
        at += put_member(at, members[index][i][0], members[index][i][1]);
    memset(at, 0, 2 * BLOCK); /* the end */
    return (size_t)(at - bytes) + 2 * BLOCK;
}
