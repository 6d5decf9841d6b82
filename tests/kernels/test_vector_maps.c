/* test_vector_maps.c - the memory-bound vector kernels (batch norm, squeeze and excitation, elementwise, shapes), at every ISA
 * level of this processor, against the plain kernels in double precision, over channel counts on both sides of every vector width:
 * on float maps, and on maps stored as bf16. */
#include "kernels/narrow_check.h"

static const sn_shape maps[] = {
    {3, 32, 32, 16}, {5, 8, 8, 64}, {3, 5, 9, 1}, {2, 11, 3, 13}, {1, 1, 1, 7}, {1, 28, 29, 33}, {9, 1, 1, 100}, {1, 8, 8, 520},
};

#define FOR_MAPS(map) for (const sn_shape *map = maps; map < maps + sizeof maps / sizeof maps[0]; map++)

static sn_shape vector_of(int64_t c) { return (sn_shape){1, 1, 1, c}; }
static sn_shape pooled(const sn_shape *s) { return (sn_shape){s->n, 1, 1, s->c}; }

/* A case of `op` with output shape and inputs (all zero sizes: absent). */
static vector_case make(const char *name, sn_op_kind op, sn_shape output, int inputs, const sn_shape *shapes)
{
    vector_case c = {.error_per_term = 1e-6};
    kernel_case_output(&c.call, op, output);
    for (int i = 0; i < inputs; i++) kernel_case_input(&c.call, shapes[i], SN_REAL);
    snprintf(c.title, sizeof c.title, "%s of %dx%dx%dx%d", name, (int)shapes[0].n, (int)shapes[0].h, (int)shapes[0].w,
             (int)shapes[0].c);
    return c;
}

static void range_of(vector_case *c, int input, double low, double high)
{
    c->low[input] = low;
    c->high[input] = high;
}

/* The check on float tensors, then with the inputs of the mask, and the output where it is a map, stored as bf16. */
static void check_both(const vector_case *c, bool output, uint32_t inputs)
{
    vector_check(c);
    vector_case narrow = *c;
    narrow_stored(&narrow.call, output, inputs);
    narrow_check(&narrow);
}

/* ---- batch norm ---- */

static void statistics_are_robust(void **state)
{
    (void)state;
    FOR_MAPS(m)
    {
        vector_case c = make("bn_stats", SN_OP_bn_stats, (sn_shape){1, 1, 2, m->c}, 1, m);
        c.absolute = 1;
        check_both(&c, false, 1);
        /* A mean of 200 deviations: it rounds to 1e-6, and the variance, 0.02, must be right to 2e-6 too, where the mean of
         * squares less the squared mean would be off by 1e-4. */
        range_of(&c, 0, 30, 30.5);
        c.absolute = 2;
        check_both(&c, false, 1);
    }
}

static void sums_over_pixels(void **state)
{
    (void)state;
    FOR_MAPS(m)
    {
        vector_case c = make("channel_sum", SN_OP_channel_sum, vector_of(m->c), 1, m);
        check_both(&c, false, 1);
    }
}

/* The inputs of the batch norm ops from stats on: mean and variance share one range, so that both make sense. */
static void norm_ranges(vector_case *c, int stats)
{
    range_of(c, stats, 0.2, 0.8);
    range_of(c, stats + 1, -1, 1.5);
    range_of(c, stats + 2, -0.5, 0.5);
    c->call.node.attrs.u.norm.epsilon = 1e-5;
}

static void batch_norm_is_applied(void **state)
{
    (void)state;
    FOR_MAPS(m)
        for (int relu = 0; relu < 2; relu++) {
            sn_shape stats = {1, 1, 2, m->c}, v = vector_of(m->c);
            vector_case c = make("bn_apply", SN_OP_bn_apply, *m, 4, (sn_shape[]){*m, stats, v, v});
            norm_ranges(&c, 1);
            c.call.node.attrs.u.norm.activation = relu ? SN_RELU : SN_IDENTITY;
            c.absolute = 4; /* |gamma (x - mean) / deviation| stays below 1.5 * 1.8 / 0.45 */
            c.in_place = 1;
            check_both(&c, true, 1);
        }
}

