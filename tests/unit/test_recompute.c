/* test_recompute.c - a training step that computes again what it does not keep: the same bits as one that keeps
 * everything, nothing that acts done twice, and less memory. */
#include "test_trainee.h"

#include "analysis/complexity_memory.h"
#include "graph/recompute.h"
#include "ops/op.h"

enum { STEPS = 3 };

static const sn_recompute LEVELS[] = {SN_RECOMPUTE_CHEAP, SN_RECOMPUTE_FULL};

/* ---- whole networks ---- */

static void take_gradient(void *context, int index, const void *gradient)
{
    trainee *t = context;
    sn_sgd_step_param(&t->plan, &t->config, t->config.lr, THREADS, t->params, t->velocity, index, gradient);
}

/* A few steps with weight decay and momentum; losses[step]. */
static void train(const char *model, sn_network_options how, trainee *t, double *losses)
{
    how.take_context = t;
    if (how.recompute != SN_RECOMPUTE_NONE) how.take_gradient = take_gradient;
    start(model, &how, t);
    t->config.momentum = 0.9;
    t->config.weight_decay = 1e-4;
    t->config.lr = 0.01;
    sn_update_plan_free(&t->plan);
    expect_ok(model, sn_update_plan_create(sn_network_graph(t->network), t->params, &t->config, &t->plan));
    for (int step = 0; step < STEPS; step++) {
        losses[step] = run(model, t);
        if (how.recompute == SN_RECOMPUTE_NONE)
            sn_sgd_step(&t->plan, &t->config, t->config.lr, THREADS, t->params, t->velocity, t->gradients);
    }
}

static void expect_same(const char *model, const char *what, const sn_params *a, const sn_params *b)
{
    size_t total;
    const float *x = sn_params_block(a, NULL, &total), *y = sn_params_block(b, NULL, NULL);
    for (size_t i = 0; i < total; i++)
        if (memcmp(&x[i], &y[i], sizeof *x) != 0)
            fail_msg("%s: element %zu of the %s is %.9g, without recomputation %.9g", model, i, what, (double)y[i],
                     (double)x[i]);
}

/* Running statistics are parameters too: twice updated they would differ. */
static void expect_same_training(const char *model, senet_precision precision)
{
    trainee plain, again;
    double plain_losses[STEPS], losses[STEPS];
    train(model, (sn_network_options){.precision = precision}, &plain, plain_losses);
    for (size_t i = 0; i < sizeof LEVELS / sizeof *LEVELS; i++) {
        train(model, (sn_network_options){.precision = precision, .recompute = LEVELS[i]}, &again, losses);
        if (sn_network_graph(again.network)->nodes_count <= sn_network_graph(plain.network)->nodes_count)
            fail_msg("%s: nothing is computed again", model);
        expect_same(model, "parameters", plain.params, again.params);
        expect_same(model, "velocities", plain.velocity, again.velocity);
        for (int step = 0; step < STEPS; step++)
            if (losses[step] != plain_losses[step])
                fail_msg("%s: loss %.17g, without recomputation %.17g", model, losses[step], plain_losses[step]);
        stop(&again);
    }
    stop(&plain);
}

/* Trunks after and before the activation, concatenations, two kinds of Shake units, dropout, a chain without a trunk,
 * gates in every place, grouped and depthwise convolutions, shuffled channels. */
static void networks_train_to_the_same_bits(void **state)
{
    (void)state;
    static const char *const models[] = {
        "se_resnet50",
        "se_cifar_preresnet20",
        "se_bn_inception",
        "se_cifar_resnet20:place=identity,squeeze=max",
        "se_wrn16_8:squeeze=none",
        "senet154",
        "se_shake_shake26_2x96d",
        "se_shake_even29_2x4x64d",
        "se_vgg16_bn",
        "se_mobilenet",
        "se_shufflenet_g3",
        "inception_resnet_v2",
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) expect_same_training(models[i], SENET_FP32);
}

static void so_do_narrow_ones(void **state)
{
    (void)state;
    expect_same_training("se_resnet50", SENET_BF16);
    expect_same_training("se_cifar_preresnet20", SENET_BF16);
}

/* ---- memory ---- */

static size_t arena(const sn_spec *spec, int64_t batch, sn_recompute recompute)
{
    sn_memory_needs needs;
    expect_ok(spec->base, sn_memory_needs_plan(spec, batch, 0, 0, 1, recompute, &needs));
    if (recompute != SN_RECOMPUTE_NONE) {
        assert_int_equal(needs.gradients, 0);
        assert_int_equal(needs.training.packed, 0);
    }
    assert_true(needs.momentum > 0);
    return needs.training.arena;
}

