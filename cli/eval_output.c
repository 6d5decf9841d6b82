/* eval_output.c - see eval_output.h. */
#include "eval_output.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "csv.h"
#include "network.h"
#include "report.h"
#include "train/scores.h"

enum { TOP = 5 }; /* classes in a picture's line */

static bool ends_with(const char *path, const char *end)
{
    size_t length = strlen(path), tail = strlen(end);
    return length >= tail && strcasecmp(path + length - tail, end) == 0;
}

static senet_status write_text(sn_file_writer *writer, sn_text *text)
{
    senet_status status = sn_text_check(text, "a line of a table");
    if (status == SENET_OK) status = sn_file_writer_write(writer, sn_text_string(text), text->length);
    sn_text_free(text);
    return status;
}

senet_status eval_output_open(const cli_arguments *arguments, const eval_setup *setup, eval_output *output)
{
    const char *path = cli_text(arguments, "output");
    *output = (eval_output){.setup = setup,
                            .confusion_path = cli_text(arguments, "confusion"),
                            .per_class = cli_flag(arguments, "per-class"),
                            .as_json = cli_flag(arguments, "json")};
    const char *matrix = output->confusion_path;
    if (matrix && !ends_with(matrix, ".csv") && !ends_with(matrix, ".png"))
        return sn_fail(SENET_USAGE, "--confusion %s: the name must end with .csv or .png", matrix);
    if (matrix || output->per_class)
        SN_RETURN_IF_FAILED(sn_confusion_create(setup->models[0]->spec.classes, matrix != NULL, &output->confusion));
    if (!path) return SENET_OK;
    SN_RETURN_IF_FAILED(sn_file_writer_open(path, &output->pictures));
    sn_text header = {0};
    sn_text_add_string(&header, "picture,label,correct,rank,loss");
    for (int i = 1; i <= TOP; i++) sn_text_printf(&header, ",class%d,probability%d", i, i);
    sn_text_add_char(&header, '\n');
    return write_text(output->pictures, &header);
}

static senet_status write_picture(eval_output *output, const sn_eval_picture *picture, const int64_t *top, int count)
{
    sn_text line = {0};
    const char *path = sn_dataset_path(output->setup->dataset, picture->index);
    if (path)
        cli_csv_add(&line, path);
    else
        sn_text_printf(&line, "%" PRId64, picture->index);
    sn_text_printf(&line, ",%" PRId64 ",%d,%" PRId64 ",%.6f", picture->label, picture->rank == 0, picture->rank + 1,
                   -picture->scores[picture->label]);
    for (int i = 0; i < TOP; i++) {
        if (i < count)
            sn_text_printf(&line, ",%" PRId64 ",%.6f", top[i], exp(picture->scores[top[i]]));
        else
            sn_text_add_string(&line, ",,"); /* a network of fewer classes */
    }
    sn_text_add_char(&line, '\n');
    return write_text(output->pictures, &line);
}

senet_status eval_output_picture(eval_output *output, const sn_eval_picture *picture)
{
    if (!output->pictures && !output->confusion.counts) return SENET_OK;
    int64_t top[TOP];
    int count = picture->classes < TOP ? (int)picture->classes : TOP;
    sn_scores_top(picture->scores, picture->classes, count, top);
    if (output->confusion.counts) sn_confusion_add(&output->confusion, picture->label, top[0], picture->rank);
    return output->pictures ? write_picture(output, picture, top, count) : SENET_OK;
}

/* ---- the matrix of confusions ---- */

static void add_class(sn_text *line, const eval_setup *setup, int64_t k)
{
    const char *label = eval_label(setup, k);
    if (label)
        cli_csv_add(line, label);
    else
        sn_text_printf(line, "%" PRId64, k);
}

/* A header "label,<classes>", then a row for every true class. */
static senet_status write_confusion_csv(const eval_output *output)
{
    senet_status status;
    sn_file_writer *writer = NULL;
    sn_text line = {0};
    const int64_t classes = output->confusion.classes;
    SN_TRY(sn_file_writer_open(output->confusion_path, &writer), cleanup);
    sn_text_add_string(&line, "label");
    for (int64_t k = 0; k < classes; k++) {
        sn_text_add_char(&line, ',');
        add_class(&line, output->setup, k);
    }
    for (int64_t row = 0; row < classes; row++) {
        sn_text_add_char(&line, '\n');
        add_class(&line, output->setup, row);
        for (int64_t k = 0; k < classes; k++)
            sn_text_printf(&line, ",%" PRIu32, output->confusion.matrix[row * classes + k]);
        SN_TRY(write_text(writer, &line), cleanup);
    }
    SN_TRY(sn_file_writer_write(writer, "\n", 1), cleanup);
    status = sn_file_writer_commit(writer);
    writer = NULL;
cleanup:
    sn_file_writer_discard(writer);
    sn_text_free(&line);
    return status;
}

static senet_status write_confusion(const eval_output *output)
{
    if (ends_with(output->confusion_path, ".csv")) return write_confusion_csv(output);
    return sn_confusion_write_png(&output->confusion, output->confusion_path);
}

/* ---- the result ---- */

static double percent(int64_t errors, int64_t images)
{
    return 100.0 * (double)errors / (double)images;
}

