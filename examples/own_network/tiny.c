/* tiny.c - a network of your own, as docs/your-own-network.md tells it: four 3x3 convolutions of a width that the name
 * gives, each with an SE block when the name begins with "se_".  "tiny32", "se_tiny64:r=4,gate=tanh".
 *
 * As src/zoo/tiny.c, with the line SN_FAMILY(tiny) in src/zoo/families.def, it is part of the program. */
#include "zoo/blocks.h"
#include "zoo/family.h"

enum { LAYERS = 4 };

/* What `senet models` lists: tiny32 and se_tiny32. */
static const sn_model_entry models[] = {
    SN_MODEL_PAIR("tiny32", "four 3x3 convolutions of width 32"),
    {NULL, NULL},
};

/* The '#' of the pattern arrives in spec->numbers[0]. */
static senet_status check(const sn_spec *spec)
{
    return sn_family_check_width(spec, "width", spec->numbers[0]);
}

/* x (N,H,W,3) -> logits (N,1,1,classes) */
static sn_id build(sn_builder *b, const sn_spec *spec, sn_id x)
{
    sn_unit_se se = sn_zoo_unit_se(spec, 2); /* what the options say: on or off, r, squeeze, gate, bias */
    for (int i = 0; i < LAYERS; i++) {
        size_t outer = sn_build_enter(b, "layer%d", i + 1);
        sn_conv_config conv = {.out = spec->numbers[0], .kernel = 3, .stride = i == 0 ? 1 : 2};
        /* the last node of a layer bears the layer's name: NULL */
        x = sn_zoo_conv_norm_act(b, x, "conv", "bn", conv, SN_RELU, se.on ? "relu" : NULL);
        if (se.on) {
            sn_se_block block = sn_se_declare(b, "se", sn_build_shape(b, x).c, &se.config);
            x = sn_se_apply(b, &block, x, NULL);
        }
        sn_build_leave(b, outer);
    }
    return sn_build_linear(b, sn_build_squeeze(b, x, SN_OP_squeeze_avg, "pool"), "fc", spec->classes);
}

const sn_family sn_family_tiny = {
    .pattern = "tiny#",
    .models = models,
    .options = SN_OPTION_BIT(CLASSES),
    .se_options = SN_SE_OPTIONS,
    .classes = 10,
    .native_size = 32,
    .check = check,
    .build = build,
};
