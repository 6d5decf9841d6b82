/* log.c - log.jsonl (a JSON object a line: steps, epochs, skipped pictures), summary.csv (a row an epoch), and the same for TensorBoard. */
#define _GNU_SOURCE
#include "train/log.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "train/tensorboard.h"

static const char csv_header[] =
    "epoch,step,lr,train.loss,train.top1_error,val.loss,val.top1_error,val.top5_error,seconds";
static const char csv_header_ema[] = ",val_ema.loss,val_ema.top1_error,val_ema.top5_error";

typedef struct log_file {
    int file;
    char *path;
} log_file;

struct sn_log {
    log_file jsonl, csv;
    bool ema;
    sn_events *events;
    sn_text line;
};

static senet_status file_failed(const log_file *log) { return sn_fail(SENET_CANNOT_WRITE, "%s: %s", log->path, strerror(errno)); }

static senet_status write_line(log_file *log, sn_text *line)
{
    SN_RETURN_IF_FAILED(sn_text_check(line, "a line of the log"));
    for (size_t done = 0; done < line->length;) {
        ssize_t wrote = write(log->file, line->bytes + done, line->length - done);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return file_failed(log);
        done += (size_t)wrote;
    }
    return SENET_OK;
}

/* ---- opening: lines of the future are cut off ---- */

/* How far a run has come. */
typedef struct progress {
    int64_t step, epochs;
} progress;

/* The whole number at `text`, which something else follows; -1 if there is none. */
static int64_t leading_number(const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return end == text || errno ? -1 : value;
}

/* The value of the line's last member, a whole number; a newline ends the line. */
static int64_t last_number(const char *line)
{
    const char *end = strchr(line, '\n'), *colon = end ? memrchr(line, ':', (size_t)(end - line)) : NULL;
    return colon ? leading_number(colon + 1) : -1;
}

/* Whether the run as it stands wrote this line.  Step lines begin with the step, epoch lines with the epoch, those of
 * skipped pictures end with the step. */
static bool jsonl_line_stands(const char *line, progress reached)
{
    static const char step_key[] = "{\"step\": ", epoch_key[] = "{\"epoch\": ", skipped_key[] = "{\"skipped\": ";
    if (strncmp(line, skipped_key, sizeof skipped_key - 1) == 0) {
        int64_t step = last_number(line);
        return step >= 0 && step <= reached.step;
    }
    if (strncmp(line, step_key, sizeof step_key - 1) == 0) {
        int64_t step = leading_number(line + sizeof step_key - 1);
        return step >= 0 && step <= reached.step;
    }
    if (strncmp(line, epoch_key, sizeof epoch_key - 1) == 0) {
        int64_t epoch = leading_number(line + sizeof epoch_key - 1);
        return epoch >= 0 && epoch <= reached.epochs;
    }
    return false;
}

static bool csv_line_stands(const char *line, progress reached)
{
    if (strncmp(line, csv_header, sizeof csv_header - 1) == 0) return true;
    int64_t epoch = leading_number(line);
    return epoch >= 0 && epoch <= reached.epochs;
}

/* Cuts the file behind its last line that stands; a line without its newline does not. */
static senet_status cut_off(log_file *log, bool (*stands)(const char *line, progress reached), progress reached)
{
    char *text;
    size_t size, keep = 0;
    SN_RETURN_IF_FAILED(sn_file_read(log->path, SIZE_MAX / 2, &text, &size));
    for (char *newline; (newline = memchr(text + keep, '\n', size - keep)) && stands(text + keep, reached);)
        keep = (size_t)(newline - text) + 1;
    free(text);
    if (keep < size && ftruncate(log->file, (off_t)keep) != 0) return file_failed(log);
    return SENET_OK;
}

