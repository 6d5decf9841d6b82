/* runs.c - see runs.h. */
#define _GNU_SOURCE
#include "faults/runs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"

static char scratch[64];

int make_scratch(void **state)
{
    (void)state;
    strcpy(scratch, "/tmp/senet-test-faults-XXXXXX");
    return mkdtemp(scratch) ? 0 : -1;
}

int remove_scratch(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return system(command);
}

const char *run_path(const char *run, const char *file)
{
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s%s%s", scratch, run, *file ? "/" : "", file);
    return path;
}

sn_train_config tiny_run(const char *run)
{
    static char output[256];
    snprintf(output, sizeof output, "%s", run_path(run, ""));
    sn_train_config config;
    sn_train_defaults(&config);
    config.model = "se_cifar_resnet8:classes=2";
    config.data = "synthetic:classes=2,train=40,val=8,size=16";
    config.output = output;
    config.batch = 8;
    config.epochs = 3;
    config.threads = 1;
    config.workers = 1;
    config.log_every = 1;
    config.checkpoint_minutes = 1e-9;
    return config;
}

sn_train_config tiny_run_again(const char *run)
{
    sn_train_config config = tiny_run(run);
    if (sn_is_file(run_path(run, "checkpoint.safetensors"))) config.resume = config.output;
    return config;
}

pid_t start_training(const sn_train_config *config, const sn_train_hooks *hooks)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0) return child;
    sn_train_result result;
    senet_status status = sn_train(config, hooks, &result);
    FILE *message = fopen(run_path("message", ""), "w");
    if (message) {
        fputs(senet_last_error(), message);
        fclose(message);
    }
    _exit(status);
}

senet_status finish_training(pid_t child)
{
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    if (!WIFEXITED(how)) fail_msg("the training ended by signal %d", WTERMSIG(how));
    return (senet_status)WEXITSTATUS(how);
}

const char *child_message(void)
{
    static char text[1100];
    char *bytes = NULL;
    size_t size;
    assert_int_equal(sn_file_read(run_path("message", ""), sizeof text, &bytes, &size), SENET_OK);
    snprintf(text, sizeof text, "%s", bytes);
    free(bytes);
    return text;
}

static void assert_log_whole(const char *path)
{
    char *bytes = NULL;
    size_t size;
    if (!sn_is_file(path)) return;
    assert_int_equal(sn_file_read(path, SIZE_MAX / 2, &bytes, &size), SENET_OK);
    for (char *line = bytes, *end; (end = strchr(line, '\n')); line = end + 1)
        if (line[0] != '{' || end[-1] != '}') fail_msg("%s: a line is '%.*s'", path, (int)(end - line), line);
    free(bytes);
}

void assert_files_whole(const char *run)
{
    static const char *const names[] = {"checkpoint.safetensors", "last.safetensors", "best.safetensors"};
    for (int i = 0; i < 3; i++) {
        const char *path = run_path(run, names[i]);
        sn_tensors *file;
        if (!sn_is_file(path)) continue;
        if (sn_tensors_open(path, &file) != SENET_OK) fail_msg("%s", senet_last_error());
        sn_tensors_close(file);
    }
    assert_log_whole(run_path(run, "log.jsonl"));
}

static void assert_same_file(const char *a, const char *b)
{
    char *a_bytes = NULL, *b_bytes = NULL;
    size_t a_size, b_size;
    assert_int_equal(sn_file_read(a, SIZE_MAX / 2, &a_bytes, &a_size), SENET_OK);
    assert_int_equal(sn_file_read(b, SIZE_MAX / 2, &b_bytes, &b_size), SENET_OK);
    if (a_size != b_size || memcmp(a_bytes, b_bytes, a_size) != 0) fail_msg("%s and %s differ", a, b);
    free(a_bytes);
    free(b_bytes);
}

void assert_same_run(const char *a, const char *b)
{
    assert_same_file(run_path(a, "checkpoint.safetensors"), run_path(b, "checkpoint.safetensors"));
    assert_same_file(run_path(a, "last.safetensors"), run_path(b, "last.safetensors"));
    assert_same_file(run_path(a, "best.safetensors"), run_path(b, "best.safetensors"));
}
