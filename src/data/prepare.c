/* prepare.c - see prepare.h. */
#include "data/prepare.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/augment.h"
#include "data/crop.h"
#include "data/dataset.h"
#include "data/mix.h"
#include "data/randaugment.h"
#include "io/mirror.h"

enum { MOST_VIEWS = 4096, MOST_ALPHA = 100 };

/* ---- options ---- */

static bool is_empty(const sn_augment *augment)
{
    return augment->area_max == 0 && augment->pad == 0 && !augment->flip && augment->rotate == 0 &&
           augment->jitter == 0 && augment->cutout == 0 && augment->randaugment.ops == 0 && augment->erase == 0 &&
           !sn_mixes(augment);
}

static senet_status check_kind(const sn_dataset_info *info, const sn_loader_options *options)
{
    const sn_preprocess *how = options->prepare;
    if (options->views_count < 0 || options->views_count > MOST_VIEWS || (options->views_count > 0 && !options->views))
        return sn_fail(SENET_USAGE, "loader: %d views are outside 0..%d", options->views_count, MOST_VIEWS);
    if (info->photographs && !how)
        return sn_fail(SENET_USAGE,
                       "loader: the pictures of %s have sizes of their own; which one they get is not said",
                       info->name);
    if (info->real && (how || options->views_count > 0))
        return sn_fail(SENET_USAGE, "loader: %s holds tensors, which cannot be cropped or resized", info->name);
    if (options->views_count > 0 && !how)
        return sn_fail(SENET_USAGE, "loader: views, but no size of the input is given");
    if (how && (how->height < 1 || how->width < 1))
        return sn_fail(SENET_USAGE, "loader: pictures cannot become %d x %d", how->height, how->width);
    if (info->photographs && how->interpolation == SN_INTERPOLATION_NONE)
        return sn_fail(SENET_USAGE,
                       "loader: the pictures of %s are of any size; interpolation 'none' cannot make them %d x %d",
                       info->name, how->height, how->width);
    return SENET_OK;
}

static senet_status check_crop(const sn_dataset_info *info, const sn_loader_options *options)
{
    const sn_augment *augment = &options->augment;
    if (augment->area_max == 0) return SENET_OK;
    if (!options->prepare)
        return sn_fail(SENET_USAGE, "loader: a random-resized crop of the pictures of %s, but no size to resize it to",
                       info->name);
    if (!(augment->area_min > 0 && augment->area_min <= augment->area_max && augment->area_max <= 1))
        return sn_fail(SENET_USAGE,
                       "loader: a crop of %g to %g of the picture; must be above 0, ascending and at most 1",
                       augment->area_min, augment->area_max);
    if (!(augment->aspect >= 1 && augment->aspect <= 100))
        return sn_fail(SENET_USAGE, "loader: crops of aspect %g; must be between 1 and 100", augment->aspect);
    if (options->prepare->interpolation == SN_INTERPOLATION_NONE)
        return sn_fail(SENET_USAGE, "loader: a random-resized crop needs an interpolation other than 'none'");
    return SENET_OK;
}

/* What today's recipes add: RandAugment, random erasing, mixing. */
static senet_status check_regularisers(const sn_dataset_info *info, const sn_loader_options *options)
{
    const sn_augment *augment = &options->augment;
    if (augment->randaugment.ops < 0 || augment->randaugment.ops > SN_RANDAUGMENT_MOST_OPS)
        return sn_fail(SENET_USAGE, "loader: RandAugment of %d operations is outside 0..%d", augment->randaugment.ops,
                       SN_RANDAUGMENT_MOST_OPS);
    if (!(augment->randaugment.magnitude >= 0 && augment->randaugment.magnitude <= SN_RANDAUGMENT_MOST_MAGNITUDE))
        return sn_fail(SENET_USAGE, "loader: RandAugment of magnitude %g is outside 0..%d",
                       augment->randaugment.magnitude, SN_RANDAUGMENT_MOST_MAGNITUDE);
    if (!(augment->erase >= 0 && augment->erase <= 1))
        return sn_fail(SENET_USAGE, "loader: random erasing with probability %g is outside 0..1", augment->erase);
    if ((unsigned)augment->erase_fill > SN_ERASE_NOISE)
        return sn_fail(SENET_USAGE, "loader: random erasing with filling %d, which is unknown",
                       (int)augment->erase_fill);
    if (augment->erase > 0 && augment->cutout > 0)
        return sn_fail(SENET_USAGE, "loader: cutout of %d pixels and random erasing: only one of them is possible",
                       augment->cutout);
    if (!(augment->mixup >= 0 && augment->mixup <= MOST_ALPHA && augment->cutmix >= 0 && augment->cutmix <= MOST_ALPHA))
        return sn_fail(SENET_USAGE, "loader: mixup %g and CutMix %g: alpha is of 0..%d", augment->mixup,
                       augment->cutmix, MOST_ALPHA);
    if (sn_mixes(augment) && options->batch < 2)
        return sn_fail(SENET_USAGE, "loader: mixup and CutMix need a batch of at least 2 pictures");
    if (info->real && (augment->randaugment.ops > 0 || augment->erase > 0 || sn_mixes(augment)))
        return sn_fail(SENET_USAGE,
                       "loader: %s holds tensors, which have no RandAugment, random erasing, mixup or CutMix",
                       info->name);
    return SENET_OK;
}

