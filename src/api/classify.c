/* classify.c - running a loaded network: pictures to its input, input to logits, logits to classes.  See senet.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/model.h"
#include "data/view.h"

enum { IMAGES_AT_ONCE = 32 }; /* a larger batch is not faster, and its memory grows */

/* ---- programs ---- */

static void forget(sn_model_program *slot)
{
    sn_program_destroy(slot->program);
    sn_graph_destroy(slot->graph);
    *slot = (sn_model_program){0};
}

void sn_model_forget_programs(senet_model *model)
{
    for (int i = 0; i < SN_MODEL_PROGRAMS; i++) forget(&model->programs[i]);
}

senet_status sn_model_program_for(senet_model *model, int64_t batch, sn_program **program)
{
    sn_model_program *slot = &model->programs[0];
    for (int i = 0; i < SN_MODEL_PROGRAMS; i++) {
        sn_model_program *other = &model->programs[i];
        bool older = slot->batch != batch && other->last_use < slot->last_use;
        if (other->batch == batch || older) slot = other;
    }
    if (slot->batch != batch) {
        sn_program_options options = {.threads = model->threads,
                                      .reference_only = model->reference_only,
                                      .params = model->params,
                                      .tuning = model->tuning,
                                      .release_params = model->release_weights,
                                      .workspace = model->workspace};
        forget(slot);
        senet_status status = sn_model_build_inference(model, batch, model->preprocess.height, model->preprocess.width,
                                                       NULL, 0, &slot->graph);
        if (status == SENET_OK) status = sn_program_create(slot->graph, &options, &slot->program);
        if (status == SENET_OK && model->tuning) status = sn_tuning_save(model->tuning);
        if (status != SENET_OK) {
            forget(slot);
            return status;
        }
        slot->batch = batch;
    }
    slot->last_use = ++model->uses;
    *program = slot->program;
    return SENET_OK;
}

senet_status sn_model_run(senet_model *model, const float *input, int64_t images, float *logits)
{
    size_t input_floats = sn_model_input_floats(model), classes = (size_t)model->spec.classes;
    while (images > 0) {
        int64_t chunk = images < IMAGES_AT_ONCE ? images : IMAGES_AT_ONCE;
        sn_program *program;
        SN_RETURN_IF_FAILED(sn_model_program_for(model, chunk, &program));
        SN_RETURN_IF_FAILED(sn_program_set_input(program, "input", input));
        SN_RETURN_IF_FAILED(sn_program_run(program));
        memcpy(logits, sn_program_output(program, "logits", NULL), (size_t)chunk * classes * sizeof *logits);
        input += (size_t)chunk * input_floats;
        logits += (size_t)chunk * classes;
        images -= chunk;
    }
    return SENET_OK;
}

/* ---- pictures ---- */

senet_status sn_model_prepare(const senet_model *model, const sn_image *image, float *input)
{
    sn_preprocess how = model->preprocess;
    bool fits = image->width == how.width && image->height == how.height;
    /* "none" is for data sets whose pictures have the network's size; any other picture must become that size somehow.
     */
    if (how.interpolation == SN_INTERPOLATION_NONE && !fits) how.interpolation = SN_INTERPOLATION_PIL_BILINEAR;
    size_t values = sn_model_input_floats(model);
    uint8_t *pixels = malloc(values);
    if (!pixels) return sn_fail_memory(values, "a preprocessed picture");
    senet_status status = sn_image_preprocess(image, &how, pixels);
    if (status == SENET_OK)
        for (size_t i = 0; i < values; i++) {
            size_t channel = i % 3, from = how.bgr ? i - channel + (2 - channel) : i;
            input[i] = ((float)pixels[from] / 255.0f - how.mean[channel]) / how.std[channel];
        }
    free(pixels);
    return status;
}

senet_status sn_model_prepare_file(const senet_model *model, const char *path, float *input)
{
    sn_image image = {0};
    senet_status status = sn_image_read(path, !model->ignore_exif, &image);
    if (status == SENET_OK) {
        status = sn_model_prepare(model, &image, input);
        if (status != SENET_OK) sn_fail_context(status, "%s", path);
    }
    sn_image_free(&image);
    return status;
}

/* ---- classes ---- */

void sn_model_top(const senet_model *model, const float *logits, int count, senet_prediction *top)
{
    int classes = (int)model->spec.classes;
    double largest = logits[0], sum = 0;
    for (int k = 1; k < classes; k++)
        if (logits[k] > largest) largest = logits[k];
    for (int k = 0; k < classes; k++) sum += exp(logits[k] - largest);
    int found = 0; /* top[0 .. found-1] is sorted; a class goes in before the first that it beats */
    for (int k = 0; k < classes; k++) {
        int place = found;
        while (place > 0 && logits[k] > logits[top[place - 1].class_index]) place--;
        if (place >= count) continue;
        if (found < count) found++;
        memmove(&top[place + 1], &top[place], (size_t)(found - 1 - place) * sizeof *top);
        top[place].class_index = k;
    }
    for (int i = 0; i < found; i++) {
        top[i].label = senet_model_label(model, top[i].class_index);
        top[i].probability = (float)(exp(logits[top[i].class_index] - largest) / sum);
    }
}

