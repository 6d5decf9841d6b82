/* cmd_eval.c - `senet eval`: loss and errors of weights files on a data set, by the protocols of the paper.
 *
 * eval_setup.c makes networks, views and data fit; train/ensemble.c does the work; eval_output.c writes what came of
 * it. */
#include <stdio.h>

#include "eval_output.h"
#include "progress.h"
#include "report.h"
#include "train/clock.h"
#include "verbs.h"

enum { SECONDS_BETWEEN_LINES = 30 }; /* of progress, where no bar can be drawn */

typedef struct evaluation {
    eval_setup setup;
    eval_output output;
    double start, last_line;
} evaluation;

static senet_status keep_picture(void *context, const sn_eval_picture *picture)
{
    evaluation *e = context;
    return eval_output_picture(&e->output, picture);
}

static void show(void *context, int64_t done, int64_t total)
{
    evaluation *e = context;
    double now = sn_seconds_now(), left = (now - e->start) * (double)(total - done) / (double)done;
    if (cli_progress_on_terminal())
        cli_progress_draw((double)done / (double)total, "%lld of %lld images, %s left", (long long)done,
                          (long long)total, cli_duration(left));
    else if (now - e->last_line >= SECONDS_BETWEEN_LINES && done < total) {
        cli_report_note("%lld of %lld images, %s left", (long long)done, (long long)total, cli_duration(left));
        e->last_line = now;
    }
}

static int run(const cli_arguments *arguments)
{
    evaluation e = {.start = sn_seconds_now()};
    sn_eval_result result;
    senet_status status;
    SN_TRY(eval_setup_create(arguments, &e.setup), cleanup);
    SN_TRY(eval_output_open(arguments, &e.setup, &e.output), cleanup);
    sn_ensemble_options how = {.batch = e.setup.batch,
                               .threads = (int)cli_integer(arguments, "threads"),
                               .workers = (int)cli_integer(arguments, "workers"),
                               .exif = cli_flag(arguments, "exif"),
                               .reference_only = cli_flag(arguments, "reference"),
                               .picture = keep_picture,
                               .progress = show,
                               .context = &e};
    e.start = e.last_line = sn_seconds_now();
    SN_TRY(sn_evaluate_ensemble(e.setup.streams, e.setup.streams_count, e.setup.dataset, &how, &result), cleanup);
    cli_progress_clear();
    status = eval_output_finish(&e.output, cli_text(arguments, "data"), &result);
cleanup:
    eval_output_close(&e.output);
    eval_setup_free(&e.setup);
    return cli_finish(status);
}