static senet_status check_augment(const sn_preparation *p, const sn_loader_options *options)
{
    const sn_augment *augment = &p->augment;
    const int shorter = p->height < p->width ? p->height : p->width;
    if (augment->pad < 0 || augment->pad > shorter)
        return sn_fail(SENET_USAGE, "loader: padding of %d pixels is outside 0..%d", augment->pad, shorter);
    if (augment->cutout < 0 || augment->cutout > 2 * shorter)
        return sn_fail(SENET_USAGE, "loader: cutout of %d pixels is outside 0..%d", augment->cutout, 2 * shorter);
    if (!(augment->rotate >= 0 && augment->rotate <= 180))
        return sn_fail(SENET_USAGE, "loader: rotation of %g degrees is outside 0..180", augment->rotate);
    if (augment->jitter < 0 || augment->jitter > 255)
        return sn_fail(SENET_USAGE, "loader: jitter of %d is outside 0..255", augment->jitter);
    if (p->dataset->info.real && (augment->rotate > 0 || augment->jitter > 0))
        return sn_fail(SENET_USAGE, "loader: %s holds tensors, which are neither rotated nor jittered",
                       p->dataset->info.name);
    if (augment->rotate > 0 && augment->pad > 0)
        return sn_fail(SENET_USAGE, "loader: padding by %d and rotation by %g degrees: only one of them is possible",
                       augment->pad, augment->rotate);
    if (options->views_count > 1 && !is_empty(augment))
        return sn_fail(SENET_USAGE, "loader: %d views of a picture, and augmentation: only one of them is possible",
                       options->views_count);
    return SENET_OK;
}

static senet_status copy_views(const sn_loader_options *options, sn_preparation *p)
{
    const sn_view one = p->as_stored ? (sn_view){0} : sn_view_of(&p->how);
    const sn_view *views = options->views_count > 0 ? options->views : &one;
    p->views_count = options->views_count > 0 ? options->views_count : 1;
    sn_view *copy = malloc((size_t)p->views_count * sizeof *copy);
    if (!copy) return sn_fail_memory((size_t)p->views_count * sizeof *copy, "the views");
    memcpy(copy, views, (size_t)p->views_count * sizeof *copy);
    p->views = copy;
    return SENET_OK;
}

senet_status sn_preparation_create(const sn_dataset *dataset, const sn_loader_options *options,
                                   sn_preparation *preparation)
{
    const sn_dataset_info *info = &dataset->info;
    int64_t bytes;
    SN_RETURN_IF_FAILED(check_kind(info, options));
    SN_RETURN_IF_FAILED(check_crop(info, options));
    sn_preparation p = {.dataset = dataset,
                        .augment = options->augment,
                        .as_stored = !options->prepare,
                        .exif = options->exif,
                        .fast_decode = options->fast_decode,
                        .height = info->height,
                        .width = info->width,
                        .pixel_bytes = 3 * (info->real ? sizeof(float) : 1)};
    if (options->prepare) {
        p.how = *options->prepare;
        p.height = p.how.height;
        p.width = p.how.width;
    }
    SN_RETURN_IF_FAILED(check_augment(&p, options));
    SN_RETURN_IF_FAILED(check_regularisers(info, options));
    if (!sn_multiply(p.height, p.width, &bytes) || !sn_multiply(bytes, (int64_t)p.pixel_bytes, &bytes))
        return sn_fail(SENET_USAGE, "loader: a picture of %d x %d does not fit in memory", p.height, p.width);
    p.picture_bytes = (size_t)bytes;
    p.moves = p.augment.pad > 0 || (p.augment.flip && info->real) || p.augment.rotate > 0 ||
              p.augment.randaugment.ops > 0;
    p.mixes = sn_mixes(&p.augment);
    p.solid = p.mixes || p.augment.randaugment.ops > 0;
    SN_RETURN_IF_FAILED(copy_views(options, &p));
    *preparation = p;
    return SENET_OK;
}

