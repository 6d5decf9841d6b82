/* conv_winograd_forms.h - the transforms of Winograd's minimal filtering F(2x2, 3x3) and F(4x4, 3x3) (Lavin, Gray 2016,
 * arXiv:1509.09308), on vectors of channels.
 *
 *     Y = A^T [ (G g G^T) * (B^T d B) ] A      d: a patch of (tile + 2)^2 input pixels, Y: tile x tile outputs,
 *                                              * summed over input channels, one product for each of (tile + 2)^2 points
 *
 * and the adjoint, the gradient of g:  dg = G^T [ (B^T d B) * (A dY A^T) ] G,  * summed over tiles.
 * Interpolation points: 0, 1, -1, infinity; the larger form also 2, -2.  `tile` is always a literal, so that each function
 * becomes straight code.  Another form is another branch in the one-dimensional transforms.
 */
#ifndef SN_CPU_KERNELS_CONV_WINOGRAD_FORMS_H
#define SN_CPU_KERNELS_CONV_WINOGRAD_FORMS_H

#include "cpu/kernels/stored.h"

enum { MOST_TILE = 4, MOST_PATCH = MOST_TILE + 2, MOST_POINTS = MOST_PATCH * MOST_PATCH };

/* Whether a training batch is too small for F(4x4, 3x3), which rounds about twice as much as direct summation: batch statistics
 * over few images amplify rounding, and one ReLU that flips shows in every gradient before it (docs/kernels.md). */
static inline bool winograd_training_is_small(const sn_kernel_call *call)
{
    enum { FEWEST_TRAINING_IMAGES = 16 };
    return call->training && call->input_nodes[0]->shape.n < FEWEST_TRAINING_IMAGES;
}

/* ---- one dimension ---- */

/* u = G g: three taps to tile + 2 points. */
SN_INLINE void winograd_weights_1d(int tile, vf a, vf b, vf c, vf *u)
{
    if (tile == 2) {
        vf even = (a + c) * 0.5f, odd = b * 0.5f;
        u[0] = a;
        u[1] = even + odd;
        u[2] = even - odd;
        u[3] = c;
        return;
    }
    vf even = (a + c) * (-1.0f / 6), odd = b * (1.0f / 6);
    vf wide_even = a * (1.0f / 24) + c * (1.0f / 6), wide_odd = b * (1.0f / 12);
    u[0] = a * 0.25f;
    u[1] = even - odd;
    u[2] = even + odd;
    u[3] = wide_even + wide_odd;
    u[4] = wide_even - wide_odd;
    u[5] = c;
}

/* dg = G^T u */
SN_INLINE void winograd_weights_adjoint_1d(int tile, const vf *u, vf dg[3])
{
    if (tile == 2) {
        dg[0] = u[0] + (u[1] + u[2]) * 0.5f;
        dg[1] = (u[1] - u[2]) * 0.5f;
        dg[2] = u[3] + (u[1] + u[2]) * 0.5f;
        return;
    }
    vf near = (u[1] + u[2]) * (-1.0f / 6), far = u[3] + u[4];
    dg[0] = u[0] * 0.25f + near + far * (1.0f / 24);
    dg[1] = (u[2] - u[1]) * (1.0f / 6) + (u[3] - u[4]) * (1.0f / 12);
    dg[2] = near + far * (1.0f / 6) + u[5];
}

/* v = B^T d */
SN_INLINE void winograd_input_1d(int tile, const vf *d, vf *v)
{
    if (tile == 2) {
        v[0] = d[0] - d[2];
        v[1] = d[1] + d[2];
        v[2] = d[2] - d[1];
        v[3] = d[1] - d[3];
        return;
    }
    vf a = d[4] - d[2] * 4.0f, b = d[3] - d[1] * 4.0f;
    vf e = d[4] - d[2], f = (d[3] - d[1]) * 2.0f;
    v[0] = d[0] * 4.0f - d[2] * 5.0f + d[4];
    v[1] = a + b;
    v[2] = a - b;
    v[3] = e + f;
    v[4] = e - f;
    v[5] = d[1] * 4.0f - d[3] * 5.0f + d[5];
}

/* y = A^T m */
SN_INLINE void winograd_output_1d(int tile, const vf *m, vf *y)
{
    vf sum = m[1] + m[2], difference = m[1] - m[2];
    if (tile == 2) {
        y[0] = m[0] + sum;
        y[1] = difference - m[3];
        return;
    }
    vf wide_sum = m[3] + m[4], wide_difference = m[3] - m[4];
    y[0] = m[0] + sum + wide_sum;
    y[1] = difference + wide_difference * 2.0f;
    y[2] = sum + wide_sum * 4.0f;
    y[3] = difference + wide_difference * 8.0f + m[5];
}

