/* train.h - training: recipes, optimiser, schedule, the loop, checkpoints, logs.
 *
 *   config.c      every setting, its default, its check, its text in a checkpoint
 *   recipes.c     published settings by name     recipe_table.c  what they are, and who says so
 *   init.c        weight initialisation
 *   optimizer.c   SGD in its three forms         schedule.c    the learning rate of a step
 *   network.c     a model with programs for the batch sizes it meets
 *   training.c    what a run has in hand         training_data.c  its pictures
 *   step.c        one step of the optimiser      statistics.c  exact averages for batch norm at the end
 *   trainer.c     the loop                       run_folder.c  what a run keeps in its folder, and when
 *   evaluate.c    loss and errors on a data set  checkpoint.c  the full state of a run
 *   protocol.c    crops, scales and mirrors of an evaluation
 *   ensemble.c    evaluation by several views and networks
 *   scores.c      averaging and ranking answers  confusion.c   which class is taken for which
 *   log.c         log.jsonl and summary.csv      tensorboard.c event files
 *
 * A run is a function of its config: any number of threads, and any number of interruptions, give the same bits. */
#ifndef SN_TRAIN_TRAIN_H
#define SN_TRAIN_TRAIN_H

#include "data/data.h"
#include "exec/training_graph.h"
#include "io/weights.h"
#include "zoo/zoo.h"

typedef enum sn_optimizer { SN_SGD_TORCH, SN_SGD_CAFFE, SN_NESTEROV } sn_optimizer;
typedef enum sn_schedule { SN_SCHEDULE_CONSTANT, SN_SCHEDULE_STEP, SN_SCHEDULE_PLATEAU, SN_SCHEDULE_COSINE } sn_schedule;
typedef enum sn_init { SN_INIT_HE, SN_INIT_TORCH, SN_INIT_HE_FAN_OUT } sn_init;
/* What is subtracted from pixels, and what they are divided by: the data set's own statistics; ImageNet's as torchvision has
 * them; the means (red, green, blue) 123, 117, 104 of the paper's Caffe models, or those of Places365, without division. */
typedef enum sn_normalize { SN_NORMALIZE_DATA, SN_NORMALIZE_IMAGENET, SN_NORMALIZE_CAFFE, SN_NORMALIZE_PLACES } sn_normalize;
enum { SN_MAX_MILESTONES = 16 };

/* A picture that cannot be read ends the run, or the next one stands in for it; quarantine also writes its path to
 * quarantine.txt in the run's folder. */
typedef enum sn_on_bad { SN_ON_BAD_FAIL, SN_ON_BAD_SKIP, SN_ON_BAD_QUARANTINE } sn_on_bad;

/* Every setting of a run; sn_train_defaults fills it, a recipe and then flags change it. Strings are borrowed. */
typedef struct sn_train_config {
    const char *model, *data, *output, *resume, *init_weights, *recipe;
    int64_t batch, epochs, max_steps;         /* max_steps counts from the start of training; 0: none */
    int64_t micro_batch;                      /* images computed at once: divides batch, or is no smaller; 0: the batch */
    senet_precision precision; /* of activations and their gradients; weights, sums and statistics are in single precision */
    sn_recompute recompute;    /* what is computed twice to hold less memory; the results are the same bits */
    sn_optimizer optimizer;
    double lr, momentum, weight_decay;
    bool decay_all;                           /* weight decay on biases and batch norm too, as torch.optim.SGD does; false:
                                                 on the weights of convolutions and linear layers only */
    bool decay_gamma;                         /* without decay_all: on batch norm's gamma too (the paper's Caffe models) */
    sn_schedule schedule;
    double milestones[SN_MAX_MILESTONES];     /* epochs, ascending */
    int milestones_count;
    int64_t schedule_epochs;                  /* the length milestones and step_every were written for; training another
                                                 number of epochs stretches them; 0: they stand as they are */
    double step_every, gamma;                 /* epochs between steps when there are no milestones; factor */
    int patience, reductions;                 /* plateau: epochs without 1e-4 relative improvement; how often */
    double warmup_epochs, warmup_lr;          /* linear from warmup_lr, or constant at it for warmup_steps */
    int64_t warmup_steps;
    double label_smoothing;
    double ema;                               /* decay of the exponential moving average of the weights; 0: none is kept */
    sn_init init;
    sn_augment augment;
    int input_size, interpolation;            /* of photographs, and of random-resized crops; size 0: the network's own */
    sn_normalize normalize;
    int eval_resize;                          /* validation: shorter side of the resized photograph; 0: the default's */
    bool square;                              /* photographs are made square first, in training and validation (Places365) */
    bool no_exif, fast_decode;
    sn_on_bad on_bad;
    const char *exclude;                      /* a file that names pictures to leave out */
    const char *label_map;                    /* a file that says which class of the network each label of the data is */
    bool shuffle, drop_last, class_aware;
    int freeze_bn_epochs;                     /* batch norm frozen in the last so many epochs */
    int64_t bn_recompute;                     /* images over which batch norm's statistics are averaged at the end; 0: they
                                                 stay the training's moving averages */
    uint64_t seed;
    int threads, workers;
    int64_t eval_batch, log_every;
    bool no_eval;
    double checkpoint_minutes;
    bool reference_only;
} sn_train_config;

