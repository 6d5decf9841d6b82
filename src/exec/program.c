/* program.c - a planned graph that runs: kernels chosen, memory laid out, weights packed when they change. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/parallel.h"
#include "base/log.h"
#include "cpu/cpu.h"
#include "exec/groups.h"
#include "exec/plan.h"
#include "exec/tuning.h"
#include "ops/op.h"

struct sn_workspace {
    void *memory;
    size_t bytes;
};

typedef struct step {
    sn_id node;
    sn_id squeeze, stats; /* the squeeze_avg and the bn_stats that the kernel computes beside, or SN_NONE */
    const sn_kernel *kernel;
    int64_t group; /* images that it computes at a time */
    size_t packed_offset, packed_bytes;
    bool constant; /* runs only when parameters changed */
    double seconds;
} step;

/* A gradient that is given away once step `after` is done. */
typedef struct handover {
    sn_id after;
    int32_t param;
} handover;

enum { MOST_VIEWS = 48, KEPT = -1 };

struct sn_program {
    const sn_graph *graph;
    sn_graph *views[MOST_VIEWS]; /* of the graph, for 1, 2, 4, ... images; NULL where no step needs it */
    sn_program_options options;
    sn_plan plan;
    step *steps;
    size_t steps_count;
    const void **bound;       /* by node: what an input is bound to */
    int32_t *released_by;     /* by node: the last step that reads a parameter, if all read it to prepare alone; else KEPT */
    handover *handovers;      /* in the order of the steps; none where gradients stay */
    size_t handovers_count, handed; /* of the run that is under way */
    void *constants, *packed; /* owned */
    size_t packed_bytes;
    sn_workspace *own_workspace;
    bool effects, profiling, training;
    uint64_t seen_version; /* of the parameters that constants and packed weights were made from */
    sn_step_profile *profile;
};

/* ---- workspace ---- */

senet_status sn_workspace_create(sn_workspace **workspace)
{
    *workspace = calloc(1, sizeof **workspace);
    return *workspace ? SENET_OK : sn_fail_memory(sizeof **workspace, "a workspace");
}

void sn_workspace_destroy(sn_workspace *workspace)
{
    if (!workspace) return;
    sn_free_aligned(workspace->memory);
    free(workspace);
}

static double physical_memory(void)
{
    double bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE), limit;
    FILE *file = fopen("/sys/fs/cgroup/memory.max", "r");
    if (file) {
        if (fscanf(file, "%lf", &limit) == 1 && limit < bytes) bytes = limit; /* "max" is no number */
        fclose(file);
    }
    return bytes;
}

/* Memory that the kernel would only promise is refused here: touching it would end the process without a message. */
static senet_status reserve(sn_workspace *workspace, size_t bytes, int64_t batch)
{
    if (bytes <= workspace->bytes) return SENET_OK;
    double limit = physical_memory();
    if ((double)bytes > limit)
        return sn_fail(SENET_USAGE, "a batch of %lld needs %.1f GB of memory, this machine has %.1f GB", (long long)batch,
                       (double)bytes / 1e9, limit / 1e9);
    void *memory = sn_alloc_aligned(bytes);
    if (!memory) return sn_fail_memory(bytes, "the tensors of a run");
    sn_free_aligned(workspace->memory);
    workspace->memory = memory;
    workspace->bytes = bytes;
    return SENET_OK;
}

/* ---- creation ---- */

/* The graph for so many images at a time: a power of two, or the whole batch. */
static const sn_graph *view_of(const sn_program *program, int64_t images)
{
    return images == program->graph->batch ? program->graph : program->views[__builtin_ctzll((unsigned long long)images)];
}

/* The call of a step's node for so many images without data: what a kernel is chosen and sized by. */
static sn_kernel_call blank_call(const sn_program *program, const step *s, int64_t images)
{
    const sn_graph *view = view_of(program, images);
    const sn_node *node = &view->nodes[s->node];
    sn_kernel_call call = {.graph = view, .node = node, .threads = program->options.threads,
                           .precision = program->options.precision, .training = program->training};
    for (int k = 0; k < node->inputs_count; k++) call.input_nodes[k] = sn_input_of(view, node, k);
    if (s->squeeze != SN_NONE) call.squeeze_node = &view->nodes[s->squeeze];
    if (s->stats != SN_NONE) call.stats_node = &view->nodes[s->stats];
    return call;
}

