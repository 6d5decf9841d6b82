/* join.c - the joins of layers that suit this machine's processor. */
#include "cpu/cpu.h"
#include "graph/join_depthwise.h"

/* Processors with tile instructions (level amx) have two FMA ports, caches of 2 MB a core, and cores that hand each other's lines on
 * slowly: there a 1x1 convolution that begins where the one before has ended, on the same core, is worth more than Strassen's
 * multiplication, for which each core needs pixels of all (docs/kernels.md). */
senet_status sn_cpu_join_layers(const sn_graph *graph, senet_precision precision, sn_graph **joined)
{
    bool tiles = sn_cpu_isa() == SN_ISA_AMX;
    if (precision == SENET_INT8 || (precision == SENET_BF16 && !tiles)) return sn_graph_join_moves(graph, precision, joined);
    sn_graph *moved = NULL;
    *joined = NULL;
    SN_RETURN_IF_FAILED(sn_graph_join_moves(graph, precision, &moved));
    senet_status status = sn_graph_join_depthwise(moved, tiles ? SN_JOIN_ALL : SN_JOIN_LARGE, joined);
    sn_graph_destroy(moved);
    return status;
}
