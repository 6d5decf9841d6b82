/* test_vector_q8.c - every vector kernel on int8 maps, at every level of this processor, against the plain kernel, which widens to
 * float, computes and rounds.
 *
 * Weights are whole multiples of a channel's scale with the largest 127 times, so that packing finds the same integers again: then both
 * compute the same numbers, and differ where a value lies within rounding of the middle between two steps.  So an int8 output may
 * be one step off, in at most one of a hundred elements; float and bf16 outputs by the rounding of float sums, which is
 * proportional to the sum of |terms|.  One, two and three threads must give the same bits.
 */
#include "kernels/q8_check.h"

static const sn_quant common = {0.02f, 0}, shifted = {0.03f, 7};

static double value_at(const q8_case *c, const void *map, int64_t i)
{
    if (c->call.node.dtype == SN_Q8) return (double)sn_q8_to_float(((const uint8_t *)map)[i], c->call.node.quant);
    return (double)(c->call.node.dtype == SN_BF16 ? sn_bf16_to_float(((const uint16_t *)map)[i]) : ((const float *)map)[i]);
}

/* ---- checks ---- */

static void compare(const q8_case *c, const char *kernel, const void *got, const void *want)
{
    int64_t count = sn_shape_elements(c->call.node.shape), off = 0;
    bool int8 = c->call.node.dtype == SN_Q8;
    for (int64_t i = 0; i < count; i++) {
        double a = value_at(c, got, i), b = value_at(c, want, i), allowed = 1e-6 * (c->terms + 1);
        if (int8) allowed = 1.001 * (double)c->call.node.quant.scale; /* one step */
        if (c->call.node.dtype == SN_BF16) allowed += fabs(b) / 128;  /* one unit: both were rounded */
        off += a != b;
        if (!(fabs(a - b) <= allowed))
            fail_msg("%s, %s: element %lld is %.9g, the plain kernel says %.9g", kernel, c->title, (long long)i, a, b);
    }
    if (int8 && off > 2 + count / (c->ties ? 10 : 100))
        fail_msg("%s, %s: %lld of %lld elements are one step off", kernel, c->title, (long long)off, (long long)count);
}

/* The squeeze is the mean of what was stored, up to half a step and the rounding of its sum. */
static void check_squeeze(const q8_case *c, const sn_kernel *kernel, const void *output)
{
    kernel_case bound = c->call;
    const char *refusal;
    float *first = NULL;
    kernel_case_bind(&bound, 1, SN_FLOAT);
    if (!kernel->squeezes || !kernel->squeezes(&bound.call)) return;
    sn_shape y = bound.node.shape;
    vector_beside squeeze = {.squeeze_node = {.op = SN_OP_squeeze_avg, .shape = {y.n, 1, 1, y.c}}};
    size_t bytes = (size_t)(y.n * y.c) * sizeof(float);
    for (int threads = 1; threads <= 3; threads++) {
        squeeze.squeeze = vector_block(bytes);
        void *got = q8_run(c, kernel, threads, &squeeze, &refusal);
        if (memcmp(got, output, (size_t)sn_shape_elements(y) * sn_dtype_bytes(c->call.node.dtype, SN_FLOAT)) != 0)
            fail_msg("%s, %s: other bits with a squeeze", kernel->name, c->title);
        free(got);
        if (first && memcmp(first, squeeze.squeeze, bytes) != 0)
            fail_msg("%s, %s: %d threads squeeze to other bits", kernel->name, c->title, threads);
        if (first)
            free(squeeze.squeeze);
        else
            first = squeeze.squeeze;
    }
    for (int64_t i = 0; i < y.n * y.c; i++) {
        double sum = 0, pixels = (double)(y.h * y.w), sizes = 0;
        for (int64_t p = 0; p < y.h * y.w; p++) {
            double v = value_at(c, output, (i / y.c * y.h * y.w + p) * y.c + i % y.c);
            sum += v;
            sizes += fabs(v);
        }
        double allowed = c->call.node.dtype == SN_Q8 ? 0.51 * (double)c->call.node.quant.scale : sizes / pixels / 200 + 1e-6 * (c->terms + 1);
        if (!(fabs((double)first[i] - sum / pixels) <= allowed))
            fail_msg("%s, %s: squeeze %lld is %.9g, the mean is %.9g", kernel->name, c->title, (long long)i, (double)first[i], sum / pixels);
    }
    free(first);
}

