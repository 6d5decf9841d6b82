/* complexity.c - counts what the paper's complexity figures speak of, and puts the two side by side.  See complexity.h.
 */
#include "analysis/complexity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/complexity_figures.h"
#include "zoo/zoo.h"

/* What a figure is called, its unit, how many of what is counted make one, and the digits that the paper prints. */
static const struct {
    const char *name, *unit;
    double one;
    int decimals;
} kinds[SN_FIGURE_KINDS] = {
    [SN_FIGURE_GIGA_MACS] = {"multiply-adds", "G", 1e9, 2},
    [SN_FIGURE_MEGA_MACS] = {"multiply-adds", "M", 1e6, 0},
    [SN_FIGURE_PARAMS] = {"parameters", "M", 1e6, 1},
    [SN_FIGURE_ABOUT_PARAMS] = {"parameters", "M", 1e6, 0},
    [SN_FIGURE_PARAMS_STATS] = {"parameters with statistics", "M", 1e6, 1},
    [SN_FIGURE_MORE_MACS] = {"multiply-adds added", "%", 1, 2},
    [SN_FIGURE_MORE_PARAMS] = {"parameters added", "M", 1e6, 1},
    [SN_FIGURE_SHARE_PARAMS] = {"parameters added", "%", 1, 0},
};

/* ---- counting ---- */

typedef struct counted_model {
    const char *name;
    sn_graph *graph;
    int64_t params, statistics, se_weights, macs; /* macs: with the gates' products */
} counted_model;

enum { MOST_MODELS = 64 };

typedef struct model_counter {
    counted_model models[MOST_MODELS]; /* in the order of the first question */
    size_t count;
} model_counter;

static void count_graph(counted_model *model)
{
    sn_cost cost = sn_graph_cost(model->graph);
    model->macs = cost.macs + cost.scale_ops;
    sn_graph_count_params(model->graph, &model->params, &model->statistics);
    for (size_t i = 0; i < model->graph->params_count; i++) {
        const sn_param *param = &model->graph->params[i];
        if (param->in_se && param->kind == SN_PARAM_CONV_WEIGHT) model->se_weights += sn_shape_elements(param->shape);
    }
}

/* The counts of a network; built at the first question. */
static senet_status count_model(model_counter *counter, const char *name, const counted_model **counted)
{
    sn_spec spec;
    sn_build_options options = {.mode = SN_MODE_EVAL, .batch = 1, .no_fuse = true};
    for (size_t i = 0; i < counter->count; i++)
        if (strcmp(counter->models[i].name, name) == 0) {
            *counted = &counter->models[i];
            return SENET_OK;
        }
    if (counter->count == MOST_MODELS) return sn_fail(SENET_INTERNAL, "more than %d networks to count", MOST_MODELS);
    counted_model *model = &counter->models[counter->count];
    SN_RETURN_IF_FAILED(sn_spec_parse(name, &spec));
    SN_RETURN_IF_FAILED(sn_model_build(&spec, &options, &model->graph));
    model->name = name;
    counter->count++;
    count_graph(model);
    *counted = model;
    return SENET_OK;
}

static void counter_free(model_counter *counter)
{
    if (!counter) return;
    for (size_t i = 0; i < counter->count; i++) sn_graph_destroy(counter->models[i].graph);
    free(counter);
}

/* ---- comparing ---- */

static double round_to(double value, int decimals)
{
    double shift = pow(10, decimals);
    return round(value * shift) / shift;
}

/* The paper's text divides its rounded figures. */
static double share_of_rounded(int64_t macs, int64_t base)
{
    int decimals = kinds[SN_FIGURE_GIGA_MACS].decimals;
    double one = kinds[SN_FIGURE_GIGA_MACS].one, of = round_to((double)base / one, decimals);
    return 100 * (round_to((double)macs / one, decimals) - of) / of;
}

static double value_of(sn_figure_kind kind, const counted_model *model, const counted_model *base,
                       sn_complexity_row *row)
{
    row->counted = true;
    switch (kind) {
    case SN_FIGURE_GIGA_MACS:
    case SN_FIGURE_MEGA_MACS:
        row->exact = model->macs;
        break;
    case SN_FIGURE_PARAMS:
    case SN_FIGURE_ABOUT_PARAMS:
        row->exact = model->params;
        break;
    case SN_FIGURE_PARAMS_STATS:
        row->exact = model->params + model->statistics;
        break;
    case SN_FIGURE_MORE_PARAMS:
        row->exact = model->params - base->params;
        break;
    case SN_FIGURE_MORE_MACS:
        row->counted = false;
        return share_of_rounded(model->macs, base->macs);
    default:
        row->counted = false;
        return 100 * (double)(model->params - base->params) / (double)base->params;
    }
    return (double)row->exact / kinds[kind].one;
}

