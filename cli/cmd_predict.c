/* cmd_predict.c - `senet predict`: pictures to their most probable classes, as text, CSV or JSON.
 *
 * Pictures are taken in groups: the threads first read and prepare the pictures of a group, then compute its network
 * together.  A picture that cannot be read costs one line on standard error; the others are done all the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/parallel.h"
#include "csv.h"
#include "network.h"
#include "pictures.h"
#include "progress.h"
#include "report.h"
#include "verbs.h"

typedef enum format { FORMAT_TEXT, FORMAT_CSV, FORMAT_JSON } format;

/* A run of the verb; the arrays hold one group. */
typedef struct predict {
    senet_model *model;
    cli_pictures pictures;
    size_t group; /* pictures at once */
    int top_count, threads;
    format format;
    float *input;  /* group x H x W x 3: those that could be read, without gaps */
    float *logits; /* group x K */
    senet_status *states;
    char **failures; /* message of each picture that could not be read, or NULL */
    senet_prediction *top;
    size_t first; /* number of the group's first picture */
    int code;     /* exit code so far */
    sn_text text; /* JSON is collected, the others are printed as they come */
    sn_json_writer json;
} predict;

static const char *shown_name(const char *path)
{
    return strcmp(path, "-") == 0 ? "standard input" : path;
}

static void prepare_one(void *context, int64_t index, int worker)
{
    predict *p = context;
    (void)worker;
    const char *path = p->pictures.paths[p->first + (size_t)index];
    float *input = p->input + (size_t)index * sn_model_input_floats(p->model);
    p->states[index] = sn_model_prepare_file(p->model, strcmp(path, "-") == 0 ? "/dev/stdin" : path, input);
    /* The message is this thread's: it must be kept before the thread goes on. */
    p->failures[index] = p->states[index] == SENET_OK ? NULL : strdup(senet_last_error());
}

/* ---- output ---- */

static void add_csv(predict *p, const char *file)
{
    for (int i = 0; i < p->top_count; i++) {
        cli_csv_add(&p->text, file);
        sn_text_printf(&p->text, ",%d,%d,", i + 1, p->top[i].class_index);
        cli_csv_add(&p->text, p->top[i].label ? p->top[i].label : "");
        sn_text_printf(&p->text, ",%.6f\n", p->top[i].probability);
    }
}

static void add_json(predict *p, const char *file)
{
    sn_json_open_object(&p->json, NULL);
    sn_json_add_string(&p->json, "file", file);
    sn_json_open_array(&p->json, "top");
    for (int i = 0; i < p->top_count; i++) {
        sn_json_open_object(&p->json, NULL);
        sn_json_add_int(&p->json, "class", p->top[i].class_index);
        sn_json_add_string(&p->json, "label", p->top[i].label);
        sn_json_add_float(&p->json, "probability", p->top[i].probability);
        sn_json_close_object(&p->json);
    }
    sn_json_close_array(&p->json);
    sn_json_close_object(&p->json);
}

static void add_text(predict *p, const char *file)
{
    sn_text_printf(&p->text, "%s\n", file);
    for (int i = 0; i < p->top_count; i++)
        sn_text_printf(&p->text, "  %7.3f%%  %5d  %s\n", 100 * p->top[i].probability, p->top[i].class_index,
                       p->top[i].label ? p->top[i].label : "");
}

/* Prints what was collected, so that results come as they are found. */
static senet_status print_collected(predict *p)
{
    SN_RETURN_IF_FAILED(sn_text_check(&p->text, "the output"));
    cli_progress_clear();
    fputs(sn_text_string(&p->text), stdout);
    sn_text_free(&p->text);
    return cli_output_flush();
}

/* ---- the groups ---- */

static void report_unreadable(predict *p, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (p->states[i] == SENET_OK) continue;
        cli_report_line("%s", p->failures[i] ? p->failures[i] : "out of memory");
        /* One missing file alone is 66; anything else among many is 65. */
        int code = cli_exit_code_of(p->states[i]);
        p->code = p->code == 0 || p->code == code ? code : SENET_BAD_DATA;
        free(p->failures[i]);
        p->failures[i] = NULL;
    }
}