/* squeezes: values must not be cut at the ends of a byte, as the squeeze is taken before. */
static void check_with(const q8_case *c, bool squeezes)
{
    const char *refusal = NULL;
    sn_op_kind op = c->call.node.op;
    size_t bytes = (size_t)sn_shape_elements(c->call.node.shape) * sn_dtype_bytes(c->call.node.dtype, SN_FLOAT);
    FOR_LEVELS(isa)
    {
        const sn_kernel *kernels[17] = {NULL};
        const sn_kernel *const *candidates = sn_cpu_candidates_on(op, SN_Q8, SN_FLOAT, isa);
        int count = 0, took = 0;
        for (; candidates[count]; count++) kernels[count] = candidates[count];
        void *want = q8_run(c, kernels[count - 1], 2, NULL, &refusal);
        for (int k = 0; k + 1 < count; k++) {
            void *got = q8_run(c, kernels[k], 1, NULL, &refusal);
            if (!got) continue;
            took++;
            compare(c, kernels[k]->name, got, want);
            if (squeezes) check_squeeze(c, kernels[k], got);
            for (int threads = 2; threads <= 3; threads++) {
                void *again = q8_run(c, kernels[k], threads, NULL, &refusal);
                if (memcmp(got, again, bytes) != 0) fail_msg("%s, %s: %d threads give other bits", kernels[k]->name, c->title, threads);
                free(again);
            }
            free(got);
        }
        free(want);
        if (took == 0) fail_msg("%s, %s: no kernel takes it: %s", sn_cpu_isa_name(isa), c->title, refusal ? refusal : "none");
    }
}

static void check(const q8_case *c) { check_with(c, false); }

/* ---- convolutions ---- */

static void check_conv(const q8_conv *v)
{
    q8_case c = q8_conv_case(v);
    check_with(&c, v->squeezes);
}