/* The tensors of a residual network of n units need about the root of n of what they do: far below a third at 54 units.
 * Where only passes are computed again, what convolutions gave is left: up to five sixths, as the batch norm at a unit's end is
 * not written in either case. */
static void less_memory_is_planned(void **state)
{
    (void)state;
    static const char *const models[] = {"se_cifar_preresnet110", "se_cifar_resnet110", "se_bn_inception",
                                         "se_resnet50"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        sn_spec spec;
        expect_ok(models[i], sn_spec_parse(models[i], &spec));
        size_t none = arena(&spec, 16, SN_RECOMPUTE_NONE), cheap = arena(&spec, 16, SN_RECOMPUTE_CHEAP),
               full = arena(&spec, 16, SN_RECOMPUTE_FULL);
        if (cheap > none / 20 * 17 || full > none / 3)
            fail_msg("%s: %zu bytes, %zu where passes are computed again, %zu where convolutions are", models[i], none,
                     cheap, full);
    }
}

/* ---- graphs ---- */

/* Three times convolution, batch norm with ReLU, dropout of a map, and pooling; each map is all that the rest reads. */
static sn_graph *chain(void)
{
    sn_graph *graph = NULL, *fused = NULL;
    sn_builder b;
    expect_ok("chain", sn_graph_create(2, &graph));
    sn_builder_start(&b, graph, SN_MODE_TRAIN);
    sn_id x = sn_build_input(&b, "input", SN_REAL, (sn_shape){2, 16, 16, 3});
    for (int i = 0; i < 3; i++) {
        size_t outer = sn_build_enter(&b, "layer%d", i);
        x = sn_build_conv(&b, x, "conv", (sn_conv_config){.out = 8, .kernel = 3});
        x = sn_build_relu(&b, sn_build_norm(&b, x, "bn"), "relu");
        x = sn_build_dropout(&b, x, 0.3f, "drop");
        x = sn_build_pool(&b, x, (sn_pool_attrs){.kind = SN_POOL_MAX, .kernel = 2, .stride = 2}, "pool");
        sn_build_leave(&b, outer);
    }
    x = sn_build_linear(&b, x, "fc", CLASSES);
    sn_id labels = sn_build_input(&b, "labels", SN_I32, (sn_shape){2, 1, 1, 1});
    sn_build_output(&b, "loss", sn_build_node(&b, SN_OP_cross_entropy, (sn_id[]){x, labels}, 2, NULL, "loss"));
    expect_ok("chain", b.status);
    expect_ok("chain", sn_graph_add_gradients(graph, sn_graph_find_output(graph, "loss")));
    expect_ok("chain", sn_graph_fuse(graph, &fused));
    sn_graph_destroy(graph);
    return fused;
}

static int count_op(const sn_graph *graph, sn_op_kind op)
{
    int count = 0;
    for (size_t i = 0; i < graph->nodes_count; i++) count += graph->nodes[i].op == op;
    return count;
}

static sn_graph *again(const sn_graph *graph, sn_recompute_plan plan)
{
    sn_graph *result = NULL;
    expect_ok("recompute", sn_graph_recompute(graph, &plan, &result));
    return result;
}

/* With segments of a byte every map is a cut, so what lies between two of them alone is made again; one as large as the
 * network has no cut. */
static void convolutions_run_again_where_segments_are_cut(void **state)
{
    (void)state;
    sn_graph *graph = chain();
    const int64_t all = sn_graph_map_bytes(graph);
    sn_graph *uncut = again(graph, (sn_recompute_plan){.limit = 3 * all}),
             *halves = again(graph, (sn_recompute_plan){.limit = all / 2}),
             *passes = again(graph, (sn_recompute_plan){.passes = true});
    assert_int_equal(uncut->nodes_count, graph->nodes_count);
    assert_int_equal(count_op(halves, SN_OP_conv2d),
                     count_op(graph, SN_OP_conv2d) + 1); /* the first layer has most bytes */
    assert_int_equal(count_op(passes, SN_OP_conv2d), count_op(graph, SN_OP_conv2d));
    assert_true(count_op(passes, SN_OP_pool2d) >
                count_op(graph, SN_OP_pool2d)); /* its gradient reads it, and the next layer's */
    const sn_graph *made[] = {uncut, halves, passes};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(count_op(made[i], SN_OP_bn_update), 3);
        assert_int_equal(count_op(made[i], SN_OP_bn_stats), 3);
        assert_int_equal(count_op(made[i], SN_OP_input), count_op(graph, SN_OP_input));
    }
    sn_graph_destroy(uncut);
    sn_graph_destroy(halves);
    sn_graph_destroy(passes);
    sn_graph_destroy(graph);
}

