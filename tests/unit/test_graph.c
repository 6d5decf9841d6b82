/* The graph: shape rules refuse what does not fit with the sizes in the message; passes join what may be joined, keep
 * what is named, and drop what is dead; gradients end at learnable parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "graph/graph.h"
#include "ops/op.h"

static sn_id input(sn_graph *g, const char *name, sn_shape shape)
{
    sn_id id;
    sn_attrs attrs = {.u.source.shape = shape};
    assert_int_equal(sn_graph_add(g, SN_OP_input, NULL, 0, &attrs, name, &id), SENET_OK);
    return id;
}

static sn_id param(sn_graph *g, const char *name, sn_shape shape, bool learnable)
{
    sn_id id;
    sn_param p = {.name = name, .learnable = learnable, .shape = shape, .rank = 1};
    assert_int_equal(sn_graph_add_param(g, &p, &id), SENET_OK);
    return id;
}

static sn_id add(sn_graph *g, sn_op_kind op, const sn_attrs *attrs, const char *name, int count, ...)
{
    sn_id inputs[SN_MAX_INPUTS], id;
    va_list list;
    va_start(list, count);
    for (int i = 0; i < count; i++) inputs[i] = va_arg(list, sn_id);
    va_end(list);
    assert_int_equal(sn_graph_add(g, op, inputs, count, attrs, name, &id), SENET_OK);
    return id;
}

static size_t count_ops(const sn_graph *g, sn_op_kind op)
{
    size_t n = 0;
    for (size_t i = 0; i < g->nodes_count; i++) n += g->nodes[i].op == op;
    return n;
}

static sn_graph *new_graph(void)
{
    sn_graph *g = NULL;
    assert_int_equal(sn_graph_create(2, &g), SENET_OK);
    return g;
}

static const sn_attrs relu = {.u.activation.kind = SN_RELU};
static const sn_attrs conv3x3 = {
    .u.conv = {.stride = 1, .groups = 1, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}};

static void a_wrong_channel_count_is_named_with_both_sizes(void **state)
{
    (void)state;
    sn_graph *g = new_graph();
    sn_id x = input(g, "input", (sn_shape){2, 8, 8, 255});
    sn_id w = param(g, "w", (sn_shape){3, 3, 256, 16}, true), y;
    assert_int_equal(sn_graph_add(g, SN_OP_conv2d, (sn_id[]){x, w}, 2, &conv3x3, "layer3.0.conv2", &y), SENET_USAGE);
    assert_string_equal(senet_last_error(), "conv2d 'layer3.0.conv2': input has 255 channels, weight expects 256");
    sn_graph_destroy(g);
}

static void sums_of_different_shapes_are_refused(void **state)
{
    (void)state;
    sn_graph *g = new_graph();
    sn_id a = input(g, "a", (sn_shape){2, 8, 8, 16}), b = input(g, "b", (sn_shape){2, 4, 4, 16}), y;
    assert_int_equal(sn_graph_add(g, SN_OP_add, (sn_id[]){a, b}, 2, NULL, "sum", &y), SENET_USAGE);
    assert_non_null(strstr(senet_last_error(), "2x4x4x16"));
    assert_non_null(strstr(senet_last_error(), "2x8x8x16"));
    sn_graph_destroy(g);
}

static void tensors_whose_size_overflows_are_refused(void **state)
{
    (void)state;
    sn_graph *g = new_graph();
    sn_id id;
    sn_attrs attrs = {.u.source.shape = {INT64_C(1) << 31, INT64_C(1) << 31, 4, 4}};
    assert_int_not_equal(sn_graph_add(g, SN_OP_input, NULL, 0, &attrs, "huge", &id), SENET_OK);
    sn_graph_destroy(g);
}

/* conv -> scale by a gate -> + shortcut -> ReLU becomes conv, scale_add{relu}. */
static void the_se_tail_becomes_one_node(void **state)
{
    (void)state;
    sn_graph *g = new_graph(), *fused = NULL;
    sn_id x = input(g, "input", (sn_shape){2, 8, 8, 16}), s = input(g, "gate", (sn_shape){2, 1, 1, 16});
    sn_id scaled = add(g, SN_OP_scale_add, NULL, "scale", 2, x, s);
    sn_id sum = add(g, SN_OP_add, NULL, "sum", 2, scaled, x);
    sn_id y = add(g, SN_OP_activation, &relu, "layer1.0", 1, sum);
    sn_id dead = add(g, SN_OP_activation, &relu, "dead", 1, x);
    (void)dead;
    assert_int_equal(sn_graph_add_output(g, "logits", y), SENET_OK);
    assert_int_equal(sn_graph_fuse(g, &fused), SENET_OK);
    assert_int_equal(fused->nodes_count, 3);
    const sn_node *tail = &fused->nodes[sn_graph_find_output(fused, "logits")];
    assert_int_equal(tail->op, SN_OP_scale_add);
    assert_int_equal(tail->attrs.u.activation.kind, SN_RELU);
    assert_string_equal(tail->name, "layer1.0");
    assert_int_not_equal(tail->inputs[2], SN_NONE);
    sn_graph_destroy(fused);
    sn_graph_destroy(g);
}