static void test_dense(void **state)
{
    (void)state;
    static const q8_conv cases[] = {
        {{1, 5, 7, 16}, 1, 64, 1, 1, 0, 0, SN_Q8, Q8_NONE, SN_RELU, 0, false},
        {{2, 9, 9, 20}, 1, 70, 1, 1, 0, 0, SN_Q8, SN_Q8, SN_RELU, 9, false},
        {{5, 2, 3, 12}, 1, 33, 1, 1, 0, 0, SN_Q8, Q8_NONE, SN_IDENTITY, 0, false}, /* small images together */
        {{1, 9, 8, 16}, 1, 48, 2, 1, 0, 0, SN_Q8, Q8_NONE, SN_RELU6, 0, false},
        {{1, 14, 14, 64}, 1, 128, 1, 1, 0, 0, SN_BF16, Q8_NONE, SN_IDENTITY, 0, true},
        {{2, 8, 8, 32}, 1, 64, 1, 1, 0, 0, SN_Q8, Q8_NONE, SN_IDENTITY, 3, true},
        {{1, 8, 8, 32}, 1, 80, 1, 1, 0, 0, SN_REAL, Q8_NONE, SN_RELU, 0, true},
        {{2, 11, 13, 8}, 3, 20, 1, 1, 1, 0, SN_Q8, Q8_NONE, SN_RELU, 0, false},
        {{1, 11, 13, 8}, 3, 64, 1, 1, 1, 0, SN_Q8, Q8_NONE, SN_RELU, 200, false}, /* borders are not byte 0 */
        {{1, 12, 12, 16}, 3, 40, 2, 1, 0, 1, SN_BF16, SN_BF16, SN_RELU, 5, false},
        {{1, 12, 12, 16}, 3, 40, 2, 1, 1, 0, SN_REAL, SN_REAL, SN_IDENTITY, 0, false},
        {{1, 20, 20, 3}, 7, 64, 2, 1, 3, 0, SN_Q8, Q8_NONE, SN_RELU, 114, false}, /* a stem: three channels */
        {{1, 10, 10, 3}, 3, 24, 1, 1, 1, 0, SN_Q8, Q8_NONE, SN_RELU, 0, false},
        {{1, 6, 6, 200}, 5, 32, 1, 1, 2, 0, SN_Q8, SN_Q8, SN_RELU, 0, false},
        {{1, 30, 30, 4}, 3, 260, 1, 1, 1, 0, SN_Q8, Q8_NONE, SN_RELU, 0, false},
        {{1, 7, 7, 512}, 3, 64, 1, 1, 1, 0, SN_Q8, Q8_NONE, SN_RELU, 0, false},
        {{2, 6, 6, 24}, 1, 36, 1, 3, 0, 0, SN_Q8, Q8_NONE, SN_RELU, 0, false}, /* groups of ShuffleNet */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_conv(&cases[i]);
}

static void test_depthwise(void **state)
{
    (void)state;
    static const q8_conv cases[] = {
        {{2, 9, 15, 8}, 3, 8, 1, 8, 1, 0, SN_Q8, Q8_NONE, SN_RELU, 0, false},
        {{1, 14, 14, 100}, 3, 100, 1, 100, 1, 0, SN_Q8, Q8_NONE, SN_RELU6, 31, false},
        {{1, 15, 14, 24}, 3, 24, 2, 24, 1, 0, SN_Q8, Q8_NONE, SN_IDENTITY, 0, false},
        {{1, 16, 30, 32}, 3, 32, 2, 32, 0, 1, SN_BF16, Q8_NONE, SN_RELU, 2, false},
        {{1, 2, 2, 16}, 3, 16, 1, 16, 1, 0, SN_REAL, Q8_NONE, SN_RELU, 0, false},
        {{2, 15, 9, 40}, 3, 40, 1, 40, 1, 0, SN_Q8, Q8_NONE, SN_RELU, 5, false, .gated = true},
        {{1, 15, 30, 19}, 3, 19, 2, 19, 1, 0, SN_BF16, Q8_NONE, SN_IDENTITY, 0, false, .gated = true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_conv(&cases[i]);
}

static void test_grouped(void **state)
{
    (void)state;
    static const q8_conv cases[] = {
        {{1, 9, 15, 32}, 3, 32, 1, 8, 1, 0, SN_Q8, Q8_NONE, SN_RELU, 0, false},   /* 4 a group */
        {{2, 14, 14, 64}, 3, 64, 2, 8, 1, 0, SN_Q8, Q8_NONE, SN_RELU, 0, false},  /* 8 */
        {{1, 7, 7, 64}, 3, 64, 1, 4, 1, 0, SN_Q8, Q8_NONE, SN_RELU, 0, false},    /* 16 */
        {{1, 10, 10, 64}, 3, 64, 2, 2, 1, 0, SN_Q8, Q8_NONE, SN_RELU, 0, false},  /* 32 */
        {{1, 8, 8, 32}, 3, 32, 1, 8, 1, 0, SN_BF16, Q8_NONE, SN_IDENTITY, 12, false}, /* not byte 0: summed directly */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_conv(&cases[i]);
}

/* ---- element by element ---- */

static void test_convert(void **state)
{
    (void)state;
    static const sn_dtype types[] = {SN_REAL, SN_BF16, SN_Q8};
    for (int from = 0; from < 3; from++)
        for (int to = 0; to < 3; to++) {
            if (types[from] != SN_Q8 && types[to] != SN_Q8) continue;
            q8_case c = {.terms = 8, .title = "convert"};
            sn_shape shape = {2, 5, 7, 19};
            kernel_case_output(&c.call, SN_OP_convert, shape);
            kernel_case_input(&c.call, shape, types[from]);
            q8_input(&c, 0, types[from], shifted);
            q8_output(&c, types[to], (sn_quant){0.011f, 90});
            check(&c);
        }
}

static void test_sums(void **state)
{
    (void)state;
    static const sn_dtype types[] = {SN_REAL, SN_BF16, SN_Q8};
    for (int k = 0; k < 27; k++) {
        int a = k % 3, b = k / 3 % 3, y = k / 9;
        if (a != 2 && b != 2 && y != 2) continue;
        q8_case c = {.terms = 16, .title = "add"};
        sn_shape shape = {1, 3, 7, 37};
        kernel_case_output(&c.call, SN_OP_add, shape);
        kernel_case_input(&c.call, shape, types[a]);
        kernel_case_input(&c.call, shape, types[b]);
        q8_input(&c, 0, types[a], shifted);
        q8_input(&c, 1, types[b], common);
        q8_output(&c, types[y], (sn_quant){0.05f, k % 2 ? 0 : 60});
        c.call.node.attrs.u.activation.kind = k % 2 ? SN_RELU : SN_IDENTITY;
        check(&c);
    }
}

static void test_scale(void **state)
{
    (void)state;
    static const sn_dtype types[] = {SN_REAL, SN_BF16, SN_Q8};
    for (int k = 0; k < 54; k++) {
        int x = k % 3, y = k / 3 % 3, r = k / 9 % 3;
        bool residual = k < 27;
        if (x != 2 && y != 2 && (!residual || r != 2)) continue;
        q8_case c = {.terms = 16, .title = "scale_add"};
        sn_shape shape = {2, 4, 5, k % 2 ? 64 : 23};
        kernel_case_output(&c.call, SN_OP_scale_add, shape);
        kernel_case_input(&c.call, shape, types[x]);
        kernel_case_input(&c.call, (sn_shape){2, 1, 1, shape.c}, SN_REAL);
        kernel_case_input(&c.call, residual ? shape : (sn_shape){0}, types[r]);
        q8_input(&c, 0, types[x], shifted);
        q8_input(&c, 2, types[r], common);
        q8_output(&c, types[y], (sn_quant){0.05f, k % 2 ? 0 : 100});
        c.call.node.attrs.u.activation.kind = k % 2 ? SN_RELU : SN_IDENTITY;
        check(&c);
    }
}

/* ---- pooling, squeeze, moves ---- */

static void test_pool(void **state)
{
    (void)state;
    static const sn_pool_attrs pools[] = {
        {SN_POOL_MAX, 3, 2, 1, false, false}, {SN_POOL_MAX, 2, 2, 0, false, false}, {SN_POOL_AVG, 3, 1, 1, false, true},
        {SN_POOL_AVG, 3, 2, 1, false, false}};
    static const int channels[] = {5, 64, 100};
    for (size_t i = 0; i < 12; i++) {
        sn_pool_attrs a = pools[i % 4];
        q8_case c = {.terms = 8, .ties = true, .title = "pool2d"};
        sn_shape x = {2, 11, 9, channels[i / 4]};
        kernel_case_output(&c.call, SN_OP_pool2d,
                           (sn_shape){2, (11 + 2 * a.pad - a.kernel) / a.stride + 1, (9 + 2 * a.pad - a.kernel) / a.stride + 1, x.c});
        kernel_case_input(&c.call, x, SN_Q8);
        q8_input(&c, 0, SN_Q8, i % 2 ? shifted : common);
        q8_output(&c, SN_Q8, i % 2 ? shifted : common);
        c.call.node.attrs.u.pool = a;
        check(&c);
    }
}

static void test_squeeze(void **state)
{
    (void)state;
    static const sn_op_kind ops[] = {SN_OP_squeeze_avg, SN_OP_squeeze_max};
    for (int i = 0; i < 4; i++) {
        q8_case c = {.terms = 8, .title = "squeeze"};
        int channels = i < 2 ? 21 : 300;
        kernel_case_output(&c.call, ops[i % 2], (sn_shape){3, 1, 1, channels});
        kernel_case_input(&c.call, (sn_shape){3, 7, 5, channels}, SN_Q8);
        q8_input(&c, 0, SN_Q8, shifted);
        check(&c);
    }
}

static void test_moves(void **state)
{
    (void)state;
    sn_shape x = {2, 9, 8, 24};
    q8_case concat = {.title = "concat"}, slice = {.title = "slice"}, shuffle = {.title = "channel_shuffle"}, sub = {.title = "subsample"};
    kernel_case_output(&concat.call, SN_OP_concat, (sn_shape){2, 9, 8, 24 + 24 + 5});
    kernel_case_input(&concat.call, x, SN_Q8);
    kernel_case_input(&concat.call, x, SN_Q8);
    kernel_case_input(&concat.call, (sn_shape){2, 9, 8, 5}, SN_Q8);
    q8_input(&concat, 0, SN_Q8, shifted);
    q8_input(&concat, 1, SN_Q8, common);
    q8_input(&concat, 2, SN_Q8, common);
    q8_output(&concat, SN_Q8, shifted);
    check(&concat);
    kernel_case_output(&slice.call, SN_OP_slice, (sn_shape){2, 9, 8, 7});
    kernel_case_input(&slice.call, x, SN_Q8);
    q8_input(&slice, 0, SN_Q8, shifted);
    q8_output(&slice, SN_Q8, shifted);
    slice.call.node.attrs.u.slice.begin = 3;
    slice.call.node.attrs.u.slice.count = 7;
    check(&slice);
    kernel_case_output(&shuffle.call, SN_OP_channel_shuffle, x);
    kernel_case_input(&shuffle.call, x, SN_Q8);
    q8_input(&shuffle, 0, SN_Q8, common);
    q8_output(&shuffle, SN_Q8, common);
    shuffle.call.node.attrs.u.shuffle.groups = 3;
    check(&shuffle);
    kernel_case_output(&sub.call, SN_OP_subsample, (sn_shape){2, 5, 4, 24 + 3 + 9});
    kernel_case_input(&sub.call, x, SN_Q8);
    q8_input(&sub, 0, SN_Q8, shifted);
    q8_output(&sub, SN_Q8, shifted);
    sub.call.node.attrs.u.subsample = (sn_subsample_attrs){.stride = 2, .offset = 1, .channels_before = 3, .channels_after = 9};
    check(&sub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),   cmocka_unit_test(test_depthwise), cmocka_unit_test(test_grouped),
        cmocka_unit_test(test_convert), cmocka_unit_test(test_sums),      cmocka_unit_test(test_scale),
        cmocka_unit_test(test_pool),    cmocka_unit_test(test_squeeze),   cmocka_unit_test(test_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
