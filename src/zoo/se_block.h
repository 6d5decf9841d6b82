/* se_block.h - the Squeeze-and-Excitation block, with every option of the paper, for any branch of any network.
 *
 *   z = squeeze(U);  s = gate(W2 relu(W1 z + b1) + b2);  out = s U          (ARCHITECTURES section 1)
 *
 * with W1 (h x C), W2 (C x h), h = max(1, floor(C / r)).  In a network of your own: x = sn_se_build(b, x, "se",
 * sn_se_default());
 */
#ifndef SN_ZOO_SE_BLOCK_H
#define SN_ZOO_SE_BLOCK_H

#include "zoo/zoo.h"

typedef struct sn_se_config {
    int64_t r; /* reduction ratio */
    sn_squeeze squeeze;
    sn_gate gate;
    bool bias;
} sn_se_config;

typedef struct sn_se_block {
    const char *name; /* as given: "se" */
    sn_squeeze squeeze;
    sn_conv_layer fc1, fc2;
} sn_se_block;

/* The block of the released models: r 16, average, sigmoid, with biases. */
sn_se_config sn_se_default(void);

/* Makes the parameters "<name>.fc1.weight", "<name>.fc1.bias", "<name>.fc2.weight", "<name>.fc2.bias" of a block over
 * that many channels; name must live until the block is applied. */
sn_se_block sn_se_declare(sn_builder *b, const char *name, int64_t channels, const sn_se_config *config);
/* x times its gate, as a node called `output` (NULL: the scope's name); in the scope of the declaration.  The gate is
 * the node "<name>.gate". */
sn_id sn_se_apply(sn_builder *b, const sn_se_block *se, sn_id x, const char *output);
/* Both; the output is called `name`. */
sn_id sn_se_build(sn_builder *b, sn_id x, const char *name, sn_se_config config);

#endif
