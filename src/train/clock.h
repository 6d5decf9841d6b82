/* clock.h - seconds of a clock that never jumps; for durations. */
#ifndef SN_TRAIN_CLOCK_H
#define SN_TRAIN_CLOCK_H

#include <time.h>

static inline double sn_seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