/* Cuts the batch into groups. A step has to take single images too: kernels are chosen by what they say to one image, so that its
 * bits do not depend on the batch it comes in, and single images are what is left over when a batch does not divide. */
static senet_status choose_groups(sn_program *program, sn_node_needs *needs)
{
    const sn_graph *graph = program->graph;
    int64_t *group = malloc((graph->nodes_count + 1) * sizeof *group);
    if (!group) return sn_fail_memory(graph->nodes_count * sizeof *group, "a program");
    for (size_t i = 0; i < graph->nodes_count; i++) group[i] = graph->batch;
    if (!program->training && !program->options.lean) sn_groups_choose(graph, group);
    senet_status status = SENET_OK;
    for (size_t i = 0; i < graph->nodes_count && status == SENET_OK; i++) {
        needs[i] = (sn_node_needs){.written_by = (sn_id)i, .group = group[i], .every_run = program->options.lean};
        if (group[i] == graph->batch) continue;
        sn_graph **view = &program->views[__builtin_ctzll((unsigned long long)group[i])];
        if (!*view) status = sn_view_create(graph, group[i], view);
    }
    if (status == SENET_OK && graph->batch > 1 && !program->training && !program->views[0])
        status = sn_view_create(graph, 1, &program->views[0]);
    free(group);
    return status;
}

/* The first such op on node `id`, or SN_NONE. */
static sn_id reader_of(const sn_graph *graph, sn_id id, sn_op_kind op)
{
    for (size_t i = (size_t)id + 1; i < graph->nodes_count; i++)
        if (graph->nodes[i].op == op && graph->nodes[i].inputs[0] == id) return (sn_id)i;
    return SN_NONE;
}

/* Whether the step's kernel computes batch norm's statistics of its output too. */
static void choose_stats(const sn_program *program, step *s, sn_node_needs *needs)
{
    sn_id stats = reader_of(program->graph, s->node, SN_OP_bn_stats);
    if (stats == SN_NONE) return;
    const char *title = sn_node_title(&program->graph->nodes[stats]), *refusal = "it gives none";
    if (s->group != program->graph->batch) {
        refusal = "it computes a part of the batch at a time";
    } else if (s->kernel->stats_refusal) {
        sn_kernel_call call = blank_call(program, s, s->group);
        refusal = s->kernel->stats_refusal(&call);
    }
    if (refusal) {
        sn_log("dispatch", "%s: a step of its own, not beside %s: %s", title, s->kernel->name, refusal);
        return;
    }
    s->stats = stats;
    needs[stats].written_by = s->node;
    sn_log("dispatch", "%s: beside '%s'", title, program->graph->nodes[s->node].name);
}

/* Chooses the step's kernel, and whether it squeezes its output too, and gives its statistics; says what memory it needs. */
static senet_status choose_kernel(sn_program *program, step *s, sn_node_needs *needs)
{
    int64_t sizes[2] = {s->group, 1};
    int count = program->training || s->group == 1 ? 1 : 2;
    sn_kernel_call calls[2];
    for (int k = 0; k < count; k++) calls[k] = blank_call(program, s, sizes[k]);
    s->kernel = sn_cpu_choose(calls, count, program->options.reference_only);
    if (s->kernel && program->options.tuning && !program->options.reference_only && !program->options.plan_only)
        s->kernel = sn_tuning_choose(program->options.tuning, calls, count, s->kernel);
    if (!s->kernel || !s->kernel->run) return sn_fail(SENET_INTERNAL, "%s: no kernel runs this op", sn_node_title(calls->node));
    bool squeezes = s->kernel->squeezes != NULL;
    for (int k = 0; k < count; k++) squeezes = squeezes && s->kernel->squeezes(&calls[k]);
    if (squeezes) s->squeeze = reader_of(program->graph, s->node, SN_OP_squeeze_avg);
    if (s->squeeze != SN_NONE) {
        needs[s->squeeze].written_by = s->node;
        sn_log("dispatch", "%s: beside '%s'", sn_node_title(&program->graph->nodes[s->squeeze]), calls->node->name);
    }
    choose_stats(program, s, needs);
    for (int k = 0; k < count; k++) {
        sn_kernel_call call = blank_call(program, s, sizes[k]);
        size_t scratch = s->kernel->scratch_bytes ? s->kernel->scratch_bytes(&call) : 0;
        if (scratch > needs[s->node].scratch_bytes) needs[s->node].scratch_bytes = scratch;
        size_t packed = s->kernel->packed_bytes ? s->kernel->packed_bytes(&call) : 0;
        if (k > 0 && packed != s->packed_bytes)
            return sn_fail(SENET_INTERNAL, "%s: packed weights depend on the batch", s->kernel->name);
        s->packed_bytes = packed;
    }
    if (program->options.lean) { /* behind the scratch memory, for as long */
        s->packed_offset = sn_align(needs[s->node].scratch_bytes, SN_ALIGNMENT);
        if (s->packed_bytes) needs[s->node].scratch_bytes = s->packed_offset + s->packed_bytes;
        return SENET_OK;
    }
    s->packed_offset = program->packed_bytes;
    program->packed_bytes += sn_align(s->packed_bytes, SN_ALIGNMENT);
    return SENET_OK;
}

