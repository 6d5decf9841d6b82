/* protocol.h - evaluation protocols: which views of a picture a network sees before its answers are averaged.
 *
 *   single       one centre crop of the picture, shorter side floor(crop / crop_pct)         paper, section 5.1
 *   ten-crop     four corners and the centre, with their mirror images                       AlexNet's; fb.resnet.torch
 *   twelve-crop  the picture made square: the ten, the whole of it and its mirror image      soeaver's tables of
 * SENet-154 144-crop     shorter sides 256, 288, 320, 352; three squares; four corners, centre and whole; mirrors
 * GoogLeNet multi-scale  ten crops of 224 and of 320 pixels at shorter sides 224 .. 384              stand-in for the
 * competition's 320          shorter side 320, centre crop 320                                           paper, Table 8
 *   places365    the picture made 256 x 256, centre crop                                     Places2-CNNs
 *
 * Everything here is a pure function of its arguments.  A new protocol is a line in the table of protocol.c. */
#ifndef SN_TRAIN_PROTOCOL_H
#define SN_TRAIN_PROTOCOL_H

#include "data/view.h"

enum { SN_MAX_SCALES = 16, SN_MAX_CROP_SIZES = 4 };

typedef struct sn_crop_size {
    int height, width;
} sn_crop_size;

typedef struct sn_protocol {
    int crops;    /* 1, 10, 12 or 144: how a picture is cropped; 10, 12 and 144 count the mirror images */
    bool mirrors; /* each crop also mirrored; without, 10, 12 and 144 are 5, 6 and 72 */
    sn_view_resize resize;
    sn_crop_size sizes[SN_MAX_CROP_SIZES]; /* of the crops: the network is built for each */
    size_t sizes_count;                    /* 0: the size the weights were trained for */
    int scales[SN_MAX_SCALES];             /* sides of the resized picture */
    size_t scales_count;                   /* 0: the one that the weights' crop_pct asks for */
} sn_protocol;

/* A protocol by name; SENET_USAGE lists the names. */
senet_status sn_protocol_find(const char *name, sn_protocol *protocol);

/* Fields of a protocol from a user's text: "224,256,288", "224" or "224,320x256" (height x width).  SENET_USAGE names
 * the part that is no side of 1 .. 16384 pixels, or says that there are too many. */
senet_status sn_protocol_parse_scales(const char *text, sn_protocol *protocol);
senet_status sn_protocol_parse_sizes(const char *text, sn_protocol *protocol);

/* SENET_USAGE, naming the values, unless every crop size has a scale that it fits in and every scale a crop size. */
senet_status sn_protocol_check(const sn_protocol *protocol);

/* The views of crop size how->height x how->width: free(*views).  Scales smaller than the crop are left out.  At least
 * one view, or SENET_USAGE. */
senet_status sn_protocol_views(const sn_protocol *protocol, const sn_preprocess *how, sn_view **views, size_t *count);

#endif
