/* test_tiles_q8.c - convolutions of int8 maps by the tiles of level amx (test_vector_q8.c holds them against the plain kernel):
 * that every layout of tiles, in place, copied, loose, gathered or blocked by channels, gives the bits of the kernel of
 * registers, whatever the storages, zeros, residuals and activations; that an image has the same bits in every batch, its
 * squeeze too; and that other layers are refused with a reason. */
#include "kernels/q8_check.h"

static const sn_kernel *kernel_named(const char *word)
{
    for (const sn_kernel *const *k = sn_cpu_candidates_on(SN_OP_conv2d, SN_Q8, SN_FLOAT, SN_ISA_AMX); *k; k++)
        if (strstr((*k)->name, word)) return *k;
    fail_msg("no kernel %s", word);
    return NULL;
}

typedef struct layout {
    sn_shape x;
    int kernel, out, stride, groups, pad;
} layout;

static const layout layouts[] = {
    /* in place: flat, with a last tile that overlaps; panels of 16, fewer and odd outputs; several blocks */
    {{1, 4, 7, 64}, 1, 32, 1, 1, 0},    {{2, 7, 7, 128}, 1, 48, 1, 1, 0},  {{1, 14, 14, 192}, 1, 16, 1, 1, 0},
    {{3, 28, 28, 64}, 1, 65, 1, 1, 0},  {{1, 56, 56, 64}, 1, 256, 1, 1, 0}, {{5, 7, 7, 1024}, 1, 256, 1, 1, 0},
    {{1, 30, 30, 64}, 3, 32, 1, 1, 0},  {{9, 3, 3, 64}, 1, 40, 1, 1, 0},   {{33, 1, 2, 128}, 1, 10, 1, 1, 0},
    /* copied: rows of 14 and 28, flat rows of 7, strides, other kernels */
    {{1, 14, 14, 64}, 3, 96, 1, 1, 1},  {{2, 28, 28, 128}, 3, 32, 1, 1, 1}, {{3, 7, 7, 256}, 3, 192, 1, 1, 1},
    {{1, 28, 28, 64}, 3, 40, 2, 1, 1},  {{2, 13, 11, 64}, 5, 32, 1, 1, 2}, {{1, 15, 17, 64}, 3, 33, 3, 1, 1},
    {{1, 2, 2, 64}, 3, 64, 1, 1, 1},    {{2, 1, 1, 64}, 3, 32, 1, 1, 1},
    /* loose: a picture, few channels, channels that fill no tile */
    {{1, 57, 57, 3}, 7, 64, 2, 1, 3},   {{2, 16, 16, 16}, 3, 16, 1, 1, 1}, {{1, 9, 9, 40}, 3, 24, 2, 1, 1},
    {{2, 10, 10, 20}, 1, 72, 1, 1, 0},  {{1, 14, 14, 96}, 3, 208, 1, 1, 1}, {{3, 8, 5, 100}, 1, 64, 1, 1, 0},
    /* gathered: 1x1 with a stride, many outputs of few channels */
    {{2, 28, 28, 64}, 1, 64, 2, 1, 0},  {{1, 14, 14, 1024}, 1, 96, 2, 1, 0}, {{2, 9, 9, 20}, 1, 64, 2, 1, 0},
    {{1, 6, 6, 4}, 3, 512, 1, 1, 1},
    /* blocked: 4, 8, 16 and 32 channels a group, more outputs than inputs and fewer, 1x1 of 32 and 48 channels */
    {{1, 9, 15, 64}, 3, 64, 1, 16, 1},  {{2, 14, 14, 64}, 3, 64, 2, 8, 1}, {{1, 7, 7, 128}, 3, 128, 1, 8, 1},
    {{3, 7, 7, 128}, 3, 128, 1, 4, 1},  {{1, 10, 10, 64}, 3, 128, 1, 16, 1}, {{2, 11, 9, 64}, 3, 128, 1, 8, 1},
    {{1, 6, 6, 64}, 3, 128, 2, 4, 1},   {{1, 12, 12, 64}, 3, 32, 1, 8, 1}, {{1, 5, 5, 32}, 1, 32, 1, 8, 0},
    {{1, 28, 28, 32}, 3, 32, 1, 8, 1},
    /* groups in chunks of 64 channels */
    {{1, 9, 9, 128}, 3, 128, 1, 2, 1},  {{2, 8, 8, 256}, 1, 256, 1, 32, 0}, {{1, 14, 14, 256}, 3, 256, 2, 2, 1},
    {{1, 8, 8, 128}, 3, 64, 1, 2, 1},
};
enum { LAYOUTS = sizeof layouts / sizeof layouts[0] };

