/* test_own_network.c - the example of docs/your-own-network.md keeps working: names, counts, options, gradients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "zoo/family.h"

extern const sn_family sn_family_tiny; /* families.def declares those of the library */
#include "../../examples/own_network/tiny.c"

/* What the parser makes of "tiny32" and "se_tiny32" where the family is in families.def. */
static sn_spec spec_of(bool se)
{
    sn_spec spec = {.base = "tiny32", .se = se, .family = &sn_family_tiny, .native_size = 32, .numbers = {32}};
    sn_option_set_defaults(&spec);
    return spec;
}

static sn_graph *build_graph(const sn_spec *spec, sn_mode mode)
{
    sn_graph *graph;
    sn_build_options options = {.mode = mode, .batch = 2, .loss = mode != SN_MODE_EVAL};
    if (sn_model_build(spec, &options, &graph) != SENET_OK) fail_msg("%s", senet_last_error());
    return graph;
}

static int64_t count_params(const sn_spec *spec)
{
    int64_t learnable, statistics;
    sn_graph *graph = build_graph(spec, SN_MODE_EVAL);
    sn_graph_count_params(graph, &learnable, &statistics);
    sn_graph_destroy(graph);
    return learnable;
}

static void test_counts(void **state)
{
    (void)state;
    /* 3x3 weights, batch norms, classifier */
    int64_t plain = 9 * (3 * 32 + 3 * 32 * 32) + 4 * 2 * 32 + (32 + 1) * 10;
    sn_spec spec = spec_of(false);
    assert_int_equal(count_params(&spec), plain);
    /* and four blocks of two layers with biases, 2 = 32 / 16 wide inside */
    spec = spec_of(true);
    assert_int_equal(count_params(&spec), plain + 4 * (32 * 2 + 2 + 2 * 32 + 32));
    assert_int_equal(sn_option_set(&spec, SN_OPTION_R, "4"), SENET_OK);
    assert_int_equal(count_params(&spec), plain + 4 * (32 * 8 + 8 + 8 * 32 + 32));
}

/* The names that the text promises: tensors of a weights file, nodes for taps. */
static void test_names(void **state)
{
    (void)state;
    static const char *const params[] = {"layer1.conv.weight", "layer1.bn.running_var", "layer4.se.fc2.bias",
                                         "fc.weight"};
    static const char *const nodes[] = {"layer1.se.gate", "layer4.se.gate", "layer1", "layer4", "fc"};
    sn_spec spec = spec_of(true);
    sn_graph *graph = build_graph(&spec, SN_MODE_EVAL);
    for (size_t i = 0; i < sizeof params / sizeof *params; i++)
        if (sn_graph_find_param(graph, params[i]) < 0) fail_msg("no parameter '%s'", params[i]);
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        if (sn_graph_find_node(graph, nodes[i]) == SN_NONE) fail_msg("no node '%s'", nodes[i]);
    sn_graph_destroy(graph);
}

static void test_gradients(void **state)
{
    (void)state;
    sn_spec spec = spec_of(true);
    sn_graph *graph = build_graph(&spec, SN_MODE_TRAIN);
    assert_int_equal(sn_graph_add_gradients(graph, sn_graph_find_output(graph, "loss")), SENET_OK);
    for (size_t i = 0; i < graph->params_count; i++)
        assert_true(!graph->params[i].learnable || graph->params[i].gradient != SN_NONE);
    sn_graph_destroy(graph);
}

static void test_refusal(void **state)
{
    (void)state;
    sn_spec spec = spec_of(false);
    spec.numbers[0] = 5000;
    assert_int_equal(sn_family_tiny.check(&spec), SENET_USAGE);
    assert_non_null(strstr(senet_last_error(), "width 5000 is not between 1 and 4096"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
