/* cmd_bench.c - `senet bench`: how long a network takes on this machine, and where the time goes. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/json.h"
#include "bench_data.h"
#include "bench_job.h"
#include "cpu/cpu.h"
#include "graph/lower.h"
#include "network.h"
#include "ops/op.h"
#include "progress.h"
#include "report.h"
#include "test_weights.h"
#include "train/clock.h"
#include "train/config.h"
#include "verbs.h"

enum { WARM_UP_RUNS = 3, FEWEST_RUNS = 5, MOST_RUNS = 1000000 };

typedef struct timing {
    double *seconds; /* of each run, sorted once all are done */
    size_t count, capacity;
} timing;

/* The first run folds and packs weights; with it the network has answered once. */
static senet_status warm_up(bench_job *job, double begin, double *cold_start)
{
    SN_RETURN_IF_FAILED(bench_job_step(job));
    *cold_start = sn_seconds_now() - begin;
    return SENET_OK;
}

static senet_status measure(bench_job *job, int64_t runs, double least_seconds, timing *times)
{
    for (int i = 1; i < WARM_UP_RUNS; i++) SN_RETURN_IF_FAILED(bench_job_step(job));
    sn_program_profile(job->program, true);
    double begin = sn_seconds_now(), end = begin;
    while (runs ? (int64_t)times->count < runs
                : times->count < FEWEST_RUNS || (end - begin < least_seconds && times->count < MOST_RUNS)) {
        double start = sn_seconds_now();
        SN_RETURN_IF_FAILED(bench_job_step(job));
        end = sn_seconds_now();
        if (!sn_grow(&times->seconds, sizeof *times->seconds, &times->capacity, times->count + 1))
            return sn_fail_memory((times->count + 1) * sizeof *times->seconds, "the timings");
        times->seconds[times->count++] = end - start;
        double fraction = runs ? (double)times->count / (double)runs : (end - begin) / least_seconds;
        cli_progress_draw(fraction, "%zu runs, the last %.2f ms", times->count, 1e3 * (end - start));
    }
    cli_progress_clear();
    return SENET_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The time that a share of the runs did not exceed, by the nearest rank, in ms. */
static double percentile(const timing *times, double share)
{
    size_t rank = (size_t)(share * (double)times->count + 0.9999999);
    return 1e3 * times->seconds[rank ? rank - 1 : 0];
}

typedef struct result {
    const bench_job *job;
    const timing *times;
    bool layers;
    double images_per_second, gflops, peak_gflops;
    double cold_start; /* seconds */
    int64_t peak_rss;  /* bytes of memory that the process held at most */
    sn_memory_use memory;
} result;

/* A step of the program for the reader: what it is called, milliseconds a run, GFLOP/s and their share of the peak (above 1 where
 * a method needs fewer products than the definition that is counted). */
typedef struct layer {
    const sn_step_profile *step;
    double milliseconds, gflops, peak_share;
} layer;

static layer layer_of(const result *r, const sn_step_profile *step)
{
    layer l = {.step = step, .milliseconds = 1e3 * step->seconds / (double)r->times->count};
    int64_t macs = bench_node_macs(r->job->graph, step->node);
    if (macs && step->seconds > 0) l.gflops = 2e-9 * (double)macs * (double)r->times->count / step->seconds;
    if (r->peak_gflops > 0) l.peak_share = l.gflops / r->peak_gflops;
    return l;
}

/* Steps that ran only once, before the timed runs: weights folded and packed. */
static bool is_timed(const sn_step_profile *step)
{
    return step->seconds > 0;
}

static void add_json(sn_text *text, const result *r)
{
    const senet_model *model = r->job->model;
    sn_json_writer json = {.text = text};
    sn_json_open_object(&json, NULL);
    sn_json_add_string(&json, "model", model->name);
    sn_json_add_string(&json, "input", cli_input_text(r->job->work.height, r->job->work.width));
    sn_json_add_string(&json, "mode", r->job->work.training ? "train" : "inference");
    sn_json_add_int(&json, "batch", r->job->work.batch);
    sn_json_add_int(&json, "threads", model->threads);
    sn_json_add_string(&json, "isa", model->reference_only ? "reference" : sn_cpu_isa_name(sn_cpu_isa()));
    sn_json_add_string(&json, "precision", sn_precision_name(model->precision));
    sn_json_add_int(&json, "runs", (int64_t)r->times->count);
    sn_json_open_object(&json, "latency_ms");
    sn_json_add_double(&json, "min", percentile(r->times, 0));
    sn_json_add_double(&json, "p50", percentile(r->times, 0.5));
    sn_json_add_double(&json, "p90", percentile(r->times, 0.9));
    sn_json_add_double(&json, "p99", percentile(r->times, 0.99));
    sn_json_close_object(&json);
    sn_json_add_double(&json, "images_per_second", r->images_per_second);
    sn_json_add_double(&json, "gflops", r->gflops);
    sn_json_add_double(&json, "peak_gflops", r->peak_gflops);
    sn_json_add_double(&json, "cold_start_ms", 1e3 * r->cold_start);
    sn_json_add_int(&json, "peak_rss_bytes", r->peak_rss);
    sn_json_add_int(&json, "arena_bytes", (int64_t)r->memory.arena_bytes);
    sn_json_add_int(&json, "weight_bytes", (int64_t)(r->memory.params_bytes + r->memory.packed_bytes));
    sn_json_open_array(&json, "layers");
    size_t count;
    const sn_step_profile *steps = sn_program_profile_steps(r->job->program, &count);
    for (size_t i = 0; r->layers && i < count; i++) {
        if (!is_timed(&steps[i])) continue;
        layer l = layer_of(r, &steps[i]);
        sn_json_open_object(&json, NULL);
        sn_json_add_string(&json, "name", steps[i].node->name ? steps[i].node->name : "");
        sn_json_add_string(&json, "op", sn_op_of(steps[i].node->op)->name);
        sn_json_add_string(&json, "kernel", steps[i].kernel);
        cli_add_shape(&json, "output", steps[i].node->shape, false);
        sn_json_add_double(&json, "ms", l.milliseconds);
        sn_json_add_double(&json, "gflops", l.gflops);
        sn_json_add_double(&json, "peak_share", l.peak_share);
        sn_json_close_object(&json);
    }
    sn_json_close_array(&json);
    sn_json_close_object(&json);
}

static void add_layers(sn_text *text, const result *r)
{
    size_t count;
    double sum = 0;
    const sn_step_profile *steps = sn_program_profile_steps(r->job->program, &count);
    for (size_t i = 0; i < count; i++) sum += layer_of(r, &steps[i]).milliseconds;
    sn_text_printf(text, "%-34s %-18s %-40s %9s %6s %9s %7s\n", "layer", "operation", "kernel", "ms", "%", "GFLOP/s",
                   "of peak");
    for (size_t i = 0; i < count; i++) {
        if (!is_timed(&steps[i])) continue;
        layer l = layer_of(r, &steps[i]);
        sn_text_printf(text, "%-34s %-18s %-40s %9.3f %6.2f", steps[i].node->name ? steps[i].node->name : "",
                       sn_op_of(steps[i].node->op)->name, steps[i].kernel, l.milliseconds,
                       sum > 0 ? 100 * l.milliseconds / sum : 0);
        if (l.gflops > 0) sn_text_printf(text, " %9.1f %6.0f%%", l.gflops, 100 * l.peak_share);
        sn_text_add_char(text, '\n');
    }
    sn_text_add_char(text, '\n');
}

static void add_table(sn_text *text, const result *r)
{
    const senet_model *model = r->job->model;
    if (r->layers) add_layers(text, r);
    sn_text_printf(text, "%s, %s, batch %lld, %s, %d thread%s, %s, %s: %zu runs\n", model->name,
                   r->job->work.training ? "training step" : "inference", (long long)r->job->work.batch,
                   cli_input_text(r->job->work.height, r->job->work.width), model->threads, model->threads == 1 ? "" : "s",
                   model->reference_only ? "reference kernels" : sn_cpu_isa_name(sn_cpu_isa()),
                   sn_precision_name(model->precision), r->times->count);
    sn_text_printf(text, "latency  min %.3f  p50 %.3f  p90 %.3f  p99 %.3f ms\n", percentile(r->times, 0),
                   percentile(r->times, 0.5), percentile(r->times, 0.9), percentile(r->times, 0.99));
    sn_text_printf(text, "%.1f images/s, %.1f GFLOP/s", r->images_per_second, r->gflops);
    if (r->peak_gflops > 0)
        sn_text_printf(text, " of %.0f that %d core%s can do (%.0f%%)", r->peak_gflops, model->threads,
                       model->threads == 1 ? "" : "s", 100 * r->gflops / r->peak_gflops);
    sn_text_printf(text, "\nfirst answer after %.0f ms; weights %.1f MB, activations %.1f MB, the process %.1f MB",
                   1e3 * r->cold_start, 1e-6 * (double)(r->memory.params_bytes + r->memory.packed_bytes),
                   1e-6 * (double)r->memory.arena_bytes, 1e-6 * (double)r->peak_rss);
}

static senet_status report(const bench_job *job, timing *times, double cold_start, const cli_arguments *arguments)
{
    if (times->count == 0) return sn_fail(SENET_INTERNAL, "no run was timed");
    qsort(times->seconds, times->count, sizeof *times->seconds, by_value);
    double median = 1e-3 * percentile(times, 0.5);
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    result r = {.job = job,
                .times = times,
                .cold_start = cold_start,
                .peak_rss = (int64_t)usage.ru_maxrss * 1024, /* Linux counts in KB */
                .memory = sn_program_memory(job->program),
                .peak_gflops = 1e-9 * sn_cpu_peak_flops() * job->model->threads,
                .layers = cli_flag(arguments, "layers"),
                .images_per_second = (double)job->work.batch / median,
                .gflops = 2e-9 * (double)bench_job_macs(job) / median};
    sn_text text = {0};
    if (cli_flag(arguments, "json"))
        add_json(&text, &r);
    else
        add_table(&text, &r);
    return cli_print_text(&text);
}

static int run(const cli_arguments *arguments)
{
    senet_model *model = NULL;
    bench_job job = {0};
    timing times = {0};
    int64_t height, width;
    senet_status status;
    double begin = sn_seconds_now(), cold_start;
    if (cli_given(arguments, "data")) return cli_finish(bench_data_run(arguments));
    SN_TRY(cli_open_network(arguments, &model), cleanup);
    if (!cli_text(arguments, "weights")) {
        double filling = sn_seconds_now(); /* stands for a file; does not count */
        SN_TRY(cli_fill_test_weights(model->layout, model->params, 1), cleanup);
        begin += sn_seconds_now() - filling;
    }
    cli_input_size(arguments, &height, &width);
    bench_work work = {.training = cli_flag(arguments, "train"), .height = height, .width = width};
    work.batch = cli_integer(arguments, "batch-size");
    work.recompute = (sn_recompute)cli_choice(arguments, "recompute");
    if (work.recompute != SN_RECOMPUTE_NONE && !work.training) {
        status = sn_fail(SENET_USAGE, "--recompute is for training: give --train too");
        goto cleanup;
    }
    SN_TRY(bench_job_create(model, &work, &job), cleanup);
    SN_TRY(warm_up(&job, begin, &cold_start), cleanup);
    SN_TRY(measure(&job, cli_integer(arguments, "runs"), cli_real(arguments, "seconds"), &times), cleanup);
    status = report(&job, &times, cold_start, arguments);
cleanup:
    free(times.seconds);
    bench_job_free(&job);
    senet_model_destroy(model);
    return cli_finish(status);
}

static const cli_option options[] = {
    CLI_OPTION_MODEL("the network, instead of MODEL"),
    CLI_OPTION_WEIGHTS("its weights; the time does not depend on them"),
    {.name = "train", .type = CLI_FLAG, .help = "time a training step: forward, backward, update"},
    {.name = "layers", .type = CLI_FLAG, .help = "also show every layer's time, kernel and speed"},
    {.name = "size",
     .type = CLI_SIZE,
     .metavar = "SIDE|HxW",
     .least = 1,
     .most = 16384,
     .usual = "the network's own; with --data 224",
     .help = "input in pixels"},
    {.name = "data",
     .type = CLI_TEXT,
     .metavar = "DATA",
     .help = "no network: how fast these pictures become training batches (of 64, without --batch-size)"},
    {.name = "augment",
     .type = CLI_TEXT,
     .metavar = "HOW",
     .standard = "imagenet",
     .help = "with --data: what happens to a picture, as train --augment says it"},
    {.name = "interpolation",
     .type = CLI_CHOICE,
     .metavar = "FILTER",
     .choices = SN_INTERPOLATION_WORDS,
     .standard = "pil-bilinear",
     .help = "with --data: how photographs are resized"},
    {.name = "fast-decode", .type = CLI_FLAG, .help = "with --data: decode large JPEGs at a reduced size"},
    CLI_OPTION_WORKERS,
    CLI_OPTION_BATCH("1"),
    {.name = "runs", .type = CLI_INTEGER, .metavar = "N", .least = 1, .most = MOST_RUNS, .help = "time exactly N runs"},
    {.name = "seconds",
     .type = CLI_REAL,
     .metavar = "S",
     .least = 0,
     .most = 86400,
     .standard = "3",
     .help = "without --runs: go on so long, and for at least 5 runs"},
    CLI_OPTION_THREADS,
    CLI_OPTION_PRECISION,
    CLI_OPTION_RECOMPUTE,
    CLI_OPTION_TUNE,
    CLI_OPTION_DEVICE,
    CLI_OPTION_REFERENCE,
    CLI_OPTION_JSON,
    CLI_OPTIONS_END,
};

static const cli_example examples[] = {
    {"senet bench se_cifar_resnet20", "Latency of one picture"},
    {"senet bench se_cifar_resnet20 --batch-size 8 --threads 2 --layers", "Where the time goes with a batch of 8"},
    {"senet bench se_cifar_resnet110 --train --batch-size 128 --json", "Images a second in training, for a program"},
    {"senet bench --data folder:imagenet --workers 2", "Pictures a second that two threads decode, crop and resize to 224"},
    {"SENET_ISA=avx2 senet bench se_cifar_resnet20", "With a smaller instruction set"},
    {NULL, NULL},
};

const cli_verb cli_bench = {
    .name = "bench",
    .operands = "MODEL",
    .most_operands = 1,
    .summary = "measure latency and throughput on this machine",
    .description =
        "Runs the network on random pictures already in memory: three runs to warm up, then the timed ones. Prints "
        "the fastest run, the median (p50) and the 90th and 99th percentile; images/s and GFLOP/s (two for a "
        "multiply-add of convolutions and linear layers) follow from the median. Beside them: what the processor's cores "
        "could do at most, the time from opening the weights to the first answer (without --weights, the time for "
        "making some does not count), and the memory of weights as stored and as laid out for the kernels, of "
        "activations, and of the whole process.\n\n"
        "With --data it times the loader instead: pictures read, decoded and prepared by --workers threads, and nothing "
        "else, for --seconds.",
    .options = options,
    .examples = examples,
    .run = run,
};
