/* test_every_network.c - every network that `senet models` lists trains: a few steps of gradient descent on one batch
 * of random pictures make its loss finite and lower.  A new family is tested here without further ado.
 *
 * Sizes are small, so that all of them take seconds; whether the gradients are right to the last digit is for
 * tests/golden and tests/gradient. */
#include "test_trainee.h"

enum { STEPS = 3, MODELS_MAX = 256 };

/* A fraction of the loss that one step along the gradient removes if the loss is as steep all the way.  Small enough
 * for the gradient to hold that far, large enough for STEPS of them to rise above the rounding of a float. */
static const double FRACTION = 0.05;

static double squared_norm(const sn_params *gradients)
{
    size_t learnable;
    const float *g = sn_params_block(gradients, &learnable, NULL);
    double sum = 0;
    for (size_t i = 0; i < learnable; i++) sum += (double)g[i] * (double)g[i];
    return sum;
}

/* An SE block of 16 channels has one hidden unit, and where its ReLU is off only the last bias has a gradient. */
static bool may_be_dead(const sn_param *param)
{
    return param->in_se && !strstr(param->name, "fc2.bias");
}

/* Every learnable tensor has a gradient that is finite and not all zero. */
static void check_gradients(const char *model, const trainee *t)
{
    const sn_graph *graph = sn_network_graph(t->network);
    for (size_t i = 0; i < graph->params_count; i++) {
        const sn_param *param = &graph->params[i];
        if (!param->learnable) continue;
        if (param->gradient == SN_NONE) fail_msg("%s: %s has no gradient", model, param->name);
        const float *g = sn_params_data(t->gradients, (int)i);
        double sum = 0;
        for (int64_t k = 0; k < sn_shape_elements(param->shape); k++) sum += fabs((double)g[k]);
        if (!isfinite(sum)) fail_msg("%s: the gradient of %s is not finite", model, param->name);
        if (sum == 0 && !may_be_dead(param)) fail_msg("%s: the gradient of %s is zero", model, param->name);
    }
}

static void test_trains(void **state)
{
    const char *model = *state;
    trainee t;
    start(model, &(sn_network_options){0}, &t);
    double before = run(model, &t);
    check_gradients(model, &t);
    for (int step = 0; step < STEPS; step++) {
        double loss = step ? run(model, &t) : before, lr = FRACTION * loss / squared_norm(t.gradients);
        if (!isfinite(lr)) fail_msg("%s: step %d: no gradient", model, step);
        sn_sgd_step(&t.plan, &t.config, lr, THREADS, t.params, t.velocity, t.gradients);
        sn_params_changed(t.params);
    }
    double after = run(model, &t);
    if (!(after < before)) fail_msg("%s: the loss went from %g to %g", model, before, after);
    stop(&t);
}

/* An argument chooses networks by a pattern: "*vgg*". */
int main(int arguments_count, char **arguments)
{
    static struct CMUnitTest tests[MODELS_MAX];
    const char *name, *summary;
    size_t count = 0;
    for (; count < MODELS_MAX && sn_zoo_list(count, &name, &summary); count++)
        tests[count] =
            (struct CMUnitTest){.name = name, .test_func = test_trains, .initial_state = (void *)(uintptr_t)name};
    if (arguments_count > 1) cmocka_set_test_filter(arguments[1]);
    return _cmocka_run_group_tests("every network", tests, count, NULL, NULL);
}
