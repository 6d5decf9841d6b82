/* batch_norm.c - batch normalisation (Ioffe & Szegedy, 2015) in pieces: statistics, application, gradients, folding.
 *
 * Over the M = N H W elements of a channel: mean, var = mean of (x - mean)^2; xhat = (x - mean) / sqrt(var + eps);
 * y = act(gamma xhat + beta).  Backward, g = dy where act' is 1: dbeta = sum(g), dgamma = sum(g xhat),
 *     dx = gamma / sqrt(var + eps) (g - sum(g)/M - xhat sum(g xhat)/M)
 * and only the first term where the statistics are constants.  All sums are in double. */
#ifndef REF

#define REF_BODY "cpu/ref/batch_norm.c"
#include "cpu/ref/typed.h"

#else

/* ---- statistics ---- */

static void REF(add_values)(const sn_kernel_call *call, const double *given, int64_t begin, int64_t end, double *sums)
{
    (void)given;
    const real *x = call->inputs[0];
    int64_t channels = call->node->shape.c;
    for (int64_t p = begin; p < end; p++)
        for (int64_t c = 0; c < channels; c++) sums[c] += (double)x[p * channels + c];
}

static void REF(add_centred_squares)(const sn_kernel_call *call, const double *mean, int64_t begin, int64_t end,
                                     double *sums)
{
    const real *x = call->inputs[0];
    int64_t channels = call->node->shape.c;
    for (int64_t p = begin; p < end; p++)
        for (int64_t c = 0; c < channels; c++) {
            double d = (double)x[p * channels + c] - mean[c];
            sums[c] += d * d;
        }
}

/* scratch: mean (C), sum of squares (C), then the blocks of the sums */
static size_t REF(bn_stats_scratch)(const sn_kernel_call *call)
{
    int64_t channels = call->node->shape.c;
    return 2 * (size_t)channels * sizeof(double) +
           sn_ref_sum_bytes(sn_ref_pixels(call->input_nodes[0]->shape), channels);
}

static void REF(bn_stats)(const sn_kernel_call *call)
{
    int64_t channels = call->node->shape.c, pixels = sn_ref_pixels(call->input_nodes[0]->shape);
    double *mean = call->scratch, *squares = mean + channels, *blocks = squares + channels;
    real *stats = call->output;
    sn_ref_sum(call, pixels, channels, REF(add_values), NULL, blocks, mean);
    for (int64_t c = 0; c < channels; c++) mean[c] /= (double)pixels;
    sn_ref_sum(call, pixels, channels, REF(add_centred_squares), mean, blocks, squares);
    for (int64_t c = 0; c < channels; c++) {
        stats[c] = (real)mean[c];
        stats[channels + c] = (real)(squares[c] / (double)pixels);
    }
}

REF_KERNEL(bn_stats, .run = REF(bn_stats), .scratch_bytes = REF(bn_stats_scratch));

static void REF(bn_pack)(const sn_kernel_call *call)
{
    size_t bytes = (size_t)call->node->shape.c * sizeof(real);
    memcpy(call->output, call->inputs[0], bytes);
    memcpy((char *)call->output + bytes, call->inputs[1], bytes);
}

REF_KERNEL(bn_pack, .run = REF(bn_pack));

/* running = (1 - momentum) running + momentum batch.  The running statistics are inputs that the op exists to change.
 */
static void REF(bn_update)(const sn_kernel_call *call)
{
    const sn_norm_attrs *a = &call->node->attrs.u.norm;
    const real *stats = call->inputs[0];
    real *mean = (real *)call->inputs[1], *variance = (real *)call->inputs[2];
    int64_t channels = call->input_nodes[0]->shape.c;
    double m = a->momentum, unbiased = a->count > 1 ? (double)a->count / (double)(a->count - 1) : 1;
    for (int64_t c = 0; c < channels; c++) {
        mean[c] = (real)((1 - m) * (double)mean[c] + m * (double)stats[c]);
        variance[c] = (real)((1 - m) * (double)variance[c] + m * unbiased * (double)stats[channels + c]);
    }
}

REF_KERNEL(bn_update, .run = REF(bn_update));

/* ---- application ---- */