static void batch_norm_is_folded_into_weights(void **state)
{
    (void)state;
    FOR_MAPS(m)
    {
        sn_shape stats = {1, 1, 2, m->c}, v = vector_of(m->c);
        vector_case c = make("bn_fold_weight", SN_OP_bn_fold_weight, *m, 3, (sn_shape[]){*m, stats, v});
        norm_ranges(&c, 1);
        c.absolute = 4; /* |w gamma / deviation| stays below 1.5 / 0.45 */
        vector_check(&c);
    }
}

/* Where the ReLU's argument rounds to the other side of 0 in double, a whole dy is in dispute; the fixed draws have no such element. */
static void batch_norm_gradients(void **state)
{
    (void)state;
    FOR_MAPS(m)
        for (int relu = 0; relu < 2; relu++) {
            sn_shape stats = {1, 1, 2, m->c}, v = vector_of(m->c);
            double pixels = (double)(m->n * m->h * m->w);
            vector_case c = make("bn_grad_sums", SN_OP_bn_grad_sums, stats, 5, (sn_shape[]){*m, *m, stats, v, v});
            norm_ranges(&c, 2);
            c.call.node.attrs.u.norm.activation = relu ? SN_RELU : SN_IDENTITY;
            c.absolute = 4 * pixels; /* |dy xhat| <= 4 */
            check_both(&c, false, 3);
            for (int constant = 0; constant < 2; constant++) {
                c = make("bn_grad_input", SN_OP_bn_grad_input, *m, 6,
                         (sn_shape[]){*m, *m, stats, v, v, constant ? (sn_shape){0} : stats});
                norm_ranges(&c, 2);
                range_of(&c, 5, -pixels, pixels);
                c.call.node.attrs.u.norm.activation = relu ? SN_RELU : SN_IDENTITY;
                c.absolute = 20; /* gamma / deviation < 3.4, times 1 + 1 + xhat of at most 4 */
                c.in_place = 3;
                check_both(&c, true, 3);
            }
        }
}

/* Of dy s + dz / (H W), the gradient of a scale, which is not written. */
static void batch_norm_gradients_behind_a_scale(void **state)
{
    (void)state;
    FOR_MAPS(m)
        for (int with = 0; with < 4; with++) { /* bit 0: a share dz, bit 1: constant statistics */
            sn_shape stats = {1, 1, 2, m->c}, v = vector_of(m->c), none = {0}, row = pooled(m), share = with & 1 ? row : none;
            double pixels = (double)(m->n * m->h * m->w);
            vector_case c = make("bn_grad_sums", SN_OP_bn_grad_sums, stats, 7, (sn_shape[]){*m, *m, stats, v, v, row, share});
            norm_ranges(&c, 2);
            c.absolute = 8 * pixels; /* |dy s + dz| <= 2, |xhat| <= 4 */
            check_both(&c, false, 3);
            c = make("bn_grad_input", SN_OP_bn_grad_input, *m, 8,
                     (sn_shape[]){*m, *m, stats, v, v, with & 2 ? none : stats, row, share});
            norm_ranges(&c, 2);
            range_of(&c, 5, -pixels, pixels);
            c.absolute = 24; /* gamma / deviation < 3.4, times 2 + 1 + xhat of at most 4 */
            c.in_place = 3;
            check_both(&c, true, 3);
        }
}

/* ---- elementwise ---- */

