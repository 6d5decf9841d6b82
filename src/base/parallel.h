/* parallel.h - loops over independent tasks on OpenMP threads.
 *
 * A task's result must depend on its index alone; then the bits do not depend on the number of threads. */
#ifndef SN_BASE_PARALLEL_H
#define SN_BASE_PARALLEL_H

#include <stdint.h>

enum { SN_MAX_THREADS = 256 };

/* Runs task(context, index, worker) for index = 0 .. tasks-1, dynamically shared among `threads` workers (0 <= worker <
 * threads; for per-worker scratch memory only).  Returns when all are done. */
void sn_parallel_for(int threads, int64_t tasks, void (*task)(void *context, int64_t index, int worker), void *context);

/* Threads to use when the user names none: the CPUs of the affinity mask, at most the cgroup's CPU quota, at least 1. */
int sn_default_threads(void);

#endif