static real REF(inverse_deviation)(const sn_kernel_call *call, real variance)
{
    return (real)(1 / sqrt((double)variance + call->node->attrs.u.norm.epsilon));
}

static void REF(bn_apply_pixels)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    int64_t channels = call->node->shape.c;
    const real *x = call->inputs[0], *stats = call->inputs[1], *gamma = call->inputs[2], *beta = call->inputs[3];
    const real *inverse = call->scratch;
    real *y = call->output;
    for (int64_t p = begin; p < end; p++)
        for (int64_t c = 0; c < channels; c++)
            y[p * channels + c] = gamma[c] * ((x[p * channels + c] - stats[c]) * inverse[c]) + beta[c];
    REF(activate)(call->node->attrs.u.norm.activation, y + begin * channels, (end - begin) * channels);
}

/* scratch: 1 / sqrt(var + eps) (C) */
static size_t REF(bn_apply_scratch)(const sn_kernel_call *call)
{
    return (size_t)call->node->shape.c * sizeof(real);
}

static void REF(bn_apply)(const sn_kernel_call *call)
{
    int64_t channels = call->node->shape.c;
    const real *stats = call->inputs[1];
    real *inverse = call->scratch;
    for (int64_t c = 0; c < channels; c++) inverse[c] = REF(inverse_deviation)(call, stats[channels + c]);
    sn_ref_for(call, sn_ref_pixels(call->node->shape), channels, REF(bn_apply_pixels));
}

REF_KERNEL(bn_apply, .run = REF(bn_apply), .scratch_bytes = REF(bn_apply_scratch));

static void REF(bn_affine)(const sn_kernel_call *call)
{
    int64_t channels = call->node->shape.c;
    const real *stats = call->inputs[0], *gamma = call->inputs[1], *beta = call->inputs[2];
    real *scale = call->output, *shift = scale + channels;
    for (int64_t c = 0; c < channels; c++) {
        double exact = (double)gamma[c] / sqrt((double)stats[channels + c] + call->node->attrs.u.norm.epsilon);
        scale[c] = (real)exact;
        shift[c] = (real)((double)beta[c] - (double)stats[c] * exact);
    }
}

REF_KERNEL(bn_affine, .run = REF(bn_affine));

/* ---- gradients ---- */

/* Element c of pixel p of the gradient that arrives: dy, or, behind a scale whose gate is an input, dy s + dz / (H W). */
static inline real REF(arrived)(const sn_kernel_call *call, int gate, int64_t p, int64_t c)
{
    sn_shape x = call->input_nodes[1]->shape;
    const real *s = sn_ref_input(call, gate), *dz = sn_ref_input(call, gate + 1);
    int64_t pixels = x.h * x.w, row = p / pixels * x.c + c;
    real dy = ((const real *)call->inputs[0])[p * x.c + c];
    return s ? dy * s[row] + (dz ? dz[row] / (real)pixels : 0) : dy;
}

/* What passes the activation: dy, or 0 where ReLU cut the output (the same arithmetic as bn_apply decides). */
static inline real REF(passed)(sn_activation kind, real dy, real gamma, real xhat, real beta)
{
    return kind == SN_RELU && !(gamma * xhat + beta > 0) ? 0 : dy;
}

static void REF(add_gradients)(const sn_kernel_call *call, const double *inverse, int64_t begin, int64_t end,
                               double *sums)
{
    sn_activation kind = call->node->attrs.u.norm.activation;
    int64_t channels = call->node->shape.c;
    const real *x = call->inputs[1], *stats = call->inputs[2];
    const real *gamma = call->inputs[3], *beta = call->inputs[4];
    for (int64_t p = begin; p < end; p++)
        for (int64_t c = 0; c < channels; c++) {
            real xhat = (x[p * channels + c] - stats[c]) * (real)inverse[c];
            real g = REF(passed)(kind, REF(arrived)(call, 5, p, c), gamma[c], xhat, beta[c]);
            sums[c] += (double)g;
            sums[channels + c] += (double)g * (double)xhat;
        }
}

/* scratch: 1 / sqrt(var + eps) (C), totals (2, C), then the blocks of the sums */
static size_t REF(bn_grad_sums_scratch)(const sn_kernel_call *call)
{
    int64_t channels = call->node->shape.c;
    return 3 * (size_t)channels * sizeof(double) +
           sn_ref_sum_bytes(sn_ref_pixels(call->input_nodes[0]->shape), 2 * channels);
}

