/* test_training.h - whole trainings of a tiny network, each in a folder of its own: what the tests of training share. */
#ifndef SN_TEST_TRAINING_H
#define SN_TEST_TRAINING_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "train/train.h"

/* ---- a folder for each test ---- */

static char scratch[64];

static inline int begin_in_scratch(void **state)
{
    (void)state;
    strcpy(scratch, "/tmp/senet-test-train-XXXXXX");
    return mkdtemp(scratch) ? 0 : -1;
}

static inline int end_in_scratch(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return system(command);
}

/* Path of a file in a run's folder; a few buffers in turn. */
static inline const char *in(const char *run, const char *file)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s/%s", scratch, run, file);
    return path;
}

/* 72 pictures in batches of 16: four full batches and one of 8. */
static inline sn_train_config tiny(const char *run)
{
    static char outputs[8][256];
    static int next;
    char *output = outputs[next++ % 8];
    snprintf(output, sizeof outputs[0], "%s/%s", scratch, run);
    sn_train_config config;
    sn_train_defaults(&config);
    config.model = "se_cifar_resnet8:classes=4";
    config.data = "synthetic:classes=4,train=72,val=24,size=16";
    config.output = output;
    config.batch = 16;
    config.epochs = 3;
    config.eval_batch = 16;
    config.threads = 1;
    config.log_every = 1;
    config.augment = (sn_augment){.pad = 2, .flip = true, .cutout = 4};
    return config;
}

static inline sn_train_result run_ok(const sn_train_config *config, const sn_train_hooks *hooks)
{
    sn_train_result result;
    if (sn_train(config, hooks, &result) != SENET_OK) fail_msg("training: %s", senet_last_error());
    return result;
}

static inline void expect_failure(const sn_train_config *config, senet_status expected, const char *words)
{
    sn_train_result result;
    senet_status status = sn_train(config, NULL, &result);
    if (status != expected || !strstr(senet_last_error(), words))
        fail_msg("expected status %d and '%s', got %d: %s", expected, words, status, senet_last_error());
}

/* noinline: gcc 12 otherwise takes the result for a pointer to the variable it came through */
__attribute__((noinline, unused)) static char *contents(const char *path, size_t *size)
{
    char *bytes = NULL;
    if (sn_file_read(path, SIZE_MAX / 2, &bytes, size) != SENET_OK) fail_msg("%s", senet_last_error());
    return bytes;
}

static inline void assert_same_file(const char *a, const char *b)
{
    size_t a_size, b_size;
    char *a_bytes = contents(a, &a_size), *b_bytes = contents(b, &b_size);
    if (a_size != b_size || memcmp(a_bytes, b_bytes, a_size) != 0) fail_msg("%s and %s differ", a, b);
    free(a_bytes);
    free(b_bytes);
}

/* The log without the measured times, which differ between any two runs. */
static inline char *log_without_times(const char *path)
{
    size_t size;
    char *text = contents(path, &size), *out = text;
    for (const char *in_line = text; *in_line;) {
        static const char *const measured[] = {", \"train.images_per_second\": ", ", \"seconds\": "};
        bool skipped = false;
        for (int i = 0; i < 2; i++)
            if (strncmp(in_line, measured[i], strlen(measured[i])) == 0) {
                in_line += strlen(measured[i]);
                in_line += strcspn(in_line, "}");
                skipped = true;
            }
        if (!skipped) *out++ = *in_line++;
    }
    *out = '\0';
    return text;
}

static inline void assert_same_run(const char *a, const char *b)
{
    assert_same_file(in(a, "checkpoint.safetensors"), in(b, "checkpoint.safetensors"));
    assert_same_file(in(a, "last.safetensors"), in(b, "last.safetensors"));
    assert_same_file(in(a, "best.safetensors"), in(b, "best.safetensors"));
    char *a_log = log_without_times(in(a, "log.jsonl")), *b_log = log_without_times(in(b, "log.jsonl"));
    assert_string_equal(a_log, b_log);
    free(a_log);
    free(b_log);
}

/* ---- watching ---- */

typedef struct watch {
    double first_loss, last_loss, last_error, last_left;
    int64_t steps, epochs, evaluations;
    int stop_at;
    volatile int stop;
    char said[1024];
} watch;

static inline void watch_progress(void *context, const sn_train_progress *progress)
{
    watch *w = context;
    if (progress->evaluating) {
        w->evaluations++;
        return;
    }
    if (progress->epoch_end) {
        w->epochs++;
        if (progress->epoch == 1) w->first_loss = progress->loss;
        w->last_loss = progress->loss;
        w->last_error = progress->top1_error;
        return;
    }
    w->steps++;
    w->last_left = progress->seconds_left;
    if (progress->step == w->stop_at) w->stop = 1;
}

static inline void watch_message(void *context, const char *line)
{
    watch *w = context;
    size_t used = strlen(w->said);
    snprintf(w->said + used, sizeof w->said - used, "%s\n", line);
}

static inline sn_train_hooks hooks_of(watch *w)
{
    return (sn_train_hooks){.progress = watch_progress, .message = watch_message, .context = w, .stop = &w->stop};
}

#define TRAINING_TEST(name) cmocka_unit_test_setup_teardown(name, begin_in_scratch, end_in_scratch)

#endif
