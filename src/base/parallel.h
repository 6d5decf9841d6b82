/* parallel.h - loops over independent tasks on a pool of threads.
 *
 * A task's result must depend on its index alone; then the bits do not depend on the number of threads.
 *
 * The pool is our own rather than OpenMP's, whose regions wait for every thread: where another process holds a core, each of the
 * hundred small loops of a network then waits for the next time slice.  Here the caller takes part and waits only for tasks that a
 * thread has begun, so a thread that gets no core costs nothing.  It also lets several models run in one process, and
 * sanitizers see it. */
#ifndef SN_BASE_PARALLEL_H
#define SN_BASE_PARALLEL_H

#include <stdint.h>

enum { SN_MAX_THREADS = 256 };

/* Runs task(context, index, worker) for index = 0 .. tasks-1, shared as they come among the caller and up to threads - 1
 * threads of the pool (0 <= worker < threads; for per-worker scratch memory only).  Returns when all are done.  May be
 * called from several threads at a time, and from within a task. */
void sn_parallel_for(int threads, int64_t tasks, void (*task)(void *context, int64_t index, int worker), void *context);
/* The same from the last task to the first, each thread in its own part of them: what a loop before wrote last, this one reads
 * first, from the same core's cache. */
void sn_parallel_for_backwards(int threads, int64_t tasks, void (*task)(void *context, int64_t index, int worker), void *context);

/* Threads to use when the user names none: the CPUs of the affinity mask, at most the cgroup's CPU quota, at least 1. */
int sn_default_threads(void);

#endif
