/* jpeg_scan.h - the pictures of most data sets, faster than by libjpeg: see jpeg_scan.c.  Include after jpeglib.h. */
#ifndef SN_IO_JPEG_SCAN_H
#define SN_IO_JPEG_SCAN_H

#include "io/image.h"

/* Decodes a rectangle of the picture whose header jpeg_read_header has read: part.height x part.width x 3 RGB, the
 * pixels that libjpeg would give.  The state of `jpeg` is only read.  false: this picture is none of those that are
 * decoded here, or is damaged anywhere up to the rectangle's last row, or has no end marker; it is libjpeg's to decode
 * and to say why. */
bool sn_jpeg_scan(const struct jpeg_decompress_struct *jpeg, const sn_wanted *part, uint8_t *rgb);

#endif
