/* train_options.c - see train_options.h.  A new setting of a run is a line in the table and one in apply_flags. */
#include "train_options.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "augment_options.h"
#include "train/config.h"

const cli_option cli_train_options[] = {
    CLI_OPTION_MODEL("the network; not needed with --recipe"),
    {.name = "data",
     .type = CLI_TEXT,
     .metavar = "DATA",
     .usual = "the recipe's",
     .help = "folder:DIR, list:FILE, tar:GLOB, cifar10:DIR, cifar100:DIR, synthetic[:OPTIONS] or tensors:FILE"},
    {.name = "output",
     .type = CLI_TEXT,
     .metavar = "DIR",
     .help = "folder of the run; with --resume the same one by default"},
    {.name = "recipe",
     .type = CLI_TEXT,
     .metavar = "NAME",
     .help = "published settings by name (`senet recipes` lists them); flags override it"},
    {.name = "resume",
     .type = CLI_TEXT,
     .metavar = "DIR",
     .help = "go on with the run in DIR: same settings, same bits"},
    {.name = "init", .type = CLI_TEXT, .metavar = "FILE", .help = "begin with these weights instead of random ones"},
    {.name = "batch-size",
     .letter = 'b',
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 1,
     .most = 1048576,
     .usual = "the recipe's, else 128",
     .help = "images a step of the optimiser"},
    {.name = "micro-batch",
     .type = CLI_INTEGER,
     .metavar = "M",
     .least = 1,
     .most = 1048576,
     .usual = "the whole batch",
     .help = "images computed at once, dividing --batch-size: a step sums the gradients of its pieces, and batch norm "
             "sees a piece at a time"},
    {.name = "epochs",
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 1,
     .most = 1000000,
     .usual = "the recipe's, else 30",
     .help = "passes over the training pictures; a recipe's milestones stretch with it"},
    {.name = "max-steps",
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 1,
     .most = 1e15,
     .help = "stop after step N, counted from the start of training"},
    {.name = "optimizer",
     .type = CLI_CHOICE,
     .metavar = "NAME",
     .choices = SN_OPTIMIZER_WORDS,
     .help = "form of SGD with momentum: Torch's, Caffe's, Nesterov's"},
    {.name = "lr",
     .type = CLI_REAL,
     .metavar = "X",
     .least = 0,
     .most = 1000,
     .usual = "the recipe's, else 0.1",
     .help = "learning rate"},
    {.name = "momentum",
     .type = CLI_REAL,
     .metavar = "X",
     .least = 0,
     .most = 0.999999,
     .usual = "0.9",
     .help = "momentum"},
    {.name = "weight-decay",
     .type = CLI_REAL,
     .metavar = "X",
     .least = 0,
     .most = 1,
     .usual = "the recipe's, else 0.0001",
     .help = "L2 penalty"},
    {.name = "weight-decay-on",
     .type = CLI_CHOICE,
     .metavar = "WHAT",
     .choices = "weights|weights+gamma|all",
     .usual = "the recipe's, else all",
     .help = "decay weights only, batch norm's gamma too, or biases and beta as well"},
    {.name = "schedule",
     .type = CLI_CHOICE,
     .metavar = "NAME",
     .choices = SN_SCHEDULE_WORDS,
     .usual = "the recipe's, else cosine",
     .help = "course of the learning rate"},
    {.name = "milestones",
     .type = CLI_REALS,
     .metavar = "E,E,...",
     .least = 0,
     .most = 1e6,
     .help = "epochs at which the rate is multiplied by --gamma; implies --schedule step"},
    {.name = "step-every",
     .type = CLI_REAL,
     .metavar = "E",
     .least = 0,
     .most = 1e6,
     .help = "schedule step without milestones: epochs between two steps"},
    {.name = "gamma",
     .type = CLI_REAL,
     .metavar = "X",
     .least = 0,
     .most = 1,
     .usual = "0.1",
     .help = "factor of a step"},
    {.name = "patience",
     .type = CLI_INTEGER,
     .metavar = "E",
     .least = 1,
     .most = 1000000,
     .usual = "10",
     .help = "schedule plateau: epochs without a better validation loss before a step"},
    {.name = "reductions",
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 0,
     .most = 1000,
     .usual = "3",
     .help = "schedule plateau: steps before the end"},
    {.name = "warmup-epochs",
     .type = CLI_REAL,
     .metavar = "E",
     .least = 0,
     .most = 1e6,
     .usual = "0",
     .help = "raise the rate linearly over the first E epochs"},
    {.name = "warmup-lr",
     .type = CLI_REAL,
     .metavar = "X",
     .least = 0,
     .most = 1000,
     .usual = "0",
     .help = "rate that the warm-up begins with"},
    {.name = "warmup-steps",
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 0,
     .most = 1e12,
     .usual = "the recipe's, else 0",
     .help = "hold the rate at --warmup-lr for the first N steps"},
    {.name = "scale-lr",
     .type = CLI_INTEGER,
     .metavar = "BATCH",
     .least = 1,
     .most = 1048576,
     .help = "the learning rate is meant for batches of BATCH images: multiply it by --batch-size / BATCH"},
    {.name = "label-smoothing",
     .type = CLI_REAL,
     .metavar = "X",
     .least = 0,
     .most = 0.999,
     .usual = "0",
     .help = "share of the target spread over all classes"},
    {.name = "ema",
     .type = CLI_REAL,
     .metavar = "DECAY",
     .least = 0,
     .most = 0.999999999,
     .usual = "0: none",
     .help = "keep a moving average of the weights: after every step DECAY of itself and 1 - DECAY of them; evaluated, "
             "saved as ema.safetensors"},
    {.name = "augment",
     .type = CLI_TEXT,
     .metavar = "HOW",
     .usual = "the recipe's, else none",
     .help = "none, or joined by +: cropA-B (random-resized crop of A to B percent of the picture), flip, padN "
             "(zero-pad by N, "
             "crop at random), rotateN (up to N degrees), jitterN (add up to N to every byte), cutoutN (blank a square "
             "of side "
             "N); cifar = pad4+flip, imagenet = crop8-100+flip, imagenet-strong = imagenet+rotate10+jitter20"},
    {.name = "randaugment",
     .type = CLI_TEXT,
     .metavar = "N,M",
     .usual = "the recipe's, else 0",
     .help = "N random operations of magnitude M (0 to 10) on every picture: RandAugment; 0: none"},
    {.name = "random-erasing",
     .type = CLI_REAL,
     .metavar = "P",
     .least = 0,
     .most = 1,
     .usual = "the recipe's, else 0",
     .help = "with probability P a random rectangle of the picture is filled"},
    {.name = "erase-fill",
     .type = CLI_CHOICE,
     .metavar = "WHAT",
     .choices = SN_ERASE_FILL_WORDS,
     .usual = "mean",
     .help = "what random erasing fills with: the mean colour, black, or random bytes"},
    {.name = "mixup",
     .type = CLI_REAL,
     .metavar = "ALPHA",
     .least = 0,
     .most = 100,
     .usual = "the recipe's, else 0",
     .help = "mix pictures and labels of a batch in pairs, in shares from Beta(ALPHA, ALPHA); 0: not"},
    {.name = "cutmix",
     .type = CLI_REAL,
     .metavar = "ALPHA",
     .least = 0,
     .most = 100,
     .usual = "the recipe's, else 0",
     .help =
         "replace a box of each picture by another's, and the labels in proportion; with --mixup half of the batches "
         "each"},
    {.name = "input-size",
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 1,
     .most = 4096,
     .usual = "the model's own",
     .help = "side of the square that photographs become"},
    {.name = "interpolation",
     .type = CLI_CHOICE,
     .metavar = "FILTER",
     .choices = SN_INTERPOLATION_WORDS,
     .usual = "pil-bilinear",
     .help = "how photographs are resized: as OpenCV does or as Pillow does"},
    {.name = "normalize",
     .type = CLI_CHOICE,
     .metavar = "HOW",
     .choices = SN_NORMALIZE_WORDS,
     .usual = "the recipe's, else data",
     .help = "mean and deviation of pixels: the data set's own, ImageNet's, or the mean of the paper's Caffe models, or "
             "Places365's, without division"},
    {.name = "eval-resize",
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 1,
     .most = 16384,
     .usual = "the input / 0.875; 352 for 299, 320 for 320",
     .help = "shorter side that validation resizes photographs to before the centre crop"},
    {.name = "square",
     .type = CLI_FLAG,
     .help = "make photographs square first, in training and validation, as Places365's are"},
    {.name = "no-exif",
     .type = CLI_FLAG,
     .help = "leave photographs as they are stored, whatever their EXIF orientation"},
    {.name = "fast-decode",
     .type = CLI_FLAG,
     .help = "decode large JPEGs at a reduced size, never below what the crop needs: faster, and not the same pixels"},
    {.name = "on-bad-image",
     .type = CLI_CHOICE,
     .metavar = "WHAT",
     .choices = SN_ON_BAD_WORDS,
     .usual = "fail",
     .help = "a picture that cannot be read ends the run, or the next one stands in; quarantine also lists it in "
             "DIR/quarantine.txt"},
    {.name = "exclude",
     .type = CLI_TEXT,
     .metavar = "FILE",
     .help = "leave out the pictures that FILE names, one a line, such as a quarantine.txt"},
    {.name = "label-map",
     .type = CLI_TEXT,
     .metavar = "FILE",
     .help = "which class of the network each class of the data is (lines \"index TAB name\", \"name index\" or "
             "\"index\"); the model says how many there are"},
    {.name = "class-aware", .type = CLI_FLAG, .help = "draw every class equally often, however many pictures it has"},
    {.name = "no-shuffle", .type = CLI_FLAG, .help = "take the pictures in their order"},
    {.name = "drop-last", .type = CLI_FLAG, .help = "leave out the smaller last batch of an epoch"},
    {.name = "freeze-bn-epochs",
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 0,
     .most = 1000000,
     .usual = "0",
     .help = "freeze batch norm in the last N epochs"},
    {.name = "bn-recompute",
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 0,
     .most = 1e12,
     .usual = "0",
     .help = "after the last step, replace batch norm's running statistics by exact averages over N training images"},
    {.name = "init-rule",
     .type = CLI_CHOICE,
     .metavar = "RULE",
     .choices = SN_INIT_WORDS,
     .usual = "the recipe's, else he",
     .help = "rule of the random weights"},
    {.name = "seed",
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 0,
     .most = 9e15,
     .usual = "0",
     .help = "of weights, order and augmentation"},
    {.name = "log-every",
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 1,
     .most = 1e9,
     .usual = "20",
     .help = "steps between two lines of the log"},
    {.name = "eval-batch-size",
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 1,
     .most = 1048576,
     .usual = "100",
     .help = "images at once in evaluation"},
    {.name = "no-eval", .type = CLI_FLAG, .help = "do not evaluate after the epochs"},
    {.name = "checkpoint-minutes",
     .type = CLI_REAL,
     .metavar = "M",
     .least = 0,
     .most = 1e6,
     .usual = "10",
     .help = "save the state so often within an epoch; 0: only at its end"},
    {.name = "dry-run", .type = CLI_FLAG, .help = "print every setting, its value and source, and stop"},
    {.name = "workers",
     .letter = 'j',
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 0,
     .most = 256,
     .usual = "1",
     .help = "threads that prepare pictures; 0: none of their own"},
    CLI_OPTION_THREADS,
    CLI_OPTION_PRECISION,
    CLI_OPTION_RECOMPUTE,
    CLI_OPTION_DEVICE,
    CLI_OPTION_REFERENCE,
    CLI_OPTION_JSON,
    CLI_OPTIONS_END,
};

