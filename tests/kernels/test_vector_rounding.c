/* test_vector_rounding.c - the rounding errors of every way to sum a convolution, at every ISA level of this processor, against what
 * docs/kernels.md promises; printed as its table has them.
 *
 * A kernel is measured on its layers in single precision against the plain kernel in double: the root mean square and the largest
 * of its errors, over the root mean square of the results.  Inputs are drawn from [0, 1), as after a ReLU, weights and gradients from
 * [-1, 1). */
#include "kernels/vector_check.h"

typedef struct layer {
    sn_shape x;
    int kernel, out, stride, groups;
} layer;

enum { MOST_LAYERS = 2 };

/* Kernels by a word of their name.  Sums of n terms in vectors and blocks round to about sqrt(n) / 2^24 of their size at worst;
 * what Winograd's and Strassen's forms add on the way and cancel again comes on top. */
typedef struct way {
    const char *word;
    double promised;          /* root mean square */
    layer layers[MOST_LAYERS]; /* the last ones all zero: absent */
} way;

static const way ways[] = {
    {"pointwise", 1e-6, {{{1, 28, 28, 64}, 1, 256, 1, 1}, {{1, 7, 7, 2048}, 1, 64, 1, 1}}},
    {"strassen", 3e-6, {{{1, 28, 28, 128}, 1, 128, 1, 1}, {{1, 7, 7, 2048}, 1, 256, 1, 1}}},
    {"direct", 1e-6, {{{1, 28, 28, 64}, 3, 64, 2, 1}, {{1, 14, 14, 512}, 3, 32, 2, 1}}},
    {"winograd_f23", 1e-6, {{{1, 28, 28, 64}, 3, 64, 1, 1}, {{1, 14, 14, 512}, 3, 32, 1, 1}}},
    {"winograd_f43", 5e-6, {{{1, 28, 28, 64}, 3, 64, 1, 1}, {{1, 14, 14, 512}, 3, 32, 1, 1}}},
    {"grouped", 1e-6, {{{1, 28, 28, 128}, 3, 128, 1, 32}, {{1, 14, 14, 512}, 3, 512, 1, 32}}},
    {"depthwise", 1e-6, {{{1, 28, 28, 64}, 3, 64, 1, 64}, {{1, 14, 14, 512}, 3, 512, 2, 512}}},
};
enum { WAYS = sizeof ways / sizeof ways[0] };

static const sn_op_kind ops[] = {SN_OP_conv2d, SN_OP_conv2d_grad_input, SN_OP_conv2d_grad_weight};
enum { OPS = sizeof ops / sizeof ops[0] };

static vector_case case_of(const layer *l, sn_op_kind op)
{
    vector_case c = {.low = {op == SN_OP_conv2d_grad_input ? -1 : 0, -1}, .high = {1, 1}};
    int pad = l->kernel / 2;
    kernel_case_conv(&c.call, op, l->x, l->kernel, l->kernel, l->out,
                     (sn_conv_attrs){.stride = l->stride, .groups = l->groups, .pad_top = pad, .pad_left = pad,
                                     .pad_bottom = pad, .pad_right = pad});
    snprintf(c.title, sizeof c.title, "x %dx%dx%dx%d kernel %d stride %d groups %d out %d", (int)l->x.n, (int)l->x.h, (int)l->x.w,
             (int)l->x.c, l->kernel, l->stride, l->groups, l->out);
    return c;
}

typedef struct rounding {
    double rms, largest;
} rounding;

static rounding measure(const vector_case *c, const sn_kernel *kernel, const double *want)
{
    const char *refusal;
    int64_t count = vector_outputs(c);
    float *got = vector_run(c, kernel, SN_FLOAT, 2, false, -1, &refusal);
    double errors = 0, sizes = 0, largest = 0;
    for (int64_t i = 0; i < count; i++) {
        double error = (double)got[i] - want[i];
        errors += error * error;
        sizes += want[i] * want[i];
        largest = fmax(largest, fabs(error));
    }
    free(got);
    return (rounding){sqrt(errors / sizes), largest / sqrt(sizes / (double)count)};
}

/* The way's kernel for an op at a level, or NULL: grouped kernels are for groups that do not fill a vector of the level. */
static const sn_kernel *kernel_of(vector_case *c, const way *w, sn_isa isa, sn_kernel *forced)
{
    for (const sn_kernel *const *k = sn_cpu_candidates(c->call.node.op, SN_FLOAT, isa); k[1]; k++)
        if (strstr((*k)->name, w->word) && vector_force(c, *k, forced)) return forced;
    return NULL;
}

static void stays_below_what_is_promised(void **state)
{
    const way *w = *state;
    for (int i = 0; i < MOST_LAYERS && w->layers[i].out; i++)
        for (int op = 0; op < OPS; op++) {
            vector_case c = case_of(&w->layers[i], ops[op]);
            const char *refusal;
            double *want = vector_run(&c, sn_cpu_candidates(ops[op], SN_DOUBLE, SN_ISA_BASELINE)[0], SN_DOUBLE, 2, false, -1, &refusal);
            FOR_FLOAT_LEVELS(isa)
            {
                sn_kernel forced;
                const sn_kernel *kernel = kernel_of(&c, w, isa, &forced);
                if (!kernel) continue;
                rounding r = measure(&c, kernel, want);
                printf("%s, %s: rms %.2g, largest %.2g\n", kernel->name, c.title, r.rms, r.largest);
                if (!(r.rms < w->promised)) fail_msg("%s, %s: rms %.3g, promised %.3g", kernel->name, c.title, r.rms, w->promised);
            }
            free(want);
        }
}

int main(void)
{
    struct CMUnitTest tests[WAYS];
    for (int i = 0; i < WAYS; i++)
        tests[i] = (struct CMUnitTest){
            .name = ways[i].word, .test_func = stays_below_what_is_promised, .initial_state = (void *)(uintptr_t)&ways[i]};
    return _cmocka_run_group_tests("rounding", tests, WAYS, NULL, NULL);
}
