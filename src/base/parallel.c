/* parallel.c - see parallel.h.
 *
 * A loop is a job on its caller's stack, listed while it has tasks that nobody has claimed.  A thread joins a job by claiming its
 * first task under the lock, claims further ones with an atomic counter, and leaves under the lock; the caller takes the job
 * off the list when the counter has run out, and returns when everybody who joined has left. */
#define _GNU_SOURCE
#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

/* Before sleeping, a thread looks for work so long, which bridges the gap between two loops of a network and costs other
 * processes little.  It is a time and no count, because a pause takes 40 cycles on one processor and 140 on another. */
enum { SPIN_NANOSECONDS = 40000, PAUSES = 32 /* between two looks at the clock */ };

typedef struct job {
    void (*task)(void *context, int64_t index, int worker);
    void *context;
    int64_t tasks;
    atomic_int_fast64_t next; /* the first unclaimed task, or beyond the last */
    int joined, most_joined;  /* threads beside the caller, under the lock */
    atomic_int inside;        /* of those, how many have not left */
    struct job *following;
} job;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t work, left;
    job *jobs;             /* with unclaimed tasks, perhaps */
    int threads;           /* of the pool */
    atomic_uint published; /* jobs so far: what a spinning thread watches */
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

/* Whether a thread that has paused so often since `begin` may go on. */
static bool may_spin(int pauses, int64_t begin)
{
    relax();
    return pauses % PAUSES != PAUSES - 1 || nanoseconds_now() - begin < SPIN_NANOSECONDS;
}

static void run_tasks(job *j, int64_t index, int worker)
{
    for (; index < j->tasks; index = atomic_fetch_add(&j->next, 1)) j->task(j->context, index, worker);
}

/* A job to help with, joined by claiming its task *index as *worker; NULL if there is none.  Under the lock. */
static job *join_a_job(int64_t *index, int *worker)
{
    for (job *j = pool.jobs; j; j = j->following) {
        if (j->joined == j->most_joined || (*index = atomic_fetch_add(&j->next, 1)) >= j->tasks) continue;
        *worker = ++j->joined;
        atomic_fetch_add(&j->inside, 1);
        return j;
    }
    return NULL;
}

static void *serve(void *unused)
{
    (void)unused;
    for (;;) {
        int64_t index;
        int worker;
        job *j;
        pthread_mutex_lock(&pool.lock);
        while (!(j = join_a_job(&index, &worker))) {
            unsigned seen = atomic_load(&pool.published);
            pthread_mutex_unlock(&pool.lock);
            int64_t begin = nanoseconds_now();
            for (int i = 0; atomic_load(&pool.published) == seen && may_spin(i, begin); i++) continue;
            pthread_mutex_lock(&pool.lock);
            if (atomic_load(&pool.published) == seen) pthread_cond_wait(&pool.work, &pool.lock);
        }
        pthread_mutex_unlock(&pool.lock);
        run_tasks(j, index, worker);
        pthread_mutex_lock(&pool.lock);
        atomic_fetch_sub(&j->inside, 1); /* the last touch: the caller may return now */
        pthread_cond_broadcast(&pool.left);
        pthread_mutex_unlock(&pool.lock);
    }
    return NULL;
}

/* The child of a fork has the caller's thread alone. */
static void forget_threads(void)
{
    pool.threads = 0;
    pool.jobs = NULL;
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.work, NULL);
    pthread_cond_init(&pool.left, NULL);
}

/* Brings the pool to `threads` threads, or as many as can be had.  Under the lock. */
static void grow_pool(int threads)
{
    static bool watched;
    if (pool.threads >= threads) return;
    if (!watched) watched = pthread_atfork(NULL, NULL, forget_threads) == 0;
    sigset_t all, before; /* signals are for the program's own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    while (pool.threads < threads && pthread_create(&thread, &detached, serve, NULL) == 0) pool.threads++;
    pthread_attr_destroy(&detached);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void publish(job *j)
{
    pthread_mutex_lock(&pool.lock);
    grow_pool(j->most_joined);
    j->following = pool.jobs;
    pool.jobs = j;
    atomic_fetch_add(&pool.published, 1);
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.lock);
}

/* Nobody joins from here on; waits for those inside. */
static void withdraw(job *j)
{
    pthread_mutex_lock(&pool.lock);
    job **at = &pool.jobs;
    while (*at != j) at = &(*at)->following;
    *at = j->following;
    pthread_mutex_unlock(&pool.lock);
    int64_t begin = nanoseconds_now();
    for (int i = 0; atomic_load(&j->inside) > 0 && may_spin(i, begin); i++) continue;
    pthread_mutex_lock(&pool.lock);
    while (atomic_load(&j->inside) > 0) pthread_cond_wait(&pool.left, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

void sn_parallel_for(int threads, int64_t tasks, void (*task)(void *context, int64_t index, int worker), void *context)
{
    if (threads > SN_MAX_THREADS) threads = SN_MAX_THREADS;
    if (threads > tasks) threads = (int)tasks;
    if (threads <= 1) {
        for (int64_t i = 0; i < tasks; i++) task(context, i, 0);
        return;
    }
    job j = {.task = task, .context = context, .tasks = tasks, .most_joined = threads - 1};
    publish(&j);
    run_tasks(&j, atomic_fetch_add(&j.next, 1), 0);
    withdraw(&j);
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
