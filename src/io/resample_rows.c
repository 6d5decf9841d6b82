/* resample_rows.c - see resample_rows.h.
 *
 * A vector holds four pixels of four bytes, each of a row of its own, so that a tap is one load, one product by a
 * single weight and one sum, whatever the positions are.  The fourth byte of a pixel is the next pixel's first: its
 * result is written, and written over by the next. */
#include "io/resample_rows.h"

#include <string.h>

#include "base/clones.h"

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef int32_t ints16 __attribute__((vector_size(64)));

enum { PIXEL = 3, SLOT = 4, COLUMN = SN_QUAD * SLOT, BLOCK = 16 };

#define LOAD_WIDE(pointer, result)                                                                                     \
    do {                                                                                                               \
        bytes16 narrow_;                                                                                               \
        memcpy(&narrow_, pointer, sizeof narrow_);                                                                     \
        (result) = __builtin_convertvector(narrow_, ints16);                                                           \
    } while (0)

/* sums: 22 fractional bits -> bytes, cut off at 0 and 255 */
#define TO_BYTES(sums, result)                                                                                         \
    do {                                                                                                               \
        ints16 whole_ = (sums) >> SN_PIL_BITS;                                                                         \
        whole_ &= ~(whole_ >> 31);                                                                                     \
        whole_ |= whole_ > 255; /* all bits: the low 8 stay */                                                         \
        (result) = __builtin_convertvector(whole_, bytes16);                                                           \
    } while (0)

SN_CLONES void sn_quads_fill(const uint8_t *const rows[SN_QUAD], int begin, int end, uint8_t *quads)
{
    const uint8_t *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
    const size_t last = PIXEL * (size_t)(end - 1);
    for (size_t i = PIXEL * (size_t)begin; i < last; i += PIXEL, quads += COLUMN) {
        memcpy(quads, a + i, SLOT);
        memcpy(quads + SLOT, b + i, SLOT);
        memcpy(quads + 2 * SLOT, c + i, SLOT);
        memcpy(quads + 3 * SLOT, d + i, SLOT);
    }
    memset(quads, 0, COLUMN);
    for (int row = 0; row < SN_QUAD; row++) memcpy(quads + SLOT * row, rows[row] + last, PIXEL);
}

SN_CLONES void sn_pil_across(const uint8_t *quads, int begin, const sn_taps *t, uint8_t *const out[SN_QUAD])
{
    const int last = t->positions - 1;
    for (int x = 0; x <= last; x++) {
        const uint8_t *p = quads + COLUMN * (size_t)(t->first[x] - begin);
        const int32_t *weights = t->weights + (size_t)x * (size_t)t->most;
        ints16 sums = (ints16){0} + (1 << (SN_PIL_BITS - 1)), pixels;
        for (int k = 0; k < t->count[x]; k++, p += COLUMN) {
            LOAD_WIDE(p, pixels);
            sums += pixels * weights[k];
        }
        bytes16 four;
        TO_BYTES(sums, four);
        uint8_t bytes[COLUMN];
        memcpy(bytes, &four, sizeof four);
        if (x < last)
            for (int row = 0; row < SN_QUAD; row++) memcpy(out[row] + PIXEL * x, bytes + SLOT * row, SLOT);
        else
            for (int row = 0; row < SN_QUAD; row++) memcpy(out[row] + PIXEL * x, bytes + SLOT * row, PIXEL);
    }
}

static inline uint8_t pil_round(int32_t sum)
{
    sum >>= SN_PIL_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* Lines that are shorter than a vector. */
static void down_narrow(const uint8_t *lines, const int32_t *weights, int count, size_t bytes, uint8_t *out)
{
    for (size_t i = 0; i < bytes; i++) {
        int32_t sum = 1 << (SN_PIL_BITS - 1);
        for (int k = 0; k < count; k++) sum += lines[(size_t)k * bytes + i] * weights[k];
        out[i] = pil_round(sum);
    }
}

SN_CLONES void sn_pil_down(const uint8_t *lines, const int32_t *weights, int count, size_t bytes, uint8_t *out)
{
    if (bytes < 2 * BLOCK) {
        down_narrow(lines, weights, count, bytes, out);
        return;
    }
    for (size_t i = 0; i < bytes; i += 2 * BLOCK) {
        if (i > bytes - 2 * BLOCK) i = bytes - 2 * BLOCK; /* the last two blocks may overlap the ones before */
        const uint8_t *p = lines + i;
        ints16 sums = (ints16){0} + (1 << (SN_PIL_BITS - 1)), more = sums, pixels;
        for (int k = 0; k < count; k++, p += bytes) {
            LOAD_WIDE(p, pixels);
            sums += pixels * weights[k];
            LOAD_WIDE(p + BLOCK, pixels);
            more += pixels * weights[k];
        }
        bytes16 done;
        TO_BYTES(sums, done);
        memcpy(out + i, &done, sizeof done);
        TO_BYTES(more, done);
        memcpy(out + i + BLOCK, &done, sizeof done);
    }
}

SN_CLONES void sn_cv_rows(const uint8_t *quads, int begin, const sn_taps *t, const int32_t weights[SN_QUAD],
                          uint8_t *const out[SN_QUAD / 2])
{
    const int last = t->positions - 1;
    ints16 down;
    for (int i = 0; i < COLUMN; i++) down[i] = weights[i / SLOT];
    for (int x = 0; x <= last; x++) {
        const uint8_t *p = quads + COLUMN * (size_t)(t->first[x] - begin), *q = p + COLUMN * (t->count[x] - 1);
        ints16 left, right;
        LOAD_WIDE(p, left);
        LOAD_WIDE(q, right);
        left = left * t->weights[2 * x] + right * t->weights[2 * x + 1];
        left = (down * (left >> 4)) >> 16;
        left += __builtin_shuffle(left, (ints16){4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11});
        const bytes16 both = __builtin_convertvector((left + 2) >> 2, bytes16);
        uint8_t bytes[COLUMN];
        memcpy(bytes, &both, sizeof both);
        if (x < last) {
            memcpy(out[0] + PIXEL * x, bytes, SLOT);
            memcpy(out[1] + PIXEL * x, bytes + 2 * SLOT, SLOT);
        } else {
            memcpy(out[0] + PIXEL * x, bytes, PIXEL);
            memcpy(out[1] + PIXEL * x, bytes + 2 * SLOT, PIXEL);
        }
    }
}