static void activations_and_slopes(void **state)
{
    (void)state;
    FOR_MAPS(m)
        for (int kind = SN_IDENTITY; kind <= SN_TANH; kind++) {
            vector_case c = make("activation", SN_OP_activation, *m, 1, m);
            c.call.node.attrs.u.activation.kind = kind;
            range_of(&c, 0, -9, 9);
            c.absolute = 9;
            c.in_place = 1;
            check_both(&c, true, 1);
            c = make("activation_grad", SN_OP_activation_grad, *m, 2, (sn_shape[]){*m, *m});
            c.call.node.attrs.u.activation.kind = kind;
            range_of(&c, 1, -1, 7);
            c.absolute = 50;
            c.in_place = 1;
            check_both(&c, true, 3);
        }
}

static void sums_and_products(void **state)
{
    (void)state;
    FOR_MAPS(m)
    {
        for (int kind = SN_IDENTITY; kind <= SN_TANH; kind++) {
            vector_case c = make("add", SN_OP_add, *m, 2, (sn_shape[]){*m, *m});
            c.call.node.attrs.u.activation.kind = kind;
            c.in_place = 3;
            check_both(&c, true, 3);
        }
        vector_case c = make("multiply", SN_OP_multiply, *m, 1, m);
        c.call.node.attrs.u.factor.factor = 0.17f;
        c.in_place = 1;
        check_both(&c, true, 1);
    }
}

static void branches_are_mixed(void **state)
{
    (void)state;
    FOR_MAPS(m)
        for (int with = 0; with < 2; with++)
            for (int branch = 0; branch < 2; branch++) {
                sn_shape coefficients = {with ? m->n : 0, 1, 1, 6};
                vector_case c = make("mix", SN_OP_mix, *m, 3, (sn_shape[]){*m, *m, coefficients});
                c.call.node.attrs.u.mix.index = 1;
                c.absolute = 2;
                c.in_place = 3;
                range_of(&c, 2, 0, 1);
                check_both(&c, true, 3);
                c = make("mix_grad", SN_OP_mix_grad, *m, 2, (sn_shape[]){*m, coefficients});
                c.call.node.attrs.u.mix.index = 1;
                c.call.node.attrs.u.mix.branch = branch;
                c.call.node.attrs.u.mix.even = !with;
                c.absolute = 2;
                c.in_place = 1;
                range_of(&c, 1, 0, 1);
                check_both(&c, true, 1);
            }
}

/* ---- bf16 to float and back ---- */

static void maps_are_converted(void **state)
{
    (void)state;
    FOR_MAPS(m)
        for (int narrows = 0; narrows < 2; narrows++) {
            vector_case c = make("convert", SN_OP_convert, *m, 1, m);
            c.call.node.attrs.u.convert.dtype = narrows ? SN_BF16 : SN_REAL;
            c.error_per_term = 0; /* but for the rounding to bf16 */
            narrow_stored(&c.call, narrows, !narrows);
            narrow_check(&c);
        }
}

/* Ties go to even, what is too large becomes infinite, NaN stays NaN. */
static void conversion_rounds_as_the_plain_one(void **state)
{
    (void)state;
    static const uint32_t bits[] = {0x3f800000, 0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001, 0xbf818000, 0x00000000, 0x80000000,
                                    0x7f800000, 0xff800000, 0x7f7fffff, 0x7f7f7fff, 0x7fc00000, 0x7f800001, 0xffffffff, 0x00800000};
    enum { COUNT = sizeof bits / sizeof bits[0] };
    float x[COUNT];
    memcpy(x, bits, sizeof bits);
    FOR_LEVELS(isa)
    {
        uint16_t y[COUNT];
        sn_shape shape = vector_of(COUNT);
        vector_case c = make("convert", SN_OP_convert, shape, 1, &shape);
        c.call.node.attrs.u.convert.dtype = SN_BF16;
        narrow_stored(&c.call, true, 0);
        kernel_case_bind(&c.call, 1, SN_FLOAT);
        c.call.call.inputs[0] = x;
        c.call.call.output = y;
        const sn_kernel *kernel = sn_cpu_candidates_on(SN_OP_convert, SN_BF16, SN_FLOAT, isa)[0];
        kernel->run(&c.call.call);
        for (int i = 0; i < COUNT; i++)
            if (y[i] != sn_bf16_from_float(x[i]))
                fail_msg("%s: %08x becomes %04x, not %04x", kernel->name, bits[i], y[i], sn_bf16_from_float(x[i]));
    }
}