static void add_class_json(sn_json_writer *json, const eval_setup *setup, int64_t k, const sn_class_count *count)
{
    sn_json_open_object(json, NULL);
    sn_json_add_int(json, "class", k);
    sn_json_add_string(json, "label", eval_label(setup, k));
    sn_json_add_int(json, "images", count->images);
    sn_json_add_int(json, "top1_errors", count->top1_errors);
    sn_json_add_double(json, "top1_error", percent(count->top1_errors, count->images));
    sn_json_add_int(json, "top5_errors", count->top5_errors);
    sn_json_add_double(json, "top5_error", percent(count->top5_errors, count->images));
    sn_json_close_object(json);
}

static void add_names_json(sn_json_writer *json, const eval_setup *setup)
{
    sn_json_open_array(json, "models");
    for (size_t i = 0; i < setup->models_count; i++) sn_json_add_string(json, NULL, setup->models[i]->name);
    sn_json_close_array(json);
    if (setup->as_stored) return;
    sn_json_open_array(json, "inputs");
    for (size_t i = 0; i < setup->streams_count; i++) {
        const sn_preprocess *how = &setup->streams[i].preprocess;
        sn_json_add_string(json, NULL, cli_input_text(how->height, how->width));
    }
    sn_json_close_array(json);
}

/* "se_resnet50 + senet154"; free with sn_text_free. */
static sn_text joined_names(const eval_setup *setup)
{
    sn_text names = {0};
    for (size_t i = 0; i < setup->models_count; i++) sn_text_printf(&names, i ? " + %s" : "%s", setup->models[i]->name);
    return names;
}

static void add_json(const eval_output *output, const char *data, const sn_eval_result *result, double rate,
                     sn_text *text)
{
    const eval_setup *setup = output->setup;
    sn_json_writer json = {.text = text};
    sn_text names = joined_names(setup);
    sn_json_open_object(&json, NULL);
    sn_json_add_string(&json, "model", sn_text_string(&names));
    add_names_json(&json, setup);
    sn_json_add_string(&json, "data", data);
    sn_json_add_int(&json, "images", result->images);
    sn_json_add_int(&json, "views", setup->views);
    sn_json_add_int(&json, "classes", setup->models[0]->spec.classes);
    sn_json_add_double(&json, "loss", result->loss);
    sn_json_add_int(&json, "top1_errors", result->top1_errors);
    sn_json_add_double(&json, "top1_error", percent(result->top1_errors, result->images));
    sn_json_add_int(&json, "top5_errors", result->top5_errors);
    sn_json_add_double(&json, "top5_error", percent(result->top5_errors, result->images));
    sn_json_add_double(&json, "images_per_second", rate);
    if (output->per_class) {
        sn_json_open_array(&json, "per_class");
        for (int64_t k = 0; k < output->confusion.classes; k++)
            if (output->confusion.counts[k].images) add_class_json(&json, setup, k, &output->confusion.counts[k]);
        sn_json_close_array(&json);
    }
    sn_json_close_object(&json);
    sn_text_free(&names);
}

static void add_table(const eval_output *output, const char *data, const sn_eval_result *result, double rate,
                      sn_text *text)
{
    const eval_setup *setup = output->setup;
    sn_text names = joined_names(setup);
    sn_text_printf(text, "%s on %s: %s images", sn_text_string(&names), data, cli_grouped(result->images));
    if (setup->views > 1) sn_text_printf(text, ", %" PRId64 " views each", setup->views);
    sn_text_printf(text, "\ntop-1 error %6.2f%%  (%s)\n", percent(result->top1_errors, result->images),
                   cli_grouped(result->top1_errors));
    sn_text_printf(text, "top-5 error %6.2f%%  (%s)\n", percent(result->top5_errors, result->images),
                   cli_grouped(result->top5_errors));
    sn_text_printf(text, "loss        %7.4f\nspeed       %.1f images/s", result->loss, rate);
    sn_text_free(&names);
    if (!output->per_class) return;
    sn_text_add_string(text, "\n\n class  images   top-1   top-5");
    for (int64_t k = 0; k < output->confusion.classes; k++) {
        const sn_class_count *count = &output->confusion.counts[k];
        if (!count->images) continue;
        const char *label = eval_label(setup, k);
        sn_text_printf(text, "\n%6" PRId64 "  %6" PRId64 " %6.2f%% %6.2f%%  %s", k, count->images,
                       percent(count->top1_errors, count->images), percent(count->top5_errors, count->images),
                       label ? label : "");
    }
}

senet_status eval_output_finish(eval_output *output, const char *data, const sn_eval_result *result)
{
    if (output->pictures) {
        senet_status status = sn_file_writer_commit(output->pictures);
        output->pictures = NULL;
        SN_RETURN_IF_FAILED(status);
    }
    if (output->confusion_path) SN_RETURN_IF_FAILED(write_confusion(output));
    double rate = result->seconds > 0 ? (double)result->images / result->seconds : 0;
    sn_text text = {0};
    if (output->as_json)
        add_json(output, data, result, rate, &text);
    else
        add_table(output, data, result, rate, &text);
    return cli_print_text(&text);
}

void eval_output_close(eval_output *output)
{
    sn_file_writer_discard(output->pictures);
    sn_confusion_free(&output->confusion);
}