static void what_an_output_names_is_not_joined_away(void **state)
{
    (void)state;
    sn_graph *g = new_graph(), *fused = NULL;
    sn_id x = input(g, "input", (sn_shape){2, 8, 8, 16});
    sn_id sum = add(g, SN_OP_add, NULL, "sum", 2, x, x);
    sn_id y = add(g, SN_OP_activation, &relu, "relu", 1, sum);
    assert_int_equal(sn_graph_add_output(g, "tap", sum), SENET_OK);
    assert_int_equal(sn_graph_add_output(g, "logits", y), SENET_OK);
    assert_int_equal(sn_graph_fuse(g, &fused), SENET_OK);
    assert_int_equal(count_ops(fused, SN_OP_activation), 1);
    assert_int_equal(fused->nodes[sn_graph_find_output(fused, "tap")].attrs.u.activation.kind, SN_IDENTITY);
    sn_graph_destroy(fused);
    sn_graph_destroy(g);
}

/* conv, batch norm, + shortcut, ReLU becomes one convolution with folded weights. */
static void inference_folds_batch_norm_and_residual_into_the_convolution(void **state)
{
    (void)state;
    sn_graph *g = new_graph(), *folded = NULL;
    sn_id x = input(g, "input", (sn_shape){2, 8, 8, 16});
    sn_id w = param(g, "w", (sn_shape){3, 3, 16, 16}, true);
    sn_shape c = {1, 1, 1, 16};
    sn_id gamma = param(g, "gamma", c, true), beta = param(g, "beta", c, true);
    sn_id mean = param(g, "mean", c, false), var = param(g, "var", c, false);
    sn_attrs norm = {.u.norm.epsilon = 1e-5f};
    sn_id conv = add(g, SN_OP_conv2d, &conv3x3, "conv", 2, x, w);
    sn_id stats = add(g, SN_OP_bn_pack, NULL, "stats", 2, mean, var);
    sn_id bn = add(g, SN_OP_bn_apply, &norm, "bn", 4, conv, stats, gamma, beta);
    sn_id sum = add(g, SN_OP_add, NULL, "sum", 2, bn, x);
    sn_id y = add(g, SN_OP_activation, &relu, "y", 1, sum);
    assert_int_equal(sn_graph_add_output(g, "logits", y), SENET_OK);
    assert_int_equal(sn_graph_fold_batch_norm(g, &folded), SENET_OK);
    const sn_node *last = &folded->nodes[sn_graph_find_output(folded, "logits")];
    assert_int_equal(last->op, SN_OP_conv2d);
    assert_int_equal(last->attrs.u.conv.activation, SN_RELU);
    assert_int_equal(folded->nodes[last->inputs[1]].op, SN_OP_bn_fold_weight);
    assert_int_equal(folded->nodes[last->inputs[3]].op, SN_OP_input);
    assert_int_equal(count_ops(folded, SN_OP_bn_apply), 0);
    assert_int_equal(folded->params_count, g->params_count);
    sn_graph_destroy(folded);
    sn_graph_destroy(g);
}

