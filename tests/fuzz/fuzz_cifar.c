/* fuzz_cifar.c - the CIFAR formats from memory: records, class names, statistics.  The first byte chooses which. */
#include <stdlib.h>
#include <string.h>

#include "data/cifar_format.h"
#include "fuzz/fuzz.h"

/* Every record of a file that was accepted decodes to a label in range. */
static void try_records(const sn_cifar_record *record, const uint8_t *bytes, size_t size)
{
    uint8_t rgb[SN_CIFAR_PIXEL_BYTES];
    int64_t records;
    if (sn_cifar_check(record, bytes, size, "fuzz", &records) != SENET_OK) return;
    if ((size_t)records * sn_cifar_record_bytes(record) != size) abort();
    for (int64_t i = 0; i < records; i++) {
        int32_t label;
        sn_cifar_decode(record, bytes + (size_t)i * sn_cifar_record_bytes(record), rgb, &label);
        if (label < 0 || label >= record->limits[record->labels - 1]) abort();
    }
}

static void try_names(const uint8_t *bytes, size_t size)
{
    sn_arena arena = {0};
    const char *const *names = NULL;
    if (sn_cifar_parse_names(&arena, bytes, size, "fuzz", 10, &names) == SENET_OK)
        for (int i = 0; i < 10; i++)
            if (strlen(names[i]) == 0 || strlen(names[i]) > size) abort();
    sn_arena_free(&arena);
}

static void try_statistics(const uint8_t *bytes, size_t size)
{
    sn_cifar_statistics statistics;
    if (sn_cifar_parse_statistics(bytes, size, "fuzz", &statistics) != SENET_OK) return;
    if (statistics.classes < 1 || statistics.classes > 256) abort();
    for (int c = 0; c < 3; c++)
        if (!(statistics.mean[c] >= 0 && statistics.mean[c] <= 1 && statistics.std[c] > 0 && statistics.std[c] <= 1))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const sn_cifar_record cifar10 = {1, {10}}, cifar100 = {2, {20, 100}};
    if (size == 0) return 0;
    /* A copy of its own, so that a read past the end is seen. */
    size_t rest = size - 1;
    uint8_t *bytes = malloc(rest ? rest : 1);
    if (!bytes) return 0;
    memcpy(bytes, data + 1, rest);
    switch (data[0] % 4) {
    case 0:
        try_records(&cifar10, bytes, rest);
        break;
    case 1:
        try_records(&cifar100, bytes, rest);
        break;
    case 2:
        try_names(bytes, rest);
        break;
    case 3:
        try_statistics(bytes, rest);
        break;
    }
    free(bytes);
    return 0;
}

size_t senet_fuzz_seed(size_t index, uint8_t *bytes, size_t capacity)
{
    static const char names[] = "\2airplane\nautomobile\nbird\ncat\r\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    static const char statistics[] = "\3classes 10\nmean 0.4914 0.4822 0.4465\nstd 0.247 0.2435 0.2616\n";
    size_t size = index < 2    ? 1 + 2 * (index + 1 + SN_CIFAR_PIXEL_BYTES)
                  : index == 2 ? sizeof names - 1
                               : sizeof statistics - 1;
    if (index > 3 || size > capacity) return 0;
    if (index < 2) {
        memset(bytes, 7, size);
        bytes[0] = (uint8_t)index;
    } else {
        memcpy(bytes, index == 2 ? names : statistics, size);
    }
    return size;
}
