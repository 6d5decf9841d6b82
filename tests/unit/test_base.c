/* Randomness as a function, checked sizes, and loops whose result does not depend on the number of threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/rng.h"

#if defined(__has_feature)
#define THREAD_SANITIZER __has_feature(thread_sanitizer)
#elif defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#else
#define THREAD_SANITIZER 0
#endif

/* The check values of the golden vectors' generator: name "conv1.weight", fan_in 147, seed 1. */
static void the_generator_gives_the_published_values(void **state)
{
    (void)state;
    const double expected[4] = {-0.121481501, 0.0549161248, -0.0469257496, -0.0105268955};
    uint64_t key = sn_fnv1a64_text("conv1.weight") ^ 1;
    for (uint64_t i = 0; i < 4; i++)
        assert_true(fabs((2 * sn_rng_uniform(key, i) - 1) * sqrt(3.0 / 147) - expected[i]) < 1e-8); /* float32 of 0.1 */
}

static void normal_values_have_mean_0_and_deviation_1(void **state)
{
    (void)state;
    enum { N = 200000 };
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < N; i++) {
        double z = sn_rng_normal(sn_rng_key(1, SN_RNG_TEST, 0, 0), i);
        sum += z;
        squares += z * z;
    }
    assert_true(fabs(sum / N) < 4 / sqrt(N)); /* four standard errors */
    assert_true(fabs(squares / N - 1) < 4 * sqrt(2.0 / N));
}

static void streams_of_different_purpose_differ(void **state)
{
    (void)state;
    assert_true(sn_rng_key(1, SN_RNG_AUGMENT, 2, 3) != sn_rng_key(1, SN_RNG_SHUFFLE, 2, 3));
    assert_true(sn_rng_key(1, SN_RNG_AUGMENT, 2, 3) != sn_rng_key(1, SN_RNG_AUGMENT, 3, 2));
    assert_true(sn_rng_key(1, SN_RNG_AUGMENT, 2, 3) != sn_rng_key(2, SN_RNG_AUGMENT, 2, 3));
    for (uint64_t i = 0; i < 1000; i++) assert_true(sn_rng_below(7, i, 10) < 10);
}

static void products_that_overflow_are_noticed(void **state)
{
    (void)state;
    int64_t product = 0;
    assert_true(sn_multiply(1 << 20, 1 << 20, &product));
    assert_true(product == INT64_C(1) << 40);
    assert_false(sn_multiply(INT64_C(1) << 40, INT64_C(1) << 40, &product));
    assert_false(sn_multiply(-1, 5, &product));
}

static void count_task(void *context, int64_t index, int worker)
{
    (void)worker;
    ((int *)context)[index]++;
}

static void every_task_runs_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        int done[1000] = {0};
        sn_parallel_for(threads, 1000, count_task, done);
        sn_parallel_for_backwards(threads, 1000, count_task, done);
        for (int i = 0; i < 1000; i++) assert_int_equal(done[i], 2);
    }
    assert_true(sn_default_threads() >= 1);
}

typedef struct last_task {
    int64_t last[4]; /* of a worker */
    bool rose;       /* a worker went up within a part */
} last_task;

static void note_order(void *context, int64_t index, int worker)
{
    last_task *seen = context;
    int64_t *last = &seen->last[worker];
    if (*last >= 0 && *last / 100 == index / 100 && index > *last) seen->rose = true;
    *last = index;
}

/* Parts of 100 tasks, a thread begins in its own. */
static void backwards_each_part_is_walked_from_its_end(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        last_task seen = {.last = {-1, -1, -1, -1}};
        sn_parallel_for_backwards(threads, 100 * threads, note_order, &seen);
        assert_false(seen.rose);
    }
    last_task seen = {.last = {-1, -1, -1, -1}};
    sn_parallel_for(1, 100, note_order, &seen);
    assert_true(seen.rose);
}

/* A task that is a loop itself, on top of loops of other threads. */
static void nested_task(void *context, int64_t index, int worker)
{
    (void)worker;
    int done[50] = {0};
    sn_parallel_for(3, 50, count_task, done);
    for (int i = 0; i < 50; i++) ((int *)context)[index] += done[i];
}

static void *loops_of_a_thread(void *unused)
{
    (void)unused;
    for (int round = 0; round < 200; round++) {
        int sums[20] = {0};
        sn_parallel_for(4, 20, nested_task, sums);
        for (int i = 0; i < 20; i++)
            if (sums[i] != 50) return "a task ran not once";
    }
    return NULL;
}

static void loops_may_nest_and_run_side_by_side(void **state)
{
    (void)state;
    enum { CALLERS = 12 }; /* with the loops in their tasks more than the pool keeps at a time */
    pthread_t threads[CALLERS];
    for (int i = 0; i < CALLERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, loops_of_a_thread, NULL), 0);
    for (int i = 0; i < CALLERS; i++) {
        void *complaint = NULL;
        assert_int_equal(pthread_join(threads[i], &complaint), 0);
        assert_null(complaint);
    }
}

static void loops_work_in_the_child_of_a_fork(void **state)
{
    (void)state;
    if (THREAD_SANITIZER) skip(); /* it allows no new threads in a child */
    int done[1000] = {0};
    sn_parallel_for(3, 1000, count_task, done); /* the parent has a pool */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int again[1000] = {0}, wrong = 0;
        for (int round = 0; round < 50; round++) sn_parallel_for(3, 1000, count_task, again);
        for (int i = 0; i < 1000; i++) wrong += again[i] != 50;
        _exit(wrong != 0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void an_arena_gives_zeroed_memory_and_keeps_strings(void **state)
{
    (void)state;
    sn_arena arena = {0};
    for (size_t bytes = 1; bytes < 100000; bytes *= 3) {
        unsigned char *block = sn_arena_alloc(&arena, bytes);
        assert_non_null(block);
        for (size_t i = 0; i < bytes; i++) assert_int_equal(block[i], 0);
        memset(block, 0xff, bytes);
    }
    assert_string_equal(sn_arena_printf(&arena, "layer%d.%d", 1, 2), "layer1.2");
    sn_arena_free(&arena);
}

static void messages_lose_control_characters(void **state)
{
    (void)state;
    assert_int_equal(sn_fail(SENET_BAD_DATA, "tensor '%s'", "a\nb\033[31m"), SENET_BAD_DATA);
    assert_string_equal(senet_last_error(), "tensor 'a?b?[31m'");
    sn_fail_context(SENET_BAD_DATA, "file %s", "x");
    assert_string_equal(senet_last_error(), "file x: tensor 'a?b?[31m'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_generator_gives_the_published_values),
        cmocka_unit_test(normal_values_have_mean_0_and_deviation_1),
        cmocka_unit_test(streams_of_different_purpose_differ),
        cmocka_unit_test(products_that_overflow_are_noticed),
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(backwards_each_part_is_walked_from_its_end),
        cmocka_unit_test(loops_may_nest_and_run_side_by_side),
        cmocka_unit_test(loops_work_in_the_child_of_a_fork),
        cmocka_unit_test(an_arena_gives_zeroed_memory_and_keeps_strings),
        cmocka_unit_test(messages_lose_control_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
