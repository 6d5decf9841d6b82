/* Which batch norms of a training graph join the scale or the sum behind them, and which are written because something else reads
 * them.  That a step's numbers are the same, the golden training files say (tests/golden). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "graph/graph.h"
#include "zoo/zoo.h"

static sn_graph *training_graph(const char *name, const char *tap)
{
    sn_spec spec;
    sn_graph *graph = NULL, *fused = NULL;
    if (sn_spec_parse(name, &spec) != SENET_OK) fail_msg("%s: %s", name, senet_last_error());
    sn_build_options options = {.mode = SN_MODE_TRAIN, .batch = 2, .height = 64, .width = 64, .loss = true};
    if (sn_model_build(&spec, &options, &graph) != SENET_OK) fail_msg("%s: %s", name, senet_last_error());
    if (tap) assert_int_equal(sn_graph_add_output(graph, tap, sn_graph_find_node(graph, tap)), SENET_OK);
    assert_int_equal(sn_graph_add_gradients(graph, sn_graph_find_output(graph, "loss")), SENET_OK);
    if (sn_graph_fuse(graph, &fused) != SENET_OK) fail_msg("%s: %s", name, senet_last_error());
    sn_graph_destroy(graph);
    return fused;
}

/* Batch norms without an activation that are written as maps, and those of which only the rows are left. */
static void count_norms(const char *name, const char *tap, int *written, int *joined)
{
    sn_graph *graph = training_graph(name, tap);
    *written = *joined = 0;
    for (size_t i = 0; i < graph->nodes_count; i++) {
        const sn_node *node = &graph->nodes[i];
        *joined += node->op == SN_OP_bn_affine;
        *written += node->op == SN_OP_bn_apply && node->attrs.u.norm.activation == SN_IDENTITY && node->shape.h > 1;
    }
    sn_graph_destroy(graph);
}

static void the_last_batch_norm_of_every_block_joins(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int written, joined;
    } expected[] = {
        {"cifar_resnet8", 0, 3},    {"se_cifar_resnet8", 0, 3},    {"se_cifar_resnet8:squeeze=max", 3, 0}, /* the maximum reads it */
        {"se_cifar_resnet8:squeeze=none", 3, 0},                   /* so do the layers of the excitation */
        {"resnet50", 4, 16},        {"se_resnet50", 4, 16},        /* of two that are added, the shortcut's is written */
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        int written, joined;
        count_norms(expected[i].name, NULL, &written, &joined);
        if (written != expected[i].written || joined != expected[i].joined)
            fail_msg("%s: %d batch norms are written, %d joined; expected %d and %d", expected[i].name, written, joined,
                     expected[i].written, expected[i].joined);
    }
}

static void what_an_output_names_is_written(void **state)
{
    (void)state;
    int written, joined;
    count_norms("se_cifar_resnet8", "layer1.0.bn2", &written, &joined);
    assert_int_equal(written, 1);
    assert_int_equal(joined, 2);
}

/* The squeeze reads the convolution's output, where a kernel can sum it, and is normalised afterwards. */
static void the_squeeze_is_normalized_as_a_row(void **state)
{
    (void)state;
    sn_graph *graph = training_graph("se_cifar_resnet8", NULL);
    int rows = 0;
    for (size_t i = 0; i < graph->nodes_count; i++) {
        const sn_node *node = &graph->nodes[i];
        if (node->op != SN_OP_bn_apply || node->shape.h * node->shape.w > 1) continue;
        const sn_node *squeeze = &graph->nodes[node->inputs[0]];
        assert_int_equal(squeeze->op, SN_OP_squeeze_avg);
        assert_int_equal(graph->nodes[squeeze->inputs[0]].op, SN_OP_conv2d);
        rows++;
    }
    assert_int_equal(rows, 3);
    sn_graph_destroy(graph);
}

/* Nor is the gradient that a scale hands to the batch norm before it. */
static void the_gradient_of_the_scale_is_not_written(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int written, scaled;
    } expected[] = {{"cifar_resnet8", 0, 0}, {"se_cifar_resnet8", 0, 6}, {"se_cifar_resnet8:squeeze=max", 3, 0}, {"se_cifar_preresnet8", 3, 0}};
    for (size_t k = 0; k < sizeof expected / sizeof expected[0]; k++) {
        sn_graph *graph = training_graph(expected[k].name, NULL);
        int written = 0, scaled = 0;
        for (size_t i = 0; i < graph->nodes_count; i++) {
            const sn_node *node = &graph->nodes[i];
            written += node->op == SN_OP_scale_grad_input;
            scaled += (node->op == SN_OP_bn_grad_sums && node->inputs_count == 7) || (node->op == SN_OP_bn_grad_input && node->inputs_count == 8);
        }
        if (written != expected[k].written || scaled != expected[k].scaled)
            fail_msg("%s: %d gradients of scales are written, %d ops take theirs; expected %d and %d", expected[k].name, written, scaled,
                     expected[k].written, expected[k].scaled);
        sn_graph_destroy(graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_batch_norm_of_every_block_joins),
        cmocka_unit_test(what_an_output_names_is_written),
        cmocka_unit_test(the_squeeze_is_normalized_as_a_row),
        cmocka_unit_test(the_gradient_of_the_scale_is_not_written),
    };
    return cmocka_run_group_tests_name("norms that join", tests, NULL, NULL);
}
