/* activate.h - the activations of ops.def on a vector and on a row of floats, for the ends of kernels. */
#ifndef SN_CPU_KERNELS_ACTIVATE_H
#define SN_CPU_KERNELS_ACTIVATE_H

#include "cpu/kernels/vector_math.h"

/* `activation` is best a literal, or the same for many calls. */
SN_INLINE vf vf_activate(vf v, sn_activation activation)
{
    switch (activation) {
    case SN_IDENTITY: break;
    case SN_RELU: return vf_relu(v);
    case SN_RELU6: v = vf_relu(v); return vf_choose(v > vf_all(6), vf_all(6), v);
    case SN_SIGMOID: return vf_sigmoid(v);
    case SN_TANH: return vf_tanh(v);
    }
    return v;
}

static inline void sn_activate_row(float *v, int64_t n, sn_activation activation)
{
    if (activation == SN_IDENTITY) return;
    for (int64_t i = 0; i < n; i += VF) vf_store_n(v + i, vf_activate(vf_load_n(v + i, n - i), activation), n - i);
}

#endif
