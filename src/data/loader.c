/* loader.c - the prefetching loader: worker threads fill a ring of batches, the caller takes them in order.
 *
 * What a batch holds is a function of (seed, epoch, batch number) alone: its samples are read off a permutation keyed
 * by (seed, epoch), each sample's augmentation is keyed by (seed, epoch, sample), the mixing of its samples by (seed,
 * epoch, batch number).  So the number of workers, and where a loader was started, change nothing.
 *
 * Batches have sequence numbers 0, 1, ... from where the loader began, across epochs; batch s is prepared in slot s
 * modulo the ring's size.  A worker claims the next number, waits until the slot's former batch was given back, and
 * fills the slot without a lock.  The lowest number not yet given back always has a worker and a free slot, so nothing
 * can block for ever. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/rng.h"
#include "data/dataset.h"
#include "data/mix.h"
#include "data/order.h"
#include "data/prepare.h"

enum { MAX_WORKERS = 256, MESSAGE_BYTES = 1024 };
enum { MOST_SKIPPED = 1000 }; /* bad pictures in a row: then it is the disk, not the pictures */

/* A picture that was skipped. */
typedef struct bad_picture {
    int64_t index;
    char *message;
} bad_picture;

typedef struct loader_slot {
    sn_batch batch;  /* points into `memory` */
    uint8_t *memory; /* one aligned block */
    uint8_t *pixels; /* batch.images or batch.real */
    int32_t *rects, *labels, *labels2;
    float *mix;
    int64_t *indices;
    uint64_t *keys;
    bad_picture *bad;
    size_t bad_count, bad_capacity;
    bool ready; /* filled, or failed; guarded by the mutex */
    senet_status status;
    char message[MESSAGE_BYTES];
} loader_slot;

typedef struct loader_worker {
    struct sn_loader *loader;
    pthread_t thread;
    uint8_t *scratch; /* a picture before augmentation */
} loader_worker;

struct sn_loader {
    const sn_dataset *dataset;
    sn_loader_options options;
    sn_preparation preparation;
    sn_order order;
    int64_t batches; /* an epoch */
    loader_slot *slots;
    int64_t slots_count;
    loader_worker *workers; /* options.workers of them, at least one; without threads the first is the caller's */
    int threads;            /* started */

    pthread_mutex_t mutex;
    pthread_cond_t filled, freed;
    bool has_mutex, has_filled, has_freed;
    int64_t claimed, released; /* sequence numbers; guarded by the mutex */
    atomic_bool stop;

    /* the caller's side */
    int64_t epoch, number; /* of the next batch */
    bool holds;            /* the caller has the batch of sequence number `released` */
    double waited;
    uint8_t *reported; /* a bit a sample that was skipped; NULL before the first */
    int64_t skipped;
};

/* ---- filling a slot ---- */

/* Sample i of the slot's batch, from that place of the order. */
static senet_status fill_sample(const sn_loader *loader, loader_worker *worker, loader_slot *slot, int64_t i,
                                int64_t place)
{
    const sn_loader_options *options = &loader->options;
    const sn_preparation *preparation = &loader->preparation;
    const uint64_t epoch = (uint64_t)slot->batch.epoch;
    const int64_t index = slot->indices[i] = sn_order_at(&loader->order, slot->batch.epoch, place);
    /* A class-aware epoch may have a sample several times, each with numbers of its own. */
    const uint64_t drawn = (uint64_t)(options->class_aware ? place : index);
    const int64_t first = i * preparation->views_count;
    slot->keys[i] = sn_rng_key(options->seed, SN_RNG_DROPOUT, epoch, drawn);
    return sn_prepare_sample(preparation, index, sn_rng_key(options->seed, SN_RNG_AUGMENT, epoch, drawn),
                             worker->scratch, slot->pixels + (size_t)first * preparation->picture_bytes,
                             slot->rects + 8 * first, &slot->labels[i]);
}

/* Notes the picture of sample i as bad, with the message of the failure. */
static senet_status note_bad(loader_slot *slot, int64_t i)
{
    char *message = strdup(senet_last_error());
    if (!message || !sn_grow(&slot->bad, sizeof *slot->bad, &slot->bad_capacity, slot->bad_count + 1)) {
        free(message);
        return sn_fail_memory(MESSAGE_BYTES, "the list of bad pictures");
    }
    slot->bad[slot->bad_count++] = (bad_picture){slot->indices[i], message};
    return SENET_OK;
}

