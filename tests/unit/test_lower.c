/* The pass to bf16: which tensors of a network become narrow, for inference and with gradients; and lowered networks against
 * themselves in float. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "graph/lower.h"
#include "ops/op.h"
#include "train/train.h"
#include "zoo/zoo.h"

enum { BATCH = 2, CLASSES = 10, THREADS = 2 };

typedef struct network {
    const char *name;
    int64_t side;
} network;

/* Every kind of block: basic and bottleneck, squeezes with and without one, branches, groups, depthwise, shuffles, concatenations. */
static const network networks[] = {
    {"se_cifar_resnet8", 32},      {"se_cifar_resnet8:squeeze=max", 32}, {"se_cifar_resnet8:squeeze=none", 32},
    {"se_cifar_preresnet8", 32},   {"se_shake_shake26_2x16d", 32},       {"se_shake_even29_2x4x16d", 32},
    {"se_mobilenet:width=0.25", 64}, {"se_shufflenet_g3", 64},           {"se_bn_inception", 64},
};
enum { NETWORKS = sizeof networks / sizeof networks[0] };

static void expect_ok(const network *n, senet_status status)
{
    if (status != SENET_OK) fail_msg("%s: %s", n->name, senet_last_error());
}

static sn_graph *build(const network *n, sn_mode mode)
{
    sn_spec spec;
    sn_graph *graph = NULL;
    expect_ok(n, sn_spec_parse(n->name, &spec));
    spec.classes = CLASSES;
    sn_build_options options = {.mode = mode, .batch = BATCH, .height = n->side, .width = n->side, .loss = mode != SN_MODE_EVAL};
    expect_ok(n, sn_model_build(&spec, &options, &graph));
    return graph;
}

static sn_graph *build_inference(const network *n)
{
    sn_graph *graph = build(n, SN_MODE_EVAL), *folded = NULL;
    expect_ok(n, sn_graph_fold_batch_norm(graph, &folded));
    sn_graph_destroy(graph);
    return folded;
}

static sn_graph *build_training(const network *n)
{
    sn_graph *graph = build(n, SN_MODE_TRAIN), *fused = NULL;
    expect_ok(n, sn_graph_add_gradients(graph, sn_graph_find_output(graph, "loss")));
    expect_ok(n, sn_graph_fuse(graph, &fused));
    sn_graph_destroy(graph);
    return fused;
}

/* Lowers the graph and looks at what no pass may change: the graph that was given, parameters, integers, outputs. */
static sn_graph *lower(const network *n, const sn_graph *graph)
{
    sn_graph *lowered = NULL;
    expect_ok(n, sn_graph_lower_bf16(graph, &lowered));
    for (size_t i = 0; i < graph->nodes_count; i++) assert_false(sn_dtype_is_narrow(graph->nodes[i].dtype));
    assert_int_equal(lowered->params_count, graph->params_count);
    assert_int_equal(lowered->outputs_count, graph->outputs_count);
    for (size_t i = 0; i < lowered->nodes_count; i++) {
        const sn_node *node = &lowered->nodes[i];
        if (i < graph->nodes_count) assert_int_equal(node->op, graph->nodes[i].op);
        if (i < graph->nodes_count && graph->nodes[i].dtype != SN_REAL) assert_int_equal(node->dtype, graph->nodes[i].dtype);
        if (node->op == SN_OP_param || node->op == SN_OP_input) assert_false(sn_dtype_is_narrow(node->dtype));
    }
    for (size_t i = 0; i < lowered->outputs_count; i++) {
        assert_string_equal(lowered->outputs[i].name, graph->outputs[i].name);
        if (lowered->nodes[lowered->outputs[i].node].dtype != SN_REAL) fail_msg("%s: %s is narrow", n->name, lowered->outputs[i].name);
    }
    return lowered;
}

/* Whether the node is computed from pictures, not from parameters alone. */
static bool sees_pictures(const sn_graph *graph, const sn_node *node)
{
    if (node->op == SN_OP_input) return true;
    for (int k = 0; k < node->inputs_count; k++)
        if (node->inputs[k] != SN_NONE && sees_pictures(graph, &graph->nodes[node->inputs[k]])) return true;
    return false;
}

static bool is_map(const sn_node *node) { return node->op != SN_OP_input && node->shape.h * node->shape.w > 1; }

static void maps_are_narrow_and_vectors_real(void **state)
{
    (void)state;
    for (const network *n = networks; n < networks + NETWORKS; n++) {
        sn_graph *graph = build_inference(n), *lowered = lower(n, graph);
        for (size_t i = 0; i < graph->nodes_count; i++) {
            const sn_node *node = &lowered->nodes[i];
            const char *title = node->name ? node->name : sn_op_of(node->op)->name;
            if (is_map(node) && sees_pictures(lowered, node) && node->dtype != SN_BF16) fail_msg("%s: the map %s is not bf16", n->name, title);
            if ((node->op == SN_OP_squeeze_avg || node->op == SN_OP_squeeze_max) && node->dtype != SN_REAL)
                fail_msg("%s: the squeeze %s is narrow", n->name, title);
        }
        sn_graph_destroy(lowered);
        sn_graph_destroy(graph);
    }
}