static senet_status open_file(log_file *log, const char *folder, const char *name)
{
    log->path = sn_path_join(folder, name);
    if (!log->path) return sn_fail_memory(strlen(folder) + strlen(name) + 2, "a path");
    log->file = open(log->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    return log->file < 0 ? file_failed(log) : SENET_OK;
}

senet_status sn_log_open(const char *folder, int64_t step, int64_t epochs, bool ema, sn_log **log_out)
{
    *log_out = NULL;
    senet_status status;
    progress reached = {step, epochs};
    sn_log *log = calloc(1, sizeof *log);
    if (!log) return sn_fail_memory(sizeof *log, "the log");
    log->jsonl.file = log->csv.file = -1;
    log->ema = ema;
    SN_TRY(open_file(&log->jsonl, folder, "log.jsonl"), cleanup);
    if (flock(log->jsonl.file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        status = sn_fail(SENET_USAGE, "%s: another process is training into this folder", folder);
        goto cleanup;
    }
    SN_TRY(open_file(&log->csv, folder, "summary.csv"), cleanup);
    SN_TRY(cut_off(&log->jsonl, jsonl_line_stands, reached), cleanup);
    SN_TRY(cut_off(&log->csv, csv_line_stands, reached), cleanup);
    if (lseek(log->csv.file, 0, SEEK_END) == 0) {
        sn_text_printf(&log->line, "%s%s\n", csv_header, ema ? csv_header_ema : "");
        SN_TRY(write_line(&log->csv, &log->line), cleanup);
    }
    SN_TRY(sn_events_open(folder, step, &log->events), cleanup);
    *log_out = log;
    return SENET_OK;
cleanup:
    sn_log_close(log);
    return status;
}

void sn_log_close(sn_log *log)
{
    if (!log) return;
    if (log->jsonl.file >= 0) close(log->jsonl.file);
    if (log->csv.file >= 0) close(log->csv.file);
    free(log->jsonl.path);
    free(log->csv.path);
    sn_events_close(log->events);
    sn_text_free(&log->line);
    free(log);
}

senet_status sn_log_sync(sn_log *log)
{
    if (fsync(log->jsonl.file) != 0 && errno != EINVAL) return file_failed(&log->jsonl);
    if (fsync(log->csv.file) != 0 && errno != EINVAL) return file_failed(&log->csv);
    return SENET_OK;
}

/* ---- writing ---- */

/* `, "name": value`; JSON has no word for a number that is not finite: null. */
static void add_member(sn_text *line, const char *name, double value)
{
    sn_text_printf(line, ", \"%s\": ", name);
    if (isfinite(value)) sn_text_add_double(line, value);
    else sn_text_add_string(line, "null");
}

/* A rate or a duration, to a thousandth. */
static void add_measured(sn_text *line, const char *name, double value)
{
    add_member(line, name, round(value * 1000) / 1000);
}

senet_status sn_log_step(sn_log *log, const sn_step_record *record)
{
    sn_text *line = &log->line;
    line->length = 0;
    sn_text_printf(line, "{\"step\": %lld, \"epoch\": %lld", (long long)record->step, (long long)record->epoch);
    add_member(line, "lr", record->lr);
    add_member(line, "train.loss", record->loss);
    add_measured(line, "train.images_per_second", record->images_per_second);
    add_measured(line, "train.data_wait_percent", record->data_wait_percent);
    sn_text_add_string(line, "}\n");
    SN_RETURN_IF_FAILED(write_line(&log->jsonl, line));
    sn_scalar scalars[] = {
        {"train/loss", record->loss},
        {"train/lr", record->lr},
        {"train/images_per_second", record->images_per_second},
        {"train/data_wait_percent", record->data_wait_percent},
    };
    return sn_events_add(log->events, record->step, scalars, sizeof scalars / sizeof *scalars);
}

static senet_status log_epoch_json(sn_log *log, const sn_epoch_record *record)
{
    sn_text *line = &log->line;
    line->length = 0;
    sn_text_printf(line, "{\"epoch\": %lld", (long long)record->epoch);
    add_member(line, "train.loss", record->train_loss);
    add_member(line, "train.top1_error", record->train_top1_error);
    if (!isnan(record->val.loss)) {
        add_member(line, "val.loss", record->val.loss);
        add_member(line, "val.top1_error", record->val.top1_error);
        add_member(line, "val.top5_error", record->val.top5_error);
    }
    if (!isnan(record->ema.loss)) {
        add_member(line, "val_ema.loss", record->ema.loss);
        add_member(line, "val_ema.top1_error", record->ema.top1_error);
        add_member(line, "val_ema.top5_error", record->ema.top5_error);
    }
    add_measured(line, "seconds", record->seconds);
    sn_text_add_string(line, "}\n");
    return write_line(&log->jsonl, line);
}

static senet_status log_epoch_csv(sn_log *log, const sn_epoch_record *record)
{
    enum { COLUMNS = 7, EMA_COLUMNS = 3 };
    const double values[COLUMNS + EMA_COLUMNS] = {
        record->lr,          record->train_loss,     record->train_top1_error,
        record->val.loss,    record->val.top1_error, record->val.top5_error,
        round(record->seconds * 1000) / 1000,
        record->ema.loss,    record->ema.top1_error, record->ema.top5_error};
    sn_text *line = &log->line;
    line->length = 0;
    sn_text_printf(line, "%lld,%lld", (long long)record->epoch, (long long)record->step);
    for (int i = 0; i < COLUMNS + (log->ema ? EMA_COLUMNS : 0); i++) {
        sn_text_add_char(line, ',');
        if (!isnan(values[i])) sn_text_add_double(line, values[i]);
    }
    sn_text_add_char(line, '\n');
    return write_line(&log->csv, line);
}

senet_status sn_log_epoch(sn_log *log, const sn_epoch_record *record)
{
    SN_RETURN_IF_FAILED(log_epoch_json(log, record));
    SN_RETURN_IF_FAILED(log_epoch_csv(log, record));
    const sn_scalar scalars[] = {{"train/top1_error", record->train_top1_error},
                                 {"train/epoch_loss", record->train_loss},
                                 {"val/loss", record->val.loss},
                                 {"val/top1_error", record->val.top1_error},
                                 {"val/top5_error", record->val.top5_error},
                                 {"val_ema/loss", record->ema.loss},
                                 {"val_ema/top1_error", record->ema.top1_error},
                                 {"val_ema/top5_error", record->ema.top5_error}};
    const size_t count = isnan(record->val.loss) ? 2 : isnan(record->ema.loss) ? 5 : 8;
    return sn_events_add(log->events, record->step, scalars, count);
}

senet_status sn_log_skip(sn_log *log, const sn_skip_record *record)
{
    sn_text *line = &log->line;
    line->length = 0;
    sn_text_add_string(line, "{\"skipped\": ");
    sn_json_add_string(&(sn_json_writer){.text = line}, NULL, record->path);
    sn_text_add_string(line, ", \"reason\": ");
    sn_json_add_string(&(sn_json_writer){.text = line}, NULL, record->reason);
    sn_text_printf(line, ", \"epoch\": %lld, \"step\": %lld}\n", (long long)record->epoch, (long long)record->step);
    return write_line(&log->jsonl, line);
}
