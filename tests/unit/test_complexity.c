/* test_complexity.c - the paper's complexity figures against ours, and memory that is planned without being taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/complexity.h"
#include "analysis/complexity_memory.h"
#include "exec/exec.h"

/* ---- figures ---- */

typedef struct figures {
    sn_arena arena;
    sn_complexity_row *rows;
    size_t count;
} figures;

static int count_figures(void **state)
{
    static figures all;
    *state = &all;
    return sn_complexity_compare(&all.arena, &all.rows, &all.count) == SENET_OK ? 0 : -1;
}

static int free_figures(void **state)
{
    sn_arena_free(&((figures *)*state)->arena);
    return 0;
}

/* The row's figure of a kind of quantity; the first that fits. */
static const sn_complexity_row *find(const figures *all, const char *table, const char *row, const char *unit)
{
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->rows[i].table, table) == 0 && strcmp(all->rows[i].row, row) == 0 &&
            strcmp(all->rows[i].unit, unit) == 0)
            return &all->rows[i];
    fail_msg("no row '%s' in table %s in %s", row, table, unit);
    return NULL;
}

static void test_tables_are_complete(void **state)
{
    static const struct {
        const char *table;
        int rows;
    } expected[] = {{"1", 21}, {"2", 16}, {"3", 8},         {"10", 6},        {"13", 10},
                    {"15", 4}, {"16", 6}, {"section 4", 8}, {"equation 5", 8}};
    const figures *all = *state;
    size_t sum = 0;
    for (size_t t = 0; t < sizeof expected / sizeof *expected; t++) {
        int rows = 0;
        for (size_t i = 0; i < all->count; i++) rows += strcmp(all->rows[i].table, expected[t].table) == 0;
        if (rows != expected[t].rows) fail_msg("table %s has %d rows", expected[t].table, rows);
        sum += (size_t)rows;
    }
    assert_int_equal(sum, all->count);
}

/* The rows that differ are these, and each says why; all others agree to the digits printed in the paper. */
static void test_what_differs(void **state)
{
    static const char *const known[] = {"2 ResNet-101",
                                        "2 SE-ResNet-101",
                                        "2 ResNet-152",
                                        "2 SE-ResNet-152",
                                        "2 ResNeXt-50",
                                        "2 SE-ResNeXt-50",
                                        "2 ResNeXt-101",
                                        "2 SE-ResNeXt-101",
                                        "2 SE-BN-Inception",
                                        "2 Inception-ResNet-v2",
                                        "2 SE-Inception-ResNet-v2",
                                        "3 ShuffleNet",
                                        "3 ShuffleNet",
                                        "3 SE-ShuffleNet",
                                        "3 SE-ShuffleNet",
                                        "10 r = 8",
                                        "section 4 ResNet-101",
                                        "section 4 ResNet-50"};
    const figures *all = *state;
    size_t differ = 0;
    for (size_t i = 0; i < all->count; i++) {
        const sn_complexity_row *row = &all->rows[i];
        char name[128];
        if (row->equal) continue;
        snprintf(name, sizeof name, "%s %s", row->table, row->row);
        if (differ >= sizeof known / sizeof *known || strcmp(name, known[differ]) != 0)
            fail_msg("table %s: %g against %g", name, row->ours, row->paper);
        if (!row->note) fail_msg("table %s: no reason is given", name);
        differ++;
    }
    assert_int_equal(differ, sizeof known / sizeof *known);
}

static void expect_figure(const figures *all, const char *table, const char *row, const char *unit, double ours,
                          int64_t exact)
{
    const sn_complexity_row *found = find(all, table, row, unit);
    assert_true(found->ours == ours);
    if (exact) assert_int_equal(found->exact, exact);
}

/* Counts written down independently of this project's graphs. */
static void test_figures(void **state)
{
    const figures *all = *state;
    expect_figure(all, "2", "SE-ResNet-50", "G", 3.87, 3866007552);
    expect_figure(all, "2", "ResNet-101", "G", 7.57, 7570194432);
    expect_figure(all, "3", "SE-MobileNet", "M", 572, 571929600);
    expect_figure(all, "10", "r = 4", "M", 35.7, 35669928);
    expect_figure(all, "15", "SE_3x3", "G", 3.86, 3859510272);
    expect_figure(all, "16", "NoSqueeze", "G", 4.27, 4274534400);
    expect_figure(all, "section 4", "SE-ResNet-50", "%", 0.26, 0);
    expect_figure(all, "section 4", "SE-ResNet-50", "M", 2.5, 2514944);
    expect_figure(all, "section 4", "no SE in the last stage", "%", 4, 0);
    assert_string_equal(find(all, "1", "SE-ResNeXt-50, conv3_x", "")->ours_text,
                        "28x28: [1x1 256, 3x3 256 C=32, 1x1 512, fc [32, 512]] x4");
}