/* What depends on parameters alone and is read by packing kernels and by such nodes alone: it is needed only while these are made. */
static senet_status find_packed_only(const sn_program *program, sn_node_needs *needs)
{
    const sn_graph *graph = program->graph;
    bool *constant = calloc(graph->nodes_count + 1, sizeof *constant);
    if (!constant) return sn_fail_memory(graph->nodes_count, "a program");
    for (size_t i = 0; i < graph->nodes_count; i++) {
        const sn_node *node = &graph->nodes[i];
        constant[i] = node->inputs_count > 0;
        for (int k = 0; k < node->inputs_count; k++) {
            const sn_node *input = sn_input_of(graph, node, k);
            if (input && input->op != SN_OP_param && !constant[node->inputs[k]]) constant[i] = false;
        }
        needs[i].packed_only = constant[i];
    }
    for (size_t i = 0; i < graph->outputs_count; i++) needs[graph->outputs[i].node].packed_only = false;
    for (size_t k = program->steps_count; k-- > 0;) {
        const step *s = &program->steps[k];
        const sn_node *reader = &graph->nodes[s->node];
        for (int input = 0; input < reader->inputs_count; input++)
            if (reader->inputs[input] != SN_NONE && !constant[s->node] && !(s->packed_bytes && input == 1))
                needs[reader->inputs[input]].packed_only = false;
    }
    free(constant);
    return SENET_OK;
}

static senet_status choose_kernels(sn_program *program, sn_node_needs *needs)
{
    const sn_graph *graph = program->graph;
    SN_RETURN_IF_FAILED(choose_groups(program, needs));
    for (size_t i = 0; i < graph->nodes_count; i++) {
        const sn_node *node = &graph->nodes[i];
        if (node->op == SN_OP_input || node->op == SN_OP_param || needs[i].written_by != (sn_id)i) continue;
        step *s = &program->steps[program->steps_count++];
        *s = (step){.node = (sn_id)i, .squeeze = SN_NONE, .stats = SN_NONE, .group = needs[i].group};
        SN_RETURN_IF_FAILED(choose_kernel(program, s, needs));
        if (sn_op_of(node->op)->effect) program->effects = true;
    }
    return find_packed_only(program, needs);
}

static int by_step(const void *a, const void *b)
{
    const handover *x = a, *y = b;
    return x->after != y->after ? (x->after > y->after) - (x->after < y->after) : (x->param > y->param) - (x->param < y->param);
}