/* What batch norm and an optimiser accumulate stays real; gradients of maps are maps. */
static void gradients_of_parameters_are_real(void **state)
{
    (void)state;
    for (const network *n = networks; n < networks + NETWORKS; n++) {
        sn_graph *graph = build_training(n), *lowered = lower(n, graph);
        for (size_t i = 0; i < lowered->params_count; i++) {
            const sn_param *param = &lowered->params[i];
            if (!param->learnable) continue;
            assert_int_not_equal(param->gradient, SN_NONE);
            const sn_node *gradient = &lowered->nodes[param->gradient];
            if (gradient->dtype != SN_REAL) fail_msg("%s: the gradient of %s is narrow", n->name, param->name);
            assert_true(sn_shape_equal(gradient->shape, param->shape));
        }
        for (size_t i = 0; i < lowered->nodes_count; i++) {
            const sn_node *node = &lowered->nodes[i];
            bool statistics = node->op == SN_OP_bn_stats || node->op == SN_OP_bn_grad_sums || node->op == SN_OP_channel_sum;
            if (statistics && node->dtype != SN_REAL) fail_msg("%s: sums %s are narrow", n->name, node->name);
            bool gradient = node->op == SN_OP_conv2d_grad_input || node->op == SN_OP_bn_grad_input;
            if (gradient && is_map(node) && node->dtype != SN_BF16) fail_msg("%s: %s is not bf16", n->name, node->name);
        }
        sn_graph_destroy(lowered);
        sn_graph_destroy(graph);
    }
}

/* The logits of a graph, BATCH x CLASSES. */
static void run(const network *n, const sn_graph *graph, sn_params *params, const float *pictures, float *logits)
{
    sn_program *program = NULL;
    sn_program_options options = {.threads = THREADS, .params = params};
    expect_ok(n, sn_program_create(graph, &options, &program));
    expect_ok(n, sn_program_set_input(program, "input", pictures));
    expect_ok(n, sn_program_run(program));
    memcpy(logits, sn_program_output(program, "logits", NULL), BATCH * CLASSES * sizeof *logits);
    sn_program_destroy(program);
}

/* A rounding to bf16 changes a value by up to 2^-9 of its size, and each tensor between the pictures and a logit is rounded once,
 * weights too: errors that know nothing of each other grow as the root of their number.  Five times that holds for logits, which
 * are differences, in each of these networks: a map rounded the other way, as another compiler's or level's sums may make it, moves
 * the error of ShuffleNet, the most sensitive one, between 2.5 and 3.1 times. */
static void lowered_networks_compute_nearly_the_same(void **state)
{
    (void)state;
    for (const network *n = networks; n < networks + NETWORKS; n++) {
        sn_graph *graph = build_inference(n), *lowered = lower(n, graph);
        sn_params *params = NULL;
        float want[BATCH * CLASSES], got[BATCH * CLASSES];
        float *pictures = malloc((size_t)(BATCH * n->side * n->side * 3) * sizeof *pictures);
        assert_non_null(pictures);
        for (int64_t i = 0; i < BATCH * n->side * n->side * 3; i++)
            pictures[i] = (float)(2 * sn_rng_uniform(sn_rng_key(3, SN_RNG_TEST, 0, 0), (uint64_t)i) - 1);
        expect_ok(n, sn_params_create(graph, SN_FLOAT, &params));
        sn_params_init(graph, params, SN_INIT_HE, 1);
        run(n, graph, params, pictures, want);
        run(n, lowered, params, pictures, got);
        double error = 0, size = 0, roundings = 0;
        for (int i = 0; i < BATCH * CLASSES; i++) {
            error += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
            size += (double)want[i] * (double)want[i];
        }
        for (size_t i = 0; i < lowered->nodes_count; i++)
            if (lowered->nodes[i].dtype == SN_BF16) roundings += lowered->nodes[i].op == SN_OP_conv2d ? 2 : 1;
        double relative = sqrt(error / size), allowed = 5 * ldexp(1, -9) * sqrt(roundings);
        printf("%s: relative error %.2g, allowed %.2g\n", n->name, relative, allowed);
        if (!(relative <= allowed)) fail_msg("%s: off by %.3g of the logits, allowed %.3g", n->name, relative, allowed);
        assert_true(error > 0); /* it did run on bf16 */
        free(pictures);
        sn_params_destroy(params);
        sn_graph_destroy(lowered);
        sn_graph_destroy(graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_are_narrow_and_vectors_real),
        cmocka_unit_test(gradients_of_parameters_are_real),
        cmocka_unit_test(lowered_networks_compute_nearly_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