/* ---- flags over settings ---- */

static void set_text(const cli_arguments *a, const char *name, const char **setting)
{
    if (cli_given(a, name)) *setting = cli_text(a, name);
}

static void set_int64(const cli_arguments *a, const char *name, int64_t *setting)
{
    if (cli_given(a, name)) *setting = cli_integer(a, name);
}

static void set_int(const cli_arguments *a, const char *name, int *setting)
{
    if (cli_given(a, name)) *setting = (int)cli_integer(a, name);
}

static void set_real(const cli_arguments *a, const char *name, double *setting)
{
    if (cli_given(a, name)) *setting = cli_real(a, name);
}

static void set_flag(const cli_arguments *a, const char *name, bool meaning, bool *setting)
{
    if (cli_given(a, name)) *setting = meaning;
}

static senet_status apply_flags(const cli_arguments *a, sn_train_config *config)
{
    set_text(a, "model", &config->model);
    set_text(a, "data", &config->data);
    set_text(a, "output", &config->output);
    set_text(a, "init", &config->init_weights);
    set_int64(a, "batch-size", &config->batch);
    set_int64(a, "micro-batch", &config->micro_batch);
    set_int64(a, "epochs", &config->epochs);
    set_int64(a, "max-steps", &config->max_steps);
    set_real(a, "lr", &config->lr);
    set_real(a, "momentum", &config->momentum);
    set_real(a, "weight-decay", &config->weight_decay);
    set_real(a, "gamma", &config->gamma);
    set_real(a, "step-every", &config->step_every);
    set_int(a, "patience", &config->patience);
    set_int(a, "reductions", &config->reductions);
    set_real(a, "warmup-epochs", &config->warmup_epochs);
    set_real(a, "warmup-lr", &config->warmup_lr);
    set_real(a, "label-smoothing", &config->label_smoothing);
    set_real(a, "ema", &config->ema);
    set_int(a, "input-size", &config->input_size);
    if (cli_given(a, "input-size")) config->eval_resize = 0; /* a recipe's goes with its own input */
    set_int(a, "eval-resize", &config->eval_resize);
    set_flag(a, "square", true, &config->square);
    set_flag(a, "no-exif", true, &config->no_exif);
    set_flag(a, "fast-decode", true, &config->fast_decode);
    set_flag(a, "class-aware", true, &config->class_aware);
    set_text(a, "exclude", &config->exclude);
    set_text(a, "label-map", &config->label_map);
    set_flag(a, "no-shuffle", false, &config->shuffle);
    set_flag(a, "drop-last", true, &config->drop_last);
    set_int(a, "freeze-bn-epochs", &config->freeze_bn_epochs);
    set_int64(a, "bn-recompute", &config->bn_recompute);
    set_int64(a, "log-every", &config->log_every);
    set_int64(a, "eval-batch-size", &config->eval_batch);
    set_flag(a, "no-eval", true, &config->no_eval);
    set_real(a, "checkpoint-minutes", &config->checkpoint_minutes);
    set_int(a, "workers", &config->workers);
    set_int(a, "threads", &config->threads);
    set_flag(a, "reference", true, &config->reference_only);
    if (cli_given(a, "seed")) config->seed = (uint64_t)cli_integer(a, "seed");
    if (cli_given(a, "recompute")) config->recompute = (sn_recompute)cli_choice(a, "recompute");
    if (cli_given(a, "precision")) config->precision = (senet_precision)cli_choice(a, "precision");
    if (cli_given(a, "optimizer")) config->optimizer = (sn_optimizer)cli_choice(a, "optimizer");
    if (cli_given(a, "init-rule")) config->init = (sn_init)cli_choice(a, "init-rule");
    if (cli_given(a, "on-bad-image")) config->on_bad = (sn_on_bad)cli_choice(a, "on-bad-image");
    if (cli_given(a, "normalize")) config->normalize = (sn_normalize)cli_choice(a, "normalize");
    if (cli_given(a, "interpolation")) config->interpolation = cli_choice(a, "interpolation");
    if (cli_given(a, "weight-decay-on")) {
        config->decay_gamma = cli_choice(a, "weight-decay-on") == 1;
        config->decay_all = cli_choice(a, "weight-decay-on") == 2;
    }
    if (cli_given(a, "warmup-epochs"))
        config->warmup_steps = 0; /* a recipe's steps at a constant rate would go first */
    set_int64(a, "warmup-steps", &config->warmup_steps);
    if (cli_given(a, "scale-lr")) config->lr *= (double)config->batch / (double)cli_integer(a, "scale-lr");
    if (cli_given(a, "milestones")) {
        const cli_value *milestones = cli_get(a, "milestones");
        config->schedule = SN_SCHEDULE_STEP;
        config->schedule_epochs = 0; /* they stand as the user wrote them */
        config->milestones_count = milestones->count;
        memcpy(config->milestones, milestones->reals, sizeof config->milestones);
    }
    if (cli_given(a, "schedule")) config->schedule = (sn_schedule)cli_choice(a, "schedule");
    return cli_augment_apply(a, &config->augment);
}

