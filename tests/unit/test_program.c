/* Programs and parameters: file order and memory order, unbound inputs, constants remade when parameters change, a shared
 * workspace, memory that cannot be had, the same bits for any number of threads and in every batch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "exec/exec.h"
#include "zoo/zoo.h"

enum { IN = 5, OUT = 7, K = 3 };

/* input -> conv 3x3 -> batch norm (stored statistics) -> ReLU -> "logits" */
static sn_graph *small_network(int64_t batch)
{
    sn_graph *g = NULL;
    sn_id x, w, p[4], stats, conv, y;
    assert_int_equal(sn_graph_create(batch, &g), SENET_OK);
    sn_attrs source = {.u.source.shape = {batch, 6, 6, IN}}, relu = {.u.activation.kind = SN_RELU};
    sn_attrs conv_attrs = {.u.conv = {.stride = 1, .groups = 1, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}};
    sn_attrs norm = {.u.norm.epsilon = 1e-5f};
    assert_int_equal(sn_graph_add(g, SN_OP_input, NULL, 0, &source, "input", &x), SENET_OK);
    sn_param weight = {.name = "conv.weight", .learnable = true, .rank = 4, .dims = {OUT, IN, K, K}, .shape = {K, K, IN, OUT}};
    assert_int_equal(sn_graph_add_param(g, &weight, &w), SENET_OK);
    const char *names[4] = {"bn.running_mean", "bn.running_var", "bn.weight", "bn.bias"};
    for (int i = 0; i < 4; i++) {
        sn_param vector = {.name = names[i], .learnable = i >= 2, .rank = 1, .dims = {OUT}, .shape = {1, 1, 1, OUT}};
        assert_int_equal(sn_graph_add_param(g, &vector, &p[i]), SENET_OK);
    }
    assert_int_equal(sn_graph_add(g, SN_OP_conv2d, (sn_id[]){x, w}, 2, &conv_attrs, "conv", &conv), SENET_OK);
    assert_int_equal(sn_graph_add(g, SN_OP_bn_pack, (sn_id[]){p[0], p[1]}, 2, &norm, "stats", &stats), SENET_OK);
    assert_int_equal(sn_graph_add(g, SN_OP_bn_apply, (sn_id[]){conv, stats, p[2], p[3]}, 4, &norm, "bn", &y), SENET_OK);
    assert_int_equal(sn_graph_add(g, SN_OP_activation, &y, 1, &relu, "relu", &y), SENET_OK);
    assert_int_equal(sn_graph_add_output(g, "logits", y), SENET_OK);
    return g;
}

static void fill(sn_params *params, const sn_graph *g, uint64_t seed)
{
    for (size_t i = 0; i < g->params_count; i++) {
        float values[K * K * IN * OUT];
        int64_t n = sn_shape_elements(g->params[i].shape);
        for (int64_t k = 0; k < n; k++)
            values[k] = 0.5f + (float)sn_rng_uniform(sn_rng_key(seed, SN_RNG_TEST, i, 0), (uint64_t)k);
        sn_params_set(params, g, (int)i, values);
    }
}

static sn_program *program_of(const sn_graph *g, sn_params *params, int threads, sn_workspace *workspace)
{
    sn_program *program = NULL;
    sn_program_options options = {.threads = threads, .params = params, .workspace = workspace};
    assert_int_equal(sn_program_create(g, &options, &program), SENET_OK);
    return program;
}

static void parameters_keep_file_order(void **state)
{
    (void)state;
    sn_graph *g = small_network(1);
    sn_params *params = NULL;
    float values[OUT * IN * K * K], back[OUT * IN * K * K];
    for (int i = 0; i < OUT * IN * K * K; i++) values[i] = (float)i;
    assert_int_equal(sn_params_create(g, SN_FLOAT, &params), SENET_OK);
    sn_params_set(params, g, 0, values);
    sn_params_get(params, g, 0, back);
    assert_memory_equal(values, back, sizeof values);
    /* O = 2, I = 3, h = 1, w = 0 in a file stands at h, w, I, O in memory */
    const float *memory = sn_params_data(params, 0);
    assert_true(memory[((1 * K + 0) * IN + 3) * OUT + 2] == values[((2 * IN + 3) * K + 1) * K + 0]);
    size_t learnable, total;
    sn_params_block(params, &learnable, &total);
    assert_true(learnable >= OUT * IN * K * K + 2 * OUT && total >= learnable + 2 * OUT);
    sn_params_destroy(params);
    sn_graph_destroy(g);
}

