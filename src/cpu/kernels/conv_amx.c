/* conv_amx.c - dense convolution of bf16 maps by tiles (tiles_amx.h): so far 1x1 layers whose channels fill tiles. */
#include "cpu/kernels/clamp.h"
#include "cpu/kernels/tiles_amx.h"

enum { BLOCK = 32 }; /* pixels and outputs of four sums */

typedef struct tiles_run {
    const stored *x, *packed;
    const float *bias;
    stored *y;
    int64_t pixels, inputs, outputs;
    clamp clamp;
} tiles_run;

static const char *refuse(const sn_kernel_call *call)
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    sn_shape x = call->input_nodes[0]->shape, w = call->input_nodes[1]->shape, y = call->node->shape;
    const char *otherwise = stored_refusal(call, 1u << 0);
    if (otherwise) return otherwise;
    if (w.n != 1 || w.h != 1 || a->stride != 1 || a->groups != 1 || y.h != x.h || y.w != x.w)
        return "not a dense 1x1 convolution";
    if (call->node->inputs_count > 3 && call->input_nodes[3]) return "a residual";
    if (!clamp_is(a->activation)) return "an activation that is no clamp";
    if (x.c % BLOCK || y.c % BLOCK || y.n * y.h * y.w < BLOCK) return "does not fill tiles";
    return NULL;
}

static size_t packed_bytes(const sn_kernel_call *call)
{
    return (size_t)(call->input_nodes[0]->shape.c * call->node->shape.c) * sizeof(stored);
}

/* [32 outputs][32 inputs][two right tiles] */
static void pack(const sn_kernel_call *call, void *packed)
{
    int64_t inputs = call->input_nodes[0]->shape.c, outputs = call->node->shape.c;
    const float *w = call->inputs[1];
    uint32_t *to = packed;
    for (int64_t o = 0; o < outputs; o += BLOCK)
        for (int64_t k = 0; k < inputs; k += TILE_VALUES)
            for (int64_t half = 0; half < BLOCK; half += VF)
                for (int64_t i = k; i < k + TILE_VALUES; i += 2, to += VF) {
                    vu low = __builtin_convertvector(vf_to_bf16(vf_load(w + i * outputs + o + half)), vu);
                    vu high = __builtin_convertvector(vf_to_bf16(vf_load(w + (i + 1) * outputs + o + half)), vu);
                    *(vu *)to = low | high << 16;
                }
}

static void task(void *context, int64_t index, int worker)
{
    (void)worker;
    const tiles_run *r = context;
    float sums[BLOCK * BLOCK];
    int64_t first = sn_min64(index * BLOCK, r->pixels - BLOCK); /* the last block may overlap */
    const stored *x = r->x + first * r->inputs, *w = r->packed;
    tiles_begin(TILE_ROWS);
    for (int64_t o = 0; o < r->outputs; o += BLOCK) {
        TILE_CLEAR(0);
        TILE_CLEAR(1);
        TILE_CLEAR(2);
        TILE_CLEAR(3);
        for (int64_t k = 0; k < r->inputs; k += TILE_VALUES, w += 2 * RIGHT_VALUES) {
            TILE_LOAD(4, x + k, r->inputs * 2);
            TILE_LOAD(6, w, TILE_BYTES);
            TILE_ADD_PRODUCTS(0, 4, 6);
            TILE_LOAD(7, w + RIGHT_VALUES, TILE_BYTES);
            TILE_ADD_PRODUCTS(1, 4, 7);
            TILE_LOAD(5, x + k + TILE_ROWS * r->inputs, r->inputs * 2);
            TILE_ADD_PRODUCTS(2, 5, 6);
            TILE_ADD_PRODUCTS(3, 5, 7);
        }
        TILE_STORE(0, sums, BLOCK * 4);
        TILE_STORE(1, sums + VF, BLOCK * 4);
        TILE_STORE(2, sums + TILE_ROWS * BLOCK, BLOCK * 4);
        TILE_STORE(3, sums + TILE_ROWS * BLOCK + VF, BLOCK * 4);
        for (int64_t half = 0; half < BLOCK; half += VF) {
            vf bias = r->bias ? vf_load(r->bias + o + half) : (vf){0};
            for (int64_t i = 0; i < BLOCK; i++)
                vs_store(r->y + (first + i) * r->outputs + o + half,
                         clamp_apply(&r->clamp, vf_load(sums + i * BLOCK + half) + bias));
        }
    }
    tiles_end();
}

static void run(const sn_kernel_call *call)
{
    sn_shape x = call->input_nodes[0]->shape, y = call->node->shape;
    tiles_run r = {.x = call->inputs[0],
                   .packed = call->packed,
                   .bias = call_input(call, 2),
                   .y = call->output,
                   .pixels = y.n * y.h * y.w,
                   .inputs = x.c,
                   .outputs = y.c,
                   .clamp = clamp_of(call->node->attrs.u.conv.activation)};
    int threads = r.pixels * x.c * y.c < SN_SMALL_MACS ? 1 : call->threads;
    sn_parallel_for(threads, r.pixels / BLOCK, task, &r);
    if (r.pixels % BLOCK) task(&r, r.pixels / BLOCK, 0); /* not beside the block that it overlaps */
}

const sn_kernel SN_KERNEL_SYMBOL(conv2d_tiles) = {
    .name = SN_KERNEL_NAME(conv2d_tiles),
    .op = SN_OP_conv2d,
    .storage = SN_STORED,
    .refuse = refuse,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .run = run,
};
