/* training.c - setting a training up: data, model, parameters, folder; from the start or from a checkpoint. */
#define _GNU_SOURCE
#include "train/training.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/parallel.h"
#include "data/mix.h"
#include "train/config.h"
#include "train/evaluate.h"
#include "train/step.h"
#include "train/training_data.h"

void sn_training_say(const sn_training *training, const char *format, ...)
{
    if (!training->hooks.message) return;
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    training->hooks.message(training->hooks.context, line);
}

/* ---- settings ---- */

/* A resumed run knows its model and data, and where it lives. */
static senet_status complete_config(sn_training *t)
{
    sn_train_config *config = &t->config;
    if (config->resume && (!config->model || !config->data)) {
        sn_train_config stored;
        SN_RETURN_IF_FAILED(sn_train_resume_config(config->resume, &t->strings, &stored));
        if (!config->model) config->model = stored.model;
        if (!config->data) config->data = stored.data;
    }
    if (config->resume && !config->output) config->output = config->resume;
    SN_RETURN_IF_FAILED(sn_config_check(config));
    if (config->threads == 0) config->threads = sn_default_threads();
    sn_text said = {0};
    sn_schedule_stretch(config, &said);
    if (said.length > 0) sn_training_say(t, "%s", sn_text_string(&said));
    sn_text_free(&said);
    return SENET_OK;
}

/* ---- model ---- */

/* Parses the model's name.  A name that says nothing about classes takes those of the data. */
static senet_status choose_model(sn_training *t)
{
    const sn_dataset_info *info = sn_dataset_describe(t->train_set);
    char canonical[512];
    SN_RETURN_IF_FAILED(sn_spec_parse(t->config.model, &t->spec));
    if (!strstr(t->config.model, "classes=") && !info->real && t->spec.classes != info->classes) {
        sn_training_say(t, "the classifier gets %lld outputs, as the data set '%s' has classes", (long long)info->classes,
                        info->name);
        t->spec.classes = info->classes;
    }
    SN_RETURN_IF_FAILED(sn_check_classes(&t->spec, t->train_set));
    sn_spec_canonical(&t->spec, canonical, sizeof canonical);
    t->config.model = sn_arena_strdup(&t->strings, canonical);
    return t->config.model ? SENET_OK : sn_fail_memory(sizeof canonical, "a model's name");
}

/* Parameters, their gradients and velocities; no batch is involved yet. */
static senet_status create_params(sn_training *t)
{
    sn_build_options build = sn_build_options_for(t->train_set, &t->preprocess, SN_MODE_TRAIN, 1);
    build.no_fuse = true;
    SN_RETURN_IF_FAILED(sn_model_build(&t->spec, &build, &t->layout));
    SN_RETURN_IF_FAILED(sn_params_create(t->layout, SN_FLOAT, &t->params));
    if (t->config.recompute == SN_RECOMPUTE_NONE)
        SN_RETURN_IF_FAILED(sn_params_create(t->layout, SN_FLOAT, &t->gradients));
    SN_RETURN_IF_FAILED(sn_params_create(t->layout, SN_FLOAT, &t->velocity));
    if (sn_step_piece(&t->config) < t->config.batch)
        SN_RETURN_IF_FAILED(sn_params_create(t->layout, SN_FLOAT, &t->gradient_sum));
    if (t->config.ema > 0) SN_RETURN_IF_FAILED(sn_params_create(t->layout, SN_FLOAT, &t->ema));
    return sn_workspace_create(&t->workspace);
}

sn_network_options sn_training_network_options(const sn_training *t, const sn_dataset *dataset, sn_mode mode,
                                               int64_t batch)
{
    sn_network_options options = {.spec = &t->spec,
                                  .build = sn_build_options_for(dataset, &t->preprocess, mode, batch),
                                  .threads = t->config.threads,
                                  .precision = t->config.precision,
                                  .reference_only = t->config.reference_only,
                                  .recompute = t->config.recompute,
                                  .params = t->params,
                                  .gradients = t->gradients,
                                  .workspace = t->workspace};
    options.build.smoothing = t->config.label_smoothing;
    options.build.mixed = mode != SN_MODE_EVAL && sn_mixes(&t->config.augment);
    return options;
}

