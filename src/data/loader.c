/* loader.c - the prefetching loader: worker threads fill a ring of batches, the caller takes them in order.
 *
 * What a batch holds is a function of (seed, epoch, batch number) alone: its samples are read off a permutation keyed
 * by (seed, epoch), each sample's augmentation is keyed by (seed, epoch, sample).  So the number of workers, and where
 * a loader was started, change nothing.
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
#include "data/augment.h"
#include "data/dataset.h"
#include "data/permutation.h"

enum { MAX_WORKERS = 256, MESSAGE_BYTES = 1024 };

typedef struct loader_slot {
    sn_batch batch;  /* points into `memory` */
    uint8_t *memory; /* one aligned block */
    void *pixels;    /* batch.images or batch.real */
    int32_t *rects, *labels;
    int64_t *indices;
    uint64_t *keys;
    bool ready; /* filled, or failed; guarded by the mutex */
    senet_status status;
    char message[MESSAGE_BYTES];
} loader_slot;

typedef struct loader_worker {
    struct sn_loader *loader;
    pthread_t thread;
    uint8_t *picture; /* a picture before augmentation */
} loader_worker;

struct sn_loader {
    const sn_dataset *dataset;
    sn_loader_options options;
    bool augments;
    size_t pixel_bytes, picture_bytes;
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
};

/* ---- filling a slot ---- */

static senet_status fill_sample(const sn_loader *loader, loader_worker *worker, loader_slot *slot, int64_t i,
                                int64_t position)
{
    const sn_dataset_info *info = &loader->dataset->info;
    const sn_loader_options *options = &loader->options;
    uint64_t epoch = (uint64_t)slot->batch.epoch;
    int64_t index = position;
    if (options->shuffle)
        index = sn_permutation_at(sn_rng_key(options->seed, SN_RNG_SHUFFLE, epoch, 0), info->count, position);

    uint8_t *out = (uint8_t *)slot->pixels + (size_t)i * loader->picture_bytes;
    void *picture = loader->augments ? worker->picture : out;
    SN_RETURN_IF_FAILED(loader->dataset->read(loader->dataset, index, picture, &slot->labels[i]));

    uint64_t key = sn_rng_key(options->seed, SN_RNG_AUGMENT, epoch, (uint64_t)index);
    sn_augment_draw draw = sn_augment_sample(&options->augment, info->height, info->width, key);
    if (loader->augments) sn_augment_copy(&draw, info->height, info->width, loader->pixel_bytes, picture, out);
    if (info->real)
        sn_augment_clear_cut(&draw, info->width, loader->pixel_bytes, out); /* bytes: the op `normalize` does it */
    memcpy(slot->rects + 8 * i, draw.valid, sizeof draw.valid);
    memcpy(slot->rects + 8 * i + 4, draw.cut, sizeof draw.cut);
    slot->indices[i] = index;
    slot->keys[i] = sn_rng_key(options->seed, SN_RNG_DROPOUT, epoch, (uint64_t)index);
    return SENET_OK;
}

static void fill(sn_loader *loader, loader_worker *worker, loader_slot *slot, int64_t sequence)
{
    int64_t place = loader->options.start + sequence; /* in batches, from the start of the first epoch */
    sn_batch *batch = &slot->batch;
    batch->epoch = loader->options.epoch + place / loader->batches;
    batch->number = place % loader->batches;
    int64_t first = batch->number * loader->options.batch, left = loader->dataset->info.count - first;
    batch->count = left < loader->options.batch ? left : loader->options.batch;
    slot->status = SENET_OK;
    for (int64_t i = 0; i < batch->count && slot->status == SENET_OK; i++) {
        if (atomic_load_explicit(&loader->stop, memory_order_relaxed)) return;
        slot->status = fill_sample(loader, worker, slot, i, first + i);
    }
    if (slot->status == SENET_OK) return;
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
    const int shorter = info->height < info->width ? info->height : info->width;
    if (options->batch < 1) return sn_fail(SENET_USAGE, "loader: batch size %" PRId64 " is below 1", options->batch);
    if (options->workers < 0 || options->workers > MAX_WORKERS)
        return sn_fail(SENET_USAGE, "loader: %d workers are outside 0..%d", options->workers, MAX_WORKERS);
    if (options->augment.pad < 0 || options->augment.pad > shorter)
        return sn_fail(SENET_USAGE, "loader: padding of %d pixels is outside 0..%d", options->augment.pad, shorter);
    if (options->augment.cutout < 0 || options->augment.cutout > 2 * shorter)
        return sn_fail(SENET_USAGE, "loader: cutout of %d pixels is outside 0..%d", options->augment.cutout,
                       2 * shorter);
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
    const int64_t count =
        loader->options.batch < loader->dataset->info.count ? loader->options.batch : loader->dataset->info.count;
    int64_t pixels, small;
    if (!sn_multiply(count, (int64_t)loader->picture_bytes, &pixels) || pixels > INT64_MAX / 4)
        return sn_fail(SENET_USAGE, "loader: %" PRId64 " pictures of %zu bytes do not fit in memory", count,
                       loader->picture_bytes);
    small = (int64_t)sn_align((size_t)count * 8, SN_ALIGNMENT); /* room for one 8-byte value a sample */
    size_t pixels_room = sn_align((size_t)pixels, SN_ALIGNMENT), bytes = pixels_room + 7 * (size_t)small;
    slot->memory = sn_alloc_aligned(bytes);
    if (!slot->memory) return sn_fail_memory(bytes, "a batch of the loader");
    uint8_t *rest = slot->memory + pixels_room;
    slot->pixels = slot->memory;
    slot->keys = (uint64_t *)(void *)rest;
    slot->indices = (int64_t *)(void *)(rest + small);
    slot->labels = (int32_t *)(void *)(rest + 2 * small);
    slot->rects = (int32_t *)(void *)(rest + 3 * small); /* 8 x 4 bytes a sample */
    slot->batch = (sn_batch){.images = loader->dataset->info.real ? NULL : slot->pixels,
                             .real = loader->dataset->info.real ? slot->pixels : NULL,
                             .rects = slot->rects,
                             .labels = slot->labels,
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
        loader->workers[i].picture = sn_alloc_aligned(loader->picture_bytes);
        if (!loader->workers[i].picture) return sn_fail_memory(loader->picture_bytes, "a picture of the loader");
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
    loader->augments = options->augment.pad > 0 || options->augment.flip;
    loader->pixel_bytes = 3 * (info->real ? sizeof(float) : 1);
    int64_t bytes;
    if (!sn_multiply(info->height, info->width, &bytes) || !sn_multiply(bytes, (int64_t)loader->pixel_bytes, &bytes)) {
        status = sn_fail(SENET_USAGE, "loader: a picture of %d x %d does not fit in memory", info->height, info->width);
        goto cleanup;
    }
    loader->picture_bytes = (size_t)bytes;
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
    for (int64_t i = 0; loader->slots && i < loader->slots_count; i++) sn_free_aligned(loader->slots[i].memory);
    for (int i = 0; loader->workers && i < (loader->options.workers > 0 ? loader->options.workers : 1); i++)
        sn_free_aligned(loader->workers[i].picture);
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

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
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
    if (slot->status != SENET_OK) return sn_fail(slot->status, "%s", slot->message); /* and again at the next call */
    loader->holds = true;
    loader->number++;
    *batch = &slot->batch;
    return SENET_OK;
}
