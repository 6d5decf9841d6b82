/* test_reference_shape.c - the plain C squeeze, scale, pooling and moving ops against their definitions. */
#include "test_reference.h"

#define MAP                                                                                                            \
    {                                                                                                                  \
        3, 5, 7, 67                                                                                                    \
    } /* channels: one full tile of 64 and a rest */
#define VECTOR                                                                                                         \
    {                                                                                                                  \
        3, 1, 1, 67                                                                                                    \
    }

/* Where element i of a map belongs in a vector (N,1,1,C). */
static int64_t vector_index(sn_shape s, int64_t i)
{
    return i / (s.h * s.w * s.c) * s.c + i % s.c;
}

/* ---- squeeze ---- */

static void mean(const reference_case *c, const void *const *inputs, double *z)
{
    const double *x = inputs[0];
    sn_shape s = c->inputs[0].shape;
    for (int64_t i = 0; i < sn_shape_elements(s); i++) z[vector_index(s, i)] += x[i] / (double)(s.h * s.w);
}

static void mean_gradient(const reference_case *c, const void *const *inputs, double *dx)
{
    const double *dz = inputs[0];
    sn_shape s = c->output;
    for (int64_t i = 0; i < sn_shape_elements(s); i++) dx[i] = dz[vector_index(s, i)] / (double)(s.h * s.w);
}

static void maximum(const reference_case *c, const void *const *inputs, double *z)
{
    const double *x = inputs[0];
    sn_shape s = c->inputs[0].shape;
    for (int64_t i = 0; i < sn_shape_elements(c->output); i++) z[i] = -INFINITY;
    for (int64_t i = 0; i < sn_shape_elements(s); i++) z[vector_index(s, i)] = fmax(z[vector_index(s, i)], x[i]);
}

static void squeezes_are_mean_and_maximum(void **state)
{
    (void)state;
    reference_case c = {.name = "squeeze_avg",
                        .op = SN_OP_squeeze_avg,
                        .inputs_count = 1,
                        .inputs = {{.shape = MAP}},
                        .output = VECTOR,
                        .formula = mean};
    check_reference(&c);
    c.name = "squeeze_max";
    c.op = SN_OP_squeeze_max;
    c.formula = maximum;
    check_reference(&c);
    check_reference(&(reference_case){.name = "squeeze_avg_grad",
                                      .op = SN_OP_squeeze_avg_grad,
                                      .inputs_count = 2,
                                      .inputs = {{.shape = VECTOR}, {.shape = MAP}},
                                      .output = MAP,
                                      .formula = mean_gradient});
}

/* Channel 0: the maximum 3 stands twice, its first place in row-major order gets the gradient. */
static void gradient_of_the_maximum_goes_to_the_first(void **state)
{
    (void)state;
    sn_shape map = {1, 2, 2, 2}, vector = {1, 1, 1, 2};
    double dz[2] = {5, 7}, x[8] = {1, 4, 3, 0, 3, 2, 2, 1}, z[2] = {3, 4}, dx[8];
    sn_node inputs[3] = {{.shape = vector}, {.shape = map}, {.shape = vector}};
    sn_node node = {.op = SN_OP_squeeze_max_grad, .inputs_count = 3, .inputs = {0, 1, 2}, .shape = map};
    sn_kernel_call call = {.node = &node,
                           .input_nodes = {&inputs[0], &inputs[1], &inputs[2]},
                           .inputs = {dz, x, z},
                           .output = dx,
                           .threads = 1,
                           .precision = SN_DOUBLE};
    sn_ref_squeeze_max_grad_f64.run(&call);
    static const double expected[8] = {0, 7, 5, 0, 0, 0, 0, 0};
    for (int i = 0; i < 8; i++) assert_true(dx[i] == expected[i]);
}

/* ---- scale; the gate is a vector or as large as the map ---- */

