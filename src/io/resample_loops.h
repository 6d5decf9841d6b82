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

static void LEVEL(quads_fill)(const uint8_t *const rows[SN_QUAD], int begin, int end, uint8_t *quads)
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

static void LEVEL(pil_across)(const uint8_t *quads, int begin, const sn_taps *t, uint8_t *const out[SN_QUAD])
{
    const int last = t->positions - 1;
    for (int x = 0; x <= last; x++) {
        const uint8_t *p = quads + COLUMN * (size_t)(t->first[x] - begin);
        const int32_t *weights = t->weights + (size_t)x * (size_t)t->most;
        ints16 sums = (ints16){0} + (1 << (SN_PIL_BITS - 1)), pixels;
        for (int k = 0; k < t->count[x]; k++, p += COLUMN) {
            pixels = LEVEL(widen)(p);
            sums += pixels * weights[k];
        }
        const bytes16 four = LEVEL(narrow)(sums >> SN_PIL_BITS);
        uint8_t bytes[COLUMN];
        memcpy(bytes, &four, sizeof four);
        if (x < last)
            for (int row = 0; row < SN_QUAD; row++) memcpy(out[row] + PIXEL * x, bytes + SLOT * row, SLOT);
        else
            for (int row = 0; row < SN_QUAD; row++) memcpy(out[row] + PIXEL * x, bytes + SLOT * row, PIXEL);
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

static void LEVEL(cv_rows)(const uint8_t *quads, int begin, const sn_taps *t, const int32_t weights[SN_QUAD],
                           uint8_t *const out[SN_QUAD / 2])
{
    const int last = t->positions - 1;
    ints16 down;
    for (int i = 0; i < COLUMN; i++) down[i] = weights[i / SLOT];
    for (int x = 0; x <= last; x++) {
        const uint8_t *p = quads + COLUMN * (size_t)(t->first[x] - begin), *q = p + COLUMN * (t->count[x] - 1);
        ints16 left, right;
        left = LEVEL(widen)(p);
        right = LEVEL(widen)(q);
        left = left * t->weights[2 * x] + right * t->weights[2 * x + 1];
        left = (down * (left >> 4)) >> 16;
        left += __builtin_shufflevector(left, left, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
        const bytes16 both = LEVEL(narrow)((left + 2) >> 2);
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
