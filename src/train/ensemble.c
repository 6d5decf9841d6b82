/* ensemble.c - see ensemble.h.  Fusion as in the paper's competition entry: "standard multi-scale and multi-crop
 * fusion". */
#include "train/ensemble.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "train/clock.h"
#include "train/evaluate.h"
#include "train/network.h"
#include "train/scores.h"

/* A loader, and the stream whose views it makes; streams that see the same inputs share one. */
typedef struct feed {
    const sn_eval_stream *given;
    sn_loader *loader;
    const sn_batch *batch; /* that is being computed */
} feed;

typedef struct stream {
    const sn_eval_stream *given;
    sn_network *network;
    size_t feed;
    int64_t chunk;       /* inputs that the network computes at once */
    size_t input_values; /* height x width x 3 */
} stream;

typedef struct evaluation {
    const sn_dataset *dataset;
    const sn_ensemble_options *options;
    int64_t classes, views; /* views: of all streams */
    int64_t pictures;       /* a batch of the loaders */
    stream *streams;
    feed *feeds;
    size_t streams_count, feeds_count;
    sn_workspace *workspace; /* the networks take turns */
    double *scores;          /* pictures x classes */
    double loss_sum;
    sn_eval_result *result;
} evaluation;

static int64_t views_of(const sn_eval_stream *given)
{
    return given->views ? (int64_t)given->views_count : 1;
}

/* ---- building ---- */

static bool same_view(const sn_view *a, const sn_view *b)
{
    return a->resize == b->resize && a->side == b->side && a->square == b->square && a->crop == b->crop &&
           a->mirror == b->mirror;
}

/* Whether two streams get the same bytes; order of colours and statistics are the networks' own business. */
static bool same_inputs(const sn_eval_stream *a, const sn_eval_stream *b)
{
    const sn_preprocess *p = &a->preprocess, *q = &b->preprocess;
    if (!a->views || !b->views) return !a->views && !b->views;
    bool same = p->height == q->height && p->width == q->width && p->interpolation == q->interpolation &&
                a->views_count == b->views_count;
    for (size_t i = 0; same && i < a->views_count; i++) same = same_view(&a->views[i], &b->views[i]);
    return same;
}

static senet_status create_loader(const evaluation *e, const sn_eval_stream *given, int workers, sn_loader **loader)
{
    sn_loader_options loading = {.batch = e->pictures, .workers = workers, .exif = e->options->exif};
    if (given->views) {
        loading.prepare = &given->preprocess;
        loading.views = given->views;
        loading.views_count = (int)given->views_count;
    }
    return sn_loader_create(e->dataset, &loading, loader);
}

/* Finds the stream's feed, or lists a new one without its loader. */
static void assign_feed(evaluation *e, stream *s)
{
    while (s->feed < e->feeds_count && !same_inputs(s->given, e->feeds[s->feed].given)) s->feed++;
    if (s->feed == e->feeds_count) e->feeds[e->feeds_count++].given = s->given;
}

static senet_status create_network(const evaluation *e, stream *s)
{
    const sn_eval_stream *given = s->given;
    int64_t inputs = e->pictures * views_of(given), parts = (inputs + e->options->batch - 1) / e->options->batch;
    s->chunk = (inputs + parts - 1) / parts;
    sn_network_options network = {
        .spec = given->spec,
        .build = sn_build_options_for(e->dataset, &given->preprocess, SN_MODE_EVAL, s->chunk),
        .bgr = given->preprocess.bgr,
        .threads = e->options->threads,
        .precision = given->precision,
        .quantization = given->quantization,
        .reference_only = e->options->reference_only,
        .params = given->params,
        .workspace = e->workspace,
    };
    if (given->views) {
        network.build.height = given->preprocess.height;
        network.build.width = given->preprocess.width;
    }
    s->input_values = (size_t)network.build.height * (size_t)network.build.width * 3;
    return sn_network_create(&network, &s->network);
}

static senet_status check(const evaluation *e, const sn_eval_stream *streams, size_t count)
{
    const sn_dataset_info *info = sn_dataset_describe(e->dataset);
    if (e->options->batch < 1)
        return sn_fail(SENET_USAGE, "batch size is %lld, must be at least 1", (long long)e->options->batch);
    for (size_t i = 0; i < count; i++) {
        const sn_spec *spec = streams[i].spec;
        if (info->photographs && !streams[i].views)
            return sn_fail(SENET_USAGE, "%s: photographs need views", info->name);
        if (spec->classes != e->classes)
            return sn_fail(SENET_USAGE, "networks of an ensemble: '%s' has %lld classes, '%s' has %lld",
                           streams[0].spec->base, (long long)e->classes, spec->base, (long long)spec->classes);
    }
    if (info->classes > e->classes)
        return sn_fail(SENET_USAGE, "data set '%s' has %lld classes, the network '%s' only %lld", info->name,
                       (long long)info->classes, streams[0].spec->base, (long long)e->classes);
    return SENET_OK;
}

