/* se_block.c - see se_block.h. */
#include "zoo/se_block.h"

sn_se_config sn_se_default(void)
{
    return (sn_se_config){.r = 16, .squeeze = SN_SQUEEZE_AVG, .gate = SN_GATE_SIGMOID, .bias = true};
}

static sn_activation gate_activation(sn_gate gate)
{
    return gate == SN_GATE_TANH ? SN_TANH : gate == SN_GATE_RELU ? SN_RELU : SN_SIGMOID;
}

sn_se_block sn_se_declare(sn_builder *b, const char *name, int64_t channels, const sn_se_config *config)
{
    int64_t hidden = channels / config->r;
    if (hidden < 1) hidden = 1;
    sn_se_block se = {.name = name, .squeeze = config->squeeze};
    size_t outer = sn_build_enter(b, "%s", name);
    b->in_se = true;
    se.fc1 = sn_declare_conv(
        b, "fc1",
        (sn_conv_config){.in = channels, .out = hidden, .kernel = 1, .bias = config->bias, .activation = SN_RELU});
    se.fc2 = sn_declare_conv(b, "fc2",
                             (sn_conv_config){.in = hidden,
                                              .out = channels,
                                              .kernel = 1,
                                              .bias = config->bias,
                                              .activation = gate_activation(config->gate),
                                              .node_name = "gate"});
    b->in_se = false;
    sn_build_leave(b, outer);
    return se;
}

sn_id sn_se_apply(sn_builder *b, const sn_se_block *se, sn_id x, const char *output)
{
    sn_id z = x;
    size_t outer = sn_build_enter(b, "%s", se->name);
    if (se->squeeze == SN_SQUEEZE_AVG) z = sn_build_squeeze(b, x, SN_OP_squeeze_avg, "squeeze");
    if (se->squeeze == SN_SQUEEZE_MAX) z = sn_build_squeeze(b, x, SN_OP_squeeze_max, "squeeze");
    sn_build_leave(b, outer);
    sn_id s = sn_apply_conv(b, &se->fc2, sn_apply_conv(b, &se->fc1, z));
    return sn_build_scale(b, x, s, output);
}

sn_id sn_se_build(sn_builder *b, sn_id x, const char *name, sn_se_config config)
{
    sn_se_block se = sn_se_declare(b, name, sn_build_shape(b, x).c, &config);
    return sn_se_apply(b, &se, x, name);
}
