/* vector_math.h - exp, sigmoid and tanh on vectors, accurate to a few units in the last place; NaN stays NaN.
 *
 * exp: x = n ln 2 + r with |r| <= ln 2 / 2, e^r by a polynomial of degree 6, 2^n built in the exponent.  tanh: an odd
 * polynomial near 0, where 1 - 2 / (e^2x + 1) would cancel.  (Moshier's Cephes library has both forms and coefficients.)
 */
#ifndef SN_CPU_KERNELS_VECTOR_MATH_H
#define SN_CPU_KERNELS_VECTOR_MATH_H

#include "cpu/kernels/vector.h"

/* x where mask, else other. */
SN_INLINE vf vf_choose(vi mask, vf x, vf other) { return (vf)((mask & (vi)x) | (~mask & (vi)other)); }

/* e^x for x in [-87.3, 88.3]; outside, e to the nearer end (1.2e-38, 2.2e38): what is added to 1 by its users. */
SN_INLINE vf vf_exp(vf x)
{
    const float rounder = 12582912.0f; /* 1.5 * 2^23: adding it leaves the nearest integer in the low bits */
    x = vf_choose(x < vf_all(-87.3f), vf_all(-87.3f), x);
    x = vf_choose(x > vf_all(88.3f), vf_all(88.3f), x);
    vf shifted = x * 1.44269504088896341f + vf_all(rounder);
    vf n = shifted - vf_all(rounder);
    vf r = x - n * 0.693359375f; /* ln 2 in two parts, the first exact in few bits */
    r = r - n * -2.12194440e-4f;
    vf p = r * 1.9875691500e-4f + vf_all(1.3981999507e-3f);
    p = p * r + vf_all(8.3334519073e-3f);
    p = p * r + vf_all(4.1665795894e-2f);
    p = p * r + vf_all(1.6666665459e-1f);
    p = p * r + vf_all(5.0000001201e-1f);
    p = p * (r * r) + r + vf_all(1);
    vi power = ((vi)shifted << 23) + (vi)vf_all(1); /* the bits of 2^n */
    return p * (vf)power;
}

SN_INLINE vf vf_sigmoid(vf x) { return 1 / (1 + vf_exp(-x)); }

SN_INLINE vf vf_tanh(vf x)
{
    const vi sign_bit = (vi)vf_all(-0.0f);
    vf size = (vf)((vi)x & ~sign_bit), square = x * x;
    vf far = 1 - 2 / (vf_exp(size + size) + 1);
    vf p = square * -5.70498872745e-3f + vf_all(2.06390887954e-2f);
    p = p * square - vf_all(5.37397155531e-2f);
    p = p * square + vf_all(1.33314422036e-1f);
    p = p * square - vf_all(3.33332819422e-1f);
    vf near = p * square * x + x;
    return vf_choose(size < vf_all(0.625f), near, (vf)((vi)far | ((vi)x & sign_bit)));
}

#endif