/* When the gradients that are taken are given away: behind the last reader of the parameter. */
static senet_status find_handovers(sn_program *program, sn_node_needs *needs)
{
    const sn_graph *graph = program->graph;
    if (!program->options.take_gradient && !(program->options.plan_only && program->options.lean)) return SENET_OK;
    sn_id *last = malloc((graph->nodes_count + 1) * sizeof *last);
    program->handovers = malloc((graph->params_count + 1) * sizeof *program->handovers);
    if (!last || !program->handovers) {
        free(last);
        return sn_fail_memory(graph->nodes_count * sizeof *last, "a program");
    }
    for (size_t i = 0; i < graph->nodes_count; i++) {
        last[i] = (sn_id)i;
        for (int k = 0; k < graph->nodes[i].inputs_count; k++)
            if (graph->nodes[i].inputs[k] != SN_NONE) last[graph->nodes[i].inputs[k]] = (sn_id)i;
    }
    for (size_t i = 0; i < graph->params_count; i++) {
        sn_id gradient = graph->params[i].gradient, reader = last[graph->params[i].node];
        if (gradient == SN_NONE) continue;
        needs[gradient].handed_over = true;
        sn_id after = last[gradient] > reader ? last[gradient] : reader;
        program->handovers[program->handovers_count++] = (handover){after, (int32_t)i};
    }
    free(last);
    qsort(program->handovers, program->handovers_count, sizeof *program->handovers, by_step);
    return SENET_OK;
}

static bool has_gradients(const sn_graph *graph)
{
    for (size_t i = 0; i < graph->params_count; i++)
        if (graph->params[i].gradient != SN_NONE) return true;
    return false;
}

static senet_status check_options(const sn_graph *graph, const sn_program_options *options)
{
    if (!options->params && !options->plan_only) return sn_fail(SENET_INTERNAL, "a program without parameters");
    if (options->threads < 0 || options->threads > SN_MAX_THREADS)
        return sn_fail(SENET_USAGE, "%d threads: 1 to %d are possible", options->threads, SN_MAX_THREADS);
    if (options->params && sn_params_precision(options->params) != options->precision)
        return sn_fail(SENET_INTERNAL, "parameters and program differ in precision");
    if (!options->gradients && !options->take_gradient && !options->plan_only && has_gradients(graph))
        return sn_fail(SENET_INTERNAL, "a graph with gradients needs memory for them");
    return SENET_OK;
}

/* For everything that the plan has given a place. */
static senet_status take_memory(sn_program *p)
{
    SN_RETURN_IF_FAILED(reserve(p->options.workspace, p->plan.arena_bytes, p->graph->batch));
    p->constants = sn_alloc_aligned(p->plan.constant_bytes);
    p->packed = sn_alloc_aligned(p->packed_bytes);
    if (p->constants && p->packed) return SENET_OK;
    return sn_fail_memory(p->plan.constant_bytes + p->packed_bytes, "packed weights");
}

static void find_releases(sn_program *p)
{
    const sn_graph *graph = p->graph;
    for (size_t i = 0; i < graph->nodes_count; i++) p->released_by[i] = KEPT;
    for (size_t i = 0; i < p->steps_count; i++) {
        const sn_node *node = &graph->nodes[p->steps[i].node];
        for (int k = 0; k < node->inputs_count; k++)
            if (node->inputs[k] != SN_NONE && graph->nodes[node->inputs[k]].op == SN_OP_param)
                p->released_by[node->inputs[k]] = (int32_t)i;
    }
    for (size_t i = 0; i < p->steps_count; i++) {
        const step *s = &p->steps[i];
        const sn_node *node = &graph->nodes[s->node];
        for (int k = 0; k < node->inputs_count; k++) /* a kernel that packs reads its weight no more when it runs */
            if (node->inputs[k] != SN_NONE && !s->constant && !(s->packed_bytes && k == 1)) p->released_by[node->inputs[k]] = KEPT;
    }
}