void sn_preparation_free(sn_preparation *preparation)
{
    free((void *)(uintptr_t)preparation->views);
    *preparation = (sn_preparation){0};
}

/* ---- pictures ---- */

/* What is taken of a picture: chosen when its size is known, used when its pixels are there. */
typedef struct choice {
    const sn_preparation *preparation;
    uint64_t key;
    bool crops; /* to a rectangle of its own; else the views see all of the picture */
} choice;

/* The size to which the views resize the picture at most; not where `none` takes it as it is. */
static void least_size(const sn_preparation *p, int width, int height, sn_wanted *wanted)
{
    const int shorter_input = p->height < p->width ? p->height : p->width;
    const int longer_input = p->height < p->width ? p->width : p->height, shorter = height < width ? height : width;
    int64_t side = shorter_input; /* that the shorter side needs */
    for (int64_t i = 0; i < p->views_count && p->augment.area_max == 0; i++)
        if (p->views[i].side > side) side = p->views[i].side;
    side = side * longer_input / shorter_input + 1;
    wanted->least_width = side < shorter ? (int)(side * width / shorter) : width;
    wanted->least_height = side < shorter ? (int)(side * height / shorter) : height;
}

static void choose(void *context, int width, int height, sn_wanted *wanted)
{
    choice *c = context;
    const sn_preparation *p = c->preparation;
    *wanted = (sn_wanted){.width = width, .height = height};
    const sn_crop crop =
        p->augment.area_max > 0 ? sn_crop_sample(&p->augment, width, height, c->key) : (sn_crop){.found = false};
    c->crops = crop.found;
    if (crop.found)
        *wanted = (sn_wanted){.left = crop.left, .top = crop.top, .width = crop.width, .height = crop.height};
    if (!p->fast_decode) return;
    if (crop.found) {
        wanted->least_width = p->width;
        wanted->least_height = p->height;
    } else
        least_size(p, width, height, wanted);
}

/* The picture of sample `index`, or what is wanted of it. */
static senet_status read_part(const sn_preparation *p, int64_t index, choice *c, sn_image *image, sn_pixels *part)
{
    if (!p->dataset->info.photographs) {
        sn_wanted wanted;
        SN_RETURN_IF_FAILED(sn_dataset_picture(p->dataset, index, p->exif, image, NULL));
        choose(c, image->width, image->height, &wanted);
        *part = sn_image_part(image, wanted.left, wanted.top, wanted.width, wanted.height);
        return SENET_OK;
    }
    char *bytes = NULL;
    size_t size;
    SN_RETURN_IF_FAILED(sn_dataset_bytes(p->dataset, index, &bytes, &size));
    senet_status status =
        sn_image_decode_part(bytes, size, sn_dataset_path(p->dataset, index), p->exif, choose, c, image, part);
    free(bytes);
    return status;
}

/* Every view of the picture.  A training crop that found no place: shorter side to the input's, and its centre. */
static senet_status apply_views(const sn_preparation *p, const sn_image *image, uint8_t *out)
{
    const sn_view centre = {.side = p->height < p->width ? p->height : p->width};
    if (p->augment.area_max > 0) return sn_view_apply(&centre, &p->how, image, out);
    for (int64_t i = 0; i < p->views_count; i++)
        SN_RETURN_IF_FAILED(sn_view_apply(&p->views[i], &p->how, image, out + (size_t)i * p->picture_bytes));
    return SENET_OK;
}

