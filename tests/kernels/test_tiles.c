/* test_tiles.c - convolutions of bf16 maps by the tiles of level amx (tests/kernels/test_narrow_conv.c has odd shapes of all kinds): that
 * they take the layers they are for, also grouped ones, and refuse others with a reason; that the tiles of every layout, in place,
 * copied or gathered, flat or by rows, give the plain kernel's results with residuals and squeezes; that an image has the same bits
 * in every batch; and that weights and results are rounded once each. */
#include "kernels/narrow_check.h"

typedef struct tiles_shape {
    sn_shape x;
    int kernel_h, kernel_w, out, stride, groups, pad;
} tiles_shape;

static vector_case case_of(const tiles_shape *s, sn_op_kind op)
{
    vector_case c = {.error_per_term = 1e-6}; /* see vector_check.h */
    kernel_case_conv(&c.call, op, s->x, s->kernel_h, s->kernel_w, s->out,
                     (sn_conv_attrs){.stride = s->stride, .groups = s->groups, .pad_top = s->pad, .pad_left = s->pad,
                                     .pad_bottom = s->pad, .pad_right = s->pad});
    snprintf(c.title, sizeof c.title, "x %dx%dx%dx%d kernel %dx%d stride %d groups %d out %d", (int)s->x.n, (int)s->x.h, (int)s->x.w,
             (int)s->x.c, s->kernel_h, s->kernel_w, s->stride, s->groups, s->out);
    return c;
}

static const sn_kernel *tiles_kernel(sn_op_kind op) { return narrow_kernel(op, SN_ISA_AMX, "_tiles_"); }

static const char *refusal_of(vector_case *c) { return narrow_refusal(c, tiles_kernel(c->call.node.op)); }

static void check(vector_case *c) { narrow_check_alone(c, tiles_kernel(c->call.node.op)); }

enum { X = 1 << 0, RESIDUAL = 1 << 3 };

static const tiles_shape layouts[] = {
    /* in place: flat, with 1 to 2 tiles, the last of which overlaps; panels of 16 and fewer outputs; several blocks */
    {{1, 4, 7, 32}, 1, 1, 32, 1, 1, 0},   {{2, 7, 7, 64}, 1, 1, 48, 1, 1, 0},  {{1, 14, 14, 96}, 1, 1, 16, 1, 1, 0},
    {{3, 28, 28, 32}, 1, 1, 65, 1, 1, 0}, {{1, 56, 56, 64}, 1, 1, 64, 1, 1, 0}, {{5, 7, 7, 1024}, 1, 1, 256, 1, 1, 0},
    {{1, 30, 30, 32}, 3, 3, 32, 1, 1, 0}, {{9, 3, 3, 64}, 1, 1, 40, 1, 1, 0},  {{33, 1, 1, 96}, 1, 1, 10, 1, 1, 0},
    /* copied: rows of 14 and 28, flat rows of 7, strides, other kernels */
    {{1, 14, 14, 64}, 3, 3, 96, 1, 1, 1}, {{2, 28, 28, 32}, 3, 3, 32, 1, 1, 1}, {{3, 7, 7, 256}, 3, 3, 192, 1, 1, 1},
    {{1, 28, 28, 64}, 3, 3, 40, 2, 1, 1}, {{2, 13, 11, 32}, 5, 5, 32, 1, 1, 2}, {{1, 15, 17, 64}, 3, 3, 33, 3, 1, 1},
    {{1, 2, 2, 64}, 3, 3, 64, 1, 1, 1},   {{2, 1, 1, 32}, 3, 3, 32, 1, 1, 1},
    /* gathered: channels that fill no tiles, 1x1 with a stride, pictures */
    {{2, 16, 16, 16}, 3, 3, 16, 1, 1, 1}, {{1, 9, 9, 40}, 3, 3, 24, 2, 1, 1},  {{2, 28, 28, 64}, 1, 1, 64, 2, 1, 0},
    {{1, 56, 56, 3}, 7, 7, 64, 2, 1, 3},  {{2, 10, 10, 50}, 1, 1, 70, 1, 1, 0}, {{1, 14, 14, 1024}, 1, 1, 96, 2, 1, 0},
};

static void every_layout_of_tiles(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        vector_case c = case_of(&layouts[i], SN_OP_conv2d);
        c.call.node.attrs.u.conv.activation = i % 3 == 0 ? SN_RELU : i % 3 == 1 ? SN_RELU6 : SN_SIGMOID;
        kernel_case_input(&c.call, (sn_shape){i % 4 != 0, 1, 1, c.call.node.shape.c}, SN_REAL);
        kernel_case_input(&c.call, i % 2 ? c.call.node.shape : (sn_shape){0}, SN_REAL);
        narrow_stored(&c.call, true, X | RESIDUAL);
        check(&c);
        vector_scale(&c);
        check(&c);
        c = case_of(&layouts[i], SN_OP_conv2d_grad_input);
        narrow_stored(&c.call, true, X);
        check(&c);
    }
}

