/* complexity_layers.c - the cells of Table 1, read off a residual network's graph as the zoo wrote it. */
#include <stdio.h>
#include <string.h>

#include "analysis/complexity_figures.h"
#include "base/text.h"

enum { NAME_BYTES = 64, UNIT_BYTES = 32 }; /* "layer1.0.se.fc1", "layer1.0" */

static const sn_node *find_node(const sn_graph *graph, const char *name)
{
    sn_id id = sn_graph_find_node(graph, name);
    return id == SN_NONE ? NULL : &graph->nodes[id];
}

static const sn_param *find_weight(const sn_graph *graph, const char *layer)
{
    char name[NAME_BYTES + 8];
    snprintf(name, sizeof name, "%s.weight", layer);
    int index = sn_graph_find_param(graph, name);
    return index < 0 ? NULL : &graph->params[index];
}

static void add_size(sn_text *text, const sn_node *node)
{
    if (node) sn_text_printf(text, "%lldx%lld: ", (long long)node->shape.h, (long long)node->shape.w);
}

/* "3x3 128 C=32" */
static void add_conv(sn_text *text, const sn_graph *graph, const char *layer)
{
    const sn_param *weight = find_weight(graph, layer);
    const sn_node *node = find_node(graph, layer);
    if (!weight || !node) return;
    sn_text_printf(text, "%lldx%lld %lld", (long long)weight->dims[2], (long long)weight->dims[3],
                   (long long)weight->dims[0]);
    if (node->attrs.u.conv.groups > 1) sn_text_printf(text, " C=%d", (int)node->attrs.u.conv.groups);
}

/* "[1x1 64, 3x3 64, 1x1 256, fc [16, 256]]" */
static void add_unit(sn_text *text, const sn_graph *graph, const char *unit)
{
    static const char *const convs[] = {"conv1", "conv2", "conv3"};
    char name[NAME_BYTES];
    for (size_t i = 0; i < sizeof convs / sizeof *convs; i++) {
        snprintf(name, sizeof name, "%.*s.%s", UNIT_BYTES, unit, convs[i]);
        sn_text_add_string(text, i ? ", " : "[");
        add_conv(text, graph, name);
    }
    snprintf(name, sizeof name, "%.*s.se.fc1", UNIT_BYTES, unit);
    const sn_param *squeeze = find_weight(graph, name);
    snprintf(name, sizeof name, "%.*s.se.fc2", UNIT_BYTES, unit);
    const sn_param *excite = find_weight(graph, name);
    if (squeeze && excite)
        sn_text_printf(text, ", fc [%lld, %lld]", (long long)squeeze->dims[0], (long long)excite->dims[0]);
    sn_text_add_char(text, ']');
}

/* "[...] x3"; units that differ from those before them stand in brackets of their own. */
static void add_stage(sn_text *text, const sn_graph *graph, int stage)
{
    sn_text unit = {0}, last = {0};
    char name[UNIT_BYTES];
    int alike = 0;
    for (int i = 0;; i++) {
        snprintf(name, sizeof name, "layer%d.%d", stage - 1, i);
        const sn_node *node = find_node(graph, name);
        sn_text_free(&unit);
        if (node) add_unit(&unit, graph, name);
        if (node && i == 0) add_size(text, node);
        if (alike && (!node || strcmp(sn_text_string(&unit), sn_text_string(&last)) != 0)) {
            sn_text_printf(text, "%s x%d%s", sn_text_string(&last), alike, node ? ", " : "");
            alike = 0;
        }
        if (!node) break;
        alike++;
        sn_text swapped = last;
        last = unit;
        unit = swapped;
    }
    sn_text_free(&unit);
    sn_text_free(&last);
}

static void add_stem(sn_text *text, const sn_graph *graph)
{
    const sn_node *conv = find_node(graph, "conv1");
    if (!conv) return;
    add_size(text, conv);
    sn_text_add_string(text, "conv ");
    add_conv(text, graph, "conv1");
    sn_text_printf(text, ", stride %d", (int)conv->attrs.u.conv.stride);
}

static void add_pool(sn_text *text, const sn_graph *graph)
{
    const sn_node *node = find_node(graph, "stem");
    if (!node || node->op != SN_OP_pool2d) return;
    const sn_pool_attrs *pool = &node->attrs.u.pool;
    add_size(text, node);
    sn_text_printf(text, "%s pool %dx%d, stride %d", pool->kind == SN_POOL_MAX ? "max" : "average", (int)pool->kernel,
                   (int)pool->kernel, (int)pool->stride);
}

static void add_classifier(sn_text *text, const sn_graph *graph)
{
    const sn_node *pool = find_node(graph, "pool"), *fc = find_node(graph, "fc");
    if (!pool || !fc) return;
    add_size(text, fc);
    if (pool->op == SN_OP_squeeze_avg) sn_text_add_string(text, "global average pool, ");
    sn_text_printf(text, "%lld-way fc", (long long)fc->shape.c);
}

const char *sn_complexity_layers(const sn_graph *graph, const char *row, sn_arena *arena)
{
    sn_text text = {0};
    int stage;
    if (sscanf(row, "conv%d_x", &stage) == 1 && strcmp(row, "conv1") != 0)
        add_stage(&text, graph, stage);
    else if (strcmp(row, "conv1") == 0)
        add_stem(&text, graph);
    else if (strcmp(row, "pool") == 0)
        add_pool(&text, graph);
    else
        add_classifier(&text, graph);
    char *kept = text.failed ? NULL : sn_arena_strdup(arena, sn_text_string(&text));
    sn_text_free(&text);
    return kept;
}
