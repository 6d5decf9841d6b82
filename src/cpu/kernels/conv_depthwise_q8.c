/* conv_depthwise_q8.c - depthwise 3x3 convolutions of int8 maps, stride 1 and 2.
 *
 * Nine products a value do not fill an instruction that sums four: they are taken in single precision, where sums of nine products of
 * bytes are whole numbers below 2^24 and so exact.  A column is converted once for its three products.
 * A gate multiplies the sums, as it would the inputs.
 */
#include "cpu/kernels/conv_rows_q8.h"

enum { VECTOR_BYTES = ROWS_TAPS * VF * (int)sizeof(float) };

static const char *refuse(const sn_kernel_call *call)
{
    sn_shape w = call->input_nodes[1]->shape;
    int64_t groups = call->node->attrs.u.conv.groups;
    if (groups != call->input_nodes[0]->shape.c || w.c != groups) return "not depthwise";
    return rows_refusal(call);
}

static size_t packed_bytes(const sn_kernel_call *call) { return rows_packed_bytes(call, VECTOR_BYTES); }

/* [vector][tap][VF] */
static void put(const sn_kernel_call *call, char *weights, int64_t tap, int64_t in, int64_t out, int integer)
{
    (void)call;
    (void)in;
    ((float *)(weights + out / VF * VECTOR_BYTES))[tap * VF + out % VF] = (float)integer;
}

static void pack(const sn_kernel_call *call, void *packed) { rows_pack(call, VECTOR_BYTES, packed, put); }

#define DEFINE_TILE(COUNT, STRIDE, INSIDE)                                                                           \
    static SN_NOINLINE void tile_##COUNT##_##STRIDE##_##INSIDE(const rows_tile *t)                                   \
    {                                                                                                                \
        const float *weights = (const float *)(t->run->weights + (size_t)t->vector * t->run->vector_bytes);          \
        vf sum[COUNT], w[ROWS_TAPS];                                                                                 \
        vi zero = (vi){0} + t->run->zero;                                                                            \
        SN_UNROLL for (int i = 0; i < COUNT; i++) sum[i] = (vf){0};                                                  \
        SN_UNROLL for (int k = 0; k < ROWS_TAPS; k++) w[k] = vf_load(weights + k * VF);                              \
        SN_UNROLL for (int ky = 0; ky < ROWS_SIDE; ky++)                                                             \
        {                                                                                                            \
            const uint8_t *row = t->rows[ky];                                                                        \
            if (!row) continue;                                                                                      \
            ROWS_COLUMNS(t, row, COUNT, STRIDE, INSIDE, {                                                            \
                vf value = __builtin_convertvector(q8_integers_n(x + t->channel, t->lanes) - zero, vf);              \
                SN_UNROLL for (int kx = 0; kx < ROWS_SIDE; kx++)                                                     \
                {                                                                                                    \
                    int o = j - kx;                                                                                  \
                    if (o >= 0 && o % STRIDE == 0 && o / STRIDE < COUNT) sum[o / STRIDE] += value * w[ky * ROWS_SIDE + kx]; \
                }                                                                                                    \
            })                                                                                                       \
        }                                                                                                            \
        rows_store(t, COUNT, sum);                                                                                   \
    }
DEFINE_TILE(1, 1, 0)
DEFINE_TILE(1, 2, 0)
DEFINE_TILE(7, 1, 0)
DEFINE_TILE(7, 2, 0)
DEFINE_TILE(7, 1, 1)
DEFINE_TILE(7, 2, 1)

static void run(const sn_kernel_call *call)
{
    static const rows_tiles tiles[2] = {{tile_1_1_0, tile_7_1_0, tile_7_1_1}, {tile_1_2_0, tile_7_2_0, tile_7_2_1}};
    rows_run_call(call, VECTOR_BYTES, tiles[call->node->attrs.u.conv.stride - 1]);
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_depthwise) = {.name = SN_KERNEL_NAME(conv2d_depthwise),
                                                      .op = SN_OP_conv2d,
                                                      .storage = SN_Q8,
                                                      .refuse = refuse,
                                                      .packed_bytes = packed_bytes,
                                                      .pack = pack,
                                                      .run = run,
                                                      .takes = SN_TAKES_GATE};
