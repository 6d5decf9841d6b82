/* test_vector_pool.c - the vector kernels of pooling and of ops that move channels, at every ISA level of this processor, against the
 * plain kernels: on float maps, and on maps stored as bf16. */
#include "kernels/narrow_check.h"

typedef struct pool_shape {
    sn_shape x;
    int kernel, stride, pad;
    int64_t h, w; /* of the result, by Caffe's size rule or the usual one */
} pool_shape;

static const pool_shape pools[] = {
    {{2, 12, 12, 64}, 3, 2, 0, 6, 6},  /* ceil: the last windows are cut */
    {{1, 13, 11, 24}, 3, 2, 0, 6, 5},
    {{1, 13, 12, 33}, 3, 2, 1, 7, 6},
    {{2, 7, 9, 192}, 3, 1, 1, 7, 9},
    {{3, 8, 6, 17}, 2, 2, 0, 4, 3},
    {{1, 7, 7, 40}, 7, 1, 0, 1, 1},
    {{1, 5, 5, 3}, 5, 3, 2, 3, 3},     /* ceil: a window begins inside and ends two cells behind the map */
    {{1, 2, 2, 5}, 3, 2, 0, 1, 1},     /* a window larger than the map */
    {{1, 9, 9, 1}, 1, 2, 0, 5, 5},
};

/* The check on float tensors, then with all of them stored as bf16. */
static void check_both(const vector_case *c)
{
    vector_check(c);
    vector_case narrow = *c;
    narrow_stored(&narrow.call, true, ~0u);
    narrow_check(&narrow);
}

#define FOR_POOLS(p) for (const pool_shape *p = pools; p < pools + sizeof pools / sizeof pools[0]; p++)

static vector_case pool_case(const pool_shape *p, sn_op_kind op, sn_pool_kind kind, bool count_padding)
{
    vector_case c = {.error_per_term = 1e-6}; /* an average has up to 49 terms */
    sn_shape y = {p->x.n, p->h, p->w, p->x.c};
    kernel_case_output(&c.call, op, op == SN_OP_pool2d ? y : p->x);
    if (op == SN_OP_pool2d_grad) kernel_case_input(&c.call, y, SN_REAL);
    kernel_case_input(&c.call, p->x, SN_REAL);
    if (op == SN_OP_pool2d_grad) kernel_case_input(&c.call, y, SN_REAL);
    c.call.node.attrs.u.pool = (sn_pool_attrs){.kind = kind, .kernel = p->kernel, .stride = p->stride, .pad = p->pad,
                                               .ceil = true, .count_padding = count_padding};
    snprintf(c.title, sizeof c.title, "%s of %dx%dx%dx%d, kernel %d, stride %d, pad %d", kind == SN_POOL_MAX ? "max" : "average",
             (int)p->x.n, (int)p->x.h, (int)p->x.w, (int)p->x.c, p->kernel, p->stride, p->pad);
    return c;
}

static void windows_are_pooled(void **state)
{
    (void)state;
    FOR_POOLS(p)
    {
        vector_case c = pool_case(p, SN_OP_pool2d, SN_POOL_MAX, false);
        c.absolute = 1;
        c.error_per_term = 0; /* a maximum is exact */
        check_both(&c);
        for (int count_padding = 0; count_padding < 2; count_padding++) {
            c = pool_case(p, SN_OP_pool2d, SN_POOL_AVG, count_padding);
            check_both(&c);
        }
    }
}

/* A window's "maximum" is 0.5 here, and its cells are 0, 0.25 or 0.5: it is found in several cells, or in none. */
static void gradients_go_to_the_first_maximum(void **state)
{
    (void)state;
    FOR_POOLS(p)
    {
        vector_case c = pool_case(p, SN_OP_pool2d_grad, SN_POOL_MAX, false);
        c.high[1] = 0.75;
        c.levels[1] = 3;
        c.low[2] = c.high[2] = 0.5;
        check_both(&c);
        for (int count_padding = 0; count_padding < 2; count_padding++) {
            c = pool_case(p, SN_OP_pool2d_grad, SN_POOL_AVG, count_padding);
            check_both(&c);
        }
    }
}