void sn_train_defaults(sn_train_config *config);
/* Instead of the defaults, the settings of the run in `folder`, and folder as `resume`; strings go into the arena. */
senet_status sn_train_resume_config(const char *folder, sn_arena *strings, sn_train_config *config);
/* Applies a recipe by name to the defaults; errors list the names.  The model, where the user names one, is there already: some
 * values depend on it. */
senet_status sn_recipe_apply(const char *name, sn_train_config *config);
/* Who says what config's recipe has for a setting: "paper, section 5.1", "inferred: ..." for what nobody published; NULL where
 * it says nothing. */
const char *sn_recipe_source(const sn_train_config *config, const char *setting);
bool sn_recipe_list(size_t index, const char **name, const char **summary);

/* Loss and errors (percent) on the validation set; NaN: not evaluated. */
typedef struct sn_validation {
    double loss, top1_error, top5_error;
} sn_validation;

typedef struct sn_train_progress {
    int64_t step, steps, epoch, epochs, images;
    double lr, loss, top1_error, images_per_second, seconds_left;
    double data_wait_percent; /* of the time in training steps, waiting for the loader */
    bool epoch_end, evaluating;
    sn_validation val, ema; /* of the last evaluation: of the weights, and of their moving average */
} sn_train_progress;

typedef struct sn_train_hooks {
    void (*progress)(void *context, const sn_train_progress *progress); /* after every step and epoch */
    void (*message)(void *context, const char *line);
    void *context;
    const volatile int *stop; /* not 0: finish the step, save, return SENET_STOPPED */
} sn_train_hooks;

typedef struct sn_train_result {
    int64_t epochs, steps;
    double top1_error, top5_error, loss, images_per_second, best_top1_error;
    double data_wait_percent; /* of the time in training steps, waiting for the loader */
    sn_validation ema; /* of the weights' moving average */
    int64_t best_epoch;
    char best[4096]; /* path of best.safetensors; "" when nothing was evaluated */
} sn_train_result;

/* Runs a training to its end, its max_steps, or a stop.  Writes log.jsonl, summary.csv, last, best, ema (where a moving average
 * is kept), checkpoint and TensorBoard events into config->output. */
senet_status sn_train(const sn_train_config *config, const sn_train_hooks *hooks, sn_train_result *result);

/* Fills params by the rule: convolutions, linear layers; biases 0, gamma 1, beta 0, mean 0, variance 1. */
void sn_params_init(const sn_graph *graph, sn_params *params, sn_init init, uint64_t seed);

/* Evaluation of weights on a data set. */
typedef struct sn_eval_options {
    int64_t batch;
    int threads, workers;
    bool reference_only;
    const sn_view *view; /* of sn_evaluate_network on photographs; NULL: what `prepare` asks for */
    const sn_preprocess *prepare; /* of sn_evaluate_network on photographs: how they become the network's input */
    /* of sn_evaluate_network: how photographs are read; a bad one that is skipped counts nowhere */
    bool exif;
    sn_bad_picture on_bad;
    void (*report_bad)(void *context, const char *path, const char *message);
    void *bad_context;
    void (*progress)(void *context, int64_t done, int64_t total);
    void *context;
} sn_eval_options;
typedef struct sn_eval_result {
    int64_t images, top1_errors, top5_errors;
    double loss, seconds;
} sn_eval_result;
senet_status sn_evaluate(const sn_spec *spec, sn_params *params, const sn_preprocess *preprocess, const sn_dataset *dataset,
                         const sn_eval_options *options, sn_eval_result *result);

#endif
