/* test_norm_sums.c - batch norm's statistics as a byproduct of convolutions (cpu/kernels/norm_sums.h): which kernels give them, and
 * that they stay true where sums of squares would not be, with large means and blocks whose first pixels are unlike the others.
 * Convolutions that pass their input on make the values.  The tests of each kernel hold the statistics of all its shapes too
 * (check_stats). */
#include "kernels/narrow_check.h"

typedef struct stats_layer {
    const char *kernel; /* part of the name */
    sn_shape x;
    int side, stride;
    bool grouped;
    int group; /* channels, where grouped */
    bool everywhere; /* at every level, on floats and on bf16 */
} stats_layer;

static const stats_layer layers[] = {
    {"conv2d_pointwise", {3, 20, 20, 40}, 1, 1, false, 0, true},
    {"conv2d_pointwise", {3, 11, 12, 70}, 1, 2, false, 0, true},
    {"conv2d_pointwise", {90, 1, 2, 100}, 1, 1, false, 0, true},
    {"conv2d_direct", {3, 15, 17, 24}, 3, 2, false, 0, true},
    {"conv2d_direct", {1, 1, 1, 19}, 3, 1, false, 0, true},
    {"conv2d_direct", {2, 9, 9, 64}, 3, 1, true, 32, true},
    {"conv2d_strassen", {2, 15, 15, 64}, 1, 1, false, 0, false},
    {"conv2d_strassen", {3, 9, 7, 50}, 1, 1, false, 0, false},
    {"conv2d_winograd_f43", {5, 13, 11, 33}, 3, 1, false, 0, true},
    {"conv2d_winograd_f23", {5, 13, 11, 48}, 3, 1, false, 0, true},
    {"conv2d_winograd_f43", {1, 40, 58, 16}, 3, 1, false, 0, true},
    {"conv2d_depthwise", {3, 13, 18, 37}, 3, 1, true, 1, true},
    {"conv2d_depthwise", {40, 7, 7, 64}, 3, 2, true, 1, true},
    {"conv2d_grouped_", {3, 13, 15, 64}, 3, 1, true, 8, false},
    {"conv2d_grouped_", {2, 13, 15, 64}, 3, 2, true, 16, false},
    {"conv2d_tiles", {3, 15, 14, 64}, 1, 1, false, 0, false},
    {"conv2d_tiles", {3, 15, 14, 40}, 3, 1, false, 0, false},
    {"conv2d_tiles", {30, 7, 7, 64}, 3, 1, false, 0, false},
    {"conv2d_tiles", {1, 32, 32, 16}, 3, 1, false, 0, false},
};

enum { VALUES_FAR, VALUES_UNLIKE, VALUES_ALIKE, VALUES_KINDS };

/* mean +- 1; of VALUES_UNLIKE the first 16 pixels lie far below it; of VALUES_ALIKE all are the mean. */
static double value_of(int kind, double mean, int64_t pixel, double drawn)
{
    if (kind == VALUES_UNLIKE && pixel < 16) return -mean + drawn;
    return kind == VALUES_ALIKE ? mean : mean + drawn;
}

static vector_case case_of(const stats_layer *l)
{
    vector_case c = {.error_per_term = 1e-6};
    int groups = l->grouped ? (int)l->x.c / l->group : 1, pad = l->side / 2;
    kernel_case_conv(&c.call, SN_OP_conv2d, l->x, l->side, l->side, (int)l->x.c,
                     (sn_conv_attrs){.stride = l->stride, .groups = groups, .pad_top = pad, .pad_left = pad, .pad_bottom = pad, .pad_right = pad});
    snprintf(c.title, sizeof c.title, "x %dx%dx%dx%d kernel %d stride %d groups %d", (int)l->x.n, (int)l->x.h, (int)l->x.w, (int)l->x.c,
             l->side, l->stride, groups);
    return c;
}

/* The weight that passes every channel on. */
static float *weight_of(const stats_layer *l)
{
    int64_t in = l->grouped ? l->group : l->x.c, out = l->x.c, taps = (int64_t)l->side * l->side;
    float *w = vector_block((size_t)(taps * in * out) * sizeof(float));
    memset(w, 0, (size_t)(taps * in * out) * sizeof(float));
    for (int64_t o = 0; o < out; o++) w[(taps / 2 * in + o % in) * out + o] = 1;
    return w;
}

static void *input_of(const stats_layer *l, bool narrow, int kind, double mean)
{
    int64_t count = sn_shape_elements(l->x);
    uint64_t key = sn_rng_key(1, SN_RNG_TEST, 7, 0);
    void *x = vector_block((size_t)count * (narrow ? sizeof(uint16_t) : sizeof(float)));
    for (int64_t i = 0; i < count; i++) {
        float v = (float)value_of(kind, mean, i / l->x.c, 2 * sn_rng_uniform(key, (uint64_t)i) - 1);
        if (narrow)
            ((uint16_t *)x)[i] = sn_bf16_from_float(v);
        else
            ((float *)x)[i] = v;
    }
    return x;
}

/* Whether the kernel takes the layer and gives right statistics. */
static bool gives_stats(const stats_layer *l, const sn_kernel *kernel, bool narrow)
{
    sn_kernel forced;
    vector_case c = case_of(l);
    if (narrow) narrow_stored(&c.call, true, 1u << 0);
    if (!vector_force(&c, kernel, &forced)) return false;
    float *w = weight_of(l);
    c.given[1] = w;
    for (int kind = 0; kind < VALUES_KINDS; kind++)
        for (double mean = 10; mean <= 1e5; mean *= 100) {
            void *x = input_of(l, narrow, kind, mean);
            c.given[0] = x;
            void *output = narrow ? narrow_run_with(&c, &forced, 1, NULL) : vector_run_with(&c, &forced, 1, NULL);
            if (!check_stats(&c, &forced, output, narrow ? narrow_run_with : vector_run_with)) fail_msg("%s gives no statistics", kernel->name);
            free(output);
            free(x);
        }
    free(w);
    return true;
}

static int kernels_of(const stats_layer *l, sn_isa isa, bool narrow)
{
    const sn_kernel *kernels[17] = {NULL}, *const *candidates = sn_cpu_candidates_on(SN_OP_conv2d, narrow ? SN_BF16 : SN_REAL, SN_FLOAT, isa);
    int count = 0;
    for (int k = 0; candidates[k]; k++) kernels[k] = candidates[k];
    for (int k = 0; kernels[k]; k++)
        if (strncmp(kernels[k]->name, l->kernel, strlen(l->kernel)) == 0) count += gives_stats(l, kernels[k], narrow);
    return count;
}

static void statistics_keep_their_digits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        int found = 0;
        FOR_LEVELS(isa)
        {
            int narrow = kernels_of(&layers[i], isa, true), wide = has_own_float_kernels(isa) ? kernels_of(&layers[i], isa, false) : 1;
            if (layers[i].everywhere && isa != SN_ISA_AMX && !(narrow && wide))
                fail_msg("%s, %s: no kernel gives statistics", sn_cpu_isa_name(isa), layers[i].kernel);
            found += narrow + (has_own_float_kernels(isa) ? wide : 0);
        }
        if (!found && (strcmp(layers[i].kernel, "conv2d_tiles") != 0 || sn_cpu_has(SN_ISA_AMX)))
            fail_msg("%s: no kernel gives statistics", layers[i].kernel);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(statistics_keep_their_digits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
