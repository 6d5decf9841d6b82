/* exec.h - from a graph to something that runs: parameters, backends, programs.
 *
 * A program knows every tensor's lifetime, lays all of them into one arena, packs weights once per change, and then runs
 * without allocating.  Programs of different batch sizes or modes share one sn_params, and may share one workspace.
 */
#ifndef SN_EXEC_EXEC_H
#define SN_EXEC_EXEC_H

#include "graph/graph.h"

/* The working type behind SN_REAL.  SN_DOUBLE runs on the plain C kernels only: the yardstick of the tests. */
typedef enum sn_precision { SN_FLOAT, SN_DOUBLE } sn_precision;
static inline size_t sn_real_bytes(sn_precision p) { return p == SN_DOUBLE ? 8 : 4; }

/* Bytes of an element. */
static inline size_t sn_dtype_bytes(sn_dtype dtype, sn_precision p)
{
    static const size_t bytes[] = {[SN_U8] = 1, [SN_I32] = 4, [SN_U64] = 8, [SN_BF16] = 2, [SN_Q8] = 1};
    return dtype == SN_REAL ? sn_real_bytes(p) : bytes[dtype];
}

/* ---- parameters: one flat block, learnable tensors first (so that an optimiser walks one array), then statistics ---- */

typedef struct sn_params sn_params;

/* Zero-filled storage for graph->params; it depends only on the list of parameters, not on the batch. */
senet_status sn_params_create(const sn_graph *graph, sn_precision precision, sn_params **params);
void sn_params_destroy(sn_params *params);
/* Start of parameter `index` (graph order) in memory layout (sn_param.shape), float or double. */
void *sn_params_data(const sn_params *params, int index);
/* The whole block; the first `learnable` elements are the learnable tensors (padding between tensors is zero). */
void *sn_params_block(const sn_params *params, size_t *learnable, size_t *total);
sn_precision sn_params_precision(const sn_params *params);
/* Tells programs that values changed, so that they fold and pack again. */
void sn_params_changed(sn_params *params);
uint64_t sn_params_version(const sn_params *params);

/* ---- memory of parameters that can be read again ---- */

/* How to fill in every value once more. */
typedef senet_status (*sn_params_source)(void *context, sn_params *params);
/* From now on values may be let go of: `read` brings them back.  Values set after this would be lost. */
void sn_params_set_source(sn_params *params, sn_params_source read, void *context);
/* Gives the parameter's memory back to the system, if there is a source; its values read as undefined until sn_params_hold. */
void sn_params_release(sn_params *params, int index);
/* Bytes that have not been given back. */
size_t sn_params_held_bytes(const sn_params *params);
/* Brings back what was released; the version stays. */
senet_status sn_params_hold(sn_params *params);

/* Copies a parameter from or to file order (sn_param.dims: OIHW, row-major float32). */
void sn_params_set(sn_params *params, const sn_graph *graph, int index, const float *file_order);
void sn_params_get(const sn_params *params, const sn_graph *graph, int index, float *file_order);
/* The same for a block of another kind with the params' layout (gradients, momentum). */
double sn_params_read(const sn_params *params, const sn_graph *graph, int index, int64_t file_order_element);

/* ---- kernels ---- */

/* One execution of a node, handed to a kernel. Pointers are NULL while a kernel is being chosen. */
typedef struct sn_kernel_call {
    const sn_graph *graph;
    const sn_node *node;
    const sn_node *input_nodes[SN_MAX_INPUTS]; /* NULL for an absent optional input */
    const void *inputs[SN_MAX_INPUTS];
    void *output;
    /* Not NULL: the kernel also computes this squeeze_avg of its output (sn_kernel.squeezes), into `squeeze`, (N,1,1,C):
     * the mean over H and W of what it writes, summed in an order that depends on the shape alone. */
    const sn_node *squeeze_node;
    void *squeeze;
    /* Not NULL: the kernel also computes this bn_stats of its output (sn_kernel.stats_refusal), into `stats`, (1,1,2,C), of the
     * values as they are stored, summed in an order that depends on the shape alone. */
    const sn_node *stats_node;
    float *stats;
    const void *packed; /* what pack() made */
    void *scratch;      /* scratch_bytes() bytes, aligned, contents undefined */
    int threads;
    sn_precision precision;
    bool training; /* the program has gradients */
} sn_kernel_call;

/* What only some kernels of conv2d do; the others are not offered such calls (sn_cpu_refusal). */
typedef enum sn_conv_extra { SN_TAKES_GATE = 1, SN_SHUFFLES = 2, SN_TAKES_SCALE = 4 } sn_conv_extra;