static void a_nan_is_a_maximum(void **state)
{
    (void)state;
    enum { SIDE = 3, CHANNELS = 21, CELLS = SIDE * SIDE };
    FOR_FLOAT_LEVELS(isa)
        for (int cell = 0; cell < CELLS; cell++) {
            static const pool_shape whole = {{1, SIDE, SIDE, CHANNELS}, SIDE, 1, 0, 1, 1};
            float x[CELLS * CHANNELS], y[CHANNELS];
            for (int i = 0; i < CELLS * CHANNELS; i++) x[i] = (float)(i % 7);
            for (int c = 0; c < CHANNELS; c += 2) x[cell * CHANNELS + c] = NAN;
            vector_case c = pool_case(&whole, SN_OP_pool2d, SN_POOL_MAX, false);
            kernel_case_bind(&c.call, 1, SN_FLOAT);
            c.call.call.inputs[0] = x;
            c.call.call.output = y;
            sn_cpu_candidates(SN_OP_pool2d, SN_FLOAT, isa)[0]->run(&c.call.call);
            for (int i = 0; i < CHANNELS; i++)
                if ((i % 2 == 0) != isnan(y[i]))
                    fail_msg("%s: NaN in cell %d: channel %d is %g", sn_cpu_isa_name(isa), cell, i, (double)y[i]);
        }
}

static void cells_are_averaged(void **state)
{
    (void)state;
    static const struct { sn_shape x; int h, w; } cases[] = {
        {{2, 14, 14, 512}, 7, 7}, {{1, 10, 9, 19}, 7, 7}, {{3, 5, 5, 40}, 7, 7}, {{1, 16, 3, 1}, 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sn_shape x = cases[i].x, y = {x.n, cases[i].h, cases[i].w, x.c};
        for (int backward = 0; backward < 2; backward++) {
            vector_case c = {.error_per_term = 1e-6};
            kernel_case_output(&c.call, backward ? SN_OP_adaptive_avg_grad : SN_OP_adaptive_avg, backward ? x : y);
            if (backward) kernel_case_input(&c.call, y, SN_REAL);
            kernel_case_input(&c.call, x, SN_REAL);
            c.call.node.attrs.u.adaptive.h = cases[i].h;
            c.call.node.attrs.u.adaptive.w = cases[i].w;
            snprintf(c.title, sizeof c.title, "%dx%dx%d to %dx%d", (int)x.h, (int)x.w, (int)x.c, cases[i].h, cases[i].w);
            check_both(&c);
        }
    }
}

/* ---- moves are exact ---- */

static void channels_are_joined_and_cut(void **state)
{
    (void)state;
    static const struct { int64_t parts[4]; } cases[] = {{{64, 128, 32, 32}}, {{24, 216}}, {{1, 2, 3, 70}}, {{17}}, {{320, 192}}};
    static const int sides[] = {1, 3, 28};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t k = 0; k < sizeof sides / sizeof sides[0]; k++) {
            vector_case c = {.error_per_term = 0};
            sn_shape shape = {2, sides[k], sides[k], 0};
            for (int part = 0; part < 4 && cases[i].parts[part]; part++) {
                shape.c = cases[i].parts[part];
                kernel_case_input(&c.call, shape, SN_REAL);
            }
            shape.c = 0;
            for (int part = 0; part < 4; part++) shape.c += cases[i].parts[part];
            kernel_case_output(&c.call, SN_OP_concat, shape);
            snprintf(c.title, sizeof c.title, "concat to %d channels on %d", (int)shape.c, sides[k]);
            check_both(&c);
            int64_t begin = 0;
            for (int part = 0; part < 4 && cases[i].parts[part]; part++) {
                vector_case cut = {.error_per_term = 0};
                kernel_case_input(&cut.call, shape, SN_REAL);
                sn_shape piece = shape;
                piece.c = cases[i].parts[part];
                kernel_case_output(&cut.call, SN_OP_slice, piece);
                cut.call.node.attrs.u.slice.begin = (int32_t)begin;
                cut.call.node.attrs.u.slice.count = (int32_t)piece.c;
                begin += piece.c;
                snprintf(cut.title, sizeof cut.title, "slice of %d from %d channels", (int)piece.c, (int)shape.c);
                check_both(&cut);
            }
        }
}

static void channels_are_shuffled(void **state)
{
    (void)state;
    static const struct { int groups, each; } cases[] = {{3, 20}, {3, 40}, {3, 80}, {80, 3}, {20, 3}, {2, 2},  {2, 33}, {33, 2},
                                                         {4, 4},  {4, 29}, {29, 4}, {3, 3},  {2, 16}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sn_shape x = {2, 5, 7, cases[i].groups * cases[i].each};
        vector_case c = {.error_per_term = 0};
        kernel_case_output(&c.call, SN_OP_channel_shuffle, x);
        kernel_case_input(&c.call, x, SN_REAL);
        c.call.node.attrs.u.shuffle.groups = cases[i].groups;
        snprintf(c.title, sizeof c.title, "shuffle of %d groups of %d", cases[i].groups, cases[i].each);
        check_both(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_pooled),
        cmocka_unit_test(gradients_go_to_the_first_maximum),
        cmocka_unit_test(a_nan_is_a_maximum),
        cmocka_unit_test(cells_are_averaged),
        cmocka_unit_test(channels_are_joined_and_cut),
        cmocka_unit_test(channels_are_shuffled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