/* ---- squeeze and excitation ---- */

static void squeeze_and_its_gradient(void **state)
{
    (void)state;
    FOR_MAPS(m)
    {
        vector_case c = make("squeeze_avg", SN_OP_squeeze_avg, pooled(m), 1, m);
        check_both(&c, false, 1);
        c = make("squeeze_avg_grad", SN_OP_squeeze_avg_grad, *m, 2, (sn_shape[]){pooled(m), *m});
        check_both(&c, true, 2);
    }
}

/* Few different values, so that the maximum is found in several pixels. */
static void squeeze_by_maximum(void **state)
{
    (void)state;
    FOR_MAPS(m)
    {
        vector_case c = make("squeeze_max", SN_OP_squeeze_max, pooled(m), 1, m);
        c.absolute = 1;
        c.error_per_term = 0; /* exact */
        c.levels[0] = 8;
        check_both(&c, false, 1);
        /* z is drawn apart from x: some channels have their "maximum" in several pixels, some in none */
        c = make("squeeze_max_grad", SN_OP_squeeze_max_grad, *m, 3, (sn_shape[]){pooled(m), *m, pooled(m)});
        c.absolute = 1;
        c.error_per_term = 1e-7; /* dz is rounded to float */
        c.levels[1] = c.levels[2] = 8;
        check_both(&c, true, 2);
    }
}

static void scale_and_its_gradients(void **state)
{
    (void)state;
    FOR_MAPS(m)
        for (int element = 0; element < 2; element++) /* a gate per element, without a squeeze */
            for (int with = 0; with < 2; with++) {    /* a residual; the squeeze's share of the gradient */
                sn_shape gate = element ? *m : pooled(m), none = {0};
                bool by_element = element && m->h * m->w > 1; /* a gate of one pixel is a vector, which stays float */
                for (int kind = SN_IDENTITY; kind <= SN_TANH; kind++) {
                    vector_case c = make("scale_add", SN_OP_scale_add, *m, 3, (sn_shape[]){*m, gate, with ? *m : none});
                    c.call.node.attrs.u.activation.kind = kind;
                    c.in_place = 1 | (with ? 4 : 0);
                    check_both(&c, true, by_element ? 7 : 5);
                }
                vector_case c = make("scale_grad_input", SN_OP_scale_grad_input, *m, 3, (sn_shape[]){*m, gate, with ? pooled(m) : none});
                c.in_place = 1;
                check_both(&c, true, by_element ? 3 : 1);
                c = make("scale_grad_gate", SN_OP_scale_grad_gate, gate, 3, (sn_shape[]){*m, *m, gate});
                check_both(&c, by_element, by_element ? 7 : 3);
            }
}

/* x scale + shift instead of x, as where a batch norm is not written. */
static void scales_of_what_is_normalized(void **state)
{
    (void)state;
    FOR_MAPS(m)
        for (int with = 0; with < 4; with++) { /* bit 0: a gate, bit 1: a residual */
            sn_shape rows = {1, 1, 2, m->c}, none = {0}, gate = with & 1 ? pooled(m) : none, residual = with & 2 ? *m : none;
            for (int kind = SN_IDENTITY; kind <= SN_RELU; kind++) {
                vector_case c = make("scale_add", SN_OP_scale_add, *m, 4, (sn_shape[]){*m, gate, residual, rows});
                c.call.node.attrs.u.activation.kind = kind;
                c.in_place = 1 | (with & 2 ? 4 : 0);
                check_both(&c, true, 5);
            }
            if (!(with & 1)) continue;
            vector_case c = make("scale_grad_gate", SN_OP_scale_grad_gate, gate, 4, (sn_shape[]){*m, *m, gate, rows});
            check_both(&c, false, 3);
        }
}