static void REF(bn_grad_sums)(const sn_kernel_call *call)
{
    int64_t channels = call->node->shape.c;
    const real *stats = call->inputs[2];
    double *inverse = call->scratch, *totals = inverse + channels;
    real *sums = call->output;
    for (int64_t c = 0; c < channels; c++) inverse[c] = (double)REF(inverse_deviation)(call, stats[channels + c]);
    sn_ref_sum(call, sn_ref_pixels(call->input_nodes[0]->shape), 2 * channels, REF(add_gradients), inverse,
               totals + 2 * channels, totals);
    for (int64_t c = 0; c < 2 * channels; c++) sums[c] = (real)totals[c];
}

REF_KERNEL(bn_grad_sums, .run = REF(bn_grad_sums), .scratch_bytes = REF(bn_grad_sums_scratch));

/* scratch: 1 / sqrt(var + eps), sum(g) / M, sum(g xhat) / M (3, C) */
static size_t REF(bn_grad_input_scratch)(const sn_kernel_call *call)
{
    return 3 * (size_t)call->node->shape.c * sizeof(real);
}

static void REF(bn_grad_input_pixels)(const sn_kernel_call *call, int64_t begin, int64_t end)
{
    sn_activation kind = call->node->attrs.u.norm.activation;
    int64_t channels = call->node->shape.c;
    const real *x = call->inputs[1], *stats = call->inputs[2];
    const real *gamma = call->inputs[3], *beta = call->inputs[4];
    const real *inverse = call->scratch, *mean_g = inverse + channels, *mean_gx = mean_g + channels;
    real *dx = call->output;
    for (int64_t p = begin; p < end; p++)
        for (int64_t c = 0; c < channels; c++) {
            real xhat = (x[p * channels + c] - stats[c]) * inverse[c];
            real g = REF(passed)(kind, REF(arrived)(call, 6, p, c), gamma[c], xhat, beta[c]);
            dx[p * channels + c] = gamma[c] * inverse[c] * (g - mean_g[c] - xhat * mean_gx[c]);
        }
}

static void REF(bn_grad_input)(const sn_kernel_call *call)
{
    int64_t channels = call->node->shape.c, pixels = sn_ref_pixels(call->node->shape);
    const real *stats = call->inputs[2], *sums = sn_ref_input(call, 5);
    real *inverse = call->scratch, *means = inverse + channels;
    for (int64_t c = 0; c < channels; c++) inverse[c] = REF(inverse_deviation)(call, stats[channels + c]);
    for (int64_t c = 0; c < 2 * channels; c++) means[c] = sums ? (real)((double)sums[c] / (double)pixels) : 0;
    sn_ref_for(call, pixels, channels, REF(bn_grad_input_pixels));
}

REF_KERNEL(bn_grad_input, .run = REF(bn_grad_input), .scratch_bytes = REF(bn_grad_input_scratch));

/* ---- folding into the convolution before it ---- */

static void REF(bn_fold_weight)(const sn_kernel_call *call)
{
    int64_t channels = call->node->shape.c, rows = sn_ref_pixels(call->node->shape);
    const real *w = call->inputs[0], *stats = call->inputs[1], *gamma = call->inputs[2];
    real *folded = call->output;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < channels; c++)
            folded[r * channels + c] =
                w[r * channels + c] * (gamma[c] * REF(inverse_deviation)(call, stats[channels + c]));
}

REF_KERNEL(bn_fold_weight, .run = REF(bn_fold_weight));

static void REF(bn_fold_bias)(const sn_kernel_call *call)
{
    int64_t channels = call->node->shape.c;
    const real *stats = call->inputs[0], *gamma = call->inputs[1], *beta = call->inputs[2],
               *bias = sn_ref_input(call, 3);
    real *folded = call->output;
    for (int64_t c = 0; c < channels; c++)
        folded[c] = beta[c] +
                    ((bias ? bias[c] : 0) - stats[c]) * (gamma[c] * REF(inverse_deviation)(call, stats[channels + c]));
}

REF_KERNEL(bn_fold_bias, .run = REF(bn_fold_bias));

#endif
