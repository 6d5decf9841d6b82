/* resample_loops.h - the loops of resample_rows.c, at one level (base/levels.h). */

static inline __attribute__((always_inline)) ints16 LEVEL(widen)(const uint8_t *p)
{
#if defined(__AVX512F__)
    return (ints16)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
#elif defined(__AVX2__)
    ints16 wide;
    const __m256i half[2] = {_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)),
                             _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p + 8)))};
    memcpy(&wide, half, sizeof wide);
    return wide;
#else
    bytes16 narrow;
    memcpy(&narrow, p, sizeof narrow);
    return __builtin_convertvector(narrow, ints16);
#endif
}

/* Cut off at 0 and 255. */
static inline __attribute__((always_inline)) bytes16 LEVEL(narrow)(ints16 wide)
{
#if defined(__AVX512F__)
    return (bytes16)_mm512_cvtusepi32_epi8(_mm512_max_epi32((__m512i)wide, _mm512_setzero_si512()));
#elif defined(__AVX2__)
    __m256i half[2];
    memcpy(half, &wide, sizeof wide);
    const __m256i shorts = _mm256_permute4x64_epi64(_mm256_packus_epi32(half[0], half[1]), 0xD8);
    return (bytes16)_mm_packus_epi16(_mm256_castsi256_si128(shorts), _mm256_extracti128_si256(shorts, 1));
#else
    wide &= ~(wide >> 31);
    wide |= wide > 255; /* all bits: the low 8 stay */
    return __builtin_convertvector(wide, bytes16);
#endif
}

/* Four pixels of a row, from 16 bytes, in a slot each. */
static inline __attribute__((always_inline)) ints4 LEVEL(four_pixels)(const uint8_t *row)
{
    bytes16 v;
    memcpy(&v, row, sizeof v);
    return (ints4)__builtin_shufflevector(v, v, 0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9, 10, 11, 12);
}

static void LEVEL(quads_fill)(const uint8_t *const rows[SN_QUAD], int begin, int end, uint8_t *quads)
{
    const uint8_t *const row0 = rows[0], *const row1 = rows[1], *const row2 = rows[2], *const row3 = rows[3];
    int x = begin;
    for (size_t at = PIXEL * (size_t)x; end - x >= 6; x += FOUR, at += PIXEL * FOUR, quads += FOUR * COLUMN) {
        const ints4 a = LEVEL(four_pixels)(row0 + at), b = LEVEL(four_pixels)(row1 + at);
        const ints4 c = LEVEL(four_pixels)(row2 + at), d = LEVEL(four_pixels)(row3 + at);
        const ints4 ab01 = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab23 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
        const ints4 cd01 = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd23 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
        ints4 column;
        column = __builtin_shufflevector(ab01, cd01, 0, 1, 4, 5);
        memcpy(quads, &column, sizeof column);
        column = __builtin_shufflevector(ab01, cd01, 2, 3, 6, 7);
        memcpy(quads + COLUMN, &column, sizeof column);
        column = __builtin_shufflevector(ab23, cd23, 0, 1, 4, 5);
        memcpy(quads + 2 * COLUMN, &column, sizeof column);
        column = __builtin_shufflevector(ab23, cd23, 2, 3, 6, 7);
        memcpy(quads + 3 * COLUMN, &column, sizeof column);
    }
    for (; x < end; x++, quads += COLUMN) {
        memset(quads, 0, COLUMN);
        for (int row = 0; row < SN_QUAD; row++) memcpy(quads + SLOT * row, rows[row] + PIXEL * (size_t)x, PIXEL);
    }
}

/* The bytes of four positions, each of four rows: twelve bytes a row, in sixteen.  The numbers have less than 16 bits;
 * they are cut off at 0 and 255. */
static inline __attribute__((always_inline)) longs8 LEVEL(pack)(ints16 a, ints16 b, ints16 c, ints16 d)
{
#if defined(__AVX512F__)
    const __m512i drop = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
    const __m512i left = _mm512_packs_epi32((__m512i)a, (__m512i)b), right = _mm512_packs_epi32((__m512i)c, (__m512i)d);
    return (longs8)_mm512_shuffle_epi8(_mm512_packus_epi16(left, right), drop);
#elif defined(__AVX2__)
    const __m256i drop =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
    __m256i in[FOUR][2], out[2];
    longs8 rows;
    memcpy(in[0], &a, sizeof a);
    memcpy(in[1], &b, sizeof b);
    memcpy(in[2], &c, sizeof c);
    memcpy(in[3], &d, sizeof d);
    for (int half = 0; half < 2; half++) {
        const __m256i left = _mm256_packs_epi32(in[0][half], in[1][half]);
        const __m256i right = _mm256_packs_epi32(in[2][half], in[3][half]);
        out[half] = _mm256_shuffle_epi8(_mm256_packus_epi16(left, right), drop);
    }
    memcpy(&rows, out, sizeof rows);
    return rows;
#else
    const bytes16 narrow[FOUR] = {LEVEL(narrow)(a), LEVEL(narrow)(b), LEVEL(narrow)(c), LEVEL(narrow)(d)};
    uint8_t in[sizeof narrow], out[sizeof narrow] = {0};
    longs8 rows;
    memcpy(in, narrow, sizeof in);
    for (int row = 0; row < SN_QUAD; row++)
        for (int i = 0; i < FOUR; i++) memcpy(out + 16 * row + PIXEL * i, in + 16 * i + SLOT * row, SLOT);
    memcpy(&rows, out, sizeof rows);
    return rows;
#endif
}

