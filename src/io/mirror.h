/* mirror.h - rows of RGB bytes from left to right and from right to left. */
#ifndef SN_IO_MIRROR_H
#define SN_IO_MIRROR_H

#include <stddef.h>
#include <stdint.h>

/* Reverses the order of the pixels of every row, in place. */
void sn_mirror(int width, int height, uint8_t *rgb);

#endif