static const cli_option options[] = {
    {.name = "weights",
     .type = CLI_TEXT,
     .metavar = "FILE",
     .repeat = true,
     .required = true,
     .help = "the weights to judge (safetensors or .caffemodel); several: the mean of their softmax outputs"},
    {.name = "model",
     .type = CLI_TEXT,
     .metavar = "NAME[:OPTION=VALUE,...]",
     .repeat = true,
     .help = "the network, where the file does not say; once, or once for each file"},
    {.name = "data",
     .type = CLI_TEXT,
     .metavar = "DATA",
     .required = true,
     .help = "folder:DIR, list:FILE, tar:GLOB, cifar10:DIR, cifar100:DIR, synthetic[:OPTIONS] or tensors:FILE"},
    {.name = "split",
     .type = CLI_CHOICE,
     .metavar = "SPLIT",
     .choices = "val|train",
     .standard = "val",
     .help = "which pictures of the data set"},
    {.name = "label-map",
     .type = CLI_TEXT,
     .metavar = "FILE",
     .help =
         "which class of the network each class of the data is: lines \"index TAB name\", \"name index\" or \"index\""},
    {.name = "exclude", .type = CLI_TEXT, .metavar = "FILE", .help = "leave out the pictures it names, one a line"},
    {.name = "protocol",
     .type = CLI_TEXT,
     .metavar = "NAME",
     .usual = "single",
     .help = "single, ten-crop, twelve-crop, 144-crop, multi-scale, 320 or places365"},
    {.name = "crops",
     .type = CLI_CHOICE,
     .metavar = "N",
     .choices = "1|10|12|144",
     .standard = "1",
     .help = "centre; with corners and mirrors; also the whole; of four scales and three squares"},
    {.name = "scales",
     .type = CLI_TEXT,
     .metavar = "N,N,...",
     .usual = "crop / crop_pct",
     .help = "shorter sides that pictures are resized to; their answers are averaged"},
    {.name = "crop-size",
     .type = CLI_TEXT,
     .metavar = "N[xM],...",
     .usual = "what the weights were trained for",
     .help = "height and width of the crops; the network is built for them"},
    {.name = "resize",
     .type = CLI_CHOICE,
     .metavar = "RULE",
     .choices = "shorter|square",
     .usual = "the protocol's",
     .help = "the shorter side and the aspect kept, or both sides"},
    {.name = "mirror", .type = CLI_FLAG, .help = "each crop also mirrored (of 10, 12 and 144 crops half are)"},
    {.name = "no-mirror", .type = CLI_FLAG, .help = "no mirror images: 5, 6 and 72 crops"},
    {.name = "interpolation",
     .type = CLI_CHOICE,
     .metavar = "FILTER",
     .choices = "bilinear|pil_bilinear|pil_bicubic",
     .usual = "what the weights file says",
     .help = "OpenCV's without antialiasing (the paper's), or Pillow's with it (torchvision, timm)"},
    {.name = "exif", .type = CLI_FLAG, .help = "turn photographs as their EXIF orientation says"},
    {.name = "no-exif",
     .type = CLI_FLAG,
     .help = "take photographs as stored: the default, as published errors were measured"},
    {.name = "output",
     .type = CLI_TEXT,
     .metavar = "FILE.csv",
     .help = "write a line a picture: label, rank, loss, the five best classes"},
    {.name = "per-class", .type = CLI_FLAG, .help = "show the errors of every class"},
    {.name = "confusion",
     .type = CLI_TEXT,
     .metavar = "FILE",
     .help = "write which class was taken for which: .csv a table, .png a picture"},
    {.name = "batch-size",
     .letter = 'b',
     .type = CLI_INTEGER,
     .metavar = "N",
     .least = 1,
     .most = 1048576,
     .usual = "100, for photographs 32",
     .help = "inputs computed at once"},
    CLI_OPTION_WORKERS,
    CLI_OPTION_THREADS,
    CLI_OPTION_PRECISION,
    CLI_OPTION_DEVICE,
    CLI_OPTION_REFERENCE,
    CLI_OPTION_JSON,
    CLI_OPTIONS_END,
};

static const cli_example examples[] = {
    {"senet eval --weights run/best.safetensors --data cifar10:data", "Errors on the 10,000 test pictures of CIFAR-10"},
    {"senet eval --weights se_resnet50.safetensors --data folder:imagenet",
     "Single crop on ImageNet's validation pictures"},
    {"senet eval --weights senet154.safetensors --data folder:imagenet --protocol 320 --batch-size 8",
     "The 320 x 320 columns of the paper's Table 8"},
    {"senet eval --weights se_resnet152.safetensors senet154.safetensors --data folder:imagenet --protocol multi-scale",
     "An ensemble at many scales, as in the competition"},
    {"senet eval --weights w.safetensors --data folder:photos --label-map classes.tsv --output all.csv --confusion "
     "m.png",
     "Pictures of some of the classes; what was answered for each"},
    {"senet eval --weights resnet20.safetensors --model cifar_resnet20 --data cifar10:data --json",
     "Weights of another library, which do not name their network; as JSON"},
    {NULL, NULL},
};

const cli_verb cli_eval = {
    .name = "eval",
    .operands = "[FILE...]",
    .fewest_operands = 0,
    .most_operands = -1,
    .summary = "measure the error of weights on a data set",
    .description =
        "Runs every picture, prepared as the weights file says, and reports cross entropy, top-1 and top-5 "
        "error (percent of pictures whose label is not among the 1 or 5 largest scores).\n\n"
        "By default a picture is resized so that its shorter side is floor(input / crop_pct), and the centre is "
        "cropped: "
        "the paper's evaluation. --protocol, --crops, --scales and --crop-size ask for more views of each picture, "
        "further "
        "weights files for more networks; the answer is then the mean of all softmax outputs, and the loss minus the "
        "logarithm of the label's mean probability. Scales too small for a crop size are left out for it.",
    .options = options,
    .examples = examples,
    .run = run,
};