static void groups_in_chunks_of_32_channels(void **state)
{
    (void)state;
    static const struct { int in, out; } widths[] = {{2, 2}, {4, 4}, {8, 8}, {16, 16}, {32, 32}, {64, 64}, {2, 4}, {4, 8}, {8, 4},
                                                     {16, 32}, {32, 16}, {64, 32}, {32, 64}, {128, 2}};
    static const struct { int h, w, kernel, stride; } maps[] = {{7, 7, 3, 1}, {14, 14, 3, 2}, {9, 5, 1, 1}, {6, 28, 3, 1}};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        for (size_t k = 0; k < sizeof maps / sizeof maps[0]; k++) {
            int groups = 128 / (widths[i].in < widths[i].out ? widths[i].in : widths[i].out);
            if (groups == 1 || (groups * widths[i].out) % 32 != 0) groups = 16;
            tiles_shape s = {{2, maps[k].h, maps[k].w, groups * widths[i].in}, maps[k].kernel, maps[k].kernel, groups * widths[i].out,
                             maps[k].stride, groups, maps[k].kernel / 2};
            vector_case c = case_of(&s, SN_OP_conv2d);
            c.call.node.attrs.u.conv.activation = SN_RELU;
            narrow_stored(&c.call, true, X);
            check(&c);
            c = case_of(&s, SN_OP_conv2d_grad_input);
            narrow_stored(&c.call, true, X);
            if (!refusal_of(&c)) check(&c);
        }
}

static void other_layers_are_refused(void **state)
{
    (void)state;
    static const struct { tiles_shape shape; const char *why; } layers[] = {
        {{{1, 20, 20, 32}, 13, 13, 32, 1, 1, 6}, "kernel larger than 11x11"},
        {{{1, 20, 20, 32}, 3, 3, 32, 5, 1, 1}, "stride above 4"},
        {{{1, 9, 9, 48}, 3, 3, 48, 1, 3, 1}, "groups whose channels fill no tiles"},
        {{{1, 9, 9, 96}, 3, 3, 96, 1, 4, 1}, "groups that do not fill tiles"},
    };
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        vector_case c = case_of(&layers[i].shape, SN_OP_conv2d);
        narrow_stored(&c.call, true, X);
        const char *refusal = refusal_of(&c);
        assert_non_null(refusal);
        assert_string_equal(refusal, layers[i].why);
    }
}

/* The first image of a batch, with its squeeze, against the image alone: the same values are drawn for it. */
static void an_image_has_the_same_bits_in_every_batch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        void *output[2] = {NULL};
        float *squeezed[2] = {NULL};
        size_t bytes = 0, channels = 0;
        for (int k = 0; k < 2; k++) {
            tiles_shape s = layouts[i];
            s.x.n = k ? 9 : 1;
            vector_case c = case_of(&s, SN_OP_conv2d);
            narrow_stored(&c.call, true, X);
            kernel_case_bind(&c.call, 2, SN_FLOAT);
            sn_shape y = c.call.node.shape;
            const sn_kernel *kernel = tiles_kernel(SN_OP_conv2d);
            vector_beside squeeze = {.squeeze_node = {.op = SN_OP_squeeze_avg, .shape = {y.n, 1, 1, y.c}}};
            squeeze.squeeze = vector_block((size_t)(y.n * y.c) * sizeof(float));
            channels = (size_t)y.c;
            bytes = (size_t)(y.h * y.w * y.c) * sizeof(uint16_t);
            const char *refusal;
            output[k] = narrow_run(&c, kernel, SN_FLOAT, 2, false, -1, kernel->squeezes(&c.call.call) ? &squeeze : NULL, &refusal);
            squeezed[k] = squeeze.squeeze;
        }
        assert_memory_equal(output[0], output[1], bytes);
        if (layouts[i].x.h > 3) assert_memory_equal(squeezed[0], squeezed[1], channels * sizeof(float));
        for (int k = 0; k < 2; k++) free(output[k]), free(squeezed[k]);
    }
}

/* Weights that bf16 does not have: rounding to nearest, once each, comes to 2.3e-3 (test_grouped_pairs.c has the sum). */
static void weights_and_results_are_rounded_once(void **state)
{
    (void)state;
    static const tiles_shape layers[] = {{{1, 14, 14, 256}, 1, 1, 256, 1, 1, 0}, {{1, 7, 7, 512}, 3, 3, 64, 1, 1, 1}};
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        vector_case c = case_of(&layers[i], SN_OP_conv2d), exact = c;
        narrow_stored(&c.call, true, X);
        float *weights = vector_draw(&c, 1, SN_FLOAT, false);
        int64_t count = sn_shape_elements(c.call.inputs[1].shape), outputs = sn_shape_elements(c.call.node.shape);
        double *same = vector_block((size_t)count * sizeof(double)), errors = 0, sizes = 0;
        for (int64_t k = 0; k < count; k++) same[k] = (double)weights[k];
        c.given[1] = weights;
        exact.given[1] = same;
        exact.call.inputs[0].dtype = SN_BF16; /* the same values of x */
        const char *refusal;
        uint16_t *got = narrow_run(&c, tiles_kernel(SN_OP_conv2d), SN_FLOAT, 1, false, -1, NULL, &refusal);
        double *want = narrow_run(&exact, sn_cpu_candidates(SN_OP_conv2d, SN_DOUBLE, SN_ISA_BASELINE)[0], SN_DOUBLE, 2, false, -1, NULL,
                                  &refusal);
        for (int64_t k = 0; k < outputs; k++) {
            double error = (double)sn_bf16_to_float(got[k]) - want[k];
            errors += error * error;
            sizes += want[k] * want[k];
        }
        printf("%s: rms %.2g\n", c.title, sqrt(errors / sizes));
        assert_true(sqrt(errors / sizes) < 2.8e-3);
        free(got);
        free(want);
        free(weights);
        free(same);
    }
}

int main(void)
{
    if (!sn_cpu_has(SN_ISA_AMX)) {
        puts("SKIP: the processor has no tiles, or the system does not let us use them");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_of_tiles),
        cmocka_unit_test(groups_in_chunks_of_32_channels),
        cmocka_unit_test(other_layers_are_refused),
        cmocka_unit_test(an_image_has_the_same_bits_in_every_batch),
        cmocka_unit_test(weights_and_results_are_rounded_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
