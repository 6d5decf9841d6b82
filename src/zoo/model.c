/* model.c - a spec's whole graph: input, network, logits, loss. */
#include "zoo/family.h"

enum { LARGEST_SIDE = 65536 };

/* The picture: "input" as it is, or "images" in bytes, normalised inside "rects". */
static sn_id build_picture(sn_builder *b, const sn_build_options *options, sn_shape shape)
{
    if (options->input == SN_INPUT_REAL) return sn_build_input(b, "input", SN_REAL, shape);
    sn_attrs attrs = {0};
    for (int c = 0; c < 3; c++) {
        attrs.u.normalize.mean[c] = options->mean[c];
        attrs.u.normalize.std[c] = options->std[c];
    }
    sn_id images = sn_build_input(b, "images", SN_U8, shape);
    sn_id rects = sn_build_input(b, "rects", SN_I32, (sn_shape){shape.n, 1, 1, 8});
    return sn_build_node(b, SN_OP_normalize, (sn_id[]){images, rects}, 2, &attrs, "normalize");
}

static void build_network(sn_builder *b, const sn_spec *spec, const sn_build_options *options, sn_shape shape)
{
    sn_id x = build_picture(b, options, shape);
    const sn_shape one = {shape.n, 1, 1, 1}; /* value an image */
    sn_id target[4] = {SN_NONE, SN_NONE, SN_NONE, SN_NONE};
    if (options->loss) target[1] = sn_build_input(b, "labels", SN_I32, one);
    if (options->loss && options->mixed) {
        target[2] = sn_build_input(b, "labels2", SN_I32, one);
        target[3] = sn_build_input(b, "mix", SN_REAL, one);
    }
    sn_id logits = spec->family->build(b, spec, x);
    sn_build_output(b, "logits", logits);
    if (!options->loss) return;
    sn_attrs attrs = {.u.loss.smoothing = options->smoothing};
    target[0] = logits;
    sn_build_output(b, "loss", sn_build_node(b, SN_OP_cross_entropy, target, options->mixed ? 4 : 2, &attrs, "loss"));
}

/* Before nodes are joined, so that the taps survive it. */
static senet_status add_taps(sn_graph *graph, const sn_build_options *options)
{
    for (size_t i = 0; i < options->taps_count; i++) {
        sn_id node = sn_graph_find_node(graph, options->taps[i]);
        if (node == SN_NONE) return sn_fail(SENET_USAGE, "no node is called '%s'", options->taps[i]);
        SN_RETURN_IF_FAILED(sn_graph_add_output(graph, options->taps[i], node));
    }
    return SENET_OK;
}

static senet_status check_options(const sn_build_options *options, sn_shape shape)
{
    int64_t elements;
    if (shape.h < 1 || shape.w < 1 || shape.h > LARGEST_SIDE || shape.w > LARGEST_SIDE)
        return sn_fail(SENET_USAGE, "pictures of %lldx%lld: sides are 1 to %d", (long long)shape.h, (long long)shape.w,
                       LARGEST_SIDE);
    if (shape.n < 1 || !sn_multiply(shape.n, shape.h * shape.w * shape.c, &elements))
        return sn_fail(SENET_USAGE, "a batch of %lld pictures of %lldx%lld", (long long)shape.n, (long long)shape.h,
                       (long long)shape.w);
    if (options->loss && !(options->smoothing >= 0 && options->smoothing < 1))
        return sn_fail(SENET_USAGE, "label smoothing %g is not in [0, 1)", options->smoothing);
    for (int c = 0; c < 3 && options->input == SN_INPUT_U8; c++)
        if (!(options->std[c] > 0))
            return sn_fail(SENET_USAGE, "standard deviation %g of channel %d is not positive", (double)options->std[c],
                           c);
    return SENET_OK;
}

senet_status sn_model_build(const sn_spec *spec, const sn_build_options *options, sn_graph **graph)
{
    senet_status status;
    sn_graph *built = NULL;
    sn_builder b;
    sn_shape shape = {options->batch, options->height, options->width, 3};
    if (shape.h == 0) shape.h = spec->native_size;
    if (shape.w == 0) shape.w = spec->native_size;
    *graph = NULL;
    SN_TRY(check_options(options, shape), cleanup);
    SN_TRY(sn_graph_create(options->batch, &built), cleanup);
    sn_builder_start(&b, built, options->mode);
    build_network(&b, spec, options, shape);
    SN_TRY(b.status, cleanup);
    SN_TRY(add_taps(built, options), cleanup);
    if (options->no_fuse) {
        *graph = built;
        built = NULL;
    } else {
        SN_TRY(sn_graph_fuse(built, graph), cleanup);
    }
cleanup:
    sn_graph_destroy(built);
    if (status == SENET_OK) return status;
    return sn_fail_context(status, "model '%s%s'", spec->se && !spec->family->always_se ? "se_" : "", spec->base);
}

const char *const *sn_model_shake_units(const sn_graph *graph, size_t *count)
{
    static _Thread_local const char *units[SN_SHAKE_UNITS_MAX];
    *count = 0;
    for (size_t i = 0; i < graph->nodes_count; i++) {
        const sn_node *node = &graph->nodes[i];
        if (node->op != SN_OP_mix) continue;
        units[node->attrs.u.mix.index] = node->name;
        (*count)++;
    }
    return units;
}
