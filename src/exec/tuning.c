/* tuning.c - see tuning.h.
 *
 * A choice's name says all that the time depends on: processor, level, threads, shapes, attributes and what is joined to the
 * convolution.  The file is a JSON object {"kernels": {name: kernel}}; choices for other machines in it stay as they are.
 * Between two runs of a kernel its weights are pushed out of the caches, as in a network, where other layers' come between. */
#define _POSIX_C_SOURCE 200809L
#include "exec/tuning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "cpu/cpu.h"
#include "ops/op.h"

enum {
    MOST_CANDIDATES = 8,
    RUNS = 5,
    FLUSHED_BYTES = 48 << 20, /* more than the caches hold */
    NAME_BYTES = 512,
    LARGEST_FILE = 16 << 20
};

typedef struct choice {
    char *name, *kernel;
} choice;

struct sn_tuning {
    char *path, processor[96];
    choice *choices;
    size_t count, capacity;
    bool changed;
};

/* ---- the file ---- */

/* "model name" of /proc/cpuinfo, or nothing. */
static void read_processor(char *name, size_t bytes)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(name, bytes, "unknown processor");
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (!colon) continue;
        snprintf(name, bytes, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (file) fclose(file);
}

static senet_status remember(sn_tuning *tuning, const char *name, const char *kernel)
{
    choice made = {strdup(name), strdup(kernel)};
    if (made.name && made.kernel &&
        sn_grow(&tuning->choices, sizeof *tuning->choices, &tuning->capacity, tuning->count + 1)) {
        tuning->choices[tuning->count++] = made;
        return SENET_OK;
    }
    free(made.name);
    free(made.kernel);
    return sn_fail_memory(strlen(name), "a tuning");
}

static senet_status read_choices(sn_tuning *tuning)
{
    sn_json_document *document = NULL;
    senet_status status = sn_json_read(tuning->path, LARGEST_FILE, &document);
    if (status == SENET_NO_INPUT && access(tuning->path, F_OK) != 0) return SENET_OK;
    if (status != SENET_OK) return status;
    const sn_json *kernels = sn_json_find(document->root, "kernels");
    SN_TRY(sn_json_expect(document, kernels, "'kernels'", SN_JSON_OBJECT), cleanup);
    for (const sn_json *entry = kernels->first; entry; entry = entry->next) {
        const char *kernel;
        SN_TRY(sn_json_get_string(document, entry, entry->key, &kernel), cleanup);
        SN_TRY(remember(tuning, entry->key, kernel), cleanup);
    }
cleanup:
    sn_json_destroy(document);
    return status;
}

senet_status sn_tuning_open(const char *path, sn_tuning **opened)
{
    *opened = NULL;
    sn_tuning *tuning = calloc(1, sizeof *tuning);
    if (!tuning) return sn_fail_memory(sizeof *tuning, "a tuning");
    read_processor(tuning->processor, sizeof tuning->processor);
    tuning->path = strdup(path);
    senet_status status = tuning->path ? read_choices(tuning) : sn_fail_memory(strlen(path), "a tuning");
    if (status == SENET_OK)
        *opened = tuning;
    else
        sn_tuning_close(tuning);
    return status;
}

senet_status sn_tuning_save(sn_tuning *tuning)
{
    if (!tuning->changed) return SENET_OK;
    sn_text text = {0};
    sn_json_writer json = {.text = &text, .pretty = true};
    sn_json_open_object(&json, NULL);
    sn_json_open_object(&json, "kernels");
    for (size_t i = 0; i < tuning->count; i++) sn_json_add_string(&json, tuning->choices[i].name, tuning->choices[i].kernel);
    sn_json_close_object(&json);
    sn_json_close_object(&json);
    sn_text_add_char(&text, '\n');
    senet_status status = sn_text_check(&text, tuning->path);
    if (status == SENET_OK) status = sn_file_write(tuning->path, sn_text_string(&text), text.length);
    sn_text_free(&text);
    if (status == SENET_OK) tuning->changed = false;
    return status;
}

void sn_tuning_close(sn_tuning *tuning)
{
    if (!tuning) return;
    for (size_t i = 0; i < tuning->count; i++) {
        free(tuning->choices[i].name);
        free(tuning->choices[i].kernel);
    }
    free(tuning->choices);
    free(tuning->path);
    free(tuning);
}

/* ---- what is chosen between ---- */

/* Kernels that can run all the calls; a refusal that begins with "slower" is a choice, not a limit. */
static int find_candidates(const sn_kernel_call *calls, int count, const sn_kernel *usual, const sn_kernel **found)
{
    int candidates = 0;
    const sn_kernel *const *all = sn_cpu_candidates_on(calls->node->op, usual->storage, calls->precision, sn_cpu_isa_on(usual->storage));
    for (; all[0] && all[1] && candidates < MOST_CANDIDATES; all++) { /* the last is the plain one */
        bool able = true;
        for (int i = 0; i < count && able; i++) {
            const char *refusal = (*all)->refuse ? (*all)->refuse(&calls[i]) : NULL;
            able = !refusal || strncmp(refusal, "slower", 6) == 0;
        }
        if (able) found[candidates++] = *all;
    }
    return candidates;
}