senet_status sn_training_prepare_epoch(sn_training *t)
{
    bool freeze = t->state.epoch >= t->config.epochs - t->config.freeze_bn_epochs;
    if (t->network && freeze == t->frozen) return SENET_OK;
    if (freeze && t->config.freeze_bn_epochs < t->config.epochs)
        sn_training_say(t, "batch norm is frozen from epoch %lld on", (long long)t->state.epoch + 1);
    sn_network_destroy(t->network);
    t->network = NULL;
    t->frozen = freeze;
    sn_network_options options =
        sn_training_network_options(t, t->train_set, freeze ? SN_MODE_TRAIN_FROZEN : SN_MODE_TRAIN, sn_step_piece(&t->config));
    if (!t->gradients) {
        options.take_gradient = sn_step_take_gradient;
        options.take_context = t;
    }
    SN_RETURN_IF_FAILED(sn_network_create(&options, &t->network));
    sn_update_plan_free(&t->plan);
    return sn_update_plan_create(sn_network_graph(t->network), t->params, &t->config, &t->plan);
}

static senet_status create_networks(sn_training *t)
{
    SN_RETURN_IF_FAILED(sn_training_prepare_epoch(t));
    if (!t->val_set) return SENET_OK;
    int64_t count = sn_dataset_describe(t->val_set)->count;
    if (t->config.eval_batch > count) t->config.eval_batch = count;
    t->eval_batch = t->config.eval_batch;
    if (t->config.recompute != SN_RECOMPUTE_NONE && t->eval_batch > sn_step_piece(&t->config))
        t->eval_batch = sn_step_piece(&t->config); /* so that its tensors take no more than training's */
    sn_network_options options = sn_training_network_options(t, t->val_set, SN_MODE_EVAL, t->eval_batch);
    SN_RETURN_IF_FAILED(sn_network_create(&options, &t->eval_network));
    options.params = t->ema;
    return t->ema ? sn_network_create(&options, &t->ema_network) : SENET_OK;
}

/* ---- the state to begin with ---- */

static senet_status load_initial_weights(sn_training *t)
{
    sn_tensors *file;
    sn_load_report report;
    SN_RETURN_IF_FAILED(sn_weights_open(t->config.init_weights, &file));
    senet_status status = sn_weights_load(file, t->spec.base, t->layout, t->params, &report);
    if (report.unused > 0)
        sn_training_say(t, "%s: unused, as the network has no place for them: %d of the file's tensors, first '%s'",
                        t->config.init_weights, report.unused, report.names[0]);
    sn_load_report_free(&report);
    sn_tensors_close(file);
    return status;
}

static sn_checkpoint checkpoint_of(sn_training *t)
{
    return (sn_checkpoint){.layout = t->layout,
                           .params = t->params,
                           .velocity = t->velocity,
                           .ema = t->ema,
                           .config = &t->config,
                           .dataset = t->fingerprint,
                           .state = &t->state};
}

/* Takes parameters, velocities and state from the checkpoint of the run to go on with. */
static senet_status restore(sn_training *t)
{
    sn_checkpoint checkpoint = checkpoint_of(t);
    sn_text changes = {0};
    char *path = sn_path_join(t->config.resume, "checkpoint.safetensors");
    if (!path) return sn_fail_memory(strlen(t->config.resume), "a path");
    senet_status status = sn_checkpoint_read(path, &checkpoint, &changes);
    free(path);
    if (status == SENET_OK) {
        char *rest = changes.bytes;
        for (char *line; rest && (line = strsep(&rest, "\n")) && *line;) sn_training_say(t, "%s", line);
        sn_training_say(t, "goes on from step %lld, in epoch %lld", (long long)t->state.step, (long long)t->state.epoch + 1);
    }
    sn_text_free(&changes);
    return status;
}

