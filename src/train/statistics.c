/* statistics.c - see statistics.h. */
#include "train/statistics.h"

#include <stdlib.h>
#include <string.h>

#include "train/step.h"
#include "train/training_data.h"

/* The running statistics of `params`: behind the learnable elements. */
static float *statistics_of(sn_params *params, size_t *count)
{
    size_t learnable, total;
    float *block = sn_params_block(params, &learnable, &total);
    *count = total - learnable;
    return block + learnable;
}

/* Runs the batches through `network`, which leaves each one's statistics in `params`; sums them and divides. */
static senet_status average(sn_training *t, sn_network *network, sn_loader *loader, int64_t batches, sn_params *params)
{
    size_t count;
    float *statistics = statistics_of(params, &count);
    double *sums = calloc(count ? count : 1, sizeof *sums);
    if (!sums) return sn_fail_memory(count * sizeof *sums, "batch norm's statistics");
    senet_status status = SENET_OK;
    for (int64_t done = 0; done < batches;) {
        const sn_batch *batch;
        const float *logits;
        if (t->hooks.stop && *t->hooks.stop) {
            status = sn_fail(SENET_STOPPED, "stopped on request");
            goto cleanup;
        }
        SN_TRY(sn_loader_next(loader, &batch), cleanup);
        if (!batch) continue; /* on to the next epoch */
        SN_TRY(sn_network_run(network, batch, &logits, NULL), cleanup);
        for (size_t i = 0; i < count; i++) sums[i] += (double)statistics[i];
        done++;
    }
    for (size_t i = 0; i < count; i++) statistics[i] = (float)(sums[i] / (double)batches);
cleanup:
    free(sums);
    return status;
}

static senet_status recompute(sn_training *t, int64_t piece, sn_params *params)
{
    const int64_t batches = (t->config.bn_recompute + piece - 1) / piece;
    sn_network_options options = sn_training_network_options(t, t->train_set, SN_MODE_TRAIN, piece);
    sn_network *network = NULL;
    sn_loader *loader = NULL;
    size_t count;
    float *statistics = statistics_of(params, &count), *before = malloc(count * sizeof *before + 1);
    senet_status status;
    if (!before) return sn_fail_memory(count * sizeof *before, "batch norm's statistics");
    memcpy(before, statistics, count * sizeof *before);
    options.params = params;
    options.gradients = NULL;
    options.statistics = true;
    sn_loader_place place = {.batch = piece, .epoch = t->config.epochs, .drop_last = true};
    SN_TRY(sn_network_create(&options, &network), cleanup);
    SN_TRY(sn_training_open_loader(t, place, &loader), cleanup);
    SN_TRY(average(t, network, loader, batches, params), cleanup);
cleanup:
    if (status != SENET_OK) memcpy(statistics, before, count * sizeof *before);
    sn_params_changed(params);
    sn_loader_destroy(loader);
    sn_network_destroy(network);
    free(before);
    return status;
}

senet_status sn_training_recompute_statistics(sn_training *t)
{
    const int64_t count = sn_dataset_describe(t->train_set)->count, wanted = sn_step_piece(&t->config);
    const int64_t piece = wanted < count ? wanted : count;
    sn_training_say(t, "batch norm's statistics are averaged over %lld training images",
                    (long long)((t->config.bn_recompute + piece - 1) / piece * piece));
    SN_RETURN_IF_FAILED(recompute(t, piece, t->params));
    return t->ema ? recompute(t, piece, t->ema) : SENET_OK;
}
