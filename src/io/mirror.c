/* mirror.c - see mirror.h. */
#include "io/mirror.h"

#include <string.h>

#include "base/levels.h"

/* Exchanges pixels `left` and width-1-left, and so on to the middle. */
static void swap_pixels(int width, int left, uint8_t *row)
{
    for (int right = width - 1 - left; left < right; left++, right--) {
        uint8_t keep[3];
        memcpy(keep, row + 3 * left, 3);
        memcpy(row + 3 * left, row + 3 * right, 3);
        memcpy(row + 3 * right, keep, 3);
    }
}

#if SN_HAS_LEVELS
/* Five pixels from either end at a time, in vectors of 16 bytes, whose odd one stays where it is. */
__attribute__((target("ssse3"))) static int swap_fives(int width, uint8_t *row)
{
    enum { FIVE = 5, VECTOR = 16 };
    const __m128i from_right = _mm_setr_epi8(13, 14, 15, 10, 11, 12, 7, 8, 9, 4, 5, 6, 1, 2, 3, -1);
    const __m128i from_left = _mm_setr_epi8(-1, 12, 13, 14, 9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2);
    const __m128i last = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1);
    const __m128i first = _mm_setr_epi8(-1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    int done = 0;
    uint8_t *left = row, *right = row + 3 * (size_t)width - VECTOR;
    __m128i a = _mm_loadu_si128((const __m128i *)(const void *)left);
    __m128i b = _mm_loadu_si128((const __m128i *)(const void *)right);
    for (; right - left >= VECTOR; left += 3 * FIVE, right -= 3 * FIVE, done += FIVE) {
        const __m128i to_left = _mm_or_si128(_mm_shuffle_epi8(b, from_right), _mm_and_si128(a, last));
        const __m128i to_right = _mm_or_si128(_mm_shuffle_epi8(a, from_left), _mm_and_si128(b, first));
        /* The next ones before these are stored, which overlap by a byte: the processor would wait for it. */
        a = _mm_loadu_si128((const __m128i *)(const void *)(left + 3 * FIVE));
        b = _mm_loadu_si128((const __m128i *)(const void *)(right - 3 * FIVE));
        _mm_storeu_si128((__m128i *)(void *)left, to_left);
        _mm_storeu_si128((__m128i *)(void *)right, to_right);
    }
    return done;
}
#endif

void sn_mirror(int width, int height, uint8_t *rgb)
{
    for (int y = 0; y < height; y++, rgb += 3 * (size_t)width) {
        int done = 0;
#if SN_HAS_LEVELS
        if (width > 10 && __builtin_cpu_supports("ssse3")) done = swap_fives(width, rgb);
#endif
        swap_pixels(width, done, rgb);
    }
}
