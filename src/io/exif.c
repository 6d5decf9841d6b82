/* exif.c - the orientation tag of EXIF (JEITA CP-3451, 4.6.4): TIFF header, first directory, tag 0x0112.  Everything is
 * checked against the block's size; a damaged block means no orientation. */
#include "io/picture.h"

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, ENTRY_BYTES = 12, HEADER_BYTES = 8 };

typedef struct tiff {
    const unsigned char *bytes;
    size_t size;
    bool big_endian;
} tiff;

/* `count` bytes (2 or 4) at `at` as a number; 0 beyond the end. */
static uint32_t number(const tiff *t, size_t at, int count)
{
    uint32_t value = 0;
    if (at > t->size || (size_t)count > t->size - at) return 0;
    for (int i = 0; i < count; i++)
        value |= (uint32_t)t->bytes[at + (size_t)i] << 8 * (t->big_endian ? count - 1 - i : i);
    return value;
}

int sn_exif_orientation(const unsigned char *bytes, size_t size)
{
    if (size < HEADER_BYTES || bytes[0] != bytes[1] || (bytes[0] != 'I' && bytes[0] != 'M')) return 1;
    tiff t = {.bytes = bytes, .size = size, .big_endian = bytes[0] == 'M'};
    if (number(&t, 2, 2) != 42) return 1;
    size_t directory = number(&t, 4, 4);
    uint32_t entries = number(&t, directory, 2);
    for (uint32_t i = 0; i < entries; i++) {
        size_t entry = directory + 2 + (size_t)i * ENTRY_BYTES;
        if (entry > size || size - entry < ENTRY_BYTES) return 1;
        if (number(&t, entry, 2) != TAG_ORIENTATION) continue;
        uint32_t value = number(&t, entry + 8, 2);
        bool good = number(&t, entry + 2, 2) == TYPE_SHORT && number(&t, entry + 4, 4) == 1 && value >= 1 && value <= 8;
        return good ? (int)value : 1;
    }
    return 1;
}