/* ---- the public calls ---- */

/* The staging area for so many images, or NULL. */
static float *stage(senet_model *model, int64_t images)
{
    size_t floats = sn_model_input_floats(model) * (size_t)images;
    if (floats <= model->staging_floats) return model->staging;
    sn_free_aligned(model->staging);
    model->staging = sn_alloc_aligned(floats * sizeof(float));
    model->staging_floats = model->staging ? floats : 0;
    if (!model->staging) sn_fail_memory(floats * sizeof(float), "the network's input");
    return model->staging;
}

static senet_status check_count(const senet_model *model, int count)
{
    if (count >= 1 && count <= model->spec.classes) return SENET_OK;
    return sn_fail(SENET_USAGE, "%d classes asked for: %s has 1..%d", count, model->name, (int)model->spec.classes);
}

/* Classifies the image in staging; the caller holds the lock. */
static senet_status classify_staged(senet_model *model, int count, senet_prediction *top)
{
    size_t bytes = (size_t)model->spec.classes * sizeof(float);
    float *logits = malloc(bytes);
    if (!logits) return sn_fail_memory(bytes, "the logits");
    senet_status status = sn_model_run(model, model->staging, 1, logits);
    if (status == SENET_OK) sn_model_top(model, logits, count, top);
    free(logits);
    return status;
}

senet_status senet_model_classify_file(senet_model *model, const char *path, int count, senet_prediction *top)
{
    SN_RETURN_IF_FAILED(check_count(model, count));
    pthread_mutex_lock(&model->lock);
    float *input = stage(model, 1);
    senet_status status = input ? sn_model_prepare_file(model, path, input) : SENET_NO_MEMORY;
    if (status == SENET_OK) status = classify_staged(model, count, top);
    pthread_mutex_unlock(&model->lock);
    return status;
}

/* Rows without gaps, as the functions of io/image.h want them. */
static senet_status copy_pixels(const unsigned char *rgb, int height, int width, ptrdiff_t stride, sn_image *image)
{
    if (height < 1 || width < 1 || stride < (ptrdiff_t)width * 3)
        return sn_fail(SENET_USAGE,
                       "a picture of %d x %d pixels, %td bytes a row: needs at least 1 x 1 and 3 bytes a pixel", height,
                       width, stride);
    size_t row = (size_t)width * 3, bytes = row * (size_t)height;
    image->pixels = malloc(bytes);
    if (!image->pixels) return sn_fail_memory(bytes, "a picture");
    for (int y = 0; y < height; y++) memcpy(image->pixels + (size_t)y * row, rgb + y * stride, row);
    image->width = width;
    image->height = height;
    return SENET_OK;
}

senet_status senet_model_classify_pixels(senet_model *model, const unsigned char *rgb, int height, int width,
                                         ptrdiff_t stride, int count, senet_prediction *top)
{
    sn_image image = {0};
    SN_RETURN_IF_FAILED(check_count(model, count));
    SN_RETURN_IF_FAILED(copy_pixels(rgb, height, width, stride, &image));
    pthread_mutex_lock(&model->lock);
    float *input = stage(model, 1);
    senet_status status = input ? sn_model_prepare(model, &image, input) : SENET_NO_MEMORY;
    if (status == SENET_OK) status = classify_staged(model, count, top);
    pthread_mutex_unlock(&model->lock);
    free(image.pixels);
    return status;
}

/* (images, 3, H, W) to (images, H, W, 3) */
static void interleave(const float *planes, int64_t images, size_t area, float *pixels)
{
    for (int64_t n = 0; n < images; n++, planes += 3 * area, pixels += 3 * area)
        for (size_t i = 0; i < area; i++)
            for (size_t c = 0; c < 3; c++) pixels[3 * i + c] = planes[c * area + i];
}

senet_status senet_model_forward(senet_model *model, const float *input, int64_t images, float *logits)
{
    if (images < 0) return sn_fail(SENET_USAGE, "%lld images: must not be negative", (long long)images);
    size_t values = sn_model_input_floats(model);
    senet_status status = SENET_OK;
    pthread_mutex_lock(&model->lock);
    while (images > 0 && status == SENET_OK) {
        int64_t chunk = images < IMAGES_AT_ONCE ? images : IMAGES_AT_ONCE;
        float *staged = stage(model, chunk);
        if (staged) interleave(input, chunk, values / 3, staged);
        status = staged ? sn_model_run(model, staged, chunk, logits) : SENET_NO_MEMORY;
        input += (size_t)chunk * values;
        logits += chunk * model->spec.classes;
        images -= chunk;
    }
    pthread_mutex_unlock(&model->lock);
    return status;
}
