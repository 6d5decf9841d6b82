/* bench_job.c - see bench_job.h. */
#include "bench_job.h"

#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "base/rng.h"
#include "ops/op.h"
#include "train/calibrate.h"

/* ---- inputs ---- */

/* Fills an input so that the network can run: labels are classes, the rectangles of a picture are the whole and none.
 */
static void fill_input(const sn_node *node, int64_t height, int64_t width, int64_t classes, void *buffer)
{
    uint64_t key = sn_fnv1a64_text(node->name);
    int64_t elements = sn_shape_elements(node->shape);
    bool rects = strcmp(node->name, "rects") == 0, shake = strcmp(node->name, "shake") == 0;
    for (int64_t i = 0; i < elements; i++) {
        uint64_t bits = sn_rng_u64(key, (uint64_t)i);
        double u = sn_rng_uniform(key, (uint64_t)i);
        switch (node->dtype) {
        case SN_REAL:
            ((float *)buffer)[i] = (float)(shake ? u : 2 * u - 1);
            break;
        case SN_U8:
            ((uint8_t *)buffer)[i] = (uint8_t)bits;
            break;
        case SN_U64:
            ((uint64_t *)buffer)[i] = bits;
            break;
        case SN_BF16:
        case SN_Q8:
            break; /* no network takes them */
        case SN_I32:
            if (!rects)
                ((int32_t *)buffer)[i] = (int32_t)(i % classes);
            else
                ((int32_t *)buffer)[i] = i % 8 == 2 ? (int32_t)height : i % 8 == 3 ? (int32_t)width : 0;
            break;
        }
    }
}

static senet_status bind_inputs(bench_job *job)
{
    job->buffers = calloc(job->graph->nodes_count, sizeof *job->buffers);
    if (!job->buffers) return sn_fail_memory(job->graph->nodes_count * sizeof *job->buffers, "the inputs");
    for (size_t i = 0; i < job->graph->nodes_count; i++) {
        const sn_node *node = &job->graph->nodes[i];
        if (node->op != SN_OP_input) continue;
        size_t bytes = (size_t)sn_shape_elements(node->shape) * sn_dtype_bytes(node->dtype, SN_FLOAT);
        void *buffer = sn_alloc_aligned(bytes);
        if (!buffer) return sn_fail_memory(bytes, node->name);
        job->buffers[job->buffers_count++] = buffer;
        fill_input(node, job->work.height, job->work.width, job->model->spec.classes, buffer);
        SN_RETURN_IF_FAILED(sn_program_set_input(job->program, node->name, buffer));
    }
    return SENET_OK;
}

/* ---- the graph of a training step ---- */

static senet_status build_training(bench_job *job)
{
    const sn_preprocess *preprocess = &job->model->preprocess;
    sn_build_options options = {.mode = SN_MODE_TRAIN,
                                .batch = job->work.batch,
                                .height = job->work.height,
                                .width = job->work.width,
                                .input = SN_INPUT_U8,
                                .loss = true};
    sn_training_graph_options training = {.precision = job->model->precision,
                                          .recompute = job->work.recompute,
                                          .threads = job->model->threads,
                                          .reference_only = job->model->reference_only};
    memcpy(options.mean, preprocess->mean, sizeof options.mean);
    memcpy(options.std, preprocess->std, sizeof options.std);
    SN_RETURN_IF_FAILED(sn_model_build(&job->model->spec, &options, &job->graph));
    SN_RETURN_IF_FAILED(sn_training_graph_make(&training, &job->graph));
    if (job->work.recompute == SN_RECOMPUTE_NONE)
        SN_RETURN_IF_FAILED(sn_params_create(job->graph, SN_FLOAT, &job->gradients));
    SN_RETURN_IF_FAILED(sn_params_create(job->graph, SN_FLOAT, &job->velocity));
    sn_train_defaults(&job->config);
    return sn_update_plan_create(job->graph, job->model->params, &job->config, &job->update);
}

/* The rate is 0 so that a bench of any length stays where it began; the work is the same. */
enum { LEARNING_RATE = 0 };

static void take_gradient(void *context, int index, const void *gradient)
{
    const bench_job *job = context;
    sn_sgd_step_param(&job->update, &job->config, LEARNING_RATE, job->model->threads, job->model->params, job->velocity, index,
                      gradient);
}

