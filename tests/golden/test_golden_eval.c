/* test_golden_eval.c - every network in evaluation mode against the double-precision reference: the
 * list of tensors, the statistics of every unit's output, the logits.
 *
 * A case is a file and a way to run it.  Double precision shows that the network is the right one; float shows that the
 * kernels compute it: plain ones, the dispatched vector ones, and those with batch norm folded into the convolutions.
 * Networks for photographs run folded only, as a user's do, but for those on small pictures.
 *
 * With names of files (without ".txt") only those run, with the vector kernels of the instruction set level in SENET_ISA;
 * skipped where the build or the processor lacks it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "cpu/cpu.h"
#include "golden/golden.h"
#include "zoo/zoo.h"

typedef enum way { LISTS, DOUBLE_PLAIN, FLOAT_PLAIN, FLOAT_VECTOR, FLOAT_FOLDED, WAYS } way;
static const char *const way_names[WAYS] = {"tensors", "double", "float plain", "float vector", "float vector folded"};

typedef struct test_case {
    const char *path;
    way way;
    char title[256];
} test_case;

/* Networks beyond this take seconds with the plain kernels; the vector kernels run them all. */
static const int64_t PLAIN_MACS = 300000000, PLAIN_MACS_OF_LARGE = 400000000;

/* ---- the list of tensors ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* FNV-1a-64 over the lines "name d0 d1 ...\n", sorted. */
static uint64_t hash_of(const sn_graph *graph)
{
    enum { LINE_BYTES = 160 };
    char **lines = calloc(graph->params_count, sizeof *lines), *text = calloc(graph->params_count, LINE_BYTES);
    assert_true(lines && text);
    for (size_t i = 0; i < graph->params_count; i++) {
        const sn_param *p = &graph->params[i];
        lines[i] = malloc(LINE_BYTES);
        assert_non_null(lines[i]);
        int used = snprintf(lines[i], LINE_BYTES, "%s", p->name);
        for (int d = 0; d < p->rank; d++)
            used += snprintf(lines[i] + used, (size_t)(LINE_BYTES - used), " %lld", (long long)p->dims[d]);
        snprintf(lines[i] + used, (size_t)(LINE_BYTES - used), "\n");
    }
    qsort(lines, graph->params_count, sizeof *lines, by_text);
    size_t length = 0;
    for (size_t i = 0; i < graph->params_count; i++) {
        strcpy(text + length, lines[i]);
        length += strlen(lines[i]);
        free(lines[i]);
    }
    uint64_t hash = sn_fnv1a64(text, length);
    free(lines);
    free(text);
    return hash;
}

static void check_tensors(const golden_file *file, const sn_graph *graph)
{
    int64_t learnable, statistics;
    sn_graph_count_params(graph, &learnable, &statistics);
    assert_int_equal(graph->params_count, file->tensors);
    assert_int_equal(learnable + statistics, file->elements);
    assert_true(hash_of(graph) == file->hash);
    assert_int_equal(file->params.count, graph->params_count);
    for (size_t i = 0; i < file->params.count; i++) {
        const golden_param *expected = (const golden_param *)file->params.items + i;
        const sn_param *p = &graph->params[i];
        assert_string_equal(p->name, expected->name);
        assert_int_equal(p->rank, expected->rank);
        assert_memory_equal(p->dims, expected->dims, (size_t)p->rank * sizeof *p->dims);
    }
}

/* ---- a run ---- */

static sn_graph *build_graph(const golden_file *file, way how)
{
    sn_spec spec;
    sn_graph *graph = NULL, *folded = NULL;
    const char **units = calloc(file->stats.count + 1, sizeof *units);
    assert_non_null(units);
    for (size_t i = 0; i < file->stats.count; i++) units[i] = ((const golden_stat *)file->stats.items)[i].name;
    sn_build_options options = {.mode = SN_MODE_EVAL,
                                .batch = file->n,
                                .height = file->h,
                                .width = file->w,
                                .taps = units,
                                .taps_count = file->stats.count};
    if (sn_spec_parse(file->net, &spec) != SENET_OK || sn_model_build(&spec, &options, &graph) != SENET_OK)
        fail_msg("%s", senet_last_error());
    char canonical[128];
    sn_spec_canonical(&spec, canonical, sizeof canonical);
    assert_string_equal(canonical, file->net);
    free(units);
    if (how != FLOAT_FOLDED) return graph;
    if (sn_graph_fold_batch_norm(graph, &folded) != SENET_OK) fail_msg("%s", senet_last_error());
    sn_graph_destroy(graph);
    return folded;
}

static void check_stats(const golden_file *file, const sn_program *program, sn_precision precision, double tolerance)
{
    for (size_t i = 0; i < file->stats.count; i++) {
        const golden_stat *s = (const golden_stat *)file->stats.items + i;
        sn_shape shape;
        const void *data = sn_program_output(program, s->name, &shape);
        int64_t n = sn_shape_elements(shape);
        assert_int_equal(n, s->elements);
        double sum = 0, squares = 0;
        for (int64_t k = 0; k < n; k++) {
            double v = golden_element(data, precision, k);
            sum += v;
            squares += v * v;
        }
        golden_expect(file, s->name, sum / (double)n, s->mean, tolerance * s->rms);
        golden_expect(file, s->name, sqrt(squares / (double)n), s->rms, tolerance * s->rms);
    }
}