/* Sixteen bytes of one row of pack(), or the pixels that there is room for. */
static inline __attribute__((always_inline)) void LEVEL(put)(longs2 row, int positions, uint8_t *out)
{
    if (positions > FOUR + 1)
        memcpy(out, &row, sizeof row);
    else if (positions >= FOUR)
        memcpy(out, &row, PIXEL * FOUR);
    else
        memcpy(out, &row, PIXEL * (size_t)positions);
}

static inline __attribute__((always_inline)) ints16 LEVEL(pil_sum)(const uint8_t *quads, int begin, const sn_taps *t,
                                                                    int x)
{
    if (x >= t->positions) x = t->positions - 1;
    const uint8_t *p = quads + COLUMN * (size_t)(t->first[x] - begin);
    const int32_t *weights = t->weights + (size_t)x * (size_t)t->most;
    ints16 sums = (ints16){0} + (1 << (SN_PIL_BITS - 1)), pixels;
    for (int k = 0; k < t->count[x]; k++, p += COLUMN) {
        pixels = LEVEL(widen)(p);
        sums += pixels * weights[k];
    }
    return sums >> SN_PIL_BITS;
}

static void LEVEL(pil_across)(const uint8_t *quads, int begin, const sn_taps *t, uint8_t *const out[SN_QUAD])
{
    for (int x = 0; x < t->positions; x += FOUR) {
        const ints16 a = LEVEL(pil_sum)(quads, begin, t, x), b = LEVEL(pil_sum)(quads, begin, t, x + 1);
        const ints16 c = LEVEL(pil_sum)(quads, begin, t, x + 2), d = LEVEL(pil_sum)(quads, begin, t, x + 3);
        const longs8 rows = LEVEL(pack)(a, b, c, d);
        const int left = t->positions - x;
        LEVEL(put)(__builtin_shufflevector(rows, rows, 0, 1), left, out[0] + PIXEL * x);
        LEVEL(put)(__builtin_shufflevector(rows, rows, 2, 3), left, out[1] + PIXEL * x);
        LEVEL(put)(__builtin_shufflevector(rows, rows, 4, 5), left, out[2] + PIXEL * x);
        LEVEL(put)(__builtin_shufflevector(rows, rows, 6, 7), left, out[3] + PIXEL * x);
    }
}

/* Lines that are shorter than a vector. */
static void LEVEL(down_narrow)(const uint8_t *lines, const int32_t *weights, int count, size_t bytes, uint8_t *out)
{
    for (size_t i = 0; i < bytes; i++) {
        int32_t sum = 1 << (SN_PIL_BITS - 1);
        for (int k = 0; k < count; k++) sum += lines[(size_t)k * bytes + i] * weights[k];
        out[i] = pil_round(sum);
    }
}

static void LEVEL(pil_down)(const uint8_t *lines, const int32_t *weights, int count, size_t bytes, uint8_t *out)
{
    if (bytes < 2 * BLOCK) {
        LEVEL(down_narrow)(lines, weights, count, bytes, out);
        return;
    }
    for (size_t i = 0; i < bytes; i += 2 * BLOCK) {
        if (i > bytes - 2 * BLOCK) i = bytes - 2 * BLOCK; /* the last two blocks may overlap the ones before */
        const uint8_t *p = lines + i;
        ints16 sums = (ints16){0} + (1 << (SN_PIL_BITS - 1)), more = sums, pixels;
        for (int k = 0; k < count; k++, p += bytes) {
            pixels = LEVEL(widen)(p);
            sums += pixels * weights[k];
            pixels = LEVEL(widen)(p + BLOCK);
            more += pixels * weights[k];
        }
        bytes16 done = LEVEL(narrow)(sums >> SN_PIL_BITS);
        memcpy(out + i, &done, sizeof done);
        done = LEVEL(narrow)(more >> SN_PIL_BITS);
        memcpy(out + i + BLOCK, &done, sizeof done);
    }
}

/* down: the weights of the four rows, each four times. */
static inline __attribute__((always_inline)) ints16 LEVEL(cv_sum)(const uint8_t *quads, int begin, const sn_taps *t,
                                                                   ints16 down, int x)
{
    if (x >= t->positions) x = t->positions - 1;
    const uint8_t *p = quads + COLUMN * (size_t)(t->first[x] - begin), *q = p + COLUMN * (t->count[x] - 1);
    ints16 left, right;
    left = LEVEL(widen)(p);
    right = LEVEL(widen)(q);
    left = left * t->weights[2 * x] + right * t->weights[2 * x + 1];
    left = (down * (left >> 4)) >> 16;
    left += __builtin_shufflevector(left, left, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    return (left + 2) >> 2;
}

static void LEVEL(cv_rows)(const uint8_t *quads, int begin, const sn_taps *t, const int32_t weights[SN_QUAD],
                           uint8_t *const out[SN_QUAD / 2])
{
    ints16 down;
    for (int i = 0; i < COLUMN; i++) down[i] = weights[i / SLOT];
    for (int x = 0; x < t->positions; x += FOUR) {
        const ints16 a = LEVEL(cv_sum)(quads, begin, t, down, x), b = LEVEL(cv_sum)(quads, begin, t, down, x + 1);
        const ints16 c = LEVEL(cv_sum)(quads, begin, t, down, x + 2), d = LEVEL(cv_sum)(quads, begin, t, down, x + 3);
        const longs8 rows = LEVEL(pack)(a, b, c, d);
        const int left = t->positions - x;
        LEVEL(put)(__builtin_shufflevector(rows, rows, 0, 1), left, out[0] + PIXEL * x);
        LEVEL(put)(__builtin_shufflevector(rows, rows, 4, 5), left, out[1] + PIXEL * x);
    }
}
