/* training_data.c - see training_data.h. */
#include "train/training_data.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rng.h"
#include "data/augment.h"
#include "train/step.h"

enum { SAMPLES = 16 }; /* of the fingerprint */

/* ---- opening ---- */

/* A hash of what sample `index` is in its file.  Of a photograph that cannot be read nothing: it may be one to skip. */
static senet_status hash_sample(const sn_dataset *dataset, int64_t index, uint64_t *hash)
{
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    size_t size = (size_t)info->height * (size_t)info->width * 3;
    char *bytes = NULL;
    *hash = 0;
    if (info->photographs) {
        senet_status status = sn_dataset_bytes(dataset, index, &bytes, &size);
        if (status != SENET_OK) return status == SENET_NO_MEMORY ? status : SENET_OK;
    } else {
        int32_t label;
        if (!(bytes = malloc(size))) return sn_fail_memory(size, "a picture");
        senet_status status = sn_dataset_get(dataset, index, (uint8_t *)bytes, &label);
        if (status != SENET_OK) {
            free(bytes);
            return status;
        }
    }
    *hash = sn_fnv1a64(bytes, size);
    free(bytes);
    return SENET_OK;
}

/* What tells one data set from another: its description and a hash over a few samples spread evenly.  The path is not
 * in it. */
static senet_status fingerprint_data(sn_training *t)
{
    const sn_dataset_info *info = sn_dataset_describe(t->train_set);
    uint64_t hash = 0;
    for (int64_t i = 0; i < SAMPLES && !info->real; i++) {
        const int64_t index = i * info->count / SAMPLES;
        uint64_t sample;
        SN_RETURN_IF_FAILED(hash_sample(t->train_set, index, &sample));
        hash = sn_rng_mix(hash ^ sample) + (uint64_t)sn_dataset_label(t->train_set, index);
    }
    t->fingerprint = sn_arena_printf(&t->strings, "%s, %lld pictures of %dx%d, %lld classes, %016llx", info->name,
                                     (long long)info->count, info->height, info->width, (long long)info->classes,
                                     (unsigned long long)hash);
    return t->fingerprint ? SENET_OK : sn_fail_memory(128, "a data set's fingerprint");
}

/* A split with the network's labels, without the pictures that the user names. */
static senet_status open_split(sn_training *t, sn_split split, sn_dataset **dataset)
{
    int64_t excluded;
    SN_RETURN_IF_FAILED(sn_dataset_open(t->config.data, split, dataset));
    if (t->config.label_map) {
        sn_spec spec; /* with a map the model, not the data, says how many classes there are */
        SN_RETURN_IF_FAILED(sn_spec_parse(t->config.model, &spec));
        SN_RETURN_IF_FAILED(sn_dataset_map_labels(*dataset, t->config.label_map, spec.classes));
    }
    if (!t->config.exclude) return SENET_OK;
    SN_RETURN_IF_FAILED(sn_dataset_exclude(*dataset, t->config.exclude, &excluded));
    if (excluded > 0)
        sn_training_say(t, "%s: %lld %s pictures left out", t->config.exclude, (long long)excluded,
                        split == SN_SPLIT_TRAIN ? "training" : "validation");
    return SENET_OK;
}

senet_status sn_training_open_data(sn_training *t)
{
    SN_RETURN_IF_FAILED(open_split(t, SN_SPLIT_TRAIN, &t->train_set));
    const sn_dataset_info *train = sn_dataset_describe(t->train_set);
    if (train->count < 1) return sn_fail(SENET_BAD_DATA, "data set '%s' has no training pictures", t->config.data);
    SN_RETURN_IF_FAILED(fingerprint_data(t));
    if (t->config.no_eval) return SENET_OK;
    SN_RETURN_IF_FAILED(open_split(t, SN_SPLIT_VAL, &t->val_set));
    const sn_dataset_info *val = sn_dataset_describe(t->val_set);
    if (val->count < 1 || val->height != train->height || val->width != train->width || val->real != train->real)
        return sn_fail(SENET_BAD_DATA, "data set '%s': %lld validation pictures of %dx%d, training has %dx%d",
                       t->config.data, (long long)val->count, val->height, val->width, train->height, train->width);
    if (val->classes > train->classes)
        return sn_fail(SENET_BAD_DATA, "data set '%s': %lld classes in validation, %lld in training", t->config.data,
                       (long long)val->classes, (long long)train->classes);
    return SENET_OK;
}

