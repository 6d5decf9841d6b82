/* jpeg_transform.c - see jpeg_transform.h.
 *
 * The inverse cosine transform is Loeffler, Ligtenberg and Moschytz's (ICASSP 1989) in whole numbers of 13 fractional
 * bits, columns before rows, with 2 fractional bits between them: what libjpeg calls "islow", to the bit.  So are the
 * colours: 16 fractional bits, rounded once. */
#include "io/jpeg_transform.h"

#include <string.h>

#include "base/clones.h"

typedef int32_t ints8 __attribute__((vector_size(32)));
typedef int16_t shorts8 __attribute__((vector_size(16)));
typedef uint8_t bytes8 __attribute__((vector_size(8)));

enum { FRACTION = 13, BETWEEN = 2 };

/* cosines times 2^13 */
enum {
    C0_298631336 = 2446,
    C0_390180644 = 3196,
    C0_541196100 = 4433,
    C0_765366865 = 6270,
    C0_899976223 = 7373,
    C1_175875602 = 9633,
    C1_501321110 = 12299,
    C1_847759065 = 15137,
    C1_961570560 = 16069,
    C2_053119869 = 16819,
    C2_562915447 = 20995,
    C3_072711026 = 25172
};

/* Eight transforms of eight values side by side, in place; `shift` fractional bits are rounded off. */
static inline __attribute__((always_inline)) void transform(ints8 v[SN_JPEG_SIDE], int shift)
{
    const ints8 turn = (v[2] + v[6]) * C0_541196100;
    const ints8 even2 = turn - v[6] * C1_847759065, even3 = turn + v[2] * C0_765366865;
    const ints8 half = (ints8){0} + (1 << (shift - 1));
    const ints8 sum = ((v[0] + v[4]) << FRACTION) + half, difference = ((v[0] - v[4]) << FRACTION) + half;
    const ints8 outer = sum + even3, outer_less = sum - even3, inner = difference + even2,
                inner_less = difference - even2;

    const ints8 common = (v[7] + v[3] + v[5] + v[1]) * C1_175875602;
    const ints8 a = (v[7] + v[1]) * -C0_899976223, b = (v[5] + v[3]) * -C2_562915447;
    const ints8 c = common - (v[7] + v[3]) * C1_961570560, d = common - (v[5] + v[1]) * C0_390180644;
    const ints8 odd0 = v[7] * C0_298631336 + a + c, odd1 = v[5] * C2_053119869 + b + d;
    const ints8 odd2 = v[3] * C3_072711026 + b + c, odd3 = v[1] * C1_501321110 + a + d;

    v[0] = (outer + odd3) >> shift;
    v[7] = (outer - odd3) >> shift;
    v[1] = (inner + odd2) >> shift;
    v[6] = (inner - odd2) >> shift;
    v[2] = (inner_less + odd1) >> shift;
    v[5] = (inner_less - odd1) >> shift;
    v[3] = (outer_less + odd0) >> shift;
    v[4] = (outer_less - odd0) >> shift;
}

/* Exchanges rows and columns: neighbours of 1, 2, then 4. */
static inline __attribute__((always_inline)) void transpose(ints8 v[SN_JPEG_SIDE])
{
    ints8 w[SN_JPEG_SIDE];
    for (int i = 0; i < SN_JPEG_SIDE; i += 2) {
        w[i] = __builtin_shuffle(v[i], v[i + 1], (ints8){0, 8, 2, 10, 4, 12, 6, 14});
        w[i + 1] = __builtin_shuffle(v[i], v[i + 1], (ints8){1, 9, 3, 11, 5, 13, 7, 15});
    }
    for (int i = 0; i < SN_JPEG_SIDE; i += 4)
        for (int k = i; k < i + 2; k++) {
            v[k] = __builtin_shuffle(w[k], w[k + 2], (ints8){0, 1, 8, 9, 4, 5, 12, 13});
            v[k + 2] = __builtin_shuffle(w[k], w[k + 2], (ints8){2, 3, 10, 11, 6, 7, 14, 15});
        }
    for (int k = 0; k < 4; k++) {
        const ints8 upper = v[k], lower = v[k + 4];
        v[k] = __builtin_shuffle(upper, lower, (ints8){0, 1, 2, 3, 8, 9, 10, 11});
        v[k + 4] = __builtin_shuffle(upper, lower, (ints8){4, 5, 6, 7, 12, 13, 14, 15});
    }
}

SN_CLONES void sn_jpeg_inverse(const int16_t coefficients[SN_JPEG_BLOCK], const int32_t quantisers[SN_JPEG_BLOCK],
                               uint8_t *pixels, size_t stride)
{
    ints8 v[SN_JPEG_SIDE];
    for (int y = 0; y < SN_JPEG_SIDE; y++) {
        shorts8 row;
        ints8 scale;
        memcpy(&row, coefficients + SN_JPEG_SIDE * y, sizeof row);
        memcpy(&scale, quantisers + SN_JPEG_SIDE * y, sizeof scale);
        v[y] = __builtin_convertvector(row, ints8) * scale;
    }
    transform(v, FRACTION - BETWEEN);
    transpose(v);
    transform(v, FRACTION + BETWEEN + 3);
    transpose(v);
    for (int y = 0; y < SN_JPEG_SIDE; y++, pixels += stride) {
        ints8 level = v[y] + 128;
        level &= ~(level >> 31);
        level |= level > 255; /* all bits: the low 8 stay */
        const bytes8 row = __builtin_convertvector(level, bytes8);
        memcpy(pixels, &row, sizeof row);
    }
}

void sn_jpeg_inverse_flat(int coefficient, int quantiser, uint8_t *pixels, size_t stride)
{
    int level = ((coefficient * quantiser + 4) >> 3) + 128; /* 2 fractional bits, then 5 of a row's transform */
    level = level < 0 ? 0 : level > 255 ? 255 : level;
    for (int y = 0; y < SN_JPEG_SIDE; y++, pixels += stride) memset(pixels, level, SN_JPEG_SIDE);
}

static inline __attribute__((always_inline)) uint8_t to_byte(int32_t value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

SN_CLONES void sn_jpeg_to_rgb(const uint8_t *restrict luma, const uint8_t *restrict blue, const uint8_t *restrict red,
                              size_t width, uint8_t *restrict rgb)
{
    enum { HALF = 1 << 15, RED = 91881, GREEN_OF_RED = 46802, GREEN_OF_BLUE = 22554, BLUE = 116130 };
    for (size_t x = 0; x < width; x++) {
        const int32_t y = luma[x], b = blue[x] - 128, r = red[x] - 128;
        rgb[3 * x] = to_byte(y + ((RED * r + HALF) >> 16));
        rgb[3 * x + 1] = to_byte(y + ((HALF - GREEN_OF_BLUE * b - GREEN_OF_RED * r) >> 16));
        rgb[3 * x + 2] = to_byte(y + ((BLUE * b + HALF) >> 16));
    }
}