static int64_t gate_index(const reference_case *c, int input, sn_shape map, int64_t i)
{
    return c->inputs[input].shape.h == 1 ? vector_index(map, i) : i;
}

/* Element i of x, or of x scale + shift. */
static double normalized(const double *x, const double *affine, sn_shape map, int64_t i)
{
    return affine ? x[i] * affine[i % map.c] + affine[map.c + i % map.c] : x[i];
}

static void scaled(const reference_case *c, const void *const *inputs, double *y)
{
    const double *s = inputs[1], *r = inputs[2];
    for (int64_t i = 0; i < sn_shape_elements(c->output); i++)
        y[i] = activate(c->attrs.u.activation.kind,
                        normalized(inputs[0], inputs[3], c->output, i) * (s ? s[gate_index(c, 1, c->output, i)] : 1) + (r ? r[i] : 0));
}

static void scale_gradient_input(const reference_case *c, const void *const *inputs, double *dx)
{
    const double *g = inputs[0], *s = inputs[1], *dz = inputs[2];
    sn_shape map = c->output;
    for (int64_t i = 0; i < sn_shape_elements(map); i++)
        dx[i] = g[i] * s[gate_index(c, 1, map, i)] + (dz ? dz[vector_index(map, i)] / (double)(map.h * map.w) : 0);
}

static void scale_gradient_gate(const reference_case *c, const void *const *inputs, double *ds)
{
    const double *g = inputs[0];
    sn_shape map = c->inputs[0].shape;
    for (int64_t i = 0; i < sn_shape_elements(map); i++)
        ds[gate_index(c, 2, map, i)] += g[i] * normalized(inputs[1], inputs[3], map, i);
}

static void scales_of_normalized_maps(void **state)
{
    (void)state;
    static const reference_input map = {.shape = MAP}, gate = {.shape = VECTOR}, absent;
    reference_input affine = {.shape = {1, 1, 2, map.shape.c}};
    for (int with = 0; with < 4; with++) /* bit 0: a gate, bit 1: a residual */
        check_reference(&(reference_case){.name = "scale_add of a batch norm",
                                          .op = SN_OP_scale_add,
                                          .attrs.u.activation.kind = SN_RELU,
                                          .inputs_count = 4,
                                          .inputs = {map, with & 1 ? gate : absent, with & 2 ? map : absent, affine},
                                          .output = MAP,
                                          .formula = scaled});
    check_reference(&(reference_case){.name = "scale_grad_gate of a batch norm",
                                      .op = SN_OP_scale_grad_gate,
                                      .inputs_count = 4,
                                      .inputs = {map, map, gate, affine},
                                      .output = VECTOR,
                                      .formula = scale_gradient_gate});
}

static void scales_by_vectors_and_maps(void **state)
{
    (void)state;
    static const reference_input map = {.shape = MAP}, gates[2] = {{.shape = VECTOR}, {.shape = MAP}}, absent;
    for (int full = 0; full < 2; full++) {
        for (int residual = 0; residual < 2; residual++)
            check_reference(&(reference_case){.name = residual ? "scale_add, ReLU" : "scale",
                                              .op = SN_OP_scale_add,
                                              .attrs.u.activation.kind = residual ? SN_RELU : SN_IDENTITY,
                                              .inputs_count = 3,
                                              .inputs = {map, gates[full], residual ? map : absent},
                                              .output = MAP,
                                              .formula = scaled});
        for (int share = 0; share < 2; share++)
            check_reference(&(reference_case){.name = "scale_grad_input",
                                              .op = SN_OP_scale_grad_input,
                                              .inputs_count = 2 + share,
                                              .inputs = {map, gates[full], gates[0]},
                                              .output = MAP,
                                              .formula = scale_gradient_input});
        check_reference(&(reference_case){.name = "scale_grad_gate",
                                          .op = SN_OP_scale_grad_gate,
                                          .inputs_count = 3,
                                          .inputs = {map, map, gates[full]},
                                          .output = gates[full].shape,
                                          .formula = scale_gradient_gate});
    }
}