senet_status sn_program_create(const sn_graph *graph, const sn_program_options *options, sn_program **program)
{
    senet_status status;
    *program = NULL;
    SN_RETURN_IF_FAILED(check_options(graph, options));
    size_t n = graph->nodes_count;
    sn_node_needs *needs = calloc(n + 1, sizeof *needs);
    sn_program *p = calloc(1, sizeof *p);
    if (p) {
        p->graph = graph;
        p->options = *options;
        p->training = options->gradients || ((options->plan_only || options->take_gradient) && has_gradients(graph));
        if (p->options.threads == 0) p->options.threads = sn_default_threads();
        if (p->options.lean) p->options.release_params = false; /* weights are read at every run */
        p->steps = calloc(n + 1, sizeof *p->steps);
        p->bound = calloc(n + 1, sizeof *p->bound);
        p->released_by = malloc((n + 1) * sizeof *p->released_by);
        p->profile = calloc(n + 1, sizeof *p->profile);
    }
    if (!p || !needs || !p->steps || !p->bound || !p->released_by || !p->profile) {
        status = sn_fail_memory(n * sizeof *p->steps, "a program");
        goto cleanup;
    }
    if (!p->options.workspace) {
        SN_TRY(sn_workspace_create(&p->own_workspace), cleanup);
        p->options.workspace = p->own_workspace;
    }
    SN_TRY(choose_kernels(p, needs), cleanup);
    SN_TRY(find_handovers(p, needs), cleanup);
    SN_TRY(sn_plan_create(graph, options->precision, needs, &p->plan), cleanup);
    for (size_t i = 0; i < p->steps_count; i++) {
        sn_place_kind kind = p->plan.locations[p->steps[i].node].kind;
        p->steps[i].constant = kind == SN_AT_CONSTANT || kind == SN_AT_PREPARE;
    }
    find_releases(p);
    if (!options->plan_only) SN_TRY(take_memory(p), cleanup);
    *program = p;
    p = NULL;
cleanup:
    free(needs);
    sn_program_destroy(p);
    return status;
}

void sn_program_destroy(sn_program *program)
{
    if (!program) return;
    sn_plan_free(&program->plan);
    for (int k = 0; k < MOST_VIEWS; k++) sn_view_destroy(program->views[k]);
    free(program->steps);
    free(program->bound);
    free(program->released_by);
    free(program->handovers);
    free(program->profile);
    sn_free_aligned(program->constants);
    sn_free_aligned(program->packed);
    sn_workspace_destroy(program->own_workspace);
    free(program);
}

/* ---- running ---- */

