/* resample_rows.h - the inner loops of resizing, see resample_rows.c. */
#ifndef SN_IO_RESAMPLE_ROWS_H
#define SN_IO_RESAMPLE_ROWS_H

#include <stddef.h>
#include <stdint.h>

/* For each output position: the first input position, how many follow, and their weights. */
typedef struct sn_taps {
    int *first, *count;
    int32_t *weights; /* positions x most */
    int most, positions;
} sn_taps;

enum { SN_PIL_BITS = 22, SN_CV_BITS = 11 }; /* fractional bits of the weights */
enum { SN_QUAD = 4 };                       /* rows that are resized together */

/* Lays columns `begin` .. `end` of four rows of RGB side by side: quads[(x - begin) * 16 + 4 * row] begins pixel x of
 * the row, in four bytes. */
void sn_quads_fill(const uint8_t *const rows[SN_QUAD], int begin, int end, uint8_t *quads);

/* Pillow's horizontal pass over four rows; quads begin at column `begin`.  out: four lines of t->positions x 3 bytes.
 */
void sn_pil_across(const uint8_t *quads, int begin, const sn_taps *t, uint8_t *const out[SN_QUAD]);
/* Pillow's vertical pass: one line of `bytes` bytes from `count` lines that lie `bytes` apart. */
void sn_pil_down(const uint8_t *lines, const int32_t *weights, int count, size_t bytes, uint8_t *out);

/* OpenCV's two passes: two lines of t->positions x 3 bytes, each from two of the four rows, weighted. */
void sn_cv_rows(const uint8_t *quads, int begin, const sn_taps *t, const int32_t weights[SN_QUAD],
                uint8_t *const out[SN_QUAD / 2]);

#endif