static senet_status run_group(predict *p, size_t count)
{
    size_t input_floats = sn_model_input_floats(p->model), readable = 0;
    sn_parallel_for(p->threads, (int64_t)count, prepare_one, p);
    report_unreadable(p, count);
    for (size_t i = 0; i < count; i++) {
        if (p->states[i] != SENET_OK) continue;
        if (readable != i)
            memcpy(p->input + readable * input_floats, p->input + i * input_floats, input_floats * sizeof(float));
        readable++;
    }
    SN_RETURN_IF_FAILED(sn_model_run(p->model, p->input, (int64_t)readable, p->logits));
    const float *logits = p->logits;
    for (size_t i = 0; i < count; i++) {
        if (p->states[i] != SENET_OK) continue;
        const char *file = shown_name(p->pictures.paths[p->first + i]);
        sn_model_top(p->model, logits, p->top_count, p->top);
        logits += p->model->spec.classes;
        if (p->format == FORMAT_JSON)
            add_json(p, file);
        else if (p->format == FORMAT_CSV)
            add_csv(p, file);
        else
            add_text(p, file);
    }
    return p->format == FORMAT_JSON ? SENET_OK : print_collected(p);
}

static senet_status run_all(predict *p)
{
    p->json.text = &p->text;
    if (p->format == FORMAT_CSV) sn_text_add_string(&p->text, "file,rank,class,label,probability\n");
    if (p->format == FORMAT_JSON) sn_json_open_array(&p->json, NULL);
    for (; p->first < p->pictures.count; p->first += p->group) {
        size_t left = p->pictures.count - p->first;
        SN_RETURN_IF_FAILED(run_group(p, left < p->group ? left : p->group));
        if (p->pictures.count > p->group)
            cli_progress_draw((double)p->first / (double)p->pictures.count, "%zu of %zu pictures", p->first,
                              p->pictures.count);
    }
    cli_progress_clear();
    if (p->format == FORMAT_JSON) {
        sn_json_close_array(&p->json);
        return cli_print_text(&p->text);
    }
    return SENET_OK;
}

static senet_status allocate(predict *p)
{
    size_t input_bytes = p->group * sn_model_input_floats(p->model) * sizeof(float);
    size_t classes = (size_t)p->model->spec.classes;
    p->input = sn_alloc_aligned(input_bytes);
    p->logits = calloc(p->group * classes, sizeof *p->logits);
    p->states = calloc(p->group, sizeof *p->states);
    p->failures = calloc(p->group, sizeof *p->failures);
    p->top = calloc((size_t)p->top_count, sizeof *p->top);
    if (p->input && p->logits && p->states && p->failures && p->top) return SENET_OK;
    return sn_fail_memory(input_bytes, "a batch of pictures");
}

static senet_status set_up(const cli_arguments *arguments, predict *p)
{
    if (cli_flag(arguments, "json") && cli_flag(arguments, "csv"))
        return sn_fail(SENET_USAGE, "--json and --csv: choose one");
    p->format = cli_flag(arguments, "json") ? FORMAT_JSON : cli_flag(arguments, "csv") ? FORMAT_CSV : FORMAT_TEXT;
    for (int i = 0; i < arguments->operands_count; i++)
        SN_RETURN_IF_FAILED(cli_pictures_add(&p->pictures, arguments->operands[i]));
    const cli_value *lists = cli_get(arguments, "list");
    for (int i = 0; i < lists->count; i++) SN_RETURN_IF_FAILED(cli_pictures_add_list(&p->pictures, lists->texts[i]));
    if (!p->pictures.count && lists->count) return sn_fail(SENET_NO_INPUT, "%s: names no picture", lists->texts[0]);
    if (!p->pictures.count)
        return sn_fail(SENET_USAGE, "PICTURE is missing: name pictures, folders, or a file of names with --list");
    SN_RETURN_IF_FAILED(cli_open_network(arguments, &p->model));
    p->model->release_weights = true; /* one batch size, or two */
    int64_t classes = p->model->spec.classes;
    if (cli_given(arguments, "topk") && cli_integer(arguments, "topk") > classes)
        return sn_fail(SENET_USAGE, "--topk %lld: %s has %lld classes", (long long)cli_integer(arguments, "topk"),
                       p->model->name, (long long)classes);
    p->top_count = (int)(cli_integer(arguments, "topk") < classes ? cli_integer(arguments, "topk") : classes);
    p->threads = p->model->threads ? p->model->threads : sn_default_threads();
    p->group = (size_t)cli_integer(arguments, "batch-size");
    if (p->group > p->pictures.count) p->group = p->pictures.count;
    return allocate(p);
}