/* The data of a node, from image `first` of the batch on. */
static void *data_of(const sn_program *p, sn_id id, int64_t first)
{
    const sn_location *at = &p->plan.locations[id];
    size_t skipped = (size_t)first * at->image_bytes;
    switch (at->kind) {
    case SN_AT_PARAM: return sn_params_data(p->options.params, at->param);
    case SN_AT_GRADIENT: return sn_params_data(p->options.gradients, at->param);
    case SN_AT_INPUT: return (char *)(uintptr_t)p->bound[id] + skipped;
    case SN_AT_CONSTANT: return (char *)p->constants + at->offset;
    case SN_AT_PREPARE:
    case SN_AT_ARENA: return (char *)p->options.workspace->memory + at->offset + skipped;
    case SN_AT_NOTHING: break;
    }
    return NULL;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The call of a step on images [first, first + images) with its data. */
static sn_kernel_call bind_call(const sn_program *p, const step *s, int64_t first, int64_t images)
{
    sn_kernel_call call = blank_call(p, s, images);
    const sn_node *node = call.node;
    for (int k = 0; k < node->inputs_count; k++)
        if (node->inputs[k] != SN_NONE) call.inputs[k] = data_of(p, node->inputs[k], first);
    call.output = data_of(p, s->node, first);
    if (s->squeeze != SN_NONE) call.squeeze = data_of(p, s->squeeze, first);
    if (s->stats != SN_NONE) call.stats = data_of(p, s->stats, first);
    call.scratch = (char *)p->options.workspace->memory + p->plan.scratch_offsets[s->node];
    call.packed = (char *)(p->options.lean ? call.scratch : p->packed) + s->packed_offset;
    return call;
}

static void run_step(sn_program *p, step *s, int64_t first, int64_t images)
{
    double start = p->profiling ? now() : 0;
    sn_kernel_call call = bind_call(p, s, first, images);
    if (p->options.lean && s->packed_bytes) s->kernel->pack(&call, (char *)(uintptr_t)call.packed);
    s->kernel->run(&call);
    if (p->profiling) s->seconds += now() - start;
}

/* Parameters changed: computes what depends on them alone and packs weights, layer by layer, so that little folded weight is
 * kept at a time. */
static senet_status prepare(sn_program *p)
{
    const sn_graph *graph = p->graph;
    SN_RETURN_IF_FAILED(sn_params_hold(p->options.params));
    for (size_t i = 0; i < p->steps_count; i++) {
        step *s = &p->steps[i];
        if (s->packed_bytes && !p->options.lean) {
            sn_kernel_call call = bind_call(p, s, 0, s->group);
            s->kernel->pack(&call, (char *)p->packed + s->packed_offset);
        }
        if (s->constant) run_step(p, s, 0, s->group);
        for (int k = 0; p->options.release_params && k < graph->nodes[s->node].inputs_count; k++) {
            sn_id input = graph->nodes[s->node].inputs[k];
            if (input != SN_NONE && p->released_by[input] == (int32_t)i)
                sn_params_release(p->options.params, graph->nodes[input].attrs.u.param.index);
        }
    }
    return SENET_OK;
}

/* Gives away the gradients that are due behind step `after`. */
static void hand_over(sn_program *p, sn_id after)
{
    for (; p->handed < p->handovers_count && p->handovers[p->handed].after <= after; p->handed++) {
        int32_t param = p->handovers[p->handed].param;
        p->options.take_gradient(p->options.take_context, param, data_of(p, p->graph->params[param].gradient, 0));
    }
}

/* Runs steps [begin, end), which share a group, for all images. */
static void run_segment(sn_program *p, size_t begin, size_t end)
{
    int64_t batch = p->graph->batch, images;
    for (int64_t first = 0; first < batch; first += images) {
        images = batch - first >= p->steps[begin].group ? p->steps[begin].group : 1;
        for (size_t i = begin; i < end; i++) {
            if (!p->steps[i].constant) run_step(p, &p->steps[i], first, images);
            hand_over(p, p->steps[i].node);
        }
    }
}

senet_status sn_program_run(sn_program *program)
{
    const sn_graph *graph = program->graph;
    if (program->options.plan_only) return sn_fail(SENET_INTERNAL, "a program that is only planned cannot run");
    for (size_t i = 0; i < graph->nodes_count; i++)
        if (graph->nodes[i].op == SN_OP_input && !program->bound[i])
            return sn_fail(SENET_USAGE, "input '%s' is not bound", graph->nodes[i].name);
    uint64_t version = sn_params_version(program->options.params);
    if (version != program->seen_version) SN_RETURN_IF_FAILED(prepare(program));
    program->handed = 0;
    for (size_t begin = 0, end; begin < program->steps_count; begin = end) {
        end = begin + 1;
        while (end < program->steps_count && program->steps[end].group == program->steps[begin].group) end++;
        run_segment(program, begin, end);
    }
    hand_over(program, INT32_MAX);
    program->seen_version = version;
    if (program->effects) sn_params_changed(program->options.params);
    return SENET_OK;
}

senet_status sn_program_set_input(sn_program *program, const char *name, const void *data)
{
    const sn_graph *graph = program->graph;
    for (size_t i = 0; i < graph->nodes_count; i++) {
        if (graph->nodes[i].op != SN_OP_input || strcmp(graph->nodes[i].name, name) != 0) continue;
        program->bound[i] = data;
        return SENET_OK;
    }
    return sn_fail(SENET_USAGE, "the network has no input '%s'", name);
}

const void *sn_program_output(const sn_program *program, const char *name, sn_shape *shape)
{
    sn_id id = sn_graph_find_output(program->graph, name);
    if (id == SN_NONE) return NULL;
    if (shape) *shape = program->graph->nodes[id].shape;
    return data_of(program, id, 0);
}

/* ---- what it costs ---- */

sn_memory_use sn_program_memory(const sn_program *program)
{
    const sn_params *params = program->options.params;
    return (sn_memory_use){.arena_bytes = program->plan.arena_bytes,
                           .packed_bytes = program->packed_bytes + program->plan.constant_bytes,
                           .params_bytes = params ? sn_params_held_bytes(params) : 0};
}

void sn_program_profile(sn_program *program, bool on)
{
    if (on)
        for (size_t i = 0; i < program->steps_count; i++) program->steps[i].seconds = 0;
    program->profiling = on;
}

const sn_step_profile *sn_program_profile_steps(const sn_program *program, size_t *count)
{
    for (size_t i = 0; i < program->steps_count; i++) {
        const step *s = &program->steps[i];
        program->profile[i] = (sn_step_profile){&program->graph->nodes[s->node], s->kernel->name, s->seconds};
    }
    *count = program->steps_count;
    return program->profile;
}