/* Sample i of the batch, or the next good one in the order where it is bad and may be skipped. */
static senet_status fill_place(const sn_loader *loader, loader_worker *worker, loader_slot *slot, int64_t i,
                               int64_t place)
{
    const int64_t count = loader->order.count, most = count < MOST_SKIPPED ? count : MOST_SKIPPED;
    for (int64_t skipped = 0;; skipped++) {
        senet_status status = fill_sample(loader, worker, slot, i, (place + skipped) % count);
        const bool bad = status == SENET_BAD_DATA || status == SENET_NO_INPUT;
        if (!bad || loader->options.on_bad == SN_BAD_PICTURE_FAIL) return status;
        SN_RETURN_IF_FAILED(note_bad(slot, i));
        if (skipped + 1 == most)
            return sn_fail_context(status, "%" PRId64 " pictures in a row cannot be read; the last one", most);
    }
}

/* mixup or CutMix of the slot's batch. */
static void mix(const sn_loader *loader, loader_slot *slot)
{
    const sn_preparation *p = &loader->preparation;
    const sn_batch *batch = &slot->batch;
    const uint64_t key = sn_rng_key(loader->options.seed, SN_RNG_MIX, (uint64_t)batch->epoch, (uint64_t)batch->number);
    const sn_mix_draw draw = sn_mix_sample(&p->augment, p->height, p->width, key);
    sn_mix_apply(&draw, batch->count, p->height, p->width, slot->pixels, slot->labels, slot->labels2, slot->mix);
}

static void fill(sn_loader *loader, loader_worker *worker, loader_slot *slot, int64_t sequence)
{
    int64_t place = loader->options.start + sequence; /* in batches, from the start of the first epoch */
    sn_batch *batch = &slot->batch;
    batch->epoch = loader->options.epoch + place / loader->batches;
    batch->number = place % loader->batches;
    int64_t first = batch->number * loader->options.batch, left = loader->order.count - first;
    batch->count = left < loader->options.batch ? left : loader->options.batch;
    slot->status = SENET_OK;
    for (int64_t i = 0; i < batch->count && slot->status == SENET_OK; i++) {
        if (atomic_load_explicit(&loader->stop, memory_order_relaxed)) return;
        slot->status = fill_place(loader, worker, slot, i, first + i);
    }
    if (slot->status == SENET_OK) {
        if (loader->preparation.mixes) mix(loader, slot);
        return;
    }
    strncpy(slot->message, senet_last_error(), MESSAGE_BYTES - 1); /* the last byte is 0 since creation */
}

static void *work(void *argument)
{
    loader_worker *worker = argument;
    sn_loader *loader = worker->loader;
    pthread_mutex_lock(&loader->mutex);
    for (;;) {
        int64_t sequence = loader->claimed++;
        while (sequence - loader->released >= loader->slots_count && !loader->stop)
            pthread_cond_wait(&loader->freed, &loader->mutex);
        if (loader->stop) break;
        loader_slot *slot = &loader->slots[sequence % loader->slots_count];
        pthread_mutex_unlock(&loader->mutex);
        fill(loader, worker, slot, sequence);
        pthread_mutex_lock(&loader->mutex);
        slot->ready = true;
        pthread_cond_signal(&loader->filled);
    }
    pthread_mutex_unlock(&loader->mutex);
    return NULL;
}

/* ---- making and unmaking ---- */

static senet_status check_options(const sn_dataset_info *info, const sn_loader_options *options)
{
    if (options->batch < 1) return sn_fail(SENET_USAGE, "loader: batch size %" PRId64 " is below 1", options->batch);
    if (options->workers < 0 || options->workers > MAX_WORKERS)
        return sn_fail(SENET_USAGE, "loader: %d workers are outside 0..%d", options->workers, MAX_WORKERS);
    if (info->count < 1) return sn_fail(SENET_USAGE, "loader: %s has no pictures", info->name);
    if (options->drop_last && options->batch > info->count)
        return sn_fail(SENET_USAGE,
                       "loader: a batch of %" PRId64 " is larger than the %" PRId64
                       " pictures of %s, and the last batch is dropped",
                       options->batch, info->count, info->name);
    return SENET_OK;
}

static senet_status check_start(const sn_loader *loader)
{
    const sn_loader_options *options = &loader->options;
    if (options->epoch < 0) return sn_fail(SENET_USAGE, "loader: epoch %" PRId64 " is below 0", options->epoch);
    if (options->start >= 0 && options->start <= loader->batches) return SENET_OK;
    return sn_fail(SENET_USAGE, "loader: start at batch %" PRId64 " is outside 0..%" PRId64, options->start,
                   loader->batches);
}

