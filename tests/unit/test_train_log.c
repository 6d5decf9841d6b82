/* test_train_log.c - log.jsonl: what a skipped picture leaves there, and what a run that goes on from an earlier step keeps. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "train/log.h"

static char folder[] = "/tmp/senet-test-log-XXXXXX";

static int make_scratch(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_scratch(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void must(senet_status status)
{
    if (status != SENET_OK) fail_msg("%s", senet_last_error());
}

static char *read_log(void)
{
    char path[64], *text;
    size_t size;
    snprintf(path, sizeof path, "%s/log.jsonl", folder);
    must(sn_file_read(path, 1 << 20, &text, &size));
    return text;
}

/* A path may hold whatever a file name may: what looks like the line's end, or like a step. */
static const sn_skip_record skips[] = {
    {"a.jpg", "truncated", 1, 1},
    {"b\"}\n{\"step\": 9.jpg", "the file is empty", 1, 2},
    {"c: 7", "not a picture, \"step\": 1}", 1, 4},
};

static sn_log *open_log(int64_t step)
{
    sn_log *log;
    must(sn_log_open(folder, step, 0, false, &log));
    return log;
}

static void skipped_pictures_are_lines_of_their_step(void **state)
{
    (void)state;
    sn_log *log = open_log(0);
    for (int i = 0; i < 3; i++) {
        must(sn_log_skip(log, &skips[i]));
        must(sn_log_step(log, &(sn_step_record){.step = skips[i].step, .epoch = 1, .loss = 1}));
    }
    sn_log_close(log);
    char *text = read_log(), *line = text;
    for (int i = 0; i < 3; i++) {
        char *end = strchr(line, '\n');
        sn_json_document *document;
        must(sn_json_parse(line, (size_t)(end - line), "log.jsonl", 0, &document));
        assert_string_equal(sn_json_find(document->root, "skipped")->text, skips[i].path);
        assert_string_equal(sn_json_find(document->root, "reason")->text, skips[i].reason);
        assert_string_equal(sn_json_find(document->root, "epoch")->text, "1");
        sn_json_destroy(document);
        line = strchr(end + 1, '\n') + 1; /* behind the step's */
    }
    assert_int_equal(*line, '\0');
    free(text);
}

/* What a killed run wrote about steps that are done again goes: those lines will come once more. */
static void lines_of_later_steps_are_cut_off(void **state)
{
    (void)state;
    const int64_t steps[] = {4, 3, 2, 1, 0};
    const int lines[] = {6, 4, 4, 2, 0};
    for (int i = 0; i < 5; i++) {
        sn_log_close(open_log(steps[i]));
        char *text = read_log();
        int count = 0;
        for (const char *at = text; (at = strchr(at, '\n')); at++) count++;
        assert_int_equal(count, lines[i]);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(skipped_pictures_are_lines_of_their_step),
        cmocka_unit_test(lines_of_later_steps_are_cut_off),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
