/* mix.h - pictures and labels of a batch mixed in pairs: mixup and CutMix.
 *
 * mixup (Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018): x = m a + (1 - m) b
 * and the same of the labels, with m ~ Beta(alpha, alpha) drawn once a batch, as in the authors'
 * facebookresearch/mixup-cifar10.
 *
 * CutMix (Yun, Han, Oh, Chun, Choe, Yoo, ICCV 2019): a box of b replaces that of a.  With l ~ Beta(alpha, alpha), once
 * a batch, the box has sqrt(1 - l) of either side, rounded down, its centre uniform over all pixels; it is clipped at
 * the border, and m is the share of the picture that is left of a: the authors' clovaai/CutMix-PyTorch.
 *
 * Sample i is mixed with sample n-1-i, whose own mixture is that of i turned round: timm's pairing, free of memory
 * traffic for a second batch.  Batches are shuffled, so that this is a random partner; without shuffling it is always
 * the same one. */
#ifndef SN_DATA_MIX_H
#define SN_DATA_MIX_H

#include "data/data.h"

/* How a batch is mixed: one draw. */
typedef struct sn_mix_draw {
    uint32_t share; /* mixup: m in 1/65536, 0..65536 */
    int32_t box[4]; /* CutMix: top, left, bottom, right of what comes from the partner; empty: mixup */
    bool cuts;
    float mix; /* m: the share of a sample's own label */
} sn_mix_draw;

/* Whether batches are mixed at all. */
static inline bool sn_mixes(const sn_augment *augment)
{
    return augment->mixup > 0 || augment->cutmix > 0;
}

/* Beta(alpha, alpha), alpha > 0, as a function of the key. */
double sn_mix_beta(double alpha, uint64_t key);

/* Draws for pictures of height x width by `key`; where both are on, one of the two with p = 0.5 (timm's switch). */
sn_mix_draw sn_mix_sample(const sn_augment *augment, int height, int width, uint64_t key);

/* Mixes the batch in place: `count` pictures of height x width x 3 bytes.  mixup rounds m a + (1 - m) b to the nearest
 * byte, halves up, with m in 1/65536.  Fills labels2 and mix. */
void sn_mix_apply(const sn_mix_draw *draw, int64_t count, int height, int width, uint8_t *images, const int32_t *labels,
                  int32_t *labels2, float *mix);

#endif
