/* q8_check.h - cases of kernels on int8 maps: data of their storages, a run of one kernel, convolutions.
 *
 * Weights are whole multiples of a channel's scale with the largest 127 times, so that packing finds the same integers again.
 */
#ifndef SN_TESTS_KERNELS_Q8_CHECK_H
#define SN_TESTS_KERNELS_Q8_CHECK_H

#include "cpu/ref/narrow.h"
#include "kernels/vector_check.h"

typedef struct q8_case {
    kernel_case call;
    char title[160];
    double terms; /* sum of |terms| of an output, at most */
    bool ties;    /* averages of 2, 4 or 6 whole numbers often lie in the very middle of two steps */
} q8_case;

/* Marks input i as int8. */
static inline void q8_input(q8_case *c, int i, sn_dtype dtype, sn_quant quant)
{
    c->call.inputs[i].dtype = dtype;
    c->call.inputs[i].quant = quant;
}

static inline void q8_output(q8_case *c, sn_dtype dtype, sn_quant quant)
{
    c->call.node.dtype = dtype;
    c->call.node.quant = quant;
}

static inline float q8_weight(const sn_node *node, uint64_t key, int64_t k)
{
    int64_t o = k % node->shape.c;
    int integer = k < node->shape.c ? 127 : (int)(sn_rng_uniform(key, (uint64_t)k) * 255) - 127; /* the first tap's first row */
    return (float)integer * (0.0005f + 0.0001f * (float)(o % 5));
}

/* Input i, stored as its node says, in a block of exactly its size. */
static inline void *q8_draw(const q8_case *c, int i)
{
    const sn_node *node = &c->call.inputs[i];
    int64_t count = sn_shape_elements(node->shape);
    uint64_t key = sn_rng_key(1, SN_RNG_TEST, (uint64_t)i, 8);
    void *data = vector_block((size_t)count * sn_dtype_bytes(node->dtype, SN_FLOAT));
    for (int64_t k = 0; k < count; k++) {
        double share = sn_rng_uniform(key, (uint64_t)k);
        if (node->dtype == SN_Q8)
            ((uint8_t *)data)[k] = (uint8_t)(share * 256);
        else if (node->dtype == SN_BF16)
            ((uint16_t *)data)[k] = sn_bf16_from_float((float)(2 * share - 1));
        else
            ((float *)data)[k] = c->call.node.op == SN_OP_conv2d && i == 1 ? q8_weight(node, key, k) : (float)(2 * share - 1);
    }
    return data;
}

static inline void *q8_run(const q8_case *given, const sn_kernel *kernel, int threads, vector_beside *squeeze, const char **refusal)
{
    kernel_case c = given->call;
    void *blocks[SN_MAX_INPUTS] = {0};
    kernel_case_bind(&c, threads, SN_FLOAT);
    *refusal = kernel->refuse ? kernel->refuse(&c.call) : NULL;
    if (*refusal) return NULL;
    for (int i = 0; i < c.node.inputs_count; i++)
        if (c.call.input_nodes[i]) c.call.inputs[i] = blocks[i] = q8_draw(given, i);
    void *output = vector_block((size_t)sn_shape_elements(c.node.shape) * sn_dtype_bytes(c.node.dtype, SN_FLOAT));
    vector_run_bound(&c.call, kernel, output, squeeze);
    for (int i = 0; i < c.node.inputs_count; i++) free(blocks[i]);
    return output;
}

#define Q8_NONE SN_U8 /* no residual */

typedef struct q8_conv {
    sn_shape x;
    int kernel, out, stride, groups, pad, asymmetric; /* asymmetric: so much more at the bottom and the right */
    sn_dtype stored, residual;                        /* of the output, of the residual */
    sn_activation activation;
    int zero;                                         /* of the input */
    bool squeezes;
    bool gated;
} q8_conv;

static inline q8_case q8_conv_case(const q8_conv *v)
{
    q8_case c = {0};
    sn_conv_attrs attrs = {.stride = v->stride, .groups = v->groups, .pad_top = v->pad, .pad_left = v->pad,
                           .pad_bottom = v->pad + v->asymmetric, .pad_right = v->pad + v->asymmetric, .activation = v->activation};
    kernel_case_conv(&c.call, SN_OP_conv2d, v->x, v->kernel, v->kernel, v->out, attrs);
    kernel_case_input(&c.call, (sn_shape){1, 1, 1, v->out}, SN_REAL);
    kernel_case_input(&c.call, v->residual == Q8_NONE ? (sn_shape){0} : c.call.node.shape, SN_REAL);
    kernel_case_input(&c.call, v->gated ? (sn_shape){v->x.n, 1, 1, v->x.c} : (sn_shape){0}, SN_REAL);
    q8_input(&c, 0, SN_Q8, (sn_quant){0.02f, v->zero});
    if (v->residual != Q8_NONE) q8_input(&c, 3, v->residual, (sn_quant){0.03f, 7});
    double products = (double)(v->kernel * v->kernel) * (double)(v->x.c / v->groups);
    c.terms = products * 255 * 0.02 * 127 * 0.0009 + 8;
    /* sums of random signs grow like the root of their number */
    bool positive = v->activation != SN_IDENTITY;
    float spread = (float)(sqrt(products) * 0.5);
    q8_output(&c, v->stored, v->squeezes ? (sn_quant){spread, 128} : (sn_quant){spread / 20, positive ? 0 : 100});
    snprintf(c.title, sizeof c.title, "%dx%d of %dx%dx%dx%d to %d, stride %d, %d groups, zero %d, stored %d", v->kernel, v->kernel,
             (int)v->x.n, (int)v->x.h, (int)v->x.w, (int)v->x.c, v->out, v->stride, v->groups, v->zero, (int)v->stored);
    return c;
}

#endif