static q8_conv conv_of(const layout *l, size_t i)
{
    static const sn_dtype stored[] = {SN_Q8, SN_Q8, SN_BF16, SN_Q8, SN_REAL}, residuals[] = {Q8_NONE, SN_Q8, Q8_NONE, SN_BF16};
    static const sn_activation activations[] = {SN_RELU, SN_IDENTITY, SN_RELU6};
    return (q8_conv){l->x, l->kernel, l->out, l->stride, l->groups, l->pad, 0, stored[i % 5], residuals[i / 2 % 4], activations[i % 3],
                     i % 4 == 3 ? 131 : 0, false, false};
}

static void check_bits(const q8_conv *v)
{
    q8_case c = q8_conv_case(v);
    const sn_kernel *tiles = kernel_named("_tiles_"), *registers = kernel_named("_direct_");
    const char *refusal;
    void *want = q8_run(&c, registers, 2, NULL, &refusal);
    if (!want) fail_msg("%s, %s: %s", registers->name, c.title, refusal);
    size_t bytes = (size_t)sn_shape_elements(c.call.node.shape) * sn_dtype_bytes(c.call.node.dtype, SN_FLOAT);
    for (int threads = 1; threads <= 3; threads++) {
        unsigned char *got = q8_run(&c, tiles, threads, NULL, &refusal), *wanted = want;
        if (!got) fail_msg("%s, %s: %s", tiles->name, c.title, refusal);
        for (size_t i = 0; i < bytes; i++)
            if (got[i] != wanted[i]) fail_msg("%s, %d threads: byte %zu is %d, not %d", c.title, threads, i, got[i], wanted[i]);
        free(got);
    }
    free(want);
}

static void every_layout_has_the_bits_of_the_kernel_of_registers(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAYOUTS; i++)
        for (size_t k = 0; k < 7; k++) { /* 7 and the periods of the options have no common factor */
            q8_conv v = conv_of(&layouts[i], LAYOUTS * k + i);
            bool padded = v.pad > 0;
            if (v.x.c / v.groups % 4 != 0 && !padded) continue; /* the other kernel takes none */
            check_bits(&v);
        }
}

/* The first image of a batch against the image alone: the same values are drawn for it. */
static void an_image_has_the_same_bits_in_every_batch(void **state)
{
    (void)state;
    const sn_kernel *tiles = kernel_named("_tiles_");
    for (size_t i = 0; i < LAYOUTS; i++) {
        void *output[2];
        float *squeezed[2];
        size_t bytes = 0, channels = (size_t)layouts[i].out;
        bool squeezes = false;
        for (int k = 0; k < 2; k++) {
            q8_conv v = conv_of(&layouts[i], 0);
            v.x.n = k ? 9 : 1;
            v.residual = Q8_NONE;
            q8_case c = q8_conv_case(&v);
            kernel_case_bind(&c.call, 2, SN_FLOAT);
            sn_shape y = c.call.node.shape;
            vector_beside squeeze = {.squeeze_node = {.op = SN_OP_squeeze_avg, .shape = {y.n, 1, 1, y.c}}};
            squeeze.squeeze = vector_block((size_t)(y.n * y.c) * sizeof(float));
            squeezes = tiles->squeezes(&c.call.call);
            bytes = (size_t)(y.h * y.w * y.c);
            const char *refusal;
            output[k] = q8_run(&c, tiles, 2, squeezes ? &squeeze : NULL, &refusal);
            assert_non_null(output[k]);
            squeezed[k] = squeeze.squeeze;
        }
        assert_memory_equal(output[0], output[1], bytes);
        if (squeezes) assert_memory_equal(squeezed[0], squeezed[1], channels * sizeof(float));
        for (int k = 0; k < 2; k++) free(output[k]), free(squeezed[k]);
    }
}

static void other_layers_are_refused(void **state)
{
    (void)state;
    static const struct { layout layout; const char *why; } layers[] = {
        {{{1, 20, 20, 64}, 13, 32, 1, 1, 6}, "kernel larger than 11x11"},
        {{{1, 20, 20, 64}, 3, 32, 5, 1, 1}, "stride above 4"},
        {{{1, 9, 9, 36}, 3, 36, 1, 3, 1}, "groups whose channels fill no tiles"},
        {{{1, 9, 9, 192}, 3, 192, 1, 4, 1}, "groups that do not fill tiles"},
        {{{1, 2, 2, 6000}, 4, 32, 1, 1, 2}, "sums of more than 65536 products"},
    };
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        q8_conv v = conv_of(&layers[i].layout, 0);
        q8_case c = q8_conv_case(&v);
        kernel_case_bind(&c.call, 1, SN_FLOAT);
        const char *refusal = sn_cpu_refusal(kernel_named("_tiles_"), &c.call.call);
        assert_non_null(refusal);
        assert_string_equal(refusal, layers[i].why);
    }
}

int main(void)
{
    if (!sn_cpu_has(SN_ISA_AMX)) {
        puts("SKIP: the processor has no tiles, or the system does not let us use them");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_has_the_bits_of_the_kernel_of_registers),
        cmocka_unit_test(an_image_has_the_same_bits_in_every_batch),
        cmocka_unit_test(other_layers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