static void check_logits(const golden_file *file, const sn_program *program, sn_precision precision)
{
    sn_shape shape;
    const void *data = sn_program_output(program, "logits", &shape);
    const double *expected = file->logits.items;
    double largest = 0;
    assert_true(sn_shape_equal(shape, (sn_shape){file->n, 1, 1, file->classes}));
    assert_int_equal(file->logits.count, file->n * file->classes);
    for (size_t i = 0; i < file->logits.count; i++) largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < file->logits.count; i++) {
        /* double: 1e-9, and the 9 digits of the file; float: GOLDEN.md's measure of what float32 can do */
        double tolerance =
            precision == SN_DOUBLE ? 1e-9 * largest + 5e-9 * fabs(expected[i]) : 20 * file->f32dev + 1e-5 * largest;
        golden_expect(file, "a logit", golden_element(data, precision, (int64_t)i), expected[i], tolerance);
    }
}

static void run_and_check(const golden_file *file, const sn_graph *graph, way how)
{
    sn_precision precision = how == DOUBLE_PLAIN ? SN_DOUBLE : SN_FLOAT;
    sn_params *params;
    sn_program *program;
    assert_int_equal(sn_params_create(graph, precision, &params), SENET_OK);
    golden_fill(graph, params, file->seed);
    sn_program_options options = {
        .precision = precision, .reference_only = how == DOUBLE_PLAIN || how == FLOAT_PLAIN, .params = params};
    if (sn_program_create(graph, &options, &program) != SENET_OK) fail_msg("%s", senet_last_error());
    void *pictures = golden_pictures(file, precision);
    assert_int_equal(sn_program_set_input(program, "input", pictures), SENET_OK);
    if (sn_program_run(program) != SENET_OK) fail_msg("%s", senet_last_error());
    /* a unit's mean and rms average thousands of values: 1e-5 in float; in double 1e-9 and the 10 digits of the file */
    check_stats(file, program, precision, precision == SN_DOUBLE ? 1.5e-9 : 1e-5);
    check_logits(file, program, precision);
    sn_program_destroy(program);
    sn_params_destroy(params);
    free(pictures);
}

static void test_file(void **state)
{
    const test_case *test = *state;
    golden_file file;
    golden_read(test->path, &file);
    sn_graph *graph = build_graph(&file, test->way);
    bool cheap = sn_graph_cost(graph).macs / file.n <= (golden_is_cifar(&file) ? PLAIN_MACS : PLAIN_MACS_OF_LARGE);
    if (test->way == LISTS)
        check_tensors(&file, graph);
    else if (cheap || test->way == FLOAT_FOLDED || (golden_is_cifar(&file) && test->way == FLOAT_VECTOR))
        run_and_check(&file, graph, test->way);
    sn_graph_destroy(graph);
    golden_free(&file);
}

/* The generator itself, by the check values of GOLDEN.md. */
static void test_fill_rule(void **state)
{
    (void)state;
    static const double weights[] = {-0.121481501, 0.0549161248, -0.0469257496, -0.0105268955};
    static const double pixels[] = {-0.558977008, 0.836826801, 0.444053411, -0.134695888};
    for (uint64_t i = 0; i < 4; i++) {
        double weight = (2 * golden_uniform("conv1.weight", 1, i) - 1) * sqrt(3.0 / 147);
        assert_true(fabs(weight - weights[i]) <
                    1e-8); /* the values are printed with 9 digits, after rounding to float */
        assert_true(fabs(2 * golden_uniform("input", 1, i) - 1 - pixels[i]) < 1e-8);
    }
}

/* Whether the file is one of the names; there are none for all of them. */
static bool is_named(const char *path, char *const *names)
{
    const char *file = strrchr(path, '/') + 1;
    for (char *const *name = names; *name; name++)
        if (strncmp(file, *name, strlen(*name)) == 0 && strcmp(file + strlen(*name), ".txt") == 0) return true;
    return !*names;
}

int main(int argc, char **argv)
{
    char **paths, **names = argv + 1;
    const char *level = sn_cpu_isa_name(sn_cpu_isa()), *wanted = getenv("SENET_ISA");
    if (argc > 1 && wanted && strcmp(wanted, level) != 0) {
        fprintf(stderr, "skipped: the level is %s, not %s\n", level, wanted);
        return 77;
    }
    size_t files = golden_list_files(false, &paths);
    if (files == 0) {
        fprintf(stderr, "skipped: no golden files beside the project (SENET_SHARED names their folder's parent)\n");
        return 77;
    }
    test_case *cases = calloc(files * WAYS, sizeof *cases);
    struct CMUnitTest *tests = calloc(1 + files * WAYS, sizeof *tests);
    if (!cases || !tests) return 1;
    size_t count = 0, named = 0;
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_fill_rule);
    for (size_t i = 0; i < files; i++) {
        if (!is_named(paths[i], names)) continue;
        named++;
        for (way how = argc > 1 ? FLOAT_VECTOR : LISTS; how < WAYS; how++) {
            test_case *c = &cases[count - 1];
            c->path = paths[i];
            c->way = how;
            snprintf(c->title, sizeof c->title, "%s, %s", strrchr(paths[i], '/') + 1, way_names[how]);
            tests[count++] = (struct CMUnitTest){.name = c->title, .test_func = test_file, .initial_state = c};
        }
    }
    int failed = _cmocka_run_group_tests("golden_eval", tests, count, NULL, NULL);
    if (argc > 1 && named != (size_t)argc - 1) {
        fprintf(stderr, "%d networks are named, %zu of them have a file\n", argc - 1, named);
        failed++;
    }
    golden_free_paths(paths, files);
    free(cases);
    free(tests);
    return failed;
}