static void an_unbound_or_unknown_input_is_named(void **state)
{
    (void)state;
    sn_graph *g = small_network(1);
    sn_params *params = NULL;
    assert_int_equal(sn_params_create(g, SN_FLOAT, &params), SENET_OK);
    sn_program *program = program_of(g, params, 1, NULL);
    assert_int_equal(sn_program_run(program), SENET_USAGE);
    assert_string_equal(senet_last_error(), "input 'input' is not bound");
    assert_int_equal(sn_program_set_input(program, "labels", ""), SENET_USAGE);
    sn_program_destroy(program);
    sn_params_destroy(params);
    sn_graph_destroy(g);
}

/* Folded constants and packed weights follow the parameters; folding changes nothing but rounding. */
static void folding_follows_the_parameters(void **state)
{
    (void)state;
    sn_graph *g = small_network(2), *folded = NULL;
    sn_params *params = NULL;
    float x[2 * 6 * 6 * IN];
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) x[i] = (float)sn_rng_uniform(3, i) - 0.5f;
    assert_int_equal(sn_graph_fold_batch_norm(g, &folded), SENET_OK);
    assert_int_equal(sn_params_create(g, SN_FLOAT, &params), SENET_OK);
    sn_program *plain = program_of(g, params, 1, NULL), *fast = program_of(folded, params, 2, NULL);
    assert_int_equal(sn_program_set_input(plain, "input", x), SENET_OK);
    assert_int_equal(sn_program_set_input(fast, "input", x), SENET_OK);
    float first = 0;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        fill(params, g, seed);
        assert_int_equal(sn_program_run(plain), SENET_OK);
        assert_int_equal(sn_program_run(fast), SENET_OK);
        sn_shape shape;
        const float *a = sn_program_output(plain, "logits", &shape), *b = sn_program_output(fast, "logits", NULL);
        assert_true(shape.n == 2 && shape.h == 6 && shape.w == 6 && shape.c == OUT);
        float sum = 0;
        for (int64_t i = 0; i < sn_shape_elements(shape); i++) {
            assert_float_equal(a[i], b[i], 1e-4); /* sums of 45 products near 1: a few hundred ulp */
            sum += a[i];
        }
        assert_true(sum != first); /* the second set of parameters is seen */
        first = sum;
    }
    sn_program_destroy(plain);
    sn_program_destroy(fast);
    sn_params_destroy(params);
    sn_graph_destroy(folded);
    sn_graph_destroy(g);
}

static void programs_share_a_workspace_and_give_the_same_bits(void **state)
{
    (void)state;
    sn_graph *one = small_network(1), *four = small_network(4);
    sn_params *params = NULL;
    sn_workspace *workspace = NULL;
    float x[4 * 6 * 6 * IN], kept[4 * 6 * 6 * OUT];
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) x[i] = (float)sn_rng_uniform(5, i) - 0.5f;
    assert_int_equal(sn_workspace_create(&workspace), SENET_OK);
    assert_int_equal(sn_params_create(one, SN_FLOAT, &params), SENET_OK);
    fill(params, one, 1);
    sn_program *small = program_of(one, params, 1, workspace), *large = program_of(four, params, 1, workspace);
    assert_int_equal(sn_program_set_input(large, "input", x), SENET_OK);
    assert_int_equal(sn_program_run(large), SENET_OK);
    memcpy(kept, sn_program_output(large, "logits", NULL), sizeof kept);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sn_program_set_input(small, "input", x + i * 6 * 6 * IN), SENET_OK);
        assert_int_equal(sn_program_run(small), SENET_OK);
        assert_memory_equal(sn_program_output(small, "logits", NULL), kept + i * 6 * 6 * OUT, 6 * 6 * OUT * sizeof(float));
    }
    for (int threads = 2; threads <= 3; threads++) {
        sn_program *threaded = program_of(four, params, threads, NULL);
        assert_int_equal(sn_program_set_input(threaded, "input", x), SENET_OK);
        assert_int_equal(sn_program_run(threaded), SENET_OK);
        assert_memory_equal(sn_program_output(threaded, "logits", NULL), kept, sizeof kept);
        sn_program_destroy(threaded);
    }
    sn_program_destroy(small);
    sn_program_destroy(large);
    sn_workspace_destroy(workspace);
    sn_params_destroy(params);
    sn_graph_destroy(one);
    sn_graph_destroy(four);
}

