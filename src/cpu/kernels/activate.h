/* activate.h - the activations of ops.def on a row of floats, for the ends of kernels. */
#ifndef SN_CPU_KERNELS_ACTIVATE_H
#define SN_CPU_KERNELS_ACTIVATE_H

#include <math.h>

#include "cpu/kernels/vector.h"

static inline void sn_activate_row(float *v, int64_t n, sn_activation activation)
{
    switch (activation) {
    case SN_IDENTITY:
        break;
    case SN_RELU:
        for (int64_t i = 0; i < n; i++) v[i] = v[i] < 0 ? 0 : v[i];
        break;
    case SN_RELU6:
        for (int64_t i = 0; i < n; i++) v[i] = v[i] < 0 ? 0 : v[i] > 6 ? 6 : v[i];
        break;
    case SN_SIGMOID:
        for (int64_t i = 0; i < n; i++) v[i] = 1 / (1 + expf(-v[i]));
        break;
    case SN_TANH:
        for (int64_t i = 0; i < n; i++) v[i] = tanhf(v[i]);
        break;
    }
}

#endif
