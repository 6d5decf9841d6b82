/* augment_text.c - what happens to training pictures, in words. */
#include "data/augment.h"

/* Where the next item goes: behind a comma, but for the first. */
static sn_text *next(sn_text *text)
{
    if (text->length > 0) sn_text_add_string(text, ", ");
    return text;
}

void sn_augment_describe(const sn_augment *augment, sn_text *text)
{
    static const char *const fills[] = {"the mean colour", "black", "random bytes"};
    if (augment->area_max > 0)
        sn_text_printf(next(text), "crops of %g to %g%%", 100 * augment->area_min, 100 * augment->area_max);
    if (augment->pad > 0) sn_text_printf(next(text), "padded by %d", augment->pad);
    if (augment->flip) sn_text_add_string(next(text), "mirrored half the time");
    if (augment->randaugment.ops > 0)
        sn_text_printf(next(text), "RandAugment of %d operations of magnitude %g", augment->randaugment.ops,
                       augment->randaugment.magnitude);
    if (augment->rotate > 0) sn_text_printf(next(text), "rotated by up to %g degrees", augment->rotate);
    if (augment->jitter > 0) sn_text_printf(next(text), "jittered by up to %d", augment->jitter);
    if (augment->cutout > 0) sn_text_printf(next(text), "cutout of %d pixels", augment->cutout);
    if (augment->erase > 0)
        sn_text_printf(next(text), "random erasing of %g%% by %s", 100 * augment->erase, fills[augment->erase_fill]);
    if (augment->mixup > 0) sn_text_printf(next(text), "mixup with alpha %g", augment->mixup);
    if (augment->cutmix > 0)
        sn_text_printf(augment->mixup > 0 ? text : next(text), "%sCutMix with alpha %g",
                       augment->mixup > 0 ? " or " : "", augment->cutmix);
}
