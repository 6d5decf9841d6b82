/* parallel.c - see parallel.h.
 *
 * A loop under way lies in a slot.  Its tasks are cut into ranges, one for each thread, so that in loop after loop the
 * same thread comes to the same part of the data, which it finds in its own cache; a thread whose range has run out
 * takes tasks from the other ranges.  Nothing is locked: a slot's state is one word that says whether threads may still
 * join and how many are inside.  A thread joins by claiming one of the slot's places, and the first to find no task
 * left closes the slot; the caller returns when everybody who joined has left.  The lock is for threads that sleep,
 * alone. */
#define _GNU_SOURCE
#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

/* Before sleeping, a thread looks for work so long, which bridges the gap between two loops of a network and costs
 * other processes little.  It is a time and no count, because a pause takes 40 cycles on one processor and 140 on
 * another. */
enum { SPIN_NANOSECONDS = 40000, PAUSES = 32 /* between two looks at the clock */ };

enum { SLOTS = 16, MOST_RANGES = 16, CACHE_LINE = 64 };

/* slot.state; 0: the slot is free. */
enum {
    INSIDE_ONE = 1, /* threads beside the caller that have joined and not left */
    INSIDE = 0x3ff,
    PLACE_ONE = 0x400, /* threads that may still join */
    PLACES = 0x3ff * PLACE_ONE,
    TAKEN = 1 << 20, /* a caller owns the slot */
    OPEN = 1 << 21,  /* there may be tasks that nobody has claimed */
    CALLER_SLEEPS = 1 << 22
};

typedef struct range {
    _Alignas(CACHE_LINE) atomic_int_fast64_t next; /* the first unclaimed task, or beyond the last */
    int64_t begin, end;
} range;

typedef struct slot {
    _Alignas(CACHE_LINE) atomic_uint state;
    void (*task)(void *context, int64_t index, int worker);
    void *context;
    bool backwards; /* ranges are walked from their ends */
    int ranges_count;
    range ranges[MOST_RANGES];
} slot;

static struct {
    slot slots[SLOTS];
    _Alignas(CACHE_LINE) atomic_uint published; /* loops so far: what a spinning thread watches */
    _Alignas(CACHE_LINE) atomic_int sleeping;   /* threads of the pool that wait for work */
    atomic_int threads;                         /* of the pool */
    pthread_mutex_t lock;
    pthread_cond_t work, left;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .left = PTHREAD_COND_INITIALIZER};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t nanoseconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Whether a thread that has paused so often since *begin, 0 until the first look at the clock, may go on. */
static bool may_spin(int pauses, int64_t *begin)
{
    relax();
    if (pauses % PAUSES != PAUSES - 1) return true;
    int64_t now = nanoseconds_now();
    if (*begin == 0) *begin = now;
    return now - *begin < SPIN_NANOSECONDS;
}

/* ---- tasks ---- */

/* Own range first, then the others'. */
static void run_tasks(slot *s, int worker)
{
    int ranges = s->ranges_count;
    for (int k = 0; k < ranges; k++) {
        range *r = &s->ranges[(worker + k) % ranges];
        int64_t index, begin = r->begin, end = r->end;
        while ((index = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed)) < end)
            s->task(s->context, s->backwards ? begin + end - 1 - index : index, worker);
    }
    atomic_fetch_and_explicit(&s->state, ~(unsigned)OPEN, memory_order_relaxed);
}

/* ---- threads of the pool ---- */

/* A slot with a place that was claimed as *worker; NULL if there is none. */
static slot *join_a_slot(int *worker)
{
    for (int i = 0; i < SLOTS; i++) {
        slot *s = &pool.slots[i];
        unsigned state = atomic_load_explicit(&s->state, memory_order_relaxed);
        while ((state & OPEN) && (state & PLACES)) {
            unsigned joined = state - PLACE_ONE + INSIDE_ONE;
            if (!atomic_compare_exchange_weak_explicit(&s->state, &state, joined, memory_order_acquire,
                                                       memory_order_relaxed))
                continue;
            *worker = (int)((state & PLACES) / PLACE_ONE);
            return s;
        }
    }
    return NULL;
}

static void leave(slot *s)
{
    unsigned before = atomic_fetch_sub_explicit(&s->state, INSIDE_ONE, memory_order_release);
    if ((before & INSIDE) != INSIDE_ONE || !(before & CALLER_SLEEPS))
        return; /* the slot may be another loop's by now */
    pthread_mutex_lock(&pool.lock);
    pthread_cond_broadcast(&pool.left);
    pthread_mutex_unlock(&pool.lock);
}

static void wait_for_work(unsigned seen)
{
    int64_t begin = 0;
    for (int i = 0; atomic_load(&pool.published) == seen && may_spin(i, &begin); i++) continue;
    if (atomic_load(&pool.published) != seen) return;
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleeping, 1); /* then look again: whoever publishes does it the other way round */
    while (atomic_load(&pool.published) == seen) pthread_cond_wait(&pool.work, &pool.lock);
    atomic_fetch_sub(&pool.sleeping, 1);
    pthread_mutex_unlock(&pool.lock);
}

static void *serve(void *unused)
{
    (void)unused;
    for (;;) {
        unsigned seen = atomic_load(&pool.published);
        int worker;
        slot *s = join_a_slot(&worker);
        if (s) {
            run_tasks(s, worker);
            leave(s);
        } else {
            wait_for_work(seen);
        }
    }
    return NULL;
}

