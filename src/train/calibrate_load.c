/* calibrate_load.c - the pictures of a calibration (calibrate.h). */
#include <stdlib.h>
#include <string.h>

#include "train/calibrate.h"

/* The pixels or tensors of one picture as the network wants them. */
static void prepare(const sn_batch *batch, int64_t n, const sn_preprocess *how, size_t values, float *out)
{
    if (batch->real) {
        memcpy(out, batch->real + (size_t)n * values, values * sizeof *out);
        return;
    }
    const uint8_t *pixels = batch->images + (size_t)n * values;
    for (size_t i = 0; i < values; i++) {
        size_t channel = i % 3, from = how->bgr ? i - channel + (2 - channel) : i;
        out[i] = ((float)pixels[from] / 255.0f - how->mean[channel]) / how->std[channel];
    }
}

senet_status sn_calibration_load(const sn_dataset *dataset, const sn_preprocess *preprocess, int64_t most, int workers, bool exif,
                                 float **pictures, int64_t *count)
{
    const sn_dataset_info *info = sn_dataset_describe(dataset);
    /* a seed of its own: the same pictures every time */
    sn_loader_options loading = {.batch = 1, .workers = workers, .shuffle = true, .seed = 1, .exif = exif};
    if (info->photographs) loading.prepare = preprocess;
    int64_t height = info->photographs ? preprocess->height : info->height, width = info->photographs ? preprocess->width : info->width;
    size_t values = (size_t)height * (size_t)width * 3;
    sn_loader *loader = NULL;
    senet_status status;
    *count = 0;
    if (most > info->count) most = info->count;
    size_t room = (size_t)((most + SN_CALIBRATION_STEP - 1) / SN_CALIBRATION_STEP * SN_CALIBRATION_STEP);
    *pictures = sn_alloc_aligned_zeroed(values * room * sizeof **pictures);
    if (!*pictures) return sn_fail_memory(values * (size_t)most * sizeof **pictures, "the pictures of a calibration");
    SN_TRY(sn_loader_create(dataset, &loading, &loader), cleanup);
    while (*count < most) {
        const sn_batch *batch;
        SN_TRY(sn_loader_next(loader, &batch), cleanup);
        if (!batch) break;
        for (int64_t n = 0; n < batch->count && *count < most; n++)
            prepare(batch, n, preprocess, values, *pictures + (size_t)(*count)++ * values);
    }
cleanup:
    sn_loader_destroy(loader);
    if (status != SENET_OK) {
        sn_free_aligned(*pictures);
        *pictures = NULL;
    }
    return status;
}
