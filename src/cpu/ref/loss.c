/* loss.c - softmax cross entropy with label smoothing (Szegedy et al., 2016), mean over the batch.
 *
 * Target of class k: (1 - e) (m [k = label] + (1 - m) [k = label2]) + e / K; without a second label m = 1.  With p =
 * softmax(logits): loss = -sum target log p, and d loss / d logits = (p - target) / N.  Labels are in [0, K); the loader
 * sees to that. */
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

/* The share of the first label of image n; without a second label *label2 = label and the share is 1. */
static double REF(two_labels)(const sn_kernel_call *call, int64_t n, int32_t *label, int32_t *label2)
{
    const int32_t *second = sn_ref_input(call, 2);
    const real *mix = sn_ref_input(call, 3);
    *label = ((const int32_t *)call->inputs[1])[n];
    *label2 = second ? second[n] : *label;
    return mix ? (double)mix[n] : 1;
}

static void REF(cross_entropy)(const sn_kernel_call *call)
{
    sn_shape s = call->input_nodes[0]->shape;
    double smoothing = (double)call->node->attrs.u.loss.smoothing, loss = 0;
    for (int64_t n = 0; n < s.n; n++) {
        const real *logits = (const real *)call->inputs[0] + n * s.c;
        int32_t label, label2;
        double share = REF(two_labels)(call, n, &label, &label2);
        double logarithm = REF(log_sum_exp)(logits, s.c), mean = 0;
        for (int64_t k = 0; k < s.c; k++) mean += (double)logits[k] / (double)s.c;
        double at_labels = share * (double)logits[label] + (1 - share) * (double)logits[label2];
        loss += logarithm - (1 - smoothing) * at_labels - smoothing * mean;
    }
    *(real *)call->output = (real)(loss / (double)s.n);
}

REF_KERNEL(cross_entropy, .run = REF(cross_entropy));

static void REF(cross_entropy_grad_images)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_shape s = call->node->shape;
    double smoothing = (double)call->node->attrs.u.loss.smoothing;
    for (int64_t n = begin; n < end; n++) {
        const real *logits = (const real *)call->inputs[0] + n * s.c;
        real *d = (real *)call->output + n * s.c;
        int32_t label, label2;
        double share = REF(two_labels)(call, n, &label, &label2);
        double logarithm = REF(log_sum_exp)(logits, s.c);
        for (int64_t k = 0; k < s.c; k++) {
            double hit = (k == label ? share : 0) + (k == label2 ? 1 - share : 0);
            double target = (1 - smoothing) * hit + smoothing / (double)s.c;
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