/* ---- pooling: the definition on an image with an explicit border ---- */

/* Visits the cells of output pixel (oy, ox); returns the average's divisor. */
typedef void (*visit_cell)(void *context, int64_t iy, int64_t ix);

static double each_cell(const sn_pool_attrs *a, sn_shape x, int64_t oy, int64_t ox, visit_cell cell, void *context)
{
    int inside = 0, padded = 0;
    for (int64_t iy = oy * a->stride - a->pad; iy < oy * a->stride - a->pad + a->kernel; iy++)
        for (int64_t ix = ox * a->stride - a->pad; ix < ox * a->stride - a->pad + a->kernel; ix++) {
            padded += iy < x.h + a->pad && ix < x.w + a->pad;
            if (iy < 0 || ix < 0 || iy >= x.h || ix >= x.w) continue;
            inside++;
            cell(context, iy, ix);
        }
    return a->count_padding ? padded : inside;
}

typedef struct pooling {
    const double *x;
    double *dx;
    sn_shape s;
    int64_t n, c;
    double sum, best, share;
    int64_t best_at;
} pooling;

static void gather(void *context, int64_t iy, int64_t ix)
{
    pooling *p = context;
    int64_t i = at(p->s, p->n, iy, ix, p->c);
    p->sum += p->x[i];
    if (p->x[i] > p->best) p->best = p->x[i], p->best_at = i;
}

static void spread(void *context, int64_t iy, int64_t ix)
{
    pooling *p = context;
    p->dx[at(p->s, p->n, iy, ix, p->c)] += p->share;
}

/* With dy the gradient, without it the output. */
static void pool(const sn_pool_attrs *a, sn_shape s, sn_shape out, const double *x, const double *dy, double *result)
{
    for (int64_t o = 0; o < sn_shape_elements(out); o++) {
        int64_t oy = o / (out.c * out.w) % out.h, ox = o / out.c % out.w;
        pooling p = {.x = x, .dx = result, .s = s, .n = o / (out.h * out.w * out.c), .c = o % out.c, .best = -INFINITY};
        double divisor = each_cell(a, s, oy, ox, gather, &p);
        if (!dy)
            result[o] = a->kind == SN_POOL_MAX ? p.best : p.sum / divisor;
        else if (a->kind == SN_POOL_MAX)
            result[p.best_at] += dy[o];
        else {
            p.share = dy[o] / divisor;
            each_cell(a, s, oy, ox, spread, &p);
        }
    }
}

static void pooled(const reference_case *c, const void *const *inputs, double *y)
{
    pool(&c->attrs.u.pool, c->inputs[0].shape, c->output, inputs[0], NULL, y);
}

typedef struct window {
    sn_pool_attrs attrs;
    int64_t h, w; /* output of a 9 x 8 map */
} window;

static const window windows[] = {
    {{SN_POOL_MAX, 3, 2, 0, true, false}, 4, 4},  {{SN_POOL_MAX, 3, 2, 1, false, false}, 5, 4},
    {{SN_POOL_MAX, 3, 1, 1, false, false}, 9, 8}, {{SN_POOL_MAX, 2, 2, 0, false, false}, 4, 4},
    {{SN_POOL_AVG, 3, 2, 0, true, true}, 4, 4},   {{SN_POOL_AVG, 3, 2, 1, true, true}, 5, 5},
    {{SN_POOL_AVG, 3, 1, 1, false, true}, 9, 8},  {{SN_POOL_AVG, 3, 1, 1, false, false}, 9, 8},
    {{SN_POOL_AVG, 7, 5, 3, true, false}, 3, 3},  {{SN_POOL_AVG, 7, 5, 3, true, true}, 3, 3},
};

