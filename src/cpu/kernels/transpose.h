/* transpose.h - a square of VF x VF floats in vectors, transposed; and two vectors woven and unpicked. */
#ifndef SN_CPU_KERNELS_TRANSPOSE_H
#define SN_CPU_KERNELS_TRANSPOSE_H

#include "cpu/kernels/vector.h"

/* The lower or upper halves of a and b, lane by lane in turn; and back: the even or odd lanes of a, then of b. */
#if SN_VECTOR_FLOATS == 16
#define VF_LOWER(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define VF_UPPER(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define VF_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define VF_ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#elif SN_VECTOR_FLOATS == 8
#define VF_LOWER(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define VF_UPPER(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define VF_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define VF_ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#else
#define VF_LOWER(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define VF_UPPER(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define VF_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define VF_ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7)
#endif

/* rows[i] lane k becomes rows[k] lane i.  Each round interleaves row i with row i + VF / 2; log2(VF) rounds transpose. */
SN_INLINE void vf_transpose(vf rows[VF])
{
    SN_UNROLL for (int round = 1; round < VF; round *= 2) {
        vf mixed[VF];
        SN_UNROLL for (int i = 0; i < VF / 2; i++) {
            mixed[2 * i] = VF_LOWER(rows[i], rows[i + VF / 2]);
            mixed[2 * i + 1] = VF_UPPER(rows[i], rows[i + VF / 2]);
        }
        SN_UNROLL for (int i = 0; i < VF; i++) rows[i] = mixed[i];
    }
}

#endif
