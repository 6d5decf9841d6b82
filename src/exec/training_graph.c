/* training_graph.c - see training_graph.h. */
#include "exec/training_graph.h"

#include "graph/lower.h"
#include "graph/recompute.h"

/* A candidate: what is to be computed again, and the precision.  *graph stays NULL where nothing is to be done. */
static senet_status finish(const sn_graph *fused, const sn_training_graph_options *options,
                           const sn_recompute_plan *plan, sn_graph **graph)
{
    sn_graph *again = NULL;
    if (plan) SN_RETURN_IF_FAILED(sn_graph_recompute(fused, plan, &again));
    if (options->precision != SENET_BF16) {
        *graph = again;
        return SENET_OK;
    }
    senet_status status = sn_graph_lower_bf16(again ? again : fused, graph);
    sn_graph_destroy(again);
    return status;
}

/* Bytes of the arena of the program that would run the graph. */
static senet_status measure(const sn_graph *graph, const sn_training_graph_options *options, size_t *bytes)
{
    sn_program_options plan = {
        .threads = options->threads, .reference_only = options->reference_only, .lean = true, .plan_only = true};
    sn_program *program;
    SN_RETURN_IF_FAILED(sn_program_create(graph, &plan, &program));
    *bytes = sn_program_memory(program).arena_bytes;
    sn_program_destroy(program);
    return SENET_OK;
}

/* Puts the candidate into *best if it needs less memory, by at least a hundredth: those that compute less come first.
 */
static senet_status try_plan(const sn_graph *fused, const sn_training_graph_options *options, sn_recompute_plan plan,
                             sn_graph **best, size_t *best_bytes)
{
    sn_graph *candidate = NULL;
    size_t bytes;
    SN_RETURN_IF_FAILED(finish(fused, options, &plan, &candidate));
    senet_status status = measure(candidate, options, &bytes);
    if (status == SENET_OK && (!*best || bytes < *best_bytes - *best_bytes / 100)) {
        sn_graph *worse = *best;
        *best = candidate;
        *best_bytes = bytes;
        candidate = worse;
    }
    sn_graph_destroy(candidate);
    return status;
}

/* Limits that fall in small steps, with two guesses of what gradients add to them: first with all of a segment brought
 * back, then with passes made again within it.  Planning tells what each really takes. */
static senet_status search(const sn_graph *fused, const sn_training_graph_options *options, sn_graph **best)
{
    enum { LIMITS = 28, GUESSES = 2 };
    const double step = 0.88; /* 0.88^28: a 36th of all maps */
    size_t best_bytes = 0;
    SN_RETURN_IF_FAILED(try_plan(fused, options, (sn_recompute_plan){.passes = true}, best, &best_bytes));
    if (options->recompute == SN_RECOMPUTE_CHEAP) return SENET_OK;
    for (int way = 0; way < 2 * GUESSES; way++) {
        double limit = (double)sn_graph_map_bytes(fused);
        for (int i = 0; i < LIMITS; i++, limit *= step) {
            sn_recompute_plan plan = {
                .limit = (int64_t)limit + 1, .gradients = way % GUESSES * 2, .passes = way >= GUESSES};
            SN_RETURN_IF_FAILED(try_plan(fused, options, plan, best, &best_bytes));
        }
    }
    return SENET_OK;
}

static void replace(sn_graph **graph, sn_graph *by)
{
    if (!by) return;
    sn_graph_destroy(*graph);
    *graph = by;
}

senet_status sn_training_graph_make(const sn_training_graph_options *options, sn_graph **graph)
{
    sn_graph *result = NULL;
    SN_RETURN_IF_FAILED(sn_graph_add_gradients(*graph, sn_graph_find_output(*graph, "loss")));
    SN_RETURN_IF_FAILED(sn_graph_fuse(*graph, &result));
    replace(graph, result);
    result = NULL;
    senet_status status = options->recompute == SN_RECOMPUTE_NONE ? finish(*graph, options, NULL, &result)
                                                                  : search(*graph, options, &result);
    if (status == SENET_OK)
        replace(graph, result);
    else
        sn_graph_destroy(result);
    return status;
}
