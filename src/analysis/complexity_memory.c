/* complexity_memory.c - the memory plans of inference and of a training step, made and thrown away.
 *
 * The graphs are those that `senet predict` and `senet train` run; the arena has the
 * scratch memory of the kernels that would be chosen here. */
#include "analysis/complexity_memory.h"

#include "cpu/cpu.h"

static senet_status plan_program(const sn_graph *graph, sn_program_options options, sn_program_needs *needs)
{
    options.plan_only = true;
    sn_program *program = NULL;
    SN_RETURN_IF_FAILED(sn_program_create(graph, &options, &program));
    sn_memory_use use = sn_program_memory(program);
    sn_program_destroy(program);
    *needs = (sn_program_needs){.arena = use.arena_bytes, .packed = use.packed_bytes};
    return SENET_OK;
}

static senet_status plan_inference(const sn_spec *spec, const sn_build_options *options, int threads,
                                   sn_program_needs *needs)
{
    sn_graph *graph = NULL, *folded = NULL, *joined = NULL;
    senet_status status;
    SN_TRY(sn_model_build(spec, options, &graph), cleanup);
    SN_TRY(sn_graph_fold_batch_norm(graph, &folded), cleanup);
    SN_TRY(sn_cpu_join_layers(folded, SENET_FP32, &joined), cleanup);
    status = plan_program(joined, (sn_program_options){.threads = threads}, needs);
cleanup:
    sn_graph_destroy(graph);
    sn_graph_destroy(folded);
    sn_graph_destroy(joined);
    return status;
}

/* Pictures come as bytes, and a loss and its gradients are added. */
static senet_status plan_training(const sn_spec *spec, sn_build_options options, int threads, sn_recompute recompute,
                                  sn_memory_needs *needs)
{
    const bool lean = recompute != SN_RECOMPUTE_NONE;
    sn_training_graph_options training = {.recompute = recompute, .threads = threads};
    sn_program_options program = {.threads = threads, .lean = lean};
    sn_graph *graph = NULL;
    senet_status status;
    options.mode = SN_MODE_TRAIN;
    options.input = SN_INPUT_U8;
    options.loss = true;
    for (int c = 0; c < 3; c++) options.std[c] = 1;
    SN_TRY(sn_model_build(spec, &options, &graph), cleanup);
    for (size_t i = 0; i < graph->params_count; i++) {
        size_t bytes = sn_align((size_t)sn_shape_elements(graph->params[i].shape) * sizeof(float), SN_ALIGNMENT);
        needs->weights += bytes;
        needs->momentum += graph->params[i].learnable ? bytes : 0;
    }
    needs->gradients = lean ? 0 : needs->momentum;
    SN_TRY(sn_training_graph_make(&training, &graph), cleanup);
    status = plan_program(graph, program, &needs->training);
cleanup:
    sn_graph_destroy(graph);
    return status;
}

senet_status sn_memory_needs_plan(const sn_spec *spec, int64_t batch, int64_t height, int64_t width, int threads,
                                  sn_recompute recompute, sn_memory_needs *needs)
{
    sn_build_options options = {.mode = SN_MODE_EVAL, .batch = batch, .height = height, .width = width};
    *needs = (sn_memory_needs){0};
    SN_RETURN_IF_FAILED(plan_inference(spec, &options, threads, &needs->inference));
    return plan_training(spec, options, threads, recompute, needs);
}

size_t sn_memory_needs_inference(const sn_memory_needs *needs)
{
    return needs->weights + needs->inference.packed + needs->inference.arena;
}

size_t sn_memory_needs_training(const sn_memory_needs *needs)
{
    return needs->weights + needs->gradients + needs->momentum + needs->training.packed + needs->training.arena;
}