static void name_choice(const sn_tuning *tuning, const sn_kernel_call *call, char name[NAME_BYTES])
{
    const sn_conv_attrs *a = &call->node->attrs.u.conv;
    snprintf(name, NAME_BYTES, "%s, %s, %d threads: %s %s w %s, stride %d, groups %d, padding %d %d %d %d, activation %d, types %d %d%s%s%s",
             tuning->processor, sn_cpu_isa_name(sn_cpu_isa()), call->threads, sn_op_of(call->node->op)->name,
             sn_shape_text(call->input_nodes[0]->shape), sn_shape_text(call->input_nodes[1]->shape), a->stride, a->groups,
             a->pad_top, a->pad_left, a->pad_bottom, a->pad_right, (int)a->activation, (int)call->input_nodes[0]->dtype,
             (int)call->node->dtype, call->node->inputs_count > 2 && call->input_nodes[2] ? ", bias" : "",
             call->node->inputs_count > 3 && call->input_nodes[3] ? ", residual" : "", call->squeeze_node ? ", squeeze" : "");
}

/* ---- measuring ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The shortest of some runs on zeros, whose arithmetic takes as long as any other; a negative number without memory. */
static double measure(const sn_kernel *kernel, const sn_kernel_call *given, char *flushed)
{
    sn_kernel_call call = *given;
    void *blocks[SN_MAX_INPUTS + 4] = {NULL};
    int blocks_count = 0;
    double best = -1;
    size_t bytes = (size_t)sn_shape_elements(call.node->shape) * sn_dtype_bytes(call.node->dtype, call.precision);
    call.output = blocks[blocks_count++] = sn_alloc_aligned_zeroed(bytes);
    call.scratch = blocks[blocks_count++] = sn_alloc_aligned(kernel->scratch_bytes ? kernel->scratch_bytes(&call) : 0);
    size_t packed_bytes = kernel->packed_bytes ? kernel->packed_bytes(&call) : 0;
    void *packed = blocks[blocks_count++] = sn_alloc_aligned(packed_bytes);
    if (call.squeeze_node)
        call.squeeze = blocks[blocks_count++] = sn_alloc_aligned((size_t)sn_shape_elements(call.squeeze_node->shape) * sizeof(float));
    for (int k = 0; k < call.node->inputs_count; k++) {
        const sn_node *input = call.input_nodes[k];
        if (!input) continue;
        bytes = (size_t)sn_shape_elements(input->shape) * sn_dtype_bytes(input->dtype, call.precision);
        call.inputs[k] = blocks[blocks_count++] = sn_alloc_aligned_zeroed(bytes);
    }
    for (int i = 0; i < blocks_count; i++)
        if (!blocks[i]) goto cleanup;
    if (packed_bytes) kernel->pack(&call, packed);
    call.packed = packed;
    for (int i = 0; i < RUNS; i++) {
        memset(flushed, i, FLUSHED_BYTES);
        double start = now();
        kernel->run(&call);
        double seconds = now() - start;
        if (best < 0 || seconds < best) best = seconds;
    }
cleanup:
    for (int i = 0; i < blocks_count; i++) sn_free_aligned(blocks[i]);
    return best;
}

static const sn_kernel *fastest(const sn_kernel *const *candidates, int count, const sn_kernel_call *call, const sn_kernel *usual)
{
    const sn_kernel *best = usual;
    char *flushed = sn_alloc_aligned(FLUSHED_BYTES);
    if (!flushed) return usual;
    double shortest = measure(usual, call, flushed);
    for (int i = 0; i < count; i++) {
        if (candidates[i] == usual) continue;
        double seconds = measure(candidates[i], call, flushed);
        sn_log("tuning", "%s, %s: %s %.3f ms, %s %.3f ms", sn_node_title(call->node), sn_shape_text(call->node->shape),
               candidates[i]->name, 1e3 * seconds, best->name, 1e3 * shortest);
        if (seconds < 0 || shortest < 0 || seconds >= shortest) continue;
        best = candidates[i];
        shortest = seconds;
    }
    sn_free_aligned(flushed);
    return best;
}

const sn_kernel *sn_tuning_choose(sn_tuning *tuning, const sn_kernel_call *calls, int count, const sn_kernel *usual)
{
    const sn_kernel *candidates[MOST_CANDIDATES];
    char name[NAME_BYTES];
    if (calls->node->op != SN_OP_conv2d || calls->precision != SN_FLOAT) return usual;
    int candidates_count = find_candidates(calls, count, usual, candidates);
    if (candidates_count < 2) return usual;
    name_choice(tuning, calls, name);
    for (size_t i = 0; i < tuning->count; i++)
        for (int k = 0; strcmp(tuning->choices[i].name, name) == 0 && k < candidates_count; k++)
            if (strcmp(tuning->choices[i].kernel, candidates[k]->name) == 0) return candidates[k];
    const sn_kernel *best = fastest(candidates, candidates_count, calls, usual);
    if (remember(tuning, name, best->name) == SENET_OK) tuning->changed = true;
    return best;
}