static senet_status begin_state(sn_training *t)
{
    sn_train_state_reset(&t->state);
    if (t->config.resume) return restore(t);
    sn_params_init(t->layout, t->params, t->config.init, t->config.seed);
    if (t->config.init_weights) SN_RETURN_IF_FAILED(load_initial_weights(t));
    sn_step_start_average(t);
    return SENET_OK;
}

senet_status sn_training_save_checkpoint(sn_training *t)
{
    sn_checkpoint checkpoint = checkpoint_of(t);
    SN_RETURN_IF_FAILED(sn_log_sync(t->log));
    SN_RETURN_IF_FAILED(sn_checkpoint_write(t->folder.checkpoint, &checkpoint));
    t->saved_step = t->state.step;
    return SENET_OK;
}

static senet_status save_weights(const sn_training *t, const sn_params *params, double top1_error, const char *path)
{
    sn_run_weights weights = {.layout = t->layout,
                              .params = params,
                              .config = &t->config,
                              .dataset = t->train_set,
                              .preprocess = t->preprocess,
                              .classes = t->spec.classes,
                              .epoch = t->state.epoch,
                              .top1_error = top1_error};
    return sn_run_weights_save(path, &weights);
}

senet_status sn_training_save_weights(const sn_training *t, const char *path)
{
    return save_weights(t, t->params, t->state.val.top1_error, path);
}

senet_status sn_training_save_ema(const sn_training *t)
{
    return t->ema ? save_weights(t, t->ema, t->state.ema.top1_error, t->folder.ema) : SENET_OK;
}

/* The folder comes late: a training that cannot begin leaves none behind. */
static senet_status create(sn_training *t)
{
    SN_RETURN_IF_FAILED(complete_config(t));
    SN_RETURN_IF_FAILED(sn_training_open_data(t));
    SN_RETURN_IF_FAILED(choose_model(t));
    SN_RETURN_IF_FAILED(sn_training_choose_input(t));
    SN_RETURN_IF_FAILED(create_params(t));
    SN_RETURN_IF_FAILED(begin_state(t));
    SN_RETURN_IF_FAILED(create_networks(t));
    SN_RETURN_IF_FAILED(sn_training_start_loader(t));
    SN_RETURN_IF_FAILED(sn_run_folder_open(t->config.output, t->config.resume, &t->folder));
    SN_RETURN_IF_FAILED(sn_log_open(t->folder.path, t->state.step, t->state.epoch, t->ema != NULL, &t->log));
    return sn_training_save_checkpoint(t);
}

senet_status sn_training_create(const sn_train_config *config, const sn_train_hooks *hooks, sn_training **training)
{
    *training = NULL;
    sn_training *t = calloc(1, sizeof *t);
    if (!t) return sn_fail_memory(sizeof *t, "a training");
    t->config = *config;
    if (hooks) t->hooks = *hooks;
    t->saved_step = -1;
    senet_status status = create(t);
    if (status == SENET_OK) *training = t;
    else sn_training_destroy(t);
    return status;
}

void sn_training_destroy(sn_training *t)
{
    if (!t) return;
    sn_log_close(t->log);
    sn_loader_destroy(t->loader);
    sn_run_folder_free(&t->folder);
    sn_update_plan_free(&t->plan);
    sn_network_destroy(t->network);
    sn_network_destroy(t->eval_network);
    sn_network_destroy(t->ema_network);
    sn_workspace_destroy(t->workspace);
    sn_params_destroy(t->params);
    sn_params_destroy(t->gradients);
    sn_params_destroy(t->gradient_sum);
    sn_params_destroy(t->velocity);
    sn_params_destroy(t->ema);
    sn_graph_destroy(t->layout);
    sn_dataset_close(t->train_set);
    sn_dataset_close(t->val_set);
    sn_arena_free(&t->strings);
    free(t);
}
