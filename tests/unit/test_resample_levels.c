/* test_resample_levels.c - the loops of resizing give the same bytes at every level of base/levels.h, and never write
 * past a line.  The loops are private to their file, which is why it is included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "io/resample_rows.c"

enum { COLUMNS = 61, MOST = 7, POSITIONS = 40, LINE = 3 * POSITIONS, GUARD = 0xA5, ROOM = LINE + 16 };

typedef struct results {
    uint8_t quads[COLUMNS * COLUMN], across[SN_QUAD][ROOM], cv[SN_QUAD / 2][ROOM], down[ROOM];
} results;

typedef struct inputs {
    uint8_t rows[SN_QUAD][COLUMNS * PIXEL];
    int first[POSITIONS], count[POSITIONS], begin, end;
    int32_t pil[POSITIONS * MOST], cv[POSITIONS * 2], down[SN_QUAD];
    int positions;
} inputs;

static inputs make(uint64_t number)
{
    inputs in = {.positions = 1 + (int)(number % POSITIONS)};
    const uint64_t key = sn_rng_key(12, SN_RNG_TEST, number, 0);
    uint64_t draw = 0;
    for (int row = 0; row < SN_QUAD; row++)
        for (int i = 0; i < COLUMNS * PIXEL; i++) in.rows[row][i] = (uint8_t)sn_rng_u64(key, draw++);
    in.begin = (int)sn_rng_below(key, draw++, 20);
    in.end = in.begin + MOST + (int)sn_rng_below(key, draw++, COLUMNS - 20 - MOST);
    for (int x = 0; x < in.positions; x++) {
        in.count[x] = 1 + (int)sn_rng_below(key, draw++, MOST);
        in.first[x] = in.begin + (int)sn_rng_below(key, draw++, (uint64_t)(in.end - in.begin - in.count[x] + 1));
        for (int k = 0; k < MOST; k++) /* sums go beyond 0 and 255 */
            in.pil[x * MOST + k] = (int32_t)sn_rng_below(key, draw++, 1 << (SN_PIL_BITS - 1)) - (1 << (SN_PIL_BITS - 3));
        in.cv[2 * x] = (int32_t)sn_rng_below(key, draw++, (1 << SN_CV_BITS) + 1);
        in.cv[2 * x + 1] = (1 << SN_CV_BITS) - in.cv[2 * x];
    }
    for (int i = 0; i < SN_QUAD; i += 2) {
        in.down[i] = (int32_t)sn_rng_below(key, draw++, (1 << SN_CV_BITS) + 1);
        in.down[i + 1] = (1 << SN_CV_BITS) - in.down[i];
    }
    return in;
}

/* What one level makes of the inputs. */
#define RUN(level)                                                                                                     \
    static void run_##level(inputs *in, results *r)                                                                    \
    {                                                                                                                  \
        const uint8_t *rows[SN_QUAD] = {in->rows[0], in->rows[1], in->rows[2], in->rows[3]};                           \
        uint8_t *across[SN_QUAD] = {r->across[0], r->across[1], r->across[2], r->across[3]};                           \
        uint8_t *cv[SN_QUAD / 2] = {r->cv[0], r->cv[1]};                                                               \
        const sn_taps pil_taps = {in->first, in->count, in->pil, MOST, in->positions};                                 \
        int two[POSITIONS];                                                                                            \
        for (int x = 0; x < in->positions; x++) two[x] = in->count[x] < 2 ? in->count[x] : 2;                          \
        const sn_taps cv_taps = {in->first, two, in->cv, 2, in->positions};                                            \
        memset(r, GUARD, sizeof *r);                                                                                   \
        quads_fill_##level(rows, in->begin, in->end, r->quads);                                                        \
        pil_across_##level(r->quads, in->begin, &pil_taps, across);                                                    \
        cv_rows_##level(r->quads, in->begin, &cv_taps, in->down, cv);                                                  \
        pil_down_##level(in->rows[0], in->pil, SN_QUAD, 3 * (size_t)in->positions, r->down);                           \
        for (int i = 3; i < COLUMNS * COLUMN; i += SLOT) r->quads[i] = 0; /* of no meaning */                          \
    }

RUN(plain)
#if SN_HAS_LEVELS
RUN(avx2)
RUN(avx512)
#endif

/* Written out: every weight times its byte. */
static int naive_across(const inputs *in, int row, int x, int c)
{
    int64_t sum = 1 << (SN_PIL_BITS - 1);
    for (int k = 0; k < in->count[x]; k++)
        sum += (int64_t)in->rows[row][PIXEL * (in->first[x] + k) + c] * in->pil[x * MOST + k];
    sum >>= SN_PIL_BITS;
    return sum < 0 ? 0 : sum > 255 ? 255 : (int)sum;
}

static void assert_right(const inputs *in, const results *r)
{
    const int line = 3 * in->positions;
    for (int row = 0; row < SN_QUAD; row++) {
        for (int i = 0; i < line; i++) assert_int_equal(r->across[row][i], naive_across(in, row, i / PIXEL, i % PIXEL));
        for (int i = line; i < ROOM; i++) assert_int_equal(r->across[row][i], GUARD);
    }
    for (int i = line; i < ROOM; i++) assert_true(r->cv[0][i] == GUARD && r->cv[1][i] == GUARD && r->down[i] == GUARD);
}

static void levels_agree(void **state)
{
    (void)state;
    results *plain = malloc(sizeof *plain), *other = malloc(sizeof *other);
    for (uint64_t number = 0; number < 400; number++) {
        inputs in = make(number);
        run_plain(&in, plain);
        assert_right(&in, plain);
#if SN_HAS_LEVELS
        if (__builtin_cpu_supports("avx2")) {
            run_avx2(&in, other);
            assert_memory_equal(other, plain, sizeof *plain);
        }
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("avx512bw")) {
            run_avx512(&in, other);
            assert_memory_equal(other, plain, sizeof *plain);
        }
#endif
    }
    free(plain);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(levels_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