/* The gradients of one run, in `gradients`. */
static void run_chain(const sn_graph *graph, sn_params *params, sn_params *gradients)
{
    static float input[2 * 16 * 16 * 3];
    static const int32_t labels[2] = {1, 3};
    static const uint64_t keys[2] = {17, 23};
    sn_program_options options = {.params = params, .gradients = gradients, .threads = THREADS};
    sn_program *program;
    for (size_t i = 0; i < sizeof input / sizeof *input; i++) input[i] = (float)sn_rng_uniform(5, i);
    expect_ok("chain", sn_program_create(graph, &options, &program));
    expect_ok("chain", sn_program_set_input(program, "input", input));
    expect_ok("chain", sn_program_set_input(program, "labels", labels));
    expect_ok("chain", sn_program_set_input(program, "keys", keys));
    expect_ok("chain", sn_program_run(program));
    sn_program_destroy(program);
}

/* Dropout of maps drops the same elements again. */
static void dropout_is_the_same_again(void **state)
{
    (void)state;
    sn_graph *graph = chain();
    const int64_t all = sn_graph_map_bytes(graph);
    sn_params *params[2], *gradients[2];
    for (int i = 0; i < 2; i++) {
        expect_ok("chain", sn_params_create(graph, SN_FLOAT, &params[i]));
        expect_ok("chain", sn_params_create(graph, SN_FLOAT, &gradients[i]));
        sn_params_init(graph, params[i], SN_INIT_HE, 1);
    }
    run_chain(graph, params[0], gradients[0]);
    for (int passes = 0; passes < 2; passes++)
        for (int cuts = 1; cuts <= 16; cuts *= 2) {
            sn_graph *other = again(graph, (sn_recompute_plan){.limit = all / cuts, .passes = passes == 1});
            sn_params_init(graph, params[1], SN_INIT_HE, 1);
            run_chain(other, params[1], gradients[1]);
            expect_same("chain", "gradients", gradients[0], gradients[1]);
            expect_same("chain", "parameters", params[0], params[1]);
            sn_graph_destroy(other);
        }
    for (int i = 0; i < 2; i++) {
        sn_params_destroy(params[i]);
        sn_params_destroy(gradients[i]);
    }
    sn_graph_destroy(graph);
}

/* ---- gradients that are taken ---- */

typedef struct receiver {
    const sn_graph *graph;
    sn_params *copies;
    int *taken; /* by parameter: how often */
} receiver;

static void receive(void *context, int index, const void *gradient)
{
    receiver *r = context;
    const size_t bytes = (size_t)sn_shape_elements(r->graph->params[index].shape) * sizeof(float);
    r->taken[index]++;
    memcpy(sn_params_data(r->copies, index), gradient, bytes);
    memset((void *)(uintptr_t)gradient, 0xff, bytes); /* it is the receiver's last look at it, and nobody's later */
}

/* The weights' gradients are of the run's values even if weights change as soon as theirs is there, and each comes
 * once. */
static void each_gradient_is_taken_once(void **state)
{
    (void)state;
    trainee plain, taker;
    int taken[512] = {0};
    start("se_resnet50", &(sn_network_options){0}, &plain);
    run("se_resnet50", &plain);
    receiver r = {.taken = taken};
    start("se_resnet50", &(sn_network_options){.take_gradient = receive, .take_context = &r}, &taker);
    r.graph = taker.layout;
    r.copies = taker.gradients;
    run("se_resnet50", &taker);
    expect_same("se_resnet50", "gradients", plain.gradients, taker.gradients);
    for (size_t i = 0; i < taker.layout->params_count; i++)
        assert_int_equal(taken[i], taker.layout->params[i].learnable);
    stop(&taker);
    stop(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_train_to_the_same_bits),
        cmocka_unit_test(so_do_narrow_ones),
        cmocka_unit_test(less_memory_is_planned),
        cmocka_unit_test(convolutions_run_again_where_segments_are_cut),
        cmocka_unit_test(dropout_is_the_same_again),
        cmocka_unit_test(each_gradient_is_taken_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
