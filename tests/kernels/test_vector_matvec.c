/* Linear layers on every vector kernel: the excitation's two layers, classifiers over a map, and their activations; an
 * image's bits do not depend on the batch it comes in. */
#include "kernels/vector_check.h"

typedef struct layer {
    sn_shape x;
    int out;
} layer;

static vector_case layer_case(const layer *l, sn_activation activation, bool bias)
{
    vector_case c = {.error_per_term = 1e-6}; /* see vector_check.h */
    kernel_case_conv(&c.call, SN_OP_conv2d, l->x, (int)l->x.h, (int)l->x.w, l->out, (sn_conv_attrs){.stride = 1, .groups = 1});
    c.call.node.attrs.u.conv.activation = activation;
    if (bias) kernel_case_input(&c.call, (sn_shape){1, 1, 1, l->out}, SN_REAL);
    snprintf(c.title, sizeof c.title, "x %dx%dx%dx%d out %d", (int)l->x.n, (int)l->x.h, (int)l->x.w, (int)l->x.c, l->out);
    return c;
}

static void layers_match_the_plain_kernel(void **state)
{
    (void)state;
    static const layer layers[] = {
        {{1, 1, 1, 256}, 16}, {{1, 1, 1, 16}, 256}, {{1, 1, 1, 2048}, 128}, {{3, 1, 1, 128}, 2048}, /* excitations */
        {{1, 1, 1, 17}, 1},   {{5, 1, 1, 1}, 33},   {{11, 1, 1, 63}, 100},  {{2, 1, 1, 2048}, 1000},
        {{9, 1, 1, 9}, 3},    {{2, 5, 7, 24}, 70},  {{1, 7, 7, 64}, 521},                           /* over a map */
    };
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++)
        for (int bias = 0; bias < 2; bias++) {
            vector_case c = layer_case(&layers[i], bias ? SN_SIGMOID : SN_IDENTITY, bias);
            vector_check(&c);
        }
}

static void an_image_has_its_bits_in_every_batch(void **state)
{
    (void)state;
    enum { IMAGES = 19, IN = 300, OUT = 45 };
    const layer all = {{IMAGES, 1, 1, IN}, OUT}, one = {{1, 1, 1, IN}, OUT};
    const char *refusal;
    FOR_FLOAT_LEVELS(isa)
    {
        const sn_kernel *kernel = sn_cpu_candidates(SN_OP_conv2d, SN_FLOAT, isa)[0];
        assert_non_null(strstr(kernel->name, "matvec"));
        vector_case batch = layer_case(&all, SN_TANH, true), single = layer_case(&one, SN_TANH, true);
        float *y = vector_run(&batch, kernel, SN_FLOAT, 2, false, -1, &refusal);
        float *x = vector_draw(&batch, 0, SN_FLOAT, false);
        for (int i = 0; i < IMAGES; i++) {
            kernel_case c = single.call;
            float w[IN * OUT], bias[OUT], out[OUT];
            float *drawn[2] = {vector_draw(&batch, 1, SN_FLOAT, false), vector_draw(&batch, 2, SN_FLOAT, false)};
            memcpy(w, drawn[0], sizeof w);
            memcpy(bias, drawn[1], sizeof bias);
            free(drawn[0]);
            free(drawn[1]);
            kernel_case_bind(&c, 1, SN_FLOAT);
            void *scratch = vector_block(kernel->scratch_bytes(&c.call));
            c.call.inputs[0] = x + i * IN;
            c.call.inputs[1] = w;
            c.call.inputs[2] = bias;
            c.call.output = out;
            c.call.scratch = scratch;
            kernel->run(&c.call);
            free(scratch);
            assert_memory_equal(out, y + i * OUT, sizeof out);
        }
        free(x);
        free(y);
    }
}

/* Sigmoid and tanh on vectors, over the whole range: absolute errors of a few units in the last place of 1, and tanh near 0 of
 * its own size; infinities go to the ends, NaN stays. */
static void gates_are_accurate(void **state)
{
    (void)state;
    enum { COUNT = 4096 };
    static float x[COUNT], y[COUNT];
    for (int i = 0; i < COUNT - 3; i++) x[i] = (i % 2 ? 1.0f : 100.0f) * (2 * (float)i / (COUNT - 4) - 1);
    x[COUNT - 3] = -INFINITY, x[COUNT - 2] = INFINITY, x[COUNT - 1] = NAN;
    FOR_FLOAT_LEVELS(isa)
        for (int kind = SN_SIGMOID; kind <= SN_TANH; kind++) {
            kernel_case c = {.node = {.op = SN_OP_activation, .shape = {1, 1, 1, COUNT}, .attrs.u.activation.kind = kind}};
            kernel_case_input(&c, c.node.shape, SN_REAL);
            kernel_case_bind(&c, 1, SN_FLOAT);
            c.call.inputs[0] = x;
            c.call.output = y;
            sn_cpu_candidates(SN_OP_activation, SN_FLOAT, isa)[0]->run(&c.call);
            for (int i = 0; i < COUNT - 1; i++) {
                double v = (double)x[i], want = kind == SN_TANH ? tanh(v) : 1 / (1 + exp(-v)), error = fabs((double)y[i] - want);
                double allowed = 4 * 6e-8 * (kind == SN_TANH ? fabs(want) : fmin(1, 4 * want + 1e-30));
                if (!(error <= allowed)) fail_msg("activation %d of %.9g is %.9g, not %.9g", kind, v, (double)y[i], want);
            }
            assert_true(isnan(y[COUNT - 1]));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_match_the_plain_kernel),
        cmocka_unit_test(an_image_has_its_bits_in_every_batch),
        cmocka_unit_test(gates_are_accurate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
