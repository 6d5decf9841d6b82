/* test_disk_full.c - a disk that fills up, played by a limit on the size of files: the run ends with a message that names
 * the file, what was saved before stays whole, and with room again the run goes on as if nothing had been. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/file.h"
#include "faults/runs.h"

typedef struct shortage {
    int64_t step;  /* from here on */
    rlim_t bytes;  /* no file can grow beyond */
} shortage;

static void run_short(void *context, const sn_train_progress *progress)
{
    const shortage *s = context;
    if (progress->step < s->step) return;
    signal(SIGXFSZ, SIG_IGN); /* write() then fails with EFBIG */
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){s->bytes, s->bytes});
}

static void run_out_of_room_and_go_on(const char *run, shortage s, const char *file)
{
    sn_train_hooks hooks = {.progress = run_short, .context = &s};
    sn_train_config config = tiny_run(run);
    if (strcmp(file, "log.jsonl") == 0) config.checkpoint_minutes = 0;
    assert_int_equal(finish_training(start_training(&config, &hooks)), SENET_CANNOT_WRITE);
    if (!strstr(child_message(), file)) fail_msg("the message does not name %s: %s", file, child_message());
    assert_files_whole(run);
    config = tiny_run_again(run);
    assert_ptr_equal(config.resume, config.output);
    assert_int_equal(finish_training(start_training(&config, NULL)), SENET_OK);
    assert_same_run("whole", run);
}

static void a_full_disk_ends_the_run_but_loses_nothing(void **state)
{
    (void)state;
    sn_train_config config = tiny_run("whole");
    assert_int_equal(finish_training(start_training(&config, NULL)), SENET_OK);
    run_out_of_room_and_go_on("checkpoint", (shortage){3, 20000}, "checkpoint.safetensors");
    run_out_of_room_and_go_on("log", (shortage){3, 100}, "log.jsonl");
    run_out_of_room_and_go_on("weights", (shortage){5, 400000}, ".safetensors"); /* fits weights, not a checkpoint */
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
    (void)state;
    sn_train_config config = tiny_run("x");
    config.output = "/dev/null/run";
    assert_int_equal(finish_training(start_training(&config, NULL)), SENET_CANNOT_WRITE);
    assert_non_null(strstr(child_message(), "/dev/null"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_disk_ends_the_run_but_loses_nothing, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_made_is_named, make_scratch, remove_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
