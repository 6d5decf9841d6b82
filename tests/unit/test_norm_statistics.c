/* test_norm_statistics.c - which steps of a training program gather batch norm's statistics beside their output: those whose kernels
 * can, so that no pass over a map is left for them.  That the numbers are true, tests/kernels and tests/golden say; here, that
 * threads change no bit of what a step learns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "cpu/cpu.h"
#include "exec/exec.h"
#include "zoo/zoo.h"

enum { BATCH = 5, SIDE = 32 };

typedef struct trained {
    sn_graph *graph;
    sn_params *params, *gradients;
    sn_program *program;
} trained;

static void destroy(trained *t)
{
    sn_program_destroy(t->program);
    sn_params_destroy(t->params);
    sn_params_destroy(t->gradients);
    sn_graph_destroy(t->graph);
}

static void train_once(const char *name, int threads, bool reference, trained *t)
{
    sn_spec spec;
    sn_graph *graph = NULL;
    memset(t, 0, sizeof *t);
    if (sn_spec_parse(name, &spec) != SENET_OK) fail_msg("%s: %s", name, senet_last_error());
    sn_build_options options = {.mode = SN_MODE_TRAIN, .batch = BATCH, .height = SIDE, .width = SIDE, .input = SN_INPUT_REAL, .loss = true};
    if (sn_model_build(&spec, &options, &graph) != SENET_OK) fail_msg("%s: %s", name, senet_last_error());
    assert_int_equal(sn_graph_add_gradients(graph, sn_graph_find_output(graph, "loss")), SENET_OK);
    assert_int_equal(sn_graph_fuse(graph, &t->graph), SENET_OK);
    sn_graph_destroy(graph);
    assert_int_equal(sn_params_create(t->graph, SN_FLOAT, &t->params), SENET_OK);
    assert_int_equal(sn_params_create(t->graph, SN_FLOAT, &t->gradients), SENET_OK);
    size_t learnable, total;
    float *values = sn_params_block(t->params, &learnable, &total);
    uint64_t key = sn_rng_key(1, SN_RNG_TEST, 0, 0);
    for (size_t i = 0; i < total; i++) values[i] = (float)(0.2 * sn_rng_uniform(key, i)) + (i < learnable ? -0.1f : 0.5f);
    sn_params_changed(t->params);
    sn_program_options run = {.precision = SN_FLOAT, .threads = threads, .reference_only = reference, .params = t->params,
                              .gradients = t->gradients};
    if (sn_program_create(t->graph, &run, &t->program) != SENET_OK) fail_msg("%s: %s", name, senet_last_error());
    static float x[BATCH * SIDE * SIDE * 3];
    static int32_t labels[BATCH] = {3, 1, 4, 1, 5};
    for (size_t i = 0; i < sizeof x / sizeof x[0]; i++) x[i] = (float)sn_rng_uniform(key, total + i);
    for (size_t i = 0; i < t->graph->nodes_count; i++) {
        const sn_node *node = &t->graph->nodes[i];
        if (node->op != SN_OP_input) continue;
        const void *data = node->dtype == SN_I32 ? (const void *)labels : (const void *)x;
        assert_int_equal(sn_program_set_input(t->program, node->name, data), SENET_OK);
    }
    if (sn_program_run(t->program) != SENET_OK) fail_msg("%s: %s", name, senet_last_error());
}

static int steps_of(const trained *t, sn_op_kind op)
{
    size_t count;
    int found = 0;
    const sn_step_profile *steps = sn_program_profile_steps(t->program, &count);
    for (size_t i = 0; i < count; i++) found += steps[i].node->op == op;
    return found;
}

static int nodes_of(const trained *t, sn_op_kind op)
{
    int found = 0;
    for (size_t i = 0; i < t->graph->nodes_count; i++) found += t->graph->nodes[i].op == op;
    return found;
}

static const char *const networks[] = {"se_cifar_resnet20", "cifar_resnet20", "se_cifar_preresnet20", "cifar_preresnet20"};

static void no_pass_is_left_for_statistics(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        trained t;
        train_once(networks[i], 2, false, &t);
        assert_true(nodes_of(&t, SN_OP_bn_stats) >= 19);
        if (steps_of(&t, SN_OP_bn_stats) != 0) fail_msg("%s: %d passes for statistics", networks[i], steps_of(&t, SN_OP_bn_stats));
        destroy(&t);
        train_once(networks[i], 2, true, &t); /* the plain kernels give none */
        assert_int_equal(steps_of(&t, SN_OP_bn_stats), nodes_of(&t, SN_OP_bn_stats));
        destroy(&t);
    }
}

static void threads_change_no_bit_of_a_step(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        trained one;
        train_once(networks[i], 1, false, &one);
        for (int threads = 2; threads <= 3; threads++) {
            trained more;
            size_t learnable, total;
            train_once(networks[i], threads, false, &more);
            const float *gradients = sn_params_block(one.gradients, &learnable, &total);
            assert_memory_equal(gradients, sn_params_block(more.gradients, &learnable, &total), learnable * sizeof(float));
            const float *values = sn_params_block(one.params, &learnable, &total); /* running statistics too */
            assert_memory_equal(values, sn_params_block(more.params, &learnable, &total), total * sizeof(float));
            destroy(&more);
        }
        destroy(&one);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_pass_is_left_for_statistics), cmocka_unit_test(threads_change_no_bit_of_a_step)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