static int run(const cli_arguments *arguments)
{
    predict p = {0};
    senet_status status = set_up(arguments, &p);
    if (status == SENET_OK) status = run_all(&p);
    int code = status == SENET_OK ? p.code : cli_finish(status);
    sn_text_free(&p.text);
    free(p.top);
    free(p.failures);
    free(p.states);
    free(p.logits);
    sn_free_aligned(p.input);
    senet_model_destroy(p.model);
    cli_pictures_free(&p.pictures);
    return code;
}

static const cli_option options[] = {
    {.name = "weights",
     .type = CLI_TEXT,
     .metavar = "FILE",
     .required = true,
     .help = "the trained network (safetensors or .caffemodel)"},
    CLI_OPTION_MODEL("the network, where the file does not say"),
    {.name = "topk",
     .letter = 'k',
     .type = CLI_INTEGER,
     .metavar = "K",
     .least = 1,
     .most = 100000,
     .standard = "5",
     .help = "classes shown for a picture"},
    {.name = "list",
     .type = CLI_TEXT,
     .metavar = "FILE",
     .repeat = true,
     .help = "take pictures from a file that names one a line; \"-\": from standard input"},
    {.name = "csv", .type = CLI_FLAG, .help = "print comma-separated values: file,rank,class,label,probability"},
    CLI_OPTION_JSON,
    {.name = "no-exif", .type = CLI_FLAG, .help = "take pictures as stored, whatever their EXIF orientation says"},
    CLI_OPTION_BATCH("8"),
    CLI_OPTION_THREADS,
    CLI_OPTION_PRECISION,
    CLI_OPTION_TUNE,
    CLI_OPTION_DEVICE,
    CLI_OPTION_REFERENCE,
    CLI_OPTIONS_END,
};

static const cli_example examples[] = {
    {"senet predict --weights run/best.safetensors cat.jpg", "What is in a picture"},
    {"senet predict --weights run/best.safetensors --topk 1 --csv photos > classes.csv",
     "Every picture of a folder, as a table"},
    {"senet predict --weights run/best.safetensors --json *.png",
     "For a program: [{\"file\", \"top\": [{\"class\", \"label\", \"probability\"}]}]"},
    {"find photos -name '*.jpg' | senet predict --weights run/best.safetensors --csv --list -",
     "Pictures named by another program"},
    {"cat cat.jpg | senet predict --weights run/best.safetensors -", "A picture from standard input"},
    {NULL, NULL},
};

const cli_verb cli_predict = {
    .name = "predict",
    .operands = "[PICTURE|FOLDER|PATTERN|@FILE|-...]",
    .fewest_operands = 0,
    .most_operands = -1,
    .summary = "classify pictures",
    .description =
        "Reads JPEG and PNG pictures, of a folder every .jpg, .jpeg and .png below it, \"-\" from standard input; "
        "prepares them as the weights file says; prints the most probable classes with their labels and "
        "probabilities. A quoted pattern such as 'photos/*.jpg' is expanded; @FILE and --list FILE take the paths "
        "from a file, one a line.\n\n"
        "Greyscale, CMYK, 16-bit, palette and transparent pictures are made RGB, transparent parts white; a picture "
        "with "
        "an EXIF orientation is turned upright, as people see it (not with --no-exif; senet eval does not turn "
        "pictures unless asked).\n\n"
        "A picture that cannot be read is reported on standard error and left out; the exit code is then 65, or 66 "
        "where files were missing and nothing else was wrong.",
    .options = options,
    .examples = examples,
    .run = run,
};