/* Every view of the sample, or its training crop, before further augmentation. */
static senet_status read_pictures(const sn_preparation *p, int64_t index, uint64_t key, uint8_t *out, int32_t *label)
{
    if (p->as_stored) return sn_dataset_read(p->dataset, index, out, label);
    const sn_window whole = {.full_width = p->width, .full_height = p->height, .width = p->width, .height = p->height};
    choice c = {.preparation = p, .key = key};
    sn_image image = {0};
    sn_pixels part;
    senet_status status;
    *label = sn_dataset_label(p->dataset, index);
    SN_TRY(read_part(p, index, &c, &image, &part), cleanup);
    status = c.crops ? sn_image_resample(part, whole, p->how.interpolation, out) : apply_views(p, &image, out);
    if (status != SENET_OK && sn_dataset_path(p->dataset, index))
        sn_fail_context(status, "%s", sn_dataset_path(p->dataset, index));
cleanup:
    sn_image_free(&image);
    return status;
}

/* The colour that normalisation makes zero. */
static void mean_colour(const sn_preparation *p, uint8_t rgb[3])
{
    const sn_dataset_info *info = &p->dataset->info;
    for (int c = 0; c < 3; c++) {
        float mean = p->as_stored ? info->mean[c] : p->how.mean[p->how.bgr ? 2 - c : c];
        rgb[c] = (uint8_t)lrintf(255 * (mean < 0 ? 0 : mean > 1 ? 1 : mean));
    }
}

/* Padding in the mean colour: then all of the picture is picture. */
static void make_solid(const sn_preparation *p, const uint8_t mean[3], sn_augment_draw *draw, uint8_t *pixels)
{
    const int32_t whole[4] = {0, 0, p->height, p->width};
    sn_augment_paint_padding(draw, mean, p->height, p->width, pixels);
    memcpy(draw->valid, whole, sizeof whole);
}

/* Fills the cut, unless it is left to the op `normalize`, which makes it exactly zero. */
static void fill_cut(const sn_preparation *p, const uint8_t mean[3], sn_augment_draw *draw, uint64_t key,
                     uint8_t *pixels)
{
    const bool erases = p->augment.erase > 0, to_mean = !erases || p->augment.erase_fill == SN_ERASE_MEAN;
    if (p->dataset->info.real) {
        sn_augment_clear_cut(draw, p->width, p->pixel_bytes, pixels);
        return;
    }
    if (to_mean && !p->mixes) return;
    if (to_mean)
        sn_augment_paint_cut(draw, mean, p->width, pixels);
    else if (p->augment.erase_fill == SN_ERASE_NOISE)
        sn_augment_noise_cut(draw, key, p->width, pixels);
    else
        sn_augment_clear_cut(draw, p->width, p->pixel_bytes, pixels);
    memset(draw->cut, 0, sizeof draw->cut);
}

/* One picture through the augmentation, `from` to `out` (the same where nothing moves); the draw's rectangles become
 * those that are left to the op `normalize`. */
static void augment_picture(const sn_preparation *p, sn_augment_draw *draw, uint64_t key, uint8_t *from, uint8_t *out)
{
    uint8_t mean[3];
    mean_colour(p, mean);
    if (p->moves)
        sn_augment_copy(draw, p->height, p->width, p->pixel_bytes, from, out);
    else if (draw->flip)
        sn_mirror(p->width, p->height, out);
    if (p->solid) make_solid(p, mean, draw, out);
    if (p->augment.randaugment.ops > 0)
        sn_randaugment(p->augment.randaugment.ops, p->augment.randaugment.magnitude, key,
                       &(sn_randaugment_picture){p->height, p->width, mean, out, from});
    if (p->augment.rotate > 0) { /* by way of `from` */
        memcpy(from, out, p->picture_bytes);
        sn_augment_rotate(draw, p->height, p->width, mean, from, out);
    }
    if (p->augment.jitter > 0) sn_augment_jitter(p->augment.jitter, key, out, p->picture_bytes);
    fill_cut(p, mean, draw, key, out);
}

senet_status sn_prepare_sample(const sn_preparation *p, int64_t index, uint64_t key, void *scratch, uint8_t *pixels,
                               int32_t *rects, int32_t *label)
{
    uint8_t *first = p->moves ? scratch : pixels;
    SN_RETURN_IF_FAILED(read_pictures(p, index, key, first, label));
    sn_augment_draw draw = sn_augment_sample(&p->augment, p->height, p->width, key);
    if (p->views_count == 1) augment_picture(p, &draw, key, first, pixels);
    for (int64_t i = 0; i < p->views_count; i++) {
        memcpy(rects + 8 * i, draw.valid, sizeof draw.valid);
        memcpy(rects + 8 * i + 4, draw.cut, sizeof draw.cut);
    }
    return SENET_OK;
}
