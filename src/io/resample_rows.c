/* resample_rows.c - see resample_rows.h.
 *
 * A vector holds four pixels of four bytes, each of a row of its own, so that a tap is one load, one product by a
 * single weight and one sum, whatever the positions are.  The fourth byte of a pixel is the next pixel's first, and its
 * result is dropped when the sums of four positions are packed into bytes. */
#include "io/resample_rows.h"

#include <string.h>

#include "base/levels.h"

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef int32_t ints4 __attribute__((vector_size(16)));
typedef int32_t ints16 __attribute__((vector_size(64)));
typedef int64_t longs2 __attribute__((vector_size(16)));
typedef int64_t longs8 __attribute__((vector_size(64)));

enum { PIXEL = 3, SLOT = 4, COLUMN = SN_QUAD * SLOT, BLOCK = 16, FOUR = 4 };

static inline uint8_t pil_round(int32_t sum)
{
    sum >>= SN_PIL_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

#define LEVEL(name) name##_plain
#include "io/resample_loops.h"
#undef LEVEL
#if SN_HAS_LEVELS
#pragma GCC push_options
#pragma GCC target("avx2")
#define LEVEL(name) name##_avx2
#include "io/resample_loops.h"
#undef LEVEL
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")
#define LEVEL(name) name##_avx512
#include "io/resample_loops.h"
#undef LEVEL
#pragma GCC pop_options
#endif

void sn_quads_fill(const uint8_t *const rows[SN_QUAD], int begin, int end, uint8_t *quads)
{
    SN_BEST(quads_fill, (rows, begin, end, quads));
}

void sn_pil_across(const uint8_t *quads, int begin, const sn_taps *t, uint8_t *const out[SN_QUAD])
{
    SN_BEST(pil_across, (quads, begin, t, out));
}

void sn_pil_down(const uint8_t *lines, const int32_t *weights, int count, size_t bytes, uint8_t *out)
{
    SN_BEST(pil_down, (lines, weights, count, bytes, out));
}

void sn_cv_rows(const uint8_t *quads, int begin, const sn_taps *t, const int32_t weights[SN_QUAD],
                uint8_t *const out[SN_QUAD / 2])
{
    SN_BEST(cv_rows, (quads, begin, t, weights, out));
}