static senet_status compare_figure(model_counter *counter, const sn_paper_figure *figure, sn_complexity_row *row)
{
    const counted_model *model, *base = NULL;
    int decimals = kinds[figure->kind].decimals;
    SN_RETURN_IF_FAILED(count_model(counter, figure->model, &model));
    if (figure->base) SN_RETURN_IF_FAILED(count_model(counter, figure->base, &base));
    *row = (sn_complexity_row){.table = figure->table,
                               .row = figure->row,
                               .model = figure->model,
                               .quantity = kinds[figure->kind].name,
                               .unit = kinds[figure->kind].unit,
                               .decimals = decimals,
                               .paper = figure->paper,
                               .note = figure->note};
    row->ours = round_to(value_of(figure->kind, model, base, row), decimals);
    row->equal = row->ours == round_to(figure->paper, decimals);
    return SENET_OK;
}

static senet_status compare_layers(model_counter *counter, const sn_paper_layers_figure *figure, sn_arena *arena,
                                   sn_complexity_row *row)
{
    const counted_model *model;
    SN_RETURN_IF_FAILED(count_model(counter, figure->model, &model));
    *row = (sn_complexity_row){.table = "1",
                               .row = sn_arena_printf(arena, "%s, %s", figure->column, figure->row),
                               .model = figure->model,
                               .quantity = "layers",
                               .unit = "",
                               .ours_text = sn_complexity_layers(model->graph, figure->row, arena),
                               .paper_text = figure->layers};
    if (!row->row || !row->ours_text) return sn_fail_memory(strlen(figure->layers), "the layers of Table 1");
    row->equal = strcmp(row->ours_text, row->paper_text) == 0;
    return SENET_OK;
}

int64_t sn_complexity_equation_5(int64_t r, const int units[SN_COMPLEXITY_STAGES],
                                 const int64_t channels[SN_COMPLEXITY_STAGES])
{
    int64_t sum = 0;
    for (int s = 0; s < SN_COMPLEXITY_STAGES; s++) sum += units[s] * channels[s] * channels[s];
    return 2 * sum / r;
}

static senet_status compare_equation(model_counter *counter, const sn_paper_equation *figure, sn_complexity_row *row)
{
    const counted_model *model;
    SN_RETURN_IF_FAILED(count_model(counter, figure->model, &model));
    int64_t predicted = sn_complexity_equation_5(figure->r, figure->units, sn_paper_equation_channels);
    *row = (sn_complexity_row){.table = "equation 5",
                               .row = figure->row,
                               .model = figure->model,
                               .quantity = "weights of SE blocks",
                               .unit = "",
                               .ours = (double)model->se_weights,
                               .paper = (double)predicted,
                               .counted = true,
                               .exact = model->se_weights,
                               .equal = model->se_weights == predicted};
    return SENET_OK;
}

senet_status sn_complexity_compare(sn_arena *arena, sn_complexity_row **rows, size_t *count)
{
    senet_status status = SENET_OK;
    size_t most = 0, n = 0;
    for (const sn_paper_layers_figure *f = sn_paper_layers; f->model; f++) most++;
    for (const sn_paper_figure *f = sn_paper_figures; f->table; f++) most++;
    for (const sn_paper_equation *f = sn_paper_equations; f->row; f++) most++;
    model_counter *counter = calloc(1, sizeof *counter);
    sn_complexity_row *made = sn_arena_alloc(arena, most * sizeof *made);
    if (!counter || !made) {
        status = sn_fail_memory(most * sizeof *made, "the paper's figures");
        goto cleanup;
    }
    for (const sn_paper_layers_figure *f = sn_paper_layers; f->model; f++)
        SN_TRY(compare_layers(counter, f, arena, &made[n++]), cleanup);
    for (const sn_paper_figure *f = sn_paper_figures; f->table; f++)
        SN_TRY(compare_figure(counter, f, &made[n++]), cleanup);
    for (const sn_paper_equation *f = sn_paper_equations; f->row; f++)
        SN_TRY(compare_equation(counter, f, &made[n++]), cleanup);
    *rows = made;
    *count = n;
cleanup:
    counter_free(counter);
    return status;
}
