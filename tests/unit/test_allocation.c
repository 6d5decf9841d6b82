/* A training step allocates nothing once the first are done: batch, forward and backward pass, update. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "train/network.h"
#include "train/optimizer.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif

#if SANITIZED || !defined(__GLIBC__)
int main(void) { return 77; } /* the allocator belongs to the sanitizer, or its inner names are unknown */
#else

/* The C library's allocator under its inner names; the program's calls come here first. */
extern void *__libc_malloc(size_t bytes), *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *block, size_t bytes), *__libc_memalign(size_t alignment, size_t bytes);
void *malloc(size_t bytes);
void *calloc(size_t count, size_t bytes);
void *realloc(void *block, size_t bytes);
int posix_memalign(void **block, size_t alignment, size_t bytes);

static atomic_long allocations;

void *malloc(size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_calloc(count, bytes);
}

void *realloc(void *block, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_realloc(block, bytes);
}

int posix_memalign(void **block, size_t alignment, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    *block = __libc_memalign(alignment, bytes);
    return *block ? 0 : 12; /* ENOMEM */
}

static void steps_allocate_nothing(void **state)
{
    (void)state;
    enum { BATCH = 32, WARM = 3, STEPS = 12 }; /* 320 pictures: the counted steps go from one epoch to the next */
    sn_train_config config;
    sn_dataset *data = NULL;
    sn_loader *loader = NULL;
    sn_network *network = NULL;
    sn_params *params = NULL, *gradients = NULL, *velocity = NULL;
    sn_update_plan plan = {0};
    sn_spec spec;
    sn_graph *layout = NULL;
    sn_train_defaults(&config);
    assert_int_equal(sn_spec_parse("se_cifar_resnet8", &spec), SENET_OK);
    assert_int_equal(sn_dataset_open("synthetic:train=320,val=32", SN_SPLIT_TRAIN, &data), SENET_OK);
    sn_loader_options loading = {.batch = BATCH, .workers = 1, .shuffle = true, .augment = {.pad = 4, .flip = true}};
    assert_int_equal(sn_loader_create(data, &loading, &loader), SENET_OK);
    sn_build_options build = {.mode = SN_MODE_TRAIN, .batch = BATCH, .input = SN_INPUT_U8, .loss = true,
                              .mean = {0.5f, 0.5f, 0.5f}, .std = {0.25f, 0.25f, 0.25f}};
    assert_int_equal(sn_model_build(&spec, &build, &layout), SENET_OK);
    assert_int_equal(sn_params_create(layout, SN_FLOAT, &params), SENET_OK);
    assert_int_equal(sn_params_create(layout, SN_FLOAT, &gradients), SENET_OK);
    assert_int_equal(sn_params_create(layout, SN_FLOAT, &velocity), SENET_OK);
    sn_params_init(layout, params, SN_INIT_HE, 1);
    sn_network_options options = {.spec = &spec, .build = build, .threads = 2, .params = params, .gradients = gradients};
    assert_int_equal(sn_network_create(&options, &network), SENET_OK);
    assert_int_equal(sn_update_plan_create(sn_network_graph(network), params, &config, &plan), SENET_OK);

    long before = 0;
    for (int step = 0; step < WARM + STEPS; step++) {
        const sn_batch *batch;
        const float *logits;
        double loss;
        if (step == WARM) before = atomic_load(&allocations);
        assert_int_equal(sn_loader_next(loader, &batch), SENET_OK);
        if (!batch) assert_int_equal(sn_loader_next(loader, &batch), SENET_OK);
        assert_int_equal(sn_network_run(network, batch, &logits, &loss), SENET_OK);
        sn_sgd_step(&plan, &config, 0.1, 2, params, velocity, gradients);
    }
    assert_true(before > 0); /* the counter works */
    assert_int_equal(atomic_load(&allocations) - before, 0);

    sn_update_plan_free(&plan);
    sn_network_destroy(network);
    sn_loader_destroy(loader);
    sn_dataset_close(data);
    sn_params_destroy(params);
    sn_params_destroy(gradients);
    sn_params_destroy(velocity);
    sn_graph_destroy(layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps_allocate_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