/* Large maps make the program cut a batch into groups, with one image left over; kernels may compute a squeeze beside. */
static void an_image_has_its_bits_in_every_batch(void **state)
{
    (void)state;
    enum { BATCH = 5, SIDE = 128, CLASSES = 10 };
    static const char *const networks[] = {"se_cifar_resnet8", "se_cifar_resnet8:place=pre,squeeze=max",
                                           "se_cifar_preresnet8"};
    static float x[BATCH * SIDE * SIDE * 3], all[BATCH * CLASSES];
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) x[i] = (float)sn_rng_uniform(7, i) - 0.5f;
    for (size_t n = 0; n < sizeof networks / sizeof *networks; n++) {
        sn_params *params = NULL;
        for (int64_t batch = BATCH; batch >= 1; batch -= BATCH - 1) {
            sn_spec spec;
            sn_graph *plain = NULL, *graph = NULL;
            sn_build_options build = {.mode = SN_MODE_EVAL, .batch = batch, .height = SIDE, .width = SIDE,
                                      .input = SN_INPUT_REAL, .no_fuse = true};
            assert_int_equal(sn_spec_parse(networks[n], &spec), SENET_OK);
            assert_int_equal(sn_model_build(&spec, &build, &plain), SENET_OK);
            assert_int_equal(sn_graph_fold_batch_norm(plain, &graph), SENET_OK);
            if (!params) {
                size_t total;
                assert_int_equal(sn_params_create(graph, SN_FLOAT, &params), SENET_OK);
                float *values = sn_params_block(params, NULL, &total);
                for (size_t i = 0; i < total; i++) values[i] = 0.5f * (float)sn_rng_uniform(8, i) - 0.2f;
                for (size_t i = 0; i < graph->params_count; i++) /* variances are positive */
                    for (int64_t k = 0; graph->params[i].kind == SN_PARAM_BN_VAR && k < graph->params[i].dims[0]; k++)
                        ((float *)sn_params_data(params, (int)i))[k] = 1 + (float)sn_rng_uniform(9, (uint64_t)k);
            }
            sn_program *program = program_of(graph, params, 2, NULL);
            for (int64_t first = 0; first < BATCH; first += batch) {
                assert_int_equal(sn_program_set_input(program, "input", x + first * SIDE * SIDE * 3), SENET_OK);
                assert_int_equal(sn_program_run(program), SENET_OK);
                const float *logits = sn_program_output(program, "logits", NULL);
                if (batch == BATCH)
                    memcpy(all, logits, sizeof all);
                else
                    assert_memory_equal(logits, all + first * CLASSES, CLASSES * sizeof(float));
                assert_true(logits[0] != logits[1]);
            }
            sn_program_destroy(program);
            sn_graph_destroy(graph);
            sn_graph_destroy(plain);
        }
        sn_params_destroy(params);
    }
}

static void memory_that_the_machine_lacks_is_refused_with_the_numbers(void **state)
{
    (void)state;
    sn_graph *g = small_network(100000000000);
    sn_params *params = NULL;
    sn_program *program = NULL;
    assert_int_equal(sn_params_create(g, SN_FLOAT, &params), SENET_OK);
    sn_program_options options = {.threads = 1, .params = params};
    assert_int_equal(sn_program_create(g, &options, &program), SENET_USAGE);
    assert_non_null(strstr(senet_last_error(), "a batch of 100000000000 needs"));
    assert_null(program);
    options.threads = 5000;
    assert_int_equal(sn_program_create(g, &options, &program), SENET_USAGE);
    sn_params_destroy(params);
    sn_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_keep_file_order),
        cmocka_unit_test(an_unbound_or_unknown_input_is_named),
        cmocka_unit_test(folding_follows_the_parameters),
        cmocka_unit_test(programs_share_a_workspace_and_give_the_same_bits),
        cmocka_unit_test(an_image_has_its_bits_in_every_batch),
        cmocka_unit_test(memory_that_the_machine_lacks_is_refused_with_the_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
