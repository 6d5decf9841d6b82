/* blocks.h - a convolution with its batch norm and activation, and residual units, each with an SE block at any of the
 * paper's places (Fig. 5, section 6.5).
 *
 * With X the unit's input, R its branch up to the last batch norm, I its shortcut:
 *   standard  relu(SE(R(X)) + I)        pre       relu(R(SE(X)) + I)        post  SE(relu(R(X) + I))
 *   identity  relu(R(X) + SE(I))        3x3       SE inside R, after the 3x3 convolution's batch norm and ReLU
 * A unit's nodes and parameters are called "<name>.conv1" and so on, its output "<name>"; name NULL: no prefix. */
#ifndef SN_ZOO_BLOCKS_H
#define SN_ZOO_BLOCKS_H

#include "zoo/se_block.h"

/* The SE block of a stage's units. */
typedef struct sn_unit_se {
    bool on;
    sn_place place;
    sn_se_config config;
} sn_unit_se;

/* What a model's options say about stage 2, 3, ... (stage s is "layer{s-1}"). */
sn_unit_se sn_zoo_unit_se(const sn_spec *spec, int stage);

/* "layer1.0": unit i of stage 2; returns name. */
enum { SN_UNIT_NAME_BYTES = 32 };
const char *sn_zoo_unit_name(int stage, int i, char name[SN_UNIT_NAME_BYTES]);

/* act(norm(conv(x))): parameters "<conv>.weight" and those of `norm`; the output is called `output` (NULL: the scope).
 */
sn_id sn_zoo_conv_norm_act(sn_builder *b, sn_id x, const char *conv, const char *norm, sn_conv_config config,
                           sn_activation activation, const char *output);

/* Joins branches along channels.  Branches that halve a map by different rules agree on even maps only; where they do
 * not, the error names the picture's size. */
sn_id sn_zoo_join(sn_builder *b, const sn_id *branches, int count, const char *name);

/* Two 3x3 convolutions; the shortcut of a unit that changes size is option A: every stride-th pixel, zero channels
 * added. */
typedef struct sn_basic_config {
    int64_t out;
    int32_t stride;
    sn_pad pad; /* SN_PAD_CENTER or SN_PAD_END: where the zero channels go */
} sn_basic_config;
sn_id sn_zoo_basic_unit(sn_builder *b, const char *name, sn_id x, const sn_basic_config *unit, const sn_unit_se *se);

/* 1x1, 3x3, 1x1 with widths w1, w2, out: ResNet-50 and deeper, ResNeXt, SENet-154.  The shortcut of a unit that changes
 * size is a convolution with batch norm. */
typedef struct sn_bottleneck_config {
    int64_t w1, w2, out;
    int32_t stride, groups;
    bool down_3x3;             /* the stride is in the 3x3 convolution, not in the first 1x1 */
    int32_t projection_kernel; /* of the shortcut: 1, or 3 in SENet-154 */
} sn_bottleneck_config;
sn_id sn_zoo_bottleneck(sn_builder *b, const char *name, sn_id x, const sn_bottleneck_config *unit,
                        const sn_unit_se *se);

/* Pre-activation: batch norm and ReLU come before each convolution, nothing after the sum. */
typedef struct sn_preactivation_config {
    bool bottleneck; /* 1x1 (out / 4, strided), 3x3, 1x1; else two 3x3 */
    bool option_a;   /* option A from the unit's raw input; else, where the width changes, a 1x1 convolution of
                        relu(bn1(x)) */
    bool share;      /* relu(bn1(x)) is the shortcut too: the first unit of an option-A network */
    int64_t out;
    int32_t stride;
    sn_pad pad;
} sn_preactivation_config;
/* SE at the standard place. */
sn_id sn_zoo_preactivation_unit(sn_builder *b, const char *name, sn_id x, const sn_preactivation_config *unit,
                                const sn_unit_se *se);

#endif