/* ---- the network's input ---- */

/* Tensors come normalised. */
static void choose_normalisation(sn_training *t)
{
    static const float means[][3] = {[SN_NORMALIZE_IMAGENET] = {0.485f, 0.456f, 0.406f},
                                     [SN_NORMALIZE_CAFFE] = {123 / 255.f, 117 / 255.f, 104 / 255.f},
                                     [SN_NORMALIZE_PLACES] = {116.052f / 255, 113.768f / 255, 105.448f / 255}};
    static const float imagenet_std[] = {0.229f, 0.224f, 0.225f};
    const sn_dataset_info *info = sn_dataset_describe(t->train_set);
    const sn_normalize how = t->config.normalize;
    for (int c = 0; c < 3 && !info->real; c++) {
        t->preprocess.mean[c] = how == SN_NORMALIZE_DATA ? info->mean[c] : means[how][c];
        t->preprocess.std[c] = how == SN_NORMALIZE_DATA       ? info->std[c]
                               : how == SN_NORMALIZE_IMAGENET ? imagenet_std[c]
                                                              : 1 / 255.f;
    }
}

/* crop_pct of an input of `size` from a picture resized to `side`, such that sn_view_of finds that side again. */
static float crop_share(sn_preprocess how, int size, int side)
{
    how.crop_pct = (float)((double)size / side);
    return sn_view_of(&how).side == side ? how.crop_pct : (float)(size / (side + 0.5));
}

/* Photographs get the size that the user names or the network's own; the other pictures have theirs. */
senet_status sn_training_choose_input(sn_training *t)
{
    const sn_dataset_info *info = sn_dataset_describe(t->train_set);
    const int size = t->config.input_size > 0 ? t->config.input_size : t->spec.native_size;
    if (!info->photographs && t->config.input_size > 0 &&
        (info->height != t->config.input_size || info->width != t->config.input_size))
        return sn_fail(SENET_USAGE, "input size %d: the pictures of %s have %dx%d", t->config.input_size,
                       t->config.data, info->height, info->width);
    t->preprocess = sn_preprocess_default(info->photographs ? size : info->height);
    if (info->photographs) {
        const int side = t->config.eval_resize;
        if (side > 0 && side < size)
            return sn_fail(SENET_USAGE, "eval-resize %d is below the input size %d", side, size);
        t->preprocess.interpolation = t->config.interpolation;
        if (side > 0)
            t->preprocess.crop_pct = crop_share(t->preprocess, size, side);
        else if (size == 32) /* photographs do not come in this size, as CIFAR's pictures do */
            t->preprocess.crop_pct = 0.875f;
        t->view = sn_view_of(&t->preprocess);
        if (t->config.square) t->view.resize = SN_VIEW_SQUARE;
    } else {
        t->preprocess.height = info->height;
        t->preprocess.width = info->width;
        t->preprocess.crop_pct = 1;
        t->preprocess.interpolation = SN_INTERPOLATION_NONE;
    }
    choose_normalisation(t);
    return SENET_OK;
}

/* ---- the loader ---- */

static void say_augmentation(const sn_training *t)
{
    sn_text said = {0};
    sn_augment_describe(&t->config.augment, &said);
    if (said.length > 0) sn_training_say(t, "pictures: %s", sn_text_string(&said));
    sn_text_free(&said);
}