/* relu(r + 0.1 conv(x)) is one convolution with other weights; relu(r + 0.1 x s) one scale with another gate. */
static void inference_folds_factors_into_weights_and_gates(void **state)
{
    (void)state;
    sn_graph *g = new_graph(), *folded = NULL;
    sn_id x = input(g, "input", (sn_shape){2, 8, 8, 16}), s = input(g, "gate", (sn_shape){2, 1, 1, 16});
    sn_id w = param(g, "w", (sn_shape){3, 3, 16, 16}, true), bias = param(g, "bias", (sn_shape){1, 1, 1, 16}, true);
    sn_attrs tenth = {.u.factor.factor = 0.1};
    sn_id conv = add(g, SN_OP_conv2d, &conv3x3, "conv", 3, x, w, bias);
    sn_id branch = add(g, SN_OP_multiply, &tenth, "conv.factor", 1, conv);
    sn_id y = add(g, SN_OP_activation, &relu, "y", 1, add(g, SN_OP_add, NULL, "sum", 2, x, branch));
    sn_id scale = add(g, SN_OP_scale_add, NULL, "scale", 2, x, s);
    branch = add(g, SN_OP_multiply, &tenth, "scale.factor", 1, scale);
    sn_id z = add(g, SN_OP_activation, &relu, "z", 1, add(g, SN_OP_add, NULL, "sum", 2, branch, x));
    assert_int_equal(sn_graph_add_output(g, "y", y), SENET_OK);
    assert_int_equal(sn_graph_add_output(g, "z", z), SENET_OK);
    assert_int_equal(sn_graph_fold_batch_norm(g, &folded), SENET_OK);
    const sn_node *last = &folded->nodes[sn_graph_find_output(folded, "y")];
    assert_int_equal(last->op, SN_OP_conv2d);
    assert_int_equal(last->attrs.u.conv.activation, SN_RELU);
    for (int k = 1; k <= 2; k++) assert_int_equal(folded->nodes[last->inputs[k]].op, SN_OP_multiply);
    assert_int_equal(folded->nodes[last->inputs[3]].op, SN_OP_input);
    last = &folded->nodes[sn_graph_find_output(folded, "z")];
    assert_int_equal(last->op, SN_OP_scale_add);
    assert_int_equal(last->attrs.u.activation.kind, SN_RELU);
    assert_int_equal(folded->nodes[last->inputs[1]].op, SN_OP_multiply);
    assert_int_equal(folded->nodes[last->inputs[2]].op, SN_OP_input);
    assert_int_equal(count_ops(folded, SN_OP_add), 0);
    sn_graph_destroy(folded);
    sn_graph_destroy(g);
}

static void gradients_reach_learnable_parameters_only(void **state)
{
    (void)state;
    sn_graph *g = new_graph();
    sn_id x = input(g, "input", (sn_shape){2, 1, 1, 16});
    sn_attrs labels_of = {.u.source = {.shape = {2, 1, 1, 1}, .dtype = SN_I32}}, loss_of = {.u.loss.smoothing = 0};
    sn_attrs conv1x1 = {.u.conv = {.stride = 1, .groups = 1}};
    sn_id labels = add(g, SN_OP_input, &labels_of, "labels", 0);
    sn_id fixed = param(g, "fixed", (sn_shape){1, 1, 16, 16}, false);
    sn_id free_w = param(g, "free", (sn_shape){1, 1, 16, 10}, true);
    sn_id hidden = add(g, SN_OP_conv2d, &conv1x1, "hidden", 2, x, fixed);
    sn_id logits = add(g, SN_OP_conv2d, &conv1x1, "fc", 2, hidden, free_w);
    sn_id loss = add(g, SN_OP_cross_entropy, &loss_of, "loss", 2, logits, labels);
    assert_int_equal(sn_graph_add_gradients(g, loss), SENET_OK);
    assert_int_equal(g->params[0].gradient, SN_NONE);
    assert_int_equal(g->nodes[g->params[1].gradient].op, SN_OP_conv2d_grad_weight);
    assert_int_equal(count_ops(g, SN_OP_conv2d_grad_input), 0); /* nothing learnable lies before the classifier */
    sn_graph_destroy(g);
}