/* m = A y */
SN_INLINE void winograd_output_adjoint_1d(int tile, const vf *y, vf *m)
{
    m[0] = y[0];
    if (tile == 2) {
        m[1] = y[0] + y[1];
        m[2] = y[0] - y[1];
        m[3] = -y[1];
        return;
    }
    vf even = y[0] + y[2], odd = y[1] + y[3];
    vf wide_even = y[0] + y[2] * 4.0f, wide_odd = (y[1] + y[3] * 4.0f) * 2.0f;
    m[1] = even + odd;
    m[2] = even - odd;
    m[3] = wide_even + wide_odd;
    m[4] = wide_even - wide_odd;
    m[5] = y[3];
}

/* ---- two dimensions; points lie `stride` floats apart, y outermost ---- */

/* g: the nine weights of VF outputs or inputs. */
SN_INLINE void winograd_weights(int tile, const vf g[9], float *u, int64_t stride)
{
    const int patch = tile + 2;
    vf columns[3][MOST_PATCH];
    SN_UNROLL for (int x = 0; x < 3; x++) winograd_weights_1d(tile, g[x], g[3 + x], g[6 + x], columns[x]);
    SN_UNROLL for (int y = 0; y < patch; y++) {
        vf row[MOST_PATCH];
        winograd_weights_1d(tile, columns[0][y], columns[1][y], columns[2][y], row);
        SN_UNROLL for (int x = 0; x < patch; x++) vf_store(u + (y * patch + x) * stride, row[x]);
    }
}

SN_INLINE void winograd_weights_adjoint(int tile, const float *u, int64_t stride, vf dg[9])
{
    const int patch = tile + 2;
    vf columns[3][MOST_PATCH];
    SN_UNROLL for (int x = 0; x < patch; x++) {
        vf column[MOST_PATCH], taps[3];
        SN_UNROLL for (int y = 0; y < patch; y++) column[y] = vf_load(u + (y * patch + x) * stride);
        winograd_weights_adjoint_1d(tile, column, taps);
        SN_UNROLL for (int y = 0; y < 3; y++) columns[y][x] = taps[y];
    }
    SN_UNROLL for (int y = 0; y < 3; y++) winograd_weights_adjoint_1d(tile, columns[y], dg + 3 * y);
}

/* One vector of channels of a patch.  pixels: patch x patch pointers to channel 0, of a page of zeros outside the image.  The
 * larger patch goes in two halves, whose values between the passes fit into the registers. */
SN_INLINE void winograd_input(int tile, const stored *const *pixels, int64_t channel, int64_t lanes, float *v, int64_t stride)
{
    const int patch = tile + 2, part = tile == 4 ? 3 : patch;
    SN_UNROLL for (int first = 0; first < patch; first += part) {
        vf columns[MOST_PATCH / 2 + 1][MOST_PATCH];
        SN_UNROLL for (int y = 0; y < patch; y++) {
            vf d[MOST_PATCH], t[MOST_PATCH];
            SN_UNROLL for (int x = 0; x < patch; x++) d[x] = vs_load_n(pixels[y * patch + x] + channel, lanes);
            winograd_input_1d(tile, d, t);
            SN_UNROLL for (int i = 0; i < part; i++) columns[i][y] = t[first + i];
        }
        SN_UNROLL for (int i = 0; i < part; i++) {
            vf t[MOST_PATCH];
            winograd_input_1d(tile, columns[i], t);
            SN_UNROLL for (int y = 0; y < patch; y++) vf_store(v + (y * patch + first + i) * stride, t[y]);
        }
    }
}

/* One vector of channels of a tile of dY: tile x tile pointers, as above. */
SN_INLINE void winograd_output_adjoint(int tile, const stored *const *pixels, int64_t channel, int64_t lanes, float *m,
                                       int64_t stride)
{
    const int patch = tile + 2;
    vf columns[MOST_TILE][MOST_PATCH];
    SN_UNROLL for (int x = 0; x < tile; x++) {
        vf y[MOST_TILE];
        SN_UNROLL for (int i = 0; i < tile; i++) y[i] = vs_load_n(pixels[i * tile + x] + channel, lanes);
        winograd_output_adjoint_1d(tile, y, columns[x]);
    }
    SN_UNROLL for (int y = 0; y < patch; y++) {
        vf row[MOST_TILE], t[MOST_PATCH];
        SN_UNROLL for (int x = 0; x < tile; x++) row[x] = columns[x][y];
        winograd_output_adjoint_1d(tile, row, t);
        SN_UNROLL for (int x = 0; x < patch; x++) vf_store(m + (y * patch + x) * stride, t[x]);
    }
}

/* The tile x tile outputs of one vector of channels after the first pass: winograd_output_1d of half[y] gives row y. */
SN_INLINE void winograd_output_columns(int tile, const float *m, int64_t stride, vf half[MOST_TILE][MOST_PATCH])
{
    const int patch = tile + 2;
    SN_UNROLL for (int x = 0; x < patch; x++) {
        vf column[MOST_PATCH], t[MOST_TILE];
        SN_UNROLL for (int y = 0; y < patch; y++) column[y] = vf_load(m + (y * patch + x) * stride);
        winograd_output_1d(tile, column, t);
        SN_UNROLL for (int y = 0; y < tile; y++) half[y][x] = t[y];
    }
}

#endif