senet_status sn_training_open_loader(sn_training *t, sn_loader_place place, sn_loader **loader)
{
    const sn_dataset_info *info = sn_dataset_describe(t->train_set);
    sn_preprocess how = t->preprocess;
    how.interpolation = t->config.interpolation;
    const bool prepares = info->photographs || (t->config.augment.area_max > 0 && !info->real);
    sn_loader_options options = {.batch = place.batch,
                                 .workers = t->config.workers,
                                 .shuffle = t->config.shuffle,
                                 .class_aware = t->config.class_aware,
                                 .drop_last = place.drop_last,
                                 .seed = t->config.seed,
                                 .augment = t->config.augment,
                                 .epoch = place.epoch,
                                 .start = place.start,
                                 .prepare = prepares ? &how : NULL,
                                 .views = info->photographs ? &t->view : NULL,
                                 .views_count = info->photographs,
                                 .exif = !t->config.no_exif,
                                 .fast_decode = t->config.fast_decode,
                                 .on_bad =
                                     t->config.on_bad == SN_ON_BAD_FAIL ? SN_BAD_PICTURE_FAIL : SN_BAD_PICTURE_SKIP,
                                 .report_bad = sn_training_report_bad,
                                 .context = t};
    if (t->config.square && info->photographs) options.augment.square = t->view.side;
    return sn_loader_create(t->train_set, &options, loader);
}

/* The loader hands out the pieces of a step. */
senet_status sn_training_start_loader(sn_training *t)
{
    const sn_dataset_info *info = sn_dataset_describe(t->train_set);
    const int64_t piece = sn_step_piece(&t->config), pieces = (info->count + piece - 1) / piece;
    const int64_t taken = t->state.batch * (t->config.batch / piece);
    t->steps_per_epoch = sn_steps_per_epoch(&t->config, info->count);
    if (t->steps_per_epoch < 1)
        return sn_fail(SENET_USAGE, "a batch of %lld is larger than the %lld pictures of %s, and the last batch is dropped",
                       (long long)t->config.batch, (long long)info->count, info->name);
    sn_loader_place place = {.batch = piece,
                             .epoch = t->state.epoch,
                             .start = taken < pieces ? taken : pieces,
                             .drop_last = t->config.drop_last};
    SN_RETURN_IF_FAILED(sn_training_open_loader(t, place, &t->loader));
    say_augmentation(t);
    return SENET_OK;
}

/* Appends the path to the run's quarantine.txt, a whole line at once. */
static senet_status quarantine(const sn_training *t, const char *path)
{
    char *file = sn_path_join(t->folder.path, "quarantine.txt");
    sn_text line = {0};
    sn_text_printf(&line, "%s\n", path);
    int descriptor = file && !line.failed ? open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;
    const bool written = descriptor >= 0 && write(descriptor, line.bytes, line.length) == (ssize_t)line.length;
    const bool closed = descriptor >= 0 && close(descriptor) == 0;
    free(file);
    sn_text_free(&line);
    return written && closed ? SENET_OK : SENET_CANNOT_WRITE;
}

/* Into the log, where an evaluation's picture belongs to the epoch that has just been trained. */
static senet_status log_skip(const sn_training *t, const char *path, const char *message)
{
    const size_t length = strlen(path);
    const bool named = strncmp(message, path, length) == 0 && strncmp(message + length, ": ", 2) == 0;
    const bool trains = t->state.batch < t->steps_per_epoch;
    return sn_log_skip(t->log, &(sn_skip_record){.path = path,
                                                 .reason = named ? message + length + 2 : message,
                                                 .epoch = t->state.epoch + 1,
                                                 .step = t->state.step + trains});
}

void sn_training_report_bad(void *training, const char *path, const char *message)
{
    sn_training *t = training;
    t->skipped++;
    if (log_skip(t, path, message) != SENET_OK) sn_training_say(t, "%s", senet_last_error());
    sn_training_say(t, "skipped, %lld so far: %s", (long long)t->skipped, message);
    if (t->config.on_bad == SN_ON_BAD_QUARANTINE && quarantine(t, path) != SENET_OK)
        sn_training_say(t, "%s/quarantine.txt cannot be written", t->folder.path);
}