/* One block for all arrays of a slot, each at a multiple of SN_ALIGNMENT. */
static senet_status create_slot(const sn_loader *loader, loader_slot *slot)
{
    const int64_t total = loader->order.count;
    const int64_t count = loader->options.batch < total ? loader->options.batch : total;
    const sn_preparation *preparation = &loader->preparation;
    const bool real = loader->dataset->info.real;
    int64_t pictures, pixels;
    if (!sn_multiply(count, preparation->views_count, &pictures) ||
        !sn_multiply(pictures, (int64_t)preparation->picture_bytes, &pixels) || pixels > INT64_MAX / 4)
        return sn_fail(SENET_USAGE, "loader: %" PRId64 " x %" PRId64 " pictures of %zu bytes do not fit in memory",
                       count, preparation->views_count, preparation->picture_bytes);
    const size_t small = sn_align((size_t)count * 8, SN_ALIGNMENT); /* room for one 8-byte value a sample */
    const size_t pixels_room = sn_align((size_t)pixels, SN_ALIGNMENT);
    const size_t bytes = pixels_room + 5 * small + (size_t)pictures * 8 * sizeof *slot->rects;
    slot->memory = sn_alloc_aligned(bytes);
    if (!slot->memory) return sn_fail_memory(bytes, "a batch of the loader");
    uint8_t *rest = slot->memory + pixels_room;
    slot->pixels = slot->memory;
    slot->keys = (uint64_t *)(void *)rest;
    slot->indices = (int64_t *)(void *)(rest + small);
    slot->labels = (int32_t *)(void *)(rest + 2 * small);
    slot->labels2 = (int32_t *)(void *)(rest + 3 * small);
    slot->mix = (float *)(void *)(rest + 4 * small);
    slot->rects = (int32_t *)(void *)(rest + 5 * small);
    slot->batch = (sn_batch){.views = preparation->views_count,
                             .images = real ? NULL : slot->pixels,
                             .real = real ? (const float *)(const void *)slot->pixels : NULL,
                             .rects = slot->rects,
                             .labels = slot->labels,
                             .labels2 = preparation->mixes ? slot->labels2 : NULL,
                             .mix = preparation->mixes ? slot->mix : NULL,
                             .indices = slot->indices,
                             .keys = slot->keys};
    return SENET_OK;
}

static senet_status allocate(sn_loader *loader)
{
    const int workers = loader->options.workers > 0 ? loader->options.workers : 1;
    /* A slot for each worker, one that the caller holds, one that is ready. */
    loader->slots_count = loader->options.workers > 0 ? workers + 2 : 1;
    loader->slots = calloc((size_t)loader->slots_count, sizeof *loader->slots);
    loader->workers = calloc((size_t)workers, sizeof *loader->workers);
    if (!loader->slots || !loader->workers)
        return sn_fail_memory((size_t)loader->slots_count * sizeof *loader->slots, "the loader");
    for (int64_t i = 0; i < loader->slots_count; i++) SN_RETURN_IF_FAILED(create_slot(loader, &loader->slots[i]));
    for (int i = 0; i < workers; i++) {
        loader->workers[i].loader = loader;
        const size_t bytes = loader->preparation.picture_bytes;
        loader->workers[i].scratch = sn_alloc_aligned(bytes);
        if (!loader->workers[i].scratch) return sn_fail_memory(bytes, "a picture of the loader");
    }
    return SENET_OK;
}