/* ---- shapes and pictures ---- */

static void shortcuts_are_subsampled(void **state)
{
    (void)state;
    static const sn_subsample_attrs kinds[] = {{.stride = 2, .channels_before = 8, .channels_after = 8},
                                               {.stride = 2, .offset = 1, .channels_after = 3},
                                               {.stride = 1, .offset = -1, .channels_before = 5}, {.stride = 3}};
    FOR_MAPS(m)
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            const sn_subsample_attrs *a = &kinds[i];
            sn_shape small = {m->n, (m->h + a->stride - 1) / a->stride, (m->w + a->stride - 1) / a->stride,
                              m->c + a->channels_before + a->channels_after};
            vector_case c = make("subsample", SN_OP_subsample, small, 1, m);
            c.call.node.attrs.u.subsample = *a;
            c.error_per_term = 0; /* a copy */
            check_both(&c, true, 1);
            c = make("subsample_grad", SN_OP_subsample_grad, *m, 1, &small);
            c.call.node.attrs.u.subsample = *a;
            c.error_per_term = 0;
            check_both(&c, true, 1);
        }
}

static void pictures_are_normalized(void **state)
{
    (void)state;
    enum { N = 7, H = 33, W = 35 };
    static uint8_t pictures[N * H * W * 3];
    /* top, left, bottom, right: all of it, a crop, an empty cut, cuts at each border, everything cut, rects past the border */
    static const int32_t rects[N][8] = {{0, 0, H, W, 0, 0, 0, 0},   {3, 4, 20, 30, 5, 5, 5, 9},   {0, 0, H, W, 8, 0, 24, 16},
                                        {0, 0, H, W, 20, 25, H, W}, {2, 2, 30, 30, 0, 0, 10, 40}, {0, 0, H, W, -4, -4, H + 9, W + 9},
                                        {-3, -5, 50, 60, -8, 10, 8, 26}};
    for (size_t i = 0; i < sizeof pictures; i++) pictures[i] = (uint8_t)sn_rng_u64(5, i);
    sn_shape shape = {N, H, W, 3};
    vector_case c = make("normalize", SN_OP_normalize, shape, 2, (sn_shape[]){shape, {N, 1, 1, 8}});
    c.call.node.attrs.u.normalize.mean[0] = 0.49f;
    c.call.node.attrs.u.normalize.mean[2] = 0.44f;
    for (int i = 0; i < 3; i++) c.call.node.attrs.u.normalize.std[i] = 0.2f + 0.03f * (float)i;
    c.given[0] = pictures;
    c.given[1] = rects;
    c.absolute = 5; /* (1 - 0) / 0.2 */
    vector_check(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics_are_robust),    cmocka_unit_test(sums_over_pixels),
        cmocka_unit_test(batch_norm_is_applied),    cmocka_unit_test(batch_norm_is_folded_into_weights), cmocka_unit_test(batch_norm_gradients),
        cmocka_unit_test(batch_norm_gradients_behind_a_scale),
        cmocka_unit_test(activations_and_slopes),   cmocka_unit_test(sums_and_products),
        cmocka_unit_test(branches_are_mixed),       cmocka_unit_test(maps_are_converted),
        cmocka_unit_test(conversion_rounds_as_the_plain_one), cmocka_unit_test(squeeze_and_its_gradient),
        cmocka_unit_test(squeeze_by_maximum),       cmocka_unit_test(scale_and_its_gradients),
        cmocka_unit_test(scales_of_what_is_normalized),  cmocka_unit_test(shortcuts_are_subsampled),
        cmocka_unit_test(pictures_are_normalized),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