/* The child of a fork has the caller's thread alone. */
static void forget_threads(void)
{
    for (int i = 0; i < SLOTS; i++) atomic_store(&pool.slots[i].state, 0);
    atomic_store(&pool.sleeping, 0);
    atomic_store(&pool.threads, 0);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.work, NULL);
    pthread_cond_init(&pool.left, NULL);
}

/* Brings the pool to `threads` threads, or as many as can be had. */
static void grow_pool(int threads)
{
    static bool watched;
    if (atomic_load_explicit(&pool.threads, memory_order_relaxed) >= threads) return;
    pthread_mutex_lock(&pool.lock);
    if (!watched) watched = pthread_atfork(NULL, NULL, forget_threads) == 0;
    sigset_t all, before; /* signals are for the program's own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    while (atomic_load(&pool.threads) < threads && pthread_create(&thread, &detached, serve, NULL) == 0)
        atomic_fetch_add(&pool.threads, 1);
    pthread_attr_destroy(&detached);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_mutex_unlock(&pool.lock);
}

/* ---- callers ---- */

/* A slot for the caller, or NULL where so many loops are under way that threads have enough to do. */
static slot *take_slot(void)
{
    for (int i = 0; i < SLOTS; i++) {
        unsigned expected = 0;
        if (atomic_compare_exchange_strong_explicit(&pool.slots[i].state, &expected, TAKEN, memory_order_acquire,
                                                    memory_order_relaxed))
            return &pool.slots[i];
    }
    return NULL;
}

static void publish(slot *s, int places)
{
    atomic_store_explicit(&s->state, TAKEN | OPEN | (unsigned)places * PLACE_ONE, memory_order_release);
    atomic_fetch_add(&pool.published, 1);
    if (atomic_load(&pool.sleeping) == 0) return;
    pthread_mutex_lock(&pool.lock);
    for (int i = 0; i < places && i < atomic_load(&pool.sleeping); i++) pthread_cond_signal(&pool.work);
    pthread_mutex_unlock(&pool.lock);
}

/* Waits for those inside and frees the slot. */
static void withdraw(slot *s)
{
    int64_t begin = 0;
    for (int i = 0; (atomic_load_explicit(&s->state, memory_order_acquire) & INSIDE) && may_spin(i, &begin); i++)
        continue;
    if (atomic_load_explicit(&s->state, memory_order_acquire) & INSIDE) {
        pthread_mutex_lock(&pool.lock);
        unsigned state = atomic_fetch_or_explicit(&s->state, CALLER_SLEEPS, memory_order_acquire);
        while (state & INSIDE) {
            pthread_cond_wait(&pool.left, &pool.lock);
            state = atomic_load_explicit(&s->state, memory_order_acquire);
        }
        pthread_mutex_unlock(&pool.lock);
    }
    atomic_store_explicit(&s->state, 0, memory_order_release);
}

static void run_loop(int threads, int64_t tasks, void (*task)(void *context, int64_t index, int worker), void *context, bool backwards)
{
    if (threads > SN_MAX_THREADS) threads = SN_MAX_THREADS;
    if (threads > tasks) threads = (int)tasks;
    slot *s = threads > 1 ? take_slot() : NULL;
    if (!s) {
        for (int64_t i = 0; i < tasks; i++) task(context, backwards ? tasks - 1 - i : i, 0);
        return;
    }
    grow_pool(threads - 1);
    s->task = task;
    s->context = context;
    s->backwards = backwards;
    s->ranges_count = threads < MOST_RANGES ? threads : MOST_RANGES;
    for (int k = 0; k < s->ranges_count; k++) {
        range *r = &s->ranges[k];
        r->begin = tasks / s->ranges_count * k + tasks % s->ranges_count * k / s->ranges_count;
        atomic_store_explicit(&r->next, r->begin, memory_order_relaxed);
        if (k > 0) s->ranges[k - 1].end = r->begin;
    }
    s->ranges[s->ranges_count - 1].end = tasks;
    publish(s, threads - 1);
    run_tasks(s, 0);
    withdraw(s);
}

void sn_parallel_for(int threads, int64_t tasks, void (*task)(void *context, int64_t index, int worker), void *context)
{
    run_loop(threads, tasks, task, context, false);
}

void sn_parallel_for_backwards(int threads, int64_t tasks, void (*task)(void *context, int64_t index, int worker), void *context)
{
    run_loop(threads, tasks, task, context, true);
}

/* CPUs granted by the cgroup (v2 cpu.max, v1 cfs quota), rounded up; 0 when unlimited or unknown. */
static int cgroup_cpus(void)
{
    double quota = 0, period = 0;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (file) {
        if (fscanf(file, "%lf %lf", &quota, &period) != 2) quota = 0; /* "max 100000" has no quota */
        fclose(file);
    } else if ((file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r"))) {
        if (fscanf(file, "%lf", &quota) != 1) quota = 0;
        fclose(file);
        if ((file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r"))) {
            if (fscanf(file, "%lf", &period) != 1) period = 0;
            fclose(file);
        }
    }
    if (quota <= 0 || period <= 0) return 0;
    return (int)((quota + period - 1) / period);
}

int sn_default_threads(void)
{
    int threads = 1;
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) threads = CPU_COUNT(&allowed);
    int granted = cgroup_cpus();
    if (granted > 0 && granted < threads) threads = granted;
    if (threads > SN_MAX_THREADS) threads = SN_MAX_THREADS;
    return threads < 1 ? 1 : threads;
}
