/* parallel.c - see parallel.h. */
#define _GNU_SOURCE
#include "base/parallel.h"

#include <omp.h>
#include <sched.h>
#include <stdio.h>

void sn_parallel_for(int threads, int64_t tasks, void (*task)(void *context, int64_t index, int worker), void *context)
{
    if (threads > tasks) threads = (int)tasks;
    if (threads <= 1) {
        for (int64_t i = 0; i < tasks; i++) task(context, i, 0);
        return;
    }
#pragma omp parallel num_threads(threads)
    {
        int worker = omp_get_thread_num();
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < tasks; i++) task(context, i, worker);
    }
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