/* y = conv2(relu(conv1(x)) + x'): x' is read twice, so its gradient is a sum, which a convolution's gradient writes. */
static void the_sum_of_a_maps_gradients_joins_a_convolution(void **state)
{
    (void)state;
    sn_graph *g = new_graph(), *fused = NULL;
    sn_id x = input(g, "x", (sn_shape){2, 4, 4, 3}), stem = param(g, "stem", (sn_shape){3, 3, 3, 8}, true),
          w1 = param(g, "w1", (sn_shape){3, 3, 8, 8}, true), w2 = param(g, "w2", (sn_shape){4, 4, 8, 5}, true);
    sn_attrs whole = {.u.conv = {.stride = 1, .groups = 1}}, plain = {0},
             classes = {.u.source = {.shape = {2, 1, 1, 1}, .dtype = SN_I32}};
    sn_id trunk = add(g, SN_OP_conv2d, &conv3x3, "stem", 2, x, stem),
          branch = add(g, SN_OP_conv2d, &conv3x3, "conv", 2, trunk, w1),
          sum = add(g, SN_OP_add, &plain, "sum", 2, branch, trunk),
          logits = add(g, SN_OP_conv2d, &whole, "logits", 2, sum, w2),
          labels = add(g, SN_OP_input, &classes, "labels", 0),
          loss = add(g, SN_OP_cross_entropy, &plain, "loss", 2, logits, labels);
    assert_int_equal(sn_graph_add_output(g, "loss", loss), SENET_OK);
    assert_int_equal(sn_graph_add_gradients(g, loss), SENET_OK);
    assert_int_equal(count_ops(g, SN_OP_add), 2);
    assert_int_equal(sn_graph_fuse(g, &fused), SENET_OK);
    assert_int_equal(count_ops(fused, SN_OP_add), 1); /* the forward sum: not a matter of this pass */
    const sn_node *joined = NULL;
    for (size_t i = 0; i < fused->nodes_count; i++)
        if (fused->nodes[i].op == SN_OP_conv2d_grad_input && fused->nodes[i].inputs_count == 4)
            joined = &fused->nodes[i];
    assert_non_null(joined);
    assert_int_equal(joined->inputs[2], SN_NONE);
    assert_int_equal(fused->nodes[joined->inputs[3]].op,
                     SN_OP_conv2d_grad_input); /* of the logits: the shortcut's share */
    sn_graph_destroy(fused);
    sn_graph_destroy(g);
}

static void outputs_and_parameters_have_one_name_each(void **state)
{
    (void)state;
    sn_graph *g = new_graph();
    sn_id x = input(g, "input", (sn_shape){2, 1, 1, 16}), id;
    assert_int_equal(sn_graph_add_output(g, "logits", x), SENET_OK);
    assert_int_equal(sn_graph_add_output(g, "logits", x), SENET_USAGE);
    param(g, "w", (sn_shape){1, 1, 1, 16}, true);
    sn_param again = {.name = "w", .shape = {1, 1, 1, 16}};
    assert_int_equal(sn_graph_add_param(g, &again, &id), SENET_INTERNAL);
    assert_int_equal(sn_graph_add_output(g, "other", 99), SENET_INTERNAL);
    sn_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_channel_count_is_named_with_both_sizes),
        cmocka_unit_test(sums_of_different_shapes_are_refused),
        cmocka_unit_test(tensors_whose_size_overflows_are_refused),
        cmocka_unit_test(the_se_tail_becomes_one_node),
        cmocka_unit_test(what_an_output_names_is_not_joined_away),
        cmocka_unit_test(the_sum_of_a_maps_gradients_joins_a_convolution),
        cmocka_unit_test(inference_folds_batch_norm_and_residual_into_the_convolution),
        cmocka_unit_test(inference_folds_factors_into_weights_and_gates),
        cmocka_unit_test(gradients_reach_learnable_parameters_only),
        cmocka_unit_test(outputs_and_parameters_have_one_name_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
