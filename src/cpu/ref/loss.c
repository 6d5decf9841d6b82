/* loss.c - softmax cross entropy with label smoothing (Szegedy et al., 2016), mean over the batch.
 *
 * Target of class k: (1 - e) [k = label] + e / K.  With p = softmax(logits): loss = -sum target log p, and
 * d loss / d logits = (p - target) / N.  Labels are in [0, K); the loader sees to that. */
#ifndef REF

#define REF_BODY "cpu/ref/loss.c"
#include "cpu/ref/typed.h"

#else

/* log(sum of exp(logits)), shifted by the maximum so that nothing overflows. */
static double REF(log_sum_exp)(const real *logits, int64_t classes)
{
    double maximum = (double)logits[0], sum = 0;
    for (int64_t k = 1; k < classes; k++) maximum = (double)logits[k] > maximum ? (double)logits[k] : maximum;
    for (int64_t k = 0; k < classes; k++) sum += exp((double)logits[k] - maximum);
    return maximum + log(sum);
}

static void REF(cross_entropy)(const sn_kernel_call *call)
{
    sn_shape s = call->input_nodes[0]->shape;
    const int32_t *labels = call->inputs[1];
    double smoothing = (double)call->node->attrs.u.loss.smoothing, loss = 0;
    for (int64_t n = 0; n < s.n; n++) {
        const real *logits = (const real *)call->inputs[0] + n * s.c;
        double logarithm = REF(log_sum_exp)(logits, s.c), mean = 0;
        for (int64_t k = 0; k < s.c; k++) mean += (double)logits[k] / (double)s.c;
        loss += logarithm - (1 - smoothing) * (double)logits[labels[n]] - smoothing * mean;
    }
    *(real *)call->output = (real)(loss / (double)s.n);
}

REF_KERNEL(cross_entropy, .run = REF(cross_entropy));

static void REF(cross_entropy_grad_images)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_shape s = call->node->shape;
    const int32_t *labels = call->inputs[1];
    double smoothing = (double)call->node->attrs.u.loss.smoothing;
    for (int64_t n = begin; n < end; n++) {
        const real *logits = (const real *)call->inputs[0] + n * s.c;
        real *d = (real *)call->output + n * s.c;
        double logarithm = REF(log_sum_exp)(logits, s.c);
        for (int64_t k = 0; k < s.c; k++) {
            double target = (k == labels[n] ? 1 - smoothing : 0) + smoothing / (double)s.c;
            d[k] = (real)((exp((double)logits[k] - logarithm) - target) / (double)s.n);
        }
    }
}

static void REF(cross_entropy_grad)(const sn_kernel_call *call)
{
    sn_ref_for(call, call->node->shape.n, call->node->shape.c, REF(cross_entropy_grad_images));
}

REF_KERNEL(cross_entropy_grad, .run = REF(cross_entropy_grad));

#endif
