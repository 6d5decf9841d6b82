/* senet.h - the public interface of libsenet: Squeeze-and-Excitation networks in C.
 *
 * Every call that can fail returns a senet_status; senet_last_error() then holds one line that names the thing and the
 * actual values.  The library never prints, exits or aborts on input.  Handles are opaque; every destroy takes NULL.
 */
#ifndef SENET_SENET_H
#define SENET_SENET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SENET_VERSION_MAJOR 0
#define SENET_VERSION_MINOR 1
#define SENET_VERSION_PATCH 0

#if defined(__GNUC__)
#define SENET_API __attribute__((visibility("default")))
#else
#define SENET_API
#endif

/* What a call came to.  The values are those of sysexits.h, and the program's exit codes. */
typedef enum senet_status {
    SENET_OK = 0,
    SENET_USAGE = 64,        /* an argument or option that makes no sense */
    SENET_BAD_DATA = 65,     /* a file that is not what it should be */
    SENET_NO_INPUT = 66,     /* a file or folder that is not there or cannot be read */
    SENET_INTERNAL = 70,     /* a fault of ours */
    SENET_NO_MEMORY = 71,    /* memory could not be had (the program exits with 70) */
    SENET_CANNOT_WRITE = 73, /* a file that cannot be written: full disk, permissions */
    SENET_STOPPED = 75       /* stopped on request after the state was saved */
} senet_status;

/* The version as "major.minor.patch". */
SENET_API const char *senet_version(void);

/* The message of this thread's last failed call: one line, no newline.  "" if none failed.  Valid until the thread's next
 * failing call. */
SENET_API const char *senet_last_error(void);

/* ---- a network with its weights ----
 *
 *     senet_model *model = NULL;
 *     senet_prediction top[5];
 *     if (senet_model_load("weights.safetensors", NULL, &model) == SENET_OK &&
 *         senet_model_classify_file(model, "picture.jpg", 5, top) == SENET_OK)
 *         printf("%s %.3f\n", top[0].label, top[0].probability);
 *     senet_model_destroy(model);
 *
 * Threads: a handle may be used by any thread; calls on one handle take turns, calls on different handles run side by side.
 * Destroying a handle that another thread still uses is an error of the caller.  Results do not depend on the number of
 * threads. */
typedef struct senet_model senet_model;

/* What a network computes with.  Sums, the squeeze and the excitation are in single precision in any case. */
typedef enum senet_precision {
    SENET_FP32 = 0, /* single precision */
    SENET_BF16 = 1, /* activations and products in bfloat16: half the memory, faster where the processor multiplies it */
    SENET_INT8 = 2  /* 8-bit activations and weights; needs a file made by `senet quantize` */
} senet_precision;

/* How to load; all zero is the usual case. */
typedef struct senet_model_options {
    const char *model; /* the network's name, "se_cifar_resnet20:r=8"; NULL: what the weights file says it is */
    int threads;       /* that compute, 1..256; 0: every CPU the process may use */
    int ignore_exif;   /* not 0: pictures are taken as they are stored, not turned as their EXIF orientation says */
    senet_precision precision;
    const char *tuning_file; /* NULL: convolution kernels are chosen by models, which gives the same bits everywhere.  Else they are
                                measured when a batch size comes first, and the choice is kept in this file, which is made */
    int release_weights; /* not 0: as little memory as can be: weights are given back once they are laid out for the kernels, and the
                            file, which must stay as it is, is read again when another number of images is computed at once */
} senet_model_options;

/* Loads a weights file (safetensors with the names of this library, torchvision or timm, or a .caffemodel; see the manual)
 * and makes the network ready to run.  options may be NULL.  On success *model is a handle that the caller destroys, on failure NULL.
 * SENET_NO_INPUT: the file cannot be read.  SENET_BAD_DATA: it is damaged, or its tensors are not those of the network; the
 * message names the first that differs.  SENET_USAGE: no or an unknown network name, threads out of range. */
SENET_API senet_status senet_model_load(const char *path, const senet_model_options *options, senet_model **model);
SENET_API void senet_model_destroy(senet_model *model);

/* The network's canonical name, "se_cifar_resnet20:r=8"; belongs to the handle. */
SENET_API const char *senet_model_name(const senet_model *model);
/* How many classes it tells apart, K. */
SENET_API int senet_model_classes(const senet_model *model);
/* The name of class 0 .. K-1; NULL when the weights file names no classes, or for another number.  Belongs to the handle. */
SENET_API const char *senet_model_label(const senet_model *model, int class_index);
/* The size of the network's input in pixels. */
SENET_API void senet_model_input_size(const senet_model *model, int *height, int *width);
/* From now on so many threads compute: 1..256, or 0 for every CPU the process may use.  SENET_USAGE for other numbers. */
SENET_API senet_status senet_model_set_threads(senet_model *model, int threads);

/* A class with its probability. */
typedef struct senet_prediction {
    int class_index;   /* 0 .. K-1 */
    const char *label; /* NULL when the weights file names no classes; belongs to the model's handle */
    float probability; /* softmax of the logits, 0..1 */
} senet_prediction;

/* Reads a JPEG or PNG picture, prepares it as the weights file says (resizing, centre crop, normalisation), and writes the
 * `count` most probable classes to top[0 .. count-1], the best first; of equals the lower number first.
 * SENET_USAGE: count is not 1..K.  SENET_NO_INPUT, SENET_BAD_DATA: the picture cannot be read, is no picture or damaged. */
SENET_API senet_status senet_model_classify_file(senet_model *model, const char *path, int count, senet_prediction *top);

/* The same for a picture in memory: 8-bit RGB, `height` rows of `width` x 3 bytes, `stride` bytes from one row's start to the
 * next (at least 3 x width).  The pixels are only read. */
SENET_API senet_status senet_model_classify_pixels(senet_model *model, const unsigned char *rgb, int height, int width,
                                                   ptrdiff_t stride, int count, senet_prediction *top);

/* Runs the network on prepared input.  input: images x 3 x H x W floats (NCHW), normalised, channels in the order the weights
 * were trained with, H x W as senet_model_input_size says.  logits: images x K floats, written.  SENET_USAGE: images < 0. */
SENET_API senet_status senet_model_forward(senet_model *model, const float *input, int64_t images, float *logits);

#ifdef __cplusplus
}
#endif
#endif
