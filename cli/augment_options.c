/* augment_options.c - see augment_options.h. */
#include "augment_options.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "data/randaugment.h"

enum { LARGEST_PAD = 64, LARGEST_CUTOUT = 512, LARGEST_ROTATION = 180, LARGEST_JITTER = 255 };

/* ---- --augment ---- */

/* "pad4" with prefix "pad": the number, 1..most. */
static bool numbered(const char *word, const char *prefix, int most, int *number)
{
    size_t length = strlen(prefix);
    int64_t value;
    if (strncmp(word, prefix, length) != 0 || !sn_parse_int64(word + length, &value) || value < 1 || value > most)
        return false;
    *number = (int)value;
    return true;
}

/* "crop8-100": percent of the picture. */
static bool crop_shares(const char *word, sn_augment *augment)
{
    char low[24] = "";
    const char *dash = strchr(word, '-');
    double least, most;
    if (strncmp(word, "crop", 4) != 0 || !dash || (size_t)(dash - word) >= sizeof low) return false;
    memcpy(low, word + 4, (size_t)(dash - word) - 4);
    if (!sn_parse_double(low, &least) || !sn_parse_double(dash + 1, &most)) return false;
    if (!(least > 0 && least <= most && most <= 100)) return false;
    augment->area_min = least / 100;
    augment->area_max = most / 100;
    augment->aspect = 4.0 / 3;
    return true;
}

/* One word of --augment over what those before it said. */
static bool parse_word(const char *word, sn_augment *augment)
{
    const bool strong = strcmp(word, "imagenet-strong") == 0;
    if (strong) {
        augment->rotate = 10;
        augment->jitter = 20;
    }
    if (strong || strcmp(word, "imagenet") == 0) {
        augment->flip = true;
        return crop_shares("crop8-100", augment);
    }
    if (strcmp(word, "cifar") == 0) augment->pad = 4;
    if (strcmp(word, "cifar") == 0 || strcmp(word, "flip") == 0) return augment->flip = true;
    int degrees;
    if (numbered(word, "rotate", LARGEST_ROTATION, &degrees)) {
        augment->rotate = degrees;
        return true;
    }
    return crop_shares(word, augment) || numbered(word, "pad", LARGEST_PAD, &augment->pad) ||
           numbered(word, "jitter", LARGEST_JITTER, &augment->jitter) ||
           numbered(word, "cutout", LARGEST_CUTOUT, &augment->cutout);
}

senet_status cli_augment_parse(const char *text, sn_augment *augment)
{
    const sn_augment before = *augment;
    *augment = (sn_augment){0};
    if (strcmp(text, "none") == 0) return SENET_OK;
    augment->randaugment.ops = before.randaugment.ops;
    augment->randaugment.magnitude = before.randaugment.magnitude;
    augment->erase = before.erase;
    augment->erase_fill = before.erase_fill;
    augment->mixup = before.mixup;
    augment->cutmix = before.cutmix;
    for (const char *rest = text;;) {
        char word[24] = "";
        size_t length = strcspn(rest, "+");
        if (length < sizeof word) snprintf(word, sizeof word, "%.*s", (int)length, rest);
        if (!parse_word(word, augment))
            return sn_fail(
                SENET_USAGE,
                "--augment %s: '%.*s' must be imagenet, imagenet-strong, cifar, flip, cropA-B (percent), padN (N = "
                "1..%d), rotateN (1..%d), jitterN (1..%d) or cutoutN (1..%d); or none alone",
                text, (int)length, rest, LARGEST_PAD, LARGEST_ROTATION, LARGEST_JITTER, LARGEST_CUTOUT);
        if (rest[length] == '\0') return SENET_OK;
        rest += length + 1;
    }
}

/* ---- the others ---- */

/* "N,M", or "0". */
static senet_status parse_randaugment(const char *text, sn_augment *augment)
{
    char count[8] = "";
    const char *comma = strchr(text, ',');
    int64_t ops;
    double magnitude = 0;
    bool good = strcmp(text, "0") == 0;
    if (good) ops = 0;
    if (comma && (size_t)(comma - text) < sizeof count) {
        memcpy(count, text, (size_t)(comma - text));
        good = sn_parse_int64(count, &ops) && sn_parse_double(comma + 1, &magnitude) && ops >= 1 &&
               ops <= SN_RANDAUGMENT_MOST_OPS && magnitude >= 0 && magnitude <= SN_RANDAUGMENT_MOST_MAGNITUDE;
    }
    if (!good)
        return sn_fail(SENET_USAGE,
                       "--randaugment %s: must be N,M, as in 2,9: N = 1..%d operations of magnitude M = 0..%d; or 0",
                       text, SN_RANDAUGMENT_MOST_OPS, SN_RANDAUGMENT_MOST_MAGNITUDE);
    augment->randaugment.ops = (int)ops;
    augment->randaugment.magnitude = magnitude;
    return SENET_OK;
}

senet_status cli_augment_apply(const cli_arguments *a, sn_augment *augment)
{
    if (cli_given(a, "augment")) SN_RETURN_IF_FAILED(cli_augment_parse(cli_text(a, "augment"), augment));
    if (cli_given(a, "randaugment")) SN_RETURN_IF_FAILED(parse_randaugment(cli_text(a, "randaugment"), augment));
    if (cli_given(a, "random-erasing")) augment->erase = cli_real(a, "random-erasing");
    if (cli_given(a, "erase-fill")) augment->erase_fill = (sn_erase_fill)cli_choice(a, "erase-fill");
    if (cli_given(a, "mixup")) augment->mixup = cli_real(a, "mixup");
    if (cli_given(a, "cutmix")) augment->cutmix = cli_real(a, "cutmix");
    return SENET_OK;
}
