/* conv_grouped_q8.c - 3x3 convolutions of int8 maps in narrow groups (ResNeXt), stride 1 and 2.
 *
 * Four input channels are one word of a lane.  Where a vector of outputs holds whole groups (4 to VF channels each), a permutation puts
 * the word of each output's own group into its lane; in groups of whole vectors a word is broadcast.  It then serves the
 * three columns of the kernel: 3 x 4 x VF products a permutation, four times those of conv_grouped.c.
 */
#include "cpu/kernels/conv_rows_q8.h"

enum { WORD = 4, MOST_WORDS = 16 };

/* Words of a group's inputs. */
static int64_t words_of(const sn_kernel_call *call) { return call->input_nodes[1]->shape.w / WORD; }
static size_t vector_bytes(const sn_kernel_call *call) { return (size_t)(ROWS_TAPS * words_of(call) * WORD * VF); }

static const char *refuse(const sn_kernel_call *call)
{
    const sn_node *x = call->input_nodes[0];
    int64_t groups = call->node->attrs.u.conv.groups, in = call->input_nodes[1]->shape.w, out = call->node->shape.c / groups;
    if (groups == 1 || in % WORD != 0 || in != out) return "not groups of as many outputs as inputs, a multiple of 4";
    if (VF % out != 0 && out % VF != 0) return "groups that fill neither a part of a vector nor vectors";
    if (in / WORD > MOST_WORDS) return "groups of more than 64 channels";
    if (call->node->shape.c % VF != 0) return "channels that do not fill a vector";
    if (x->quant.zero != 0) return "0 is not byte 0"; /* what is left out at the border would have to be subtracted */
    return rows_refusal(call);
}

static size_t packed_bytes(const sn_kernel_call *call) { return rows_packed_bytes(call, vector_bytes(call)); }

/* [vector][kernel row][word][kernel column][VF][4] */
static void put(const sn_kernel_call *call, char *weights, int64_t tap, int64_t in, int64_t out, int integer)
{
    int64_t place = (tap / ROWS_SIDE * words_of(call) + in / WORD) * ROWS_SIDE + tap % ROWS_SIDE;
    weights[(size_t)(out / VF) * vector_bytes(call) + (size_t)((place * VF + out % VF) * WORD + in % WORD)] = (char)integer;
}

static void pack(const sn_kernel_call *call, void *packed) { rows_pack(call, vector_bytes(call), packed, put); }

/* Lane l gets word index[l] of the VF bytes at p. */
SN_INLINE vi spread(const uint8_t *p, vi index)
{
#if SN_VECTOR_FLOATS == 16
    return (vi)_mm512_permutexvar_epi32((__m512i)index, _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)p)));
#elif SN_VECTOR_FLOATS == 8
    return (vi)_mm256_permutevar8x32_epi32(_mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)p)), (__m256i)index);
#else
    (void)index; /* four bytes are one word */
    return q8_four(p);
#endif
}

/* SPREAD: groups narrower than a vector. */
#define DEFINE_TILE(COUNT, STRIDE, INSIDE, SPREAD)                                                                   \
    static SN_NOINLINE void tile_##COUNT##_##STRIDE##_##INSIDE##_##SPREAD(const rows_tile *t)                        \
    {                                                                                                                \
        const rows_run *run = t->run;                                                                                \
        const int8_t *w = (const int8_t *)run->weights + (size_t)t->vector * run->vector_bytes;                      \
        int64_t words = (int64_t)run->vector_bytes / (ROWS_TAPS * WORD * VF), width = words * WORD;                  \
        const int64_t first = SPREAD ? t->channel : t->channel / width * width;                                      \
        vi sum[COUNT], index;                                                                                        \
        SN_UNROLL for (int i = 0; i < COUNT; i++) sum[i] = (vi){0};                                                  \
        for (int i = 0; i < VF; i++) index[i] = (int)(i / width * words);                                            \
        for (int ky = 0; ky < ROWS_SIDE; ky++) {                                                                     \
            const uint8_t *row = t->rows[ky];                                                                        \
            if (!row) {                                                                                              \
                w += words * ROWS_SIDE * WORD * VF;                                                                  \
                continue;                                                                                            \
            }                                                                                                        \
            vi at = index;                                                                                           \
            row += first;                                                                                            \
            for (int64_t k = 0; k < words; k++, at += 1, w += ROWS_SIDE * WORD * VF) {                               \
                vi weight[ROWS_SIDE];                                                                                \
                SN_UNROLL for (int kx = 0; kx < ROWS_SIDE; kx++) weight[kx] = *(const vi *)(w + kx * WORD * VF);     \
                ROWS_COLUMNS(t, row, COUNT, STRIDE, INSIDE, {                                                        \
                    vi four = SPREAD ? spread(x, at) : q8_four(x + k * WORD);                                        \
                    SN_UNROLL for (int kx = 0; kx < ROWS_SIDE; kx++)                                                 \
                    {                                                                                                \
                        int o = j - kx;                                                                              \
                        if (o >= 0 && o % STRIDE == 0 && o / STRIDE < COUNT) q8_add_products(&sum[o / STRIDE], four, weight[kx]); \
                    }                                                                                                \
                })                                                                                                   \
            }                                                                                                        \
        }                                                                                                            \
        vf values[COUNT];                                                                                            \
        SN_UNROLL for (int i = 0; i < COUNT; i++) values[i] = __builtin_convertvector(sum[i], vf);                   \
        rows_store(t, COUNT, values);                                                                                \
    }
#define DEFINE_TILES(STRIDE, SPREAD) DEFINE_TILE(1, STRIDE, 0, SPREAD) DEFINE_TILE(7, STRIDE, 0, SPREAD) DEFINE_TILE(7, STRIDE, 1, SPREAD)
#define TILES(STRIDE, SPREAD) {tile_1_##STRIDE##_0_##SPREAD, tile_7_##STRIDE##_0_##SPREAD, tile_7_##STRIDE##_1_##SPREAD}
DEFINE_TILES(1, 0)
DEFINE_TILES(2, 0)
DEFINE_TILES(1, 1)
DEFINE_TILES(2, 1)

static void run(const sn_kernel_call *call)
{
    static const rows_tiles tiles[2][2] = {{TILES(1, 0), TILES(1, 1)}, {TILES(2, 0), TILES(2, 1)}}; /* by stride, narrow groups */
    rows_run_call(call, vector_bytes(call), tiles[call->node->attrs.u.conv.stride - 1][call->input_nodes[1]->shape.w < VF]);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_grouped) = {.name = SN_KERNEL_NAME(conv2d_grouped),
                                                    .op = SN_OP_conv2d,
                                                    .storage = SN_Q8,
                                                    .refuse = refuse,
                                                    .packed_bytes = packed_bytes,
                                                    .pack = pack,
                                                    .run = run};