static senet_status create(evaluation *e, const sn_eval_stream *streams, size_t count)
{
    int64_t most = 1, images = sn_dataset_describe(e->dataset)->count;
    for (size_t i = 0; i < count; i++) {
        e->views += views_of(&streams[i]);
        if (views_of(&streams[i]) > most) most = views_of(&streams[i]);
    }
    e->pictures = e->options->batch / most;
    if (e->pictures > images) e->pictures = images;
    if (e->pictures < 1) e->pictures = 1;
    e->streams = calloc(count, sizeof *e->streams);
    e->feeds = calloc(count, sizeof *e->feeds);
    e->scores = calloc((size_t)e->pictures * (size_t)e->classes, sizeof *e->scores);
    if (!e->streams || !e->feeds || !e->scores)
        return sn_fail_memory((size_t)e->pictures * (size_t)e->classes * sizeof *e->scores, "the scores of a batch");
    SN_RETURN_IF_FAILED(sn_workspace_create(&e->workspace));
    e->streams_count = count;
    for (size_t i = 0; i < count; i++) {
        e->streams[i].given = &streams[i];
        assign_feed(e, &e->streams[i]);
        SN_RETURN_IF_FAILED(create_network(e, &e->streams[i]));
    }
    /* The workers are divided; none of the loaders goes without, unless none shall have any. */
    int workers = e->options->workers / (int)e->feeds_count;
    if (workers < 1 && e->options->workers > 0) workers = 1;
    for (size_t i = 0; i < e->feeds_count; i++)
        SN_RETURN_IF_FAILED(create_loader(e, e->feeds[i].given, workers, &e->feeds[i].loader));
    return SENET_OK;
}

static void destroy(evaluation *e)
{
    for (size_t i = 0; i < e->feeds_count; i++) sn_loader_destroy(e->feeds[i].loader);
    for (size_t i = 0; i < e->streams_count; i++) sn_network_destroy(e->streams[i].network);
    sn_workspace_destroy(e->workspace);
    free(e->feeds);
    free(e->streams);
    free(e->scores);
}

/* ---- running ---- */

/* Inputs begin .. begin + count - 1 of the batch as a batch of their own. */
static sn_batch slice(const sn_batch *batch, const stream *s, int64_t begin, int64_t count)
{
    sn_batch part = *batch;
    part.count = count;
    part.views = 1;
    if (batch->images) part.images = batch->images + (size_t)begin * s->input_values;
    if (batch->real) part.real = batch->real + (size_t)begin * s->input_values;
    if (batch->rects) part.rects = batch->rects + begin * 8;
    return part;
}

/* Adds what the stream says about the batch to the scores. */
static senet_status run_stream(evaluation *e, const stream *s)
{
    const sn_batch *batch = e->feeds[s->feed].batch;
    const int64_t views = views_of(s->given), inputs = batch->count * views, classes = e->classes;
    for (int64_t begin = 0; begin < inputs; begin += s->chunk) {
        sn_batch part = slice(batch, s, begin, inputs - begin < s->chunk ? inputs - begin : s->chunk);
        const float *logits;
        SN_RETURN_IF_FAILED(sn_network_run(s->network, &part, &logits, NULL));
        for (int64_t i = 0; i < part.count; i++) {
            double *scores = e->scores + (begin + i) / views * classes;
            if (e->views == 1)
                sn_scores_of(logits + i * classes, classes, scores);
            else
                sn_scores_add(logits + i * classes, classes, scores);
        }
    }
    return SENET_OK;
}

/* Counts the pictures of the batch, whose scores are complete. */
static senet_status count_batch(evaluation *e, const sn_batch *batch)
{
    const sn_ensemble_options *options = e->options;
    for (int64_t i = 0; i < batch->count; i++) {
        double *scores = e->scores + i * e->classes;
        if (e->views > 1) sn_scores_finish(scores, e->classes, e->views);
        sn_eval_picture picture = {.index = batch->indices[i],
                                   .label = batch->labels[i],
                                   .rank = sn_scores_rank(scores, e->classes, batch->labels[i]),
                                   .scores = scores,
                                   .classes = e->classes};
        e->result->top1_errors += picture.rank >= 1;
        e->result->top5_errors += picture.rank >= 5;
        e->loss_sum -= scores[picture.label];
        if (options->picture) SN_RETURN_IF_FAILED(options->picture(options->context, &picture));
    }
    e->result->images += batch->count;
    return SENET_OK;
}

/* *more = false at the end of the data set. */
static senet_status run_batch(evaluation *e, bool *more)
{
    for (size_t i = 0; i < e->feeds_count; i++)
        SN_RETURN_IF_FAILED(sn_loader_next(e->feeds[i].loader, &e->feeds[i].batch));
    *more = e->feeds[0].batch != NULL;
    if (!*more) return SENET_OK;
    memset(e->scores, 0, (size_t)e->pictures * (size_t)e->classes * sizeof *e->scores);
    for (size_t i = 0; i < e->streams_count; i++) SN_RETURN_IF_FAILED(run_stream(e, &e->streams[i]));
    return count_batch(e, e->feeds[0].batch);
}

senet_status sn_evaluate_ensemble(const sn_eval_stream *streams, size_t count, const sn_dataset *dataset,
                                  const sn_ensemble_options *options, sn_eval_result *result)
{
    evaluation e = {.dataset = dataset, .options = options, .classes = streams[0].spec->classes, .result = result};
    const int64_t images = sn_dataset_describe(dataset)->count;
    bool more = true;
    senet_status status;
    *result = (sn_eval_result){0};
    SN_TRY(check(&e, streams, count), cleanup);
    SN_TRY(create(&e, streams, count), cleanup);
    double start = sn_seconds_now();
    while (more) {
        SN_TRY(run_batch(&e, &more), cleanup);
        if (more && options->progress) options->progress(options->context, result->images, images);
    }
    result->loss = e.loss_sum / (double)result->images;
    result->seconds = sn_seconds_now() - start;
cleanup:
    destroy(&e);
    return status;
}