/* Without a weights file there are no ranges for int8: they are taken from random pictures, as the time does not depend on them. */
static senet_status make_up_ranges(senet_model *model, int64_t height, int64_t width)
{
    size_t values = (size_t)height * (size_t)width * 3 * SN_CALIBRATION_STEP;
    float *pictures = sn_alloc_aligned(values * sizeof *pictures);
    if (!pictures) return sn_fail_memory(values * sizeof *pictures, "random pictures");
    for (size_t i = 0; i < values; i++) pictures[i] = (float)(2 * sn_rng_uniform(1, i) - 1);
    sn_calibration_input input = {.pictures = pictures, .count = 1, .height = height, .width = width};
    sn_calibration_options options = {.threads = model->threads};
    senet_status status = sn_calibrate(&model->spec, model->params, &input, &options, &model->info.quantization, NULL);
    sn_free_aligned(pictures);
    return status;
}

senet_status bench_job_create(senet_model *model, const bench_work *work, bench_job *job)
{
    *job = (bench_job){.model = model, .work = *work};
    const bool training = work->training, lean = work->recompute != SN_RECOMPUTE_NONE;
    if (!work->height) job->work.height = model->preprocess.height;
    if (!work->width) job->work.width = model->preprocess.width;
    if (!model->threads) model->threads = sn_default_threads();
    if (model->precision == SENET_INT8 && training) return sn_fail(SENET_USAGE, "--precision int8 is for inference, not for --train");
    if (model->precision == SENET_INT8 && !model->info.quantization)
        SN_RETURN_IF_FAILED(make_up_ranges(model, job->work.height, job->work.width));
    SN_RETURN_IF_FAILED(training
                            ? build_training(job)
                            : sn_model_build_inference(model, work->batch, job->work.height, job->work.width, NULL, 0, &job->graph));
    sn_program_options options = {.threads = model->threads,
                                  .reference_only = model->reference_only,
                                  .params = model->params,
                                  .tuning = model->tuning,
                                  .release_params = !training,
                                  .gradients = job->gradients,
                                  .take_gradient = lean ? take_gradient : NULL,
                                  .take_context = job,
                                  .lean = lean};
    SN_RETURN_IF_FAILED(sn_program_create(job->graph, &options, &job->program));
    if (model->tuning) SN_RETURN_IF_FAILED(sn_tuning_save(model->tuning));
    return bind_inputs(job);
}

senet_status bench_job_step(bench_job *job)
{
    SN_RETURN_IF_FAILED(sn_program_run(job->program));
    if (!job->gradients) return SENET_OK;
    sn_sgd_step(&job->update, &job->config, LEARNING_RATE, job->model->threads, job->model->params, job->velocity, job->gradients);
    sn_params_changed(job->model->params);
    return SENET_OK;
}

void bench_job_free(bench_job *job)
{
    for (size_t i = 0; i < job->buffers_count; i++) sn_free_aligned(job->buffers[i]);
    free(job->buffers);
    sn_program_destroy(job->program);
    sn_update_plan_free(&job->update);
    sn_params_destroy(job->velocity);
    sn_params_destroy(job->gradients);
    sn_graph_destroy(job->graph);
    *job = (bench_job){0};
}

/* ---- work ---- */

int64_t bench_node_macs(const sn_graph *graph, const sn_node *node)
{
    bool of_input = node->op == SN_OP_conv2d_grad_input, of_weight = node->op == SN_OP_conv2d_grad_weight;
    if (!of_input && !of_weight) return sn_node_cost(graph, node).macs;
    /* Both have as many products as the convolution itself: the elements of dy times those of one filter. */
    const sn_node *dy = sn_input_of(graph, node, of_input ? 0 : 1);
    sn_shape weight = of_input ? sn_input_of(graph, node, 1)->shape : node->shape; /* {kh, kw, in/groups, out} */
    return sn_shape_elements(dy->shape) * weight.n * weight.h * weight.w;
}

int64_t bench_job_macs(const bench_job *job)
{
    int64_t macs = 0;
    for (size_t i = 0; i < job->graph->nodes_count; i++) macs += bench_node_macs(job->graph, &job->graph->nodes[i]);
    return macs;
}