static senet_status start_threads(sn_loader *loader)
{
    sigset_t all, before;
    if (!(loader->has_mutex = pthread_mutex_init(&loader->mutex, NULL) == 0) ||
        !(loader->has_filled = pthread_cond_init(&loader->filled, NULL) == 0) ||
        !(loader->has_freed = pthread_cond_init(&loader->freed, NULL) == 0))
        return sn_fail(SENET_INTERNAL, "loader: the system gives no mutex");
    sigfillset(&all); /* signals are the program's: its main thread takes them, never a worker */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = 0;
    while (loader->threads < loader->options.workers && !failed) {
        loader_worker *next = &loader->workers[loader->threads];
        failed = pthread_create(&next->thread, NULL, work, next);
        if (!failed) loader->threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return sn_fail(SENET_INTERNAL, "loader: cannot start worker %d: %s", loader->threads + 1, strerror(failed));
    return SENET_OK;
}

senet_status sn_loader_create(const sn_dataset *dataset, const sn_loader_options *options, sn_loader **loader_out)
{
    senet_status status;
    const sn_dataset_info *info = &dataset->info;
    *loader_out = NULL;
    SN_RETURN_IF_FAILED(check_options(info, options));
    sn_loader *loader = calloc(1, sizeof *loader);
    if (!loader) return sn_fail_memory(sizeof *loader, "the loader");
    loader->dataset = dataset;
    loader->options = *options;
    SN_TRY(sn_preparation_create(dataset, options, &loader->preparation), cleanup);
    SN_TRY(sn_order_create(dataset, options, &loader->order), cleanup);
    loader->batches = info->count / options->batch + (!options->drop_last && info->count % options->batch != 0);
    loader->epoch = options->epoch;
    loader->number = options->start;
    SN_TRY(check_start(loader), cleanup);
    SN_TRY(allocate(loader), cleanup);
    SN_TRY(start_threads(loader), cleanup);
    *loader_out = loader;
    return SENET_OK;
cleanup:
    sn_loader_destroy(loader);
    return status;
}

static void forget_bad(loader_slot *slot)
{
    for (size_t i = 0; i < slot->bad_count; i++) free(slot->bad[i].message);
    slot->bad_count = 0;
}

void sn_loader_destroy(sn_loader *loader)
{
    if (!loader) return;
    if (loader->threads > 0) {
        pthread_mutex_lock(&loader->mutex);
        loader->stop = true;
        pthread_cond_broadcast(&loader->freed);
        pthread_mutex_unlock(&loader->mutex);
        for (int i = 0; i < loader->threads; i++) pthread_join(loader->workers[i].thread, NULL);
    }
    if (loader->has_freed) pthread_cond_destroy(&loader->freed);
    if (loader->has_filled) pthread_cond_destroy(&loader->filled);
    if (loader->has_mutex) pthread_mutex_destroy(&loader->mutex);
    for (int64_t i = 0; loader->slots && i < loader->slots_count; i++) {
        forget_bad(&loader->slots[i]);
        free(loader->slots[i].bad);
        sn_free_aligned(loader->slots[i].memory);
    }
    for (int i = 0; loader->workers && i < (loader->options.workers > 0 ? loader->options.workers : 1); i++)
        sn_free_aligned(loader->workers[i].scratch);
    sn_preparation_free(&loader->preparation);
    sn_order_free(&loader->order);
    free(loader->reported);
    free(loader->slots);
    free(loader->workers);
    free(loader);
}

/* ---- the caller's side ---- */

int64_t sn_loader_batches_per_epoch(const sn_loader *loader)
{
    return loader->batches;
}

double sn_loader_waited(const sn_loader *loader)
{
    return loader->waited;
}

int64_t sn_loader_skipped(const sn_loader *loader)
{
    return loader->skipped;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Tells the caller of the slot's bad pictures that it has not heard of. */
static senet_status report_bad(sn_loader *loader, loader_slot *slot)
{
    const size_t bytes = (size_t)loader->order.count / 8 + 1;
    if (slot->bad_count > 0 && !loader->reported && !(loader->reported = calloc(bytes, 1)))
        return sn_fail_memory(bytes, "the list of bad pictures");
    for (size_t i = 0; i < slot->bad_count; i++) {
        const bad_picture *bad = &slot->bad[i];
        const uint8_t bit = (uint8_t)(1 << bad->index % 8);
        if (loader->reported[bad->index / 8] & bit) continue;
        loader->reported[bad->index / 8] |= bit;
        loader->skipped++;
        const char *path = sn_dataset_path(loader->dataset, bad->index);
        if (loader->options.report_bad)
            loader->options.report_bad(loader->options.context, path ? path : "", bad->message);
    }
    forget_bad(slot);
    return SENET_OK;
}

static void give_back(sn_loader *loader)
{
    if (!loader->holds) return;
    loader->holds = false;
    pthread_mutex_lock(&loader->mutex);
    loader->slots[loader->released % loader->slots_count].ready = false;
    loader->released++;
    pthread_cond_broadcast(&loader->freed); /* each worker waits for a slot of its own */
    pthread_mutex_unlock(&loader->mutex);
}

senet_status sn_loader_next(sn_loader *loader, const sn_batch **batch)
{
    *batch = NULL;
    give_back(loader);
    if (loader->number == loader->batches) {
        loader->number = 0;
        loader->epoch++;
        return SENET_OK;
    }
    loader_slot *slot = &loader->slots[loader->released % loader->slots_count];
    double start = seconds_now();
    pthread_mutex_lock(&loader->mutex);
    if (loader->threads == 0 && !slot->ready) {
        fill(loader, &loader->workers[0], slot, loader->released);
        slot->ready = true;
    }
    while (!slot->ready) pthread_cond_wait(&loader->filled, &loader->mutex);
    pthread_mutex_unlock(&loader->mutex);
    loader->waited += seconds_now() - start;
    SN_RETURN_IF_FAILED(report_bad(loader, slot));
    if (slot->status != SENET_OK) return sn_fail(slot->status, "%s", slot->message); /* and again at the next call */
    loader->holds = true;
    loader->number++;
    *batch = &slot->batch;
    return SENET_OK;
}