static void pooling_is_its_definition(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++)
        check_reference(&(reference_case){.name = "pool2d",
                                          .op = SN_OP_pool2d,
                                          .attrs.u.pool = windows[i].attrs,
                                          .inputs_count = 1,
                                          .inputs = {{.shape = {2, 9, 8, 5}}},
                                          .output = {2, windows[i].h, windows[i].w, 5},
                                          .formula = pooled});
}

/* The gradient needs y = pool(x), and ties to tell the first maximum: x is one of nine whole numbers. */
static void gradient_of_pooling_finds_its_cells(void **state)
{
    (void)state;
    enum { ELEMENTS = 2 * 9 * 8 * 5 };
    const sn_shape map = {2, 9, 8, 5};
    double x[ELEMENTS], dy[ELEMENTS];
    for (uint64_t k = 0; k < ELEMENTS; k++) x[k] = (double)sn_rng_below(7, k, 9);
    for (uint64_t k = 0; k < ELEMENTS; k++) dy[k] = sn_rng_uniform(8, k);
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        const sn_pool_attrs *a = &windows[i].attrs;
        sn_shape out = {2, windows[i].h, windows[i].w, 5};
        double y[ELEMENTS] = {0}, expected[ELEMENTS] = {0}, dx[ELEMENTS];
        pool(a, map, out, x, NULL, y);
        pool(a, map, out, x, dy, expected);
        sn_node inputs[3] = {{.shape = out}, {.shape = map}, {.shape = out}};
        sn_node node = {
            .op = SN_OP_pool2d_grad, .attrs.u.pool = *a, .inputs_count = 3, .inputs = {0, 1, 2}, .shape = map};
        sn_kernel_call call = {.node = &node,
                               .input_nodes = {&inputs[0], &inputs[1], &inputs[2]},
                               .inputs = {dy, x, y},
                               .output = dx,
                               .threads = 2,
                               .precision = SN_DOUBLE};
        sn_ref_pool2d_grad_f64.run(&call);
        for (int k = 0; k < ELEMENTS; k++) /* sums of up to nine numbers below 1 */
            if (!(fabs(dx[k] - expected[k]) <= 1e-14))
                fail_msg("pool2d_grad, window %zu: element %d is %.17g, not %.17g", i, k, dx[k], expected[k]);
    }
}

/* ---- subsample, concatenation, slices ---- */

static void subsampled(const reference_case *c, const void *const *inputs, double *y)
{
    const double *x = inputs[0];
    const sn_subsample_attrs *a = &c->attrs.u.subsample;
    sn_shape s = c->inputs[0].shape, out = c->output;
    for (int64_t n = 0; n < out.n; n++)
        for (int64_t i = 0; i < out.h; i++)
            for (int64_t j = 0; j < out.w; j++)
                for (int64_t k = 0; k < out.c; k++) {
                    int64_t iy = i * a->stride + a->offset, ix = j * a->stride + a->offset, ic = k - a->channels_before;
                    bool inside = iy >= 0 && iy < s.h && ix >= 0 && ix < s.w && ic >= 0 && ic < s.c;
                    y[at(out, n, i, j, k)] = inside ? x[at(s, n, iy, ix, ic)] : 0;
                }
}

static void subsample_gradient(const reference_case *c, const void *const *inputs, double *dx)
{
    const double *dy = inputs[0];
    const sn_subsample_attrs *a = &c->attrs.u.subsample;
    sn_shape s = c->output, out = c->inputs[0].shape;
    for (int64_t n = 0; n < out.n; n++)
        for (int64_t i = 0; i < out.h; i++)
            for (int64_t j = 0; j < out.w; j++)
                for (int64_t k = 0; k < s.c; k++) {
                    int64_t iy = i * a->stride + a->offset, ix = j * a->stride + a->offset;
                    if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w) continue;
                    dx[at(s, n, iy, ix, k)] += dy[at(out, n, i, j, k + a->channels_before)];
                }
}

