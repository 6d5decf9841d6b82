/* model.h - what is behind a senet_model: the network, its parameters, and the programs that run it.
 *
 * The public functions are thin locks around these; the program's verbs use these directly. */
#ifndef SN_API_MODEL_H
#define SN_API_MODEL_H

#include <pthread.h>
#include <sys/stat.h>

#include "exec/tuning.h"
#include "io/image.h"
#include "io/weights.h"
#include "zoo/zoo.h"

enum { SN_MODEL_PROGRAMS = 2, SN_MODEL_NAME_BYTES = 256 };

/* A program for one batch size, with the graph it runs. */
typedef struct sn_model_program {
    int64_t batch;
    sn_graph *graph;
    sn_program *program;
    uint64_t last_use;
} sn_model_program;

struct senet_model {
    pthread_mutex_t lock;
    char name[SN_MODEL_NAME_BYTES]; /* canonical */
    sn_spec spec;
    sn_weights_info info;
    sn_load_report loaded;    /* what became of the file's tensors */
    char *path;               /* of the weights file, and what it looked like; NULL: there is none */
    struct stat file;
    sn_preprocess preprocess; /* the file's, or the default of the network's native size */
    int threads;              /* 0: every CPU */
    senet_precision precision;
    bool ignore_exif, reference_only;
    sn_tuning *tuning;    /* NULL: kernels are chosen by their models */
    bool release_weights; /* programs pack them; they are read again for the next program */
    sn_graph *layout; /* batch 1: tells which parameters there are */
    sn_params *params;
    sn_workspace *workspace; /* that the programs take turns to use */
    sn_model_program programs[SN_MODEL_PROGRAMS];
    uint64_t uses;
    float *staging; /* NHWC input of a chunk of images */
    size_t staging_floats;
};

/* Opens a network by name with zero parameters, without a file. */
senet_status sn_model_create(const char *name, senet_model **model);
/* Opens a weights file; `name` may be NULL when the file says what it is. */
senet_status sn_model_open(const char *path, const char *name, senet_model **model);

/* SENET_USAGE for int8 where the weights have no ranges. */
senet_status sn_model_set_precision(senet_model *model, senet_precision precision);

/* The network for inference on `batch` pictures of height x width, batch norm folded into the convolutions, activations stored as
 * model->precision says; input
 * "input" (N,H,W,3), outputs "logits" and the nodes named in taps[0 .. taps_count-1].  A tap that is no node:
 * SENET_USAGE. */
senet_status sn_model_build_inference(const senet_model *model, int64_t batch, int64_t height, int64_t width,
                                      const char *const *taps, int taps_count, sn_graph **graph);

/* The program for `batch` images of the input's size: input "input" (N,H,W,3), output "logits".  The last two sizes
 * asked for are kept; the program belongs to the model. */
senet_status sn_model_program_for(senet_model *model, int64_t batch, sn_program **program);
/* Forgets the programs, so that a change of threads takes effect. */
void sn_model_forget_programs(senet_model *model);

/* An RGB picture to the network's input: preprocessed, channels in order, normalised; H x W x 3 floats.  Thread-safe.
 */
senet_status sn_model_prepare(const senet_model *model, const sn_image *image, float *input);
/* The same for a file.  Thread-safe. */
senet_status sn_model_prepare_file(const senet_model *model, const char *path, float *input);
/* Runs images x H x W x 3 floats to images x K logits, in chunks. */
senet_status sn_model_run(senet_model *model, const float *input, int64_t images, float *logits);
/* The `count` most probable classes of K logits. */
void sn_model_top(const senet_model *model, const float *logits, int count, senet_prediction *top);

/* Values of one image, H x W x 3. */
static inline size_t sn_model_input_floats(const senet_model *model)
{
    return (size_t)model->preprocess.height * (size_t)model->preprocess.width * 3;
}

#endif
