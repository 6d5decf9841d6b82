/* test_kill.c - a training killed again and again, at any moment, loses at most a few steps and nothing else. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/rng.h"
#include "faults/runs.h"
#include "train/clock.h"

enum { KILLS = 40 };

/* Lets a training run for a while, then kills it. true: it had come to its end before. */
static bool run_and_kill(const char *run, double seconds)
{
    sn_train_config config = tiny_run_again(run);
    pid_t child = start_training(&config, NULL);
    usleep((useconds_t)(1e6 * seconds));
    assert_int_equal(kill(child, SIGKILL), 0);
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    if (WIFEXITED(how) && WEXITSTATUS(how) != SENET_OK) fail_msg("the training failed: %s", child_message());
    return WIFEXITED(how);
}

static int count_lines(const char *path, const char *beginning)
{
    char *bytes = NULL;
    size_t size;
    int count = 0;
    assert_int_equal(sn_file_read(path, SIZE_MAX / 2, &bytes, &size), SENET_OK);
    for (const char *line = bytes; *line; line = strchr(line, '\n') + 1)
        count += strncmp(line, beginning, strlen(beginning)) == 0;
    free(bytes);
    return count;
}

static void a_training_survives_kill_9(void **state)
{
    (void)state;
    sn_train_config config = tiny_run("whole");
    double start = sn_seconds_now();
    assert_int_equal(finish_training(start_training(&config, NULL)), SENET_OK);
    double whole = sn_seconds_now() - start;

    /* Moments spread over the whole run; runs resumed late are started over, so that every phase is hit again. */
    int kills = 0, ended = 0;
    for (int i = 0; i < KILLS; i++) {
        double share = sn_rng_uniform(sn_rng_key(1, SN_RNG_TEST, 0, 0), (uint64_t)i);
        bool finished = run_and_kill("killed", 0.5 * share * whole);
        assert_files_whole("killed");
        kills += !finished;
        ended += finished;
        if (finished && i + 1 < KILLS) {
            assert_same_run("whole", "killed");
            char command[300];
            snprintf(command, sizeof command, "rm -rf '%s'", run_path("killed", ""));
            assert_int_equal(system(command), 0);
        }
    }
    assert_true(kills > KILLS / 4); /* else the moments are badly chosen */
    config = tiny_run_again("killed");
    assert_int_equal(finish_training(start_training(&config, NULL)), SENET_OK);
    assert_same_run("whole", "killed");
    print_message("%d kills, %d runs ended before theirs\n", kills, ended);

    /* Each step and each epoch is logged once. */
    const char *log = run_path("killed", "log.jsonl");
    assert_int_equal(count_lines(log, "{\"step\": "), 15);
    assert_int_equal(count_lines(log, "{\"epoch\": "), 3);
    assert_int_equal(count_lines(log, "{\"step\": 7,"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_training_survives_kill_9, make_scratch, remove_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