typedef struct sn_kernel {
    const char *name; /* "conv2d_direct_f32__avx512" */
    sn_op_kind op;
    /* The narrowest type among the output and the inputs of the calls that it may be offered: SN_REAL (no tensor is narrow), SN_BF16
     * or SN_Q8.  refuse() looks at what is stored how beyond that. */
    sn_dtype storage;
    const char *(*refuse)(const sn_kernel_call *call); /* NULL or returns NULL: takes it; else why not */
    size_t (*scratch_bytes)(const sn_kernel_call *call);
    size_t (*packed_bytes)(const sn_kernel_call *call); /* weights laid out for the kernel; remade when they change */
    /* Reads call->inputs that are parameters or folded from them, and no scratch. A kernel that packs does not read input 1,
     * the weight, when it runs: what was folded is gone by then. */
    void (*pack)(const sn_kernel_call *call, void *packed);
    void (*run)(const sn_kernel_call *call);
    uint32_t takes; /* sn_conv_extra of conv2d: what beyond the usual inputs refuse() need not ask about */
    /* Whether a run can give the squeeze_avg of its output as a byproduct (NULL: never).  If so and the graph has one, the
     * program sets call->squeeze_node from scratch_bytes() on, call->squeeze for run(), and skips the squeeze's own step.
     * cpu/kernels/squeeze_sums.h has the sums. */
    bool (*squeezes)(const sn_kernel_call *call);
    /* Why a run cannot give the bn_stats of its output as a byproduct, or NULL: it can (no function: it never can).  Then the program
     * of a whole batch sets call->stats_node from scratch_bytes() on, call->stats for run(), and skips the step of the statistics.
     * cpu/kernels/norm_sums.h has the sums. */
    const char *(*stats_refusal)(const sn_kernel_call *call);
} sn_kernel;

/* ---- programs ---- */

typedef struct sn_tuning sn_tuning; /* tuning.h */
typedef struct sn_workspace sn_workspace; /* arena memory that several programs take turns to use */
senet_status sn_workspace_create(sn_workspace **workspace);
void sn_workspace_destroy(sn_workspace *workspace);

/* Takes the gradient of parameter `index`, in the layout of sn_params_data, once no step of the run reads the parameter any more:
 * the parameter may change at once.  The memory is the program's, and used again after the call. */
typedef void (*sn_gradient_taker)(void *context, int index, const void *gradient);

typedef struct sn_program_options {
    sn_precision precision;
    int threads;             /* 0: sn_default_threads() */
    bool reference_only;     /* plain C kernels */
    sn_params *params;       /* required; must outlive the program */
    sn_params *gradients;    /* same layout; required when the graph has gradients that nobody takes */
    sn_gradient_taker take_gradient; /* NULL: gradients are written to `gradients`, and stay */
    void *take_context;
    sn_workspace *workspace; /* NULL: the program has its own */
    sn_tuning *tuning;       /* NULL: kernels are chosen by their models; else it must outlive sn_program_create */
    bool release_params;     /* lets go of weights once they are folded and packed (sn_params_release) */
    bool lean;               /* keeps no packed weights and nothing else between runs: all is made when a step needs it, in the arena, for
                                whole batches.  For weights that change at every run, or little memory.  With plan_only gradients count as taken */
    bool plan_only;          /* takes no memory for tensors and needs no params: for sn_program_memory; cannot run */
} sn_program_options;

typedef struct sn_program sn_program;

/* Plans the graph; the graph must outlive the program. Memory that cannot be had is an error that names the bytes. */
senet_status sn_program_create(const sn_graph *graph, const sn_program_options *options, sn_program **program);
void sn_program_destroy(sn_program *program);

/* Binds an input by name; `data` must stay valid until the run returns.  Unknown names are errors. */
senet_status sn_program_set_input(sn_program *program, const char *name, const void *data);
/* Runs everything. SENET_USAGE when an input is unbound. */
senet_status sn_program_run(sn_program *program);
/* The output's data after a run (valid until the next run of any program on the same workspace); its shape if not NULL. */
const void *sn_program_output(const sn_program *program, const char *name, sn_shape *shape);

typedef struct sn_memory_use {
    size_t arena_bytes, packed_bytes, params_bytes;
} sn_memory_use;
sn_memory_use sn_program_memory(const sn_program *program);

/* Per-step times: set before a run; the profile holds one entry a step in order. */
typedef struct sn_step_profile {
    const sn_node *node;
    const char *kernel;
    double seconds; /* sum over the runs since profiling began */
} sn_step_profile;
void sn_program_profile(sn_program *program, bool on);
const sn_step_profile *sn_program_profile_steps(const sn_program *program, size_t *count);

#endif