/* Equation 5 gives exactly the weights that are counted. */
static void test_equation(void **state)
{
    expect_figure(*state, "equation 5", "SE-ResNet-50, r = 16", "", 2514944, 2514944);
    expect_figure(*state, "equation 5", "SE-ResNet-101, r = 16", "", 4743168, 4743168);
    expect_figure(*state, "equation 5", "SE-ResNet-152, r = 16", "", 6578176, 6578176);
    expect_figure(*state, "equation 5", "without the last stage", "", 942080, 942080);
    assert_int_equal(sn_complexity_equation_5(16, (int[]){1, 0, 0, 0}, (int64_t[]){64, 0, 0, 0}), 512);
}

/* ---- memory ---- */

static sn_memory_needs needs_of(const char *model, int64_t batch, int64_t height, int64_t width)
{
    sn_spec spec;
    sn_memory_needs needs;
    if (sn_spec_parse(model, &spec) != SENET_OK ||
        sn_memory_needs_plan(&spec, batch, height, width, 1, SN_RECOMPUTE_NONE, &needs) != SENET_OK)
        fail_msg("%s: %s", model, senet_last_error());
    return needs;
}

/* What is foretold is what a program takes. */
static void test_memory_is_that_of_a_program(void **state)
{
    (void)state;
    sn_spec spec;
    sn_graph *graph, *folded;
    sn_params *params;
    sn_program *program;
    sn_build_options options = {.mode = SN_MODE_EVAL, .batch = 3, .height = 21, .width = 34};
    assert_int_equal(sn_spec_parse("se_cifar_resnet20", &spec), SENET_OK);
    assert_int_equal(sn_model_build(&spec, &options, &graph), SENET_OK);
    assert_int_equal(sn_graph_fold_batch_norm(graph, &folded), SENET_OK);
    assert_int_equal(sn_params_create(graph, SN_FLOAT, &params), SENET_OK);
    sn_program_options with = {.threads = 1, .params = params};
    assert_int_equal(sn_program_create(folded, &with, &program), SENET_OK);
    sn_memory_use use = sn_program_memory(program);
    sn_memory_needs needs = needs_of("se_cifar_resnet20", 3, 21, 34);
    assert_int_equal(needs.inference.arena, use.arena_bytes);
    assert_int_equal(needs.inference.packed, use.packed_bytes);
    assert_int_equal(needs.weights, use.params_bytes);
    assert_int_equal(sn_memory_needs_inference(&needs), use.arena_bytes + use.packed_bytes + use.params_bytes);
    sn_program_destroy(program);
    sn_params_destroy(params);
    sn_graph_destroy(folded);
    sn_graph_destroy(graph);
}

/* Training keeps the outputs of the layers for the gradients; gradients and momentum are as large as what is learnt. */
static void test_memory_of_training(void **state)
{
    (void)state;
    sn_memory_needs one = needs_of("se_resnet50", 1, 224, 224), four = needs_of("se_resnet50", 4, 224, 224);
    assert_true(one.training.arena > one.inference.arena);
    assert_true(four.training.arena > 3 * one.training.arena);
    /* 28,088,024 learnable floats and 53,120 of statistics, each tensor at a cache line */
    assert_in_range(one.gradients, 28088024 * 4, 28088024 * 4 + 267 * SN_ALIGNMENT);
    assert_in_range(one.weights - one.gradients, 53120 * 4, 53120 * 4 + 106 * SN_ALIGNMENT);
    assert_int_equal(sn_memory_needs_training(&one),
                     one.weights + 2 * one.gradients + one.training.arena + one.training.packed);
}

/* More than any machine has is planned all the same, and nothing runs on a plan alone. */
static void test_plan_takes_no_memory(void **state)
{
    (void)state;
    assert_true(needs_of("se_cifar_resnet20", 1000000, 32, 32).training.arena > (size_t)1 << 40);
    sn_spec spec;
    sn_graph *graph;
    sn_program *program;
    sn_build_options options = {.mode = SN_MODE_EVAL, .batch = 1};
    assert_int_equal(sn_spec_parse("cifar_resnet8", &spec), SENET_OK);
    assert_int_equal(sn_model_build(&spec, &options, &graph), SENET_OK);
    assert_int_equal(sn_program_create(graph, &(sn_program_options){.plan_only = true}, &program), SENET_OK);
    assert_int_equal(sn_program_run(program), SENET_INTERNAL);
    assert_int_equal(sn_program_memory(program).params_bytes, 0);
    sn_program_destroy(program);
    sn_graph_destroy(graph);
}

int main(void)
{
    const struct CMUnitTest figure_tests[] = {
        cmocka_unit_test(test_tables_are_complete),
        cmocka_unit_test(test_what_differs),
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_equation),
    };
    const struct CMUnitTest memory_tests[] = {
        cmocka_unit_test(test_memory_is_that_of_a_program),
        cmocka_unit_test(test_memory_of_training),
        cmocka_unit_test(test_plan_takes_no_memory),
    };
    int failed = cmocka_run_group_tests_name("figures", figure_tests, count_figures, free_figures);
    return failed + cmocka_run_group_tests_name("memory", memory_tests, NULL, NULL);
}