static void subsampling_shifts_strides_and_pads(void **state)
{
    (void)state;
    static const struct {
        sn_subsample_attrs attrs;
        sn_shape out;
    } cases[] = {
        {{.stride = 2, .channels_before = 3, .channels_after = 4}, {2, 4, 3, 12}}, /* option A on 7 x 6 */
        {{.stride = 2, .offset = -1, .channels_after = 2}, {2, 4, 3, 7}},          /* Shake-Shake's second path */
        {{.stride = 1, .offset = -1}, {2, 7, 6, 5}},
        {{.stride = 3, .offset = 1}, {2, 2, 2, 5}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        reference_case c = {.name = "subsample",
                            .op = SN_OP_subsample,
                            .attrs.u.subsample = cases[i].attrs,
                            .inputs_count = 1,
                            .inputs = {{.shape = {2, 7, 6, 5}}},
                            .output = cases[i].out,
                            .formula = subsampled};
        check_reference(&c);
        c.name = "subsample_grad";
        c.op = SN_OP_subsample_grad;
        c.inputs[0].shape = cases[i].out;
        c.output = c.attrs.u.subsample.target = (sn_shape){2, 7, 6, 5};
        c.formula = subsample_gradient;
        check_reference(&c);
    }
}

static void concatenated(const reference_case *c, const void *const *inputs, double *y)
{
    for (int64_t p = 0, o = 0; o < sn_shape_elements(c->output); p++)
        for (int i = 0; i < c->inputs_count; i++)
            for (int64_t k = 0; k < c->inputs[i].shape.c; k++)
                y[o++] = ((const double *)inputs[i])[p * c->inputs[i].shape.c + k];
}

static void sliced(const reference_case *c, const void *const *inputs, double *y)
{
    sn_shape s = c->inputs[0].shape, out = c->output;
    for (int64_t i = 0; i < sn_shape_elements(out); i++)
        y[i] = ((const double *)inputs[0])[i / out.c * s.c + c->attrs.u.slice.begin + i % out.c];
}

static void picked_row(const reference_case *c, const void *const *inputs, double *y)
{
    for (int64_t k = 0; k < c->output.c; k++)
        y[k] = ((const double *)inputs[0])[c->attrs.u.slice.begin * c->output.c + k];
}

static void channels_are_joined_and_cut(void **state)
{
    (void)state;
    check_reference(&(reference_case){
        .name = "concat",
        .op = SN_OP_concat,
        .inputs_count = 4,
        .formula = concatenated,
        .inputs = {{.shape = {2, 3, 5, 1}}, {.shape = {2, 3, 5, 16}}, {.shape = {2, 3, 5, 7}}, {.shape = {2, 3, 5, 2}}},
        .output = {2, 3, 5, 26}});
    check_reference(&(reference_case){.name = "slice",
                                      .op = SN_OP_slice,
                                      .inputs_count = 1,
                                      .formula = sliced,
                                      .attrs.u.slice = {.begin = 3, .count = 4},
                                      .inputs = {{.shape = {2, 3, 5, 9}}},
                                      .output = {2, 3, 5, 4}});
    check_reference(&(reference_case){.name = "row",
                                      .op = SN_OP_row,
                                      .inputs_count = 1,
                                      .formula = picked_row,
                                      .attrs.u.slice = {.begin = 1, .count = 1},
                                      .inputs = {{.shape = {1, 1, 2, 9}}},
                                      .output = {1, 1, 1, 9}});
}

/* out[j G + i] = in[i n + j] (ARCHITECTURES section 9). */
static void shuffled(const reference_case *c, const void *const *inputs, double *y)
{
    int64_t channels = c->output.c, groups = c->attrs.u.shuffle.groups, each = channels / groups;
    for (int64_t k = 0; k < sn_shape_elements(c->output); k++) {
        int64_t i = k % channels % groups, j = k % channels / groups;
        y[k] = ((const double *)inputs[0])[k / channels * channels + i * each + j];
    }
}

static void channels_are_dealt_out(void **state)
{
    (void)state;
    for (int32_t groups = 1; groups <= 12; groups++) {
        if (12 % groups) continue;
        check_reference(&(reference_case){.name = "channel_shuffle",
                                          .op = SN_OP_channel_shuffle,
                                          .inputs_count = 1,
                                          .formula = shuffled,
                                          .attrs.u.shuffle.groups = groups,
                                          .inputs = {{.shape = {2, 3, 5, 12}}},
                                          .output = {2, 3, 5, 12}});
    }
}

/* ---- adaptive average: row y belongs to cell i where [y, y + 1) and [i H / h, (i + 1) H / h) overlap ---- */

static bool in_cell(int64_t y, int64_t rows, int64_t i, int64_t cells)
{
    return y * cells < (i + 1) * rows && (y + 1) * cells > i * rows;
}

static int64_t rows_of(int64_t rows, int64_t i, int64_t cells)
{
    int64_t count = 0;
    for (int64_t y = 0; y < rows; y++) count += in_cell(y, rows, i, cells);
    return count;
}

/* Adds the share of every element of the map in every cell to y (the output) or, given dy, to dx. */
static void average_cells(sn_shape map, sn_shape out, const double *x, const double *dy, double *result)
{
    for (int64_t k = 0; k < sn_shape_elements(out); k++) {
        int64_t c = k % out.c, j = k / out.c % out.w, i = k / (out.c * out.w) % out.h, n = k / (out.c * out.w * out.h);
        double cells = (double)(rows_of(map.h, i, out.h) * rows_of(map.w, j, out.w));
        for (int64_t iy = 0; iy < map.h; iy++)
            for (int64_t ix = 0; ix < map.w; ix++) {
                if (!in_cell(iy, map.h, i, out.h) || !in_cell(ix, map.w, j, out.w)) continue;
                int64_t from = at(map, n, iy, ix, c);
                if (dy)
                    result[from] += dy[k] / cells;
                else
                    result[k] += x[from] / cells;
            }
    }
}

static void averaged(const reference_case *c, const void *const *inputs, double *y)
{
    average_cells(c->inputs[0].shape, c->output, inputs[0], NULL, y);
}

static void spread_average(const reference_case *c, const void *const *inputs, double *dx)
{
    average_cells(c->output, c->inputs[0].shape, NULL, inputs[0], dx);
}

static void adaptive_averages_fit_any_map(void **state)
{
    (void)state;
    static const sn_shape maps[] = {{2, 14, 7, 3}, {2, 2, 3, 5}, {1, 10, 9, 2}, {3, 1, 1, 4}};
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        sn_shape map = maps[i], out = {map.n, 7, 7, map.c};
        check_reference(&(reference_case){.name = "adaptive_avg",
                                          .op = SN_OP_adaptive_avg,
                                          .inputs_count = 1,
                                          .formula = averaged,
                                          .attrs.u.adaptive = {.h = 7, .w = 7},
                                          .inputs = {{.shape = map}},
                                          .output = out});
        check_reference(&(reference_case){.name = "adaptive_avg_grad",
                                          .op = SN_OP_adaptive_avg_grad,
                                          .inputs_count = 2,
                                          .formula = spread_average,
                                          .attrs.u.adaptive = {.h = 7, .w = 7},
                                          .inputs = {{.shape = out}, {.shape = map}},
                                          .output = map});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(squeezes_are_mean_and_maximum),
        cmocka_unit_test(gradient_of_the_maximum_goes_to_the_first),
        cmocka_unit_test(scales_by_vectors_and_maps),
        cmocka_unit_test(scales_of_normalized_maps),
        cmocka_unit_test(pooling_is_its_definition),
        cmocka_unit_test(gradient_of_pooling_finds_its_cells),
        cmocka_unit_test(subsampling_shifts_strides_and_pads),
        cmocka_unit_test(channels_are_joined_and_cut),
        cmocka_unit_test(channels_are_dealt_out),
        cmocka_unit_test(adaptive_averages_fit_any_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