_Static_assert((int)CLI_MAX_REALS == (int)SN_MAX_MILESTONES,
               "every milestone of the command line has a place in the settings");

senet_status cli_train_config(const cli_arguments *arguments, sn_arena *arena, sn_train_config *config)
{
    const char *resume = cli_text(arguments, "resume"), *recipe = cli_text(arguments, "recipe");
    if (resume && recipe)
        return sn_fail(SENET_USAGE, "--recipe %s: the run in '%s' has its settings; change them one by one", recipe,
                       resume);
    if (resume && cli_given(arguments, "scale-lr"))
        return sn_fail(SENET_USAGE, "--scale-lr %lld: the run in '%s' has its learning rate; change it with --lr",
                       (long long)cli_integer(arguments, "scale-lr"), resume);
    if (resume) {
        SN_RETURN_IF_FAILED(sn_train_resume_config(resume, arena, config));
        config->output = resume;
    } else {
        sn_train_defaults(config);
        set_text(arguments, "model", &config->model);
        if (recipe) SN_RETURN_IF_FAILED(sn_recipe_apply(recipe, config));
    }
    SN_RETURN_IF_FAILED(apply_flags(arguments, config));
    if (cli_flag(arguments, "dry-run") && !config->output) config->output = ".";
    if (!config->model) return sn_fail(SENET_USAGE, "--model NAME is missing; see senet models");
    if (!config->data && !cli_flag(arguments, "dry-run"))
        return sn_fail(SENET_USAGE, "--data DATA is missing, as in cifar10:DIR; see senet train --help");
    if (!config->output) return sn_fail(SENET_USAGE, "--output DIR is missing: the folder that the run is written to");
    return SENET_OK;
}
